//! What can be written on the command line and in the environment. The doc
//! comments here are the help texts. Nothing here is `Debug`: it holds secrets.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;

use crate::proto::ResetLevel;

/// Where the server is when nobody says.
const DEFAULT_ADDRESS: &str = "http://127.0.0.1:50051";

/// What scripts build on. `exit` holds the code to it.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  a wrong argument, found here or by the server (INVALID_ARGUMENT)
  3  a guard refused (FAILED_PRECONDITION, or BLAST_RADIUS_EXCEEDED)
  4  no valid token, or one that may not (UNAUTHENTICATED, PERMISSION_DENIED)
  5  not found (NOT_FOUND)
  6  a conflict: it exists, or something else is at work (ALREADY_EXISTS, ABORTED)
  7  no answer (UNAVAILABLE, DEADLINE_EXCEEDED, cannot connect)";

/// Resets test and development databases through a resetd server.
#[derive(Parser)]
#[command(name = "resetctl", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(super) struct CommandLine {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What every command takes.
#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// The server: HOST:PORT or http://HOST:PORT.
    #[arg(
        long,
        global = true,
        env = "RESETCTL_ADDRESS",
        default_value = DEFAULT_ADDRESS,
        value_name = "ADDRESS"
    )]
    pub(super) address: String,

    /// The token. Other users of this machine can see arguments: prefer the
    /// environment variable.
    #[arg(
        long,
        global = true,
        env = "RESETCTL_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub(super) token: Option<String>,

    /// The target, where the server has several.
    #[arg(long, global = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) target: Option<String>,

    /// How to print the result, and errors.
    #[arg(
        long,
        global = true,
        env = "RESETCTL_OUTPUT",
        default_value = "table",
        value_name = "FORMAT"
    )]
    pub(super) output: Output,

    /// How long to wait for the server: seconds, or such as 500ms, 10s, 2m.
    #[arg(long, global = true, value_name = "TIME", value_parser = timeout)]
    pub(super) timeout: Option<Duration>,

    /// Print no colours. The variable counts whatever it holds, unless it is empty.
    #[arg(
        long,
        global = true,
        env = "NO_COLOR",
        hide_env = true,
        num_args = 0,
        default_missing_value = "1"
    )]
    pub(super) no_color: Option<std::ffi::OsString>,
}

/// What the result is printed for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Table,
    /// For programs: one object, on standard error when it is an error.
    Json,
}

/// What is to be done.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Tell whether resets are allowed now, and if not, what would allow them.
    Status,
    /// Count users, rows and bytes, and find references without an index.
    Stats(Stats),
    /// Reset one user.
    User(User),
    /// Reset all test users, but for admins and protected ones.
    TestUsers(TestUsers),
    /// Delete the rows that are marked as test data, and all that hangs off them.
    Cleanup(Cleanup),
    /// Empty the whole database, but for what its policy keeps.
    FullReset(FullReset),
    /// Run a recipe of the policy; without a name, list them.
    Recipe(Recipe),
    /// Create a test user.
    CreateUser(CreateUser),
    /// Set a user's password and end their sessions. Needs role admin.
    SetPassword(SetPassword),
    /// Remove the Redis keys that the policy calls a cache. Needs role admin.
    ClearCache(ClearCache),
    /// List the operations of the journal, newest first.
    Operations(Operations),
    /// Stop an operation before its commit.
    Cancel(Cancel),
}

/// The arguments of `operations`.
#[derive(Args)]
pub(super) struct Operations {
    /// Only those of this caller.
    #[arg(long, value_name = "NAME")]
    pub(super) actor: Option<String>,

    /// How many at most.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub(super) limit: i32,
}

/// The arguments of `cancel`.
#[derive(Args)]
pub(super) struct Cancel {
    /// The operation's id.
    pub(super) operation: String,
}

/// The arguments of `stats`.
#[derive(Args)]
pub(super) struct Stats {
    /// Count every row, rather than take the database's estimates.
    #[arg(long)]
    pub(super) exact: bool,

    /// List every table, rather than the 20 with the most rows. JSON always has all.
    #[arg(long)]
    pub(super) all: bool,
}

/// The arguments of `user`.
#[derive(Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line, read by its name"
)]
pub(super) struct User {
    #[command(flatten)]
    pub(super) who: Who,

