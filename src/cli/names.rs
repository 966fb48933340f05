//! The words for the wire's enums, the same in tables and in JSON: the proto's
//! names without the enum's prefix.

use std::borrow::Cow;

use tonic::Code;

use crate::proto::{ErrorReason, ResetLevel, advice::Purpose, marker::State, plan_edge::Choice};

/// A level: `user_cascade`, as `--level` takes it.
pub(super) fn level(number: i32) -> Cow<'static, str> {
    match ResetLevel::try_from(number) {
        Ok(ResetLevel::Unspecified) => "unspecified".into(),
        Ok(ResetLevel::UserData) => "user_data".into(),
        Ok(ResetLevel::UserSessions) => "user_sessions".into(),
        Ok(ResetLevel::UserCascade) => "user_cascade".into(),
        Ok(ResetLevel::AllTestData) => "all_test_data".into(),
        Ok(ResetLevel::FullReset) => "full_reset".into(),
        Err(_) => newer(number),
    }
}

/// The state of a marker.
pub(super) fn state(number: i32) -> Cow<'static, str> {
    match State::try_from(number) {
        Ok(State::Unspecified) => "unknown".into(),
        Ok(State::Absent) => "absent".into(),
        Ok(State::Armed) => "armed".into(),
        Ok(State::Expired) => "expired".into(),
        Ok(State::Protected) => "protected".into(),
        Ok(State::Foreign) => "foreign".into(),
        Err(_) => newer(number),
    }
}

/// What happens to the rows that have a reference.
pub(super) fn choice(number: i32) -> Cow<'static, str> {
    match Choice::try_from(number) {
        Ok(Choice::Unspecified) => "unspecified".into(),
        Ok(Choice::Delete) => "delete".into(),
        Ok(Choice::Detach) => "detach".into(),
        Ok(Choice::RestoreDefault) => "restore_default".into(),
        Ok(Choice::Block) => "block".into(),
        Err(_) => newer(number),
    }
}

/// What an index is for.
pub(super) fn purpose(number: i32) -> Cow<'static, str> {
    match Purpose::try_from(number) {
        Ok(Purpose::Unspecified) => "unspecified".into(),
        Ok(Purpose::Reference) => "reference".into(),
        Ok(Purpose::Marker) => "marker".into(),
        Err(_) => newer(number),
    }
}

/// A reason as `ErrorInfo` has it: `TARGET_NOT_ARMED`.
pub(super) fn reason(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

/// The reason of a guard, none when it lets resets pass.
pub(super) fn guard_reason(number: i32) -> Option<Cow<'static, str>> {
    match ErrorReason::try_from(number) {
        Ok(ErrorReason::Unspecified) => None,
        Ok(known) => Some(reason(known).into()),
        Err(_) => Some(newer(number)),
    }
}

/// A gRPC code as its specification writes it: `FAILED_PRECONDITION`.
pub(super) fn code(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// A value of a server that is newer than this client.
fn newer(number: i32) -> Cow<'static, str> {
    format!("unknown_{number}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_proto_without_the_prefix() {
        for number in 0..=5 {
            let proto = ResetLevel::try_from(number).unwrap().as_str_name();
            let short = proto.trim_start_matches("RESET_LEVEL_").to_lowercase();
            assert_eq!(level(number), short);
        }
        for number in 0..=4 {
            let proto = Choice::try_from(number).unwrap().as_str_name();
            let short = proto.trim_start_matches("CHOICE_").to_lowercase();
            assert_eq!(choice(number), short);
        }
        for number in 1..=5 {
            let proto = State::try_from(number).unwrap().as_str_name();
            let short = proto.trim_start_matches("STATE_").to_lowercase();
            assert_eq!(state(number), short);
        }
        for number in 0..=2 {
            let proto = Purpose::try_from(number).unwrap().as_str_name();
            let short = proto.trim_start_matches("PURPOSE_").to_lowercase();
            assert_eq!(purpose(number), short);
        }
        assert_eq!(reason(ErrorReason::TargetNotArmed), "TARGET_NOT_ARMED");
        assert_eq!(guard_reason(0), None);
    }

    #[test]
    fn a_newer_server_is_understood_as_far_as_possible() {
        assert_eq!(level(77), "unknown_77");
        assert_eq!(state(-1), "unknown_-1");
        assert_eq!(guard_reason(9999).as_deref(), Some("unknown_9999"));
    }
}
