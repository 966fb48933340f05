//! Writes the statements of a plan, the same for every database.
//!
//! Each row set becomes a temporary table of the rows' locators and of the
//! columns that other sets refer to. A set that was found empty never gets a
//! table, and nothing that depends on it alone is sent at all.

use std::collections::BTreeMap;

use super::{Dialect, Statement};
use crate::{
    plan::{Check, Cleared, Detach, Detachment, Path, Plan, Restore, SetId, Share},
    schema::{ColumnId, ForeignKeyId, Locator, Schema, Table, TableId},
};

/// Writes statements for one plan.
#[derive(Debug, Clone, Copy)]
pub struct Renderer<'a> {
    dialect: &'a dyn Dialect,
    plan: &'a Plan,
    sizes: &'a [u64],
}

/// The alias of the table that a statement is about.
const ROW: &str = "t";

impl<'a> Renderer<'a> {
    /// Writes for `plan`, of whose sets `sizes` are known, by set.
    #[must_use]
    pub fn new(dialect: &'a dyn Dialect, plan: &'a Plan, sizes: &'a [u64]) -> Self {
        Self {
            dialect,
            plan,
            sizes,
        }
    }

    fn schema(&self) -> &Schema {
        self.plan.schema()
    }

    fn is_empty(&self, set: SetId) -> bool {
        self.sizes[set.index()] == 0
    }

    fn table(&self, id: TableId) -> String {
        self.dialect.table(&self.schema().table(id).name)
    }

    fn column(&self, table: &Table, id: ColumnId) -> String {
        self.dialect.quote(&table.column(id).name)
    }

    fn set_name(set: SetId) -> String {
        format!("resetd_set_{}", set.index())
    }

    /// The columns of a set's table: how they are called there, how they are
    /// read from the row, and their type.
    fn set_columns(&self, id: SetId) -> Vec<(String, String, String)> {
        let set = self.plan.set(id);
        let table = self.schema().table(set.table);
        let mut columns = Vec::new();
        let mut keys = match &table.locator {
            Locator::Columns(keys) => keys.clone(),
            Locator::Hidden(name) => {
                columns.push((
                    "l".to_owned(),
                    format!("{ROW}.{name}"),
                    self.dialect.locator_type().to_owned(),
                ));
                Vec::new()
            }
        };
        keys.extend(
            set.columns
                .iter()
                .filter(|column| !keys.contains(column))
                .copied()
                .collect::<Vec<_>>(),
        );
        columns.extend(keys.iter().map(|&key| {
            (
                format!("c{}", key.0),
                format!("{ROW}.{}", self.column(table, key)),
                self.dialect.key_type(table.column(key)),
            )
        }));
        columns
    }

    /// What tells a row of a table from all others.
    fn locator(&self, table: &Table) -> Vec<String> {
        match &table.locator {
            Locator::Hidden(name) => vec![format!("{ROW}.{name}")],
            Locator::Columns(keys) => keys
                .iter()
                .map(|&key| format!("{ROW}.{}", self.column(table, key)))
                .collect(),
        }
    }

    /// The locators of a set's rows.
    fn locators(&self, set: SetId) -> String {
        let table = self.schema().table(self.plan.set(set).table);
        let columns = match &table.locator {
            Locator::Hidden(_) => "l".to_owned(),
            Locator::Columns(keys) => list(keys.iter().map(|key| format!("c{}", key.0))),
        };
        let name = self.dialect.temporary(&Self::set_name(set));
        format!("SELECT {columns} FROM {name}")
    }

    /// True for rows whose foreign key refers into a set.
    fn refers(&self, foreign_key: ForeignKeyId, from: SetId, round: Option<u32>) -> String {
        let key = self.schema().foreign_key(foreign_key);
        let child = self.schema().table(key.child);
        let parent = self.schema().table(key.parent);
        let left = tuple(key.columns.iter().map(|&pair| {
            let sql = format!("{ROW}.{}", self.column(child, pair.child));
            self.dialect.reference(child, parent, pair, &sql)
        }));
        let right = list(key.columns.iter().map(|pair| format!("c{}", pair.parent.0)));
        let name = self.dialect.temporary(&Self::set_name(from));
        let only = round.map_or_else(String::new, |round| format!(" WHERE round = {round}"));
        format!("{left} IN (SELECT {right} FROM {name}{only})")
    }

