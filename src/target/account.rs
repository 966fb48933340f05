//! Creates a user.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Brake, Deadline, Error, Target, armed, execute::recheck, fault::CREATING, field, pending,
    transaction::Transaction,
};
use crate::{
    dialect::{Hold, Statement},
    guard::Cleared,
    operation::{Mode, OperationId},
    plan::Model,
    policy::Value,
    schema::ColumnId,
};

/// A user to be created: every column with its value, already hashed.
#[derive(Clone)]
pub struct Creation {
    /// The operation, whose commit is proved under this id.
    pub operation: OperationId,
    /// Whether the row is kept.
    pub mode: Mode,
    /// When it began.
    pub started: Timestamp,
    /// When it has to be done.
    pub deadline: Deadline,
    /// What stops it before its commit.
    pub brake: Brake,
    /// The columns and their values.
    pub values: BTreeMap<ColumnId, Value>,
    /// Columns that are not told back, such as the password's hash.
    pub secret: Vec<ColumnId>,
}

/// A created user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewUser {
    /// The key, as text.
    pub id: String,
    /// The e-mail.
    pub email: String,
    /// The type's label.
    pub user_type: String,
    /// The other columns that were set, as the database has them now.
    pub columns: BTreeMap<String, String>,
}

impl Target {
    /// Creates a user in the cleared model's users table.
    ///
    /// # Errors
    ///
    /// [`Error::Duplicate`] when the e-mail or another unique value exists;
    /// otherwise as for an execution. After an error nothing was created.
    pub async fn create_user(
        &self,
        cleared: &Cleared<std::sync::Arc<Model>>,
        creation: &Creation,
    ) -> Result<NewUser, Error> {
        let (deadline, brake) = (creation.deadline, creation.brake.clone());
        let mut transaction = self.begin_braked(deadline, brake).await?;
        match create(&mut transaction, cleared, creation).await {
            Ok(user) => {
                match creation.mode {
                    Mode::DryRun => transaction.rollback().await,
                    Mode::Execute => transaction.commit().await?,
                }
                Ok(user)
            }
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        }
    }
}

async fn create(
    transaction: &mut Transaction<'_>,
    cleared: &Cleared<std::sync::Arc<Model>>,
    creation: &Creation,
) -> Result<NewUser, Error> {
    let model = cleared.subject();
    recheck(transaction, cleared, model.schema().fingerprint()).await?;
    let dialect = transaction.dialect;
    transaction.hold(Hold::Shared).await?;
    let users = model.users();
    let table = model.schema().table(users.table);
    let name = |id: ColumnId| dialect.quote(&table.column(id).name);
    let text = |id: ColumnId| dialect.text(table.column(id), &name(id));

    // Even where the application's schema forgot to make e-mails unique, two
    // users of one e-mail are never what a test wants.
    if let Some(Value::Text(email)) = creation.values.get(&users.email) {
        let column = table.column(users.email);
        let sql = format!(
            "SELECT {} FROM {} WHERE {} = {}",
            text(users.email),
            dialect.table(&table.name),
            name(users.email),
            dialect.parameter(1, Some(column)),
        );
        let known = Statement::new(sql, vec![email.clone()]);
        if !transaction
            .query("looking the e-mail up", &known)
            .await?
            .is_empty()
        {
            return Err(Error::Duplicate);
        }
    }

    let (mut columns, mut values, mut parameters) = (Vec::new(), Vec::new(), Vec::new());
    for (&id, value) in &creation.values {
        columns.push(name(id));
        values.push(match value {
            Value::Text(text) => {
                parameters.push(text.clone());
                dialect.parameter(parameters.len(), Some(table.column(id)))
            }
            other => dialect.literal(other),
        });
    }
    let mut shown = vec![users.key, users.email];
    shown.extend(users.user_type);
    let others = creation
        .values
        .keys()
        .filter(|id| !creation.secret.contains(id));
    shown.extend(others);
    let returning: Vec<String> = shown.iter().map(|&id| text(id)).collect();
    let sql = format!(
        "INSERT INTO {} ({}) VALUES ({}) RETURNING {}",
        dialect.table(&table.name),
        columns.join(", "),
        values.join(", "),
        returning.join(", "),
    );
    let insert = Statement::new(sql, parameters);
    let rows = transaction.query(CREATING, &insert).await?;
    let row = rows
        .first()
        .ok_or_else(|| Error::Unexpected("the insert returned no row".to_owned()))?;
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    for (index, &id) in shown.iter().enumerate() {
        if let Some(value) = row.get(index).cloned().flatten() {
            told.insert(table.column(id).name.clone(), value);
        }
    }
    let mut take = |id: ColumnId| told.remove(&table.column(id).name).unwrap_or_default();
    let user = NewUser {
        id: field(row, 0).to_owned(),
        email: take(users.email),
        user_type: users.user_type.map(&mut take).unwrap_or_default(),
        columns: {
            take(users.key);
            told
        },
    };
    for id in &creation.secret {
        if let Some(Value::Text(hash)) = creation.values.get(id) {
            is_kept(transaction, model, (*id, hash), &user.id).await?;
        }
    }
    // Only now: the insert has waited for a reset of the same e-mail, and sees
    // what that one has left to be done.
    if pending::awaited(transaction, &[&user.email, &user.id]).await? {
        return Err(Error::EffectsPending(user.email));
    }
    let result = serde_json::to_string(&user);
    let result = result.map_err(|error| Error::Unexpected(error.to_string()))?;
    armed::prove(transaction, creation.operation, creation.started, result).await?;
    Ok(user)
}

/// Reads a password's hash back: a trigger can have changed it, or the column
/// have cut it short, and then it verifies for nobody.
pub(super) async fn is_kept(
    transaction: &mut Transaction<'_>,
    model: &Model,
    (id, hash): (ColumnId, &str),
    user: &str,
) -> Result<(), Error> {
    let dialect = transaction.dialect;
    let users = model.users();
    let table = model.schema().table(users.table);
    let (column, key) = (table.column(id), table.column(users.key));
    let sql = format!(
        "SELECT {} FROM {} WHERE {} = {}",
        dialect.text(column, &dialect.quote(&column.name)),
        dialect.rows(table),
        dialect.quote(&key.name),
        dialect.parameter(1, Some(key)),
    );
    let statement = Statement::new(sql, vec![user.to_owned()]);
    let rows = transaction.query(PASSWORD, &statement).await?;
    match rows.first().map(|row| field(row, 0)) == Some(hash) {
        true => Ok(()),
        false => Err(not_kept()),
    }
}

/// The step in which a password is written and read back.
pub(super) const PASSWORD: &str = "setting the password";

/// The database has not kept a password.
pub(super) fn not_kept() -> Error {
    Error::Violation {
        step: PASSWORD.to_owned(),
        detail: "the database did not keep the password's hash as it was written".to_owned(),
    }
}
