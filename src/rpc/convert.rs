//! Messages into our types, with every check of their fields.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    engine::{Terms, Which},
    error::Error,
    journal::{Filter, State},
    operation::{
        Action, Cleanup, ClearCache, CreateTestUser, FullReset, Level, Mode, OperationId,
        ResetTestUsers, ResetUser, RunRecipe, SetPassword, Statistics, UserSelector,
    },
    proto::{
        self, get_operation_request::Operation as OperationField,
        reset_user_request::User as UserField,
    },
};

/// The longest key that is looked up, in bytes.
const KEY_BYTES: usize = 256;
/// The longest e-mail that is looked up, in bytes: RFC 3696 allows 320.
const EMAIL_BYTES: usize = 320;
/// The longest name of a target, user type or attribute, in bytes.
const NAME_BYTES: usize = 128;
/// The longest value of an attribute, in bytes: the journal keeps it too.
const VALUE_BYTES: usize = 4096;
/// The longest test session id, in bytes.
const SESSION_BYTES: usize = 128;
/// The longest plan token, in bytes.
const TOKEN_BYTES: usize = 2048;
/// Tables or operations on a page when the caller does not say.
const PAGE: usize = 100;

fn field(field: &'static str, problem: impl Into<String>) -> Error {
    Error::Field {
        field,
        problem: problem.into(),
    }
}

fn mode(validate_only: bool) -> Mode {
    match validate_only {
        true => Mode::DryRun,
        false => Mode::Execute,
    }
}

/// What a caller says about a request besides what is to be done.
pub(super) fn terms(request_id: &str, plan_token: &str) -> Result<Terms, Error> {
    let request = match request_id {
        "" => None,
        id => Some(uuid("request_id", id)?),
    };
    if plan_token.len() > TOKEN_BYTES {
        let problem = format!("must have at most {TOKEN_BYTES} bytes");
        return Err(field("plan_token", problem));
    }
    Ok(Terms {
        request,
        plan_token: (!plan_token.is_empty()).then(|| plan_token.to_owned()),
        parent: None,
    })
}

fn uuid(name: &'static str, text: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(text).map_err(|_| field(name, "must be a UUID"))
}

pub(super) fn which(message: proto::GetOperationRequest) -> Result<Which, Error> {
    match message.operation {
        None => Err(field("operation", "give operation_id or request_id")),
        Some(OperationField::OperationId(id)) => {
            text("operation_id", &id, NAME_BYTES)?;
            Ok(Which::Id(id))
        }
        Some(OperationField::RequestId(id)) => Ok(Which::Request(uuid("request_id", &id)?)),
    }
}

pub(super) fn number(name: &'static str, value: i64) -> Result<u64, Error> {
    u64::try_from(value).map_err(|_| field(name, "must not be negative"))
}

pub(super) fn filter(message: proto::ListOperationsRequest) -> Result<Filter, Error> {
    let given = |name, value: String| match value.is_empty() {
        true => Ok(None),
        false => text(name, &value, NAME_BYTES).map(|()| Some(value)),
    };
    let state = match proto::operation::State::try_from(message.state) {
        Ok(proto::operation::State::Unspecified) => None,
        Ok(proto::operation::State::Running) => Some(State::Open),
        Ok(proto::operation::State::InDoubt) => Some(State::InDoubt),
        Ok(proto::operation::State::EffectsPending) => Some(State::EffectsPending),
        Ok(proto::operation::State::Succeeded) => Some(State::Complete),
        Ok(proto::operation::State::Failed) => Some(State::Failed),
        Err(_) => return Err(field("state", format!("{} is no state", message.state))),
    };
    let since = message.begin_time_from.map(|from| {
        let moment = Timestamp::new(from.seconds, from.nanos);
        moment.map_err(|_| field("begin_time_from", "is no moment"))
    });
    let before = match message.page_token.as_str() {
        "" => None,
        token => Some(OperationId::from(uuid("page_token", token)?)),
    };
    Ok(Filter {
        targets: given("target", message.target)?.map(|target| vec![target]),
        actor: given("actor", message.actor)?,
        action: given("action", message.action)?,
        state,
        since: since.transpose()?,
        before,
        limit: page_size(message.page_size)?,
    })
}

