//! Where a journal is, and the connections to it.
//!
//! Both databases are spoken to in the same words: `$1` for parameters, and
//! every answer as text.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    path::PathBuf,
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Either, Executor as _, Row as _,
    SqlSafeStr as _,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode},
    sqlite::{
        SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
    },
};
use tokio_stream::StreamExt as _;

use super::Error;
use crate::address::TlsMode;

/// How long a connection, or the turn on one, is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Statements of one text that are kept prepared together: what one caller
/// gives. A crowd's texts are hardly ever the same twice.
const KEPT: usize = 12;

/// Where a journal is.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    /// In an SQLite file, for one server.
    Sqlite(PathBuf),
    /// In a schema of its own of a PostgreSQL database, for any number of
    /// servers.
    Postgres {
        /// The host.
        host: String,
        /// The port.
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
}

/// A value of a statement.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Optional(Option<String>),
    Number(i64),
}

/// A statement whose answer is not needed before the next one.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) sql: Cow<'static, str>,
    pub(super) values: Vec<Value>,
    pub(super) changes: Changes,
}

/// How many rows a statement has to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changes {
    Any,
    One,
}

/// A row of an answer, all of it text.
pub(super) type Row = Vec<Option<String>>;

/// The connections to a journal.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// One connection.
#[derive(Debug)]
pub(super) enum Connection {
    Sqlite(PoolConnection<sqlx::Sqlite>),
    Postgres(PoolConnection<sqlx::Postgres>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres {
                host,
                port,
                user,
                database,
                ..
            } => write!(f, "postgresql://{user}@{host}:{port}/{database}"),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Optional(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// Values of a statement, of whatever kind.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::journal::place::Value::from($value)),*] };
}
pub(super) use values;

impl Pool {
    /// Connects with at most this many connections.
    pub(super) async fn connect(place: &Place, most: u32) -> Result<Self, sqlx::Error> {
        match place {
            Place::Sqlite(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    // An intent must survive a power cut before its operation
                    // commits.
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(PATIENCE)
                    .disable_statement_logging();
                let pool = SqlitePoolOptions::new()
                    .max_connections(most)
                    .acquire_timeout(PATIENCE);
                pool.connect_with(options).await.map(Self::Sqlite)
            }
            Place::Postgres { .. } => {
                let options = server_options(place);
                // A pool tells a refused connection only after its time-out.
                let probe = sqlx::PgConnection::connect_with(&options);
                let probe = tokio::time::timeout(PATIENCE, probe).await;
                let probe = probe.map_err(|_| sqlx::Error::PoolTimedOut)??;
                probe.close().await?;
                let pool = PgPoolOptions::new()
                    .max_connections(most)
                    .acquire_timeout(PATIENCE)
                    .connect_lazy_with(options);
                Ok(Self::Postgres(pool))
            }
        }
    }

    pub(super) async fn acquire(&self) -> Result<Connection, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => pool.acquire().await.map(Connection::Sqlite),
            Self::Postgres(pool) => pool.acquire().await.map(Connection::Postgres),
        }
    }

    /// What an SQLite journal needs no word for.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// The rows that a question is answered with.
    pub(super) async fn rows(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>, Error> {
        let mut connection = self.acquire().await.map_err(Error::Read)?;
        connection.rows(sql, values).await.map_err(Error::Read)
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

fn server_options(place: &Place) -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass()
        .application_name("resetd journal")
        .options([
            ("search_path", "resetd_journal"),
            ("synchronous_commit", "on"),
            ("statement_timeout", "10s"),
            ("lock_timeout", "5s"),
        ])
        .disable_statement_logging();
    let Place::Postgres {
        host,
        port,
        user,
        password,
        database,
        tls,
    } = place
    else {
        return options;
    };
    let options = options
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
    match password {
        Some(password) => options.password(password),
        None => options,
    }
}

/// Every statement is a constant of this room; values are always parameters.
macro_rules! query {
    ($sql:expr, $values:expr) => {{
        let mut query = sqlx::query(AssertSqlSafe($sql.to_owned()).into_sql_str());
        for value in $values {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Optional(text) => query.bind(text),
                Value::Number(number) => query.bind(number),
            };
        }
        query
    }};
}

impl Connection {
    /// Runs a statement and tells how many rows it changed.
    pub(super) async fn run(&mut self, sql: &str, values: Vec<Value>) -> Result<u64, sqlx::Error> {
        match self {
            Self::Sqlite(connection) => {
                let done = query!(sql, values).execute(&mut **connection).await?;
                Ok(done.rows_affected())
            }
            Self::Postgres(connection) => {
                let done = query!(sql, values).execute(&mut **connection).await?;
                Ok(done.rows_affected())
            }
        }
    }

