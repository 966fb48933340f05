//! A database with users, what belongs to them in Redis and on disk, and the
//! real server on it, as a process that can be killed.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use resetd::{
    admin::token,
    proto::{
        CreateTestUserRequest, GetStatusRequest, ResetUserRequest, ResetUserResponse,
        operation_service_client::OperationServiceClient, reset_service_client::ResetServiceClient,
        reset_user_request::User,
    },
};
use sqlx::{Connection as _, Row as _, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tonic::{Request, Status, transport::Channel};

use crate::{mariadb::mariadb, postgres, redis::Redis};

/// What is under way is waited for no longer than this.
pub const PATIENCE: Duration = Duration::from_secs(30);

const SECRET: &str = "rt_faults";

/// The databases that the suite runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
    /// Its journal is a file.
    MariaDb,
}

/// Everything of one case.
pub struct World {
    pub kind: Kind,
    pub folder: TempDir,
    pub redis: Redis,
    name: String,
}

/// An application's connection.
#[allow(dead_code, reason = "it is held, not asked")]
pub enum Application {
    Postgres(sqlx::PgConnection),
    MariaDb(sqlx::MySqlConnection),
}

/// A running server.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    pub points: PathBuf,
}

/// What there is of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traces {
    pub rows: i64,
    pub keys: i64,
    pub files: i64,
}

/// What every user of the seed has: rows, keys and files.
pub const WHOLE: Traces = Traces {
    rows: 5,
    keys: 6,
    files: 3,
};

pub const GONE: Traces = Traces {
    rows: 0,
    keys: 0,
    files: 0,
};

/// Users of the seed that can be reset.
pub const USERS: usize = 6;

const SCHEMA: &str = "
    CREATE TABLE users (id VARCHAR(64) PRIMARY KEY, email VARCHAR(200) NOT NULL UNIQUE);
    CREATE TABLE sessions (id VARCHAR(64) PRIMARY KEY, user_id VARCHAR(64) NOT NULL REFERENCES users (id));
    CREATE TABLE posts (id VARCHAR(64) PRIMARY KEY, user_id VARCHAR(64) NOT NULL REFERENCES users (id),
        path VARCHAR(200));
    CREATE TABLE carts (id VARCHAR(64) PRIMARY KEY, owner_id VARCHAR(64) REFERENCES users (id));
    CREATE INDEX sessions_user ON sessions (user_id);
    CREATE INDEX posts_user ON posts (user_id);
    CREATE INDEX carts_owner ON carts (owner_id)";

const POLICY: &str = r#"
[users]
table = "users"
email = "email"
test_domains = ["test.com"]
[users.create]
key = "uuid4"
[levels.user_cascade]
redis = [
    { key = "session:{id}" },
    { members_of = "sessions:{id}", key = "session:{member}" },
    { pattern = "cache:{id}:*" },
]
files = [
    { root = "storage", directory = "images/user_{id}" },
    { root = "storage", column = "posts.path" },
]
[orphans]
carts = "owner_id IS NULL"
"#;

