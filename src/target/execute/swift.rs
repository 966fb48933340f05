//! One user in few round trips: the transaction begins with its lock, one
//! prepared statement reads again what the guards saw and finds the user, one
//! does the whole reset, and the proof and the commit end it.
//!
//! Whatever does not fit is given up before anything is kept, and done step by
//! step in a transaction of its own: so this way decides nothing and explains
//! nothing that the other one would decide or explain differently.

use std::time::Instant;

use super::{Execution, Start, find::blocked};
use crate::{
    dialect::{Renderer, Row, Seed, Statement, Tally, reachable},
    failpoint,
    guard::{Seen, UserFacts},
    operation::{Changes, Progress, SharedRows, User},
    plan::{Check, SetId, Step},
    target::{Error, armed, field},
};

const STEP: &str = "resetting the user";

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
}

impl Execution<'_> {
    /// Does everything but the commit; nothing when this is no case for it.
    pub(super) async fn work_swiftly(&mut self) -> Result<Option<Proved>, Error> {
        let Start::User { user, rule, .. } = &self.request.start else {
            return Ok(None);
        };
        let Some(root) = self.root(user) else {
            return Ok(None);
        };
        let Some(found) = self.look(&root, user).await? else {
            return Ok(None);
        };
        rule.check(&found)?;
        let begun = Instant::now();
        failpoint::reach("step").await;
        let Some(counted) = self.take_all(&found).await? else {
            return Ok(None);
        };
        self.judge(&counted)?;
        let mut changes = Changes {
            user_count: 1,
            users: vec![User {
                id: found.id.clone(),
                email: found.email.clone().unwrap_or_default(),
            }],
            shared: self.shared_rows(&counted),
            ..Changes::default()
        };
        self.report(&counted, begun);
        changes.tables = self.tables();
        self.cleared.limits().check(changes.total_rows())?;
        self.write_effects_of(&found, &mut changes).await?;
        let proof = self.proof(&changes).await?;
        Ok(Some(Proved { changes, proof }))
    }

    /// The proof of the commit, as text that goes before it in the same round
    /// trip; where a dialect has no such text, it is written at once.
    async fn proof(&mut self, changes: &Changes) -> Result<String, Error> {
        let dialect = self.transaction.dialect;
        let (operation, started) = (self.request.operation, self.request.started);
        if failpoint::skips("proof") {
            return Ok(String::new());
        }
        match armed::inline_proof(dialect, operation, started, &super::result(changes)?) {
            Some(proof) => Ok(proof),
            None => self.prove(changes).await.map(|()| String::new()),
        }
    }

    /// Reads again what the guards saw, and the user; nothing when no user is
    /// found, or several are.
    async fn look(
        &mut self,
        root: &Statement,
        user: &crate::operation::UserSelector,
    ) -> Result<Option<UserFacts>, Error> {
        let dialect = self.transaction.dialect;
        let question = armed::everything(dialect, root);
        let rows = match self.transaction.ask("looking the user up", &question).await {
            Ok(rows) => rows,
            // Most likely the schema is another one; the other way tells.
            Err(error) if is_for_steps(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let (seen, fingerprint, users) = armed::understand(&rows)?;
        self.compare(&seen, &fingerprint)?;
        let mut found = super::exactly(user, &users);
        Ok(found.pop().filter(|_| found.is_empty()))
    }

    fn compare(&self, seen: &Seen, fingerprint: &str) -> Result<(), Error> {
        super::compare(seen, self.cleared.seen())?;
        match fingerprint == self.plan.schema().fingerprint() {
            true => Ok(()),
            false => Err(Error::Changed("the schema")),
        }
    }

    /// Finds and changes everything; nothing when the numbers do not agree,
    /// or something refuses.
    async fn take_all(&mut self, found: &UserFacts) -> Result<Option<Counted>, Error> {
        let reachable = reachable(self.plan);
        let renderer = Renderer::chained(self.transaction.dialect, self.plan, &reachable);
        let Some(chain) = renderer.chain(&Seed::Key(&found.id)) else {
            return Ok(None);
        };
        let row = match self.transaction.ask(STEP, &chain.statement).await {
            Ok(rows) => rows.into_iter().next().unwrap_or_default(),
            Err(error) if is_for_steps(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(self.understood(&chain.tallies, &row))
    }

    fn understood(&mut self, tallies: &[Tally], row: &Row) -> Option<Counted> {
        let mut counted = Counted {
            deleted: Vec::new(),
            changed: Vec::new(),
            forbidden: Vec::new(),
            shared: Vec::new(),
        };
        let mut found = vec![None; self.sizes.len()];
        for (place, tally) in tallies.iter().enumerate() {
            let rows: u64 = field(row, place).parse().ok()?;
            match *tally {
                Tally::Found(set) => found[set.index()] = Some(rows),
                Tally::Deleted(set) => counted.deleted.push((set, rows)),
                Tally::Changed(step) => counted.changed.push((step, rows)),
                Tally::Forbidden(check) => {
                    counted.forbidden.push((self.plan.checks()[check], rows));
                }
                Tally::Shared(share) => counted.shared.push((share, rows)),
            }
        }
        counted.shared.sort_unstable();
        // A row that was found and not deleted was kept by a rule, or changed
        // by another transaction meanwhile.
        let agree = |&(set, rows): &(SetId, u64)| {
            let expected = found[set.index()];
            expected.is_none_or(|expected| expected == rows)
        };
        if !counted.deleted.iter().all(agree) {
            return None;
        }
        for &(set, rows) in &counted.deleted {
            self.sizes[set.index()] = rows;
        }
        let users = self.users_set()?;
        (found[users.index()] == Some(1)).then_some(counted)
    }

    /// What stands in the way, in the order in which it is looked for step by
    /// step.
    fn judge(&self, counted: &Counted) -> Result<(), Error> {
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

    fn shared_rows(&self, counted: &Counted) -> Vec<SharedRows> {
        let shared = counted.shared.iter().filter(|(_, rows)| *rows > 0);
        shared
            .map(|&(share, rows)| {
                let share = &self.plan.shares()[share];
                let table = self.plan.schema().table(self.plan.set(share.set).table);
                SharedRows {
                    table: table.name.to_string(),
                    rows,
                }
            })
            .collect()
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

/// True for what the single steps explain better than all of them together,
/// or can do all the same.
fn is_for_steps(error: &Error) -> bool {
    matches!(
        error,
        Error::Violation { .. } | Error::Permission { .. } | Error::Database { .. }
    )
}
