//! Builds a server from its configuration and runs it until it is told to
//! stop.

use std::{
    future::Future,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use tokio::net::TcpListener;
use tonic::transport::{Server, server::TcpIncoming};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    address::{Address, Engine as Product},
    config::{Config, JournalConfig, Reflection, TargetConfig, user_name},
    dialect::SeedError,
    effects::{Effects, RedisSettings},
    engine::{Engine, Seeds, Served},
    guard::{
        self, DomainError, Setting, TestDomains,
        environment::{Denied, check_names},
    },
    journal::{self, Journal, ServerId},
    proto::{
        self, operation_service_server::OperationServiceServer,
        reset_service_server::ResetServiceServer,
    },
    rpc::{self, Authenticator, NormaliseErrors, Operations, Resets, panicked},
    target::{self, Credentials, Target},
};

/// Concurrent streams on one connection; unlimited by default.
const STREAMS: u32 = 200;
/// Bytes of headers of one request; 16 MiB by default.
const HEADER_BYTES: u32 = 16 * 1024;
/// How long answers may take to leave when the time of stopping is over.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Why a server does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// A target's policy does not fit its database.
    #[error(transparent)]
    Policy(target::Error),
    /// A test domain of a policy is none.
    #[error("the policy of target {target} lists test domain {source}")]
    Domain {
        /// The target.
        target: String,
        /// What is wrong with it.
        source: DomainError,
    },
    /// The policy names a directory that the configuration does not.
    #[error("the policy of target {target} names root {root}, which [targets.roots] does not have")]
    Root {
        /// The target.
        target: String,
        /// The root.
        root: String,
    },
    /// A seed file of the policy is none.
    #[error("the seed of target {target}: {source}")]
    Seed {
        /// The target.
        target: String,
        /// What is wrong with it.
        source: SeedError,
    },
    /// The Redis looks like production.
    #[error("the Redis of target {target} is refused: {denied}; {}", denied.fix)]
    Redis {
        /// The target.
        target: String,
        /// What is wrong.
        denied: Box<Denied>,
    },
    /// There is nobody who could call.
    #[error("no tokens are configured: add [[tokens]], `resetd token new` makes one")]
    NoTokens,
    /// The port cannot be used.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The transport failed.
    #[error("the server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The descriptors cannot be served.
    #[error("reflection cannot be served: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Takes the port.
///
/// # Errors
///
/// When it is taken or may not be used.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|source| Error::Listen { address, source })
}

/// Serves on `listener` until `shutdown` completes, then lets running
/// operations end. `ready` is called when calls are answered.
///
/// # Errors
///
/// When the configuration is wrong or the transport fails.
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
    ready: impl FnOnce(),
) -> Result<(), Error> {
    if config.tokens.is_empty() {
        return Err(Error::NoTokens);
    }
    let engine = engine(&config).await?;
    let (health, health_service) = tonic_health::server::health_reporter();
    set_health(&health, ServingStatus::Serving).await;

    let authenticator = Authenticator::new(config.tokens.clone(), engine.clone());
    let operations = Operations::new(engine.clone());
    let operations = OperationServiceServer::with_interceptor(operations, authenticator.clone());
    let resets = ResetServiceServer::with_interceptor(Resets::new(engine.clone()), authenticator);
    let mut router = Server::builder()
        .max_concurrent_streams(STREAMS)
        .http2_max_header_list_size(HEADER_BYTES)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(NormaliseErrors)
        .add_service(resets)
        .add_service(operations)
        .add_service(health_service);
    if config.reflection == Reflection::Open {
        router = router
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?);
    }

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serving = router.serve_with_incoming_shutdown(incoming, async move {
        // A dropped sender stops the server as well.
        drop(stopped.await);
    });
    let mut serving = tokio::spawn(serving);
    ready();
    tokio::select! {
        () = shutdown => {}
        ended = &mut serving => return finished(ended),
    }

    let stopping = Instant::now();
    set_health(&health, ServingStatus::NotServing).await;
    engine.drain();
    drop(stop);
    if !engine.finish(config.drain).await {
        tracing::error!("operations were still running after {:?}", config.drain);
    }
    // A stream that never ends, such as a health watch, keeps a connection
    // open for ever. What is left of the time is for the last answers.
    let left = config.drain.saturating_sub(stopping.elapsed());
    match tokio::time::timeout(left.max(LAST_ANSWERS), &mut serving).await {
        Ok(ended) => finished(ended),
        Err(_) => {
            serving.abort();
            Ok(())
        }
    }
}

type Ended = Result<Result<(), tonic::transport::Error>, tokio::task::JoinError>;

fn finished(ended: Ended) -> Result<(), Error> {
    match ended {
        Ok(result) => Ok(result?),
        Err(panic) => {
            tracing::error!(%panic, "the transport's task ended");
            Ok(())
        }
    }
}

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    health.set_service_status("", status).await;
    for service in ["resetd.v1.ResetService", "resetd.v1.OperationService"] {
        health.set_service_status(service, status).await;
    }
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

