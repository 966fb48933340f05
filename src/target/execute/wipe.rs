//! Everything in few round trips: which tables have rows is asked once, the big
//! ones are truncated together, and all others are emptied in one go.
//!
//! It serves where no row is kept and no trigger or rule could keep or bring
//! back one; everything else is wiped step by step. Where a database lets
//! anybody begin without checks, and nothing that stays could refer to what
//! goes, it checks nothing, and that all is gone is looked at instead.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::{
    Execution, Request, Start, Strategy,
    cost::CHECKED_KEY_US,
    sequences::{Left, RESTARTING},
};
use crate::{
    dialect::{Dialect, Row, Statement},
    operation::Progress,
    plan::{Plan, SetId, Step},
    schema::{Origin, TableId},
    target::{Error, connection::Checks, field},
};

const STEP: &str = "deleting everything";
const SETTLING: &str = "the final checks";

/// What a small row takes on disk; a table of so many bytes has as many, or
/// fewer.
const ROW_BYTES: f64 = 50.0;
/// Deleting a row takes so many milliseconds (measured: 0.8 to 1.06 µs), and
/// more for each key that refers to its table.
const DELETED_ROW_MS: f64 = 0.000_8;
/// Truncating a table takes so many milliseconds (measured: 1.2 to 2.2).
const TRUNCATED_TABLE_MS: f64 = 2.0;
/// Checks that take less are made, in milliseconds: to switch them off makes
/// the connection plan its statements again, and takes four round trips.
const CHECKED_MS: f64 = 10.0;

/// None, where everything goes that refers to anything, nothing that the
/// application has could tell the difference, and the database lets anybody
/// begin without.
pub(super) fn checks_needed(dialect: &dyn Dialect, plan: &Plan, request: &Request) -> Checks {
    let can_be_left = matches!(request.start, Start::Everything { .. })
        && dialect.begins_unchecked()
        && request.besides.sowing.files.is_empty()
        && plan.steps().iter().all(|step| is_plain(plan, step));
    match can_be_left && is_closed(plan) {
        true => Checks::SwitchedOff,
        false => Checks::Made,
    }
}

/// True when every table that refers to one that is wiped is wiped as well.
fn is_closed(plan: &Plan) -> bool {
    let wiped: BTreeSet<TableId> = wiped(plan).collect();
    let mut keys = plan.schema().foreign_keys().map(|(_, key)| key);
    keys.all(|key| !wiped.contains(&key.parent) || wiped.contains(&key.child))
}

/// True for what empties tables in which nothing of the application's own
/// happens.
fn is_plain(plan: &Plan, step: &Step) -> bool {
    match step {
        Step::Wipe(step) => step.tables.iter().all(|&(table, _)| {
            let table = plan.schema().table(table);
            !table.has_triggers && !table.has_heirs
        }),
        Step::Restore(_) | Step::Detach(_) | Step::Delete(_) | Step::Release(_) => false,
    }
}

