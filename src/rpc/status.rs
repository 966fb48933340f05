//! Our errors in gRPC's words: the only place that chooses codes.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status, metadata::MetadataMap};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{OPERATION_ID, authn::Unknown};
use crate::{
    access::Denied,
    error::{Error, Failure},
    guard::{Layer, Reason, Refusal, Refused},
    plan,
    proto::ErrorReason,
    target,
};

/// Past 16 KiB of headers a client loses the status, and even its connection.
/// A message is in them twice, once percent-encoded and once in base64: so
/// much of it, of all violations and of all metadata together stay below.
const TEXT_BYTES: usize = 4096;
/// The most that all violations may have, and the same again all metadata.
const DETAIL_BYTES: usize = 1536;
/// The longest single value of metadata, or name of a resource.
const VALUE_BYTES: usize = 512;

/// What a client is told to wait before it tries again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// An error in gRPC's words, before it is a status.
struct Told {
    code: Code,
    reason: ErrorReason,
    details: ErrorDetails,
    metadata: Vec<(String, String)>,
}

impl Told {
    fn new(code: Code, reason: ErrorReason) -> Self {
        Self {
            code,
            reason,
            details: ErrorDetails::new(),
            metadata: Vec::new(),
        }
    }

    fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.push((key.to_owned(), value.into()));
        self
    }

    fn retry(mut self) -> Self {
        self.details.set_retry_info(Some(RETRY_AFTER));
        self
    }

    fn resource(mut self, kind: &str, name: &str, description: &str) -> Self {
        let (name, description) = (
            shortened(name, VALUE_BYTES),
            shortened(description, VALUE_BYTES),
        );
        self.details.set_resource_info(kind, name, "", description);
        self
    }

    fn status(mut self, message: &str, took: Duration, headers: MetadataMap) -> Status {
        let reason = name(self.reason);
        let duration = (
            "duration_ms".to_owned(),
            format!("{:.3}", took.as_secs_f64() * 1e3),
        );
        // What was added last, such as the fix, is what most callers look at.
        let mut room = DETAIL_BYTES;
        let metadata: HashMap<String, String> = self
            .metadata
            .into_iter()
            .chain([duration])
            .rev()
            .map(|(key, value)| (key, shortened(&value, VALUE_BYTES)))
            .take_while(|(key, value)| {
                let needed = key.len() + value.len();
                let fits = needed <= room;
                room = room.saturating_sub(needed);
                fits
            })
            .collect();
        self.details.set_error_info(reason, "resetd", metadata);
        self.details
            .add_help_link("what it means and what to do", section(self.reason));
        let message = shortened_encoded(message, TEXT_BYTES);
        Status::with_error_details_and_metadata(self.code, message, self.details, headers)
    }
}

/// Where the README says what a reason means and what to do.
#[must_use]
pub fn section(reason: ErrorReason) -> String {
    format!("README.md#{}", name(reason).to_ascii_lowercase())
}

fn shortened(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let (kept, _) = text.split_at(text.floor_char_boundary(limit.saturating_sub('…'.len_utf8())));
    format!("{kept}…")
}

/// Shortened so that its percent-encoding is not longer than the limit:
/// whatever is not printable ASCII takes three bytes for each of its own.
fn shortened_encoded(text: &str, limit: usize) -> String {
    let cost = |letter: char| match letter {
        ' '..='~' if letter != '%' => 1,
        other => 3 * other.len_utf8(),
    };
    if text.chars().map(cost).sum::<usize>() <= limit {
        return text.to_owned();
    }
    let mut room = limit.saturating_sub(cost('…'));
    let fits = |letter: &char| {
        let needed = cost(*letter);
        let fits = needed <= room;
        room = room.saturating_sub(needed);
        fits
    };
    let kept: String = text.chars().take_while(fits).collect();
    format!("{kept}…")
}

