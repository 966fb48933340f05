//! Our types into messages.

use std::time::Duration;

use jiff::Timestamp;

use super::{convert::Page, status::guard_reason};
use crate::{
    access::Role,
    engine::{
        Advice, Done, Elsewhere, Finished, MarkerState, Purpose, Report, ResetDone, Served, Status,
    },
    journal::{OperationRecord, State},
    operation::{EffectCounts, Extent, Level, Mode, Progress, counted},
    plan::Fate,
    policy::MinimumRole,
    proto::{self, event::Kind, plan_edge::Choice},
};

pub(super) fn number(value: u64) -> i64 {
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
        recipes: recipes(served),
        elsewhere: Some(elsewhere(status.elsewhere)),
        duration: span(took),
    }
}

fn recipes(served: &Served) -> Vec<proto::Recipe> {
    let recipes = served.target.policy().recipes.iter();
    let told = recipes.map(|(name, recipe)| {
        let phrase = recipe.confirmation.as_deref();
        proto::Recipe {
            name: name.clone(),
            title: recipe.title.clone(),
            confirmation: phrase.unwrap_or_else(|| served.target.name()).to_owned(),
            minimum_role: match recipe.minimum_role {
                MinimumRole::Admin => Role::Admin.to_string(),
                MinimumRole::Superuser => Role::Superuser.to_string(),
            },
        }
    });
    told.collect()
}

fn elsewhere(elsewhere: Elsewhere) -> proto::Elsewhere {
    let root = |(name, marked)| proto::FileRoot { name, marked };
    proto::Elsewhere {
        redis_address: elsewhere.redis.unwrap_or_default(),
        redis_reachable: elsewhere.redis_answers,
        roots: elsewhere.roots.into_iter().map(root).collect(),
        pending_effects: number(elsewhere.backlog.pending),
        effects_needing_attention: number(elsewhere.backlog.attention),
        last_error: elsewhere.backlog.last_error.unwrap_or_default(),
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
        Extent::Orphans | Extent::Recipe => proto::ResetLevel::Unspecified,
        Extent::Sessions => proto::ResetLevel::UserSessions,
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
        advice: report.advice.into_iter().map(advice).collect(),
        environment: report.environment,
        duration: span(took),
    }
}

