//! What the database says about being reset, and how it is made to say so:
//! its marker, and the proofs of commits.

use jiff::Timestamp;

use super::{Deadline, Error, Target, connection::Session, field, transaction::Transaction};
use crate::{
    dialect::{Dialect, Hold, Row, Statement},
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

impl Target {
    /// Whether an operation was committed: whether its proof is there. Waits
    /// for operations that are still under way.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached, or is still busy.
    pub async fn was_committed(&self, operation: OperationId) -> Result<bool, Error> {
        let mut transaction = self.begin(Deadline::default()).await?;
        let found = proof(&mut transaction, operation).await;
        transaction.rollback().await;
        found
    }
}

async fn proof(transaction: &mut Transaction<'_>, operation: OperationId) -> Result<bool, Error> {
    let (dialect, step) = (transaction.dialect, "looking for a proof");
    if let Some(lock) = dialect.lock(Hold::Exclusive) {
        transaction.run(step, &Statement::plain(lock)).await?;
    }
    let sql = format!(
        "SELECT operation_id FROM {} WHERE operation_id = {}",
        dialect.own_table("commit"),
        dialect.parameter(1, None)
    );
    let question = Statement::new(sql, vec![operation.to_string()]);
    Ok(!transaction.query(step, &question).await?.is_empty())
}

async fn write(
    transaction: &mut Transaction<'_>,
    database: &str,
    arming: &Arming,
) -> Result<Marker, Error> {
    let dialect = transaction.dialect;
    let step = "arming";
    for statement in dialect.arm() {
        transaction.run(step, &Statement::plain(statement)).await?;
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
    let mut markers = Vec::new();
    if field(row, 3) == "1" {
        let table = dialect.own_table("marker");
        let sql = format!(
            "SELECT id, environment, database_name, server_identity, armed_by, armed_at, \
             expires_at, CAST(protected AS TEXT) FROM {table}"
        );
        for row in session.rows(&Statement::plain(sql)).await? {
            markers.push(marker(&row)?);
        }
    }
    Ok(Seen {
        database: field(row, 0).to_owned(),
        server_identity: field(row, 1).to_owned(),
        read_only: field(row, 2) == "1",
        markers,
    })
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
