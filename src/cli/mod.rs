//! The command line client, `resetctl`: reads the arguments, makes the calls,
//! prints what came of them, and ends with an exit code that scripts can tell
//! apart. It knows the server only through `client`.

mod arguments;
mod exit;
mod failure;
mod json;
mod names;
mod operations;
mod page;
mod print;
mod streams;
mod units;

use std::collections::HashMap;
use std::io::{self, BufRead as _, ErrorKind, IsTerminal, Write as _};
use std::process::ExitCode;

use clap::error::ErrorKind as Misuse;
use clap::{CommandFactory as _, Parser as _};
use serde_json::Value;
use tokio::runtime;

use crate::client::{Client, Options};
use crate::proto::reset_user_request::User as Selector;
use crate::proto::{
    CleanupRequest, ClearCacheRequest, CreateTestUserRequest, GetStatusRequest, ResetLevel,
    ResetTestUsersRequest, ResetUserRequest, SetPasswordRequest, StatisticsRequest,
    StatisticsResponse,
};

use arguments::{
    Cleanup, ClearCache, Command, CommandLine, CreateUser, Output, SetPassword, Stats, TestUsers,
    User,
};
use exit::Exit;
use failure::Failure;
use page::Paint;
use print::Tables;

/// The largest page that the server gives.
const PAGE_SIZE: i32 = 1000;

/// A line that is longer than this holds no password: the server takes 72 bytes.
const LONGEST_LINE: u64 = 4096;

/// How a result is printed.
#[derive(Clone, Copy)]
enum Form {
    Table(Paint),
    Json,
}

/// Runs the command that the process's arguments describe.
#[must_use]
pub fn run() -> ExitCode {
    let parsed = CommandLine::try_parse().and_then(|line| {
        attributes(&line.command)?;
        Ok(line)
    });
    let line = match parsed {
        Ok(line) => line,
        Err(error) => {
            // Help is printed this way too; whoever closed the pipe has read enough.
            drop(error.print());
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            return exit.into();
        }
    };
    match carry_out(&line) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            report(&failure, &line);
            failure.exit()
        }
    }
    .into()
}

fn carry_out(line: &CommandLine) -> Result<(), Failure> {
    let form = match line.global.output {
        Output::Json => Form::Json,
        Output::Table => Form::Table(paint(line, &io::stdout())),
    };
    let text = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?
        .block_on(call(line, form))?;
    put(&text)
}

/// Prints a text at once.
fn put(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    match written.and_then(|()| stdout.flush()) {
        // The reader has seen enough, as `head` has.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Failure::Output),
    }
}

/// Makes the command's calls and gives the text to print, or what of it is not
/// printed yet.
async fn call(line: &CommandLine, form: Form) -> Result<String, Failure> {
    // What is wrong with the input is said before the server is bothered.
    let secret = match &line.command {
        Command::CreateUser(user) => password(user.password_stdin, user.password.as_ref())?,
        Command::SetPassword(user) => password(user.password_stdin, user.password.as_ref())?,
        Command::FullReset(reset) => streams::confirmation(reset, line.address())?,
        Command::Recipe(recipe) => streams::of_recipe(recipe, line.address())?,
        Command::Status
        | Command::Stats(_)
        | Command::User(_)
        | Command::TestUsers(_)
        | Command::Cleanup(_)
        | Command::ClearCache(_)
        | Command::Operations(_)
        | Command::Cancel(_) => String::new(),
    };
    let client = Client::connect(Options {
        address: line.address().to_owned(),
        token: line.global.token.clone(),
        timeout: line.global.timeout,
    })
    .await?;
    let target = line.global.target.clone().unwrap_or_default();
    match &line.command {
        Command::Status => status(&client, target, form).await,
        Command::Stats(stats) => statistics(&client, target, stats, form).await,
        Command::User(user) => reset(&client, target, user, form).await,
        Command::TestUsers(users) => test_users(&client, target, users, form).await,
        Command::Cleanup(what) => cleanup(&client, target, what, form).await,
        Command::FullReset(reset) => streams::run(&client, target, reset, secret, form).await,
        Command::Recipe(recipe) => streams::run_recipe(&client, target, recipe, secret, form).await,
        Command::SetPassword(user) => set_password(&client, target, user, secret, form).await,
        Command::ClearCache(what) => clear_cache(&client, target, what, form).await,
        Command::CreateUser(user) => create(&client, target, user, secret, form).await,
        Command::Operations(what) => operations::list(&client, target, what, form).await,
        Command::Cancel(what) => operations::cancel(&client, what, form).await,
    }
}

