//! What each command writes, within one transaction: the state beside the
//! chain, the record in it, and where the chain ends.
//!
//! What needs no answer is gathered and written in one go, before the next
//! question and at the end.

use std::borrow::Cow;

use jiff::Timestamp;

use super::{
    Begun, Closed, Repeat, State,
    chain::{self, Head, Link},
    place::{Changes, Connection, Line, Row, Value, field, values},
    seal::Keys,
    stamp,
    writer::{Answer, Beginning, Closing, Command, Event, REQUEST_DAYS},
};

/// Writes within one transaction.
pub(super) struct Pen<'a> {
    connection: &'a mut Connection,
    keys: &'a Keys,
    chain: &'a str,
    trust: Trust,
    /// Where the chain ends now.
    end: End,
    /// Where it ends by its anchor, if it has one.
    anchored: Option<End>,
    /// What is to be written.
    lines: Vec<Line>,
}

/// The two ends of a chain: the last record, and the last that was pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct End {
    pub(super) head: Head,
    pub(super) pruned: Head,
}

/// What is taken for granted until the database says otherwise, as one who is
/// the only writer may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// The anchor says what it said last, and what is closed is open.
    Given,
    /// Each is asked for.
    Withheld,
}

/// Why a transaction came to nothing.
#[derive(Debug)]
pub(super) enum Slip {
    /// The database refuses, or is not there.
    Database(sqlx::Error),
    /// Something was not as it was taken to be.
    Mistaken,
}

impl From<sqlx::Error> for Slip {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl<'a> Pen<'a> {
    /// One that writes to a chain, of which it is known where it is anchored,
    /// or not.
    pub(super) fn new(
        connection: &'a mut Connection,
        keys: &'a Keys,
        chain: &'a str,
        trust: Trust,
        anchored: Option<End>,
    ) -> Self {
        Self {
            connection,
            keys,
            chain,
            trust,
            end: anchored.clone().unwrap_or_default(),
            anchored,
            lines: Vec::new(),
        }
    }

    /// Begins the transaction, in SQLite together with the first of what is
    /// written, and finds out where the chain ends unless that is known.
    pub(super) async fn open(&mut self) -> Result<(), Slip> {
        match self.connection {
            Connection::Postgres(_) => self.connection.batch("BEGIN").await?,
            Connection::Sqlite(_) => self.put("BEGIN IMMEDIATE", Vec::new()),
        }
        if self.anchored.is_none() {
            self.flush().await?;
            self.anchored = chain::anchored(self.connection, self.chain).await?;
            self.end = self.anchored.clone().unwrap_or_default();
        }
        Ok(())
    }

    /// Writes what is left, and says where the chain ends now.
    pub(super) async fn finish(mut self) -> Result<End, Slip> {
        self.anchor();
        self.flush().await?;
        Ok(self.end)
    }

    /// Has a statement written with what comes next.
    fn put(&mut self, sql: impl Into<Cow<'static, str>>, values: Vec<Value>) {
        self.put_changing(Changes::Any, sql, values);
    }

    fn put_changing(
        &mut self,
        changes: Changes,
        sql: impl Into<Cow<'static, str>>,
        values: Vec<Value>,
    ) {
        let sql = sql.into();
        self.lines.push(Line {
            sql,
            values,
            changes,
        });
    }

    /// Writes what was gathered.
    async fn flush(&mut self) -> Result<(), Slip> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let lines = std::mem::take(&mut self.lines);
        let wanted: Vec<Changes> = lines.iter().map(|line| line.changes).collect();
        let changed = self.connection.script(lines).await?;
        let is_so = |(wanted, rows): (Changes, u64)| wanted == Changes::Any || rows == 1;
        match wanted.len() == changed.len() && wanted.into_iter().zip(changed).all(is_so) {
            true => Ok(()),
            false => Err(Slip::Mistaken),
        }
    }

    /// Runs a statement and tells how many rows it changed.
    async fn run(&mut self, sql: &str, values: Vec<Value>) -> Result<u64, Slip> {
        self.flush().await?;
        Ok(self.connection.run(sql, values).await?)
    }

