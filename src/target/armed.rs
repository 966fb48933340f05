//! What the database says about being reset, and how it is made to say so:
//! its marker, and the proofs of commits.

use std::sync::OnceLock;

use jiff::Timestamp;

use super::{
    Deadline, Error, Target, answers::Done, connection::Session, field, transaction::Transaction,
};
use crate::{
    dialect::{Dialect, Row, Statement},
    failpoint,
    guard::{Marker, Seen},
    operation::OperationId,
};

/// How a database is armed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arming {
    /// A random id.
    pub id: String,
    /// The environment that it is armed for.
    pub environment: String,
    /// Who arms it.
    pub armed_by: String,
    /// When.
    pub armed_at: Timestamp,
    /// Until when it counts.
    pub expires_at: Timestamp,
    /// True to protect the database from every reset instead.
    pub protected: bool,
}

impl Target {
    /// Writes the database's marker, in place of an earlier one, and makes
    /// the tables that operations need there.
    ///
    /// # Errors
    ///
    /// When `database` is not the name of the database that the session is
    /// in, when it takes no writes, or when it cannot be reached.
    pub async fn arm(&self, database: &str, arming: &Arming) -> Result<Marker, Error> {
        let mut transaction = self.begin(Deadline::default()).await?;
        match write(&mut transaction, database, arming).await {
            Ok(marker) => {
                transaction.commit().await?;
                Ok(marker)
            }
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        }
    }
}

/// What became of an operation that nobody saw the end of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It was committed, with this result.
    Committed(String),
    /// It was not, and cannot be any more.
    Aborted,
}

/// The result of an operation that was kept from its commit.
const ABORTED: &str = "\"aborted\"";

impl Target {
    /// Decides what became of an operation, once and for all: its proof is
    /// looked for by writing it. Where it is there already, the operation was
    /// committed. Where it is not, it stays, as aborted, and whoever might
    /// still be at work on the operation can commit it no more.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached, or the operation's own
    /// transaction is still open after [`LOCK_TIMEOUT`](super::LOCK_TIMEOUT).
    pub async fn decide(&self, operation: OperationId, now: Timestamp) -> Result<Fate, Error> {
        let mut transaction = self.begin(Deadline::default()).await?;
        let fence = commit_proof(transaction.dialect, operation, now, ABORTED.to_owned());
        match transaction.run(FENCING, &fence).await {
            Ok(_) => {
                transaction.commit().await?;
                return Ok(Fate::Aborted);
            }
            Err(error) => {
                transaction.rollback().await;
                if !matches!(error, Error::Violation { .. } | Error::Duplicate) {
                    return Err(error);
                }
            }
        }
        let mut session = self.session().await?;
        let dialect = self.dialect.as_ref();
        let sql = format!(
            "SELECT result FROM {} WHERE operation_id = {}",
            dialect.own_table("commit"),
            dialect.parameter(1, None)
        );
        let question = Statement::new(sql, vec![operation.to_string()]);
        Ok(match session.text(&question).await? {
            result if result == ABORTED => Fate::Aborted,
            result => Fate::Committed(result),
        })
    }
}

/// What is being done when the proof of an operation is written in its place.
const FENCING: &str = "looking for a proof";

async fn write(
    transaction: &mut Transaction<'_>,
    database: &str,
    arming: &Arming,
) -> Result<Marker, Error> {
    let dialect = transaction.dialect;
    let step = "arming";
    for statement in dialect.arm() {
        transaction.batch_during(step, &statement).await?;
    }
    let seen = seen(transaction.session(), dialect).await?;
    if seen.database != database {
        return Err(Error::Unexpected(format!(
            "the session is in database {}, not in {database}",
            seen.database
        )));
    }
    let table = dialect.own_table("marker");
    let clear = Statement::plain(format!("DELETE FROM {table}"));
    transaction.run(step, &clear).await?;
    let marker = Marker {
        id: arming.id.clone(),
        environment: arming.environment.clone(),
        database: seen.database,
        server_identity: seen.server_identity,
        armed_by: arming.armed_by.clone(),
        armed_at: arming.armed_at,
        expires_at: arming.expires_at,
        protected: arming.protected,
    };
    let values = vec![
        marker.id.clone(),
        marker.environment.clone(),
        marker.database.clone(),
        marker.server_identity.clone(),
        marker.armed_by.clone(),
        marker.armed_at.to_string(),
        marker.expires_at.to_string(),
    ];
    let parameters: Vec<String> = (1..=values.len())
        .map(|position| dialect.parameter(position, None))
        .collect();
    let protected = i32::from(marker.protected);
    let sql = format!(
        "INSERT INTO {table} (id, environment, database_name, server_identity, armed_by, \
         armed_at, expires_at, protected) VALUES ({}, {protected})",
        parameters.join(", ")
    );
    transaction.run(step, &Statement::new(sql, values)).await?;
    Ok(marker)
}