/// A reason as `ErrorInfo` has it: the enum's name without its prefix.
fn name(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

/// The status of a failed operation.
pub(super) fn failure(failure: &Failure) -> Status {
    let mut headers = MetadataMap::new();
    if let Some(operation) = failure.operation
        && let Ok(value) = operation.to_string().parse()
    {
        headers.insert(OPERATION_ID, value);
    }
    let told = told(&failure.error);
    let told = match failure.operation {
        Some(operation) => told.with("operation_id", operation.to_string()),
        None => told,
    };
    told.status(&failure.error.to_string(), failure.took, headers)
}

fn told(error: &Error) -> Told {
    match error {
        Error::Field { field, problem } => {
            let mut told = Told::new(Code::InvalidArgument, ErrorReason::InvalidField);
            let problem = shortened(problem, DETAIL_BYTES);
            told.details.add_bad_request_violation(*field, problem);
            told.with("field", *field)
        }
        Error::Denied(error) => denied(error),
        Error::TargetNotFound { name, known } => {
            Told::new(Code::NotFound, ErrorReason::TargetNotFound)
                .resource("target", name, "not a target of this server")
                .with("target", name)
                .with("known", known)
        }
        Error::Refused(refused) => refusal(refused),
        Error::Plan(plan::Error::Undecided(_)) => {
            Told::new(Code::Unavailable, ErrorReason::ServiceNotInitialized).retry()
        }
        Error::Plan(plan::Error::Obstacle { table, obstacle }) => {
            Told::new(Code::FailedPrecondition, ErrorReason::DatabasePermission)
                .with("table", table)
                .with("obstacle", obstacle)
        }
        Error::Plan(plan::Error::Preserved { recipe, table, .. }) => {
            Told::new(Code::FailedPrecondition, ErrorReason::TablePreserved)
                .with("recipe", recipe)
                .with("table", table)
        }
        Error::RecipeNotFound { name, known } => {
            Told::new(Code::NotFound, ErrorReason::RecipeNotFound)
                .resource("recipe", name, "not a recipe of this target's policy")
                .with("recipe", name)
                .with("known", known)
        }
        Error::Cache(_) => Told::new(Code::Unavailable, ErrorReason::CacheUnavailable).retry(),
        Error::Target(error) => at_target(error),
        Error::Journal(_) => Told::new(Code::FailedPrecondition, ErrorReason::AuditUnavailable),
        Error::Hook { command, problem } => {
            Told::new(Code::FailedPrecondition, ErrorReason::HookFailed)
                .with("command", command)
                .with("problem", problem)
        }
        Error::RequestReused(id) => {
            let mut told = Told::new(Code::InvalidArgument, ErrorReason::RequestIdReused);
            let problem = "was used with another request";
            told.details
                .add_bad_request_violation("request_id", problem);
            told.with("request_id", id.to_string())
        }
        Error::RequestTooOld(id) => {
            let mut told = Told::new(Code::InvalidArgument, ErrorReason::InvalidField);
            let problem = "is more than seven days old";
            told.details
                .add_bad_request_violation("request_id", problem);
            told.with("field", "request_id")
                .with("request_id", id.to_string())
        }
        Error::InProgress { holders } => Told::new(Code::Aborted, ErrorReason::OperationInProgress)
            .retry()
            .with("holders", holders),
        Error::OperationNotFound(operation) => {
            Told::new(Code::NotFound, ErrorReason::OperationNotFound)
                .resource("operation", operation, "not in the journal")
                .with("operation", operation)
        }
        Error::NotCancellable(operation) => Told::new(
            Code::FailedPrecondition,
            ErrorReason::OperationNotCancellable,
        )
        .with("operation", operation.to_string()),
        Error::Recorded { reason, .. } => recorded(reason),
        Error::Draining | Error::Stopped => {
            Told::new(Code::Unavailable, ErrorReason::ServerDraining).retry()
        }
        Error::DeadlineExceeded { phase } => {
            Told::new(Code::DeadlineExceeded, ErrorReason::DeadlineExceeded).with("phase", phase)
        }
        Error::Invariant => Told::new(Code::Internal, ErrorReason::InvariantViolated),
    }
}

/// An error that was told before, by its reason.
fn recorded(reason: &str) -> Told {
    let reason = ErrorReason::from_str_name(&format!("ERROR_REASON_{reason}"))
        .unwrap_or(ErrorReason::InvariantViolated);
    let code = match reason {
        ErrorReason::UserNotFound | ErrorReason::TargetNotFound | ErrorReason::RecipeNotFound => {
            Code::NotFound
        }
        ErrorReason::UserExists => Code::AlreadyExists,
        ErrorReason::InvalidField | ErrorReason::RequestIdReused => Code::InvalidArgument,
        ErrorReason::BlastRadiusExceeded => Code::ResourceExhausted,
        ErrorReason::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorReason::OperationCancelled => Code::Cancelled,
        ErrorReason::LockTimeout
        | ErrorReason::Deadlock
        | ErrorReason::SchemaDrift
        | ErrorReason::PlanStale
        | ErrorReason::OperationInProgress
        | ErrorReason::OperationAborted => Code::Aborted,
        ErrorReason::DatabaseUnavailable
        | ErrorReason::CacheUnavailable
        | ErrorReason::ServiceNotInitialized
        | ErrorReason::ServerDraining => Code::Unavailable,
        ErrorReason::InvariantViolated => Code::Internal,
        _ => Code::FailedPrecondition,
    };
    Told::new(code, reason)
}

fn at_target(error: &target::Error) -> Told {
    use target::Error as E;
    let precondition = |reason| Told::new(Code::FailedPrecondition, reason);
    match error {
        E::Unavailable(_) => Told::new(Code::Unavailable, ErrorReason::DatabaseUnavailable).retry(),
        E::Product(product) => Told::new(Code::Unavailable, ErrorReason::ServiceNotInitialized)
            .with("product", product),
        E::Busy => Told::new(Code::Aborted, ErrorReason::LockTimeout).retry(),
        E::Conflict(_) => Told::new(Code::Aborted, ErrorReason::Deadlock).retry(),
        E::Cancelled => Told::new(Code::Cancelled, ErrorReason::OperationCancelled),
        E::Stale => Told::new(Code::Aborted, ErrorReason::PlanStale),
        E::Overtaken => Told::new(Code::Aborted, ErrorReason::OperationAborted).retry(),
        E::EffectsPending(email) => precondition(ErrorReason::ResetEffectsPending)
            .retry()
            .resource(
                "user",
                email,
                "effects of an earlier reset are still to be applied",
            )
            .with("email", email),
        E::Full { step } => Told::new(Code::Unavailable, ErrorReason::DatabaseUnavailable)
            .retry()
            .with("step", step),
        E::Policy { target, .. } => {
            Told::new(Code::Unavailable, ErrorReason::ServiceNotInitialized)
                .retry()
                .with("target", target)
        }
        E::Refused(refused) => refusal(refused),
        E::Changed(what) => Told::new(Code::Aborted, ErrorReason::SchemaDrift)
            .retry()
            .with("changed", *what),
        E::UserNotFound { field, value } => Told::new(Code::NotFound, ErrorReason::UserNotFound)
            .resource("user", value, "no user has this key or e-mail")
            .with(field, value),
        E::UserAmbiguous { field, value, .. } => {
            precondition(ErrorReason::UserAmbiguous).with(field, value)
        }
        E::Duplicate => Told::new(Code::AlreadyExists, ErrorReason::UserExists).resource(
            "user",
            "",
            "a unique value exists already",
        ),
        E::Violation { step, detail } => precondition(ErrorReason::ConstraintViolated)
            .with("step", step)
            .with("detail", detail),
        E::Seed {
            file, statement, ..
        } => precondition(ErrorReason::SeedFailed)
            .with("file", file)
            .with("statement", statement.to_string()),
        E::DeadlineExceeded { phase } => {
            Told::new(Code::DeadlineExceeded, ErrorReason::DeadlineExceeded).with("phase", phase)
        }
        E::ReadOnly => precondition(ErrorReason::DatabaseReadOnly),
        E::Permission { step } => precondition(ErrorReason::DatabasePermission).with("step", step),
        E::Lost => Told::new(Code::Unavailable, ErrorReason::DatabaseUnavailable).retry(),
        E::InDoubt => Told::new(Code::Unknown, ErrorReason::OutcomeInDoubt),
        E::Database { step, .. } => {
            Told::new(Code::Internal, ErrorReason::InvariantViolated).with("step", step)
        }
        E::Unexpected(_) => Told::new(Code::Internal, ErrorReason::InvariantViolated),
    }
}

fn denied(error: &Denied) -> Told {
    let told = |reason| Told::new(Code::PermissionDenied, reason);
    match error {
        Denied::Role {
            subject,
            role,
            action,
            needed,
            ..
        } => told(ErrorReason::RoleRequired)
            .with("subject", subject)
            .with("role", role.to_string())
            .with("required_role", needed.to_string())
            .with("action", *action),
        Denied::Target { subject, target } => told(ErrorReason::TargetNotGranted)
            .with("subject", subject)
            .with("target", target),
        Denied::Plan { subject } => told(ErrorReason::PlanOfAnotherCaller).with("subject", subject),
        Denied::Action { subject, action } => told(ErrorReason::TargetNotGranted)
            .with("subject", subject)
            .with("action", *action),
    }
}

/// The reason of a guard, as callers see it.
pub(super) fn guard_reason(reason: Reason) -> ErrorReason {
    match reason {
        Reason::EnvironmentDenied => ErrorReason::EnvironmentDenied,
        Reason::AddressDenied => ErrorReason::AddressDenied,
        Reason::TargetNotArmed => ErrorReason::TargetNotArmed,
        Reason::TargetProtected => ErrorReason::TargetProtected,
        Reason::TargetIdentityMismatch => ErrorReason::TargetIdentityMismatch,
        Reason::DatabaseReadOnly => ErrorReason::DatabaseReadOnly,
        Reason::NotATestUser => ErrorReason::NotATestUser,
        Reason::ProtectedUser => ErrorReason::ProtectedUser,
        Reason::BlockedByReferences => ErrorReason::BlockedByReferences,
        Reason::ConfirmationRequired => ErrorReason::ConfirmationRequired,
        Reason::ConfirmationMismatch => ErrorReason::ConfirmationMismatch,
        Reason::BlastRadiusExceeded => ErrorReason::BlastRadiusExceeded,
    }
}

/// Of several refusals the first gives code and reason; each is a violation.
fn refusal(refused: &Refused) -> Told {
    let Some(first) = refused.0.first() else {
        return Told::new(Code::Internal, ErrorReason::InvariantViolated);
    };
    let code = match first.layer {
        Layer::Budget => Code::ResourceExhausted,
        Layer::Environment
        | Layer::Address
        | Layer::Identity
        | Layer::Marker
        | Layer::User
        | Layer::References
        | Layer::Confirmation => Code::FailedPrecondition,
    };
    let mut told = Told::new(code, guard_reason(first.reason));
    let room = DETAIL_BYTES / refused.0.len();
    for refusal in &refused.0 {
        violation(&mut told.details, refusal, room);
        told.metadata.extend(refusal.observed.iter().cloned());
    }
    if first.layer == Layer::User {
        let email = first.observed.iter().find(|(key, _)| key == "email");
        let email = email.map_or("", |(_, email)| email.as_str());
        told = told.resource("user", email, &first.message);
    }
    told.with("fix", &first.fix)
        .with("layer", first.layer.to_string())
}

fn violation(details: &mut ErrorDetails, refusal: &Refusal, room: usize) {
    let description = shortened(&refusal.to_string(), room);
    if refusal.layer == Layer::Budget {
        details.add_quota_failure_violation(refusal.layer.to_string(), description);
    } else {
        let kind = name(guard_reason(refusal.reason));
        details.add_precondition_failure_violation(kind, refusal.layer.to_string(), description);
    }
}

/// An error's reason as callers see it, for the journal.
#[must_use]
pub fn reason(error: &Error) -> &'static str {
    name(told(error).reason)
}

