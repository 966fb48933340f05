//! Operations of the journal: listed and cancelled.

use serde_json::{Value, json};

use super::{
    Form,
    arguments::{Cancel, Operations},
    failure::Failure,
    names,
    page::{self, Page, Tone},
    pretty, units,
};
use crate::{
    client::Client,
    proto::{
        CancelOperationRequest, ErrorReason, ListOperationsRequest, Operation, operation::State,
    },
};

/// Lists operations, newest first.
pub(super) async fn list(
    client: &Client,
    target: String,
    operations: &Operations,
    form: Form,
) -> Result<String, Failure> {
    let request = ListOperationsRequest {
        target,
        actor: operations.actor.clone().unwrap_or_default(),
        page_size: operations.limit,
        ..ListOperationsRequest::default()
    };
    let found = client.list_operations(request).await?.operations;
    Ok(match form {
        Form::Json => pretty(&found.iter().map(object).collect::<Value>()),
        Form::Table(paint) => {
            let mut page = Page::new(paint);
            if found.is_empty() {
                page.line(Tone::Faint, "The journal has no such operation.");
                return Ok(page.finish());
            }
            let headings = [
                "Operation",
                "Began",
                "What",
                "Who",
                "Target",
                "State",
                "Took",
            ];
            let mut table = page::table(paint, &headings);
            for operation in &found {
                table.add_row(row(operation));
            }
            page.table(&table);
            page.finish()
        }
    })
}

/// Asks an operation to stop before its commit.
pub(super) async fn cancel(
    client: &Client,
    cancel: &Cancel,
    form: Form,
) -> Result<String, Failure> {
    let request = CancelOperationRequest {
        operation_id: cancel.operation.clone(),
    };
    let answer = client.cancel_operation(request).await?;
    let operation = answer.operation.unwrap_or_default();
    Ok(match form {
        Form::Json => pretty(&object(&operation)),
        Form::Table(paint) => {
            let mut page = Page::new(paint);
            let text = format!("{} was asked to stop", operation.operation_id);
            page.line(Tone::Good, &text);
            page.finish()
        }
    })
}

fn state(operation: &Operation) -> &'static str {
    match operation.state() {
        State::Unspecified => "unknown",
        State::Running => "running",
        State::InDoubt => "in doubt",
        State::EffectsPending => "effects pending",
        State::Succeeded => "succeeded",
        State::Failed => "failed",
    }
}

fn row(operation: &Operation) -> Vec<comfy_table::Cell> {
    let what = match operation.validate_only {
        true => format!("{} (dry run)", operation.action),
        false => operation.action.clone(),
    };
    let began = operation.begin_time.map(units::moment);
    let took = operation.duration.map(units::duration);
    let ended = match operation.reason() {
        ErrorReason::Unspecified => state(operation).to_owned(),
        reason => format!("failed: {}", names::reason(reason)),
    };
    vec![
        page::cell(&operation.operation_id),
        page::cell(&began.unwrap_or_default()),
        page::cell(&what),
        page::cell(&operation.actor),
        page::cell(&operation.target),
        page::cell(&ended),
        page::number(&took.unwrap_or_default()),
    ]
}

fn object(operation: &Operation) -> Value {
    let reason = match operation.reason() {
        ErrorReason::Unspecified => None,
        reason => Some(names::reason(reason)),
    };
    let moment = |time: Option<prost_types::Timestamp>| {
        time.and_then(units::timestamp).map(|time| time.to_string())
    };
    json!({
        "operation_id": operation.operation_id,
        "parent_operation_id": operation.parent_operation_id,
        "request_id": operation.request_id,
        "target": operation.target,
        "actor": operation.actor,
        "action": operation.action,
        "validate_only": operation.validate_only,
        "state": state(operation),
        "begin_time": moment(operation.begin_time),
        "end_time": moment(operation.end_time),
        "duration_seconds": operation.duration.map(units::seconds),
        "reason": reason,
        "error_message": operation.error_message,
        "cancel_requested": operation.cancel_requested,
    })
}
