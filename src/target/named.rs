//! Statements that PostgreSQL keeps under a name of ours: unlike one that the
//! driver has prepared, such a statement can follow others in one text, and so
//! in their round trip.

use sqlx::{AssertSqlSafe, Executor as _, Postgres, SqlSafeStr as _, postgres::PgConnection};

use super::{answers, armed::Asking, warm::Lent};
use crate::dialect::{Row, Statement};

/// What PostgreSQL says of a name that this connection does not know.
const UNKNOWN: &str = "26000";
/// What it says of one that it knows already.
const KNOWN: &str = "42P05";

/// Runs a text that begins a transaction, and asks a question inside it. The
/// question is prepared before, not when it turns out to be unknown: then a
/// lock that the text has waited for would be given back, and waited for again.
/// That happens only where the connection is another one than it was.
pub(super) async fn ask_behind(
    connection: &mut Lent<Postgres>,
    begin: &str,
    asking: &Asking,
) -> Result<Vec<Row>, sqlx::Error> {
    let (name, question) = (asking.name(name), &asking.statement);
    let text = format!("{begin}; EXECUTE {name}{}", arguments(question));
    if connection.learns(name) {
        prepare(connection, name, question).await?;
    }
    match last_rows(connection, &text).await {
        Err(error) if is(&error, UNKNOWN) => {
            connection.execute("ROLLBACK").await?;
            prepare(connection, name, question).await?;
            last_rows(connection, &text).await
        }
        other => other,
    }
}

async fn prepare(
    connection: &mut PgConnection,
    name: &str,
    question: &Statement,
) -> Result<(), sqlx::Error> {
    let types = vec!["text"; question.parameters.len()];
    let types = listed(types.into_iter().map(str::to_owned));
    let prepare = format!("PREPARE {name}{types} AS {}", question.sql);
    let prepare = AssertSqlSafe(prepare).into_sql_str();
    match connection.execute(sqlx::raw_sql(prepare)).await {
        Err(error) if is(&error, KNOWN) => Ok(()),
        other => other.map(|_| ()),
    }
}

fn is(error: &sqlx::Error, code: &str) -> bool {
    let error = error.as_database_error();
    error.and_then(sqlx::error::DatabaseError::code).as_deref() == Some(code)
}

/// The same text has the same name.
fn name(sql: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let digest = hex::encode(Sha256::digest(sql));
    format!("resetd_{}", digest.get(..24).unwrap_or_default())
}

/// In digits, so that nothing in them can end them.
fn arguments(question: &Statement) -> String {
    listed(question.parameters.iter().map(|parameter| {
        format!(
            "pg_catalog.convert_from(pg_catalog.decode('{}', 'hex'), 'UTF8')",
            hex::encode(parameter)
        )
    }))
}

/// In brackets, unless there is nothing.
fn listed(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    match parts.is_empty() {
        true => String::new(),
        false => format!(" ({})", parts.join(", ")),
    }
}

async fn last_rows(connection: &mut PgConnection, text: &str) -> Result<Vec<Row>, sqlx::Error> {
    let text = AssertSqlSafe(text.to_owned()).into_sql_str();
    answers::of_last(connection.fetch_many(sqlx::raw_sql(text))).await
}
