//! The statements that change rows.

use std::collections::{BTreeMap, BTreeSet};

use super::{ROW, Renderer, Shape, list, tuple};
use crate::{
    dialect::Statement,
    plan::{Cleared, Detach, Detachment, Release, Restore, SetId, Share},
    policy::Value,
    schema::{ColumnId, ForeignKeyId, Table, TableId},
};

impl Renderer<'_> {
    /// The rows in which a restore would change something.
    fn differing(&self, step: &Restore) -> Option<String> {
        if self.is_empty(step.set) || step.values.is_empty() {
            return None;
        }
        let table = self.schema().table(self.plan.set(step.set).table);
        let differences: Vec<String> = step
            .values
            .iter()
            .map(|(column, value)| {
                let sql = format!("{ROW}.{}", self.column(table, *column));
                let value = self.dialect.literal(value);
                self.dialect.differs(table.column(*column), &sql, &value)
            })
            .collect();
        Some(format!(
            "{} AND ({}){}",
            self.is_in(step.set),
            differences.join(" OR "),
            self.outside(step.except),
        ))
    }

    /// Sets columns back in the rows where they differ.
    #[must_use]
    pub fn restore(&self, step: &Restore) -> Option<Statement> {
        let rows = self.differing(step)?;
        let table = self.schema().table(self.plan.set(step.set).table);
        let assignments = step.values.iter().map(|(column, value)| {
            let name = self.column(table, *column);
            format!("{name} = {}", self.dialect.literal(value))
        });
        let set: Vec<ColumnId> = step.values.iter().map(|(column, _)| *column).collect();
        let assignments = assignments.chain(self.left_alone(table, &set));
        Some(Statement::plain(format!(
            "UPDATE {} AS {ROW} SET {} WHERE {rows}",
            self.dialect.rows(table),
            list(assignments),
        )))
    }

    /// Clears references of rows that stay.
    #[must_use]
    pub fn detach(&self, step: &Detach) -> Option<Statement> {
        let live = self.live(step);
        let rows = self.referring(step.table, &live, &[])?;
        let only = self.outside(step.except);
        Some(Statement::plain(self.clear(
            step.table,
            &live,
            &format!("{rows}{only}"),
        )))
    }

    /// Counts the rows that a restore and a detach both change, as long as
    /// neither has; such a row counts as restored.
    #[must_use]
    pub fn overlap(&self, restore: &Restore, detach: &Detach) -> Option<Statement> {
        let differing = self.differing(restore)?;
        // The restore comes first, and may itself clear a reference.
        let referring = self.referring(detach.table, &self.live(detach), &restore.values)?;
        Some(self.count(detach.table, &format!("{differing} AND {referring}")))
    }

    /// Counts the rows that a restore is about to change.
    #[must_use]
    pub fn to_restore(&self, step: &Restore) -> Option<Statement> {
        let rows = self.differing(step)?;
        Some(self.count(self.plan.set(step.set).table, &rows))
    }

    /// Counts the rows that a detach is about to change.
    #[must_use]
    pub fn to_detach(&self, step: &Detach) -> Option<Statement> {
        let rows = self.referring(step.table, &self.live(step), &[])?;
        let only = self.outside(step.except);
        Some(self.count(step.table, &format!("{rows}{only}")))
    }

    /// Clears a reference of rows that go, so that they can.
    #[must_use]
    pub fn cut(&self, cut: &Detachment, rows: SetId) -> Option<Statement> {
        if self.is_empty(rows) || self.is_empty(cut.from) {
            return None;
        }
        let table = self.schema().foreign_key(cut.foreign_key).child;
        Some(Statement::plain(self.clear(
            table,
            &[cut],
            &self.is_in(rows),
        )))
    }

    fn live<'s>(&self, step: &'s Detach) -> Vec<&'s Detachment> {
        let references = step.references.iter();
        references
            .filter(|reference| !self.is_empty(reference.from))
            .collect()
    }

    /// The rows of a table that have any of these references, once these
    /// columns have these values.
    fn referring(
        &self,
        id: TableId,
        references: &[&Detachment],
        values: &[(ColumnId, Value)],
    ) -> Option<String> {
        let conditions: Vec<String> = references
            .iter()
            .map(|r| self.would_refer(r.foreign_key, r.from, None, values))
            .collect();
        match conditions.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            // Lists are looked up in several indexes at a time.
            many if matches!(self.shape, Shape::Lists(_)) => {
                Some(format!("({})", many.join(" OR ")))
            }
            many => {
                let table = self.schema().table(id);
                let locator = self.locator(table);
                let searches: Vec<String> = many
                    .iter()
                    .map(|condition| {
                        let columns = locator.join(", ");
                        format!(
                            "SELECT {columns} FROM {} AS {ROW} WHERE {condition}",
                            self.table(id)
                        )
                    })
                    .collect();
                let locator = tuple(locator.into_iter());
                Some(format!("{locator} IN ({})", searches.join(" UNION ")))
            }
        }
    }

    fn condition(&self, reference: &Detachment) -> String {
        self.refers(reference.foreign_key, reference.from, None)
    }

    /// One statement for all references of a table, so that a row with
    /// several of them is changed, and counted, once.
    fn clear(&self, id: TableId, references: &[&Detachment], rows: &str) -> String {
        let table = self.schema().table(id);
        let mut cases: BTreeMap<ColumnId, Vec<String>> = BTreeMap::new();
        for reference in references {
            let condition = self.condition(reference);
            for &column in &reference.columns {
                let value = match reference.to {
                    Cleared::Null => "NULL".to_owned(),
                    Cleared::Default => self.dialect.default(table.column(column)),
                };
                let case = format!("WHEN {condition} THEN {value}");
                cases.entry(column).or_default().push(case);
            }
        }
        let assignments = cases.iter().map(|(&column, cases)| {
            let name = self.column(table, column);
            format!("{name} = CASE {} ELSE {ROW}.{name} END", cases.join(" "))
        });
        let set: Vec<ColumnId> = cases.keys().copied().collect();
        let assignments = assignments.chain(self.left_alone(table, &set));
        format!(
            "UPDATE {} AS {ROW} SET {} WHERE {rows}",
            self.table(id),
            list(assignments),
        )
    }

    /// Keeps a column as it is that an update would set by the way, such as
    /// the moment of the last change.
    fn left_alone(&self, table: &Table, set: &[ColumnId]) -> Vec<String> {
        let columns = table.columns.iter().enumerate();
        columns
            .filter(|(place, column)| column.self_updating && !set.contains(&ColumnId(*place)))
            .map(|(_, column)| {
                let name = self.dialect.quote(&column.name);
                format!("{name} = {ROW}.{name}")
            })
            .collect()
    }

    /// Counts the rows whose foreign key refers to rows of a set, or where it
    /// is unknown which, to nothing.
    #[must_use]
    pub fn dangling(&self, foreign_key: ForeignKeyId, gone: Option<SetId>) -> Statement {
        let key = self.schema().foreign_key(foreign_key);
        let has_columns = |set: &SetId| {
            let columns = self.set_columns(*set);
            let has = |id: ColumnId| {
                columns
                    .iter()
                    .any(|(name, ..)| *name == format!("c{}", id.0))
            };
            key.columns.iter().all(|pair| has(pair.parent))
        };
        let condition = match gone.filter(has_columns) {
            Some(set) => self.refers(foreign_key, set, None),
            None => {
                let table = self.schema().table(key.child);
                let mut conditions: Vec<String> = key
                    .child_columns()
                    .map(|column| format!("{ROW}.{} IS NOT NULL", self.column(table, column)))
                    .collect();
                conditions.push(format!("NOT {}", self.leads_somewhere(foreign_key)));
                conditions.join(" AND ")
            }
        };
        self.count(key.child, &condition)
    }

    /// Deletes the rows of a set.
    #[must_use]
    pub fn delete(&self, set: SetId) -> Option<Statement> {
        if let Shape::Lists(_) = self.shape {
            return (!self.is_empty(set)).then(|| Statement::plain(self.delete_listed(set)));
        }
        (!self.is_empty(set)).then(|| {
            let table = self.table(self.plan.set(set).table);
            Statement::plain(format!(
                "{} WHERE {}",
                self.dialect.delete(&table, ROW),
                self.is_in(set),
            ))
        })
    }

    /// Deletes the rows of a set, and counts them and those of them that each
    /// share is about.
    #[must_use]
    pub fn delete_telling(&self, set: SetId, shares: &[&Share]) -> Statement {
        let told = self.told(set, shares);
        let table = self.table(self.plan.set(set).table);
        Statement::plain(format!(
            "WITH gone AS ({} WHERE {} RETURNING {told}) SELECT {} FROM gone AS {ROW}",
            self.dialect.delete(&table, ROW),
            self.is_in(set),
            self.with_shares(shares),
        ))
    }

    /// The columns of a set's table by which a row that went tells what else
    /// it referred to.
    pub(super) fn told(&self, set: SetId, shares: &[&Share]) -> String {
        let table = self.schema().table(self.plan.set(set).table);
        let references = shares.iter().flat_map(|share| &share.references);
        let columns: BTreeSet<ColumnId> = references
            .flat_map(|(key, _)| self.schema().foreign_key(*key).child_columns())
            .collect();
        let columns = columns.iter().map(|&column| self.column(table, column));
        list(columns.chain(["1".to_owned()]))
    }

    /// Does several deletions whose checks wait for one another in one
    /// statement, which answers how many rows each took.
    #[must_use]
    pub fn together(&self, deletes: &[Statement]) -> Statement {
        let parts = deletes.iter().enumerate();
        let parts =
            parts.map(|(index, delete)| format!("d{index} AS ({} RETURNING 1)", delete.sql));
        let counts = (0..deletes.len())
            .map(|index| format!("(SELECT {} FROM d{index})", self.rows_counted()));
        Statement::plain(format!("WITH {} SELECT {}", list(parts), list(counts)))
    }

    /// Counts the rows of a set that are still there.
    #[must_use]
    pub fn remaining(&self, set: SetId) -> Statement {
        Statement::plain(format!(
            "SELECT {} FROM {} AS {ROW} WHERE {}",
            self.rows_counted(),
            self.table(self.plan.set(set).table),
            self.is_in(set),
        ))
    }

    /// Clears a reference of kept rows to rows that are not kept.
    #[must_use]
    pub fn release(&self, step: &Release) -> Statement {
        let key = self.schema().foreign_key(step.foreign_key);
        let table = self.schema().table(key.child);
        let assignments = step
            .columns
            .iter()
            .map(|&column| format!("{} = NULL", self.column(table, column)))
            .chain(self.left_alone(table, &step.columns));
        let mut conditions: Vec<String> = key
            .child_columns()
            .map(|column| format!("{ROW}.{} IS NOT NULL", self.column(table, column)))
            .collect();
        if let Some(parents) = step.parents.filter(|&set| !self.is_empty(set)) {
            conditions.push(format!(
                "NOT {}",
                self.refers(step.foreign_key, parents, None)
            ));
        }
        if let Some(rows) = step.rows {
            conditions.push(match self.is_empty(rows) {
                true => "1 = 0".to_owned(),
                false => self.is_in(rows),
            });
        }
        Statement::plain(format!(
            "UPDATE {} AS {ROW} SET {} WHERE {}",
            self.table(key.child),
            list(assignments),
            conditions.join(" AND "),
        ))
    }

    /// Asks which of these tables have a row that a wipe would take, by their
    /// places in the list.
    #[must_use]
    pub fn occupied(&self, tables: &[(TableId, Option<SetId>)]) -> Statement {
        let parts: Vec<String> = tables
            .iter()
            .enumerate()
            .map(|(place, &(table, kept))| {
                format!(
                    "SELECT '{place}' WHERE EXISTS (SELECT 1 FROM {} AS {ROW}{}{})",
                    self.table(table),
                    self.dialect.read_through(),
                    self.but(kept),
                )
            })
            .collect();
        Statement::plain(parts.join(" UNION ALL "))
    }

    /// Counts the rows that a wipe takes from a table.
    #[must_use]
    pub fn wiped(&self, table: TableId, kept: Option<SetId>) -> Statement {
        Statement::plain(format!(
            "SELECT {} FROM {} AS {ROW}{}",
            self.rows_counted(),
            self.table(table),
            self.but(kept),
        ))
    }

    /// Deletes everything of a table but what is kept.
    #[must_use]
    pub fn wipe(&self, table: TableId, kept: Option<SetId>) -> Statement {
        // SQLite empties a table at once only when nothing filters its rows.
        Statement::plain(format!(
            "{}{}",
            self.dialect.delete(&self.table(table), ROW),
            self.but(kept)
        ))
    }

    fn but(&self, kept: Option<SetId>) -> String {
        match kept {
            Some(set) if !self.is_empty(set) => format!(" WHERE NOT {}", self.is_in(set)),
            _ => String::new(),
        }
    }
}
