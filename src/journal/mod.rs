//! The audit journal: who asked for what, and what came of it.
//!
//! An operation is written down before it starts and again when it has ended;
//! a refused call is written down too. Records are only added, and chained by
//! their hashes, so that a change or a missing end shows. The journal fails
//! closed: what cannot be recorded is not done.
//!
//! Beside the chain stands what changes: how far each operation is, which
//! request ids are known and what a repeat is answered with, and which servers
//! are alive. In PostgreSQL any number of servers share one journal.

mod chain;
mod format;
mod pen;
mod place;
mod read;
mod seal;
#[cfg(test)]
mod tests;
mod writer;

pub use chain::{Flaw, Verification};
pub use place::Place;
pub use read::{EventRecord, Filter, OperationRecord};

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use place::{Pool, values};
use seal::Keys;
use writer::{Beginning, Closing, Command, Event, Record};

use crate::{
    access::Role,
    operation::{Action, Changes, EffectCounts, Mode, OperationId},
};

/// Connections for reading.
const READERS: u32 = 4;

/// A journal, as one server has it.
#[derive(Debug)]
pub struct Journal {
    server: ServerId,
    readers: Pool,
    writer: Pool,
    keys: Arc<Keys>,
    commands: mpsc::UnboundedSender<Command>,
    /// How many ends nobody has waited for and are not written yet.
    unwritten: Arc<AtomicUsize>,
}

/// A server process; each has an id of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerId(Uuid);

/// An operation that is about to start.
#[derive(Debug, Clone, Serialize)]
pub struct Intent<'a> {
    /// Its id.
    pub operation: OperationId,
    /// The operation that it follows, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<OperationId>,
    /// Who asked.
    pub actor: &'a str,
    /// With which role.
    pub role: Role,
    /// On which target.
    pub target: &'a str,
    /// For what. Passwords are not part of it.
    pub action: &'a Action,
    /// The caller's id for the request, and all that it stands for.
    #[serde(skip)]
    pub request: Option<(Uuid, &'a [u8])>,
    /// The id of the plan token that is used up by this.
    #[serde(skip)]
    pub plan: Option<&'a str>,
}

/// An operation that was written down and has not ended; consumed by
/// [`Journal::close`], so that nothing ends twice.
#[derive(Debug)]
pub struct Entry {
    operation: OperationId,
}

/// What came of writing an intent down.
#[derive(Debug)]
pub enum Begun {
    /// The operation may start.
    New(Entry),
    /// This request was begun before, and has not failed.
    Repeat(Repeat),
    /// This request id stands for another request.
    AnotherBody,
    /// This request id is older than the journal remembers.
    RequestTooOld,
    /// The plan token was used before.
    PlanSpent,
}

/// A request that was begun before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// The operation that it is.
    pub operation: OperationId,
    /// How far that one is.
    pub state: State,
    /// What it was answered with, as JSON.
    pub reply: Option<String>,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has not ended.
    Open,
    /// Nobody knows yet whether it was committed.
    InDoubt,
    /// It was committed, and effects are still to be applied.
    EffectsPending,
    /// It has ended well.
    Complete,
    /// It has changed nothing.
    Failed,
}

/// Whether an operation was ended just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// It was.
    Now,
    /// Somebody else has ended it before.
    Already,
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
    /// It cleared a cache.
    Cleared {
        /// The keys that were removed.
        keys: u64,
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
        /// What it changed, if it did.
        #[serde(skip_serializing_if = "Option::is_none")]
        changes: Option<&'a Changes>,
    },
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

/// How long what is kept is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Records, operations and events.
    pub records: SignedDuration,
}

