//! Results and errors for programs. The objects mirror the proto's messages:
//! its field names, enums in `names`' words, durations as `duration_seconds`,
//! times in RFC 3339. A field that has nothing to say is there all the same:
//! empty, or null.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{names, units};
use crate::client;
use crate::proto::event::Kind;
use crate::proto::{
    Advice, CleanupResponse, ClearCacheResponse, CreateTestUserResponse, EffectCounts, Elsewhere,
    Event, FileRoot, GetStatusResponse, GuardLayer, Marker, PlanEdge, Recipe, ResetResult,
    SetPasswordResponse, StatisticsResponse, Strategy, TestUser,
};

/// The state of a target.
pub(super) fn status(status: &GetStatusResponse) -> Value {
    let levels: Vec<_> = status
        .levels
        .iter()
        .map(|level| names::level(*level))
        .collect();
    json!({
        "observed_at": time(status.observed_at),
        "version": status.version,
        "target": status.target,
        "environment": status.environment,
        "database_address": status.database_address,
        "database_version": status.database_version,
        "reset_allowed": status.reset_allowed,
        "layers": status.layers.iter().map(layer).collect::<Vec<_>>(),
        "marker": status.marker.as_ref().map(marker),
        "levels": levels,
        "test_domains": status.test_domains,
        "max_rows": status.max_rows,
        "max_rows_bulk": status.max_rows_bulk,
        "elsewhere": status.elsewhere.as_ref().map(elsewhere),
        "duration_seconds": seconds(status.duration),
    })
}

fn elsewhere(elsewhere: &Elsewhere) -> Value {
    let root = |root: &FileRoot| json!({ "name": root.name, "marked": root.marked });
    json!({
        "redis_address": elsewhere.redis_address,
        "redis_reachable": elsewhere.redis_reachable,
        "roots": elsewhere.roots.iter().map(root).collect::<Vec<_>>(),
        "pending_effects": elsewhere.pending_effects,
        "effects_needing_attention": elsewhere.effects_needing_attention,
        "last_error": elsewhere.last_error,
    })
}

fn layer(layer: &GuardLayer) -> Value {
    json!({
        "name": layer.name,
        "allowed": layer.allowed,
        "reason": names::guard_reason(layer.reason),
        "message": layer.message,
        "fix": layer.fix,
    })
}

fn marker(marker: &Marker) -> Value {
    json!({
        "state": names::state(marker.state),
        "id": marker.id,
        "armed_by": marker.armed_by,
        "armed_at": time(marker.armed_at),
        "expires_at": time(marker.expires_at),
    })
}

/// A target's statistics: every page in one, so that there is no page token.
pub(super) fn statistics(statistics: &StatisticsResponse) -> Value {
    let users = statistics.users.iter().map(|users| {
        json!({
            "user_type": users.user_type,
            "total": users.total,
            "active": users.active,
        })
    });
    let tables = statistics.tables.iter().map(|table| {
        json!({
            "table": table.table,
            "rows": table.rows,
            "exact": table.exact,
            "bytes": table.bytes,
        })
    });
    json!({
        "users": users.collect::<Vec<_>>(),
        "total_users": statistics.total_users,
        "test_users": statistics.test_users,
        "tables": tables.collect::<Vec<_>>(),
        "total_rows": statistics.total_rows,
        "advice": statistics.advice.iter().map(advice).collect::<Vec<_>>(),
        "environment": statistics.environment,
        "duration_seconds": seconds(statistics.duration),
    })
}

fn advice(advice: &Advice) -> Value {
    json!({
        "purpose": names::purpose(advice.purpose),
        "subject": advice.subject,
        "table": advice.table,
        "rows": advice.rows,
        "statement": advice.statement,
        "gain_seconds": seconds(advice.gain),
        "reason": advice.reason,
    })
}

