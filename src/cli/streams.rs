//! The commands that stream, a full reset and a recipe: ask for the phrase by
//! which they are confirmed, and tell each event as it happens.

use std::collections::HashMap;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use super::arguments::{FullReset, Recipe};
use super::failure::Failure;
use super::page::{Page, Tone};
use super::{Form, json, print, put, units};
use crate::client::{Client, Events};
use crate::proto::event::Kind;
use crate::proto::{
    Event, FullResetRequest, GetStatusRequest, OperationStarted, ResetResult, RunRecipeRequest,
    StepFinished,
};

/// The width of a step's title; longer ones push what follows to the right.
const TITLE: usize = 44;

/// What is told of an operation on its way.
struct Teller {
    form: Form,
    dry_run: bool,
    /// How many steps the plan has.
    steps: usize,
    /// What the steps do, by their place in the plan.
    titles: HashMap<i32, String>,
    result: Option<ResetResult>,
}

/// The phrase to send: the one of the arguments, else the one that is typed at
/// a terminal. Without either it is empty, and the server's refusal says which
/// one it wants.
pub(super) fn confirmation(reset: &FullReset, address: &str) -> Result<String, Failure> {
    let warning =
        format!("This empties the database behind {address}, but for what its policy keeps.");
    phrase(reset.confirmation.as_ref(), reset.dry_run, &warning)
}

/// The same for a recipe; there is nothing to confirm about a list.
pub(super) fn of_recipe(recipe: &Recipe, address: &str) -> Result<String, Failure> {
    let Some(name) = &recipe.name else {
        return Ok(String::new());
    };
    let warning = format!("This runs recipe {name} on the database behind {address}.");
    phrase(recipe.confirmation.as_ref(), recipe.dry_run, &warning)
}

fn phrase(given: Option<&String>, dry_run: bool, warning: &str) -> Result<String, Failure> {
    match given {
        Some(phrase) => Ok(phrase.clone()),
        None if dry_run || !io::stdin().is_terminal() => Ok(String::new()),
        None => ask(warning).map_err(Failure::Terminal),
    }
}

/// Asks on standard error: standard output may be a file.
fn ask(warning: &str) -> io::Result<String> {
    let mut stderr = io::stderr().lock();
    writeln!(stderr, "{warning}")?;
    writeln!(
        stderr,
        "What it takes is gone for good: a dump made before is the only way back."
    )?;
    write!(
        stderr,
        "Type the confirmation phrase to go on (Enter alone shows which one): "
    )?;
    stderr.flush()?;
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed)?;
    Ok(typed.trim_end_matches(['\r', '\n']).to_owned())
}

/// Makes the call and tells its events. Gives the text of the result.
pub(super) async fn run(
    client: &Client,
    target: String,
    reset: &FullReset,
    confirmation: String,
    form: Form,
) -> Result<String, Failure> {
    let request = FullResetRequest {
        target,
        request_id: reset.terms.request_id(),
        plan_token: reset.terms.plan_token(),
        validate_only: reset.dry_run,
        confirmation,
        preserve_admins: Some(!reset.no_preserve_admins),
        reseed: reset.reseed,
    };
    follow(client.full_reset(request).await?, reset.dry_run, form).await
}

/// The same for a recipe.
pub(super) async fn run_recipe(
    client: &Client,
    target: String,
    recipe: &Recipe,
    confirmation: String,
    form: Form,
) -> Result<String, Failure> {
    let Some(name) = recipe.name.clone() else {
        let status = client.get_status(GetStatusRequest { target }).await?;
        return Ok(match form {
            Form::Table(paint) => print::recipes(&status.recipes, paint),
            Form::Json => super::pretty(&json::recipes(&status.recipes)),
        });
    };
    let request = RunRecipeRequest {
        target,
        request_id: recipe.terms.request_id(),
        plan_token: recipe.terms.plan_token(),
        validate_only: recipe.dry_run,
        recipe: name,
        confirmation,
    };
    follow(client.run_recipe(request).await?, recipe.dry_run, form).await
}

async fn follow(mut events: Events, dry_run: bool, form: Form) -> Result<String, Failure> {
    let mut teller = Teller::new(form, dry_run);
    let mut told = Ok(());
    while let Some(message) = events.next().await? {
        let text = teller.tell(message);
        // What cannot be printed is no reason to look away: how the operation
        // ends decides on the exit code.
        told = told.and_then(|()| put(&text));
    }
    told?;
    Ok(teller.finish())
}

impl Teller {
    fn new(form: Form, dry_run: bool) -> Self {
        Self {
            form,
            dry_run,
            steps: 0,
            titles: HashMap::new(),
            result: None,
        }
    }

    /// What to print of an event at once: its line of JSON, or for people what
    /// they want to know of it.
    fn tell(&mut self, event: Event) -> String {
        match self.form {
            Form::Json => format!("{}\n", json::event(&event)),
            Form::Table(paint) => {
                let mut page = Page::new(paint);
                self.show(event, &mut page);
                page.finish()
            }
        }
    }

