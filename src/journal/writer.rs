//! The only one who writes: gathers what waits and commits it at once.
//!
//! Callers wait for the commit of what they gave, so many of them cost one
//! write. A caller that leaves changes nothing: its record is written, and
//! whoever looks for operations without an end finds it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::{
    Begun, Closed, Error, ServerId, State,
    pen::{End, Pen, Slip, Trust},
    place::{Connection, Pool, Value},
    seal::Keys,
    stamp,
};
use crate::operation::OperationId;

/// How many commands are committed together at most.
const TOGETHER: usize = 256;

/// Events in one statement; a statement has at most so many parameters.
const EVENTS_AT_ONCE: usize = 100;

/// How long what nobody waits for is kept for company: a caller's next
/// operation mostly comes sooner, and costs one write with it instead of two.
const COMPANY: Duration = Duration::from_millis(10);

/// What SQLite says to whoever has no turn.
const BUSY: u32 = 5;

/// How long a request's id is known.
pub(super) const REQUEST_DAYS: i64 = 7;

/// What is to be written, with whoever waits for it.
#[derive(Debug)]
pub(super) enum Command {
    Begin(Box<Beginning>, oneshot::Sender<Result<Begun, Error>>),
    Close(Box<Closing>, Option<oneshot::Sender<Result<Closed, Error>>>),
    Record(Box<Record>, Option<oneshot::Sender<Result<(), Error>>>),
    Event(Event),
    Heartbeat(String),
    /// A statement on what stands beside the chain, and its effect.
    Beside(
        &'static str,
        Vec<Value>,
        oneshot::Sender<Result<u64, Error>>,
    ),
    Prune(String, oneshot::Sender<Result<u64, Error>>),
    /// Tells when all that was given before is written.
    Flush(oneshot::Sender<()>),
    End(oneshot::Sender<()>),
}

/// How far an operation is.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) operation: OperationId,
    pub(super) number: i64,
    pub(super) at: String,
    pub(super) body: String,
}

/// An operation that begins.
#[derive(Debug, Clone)]
pub(super) struct Beginning {
    pub(super) operation: OperationId,
    pub(super) parent: Option<OperationId>,
    pub(super) target: String,
    pub(super) actor: String,
    pub(super) role: String,
    pub(super) action: String,
    pub(super) mode: Option<String>,
    pub(super) body: String,
    pub(super) at: Timestamp,
    /// The request's id and what it stands for.
    pub(super) request: Option<(uuid::Uuid, Vec<u8>)>,
    pub(super) plan: Option<String>,
}

/// An operation that ends.
#[derive(Debug, Clone)]
pub(super) struct Closing {
    pub(super) operation: OperationId,
    pub(super) state: State,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
    pub(super) reply: Option<String>,
    pub(super) body: String,
    pub(super) at: String,
    pub(super) took_us: i64,
}

/// A record of its own, with what it changes beside the chain.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) operation: OperationId,
    pub(super) kind: &'static str,
    pub(super) at: String,
    pub(super) body: String,
    pub(super) beside: Option<(&'static str, Vec<Value>)>,
}

/// What a writer writes with.
pub(super) struct Desk {
    pub(super) pool: Pool,
    pub(super) keys: Arc<Keys>,
    pub(super) server: ServerId,
    /// How many ends nobody has waited for and are not written yet.
    pub(super) unwritten: Arc<AtomicUsize>,
}

/// Writes until there is nobody left who could ask.
pub(super) async fn run(desk: Desk, mut commands: mpsc::UnboundedReceiver<Command>) {
    let mut writer = Writer {
        chain: desk.server.to_string(),
        desk,
        end: None,
        owed: Vec::new(),
    };
    let mut batch = Vec::new();
    while commands.recv_many(&mut batch, TOGETHER).await > 0 {
        if batch.iter().all(is_patient) {
            // What comes in time is written as well; else this alone.
            let more = commands.recv_many(&mut batch, TOGETHER);
            drop(tokio::time::timeout(COMPANY, more).await);
        }
        let patient = batch.iter().filter(|command| is_patient(command)).count();
        let mut flushed = Vec::new();
        let mut waiting = Vec::new();
        for command in batch.drain(..) {
            match command {
                Command::End(done) => {
                    writer.write(std::mem::take(&mut waiting)).await;
                    writer.settle().await;
                    // Whoever asked may have left.
                    let _is_waiting = done.send(());
                }
                Command::Flush(asker) => flushed.push(asker),
                other => waiting.push(other),
            }
        }
        let beats = waiting.iter().any(|c| matches!(c, Command::Heartbeat(_)));
        writer.write(waiting).await;
        writer.desk.unwritten.fetch_sub(patient, Ordering::AcqRel);
        for asker in flushed {
            // Whoever asked may have left.
            let _is_waiting = asker.send(());
        }
        if beats {
            writer.settle().await;
        }
    }
}

