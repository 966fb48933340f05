//! One of the systems, served: a database and a Redis of the case's own, the
//! system's policy, and a real server on a free port with a caller for each
//! role.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use resetd::{
    access::Role,
    admin::{arm, token},
    client::{Client, Error, Events, Options},
    config::{Config, Variables},
    guard::environment,
    proto::{ResetResult, event::Kind as Event},
    server,
};
use tempfile::TempDir;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::{JoinHandle, block_in_place},
};
use tonic::Code;

use crate::{
    connection::Connection,
    place::{self, Database, Kind, System},
};

/// The roles that have a token.
const ROLES: [Role; 4] = [Role::Viewer, Role::Tester, Role::Admin, Role::Superuser];

/// Everything in a database.
pub type Dump = BTreeMap<String, Vec<String>>;

/// How a system is served, before it is.
pub struct Setup {
    /// The target's declared environment.
    pub environment: String,
    /// Where the target is, when it is not the case's database.
    pub url: Option<String>,
    /// The policy's text.
    pub policy: String,
    /// Further lines of the target's configuration.
    pub target: String,
    /// Further lines of the configuration's head.
    pub head: String,
    /// What the server finds in its environment.
    pub variables: Vec<(String, String)>,
    /// The Redis that the target has, if it has one.
    pub redis: Option<String>,
    /// Directories of files, by name, that are made below the case's folder.
    pub roots: Vec<&'static str>,
    /// Whether the database is armed.
    pub armed: Armed,
}

/// Whether a database says itself that it may be reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Armed {
    Yes,
    No,
}

/// A system that is served.
pub struct World {
    pub database: Database,
    pub address: SocketAddr,
    secret: String,
    /// Where the case's files are, the roots' directories among them.
    pub folder: PathBuf,
    redis: Option<redis::Connection>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<Result<(), server::Error>>>,
    _folder: TempDir,
}

impl World {
    /// The system as its folder describes it.
    pub async fn of(system: System, kind: Kind) -> Self {
        Self::with(system, kind, |_| {}).await
    }

    /// The system, but for this change.
    pub async fn with(system: System, kind: Kind, change: impl FnOnce(&mut Setup)) -> Self {
        Self::prepared(system, kind, change, async |_, _| {}).await
    }

    /// The system, its database and its folder changed before it is served.
    pub async fn prepared(
        system: System,
        kind: Kind,
        change: impl FnOnce(&mut Setup),
        prepare: impl AsyncFnOnce(&Database, &Path),
    ) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().canonicalize().unwrap();
        let database = Database::copy_of(system, kind, &folder).await;
        let (url, connection) = place::redis();
        let mut setup = Setup {
            environment: "test".to_owned(),
            url: None,
            policy: fs::read_to_string(policy_of(system)).unwrap(),
            target: String::new(),
            head: String::new(),
            variables: Vec::new(),
            redis: Some(url),
            roots: Vec::new(),
            armed: Armed::Yes,
        };
        change(&mut setup);
        setup.lay_out(system, &folder);
        prepare(&database, &folder).await;
        let secret = token::secret().unwrap();
        if setup.armed == Armed::Yes {
            // Where a case says what is not allowed, the database was armed
            // before that.
            let allowed = environment::check_environment(Some(&setup.environment), &[], &[]);
            let armed = allowed.map_or("test", |()| setup.environment.as_str());
            let config = setup.configure(&database, &folder, &secret, armed);
            let request = arm::Request {
                target: Some("system".to_owned()),
                database: Some(database.called()),
                days: 1,
                protect: false,
            };
            arm::run(&config.unwrap(), &request).await.unwrap();
        }
        let environment = setup.environment.clone();
        let config = setup.configure(&database, &folder, &secret, &environment);
        let (address, stop, serving) = serve(config.unwrap()).await;
        Self {
            database,
            address,
            secret,
            folder,
            redis: setup.redis.is_some().then_some(connection),
            stop: Some(stop),
            serving: Some(serving),
            _folder: temporary,
        }
    }

    /// The token of a role.
    pub fn token(&self, role: Role) -> String {
        format!("{role}-{}", self.secret)
    }

    /// A caller of this role.
    pub async fn caller(&self, role: Role) -> Client {
        self.holder(Some(self.token(role))).await
    }

    /// A caller with this token, or with none.
    pub async fn holder(&self, token: Option<String>) -> Client {
        let options = Options {
            address: self.address.to_string(),
            token,
            timeout: Some(Duration::from_secs(120)),
        };
        Client::connect(options).await.unwrap()
    }

    pub async fn tester(&self) -> Client {
        self.caller(Role::Tester).await
    }

    pub async fn admin(&self) -> Client {
        self.caller(Role::Admin).await
    }

    pub async fn superuser(&self) -> Client {
        self.caller(Role::Superuser).await
    }

    /// Runs statements as the application would.
    pub async fn sql(&self, sql: &str) {
        let mut connection = self.database.connect().await;
        let done = connection.run(sql).await;
        done.unwrap_or_else(|error| panic!("{error} in {sql}"));
        connection.close().await;
    }

    /// What a query answers: columns by `|`, rows by a space. The columns have
    /// to be text.
    pub async fn ask(&self, sql: &str) -> String {
        let mut connection = self.database.superuser().await;
        let rows = connection.rows(sql).await;
        let rows = rows.unwrap_or_else(|error| panic!("{error} in {sql}"));
        connection.close().await;
        let rows: Vec<String> = rows.into_iter().map(|row| row.join("|")).collect();
        rows.join(" ")
    }

    /// How many rows of a table fulfil a condition.
    pub async fn count(&self, table: &str, condition: &str) -> i64 {
        let text = match self.database.kind {
            Kind::MariaDb => "CHAR",
            Kind::Sqlite | Kind::Postgres => "TEXT",
        };
        let sql = format!("SELECT CAST(count(*) AS {text}) FROM {table} WHERE {condition}");
        self.ask(&sql).await.parse().unwrap()
    }

    /// Everything in the database, and where its sequences stand.
    pub async fn dump(&self) -> Dump {
        let mut connection: Connection = self.database.superuser().await;
        let dump = connection.dump().await;
        connection.close().await;
        dump
    }

    /// The case's Redis.
    pub fn redis(&mut self) -> &mut redis::Connection {
        self.redis.as_mut().expect("a Redis")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.stop.take());
        let Some(serving) = self.serving.take() else {
            return;
        };
        if std::thread::panicking() {
            return;
        }
        let ended = block_in_place(|| {
            let ended = tokio::time::timeout(Duration::from_secs(60), serving);
            Handle::current().block_on(ended)
        });
        let ended = ended.expect("the server does not end");
        ended.unwrap().expect("the server failed");
    }
}