pub fn email(user: &str) -> String {
    format!("{user}@test.com")
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        ticks.tick().await;
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl World {
    pub async fn new(kind: Kind) -> Self {
        Self::with(kind, Redis::shared().await).await
    }

    pub async fn with(kind: Kind, redis: Redis) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let world = Self {
            kind,
            folder: tempfile::tempdir().unwrap(),
            redis,
            name: format!("w{number}"),
        };
        world.make().await;
        world
    }

    async fn make(&self) {
        if self.kind == Kind::MariaDb {
            let mut superuser = mariadb().superuser(None).await;
            let sql = format!("CREATE DATABASE {}", self.name);
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                .execute(&mut superuser)
                .await
                .unwrap();
            superuser.close().await.unwrap();
        }
        if self.kind == Kind::Postgres {
            let mut superuser = postgres::server().superuser(None).await;
            for name in [self.name.clone(), self.journal_name()] {
                let sql = format!("CREATE DATABASE {name}");
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                    .execute(&mut superuser)
                    .await
                    .unwrap();
            }
            superuser.close().await.unwrap();
        }
        self.run(SCHEMA).await;
        std::fs::create_dir_all(self.storage().join("posts")).unwrap();
        for number in 0..USERS {
            self.seed(&self.user(number), "test.com").await;
        }
        self.seed(&self.stranger(), "corp.org").await;
        std::fs::write(self.folder.path().join("canary"), "stays").unwrap();
        std::fs::write(self.folder.path().join("policy.toml"), POLICY).unwrap();
        self.configure(self.redis.url.as_str(), self.database_port());
        let mut arm = self.command("arm");
        let armed = arm.args(["--database", &self.database()]).output().unwrap();
        assert!(armed.status.success(), "{armed:?}");
    }

    /// Writes the configuration: Redis there, the database behind this port.
    pub fn configure(&self, redis: &str, port: u16) {
        let (url, journal) = match self.kind {
            Kind::Sqlite => (
                format!("sqlite:{}", self.folder.path().join("app.db").display()),
                "journal.db".to_owned(),
            ),
            Kind::MariaDb => (
                format!("mysql://root@127.0.0.1:{port}/{}", self.name),
                "journal.db".to_owned(),
            ),
            Kind::Postgres => (
                format!("postgresql://postgres@127.0.0.1:{port}/{}", self.name),
                format!(
                    "postgresql://postgres@127.0.0.1:{}/{}",
                    postgres::server().port,
                    self.journal_name()
                ),
            ),
        };
        let digest = hex::encode(token::digest(SECRET));
        let text = format!(
            "journal = {journal:?}\ndrain_seconds = 1\n[[targets]]\nname = \"app\"\n\
             environment = \"test\"\nurl = {url:?}\npolicy = \"policy.toml\"\n\
             [targets.redis]\nurl = {redis:?}\n[targets.roots.storage]\npath = \"storage\"\n\
             [[tokens]]\nsubject = \"ci\"\nrole = \"superuser\"\nsha256 = \"{digest}\"\n"
        );
        std::fs::write(self.folder.path().join("resetd.toml"), text).unwrap();
    }

    pub fn database_port(&self) -> u16 {
        match self.kind {
            Kind::Sqlite => 0,
            Kind::MariaDb => mariadb().port,
            Kind::Postgres => postgres::server().port,
        }
    }

    /// A user of the seed. Worlds share a Redis, so each has its own names.
    pub fn user(&self, number: usize) -> String {
        format!("{}u{number}", self.name)
    }

    fn stranger(&self) -> String {
        format!("{}stranger", self.name)
    }

    fn journal_name(&self) -> String {
        format!("{}_journal", self.name)
    }

    fn database(&self) -> String {
        match self.kind {
            Kind::Sqlite => "app.db".to_owned(),
            Kind::Postgres | Kind::MariaDb => self.name.clone(),
        }
    }

    pub fn storage(&self) -> PathBuf {
        self.folder.path().join("storage")
    }

    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_resetd"));
        command.env_clear().arg(name).arg("--config");
        command.arg(self.folder.path().join("resetd.toml"));
        command.current_dir(self.folder.path());
        command
    }

    /// A user with all that belongs to them.
    pub async fn seed(&self, user: &str, domain: &str) {
        self.run(&format!(
            "INSERT INTO users VALUES ('{user}', '{user}@{domain}');
             INSERT INTO sessions VALUES ('s1-{user}', '{user}'), ('s2-{user}', '{user}');
             INSERT INTO posts VALUES ('p1-{user}', '{user}', 'posts/{user}-1.png'),
                ('p2-{user}', '{user}', 'posts/{user}-2.png');
             INSERT INTO carts VALUES ('c-{user}', '{user}')"
        ))
        .await;
        let storage = self.storage();
        let own = storage.join("images").join(format!("user_{user}"));
        std::fs::create_dir_all(&own).unwrap();
        for file in [
            own.join("a.png"),
            storage.join(format!("posts/{user}-1.png")),
            storage.join(format!("posts/{user}-2.png")),
        ] {
            std::fs::write(file, user).unwrap();
        }
        self.redis.seed(user).await;
    }

    /// Runs statements on the target.
    pub async fn run(&self, sql: &str) {
        let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()));
        match self.kind {
            Kind::Sqlite => {
                let mut connection = self.sqlite("app.db").await;
                sql.execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Kind::MariaDb => {
                let mut connection = mariadb().superuser(Some(&self.name)).await;
                sql.execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Kind::Postgres => {
                let mut connection = postgres::server().superuser(Some(&self.name)).await;
                sql.execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    async fn sqlite(&self, file: &str) -> sqlx::SqliteConnection {
        let options = SqliteConnectOptions::new()
            .filename(self.folder.path().join(file))
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(PATIENCE);
        sqlx::SqliteConnection::connect_with(&options)
            .await
            .unwrap()
    }

    /// One number of the target, or of the journal.
    pub async fn number(&self, sql: &str) -> i64 {
        if self.kind == Kind::MariaDb {
            let sql = sqlx::AssertSqlSafe(sql.to_owned());
            let mut connection = mariadb().superuser(Some(&self.name)).await;
            let row = sqlx::query(sql).fetch_one(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            return row.get(0);
        }
        self.ask(&self.name, "app.db", sql).await
    }

    pub async fn recorded(&self, sql: &str) -> i64 {
        self.ask(&self.journal_name(), "journal.db", sql).await
    }

    async fn ask(&self, database: &str, file: &str, sql: &str) -> i64 {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        match self.kind {
            Kind::Sqlite | Kind::MariaDb => {
                let mut connection = self.sqlite(file).await;
                let row = sqlx::query(sql).fetch_one(&mut connection).await.unwrap();
                connection.close().await.unwrap();
                row.get(0)
            }
            Kind::Postgres => {
                let options: PgConnectOptions = postgres::server()
                    .role("postgres", database)
                    .options([("search_path", "public,resetd,resetd_journal")]);
                let mut connection = sqlx::PgConnection::connect_with(&options).await.unwrap();
                let row = sqlx::query(sql).fetch_one(&mut connection).await.unwrap();
                connection.close().await.unwrap();
                row.get(0)
            }
        }
    }

    /// Runs statements on the journal, behind the server's back.
    pub async fn write_journal(&self, sql: &str) {
        let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()));
        match self.kind {
            Kind::Sqlite | Kind::MariaDb => {
                let mut connection = self.sqlite("journal.db").await;
                sql.execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Kind::Postgres => {
                let name = self.journal_name();
                let options: PgConnectOptions = postgres::server()
                    .role("postgres", &name)
                    .options([("search_path", "resetd_journal")]);
                let mut connection = sqlx::PgConnection::connect_with(&options).await.unwrap();
                sql.execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    /// An application that has done this on the target, and is in the midst of
    /// its transaction until it is dropped.
    pub async fn application(&self, sql: &str) -> Application {
        let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()));
        match self.kind {
            Kind::MariaDb => {
                let mut connection = mariadb().superuser(Some(&self.name)).await;
                sql.execute(&mut connection).await.unwrap();
                Application::MariaDb(connection)
            }
            Kind::Postgres => {
                let mut connection = postgres::server().superuser(Some(&self.name)).await;
                sql.execute(&mut connection).await.unwrap();
                Application::Postgres(connection)
            }
            Kind::Sqlite => panic!("an application is in no transaction of its own there"),
        }
    }

    /// Ends the connections of servers that are in a transaction.
    pub async fn end_transactions(&self) {
        if self.kind == Kind::Postgres {
            let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                         WHERE datname = current_database() AND application_name = 'resetd' \
                         AND state LIKE 'idle in transaction%'";
            self.run(ended).await;
            return;
        }
        let mut connection = mariadb().superuser(Some(&self.name)).await;
        let open = "SELECT CAST(x.trx_mysql_thread_id AS SIGNED) \
                    FROM information_schema.INNODB_TRX AS x \
                    JOIN information_schema.PROCESSLIST AS p ON p.ID = x.trx_mysql_thread_id \
                    WHERE p.DB = DATABASE()";
        // The list is renewed only now and then.
        let begun = Instant::now();
        let rows = loop {
            let rows = sqlx::query(open).fetch_all(&mut connection).await.unwrap();
            if !rows.is_empty() {
                break rows;
            }
            assert!(begun.elapsed() < PATIENCE, "nobody is in a transaction");
            tokio::time::sleep(Duration::from_millis(150)).await;
        };
        for row in rows {
            let id: i64 = row.get(0);
            let kill = sqlx::AssertSqlSafe(format!("KILL {id}"));
            sqlx::raw_sql(kill).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
    }

    /// The name of one of our tables in the target.
    pub fn own(&self, table: &str) -> String {
        match self.kind {
            Kind::Sqlite | Kind::MariaDb => format!("resetd_{table}"),
            Kind::Postgres => format!("resetd.{table}"),
        }
    }

    /// What there is of a user.
    pub async fn traces(&self, user: &str) -> Traces {
        let sql = format!(
            "SELECT (SELECT count(*) FROM users WHERE id = '{user}') \
             + (SELECT count(*) FROM sessions WHERE user_id = '{user}') \
             + (SELECT count(*) FROM posts WHERE user_id = '{user}')"
        );
        let storage = self.storage();
        let files = [
            storage.join(format!("images/user_{user}/a.png")),
            storage.join(format!("posts/{user}-1.png")),
            storage.join(format!("posts/{user}-2.png")),
        ];
        Traces {
            rows: self.number(&sql).await,
            keys: self.redis.count(user).await,
            files: files.iter().filter(|file| file.exists()).count() as i64,
        }
    }

    /// Starts a server.
    pub async fn start(&self) -> Server {
        self.start_as("points").await
    }

    /// Starts a server with a folder of its own for fail points.
    pub async fn start_as(&self, points: &str) -> Server {
        let points = self.folder.path().join(points);
        std::fs::create_dir_all(&points).unwrap();
        let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let child = self
            .command("serve")
            .args(["--listen", &address.to_string()])
            .env("RESETD_FAILPOINTS", &points)
            .env("RESETD_LOG", "info")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Server {
            child,
            address,
            points,
        };
        let begun = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("the server ended with {status}: {}", self.log());
            }
            assert!(begun.elapsed() < PATIENCE, "{}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The port is taken before everything is ready: an answer says so.
        server.pending().await;
        server
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits until nothing is left to be done, and looks at everything: no
    /// operation is open, none was applied twice, the journal is whole, and
    /// nobody else's data was touched.
    pub async fn settled(&self) {
        let open = "SELECT count(*) FROM operation \
                    WHERE state IN ('open', 'in_doubt', 'effects_pending')";
        let (begun, mut ticks) = (
            Instant::now(),
            tokio::time::interval(Duration::from_millis(20)),
        );
        while self.recorded(open).await > 0 {
            assert!(
                begun.elapsed() < PATIENCE,
                "operations are left: {}",
                self.log()
            );
            ticks.tick().await;
        }
        let pending = format!(
            "SELECT count(*) FROM {} WHERE state <> 'done'",
            self.own("effect")
        );
        assert_eq!(self.number(&pending).await, 0, "{}", self.log());
        self.whole().await;
    }

    /// Waits until as many sweeps have ended, and everything else. A sweep is
    /// written down only after the reply, so that nothing may be open yet.
    pub async fn swept(&self, sweeps: i64) {
        let ended = "SELECT count(*) FROM operation \
                     WHERE action = 'SweepOrphans' AND state = 'complete'";
        until("the sweep", async || self.recorded(ended).await >= sweeps).await;
        self.settled().await;
    }

    /// Nothing was applied twice, the journal is whole, and nobody else's data
    /// was touched.
    pub async fn whole(&self) {
        let twice = "SELECT count(*) FROM (SELECT operation_id FROM record \
                     WHERE kind = 'outcome' GROUP BY operation_id HAVING count(*) > 1) AS t";
        assert_eq!(self.recorded(twice).await, 0, "an operation ended twice");
        let verified = self.journal("verify");
        assert!(verified.status.success(), "{verified:?}");
        assert_eq!(self.traces(&self.stranger()).await, WHOLE);
        let canary = std::fs::read_to_string(self.folder.path().join("canary"));
        assert_eq!(canary.unwrap(), "stays");
    }

    pub fn journal(&self, what: &str) -> std::process::Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_resetd"));
        command.env_clear().args(["journal", what, "--config"]);
        command.arg(self.folder.path().join("resetd.toml"));
        command.output().unwrap()
    }
}

impl Server {
    /// Has something happen at a fail point, once.
    pub fn order(&self, point: &str, order: &str) {
        std::fs::write(self.points.join(point), order).unwrap();
    }

    fn taken(&self, point: &str) -> PathBuf {
        self.points.join(format!("{point}.reached"))
    }

    /// Waits until somebody stops at a fail point.
    pub async fn reached(&self, point: &str) {
        let taken = self.taken(point);
        until(point, async || taken.exists()).await;
    }

    pub fn is_reached(&self, point: &str) -> bool {
        self.taken(point).exists()
    }

    /// Lets whoever stopped there go on.
    pub fn release(&self, point: &str) {
        std::fs::remove_file(self.taken(point)).unwrap();
    }

    /// Kills the server, as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.forget_orders();
    }

    fn forget_orders(&self) {
        for entry in std::fs::read_dir(&self.points).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }

    /// Tells the server to stop, and waits for its end.
    pub async fn terminate(&mut self) -> bool {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(told.success());
        let mut status = None;
        until("the server's end", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap().success()
    }

    pub async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }

    pub async fn resets(&self) -> ResetServiceClient<Channel> {
        ResetServiceClient::new(self.channel().await)
    }

    pub async fn operations(&self) -> OperationServiceClient<Channel> {
        OperationServiceClient::new(self.channel().await)
    }

    pub async fn reset(&self, user: &str) -> Result<ResetUserResponse, Status> {
        self.send(by_email(user)).await
    }

    pub async fn send(&self, message: ResetUserRequest) -> Result<ResetUserResponse, Status> {
        let mut client = self.resets().await;
        let answer = client.reset_user(request(message)).await;
        answer.map(tonic::Response::into_inner)
    }

    pub async fn create(&self, user: &str) -> Result<String, Status> {
        let mut client = self.resets().await;
        let message = CreateTestUserRequest {
            email: email(user),
            ..CreateTestUserRequest::default()
        };
        let answer = client.create_test_user(request(message)).await?;
        Ok(answer.into_inner().user.unwrap().id)
    }

    pub async fn pending(&self) -> (i64, i64) {
        let mut client = self.resets().await;
        let answer = client
            .get_status(request(GetStatusRequest::default()))
            .await;
        let elsewhere = answer.unwrap().into_inner().elsewhere.unwrap();
        (
            elsewhere.pending_effects,
            elsewhere.effects_needing_attention,
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended is gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub fn by_email(user: &str) -> ResetUserRequest {
    ResetUserRequest {
        user: Some(User::Email(email(user))),
        ..ResetUserRequest::default()
    }
}

/// A message with the suite's token.
pub fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let header = format!("Bearer {SECRET}").parse().unwrap();
    request.metadata_mut().insert("authorization", header);
    request
}

/// The reason of an error.
pub fn reason(status: &Status) -> String {
    use tonic_types::StatusExt as _;
    let details = status.get_error_details();
    let info = details.error_info();
    info.map_or_else(|| format!("{status:?}"), |info| info.reason.clone())
}

/// Every file below a folder with its bytes, for comparing.
pub fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.symlink_metadata().unwrap().is_dir() {
                true => folders.push(path),
                false => {
                    let bytes = std::fs::read(&path).unwrap_or_default();
                    found.push((path, bytes));
                }
            }
        }
    }
    found.sort();
    found
}