    /// Runs statements one after another, and tells how many rows each has
    /// changed. SQLite's thread is asked once for all of them: each time costs
    /// two switches between threads. Only its driver takes several statements
    /// with parameters; the others are asked for one after another.
    pub(super) async fn script(&mut self, lines: Vec<Line>) -> Result<Vec<u64>, sqlx::Error> {
        let Self::Sqlite(connection) = self else {
            let mut changed = Vec::with_capacity(lines.len());
            for line in lines {
                changed.push(self.run(&line.sql, line.values).await?);
            }
            return Ok(changed);
        };
        let is_kept = lines.len() <= KEPT;
        let (mut sql, mut values) = (String::new(), Vec::new());
        for line in lines {
            sql += &numbered_from(&line.sql, values.len());
            sql += ";";
            values.extend(line.values);
        }
        let query = query!(sql, values).persistent(is_kept);
        let mut answers = (&mut **connection).fetch_many(query);
        let mut changed = Vec::new();
        while let Some(answer) = answers.next().await {
            if let Either::Left(done) = answer? {
                changed.push(done.rows_affected());
            }
        }
        Ok(changed)
    }

    /// The rows that a question is answered with.
    pub(super) async fn rows(
        &mut self,
        sql: &str,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, sqlx::Error> {
        match self {
            Self::Sqlite(connection) => {
                let rows = query!(sql, values).fetch_all(&mut **connection).await?;
                rows.iter()
                    .map(|row| (0..row.len()).map(|index| row.try_get(index)).collect())
                    .collect()
            }
            Self::Postgres(connection) => {
                let rows = query!(sql, values).fetch_all(&mut **connection).await?;
                rows.iter()
                    .map(|row| (0..row.len()).map(|index| row.try_get(index)).collect())
                    .collect()
            }
        }
    }

    /// The first row, if there is one.
    pub(super) async fn row(
        &mut self,
        sql: &str,
        values: Vec<Value>,
    ) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Runs several statements of one text.
    pub(super) async fn batch(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()).into_sql_str());
        match self {
            Self::Sqlite(connection) => sql.execute(&mut **connection).await.map(|_| ()),
            Self::Postgres(connection) => sql.execute(&mut **connection).await.map(|_| ()),
        }
    }

    /// Gives the connection up: nobody knows what state it is in.
    pub(super) fn discard(mut self) {
        match &mut self {
            Self::Sqlite(connection) => connection.close_on_drop(),
            Self::Postgres(connection) => connection.close_on_drop(),
        }
    }
}

/// A statement whose first parameter comes after so many others.
fn numbered_from(sql: &str, others: usize) -> String {
    let mut parts = sql.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|letter: char| !letter.is_ascii_digit());
        let (number, rest) = part.split_at(end.unwrap_or(part.len()));
        let number = number.parse::<usize>().unwrap_or(0) + others;
        let _is_written = write!(text, "${number}{rest}");
    }
    text
}

/// A column of a row, empty for NULL.
pub(super) fn field(row: &Row, index: usize) -> &str {
    row.get(index)
        .and_then(Option::as_deref)
        .unwrap_or_default()
}
