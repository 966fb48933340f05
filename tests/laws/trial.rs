//! The laws themselves: one case, reset in every way, and what has to hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use resetd::{
    guard::Reason,
    operation::{Changes, Level, Mode},
    target::Error,
};

use crate::{
    bench::{Bench, NO_LIMIT, is_untouchable, root},
    case::{Case, Cell, Reset, Row},
    database::{Snapshot, expected},
    reference::{self, Done, Graph, Outcome, Problem},
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

type Held = Result<(), Broken>;

fn broken<T>(law: &'static str, message: impl Into<String>) -> Result<T, Broken> {
    Err(Broken {
        law,
        message: message.into(),
    })
}

fn holds(condition: bool, law: &'static str, message: impl FnOnce() -> String) -> Held {
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
    let graph = reference::graph(case);
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
        .map(|&id| (id, reference::at_level(case, graph, id)));
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

    /// The users that would go and must not.
    fn untouchable(&self) -> Option<String> {
        let case = self.case;
        if is_untouchable(case, root(case)) {
            return Some(case.root.clone());
        }
        let goes = reference::deleted(case, self.graph);
        let users = case.rows.iter().filter(|row| row.table == case.users);
        users
            .filter(|row| goes.contains(case.tag(row)))
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
            self.tally.add("the database cannot do it");
            return Ok(());
        }
        let dry = match dry {
            Ok(changes) => changes,
            Err(error) => return broken("what the rules allow is done", format!("{error:?}")),
        };
        self.failures_change_nothing(done).await?;
        self.the_budget_holds(&dry).await?;
        let real = match self.reset(Mode::Execute).await {
            Ok(changes) => changes,
            Err(error) if done.may_fail.is_some() => {
                self.tally.add("the database cannot do it");
                let law = "what the database refuses changes nothing";
                return self.nothing_changed(law).await.map_err(|b| Broken {
                    message: format!("{error}: {}", b.message),
                    ..b
                });
            }
            Err(error) => return broken("what the rules allow is done", format!("{error:?}")),
        };
        holds(dry == real, law, || format!("dry {dry:?}\nreal {real:?}"))?;
        let after = self.bench.database.snapshot().await;
        self.rows_are_right(done, &after).await?;
        self.counts_are_right(done, &after, &real)?;
        self.a_second_run_finds_nothing(&after).await
    }

    async fn rows_are_right(&mut self, done: &Done, after: &Snapshot) -> Held {
        let case = self.case;
        let law = "kept tables never change";
        for &table in &case.rules.keep {
            let name = &case.tables[table].name;
            let detached = |tag: &str| done.detached.contains_key(tag);
            let (was, is) = (
                untouched(&self.before[name], &detached),
                untouched(&after[name], &detached),
            );
            holds(was == is, law, || format!("{name}: {was:?} became {is:?}"))?;
        }
        let law = "all rows of the scope go, and no other's";
        let left = tags(case, after);
        let gone: BTreeSet<String> = tags(case, self.before).difference(&left).cloned().collect();
        holds(gone == done.deleted, law, || {
            let (more, fewer): (Vec<_>, Vec<_>) = (
                gone.difference(&done.deleted).collect(),
                done.deleted.difference(&gone).collect(),
            );
            format!("gone beyond the scope: {more:?}; still there: {fewer:?}")
        })?;
        let law = "a row that stays changes only where it is detached or restored";
        for row in case.rows.iter().filter(|row| left.contains(case.tag(row))) {
            let name = &case.tables[row.table].name;
            let is = after[name]
                .iter()
                .find(|cells| cells.last() == row.cells.last())
                .unwrap();
            changes_are_allowed(case, row, is, done).or_else(|message| broken(law, message))?;
        }
        let law = "no reference is left that leads nowhere";
        let dangling = self.bench.database.dangling().await;
        let rows = remaining(case, after);
        let same = case.dangling || dangling.is_empty();
        holds(same, law, || format!("{dangling:?}"))?;
        let law = "nothing that is left refers to what went";
        for (id, key) in case
            .keys
            .iter()
            .enumerate()
            .filter(|(id, _)| self.graph.fates.contains_key(id))
        {
            for went in case
                .rows
                .iter()
                .filter(|row| done.deleted.contains(case.tag(row)))
            {
                let refers = rows.iter().find(|row| case.refers(key, row, went));
                holds(refers.is_none(), law, || {
                    let fate = self.graph.fates[&id];
                    format!("{} ({fate:?}): {refers:?} to {went:?}", case.describe(key))
                })?;
            }
        }
        let law = "one run leaves one proof";
        let proofs = after["resetd_commit"].len() - self.before["resetd_commit"].len();
        holds(proofs == 1, law, || format!("{proofs} proofs"))
    }

    fn counts_are_right(&mut self, done: &Done, after: &Snapshot, changes: &Changes) -> Held {
        let case = self.case;
        let law = "the counts are what really happened, each row once";
        let mut counted: BTreeMap<String, [u64; 3]> = BTreeMap::new();
        for row in &case.rows {
            let (name, tag) = (&case.tables[row.table].name, case.tag(row));
            let place = match after[name]
                .iter()
                .find(|cells| cells.last() == row.cells.last())
            {
                None => 0,
                Some(_) if done.restored.contains_key(tag) => 1,
                Some(_) if done.detached.contains_key(tag) => 2,
                Some(_) => continue,
            };
            counted.entry(name.clone()).or_default()[place] += 1;
        }
        let told: BTreeMap<String, [u64; 3]> = changes
            .tables
            .iter()
            .map(|table| {
                (
                    table.table.clone(),
                    [table.deleted, table.restored, table.detached],
                )
            })
            .collect();
        holds(
            told == counted && told.len() == changes.tables.len(),
            law,
            || format!("told {told:?}, counted {counted:?} (deleted, restored, detached)"),
        )?;
        let law = "shared rows are counted";
        let told: BTreeMap<String, u64> = changes
            .shared
            .iter()
            .map(|shared| (shared.table.clone(), shared.rows))
            .collect();
        let counted: BTreeMap<String, u64> = done
            .shared
            .iter()
            .map(|(&table, &rows)| (case.tables[table].name.clone(), rows))
            .collect();
        holds(told == counted, law, || {
            format!("told {told:?}, counted {counted:?}")
        })?;
        self.tally.changes(case, done);
        let law = "every user in scope is named";
        let users = |row: &&Row| row.table == case.users && done.deleted.contains(case.tag(row));
        let gone = case.rows.iter().filter(users).count().max(1);
        holds(changes.user_count == gone as u64, law, || {
            format!(
                "{gone} users, but told {}: {:?}",
                changes.user_count, changes.users
            )
        })
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

/// The rows that nobody detached.
fn untouched<'a>(rows: &'a [Vec<Cell>], detached: &dyn Fn(&str) -> bool) -> Vec<&'a Vec<Cell>> {
    rows.iter()
        .filter(|cells| !detached(&cells.last().unwrap().text()))
        .collect()
}

