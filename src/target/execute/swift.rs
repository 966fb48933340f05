//! Few rows in few round trips: the transaction begins with its lock, one
//! prepared statement reads again what the guards saw, and finds the user
//! where it is one, one does the whole reset, and the proof and the commit
//! end it. Where a database changes one table in a statement, that one is a
//! text of several.
//!
//! Whatever does not fit is given up before anything is kept, and done step by
//! step in a transaction of its own: so this way decides nothing and explains
//! nothing that the other one would decide or explain differently.

use std::{collections::BTreeSet, time::Instant};

use super::{
    Execution, NAMED_USERS, Start, Strategy,
    find::{Extent, blocked},
    recheck::compare_all,
    roots::{exactly, passed_over},
    texts::about,
};
use crate::{
    dialect::{Eligible, Part, Renderer, Row, Seed, Tally, reachable},
    failpoint,
    guard::{self, UserFacts},
    operation::{Changes, Progress, User},
    plan::{Check, SetId, Step},
    target::{Error, answers::Done, armed, field},
};

pub(super) const STEP: &str = "resetting everything in one statement";

/// So many of a hundred users are few: beyond, sets in tables that the planner
/// knows the size of are quicker than arrays of keys (measured with all keys
/// indexed: 322 ms against 597 for 1 %, 2 280 against 2 334 for 10 %).
const FEW_PERCENT: u64 = 5;
/// And so many are few whatever the others.
const FEW_USERS: u64 = 100;

/// What was done, and what proves it.
pub(super) struct Proved {
    pub(super) changes: Changes,
    /// What goes before the commit.
    pub(super) proof: String,
}

/// What one statement has counted.
struct Counted {
    /// Rows deleted, by set.
    deleted: Vec<(SetId, u64)>,
    /// Rows changed, by the place of the step.
    changed: Vec<(usize, u64)>,
    forbidden: Vec<(Check, u64)>,
    /// Rows shared, by the place of the share.
    shared: Vec<(usize, u64)>,
    /// Users that were taken along and may not go.
    ineligible: u64,
    /// Users that were named and may not go.
    passed_over: u64,
    /// The first users in scope.
    users: Vec<User>,
}

