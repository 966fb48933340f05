//! A throwaway PostgreSQL server, and connections of our own to it.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _,
    postgres::PgConnectOptions,
};

/// The role that owns what is measured; no superuser.
pub const OWNER: &str = "bench_owner";

pub struct Postgres {
    _child: Child,
    pub port: u16,
    pub version: String,
}

impl Postgres {
    pub async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let port = port.unwrap().port();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/reset/postgres.sh");
        let mut child = Command::new("sh")
            .arg(script)
            .arg(programs().expect("PostgreSQL is missing: apt-get install postgresql"))
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready", "PostgreSQL does not start");
        let mut server = Self {
            _child: child,
            port,
            version: String::new(),
        };
        let mut superuser = server.superuser("postgres").await;
        superuser
            .run(&format!(
                "CREATE ROLE {OWNER} LOGIN; GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC"
            ))
            .await;
        server.version = superuser
            .text("SELECT current_setting('server_version')")
            .await;
        server
    }

    pub async fn superuser(&self, database: &str) -> Sql {
        self.connect("postgres", database).await
    }

    pub async fn owner(&self, database: &str) -> Sql {
        self.connect(OWNER, database).await
    }

    async fn connect(&self, role: &str, database: &str) -> Sql {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(role)
            .database(database);
        Sql(PgConnection::connect_with(&options).await.unwrap())
    }

    /// A new database with this in it, ready to be copied.
    pub async fn make(&self, database: &str, sql: &str) {
        let mut superuser = self.superuser("postgres").await;
        superuser
            .run(&format!("CREATE DATABASE {database} OWNER {OWNER}"))
            .await;
        let mut owner = self.owner(database).await;
        owner.run(sql).await;
        owner.run("ANALYZE").await;
    }

    /// A copy of a database, in place of an earlier one.
    pub async fn copy(&self, from: &str, to: &str) {
        let mut superuser = self.superuser("postgres").await;
        let drop = format!("DROP DATABASE IF EXISTS {to} WITH (FORCE)");
        superuser.run(&drop).await;
        let copy = format!("CREATE DATABASE {to} TEMPLATE {from} OWNER {OWNER} STRATEGY FILE_COPY");
        superuser.run(&copy).await;
    }
}

/// A connection that runs SQL as it is written.
pub struct Sql(pub PgConnection);

impl Sql {
    /// Runs statements, in one round trip.
    pub async fn run(&mut self, sql: &str) {
        let text = AssertSqlSafe(sql.to_owned());
        if let Err(error) = self.0.execute(sqlx::raw_sql(text)).await {
            panic!("{error} in {}", &sql[..sql.len().min(600)]);
        }
    }

    /// Runs a prepared statement.
    pub async fn prepared(&mut self, sql: &str, value: i64) {
        let query = sqlx::query(AssertSqlSafe(sql.to_owned())).bind(value);
        if let Err(error) = query.execute(&mut self.0).await {
            panic!("{error} in {sql}");
        }
    }

    pub async fn text(&mut self, sql: &str) -> String {
        self.texts(sql).await.into_iter().next().unwrap_or_default()
    }

    pub async fn texts(&mut self, sql: &str) -> Vec<String> {
        let rows = sqlx::query(AssertSqlSafe(sql.to_owned()))
            .fetch_all(&mut self.0)
            .await;
        let rows = rows.unwrap_or_else(|error| panic!("{error} in {sql}"));
        rows.iter().map(|row| row.get::<String, _>(0)).collect()
    }
}

/// How long it takes.
pub async fn timed<T>(work: impl Future<Output = T>) -> Duration {
    let begun = Instant::now();
    let _done = work.await;
    begun.elapsed()
}

fn programs() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            let folder = entry.path().join("bin");
            folder.join("initdb").exists().then_some((version, folder))
        })
        .collect();
    versions.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let packaged = versions.pop().map(|(_, folder)| folder);
    packaged.or_else(|| std::env::split_paths(&path).find(|f| f.join("initdb").exists()))
}
