//! The laws themselves: one case, reset in every way, and what has to hold.

use std::{collections::BTreeMap, path::Path};

use resetd::{
    guard::Reason,
    operation::{Changes, Level, Mode},
    target::Error,
};

use crate::{
    aftermath::Aftermath,
    bench::{Bench, NO_LIMIT, is_untouchable, root},
    case::{Case, Reset},
    database::{Snapshot, expected},
    fates::{self, Graph, Problem},
    reference::{self, Done, Outcome},
    script::quote,
    source::Source,
    tally::Tally,
};

/// A law that did not hold.
#[derive(Debug)]
pub struct Broken {
    pub law: &'static str,
    pub message: String,
}

/// How the tally calls a reset that SQLite refused although it was right.
pub const EXCUSED: &str = "the database cannot do it";

/// What a check comes to.
pub type Held = Result<(), Broken>;

pub fn broken<T>(law: &'static str, message: impl Into<String>) -> Result<T, Broken> {
    Err(Broken {
        law,
        message: message.into(),
    })
}

pub fn holds(condition: bool, law: &'static str, message: impl FnOnce() -> String) -> Held {
    if condition {
        Ok(())
    } else {
        broken(law, message())
    }
}

/// Runs a case through all laws.
pub async fn check(
    source: &mut Source,
    case: &Case,
    refused: &[(Case, Vec<Problem>)],
    folder: &Path,
    tally: &mut Tally,
) -> Held {
    let mut bench = match Bench::new(case, folder).await {
        Ok(bench) => bench,
        Err(message) => return broken("the case can be made", message),
    };
    let before = bench.database.snapshot().await;
    let made = expected(case, &case.rows);
    for (table, rows) in &made {
        holds(before[table] == *rows, "the case is stored as made", || {
            format!("{table}: {:?} instead of {rows:?}", before[table])
        })?;
    }
    for (case, problems) in refused {
        problems_are_told(&bench, case, problems, folder).await?;
    }
    let graph = fates::graph(case);
    plans_are_equal(&bench, case, &graph).await?;
    let outcome = reference::outcome(case, &graph);
    tally.outcome(case, &outcome);
    let mut trial = Trial {
        source,
        case,
        graph: &graph,
        bench: &mut bench,
        before: &before,
        tally,
    };
    trial.run(&outcome).await?;
    bench.close().await;
    Ok(())
}

/// A policy with problems is refused, with as many problems as there are and
/// with every ambiguous table named.
async fn problems_are_told(
    bench: &Bench,
    case: &Case,
    problems: &[Problem],
    folder: &Path,
) -> Held {
    let law = "a policy with problems is refused";
    let told: Vec<String> = match bench.bind(case, folder).await {
        Err(Error::Policy { problems, .. }) => problems.iter().map(ToString::to_string).collect(),
        other => return broken(law, format!("{problems:?}, but {other:?}")),
    };
    holds(told.len() == problems.len(), law, || {
        format!("{problems:?}, but told {told:?}")
    })?;
    for problem in problems {
        let names = |text: &&String| match problem {
            Problem::Ambiguous { table, ways } => {
                text.contains(&format!(
                    "owner of {} is ambiguous",
                    case.tables[*table].name
                )) && ways
                    .iter()
                    .all(|&way| text.contains(&case.describe(&case.keys[way])))
            }
            Problem::NotDetachable { name } => text.contains(name.as_str()),
            Problem::KeepsUsers => text.contains("keep"),
            Problem::Level { table } => text.contains(&case.tables[*table].name),
        };
        let count = told.iter().filter(names).count();
        holds(count > 0, law, || {
            format!("{problem:?} is not among {told:?}")
        })?;
    }
    Ok(())
}

/// The same input gives the same plan, and it follows every reference as the
/// rules say.
async fn plans_are_equal(bench: &Bench, case: &Case, graph: &Graph) -> Held {
    let law = "the same input gives the same plan";
    let (one, other) = match (bench.plan(case).await, bench.plan(case).await) {
        (Ok(one), Ok(other)) => (one, other),
        (Err(error), _) | (_, Err(error)) => return broken("there is a plan", error),
    };
    let (first, second) = (format!("{one:#?}"), format!("{other:#?}"));
    holds(first == second, law, || {
        format!("{first}\nand then\n{second}")
    })?;
    let law = "a reference is followed as the rules say";
    let mut planned: Vec<(String, String)> = one
        .edges()
        .iter()
        .map(|edge| {
            (
                one.schema().describe(edge.foreign_key),
                format!("{:?}", edge.choice.fate),
            )
        })
        .collect();
    let fates = graph
        .fates
        .keys()
        .map(|&id| (id, fates::at_level(case, graph, id)));
    let mut ruled: Vec<(String, String)> = fates
        .map(|(id, fate)| (case.describe(&case.keys[id]), format!("{fate:?}")))
        .collect();
    planned.sort();
    ruled.sort();
    if case.level == Level::UserCascade {
        return holds(planned == ruled, law, || {
            format!("{planned:?} instead of {ruled:?}")
        });
    }
    let odd: Vec<_> = planned
        .iter()
        .filter(|edge| !ruled.contains(edge))
        .collect();
    holds(odd.is_empty(), law, || {
        format!("{odd:?} are not among {ruled:?}")
    })
}

