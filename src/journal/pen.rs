//! What each command writes, within one transaction: the state beside the
//! chain, the record in it, and where the chain ends.

use jiff::Timestamp;

use super::{
    Begun, Closed, Repeat, State,
    chain::{self, Head, Link},
    place::{Connection, field, values},
    seal::Keys,
    stamp,
    writer::{Answer, Beginning, Closing, Command, Event, REQUEST_DAYS},
};

/// Writes within one transaction.
pub(super) struct Pen<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) keys: &'a Keys,
    pub(super) chain: &'a str,
    pub(super) head: Head,
    pub(super) pruned: Head,
}

impl Pen<'_> {
    pub(super) async fn obey(&mut self, command: &Command) -> Result<Answer, sqlx::Error> {
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
            Command::Event(event) => {
                let events = std::slice::from_ref(event);
                self.events(events).await.map(Answer::Rows)
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
            Command::Flush(_) | Command::End(_) => Ok(Answer::Rows(0)),
        }
    }

    /// Events in one statement: a plan of hundreds of steps tells of many.
    pub(super) async fn events(&mut self, events: &[Event]) -> Result<u64, sqlx::Error> {
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
        self.connection.run(&sql, values).await
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
    pub(super) async fn anchor(&mut self) -> Result<(), sqlx::Error> {
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