/// Why the journal does not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be opened.
    #[error("the audit journal {place} cannot be opened")]
    Open {
        /// Where it is.
        place: String,
        /// The driver's own words, for the log.
        #[source]
        source: sqlx::Error,
    },
    /// It was written by a later version of this program.
    #[error("the audit journal {place} has format {found}, and this version knows {known}")]
    Newer {
        /// Where it is.
        place: String,
        /// Its format.
        found: i64,
        /// The latest format that is known here.
        known: i64,
    },
    /// It cannot be written.
    #[error("the audit journal cannot be written")]
    Write(#[source] Arc<sqlx::Error>),
    /// It cannot be read.
    #[error("the audit journal cannot be read")]
    Read(#[source] sqlx::Error),
    /// It takes no more, as the server is stopping.
    #[error("the audit journal is closed")]
    Closed,
    /// A record cannot be put into words.
    #[error("a journal record cannot be encoded")]
    Encode(#[from] serde_json::Error),
    /// The system gives no random bytes for a key.
    #[error("the audit journal has no key: the system gives no random bytes")]
    Random,
}

impl Error {
    fn written(error: sqlx::Error) -> Self {
        Self::Write(Arc::new(error))
    }
}

#[derive(Serialize)]
struct Ending<'a> {
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

impl ServerId {
    /// The id of a process that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl Default for ServerId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::InDoubt => "in_doubt",
            Self::EffectsPending => "effects_pending",
            Self::Complete => "complete",
            Self::Failed => "failed",
        }
    }

    fn read(name: &str) -> Self {
        let all = [
            Self::InDoubt,
            Self::EffectsPending,
            Self::Complete,
            Self::Failed,
        ];
        let found = all.into_iter().find(|state| state.name() == name);
        found.unwrap_or(Self::Open)
    }
}

impl Outcome<'_> {
    fn state(&self) -> State {
        let changes = match self {
            Self::Committed { changes } => Some(*changes),
            Self::Recovered {
                committed: true,
                changes,
            } => *changes,
            Self::Validated { .. } | Self::Created { .. } | Self::Cleared { .. } => None,
            Self::InDoubt => return State::InDoubt,
            Self::Failed { .. }
            | Self::Recovered {
                committed: false, ..
            } => return State::Failed,
        };
        match changes.is_some_and(|changes| changes.effects.pending > 0) {
            true => State::EffectsPending,
            false => State::Complete,
        }
    }
}

fn beginning(intent: &Intent<'_>, at: Timestamp) -> Result<Beginning, Error> {
    let mode = intent.action.mode().map(|mode| match mode {
        Mode::DryRun => "dry_run".to_owned(),
        Mode::Execute => "execute".to_owned(),
    });
    Ok(Beginning {
        operation: intent.operation,
        parent: intent.parent,
        target: intent.target.to_owned(),
        actor: intent.actor.to_owned(),
        role: intent.role.to_string(),
        action: intent.action.name().to_owned(),
        mode,
        body: serde_json::to_string(intent)?,
        at,
        request: intent.request.map(|(id, body)| (id, body.to_vec())),
        plan: intent.plan.map(str::to_owned),
    })
}

/// An end in words.
fn closing(
    entry: Entry,
    outcome: &Outcome<'_>,
    reply: Option<String>,
    at: Timestamp,
    took: Duration,
) -> Result<Box<Closing>, Error> {
    let body = serde_json::to_string(&Ending {
        outcome,
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    })?;
    let (reason, message) = match outcome {
        Outcome::Failed { reason, message } => {
            // PostgreSQL's texts have no letter NUL.
            let message = message.replace('\0', "\u{fffd}");
            (Some((*reason).to_owned()), Some(message))
        }
        Outcome::Recovered {
            committed: false, ..
        } => (
            Some("OPERATION_ABORTED".to_owned()),
            Some("its server ended before it was committed; nothing was changed".to_owned()),
        ),
        Outcome::Committed { .. }
        | Outcome::Validated { .. }
        | Outcome::Created { .. }
        | Outcome::Cleared { .. }
        | Outcome::InDoubt
        | Outcome::Recovered { .. } => (None, None),
    };
    Ok(Box::new(Closing {
        operation: entry.operation,
        state: outcome.state(),
        reason,
        message,
        reply,
        body,
        at: stamp(at),
        took_us: i64::try_from(took.as_micros()).unwrap_or(i64::MAX),
    }))
}

/// A moment in as many letters as any other, so that texts sort as times do.
fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

impl Journal {
    /// Opens the journal at this place, and makes it where there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be opened or written, or is of a later version.
    pub async fn open(place: &Place, server: ServerId, at: Timestamp) -> Result<Self, Error> {
        let journal = Self::open_beside(place, server, at).await?;
        journal.heartbeat(at)?;
        if !journal.writer.is_shared() {
            // A file has one server, and this is it.
            let sql = "UPDATE server SET ended_at = $1 WHERE ended_at IS NULL AND id <> $2";
            journal
                .beside(sql, values![stamp(at), server.to_string()])
                .await?;
        }
        Ok(journal)
    }

