//! A real server in this process, on a free port and a demo database of its
//! own, that has to end clean.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr as _,
    time::{Duration, Instant},
};

use resetd::{
    access::Role,
    config::{Config, Variables},
    demo::Demo,
    server,
};
use sqlx::{
    AssertSqlSafe, Connection as _, Row as _,
    sqlite::{SqliteConnectOptions, SqliteConnection},
};
use tempfile::TempDir;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::{JoinHandle, block_in_place},
};
use tonic::transport::Channel;

use crate::{
    caller::Caller,
    dump::Dump,
    journal::{self, Record},
};

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long the end of an answered operation may take to be written.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Waits for something that happens elsewhere, such as in another process.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        ticks.tick().await;
    }
}

/// A server on a demo database.
pub struct Server {
    pub address: SocketAddr,
    pub data: Data,
    secrets: BTreeMap<String, String>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<Result<(), server::Error>>>,
    /// Last, so that it goes when everything else has ended.
    _folder: TempDir,
}

/// The files of a server.
#[derive(Clone)]
pub struct Data {
    pub folder: PathBuf,
    pub database: PathBuf,
    pub journal: PathBuf,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A server whose configuration is the demo's but for this change.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::prepared(change, async |_| {}).await
    }

    /// A server whose database was changed before it started.
    pub async fn prepared(
        change: impl FnOnce(&mut Config),
        prepare: impl AsyncFnOnce(&Data),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let variables = Variables::default();
        let demo = Demo::make(folder.path(), address, &variables);
        let demo = demo.await.unwrap();
        let mut config = demo.config.clone();
        change(&mut config);
        let data = Data::of(folder.path());
        prepare(&data).await;
        let (stop, stopped) = oneshot::channel::<()>();
        let (announce, ready) = oneshot::channel();
        let serving = tokio::spawn(Box::pin(async move {
            let stopped = async { drop(stopped.await) };
            server::run(config, listener, stopped, || announce.send(()).unwrap()).await
        }));
        if ready.await.is_err() {
            panic!("the server did not start: {:?}", serving.await);
        }
        demo.announce(address).unwrap();
        Self {
            address,
            secrets: data.secrets(),
            data,
            stop: Some(stop),
            serving: Some(serving),
            _folder: folder,
        }
    }

    pub fn token(&self, role: Role) -> &str {
        &self.secrets[&role.to_string()]
    }

    pub async fn channel(&self) -> Channel {
        channel(self.address).await
    }

    /// A caller of this role, on a connection of its own.
    pub async fn caller(&self, role: Role) -> Caller {
        Caller::new(self.channel().await, self.token(role))
    }

    /// A caller with this secret, on a connection of its own.
    pub async fn holder(&self, secret: &str) -> Caller {
        Caller::new(self.channel().await, secret)
    }

    /// Tells the server to stop, without waiting for it.
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits for the server's end.
    pub async fn ended(&mut self) {
        let serving = self.serving.take().expect("it ended before");
        let ended = tokio::time::timeout(PATIENCE, serving).await;
        ended
            .expect("the server does not end")
            .expect("the server panicked")
            .expect("the server failed");
    }
}

pub async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            return;
        }
        block_in_place(|| {
            Handle::current().block_on(async {
                if self.serving.is_some() {
                    self.ended().await;
                }
                self.data.assert_clean().await;
            });
        });
    }
}

impl Data {
    /// A demo's files in a folder of their own, without a server.
    pub async fn make() -> (TempDir, Self) {
        let folder = tempfile::tempdir().unwrap();
        let address = "127.0.0.1:1".parse().unwrap();
        Demo::make(folder.path(), address, &Variables::default())
            .await
            .unwrap();
        let data = Self::of(folder.path());
        (folder, data)
    }

    /// The files of the demo in this folder.
    pub fn of(folder: &Path) -> Self {
        let folder = folder.canonicalize().unwrap();
        Self {
            database: folder.join("demo.db"),
            journal: folder.join("journal.db"),
            folder,
        }
    }