/// True for what nobody waits for.
fn is_patient(command: &Command) -> bool {
    matches!(command, Command::Close(_, None))
}

struct Writer {
    desk: Desk,
    chain: String,
    /// Where the chain ends, as was committed last; nothing when that is to be
    /// asked for.
    end: Option<End>,
    /// Ends that could not be written when they were given, and those of
    /// intents of which nobody knows whether they were.
    owed: Vec<Closing>,
}

/// Why commands were not written.
struct Miss {
    error: Arc<sqlx::Error>,
    /// False when there was no connection, or no turn on it: then no other
    /// command would fare better.
    was_tried: bool,
}

/// What came of one command.
pub(super) enum Answer {
    Begun(Begun),
    Closed(Closed),
    Rows(u64),
}

impl Writer {
    /// Writes commands in one transaction; where that fails, each in its own,
    /// so that one that cannot be written keeps no other from it.
    async fn write(&mut self, commands: Vec<Command>) {
        if commands.is_empty() {
            return;
        }
        let mut miss = match self.attempt(&commands).await {
            Ok(answers) => {
                for (command, answer) in commands.into_iter().zip(answers) {
                    self.owed.extend(tell(command, Ok(answer)));
                }
                return;
            }
            Err(miss) => miss,
        };
        let is_one = commands.len() == 1;
        for command in commands {
            let alone = [command];
            let answer = match is_one || !miss.was_tried {
                true => Err(Error::Write(Arc::clone(&miss.error))),
                false => match self.attempt(&alone).await {
                    Ok(answers) => answers.into_iter().next().ok_or(Error::Closed),
                    Err(next) => {
                        miss = next;
                        Err(Error::Write(Arc::clone(&miss.error)))
                    }
                },
            };
            let [command] = alone;
            self.owed.extend(tell(command, answer));
        }
    }

    /// Writes what is owed. An end that is there already changes nothing.
    async fn settle(&mut self) {
        if !self.owed.is_empty() {
            let owed = std::mem::take(&mut self.owed).into_iter();
            let commands = owed.map(|closing| Command::Close(Box::new(closing), None));
            self.write(commands.collect()).await;
        }
    }

    /// Writes commands in one transaction: first on the word of what was
    /// committed last, and where that is not so any more, by what is there.
    async fn attempt(&mut self, commands: &[Command]) -> Result<Vec<Answer>, Miss> {
        let mut last = self.attempt_with(commands, Trust::Given).await;
        if matches!(last, Err(Slip::Mistaken)) {
            last = self.attempt_with(commands, Trust::Withheld).await;
        }
        last.map_err(|slip| match slip {
            Slip::Database(error) => Miss {
                was_tried: !is_kept_out(&error),
                error: error.into(),
            },
            Slip::Mistaken => Miss {
                was_tried: true,
                error: Arc::new(sqlx::Error::RowNotFound),
            },
        })
    }

    async fn attempt_with(
        &mut self,
        commands: &[Command],
        trust: Trust,
    ) -> Result<Vec<Answer>, Slip> {
        let known = self.end.take().filter(|_| trust == Trust::Given);
        let mut connection = self.desk.pool.acquire().await?;
        let written = self.all(&mut connection, commands, trust, known).await;
        let committed = match written {
            Ok(written) => match connection.batch("COMMIT").await {
                Ok(()) => Ok(written),
                Err(error) => {
                    connection.discard();
                    return Err(error.into());
                }
            },
            Err(slip) => Err(slip),
        };
        match committed {
            Ok((answers, end)) => {
                self.end = Some(end);
                Ok(answers)
            }
            Err(slip) => {
                if connection.batch("ROLLBACK").await.is_err() {
                    connection.discard();
                }
                Err(slip)
            }
        }
    }