/// A case on its bench.
struct Trial<'a> {
    source: &'a mut Source,
    case: &'a Case,
    graph: &'a Graph,
    bench: &'a mut Bench,
    before: &'a Snapshot,
    tally: &'a mut Tally,
}

impl Trial<'_> {
    async fn run(&mut self, outcome: &Outcome) -> Held {
        if let Some(who) = self.untouchable() {
            return self.is_refused_for_users(&who).await;
        }
        match outcome {
            Outcome::Blocked(references) => self.is_blocked(references).await,
            Outcome::Broken(why) => self.fails(why).await,
            Outcome::Done(done) => self.succeeds(done).await,
        }
    }

    async fn reset(&mut self, mode: Mode) -> Result<Changes, Error> {
        self.bench.reset(self.case, mode, NO_LIMIT, false).await
    }

    async fn nothing_changed(&mut self, law: &'static str) -> Held {
        let after = self.bench.database.snapshot().await;
        holds(after == *self.before, law, || {
            difference(self.before, &after)
        })
    }

    /// A user who belongs to the scope, as the root or because a reference
    /// leads there, and must not.
    fn untouchable(&self) -> Option<String> {
        let case = self.case;
        if is_untouchable(case, root(case)) {
            return Some(case.root.clone());
        }
        let scope = reference::scope(case, self.graph);
        let users = case.rows.iter().filter(|row| row.table == case.users);
        users
            .filter(|row| scope.contains(case.tag(row)))
            .find(|row| is_untouchable(case, row))
            .map(|row| case.tag(row).to_owned())
    }

    async fn is_refused_for_users(&mut self, who: &str) -> Held {
        let law = "protected users and others' real users never go";
        for mode in [Mode::DryRun, Mode::Execute] {
            let result = self.reset(mode).await;
            let right = matches!(&result, Err(Error::Refused(refused))
                if [Reason::ProtectedUser, Reason::NotATestUser].contains(&refused.0[0].reason));
            holds(right, law, || {
                format!("user {who} must not go, but {result:?}")
            })?;
            self.nothing_changed(law).await?;
        }
        self.tally.add("refused for a user");
        Ok(())
    }

    async fn is_blocked(&mut self, references: &BTreeMap<String, u64>) -> Held {
        let law = "a blocked reset names the references and changes nothing";
        for mode in [Mode::DryRun, Mode::Execute] {
            let result = self.reset(mode).await;
            let Err(Error::Refused(refused)) = &result else {
                return broken(law, format!("{references:?} must block, but {result:?}"));
            };
            let mut named: BTreeMap<String, u64> = BTreeMap::new();
            for (reference, rows) in &refused.0[0].observed {
                *named.entry(reference.clone()).or_default() += rows.parse::<u64>().unwrap();
            }
            let reason = refused.0[0].reason;
            holds(
                reason == Reason::BlockedByReferences && named == *references,
                law,
                || format!("{references:?} must block, but {reason:?} {named:?}"),
            )?;
            self.nothing_changed(law).await?;
        }
        Ok(())
    }

    async fn fails(&mut self, why: &str) -> Held {
        let law = "what the database refuses changes nothing";
        if self.case.dangling {
            // SQLite's count of what is missing can be wrong then.
            return Ok(());
        }
        let dry = self.reset(Mode::DryRun).await;
        holds(is_violation(&dry), law, || {
            format!("{why}, but a dry run says {dry:?}")
        })?;
        let result = self.reset(Mode::Execute).await;
        if !is_violation(&result) {
            let after = self.bench.database.snapshot().await;
            let difference = difference(self.before, &after);
            return broken(law, format!("{why}, but {result:?}\n{difference}"));
        }
        self.nothing_changed(law).await
    }

    async fn succeeds(&mut self, done: &Done) -> Held {
        let law = "a dry run reports what the real run does and changes nothing";
        let dry = self.reset(Mode::DryRun).await;
        self.nothing_changed(law).await?;
        if let (Some(_), true) = (&done.may_fail, is_violation(&dry)) {
            self.tally.add(EXCUSED);
            return Ok(());
        }
        let dry = match dry {
            Ok(changes) => changes,
            Err(error) => return broken("what the rules allow is done", format!("{error:?}")),
        };
        self.failures_change_nothing(done).await?;
        self.the_budget_holds(&dry).await?;
        let dangling = self.bench.database.dangling().await;
        let real = match self.reset(Mode::Execute).await {
            Ok(changes) => changes,
            Err(error) => return broken(law, format!("dry {dry:?}\nreal {error:?}")),
        };
        holds(dry == real, law, || format!("dry {dry:?}\nreal {real:?}"))?;
        let after = self.bench.database.snapshot().await;
        let aftermath = Aftermath {
            case: self.case,
            graph: self.graph,
            done,
            before: self.before,
            after: &after,
        };
        aftermath.rows_are_right()?;
        aftermath.nothing_dangles(&dangling, &self.bench.database.dangling().await)?;
        aftermath.changes_are_right(&real)?;
        self.tally.changes(self.case, done);
        self.a_second_run_finds_nothing(&after).await
    }

    async fn a_second_run_finds_nothing(&mut self, after: &Snapshot) -> Held {
        let law = "a second run finds nothing";
        let result = self.reset(Mode::Execute).await;
        if self.case.level == Level::UserCascade {
            let missing = matches!(&result, Err(Error::UserNotFound { .. }));
            holds(missing, law, || format!("{result:?}"))?;
            let allowed = self
                .bench
                .reset(self.case, Mode::Execute, NO_LIMIT, true)
                .await;
            let empty = matches!(&allowed, Ok(changes) if changes.total_rows() == 0
                && changes.user_count == 0);
            return holds(empty, law, || format!("allowed to be missing: {allowed:?}"));
        }
        let rules = self.case.level_rules();
        let ages = rules.restore.iter().any(|(.., reset)| *reset == Reset::Now);
        let nothing = matches!(&result, Ok(changes) if ages || changes.total_rows() == 0);
        holds(nothing, law, || format!("{result:?}"))?;
        let again = self.bench.database.snapshot().await;
        let same = ages
            || self
                .case
                .tables
                .iter()
                .all(|table| again[&table.name] == after[&table.name]);
        holds(same, law, || difference(after, &again))
    }

    /// A trigger that stops the reset at one row, or keeps a row silently.
    async fn failures_change_nothing(&mut self, done: &Done) -> Held {
        let law = "a failure at any step changes nothing";
        let deleted = done.deleted.iter().map(|tag| (tag, "DELETE"));
        let updated = done
            .restored
            .keys()
            .chain(done.detached.keys())
            .map(|tag| (tag, "UPDATE"));
        let victims: Vec<(&String, &str)> = deleted.chain(updated).collect();
        if victims.is_empty() {
            return Ok(());
        }
        let (tag, event) = *self.source.pick(&victims);
        let raise = *self.source.pick(&[
            "ABORT, 'no'",
            "IGNORE",
            "ROLLBACK, 'no'",
            "FAIL, 'no'",
            "IGNORE",
        ]);
        let moment = match raise != "IGNORE" && self.source.chance(50) {
            true => "AFTER",
            false => "BEFORE",
        };
        let row = self
            .case
            .rows
            .iter()
            .find(|row| self.case.tag(row) == tag)
            .unwrap();
        let table = quote(&self.case.tables[row.table].name);
        let trigger = format!(
            "CREATE TRIGGER the_law {moment} {event} ON {table} WHEN OLD.tag = '{tag}' \
             BEGIN SELECT RAISE({raise}); END"
        );
        self.bench.database.run(&trigger).await;
        let result = self.reset(Mode::Execute).await;
        holds(is_violation(&result), law, || {
            format!("{trigger}: {result:?}")
        })?;
        self.nothing_changed(law).await?;
        self.bench.database.run("DROP TRIGGER the_law").await;
        self.tally.add(if raise == "IGNORE" {
            "kept silently by a trigger"
        } else {
            "stopped by a trigger"
        });
        Ok(())
    }

    async fn the_budget_holds(&mut self, dry: &Changes) -> Held {
        let law = "one row more than allowed is refused";
        let rows = dry.total_rows();
        if rows == 0 {
            return Ok(());
        }
        let result = self
            .bench
            .reset(self.case, Mode::Execute, rows - 1, false)
            .await;
        let refused = matches!(&result, Err(Error::Refused(refused))
            if refused.0[0].reason == Reason::BlastRadiusExceeded);
        holds(refused, law, || format!("{rows} rows, but {result:?}"))?;
        self.nothing_changed(law).await?;
        let result = self.bench.reset(self.case, Mode::DryRun, rows, false).await;
        holds(result.is_ok(), law, || {
            format!("{rows} rows, as many as allowed, but {result:?}")
        })
    }
}

fn is_violation(result: &Result<Changes, Error>) -> bool {
    matches!(result, Err(Error::Violation { .. }))
}

/// What differs between two snapshots.
fn difference(before: &Snapshot, after: &Snapshot) -> String {
    let mut lines = Vec::new();
    for (table, rows) in before {
        let now = after.get(table).map_or(&[][..], Vec::as_slice);
        let gone = rows
            .iter()
            .filter(|row| !now.contains(row))
            .map(|row| format!("- {table} {row:?}"));
        let new = now
            .iter()
            .filter(|row| !rows.contains(row))
            .map(|row| format!("+ {table} {row:?}"));
        lines.extend(gone.chain(new));
    }
    lines.join("\n")
}
