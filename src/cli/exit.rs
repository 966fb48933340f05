//! How a command ends: the exit codes that scripts build on.

use std::process::ExitCode;

use tonic::Code;

use crate::client;
use crate::proto::ErrorReason;

/// How a command ended. The help of `resetctl` lists the codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// It was done.
    Done = 0,
    /// It failed for a reason that is none of those below.
    Failed = 1,
    /// An argument was wrong. clap's own code too.
    Usage = 2,
    /// A guard refused.
    Refused = 3,
    /// The caller is unknown, or may not.
    Denied = 4,
    /// What was named does not exist.
    NotFound = 5,
    /// It exists already, or something else is at work.
    Conflict = 6,
    /// Nobody answered.
    Unavailable = 7,
}

impl Exit {
    /// What an error ends with.
    pub(super) fn of(error: &client::Error) -> Self {
        Self::of_code(error.code(), error.reason())
    }

    fn of_code(code: Code, reason: Option<&str>) -> Self {
        match code {
            Code::Ok => Self::Done,
            Code::InvalidArgument => Self::Usage,
            Code::FailedPrecondition => Self::Refused,
            // The row budget is a guard; a rate or a size is not.
            Code::ResourceExhausted if reason == Some(row_budget()) => Self::Refused,
            Code::Unauthenticated | Code::PermissionDenied => Self::Denied,
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists | Code::Aborted => Self::Conflict,
            Code::Unavailable | Code::DeadlineExceeded => Self::Unavailable,
            Code::Cancelled
            | Code::Unknown
            | Code::ResourceExhausted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

fn row_budget() -> &'static str {
    super::names::reason(ErrorReason::BlastRadiusExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_exit() {
        let expected = [
            (Code::Ok, 0),
            (Code::Cancelled, 1),
            (Code::Unknown, 1),
            (Code::InvalidArgument, 2),
            (Code::DeadlineExceeded, 7),
            (Code::NotFound, 5),
            (Code::AlreadyExists, 6),
            (Code::PermissionDenied, 4),
            (Code::ResourceExhausted, 1),
            (Code::FailedPrecondition, 3),
            (Code::Aborted, 6),
            (Code::OutOfRange, 1),
            (Code::Unimplemented, 1),
            (Code::Internal, 1),
            (Code::Unavailable, 7),
            (Code::DataLoss, 1),
            (Code::Unauthenticated, 4),
        ];
        assert_eq!(expected.len(), 17, "gRPC has codes 0 to 16");
        for (number, (code, exit)) in expected.into_iter().enumerate() {
            assert_eq!(code as usize, number);
            assert_eq!(Exit::of_code(code, None) as u8, exit, "{code:?}");
            assert_eq!(Exit::of_code(code, Some("OTHER")) as u8, exit, "{code:?}");
        }
    }

    #[test]
    fn the_row_budget_is_a_guard_and_a_rate_is_not() {
        let exit = |reason| Exit::of_code(Code::ResourceExhausted, Some(reason));
        assert_eq!(exit("BLAST_RADIUS_EXCEEDED"), Exit::Refused);
        assert_eq!(exit("RATE_LIMITED"), Exit::Failed);
        assert_eq!(exit("MESSAGE_TOO_LARGE"), Exit::Failed);
    }
}