    async fn all(
        &self,
        connection: &mut Connection,
        commands: &[Command],
        trust: Trust,
        known: Option<End>,
    ) -> Result<(Vec<Answer>, End), Slip> {
        let mut pen = Pen::new(connection, &self.desk.keys, &self.chain, trust, known);
        pen.open().await?;
        let mut answers = Vec::with_capacity(commands.len());
        let mut commands = commands.iter().peekable();
        while let Some(command) = commands.next() {
            let Command::Event(event) = command else {
                answers.push(pen.obey(command).await?);
                continue;
            };
            let mut events = vec![event.clone()];
            while events.len() < EVENTS_AT_ONCE
                && let Some(Command::Event(event)) = commands.peek()
            {
                events.push(event.clone());
                commands.next();
            }
            pen.events(&events);
            answers.extend(events.iter().map(|_| Answer::Rows(1)));
        }
        Ok((answers, pen.finish().await?))
    }
}

/// True when there was no connection, or no turn on it.
fn is_kept_out(error: &sqlx::Error) -> bool {
    match error {
        // SQLite's extended codes keep the plain one in their last byte.
        sqlx::Error::Database(error) => {
            let code = error.code().and_then(|code| code.parse::<u32>().ok());
            error
                .try_downcast_ref::<sqlx::sqlite::SqliteError>()
                .is_some()
                && code.is_some_and(|code| code & 0xff == BUSY)
        }
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => true,
        _ => false,
    }
}

/// Tells whoever asked; gives what is to be written later because of it.
fn tell(command: Command, answer: Result<Answer, Error>) -> Option<Closing> {
    // Whoever waited may have left; what was written stays.
    match command {
        Command::Begin(beginning, asker) => {
            // A commit that was cut off may have been one: then the operation
            // is there, and its caller is told now that it is not started.
            let owed = answer.is_err().then(|| unstarted(&beginning));
            drop(asker.send(answer.map(|answer| match answer {
                Answer::Begun(begun) => begun,
                Answer::Closed(_) | Answer::Rows(_) => Begun::PlanSpent,
            })));
            return owed;
        }
        Command::Close(closing, asker) => {
            let answer = answer.map(|answer| match answer {
                Answer::Closed(closed) => closed,
                Answer::Begun(_) | Answer::Rows(_) => Closed::Already,
            });
            let owed = answer.is_err();
            match asker {
                Some(asker) => drop(asker.send(answer)),
                None => report(&closing.operation, answer.err()),
            }
            return owed.then_some(*closing);
        }
        Command::Record(record, asker) => match asker {
            Some(asker) => drop(asker.send(answer.map(|_| ()))),
            None => report(&record.operation, answer.err()),
        },
        Command::Event(event) => report(&event.operation, answer.err()),
        Command::Heartbeat(_) => {
            if let Err(error) = answer {
                tracing::warn!(%error, "heartbeat not recorded");
            }
        }
        Command::Beside(_, _, asker) | Command::Prune(_, asker) => {
            drop(asker.send(answer.map(|answer| match answer {
                Answer::Rows(rows) => rows,
                Answer::Begun(_) | Answer::Closed(_) => 0,
            })));
        }
        Command::Flush(done) | Command::End(done) => {
            let _is_waiting = done.send(());
        }
    }
    None
}

/// The end of an operation whose intent may or may not have been written.
fn unstarted(beginning: &Beginning) -> Closing {
    let (reason, message) = ("AUDIT_UNAVAILABLE", "the audit journal cannot be written");
    Closing {
        operation: beginning.operation,
        state: State::Failed,
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        reply: None,
        body: format!(
            r#"{{"state":"failed","reason":"{reason}","message":"{message}","duration_ms":0}}"#
        ),
        at: stamp(beginning.at),
        took_us: 0,
    }
}

fn report(operation: &OperationId, error: Option<Error>) {
    if let Some(error) = error {
        tracing::error!(%operation, %error, "not recorded");
    }
}