    /// The demo's secrets by role, from `demo.json`.
    pub fn secrets(&self) -> BTreeMap<String, String> {
        let text = std::fs::read_to_string(self.folder.join("demo.json")).unwrap();
        let demo: serde_json::Value = serde_json::from_str(&text).unwrap();
        serde_json::from_value(demo["tokens"].clone()).unwrap()
    }

    /// A connection of the test's own to the target.
    pub async fn connect(&self) -> SqliteConnection {
        connect(&self.database).await
    }

    /// Runs statements in the target, as its application would.
    pub async fn run(&self, sql: &str) {
        let mut connection = self.connect().await;
        run(&mut connection, sql).await;
        connection.close().await.unwrap();
    }

    /// The one number that a query of the target answers.
    pub async fn number(&self, sql: &str) -> i64 {
        let mut connection = self.connect().await;
        let row = sqlx::query(AssertSqlSafe(sql.to_owned()));
        let row = row.fetch_one(&mut connection).await.unwrap();
        let number = row.get(0);
        connection.close().await.unwrap();
        number
    }

    /// The texts of a query's first column.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let mut connection = self.connect().await;
        let rows = sqlx::query(AssertSqlSafe(sql.to_owned()));
        let rows = rows.fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Everything in the target.
    pub async fn dump(&self) -> Dump {
        Dump::of(&self.database).await
    }

    /// Everything in the journal. An end that the target's proof says as well
    /// is written within milliseconds after the answer, so that a moment is
    /// waited for whatever has none.
    pub async fn records(&self) -> Vec<Record> {
        let begun = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        loop {
            ticks.tick().await;
            let records = journal::read(&self.journal).await;
            if journal::unfinished(&records).is_empty() || begun.elapsed() > LAST_WORDS {
                return records;
            }
        }
    }

    /// Keeps every other writer waiting until it is let go.
    pub async fn hold(&self) -> Hold {
        let mut connection = self.connect().await;
        run(&mut connection, "BEGIN IMMEDIATE").await;
        Hold(connection)
    }

    /// Whether somebody is writing right now.
    pub async fn is_being_written(&self) -> bool {
        let options = options(&self.database).busy_timeout(Duration::ZERO);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let begun = sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut connection)
            .await;
        connection.close().await.unwrap();
        begun.is_err()
    }

    /// What must hold after a clean end: the journal knows how everything
    /// ended, and the database is whole.
    pub async fn assert_clean(&self) {
        let records = self.records().await;
        let open = journal::unfinished(&records);
        assert!(open.is_empty(), "intents without an outcome: {open:?}");
        self.assert_whole().await;
    }

    /// What must hold whenever nobody is working: nobody is in a transaction,
    /// nothing dangles, and of ours there are three tables and no more.
    pub async fn assert_whole(&self) {
        assert!(!self.is_being_written().await, "a transaction is open");
        let ours = self
            .texts("SELECT name FROM sqlite_schema WHERE name LIKE 'resetd%' AND type = 'table' ORDER BY 1")
            .await;
        assert_eq!(ours, ["resetd_commit", "resetd_effect", "resetd_marker"]);
        let broken = self
            .texts("SELECT \"table\" FROM pragma_foreign_key_check")
            .await;
        assert!(broken.is_empty(), "dangling rows in {broken:?}");
        let whole = self.texts("PRAGMA integrity_check").await;
        assert_eq!(whole, ["ok"]);
    }
}

/// The right to write to a target, taken by a test.
pub struct Hold(SqliteConnection);

impl Hold {
    pub async fn release(mut self) {
        run(&mut self.0, "ROLLBACK").await;
        self.0.close().await.unwrap();
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::from_str("sqlite:")
        .unwrap()
        .filename(path)
}

pub async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&options(path))
        .await
        .unwrap()
}

pub async fn run(connection: &mut SqliteConnection, sql: &str) {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    sql.execute(connection).await.unwrap();
}