    /// The same for somebody who is no server: whoever serves is left alone.
    ///
    /// # Errors
    ///
    /// As of [`Journal::open`].
    pub async fn open_beside(
        place: &Place,
        server: ServerId,
        at: Timestamp,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Open {
            place: place.to_string(),
            source,
        };
        let writer = Pool::connect(place, 1).await.map_err(failed)?;
        format::prepare(&writer, place).await?;
        let readers = Pool::connect(place, READERS).await.map_err(failed)?;
        let keys = Arc::new(Keys::default());
        keys.load(&writer, at).await?;
        let (commands, queue) = mpsc::unbounded_channel();
        let unwritten = Arc::new(AtomicUsize::new(0));
        let desk = writer::Desk {
            pool: writer.clone(),
            keys: Arc::clone(&keys),
            server,
            unwritten: Arc::clone(&unwritten),
        };
        let written = writer::run(desk, queue);
        tokio::spawn(written);
        Ok(Self {
            server,
            readers,
            writer,
            keys,
            commands,
            unwritten,
        })
    }

    /// The server that writes here.
    #[must_use]
    pub fn server(&self) -> ServerId {
        self.server
    }

    fn send(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).map_err(|_| Error::Closed)
    }

    async fn asked<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Command,
    ) -> Result<T, Error> {
        let (asker, answer) = oneshot::channel();
        self.send(command(asker))?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    async fn beside(&self, sql: &'static str, values: Vec<place::Value>) -> Result<u64, Error> {
        self.asked(|asker| Command::Beside(sql, values, asker))
            .await
    }

    /// Writes an operation down before it starts; durable when what this
    /// gives completes. Whoever does not wait for that has not undone it.
    ///
    /// # Errors
    ///
    /// When it cannot be written; then the operation must not start.
    pub fn begin(
        &self,
        intent: &Intent<'_>,
        at: Timestamp,
    ) -> impl Future<Output = Result<Begun, Error>> + Send + use<> {
        let (asker, answer) = oneshot::channel();
        let sent = beginning(intent, at).and_then(|beginning| {
            let beginning = Box::new(beginning);
            self.send(Command::Begin(beginning, asker))
        });
        async move {
            sent?;
            answer.await.unwrap_or(Err(Error::Closed))
        }
    }

    /// Writes down what came of an operation, and what a repeat of its request
    /// is answered with.
    ///
    /// # Errors
    ///
    /// When it cannot be written. The operation has ended all the same, and it
    /// is written with a later heartbeat.
    pub async fn close(
        &self,
        entry: Entry,
        outcome: &Outcome<'_>,
        reply: Option<String>,
        at: Timestamp,
        took: Duration,
    ) -> Result<Closed, Error> {
        let closing = closing(entry, outcome, reply, at, took)?;
        self.asked(|asker| Command::Close(closing, Some(asker)))
            .await
    }

    /// The same without waiting for it: for what is proved elsewhere, so that
    /// nothing is lost with this process. It is written together with what
    /// comes next, within milliseconds, and whoever asks this journal sees it.
    ///
    /// # Errors
    ///
    /// When it cannot be put into words, or the journal is closed.
    pub fn close_later(
        &self,
        entry: Entry,
        outcome: &Outcome<'_>,
        reply: Option<String>,
        at: Timestamp,
        took: Duration,
    ) -> Result<(), Error> {
        let closing = closing(entry, outcome, reply, at, took)?;
        self.unwritten.fetch_add(1, Ordering::AcqRel);
        let sent = self.send(Command::Close(closing, None));
        if sent.is_err() {
            self.unwritten.fetch_sub(1, Ordering::AcqRel);
        }
        sent
    }

    /// Has everything written that nobody has waited for.
    async fn catch_up(&self) {
        if self.unwritten.load(Ordering::Acquire) == 0 {
            return;
        }
        let (asker, written) = oneshot::channel();
        if self.send(Command::Flush(asker)).is_ok() {
            // A writer that has ended has written all that it could.
            drop(written.await);
        }
    }

    /// Writes down that the effects of an operation were applied.
    ///
    /// # Errors
    ///
    /// When it cannot be written; it is written later then.
    pub async fn effects_done(
        &self,
        operation: OperationId,
        counts: EffectCounts,
        reply: Option<String>,
        at: Timestamp,
    ) -> Result<(), Error> {
        let sql = "UPDATE operation SET state = 'complete', reply = COALESCE($2, reply) \
                   WHERE id = $1 AND state = 'effects_pending'";
        let record = Box::new(Record {
            operation,
            kind: "effects",
            at: stamp(at),
            body: serde_json::to_string(&counts)?,
            beside: Some((sql, values![operation.to_string(), reply])),
        });
        self.asked(|asker| Command::Record(record, Some(asker)))
            .await
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
        let record = Box::new(Record {
            operation,
            kind: "refused",
            at: stamp(at),
            body: serde_json::to_string(call)?,
            beside: None,
        });
        self.asked(|asker| Command::Record(record, Some(asker)))
            .await
    }

    /// Has an event of an operation written down. Nobody waits for it; the
    /// events of one operation keep their order.
    pub fn event(&self, operation: OperationId, number: u64, at: Timestamp, body: String) {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let told = self.send(Command::Event(Event {
            operation,
            number,
            at: stamp(at),
            body,
        }));
        if let Err(error) = told {
            tracing::error!(%operation, %error, "event not recorded");
        }
    }

    /// Writes down that somebody wants an operation stopped. False when it is
    /// not open.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub async fn request_cancel(&self, operation: OperationId) -> Result<bool, Error> {
        let sql = "UPDATE operation SET cancel_requested = 1 WHERE id = $1 AND state = 'open'";
        let rows = self.beside(sql, values![operation.to_string()]).await?;
        Ok(rows > 0)
    }

    /// Says that this server lives.
    ///
    /// # Errors
    ///
    /// When the journal is closed.
    pub fn heartbeat(&self, at: Timestamp) -> Result<(), Error> {
        self.send(Command::Heartbeat(stamp(at)))
    }

    /// A seal that only servers of this journal can make.
    #[must_use]
    pub fn seal(&self, bytes: &[u8]) -> String {
        self.keys.seal(bytes)
    }

    /// True for a seal over these bytes by a server of this journal.
    #[must_use]
    pub fn is_sealed(&self, bytes: &[u8], seal: &str) -> bool {
        self.keys.is_sealed(bytes, seal)
    }

    /// Reads the keys again, which another server may have changed.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn reload_keys(&self, at: Timestamp) -> Result<(), Error> {
        self.keys.load(&self.readers, at).await
    }

    /// Makes a new key; gives its id. It seals after two hours, when every
    /// server has read it. What was sealed before still counts.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub async fn rotate_key(&self, at: Timestamp) -> Result<String, Error> {
        let id = seal::rotate(&self.readers, at).await?;
        self.reload_keys(at).await?;
        Ok(id)
    }

    /// Looks at every record of every chain.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn verify(&self) -> Result<Verification, Error> {
        self.catch_up().await;
        chain::verify(&self.readers, &self.keys).await
    }

    /// Takes away what is older than it is to be kept: replies and request
    /// ids after seven days, all else after the time that is given. Records go
    /// from the front of their chain, whose anchor says up to where.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub async fn retain(&self, keep: Retention, at: Timestamp) -> Result<u64, Error> {
        let week = SignedDuration::from_hours(24 * writer::REQUEST_DAYS);
        let before = |span: SignedDuration| at.checked_sub(span).map_or(String::new(), stamp);
        let (short, long) = (before(week), before(keep.records));
        let mut gone = 0;
        for sql in [
            "DELETE FROM request WHERE began_at < $1 AND operation_id NOT IN \
             (SELECT id FROM operation WHERE state IN ('open', 'in_doubt', 'effects_pending'))",
            "DELETE FROM spent WHERE at < $1",
            "DELETE FROM event WHERE at < $1",
            "UPDATE operation SET reply = NULL WHERE reply IS NOT NULL AND ended_at < $1 \
             AND state IN ('complete', 'failed')",
        ] {
            gone += self.beside(sql, values![short.clone()]).await?;
        }
        let sql = "DELETE FROM operation WHERE ended_at < $1 AND state IN ('complete', 'failed')";
        gone += self.beside(sql, values![long.clone()]).await?;
        gone += self.asked(|asker| Command::Prune(long, asker)).await?;
        Ok(gone)
    }

    /// Closes the connections of somebody who is no server.
    pub async fn leave(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Writes what is waiting, says that this server has ended, and closes
    /// the connections.
    pub async fn shut(&self) {
        let sql = "UPDATE server SET ended_at = seen_at WHERE id = $1";
        if let Err(error) = self.beside(sql, values![self.server.to_string()]).await {
            tracing::warn!(%error, "end of the server not recorded");
        }
        let (done, written) = oneshot::channel();
        if self.send(Command::End(done)).is_ok() {
            // A writer that has ended has written all that it could.
            drop(written.await);
        }
        self.readers.close().await;
        self.writer.close().await;
    }
}
