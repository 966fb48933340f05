//! Messages into our types, with every check of their fields, and back.

use std::time::Duration;

use jiff::Timestamp;

use super::status::guard_reason;
use crate::{
    engine::{Advice, Done, Finished, MarkerState, Report, ResetDone, Served, Status},
    error::Error,
    operation::{
        Action, Cleanup, CreateTestUser, Extent, FullReset, Level, Mode, Progress, ResetTestUsers,
        ResetUser, Statistics, UserSelector,
    },
    plan::Fate,
    proto::{
        self, full_reset_response::Event, plan_edge::Choice, reset_user_request::User as UserField,
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
/// Tables on a page of statistics when the caller does not say.
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

pub(super) fn reset_user(message: proto::ResetUserRequest) -> Result<Action, Error> {
    let user = match message.user {
        None => return Err(field("user", "give user_id or email")),
        Some(UserField::UserId(id)) => {
            text("user_id", &id, KEY_BYTES)?;
            UserSelector::Id(id)
        }
        Some(UserField::Email(address)) => {
            email(&address)?;
            UserSelector::Email(address)
        }
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
    for (name, value) in &message.attributes {
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
        attributes: message.attributes.into_iter().collect(),
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

pub(super) fn full_reset(message: proto::FullResetRequest) -> Action {
    Action::FullReset(FullReset {
        confirmation: message.confirmation,
        preserve_admins: message.preserve_admins.unwrap_or(true),
        mode: mode(message.validate_only),
    })
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
    size: usize,
    after: Option<String>,
}

pub(super) fn page(message: &proto::StatisticsRequest) -> Result<Page, Error> {
    let size = match message.page_size {
        0 => PAGE,
        size @ 1..=1000 => usize::try_from(size).unwrap_or(PAGE),
        _ => return Err(field("page_size", "must be 1 to 1000")),
    };
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

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn span(took: Duration) -> Option<prost_types::Duration> {
    took.try_into().ok()
}

fn moment(at: Timestamp) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    })
}

pub(super) fn status(status: Status, served: &Served, took: Duration) -> proto::GetStatusResponse {
    let mut layers: Vec<proto::GuardLayer> = status
        .verdicts
        .into_iter()
        .map(|verdict| match verdict.refusal {
            None => proto::GuardLayer {
                name: verdict.layer.to_string(),
                allowed: true,
                message: "lets resets pass".to_owned(),
                ..proto::GuardLayer::default()
            },
            Some(refusal) => proto::GuardLayer {
                name: verdict.layer.to_string(),
                allowed: false,
                reason: guard_reason(refusal.reason).into(),
                message: refusal.message,
                fix: refusal.fix,
            },
        })
        .collect();
    if let Some(trouble) = status.trouble {
        layers.push(proto::GuardLayer {
            name: "database".to_owned(),
            allowed: false,
            reason: proto::ErrorReason::ServiceNotInitialized.into(),
            message: trouble,
            fix: "start the database, or correct url or policy of the target".to_owned(),
        });
    }
    let (setting, row) = (served.target.setting(), status.row);
    proto::GetStatusResponse {
        observed_at: moment(status.observed_at),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        target: served.target.name().to_owned(),
        environment: setting.environment.clone().unwrap_or_default(),
        database_address: served.target.address(),
        database_version: status.version,
        reset_allowed: layers.iter().all(|layer| layer.allowed),
        layers,
        marker: Some(proto::Marker {
            state: marker_state(status.marker).into(),
            id: row.as_ref().map(|row| row.id.clone()).unwrap_or_default(),
            armed_by: row
                .as_ref()
                .map(|row| row.armed_by.clone())
                .unwrap_or_default(),
            armed_at: row.as_ref().and_then(|row| moment(row.armed_at)),
            expires_at: row.as_ref().and_then(|row| moment(row.expires_at)),
        }),
        levels: Level::ALL
            .iter()
            .map(|&level| wire_level(level).into())
            .collect(),
        test_domains: served.domains.domains().map(str::to_owned).collect(),
        max_rows: number(served.limits.max_rows),
        max_rows_bulk: number(served.bulk_limits.max_rows),
        duration: span(took),
    }
}

fn marker_state(state: MarkerState) -> proto::marker::State {
    match state {
        MarkerState::Unknown => proto::marker::State::Unspecified,
        MarkerState::Absent => proto::marker::State::Absent,
        MarkerState::Armed => proto::marker::State::Armed,
        MarkerState::Expired => proto::marker::State::Expired,
        MarkerState::Protected => proto::marker::State::Protected,
        MarkerState::Foreign => proto::marker::State::Foreign,
    }
}

fn wire_extent(extent: Extent) -> proto::ResetLevel {
    match extent {
        Extent::Users(level) => wire_level(level),
        Extent::TestData => proto::ResetLevel::AllTestData,
        Extent::Everything => proto::ResetLevel::FullReset,
    }
}

fn wire_level(level: Level) -> proto::ResetLevel {
    match level {
        Level::UserData => proto::ResetLevel::UserData,
        Level::UserSessions => proto::ResetLevel::UserSessions,
        Level::UserCascade => proto::ResetLevel::UserCascade,
    }
}

pub(super) fn report(report: Report, page: &Page, took: Duration) -> proto::StatisticsResponse {
    let sizes = report.sizes;
    let total_rows = sizes.tables.iter().map(|size| size.rows).sum();
    let after = page.after.as_deref();
    let mut rest = sizes
        .tables
        .iter()
        .filter(|size| after.is_none_or(|name| size.table.as_str() > name));
    let tables: Vec<proto::TableStatistics> = rest
        .by_ref()
        .take(page.size)
        .map(|size| proto::TableStatistics {
            table: size.table.clone(),
            rows: number(size.rows),
            exact: size.exact,
            bytes: size.bytes.map(number),
        })
        .collect();
    let last = rest.next().and(tables.last());
    proto::StatisticsResponse {
        next_page_token: last
            .map(|last| hex::encode(&last.table))
            .unwrap_or_default(),
        total_users: sizes.users.iter().map(|count| number(count.total)).sum(),
        users: sizes
            .users
            .into_iter()
            .map(|count| proto::UserTypeCount {
                user_type: count.user_type,
                total: number(count.total),
                active: number(count.active),
            })
            .collect(),
        test_users: number(sizes.test_users),
        tables,
        total_rows: number(total_rows),
        unindexed_references: report.unindexed.into_iter().map(advice).collect(),
        environment: report.environment,
        duration: span(took),
    }
}

fn advice(advice: Advice) -> proto::UnindexedReference {
    proto::UnindexedReference {
        reference: advice.reference,
        rows: number(advice.rows),
        advice: advice.statement,
    }
}

/// The result of a reset; nothing when the operation was none.
pub(super) fn result(finished: &Finished<Done>) -> Option<proto::ResetResult> {
    let Done::Reset(done) = &finished.value else {
        return None;
    };
    let changes = &done.changes;
    let dry = done.mode == Mode::DryRun;
    let plan = done
        .edges
        .iter()
        .filter(|_| dry)
        .map(|(reference, edge)| proto::PlanEdge {
            reference: reference.clone(),
            choice: choice(edge.choice.fate).into(),
            rule: edge.choice.rule.into(),
            strategy: strategy(edge.choice.fate).to_owned(),
            reason: edge.choice.reason.clone(),
        });
    let rows = changes.total_rows();
    Some(proto::ResetResult {
        success: true,
        message: sentence(done),
        operation_id: finished.operation.to_string(),
        level: wire_extent(done.extent).into(),
        tables: changes
            .tables
            .iter()
            .map(|counts| proto::TableCounts {
                table: counts.table.clone(),
                deleted: number(counts.deleted),
                restored: number(counts.restored),
                detached: number(counts.detached),
            })
            .collect(),
        shared: changes
            .shared
            .iter()
            .map(|shared| proto::SharedRows {
                table: shared.table.clone(),
                rows: number(shared.rows),
            })
            .collect(),
        plan: plan.collect(),
        total_rows: number(rows),
        affected_users: changes
            .users
            .iter()
            .map(|user| proto::AffectedUser {
                id: user.id.clone(),
                email: user.email.clone(),
            })
            .collect(),
        affected_user_count: number(changes.user_count),
        warnings: changes.warnings.clone(),
        duration: span(finished.took),
        finish_time: moment(finished.at),
        actor: finished.actor.clone(),
        environment: finished.environment.clone(),
        validate_only: dry,
        public_counts: done
            .public_counts
            .iter()
            .map(|(name, count)| proto::PublicCount {
                name: name.clone(),
                count: number(*count),
            })
            .collect(),
        test_session_id: done.session.clone(),
    })
}

/// The result in one sentence.
fn sentence(done: &ResetDone) -> String {
    let (changes, dry) = (&done.changes, done.mode == Mode::DryRun);
    let verb = if dry { "would change" } else { "changed" };
    let rows = changes.total_rows();
    match (done.extent, changes.users.first()) {
        (Extent::TestData, _) if dry => format!("the cleanup would change {rows} rows"),
        // The words that the callers of the old endpoint know.
        (Extent::TestData, _) => "Test data cleanup completed".to_owned(),
        (Extent::Everything, _) => format!("the full reset {verb} {rows} rows"),
        (Extent::Users(_), None) => "there was nobody to reset".to_owned(),
        (Extent::Users(_), Some(user)) if changes.user_count == 1 => {
            let name = match user.email.is_empty() {
                true => &user.id,
                false => &user.email,
            };
            format!("the reset of {name} {verb} {rows} rows")
        }
        (Extent::Users(_), Some(_)) => {
            let users = changes.user_count;
            format!("the reset of {users} users {verb} {rows} rows")
        }
    }
}

/// One event of an operation.
pub(super) fn event(progress: Progress, operation: &str) -> Event {
    let place = |step: usize| i32::try_from(step).unwrap_or(i32::MAX);
    match progress {
        Progress::Planned { steps } => Event::Started(proto::OperationStarted {
            operation_id: operation.to_owned(),
            steps,
        }),
        Progress::StepStarted { step, title } => Event::StepStarted(proto::StepStarted {
            step: place(step),
            title,
        }),
        Progress::StepFinished { step, rows, took } => Event::StepFinished(proto::StepFinished {
            step: place(step),
            rows: number(rows),
            duration: span(took),
        }),
        Progress::Committed => Event::Committed(proto::Committed {}),
    }
}

/// The reply of a cleanup; nothing when the operation was none.
pub(super) fn cleaned(finished: &Finished<Done>) -> Option<proto::CleanupResponse> {
    let result = result(finished)?;
    let counts = result.public_counts.iter();
    Some(proto::CleanupResponse {
        deleted_counts: counts
            .map(|count| (count.name.clone(), count.count))
            .collect(),
        result: Some(result),
    })
}

fn choice(fate: Fate) -> Choice {
    match fate {
        Fate::Delete => Choice::Delete,
        Fate::Detach => Choice::Detach,
        Fate::RestoreDefault => Choice::RestoreDefault,
        Fate::Block => Choice::Block,
    }
}

/// How rows are found and changed; one way so far for each choice.
fn strategy(fate: Fate) -> &'static str {
    match fate {
        Fate::Delete => "collected keys, children first",
        Fate::Detach | Fate::RestoreDefault => "one update per table",
        Fate::Block => "checked before anything is changed",
    }
}

/// The reply of a creation; nothing when the operation was none.
pub(super) fn created(finished: &Finished<Done>) -> Option<proto::CreateTestUserResponse> {
    let Done::Created(created) = &finished.value else {
        return None;
    };
    let dry = created.mode == Mode::DryRun;
    let message = match dry {
        true => "Test user can be created; nothing was changed",
        false => "Test user created successfully",
    };
    Some(proto::CreateTestUserResponse {
        message: message.to_owned(),
        user: Some(proto::TestUser {
            id: created.user.id.clone(),
            email: created.user.email.clone(),
            user_type: created.user.user_type.clone(),
            columns: created.user.columns.clone().into_iter().collect(),
        }),
        operation_id: finished.operation.to_string(),
        actor: finished.actor.clone(),
        finish_time: moment(finished.at),
        duration: span(finished.took),
        environment: finished.environment.clone(),
        validate_only: dry,
    })
}