fn tags(case: &Case, snapshot: &Snapshot) -> BTreeSet<String> {
    let tables = case.tables.iter().map(|table| &snapshot[&table.name]);
    tables
        .flatten()
        .map(|cells| cells.last().unwrap().text())
        .collect()
}

/// A snapshot's rows of the case's tables.
fn remaining(case: &Case, snapshot: &Snapshot) -> Vec<Row> {
    let tables = case.tables.iter().enumerate();
    tables
        .flat_map(|(table, declared)| {
            snapshot[&declared.name].iter().map(move |cells| Row {
                table,
                cells: cells.clone(),
            })
        })
        .collect()
}

fn changes_are_allowed(case: &Case, was: &Row, is: &[Cell], done: &Done) -> Result<(), String> {
    let tag = case.tag(was);
    let columns = &case.tables[was.table].columns;
    let computed = |id: usize| columns[id].generated.map_or(id, |(base, _)| base);
    for id in 0..columns.len() {
        let place = || format!("{} of {tag}", case.place(was.table, id));
        let detached = done
            .detached
            .get(tag)
            .and_then(|cells| cells.get(&computed(id)));
        let restored = done
            .restored
            .get(tag)
            .and_then(|cells| cells.get(&computed(id)));
        let store = |cell: &Cell| columns[id].store(cell);
        let right = match (detached, restored) {
            (Some(values), _) => values.contains(&is[id]),
            (None, Some(Reset::Now)) => is[id].text().starts_with("20"),
            (None, Some(Reset::Boolean(truth))) => {
                is[id] == store(&Cell::Integer(i64::from(*truth)))
            }
            (None, Some(Reset::Cell(cell))) => is[id] == store(cell),
            (None, None) => is[id] == was.cells[id],
        };
        if !right {
            return Err(format!(
                "{}: {:?} became {:?}; detached {detached:?}, restored {restored:?}",
                place(),
                was.cells[id],
                is[id],
            ));
        }
    }
    Ok(())
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