/// The reason of a denial, for the journal.
pub(super) fn denied_reason(error: &Denied) -> &'static str {
    name(denied(error).reason)
}

/// The reason of an unknown caller, for the journal.
pub(super) fn unknown_reason(unknown: Unknown) -> &'static str {
    name(match unknown {
        Unknown::Missing => ErrorReason::TokenMissing,
        Unknown::Several | Unknown::Invalid => ErrorReason::TokenInvalid,
        Unknown::Expired => ErrorReason::TokenExpired,
    })
}

/// The status of a caller that is not known.
pub(super) fn unknown_caller(unknown: Unknown) -> Status {
    let (reason, message) = match unknown {
        Unknown::Missing => (
            ErrorReason::TokenMissing,
            "no token: send the header `authorization: Bearer TOKEN`",
        ),
        Unknown::Several => (
            ErrorReason::TokenInvalid,
            "several authorization headers: send exactly one",
        ),
        Unknown::Invalid => (
            ErrorReason::TokenInvalid,
            "the token is not one of this server: send `authorization: Bearer TOKEN` with a \
             token of its configuration",
        ),
        Unknown::Expired => (
            ErrorReason::TokenExpired,
            "the token has expired: ask for a new one",
        ),
    };
    Told::new(Code::Unauthenticated, reason).status(message, Duration::ZERO, MetadataMap::new())
}

/// A call that reached a handler without a principal.
pub(super) fn unauthenticated() -> Status {
    unknown_caller(Unknown::Missing)
}

/// A broken rule of the program itself.
pub(super) fn invariant() -> Status {
    Told::new(Code::Internal, ErrorReason::InvariantViolated).status(
        &Error::Invariant.to_string(),
        Duration::ZERO,
        MetadataMap::new(),
    )
}

/// Bytes that are no message of the method.
pub(super) fn unreadable() -> Status {
    let mut told = Told::new(Code::InvalidArgument, ErrorReason::InvalidField);
    let problem = "the bytes are no message of this method; reflection tells what it takes";
    told.details.add_bad_request_violation("message", problem);
    told.with("field", "message")
        .status(problem, Duration::ZERO, MetadataMap::new())
}

/// A message over the transport's limit.
pub(super) fn too_large() -> Status {
    let mut told = Told::new(Code::ResourceExhausted, ErrorReason::MessageTooLarge);
    told.details
        .add_quota_failure_violation("message", "a message has at most 4 MiB");
    told.status(
        "the message has more than 4 MiB",
        Duration::ZERO,
        MetadataMap::new(),
    )
}
