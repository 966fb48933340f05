//! Connections: native pools behind one small face, and what their errors
//! mean.

use std::{path::PathBuf, time::Duration};

use sqlx::{
    AssertSqlSafe, Executor as _, Row as _, SqlSafeStr as _,
    pool::PoolConnection,
    sqlite::{Sqlite, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions},
};

use super::LOCK_TIMEOUT;
use crate::{
    dialect::{Class, Dialect, Row, Sqlite as SqliteDialect, Statement},
    guard::{Refusal, Refused},
    plan::Problem,
};

/// How a target is reached. It can hold a password, so it does not print.
#[derive(Clone)]
pub enum Credentials {
    /// A SQLite file.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Whether a file that is not there is made.
        create: bool,
    },
}

/// Why the target could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached.
    #[error("the database of the target cannot be reached")]
    Unavailable(#[source] sqlx::Error),
    /// Another operation held the target for too long.
    #[error("another operation held the target for more than {} seconds", LOCK_TIMEOUT.as_secs())]
    Busy,
    /// The policy does not fit the database.
    #[error("the policy of target {target} does not fit its database: {}", super::problems(.problems))]
    Policy {
        /// The target.
        target: String,
        /// What is wrong.
        problems: Vec<Problem>,
    },
    /// A guard refuses.
    #[error("{0}")]
    Refused(Refused),
    /// What the guards saw has changed since.
    #[error("{0} changed between the check and the execution")]
    Changed(&'static str),
    /// No user has this key or e-mail.
    #[error("no user has {field} {value}")]
    UserNotFound {
        /// Which field was asked by.
        field: &'static str,
        /// What was asked.
        value: String,
    },
    /// Several users match.
    #[error("{count} users have {field} {value}: name one by its key")]
    UserAmbiguous {
        /// Which field was asked by.
        field: &'static str,
        /// What was asked.
        value: String,
        /// How many.
        count: usize,
    },
    /// A value that has to be unique exists already.
    #[error("a user with this e-mail, or another unique value of it, exists already")]
    Duplicate,
    /// A constraint or a trigger refused.
    #[error("{step} failed: {detail}")]
    Violation {
        /// The step.
        step: String,
        /// What refused, as far as it can be told.
        detail: String,
    },
    /// The deadline passed; everything was rolled back.
    #[error("the deadline passed during {phase}; nothing was changed")]
    DeadlineExceeded {
        /// What was being done.
        phase: String,
    },
    /// The database takes no writes.
    #[error("the database is read-only")]
    ReadOnly,
    /// Our role lacks a privilege.
    #[error("the database role lacks a privilege that {step} needs")]
    Permission {
        /// What was being done.
        step: String,
    },
    /// The connection was lost at the commit.
    #[error("the connection was lost at the commit, which may or may not have happened")]
    InDoubt,
    /// Anything else that the database says.
    #[error("the database failed during {step}")]
    Database {
        /// What was being done.
        step: String,
        /// Its own words, for the log.
        #[source]
        source: sqlx::Error,
    },
    /// The database answered what it never should.
    #[error("the database answered unexpectedly: {0}")]
    Unexpected(String),
}

/// A failed statement, before it is known what was being done.
#[derive(Debug)]
pub struct Fault {
    /// What it means.
    pub class: Class,
    /// The driver's own error, for the log.
    pub source: sqlx::Error,
}

/// The connections of one target.
#[derive(Debug)]
pub(super) enum Pool {
    Sqlite {
        /// One connection: SQLite has one writer at a time, and waiting for a
        /// turn here is fair, which its own locks are not.
        writer: SqlitePool,
        reader: SqlitePool,
    },
}

/// One connection, for as long as it is needed.
#[derive(Debug)]
pub(super) enum Session {
    Sqlite(PoolConnection<Sqlite>),
}

impl Credentials {
    pub(super) fn redacted(&self) -> String {
        match self {
            Self::Sqlite { path, .. } => format!("sqlite:{}", path.display()),
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
            Credentials::Sqlite { path, create } => {
                let mut options = SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(*create)
                    .foreign_keys(true)
                    .busy_timeout(LOCK_TIMEOUT)
                    .pragma("temp_store", "MEMORY");
                // The journal's mode is a property of the file: that of a file
                // which was there before is its owner's to choose.
                if *create {
                    options = options.journal_mode(SqliteJournalMode::Wal);
                }
                let pool = |connections| {
                    SqlitePoolOptions::new()
                        .max_connections(connections)
                        .acquire_timeout(LOCK_TIMEOUT)
                        .test_before_acquire(false)
                };
                // A missing or broken file is told at once, not after the
                // pool's time-out.
                let writer = pool(1)
                    .connect_with(options.clone())
                    .await
                    .map_err(Error::Unavailable)?;
                Ok(Self::Sqlite {
                    writer,
                    reader: pool(4).connect_lazy_with(options),
                })
            }
        }
    }

    /// A connection for reading.
    pub(super) async fn acquire(&self, patience: Duration) -> Result<Session, Error> {
        let Self::Sqlite { reader, .. } = self;
        Self::take(reader, patience).await
    }

    /// A connection for changing: the right to be the one who does.
    pub(super) async fn acquire_writer(&self, patience: Duration) -> Result<Session, Error> {
        let Self::Sqlite { writer, .. } = self;
        Self::take(writer, patience).await
    }

    async fn take(pool: &SqlitePool, patience: Duration) -> Result<Session, Error> {
        match tokio::time::timeout(patience, pool.acquire()).await {
            Ok(Ok(connection)) => Ok(Session::Sqlite(connection)),
            Err(_) | Ok(Err(sqlx::Error::PoolTimedOut)) => Err(Error::Busy),
            Ok(Err(error)) => Err(Error::Unavailable(error)),
        }
    }

    pub(super) async fn close(&self) {
        let Self::Sqlite { writer, reader } = self;
        reader.close().await;
        writer.close().await;
    }
}

impl Session {
    /// Runs a statement and tells how many rows it changed.
    pub(super) async fn run(&mut self, statement: &Statement) -> Result<u64, Fault> {
        let Self::Sqlite(connection) = self;
        // Every statement is made by a dialect from quoted names; values that
        // callers give are always parameters.
        let sql = AssertSqlSafe(statement.sql.clone()).into_sql_str();
        let mut query = sqlx::query(sql).persistent(false);
        for parameter in &statement.parameters {
            query = query.bind(parameter);
        }
        let done = connection.execute(query).await.map_err(Fault::sqlite)?;
        Ok(done.rows_affected())
    }

    /// Runs several statements of one text.
    pub(super) async fn batch(&mut self, sql: &str) -> Result<(), Fault> {
        let Self::Sqlite(connection) = self;
        let sql = AssertSqlSafe(sql.to_owned()).into_sql_str();
        let batch = sqlx::raw_sql(sql);
        connection.execute(batch).await.map_err(Fault::sqlite)?;
        Ok(())
    }

    /// Runs a query whose columns are all text.
    pub(super) async fn query(&mut self, statement: &Statement) -> Result<Vec<Row>, Fault> {
        let Self::Sqlite(connection) = self;
        let sql = AssertSqlSafe(statement.sql.clone()).into_sql_str();
        let mut query = sqlx::query(sql).persistent(false);
        for parameter in &statement.parameters {
            query = query.bind(parameter);
        }
        let rows = connection.fetch_all(query).await.map_err(Fault::sqlite)?;
        rows.iter()
            .map(|row| {
                (0..row.len())
                    .map(|index| row.try_get(index))
                    .collect::<Result<Row, _>>()
                    .map_err(Fault::sqlite)
            })
            .collect()
    }

    /// Like [`Session::query`], outside an operation's transaction.
    pub(super) async fn rows(&mut self, statement: &Statement) -> Result<Vec<Row>, Error> {
        let answer = self.query(statement).await;
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
        let Self::Sqlite(_) = self;
        let version = self
            .text(&Statement::plain("SELECT sqlite_version()"))
            .await?;
        Ok(format!("SQLite {version}"))
    }

    /// Gives the connection up instead of back to the pool.
    pub(super) fn discard(&mut self) {
        let Self::Sqlite(connection) = self;
        connection.close_on_drop();
    }

    /// Stops whatever statement is running once the moment has passed.
    pub(super) async fn stop_at(&mut self, moment: std::time::Instant) -> Result<(), Fault> {
        let Self::Sqlite(connection) = self;
        let mut handle = connection.lock_handle().await.map_err(Fault::sqlite)?;
        handle.set_progress_handler(1_000, move || std::time::Instant::now() < moment);
        Ok(())
    }

    /// Lets statements run for as long as they take again.
    pub(super) async fn never_stop(&mut self) -> Result<(), Fault> {
        let Self::Sqlite(connection) = self;
        let mut handle = connection.lock_handle().await.map_err(Fault::sqlite)?;
        handle.remove_progress_handler();
        Ok(())
    }
}

impl Fault {
    fn sqlite(source: sqlx::Error) -> Self {
        let class = match &source {
            sqlx::Error::Database(error) => {
                SqliteDialect.classify(error.code().as_deref().unwrap_or(""), error.message())
            }
            sqlx::Error::Io(_) | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Class::Unavailable
            }
            _ => Class::Other,
        };
        Self { class, source }
    }

    /// The database's own words, which are for the log only.
    fn words(&self) -> String {
        match &self.source {
            sqlx::Error::Database(error) => error.message().to_owned(),
            other => other.to_string(),
        }
    }

    /// The error, now that it is known what was being done.
    pub(super) fn during(self, step: &str) -> Error {
        let step = step.to_owned();
        match self.class {
            Class::Violation => Error::Violation {
                step,
                detail: self.words(),
            },
            Class::Duplicate => Error::Duplicate,
            Class::Retry | Class::Busy => Error::Busy,
            Class::ReadOnly => Error::ReadOnly,
            Class::Permission => Error::Permission { step },
            Class::Interrupted => Error::DeadlineExceeded { phase: step },
            Class::Unavailable => Error::Unavailable(self.source),
            Class::Other => Error::Database {
                step,
                source: self.source,
            },
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Refused::from(refusal))
    }
}