async fn status(client: &Client, target: String, form: Form) -> Result<String, Failure> {
    let status = client.get_status(GetStatusRequest { target }).await?;
    Ok(match form {
        Form::Table(paint) => print::status(&status, paint),
        Form::Json => pretty(&json::status(&status)),
    })
}

async fn statistics(
    client: &Client,
    target: String,
    stats: &Stats,
    form: Form,
) -> Result<String, Failure> {
    let statistics = every_page(client, target, stats.exact).await?;
    let tables = if stats.all {
        Tables::All
    } else {
        Tables::Largest
    };
    Ok(match form {
        Form::Table(paint) => print::statistics(&statistics, tables, paint),
        Form::Json => pretty(&json::statistics(&statistics)),
    })
}

/// The statistics with the tables of all pages: those with the most rows may
/// be on the last one.
async fn every_page(
    client: &Client,
    target: String,
    exact: bool,
) -> Result<StatisticsResponse, Failure> {
    let mut request = StatisticsRequest {
        target,
        exact,
        page_size: PAGE_SIZE,
        page_token: String::new(),
    };
    let mut all = client.statistics(request.clone()).await?;
    // A server that gives the same token again would go on for ever.
    while !all.next_page_token.is_empty() && all.next_page_token != request.page_token {
        request.page_token = std::mem::take(&mut all.next_page_token);
        let page = client.statistics(request.clone()).await?;
        all.tables.extend(page.tables);
        all.next_page_token = page.next_page_token;
        all.duration = units::sum(all.duration, page.duration);
    }
    Ok(all)
}

async fn reset(
    client: &Client,
    target: String,
    user: &User,
    form: Form,
) -> Result<String, Failure> {
    let by_key = user.who.id.clone().map(Selector::UserId);
    let by_email = || user.who.email.clone().map(Selector::Email);
    let request = ResetUserRequest {
        target,
        request_id: user.terms.request_id(),
        plan_token: user.terms.plan_token(),
        validate_only: user.dry_run,
        user: by_key.or_else(by_email),
        level: ResetLevel::from(user.level).into(),
        force: user.force,
        allow_missing: user.allow_missing,
    };
    let result = client.reset_user(request).await?.result.unwrap_or_default();
    Ok(match form {
        _ if user.quiet => String::new(),
        Form::Table(paint) => print::reset(&result, paint),
        Form::Json => pretty(&json::reset(&result)),
    })
}

async fn test_users(
    client: &Client,
    target: String,
    users: &TestUsers,
    form: Form,
) -> Result<String, Failure> {
    let request = ResetTestUsersRequest {
        target,
        request_id: users.terms.request_id(),
        plan_token: users.terms.plan_token(),
        validate_only: users.dry_run,
        level: ResetLevel::from(users.level).into(),
        email_domains: users.domains.clone(),
        include_admins: users.include_admins,
    };
    let response = client.reset_test_users(request).await?;
    let result = response.result.unwrap_or_default();
    Ok(match form {
        Form::Table(paint) => print::reset(&result, paint),
        Form::Json => pretty(&json::reset(&result)),
    })
}

async fn cleanup(
    client: &Client,
    target: String,
    cleanup: &Cleanup,
    form: Form,
) -> Result<String, Failure> {
    let request = CleanupRequest {
        target,
        request_id: cleanup.terms.request_id(),
        plan_token: cleanup.terms.plan_token(),
        validate_only: cleanup.dry_run,
        // Absent means all: the arguments demand a session or --all.
        test_session_id: cleanup.what.session.clone(),
    };
    let response = client.cleanup(request).await?;
    Ok(match form {
        // The result has the counts too, and in the policy's order.
        Form::Table(paint) => print::reset(&response.result.unwrap_or_default(), paint),
        Form::Json => pretty(&json::cleanup(&response)),
    })
}

async fn create(
    client: &Client,
    target: String,
    user: &CreateUser,
    password: String,
    form: Form,
) -> Result<String, Failure> {
    let request = CreateTestUserRequest {
        target,
        request_id: user.terms.request_id(),
        validate_only: user.dry_run,
        email: user.email.clone(),
        password,
        user_type: user.user_type.clone().unwrap_or_default(),
        attributes: user.attributes.iter().cloned().collect(),
        test_session_id: user.session.clone(),
    };
    let created = client.create_test_user(request).await?;
    Ok(match form {
        Form::Table(paint) => print::created(&created, paint),
        Form::Json => pretty(&json::created(&created)),
    })
}