impl Execution<'_> {
    /// Does everything but the commit, after what was looked at as it began;
    /// nothing when this is no case for it.
    pub(super) async fn work_swiftly(&mut self, seen: &[Row]) -> Result<Option<Proved>, Error> {
        failpoint::reach("begun").await;
        compare_all(seen, self.cleared, self.plan.schema().fingerprint())?;
        failpoint::reach("rechecked").await;
        match &self.request.start {
            Start::User { user, rule, .. } => {
                let mut found = exactly(user, &armed::of_kind(seen, "root"));
                let (Some(found), true) = (found.pop(), found.is_empty()) else {
                    return Ok(None);
                };
                rule.check(&found)?;
                self.take(&Seed::Key(&found.id), Some(&found)).await
            }
            Start::TestUsers(eligible) => {
                // Those that are listed are counted as they are found.
                if self.strategy != Strategy::Lists {
                    self.extent = self.extent_of(eligible).await?;
                }
                match self.extent {
                    Extent::Unknown => self.take(&Seed::TestUsers(eligible), None).await,
                    Extent::Many => Ok(None),
                }
            }
            Start::Marked { session, eligible } => {
                let session = session.as_deref();
                self.take(&Seed::Marked { session, eligible }, None).await
            }
            Start::Orphans | Start::Recipe { .. } | Start::Everything { .. } => Ok(None),
        }
    }

    /// Whether more than a few of the users are in scope.
    pub(super) async fn extent_of(&mut self, eligible: &Eligible) -> Result<Extent, Error> {
        let question = self.renderer().share_of_users(eligible);
        let answer = self.transaction.query("counting users", &question).await?;
        let row = answer.into_iter().next().unwrap_or_default();
        let count = |place| field(&row, place).parse::<u64>().unwrap_or(u64::MAX);
        Ok(match is_few(count(1), count(0)) {
            true => Extent::Unknown,
            false => Extent::Many,
        })
    }

    /// Takes a scope in one statement, and writes down what goes with it.
    async fn take(
        &mut self,
        seed: &Seed<'_>,
        one: Option<&UserFacts>,
    ) -> Result<Option<Proved>, Error> {
        let begun = Instant::now();
        failpoint::reach("found").await;
        failpoint::reach("step").await;
        let Some(counted) = self.take_all(seed).await? else {
            return Ok(None);
        };
        self.judge(&counted)?;
        self.shares.extend(counted.shared.iter().copied());
        failpoint::reach("steps_taken").await;
        let users = self.users_set().map_or(0, |set| self.sizes[set.index()]);
        let mut changes = Changes {
            user_count: users,
            users: counted.users.clone(),
            shared: self.shared(),
            ..Changes::default()
        };
        changes.warnings.extend(passed_over(counted.passed_over));
        self.warn_of_nobody(&mut changes);
        self.report(&counted, begun);
        changes.tables = self.tables();
        self.cleared.limits().check(changes.total_rows())?;
        if let Some(user) = one {
            changes.users = vec![User {
                id: user.id.clone(),
                email: user.email.clone().unwrap_or_default(),
            }];
            self.write_effects_of(user, &mut changes).await?;
        } else {
            self.write_effects(&mut changes).await?;
        }
        failpoint::reach("effects_written").await;
        let proof = self.seal(&changes).await?;
        Ok(Some(Proved { changes, proof }))
    }

    /// Finds and changes everything; nothing when the numbers do not agree,
    /// or something refuses.
    async fn take_all(&mut self, seed: &Seed<'_>) -> Result<Option<Counted>, Error> {
        self.make_readers(seed).await?;
        let told = match self.strategy {
            Strategy::Script => self.run_script(seed).await,
            Strategy::Lists => self.run_lists(seed).await,
            _ => self.run_chain(seed).await,
        };
        let (tallies, row) = match told {
            Ok(Some(told)) => told,
            Ok(None) => return Ok(None),
            Err(error) if is_for_steps(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(counted) = self.understood(&tallies, &row) else {
            return Ok(None);
        };
        let users = self.users_set().map(|set| self.sizes[set.index()]);
        let is_whole = !matches!(seed, Seed::Key(_)) || users == Some(1);
        Ok(is_whole.then_some(counted))
    }

    /// Does everything in one statement, and gives what it counted.
    async fn run_chain(&mut self, seed: &Seed<'_>) -> Result<Option<(Vec<Tally>, Row)>, Error> {
        let (dialect, plan) = (self.transaction.dialect, self.plan);
        let chain = self.texts.chains.text(plan, seed, || {
            Renderer::chained(dialect, plan, &reachable(plan)).chain(seed, NAMED_USERS)
        });
        let Some(chain) = chain else {
            return Ok(None);
        };
        let statement = about(&chain.statement, seed);
        let rows = self.transaction.ask(STEP, &statement).await?;
        let row = rows.into_iter().next().unwrap_or_default();
        Ok(Some((chain.tallies.clone(), row)))
    }

    /// The same in one text of several statements.
    async fn run_script(&mut self, seed: &Seed<'_>) -> Result<Option<(Vec<Tally>, Row)>, Error> {
        let (dialect, plan) = (self.transaction.dialect, self.plan);
        let script = self.texts.scripts.text(plan, seed, || {
            Renderer::scripted(dialect, plan, &reachable(plan)).script(seed, NAMED_USERS)
        });
        let Some(script) = script else {
            return Ok(None);
        };
        self.transaction.keep_tables(STEP, &script.tables).await?;
        let statement = about(&script.statement, seed);
        let done = self.transaction.script(STEP, &statement).await?;
        Ok(tallied(&script.parts, done))
    }

    /// What reads markers is there before the statement that uses it.
    async fn make_readers(&mut self, seed: &Seed<'_>) -> Result<(), Error> {
        if !matches!(seed, Seed::Marked { .. }) {
            return Ok(());
        }
        let readers: BTreeSet<String> = self
            .plan
            .sets()
            .filter(|(_, set)| set.is_root)
            .filter_map(|(id, _)| self.renderer().reader(id))
            .map(|reader| reader.sql)
            .collect();
        for reader in readers {
            self.transaction.batch_during(STEP, &reader).await?;
        }
        Ok(())
    }

    fn understood(&mut self, tallies: &[Tally], row: &Row) -> Option<Counted> {
        let mut counted = Counted {
            deleted: Vec::new(),
            changed: Vec::new(),
            forbidden: Vec::new(),
            shared: Vec::new(),
            ineligible: 0,
            passed_over: 0,
            users: Vec::new(),
        };
        let mut found = vec![None; self.sizes.len()];
        for (place, tally) in tallies.iter().enumerate() {
            if *tally == Tally::Users {
                counted.users = named(field(row, place))?;
                continue;
            }
            let rows: u64 = field(row, place).parse().ok()?;
            match *tally {
                Tally::Found(set) => found[set.index()] = Some(rows),
                Tally::Deleted(set) => counted.deleted.push((set, rows)),
                Tally::Changed(step) => counted.changed.push((step, rows)),
                Tally::Forbidden(check) => {
                    counted.forbidden.push((self.plan.checks()[check], rows));
                }
                Tally::Shared(share) => counted.shared.push((share, rows)),
                Tally::Ineligible => counted.ineligible = rows,
                Tally::PassedOver => counted.passed_over = rows,
                Tally::Users => {}
            }
        }
        // A row that was found and not deleted was kept by a rule, or changed
        // by another transaction meanwhile.
        let agree = |&(set, rows): &(SetId, u64)| {
            let expected = found[set.index()];
            expected.is_none_or(|expected| expected == rows)
        };
        if !counted.deleted.iter().all(agree) {
            return None;
        }
        for (size, found) in self.sizes.iter_mut().zip(&found) {
            *size = found.unwrap_or(0);
        }
        for &(set, rows) in &counted.deleted {
            self.sizes[set.index()] = rows;
        }
        Some(counted)
    }

    /// What stands in the way, in the order in which it is looked for step by
    /// step.
    fn judge(&self, counted: &Counted) -> Result<(), Error> {
        if counted.ineligible > 0 {
            return Err(guard::taken_along(counted.ineligible).into());
        }
        let forbidden = counted.forbidden.iter().filter(|(_, rows)| *rows > 0);
        let blocking: Vec<(String, u64)> = forbidden
            .map(|(check, rows)| (self.plan.schema().describe(check.foreign_key), *rows))
            .collect();
        if !blocking.is_empty() {
            return Err(blocked(blocking).into());
        }
        let doomed = counted.deleted.iter().map(|(_, rows)| rows).sum();
        Ok(self.cleared.limits().check(doomed)?)
    }

    /// Counts what was changed by table, and tells it step by step.
    fn report(&mut self, counted: &Counted, begun: Instant) {
        let took = begun.elapsed();
        for (place, step) in self.plan.steps().iter().enumerate() {
            let changed = counted.changed.iter().find(|(step, _)| *step == place);
            let changed = changed.map_or(0, |(_, rows)| *rows);
            let rows = match step {
                Step::Restore(step) => {
                    self.count(self.plan.set(step.set).table).restored += changed;
                    changed
                }
                Step::Detach(step) => {
                    self.count(step.table).detached += changed;
                    changed
                }
                Step::Delete(step) => {
                    for &set in &step.sets {
                        let rows = self.sizes[set.index()];
                        self.count(self.plan.set(set).table).deleted += rows;
                    }
                    step.sets.iter().map(|set| self.sizes[set.index()]).sum()
                }
                Step::Release(_) | Step::Wipe(_) => 0,
            };
            (self.progress)(Progress::StepStarted {
                step: place + 1,
                title: self.plan.title(step),
            });
            (self.progress)(Progress::StepFinished {
                step: place + 1,
                rows,
                took,
            });
        }
    }
}

/// What the parts of a script have told; nothing when some did not.
pub(super) fn tallied(parts: &[Part], done: Vec<Done>) -> Option<(Vec<Tally>, Row)> {
    if done.len() != parts.len() {
        return None;
    }
    let (mut tallies, mut row) = (Vec::new(), Row::new());
    for (part, done) in parts.iter().zip(done) {
        match part {
            Part::Silent => {}
            Part::Changes(tally) => {
                tallies.push(*tally);
                row.push(Some(done.changed.to_string()));
            }
            Part::Answers(told) => {
                tallies.extend(told);
                row.extend(done.rows.into_iter().flatten());
            }
        }
    }
    Some((tallies, row))
}

/// The users that a list of keys and e-mails names.
fn named(list: &str) -> Option<Vec<User>> {
    let list: Vec<(String, Option<String>)> = serde_json::from_str(list).ok()?;
    let users = list.into_iter().map(|(id, email)| User {
        id,
        email: email.unwrap_or_default(),
    });
    Some(users.collect())
}

/// True when so many users of all are few enough for one statement.
pub(super) fn is_few(users: u64, all: u64) -> bool {
    let few = FEW_USERS.max(all / 100 * FEW_PERCENT);
    (1..=few).contains(&users)
}

/// True for what the single steps explain better than all of them together,
/// or can do all the same.
pub(super) fn is_for_steps(error: &Error) -> bool {
    matches!(
        error,
        Error::Violation { .. } | Error::Permission { .. } | Error::Database { .. }
    )
}