/// What an operation did.
pub(super) fn reset(result: &ResetResult) -> Value {
    let tables = result.tables.iter().map(|counts| {
        json!({
            "table": counts.table,
            "deleted": counts.deleted,
            "restored": counts.restored,
            "detached": counts.detached,
        })
    });
    let shared = result
        .shared
        .iter()
        .map(|shared| json!({ "table": shared.table, "rows": shared.rows }));
    let users = result
        .affected_users
        .iter()
        .map(|user| json!({ "id": user.id, "email": user.email }));
    let public = result
        .public_counts
        .iter()
        .map(|public| json!({ "name": public.name, "count": public.count }));
    json!({
        "success": result.success,
        "message": result.message,
        "operation_id": result.operation_id,
        "level": names::level(result.level),
        "tables": tables.collect::<Vec<_>>(),
        "shared": shared.collect::<Vec<_>>(),
        "plan": result.plan.iter().map(edge).collect::<Vec<_>>(),
        "total_rows": result.total_rows,
        "affected_users": users.collect::<Vec<_>>(),
        "affected_user_count": result.affected_user_count,
        "warnings": result.warnings,
        "duration_seconds": seconds(result.duration),
        "finish_time": time(result.finish_time),
        "actor": result.actor,
        "environment": result.environment,
        "validate_only": result.validate_only,
        "public_counts": public.collect::<Vec<_>>(),
        "test_session_id": result.test_session_id,
        "effects": result.effects.as_ref().map(counts),
        "errors": result.errors,
        "plan_token": result.plan_token,
        "next_steps": result.next_steps,
        "advice": result.advice.iter().map(advice).collect::<Vec<_>>(),
        "strategy": result.strategy.as_ref().map(strategy),
    })
}

/// What a cleanup did: the result, and its counts by the policy's names.
pub(super) fn cleanup(response: &CleanupResponse) -> Value {
    // The wire has no order for a map; the same answer prints the same here.
    let counts: BTreeMap<_, _> = response.deleted_counts.iter().collect();
    let result = response.result.clone().unwrap_or_default();
    let mut value = reset(&result);
    if let Value::Object(fields) = &mut value {
        fields.insert("deleted_counts".to_owned(), json!(counts));
    }
    value
}

/// One event of a full reset. The last one holds the result.
pub(super) fn event(event: &Event) -> Value {
    let number = event.number;
    match &event.kind {
        // Of a server that is newer than this client.
        None => json!({ "number": number }),
        Some(Kind::Started(started)) => json!({
            "number": number,
            "started": { "operation_id": started.operation_id, "steps": started.steps },
        }),
        Some(Kind::StepStarted(step)) => json!({
            "number": number,
            "step_started": { "step": step.step, "title": step.title },
        }),
        Some(Kind::StepFinished(step)) => json!({
            "number": number,
            "step_finished": {
                "step": step.step,
                "rows": step.rows,
                "duration_seconds": seconds(step.duration),
            },
        }),
        Some(Kind::Committed(_)) => json!({ "number": number, "committed": {} }),
        Some(Kind::HookFinished(hook)) => json!({
            "number": number,
            "hook_finished": {
                "command": hook.command,
                "duration_seconds": seconds(hook.duration),
            },
        }),
        Some(Kind::EffectsFinished(effects)) => json!({
            "number": number,
            "effects_finished": { "effects": effects.effects.as_ref().map(counts) },
        }),
        Some(Kind::Finished(finished)) => json!({
            "number": number,
            "finished": { "result": finished.result.as_ref().map(reset) },
        }),
    }
}

fn strategy(strategy: &Strategy) -> Value {
    json!({
        "name": strategy.name,
        "reason": strategy.reason,
        "predicted_seconds": seconds(strategy.predicted),
    })
}

fn edge(edge: &PlanEdge) -> Value {
    json!({
        "reference": edge.reference,
        "choice": names::choice(edge.choice),
        "rule": edge.rule,
        "reason": edge.reason,
    })
}

/// A created user.
pub(super) fn created(created: &CreateTestUserResponse) -> Value {
    json!({
        "message": created.message,
        "user": created.user.as_ref().map(user),
        "operation_id": created.operation_id,
        "actor": created.actor,
        "finish_time": time(created.finish_time),
        "duration_seconds": seconds(created.duration),
        "environment": created.environment,
        "validate_only": created.validate_only,
    })
}

fn user(user: &TestUser) -> Value {
    // The wire has no order for a map; the same answer prints the same here.
    let columns: BTreeMap<_, _> = user.columns.iter().collect();
    json!({
        "id": user.id,
        "email": user.email,
        "user_type": user.user_type,
        "columns": columns,
    })
}

