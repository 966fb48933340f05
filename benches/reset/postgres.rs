//! A throwaway PostgreSQL server, and connections of our own to it.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::engine::{OWNER, Place, Sql};

/// The role that may switch the checks off.
const SWITCHING: &str = "switching";

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

    /// A database as reached by a role that has all that the owner has, and
    /// may switch the checks off; from PostgreSQL 15 on there can be one.
    pub async fn switching(&self, database: &str) -> Option<Place> {
        let major = self.version.split('.').next()?.parse::<u32>().ok()?;
        if major < 15 {
            return None;
        }
        let mut superuser = self.superuser(database).await;
        let create = format!(
            "CREATE ROLE {SWITCHING} LOGIN IN ROLE {OWNER}; \
             GRANT SET ON PARAMETER session_replication_role TO {SWITCHING}"
        );
        superuser.run(&create).await;
        Some(Place::Postgres {
            port: self.port,
            role: SWITCHING,
            database: database.to_owned(),
        })
    }

    pub async fn superuser(&self, database: &str) -> Sql {
        Sql::postgres(self.port, "postgres", database).await
    }

    pub fn place(&self, database: &str) -> Place {
        Place::Postgres {
            port: self.port,
            role: OWNER,
            database: database.to_owned(),
        }
    }

    /// A new database with this in it, ready to be copied.
    pub async fn make(&self, database: &str, sql: &str) -> Place {
        let mut superuser = self.superuser("postgres").await;
        superuser
            .run(&format!("CREATE DATABASE {database} OWNER {OWNER}"))
            .await;
        let place = self.place(database);
        let mut owner = place.connect().await;
        owner.run(sql).await;
        owner.run("ANALYZE").await;
        let mut inside = self.superuser(database).await;
        vacuum_catalogue(&mut inside).await;
        inside.close().await;
        place
    }

    /// A copy of a database, in place of an earlier one.
    pub async fn copy(&self, from: &str, to: &str) -> Place {
        self.remove(to).await;
        let mut superuser = self.superuser("postgres").await;
        // Through the log a small database is copied in half the time; a big
        // one fills it, so that a checkpoint comes while something is measured.
        let size = format!("SELECT pg_database_size('{from}')::text");
        let size: u64 = superuser.text(&size).await.parse().unwrap();
        let strategy = if size < 256 << 20 {
            "WAL_LOG"
        } else {
            "FILE_COPY"
        };
        let copy =
            format!("CREATE DATABASE {to} TEMPLATE {from} OWNER {OWNER} STRATEGY {strategy}");
        superuser.run(&copy).await;
        self.place(to)
    }

    /// Removes a database.
    pub async fn remove(&self, database: &str) {
        let mut superuser = self.superuser("postgres").await;
        let drop = format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)");
        superuser.run(&drop).await;
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

/// Cleans the catalogue after hundreds of statements that change it. What would
/// do so is off, so that it comes in nobody's time.
pub async fn vacuum_catalogue(superuser: &mut Sql) {
    let tables = "pg_class, pg_attribute, pg_constraint, pg_trigger, pg_index, pg_sequence";
    superuser.run(&format!("VACUUM ANALYZE {tables}")).await;
}