fn advice(advice: Advice) -> proto::Advice {
    proto::Advice {
        purpose: match advice.purpose {
            Purpose::Reference => proto::advice::Purpose::Reference,
            Purpose::Marker => proto::advice::Purpose::Marker,
        }
        .into(),
        subject: advice.subject,
        table: advice.table,
        rows: number(advice.rows),
        statement: advice.statement.unwrap_or_default(),
        gain: span(advice.gain),
        reason: advice.reason,
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
        .map(|(reference, chosen)| proto::PlanEdge {
            reference: reference.clone(),
            choice: choice(chosen.fate).into(),
            rule: chosen.rule.into(),
            reason: chosen.reason.clone(),
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
        plan_token: done.plan_token.clone().unwrap_or_default(),
        effects: Some(effects(changes.effects)),
        errors: changes.effect_errors.clone(),
        next_steps: done.next_steps.clone(),
        advice: done.advice.iter().cloned().map(advice).collect(),
        strategy: done.way.as_ref().map(|way| proto::Strategy {
            name: way.name.clone(),
            reason: way.reason.clone(),
            predicted: way.predicted.and_then(span),
        }),
    })
}

fn effects(counts: EffectCounts) -> proto::EffectCounts {
    proto::EffectCounts {
        redis_keys: number(counts.redis_keys),
        files: number(counts.files),
        directories: number(counts.directories),
        pending: number(counts.pending),
    }
}

/// The result in one sentence.
fn sentence(done: &ResetDone) -> String {
    let (changes, dry) = (&done.changes, done.mode == Mode::DryRun);
    let verb = if dry { "would change" } else { "changed" };
    let rows = counted(changes.total_rows(), "row");
    match (done.extent, changes.users.first()) {
        (Extent::TestData, _) if dry => format!("the cleanup would change {rows}"),
        // The words that the callers of the old endpoint know.
        (Extent::TestData, _) => "Test data cleanup completed".to_owned(),
        (Extent::Everything, _) => format!("the full reset {verb} {rows}"),
        (Extent::Orphans, _) => format!("the sweep of orphans {verb} {rows}"),
        (Extent::Recipe, _) => match (&done.title, dry) {
            (Some(title), false) => title.clone(),
            (Some(_), true) | (None, _) => format!("the recipe {verb} {rows}"),
        },
        (Extent::Sessions, _) => format!("the end of the sessions {verb} {rows}"),
        (Extent::Users(_), None) => "there was nobody to reset".to_owned(),
        (Extent::Users(_), Some(user)) if changes.user_count == 1 => {
            let name = match user.email.is_empty() {
                true => &user.id,
                false => &user.email,
            };
            format!("the reset of {name} {verb} {rows}")
        }
        (Extent::Users(_), Some(_)) => {
            let users = changes.user_count;
            format!("the reset of {users} users {verb} {rows}")
        }
    }
}

/// One event of an operation.
pub(super) fn event(place: u64, kind: Kind) -> proto::Event {
    proto::Event {
        number: number(place),
        kind: Some(kind),
    }
}

/// What an operation tells.
pub(super) fn kind(progress: Progress, operation: &str) -> Kind {
    let place = |step: usize| i32::try_from(step).unwrap_or(i32::MAX);
    match progress {
        Progress::Planned { steps } => Kind::Started(proto::OperationStarted {
            operation_id: operation.to_owned(),
            steps,
        }),
        Progress::StepStarted { step, title } => Kind::StepStarted(proto::StepStarted {
            step: place(step),
            title,
        }),
        Progress::StepFinished { step, rows, took } => Kind::StepFinished(proto::StepFinished {
            step: place(step),
            rows: number(rows),
            duration: span(took),
        }),
        Progress::Committed => Kind::Committed(proto::Committed {}),
        Progress::HookFinished { command, took } => Kind::HookFinished(proto::HookFinished {
            command,
            duration: span(took),
        }),
        Progress::EffectsFinished(counts) => Kind::EffectsFinished(proto::EffectsFinished {
            effects: Some(effects(counts)),
        }),
    }
}

/// An operation of the journal.
pub(super) fn operation(record: OperationRecord) -> proto::Operation {
    use proto::operation::State as Told;
    let state = match record.state {
        State::Open => Told::Running,
        State::InDoubt => Told::InDoubt,
        State::EffectsPending => Told::EffectsPending,
        State::Complete => Told::Succeeded,
        State::Failed => Told::Failed,
    };
    let finished = record
        .reply
        .as_deref()
        .and_then(|reply| serde_json::from_str::<Finished<Done>>(reply).ok());
    let reason = record.reason.map(|reason| format!("ERROR_REASON_{reason}"));
    let reason = reason.and_then(|name| proto::ErrorReason::from_str_name(&name));
    proto::Operation {
        operation_id: record.operation.to_string(),
        parent_operation_id: record.parent.map_or_else(String::new, |id| id.to_string()),
        request_id: record.request.unwrap_or_default(),
        target: record.target,
        actor: record.actor,
        action: record.action,
        request_json: record.body,
        validate_only: record.is_dry_run,
        state: state.into(),
        begin_time: moment(record.began_at),
        end_time: record.ended_at.and_then(moment),
        duration: record
            .took_us
            .and_then(|took| span(Duration::from_micros(took))),
        reason: reason.unwrap_or(proto::ErrorReason::Unspecified).into(),
        error_message: record.message.unwrap_or_default(),
        cancel_requested: record.cancel_requested,
        server_id: record.server,
        result: finished.as_ref().and_then(result),
    }
}

/// One event, as a watcher is told.
pub(super) fn watched(event: proto::Event) -> proto::WatchOperationResponse {
    proto::WatchOperationResponse {
        event: Some(event),
        operation: None,
    }
}

/// The last event, as a watcher is told.
pub(super) fn ended(place: u64, record: OperationRecord) -> proto::WatchOperationResponse {
    let operation = operation(record);
    let result = operation.result.clone();
    proto::WatchOperationResponse {
        event: Some(event(place, Kind::Finished(proto::Finished { result }))),
        operation: Some(operation),
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

/// The reply of a new password; nothing when the operation was none.
pub(super) fn password(finished: &Finished<Done>) -> Option<proto::SetPasswordResponse> {
    let Done::Reset(done) = &finished.value else {
        return None;
    };
    let user = done.changes.users.first()?;
    let name = match user.email.is_empty() {
        true => &user.id,
        false => &user.email,
    };
    Some(proto::SetPasswordResponse {
        message: match done.mode {
            Mode::DryRun => format!("The password of {name} can be set; nothing was changed"),
            Mode::Execute => format!("The password of {name} was set"),
        },
        user: Some(proto::AffectedUser {
            id: user.id.clone(),
            email: user.email.clone(),
        }),
        hash_prefix: done.changes.hash_prefix.clone().unwrap_or_default(),
        result: result(finished),
    })
}

/// The reply of a cleared cache; nothing when the operation was none.
pub(super) fn cleared(finished: &Finished<Done>) -> Option<proto::ClearCacheResponse> {
    let Done::Cleared(cleared) = &finished.value else {
        return None;
    };
    let total: u64 = cleared.patterns.iter().map(|(_, keys)| keys).sum();
    let keys = counted(total, "key");
    let dry = cleared.mode == Mode::DryRun;
    let counts = cleared.patterns.iter();
    let counts = counts.map(|(pattern, keys)| proto::PublicCount {
        name: pattern.clone(),
        count: number(*keys),
    });
    Some(proto::ClearCacheResponse {
        message: match dry {
            true => format!("the cache has {keys}"),
            false => format!("the cache was cleared of {keys}"),
        },
        keys: counts.collect(),
        total_keys: number(total),
        operation_id: finished.operation.to_string(),
        actor: finished.actor.clone(),
        environment: finished.environment.clone(),
        finish_time: moment(finished.at),
        duration: span(finished.took),
        validate_only: dry,
    })
}
