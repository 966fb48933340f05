//! MeStore on PostgreSQL over the wire: a real server with a PostgreSQL
//! target, a client, and what comes back when the database fails.

use std::time::Duration;

use resetd::{
    access::Role,
    address::Address,
    admin::token,
    config::{Config, JournalConfig, Reflection, TargetConfig},
    guard::{Limits, NameRules},
    policy::Policy,
    proto::{
        CreateTestUserRequest, FullResetRequest, ResetUserRequest, full_reset_response::Event,
        reset_service_client::ResetServiceClient, reset_user_request::User,
    },
    server as daemon,
};
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{
    cases,
    faults::KILL,
    mestore::{self, POLICY},
    server::server,
    world::{Kind, OWNER, World},
};

cases! {
    POSTGRES: mestore_over_the_wire, refusals_over_the_wire, a_killed_backend_ends_the_stream,
        a_client_that_leaves_halves_nothing;
}

const SECRET: &str = "a superuser's secret";
const BUYER: &str = "maria.compradora@test.com";
const PHRASE: &str = "I UNDERSTAND THIS WILL DELETE ALL DATA";
const KILLER: &str =
    "CREATE TRIGGER kill BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION kill()";

/// A server on a free port, with one target.
struct Wire {
    client: ResetServiceClient<Channel>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), daemon::Error>>,
    _folder: tempfile::TempDir,
}

impl Wire {
    async fn to(world: &World, environment: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!(
            "postgresql://{OWNER}@127.0.0.1:{}/{}",
            server().port,
            world.name
        );
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            journal: JournalConfig::File(folder.path().join("journal.db")),
            keep: jiff::SignedDuration::from_hours(24 * 90),
            reflection: Reflection::Off,
            drain: Duration::from_secs(30),
            targets: vec![TargetConfig {
                seeds: resetd::config::SeedConfig::default(),
                name: "shop".to_owned(),
                environment: Some(environment.to_owned()),
                extra_environments: Vec::new(),
                variables: Vec::new(),
                address: Address::parse(&url).unwrap(),
                names: NameRules::default(),
                limits: Limits { max_rows: 100_000 },
                bulk_limits: Limits { max_rows: 100_000 },
                policy: Policy::parse(POLICY).unwrap(),
                redis: None,
                roots: std::collections::BTreeMap::new(),
            }],
            tokens: vec![token::of_role("wire", Role::Superuser, SECRET)],
        };
        let listener = daemon::bind(config.listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (announce, ready) = oneshot::channel();
        let serving = tokio::spawn(Box::pin(async move {
            let stopped = async { drop(stopped.await) };
            daemon::run(config, listener, stopped, || announce.send(()).unwrap()).await
        }));
        ready.await.unwrap();
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        Self {
            client: ResetServiceClient::new(channel.connect().await.unwrap()),
            stop,
            serving,
            _folder: folder,
        }
    }

    /// Stops the server, which lets running operations end.
    async fn end(self) {
        drop(self.stop);
        self.serving.await.unwrap().unwrap();
    }

    async fn reset(&mut self, dry: bool) -> Result<i64, Status> {
        let request = ResetUserRequest {
            validate_only: dry,
            user: Some(User::Email(BUYER.to_owned())),
            ..ResetUserRequest::default()
        };
        let answer = self.client.reset_user(with_token(request)).await?;
        Ok(answer.into_inner().result.unwrap().total_rows)
    }

    async fn create(&mut self) -> Result<(), Status> {
        let request = CreateTestUserRequest {
            email: BUYER.to_owned(),
            ..CreateTestUserRequest::default()
        };
        self.client.create_test_user(with_token(request)).await?;
        Ok(())
    }

    /// The events of a full reset, and how it ended.
    async fn everything(&mut self) -> (Vec<Event>, Result<(), Status>) {
        let request = FullResetRequest {
            reseed: false,
            confirmation: PHRASE.to_owned(),
            ..FullResetRequest::default()
        };
        let answer = self.client.full_reset(with_token(request)).await;
        let mut stream = answer.unwrap().into_inner();
        let mut events = Vec::new();
        loop {
            match stream.message().await {
                Ok(Some(message)) => events.push(message.event.unwrap()),
                Ok(None) => return (events, Ok(())),
                Err(status) => return (events, Err(status)),
            }
        }
    }
}

fn with_token<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {SECRET}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}

