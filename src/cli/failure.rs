//! How a command fails, what it then says on standard error, and its exit code.

use std::io;

use serde_json::Value;
use tonic::Code;

use super::exit::Exit;
use super::page::{Paint, Tone};
use super::{json, names};
use crate::client;
use crate::proto::ErrorReason;

/// The reasons that a typed phrase does away with.
const CONFIRMATIONS: [ErrorReason; 2] = [
    ErrorReason::ConfirmationRequired,
    ErrorReason::ConfirmationMismatch,
];

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The server, or the way to it.
    #[error(transparent)]
    Call(#[from] client::Error),
    /// What was read besides the arguments is not usable.
    #[error("{0}")]
    Input(&'static str),
    /// The terminal cannot be asked.
    #[error("the terminal cannot be read: {0}")]
    Terminal(io::Error),
    /// The runtime did not start.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    /// The result could not be printed; the command itself was carried out.
    #[error("cannot print the result: {0}")]
    Output(io::Error),
}

impl Failure {
    /// The code to exit with.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Call(error) => Exit::of(error),
            Self::Input(_) => Exit::Usage,
            Self::Terminal(_) | Self::Runtime(_) | Self::Output(_) => Exit::Failed,
        }
    }

    /// The failure for people; `title` names what failed.
    pub(super) fn text(&self, title: &str, paint: Paint) -> String {
        let mut lines = vec![
            paint.text(Tone::Bad, &format!("❌ {title} failed!")),
            detail("Error", &self.to_string()),
        ];
        if let Self::Call(error) = self {
            let reason = error.reason().filter(|reason| !reason.is_empty());
            if reason == Some(names::reason(ErrorReason::NotATestUser)) {
                lines.push("   Use --force to override this check".to_owned());
            }
            if reason.is_some_and(|reason| CONFIRMATIONS.map(names::reason).contains(&reason)) {
                lines
                    .push("   Give the phrase with --confirm, or look first with --dry-run".into());
            }
            lines.extend(reason.map(|reason| detail("Reason", reason)));
            lines.extend(error.help().map(|link| detail("Help", link)));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// The failure for programs.
    pub(super) fn json(&self) -> Value {
        let code = match self {
            Self::Call(error) => return json::error(error),
            Self::Input(_) => Code::InvalidArgument,
            Self::Terminal(_) | Self::Runtime(_) => Code::Internal,
            // The command was carried out; only its result is lost.
            Self::Output(_) => Code::DataLoss,
        };
        json::local_error(code, &self.to_string())
    }
}

/// A line under the title; further lines of the text begin where the first does.
fn detail(name: &str, text: &str) -> String {
    let indent = format!("\n{:1$}", "", name.len() + 5);
    let text = Paint::Plain.text(Tone::Faint, text);
    format!("   {name}: {}", text.replace('\n', &indent))
}

#[cfg(test)]
mod tests {
    use tonic::Status;
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    fn answer(code: Code, reason: &str, message: &str) -> Failure {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, "resetd", [("user".to_owned(), "7".to_owned())]);
        details.add_help_link("what to do", "https://resetd.test/help");
        client::Error::from(Status::with_error_details(code, message, details)).into()
    }

    #[test]
    fn a_user_that_is_no_test_user_is_refused_in_the_promised_words() {
        let message = "User test@production.com doesn't appear to be a test user";
        let failure = answer(Code::FailedPrecondition, "NOT_A_TEST_USER", message);
        let expected = "❌ Reset failed!\n   \
            Error: User test@production.com doesn't appear to be a test user\n   \
            Use --force to override this check\n   \
            Reason: NOT_A_TEST_USER\n   \
            Help: https://resetd.test/help\n";
        assert_eq!(failure.text("Reset", Paint::Plain), expected);
        assert_eq!(failure.exit(), Exit::Refused);
    }

    #[test]
    fn force_is_proposed_for_nothing_else() {
        let failure = answer(Code::FailedPrecondition, "PROTECTED_USER", "no\nnever");
        let expected = "❌ Reset failed!\n   \
            Error: no\n          never\n   \
            Reason: PROTECTED_USER\n   \
            Help: https://resetd.test/help\n";
        assert_eq!(failure.text("Reset", Paint::Plain), expected);
    }

    #[test]
    fn a_missing_phrase_is_asked_for_in_this_clients_words() {
        let failure = answer(Code::FailedPrecondition, "CONFIRMATION_REQUIRED", "no");
        let expected = "❌ Full reset failed!\n   \
            Error: no\n   \
            Give the phrase with --confirm, or look first with --dry-run\n   \
            Reason: CONFIRMATION_REQUIRED\n   \
            Help: https://resetd.test/help\n";
        assert_eq!(failure.text("Full reset", Paint::Plain), expected);
        assert_eq!(failure.exit(), Exit::Refused);
    }

    #[test]
    fn a_program_reads_code_reason_message_and_metadata() {
        let failure = answer(Code::NotFound, "USER_NOT_FOUND", "no user has the key 7");
        let expected = r#"{"code":"NOT_FOUND","reason":"USER_NOT_FOUND","message":"no user has the key 7","metadata":{"user":"7"}}"#;
        assert_eq!(failure.json().to_string(), expected);
    }

    #[test]
    fn no_server_is_unavailable() {
        let failure = Failure::Call(client::Error::Connect {
            address: "http://127.0.0.1:50051".to_owned(),
            cause: "connection refused".to_owned(),
        });
        assert_eq!(failure.exit(), Exit::Unavailable);
        assert_eq!(failure.json()["code"], "UNAVAILABLE");
        assert!(
            failure
                .text("Status", Paint::Plain)
                .contains("start the server")
        );
    }
}