/// A user by either of two fields.
fn user(id: Option<String>, address: Option<String>) -> Result<UserSelector, Error> {
    match (id, address) {
        (Some(id), _) => {
            text("user_id", &id, KEY_BYTES)?;
            Ok(UserSelector::Id(id))
        }
        (None, Some(address)) => {
            email(&address)?;
            Ok(UserSelector::Email(address))
        }
        (None, None) => Err(field("user", "give user_id or email")),
    }
}

pub(super) fn set_password(message: proto::SetPasswordRequest) -> Result<Action, Error> {
    use proto::set_password_request::User;
    let user = match message.user {
        None => user(None, None)?,
        Some(User::UserId(id)) => user(Some(id), None)?,
        Some(User::Email(address)) => user(None, Some(address))?,
    };
    if message.password.is_empty() {
        return Err(field("password", "must not be empty"));
    }
    Ok(Action::SetPassword(SetPassword {
        user,
        password: message.password,
        force: message.force,
        mode: mode(message.validate_only),
    }))
}

pub(super) fn clear_cache(message: &proto::ClearCacheRequest) -> Action {
    Action::ClearCache(ClearCache {
        mode: mode(message.validate_only),
    })
}

pub(super) fn run_recipe(message: proto::RunRecipeRequest) -> Result<Action, Error> {
    text("recipe", &message.recipe, NAME_BYTES)?;
    confirmation(&message.confirmation)?;
    Ok(Action::RunRecipe(RunRecipe {
        recipe: message.recipe,
        confirmation: message.confirmation,
        mode: mode(message.validate_only),
    }))
}

fn confirmation(phrase: &str) -> Result<(), Error> {
    match phrase.len() > VALUE_BYTES {
        true => Err(field(
            "confirmation",
            format!("must have at most {VALUE_BYTES} bytes"),
        )),
        false => Ok(()),
    }
}

pub(super) fn reset_user(message: proto::ResetUserRequest) -> Result<Action, Error> {
    let user = match message.user {
        None => user(None, None)?,
        Some(UserField::UserId(id)) => user(Some(id), None)?,
        Some(UserField::Email(address)) => user(None, Some(address))?,
    };
    Ok(Action::ResetUser(ResetUser {
        user,
        level: level(message.level)?,
        force: message.force,
        allow_missing: message.allow_missing,
        mode: mode(message.validate_only),
    }))
}

pub(super) fn create_user(message: proto::CreateTestUserRequest) -> Result<Action, Error> {
    email(&message.email)?;
    if let Some(session) = &message.test_session_id {
        text("test_session_id", session, SESSION_BYTES)?;
    }
    if !message.user_type.is_empty() {
        text("user_type", &message.user_type, NAME_BYTES)?;
    }
    let attributes: BTreeMap<String, String> = message.attributes.into_iter().collect();
    for (name, value) in &attributes {
        text("attributes", name, NAME_BYTES)?;
        if value.len() > VALUE_BYTES {
            let problem = format!("{name} must have at most {VALUE_BYTES} bytes");
            return Err(field("attributes", problem));
        }
    }
    let given = |text: String| (!text.is_empty()).then_some(text);
    Ok(Action::CreateTestUser(CreateTestUser {
        email: message.email,
        password: given(message.password),
        user_type: given(message.user_type),
        attributes,
        test_session_id: message.test_session_id,
        mode: mode(message.validate_only),
    }))
}

