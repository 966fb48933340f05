//! What has to hold once a reset is done: its rows, row by row and column by
//! column, and what it tells of itself.

use std::collections::{BTreeMap, BTreeSet};

use resetd::operation::Changes;

use crate::{
    case::{Case, Cell, Reset, Row},
    database::{Dangling, Snapshot},
    fates::Graph,
    reference::Done,
    trial::{Held, broken, holds},
};

/// A database before and after, and what the reference makes of it.
pub struct Aftermath<'a> {
    pub case: &'a Case,
    pub graph: &'a Graph,
    pub done: &'a Done,
    pub before: &'a Snapshot,
    pub after: &'a Snapshot,
}

impl Aftermath<'_> {
    /// The laws of rows.
    pub fn rows_are_right(&self) -> Held {
        self.kept_tables_stay()?;
        self.the_scope_goes()?;
        self.others_stay()?;
        self.nothing_refers_to_what_went()?;
        let law = "one run leaves one proof";
        let proofs = self.after["resetd_commit"].len() - self.before["resetd_commit"].len();
        holds(proofs == 1, law, || format!("{proofs} proofs"))
    }

    fn kept_tables_stay(&self) -> Held {
        let law = "kept tables never change";
        let detached = |cells: &&Vec<Cell>| {
            let tag = cells.last().unwrap().text();
            self.done.detached.contains_key(&tag)
        };
        for &table in &self.case.rules.keep {
            let name = &self.case.tables[table].name;
            let untouched = |snapshot: &Snapshot| -> Vec<Vec<Cell>> {
                snapshot[name]
                    .iter()
                    .filter(|cells| !detached(cells))
                    .cloned()
                    .collect()
            };
            let (was, is) = (untouched(self.before), untouched(self.after));
            holds(was == is, law, || format!("{name}: {was:?} became {is:?}"))?;
        }
        Ok(())
    }

    fn the_scope_goes(&self) -> Held {
        let law = "all rows of the scope go, and no other's";
        let gone: BTreeSet<String> = self
            .tags(self.before)
            .difference(&self.tags(self.after))
            .cloned()
            .collect();
        holds(gone == self.done.deleted, law, || {
            let more: Vec<_> = gone.difference(&self.done.deleted).collect();
            let fewer: Vec<_> = self.done.deleted.difference(&gone).collect();
            format!("gone beyond the scope: {more:?}; still there: {fewer:?}")
        })
    }

    fn others_stay(&self) -> Held {
        let law = "a row that stays changes only where it is detached or restored";
        for row in &self.case.rows {
            if let Some(is) = self.now(row) {
                self.changes_are_allowed(row, is)
                    .or_else(|message| broken(law, message))?;
            }
        }
        Ok(())
    }

    fn changes_are_allowed(&self, was: &Row, is: &[Cell]) -> Result<(), String> {
        let tag = self.case.tag(was);
        let columns = &self.case.tables[was.table].columns;
        for (id, column) in columns.iter().enumerate() {
            // A computed column changes with the one that it is computed from.
            let source = column.generated.map_or(id, |(base, _)| base);
            let detached = self
                .done
                .detached
                .get(tag)
                .and_then(|cells| cells.get(&source));
            let restored = self
                .done
                .restored
                .get(tag)
                .and_then(|cells| cells.get(&source));
            let right = match (detached, restored) {
                (Some(values), _) => values.contains(&is[id]),
                (None, Some(Reset::Now)) => is[id].text().starts_with("20"),
                (None, Some(Reset::Boolean(truth))) => {
                    is[id] == column.store(&Cell::Integer(i64::from(*truth)))
                }
                (None, Some(Reset::Cell(cell))) => is[id] == column.store(cell),
                (None, None) => is[id] == was.cells[id],
            };
            if !right {
                return Err(format!(
                    "{} of {tag}: {:?} became {:?}; detached {detached:?}, restored {restored:?}",
                    self.case.place(was.table, id),
                    was.cells[id],
                    is[id],
                ));
            }
        }
        Ok(())
    }

    fn nothing_refers_to_what_went(&self) -> Held {
        let law = "nothing that is left refers to what went";
        let left = self.left();
        let went: Vec<&Row> = self
            .case
            .rows
            .iter()
            .filter(|row| self.now(row).is_none())
            .collect();
        for (&id, fate) in &self.graph.fates {
            let key = &self.case.keys[id];
            for parent in &went {
                let refers = left.iter().find(|row| self.case.refers(key, row, parent));
                holds(refers.is_none(), law, || {
                    format!(
                        "{} ({fate:?}): {refers:?} to {parent:?}",
                        self.case.describe(key)
                    )
                })?;
            }
        }
        Ok(())
    }

    /// What dangled before may, nothing else does.
    pub fn nothing_dangles(&self, before: &Dangling, after: &Dangling) -> Held {
        let law = "no reference is left that leads nowhere";
        let more = after
            .iter()
            .find(|(key, count)| before.get(*key).is_none_or(|was| was < count));
        holds(more.is_none(), law, || {
            format!("{after:?}, and before {before:?}")
        })
    }

    /// The laws of what is told.
    pub fn changes_are_right(&self, changes: &Changes) -> Held {
        self.counts_are_right(changes)?;
        let law = "shared rows are counted";
        let told: BTreeMap<String, u64> = changes
            .shared
            .iter()
            .map(|shared| (shared.table.clone(), shared.rows))
            .collect();
        let name = |table: usize| self.case.tables[table].name.clone();
        let counted: BTreeMap<String, u64> = self
            .done
            .shared
            .iter()
            .map(|(&table, &rows)| (name(table), rows))
            .collect();
        holds(told == counted, law, || {
            format!("told {told:?}, counted {counted:?}")
        })?;
        self.users_are_named(changes)
    }

    fn counts_are_right(&self, changes: &Changes) -> Held {
        let law = "the counts are what really happened, each row once";
        let mut counted: BTreeMap<String, [u64; 3]> = BTreeMap::new();
        for row in &self.case.rows {
            let tag = self.case.tag(row);
            let place = match self.now(row) {
                None => 0,
                Some(_) if self.done.restored.contains_key(tag) => 1,
                Some(_) if self.done.detached.contains_key(tag) => 2,
                Some(_) => continue,
            };
            let name = self.case.tables[row.table].name.clone();
            counted.entry(name).or_default()[place] += 1;
        }
        let counts = changes.tables.iter();
        let told: BTreeMap<String, [u64; 3]> = counts
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
        )
    }

    fn users_are_named(&self, changes: &Changes) -> Held {
        let law = "every user in scope is named";
        let case = self.case;
        let in_scope =
            |row: &&Row| row.table == case.users && self.done.scope.contains(case.tag(row));
        let users: Vec<&Row> = case.rows.iter().filter(in_scope).collect();
        let keys: BTreeSet<String> = users
            .iter()
            .map(|row| row.cells[case.user_key].text())
            .collect();
        let told: BTreeSet<String> = changes.users.iter().map(|user| user.id.clone()).collect();
        holds(
            told == keys && changes.user_count == users.len() as u64,
            law,
            || format!("{keys:?}, but told {} as {told:?}", changes.user_count),
        )
    }

    /// A row as it is now, if it is there.
    fn now(&self, row: &Row) -> Option<&Vec<Cell>> {
        let rows = &self.after[&self.case.tables[row.table].name];
        rows.iter().find(|cells| cells.last() == row.cells.last())
    }

    fn tags(&self, snapshot: &Snapshot) -> BTreeSet<String> {
        let tables = self.case.tables.iter().map(|table| &snapshot[&table.name]);
        tables
            .flatten()
            .map(|cells| cells.last().unwrap().text())
            .collect()
    }

    /// The rows that are there now.
    fn left(&self) -> Vec<Row> {
        let tables = self.case.tables.iter().enumerate();
        tables
            .flat_map(|(table, declared)| {
                self.after[&declared.name].iter().map(move |cells| Row {
                    table,
                    cells: cells.clone(),
                })
            })
            .collect()
    }
}
