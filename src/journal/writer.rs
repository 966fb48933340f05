//! The only one who writes: gathers what waits and commits it at once.
//!
//! Callers wait for the commit of what they gave, so many of them cost one
//! write. A caller that leaves changes nothing: its record is written, and
//! whoever looks for operations without an end finds it.

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::{
    Begun, Closed, Error, Repeat, ServerId, State,
    chain::{self, Head, Link},
    place::{Connection, Pool, Value, field, values},
    seal::Keys,
    stamp,
};
use crate::operation::OperationId;

/// How many commands are committed together at most.
const TOGETHER: usize = 256;

/// How long a request's id is known.
pub(super) const REQUEST_DAYS: i64 = 7;

/// What is to be written, with whoever waits for it.
#[derive(Debug)]
pub(super) enum Command {
    Begin(Box<Beginning>, oneshot::Sender<Result<Begun, Error>>),
    Close(Box<Closing>, Option<oneshot::Sender<Result<Closed, Error>>>),
    Record(Box<Record>, Option<oneshot::Sender<Result<(), Error>>>),
    Event(OperationId, i64, String, String),
    Heartbeat(String),
    /// A statement on what stands beside the chain, and its effect.
    Beside(
        &'static str,
        Vec<Value>,
        oneshot::Sender<Result<u64, Error>>,
    ),
    Prune(String, oneshot::Sender<Result<u64, Error>>),
    End(oneshot::Sender<()>),
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

/// Writes until there is nobody left who could ask.
pub(super) async fn run(
    pool: Pool,
    keys: std::sync::Arc<Keys>,
    server: ServerId,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let mut writer = Writer {
        pool,
        keys,
        chain: server.to_string(),
        owed: Vec::new(),
    };
    let mut batch = Vec::new();
    while commands.recv_many(&mut batch, TOGETHER).await > 0 {
        let mut waiting = Vec::new();
        for command in batch.drain(..) {
            match command {
                Command::End(done) => {
                    writer.write(std::mem::take(&mut waiting)).await;
                    writer.settle().await;
                    // Whoever asked may have left.
                    let _is_waiting = done.send(());
                }
                other => waiting.push(other),
            }
        }
        let beats = waiting.iter().any(|c| matches!(c, Command::Heartbeat(_)));
        writer.write(waiting).await;
        if beats {
            writer.settle().await;
        }
    }
}

struct Writer {
    pool: Pool,
    keys: std::sync::Arc<Keys>,
    chain: String,
    /// Ends that could not be written when they were given, and those of
    /// intents of which nobody knows whether they were.
    owed: Vec<Closing>,
}

/// Why commands were not written.
struct Miss {
    error: std::sync::Arc<sqlx::Error>,
    /// False when there was no connection, or no turn on it: then no other
    /// command would fare better.
    was_tried: bool,
}

/// What came of one command.
enum Answer {
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
                true => Err(Error::Write(std::sync::Arc::clone(&miss.error))),
                false => match self.attempt(&alone).await {
                    Ok(answers) => answers.into_iter().next().ok_or(Error::Closed),
                    Err(next) => {
                        miss = next;
                        Err(Error::Write(std::sync::Arc::clone(&miss.error)))
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

    async fn attempt(&self, commands: &[Command]) -> Result<Vec<Answer>, Miss> {
        let missed = |was_tried| {
            move |error: sqlx::Error| Miss {
                error: error.into(),
                was_tried,
            }
        };
        let mut connection = self.pool.acquire().await.map_err(missed(false))?;
        let begin = match self.pool.is_shared() {
            true => "BEGIN",
            false => "BEGIN IMMEDIATE",
        };
        connection.batch(begin).await.map_err(missed(false))?;
        match self.all(&mut connection, commands).await {
            Ok(answers) => match connection.batch("COMMIT").await {
                Ok(()) => Ok(answers),
                Err(error) => {
                    connection.discard();
                    Err(missed(true)(error))
                }
            },
            Err(error) => {
                if connection.batch("ROLLBACK").await.is_err() {
                    connection.discard();
                }
                Err(missed(true)(error))
            }
        }
    }

    async fn all(
        &self,
        connection: &mut Connection,
        commands: &[Command],
    ) -> Result<Vec<Answer>, sqlx::Error> {
        let anchored = chain::anchored(connection, &self.chain).await?;
        let is_new = anchored.is_none();
        let (before, pruned) = anchored.unwrap_or_default();
        let mut pen = Pen {
            connection,
            keys: &self.keys,
            chain: &self.chain,
            head: before.clone(),
            pruned: pruned.clone(),
        };
        let mut answers = Vec::with_capacity(commands.len());
        for command in commands {
            answers.push(pen.obey(command).await?);
        }
        if pen.head != before || pen.pruned != pruned || is_new {
            pen.anchor().await?;
        }
        Ok(answers)
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
        Command::Event(operation, ..) => report(&operation, answer.err()),
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
        Command::End(done) => {
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

/// Writes within one transaction.
struct Pen<'a> {
    connection: &'a mut Connection,
    keys: &'a Keys,
    chain: &'a str,
    head: Head,
    pruned: Head,
}

impl Pen<'_> {
    async fn obey(&mut self, command: &Command) -> Result<Answer, sqlx::Error> {
        match command {
            Command::Begin(beginning, _) => self.begin(beginning).await.map(Answer::Begun),
            Command::Close(closing, _) => self.close(closing).await.map(Answer::Closed),
            Command::Record(record, _) => {
                let operation = record.operation.to_string();
                self.append(&operation, record.kind, &record.at, &record.body)
                    .await?;
                if let Some((sql, values)) = &record.beside {
                    self.connection.run(sql, values.clone()).await?;
                }
                Ok(Answer::Rows(1))
            }
            Command::Event(operation, number, at, body) => {
                let sql = "INSERT INTO event (operation_id, number, at, body) \
                           VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
                let values = values![operation.to_string(), *number, at.clone(), body.clone()];
                self.connection.run(sql, values).await.map(Answer::Rows)
            }
            Command::Heartbeat(at) => {
                let sql = "INSERT INTO server (id, started_at, seen_at) VALUES ($1, $2, $2) \
                           ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at";
                let values = values![self.chain, at.clone()];
                self.connection.run(sql, values).await.map(Answer::Rows)
            }
            Command::Beside(sql, values, _) => {
                let rows = self.connection.run(sql, values.clone()).await?;
                Ok(Answer::Rows(rows))
            }
            Command::Prune(before, _) => self.prune(before).await.map(Answer::Rows),
            Command::End(_) => Ok(Answer::Rows(0)),
        }
    }

    async fn append(
        &mut self,
        operation: &str,
        kind: &str,
        at: &str,
        body: &str,
    ) -> Result<(), sqlx::Error> {
        let link = Link {
            operation,
            kind,
            at,
            body,
        };
        self.head = chain::append(self.connection, self.chain, &self.head, &link).await?;
        Ok(())
    }

    /// Says where the chain ends, under a seal.
    async fn anchor(&mut self) -> Result<(), sqlx::Error> {
        let sealed = self.head.sealed(self.chain, &self.pruned);
        let sql = "INSERT INTO anchor (chain, number, hash, seal, pruned_number, pruned_hash) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (chain) DO UPDATE SET \
                   number = excluded.number, hash = excluded.hash, seal = excluded.seal, \
                   pruned_number = excluded.pruned_number, pruned_hash = excluded.pruned_hash";
        let values = values![
            self.chain,
            self.head.number,
            self.head.hash.clone(),
            self.keys.seal(sealed.as_bytes()),
            self.pruned.number,
            self.pruned.hash.clone(),
        ];
        self.connection.run(sql, values).await.map(|_| ())
    }

    async fn begin(&mut self, beginning: &Beginning) -> Result<Begun, sqlx::Error> {
        if let Some((id, body)) = &beginning.request
            && let Some(known) = self.claim(beginning, *id, body).await?
        {
            return Ok(known);
        }
        let at = stamp(beginning.at);
        if let Some(plan) = &beginning.plan {
            let sql = "INSERT INTO spent (plan, at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            let values = values![plan.clone(), at.clone()];
            if self.connection.run(sql, values).await? == 0 {
                return Ok(Begun::PlanSpent);
            }
        }
        let operation = beginning.operation.to_string();
        let sql = "INSERT INTO operation (id, parent_id, request_id, target, actor, role, action, \
                   mode, body, state, began_at, server) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'open', $10, $11)";
        let values = values![
            operation.clone(),
            beginning.parent.map(|parent| parent.to_string()),
            beginning.request.as_ref().map(|(id, _)| id.to_string()),
            beginning.target.clone(),
            beginning.actor.clone(),
            beginning.role.clone(),
            beginning.action.clone(),
            beginning.mode.clone(),
            beginning.body.clone(),
            at.clone(),
            self.chain,
        ];
        self.connection.run(sql, values).await?;
        self.append(&operation, "intent", &at, &beginning.body)
            .await?;
        Ok(Begun::New(super::Entry {
            operation: beginning.operation,
        }))
    }

    /// Makes a request id this operation's, or tells whose it is.
    async fn claim(
        &mut self,
        beginning: &Beginning,
        id: uuid::Uuid,
        body: &[u8],
    ) -> Result<Option<Begun>, sqlx::Error> {
        if is_too_old(id, beginning.at) {
            return Ok(Some(Begun::RequestTooOld));
        }
        let (actor, request) = (beginning.actor.clone(), id.to_string());
        let operation = beginning.operation.to_string();
        let sql = "INSERT INTO request (actor, id, digest, operation_id, began_at) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let values = values![
            actor.clone(),
            request.clone(),
            self.keys.seal(body),
            operation.clone(),
            stamp(beginning.at),
        ];
        if self.connection.run(sql, values).await? > 0 {
            return Ok(None);
        }
        // PostgreSQL has waited for whoever was at it, and waits here for
        // whoever tries a failed one again; SQLite has one writer. What it
        // found is read in a statement of its own: one that has waited for a
        // row sees the rows that it joins as they were before.
        if let Connection::Postgres(_) = self.connection {
            let sql = "SELECT id FROM request WHERE actor = $1 AND id = $2 FOR UPDATE";
            let values = values![actor.clone(), request.clone()];
            self.connection.row(sql, values).await?;
        }
        let sql = "SELECT r.digest, r.operation_id, o.state, o.reply \
                   FROM request AS r JOIN operation AS o ON o.id = r.operation_id \
                   WHERE r.actor = $1 AND r.id = $2";
        let values = values![actor.clone(), request.clone()];
        let Some(row) = self.connection.row(sql, values).await? else {
            return Ok(Some(Begun::RequestTooOld));
        };
        if !self.keys.is_sealed(body, field(&row, 0)) {
            return Ok(Some(Begun::AnotherBody));
        }
        let state = State::read(field(&row, 2));
        if state == State::Failed {
            let sql = "UPDATE request SET operation_id = $1 WHERE actor = $2 AND id = $3";
            let values = values![operation, actor, request];
            self.connection.run(sql, values).await?;
            return Ok(None);
        }
        let Ok(operation) = field(&row, 1).parse() else {
            return Ok(Some(Begun::RequestTooOld));
        };
        Ok(Some(Begun::Repeat(Repeat {
            operation,
            state,
            reply: row.get(3).cloned().flatten(),
        })))
    }

    async fn close(&mut self, closing: &Closing) -> Result<Closed, sqlx::Error> {
        let operation = closing.operation.to_string();
        let sql = "UPDATE operation SET state = $2, reason = $3, message = $4, reply = $5, \
                   ended_at = $6, took_us = $7 WHERE id = $1 AND state IN ('open', 'in_doubt')";
        let values = values![
            operation.clone(),
            closing.state.name(),
            closing.reason.clone(),
            closing.message.clone(),
            closing.reply.clone(),
            closing.at.clone(),
            closing.took_us,
        ];
        if self.connection.run(sql, values).await? == 0 {
            return Ok(Closed::Already);
        }
        let kind = match closing.state {
            State::InDoubt => "doubt",
            State::Open | State::EffectsPending | State::Complete | State::Failed => "outcome",
        };
        self.append(&operation, kind, &closing.at, &closing.body)
            .await?;
        Ok(Closed::Now)
    }

    /// Takes records away from the front of this server's own chain and of
    /// those of servers that have ended.
    async fn prune(&mut self, before: &str) -> Result<u64, sqlx::Error> {
        let sql = "SELECT a.chain FROM anchor AS a LEFT JOIN server AS s ON s.id = a.chain \
                   WHERE s.id IS NULL OR s.ended_at IS NOT NULL OR s.seen_at < $1";
        let ended = self.connection.rows(sql, values![before]).await?;
        let mut pruned = 0;
        for row in &ended {
            let chain = field(row, 0).to_owned();
            if chain != self.chain
                && let Some((head, from)) = chain::anchored(self.connection, &chain).await?
            {
                let mut pen = Pen {
                    connection: self.connection,
                    keys: self.keys,
                    chain: &chain,
                    head,
                    pruned: from,
                };
                pruned += Box::pin(pen.prune_own(before)).await?;
                pen.anchor().await?;
            }
        }
        pruned += self.prune_own(before).await?;
        Ok(pruned)
    }

    async fn prune_own(&mut self, before: &str) -> Result<u64, sqlx::Error> {
        // Up to the first that is kept, whatever a clock said after it; by the
        // number, as PostgreSQL takes the bare name for the text.
        let sql = "SELECT CAST(number AS TEXT), hash FROM record WHERE chain = $1 AND at < $2 \
                   AND number < COALESCE((SELECT number FROM record WHERE chain = $1 \
                   AND at >= $2 ORDER BY number LIMIT 1), 9223372036854775807) \
                   ORDER BY record.number DESC LIMIT 1";
        let values = values![self.chain, before];
        let Some(row) = self.connection.row(sql, values).await? else {
            return Ok(0);
        };
        self.pruned = Head {
            number: field(&row, 0).parse().unwrap_or(0),
            hash: field(&row, 1).to_owned(),
        };
        self.anchor().await?;
        let sql = "DELETE FROM record WHERE chain = $1 AND number <= $2";
        let values = values![self.chain, self.pruned.number];
        self.connection.run(sql, values).await
    }
}

/// An id that says itself that it is older than the journal remembers.
fn is_too_old(id: uuid::Uuid, now: Timestamp) -> bool {
    let Some(made) = id.get_timestamp() else {
        return false;
    };
    let (seconds, _) = made.to_unix();
    let oldest = now.as_second() - REQUEST_DAYS * 24 * 3600;
    id.get_version_num() == 7 && i64::try_from(seconds).is_ok_and(|made| made < oldest)
}
