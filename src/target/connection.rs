//! Connections: native pools behind one small face.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _, SqlSafeStr as _,
    mysql::MySqlQueryResult,
    postgres::{self, PgConnectOptions, PgPoolOptions, PgQueryResult, PgSslMode},
    sqlite::SqliteQueryResult,
};

use super::{
    Brake, LOCK_TIMEOUT,
    answers::{self, Done},
    armed::Asking,
    fault::{Error, Fault},
    mariadb, named,
    sqlite::{self, Stop, Writer},
    warm::{Lent, Warm},
};
use crate::{
    address::TlsMode,
    dialect::{Dialect, MySql, Postgres, Row, Sqlite, Statement},
};

/// SQLite's extended result code for a commit that its hook has refused.
const REFUSED: &str = "531";

/// How long a connection that answered is taken to be alive: asking costs a
/// round trip. One that is not is noticed when a transaction begins.
pub(super) const TRUSTED: Duration = Duration::from_secs(1);

/// Where the transaction is rolled back that made the first temporary table of
/// a session, all its prepared statements are planned anew.
const WARMING: &str = "CREATE TEMPORARY TABLE resetd_warm (); DROP TABLE pg_temp.resetd_warm";

/// Connections that a target on a server keeps at most.
pub(super) const CONNECTIONS: usize = 16;

/// How a target is reached. It can hold a password, so it prints without.
#[derive(Clone)]
pub enum Credentials {
    /// A SQLite file.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Whether a file that is not there is made.
        create: bool,
    },
    /// A PostgreSQL server.
    Postgres {
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
        /// The role.
        user: String,
        /// The role's password.
        password: Option<String>,
        /// The database.
        database: String,
        /// How the connection is protected; by the driver's own rule when
        /// absent.
        tls: Option<TlsMode>,
    },
    /// A MariaDB server.
    MySql {
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
        /// The account.
        user: String,
        /// The account's password.
        password: Option<String>,
        /// The database.
        database: String,
        /// How the connection is protected; encrypted where the server can
        /// when absent.
        tls: Option<TlsMode>,
    },
}

/// Whether a database checks for each row that goes what refers to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Checks {
    /// It does.
    #[default]
    Made,
    /// It does not: whoever says so makes sure that nothing refers to it.
    SwitchedOff,
}

/// The connections of one target.
#[derive(Debug)]
pub(super) enum Pool {
    Sqlite {
        /// One connection: SQLite has one writer at a time, and waiting for a
        /// turn here is fair, which its own locks are not.
        writer: Writer,
        /// One that watches no foreign keys, for whoever has the writer's turn:
        /// to switch that, a connection prepares all its statements again.
        unchecked: Writer,
        reader: Warm<sqlx::Sqlite>,
    },
    Postgres(Warm<sqlx::Postgres>),
    MySql(Warm<sqlx::MySql>),
}

/// One connection, for as long as it is needed.
#[derive(Debug)]
pub(super) enum Session {
    Sqlite(Lent<sqlx::Sqlite>, Arc<Stop>),
    Postgres(Lent<sqlx::Postgres>),
    MySql(Lent<sqlx::MySql>),
}

/// Stops the statement that another connection runs.
#[derive(Debug)]
pub(super) struct Interrupter {
    server: Server,
    backend: String,
}

/// Where a statement runs that another connection can stop.
#[derive(Debug)]
enum Server {
    Postgres(Warm<sqlx::Postgres>),
    MySql(Warm<sqlx::MySql>),
}

impl Interrupter {
    /// Stops what a connection of this pool does, by the number that the
    /// server knows it by.
    pub(super) fn of(pool: &Pool, backend: &str) -> Option<Self> {
        let server = match pool {
            Pool::Sqlite { .. } => return None,
            Pool::Postgres(pool) => Server::Postgres(pool.clone()),
            Pool::MySql(pool) => Server::MySql(pool.clone()),
        };
        let backend = backend.to_owned();
        Some(Self { server, backend })
    }

    /// Stops it; one that has ended by itself is left alone.
    pub(super) async fn interrupt(&self) {
        let (session, sql) = match &self.server {
            Server::Postgres(pool) => (
                pool.take(LOCK_TIMEOUT).await.map(Session::Postgres),
                format!("SELECT pg_cancel_backend({})", self.backend),
            ),
            Server::MySql(pool) => (
                pool.take(LOCK_TIMEOUT).await.map(Session::MySql),
                format!("KILL QUERY {}", self.backend),
            ),
        };
        let Ok(mut session) = session else {
            return;
        };
        if let Err(fault) = session.batch(&sql).await {
            tracing::warn!(error = %fault.source, "a statement could not be interrupted");
        }
    }
}

