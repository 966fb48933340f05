//! A shop over the wire, MeStore on PostgreSQL and a small one on MariaDB: a
//! real server with that target, a client, and what comes back when the
//! database fails, or somebody stops it.

use std::time::{Duration, Instant};

use resetd::{
    access::Role,
    address::Address,
    admin::token,
    config::{Config, JournalConfig, Reflection, TargetConfig},
    guard::{Limits, NameRules},
    policy::Policy,
    proto::{
        CancelOperationRequest, CreateTestUserRequest, FullResetRequest, ResetUserRequest,
        event::Kind as Event, operation_service_client::OperationServiceClient,
        reset_service_client::ResetServiceClient, reset_user_request::User,
    },
    server as daemon,
};
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{
    cases,
    faults::kill_whoever_deletes,
    mariadb::mariadb,
    mestore,
    server::server,
    world::{Kind, OWNER, World},
};

cases! {
    SERVERS: every_call_over_the_wire, refusals_over_the_wire, a_killed_backend_ends_the_stream,
        a_client_that_leaves_halves_nothing, a_cancelled_reset_is_stopped_in_the_midst,
        a_deadline_stops_what_is_running;
}

const SECRET: &str = "a superuser's secret";
const BUYER: &str = "maria.compradora@test.com";
const PHRASE: &str = "I UNDERSTAND THIS WILL DELETE ALL DATA";

const SMALL: &str = "
    CREATE TABLE users (id VARCHAR(36) PRIMARY KEY, email VARCHAR(255) NOT NULL UNIQUE,
        password_hash VARCHAR(60) NOT NULL, user_type VARCHAR(9) NOT NULL);
    CREATE TABLE orders (id INTEGER AUTO_INCREMENT PRIMARY KEY,
        buyer_id VARCHAR(36) NOT NULL REFERENCES users (id));
    CREATE TABLE order_items (id INTEGER AUTO_INCREMENT PRIMARY KEY,
        order_id INTEGER NOT NULL REFERENCES orders (id));
    INSERT INTO users VALUES ('u1', 'maria.compradora@test.com', 'x', 'BUYER'),
        ('u2', 'other@test.com', 'x', 'BUYER'), ('u3', 'real@corp.org', 'x', 'BUYER');
    INSERT INTO orders (buyer_id) VALUES ('u1'), ('u1'), ('u2'), ('u3');
    INSERT INTO order_items (order_id) VALUES (1), (1), (2), (3), (4);";

const SMALL_POLICY: &str = r#"
[users]
table = "users"
email = "email"
test_domains = ["test.com"]
[users.create]
key = "uuid4"
password = { column = "password_hash", default = "testpass123", bcrypt_cost = 4 }
[users.create.set]
user_type = "BUYER"
[full_reset]
confirmation = "I UNDERSTAND THIS WILL DELETE ALL DATA"
"#;

/// A shop that is armed, and how many rows its buyer has.
async fn shop(kind: Kind) -> (World, i64) {
    match kind {
        Kind::MariaDb => (World::make(kind, SMALL, SMALL_POLICY).await, 6),
        Kind::Postgres | Kind::Sqlite => (mestore::both().await.1, 167),
    }
}

/// A server on a free port, with one target.
struct Wire {
    client: ResetServiceClient<Channel>,
    operations: OperationServiceClient<Channel>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), daemon::Error>>,
    _folder: tempfile::TempDir,
}