    /// The first row of an answer.
    async fn row(&mut self, sql: &str, values: Vec<Value>) -> Result<Option<Row>, Slip> {
        self.flush().await?;
        Ok(self.connection.row(sql, values).await?)
    }

    pub(super) async fn obey(&mut self, command: &Command) -> Result<Answer, Slip> {
        match command {
            Command::Begin(beginning, _) => self.begin(beginning).await.map(Answer::Begun),
            Command::Close(closing, _) => self.close(closing).await.map(Answer::Closed),
            Command::Record(record, _) => {
                let operation = record.operation.to_string();
                self.append(&operation, record.kind, &record.at, &record.body);
                if let Some((sql, values)) = &record.beside {
                    self.put(*sql, values.clone());
                }
                Ok(Answer::Rows(1))
            }
            Command::Event(event) => {
                self.events(std::slice::from_ref(event));
                Ok(Answer::Rows(1))
            }
            Command::Heartbeat(at) => {
                let sql = "INSERT INTO server (id, started_at, seen_at) VALUES ($1, $2, $2) \
                           ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at";
                self.put(sql, values![self.chain, at.clone()]);
                Ok(Answer::Rows(1))
            }
            Command::Beside(sql, values, _) => {
                self.run(sql, values.clone()).await.map(Answer::Rows)
            }
            Command::Prune(before, _) => self.prune(before).await.map(Answer::Rows),
            Command::Flush(_) | Command::End(_) => Ok(Answer::Rows(0)),
        }
    }

    /// Events in one statement: a plan of hundreds of steps tells of many.
    pub(super) fn events(&mut self, events: &[Event]) {
        let mut rows = Vec::with_capacity(events.len());
        let mut values = Vec::with_capacity(4 * events.len());
        for event in events {
            let next = values.len();
            rows.push(format!(
                "(${}, ${}, ${}, ${})",
                next + 1,
                next + 2,
                next + 3,
                next + 4
            ));
            values.extend(values![
                event.operation.to_string(),
                event.number,
                event.at.clone(),
                event.body.clone(),
            ]);
        }
        let sql = format!(
            "INSERT INTO event (operation_id, number, at, body) VALUES {} ON CONFLICT DO NOTHING",
            rows.join(", ")
        );
        self.put(sql, values);
    }

    fn append(&mut self, operation: &str, kind: &str, at: &str, body: &str) {
        let link = Link {
            operation,
            kind,
            at,
            body,
        };
        let (line, head) = chain::append(self.chain, &self.end.head, &link);
        self.lines.push(line);
        self.end.head = head;
    }

    /// Says where the chain ends, under a seal, unless that is said already.
    fn anchor(&mut self) {
        if self.anchored.as_ref() == Some(&self.end) {
            return;
        }
        let End { head, pruned } = &self.end;
        let seal = self.keys.seal(head.sealed(self.chain, pruned).as_bytes());
        let mut values = values![
            self.chain,
            head.number,
            head.hash.clone(),
            seal,
            pruned.number,
            pruned.hash.clone(),
        ];
        let sql = match &self.anchored {
            None => {
                "INSERT INTO anchor (chain, number, hash, seal, pruned_number, pruned_hash) \
                 VALUES ($1, $2, $3, $4, $5, $6)"
            }
            Some(anchored) => {
                values.extend(values![anchored.head.number, anchored.pruned.number]);
                "UPDATE anchor SET number = $2, hash = $3, seal = $4, pruned_number = $5, \
                 pruned_hash = $6 WHERE chain = $1 AND number = $7 AND pruned_number = $8"
            }
        };
        self.put_changing(Changes::One, sql, values);
        self.anchored = Some(self.end.clone());
    }