    /// How much of the user to take; each level includes those before it.
    #[arg(
        long,
        ignore_case = true,
        default_value = "user_cascade",
        value_name = "LEVEL"
    )]
    pub(super) level: Level,

    /// Reset the user even if it is no test user. Needs role admin.
    #[arg(long)]
    pub(super) force: bool,

    /// Succeed when there is no such user.
    #[arg(long)]
    pub(super) allow_missing: bool,

    /// Do everything but keep the result: exact counts, and the plan.
    #[arg(long)]
    pub(super) dry_run: bool,

    #[command(flatten)]
    pub(super) terms: Terms,

    /// Print nothing when it succeeds.
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// The arguments of `test-users`.
#[derive(Args)]
pub(super) struct TestUsers {
    /// How much of each user to take; each level includes those before it.
    #[arg(
        long,
        ignore_case = true,
        default_value = "user_cascade",
        value_name = "LEVEL"
    )]
    pub(super) level: Level,

    /// A domain to count as a test domain as well, of those that the policy
    /// lists as `extra_domains`. May be repeated.
    #[arg(long = "domain", value_name = "DOMAIN", value_parser = NonEmptyStringValueParser::new())]
    pub(super) domains: Vec<String>,

    /// Also reset admins with test e-mails. Needs role superuser.
    #[arg(long)]
    pub(super) include_admins: bool,

    /// Do everything but keep the result: exact counts, and the plan.
    #[arg(long)]
    pub(super) dry_run: bool,

    #[command(flatten)]
    pub(super) terms: Terms,
}

/// The arguments of `cleanup`.
#[derive(Args)]
pub(super) struct Cleanup {
    #[command(flatten)]
    pub(super) what: Marked,

    /// Do everything but keep the result: exact counts, and the plan.
    #[arg(long)]
    pub(super) dry_run: bool,

    #[command(flatten)]
    pub(super) terms: Terms,
}

/// What is said about a request besides what is to be done.
#[derive(Args, Default)]
pub(super) struct Terms {
    /// A UUID for this request: under one id it is executed once, and answered
    /// the same again.
    #[arg(long, value_name = "UUID")]
    pub(super) request_id: Option<String>,

    /// Execute just what the dry run showed that answered with this token.
    #[arg(long, value_name = "TOKEN")]
    pub(super) plan_token: Option<String>,
}

impl Terms {
    pub(super) fn request_id(&self) -> String {
        self.request_id.clone().unwrap_or_default()
    }

    pub(super) fn plan_token(&self) -> String {
        self.plan_token.clone().unwrap_or_default()
    }
}

/// Which test data; that of every session only when one says so.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct Marked {
    /// The test session whose rows go.
    #[arg(value_name = "SESSION", value_parser = NonEmptyStringValueParser::new())]
    pub(super) session: Option<String>,

    /// The rows of every test session go. Needs role admin.
    #[arg(long)]
    pub(super) all: bool,
}

/// The arguments of `full-reset`.
#[derive(Args)]
pub(super) struct FullReset {
    /// The phrase by which the policy has it confirmed; the target's name where
    /// it has none. Asked for at a terminal when not given.
    #[arg(long = "confirm", value_name = "PHRASE", value_parser = NonEmptyStringValueParser::new())]
    pub(super) confirmation: Option<String>,

    /// Delete the users that the policy calls admins as well.
    #[arg(long)]
    pub(super) no_preserve_admins: bool,

    /// Run the policy's seed files afterwards, in the same transaction.
    #[arg(long)]
    pub(super) reseed: bool,

    /// Do everything but keep the result: exact counts. Needs no confirmation.
    #[arg(long)]
    pub(super) dry_run: bool,

    #[command(flatten)]
    pub(super) terms: Terms,
}

/// The arguments of `recipe`.
#[derive(Args)]
pub(super) struct Recipe {
    /// The recipe's name.
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) name: Option<String>,

    /// The phrase by which the recipe has it confirmed; the target's name where
    /// it has none. Asked for at a terminal when not given.
    #[arg(long = "confirm", value_name = "PHRASE", value_parser = NonEmptyStringValueParser::new())]
    pub(super) confirmation: Option<String>,

    /// Do everything but keep the result: exact counts. Needs no confirmation.
    #[arg(long)]
    pub(super) dry_run: bool,

    #[command(flatten)]
    pub(super) terms: Terms,
}

/// The arguments of `set-password`.
#[derive(Args)]
pub(super) struct SetPassword {
    #[command(flatten)]
    pub(super) who: Who,

    /// The password. Other users of this machine can see arguments: prefer
    /// --password-stdin.
    #[arg(
        long,
        value_name = "PASSWORD",
        conflicts_with = "password_stdin",
        required_unless_present = "password_stdin",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub(super) password: Option<String>,

    /// Read the password from the first line of standard input.
    #[arg(long)]
    pub(super) password_stdin: bool,

    /// Also for a user that is no test user.
    #[arg(long)]
    pub(super) force: bool,