/// A password that was set.
pub(super) fn password(answer: &SetPasswordResponse) -> Value {
    let user = answer.user.clone().unwrap_or_default();
    json!({
        "message": answer.message,
        "user": { "id": user.id, "email": user.email },
        "hash_prefix": answer.hash_prefix,
        "result": answer.result.as_ref().map(reset),
    })
}

/// A cleared cache.
pub(super) fn cache(answer: &ClearCacheResponse) -> Value {
    let keys = answer.keys.iter();
    let keys = keys.map(|keys| json!({ "name": keys.name, "count": keys.count }));
    json!({
        "message": answer.message,
        "keys": keys.collect::<Vec<_>>(),
        "total_keys": answer.total_keys,
        "operation_id": answer.operation_id,
        "actor": answer.actor,
        "environment": answer.environment,
        "finish_time": time(answer.finish_time),
        "duration_seconds": seconds(answer.duration),
        "validate_only": answer.validate_only,
    })
}

/// The recipes of a policy.
pub(super) fn recipes(recipes: &[Recipe]) -> Value {
    let told = recipes.iter().map(|recipe| {
        json!({
            "name": recipe.name,
            "title": recipe.title,
            "confirmation": recipe.confirmation,
            "minimum_role": recipe.minimum_role,
        })
    });
    told.collect()
}

/// An error of a call.
pub(super) fn error(error: &client::Error) -> Value {
    json!({
        "code": names::code(error.code()),
        "reason": error.reason(),
        "message": error.message(),
        "metadata": error.metadata(),
    })
}

/// An error that has no gRPC status of its own.
pub(super) fn local_error(code: tonic::Code, message: &str) -> Value {
    json!({
        "code": names::code(code),
        "reason": null,
        "message": message,
        "metadata": {},
    })
}

fn time(time: Option<prost_types::Timestamp>) -> Option<String> {
    time.and_then(units::timestamp).map(|time| time.to_string())
}

fn seconds(duration: Option<prost_types::Duration>) -> Option<f64> {
    duration.map(units::seconds)
}