pub(super) fn reset_test_users(message: proto::ResetTestUsersRequest) -> Result<Action, Error> {
    let level = match proto::ResetLevel::try_from(message.level) {
        Ok(proto::ResetLevel::AllTestData) => Level::UserCascade,
        _ => level(message.level)?,
    };
    for domain in &message.email_domains {
        text("email_domains", domain, EMAIL_BYTES)?;
    }
    Ok(Action::ResetTestUsers(ResetTestUsers {
        level,
        email_domains: message.email_domains,
        include_admins: message.include_admins,
        mode: mode(message.validate_only),
    }))
}

pub(super) fn cleanup(message: proto::CleanupRequest) -> Result<Action, Error> {
    if let Some(session) = &message.test_session_id {
        text("test_session_id", session, SESSION_BYTES)?;
    }
    Ok(Action::Cleanup(Cleanup {
        test_session_id: message.test_session_id,
        mode: mode(message.validate_only),
    }))
}

pub(super) fn full_reset(message: proto::FullResetRequest) -> Result<Action, Error> {
    confirmation(&message.confirmation)?;
    Ok(Action::FullReset(FullReset {
        confirmation: message.confirmation,
        reseed: message.reseed,
        preserve_admins: message.preserve_admins.unwrap_or(true),
        mode: mode(message.validate_only),
    }))
}

pub(super) fn statistics(message: &proto::StatisticsRequest) -> Statistics {
    Statistics {
        exact: message.exact,
    }
}

/// A target's name may be empty: then the server's only one is meant.
pub(super) fn target(name: &str) -> Result<(), Error> {
    match name.is_empty() {
        true => Ok(()),
        false => text("target", name, NAME_BYTES),
    }
}

fn text(name: &'static str, value: &str, limit: usize) -> Result<(), Error> {
    if value.is_empty() {
        return Err(field(name, "must not be empty"));
    }
    if value.len() > limit {
        return Err(field(name, format!("must have at most {limit} bytes")));
    }
    if value.chars().any(char::is_control) {
        return Err(field(name, "must not have control characters"));
    }
    Ok(())
}

/// Enough to be looked up; whether it is a test user's is the guard's to say.
fn email(value: &str) -> Result<(), Error> {
    text("email", value, EMAIL_BYTES)?;
    let shaped = value
        .rsplit_once('@')
        .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    if !shaped || value.contains(char::is_whitespace) {
        return Err(field(
            "email",
            "must be one address such as name@example.com",
        ));
    }
    Ok(())
}

fn level(value: i32) -> Result<Level, Error> {
    match proto::ResetLevel::try_from(value) {
        Ok(proto::ResetLevel::Unspecified | proto::ResetLevel::UserCascade) => {
            Ok(Level::UserCascade)
        }
        Ok(proto::ResetLevel::UserData) => Ok(Level::UserData),
        Ok(proto::ResetLevel::UserSessions) => Ok(Level::UserSessions),
        Ok(proto::ResetLevel::AllTestData | proto::ResetLevel::FullReset) => Err(field(
            "level",
            "is for more than one user: one user takes USER_DATA, USER_SESSIONS or USER_CASCADE",
        )),
        Err(_) => Err(field("level", format!("{value} is no level"))),
    }
}

/// Which tables of a report a caller wants.
pub(super) struct Page {
    pub(super) size: usize,
    pub(super) after: Option<String>,
}

fn page_size(size: i32) -> Result<usize, Error> {
    match size {
        0 => Ok(PAGE),
        size @ 1..=1000 => Ok(usize::try_from(size).unwrap_or(PAGE)),
        _ => Err(field("page_size", "must be 1 to 1000")),
    }
}

pub(super) fn page(message: &proto::StatisticsRequest) -> Result<Page, Error> {
    let size = page_size(message.page_size)?;
    let token = message.page_token.as_str();
    let after = match token.is_empty() {
        true => None,
        false => {
            let name = hex::decode(token)
                .ok()
                .and_then(|b| String::from_utf8(b).ok());
            Some(name.ok_or_else(|| field("page_token", "is none that this server gave"))?)
        }
    };
    Ok(Page { size, after })
}