impl Execution<'_> {
    /// True when everything can be wiped at once.
    pub(super) fn wipes_at_once(&self) -> bool {
        let fits = |step: &Step| match step {
            Step::Wipe(step) => !step.cyclic || self.takes_cycles(),
            Step::Restore(_) | Step::Detach(_) | Step::Delete(_) | Step::Release(_) => false,
        };
        let mut steps = self.plan.steps().iter();
        self.around.is_some()
            && !self.keeps_rows()
            && steps.all(|step| is_plain(self.plan, step) && fits(step))
    }

    /// True when nothing that stays refers to what goes, as far as anybody
    /// sees.
    pub(super) fn needs_no_checks(&self) -> bool {
        self.wipes_at_once() && self.around.as_ref().is_some_and(|around| around.sees_all)
    }

    /// True when rows that refer to one another can go with the others.
    fn takes_cycles(&self) -> bool {
        self.checks == Checks::SwitchedOff || self.transaction.dialect.deletes_together()
    }

    /// True when some rows of the tables that are wiped stay.
    fn keeps_rows(&self) -> bool {
        let mut kept = self.plan.steps().iter().flat_map(|step| match step {
            Step::Wipe(step) => step.tables.as_slice(),
            Step::Restore(_) | Step::Detach(_) | Step::Delete(_) | Step::Release(_) => &[],
        });
        kept.any(|(_, kept)| kept.is_some_and(|set| self.sizes[set.index()] > 0))
    }

    /// Wipes everything, and tells of each step that had something to do.
    pub(super) async fn wipe_at_once(&mut self) -> Result<(), Error> {
        let begun = Instant::now();
        let around = self.around.take().ok_or(Error::Changed("the schema"))?;
        let filled = around.filled;
        let mut restarts = match self.request.besides.sowing.files.is_empty() {
            true => {
                let sequences = match around.sequences {
                    Some(sequences) => sequences,
                    None => self.learn_sequences().await?,
                };
                self.restarts(sequences, Left::Nothing).await?
            }
            // What is sown takes numbers first.
            false => Vec::new(),
        };
        if self.transaction.dialect.restarts_after_commit() {
            self.restarts = std::mem::take(&mut restarts);
        }
        if self.checks == Checks::SwitchedOff {
            self.strategy = Strategy::Unchecked;
        }
        let checks = self.checks(&filled).await?;
        let truncated = self.worth_truncating(&filled, checks);
        let mut rows = BTreeMap::new();
        if !truncated.is_empty() && self.may_truncate(&truncated).await? {
            rows = self.truncate(&truncated).await?;
        }
        let others = filled.keys().filter(|table| !rows.contains_key(*table));
        let others: BTreeSet<TableId> = others.copied().collect();
        rows.extend(self.delete_at_once(&others, restarts, checks).await?);
        for (&table, &rows) in &rows {
            self.count(table).deleted += rows;
        }
        let took = begun.elapsed();
        for (number, step) in (1..).zip(self.plan.steps()) {
            let Step::Wipe(wipe) = step else { continue };
            let of_step = wipe.tables.iter().filter_map(|(table, _)| rows.get(table));
            let rows: u64 = of_step.sum();
            // Of hundreds of steps mostly a few have found anything.
            if rows == 0 {
                continue;
            }
            (self.progress)(Progress::StepStarted {
                step: number,
                title: self.plan.title(step),
            });
            (self.progress)(Progress::StepFinished {
                step: number,
                rows,
                took,
            });
        }
        Ok(())
    }

    /// These tables, and all that can refer to them.
    fn with_referring(&self, tables: &BTreeSet<TableId>) -> Vec<(TableId, Option<SetId>)> {
        let keys = self.plan.schema().foreign_keys();
        let referring = keys.filter(|(_, key)| tables.contains(&key.parent));
        let mut all = tables.clone();
        all.extend(referring.map(|(_, key)| key.child));
        all.into_iter().map(|table| (table, None)).collect()
    }

    /// Whoever adds a row while nothing is checked may have added one that
    /// refers to one that is gone.
    async fn refuse_left(
        &mut self,
        tables: &[(TableId, Option<SetId>)],
        left: &[Row],
    ) -> Result<(), Error> {
        let place = left.first().and_then(|row| field(row, 0).parse().ok());
        let Some(&(table, _)) = place.and_then(|place: usize| tables.get(place)) else {
            return Ok(());
        };
        self.verify_references(STEP, tables).await?;
        self.gone(STEP, table, 1)
    }

    /// The tables that are wiped, in the order of the steps.
    pub(super) fn wiped(&self) -> impl Iterator<Item = TableId> {
        wiped(self.plan)
    }

    /// Switches the checks off where they would take long, and where that may
    /// be done.
    async fn checks(&mut self, filled: &BTreeMap<TableId, f64>) -> Result<Checks, Error> {
        let keys = self.keys();
        let parents = keys.iter().filter_map(|(parent, _)| filled.get(parent));
        let rows = parents.sum::<f64>() / ROW_BYTES;
        let going: Vec<TableId> = filled.keys().copied().collect();
        let is_long = rows * CHECKED_KEY_US * 1e-3 > CHECKED_MS;
        match is_long && self.switch_off_for(&going).await? {
            true => Ok(Checks::SwitchedOff),
            false => Ok(Checks::Made),
        }
    }

    /// The two tables of each foreign key: that which is referred to, and that
    /// which refers.
    fn keys(&self) -> Vec<(TableId, TableId)> {
        let keys = self.plan.schema().foreign_keys();
        keys.filter(|(_, key)| key.origin == Origin::Catalogue)
            .map(|(_, key)| (key.parent, key.child))
            .collect()
    }

    /// The tables that are sooner truncated than deleted from, together with
    /// all that refer to them, which have to be truncated in the same breath.
    fn worth_truncating(
        &self,
        filled: &BTreeMap<TableId, f64>,
        checks: Checks,
    ) -> BTreeSet<TableId> {
        let keys = self.keys();
        let cost = |table: &TableId| {
            let rows = filled.get(table).copied().unwrap_or(0.0) / ROW_BYTES;
            let mut incoming = 0.0;
            if checks == Checks::Made {
                for _ in keys.iter().filter(|(parent, _)| parent == table) {
                    incoming += 1.0;
                }
            }
            rows * (DELETED_ROW_MS + CHECKED_KEY_US * 1e-3 * incoming)
        };
        let changed: BTreeSet<TableId> = self.plan.changed_tables().into_iter().collect();
        let mut chosen: BTreeSet<TableId> = BTreeSet::new();
        let mut by_size: Vec<TableId> = filled.keys().copied().collect();
        by_size.sort_by(|one, other| cost(other).total_cmp(&cost(one)));
        for table in by_size {
            let mut group = BTreeSet::from([table]);
            let mut frontier = vec![table];
            while let Some(parent) = frontier.pop() {
                for &(_, child) in keys.iter().filter(|(from, _)| *from == parent) {
                    if group.insert(child) {
                        frontier.push(child);
                    }
                }
            }
            let more: Vec<&TableId> = group.difference(&chosen).collect();
            let deleting: f64 = more.iter().map(|table| cost(table)).sum();
            let mut truncating = 0.0;
            for _ in &more {
                truncating += TRUNCATED_TABLE_MS;
            }
            if deleting > truncating && group.is_subset(&changed) {
                chosen.extend(group);
            }
        }
        chosen
    }

    fn names<'t>(&self, tables: impl Iterator<Item = &'t TableId>) -> Vec<String> {
        names(self.transaction.dialect, self.plan, tables.copied())
    }

    async fn may_truncate(&mut self, tables: &BTreeSet<TableId>) -> Result<bool, Error> {
        let names = self.names(tables.iter());
        let Some(question) = self.transaction.dialect.may_truncate(&names) else {
            return Ok(false);
        };
        let question = Statement::plain(question);
        let answer = self.transaction.query(STEP, &question).await?;
        Ok(answer.first().is_some_and(|row| field(row, 0) == "1"))
    }

    /// Counts tables and truncates them, while nobody else reads or writes
    /// them. Nothing is done where somebody does, or where something that the
    /// plan does not know of refers to them.
    async fn truncate(
        &mut self,
        tables: &BTreeSet<TableId>,
    ) -> Result<BTreeMap<TableId, u64>, Error> {
        let names = self.names(tables.iter());
        // Several processes share the parts of a union (60 tables of 50 thousand
        // rows take 123 ms on two cores, and 184 as one row of subqueries).
        let counts = names.iter().enumerate().map(|(place, name)| {
            format!("SELECT CAST({place} AS TEXT), CAST(count(*) AS TEXT) FROM {name}")
        });
        let counts: Vec<String> = counts.collect();
        let counts = Statement::plain(counts.join(" UNION ALL "));
        let names = names.join(", ");
        let lock = format!("LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE NOWAIT");
        if !self.attempt(STEP, &lock).await? {
            return Ok(BTreeMap::new());
        }
        let truncate = format!("TRUNCATE {names}");
        let done = match self.transaction.query(STEP, &counts).await {
            Ok(rows) => self.transaction.batch(&truncate).await.map(|()| rows),
            Err(error) => Err(error),
        };
        match done {
            Ok(rows) => {
                let number = |row: &Row, column| field(row, column).parse().unwrap_or(0);
                let counts: BTreeMap<u64, u64> = rows
                    .iter()
                    .map(|row| (number(row, 0), number(row, 1)))
                    .collect();
                let counts = (0..).map(|place| counts.get(&place).copied().unwrap_or(0));
                Ok(tables.iter().copied().zip(counts).collect())
            }
            Err(Error::Busy | Error::Permission { .. } | Error::Database { .. }) => {
                self.retreat().await?;
                Ok(BTreeMap::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes all rows of tables, children first, those that refer to one
    /// another in one statement; restarts sequences; and makes every check
    /// that has waited.
    async fn delete_at_once(
        &mut self,
        tables: &BTreeSet<TableId>,
        restarts: Vec<String>,
        checks: Checks,
    ) -> Result<BTreeMap<TableId, u64>, Error> {
        let mut parts = Vec::new();
        let mut deleted = Vec::new();
        for step in self.plan.steps() {
            let Step::Wipe(wipe) = step else { continue };
            let of_step = wipe.tables.iter().map(|&(table, _)| table);
            let of_step: Vec<TableId> = of_step.filter(|table| tables.contains(table)).collect();
            let wipe = |&table| self.renderer().wipe(table, None);
            match of_step.as_slice() {
                several @ [_, _, ..] if self.transaction.dialect.deletes_together() => {
                    let deletes: Vec<Statement> = several.iter().map(wipe).collect();
                    parts.push((STEP, self.renderer().together(&deletes)));
                    deleted.push(of_step);
                }
                apart => {
                    parts.extend(apart.iter().map(|table| (STEP, wipe(table))));
                    deleted.extend(apart.iter().map(|&table| vec![table]));
                }
            }
        }
        if checks == Checks::SwitchedOff
            && let Some((_, on)) = self.transaction.dialect.enforcement()
        {
            parts.push((STEP, Statement::plain(on)));
        }
        let restarts = restarts.into_iter().map(Statement::plain);
        parts.extend(restarts.map(|restart| (RESTARTING, restart)));
        if self.request.besides.sowing.files.is_empty() {
            let settle = self.transaction.dialect.settle();
            parts.extend(settle.map(|settle| (SETTLING, Statement::plain(settle))));
            self.is_settled = true;
        }
        let verified = match self.checks {
            Checks::SwitchedOff if !tables.is_empty() => self.with_referring(tables),
            Checks::SwitchedOff | Checks::Made => Vec::new(),
        };
        if !verified.is_empty() {
            parts.push((STEP, self.renderer().occupied(&verified)));
        }
        let done = self.transaction.together(parts).await;
        let done = done.map_err(|error| super::steps::unique(STEP, error))?;
        if let Some(last) = done.last().filter(|_| !verified.is_empty()) {
            self.refuse_left(&verified, &last.rows).await?;
        }
        let mut rows = BTreeMap::new();
        for (tables, done) in deleted.iter().zip(&done) {
            match (tables.as_slice(), done.rows.first()) {
                ([table], _) => drop(rows.insert(*table, done.changed)),
                (several, counts) => {
                    for (place, &table) in several.iter().enumerate() {
                        let count = counts.map_or("", |row| field(row, place));
                        let count = count.parse().map_err(|_| {
                            Error::Unexpected(format!("{count} is no count of deleted rows"))
                        })?;
                        rows.insert(table, count);
                    }
                }
            }
        }
        Ok(rows)
    }
}

pub(super) fn wiped(plan: &Plan) -> impl Iterator<Item = TableId> {
    let wipes = plan.steps().iter().filter_map(|step| match step {
        Step::Wipe(step) => Some(step.tables.iter().map(|&(table, _)| table)),
        Step::Restore(_) | Step::Detach(_) | Step::Delete(_) | Step::Release(_) => None,
    });
    wipes.flatten()
}

pub(super) fn names(
    dialect: &dyn Dialect,
    plan: &Plan,
    tables: impl Iterator<Item = TableId>,
) -> Vec<String> {
    let name = |table| dialect.table(&plan.schema().table(table).name);
    tables.map(name).collect()
}