/// Opens the journal and the targets. A policy that does not fit stops the
/// server; a database that cannot be reached makes its target unavailable
/// until it can.
async fn engine(config: &Config) -> Result<std::sync::Arc<Engine>, Error> {
    let mut targets = Vec::new();
    for target in &config.targets {
        let served = serve(target)?;
        verify(&served.target).await?;
        targets.push(served);
    }
    let place = place(&config.journal);
    let journal = Journal::open(&place, ServerId::new(), crate::engine::now()).await?;
    let engine = Engine::new(targets, journal, config.keep, rpc::reason);
    if let Err(error) = engine.recover().await {
        tracing::error!(%error, "operations of an earlier server were not ended");
    }
    engine.keep_house();
    Ok(engine)
}

/// Where the journal of a configuration is.
#[must_use]
pub fn place(config: &JournalConfig) -> journal::Place {
    match config {
        JournalConfig::File(path) => journal::Place::Sqlite(path.clone()),
        JournalConfig::Server(address) => journal::Place::Postgres {
            host: address.host().unwrap_or_default().to_owned(),
            port: address.port().unwrap_or_default(),
            user: address.user().map_or_else(user_name, str::to_owned),
            password: address.password().map(|p| p.expose().to_owned()),
            database: address.database().to_owned(),
            tls: address.tls(),
        },
    }
}

async fn verify(target: &Target) -> Result<(), Error> {
    if let Err(refused) = guard::precheck(target.setting(), crate::engine::now()) {
        tracing::warn!(target = target.name(), %refused, "target is not connected to");
        return Ok(());
    }
    match target.model().await {
        Ok(_) => Ok(()),
        Err(error @ target::Error::Policy { .. }) => Err(Error::Policy(error)),
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(target = target.name(), %error, source, "target is unavailable for now");
            Ok(())
        }
    }
}

/// A target as it is served.
///
/// # Errors
///
/// When its product is not served or its policy's test domains are none.
pub fn serve(config: &TargetConfig) -> Result<Served, Error> {
    let domains =
        TestDomains::new(&config.policy.users.test_domains).map_err(|source| Error::Domain {
            target: config.name.clone(),
            source,
        })?;
    let mut rules = config.policy.file_rules();
    if let Some(rule) = rules.find(|rule| !config.roots.contains_key(&rule.root)) {
        return Err(Error::Root {
            target: config.name.clone(),
            root: rule.root.clone(),
        });
    }
    let hosts = config.redis.iter().flat_map(RedisSettings::hosts);
    for host in hosts {
        check_names(Some(host), config.address.database(), &config.names).map_err(|denied| {
            Error::Redis {
                target: config.name.clone(),
                denied: Box::new(denied),
            }
        })?;
    }
    let setting = Setting {
        target: config.name.clone(),
        environment: config.environment.clone(),
        extra_environments: config.extra_environments.clone(),
        variables: config.variables.clone(),
        host: config.address.host().map(str::to_owned),
        database: config.address.database().to_owned(),
        names: config.names.clone(),
    };
    let credentials = credentials(&config.address);
    let target = Target::new(setting, config.policy.clone(), credentials);
    let seeds = seeds(&target, config).map_err(|source| Error::Seed {
        target: config.name.clone(),
        source,
    })?;
    Ok(Served {
        target,
        seeds,
        effects: Effects::new(config.redis.clone(), config.roots.clone()),
        domains,
        limits: config.limits,
        bulk_limits: config.bulk_limits,
    })
}

fn seeds(target: &Target, config: &TargetConfig) -> Result<Seeds, SeedError> {
    let files = config.seeds.files.iter();
    let files: Result<_, _> = files.map(|(name, text)| target.seed(name, text)).collect();
    Seeds::new(files?, config.seeds.values.clone())
}

fn credentials(address: &Address) -> Credentials {
    match address.engine() {
        Product::Sqlite => Credentials::Sqlite {
            path: Path::new(address.database()).to_owned(),
            create: false,
        },
        Product::Postgres => Credentials::Postgres {
            host: address.host().unwrap_or_default().to_owned(),
            port: address.port().unwrap_or_default(),
            user: address.user().map_or_else(user_name, str::to_owned),
            password: address.password().map(|p| p.expose().to_owned()),
            database: address.database().to_owned(),
            tls: address.tls(),
        },
        Product::MySql => Credentials::MySql {
            host: address.host().unwrap_or_default().to_owned(),
            port: address.port().unwrap_or_default(),
            user: address.user().map_or_else(user_name, str::to_owned),
            password: address.password().map(|p| p.expose().to_owned()),
            database: address.database().to_owned(),
            tls: address.tls(),
        },
    }
}