impl Wire {
    async fn to(world: &World, environment: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (scheme, port, policy) = match world.kind {
            Kind::MariaDb => ("mysql", mariadb().port, SMALL_POLICY),
            Kind::Postgres | Kind::Sqlite => ("postgresql", server().port, mestore::POLICY),
        };
        let url = format!("{scheme}://{OWNER}@127.0.0.1:{port}/{}", world.name);
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
                policy: Policy::parse(policy).unwrap(),
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
        let channel = channel.connect().await.unwrap();
        Self {
            client: ResetServiceClient::new(channel.clone()),
            operations: OperationServiceClient::new(channel),
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
        self.everything_begun(oneshot::channel().0).await
    }

    /// The same, and tells the operation's id once it has begun.
    async fn everything_begun(
        &mut self,
        begun: oneshot::Sender<String>,
    ) -> (Vec<Event>, Result<(), Status>) {
        let request = FullResetRequest {
            reseed: false,
            confirmation: PHRASE.to_owned(),
            ..FullResetRequest::default()
        };
        let answer = self.client.full_reset(with_token(request)).await;
        let mut stream = answer.unwrap().into_inner();
        let mut events = Vec::new();
        let mut begun = Some(begun);
        loop {
            match stream.message().await {
                Ok(Some(message)) => {
                    let event = message.event.unwrap().kind.unwrap();
                    if let Event::Started(started) = &event
                        && let Some(begun) = begun.take()
                    {
                        // Nobody need care.
                        drop(begun.send(started.operation_id.clone()));
                    }
                    events.push(event);
                }
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

async fn every_call_over_the_wire(kind: Kind) {
    let (world, rows) = shop(kind).await;
    let mut wire = Wire::to(&world, "test").await;
    let before = dump(&world).await;
    assert_eq!(wire.reset(true).await.unwrap(), rows);
    assert_eq!(dump(&world).await, before, "a dry run changes nothing");
    assert_eq!(wire.reset(false).await.unwrap(), rows);
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

async fn refusals_over_the_wire(kind: Kind) {
    let (marker, refuse, admit) = match kind {
        Kind::MariaDb => (
            "resetd_marker",
            "REVOKE DELETE ON {name}.* FROM resetd_app",
            "GRANT ALL ON {name}.* TO resetd_app",
        ),
        Kind::Postgres | Kind::Sqlite => (
            "resetd.marker",
            "ALTER TABLE orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
            "ALTER TABLE orders DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY",
        ),
    };
    let (world, _) = shop(kind).await;
    let before = dump(&world).await;
    let mut wire = Wire::to(&world, "production").await;
    let denied = told(&wire.reset(false).await.unwrap_err());
    assert_eq!(
        denied,
        (Code::FailedPrecondition, "ENVIRONMENT_DENIED".to_owned())
    );
    wire.end().await;
    let mut wire = Wire::to(&world, "test").await;
    world
        .sudo(&format!("UPDATE {marker} SET protected = 1"))
        .await;
    let protected = told(&wire.reset(false).await.unwrap_err());
    assert_eq!(
        protected,
        (Code::FailedPrecondition, "TARGET_PROTECTED".to_owned())
    );
    world.sudo(&format!("DELETE FROM {marker}")).await;
    let unarmed = told(&wire.reset(false).await.unwrap_err());
    assert_eq!(
        unarmed,
        (Code::FailedPrecondition, "TARGET_NOT_ARMED".to_owned())
    );
    world.arm().await;
    wire.end().await;
    world.sudo(&refuse.replace("{name}", &world.name)).await;
    // A connection of before would keep what it was allowed to.
    let mut wire = Wire::to(&world, "test").await;
    let hidden = told(&wire.reset(false).await.unwrap_err());
    assert_eq!(
        hidden,
        (Code::FailedPrecondition, "DATABASE_PERMISSION".to_owned())
    );
    world.sudo(&admit.replace("{name}", &world.name)).await;
    assert_eq!(dump(&world).await, before, "refusals change nothing");
    wire.end().await;
}

async fn a_killed_backend_ends_the_stream(kind: Kind) {
    let (world, _) = shop(kind).await;
    kill_whoever_deletes(&world).await;
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

async fn a_client_that_leaves_halves_nothing(kind: Kind) {
    let (world, _) = shop(kind).await;
    let wire = Wire::to(&world, "test").await;
    let mut lock = world.connect().await;
    let all = match kind {
        Kind::MariaDb => "BEGIN; SELECT id FROM orders FOR UPDATE",
        Kind::Postgres | Kind::Sqlite => "BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE",
    };
    lock.run(all).await.unwrap();
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

/// Has the deletion of a user take 50 seconds, in the name of our own account:
/// MariaDB lets nobody stop what runs in another's.
async fn slow(world: &World) {
    let sql = match world.kind {
        Kind::MariaDb => "CREATE TRIGGER slow BEFORE DELETE ON users FOR EACH ROW DO SLEEP(50)",
        Kind::Postgres | Kind::Sqlite => {
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_sleep(50); RETURN OLD; END $$; \
             CREATE TRIGGER slow BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION slow()"
        }
    };
    world.sql(sql).await;
}

/// How many statements of the target are in that deletion.
async fn sleepers(world: &World) -> String {
    let mut superuser = world.superuser().await;
    let question = match world.kind {
        Kind::MariaDb => format!(
            "SELECT CAST(COUNT(*) AS CHAR) FROM information_schema.PROCESSLIST \
             WHERE DB = '{}' AND STATE = 'User sleep'",
            world.name
        ),
        Kind::Postgres | Kind::Sqlite => format!(
            "SELECT count(*)::text FROM pg_stat_activity WHERE datname = '{}' \
             AND wait_event = 'PgSleep'",
            world.name
        ),
    };
    let mut rows = superuser.rows(&question).await.unwrap();
    superuser.close().await;
    rows.remove(0).remove(0)
}

/// The statement that runs is stopped, not only what would come after it.
async fn a_cancelled_reset_is_stopped_in_the_midst(kind: Kind) {
    let (world, _) = shop(kind).await;
    slow(&world).await;
    let before = dump(&world).await;
    let mut wire = Wire::to(&world, "test").await;
    let mut operations = wire.operations.clone();
    let (begun, id) = oneshot::channel();
    let ((events, end), stopped) = tokio::join!(wire.everything_begun(begun), async {
        let operation_id = id.await.unwrap();
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while sleepers(&world).await == "0" {
            ticks.tick().await;
        }
        let stopped = Instant::now();
        let message = CancelOperationRequest { operation_id };
        let answer = operations.cancel_operation(with_token(message)).await;
        answer.unwrap();
        stopped
    });
    let took = stopped.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    let end = told(&end.unwrap_err());
    assert_eq!(end, (Code::Cancelled, "OPERATION_CANCELLED".to_owned()));
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, Event::Committed(_)))
    );
    assert_eq!(sleepers(&world).await, "0", "the statement goes on");
    assert_eq!(dump(&world).await, before, "sequences included");
    // The target is free, and whoever works there next is not stopped.
    let drop_it = match kind {
        Kind::MariaDb => "DROP TRIGGER slow",
        Kind::Postgres | Kind::Sqlite => "DROP TRIGGER slow ON users",
    };
    world.sudo(drop_it).await;
    let (_, end) = wire.everything().await;
    end.unwrap();
    wire.end().await;
}

async fn a_deadline_stops_what_is_running(kind: Kind) {
    let (world, _) = shop(kind).await;
    // The first connections are not what the deadline is about.
    let mut wire = Wire::to(&world, "test").await;
    wire.reset(true).await.unwrap();
    slow(&world).await;
    let before = dump(&world).await;
    let mut request = with_token(ResetUserRequest {
        user: Some(User::Email(BUYER.to_owned())),
        ..ResetUserRequest::default()
    });
    request.set_timeout(Duration::from_secs(3));
    let begun = Instant::now();
    let status = wire.client.reset_user(request).await.unwrap_err();
    assert!(
        matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{status:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
    // Its server ends without waiting for the 50 seconds.
    wire.end().await;
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(sleepers(&world).await, "0", "the statement goes on");
    assert_eq!(dump(&world).await, before, "nothing is half done");
}