    /// Do everything but keep the result.
    #[arg(long)]
    pub(super) dry_run: bool,

    /// A UUID for this request: under one id it is executed once, and answered
    /// the same again.
    #[arg(long, value_name = "UUID")]
    pub(super) request_id: Option<String>,
}

/// The arguments of `clear-cache`.
#[derive(Args)]
pub(super) struct ClearCache {
    /// Count the keys and remove none.
    #[arg(long)]
    pub(super) dry_run: bool,

    /// A UUID for this request: under one id it is executed once, and answered
    /// the same again.
    #[arg(long, value_name = "UUID")]
    pub(super) request_id: Option<String>,
}

/// The user, by one of two names.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct Who {
    /// The user's e-mail.
    #[arg(value_name = "EMAIL", value_parser = NonEmptyStringValueParser::new())]
    pub(super) email: Option<String>,

    /// The user's key, instead of the e-mail.
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub(super) id: Option<String>,
}

/// How much of a user to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Level {
    /// Restore the profile; the account stays.
    #[value(name = "user_data", alias = "user-data")]
    Data,
    /// Also end the sessions; the account stays.
    #[value(name = "user_sessions", alias = "user-sessions")]
    Sessions,
    /// Remove the account and everything that hangs off it.
    #[value(name = "user_cascade", alias = "user-cascade")]
    Cascade,
}

/// The arguments of `create-user`.
#[derive(Args)]
pub(super) struct CreateUser {
    /// The e-mail, in one of the test domains.
    #[arg(value_name = "EMAIL", value_parser = NonEmptyStringValueParser::new())]
    pub(super) email: String,

    /// The password; the policy's when not given. Other users of this machine
    /// can see arguments: prefer --password-stdin.
    #[arg(
        long,
        value_name = "PASSWORD",
        conflicts_with = "password_stdin",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub(super) password: Option<String>,

    /// Read the password from the first line of standard input.
    #[arg(long)]
    pub(super) password_stdin: bool,

    /// The user type's label as the database stores it; the policy's when not given.
    #[arg(long = "type", value_name = "TYPE", value_parser = NonEmptyStringValueParser::new())]
    pub(super) user_type: Option<String>,

    /// A further column, of those that the policy lists as attributes. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = attribute)]
    pub(super) attributes: Vec<(String, String)>,

    /// Mark the user as belonging to this test session.
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub(super) session: Option<String>,

    /// Do everything but keep the result.
    #[arg(long)]
    pub(super) dry_run: bool,

    #[command(flatten)]
    pub(super) terms: Terms,
}

impl CommandLine {
    /// The address; an empty variable is one that is not set.
    pub(super) fn address(&self) -> &str {
        match self.global.address.trim() {
            "" => DEFAULT_ADDRESS,
            address => address,
        }
    }
}

impl Command {
    /// What failed, at the head of an error: "Reset failed!".
    pub(super) fn title(&self) -> &'static str {
        match self {
            Self::Status => "Status",
            Self::Stats(_) => "Statistics",
            Self::User(_) | Self::TestUsers(_) => "Reset",
            Self::Cleanup(_) => "Cleanup",
            Self::FullReset(_) => "Full reset",
            Self::Recipe(_) => "Recipe",
            Self::CreateUser(_) => "User creation",
            Self::SetPassword(_) => "Password change",
            Self::ClearCache(_) => "Clearing the cache",
            Self::Operations(_) => "Listing",
            Self::Cancel(_) => "Cancellation",
        }
    }
}

impl From<Level> for ResetLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Data => Self::UserData,
            Level::Sessions => Self::UserSessions,
            Level::Cascade => Self::UserCascade,
        }
    }
}

/// Reads `KEY=VALUE`. The value may be empty and may hold further `=`.
fn attribute(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        None => Err("there is no `=` between key and value"),
        Some((key, _)) if key.trim().is_empty() => Err("there is no key before the `=`"),
        Some((key, value)) => Ok((key.trim().to_owned(), value.to_owned())),
    }
}

