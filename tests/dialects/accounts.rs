//! Users that are created: their types, their lengths, their enums.

use std::collections::BTreeMap;

use jiff::Timestamp;
use resetd::{
    guard::{self, Limits},
    operation::{Level, Mode, OperationId, UserSelector},
    policy::Value,
    target::{Brake, Creation, Deadline, Error, NewUser},
};
use uuid::Uuid;

use crate::{
    cases,
    world::{Kind, POLICY, World},
};

cases! {
    EVERYWHERE: users_are_created, too_long_a_value_is_refused, existing_email_is_refused;
    SERVERS: enums;
}

const ANN: &str = "00000000-0000-4000-8000-00000000000a";
const BOB: &str = "00000000-0000-4000-8000-00000000000b";

/// Creates a user with these columns.
async fn create(world: &World, columns: &[(&str, Value)]) -> Result<NewUser, Error> {
    let model = world.target.model().await.unwrap();
    let table = model.schema().table(model.users().table);
    let named = columns
        .iter()
        .map(|(name, value)| (table.find(name).unwrap(), value.clone()));
    let values: BTreeMap<_, _> = named.collect();
    let seen = world.target.observe().await.unwrap().seen;
    let limits = Limits { max_rows: 1 };
    let setting = world.target.setting();
    let cleared = guard::clear(model, setting, seen, limits, Timestamp::now()).unwrap();
    let creation = Creation {
        operation: OperationId::from(Uuid::now_v7()),
        mode: Mode::Execute,
        started: Timestamp::now(),
        deadline: Deadline::default(),
        brake: Brake::default(),
        values,
        secret: Vec::new(),
    };
    world.target.create_user(&cleared, &creation).await
}

fn value(text: &str) -> Value {
    Value::Text(text.to_owned())
}

const ACCOUNTS: &str = "
    pg: CREATE TYPE user_kind AS ENUM ('BUYER', 'VENDOR');
    CREATE TABLE users (
        id VARCHAR(36) PRIMARY KEY, email VARCHAR(20) NOT NULL,
    pg: kind user_kind NOT NULL, since TIMESTAMP NOT NULL, meta jsonb, ref uuid,
    maria: kind ENUM ('BUYER', 'VENDOR') NOT NULL, since TIMESTAMP NOT NULL, meta JSON, ref UUID,
    lite: kind TEXT NOT NULL, since TIMESTAMP NOT NULL, meta JSON, ref TEXT,
        active BOOLEAN NOT NULL, cedula VARCHAR(5) UNIQUE
    lite: , CHECK (length(email) <= 20), CHECK (length(cedula) <= 5)
        );";

async fn users_are_created(kind: Kind) {
    let policy = POLICY.replace("email =", "type = \"kind\"\nemail =");
    let world = World::make(kind, ACCOUNTS, &policy).await;
    let user = create(
        &world,
        &[
            ("id", value(ANN)),
            ("email", value("ann@test.com")),
            ("kind", value("VENDOR")),
            ("since", Value::Now),
            ("meta", value("{\"a\": \"b\"}")),
            ("ref", value(BOB)),
            ("active", Value::Boolean(true)),
            ("cedula", value("12'\\5")),
        ],
    )
    .await
    .unwrap();
    assert_eq!(
        (user.id.as_str(), user.email.as_str()),
        (ANN, "ann@test.com")
    );
    assert_eq!(
        (user.user_type.as_str(), user.columns["ref"].as_str()),
        ("VENDOR", BOB)
    );
    assert_eq!(user.columns["cedula"], "12'\\5");
    world.takes(world.id(ANN), "users -1", "").await;
}

fn account(email: &str, kind: &str, cedula: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("id", value(&Uuid::new_v4().to_string())),
        ("email", value(email)),
        ("kind", value(kind)),
        ("since", Value::Now),
        ("active", Value::Boolean(false)),
        ("cedula", value(cedula)),
    ]
}

async fn too_long_a_value_is_refused(kind: Kind) {
    let world = World::make(kind, ACCOUNTS, POLICY).await;
    let email = "ann.very.long.name@test.com";
    let error = create(&world, &account(email, "BUYER", "1"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Violation { .. }), "{error:?}");
    let error = create(&world, &account("a@test.com", "BUYER", "123456"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Violation { .. }), "{error:?}");
    assert_eq!(world.left().await, "");
}

async fn existing_email_is_refused(kind: Kind) {
    let world = World::make(kind, ACCOUNTS, POLICY).await;
    create(&world, &account("a@test.com", "BUYER", "1"))
        .await
        .unwrap();
    let error = create(&world, &account("a@test.com", "BUYER", "2"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Duplicate), "{error:?}");
    let error = create(&world, &account("b@test.com", "BUYER", "1"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Duplicate), "{error:?}");
    assert_eq!(world.left().await, "users 1");
}

async fn enums(kind: Kind) {
    let policy = POLICY.replace(
        "email =",
        "type = \"kind\"\nadmins = { column = \"kind\", values = [\"VENDOR\", \"GHOST\"] }\nemail =",
    );
    let policy = format!("{policy}[levels.user_data.restore.users]\nkind = \"BUYER\"");
    let world = World::make(kind, ACCOUNTS, &policy).await;
    let error = create(&world, &account("a@test.com", "NOBODY", "1"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Violation { .. }), "{error:?}");
    create(&world, &account("a@test.com", "VENDOR", "1"))
        .await
        .unwrap();
    create(&world, &account("b@test.com", "BUYER", "2"))
        .await
        .unwrap();
    world
        .takes(world.test_users(false), "users -1", "users 1")
        .await;
    let order = world.at(
        Level::UserData,
        UserSelector::Email("a@test.com".to_owned()),
    );
    world.takes(order, "users *1", "users 1").await;
}
