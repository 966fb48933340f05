//! The audit journal: who asked for what, and what came of it.
//!
//! An operation is written down before it starts and again when it has ended;
//! a refused call is written down too. The journal is append-only, and it
//! fails closed: what cannot be recorded is not done.

mod store;

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    access::Role,
    operation::{Action, Changes, OperationId},
};

/// The journal of one server, in a SQLite file of its own.
#[derive(Debug)]
pub struct Journal {
    store: store::Store,
}

/// An operation that is about to start.
#[derive(Debug, Clone, Serialize)]
pub struct Intent<'a> {
    /// Its id.
    pub operation: OperationId,
    /// Who asked.
    pub actor: &'a str,
    /// With which role.
    pub role: Role,
    /// On which target.
    pub target: &'a str,
    /// For what. Passwords are not part of it.
    pub action: &'a Action,
}

/// An operation that was written down and has not ended; consumed by
/// [`Journal::close`], so that nothing ends twice.
#[derive(Debug)]
pub struct Entry {
    operation: OperationId,
}

/// What came of an operation.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Outcome<'a> {
    /// It was committed.
    Committed {
        /// What it changed.
        changes: &'a Changes,
    },
    /// It was a dry run, and rolled back.
    Validated {
        /// What it would have changed.
        changes: &'a Changes,
    },
    /// It created a user.
    Created {
        /// Their key; empty in a dry run that numbers keys.
        user: &'a str,
        /// True when it was a dry run.
        validate_only: bool,
    },
    /// It changed nothing.
    Failed {
        /// The reason, as callers see it.
        reason: &'a str,
        /// The message, as callers see it.
        message: &'a str,
    },
    /// Nobody knows whether it was committed.
    InDoubt,
    /// Its server ended before it; a later one looked for the proof of its
    /// commit.
    Recovered {
        /// Whether the proof was there.
        committed: bool,
    },
}

/// The record of an ended operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// The operation.
    pub operation: OperationId,
    /// Its place in the journal.
    pub sequence: i64,
}

/// A call that was refused before it became an operation.
#[derive(Debug, Clone, Serialize)]
pub struct RefusedCall<'a> {
    /// Who asked; empty for a caller that proved nothing.
    pub actor: &'a str,
    /// The reason, as callers see it.
    pub reason: &'a str,
    /// The message, as callers see it.
    pub message: &'a str,
}

/// Why the journal does not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be opened.
    #[error("the audit journal {path} cannot be opened")]
    Open {
        /// Its file.
        path: String,
        /// The driver's own words, for the log.
        #[source]
        source: sqlx::Error,
    },
    /// It was written by a later version of this program.
    #[error("the audit journal {path} has format {found}, and this version knows {known}")]
    Newer {
        /// Its file.
        path: String,
        /// Its format.
        found: i64,
        /// The latest format that is known here.
        known: i64,
    },
    /// It cannot be written.
    #[error("the audit journal cannot be written")]
    Write(#[source] sqlx::Error),
    /// A record cannot be put into words.
    #[error("a journal record cannot be encoded")]
    Encode(#[from] serde_json::Error),
}

#[derive(Serialize)]
struct Closing<'a> {
    #[serde(flatten)]
    outcome: &'a Outcome<'a>,
    duration_ms: u64,
}

impl Entry {
    /// The operation's id.
    #[must_use]
    pub fn operation(&self) -> OperationId {
        self.operation
    }
}

impl Journal {
    /// Opens the journal in this file, and makes it when it is not there.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or written, or is of a later version.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            store: store::Store::open(path).await?,
        })
    }

    /// Writes an operation down before it starts; durable when this returns.
    ///
    /// # Errors
    ///
    /// When it cannot be written; then the operation must not start.
    pub async fn begin(&self, intent: &Intent<'_>, at: Timestamp) -> Result<Entry, Error> {
        let body = serde_json::to_string(intent)?;
        let operation = intent.operation;
        self.store.append(operation, "intent", at, &body).await?;
        Ok(Entry { operation })
    }

    /// Writes down what came of an operation.
    ///
    /// # Errors
    ///
    /// When it cannot be written. The operation has ended all the same.
    pub async fn close(
        &self,
        entry: Entry,
        outcome: &Outcome<'_>,
        at: Timestamp,
        took: Duration,
    ) -> Result<AuditRecord, Error> {
        let body = serde_json::to_string(&Closing {
            outcome,
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        })?;
        let operation = entry.operation;
        let sequence = self.store.append(operation, "outcome", at, &body).await?;
        Ok(AuditRecord {
            operation,
            sequence,
        })
    }

    /// Writes down a call that was refused.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub async fn refuse(
        &self,
        operation: OperationId,
        call: &RefusedCall<'_>,
        at: Timestamp,
    ) -> Result<(), Error> {
        let body = serde_json::to_string(call)?;
        self.store.append(operation, "refused", at, &body).await?;
        Ok(())
    }

    /// The operations that were written down and have not ended, each with
    /// its target.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn unfinished(&self) -> Result<Vec<(Entry, String)>, Error> {
        let found = self.store.unfinished().await?;
        let entries = found.into_iter();
        let entries = entries.map(|(operation, target)| (Entry { operation }, target));
        Ok(entries.collect())
    }

    /// Closes the file.
    pub async fn shut(&self) {
        self.store.close().await;
    }
}