/// Reads a time: digits are seconds, everything else has its unit.
fn timeout(text: &str) -> Result<Duration, &'static str> {
    let text = text.trim();
    let time = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok().map(Duration::from_secs)
    } else {
        let signed: Option<SignedDuration> = text.parse().ok();
        signed.and_then(|signed| signed.try_into().ok())
    };
    match time {
        None => Err("expected seconds, or a time such as 500ms, 10s or 2m"),
        Some(Duration::ZERO) => Err("no time at all is too short"),
        Some(time) => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<CommandLine, ErrorKind> {
        CommandLine::try_parse_from(line.split_whitespace()).map_err(|error| error.kind())
    }

    fn user(line: &str) -> User {
        match parse(line).map(|line| line.command) {
            Ok(Command::User(user)) => user,
            Ok(_) => panic!("{line} is another command"),
            Err(kind) => panic!("{line}: {kind}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn attributes_are_split_at_the_first_equals_sign() {
        let pair = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(attribute("nombre=Ana"), pair("nombre", "Ana"));
        assert_eq!(attribute("query=a=b"), pair("query", "a=b"));
        assert_eq!(attribute("telefono="), pair("telefono", ""));
        assert_eq!(attribute(" key = kept "), pair("key", " kept "));
        assert!(attribute("nombre").is_err());
        assert!(attribute("=Ana").is_err());
        assert!(attribute("").is_err());
    }

    #[test]
    fn timeouts_are_seconds_or_have_units() {
        let read = [
            ("10", 10_000),
            ("10s", 10_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            ("2m", 120_000),
            ("1h 30m", 5_400_000),
        ];
        for (text, milliseconds) in read {
            assert_eq!(
                timeout(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "0",
            "0s",
            "-5s",
            "-5",
            "ten",
            "10 apples",
            "99999999999999999999",
        ] {
            assert!(timeout(text).is_err(), "{text}");
        }
    }

    #[test]
    fn levels_are_read_with_underscores_dashes_and_any_case() {
        let read = [
            ("user_data", Level::Data),
            ("user-sessions", Level::Sessions),
            ("USER_CASCADE", Level::Cascade),
        ];
        for (text, level) in read {
            let line = format!("resetctl user ana@test.com --level {text}");
            assert_eq!(user(&line).level, level, "{text}");
        }
        assert_eq!(user("resetctl user ana@test.com").level, Level::Cascade);
        // A level of more than one user is never taken for a smaller one.
        for text in ["all_test_data", "full_reset"] {
            let kind = parse(&format!("resetctl user ana@test.com --level {text}")).err();
            assert_eq!(kind, Some(ErrorKind::InvalidValue), "{text}");
        }
    }

    #[test]
    fn a_user_has_exactly_one_name() {
        assert_eq!(user("resetctl user --id 7").who.id.as_deref(), Some("7"));
        let kind = |line| parse(line).err();
        assert_eq!(
            kind("resetctl user"),
            Some(ErrorKind::MissingRequiredArgument)
        );
        assert_eq!(
            kind("resetctl user ana@test.com --id 7"),
            Some(ErrorKind::ArgumentConflict)
        );
    }

    #[test]
    fn all_test_data_goes_only_when_one_says_so() {
        let marked = |line: &str| match parse(line).map(|line| line.command) {
            Ok(Command::Cleanup(cleanup)) => Ok((cleanup.what.session, cleanup.what.all)),
            Ok(_) => panic!("{line} is another command"),
            Err(kind) => Err(kind),
        };
        let one = marked("resetctl cleanup session_1 --dry-run");
        assert_eq!(one, Ok((Some("session_1".to_owned()), false)));
        assert_eq!(marked("resetctl cleanup --all"), Ok((None, true)));
        assert_eq!(
            marked("resetctl cleanup"),
            Err(ErrorKind::MissingRequiredArgument)
        );
        assert_eq!(
            marked("resetctl cleanup session_1 --all"),
            Err(ErrorKind::ArgumentConflict)
        );
        // An unset variable of a script is not everything.
        let empty = CommandLine::try_parse_from(["resetctl", "cleanup", ""]);
        assert_eq!(empty.err().unwrap().kind(), ErrorKind::InvalidValue);
    }

    #[test]
    fn domains_add_up() {
        let line = "resetctl test-users --domain qa.test --domain lab.test";
        match parse(line).map(|line| line.command) {
            Ok(Command::TestUsers(users)) => {
                assert_eq!(users.domains, ["qa.test", "lab.test"]);
                assert_eq!(users.level, Level::Cascade);
                assert!(!users.include_admins && !users.dry_run);
            }
            Ok(_) | Err(_) => panic!("{line}"),
        }
    }

    #[test]
    fn a_password_comes_from_one_place() {
        let kind = parse("resetctl create-user ana@test.com --password x --password-stdin").err();
        assert_eq!(kind, Some(ErrorKind::ArgumentConflict));
    }

    #[test]
    fn the_help_names_every_exit_code_and_hides_the_token() {
        let help = CommandLine::command().render_long_help().to_string();
        for code in 0..=7 {
            assert!(help.contains(&format!("\n  {code}  ")), "{code}: {help}");
        }
        let token = CommandLine::command()
            .get_arguments()
            .any(|argument| argument.get_id() == "token" && argument.is_hide_env_values_set());
        assert!(token);
    }
}