    fn is_in(&self, set: SetId) -> String {
        let table = self.schema().table(self.plan.set(set).table);
        let locator = tuple(self.locator(table).into_iter());
        format!("{locator} IN ({})", self.locators(set))
    }

    /// Leaves out the rows of a set, if there are any.
    fn outside(&self, set: Option<SetId>) -> String {
        match set {
            Some(set) if !self.is_empty(set) => format!(" AND NOT {}", self.is_in(set)),
            _ => String::new(),
        }
    }

    /// Makes the table of a set.
    #[must_use]
    pub fn create(&self, set: SetId) -> Statement {
        let mut columns: Vec<(String, String)> = self
            .set_columns(set)
            .into_iter()
            .map(|(name, _, kind)| (name, kind))
            .collect();
        columns.push(("round".to_owned(), "INTEGER".to_owned()));
        Statement::plain(
            self.dialect
                .create_temporary(&Self::set_name(set), &columns),
        )
    }

    /// Finds the root set's one row by its key.
    #[must_use]
    pub fn fill_root(&self, set: SetId, key: &str) -> Statement {
        let users = self.plan.model().users();
        let column = self.schema().table(users.table).column(users.key);
        let condition = format!(
            "{ROW}.{} = {}",
            self.dialect.quote(&column.name),
            self.dialect.parameter(1, Some(column)),
        );
        Statement::new(self.insert(set, &[condition], 0), vec![key.to_owned()])
    }

    /// Finds a set's rows along its paths from sets that are known and not
    /// empty; nothing when there is no such path.
    #[must_use]
    pub fn fill(&self, set: SetId, paths: &[Path]) -> Option<Statement> {
        let known = match self.plan.set(set).is_root {
            true => format!(" AND NOT {}", self.is_in(set)),
            false => String::new(),
        };
        let conditions: Vec<String> = paths
            .iter()
            .filter(|path| !self.is_empty(path.from))
            .map(|path| format!("{}{known}", self.refers(path.foreign_key, path.from, None)))
            .collect();
        (!conditions.is_empty()).then(|| Statement::plain(self.insert(set, &conditions, 0)))
    }

    /// Finds the rows that the rows of the round before lead to, leaving out
    /// those that the set has already.
    #[must_use]
    pub fn extend(&self, set: SetId, paths: &[Path], round: u32) -> Statement {
        let known = self.is_in(set);
        let conditions: Vec<String> = paths
            .iter()
            .map(|path| {
                let refers = self.refers(path.foreign_key, path.from, Some(round - 1));
                format!("{refers} AND NOT {known}")
            })
            .collect();
        Statement::plain(self.insert(set, &conditions, round))
    }

    /// Several ways are a union of searches, never one search with OR: each
    /// can use its own index.
    fn insert(&self, set: SetId, conditions: &[String], round: u32) -> String {
        let columns = self.set_columns(set);
        let names = list(columns.iter().map(|(name, ..)| name.clone()));
        let values = list(columns.iter().map(|(_, value, _)| value.clone()));
        let table = self.table(self.plan.set(set).table);
        let searches: Vec<String> = conditions
            .iter()
            .map(|condition| {
                format!("SELECT {values}, {round} FROM {table} AS {ROW} WHERE {condition}")
            })
            .collect();
        format!(
            "INSERT INTO {} ({names}, round) {}",
            self.dialect.temporary(&Self::set_name(set)),
            searches.join(" UNION ")
        )
    }

