//! What is asked of a journal.

use jiff::Timestamp;

use super::{
    Entry, Error, Journal, State,
    place::{Row, Value, field, values},
    stamp,
};
use crate::operation::OperationId;

/// An operation as the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationRecord {
    /// Its id.
    pub operation: OperationId,
    /// The operation that it followed.
    pub parent: Option<OperationId>,
    /// The caller's id for the request.
    pub request: Option<String>,
    /// On which target.
    pub target: String,
    /// Who asked.
    pub actor: String,
    /// For what: the name of the RPC.
    pub action: String,
    /// True for a dry run.
    pub is_dry_run: bool,
    /// The intent, as JSON.
    pub body: String,
    /// How far it is.
    pub state: State,
    /// The reason of its failure, as callers see it.
    pub reason: Option<String>,
    /// The same in words.
    pub message: Option<String>,
    /// When it began.
    pub began_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How long it took, in microseconds.
    pub took_us: Option<u64>,
    /// The server that took it.
    pub server: String,
    /// True when somebody has asked it to stop.
    pub cancel_requested: bool,
    /// What a repeat is answered with, as JSON.
    pub reply: Option<String>,
}

/// Which operations are asked for; every part that is given narrows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// On these targets; on all when absent.
    pub targets: Option<Vec<String>>,
    /// Of this subject.
    pub actor: Option<String>,
    /// Of this RPC.
    pub action: Option<String>,
    /// In this state.
    pub state: Option<State>,
    /// Begun then or later.
    pub since: Option<Timestamp>,
    /// Older than this one.
    pub before: Option<OperationId>,
    /// At most so many.
    pub limit: usize,
}

/// An event of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    /// Its number, from 1.
    pub number: u64,
    /// The event, as JSON.
    pub body: String,
}

const COLUMNS: &str = "id, parent_id, request_id, target, actor, action, mode, body, state, \
                       reason, message, began_at, ended_at, CAST(took_us AS TEXT), server, \
                       CAST(cancel_requested AS TEXT), reply";