fn counts(effects: &EffectCounts) -> Value {
    json!({
        "redis_keys": effects.redis_keys,
        "files": effects.files,
        "directories": effects.directories,
        "pending": effects.pending,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{
        AffectedUser, Finished, PublicCount, ResetLevel, SharedRows, StepFinished, TableCounts,
        advice::Purpose, plan_edge::Choice,
    };

    #[test]
    fn a_result_mirrors_the_proto() {
        let result = ResetResult {
            next_steps: Vec::new(),
            success: true,
            message: "reset of one user".to_owned(),
            operation_id: "019abc".to_owned(),
            level: ResetLevel::UserCascade.into(),
            tables: vec![TableCounts {
                table: "orders".to_owned(),
                deleted: 3,
                restored: 0,
                detached: 1,
            }],
            shared: vec![SharedRows {
                table: "orders".to_owned(),
                rows: 1,
            }],
            plan: vec![PlanEdge {
                reference: "orders.buyer_id -> users.id".to_owned(),
                choice: Choice::Delete.into(),
                rule: 3,
                reason: "required".to_owned(),
            }],
            total_rows: 4,
            affected_users: vec![AffectedUser {
                id: "7".to_owned(),
                email: "ana@test.com".to_owned(),
            }],
            affected_user_count: 1,
            warnings: vec!["a warning".to_owned()],
            duration: Some(prost_types::Duration {
                seconds: 1,
                nanos: 250_000_000,
            }),
            finish_time: Some(prost_types::Timestamp {
                seconds: 1_763_672_826,
                nanos: 0,
            }),
            actor: "ci".to_owned(),
            environment: "testing".to_owned(),
            validate_only: true,
            public_counts: vec![PublicCount {
                name: "orders".to_owned(),
                count: 3,
            }],
            test_session_id: Some("session_1".to_owned()),
            plan_token: "token".to_owned(),
            effects: Some(EffectCounts {
                redis_keys: 2,
                ..EffectCounts::default()
            }),
            errors: Vec::new(),
            advice: vec![Advice {
                purpose: Purpose::Reference.into(),
                subject: "orders.buyer_id -> users.id".to_owned(),
                table: "orders".to_owned(),
                rows: 600_000,
                statement: "CREATE INDEX".to_owned(),
                gain: Some(prost_types::Duration {
                    seconds: 0,
                    nanos: 16_000_000,
                }),
                reason: "all of orders is read".to_owned(),
            }],
            strategy: Some(Strategy {
                name: "one statement".to_owned(),
                reason: "few rows".to_owned(),
                predicted: None,
            }),
        };
        let expected = r#"{"success":true,"message":"reset of one user","operation_id":"019abc","level":"user_cascade","tables":[{"table":"orders","deleted":3,"restored":0,"detached":1}],"shared":[{"table":"orders","rows":1}],"plan":[{"reference":"orders.buyer_id -> users.id","choice":"delete","rule":3,"reason":"required"}],"total_rows":4,"affected_users":[{"id":"7","email":"ana@test.com"}],"affected_user_count":1,"warnings":["a warning"],"duration_seconds":1.25,"finish_time":"2025-11-20T21:07:06Z","actor":"ci","environment":"testing","validate_only":true,"public_counts":[{"name":"orders","count":3}],"test_session_id":"session_1","effects":{"redis_keys":2,"files":0,"directories":0,"pending":0},"errors":[],"plan_token":"token","next_steps":[],"advice":[{"purpose":"reference","subject":"orders.buyer_id -> users.id","table":"orders","rows":600000,"statement":"CREATE INDEX","gain_seconds":0.016,"reason":"all of orders is read"}],"strategy":{"name":"one statement","reason":"few rows","predicted_seconds":null}}"#;
        assert_eq!(reset(&result).to_string(), expected);
    }

    #[test]
    fn what_is_absent_is_null_or_empty_and_never_left_out() {
        let result = reset(&ResetResult::default());
        assert_eq!(result["duration_seconds"], Value::Null);
        assert_eq!(result["finish_time"], Value::Null);
        assert_eq!(result["plan"], json!([]));
        assert_eq!(result["public_counts"], json!([]));
        assert_eq!(result["test_session_id"], Value::Null);
        let status = status(&GetStatusResponse {
            layers: vec![GuardLayer::default()],
            ..GetStatusResponse::default()
        });
        assert_eq!(status["marker"], Value::Null);
        assert_eq!(status["layers"][0]["reason"], Value::Null);
    }

    #[test]
    fn a_cleanup_is_its_result_with_the_counts() {
        let response = CleanupResponse {
            result: Some(ResetResult::default()),
            deleted_counts: [("users".to_owned(), 2), ("files".to_owned(), 0)].into(),
        };
        let value = cleanup(&response);
        assert_eq!(value["success"], json!(false));
        let counts = value["deleted_counts"].to_string();
        assert_eq!(counts, r#"{"files":0,"users":2}"#);
    }

    #[test]
    fn an_event_is_named_as_in_the_proto() {
        let line = |event| event_of(event).to_string();
        let step = StepFinished {
            step: 2,
            rows: 7,
            duration: None,
        };
        assert_eq!(
            line(Some(Kind::StepFinished(step))),
            r#"{"number":1,"step_finished":{"step":2,"rows":7,"duration_seconds":null}}"#
        );
        let finished = Finished {
            result: Some(ResetResult::default()),
        };
        let last = event_of(Some(Kind::Finished(finished)));
        assert_eq!(last["finished"]["result"]["total_rows"], json!(0));
        assert_eq!(line(None), r#"{"number":1}"#);
    }

    fn event_of(of: Option<Kind>) -> Value {
        event(&Event {
            number: 1,
            kind: of,
        })
    }

    #[test]
    fn large_numbers_stay_numbers() {
        let result = reset(&ResetResult {
            total_rows: i64::MAX,
            ..ResetResult::default()
        });
        assert!(
            result
                .to_string()
                .contains("\"total_rows\":9223372036854775807,")
        );
    }

    #[test]
    fn an_error_has_its_four_fields() {
        let error = local_error(tonic::Code::FailedPrecondition, "no");
        assert_eq!(
            error.to_string(),
            r#"{"code":"FAILED_PRECONDITION","reason":null,"message":"no","metadata":{}}"#
        );
    }
}
