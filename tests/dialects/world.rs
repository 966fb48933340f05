//! A database of a case's own, and the pipeline over it.

use std::{
    collections::BTreeMap,
    error::Error as _,
    fmt,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use resetd::{
    guard::{self, Cleared, Limits, Refused, Setting},
    operation::{Changes, Mode, OperationId},
    plan::{self, Plan},
    policy::Policy,
    target::{self, Arming, Credentials, Request, Target},
};
use uuid::Uuid;

use crate::{
    connection::Connection,
    mariadb::{self, mariadb},
    order::Order,
    server::{Server, server},
};

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Sqlite,
    Postgres,
    MariaDb,
}

/// The role that owns what a case makes on a server; no superuser.
pub const OWNER: &str = "resetd_app";

/// The policy of a case that needs no other.
pub const POLICY: &str = r#"
[users]
table = "users"
email = "email"
test_domains = ["test.com", "dev.com"]
"#;

/// A database of a case's own.
#[derive(Debug)]
pub struct World {
    pub kind: Kind,
    pub name: String,
    pub target: Target,
    /// Removed when the case ends.
    _folder: Option<tempfile::TempDir>,
}

/// Why a reset did not happen.
#[derive(Debug)]
pub enum Failure {
    Plan(plan::Error),
    Refused(Refused),
    Target(target::Error),
}