/// What the database says of itself, on this very connection.
pub(super) async fn seen(session: &mut Session, dialect: &dyn Dialect) -> Result<Seen, Error> {
    let identity = session.rows(&Statement::plain(dialect.identity())).await?;
    let row = identity
        .first()
        .ok_or_else(|| Error::Unexpected("no identity".to_owned()))?;
    let mut found = Vec::new();
    if field(row, 3) == "1" {
        for row in session.rows(&Statement::plain(markers(dialect))).await? {
            found.push(marker(&row)?);
        }
    }
    Ok(Seen {
        database: field(row, 0).to_owned(),
        server_identity: field(row, 1).to_owned(),
        read_only: field(row, 2) == "1",
        markers: found,
    })
}

/// A question that is asked together with what the guards saw.
#[derive(Debug)]
pub(super) struct Question {
    /// What its answers are found by among all of them.
    pub(super) kind: &'static str,
    /// How many columns they have, of which there are eight at most.
    pub(super) columns: usize,
    /// What is asked.
    pub(super) statement: Statement,
}

/// Asks everything that [`seen`] asks, the fingerprint of the schema, and
/// more, in one round trip; one question of all of them may have parameters.
/// It is no question for a database that was never armed.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) statement: Statement,
    /// Of each statement, where it is several.
    kinds: Vec<&'static str>,
    /// What it is prepared under.
    name: OnceLock<String>,
}

impl Asking {
    /// Its name, which is found once.
    pub(super) fn name(&self, find: impl FnOnce(&str) -> String) -> &str {
        self.name.get_or_init(|| find(&self.statement.sql))
    }

    /// In the form in which the database is quickest.
    pub(super) fn of(dialect: &dyn Dialect, more: &[Question]) -> Self {
        match dialect.asks_apart() {
            true => apart(dialect, more),
            false => Self {
                statement: together(dialect, more),
                kinds: Vec::new(),
                name: OnceLock::new(),
            },
        }
    }

    /// The answers of several statements, each with its kind; what stood
    /// before them is passed over.
    pub(super) fn answers(&self, done: Vec<Done>) -> Vec<Row> {
        let before = done.len().saturating_sub(self.kinds.len());
        let answers = self.kinds.iter().zip(done.into_iter().skip(before));
        let answers = answers.flat_map(|(kind, done)| {
            let kind = Some((*kind).to_owned());
            let rows = done.rows.into_iter();
            rows.map(move |row| std::iter::once(kind.clone()).chain(row).collect())
        });
        answers.collect()
    }
}

/// As one statement.
fn together(dialect: &dyn Dialect, more: &[Question]) -> Statement {
    let mut sql = format!(
        "SELECT 'identity', i.* , NULL, NULL, NULL, NULL FROM ({}) AS i \
         UNION ALL SELECT 'marker', m.* FROM ({}) AS m \
         UNION ALL SELECT 'schema', f.*, NULL, NULL, NULL, NULL, NULL, NULL, NULL \
         FROM ({}) AS f",
        dialect.identity(),
        markers(dialect),
        dialect.catalogue().fingerprint,
    );
    let mut named = Vec::new();
    for question in more {
        let columns: Vec<String> = (0..question.columns).map(|c| format!("c{c}")).collect();
        let missing = std::iter::repeat_n("NULL", 8_usize.saturating_sub(question.columns));
        let told: Vec<&str> = columns.iter().map(String::as_str).chain(missing).collect();
        let (kind, text) = (question.kind, &question.statement.sql);
        named.push(format!(
            "resetd_{kind} ({}) AS ({text})",
            columns.join(", ")
        ));
        sql += &format!(
            " UNION ALL SELECT '{kind}', {} FROM resetd_{kind}",
            told.join(", ")
        );
    }
    if !named.is_empty() {
        sql = format!("WITH {} {sql}", named.join(", "));
    }
    let parameters = more
        .iter()
        .flat_map(|question| &question.statement.parameters);
    Statement::new(sql, parameters.cloned().collect())
}

