//! Servers to measure on, and databases on them.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use crate::{
    Bench,
    data::TABLES,
    engine::{Engine, Place, Sql},
    mariadb::MariaDb,
    postgres::Postgres,
};

/// Where databases are made.
pub enum Site {
    Postgres(Postgres),
    MariaDb(MariaDb),
    /// A folder for files.
    Sqlite(TempDir),
}

impl Site {
    pub fn sqlite() -> Self {
        // Where the build is there is a disk; what is temporary can be memory.
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(&folder).unwrap();
        Self::Sqlite(TempDir::new_in(folder.canonicalize().unwrap()).unwrap())
    }

    pub fn engine(&self) -> Engine {
        match self {
            Self::Postgres(_) => Engine::Postgres,
            Self::MariaDb(_) => Engine::MariaDb,
            Self::Sqlite(_) => Engine::Sqlite,
        }
    }

    /// Users of a large database. MariaDB cannot copy one, and filling it
    /// again takes long.
    pub fn users(&self, bench: &Bench) -> u32 {
        match self {
            Self::Postgres(_) | Self::Sqlite(_) => bench.users,
            Self::MariaDb(_) => bench.users / 5,
        }
    }

    /// The same for a schema that nothing is deleted from: MariaDB makes a
    /// file for each table, durably, which takes long for hundreds.
    pub async fn make_in_one_file(&self, name: &str, sql: &str) -> Place {
        let Self::MariaDb(server) = self else {
            return self.make(name, sql).await;
        };
        let mut superuser = server.superuser().await;
        superuser.run("SET GLOBAL innodb_file_per_table = 0").await;
        let place = server.make(name, sql).await;
        superuser.run("SET GLOBAL innodb_file_per_table = 1").await;
        place
    }

    /// A new database with this in it.
    pub async fn make(&self, name: &str, sql: &str) -> Place {
        match self {
            Self::Postgres(server) => server.make(name, sql).await,
            Self::MariaDb(server) => server.make(name, sql).await,
            Self::Sqlite(folder) => {
                let path = folder.path().join(format!("{name}.db"));
                let mut owner = Sql::sqlite(&path).await;
                owner
                    .run("PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF")
                    .await;
                owner.run(&format!("BEGIN; {sql}; COMMIT; ANALYZE")).await;
                owner.close().await;
                Place::Sqlite(path)
            }
        }
    }

    /// A marketplace as another one is, in place of what is left of it.
    pub async fn restore(&self, from: &str, to: &str) -> Place {
        match self {
            Self::Postgres(server) => server.copy(from, to).await,
            Self::MariaDb(server) => {
                let tables = TABLES.map(|(name, ..)| name);
                server.refill(from, to, &tables).await
            }
            Self::Sqlite(folder) => {
                let path = |name| folder.path().join(format!("{name}.db"));
                for rest in ["db-wal", "db-shm"] {
                    drop(fs::remove_file(path(to).with_extension(rest)));
                }
                fs::copy(path(from), path(to)).unwrap();
                Place::Sqlite(path(to))
            }
        }
    }

    /// Removes a database.
    pub async fn remove(&self, name: &str) {
        match self {
            Self::Postgres(server) => server.remove(name).await,
            Self::MariaDb(server) => {
                let mut superuser = server.superuser().await;
                superuser
                    .run(&format!("DROP DATABASE IF EXISTS {name}"))
                    .await;
            }
            Self::Sqlite(folder) => {
                for rest in ["db", "db-wal", "db-shm"] {
                    drop(fs::remove_file(
                        folder.path().join(format!("{name}.{rest}")),
                    ));
                }
            }
        }
    }

    /// What the server says that it is.
    pub async fn version(&self) -> String {
        match self {
            Self::Postgres(server) => server.version.clone(),
            Self::MariaDb(server) => server.version.clone(),
            Self::Sqlite(folder) => {
                let mut sql = Sql::sqlite(&folder.path().join("version.db")).await;
                sql.text("SELECT sqlite_version()").await
            }
        }
    }
}
