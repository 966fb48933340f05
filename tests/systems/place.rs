//! The databases of the systems: a schema with its seed is loaded once for a
//! run, and each case has a copy of its own.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::{connection::Connection, mariadb::mariadb, server::server, servers::Redis};

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Sqlite,
    Postgres,
    #[allow(dead_code, reason = "one of the systems runs on it")]
    MariaDb,
}

impl Kind {
    /// As the names of schema and seed have it.
    fn word(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::MariaDb => "mysql",
        }
    }
}

/// The account that owns the databases on a server; no superuser.
pub const OWNER: &str = "resetd_systems";

/// One of the five.
#[derive(Debug, Clone, Copy)]
pub struct System {
    /// Its folder's.
    pub name: &'static str,
    /// Which of its schemas, where it has several.
    pub variant: Option<&'static str>,
}

impl System {
    /// Where its schema, seed and policy are.
    pub fn folder(&self) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        root.join("deploy/systems").join(self.name)
    }

    /// One of its files, such as `schema` for a kind of database.
    fn file(&self, what: &str, kind: Kind) -> Option<String> {
        let name = match self.variant {
            Some(variant) => format!("{what}.{variant}.{}.sql", kind.word()),
            None => format!("{what}.{}.sql", kind.word()),
        };
        std::fs::read_to_string(self.folder().join(name)).ok()
    }

    fn label(&self) -> String {
        self.variant.map_or(self.name.to_owned(), |variant| {
            format!("{}_{variant}", self.name)
        })
    }
}

/// A database of a case's own.
#[derive(Debug)]
pub struct Database {
    pub kind: Kind,
    /// The name of a database, or the path of a file.
    pub name: String,
}

impl Database {
    /// A copy of the system's database in this folder, or on the server.
    pub async fn copy_of(system: System, kind: Kind, folder: &Path) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}_test_{}_{number}", system.label(), std::process::id());
        match kind {
            Kind::Sqlite => {
                let path = folder.join(format!("{}_test.db", system.label()));
                std::fs::copy(master(system, kind).await, &path).unwrap();
                let name = path.to_str().unwrap().to_owned();
                Self { kind, name }
            }
            Kind::Postgres => {
                let master = master(system, kind).await;
                let sql = format!("CREATE DATABASE {name} TEMPLATE {master} OWNER {OWNER}");
                admin(kind, &sql).await;
                Self { kind, name }
            }
            Kind::MariaDb => {
                let sql = format!(
                    "CREATE USER IF NOT EXISTS {OWNER}; CREATE DATABASE {name}; \
                     GRANT ALL ON {name}.* TO {OWNER}"
                );
                admin(kind, &sql).await;
                let database = Self { kind, name };
                load(system, &database).await;
                database
            }
        }
    }

    /// What a target's `url` says.
    pub fn url(&self) -> String {
        match self.kind {
            Kind::Sqlite => format!("sqlite:///{}", self.name),
            Kind::Postgres => format!(
                "postgresql://{OWNER}@127.0.0.1:{}/{}",
                server().port,
                self.name
            ),
            Kind::MariaDb => format!("mysql://{OWNER}@127.0.0.1:{}/{}", mariadb().port, self.name),
        }
    }

    /// What it is called where it is armed.
    pub fn called(&self) -> String {
        let name = self.name.rsplit('/').next();
        name.unwrap_or_default().to_owned()
    }

    /// A connection as the application has one.
    pub async fn connect(&self) -> Connection {
        match self.kind {
            Kind::Sqlite => Connection::sqlite(&self.name).await,
            Kind::Postgres => {
                let options = server().role(OWNER, &self.name);
                Connection::postgres(&options).await
            }
            Kind::MariaDb => {
                let options = mariadb().account(OWNER, &self.name);
                Connection::MariaDb(crate::mariadb::connect(&options).await)
            }
        }
    }

    /// A connection that nothing is hidden from.
    pub async fn superuser(&self) -> Connection {
        match self.kind {
            Kind::Sqlite => self.connect().await,
            Kind::Postgres => Connection::Postgres(server().superuser(Some(&self.name)).await),
            Kind::MariaDb => Connection::MariaDb(mariadb().superuser(Some(&self.name)).await),
        }
    }
}

/// The database that copies of a system's are made from.
async fn master(system: System, kind: Kind) -> String {
    type Masters = Mutex<BTreeMap<(String, Kind), Arc<OnceCell<String>>>>;
    static MASTERS: Masters = Mutex::new(BTreeMap::new());
    let cell = {
        let mut masters = MASTERS.lock().unwrap();
        Arc::clone(masters.entry((system.label(), kind)).or_default())
    };
    let made = cell.get_or_init(|| async {
        let name = match kind {
            Kind::Sqlite => {
                let path = masters_folder().join(format!("{}.db", system.label()));
                path.to_str().unwrap().to_owned()
            }
            Kind::Postgres | Kind::MariaDb => {
                let name = format!("{}_master_{}", system.label(), std::process::id());
                master_account().await;
                admin(kind, &format!("CREATE DATABASE {name} OWNER {OWNER}")).await;
                name
            }
        };
        let database = Database { kind, name };
        load(system, &database).await;
        database.name
    });
    made.await.clone()
}

fn masters_folder() -> PathBuf {
    folder_of_this_run(|folder| folder.path().to_owned())
}