impl Journal {
    /// An operation.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn operation(&self, id: OperationId) -> Result<Option<OperationRecord>, Error> {
        self.catch_up().await;
        let sql = format!("SELECT {COLUMNS} FROM operation WHERE id = $1");
        let rows = self.readers.rows(&sql, values![id.to_string()]).await?;
        Ok(rows.iter().find_map(record))
    }

    /// The operation that a caller's request is, or was last.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn requested(
        &self,
        actor: &str,
        request: uuid::Uuid,
    ) -> Result<Option<OperationId>, Error> {
        let sql = "SELECT operation_id FROM request WHERE actor = $1 AND id = $2";
        let values = values![actor, request.to_string()];
        let rows = self.readers.rows(sql, values).await?;
        Ok(rows.iter().find_map(|row| field(row, 0).parse().ok()))
    }

    /// Operations, newest first, without what repeats are answered with.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<OperationRecord>, Error> {
        self.catch_up().await;
        let mut conditions = vec!["1 = 1".to_owned()];
        let mut values: Vec<Value> = Vec::new();
        let mut value = |text: String| {
            values.push(Value::from(text));
            format!("${}", values.len())
        };
        if let Some(targets) = &filter.targets {
            let listed: Vec<String> = targets.iter().map(|t| value(t.clone())).collect();
            conditions.push(match listed.is_empty() {
                true => "1 = 0".to_owned(),
                false => format!("target IN ({})", listed.join(", ")),
            });
        }
        let state = filter.state.map(|state| state.name().to_owned());
        let parts = [
            ("actor =", filter.actor.clone()),
            ("action =", filter.action.clone()),
            ("state =", state),
            ("began_at >=", filter.since.map(stamp)),
            ("id <", filter.before.map(|id| id.to_string())),
        ];
        for (condition, part) in parts {
            if let Some(part) = part {
                conditions.push(format!("{condition} {}", value(part)));
            }
        }
        let sql = format!(
            "SELECT {} FROM operation WHERE {} ORDER BY id DESC LIMIT {}",
            COLUMNS.replace(", reply", ", NULL"),
            conditions.join(" AND "),
            filter.limit
        );
        let rows = self.readers.rows(&sql, values).await?;
        Ok(rows.iter().filter_map(record).collect())
    }

    /// The events of an operation behind this number.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn events(&self, id: OperationId, after: u64) -> Result<Vec<EventRecord>, Error> {
        let sql = "SELECT CAST(number AS TEXT), body FROM event \
                   WHERE operation_id = $1 AND number > $2 ORDER BY event.number";
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let rows = self
            .readers
            .rows(sql, values![id.to_string(), after])
            .await?;
        let event = |row: &Row| EventRecord {
            number: field(row, 0).parse().unwrap_or(0),
            body: field(row, 1).to_owned(),
        };
        Ok(rows.iter().map(event).collect())
    }

    /// The operations of this server that somebody wants stopped.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn cancelled(&self) -> Result<Vec<OperationId>, Error> {
        let sql = "SELECT id FROM operation \
                   WHERE server = $1 AND state = 'open' AND cancel_requested = 1";
        let rows = self
            .readers
            .rows(sql, values![self.server.to_string()])
            .await?;
        Ok(rows
            .iter()
            .filter_map(|row| field(row, 0).parse().ok())
            .collect())
    }

    /// The operations that nobody is at any more: of servers that have ended
    /// or were not seen since then, and this server's own that are in doubt.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn abandoned(
        &self,
        silent_since: Timestamp,
    ) -> Result<Vec<(Entry, OperationRecord)>, Error> {
        let columns = COLUMNS
            .split(", ")
            .map(|column| match column.strip_prefix("CAST(") {
                Some(rest) => format!("CAST(o.{rest}"),
                None => format!("o.{column}"),
            })
            .collect::<Vec<_>>()
            .join(", ");
        let sql = format!(
            "SELECT {columns} FROM operation AS o LEFT JOIN server AS s ON s.id = o.server \
             WHERE (o.state = 'open' AND o.server <> $1 \
             AND (s.id IS NULL OR s.ended_at IS NOT NULL OR s.seen_at < $2)) \
             OR (o.state = 'in_doubt' AND (o.server = $1 OR s.id IS NULL \
             OR s.ended_at IS NOT NULL OR s.seen_at < $2)) ORDER BY o.id"
        );
        let values = values![self.server.to_string(), stamp(silent_since)];
        let rows = self.readers.rows(&sql, values).await?;
        let entry = |record: OperationRecord| {
            let operation = record.operation;
            (Entry { operation }, record)
        };
        Ok(rows.iter().filter_map(record).map(entry).collect())
    }

    /// The servers that have ended, or were not seen since then: the latest of
    /// them.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn gone(&self, silent_since: Timestamp) -> Result<Vec<String>, Error> {
        let sql = "SELECT id FROM server WHERE id <> $1 AND (ended_at IS NOT NULL OR seen_at < $2) \
                   ORDER BY seen_at DESC LIMIT 100";
        let values = values![self.server.to_string(), stamp(silent_since)];
        let rows = self.readers.rows(sql, values).await?;
        Ok(rows.iter().map(|row| field(row, 0).to_owned()).collect())
    }

    /// The operations whose effects are still to be applied, with their
    /// targets.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub async fn unfinished_effects(&self) -> Result<Vec<OperationRecord>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM operation WHERE state = 'effects_pending'");
        let rows = self.readers.rows(&sql, Vec::new()).await?;
        Ok(rows.iter().filter_map(record).collect())
    }
}

fn record(row: &Row) -> Option<OperationRecord> {
    let text = |index: usize| row.get(index).cloned().flatten();
    Some(OperationRecord {
        operation: field(row, 0).parse().ok()?,
        parent: text(1).and_then(|id| id.parse().ok()),
        request: text(2),
        target: field(row, 3).to_owned(),
        actor: field(row, 4).to_owned(),
        action: field(row, 5).to_owned(),
        is_dry_run: field(row, 6) == "dry_run",
        body: field(row, 7).to_owned(),
        state: State::read(field(row, 8)),
        reason: text(9),
        message: text(10),
        began_at: field(row, 11).parse().ok()?,
        ended_at: text(12).and_then(|at| at.parse().ok()),
        took_us: text(13).and_then(|took| took.parse().ok()),
        server: field(row, 14).to_owned(),
        cancel_requested: field(row, 15) == "1",
        reply: text(16),
    })
}
