//! Commands of the policy around whatever takes more than one user or session,
//! such as a dump before it. They are argument lists and never seen by a
//! shell; dry runs have none.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::Context;
use crate::{error::Error, operation::Progress};

/// How often it is looked whether a command has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A command that is ended with whoever waits for it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended by itself is gone already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs what has to succeed before anything is changed.
///
/// # Errors
///
/// When a command cannot be started, fails, or takes too long.
pub(super) async fn before(context: &Context) -> Result<(), Error> {
    let hooks = &context.served.target.policy().hooks;
    for command in &hooks.before {
        run(context, command).await.map_err(|problem| Error::Hook {
            command: name(command),
            problem,
        })?;
    }
    Ok(())
}

/// Runs what comes after the commit; tells what did not succeed.
pub(super) async fn after(context: &Context) -> Vec<String> {
    let mut warnings = Vec::new();
    for command in &context.served.target.policy().hooks.after {
        if let Err(problem) = run(context, command).await {
            warnings.push(format!("hook {} {problem}", name(command)));
        }
    }
    warnings
}

fn name(command: &[String]) -> String {
    command.first().cloned().unwrap_or_default()
}

async fn run(context: &Context, command: &[String]) -> Result<(), String> {
    let (program, arguments) = command.split_first().ok_or("names no program")?;
    let (begun, hooks) = (Instant::now(), &context.served.target.policy().hooks);
    let child = Command::new(program)
        .args(arguments)
        .env("RESETD_OPERATION", context.operation.to_string())
        .env("RESETD_TARGET", context.served.target.name())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot be started: {}", error.kind()))?;
    let mut running = Running(child);
    let patience = Duration::from_secs(hooks.seconds);
    let status = loop {
        match running.0.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(error) => return Err(format!("cannot be waited for: {}", error.kind())),
        }
        if begun.elapsed() > patience || context.deadline.is_over() {
            return Err("takes too long".to_owned());
        }
        if context.brake.is_pulled() {
            return Err("was stopped with its operation".to_owned());
        }
        tokio::time::sleep(LOOK).await;
    };
    context.tell(Progress::HookFinished {
        command: name(command),
        took: begun.elapsed(),
    });
    match status.success() {
        true => Ok(()),
        false => Err(format!("failed: {status}")),
    }
}