    fn show(&mut self, event: Event, page: &mut Page) {
        match event.kind {
            Some(Kind::Started(started)) => self.begin(&started, page),
            Some(Kind::StepStarted(step)) => {
                self.titles.insert(step.step, step.title);
            }
            Some(Kind::StepFinished(step)) => self.step(step, page),
            Some(Kind::Committed(_)) => {
                page.line(Tone::Good, "✅ All changes committed successfully!");
            }
            // The result says the same.
            Some(Kind::EffectsFinished(_)) => {}
            Some(Kind::HookFinished(hook)) => {
                page.line(Tone::Faint, &format!("hook {} ended", hook.command));
            }
            Some(Kind::Finished(finished)) => self.result = finished.result,
            // Of a server that is newer than this client.
            None => {}
        }
    }

    fn begin(&mut self, started: &OperationStarted, page: &mut Page) {
        self.steps = started.steps.len();
        let steps = i64::try_from(self.steps).unwrap_or(i64::MAX);
        let steps = units::counted(steps, "step", "steps");
        page.line(
            Tone::Faint,
            &format!("Operation {}: {steps}", started.operation_id),
        );
    }

    /// Most tables of a test database are empty: their steps are not told.
    fn step(&mut self, step: StepFinished, page: &mut Page) {
        let title = self.titles.remove(&step.step).unwrap_or_default();
        if step.rows > 0 {
            let rows = units::counted(step.rows, "row", "rows");
            let took = step.duration.map(units::duration).unwrap_or_default();
            page.plain(&format!("  {title:<TITLE$} {rows:>14} {took:>10}"));
        }
        let last = usize::try_from(step.step).is_ok_and(|step| step == self.steps);
        if last && !self.dry_run {
            page.line(Tone::Faint, "💾 Committing changes to database…");
        }
    }

    /// The result for people. JSON has had it as the last event.
    fn finish(self) -> String {
        match self.form {
            Form::Json => String::new(),
            Form::Table(paint) => {
                let result = self.result.unwrap_or_default();
                let mut end = Page::new(paint);
                if result.success && !self.dry_run {
                    end.line(Tone::Good, "✅ Database reset completed successfully!");
                }
                format!("\n{}{}", print::reset(&result, paint), end.finish())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::page::Paint;
    use crate::proto::{Committed, Finished, StepStarted};

    fn events() -> Vec<Kind> {
        let steps = [("delete order_items", 1_234), ("delete orders", 0)];
        let mut events = vec![Kind::Started(OperationStarted {
            operation_id: "019abc".to_owned(),
            steps: steps.map(|(title, _)| title.to_owned()).to_vec(),
        })];
        for (step, (title, rows)) in (1..).zip(steps) {
            events.push(Kind::StepStarted(StepStarted {
                step,
                title: title.to_owned(),
            }));
            events.push(Kind::StepFinished(StepFinished {
                step,
                rows,
                duration: Some(prost_types::Duration {
                    seconds: 0,
                    nanos: 12_000_000,
                }),
            }));
        }
        events.push(Kind::Committed(Committed {}));
        events.push(Kind::Finished(Finished {
            result: Some(ResetResult {
                success: true,
                message: "the full reset changed 1234 rows".to_owned(),
                ..ResetResult::default()
            }),
        }));
        events
    }

    fn told(form: Form, dry_run: bool) -> (Vec<String>, String) {
        let mut teller = Teller::new(form, dry_run);
        let lines = (1..).zip(events()).map(|(number, event)| {
            teller.tell(Event {
                number,
                kind: Some(event),
            })
        });
        (lines.collect(), teller.finish())
    }

    #[test]
    fn people_see_the_steps_that_changed_something_and_the_commit() {
        let (lines, result) = told(Form::Table(Paint::Plain), false);
        let expected = "Operation 019abc: 2 steps\n  \
            delete order_items                               1,234 rows      12 ms\n\
            💾 Committing changes to database…\n✅ All changes committed successfully!\n";
        assert_eq!(lines.concat(), expected);
        assert!(result.contains("✅ the full reset changed 1234 rows\n"));
        assert!(result.ends_with("✅ Database reset completed successfully!\n"));
    }

    #[test]
    fn a_dry_run_commits_nothing() {
        let (lines, result) = told(Form::Table(Paint::Plain), true);
        assert!(!lines.concat().contains("Committing"));
        assert!(!result.contains("completed"));
    }

    #[test]
    fn a_program_gets_one_object_on_each_line_and_the_result_last() {
        let (lines, result) = told(Form::Json, false);
        assert_eq!(lines.len(), 7);
        assert_eq!(result, "");
        for (number, line) in (1..).zip(&lines) {
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["number"], number);
        }
        assert!(lines[6].contains(r#""finished":{"result":{"success""#));
    }
}