async fn set_password(
    client: &Client,
    target: String,
    user: &SetPassword,
    password: String,
    form: Form,
) -> Result<String, Failure> {
    use crate::proto::set_password_request::User as Whose;
    let by_key = user.who.id.clone().map(Whose::UserId);
    let by_email = || user.who.email.clone().map(Whose::Email);
    let request = SetPasswordRequest {
        target,
        request_id: user.request_id.clone().unwrap_or_default(),
        validate_only: user.dry_run,
        user: by_key.or_else(by_email),
        password,
        force: user.force,
    };
    let answer = client.set_password(request).await?;
    Ok(match form {
        Form::Table(paint) => print::password(&answer, paint),
        Form::Json => pretty(&json::password(&answer)),
    })
}

async fn clear_cache(
    client: &Client,
    target: String,
    what: &ClearCache,
    form: Form,
) -> Result<String, Failure> {
    let request = ClearCacheRequest {
        target,
        request_id: what.request_id.clone().unwrap_or_default(),
        validate_only: what.dry_run,
    };
    let answer = client.clear_cache(request).await?;
    Ok(match form {
        Form::Table(paint) => print::cache(&answer, paint),
        Form::Json => pretty(&json::cache(&answer)),
    })
}

/// Refuses an attribute that is given twice: one of the two would be lost.
fn attributes(command: &Command) -> Result<(), clap::Error> {
    let Command::CreateUser(user) = command else {
        return Ok(());
    };
    let mut seen = HashMap::new();
    for (key, value) in &user.attributes {
        if seen.insert(key, value).is_some() {
            let problem = format!("--set {key}=… is given twice");
            return Err(CommandLine::command().error(Misuse::ArgumentConflict, problem));
        }
    }
    Ok(())
}

/// The password to send; empty for the policy's.
fn password(is_read: bool, given: Option<&String>) -> Result<String, Failure> {
    match is_read {
        true => first_line(io::stdin().lock()),
        false => Ok(given.cloned().unwrap_or_default()),
    }
}

/// The first line, without its end. An empty one is refused, since the server
/// would take the policy's password and nobody would notice.
fn first_line(input: impl io::BufRead) -> Result<String, Failure> {
    let mut line = String::new();
    input
        .take(LONGEST_LINE)
        .read_line(&mut line)
        .map_err(|_| Failure::Input("standard input holds no line of text"))?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    match line.strip_suffix('\r').unwrap_or(line) {
        "" => Err(Failure::Input("the first line of standard input is empty")),
        line => Ok(line.to_owned()),
    }
}

/// Says on standard error what failed. When that is closed as well, the exit
/// code has to do.
fn report(failure: &Failure, line: &CommandLine) {
    let mut stderr = io::stderr().lock();
    let text = match line.global.output {
        Output::Json => pretty(&failure.json()),
        Output::Table => failure.text(line.command.title(), paint(line, &stderr)),
    };
    drop(stderr.write_all(text.as_bytes()));
}

/// Colours are for terminals, and not for those who set `NO_COLOR`.
fn paint(line: &CommandLine, stream: &impl IsTerminal) -> Paint {
    let unwanted = |value: &std::ffi::OsString| !value.is_empty();
    if stream.is_terminal() && !line.global.no_color.as_ref().is_some_and(unwanted) {
        Paint::Coloured
    } else {
        Paint::Plain
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line_without_its_end() {
        let read = |text: &str| first_line(text.as_bytes()).ok();
        assert_eq!(read("secret\n").as_deref(), Some("secret"));
        assert_eq!(read("secret\r\nmore\n").as_deref(), Some("secret"));
        assert_eq!(read(" kept ").as_deref(), Some(" kept "));
        assert_eq!(read(""), None);
        assert_eq!(read("\nsecret\n"), None);
        assert!(first_line(&b"\xff\n"[..]).is_err());
    }

    #[test]
    fn an_attribute_is_given_once() {
        let check = |line: &str| {
            let line = CommandLine::try_parse_from(line.split(' ')).unwrap();
            attributes(&line.command).is_ok()
        };
        assert!(check("resetctl create-user a@test.com --set a=1 --set b=1"));
        assert!(!check(
            "resetctl create-user a@test.com --set a=1 --set a=1"
        ));
    }
}
