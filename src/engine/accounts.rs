//! Creates test users that the application accepts at once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Context, now};
use crate::{
    error::Error,
    guard,
    operation::{CreateTestUser, Mode},
    plan::Model,
    policy::{Create, KeyMaker, Password, Value},
    schema::{ColumnId, Table},
    target::{self, Creation, NewUser},
};

/// bcrypt looks at no more bytes, and silently: two long passwords that begin
/// alike would both be right.
const PASSWORD_BYTES: usize = 72;

/// A created user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Created {
    /// The user.
    pub user: NewUser,
    /// Whether the row was kept.
    pub mode: Mode,
}

/// Creates a test user.
pub(super) async fn create(context: &Context, action: CreateTestUser) -> Result<Created, Error> {
    let served = &context.served;
    let target = &served.target;
    guard::precheck(target.setting(), now())?;
    if !served.domains.is_test_user(&action.email) {
        let domains: Vec<&str> = served.domains.domains().collect();
        return Err(field(
            "email",
            format!(
                "Email {} doesn't use a test domain. Use one of: {}",
                action.email,
                domains.join(", ")
            ),
        ));
    }

    let model = target.model().await?;
    let mode = action.mode;
    let (values, secret) = columns(&model, context, action).await?;
    let seen = target.observe().await?.seen;
    let cleared = guard::clear(model, target.setting(), seen, served.limits, now())?;
    let creation = Creation {
        operation: context.operation,
        mode,
        started: context.started,
        deadline: context.deadline,
        brake: context.brake.clone(),
        values,
        secret,
    };
    let user = created(context, &cleared, &creation).await?;

    Ok(Created { user, mode })
}

/// How often it is looked whether the effects of an earlier reset are done.
const LOOKS: u32 = 10;
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Creates the user, once nothing is left to be done of an earlier one of the
/// same e-mail.
async fn created(
    context: &Context,
    cleared: &guard::Cleared<Arc<Model>>,
    creation: &Creation,
) -> Result<NewUser, Error> {
    let target = &context.served.target;
    let mut looks = 0;
    loop {
        match target.create_user(cleared, creation).await {
            Err(target::Error::EffectsPending(_)) if looks < LOOKS => {
                context.wake_outbox();
                looks += 1;
                tokio::time::sleep(PAUSE).await;
            }
            other => return Ok(other?),
        }
    }
}

fn field(field: &'static str, problem: String) -> Error {
    Error::Field { field, problem }
}

type Columns = (BTreeMap<ColumnId, Value>, Vec<ColumnId>);

/// Every column of the new row: the policy's values, then the request's.
async fn columns(
    model: &Model,
    context: &Context,
    action: CreateTestUser,
) -> Result<Columns, Error> {
    let users = model.users();
    let table = model.schema().table(users.table);
    let create = model.policy().users.create.as_ref().ok_or_else(|| {
        field(
            "target",
            "the policy of this target has no [users.create], so users cannot be created".into(),
        )
    })?;
    let mut values = BTreeMap::new();
    let mut set = |name: &str, value: Value| {
        // The names were resolved when the policy was bound.
        if let Some(id) = table.find(name) {
            values.insert(id, value);
        }
    };
    for (name, value) in &create.set {
        set(name, value.clone());
    }
    for (name, value) in attributes(create, table, &action.attributes)? {
        set(name, value);
    }
    set(
        &model.policy().users.email,
        Value::Text(action.email.clone()),
    );
    if let Some(user_type) = &action.user_type {
        let column = model.policy().users.user_type.as_deref().ok_or_else(|| {
            field(
                "user_type",
                "the policy of this target names no user type".into(),
            )
        })?;
        set(column, Value::Text(user_type.clone()));
    }
    let mut secret = Vec::new();
    if let Some(password) = &create.password {
        let hashed = hashed(context, password, action.password.clone()).await?;
        set(&password.column, Value::Text(hashed));
        secret.extend(table.find(&password.column));
    } else if action.password.is_some() {
        return Err(field(
            "password",
            "the policy of this target stores no password".into(),
        ));
    }
    if create.key == Some(KeyMaker::Uuid4) {
        values.insert(users.key, Value::Text(Uuid::new_v4().to_string()));
    }
    if let Some(session) = &action.test_session_id {
        let (column, mark) = mark(model, context, session)?;
        values.insert(column, mark);
    }
    Ok((values, secret))
}

fn attributes<'a>(
    create: &Create,
    table: &Table,
    asked: &'a BTreeMap<String, String>,
) -> Result<Vec<(&'a str, Value)>, Error> {
    asked
        .iter()
        .map(|(name, value)| {
            if !create.attributes.contains(name) || table.find(name).is_none() {
                return Err(field(
                    "attributes",
                    format!(
                        "{name} cannot be set; this target allows {}",
                        create.attributes.join(", ")
                    ),
                ));
            }
            Ok((name.as_str(), Value::Text(value.clone())))
        })
        .collect()
}

/// A password's hash, by the policy.
pub(super) async fn hashed(
    context: &Context,
    rule: &Password,
    asked: Option<String>,
) -> Result<String, Error> {
    let password = asked.or_else(|| rule.default.clone()).ok_or_else(|| {
        field(
            "password",
            "a password is needed: the policy has no default".into(),
        )
    })?;
    if password.is_empty() || password.len() > PASSWORD_BYTES || password.contains('\0') {
        return Err(field(
            "password",
            format!("a password has 1 to {PASSWORD_BYTES} bytes and no NUL"),
        ));
    }
    let environment = context.served.target.setting().environment.as_deref();
    let cost = rule.bcrypt_cost.at(environment).ok_or(Error::Invariant)?;
    hash(password, cost).await
}

/// Hashes a password as the applications do, off the runtime's threads, and
/// sees that the hash verifies.
pub(super) async fn hash(password: String, cost: u32) -> Result<String, Error> {
    let hashed = tokio::task::spawn_blocking(move || {
        let hash = bcrypt::hash(&password, cost).ok()?;
        bcrypt::verify(&password, &hash).ok()?.then_some(hash)
    });
    hashed.await.ok().flatten().ok_or(Error::Invariant)
}

/// The marker that says to which test session the row belongs.
fn mark(model: &Model, context: &Context, session: &str) -> Result<(ColumnId, Value), Error> {
    let (Some((column, path)), Some(cleanup)) = (&model.users().marker, &model.policy().cleanup)
    else {
        return Err(field(
            "test_session_id",
            "the policy of this target marks no users under [cleanup]".into(),
        ));
    };
    let mut mark = json!({
        &cleanup.marker.key: cleanup.marker.value,
        &cleanup.session: session,
        "test_timestamp": context.started.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string(),
        "created_by_test": true,
        "test_data_type": "user",
    });
    for key in path.iter().rev() {
        mark = json!({ key: mark });
    }
    Ok((*column, Value::Text(mark.to_string())))
}
