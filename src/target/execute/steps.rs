//! Takes a plan's steps, and verifies that they did what they said.

use std::{collections::BTreeMap, time::Instant};

use super::Execution;
use crate::{
    dialect::Statement,
    failpoint,
    operation::{Progress, TableCounts},
    plan::{Cleared, Delete, Detach, Scope, SetId, Share, Step, Wipe},
    schema::{Origin, TableId},
    target::{Error, field},
};

/// How often a full reset looks whether triggers have filled tables again.
const SWEEPS: u32 = 3;

/// Tables that are asked in one statement whether they have rows.
const ASKED_AT_ONCE: usize = 200;

impl Execution<'_> {
    pub(super) async fn take_steps(&mut self) -> Result<(), Error> {
        if matches!(self.plan.scope(), Scope::Everything) && self.wipes_at_once() {
            self.wipe_at_once().await?;
            if self.is_settled {
                return Ok(());
            }
            self.sow().await?;
            return self.restart_sequences().await;
        }
        let overlaps = self.overlaps().await?;
        let occupied = self.occupied().await?;
        let is_off = self.switch_off().await?;
        let links = match is_off {
            true => Vec::new(),
            false => self.unlink().await?,
        };
        for (number, step) in (1..).zip(self.plan.steps()) {
            let (title, begun) = (self.plan.title(step), Instant::now());
            failpoint::reach("step").await;
            (self.progress)(Progress::StepStarted {
                step: number,
                title: title.clone(),
            });
            let rows = match step {
                Step::Restore(step) => {
                    let table = self.plan.set(step.set).table;
                    let counting = self.renderer().to_restore(step);
                    let statement = self.renderer().restore(step);
                    let rows = self.update(&title, table, counting, statement).await?;
                    self.count(table).restored += rows;
                    rows
                }
                Step::Detach(step) => {
                    let counting = self.renderer().to_detach(step);
                    let statement = self.renderer().detach(step);
                    let rows = self.update(&title, step.table, counting, statement).await?;
                    self.check_defaults(&title, step).await?;
                    let restored = overlaps.get(&step.table).copied().unwrap_or(0);
                    self.count(step.table).detached += rows.saturating_sub(restored);
                    rows
                }
                Step::Release(step) => {
                    let statement = self.renderer().release(step);
                    let rows = self.change(&title, Some(statement)).await?;
                    let child = self.plan.schema().foreign_key(step.foreign_key).child;
                    self.count(child).detached += rows;
                    rows
                }
                Step::Delete(step) => self.delete(&title, step).await?,
                Step::Wipe(step) => self.wipe(&title, step, &occupied).await?,
            };
            let took = begun.elapsed();
            (self.progress)(Progress::StepFinished {
                step: number,
                rows,
                took,
            });
        }
        if is_off {
            self.switch_on().await?;
        }
        self.link_again(&links).await?;
        self.sweep().await?;
        self.sow().await?;
        self.restart_sequences().await
    }

    /// Wipes again what triggers have filled meanwhile, such as a history of
    /// the rows that went.
    async fn sweep(&mut self) -> Result<(), Error> {
        for _ in 0..SWEEPS {
            let filled = self.occupied().await?;
            if filled.is_empty() {
                return Ok(());
            }
            for step in self.plan.steps() {
                if let Step::Wipe(wipe) = step {
                    let title = self.plan.title(step);
                    self.wipe(&title, wipe, &filled).await?;
                }
            }
        }
        match self.occupied().await?.first() {
            Some(&table) => self.gone("the last sweep", table, 1),
            None => Ok(()),
        }
    }

    /// The rows that are both restored and detached, by table: they count as
    /// restored. Asked before either has happened.
    async fn overlaps(&mut self) -> Result<BTreeMap<TableId, u64>, Error> {
        let mut overlaps = BTreeMap::new();
        for restore in self.plan.steps() {
            for detach in self.plan.steps() {
                if let (Step::Restore(restore), Step::Detach(detach)) = (restore, detach)
                    && self.plan.set(restore.set).table == detach.table
                    && let Some(statement) = self.renderer().overlap(restore, detach)
                {
                    let rows = self.transaction.count("counting rows", &statement).await?;
                    overlaps.insert(detach.table, rows);
                }
            }
        }
        Ok(overlaps)
    }

    pub(super) async fn change(
        &mut self,
        title: &str,
        statement: Option<Statement>,
    ) -> Result<u64, Error> {
        let Some(statement) = statement else {
            return Ok(0);
        };
        let done = self.transaction.run(title, &statement).await;
        done.map_err(|error| unique(title, error))
    }

    /// Updates rows of a table and verifies that all of them changed, where a
    /// trigger of the application's own could keep some as they were.
    async fn update(
        &mut self,
        title: &str,
        table: TableId,
        counting: Option<Statement>,
        statement: Option<Statement>,
    ) -> Result<u64, Error> {
        let expected = match counting.filter(|_| self.has_triggers(table)) {
            Some(counting) => self.transaction.count(title, &counting).await?,
            None => 0,
        };
        let rows = self.change(title, statement).await?;
        match expected.saturating_sub(rows) {
            0 => Ok(rows),
            kept => Err(Error::Violation {
                step: title.to_owned(),
                detail: format!(
                    "a trigger or a rule keeps {kept} rows of {} as they were",
                    self.plan.schema().table(table).name
                ),
            }),
        }
    }

    fn has_triggers(&self, table: TableId) -> bool {
        self.plan.schema().table(table).has_triggers
    }

    /// Refuses a default that refers to rows that go as well: most databases
    /// would notice at the commit only, and SQLite not always.
    async fn check_defaults(&mut self, title: &str, step: &Detach) -> Result<(), Error> {
        let mut references = step.references.iter();
        if !references.any(|reference| reference.to == Cleared::Default) {
            return Ok(());
        }
        let Some(statement) = self.renderer().to_detach(step) else {
            return Ok(());
        };
        match self.transaction.count(title, &statement).await? {
            0 => Ok(()),
            rows => Err(Error::Violation {
                step: title.to_owned(),
                detail: format!("the default of {rows} rows refers to rows that go as well"),
            }),
        }
    }

    /// Deletes the sets of a step and verifies that their rows are gone: a
    /// trigger or a rule of the database can keep them silently.
    async fn delete(&mut self, title: &str, step: &Delete) -> Result<u64, Error> {
        // A deletion in one statement needs no cuts; and a cut moves rows,
        // whose place tells them apart where they have no key.
        let tables: Vec<(TableId, Option<SetId>)> = step
            .sets
            .iter()
            .map(|&id| (self.plan.set(id).table, Some(id)))
            .collect();
        let unchecked = self.unchecked(&tables, step.cyclic);
        let together = self.transaction.dialect.deletes_together() || unchecked.is_some();
        for cut in step.cuts.iter().filter(|_| !together) {
            let child = self.plan.schema().foreign_key(cut.foreign_key).child;
            for &id in step
                .sets
                .iter()
                .filter(|&&id| self.plan.set(id).table == child)
            {
                let statement = self.renderer().cut(cut, id);
                self.change(title, statement).await?;
            }
        }
        let occupied = step.sets.iter().filter(|id| self.sizes[id.index()] > 0);
        let sets: Vec<SetId> = occupied.copied().collect();
        let statements = sets
            .iter()
            .filter_map(|&id| self.renderer().delete(id))
            .collect();
        let before = self.movable(title, &sets).await?;
        let deleted = match unchecked {
            Some(checks) => {
                let going = tables
                    .iter()
                    .filter(|(_, set)| set.is_some_and(|set| self.sizes[set.index()] > 0));
                let going: Vec<_> = going.copied().collect();
                self.delete_unchecked(title, statements, checks, &going)
                    .await?
            }
            None => match sets.as_slice() {
                [set] if self.counted.contains(set) => {
                    vec![self.delete_counted(title, *set).await?]
                }
                [set] if self.is_told_of(*set) => vec![self.delete_telling(title, *set).await?],
                _ => self.delete_all(title, statements, step.cyclic).await?,
            },
        };
        let after = self.movable(title, &sets).await?;
        for (set, rows) in before {
            let left = after[&set] + self.sizes[set.index()];
            self.gone(title, self.plan.set(set).table, left.saturating_sub(rows))?;
        }
        let mut total = 0;
        for (&id, rows) in sets.iter().zip(deleted) {
            let expected = self.sizes[id.index()];
            // Fewer is not wrong yet: a cascade inside the group takes rows
            // that are not counted as deleted by the statement. Enough is not
            // right yet either, where a trigger can put a row back.
            if rows < expected || self.has_triggers(self.plan.set(id).table) {
                let statement = self.renderer().remaining(id);
                let rows = self.transaction.count(title, &statement).await?;
                self.gone(title, self.plan.set(id).table, rows)?;
            }
            self.count(self.plan.set(id).table).deleted += expected;
            total += expected;
        }
        Ok(total)
    }

    /// True when a set's rows are asked, as they go, what else they referred
    /// to. Others are only counted, by the database itself.
    fn is_told_of(&self, set: SetId) -> bool {
        self.tells(set) && self.plan.shares().iter().any(|share| share.set == set)
    }

    /// Deletes a set's rows, which tell what else they referred to.
    async fn delete_telling(&mut self, title: &str, set: SetId) -> Result<u64, Error> {
        let shares = self.plan.shares_of(set);
        let told: Vec<&Share> = shares.iter().map(|(_, share)| *share).collect();
        let statement = self.renderer().delete_telling(set, &told);
        let answer = self.transaction.query(title, &statement).await;
        let answer = answer.map_err(|error| unique(title, error))?;
        let row = answer.into_iter().next().unwrap_or_default();
        let count = |place| field(&row, place).parse().unwrap_or(0);
        for (index, (place, _)) in shares.iter().enumerate() {
            self.shares.insert(*place, count(index + 1));
        }
        Ok(count(0))
    }

    /// How many rows those tables have in which a row could escape: the
    /// database may write to what it is found by while its parent goes.
    async fn movable(
        &mut self,
        title: &str,
        sets: &[SetId],
    ) -> Result<BTreeMap<SetId, u64>, Error> {
        let mut counts = BTreeMap::new();
        for &set in sets {
            let table = self.plan.set(set).table;
            let schema = self.plan.schema();
            let mut keys = schema.foreign_keys().map(|(_, key)| key);
            if keys.any(|key| key.child == table && schema.moves(key)) {
                let statement = self.renderer().wiped(table, None);
                let rows = self.transaction.count(title, &statement).await?;
                counts.insert(set, rows);
            }
        }
        Ok(counts)
    }

    /// Runs deletions in their order; as one statement where foreign keys tie
    /// them and their checks do not wait.
    async fn delete_all(
        &mut self,
        title: &str,
        statements: Vec<Statement>,
        cyclic: bool,
    ) -> Result<Vec<u64>, Error> {
        if cyclic && statements.len() > 1 && self.transaction.dialect.deletes_together() {
            let statement = self.renderer().together(&statements);
            let answer = self.transaction.query(title, &statement).await;
            let rows = answer.map_err(|error| unique(title, error))?;
            let row = rows.first().cloned().unwrap_or_default();
            let counts = (0..statements.len()).map(|index| field(&row, index).parse().unwrap_or(0));
            return Ok(counts.collect());
        }
        let mut counts = Vec::new();
        for statement in statements {
            counts.push(self.change(title, Some(statement)).await?);
        }
        Ok(counts)
    }

    /// What stops and resumes the checks of foreign keys where rows that go
    /// need one another. A trigger could do anything meanwhile, so where there
    /// is one, the checks stay, and may refuse.
    fn unchecked(
        &self,
        tables: &[(TableId, Option<SetId>)],
        cyclic: bool,
    ) -> Option<(&'static str, &'static str)> {
        let mut tables = tables.iter();
        let checks = self.transaction.dialect.unchecked().filter(|_| cyclic)?;
        (!tables.any(|&(table, _)| self.has_triggers(table))).then_some(checks)
    }

    /// Deletes while nothing is checked, and then checks it: no row may refer
    /// to one that went. Whoever adds such a row waits for the one that it
    /// refers to, and finds it gone.
    async fn delete_unchecked(
        &mut self,
        title: &str,
        statements: Vec<Statement>,
        (stop, resume): (&str, &str),
        tables: &[(TableId, Option<SetId>)],
    ) -> Result<Vec<u64>, Error> {
        self.transaction.batch_during(title, stop).await?;
        let deleted = self.delete_all(title, statements, false).await?;
        self.transaction.batch_during(title, resume).await?;
        self.verify_references(title, tables).await?;
        Ok(deleted)
    }

    /// Refuses when rows refer to some that are gone, of these tables and, as
    /// far as it is known which, of these sets.
    pub(super) async fn verify_references(
        &mut self,
        title: &str,
        tables: &[(TableId, Option<SetId>)],
    ) -> Result<(), Error> {
        let schema = self.plan.schema();
        for (id, key) in schema.foreign_keys() {
            let Some(&(_, gone)) = tables.iter().find(|(table, _)| *table == key.parent) else {
                continue;
            };
            if key.origin != Origin::Catalogue {
                continue;
            }
            let statement = self.renderer().dangling(id, gone);
            let rows = self.transaction.count(title, &statement).await?;
            if rows > 0 {
                return Err(Error::Violation {
                    step: title.to_owned(),
                    detail: format!(
                        "{rows} rows of {} would be left without the rows of {} that they refer to",
                        schema.table(key.child).name,
                        schema.table(key.parent).name
                    ),
                });
            }
        }
        Ok(())
    }

    pub(super) fn gone(&self, title: &str, table: TableId, remaining: u64) -> Result<(), Error> {
        if remaining == 0 {
            return Ok(());
        }
        Err(Error::Violation {
            step: title.to_owned(),
            detail: format!(
                "{remaining} rows of {} are still there after their deletion: \
                 a trigger or a rule keeps them",
                self.plan.schema().table(table).name
            ),
        })
    }

    /// The tables that a wipe finds rows in: most tests fill a few of many.
    async fn occupied(&mut self) -> Result<Vec<TableId>, Error> {
        let wipes = self.plan.steps().iter().filter_map(|step| match step {
            Step::Wipe(step) => Some(step.tables.iter()),
            Step::Restore(_) | Step::Detach(_) | Step::Delete(_) | Step::Release(_) => None,
        });
        let tables: Vec<(TableId, Option<SetId>)> = wipes.flatten().copied().collect();
        let mut occupied = Vec::new();
        for part in tables.chunks(ASKED_AT_ONCE) {
            let statement = self.renderer().occupied(part);
            let step = "looking for rows";
            let rows = self.transaction.ask(step, &statement).await?;
            let places = rows
                .iter()
                .filter_map(|row| field(row, 0).parse::<usize>().ok());
            occupied.extend(
                places
                    .filter_map(|place| part.get(place))
                    .map(|&(table, _)| table),
            );
        }
        Ok(occupied)
    }

    async fn wipe(&mut self, title: &str, step: &Wipe, occupied: &[TableId]) -> Result<u64, Error> {
        let filled = step
            .tables
            .iter()
            .filter(|(table, _)| occupied.contains(table));
        let tables: Vec<(TableId, Option<SetId>)> = filled.copied().collect();
        let mut expected = BTreeMap::new();
        if step.cyclic {
            // A cascade inside the group takes rows that no statement counts.
            for &(table, kept) in &tables {
                let statement = self.renderer().wiped(table, kept);
                let rows = self.transaction.count(title, &statement).await?;
                expected.insert(table, rows);
            }
        }
        let wipes = tables
            .iter()
            .map(|&(table, kept)| self.renderer().wipe(table, kept));
        let wipes = wipes.collect();
        let every: Vec<_> = tables.iter().map(|&(table, _)| (table, None)).collect();
        let wiped = match self.unchecked(&every, step.cyclic) {
            Some(checks) => self.delete_unchecked(title, wipes, checks, &every).await?,
            None => self.delete_all(title, wipes, step.cyclic).await?,
        };
        let mut total = 0;
        for (&(table, kept), rows) in tables.iter().zip(wiped) {
            let statement = self.renderer().occupied(&[(table, kept)]);
            let left = self.transaction.query(title, &statement).await?;
            if !left.is_empty() {
                let statement = self.renderer().wiped(table, kept);
                let rows = self.transaction.count(title, &statement).await?;
                self.gone(title, table, rows)?;
            }
            let rows = expected.get(&table).copied().unwrap_or(rows);
            self.count(table).deleted += rows;
            total += rows;
        }
        Ok(total)
    }

    pub(super) fn count(&mut self, table: TableId) -> &mut TableCounts {
        let name = &self.plan.schema().table(table).name;
        self.counts.entry(table).or_insert_with(|| TableCounts {
            table: name.to_string(),
            deleted: 0,
            restored: 0,
            detached: 0,
        })
    }
}

/// A unique value that would be there twice is not that of a user who is being
/// created: the database writes defaults to keys as well.
pub(super) fn unique(step: &str, error: Error) -> Error {
    match error {
        Error::Duplicate => Error::Violation {
            step: step.to_owned(),
            detail: "a unique value would be there twice".to_owned(),
        },
        other => other,
    }
}