fn told(status: &Status) -> (Code, String) {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    (status.code(), reason.unwrap_or_default())
}

async fn dump(world: &World) -> impl PartialEq + std::fmt::Debug + use<> {
    let mut connection = world.connect().await;
    let mut dump = connection.dump().await;
    connection.close().await;
    dump.retain(|table, _| !table.contains("resetd"));
    dump
}

async fn mestore_over_the_wire(_: Kind) {
    let (_, world) = mestore::both().await;
    let mut wire = Wire::to(&world, "test").await;
    let before = dump(&world).await;
    assert_eq!(wire.reset(true).await.unwrap(), 167);
    assert_eq!(dump(&world).await, before, "a dry run changes nothing");
    assert_eq!(wire.reset(false).await.unwrap(), 167);
    let gone = told(&wire.reset(false).await.unwrap_err());
    assert_eq!(gone, (Code::NotFound, "USER_NOT_FOUND".to_owned()));
    wire.create().await.unwrap();
    let there = told(&wire.create().await.unwrap_err());
    assert_eq!(there, (Code::AlreadyExists, "USER_EXISTS".to_owned()));
    let (events, end) = wire.everything().await;
    end.unwrap();
    assert!(matches!(events.last(), Some(Event::Finished(_))));
    wire.create().await.unwrap();
    wire.end().await;
}

async fn refusals_over_the_wire(_: Kind) {
    let (_, world) = mestore::both().await;
    let before = dump(&world).await;
    let mut wire = Wire::to(&world, "production").await;
    let denied = told(&wire.reset(false).await.unwrap_err());
    assert_eq!(
        denied,
        (Code::FailedPrecondition, "ENVIRONMENT_DENIED".to_owned())
    );
    wire.end().await;
    let mut wire = Wire::to(&world, "test").await;
    world.sudo("UPDATE resetd.marker SET protected = 1").await;
    let protected = told(&wire.reset(false).await.unwrap_err());
    assert_eq!(
        protected,
        (Code::FailedPrecondition, "TARGET_PROTECTED".to_owned())
    );
    world.sudo("DELETE FROM resetd.marker").await;
    let unarmed = told(&wire.reset(false).await.unwrap_err());
    assert_eq!(
        unarmed,
        (Code::FailedPrecondition, "TARGET_NOT_ARMED".to_owned())
    );
    world.arm().await;
    world
        .sudo("ALTER TABLE orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        .await;
    let hidden = told(&wire.reset(false).await.unwrap_err());
    assert_eq!(
        hidden,
        (Code::FailedPrecondition, "DATABASE_PERMISSION".to_owned())
    );
    world
        .sudo("ALTER TABLE orders DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY")
        .await;
    assert_eq!(dump(&world).await, before, "refusals change nothing");
    wire.end().await;
}

async fn a_killed_backend_ends_the_stream(_: Kind) {
    let (_, world) = mestore::both().await;
    world.sudo(&format!("{KILL}{KILLER}")).await;
    let before = dump(&world).await;
    let mut wire = Wire::to(&world, "test").await;
    let (events, end) = wire.everything().await;
    let end = told(&end.unwrap_err());
    assert_eq!(end, (Code::Unavailable, "DATABASE_UNAVAILABLE".to_owned()));
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::StepFinished(_)))
    );
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, Event::Committed(_)))
    );
    assert_eq!(dump(&world).await, before, "sequences included");
    wire.end().await;
}

async fn a_client_that_leaves_halves_nothing(_: Kind) {
    let (_, world) = mestore::both().await;
    let wire = Wire::to(&world, "test").await;
    let mut lock = world.connect().await;
    lock.run("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let request = ResetUserRequest {
        user: Some(User::Email(BUYER.to_owned())),
        ..ResetUserRequest::default()
    };
    let mut client = wire.client.clone();
    let call = tokio::spawn(async move { client.reset_user(with_token(request)).await });
    world.until_blocked().await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    lock.run("COMMIT").await.unwrap();
    lock.close().await;
    // The operation ends by itself before the server does.
    wire.end().await;
    let mut wire = Wire::to(&world, "test").await;
    let gone = told(&wire.reset(false).await.unwrap_err());
    assert_eq!(
        gone,
        (Code::NotFound, "USER_NOT_FOUND".to_owned()),
        "it was done wholly"
    );
    wire.end().await;
}
