//! MeStore, on SQLite and PostgreSQL, with its Redis.

mod accounts;
mod bulk;
mod everything;
mod safety;
mod sessions;
mod terminal;
mod users;

use resetd::{
    client::{Client, Error},
    proto::{
        FullResetRequest, ResetLevel, ResetResult, ResetTestUsersRequest, ResetUserRequest,
        reset_user_request::User,
    },
};

use crate::{
    Case,
    place::{Kind, System},
    world::{World, finished},
};

/// The cases of every module.
pub fn cases() -> Vec<Case> {
    [
        everything::CASES,
        bulk::CASES,
        users::CASES,
        sessions::CASES,
        accounts::CASES,
        safety::CASES,
        terminal::CASES,
    ]
    .concat()
}

/// The system.
const MESTORE: System = System {
    name: "mestore",
    variant: None,
};

/// A buyer with much hanging off her.
const BUYER: &str = "maria.compradora@test.com";
const BUYER_ID: &str = "00000001-0000-4000-8000-000000000001";
/// A vendor whose goods real buyers bought.
const VENDOR: &str = "tienda.demo@test.com";
/// Nothing refers to this one.
const NEWCOMER: &str = "nuevo.usuario@test.com";
/// A superuser who is no test user.
const CEO: &str = "ceo@corporation.com";
/// What a full reset is confirmed with.
const PHRASE: &str = "I UNDERSTAND THIS WILL DELETE ALL DATA";
/// Users who look like test users and are none.
const LOOK_ALIKES: [&str; 6] = [
    "ana@test.com.evil.org",
    "luis@evil-test.com",
    "bob@test.community",
    "ceo@dev.company.com",
    "camila@tést.com",
    "xiomara@xtest.com",
];
/// Who is an admin, in SQL.
const ADMINS: &str = "user_type IN ('ADMIN', 'SUPERUSER')";

/// Who has an e-mail in a test domain, in SQL of this suite's own.
fn test_users(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite => {
            "substr(email, instr(email, '@') + 1) IN \
             ('test.com', 'testing.com', 'dev.com', 'example.com')"
        }
        Kind::Postgres | Kind::MariaDb => {
            "split_part(email, '@', 2) IN ('test.com', 'testing.com', 'dev.com', 'example.com')"
        }
    }
}

/// A request for a user of this e-mail.
fn by_email(email: &str, level: ResetLevel) -> ResetUserRequest {
    ResetUserRequest {
        user: Some(User::Email(email.to_owned())),
        level: level.into(),
        ..ResetUserRequest::default()
    }
}

/// A request that takes a user with everything.
fn cascade(email: &str) -> ResetUserRequest {
    by_email(email, ResetLevel::UserCascade)
}

/// The same, dry.
fn dry(email: &str) -> ResetUserRequest {
    ResetUserRequest {
        validate_only: true,
        ..cascade(email)
    }
}

async fn reset(caller: &Client, request: ResetUserRequest) -> Result<ResetResult, Error> {
    Ok(caller.reset_user(request).await?.result.unwrap())
}

async fn reset_test_users(
    caller: &Client,
    request: ResetTestUsersRequest,
) -> Result<ResetResult, Error> {
    Ok(caller.reset_test_users(request).await?.result.unwrap())
}

async fn full_reset(caller: &Client, request: FullResetRequest) -> Result<ResetResult, Error> {
    finished(caller.full_reset(request).await).await
}

/// A full reset with its phrase.
fn confirmed() -> FullResetRequest {
    FullResetRequest {
        confirmation: PHRASE.to_owned(),
        ..FullResetRequest::default()
    }
}

/// No row refers to one that is not there.
async fn assert_whole(world: &World) {
    if world.database.kind == Kind::Sqlite {
        let broken = "SELECT count(*) || '' FROM pragma_foreign_key_check";
        assert_eq!(world.ask(broken).await, "0");
    }
}