    async fn begin(&mut self, beginning: &Beginning) -> Result<Begun, Slip> {
        if let Some((id, body)) = &beginning.request
            && let Some(known) = self.claim(beginning, *id, body).await?
        {
            return Ok(known);
        }
        let at = stamp(beginning.at);
        if let Some(plan) = &beginning.plan {
            let sql = "INSERT INTO spent (plan, at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            let values = values![plan.clone(), at.clone()];
            if self.run(sql, values).await? == 0 {
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
        self.put(sql, values);
        self.append(&operation, "intent", &at, &beginning.body);
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
    ) -> Result<Option<Begun>, Slip> {
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
        if self.run(sql, values).await? > 0 {
            return Ok(None);
        }
        // PostgreSQL has waited for whoever was at it, and waits here for
        // whoever tries a failed one again; SQLite has one writer. What it
        // found is read in a statement of its own: one that has waited for a
        // row sees the rows that it joins as they were before.
        if let Connection::Postgres(_) = self.connection {
            let sql = "SELECT id FROM request WHERE actor = $1 AND id = $2 FOR UPDATE";
            let values = values![actor.clone(), request.clone()];
            self.row(sql, values).await?;
        }
        let sql = "SELECT r.digest, r.operation_id, o.state, o.reply \
                   FROM request AS r JOIN operation AS o ON o.id = r.operation_id \
                   WHERE r.actor = $1 AND r.id = $2";
        let values = values![actor.clone(), request.clone()];
        let Some(row) = self.row(sql, values).await? else {
            return Ok(Some(Begun::RequestTooOld));
        };
        if !self.keys.is_sealed(body, field(&row, 0)) {
            return Ok(Some(Begun::AnotherBody));
        }
        let state = State::read(field(&row, 2));
        if state == State::Failed {
            let sql = "UPDATE request SET operation_id = $1 WHERE actor = $2 AND id = $3";
            let values = values![operation, actor, request];
            self.put(sql, values);
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

    async fn close(&mut self, closing: &Closing) -> Result<Closed, Slip> {
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
        if self.trust == Trust::Given {
            self.put_changing(Changes::One, sql, values);
        } else if self.run(sql, values).await? == 0 {
            return Ok(Closed::Already);
        }
        let kind = match closing.state {
            State::InDoubt => "doubt",
            State::Open | State::EffectsPending | State::Complete | State::Failed => "outcome",
        };
        self.append(&operation, kind, &closing.at, &closing.body);
        Ok(Closed::Now)
    }

    /// Takes records away from the front of this server's own chain and of
    /// those of servers that have ended.
    async fn prune(&mut self, before: &str) -> Result<u64, Slip> {
        self.flush().await?;
        // A chain that somebody is at is left to them: two that wait for one
        // another's would never end.
        let lock = match self.connection {
            Connection::Sqlite(_) => "",
            Connection::Postgres(_) => " FOR UPDATE OF a SKIP LOCKED",
        };
        let sql = format!(
            "SELECT a.chain FROM anchor AS a LEFT JOIN server AS s ON s.id = a.chain \
             WHERE s.id IS NULL OR s.ended_at IS NOT NULL OR s.seen_at < $1{lock}"
        );
        let ended = self.connection.rows(&sql, values![before]).await?;
        let mut pruned = 0;
        for row in &ended {
            let chain = field(row, 0).to_owned();
            if chain != self.chain
                && let Some(end) = chain::anchored(self.connection, &chain).await?
            {
                let trust = Trust::Withheld;
                let mut pen = Pen::new(self.connection, self.keys, &chain, trust, Some(end));
                pruned += Box::pin(pen.prune_own(before)).await?;
            }
        }
        pruned += self.prune_own(before).await?;
        Ok(pruned)
    }

    async fn prune_own(&mut self, before: &str) -> Result<u64, Slip> {
        // Up to the first that is kept, whatever a clock said after it; by the
        // number, as PostgreSQL takes the bare name for the text.
        let sql = "SELECT CAST(number AS TEXT), hash FROM record WHERE chain = $1 AND at < $2 \
                   AND number < COALESCE((SELECT number FROM record WHERE chain = $1 \
                   AND at >= $2 ORDER BY number LIMIT 1), 9223372036854775807) \
                   ORDER BY record.number DESC LIMIT 1";
        let values = values![self.chain, before];
        let Some(row) = self.row(sql, values).await? else {
            return Ok(0);
        };
        self.end.pruned = Head {
            number: field(&row, 0).parse().unwrap_or(0),
            hash: field(&row, 1).to_owned(),
        };
        self.anchor();
        let sql = "DELETE FROM record WHERE chain = $1 AND number <= $2";
        let values = values![self.chain, self.end.pruned.number];
        self.run(sql, values).await
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