/// As one text.
fn apart(dialect: &dyn Dialect, more: &[Question]) -> Asking {
    let questions = [
        ("identity", dialect.identity()),
        ("marker", markers(dialect)),
        ("schema", dialect.catalogue().fingerprint),
    ];
    let more = more.iter();
    let more = more.map(|question| (question.kind, question.statement.sql.clone()));
    let questions = questions.into_iter().chain(more);
    let (kinds, texts): (Vec<&str>, Vec<String>) = questions.unzip();
    Asking {
        statement: Statement::plain(texts.join(";\n")),
        kinds,
        name: OnceLock::new(),
    }
}

/// Asks for the markers.
fn markers(dialect: &dyn Dialect) -> String {
    format!(
        "SELECT id, environment, database_name, server_identity, armed_by, armed_at, \
         expires_at, {} FROM {}",
        dialect.as_text("protected"),
        dialect.own_table("marker")
    )
}

/// The rows of one kind, of the answers to an [`Asking`].
pub(super) fn of_kind(rows: &[Row], kind: &str) -> Vec<Row> {
    let rows = rows.iter().filter(|row| field(row, 0) == kind);
    rows.map(|row| row.iter().skip(1).cloned().collect())
        .collect()
}

/// The answers to an [`Asking`]: what the database says of itself, and the
/// fingerprint of its schema.
pub(super) fn understand(rows: &[Row]) -> Result<(Seen, String), Error> {
    let identity = of_kind(rows, "identity").pop().unwrap_or_default();
    let markers = of_kind(rows, "marker");
    let seen = Seen {
        database: field(&identity, 0).to_owned(),
        server_identity: field(&identity, 1).to_owned(),
        read_only: field(&identity, 2) == "1",
        markers: markers.iter().map(marker).collect::<Result<_, _>>()?,
    };
    let schema = of_kind(rows, "schema").pop().unwrap_or_default();
    Ok((seen, field(&schema, 0).to_owned()))
}

fn marker(row: &Row) -> Result<Marker, Error> {
    let moment = |index: usize| {
        let text = field(row, index);
        text.parse::<Timestamp>()
            .map_err(|_| Error::Unexpected(format!("the marker's time {text:?} is none")))
    };
    Ok(Marker {
        id: field(row, 0).to_owned(),
        environment: field(row, 1).to_owned(),
        database: field(row, 2).to_owned(),
        server_identity: field(row, 3).to_owned(),
        armed_by: field(row, 4).to_owned(),
        armed_at: moment(5)?,
        expires_at: moment(6)?,
        protected: field(row, 7) != "0",
    })
}

/// Writes the proof of an operation's commit.
pub(super) async fn prove(
    transaction: &mut Transaction<'_>,
    operation: OperationId,
    now: Timestamp,
    result: String,
) -> Result<(), Error> {
    let proof = commit_proof(transaction.dialect, operation, now, result);
    if failpoint::skips("proof") {
        return Ok(());
    }
    match transaction.ask("writing the proof", &proof).await {
        Ok(_) => Ok(()),
        // Another server took this one for dead and has decided.
        Err(Error::Violation { .. } | Error::Duplicate) => Err(Error::Overtaken),
        Err(error) => Err(error),
    }
}

/// The same statement as a text without parameters, with a semicolon behind
/// it; nothing where a dialect has no way to write any text safely.
pub(super) fn inline_proof(
    dialect: &dyn Dialect,
    operation: OperationId,
    now: Timestamp,
    result: &str,
) -> Option<String> {
    Some(format!(
        "INSERT INTO {} (operation_id, committed_at, result) VALUES ('{operation}', '{now}', {}); ",
        dialect.own_table("commit"),
        dialect.opaque(result)?
    ))
}

/// The statement that proves an operation's commit: it is there if and only
/// if everything else of the transaction is.
#[must_use]
pub fn commit_proof(
    dialect: &dyn Dialect,
    operation: OperationId,
    now: Timestamp,
    result: String,
) -> Statement {
    let table = dialect.own_table("commit");
    let parameters: Vec<String> = (1..=3)
        .map(|position| dialect.parameter(position, None))
        .collect();
    Statement::new(
        format!(
            "INSERT INTO {table} (operation_id, committed_at, result) VALUES ({})",
            parameters.join(", ")
        ),
        vec![operation.to_string(), now.to_string(), result],
    )
}