    /// Counts the rows that a check forbids; nothing when there can be none.
    #[must_use]
    pub fn check(&self, check: &Check) -> Option<Statement> {
        if self.is_empty(check.from) {
            return None;
        }
        let child = self.schema().foreign_key(check.foreign_key).child;
        Some(Statement::plain(format!(
            "SELECT CAST(count(*) AS TEXT) FROM {} AS {ROW} WHERE {}{}",
            self.table(child),
            self.refers(check.foreign_key, check.from, None),
            self.outside(check.except),
        )))
    }

    /// Counts the rows of a set that others have a share in; nothing when
    /// there can be none.
    #[must_use]
    pub fn share(&self, share: &Share) -> Option<Statement> {
        if self.is_empty(share.set) {
            return None;
        }
        let table = self.schema().table(self.plan.set(share.set).table);
        let conditions: Vec<String> = share
            .references
            .iter()
            .map(|&(foreign_key, inside)| {
                let mut parts: Vec<String> = self
                    .schema()
                    .foreign_key(foreign_key)
                    .child_columns()
                    .map(|column| format!("{ROW}.{} IS NOT NULL", self.column(table, column)))
                    .collect();
                if let Some(set) = inside.filter(|&set| !self.is_empty(set)) {
                    parts.push(format!("NOT {}", self.refers(foreign_key, set, None)));
                }
                format!("({})", parts.join(" AND "))
            })
            .collect();
        Some(Statement::plain(format!(
            "SELECT CAST(count(*) AS TEXT) FROM {} AS {ROW} WHERE {} AND ({})",
            self.table(self.plan.set(share.set).table),
            self.is_in(share.set),
            conditions.join(" OR "),
        )))
    }

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
                let column = format!("{ROW}.{}", self.column(table, *column));
                self.dialect.differs(&column, &self.dialect.literal(value))
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
        Some(Statement::plain(format!(
            "UPDATE {} AS {ROW} SET {} WHERE {rows}",
            self.dialect.table(&table.name),
            list(assignments),
        )))
    }

    /// Clears references of rows that stay.
    #[must_use]
    pub fn detach(&self, step: &Detach) -> Option<Statement> {
        let live = self.live(step);
        let rows = self.referring(step.table, &live)?;
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
        let referring = self.referring(detach.table, &self.live(detach))?;
        Some(Statement::plain(format!(
            "SELECT CAST(count(*) AS TEXT) FROM {} AS {ROW} WHERE {differing} AND {referring}",
            self.table(detach.table),
        )))
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

    /// The rows of a table that have any of these references.
    fn referring(&self, id: TableId, references: &[&Detachment]) -> Option<String> {
        let conditions: Vec<String> = references.iter().map(|r| self.condition(r)).collect();
        match conditions.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
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
        format!(
            "UPDATE {} AS {ROW} SET {} WHERE {rows}",
            self.table(id),
            list(assignments),
        )
    }

    /// Deletes the rows of a set.
    #[must_use]
    pub fn delete(&self, set: SetId) -> Option<Statement> {
        (!self.is_empty(set)).then(|| {
            Statement::plain(format!(
                "DELETE FROM {} AS {ROW} WHERE {}",
                self.table(self.plan.set(set).table),
                self.is_in(set),
            ))
        })
    }

    /// Counts the rows of a set that are still there.
    #[must_use]
    pub fn remaining(&self, set: SetId) -> Statement {
        Statement::plain(format!(
            "SELECT CAST(count(*) AS TEXT) FROM {} AS {ROW} WHERE {}",
            self.table(self.plan.set(set).table),
            self.is_in(set),
        ))
    }

    /// Removes the table of a set.
    #[must_use]
    pub fn discard(&self, set: SetId) -> Statement {
        let name = self.dialect.temporary(&Self::set_name(set));
        Statement::plain(format!("DROP TABLE {name}"))
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

/// One value as it is, several in parentheses.
fn tuple(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    match items.as_slice() {
        [one] => one.clone(),
        many => format!("({})", many.join(", ")),
    }
}