impl Setup {
    /// Writes the policy, and copies what lies beside it.
    fn lay_out(&self, system: System, folder: &Path) {
        for entry in fs::read_dir(system.folder()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "sql") {
                fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
            }
        }
        fs::write(folder.join("policy.toml"), &self.policy).unwrap();
        for root in &self.roots {
            fs::create_dir_all(folder.join(root)).unwrap();
        }
    }

    /// The configuration, by way of its file.
    fn configure(
        &self,
        database: &Database,
        folder: &Path,
        secret: &str,
        environment: &str,
    ) -> Result<Config, resetd::config::Error> {
        let mut text = format!(
            "{}\n[[targets]]\nname = 'system'\nenvironment = '{environment}'\nurl = '{}'\n\
             policy = 'policy.toml'\n{}\n",
            self.head,
            self.url.clone().unwrap_or_else(|| database.url()),
            self.target,
        );
        if let Some(url) = &self.redis {
            writeln!(text, "[targets.redis]\nurl = '{url}'").unwrap();
        }
        for root in &self.roots {
            writeln!(text, "[targets.roots.{root}]\npath = '{root}'").unwrap();
        }
        for role in ROLES {
            let digest = hex::encode(token::digest(&format!("{role}-{secret}")));
            writeln!(
                text,
                "[[tokens]]\nsubject = 'the {role}'\nrole = '{role}'\nsha256 = '{digest}'"
            )
            .unwrap();
        }
        let path = folder.join("resetd.toml");
        fs::write(&path, text).unwrap();
        let variables: Variables = self.variables.iter().cloned().collect();
        Config::from_file(&path, &variables)
    }
}

fn policy_of(system: System) -> PathBuf {
    let own = system
        .variant
        .map(|variant| system.folder().join(format!("policy.{variant}.toml")));
    own.filter(|path| path.exists())
        .unwrap_or_else(|| system.folder().join("policy.toml"))
}

async fn serve(
    config: Config,
) -> (
    SocketAddr,
    oneshot::Sender<()>,
    JoinHandle<Result<(), server::Error>>,
) {
    let listener = server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let (announce, ready) = oneshot::channel();
    let serving = tokio::spawn(Box::pin(async move {
        let stopped = async { drop(stopped.await) };
        server::run(config, listener, stopped, || announce.send(()).unwrap()).await
    }));
    if ready.await.is_err() {
        panic!("the server did not start: {:?}", serving.await);
    }
    (address, stop, serving)
}

/// The result at the end of a stream of events.
pub async fn finished(events: Result<Events, Error>) -> Result<ResetResult, Error> {
    let mut events = events?;
    let mut result = None;
    while let Some(event) = events.next().await? {
        if let Some(Event::Finished(finished)) = event.kind {
            result = finished.result;
        }
    }
    Ok(result.expect("a stream ends with its result"))
}

/// The code and the reason of a refusal.
pub fn refusal<T: std::fmt::Debug>(answer: Result<T, Error>) -> (Code, String, String) {
    let error = answer.expect_err("it has to be refused");
    let reason = error.reason().unwrap_or_default().to_owned();
    (error.code(), reason, error.message())
}

/// What was deleted and restored by table, as in `orders -3, users *1`:
/// `-` deleted, `~` detached, `*` restored.
pub fn counts(result: &ResetResult) -> String {
    let mut counts: Vec<String> = Vec::new();
    for table in &result.tables {
        let parts = [
            ("-", table.deleted),
            ("~", table.detached),
            ("*", table.restored),
        ];
        let parts = parts.iter().filter(|(_, rows)| *rows > 0);
        let parts: String = parts.map(|(sign, rows)| format!(" {sign}{rows}")).collect();
        if !parts.is_empty() {
            counts.push(format!("{}{parts}", table.table));
        }
    }
    counts.sort();
    counts.join(", ")
}

/// The tables of a dump that are not as they were.
pub fn changed(before: &Dump, after: &Dump) -> Vec<String> {
    let tables = before.keys().chain(after.keys());
    let mut changed: Vec<String> = tables
        .filter(|table| before.get(*table) != after.get(*table))
        .cloned()
        .collect();
    changed.sort();
    changed.dedup();
    changed
}
