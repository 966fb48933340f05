//! Everything in few statements: which tables have rows is asked once, the big
//! ones are truncated together, and all others are emptied by one statement.
//!
//! It serves where no row is kept and no trigger or rule could keep or bring
//! back one; everything else is wiped step by step.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::Execution;
use crate::{
    dialect::Statement,
    operation::Progress,
    plan::Step,
    schema::{Origin, TableId},
    target::{Error, field},
};

const STEP: &str = "deleting everything";

/// Tables that are asked in one statement whether they have rows.
const ASKED_AT_ONCE: usize = 400;

/// What a row takes on disk at least; a table of so many bytes has fewer.
const ROW_BYTES: f64 = 100.0;
/// Deleting a row takes so many milliseconds (measured: 0.25 µs),
const DELETED_ROW_MS: f64 = 0.000_25;
/// and so many more for each key that refers to its table (4.8 µs).
const CHECKED_KEY_MS: f64 = 0.004_8;
/// Truncating a table takes so many milliseconds (measured: 1.2 to 2.2).
const TRUNCATED_TABLE_MS: f64 = 2.0;

impl Execution<'_> {
    /// True when everything can be wiped at once.
    pub(super) fn wipes_at_once(&self) -> bool {
        let schema = self.plan.schema();
        let plain = |step: &Step| match step {
            Step::Wipe(step) => step.tables.iter().all(|&(table, kept)| {
                let keeps = kept.is_some_and(|set| self.sizes[set.index()] > 0);
                !keeps && !schema.table(table).has_triggers && !schema.table(table).has_heirs
            }),
            Step::Restore(_) | Step::Detach(_) | Step::Delete(_) | Step::Release(_) => false,
        };
        self.transaction.dialect.deletes_together() && self.plan.steps().iter().all(plain)
    }

    /// Wipes everything, and tells of each step that had something to do.
    pub(super) async fn wipe_at_once(&mut self) -> Result<(), Error> {
        let begun = Instant::now();
        let filled = self.filled().await?;
        let truncated = self.worth_truncating(&filled);
        let mut rows = BTreeMap::new();
        if !truncated.is_empty() && self.may_truncate(&truncated).await? {
            rows = self.truncate(&truncated).await?;
        }
        let others = filled.keys().filter(|table| !rows.contains_key(*table));
        let others: Vec<TableId> = others.copied().collect();
        rows.extend(self.delete_at_once(&others).await?);
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

    /// The tables that have rows, with their bytes.
    async fn filled(&mut self) -> Result<BTreeMap<TableId, f64>, Error> {
        let dialect = self.transaction.dialect;
        let wipes = self.plan.steps().iter().filter_map(|step| match step {
            Step::Wipe(step) => Some(step.tables.iter().map(|&(table, _)| table)),
            Step::Restore(_) | Step::Detach(_) | Step::Delete(_) | Step::Release(_) => None,
        });
        let tables: Vec<TableId> = wipes.flatten().collect();
        let mut filled = BTreeMap::new();
        for part in tables.chunks(ASKED_AT_ONCE) {
            let asked: Vec<String> = part
                .iter()
                .map(|&id| {
                    let name = dialect.table(&self.plan.schema().table(id).name);
                    let bytes = dialect.bytes(&name);
                    format!("CASE WHEN EXISTS (SELECT 1 FROM {name}) THEN {bytes} END")
                })
                .collect();
            let question = Statement::plain(format!("SELECT {}", asked.join(", ")));
            let answer = self.transaction.ask(STEP, &question).await?;
            let row = answer.into_iter().next().unwrap_or_default();
            for (&table, bytes) in part.iter().zip(row) {
                if let Some(bytes) = bytes {
                    filled.insert(table, bytes.parse().unwrap_or(0.0));
                }
            }
        }
        Ok(filled)
    }

    /// The tables that are sooner truncated than deleted from, together with
    /// all that refer to them, which have to be truncated in the same breath.
    fn worth_truncating(&self, filled: &BTreeMap<TableId, f64>) -> BTreeSet<TableId> {
        let schema = self.plan.schema();
        let keys: Vec<(TableId, TableId)> = schema
            .foreign_keys()
            .filter(|(_, key)| key.origin == Origin::Catalogue)
            .map(|(_, key)| (key.parent, key.child))
            .collect();
        let cost = |table: &TableId| {
            let rows = filled.get(table).copied().unwrap_or(0.0) / ROW_BYTES;
            let mut incoming = 0.0;
            for _ in keys.iter().filter(|(parent, _)| parent == table) {
                incoming += 1.0;
            }
            rows * (DELETED_ROW_MS + CHECKED_KEY_MS * incoming)
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
        let (dialect, schema) = (self.transaction.dialect, self.plan.schema());
        tables
            .map(|&table| dialect.table(&schema.table(table).name))
            .collect()
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
        let counts: Vec<String> = names
            .iter()
            .map(|name| format!("(SELECT CAST(count(*) AS TEXT) FROM {name})"))
            .collect();
        let names = names.join(", ");
        self.transaction.batch("SAVEPOINT resetd_truncate").await?;
        let lock = format!("LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE NOWAIT");
        let counts = Statement::plain(format!("SELECT {}", counts.join(", ")));
        let truncate = format!("TRUNCATE {names}");
        let done = match self.transaction.batch(&lock).await {
            Ok(()) => match self.transaction.query(STEP, &counts).await {
                Ok(rows) => self.transaction.batch(&truncate).await.map(|()| rows),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        match done {
            Ok(rows) => {
                let row = rows.into_iter().next().unwrap_or_default();
                let counts = (0..tables.len()).map(|place| field(&row, place).parse().unwrap_or(0));
                Ok(tables.iter().copied().zip(counts).collect())
            }
            Err(Error::Busy | Error::Permission { .. } | Error::Database { .. }) => {
                let undo = "ROLLBACK TO SAVEPOINT resetd_truncate";
                self.transaction.batch(undo).await?;
                Ok(BTreeMap::new())
            }
            Err(error) => Err(error),
        }
    }

    async fn delete_at_once(
        &mut self,
        tables: &[TableId],
    ) -> Result<BTreeMap<TableId, u64>, Error> {
        if tables.is_empty() {
            return Ok(BTreeMap::new());
        }
        let deletes: Vec<Statement> = tables
            .iter()
            .map(|&table| self.renderer().wipe(table, None))
            .collect();
        let statement = self.renderer().together(&deletes);
        let answer = self.transaction.query(STEP, &statement).await;
        let answer = answer.map_err(|error| super::steps::unique(STEP, error))?;
        let row = answer.into_iter().next().unwrap_or_default();
        let counts = (0..tables.len()).map(|place| field(&row, place).parse().unwrap_or(0));
        Ok(tables.iter().copied().zip(counts).collect())
    }
}