impl Credentials {
    /// The dialect of the database.
    pub(super) fn dialect(&self) -> Box<dyn Dialect> {
        match self {
            Self::Sqlite { .. } => Box::new(Sqlite),
            Self::Postgres { .. } => Box::new(Postgres),
            Self::MySql { .. } => Box::new(MySql),
        }
    }

    pub(super) fn redacted(&self) -> String {
        match self {
            Self::Sqlite { path, .. } => format!("sqlite:{}", path.display()),
            Self::Postgres {
                host,
                port,
                user,
                database,
                ..
            } => format!("postgresql://{user}@{host}:{port}/{database}"),
            Self::MySql {
                host,
                port,
                user,
                database,
                ..
            } => format!("mysql://{user}@{host}:{port}/{database}"),
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl Pool {
    pub(super) async fn connect(credentials: &Credentials) -> Result<Self, Error> {
        match credentials {
            Credentials::Sqlite { path, create } => sqlite::pool(path, *create).await,
            Credentials::MySql { .. } => mariadb::pool(credentials).await.map(Self::MySql),
            Credentials::Postgres { .. } => {
                let options = server_options(credentials);
                // A pool tells a refused connection only after its time-out:
                // one direct connection tells it at once.
                let probe = postgres::PgConnection::connect_with(&options);
                let probe = tokio::time::timeout(LOCK_TIMEOUT, probe).await;
                let probe = probe.map_err(|_| Error::Unavailable(sqlx::Error::PoolTimedOut))?;
                drop(probe.map_err(Error::Unavailable)?.close().await);
                let pool = PgPoolOptions::new()
                    .max_connections(1)
                    .acquire_timeout(LOCK_TIMEOUT)
                    .test_before_acquire(false)
                    .before_acquire(|connection, usage| {
                        Box::pin(async move {
                            if usage.idle_for > TRUSTED {
                                connection.ping().await?;
                            }
                            Ok(true)
                        })
                    })
                    .after_connect(|connection, _| {
                        Box::pin(async move {
                            // A role that may make no temporary tables gets
                            // none, and is told so when it needs one.
                            drop(connection.execute(sqlx::raw_sql(WARMING)).await);
                            Ok(())
                        })
                    });
                let pool = || pool.clone().connect_lazy_with(options.clone());
                Ok(Self::Postgres(Warm::new(CONNECTIONS, pool)))
            }
        }
    }

    /// A connection for reading.
    pub(super) async fn acquire(&self, patience: Duration) -> Result<Session, Error> {
        match self {
            Self::Sqlite { reader, .. } => {
                let reader = reader.take(patience).await?;
                Ok(Session::Sqlite(reader, Arc::default()))
            }
            Self::Postgres(pool) => pool.take(patience).await.map(Session::Postgres),
            Self::MySql(pool) => pool.take(patience).await.map(Session::MySql),
        }
    }

    /// A connection for changing, and the right to be the one who does, where
    /// that is another one.
    pub(super) async fn acquire_writer(
        &self,
        patience: Duration,
        checks: Checks,
    ) -> Result<(Session, Option<Session>), Error> {
        match self {
            Self::Sqlite {
                writer, unchecked, ..
            } => {
                let writer = writer.take(patience).await?;
                match checks {
                    Checks::Made => Ok((writer, None)),
                    Checks::SwitchedOff => Ok((unchecked.take(patience).await?, Some(writer))),
                }
            }
            Self::Postgres(pool) => Ok((Session::Postgres(pool.take(patience).await?), None)),
            Self::MySql(pool) => Ok((Session::MySql(pool.take(patience).await?), None)),
        }
    }

    /// Connects again where nobody uses a connection. A file has none that
    /// die.
    pub(super) fn renew(&self) {
        match self {
            Self::Sqlite { .. } => {}
            Self::Postgres(pool) => pool.renew(),
            Self::MySql(pool) => pool.renew(),
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite {
                writer,
                unchecked,
                reader,
            } => {
                reader.close().await;
                unchecked.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
            Self::MySql(pool) => pool.close().await,
        }
    }
}

/// Every option that the environment could set is set here: nothing but the
/// address decides where the connection leads.
fn server_options(credentials: &Credentials) -> PgConnectOptions {
    // Statements can hold data, which is not logged.
    let options = PgConnectOptions::new_without_pgpass()
        .application_name("resetd")
        .disable_statement_logging();
    let Credentials::Postgres {
        host,
        port,
        user,
        password,
        database,
        tls,
    } = credentials
    else {
        return options;
    };
    let mut options = options
        .host(host)
        .port(*port)
        .username(user)
        .database(database)
        .ssl_mode(match tls {
            Some(TlsMode::Disable) => PgSslMode::Disable,
            Some(TlsMode::Allow) => PgSslMode::Allow,
            None | Some(TlsMode::Prefer) => PgSslMode::Prefer,
            Some(TlsMode::Require) => PgSslMode::Require,
            Some(TlsMode::VerifyCa) => PgSslMode::VerifyCa,
            Some(TlsMode::VerifyFull) => PgSslMode::VerifyFull,
        });
    if let Some(password) = password {
        options = options.password(password);
    }
    options
}

/// Does the same with either connection; errors become faults of its dialect.
macro_rules! with {
    ($session:expr, $connection:ident => $body:expr) => {
        match $session {
            Session::Sqlite($connection, _) => $body.map_err(|error| Fault::of(&Sqlite, error)),
            Session::Postgres($connection) => $body.map_err(|error| Fault::of(&Postgres, error)),
            Session::MySql($connection) => $body.map_err(|error| Fault::of(&MySql, error)),
        }
    };
}

/// A query with its parameters.
///
/// Every statement is made by a dialect from quoted names; values that
/// callers give are always parameters.
macro_rules! query {
    ($statement:expr) => {
        query!($statement, false)
    };
    ($statement:expr, $kept:expr) => {{
        let sql = AssertSqlSafe($statement.sql.clone()).into_sql_str();
        let mut query = sqlx::query(sql).persistent($kept);
        for parameter in &$statement.parameters {
            query = query.bind(parameter);
        }
        query
    }};
}

impl Session {
    /// Asks whether it is alive.
    pub(super) async fn ping(&mut self) -> Result<(), Fault> {
        with!(self, connection => connection.ping().await)
    }

    /// Runs a statement and tells how many rows it changed.
    pub(super) async fn run(&mut self, statement: &Statement) -> Result<u64, Fault> {
        if let Self::MySql(connection) = self {
            return mariadb::run(connection, statement).await;
        }
        if let (Self::Postgres(connection), []) = (&mut *self, statement.parameters.as_slice()) {
            // What is kept prepared nowhere costs one round trip less as text.
            let sql = AssertSqlSafe(statement.sql.clone()).into_sql_str();
            let done = connection.execute(sqlx::raw_sql(sql)).await;
            let done = done.map_err(|error| Fault::of(&Postgres, error))?;
            return Ok(done.rows_affected());
        }
        with!(self, connection => {
            let done = connection.execute(query!(statement)).await;
            done.map(|done| done.rows_affected())
        })
    }

    /// Runs several statements of one text.
    pub(super) async fn batch(&mut self, sql: &str) -> Result<(), Fault> {
        let sql = AssertSqlSafe(sql.to_owned()).into_sql_str();
        with!(self, connection => connection.execute(sqlx::raw_sql(sql)).await.map(|_| ()))
    }

    /// Runs several statements of one text; the last column of every answer.
    pub(super) async fn explained(&mut self, sql: &str) -> Result<Vec<String>, Fault> {
        let sql = AssertSqlSafe(sql.to_owned()).into_sql_str();
        with!(self, connection => {
            match connection.fetch_all(sqlx::raw_sql(sql)).await {
                Ok(rows) => rows.iter().map(|row| row.try_get(row.len().saturating_sub(1))).collect(),
                Err(error) => Err(error),
            }
        })
    }

    /// Runs statements without parameters one after the other, in one round
    /// trip. What fails is told with the place of the statement.
    pub(super) async fn together(
        &mut self,
        statements: &[Statement],
    ) -> Result<Vec<Done>, (usize, Fault)> {
        let texts: Vec<&str> = statements.iter().map(|s| s.sql.as_str()).collect();
        let sql = AssertSqlSafe(texts.join(";\n")).into_sql_str();
        let text = sqlx::raw_sql(sql);
        match self {
            Self::Sqlite(connection, _) => {
                let ended = connection.fetch_many(text);
                let done = answers::each(ended, SqliteQueryResult::rows_affected).await;
                done.map_err(|(place, error)| (place, Fault::of(&Sqlite, error)))
            }
            Self::Postgres(connection) => {
                let ended = connection.fetch_many(text);
                let done = answers::each(ended, PgQueryResult::rows_affected).await;
                done.map_err(|(place, error)| (place, Fault::of(&Postgres, error)))
            }
            Self::MySql(connection) => {
                let ended = connection.fetch_many(text);
                let done = answers::each(ended, MySqlQueryResult::rows_affected).await;
                done.map_err(|(place, error)| (place, Fault::of(&MySql, error)))
            }
        }
    }

    /// Runs several statements of one text and tells what each has done. On
    /// SQLite they share parameters, and are prepared once; on MariaDB they
    /// have none. PostgreSQL does more in one statement.
    pub(super) async fn script(&mut self, statement: &Statement) -> Result<Vec<Done>, Fault> {
        if let Self::MySql(connection) = self {
            return mariadb::script(connection, statement).await;
        }
        let Self::Sqlite(connection, _) = self else {
            let text = "this database has no scripts";
            let error = sqlx::Error::Configuration(text.into());
            return with!(self, _connection => Err(error));
        };
        let ended = connection.fetch_many(query!(statement, true));
        let done = answers::each(ended, SqliteQueryResult::rows_affected).await;
        done.map_err(|(_, error)| Fault::of(&Sqlite, error))
    }

    /// Runs a query whose columns are all text.
    pub(super) async fn query(&mut self, statement: &Statement) -> Result<Vec<Row>, Fault> {
        if let Self::MySql(connection) = self {
            return mariadb::query(connection, statement).await;
        }
        if let (Self::Postgres(connection), []) = (&mut *self, statement.parameters.as_slice()) {
            let sql = AssertSqlSafe(statement.sql.clone()).into_sql_str();
            let rows = connection.fetch_all(sqlx::raw_sql(sql)).await;
            let rows = rows.and_then(|rows| answers::all_texts(&rows));
            return rows.map_err(|error| Fault::of(&Postgres, error));
        }
        with!(self, connection => {
            let rows = connection.fetch_all(query!(statement)).await;
            rows.and_then(|rows| answers::all_texts(&rows))
        })
    }

    /// Like [`Session::query`], for a statement that will be asked again on
    /// this connection: it is prepared once.
    pub(super) async fn ask(&mut self, statement: &Statement) -> Result<Vec<Row>, Fault> {
        with!(self, connection => {
            let rows = connection.fetch_all(query!(statement, true)).await;
            rows.and_then(|rows| answers::all_texts(&rows))
        })
    }

    /// Runs a text that begins a transaction, and asks questions inside it, in
    /// one round trip.
    pub(super) async fn begin_asking(
        &mut self,
        begin: &str,
        asking: &Asking,
    ) -> Result<Vec<Row>, Fault> {
        if let Self::Postgres(connection) = self {
            let rows = named::ask_behind(connection, begin, asking).await;
            return rows.map_err(|error| Fault::of(&Postgres, error));
        }
        let text = Statement::new(
            format!("{begin};\n{}", asking.statement.sql),
            asking.statement.parameters.clone(),
        );
        if let Self::Sqlite(connection, _) = self {
            let rows = answers::of_last(connection.fetch_many(query!(text, true))).await;
            return rows.map_err(|error| Fault::of(&Sqlite, error));
        }
        Ok(asking.answers(self.script(&text).await?))
    }

    /// Asks several questions at once.
    pub(super) async fn ask_all(&mut self, asking: &Asking) -> Result<Vec<Row>, Fault> {
        match self {
            Self::MySql(_) => Ok(asking.answers(self.script(&asking.statement).await?)),
            Self::Sqlite(..) | Self::Postgres(_) => self.ask(&asking.statement).await,
        }
    }

    /// Like [`Session::ask`], outside an operation's transaction: what is read
    /// there is nearly always the same.
    pub(super) async fn rows(&mut self, statement: &Statement) -> Result<Vec<Row>, Error> {
        let answer = self.ask(statement).await;
        answer.map_err(|fault| fault.during("reading"))
    }

    /// The one text that a query answers.
    pub(super) async fn text(&mut self, statement: &Statement) -> Result<String, Error> {
        let rows = self.rows(statement).await?;
        let first = rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next());
        first
            .flatten()
            .ok_or_else(|| Error::Unexpected(format!("no answer to {}", statement.sql)))
    }

    /// The product and its version.
    pub(super) async fn version(&mut self) -> Result<String, Error> {
        let (product, question) = match self {
            Self::Sqlite(..) => ("SQLite", "SELECT sqlite_version()"),
            Self::Postgres(_) => ("PostgreSQL", "SELECT current_setting('server_version')"),
            Self::MySql(_) => ("MariaDB", "SELECT SUBSTRING_INDEX(VERSION(), '-', 1)"),
        };
        let version = self.text(&Statement::plain(question)).await?;
        Ok(format!("{product} {version}"))
    }

    /// True when a table that the connection keeps is new to it.
    pub(super) fn learns(&self, table: &str) -> bool {
        match self {
            Self::Sqlite(connection, _) => connection.learns(table),
            Self::Postgres(_) | Self::MySql(_) => true,
        }
    }

    /// Takes it that a transaction that is undone takes away what it has made.
    pub(super) fn forget(&mut self) {
        if let Self::Sqlite(connection, _) = self {
            connection.forget();
        }
    }

    /// Says that the connection is idle, and keeps it at hand.
    pub(super) fn trust(&mut self) {
        match self {
            Self::Sqlite(connection, _) => connection.trust(),
            Self::Postgres(connection) => connection.trust(),
            Self::MySql(connection) => connection.trust(),
        }
    }

    /// Gives the connection up instead of back to the pool.
    pub(super) fn discard(&mut self) {
        match self {
            Self::Sqlite(connection, _) => connection.close_on_drop(),
            Self::Postgres(connection) => connection.close_on_drop(),
            Self::MySql(connection) => connection.close_on_drop(),
        }
    }

    /// Stops whatever statement is running once the moment has passed or the
    /// brake is pulled. A server keeps its own time, and is told of the brake
    /// by an [`Interrupter`].
    pub(super) fn stop_at(&mut self, moment: Option<Instant>, brake: Brake) {
        if let Self::Sqlite(_, stop) = self {
            stop.set(Some((moment, brake)));
        }
    }

    /// What stops a statement that runs on this connection; nothing where the
    /// connection sees to that itself.
    pub(super) async fn interrupter(
        &mut self,
        pool: &Pool,
        dialect: &dyn Dialect,
    ) -> Result<Option<Interrupter>, Fault> {
        let Some(question) = dialect.backend() else {
            return Ok(None);
        };
        let rows = self.ask(&Statement::plain(question)).await?;
        let backend = rows.first().map(|row| super::field(row, 0));
        Ok(backend.and_then(|backend| Interrupter::of(pool, backend)))
    }

    /// Has everything checked that a commit would check, and then undone;
    /// false where nothing is left to be checked, and nothing was done.
    ///
    /// SQLite asks its commit hook last, and turns the commit into a rollback
    /// when that says no.
    pub(super) async fn rehearse(&mut self) -> Result<bool, Fault> {
        let Self::Sqlite(connection, _) = self else {
            return Ok(false);
        };
        let fault = |error| Fault::of(&Sqlite, error);
        let mut handle = connection.lock_handle().await.map_err(fault)?;
        handle.set_commit_hook(|| false);
        drop(handle);
        let refused = connection.execute("COMMIT").await;
        let mut handle = connection.lock_handle().await.map_err(fault)?;
        handle.remove_commit_hook();
        drop(handle);
        match refused {
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(REFUSED) => {
                Ok(true)
            }
            Err(error) => Err(fault(error)),
            Ok(_) => Err(fault(sqlx::Error::Protocol(
                "the commit hook was not asked".to_owned(),
            ))),
        }
    }

    /// Lets statements run for as long as they take again.
    pub(super) async fn never_stop(&mut self) -> Result<(), Fault> {
        match self.stop_no_more() {
            "" => Ok(()),
            sql => self.batch(sql).await,
        }
    }

    /// The same, but for what the database has to be told, which goes before
    /// the next text.
    pub(super) fn stop_no_more(&mut self) -> &'static str {
        match self {
            Self::Sqlite(_, stop) => {
                stop.set(None);
                ""
            }
            Self::MySql(_) => mariadb::UNBOUNDED,
            Self::Postgres(_) => "",
        }
    }

    /// True when a transaction that was undone leaves nothing behind. On
    /// MariaDB its temporary tables stay, and so may its settings.
    pub(super) fn is_as_before(&self) -> bool {
        match self {
            Self::Sqlite(..) | Self::Postgres(_) => true,
            Self::MySql(_) => false,
        }
    }
}
