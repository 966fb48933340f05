//! Every way the target fails, and what its driver's errors mean.

use sqlx::mysql::MySqlDatabaseError;

use super::LOCK_TIMEOUT;
use crate::{
    dialect::{Class, Dialect},
    guard::{Refusal, Refused},
    plan::Problem,
};

/// Why the target could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached.
    #[error("the database of the target cannot be reached")]
    Unavailable(#[source] sqlx::Error),
    /// The server is of a product that is not served.
    #[error("the server is {0}, and MariaDB 10.6 or newer is served: connect to one")]
    Product(String),
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
    /// A statement of a seed failed.
    #[error("statement {statement} of {file} failed, so nothing was changed: {source}")]
    Seed {
        /// The file.
        file: String,
        /// Its place in the file, from 1.
        statement: usize,
        /// Why.
        source: Box<Error>,
    },
    /// Other transactions were in the way, each time it was tried.
    #[error("other transactions were in the way {0} times: try again")]
    Conflict(u32),
    /// Somebody stopped the operation before its commit.
    #[error("the operation was cancelled before its commit; nothing was changed")]
    Cancelled,
    /// What would be done is not what the dry run showed.
    #[error(
        "what the dry run showed is not what would be done now: do it again, and send its plan_token"
    )]
    Stale,
    /// Another server has ended the operation meanwhile.
    #[error(
        "another server took this one for dead and has ended the operation; nothing was changed"
    )]
    Overtaken,
    /// Effects of an earlier reset of this user are still to be applied.
    #[error(
        "effects of an earlier reset of {0} are still to be applied: try again, or see GetStatus for what keeps them"
    )]
    EffectsPending(String),
    /// The database has no room left.
    #[error("the database has no room left for {step}")]
    Full {
        /// What was being done.
        step: String,
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
    /// The connection was lost at the commit, which did not happen.
    #[error("the connection was lost at the commit, which did not happen")]
    Lost,
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

/// The only step in which a unique value that exists already is the caller's
/// own; in all others it is a constraint like any other.
pub(super) const CREATING: &str = "creating the user";

/// A failed statement, before it is known what was being done.
#[derive(Debug)]
pub struct Fault {
    /// What it means.
    pub class: Class,
    /// The driver's own error, for the log.
    pub source: sqlx::Error,
}

impl Fault {
    /// What a driver's error means to this dialect.
    pub(super) fn of(dialect: &dyn Dialect, source: sqlx::Error) -> Self {
        let class = match &source {
            sqlx::Error::Database(error) => {
                let own = error.try_downcast_ref::<MySqlDatabaseError>();
                let code = match own {
                    Some(own) => Some(own.number().to_string()),
                    None => error.code().map(std::borrow::Cow::into_owned),
                };
                dialect.classify(code.as_deref().unwrap_or(""), error.message())
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Class::Unavailable,
            _ => Class::Other,
        };
        Self { class, source }
    }

    /// True when the proof of a commit was there already. SQLite names the
    /// column instead of the constraint, and MariaDB neither; but nothing else
    /// that has to be unique is written with a commit.
    pub(super) fn refuses_proof(&self) -> bool {
        match &self.source {
            sqlx::Error::Database(error) => {
                error.constraint() == Some("commit_pkey")
                    || self.class == Class::Duplicate
                        && (error.message().ends_with(": resetd_commit.operation_id")
                            || error.try_downcast_ref::<MySqlDatabaseError>().is_some())
            }
            _ => false,
        }
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
            Class::Duplicate if step == CREATING => Error::Duplicate,
            Class::Violation | Class::Duplicate => Error::Violation {
                step,
                detail: self.words(),
            },
            Class::Retry => Error::Conflict(1),
            Class::Busy => Error::Busy,
            Class::Full => Error::Full { step },
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