impl From<plan::Error> for Failure {
    fn from(error: plan::Error) -> Self {
        Self::Plan(error)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<target::Error> for Failure {
    fn from(error: target::Error) -> Self {
        Self::Target(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan(error) => write!(f, "{error}"),
            Self::Refused(refused) => write!(f, "{refused}"),
            Self::Target(error) => write!(f, "{error}: {:?}", error.source()),
        }
    }
}

/// The text for one kind of database: lines that begin with `pg:`, `lite:` or
/// `maria:` are that kind's alone. MariaDB has other words for some things.
pub fn text_for(kind: Kind, text: &str) -> String {
    let marks = [
        ("pg:", Kind::Postgres),
        ("lite:", Kind::Sqlite),
        ("maria:", Kind::MariaDb),
    ];
    let line = |line: &str| {
        let trimmed = line.trim_start();
        let mut marked = marks.iter();
        match marked.find_map(|(mark, of)| Some((trimmed.strip_prefix(mark)?, of))) {
            Some((rest, of)) => (kind == *of).then(|| rest.to_owned()),
            None => Some(line.to_owned()),
        }
    };
    let lines: Vec<String> = text.lines().filter_map(line).collect();
    let text = lines.join("\n");
    match kind {
        Kind::Sqlite | Kind::Postgres => text,
        Kind::MariaDb => MARIADB_WORDS
            .iter()
            .fold(text, |text, (word, other)| text.replace(word, other)),
    }
}

/// A key of text has a length, a check never waits, and text is cast to CHAR.
const MARIADB_WORDS: [(&str, &str); 6] = [
    (" AS TEXT)", " AS CHAR)"),
    ("TEXT PRIMARY KEY", "VARCHAR(99) PRIMARY KEY"),
    ("TEXT UNIQUE", "VARCHAR(99) UNIQUE"),
    (
        "TEXT NOT NULL REFERENCES",
        "VARCHAR(99) NOT NULL REFERENCES",
    ),
    (" DEFERRABLE INITIALLY DEFERRED", ""),
    (" DEFERRABLE INITIALLY IMMEDIATE", ""),
];

fn setting(kind: Kind, database: &str) -> Setting {
    Setting {
        target: "case".to_owned(),
        environment: Some("test".to_owned()),
        host: (kind != Kind::Sqlite).then(|| "127.0.0.1".to_owned()),
        database: database.to_owned(),
        ..Setting::default()
    }
}

impl World {
    /// An armed database with this schema and data, served by this policy.
    pub async fn make(kind: Kind, sql: &str, policy: &str) -> Self {
        let world = Self::bare(kind, policy).await;
        if !sql.is_empty() {
            world.sql(sql).await;
        }
        world.arm().await;
        world
    }

    /// An empty database that nobody has armed.
    pub async fn bare(kind: Kind, policy: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let policy = text_for(kind, policy);
        match kind {
            Kind::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().canonicalize().unwrap().join("case.db");
                let setting = setting(kind, path.to_str().unwrap());
                let credentials = Credentials::Sqlite { path, create: true };
                Self {
                    kind,
                    name: setting.database.clone(),
                    target: Target::new(setting, Policy::parse(&policy).unwrap(), credentials),
                    _folder: Some(folder),
                }
            }
            Kind::MariaDb => {
                let name = format!("resetd_{}_{number}", std::process::id());
                let mut superuser = Connection::MariaDb(mariadb().superuser(None).await);
                let sql = format!("CREATE DATABASE {name}; GRANT ALL ON {name}.* TO {OWNER}");
                superuser.run(&sql).await.unwrap();
                superuser.close().await;
                Self {
                    kind,
                    target: Self::at_mariadb(&name, &policy, OWNER),
                    name,
                    _folder: None,
                }
            }
            Kind::Postgres => {
                let name = format!("resetd_{}_{number}", std::process::id());
                let mut superuser = Connection::Postgres(server().superuser(None).await);
                let sql = format!("CREATE DATABASE {name} OWNER {OWNER}");
                superuser.run(&sql).await.unwrap();
                Self {
                    kind,
                    target: Self::target(&name, &policy, server(), OWNER),
                    name,
                    _folder: None,
                }
            }
        }
    }

    fn at_mariadb(name: &str, policy: &str, account: &str) -> Target {
        let credentials = Credentials::MySql {
            host: "127.0.0.1".to_owned(),
            port: mariadb().port,
            user: account.to_owned(),
            password: None,
            database: name.to_owned(),
            tls: None,
        };
        let policy = Policy::parse(policy).unwrap();
        Target::new(setting(Kind::MariaDb, name), policy, credentials)
    }

    fn target(name: &str, policy: &str, server: &Server, role: &str) -> Target {
        let credentials = Credentials::Postgres {
            host: "127.0.0.1".to_owned(),
            port: server.port,
            user: role.to_owned(),
            password: None,
            database: name.to_owned(),
            tls: None,
        };
        let policy = Policy::parse(policy).unwrap();
        Target::new(setting(Kind::Postgres, name), policy, credentials)
    }

    /// Waits until a statement of a target waits for a lock.
    pub async fn until_blocked(&self) {
        let mut superuser = self.superuser().await;
        loop {
            let names = match self.kind {
                Kind::MariaDb => blocked_on_mariadb(&mut superuser).await,
                Kind::Postgres | Kind::Sqlite => {
                    let question = "SELECT datname::text FROM pg_stat_activity \
                         WHERE application_name = 'resetd' AND wait_event_type = 'Lock'";
                    superuser.rows(question).await.unwrap().concat()
                }
            };
            if names.contains(&self.name) {
                break;
            }
            tokio::task::yield_now().await;
        }
        superuser.close().await;
    }

    /// The same database on a server, reached as another role.
    #[must_use]
    pub fn reached_by(self, policy: &str, role: &str) -> Self {
        let target = match self.kind {
            Kind::MariaDb => Self::at_mariadb(&self.name, policy, role),
            Kind::Postgres | Kind::Sqlite => Self::target(&self.name, policy, server(), role),
        };
        Self { target, ..self }
    }

    /// The same database, with another policy.
    #[must_use]
    pub fn with_policy(self, policy: &str) -> Self {
        let target = self.twin(policy).target;
        Self { target, ..self }
    }

    /// Another client of the same database.
    #[must_use]
    pub fn twin(&self, policy: &str) -> Self {
        let policy = text_for(self.kind, policy);
        let target = match self.kind {
            Kind::Postgres => Self::target(&self.name, &policy, server(), OWNER),
            Kind::MariaDb => Self::at_mariadb(&self.name, &policy, OWNER),
            Kind::Sqlite => Target::new(
                setting(self.kind, &self.name),
                Policy::parse(&policy).unwrap(),
                Credentials::Sqlite {
                    path: self.name.clone().into(),
                    create: false,
                },
            ),
        };
        Self {
            kind: self.kind,
            name: self.name.clone(),
            target,
            _folder: None,
        }
    }

    /// Lets the database be reset.
    pub async fn arm(&self) {
        let now = Timestamp::now();
        let arming = Arming {
            id: Uuid::new_v4().to_string(),
            environment: "test".to_owned(),
            armed_by: "tests/dialects".to_owned(),
            armed_at: now,
            expires_at: now + SignedDuration::from_hours(1),
            protected: false,
        };
        let database = self.target.setting().database_name().to_owned();
        self.target.arm(&database, &arming).await.unwrap();
    }

    /// A connection as the owner.
    pub async fn connect(&self) -> Connection {
        match self.kind {
            Kind::Sqlite => Connection::sqlite(&self.name).await,
            Kind::Postgres => Connection::postgres(&server().role(OWNER, &self.name)).await,
            Kind::MariaDb => {
                let options = mariadb().account(OWNER, &self.name);
                Connection::MariaDb(mariadb::connect(&options).await)
            }
        }
    }

    /// A connection as the superuser.
    pub async fn superuser(&self) -> Connection {
        match self.kind {
            Kind::MariaDb => Connection::MariaDb(mariadb().superuser(Some(&self.name)).await),
            Kind::Postgres | Kind::Sqlite => {
                Connection::Postgres(server().superuser(Some(&self.name)).await)
            }
        }
    }

    /// Runs SQL as the owner.
    pub async fn sql(&self, sql: &str) {
        let sql = text_for(self.kind, sql);
        let mut connection = self.connect().await;
        let done = connection.run(&sql).await;
        connection.close().await;
        if let Err(error) = done {
            panic!("{error}\nin {sql}");
        }
    }

    /// Runs SQL as the superuser.
    pub async fn sudo(&self, sql: &str) {
        let mut connection = self.superuser().await;
        let done = connection.run(sql).await;
        connection.close().await;
        if let Err(error) = done {
            panic!("{error}\nin {sql}");
        }
    }

    /// The one text that a query answers.
    pub async fn ask(&self, sql: &str) -> String {
        let mut connection = self.connect().await;
        let rows = connection.rows(&text_for(self.kind, sql)).await.unwrap();
        connection.close().await;
        let texts = rows.into_iter().map(|row| row.join("|"));
        texts.collect::<Vec<_>>().join(" ")
    }

    /// Everything in the database, and where its sequences stand.
    pub async fn dump(&self) -> BTreeMap<String, Vec<String>> {
        let mut connection = match self.kind {
            Kind::Sqlite => self.connect().await,
            // Row-level security hides nothing from the superuser.
            Kind::Postgres | Kind::MariaDb => self.superuser().await,
        };
        let dump = connection.dump().await;
        connection.close().await;
        dump
    }

    /// How many rows the tables have, as in `posts 2, users 1`.
    pub async fn left(&self) -> String {
        let dump = self.dump().await;
        let tables = dump
            .iter()
            .filter(|(name, _)| !name.starts_with("sequence"));
        let counts = tables.filter(|(_, rows)| !rows.is_empty());
        let counts = counts.map(|(table, rows)| format!("{table} {}", rows.len()));
        counts.collect::<Vec<_>>().join(", ")
    }

    /// Plans an order and lets the guards clear it.
    pub async fn clear(&self, order: &Order) -> Result<Cleared<Plan>, Failure> {
        guard::precheck(self.target.setting(), Timestamp::now())?;
        let model = self.target.model().await?;
        let plan = plan::build(&model, order.scope.clone())?;
        let seen = self.target.observe().await?.seen;
        let limits = Limits {
            max_rows: order.max_rows,
        };
        let now = Timestamp::now();
        Ok(guard::clear(
            plan,
            self.target.setting(),
            seen,
            limits,
            now,
        )?)
    }

    /// Executes what was cleared.
    pub async fn execute(
        &self,
        cleared: &Cleared<Plan>,
        order: &Order,
        mode: Mode,
    ) -> Result<Changes, Failure> {
        let request = Request {
            besides: order.besides.clone(),
            operation: OperationId::from(Uuid::now_v7()),
            mode,
            started: Timestamp::now(),
            deadline: order.deadline,
            start: order.start.clone(),
            expected: None,
            elsewhere: resetd::target::Elsewhere::default(),
            brake: target::Brake::default(),
        };
        let executed = self.target.execute(cleared, &request, &|_| {}).await?;
        Ok(executed.into_changes())
    }

    /// The whole pipeline.
    pub async fn reset(&self, order: &Order, mode: Mode) -> Result<Changes, Failure> {
        let cleared = self.clear(order).await?;
        self.execute(&cleared, order, mode).await
    }

    /// Resets, first dry: that changes nothing and says what then happens.
    /// Compares what was told, and how many rows are left.
    pub async fn takes(&self, order: Order, told: &str, left: &str) -> Changes {
        let before = self.dump().await;
        let dry = self.reset(&order, Mode::DryRun).await;
        let dry = dry.unwrap_or_else(|failure| panic!("dry run: {failure}"));
        same(&before, &self.dump().await, "a dry run changed");
        let changes = self.reset(&order, Mode::Execute).await;
        let changes = changes.unwrap_or_else(|failure| panic!("run: {failure}"));
        assert_eq!(dry, changes, "a dry run says what the run then does");
        assert_eq!(summary(&changes), told, "what was told");
        assert_eq!(self.left().await, left, "what is left");
        changes
    }

    /// Fails to reset, and leaves everything as it was.
    pub async fn fails(&self, order: Order) -> Failure {
        let before = self.dump().await;
        let done = self.reset(&order, Mode::Execute).await;
        let failure = done.expect_err("the reset has to fail");
        same(&before, &self.dump().await, "a failed reset changed");
        failure
    }
}

/// The databases in which a statement waits for a lock.
///
/// InnoDB tells its transactions anew only when nobody has asked for them for a
/// tenth of a second: cases that wait share what is told. If each asked for
/// itself, the last would be told when the lock was given up long ago.
async fn blocked_on_mariadb(superuser: &mut Connection) -> Vec<String> {
    static TOLD: tokio::sync::Mutex<Option<(Instant, Vec<String>)>> =
        tokio::sync::Mutex::const_new(None);
    let since = Instant::now();
    let mut told = TOLD.lock().await;
    if let Some((asked, names)) = told.as_ref()
        && *asked > since
    {
        return names.clone();
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(120));
    ticks.tick().await;
    ticks.tick().await;
    let asked = Instant::now();
    let question = "SELECT p.DB FROM information_schema.PROCESSLIST AS p \
         LEFT JOIN information_schema.INNODB_TRX AS x ON x.trx_mysql_thread_id = p.ID \
         WHERE p.DB IS NOT NULL AND (x.trx_state = 'LOCK WAIT' \
         OR p.STATE LIKE 'Waiting for table metadata%')";
    let names = superuser.rows(question).await.unwrap().concat();
    *told = Some((asked, names.clone()));
    names
}

/// What was changed, as in `posts -2, notes ~1, users *1`: deleted, detached,
/// restored.
pub fn summary(changes: &Changes) -> String {
    let counts = changes.tables.iter();
    let counts = counts.map(|table| {
        let parts = [
            ("-", table.deleted),
            ("~", table.detached),
            ("*", table.restored),
        ];
        let parts = parts.iter().filter(|(_, rows)| *rows > 0);
        let parts: String = parts.map(|(sign, rows)| format!(" {sign}{rows}")).collect();
        format!("{}{parts}", table.table)
    });
    let mut counts: Vec<String> = counts.collect();
    counts.sort();
    counts.join(", ")
}

/// Two dumps are the same; else the first difference is told.
pub fn same(
    before: &BTreeMap<String, Vec<String>>,
    after: &BTreeMap<String, Vec<String>>,
    what: &str,
) {
    for (table, rows) in before {
        assert_eq!(Some(rows), after.get(table), "{what} {table}");
    }
    assert_eq!(before.len(), after.len(), "{what} the tables");
}