fn folder_of_this_run<T>(with: impl FnOnce(&TempDir) -> T) -> T {
    let mut folder = FOLDER.lock().unwrap();
    with(folder.get_or_insert_with(|| tempfile::tempdir().unwrap()))
}

static FOLDER: Mutex<Option<TempDir>> = Mutex::new(None);
static REDIS: Mutex<Option<Redis>> = Mutex::new(None);

/// An empty database of the run's one Redis: its URL, and a connection.
pub fn redis() -> (String, redis::Connection) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let number = u16::try_from(number).unwrap();
    let mut server = REDIS.lock().unwrap();
    let server = server.get_or_insert_with(|| Redis::with(&["--databases", "2000"]));
    (server.url(number), server.connection(number))
}

/// The owner's account, on both servers, once.
async fn master_account() {
    static MADE: OnceCell<()> = OnceCell::const_new();
    MADE.get_or_init(|| async {
        let sql = format!(
            "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{OWNER}') THEN \
             CREATE ROLE {OWNER} LOGIN; END IF; END $$"
        );
        admin(Kind::Postgres, &sql).await;
    })
    .await;
}

/// Runs a statement as the server's superuser.
async fn admin(kind: Kind, sql: &str) {
    let mut superuser = match kind {
        Kind::Postgres => Connection::Postgres(server().superuser(None).await),
        Kind::MariaDb => Connection::MariaDb(mariadb().superuser(None).await),
        Kind::Sqlite => return,
    };
    superuser.run(sql).await.unwrap();
    superuser.close().await;
}

/// Schema and seed; where there is no seed for the kind, SQLite's rows.
async fn load(system: System, database: &Database) {
    let schema = system.file("schema", database.kind).expect("a schema");
    let mut connection = database.connect().await;
    let mut run = async |sql: &str| {
        let sql = match database.kind {
            Kind::MariaDb => sql.to_owned(),
            Kind::Sqlite | Kind::Postgres => format!("BEGIN;\n{sql}\n;COMMIT;"),
        };
        let done = connection.run(&sql).await;
        done.unwrap_or_else(|error| panic!("{}: {error}", system.label()));
    };
    run(&schema).await;
    if let Some(additions) = system.file("additions", database.kind) {
        run(&additions).await;
    }
    match system.file("seed", database.kind) {
        Some(seed) => {
            run(&seed).await;
            connection.close().await;
        }
        None => {
            connection.close().await;
            copy_rows(system, database).await;
        }
    }
}

/// SQLite's rows as literals that take the type of their column.
async fn copy_rows(system: System, to: &Database) {
    let name = Box::pin(master(system, Kind::Sqlite)).await;
    let mut from = Connection::sqlite(&name).await;
    let mut to = to.superuser().await;
    to.run("SET session_replication_role = replica")
        .await
        .unwrap();
    let tables = from
        .rows("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .await
        .unwrap();
    for table in tables.concat() {
        let columns = format!("SELECT '\"' || name || '\"' FROM pragma_table_info('{table}')");
        let columns = from.rows(&columns).await.unwrap().concat();
        let quoted: Vec<String> = columns
            .iter()
            .map(|name| format!("quote({name})"))
            .collect();
        let sql = format!("SELECT {} FROM \"{table}\"", quoted.join(", "));
        let literal = |text: &String| match text.as_str() {
            "NULL" => text.clone(),
            quoted if quoted.starts_with('\'') => text.clone(),
            number => format!("'{number}'"),
        };
        let rows = from.rows(&sql).await.unwrap();
        let row = |row: &Vec<String>| {
            let row: Vec<String> = row.iter().map(literal).collect();
            format!("({})", row.join(", "))
        };
        let rows: Vec<String> = rows.iter().map(row).collect();
        to.run(&format!("DELETE FROM \"{table}\"")).await.unwrap();
        for rows in rows.chunks(500) {
            let (columns, rows) = (columns.join(", "), rows.join(", "));
            let sql = format!("INSERT INTO \"{table}\" ({columns}) VALUES {rows}");
            to.run(&sql).await.unwrap();
        }
    }
    to.run(
        "DO $$ DECLARE own record; BEGIN FOR own IN SELECT d.refobjid::regclass AS place, \
         d.objid::regclass AS sequence FROM pg_depend AS d JOIN pg_class AS s ON s.oid = d.objid \
         WHERE s.relkind = 'S' AND d.deptype = 'a' LOOP EXECUTE format( \
         'SELECT setval(%L, max(id)) FROM %s', own.sequence, own.place); END LOOP; END $$",
    )
    .await
    .unwrap();
    from.close().await;
    to.close().await;
}

/// Leaves nothing behind: servers that are not ours alone keep none of our
/// databases.
pub async fn clear_away() {
    drop(FOLDER.lock().unwrap().take());
    drop(REDIS.lock().unwrap().take());
    let mut superuser = Connection::Postgres(server().superuser(None).await);
    let question = format!(
        "SELECT datname::text FROM pg_database WHERE datname ~ '_(test|master)_{}(_|$)'",
        std::process::id()
    );
    for name in superuser.rows(&question).await.unwrap().concat() {
        let drop = format!("DROP DATABASE {name} WITH (FORCE)");
        superuser.run(&drop).await.unwrap();
    }
    superuser.close().await;
}
