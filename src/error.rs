//! Every way an operation fails, free of the wire's codes.

use std::time::Duration;

use crate::{access, guard, journal, operation::OperationId, plan, target};

/// Why an operation failed. Nothing was changed, but for
/// [`target::Error::InDoubt`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the request is wrong.
    #[error("{field}: {problem}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] access::Denied),
    /// The server has no target of this name.
    #[error("there is no target {name}; this server has {known}")]
    TargetNotFound {
        /// What was asked.
        name: String,
        /// What there is.
        known: String,
    },
    /// The policy has no recipe of this name.
    #[error("there is no recipe {name}; the policy of this target has {known}")]
    RecipeNotFound {
        /// What was asked.
        name: String,
        /// What there is.
        known: String,
    },
    /// The cache cannot be cleared.
    #[error("the cache was not cleared, or not all of it: {0}")]
    Cache(String),
    /// A guard refuses.
    #[error("{0}")]
    Refused(guard::Refused),
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] plan::Error),
    /// The target could not do it.
    #[error(transparent)]
    Target(target::Error),
    /// It could not be recorded, and so was not done.
    #[error("{0}, so nothing was done")]
    Journal(#[from] journal::Error),
    /// The request id stands for another request.
    #[error("request_id {0} was used with another request: make a new one for each request")]
    RequestReused(uuid::Uuid),
    /// The request id is older than the journal remembers.
    #[error("request_id {0} is more than seven days old: make a new one for each request")]
    RequestTooOld(uuid::Uuid),
    /// Other operations hold the target.
    #[error("the target is held by {holders}: try again when it has ended")]
    InProgress {
        /// Which, and whose.
        holders: String,
    },
    /// The journal has no such operation on a target that the caller may see.
    #[error("there is no operation {0}")]
    OperationNotFound(String),
    /// The operation has ended, or its commit has begun.
    #[error("operation {0} cannot be cancelled any more")]
    NotCancellable(OperationId),
    /// The operation has failed; this is what its caller was told.
    #[error("{message}")]
    Recorded {
        /// The reason, as its caller saw it.
        reason: String,
        /// The same in words.
        message: String,
    },
    /// The server is stopping.
    #[error("the server is stopping and takes no new operations")]
    Draining,
    /// A command that has to succeed first did not.
    #[error("hook {command} {problem}; nothing was changed")]
    Hook {
        /// Its program.
        command: String,
        /// Why.
        problem: String,
    },
    /// The server is stopping, and has stopped this.
    #[error("the server is stopping; the operation was rolled back")]
    Stopped,
    /// The deadline had passed before anything began.
    #[error("the deadline passed during {phase}; nothing was changed")]
    DeadlineExceeded {
        /// What was being done.
        phase: String,
    },
    /// The program broke a rule of its own.
    #[error("the operation failed inside the server and was rolled back")]
    Invariant,
}

/// A failed operation: why, which, and how long it took.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub error: Error,
    /// Its id in the journal, when it got that far.
    pub operation: Option<OperationId>,
    /// How long it took.
    pub took: Duration,
}

impl From<target::Error> for Error {
    fn from(error: target::Error) -> Self {
        match error {
            target::Error::Refused(refused) => Self::Refused(refused),
            target::Error::DeadlineExceeded { phase } => Self::DeadlineExceeded { phase },
            other => Self::Target(other),
        }
    }
}

impl From<guard::Refused> for Error {
    fn from(refused: guard::Refused) -> Self {
        Self::Refused(refused)
    }
}
