//! Writes the statements of a plan, the same for every database.
//!
//! Each row set becomes a temporary table of the rows' locators and of the
//! columns that other sets refer to. A set that was found empty never gets a
//! table, and nothing that depends on it alone is sent at all.

mod chain;
mod elsewhere;
mod leaves;
mod lists;
mod roots;
mod script;
mod steps;

pub use chain::{Chain, Tally, reachable};
pub use elsewhere::Going;
pub use lists::Key;
pub use roots::{Eligible, Seed};
pub use script::{Part, Script};

use super::{Dialect, Statement, Tie};
use crate::{
    plan::{Check, Path, Plan, SetId, Share, Whence},
    policy::Value,
    schema::{
        Column, ColumnId, ColumnPair, ForeignKey, ForeignKeyId, Locator, Origin, Schema, Table,
        TableId,
    },
};

/// Writes statements for one plan.
#[derive(Debug, Clone, Copy)]
pub struct Renderer<'a> {
    dialect: &'a dyn Dialect,
    plan: &'a Plan,
    sizes: &'a [u64],
    shape: Shape<'a>,
}

/// Where the rows of a set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape<'a> {
    /// In a temporary table.
    Tables,
    /// In an expression of the same statement.
    Chain,
    /// In a temporary table that the connection keeps.
    Kept,
    /// In the statement itself, by set: what tells them apart, and what others
    /// refer to.
    Lists(&'a [Vec<Key>]),
}

/// What values are looked for among.
enum Found {
    /// What a query finds.
    Query(String),
    /// These.
    Listed(Vec<Vec<String>>),
}

/// How several ways into one set are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ways {
    /// Each by itself, where its own index may serve it.
    Apart,
    /// All at once, in one reading of the table.
    AtOnce,
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
            shape: Shape::Tables,
        }
    }

    fn schema(&self) -> &'a Schema {
        self.plan.schema()
    }

    fn is_empty(&self, set: SetId) -> bool {
        self.sizes[set.index()] == 0
    }

    fn table(&self, id: TableId) -> String {
        self.dialect.rows(self.schema().table(id))
    }

    /// How many rows there are, as text.
    fn rows_counted(&self) -> String {
        self.dialect.as_text("count(*)")
    }

    fn column(&self, table: &Table, id: ColumnId) -> String {
        self.dialect.quote(&table.column(id).name)
    }

    /// A value that is compared with `column`: one more parameter, or where
    /// there are none, the value itself. The statements of a script share
    /// parameters, of which each takes the next ones: a number would be its
    /// own.
    fn bind(&self, parameters: &mut Vec<String>, value: String, column: Option<&Column>) -> String {
        if let Shape::Lists(_) = self.shape {
            return self.dialect.inline(&value, column);
        }
        parameters.push(value);
        match self.shape {
            Shape::Kept => "?".to_owned(),
            _ => self.dialect.parameter(parameters.len(), column),
        }
    }

    fn set_name(set: SetId) -> String {
        format!("resetd_set_{}", set.index())
    }

    /// A set's rows, as a statement names them.
    fn rows_of(&self, set: SetId) -> String {
        let name = Self::set_name(set);
        match self.shape {
            Shape::Tables => self.dialect.temporary(&name),
            Shape::Chain | Shape::Lists(_) => name,
            Shape::Kept => self.dialect.temporary(&self.kept_name(set)),
        }
    }

    /// How the table is called that a connection keeps for a set. Sets that
    /// differ in their columns have tables that differ in their names.
    fn kept_name(&self, set: SetId) -> String {
        let columns = self.set_columns(set);
        let columns = columns
            .iter()
            .map(|(name, _, kind)| format!("_{name}{kind}"));
        format!("resetd_kept_{}{}", set.index(), columns.collect::<String>())
    }

    /// Makes that table where it is not there yet; nothing where a connection
    /// keeps none.
    fn keep(&self, set: SetId) -> Option<String> {
        self.dialect
            .keep_temporary(&self.kept_name(set), &self.table_columns(set))
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
    fn locators(&self, set: SetId) -> Found {
        let table = self.schema().table(self.plan.set(set).table);
        let columns = match &table.locator {
            Locator::Hidden(_) => vec!["l".to_owned()],
            Locator::Columns(keys) => keys.iter().map(|key| format!("c{}", key.0)).collect(),
        };
        self.values_of(set, &columns, "", &|_, value| value.to_owned())
    }

    /// The values of columns of a set's rows, written by their places.
    fn values_of(
        &self,
        set: SetId,
        columns: &[String],
        only: &str,
        write: &dyn Fn(usize, &str) -> String,
    ) -> Found {
        let Shape::Lists(keys) = self.shape else {
            let columns = columns.iter().enumerate();
            let columns = list(columns.map(|(place, column)| write(place, column)));
            return Found::Query(format!("SELECT {columns} FROM {}{only}", self.rows_of(set)));
        };
        let names: Vec<String> = self.set_columns(set).into_iter().map(|(n, ..)| n).collect();
        let place = |column: &String| names.iter().position(|name| name == column);
        let places: Vec<usize> = columns.iter().filter_map(place).collect();
        let rows = keys.get(set.index()).into_iter().flatten();
        let row = |key: &Key| {
            let values = places
                .iter()
                .filter_map(|&place| key.get(place))
                .enumerate();
            values.map(|(place, value)| write(place, value)).collect()
        };
        // Mostly in order already, as the keys are.
        let mut rows: Vec<Vec<String>> = rows.map(row).collect();
        rows.sort_unstable();
        rows.dedup();
        Found::Listed(rows)
    }

    /// True for rows whose foreign key refers into a set.
    fn refers(&self, foreign_key: ForeignKeyId, from: SetId, round: Option<u32>) -> String {
        self.would_refer(foreign_key, from, round, &[])
    }

    /// True for rows whose foreign key refers into a set once these columns
    /// have these values.
    fn would_refer(
        &self,
        foreign_key: ForeignKeyId,
        from: SetId,
        round: Option<u32>,
        values: &[(ColumnId, Value)],
    ) -> String {
        let key = self.schema().foreign_key(foreign_key);
        let ties: Vec<(Tie<'_>, ColumnPair)> = self.ties(key).collect();
        let child = |(tie, pair): &(Tie<'_>, ColumnPair)| {
            let value = values.iter().find(|(column, _)| *column == pair.child);
            match value {
                Some((_, value)) => self.dialect.literal(value),
                None => format!("{ROW}.{}", self.dialect.quote(&tie.from.name)),
            }
        };
        let left = ties
            .iter()
            .map(|tie| self.dialect.reference(&tie.0, &child(tie), "").0);
        let columns: Vec<String> = ties
            .iter()
            .map(|(_, pair)| format!("c{}", pair.parent.0))
            .collect();
        let only = round.map_or_else(String::new, |round| format!(" WHERE round = {round}"));
        let right = self.values_of(
            from,
            &columns,
            &only,
            &|place, value| match ties.get(place) {
                Some((tie, _)) => self.dialect.reference(tie, "", value).1,
                None => value.to_owned(),
            },
        );
        self.among(left.collect(), right)
    }

    fn is_in(&self, set: SetId) -> String {
        let table = self.schema().table(self.plan.set(set).table);
        self.among(self.locator(table), self.locators(set))
    }

    /// True when these values are among those that a search finds.
    fn among(&self, values: Vec<String>, found: Found) -> String {
        match (self.shape, values.as_slice(), found) {
            (Shape::Chain, [value], Found::Query(search)) => self.dialect.among_few(value, &search),
            (_, _, Found::Query(search)) => {
                format!("{} IN ({search})", tuple(values.into_iter()))
            }
            (_, _, Found::Listed(rows)) if rows.is_empty() => "(1 = 0)".to_owned(),
            (_, [value], Found::Listed(rows)) => {
                format!("{value} IN ({})", list(rows.into_iter().flatten()))
            }
            // No index serves a list of several values at a time.
            (_, values, Found::Listed(rows)) => {
                let rows = rows.iter().map(|row| {
                    let pairs = values.iter().zip(row);
                    let pairs = pairs.map(|(value, other)| format!("{value} = {other}"));
                    format!("({})", pairs.collect::<Vec<_>>().join(" AND "))
                });
                format!("({})", rows.collect::<Vec<_>>().join(" OR "))
            }
        }
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
        Statement::plain(
            self.dialect
                .create_temporary(&Self::set_name(set), &self.table_columns(set)),
        )
    }

    /// The columns of a set's table and their types.
    fn table_columns(&self, set: SetId) -> Vec<(String, String)> {
        let columns = self.set_columns(set).into_iter();
        let columns = columns.map(|(name, _, kind)| (name, kind));
        let round = ("round".to_owned(), "INTEGER".to_owned());
        columns.chain([round]).collect()
    }

    /// Tells the planner how many rows a set has.
    #[must_use]
    pub fn analyze(&self, set: SetId) -> Option<Statement> {
        let sql = self.dialect.analyze(&Self::set_name(set))?;
        Some(Statement::plain(sql))
    }

    /// Finds a set's rows along ways from sets that are known and not empty;
    /// nothing when there is no such way.
    #[must_use]
    pub fn fill(&self, set: SetId, paths: &[Path], ways: Ways) -> Option<Statement> {
        let known = if self.plan.set(set).is_root {
            format!(" AND NOT {}", self.is_in(set))
        } else {
            String::new()
        };
        let live = paths
            .iter()
            .filter(|path| path.source().is_none_or(|from| !self.is_empty(from)));
        let mut conditions: Vec<String> = live.map(|path| self.follows(path, None)).collect();
        if ways == Ways::AtOnce && conditions.len() > 1 {
            conditions = vec![format!("({})", conditions.join(" OR "))];
        }
        for condition in &mut conditions {
            condition.push_str(&known);
        }
        (!conditions.is_empty()).then(|| Statement::plain(self.insert(set, &conditions, 0)))
    }

    /// Finds the rows that the rows of the round before lead to, leaving out
    /// those that the set has already.
    #[must_use]
    pub fn extend(&self, set: SetId, paths: &[Path], round: u32) -> Statement {
        let known = self.is_in(set);
        let conditions: Vec<String> = paths
            .iter()
            .map(|path| format!("{} AND NOT {known}", self.follows(path, Some(round - 1))))
            .collect();
        Statement::plain(self.insert(set, &conditions, round))
    }

    /// True for rows at the end of a way.
    fn follows(&self, path: &Path, round: Option<u32>) -> String {
        match path.from {
            Whence::Parents(set) => self.refers(path.foreign_key, set, round),
            Whence::Children(set) => {
                let only =
                    round.map_or_else(String::new, |round| format!(" WHERE round = {round}"));
                self.referred(path.foreign_key, Some(set), &only)
            }
            Whence::AllChildren => self.referred(path.foreign_key, None, ""),
        }
    }

    /// True for rows that a foreign key of a set's rows refers to, or of all.
    fn referred(&self, foreign_key: ForeignKeyId, set: Option<SetId>, only: &str) -> String {
        let key = self.schema().foreign_key(foreign_key);
        let child = self.schema().table(key.child);
        let ties: Vec<(Tie<'_>, ColumnPair)> = self.ties(key).collect();
        let left = ties.iter().map(|(tie, _)| {
            let to = format!("{ROW}.{}", self.dialect.quote(&tie.to.name));
            self.dialect.reference(tie, "", &to).1
        });
        let write = |place: usize, value: &str| match ties.get(place) {
            Some((tie, _)) => self.dialect.reference(tie, value, "").0,
            None => value.to_owned(),
        };
        let right = match set {
            Some(set) => {
                let columns = ties.iter().map(|(_, pair)| format!("c{}", pair.child.0));
                self.values_of(set, &columns.collect::<Vec<_>>(), only, &write)
            }
            None => {
                let columns = ties.iter().enumerate().map(|(place, (_, pair))| {
                    write(place, &format!("k.{}", self.column(child, pair.child)))
                });
                let table = self.table(key.child);
                Found::Query(format!("SELECT {} FROM {table} AS k", list(columns)))
            }
        };
        self.among(left.collect(), right)
    }

    fn ties(&self, key: &'a ForeignKey) -> impl Iterator<Item = (Tie<'a>, ColumnPair)> + use<'a> {
        let schema = self.plan.schema();
        let (child, parent) = (schema.table(key.child), schema.table(key.parent));
        key.columns.iter().map(move |&pair| {
            let tie = Tie {
                key,
                child,
                parent,
                from: child.column(pair.child),
                to: parent.column(pair.parent),
            };
            (tie, pair)
        })
    }

    /// Several conditions are a union of searches, never one search with OR:
    /// each can use its own index.
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
            self.rows_of(set),
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
            "SELECT {} FROM {} AS {ROW} WHERE {}{}",
            self.rows_counted(),
            self.table(child),
            self.refers(check.foreign_key, check.from, None),
            self.outside(check.except),
        )))
    }

    /// Counts the rows of a set that others have a share in; nothing when
    /// there can be none.
    #[must_use]
    pub fn share(&self, share: &Share) -> Option<Statement> {
        if self.is_empty(share.set) || self.is_unshared(share) {
            return None;
        }
        Some(Statement::plain(format!(
            "SELECT {} FROM {} AS {ROW} WHERE {} AND {}",
            self.rows_counted(),
            self.table(self.plan.set(share.set).table),
            self.is_in(share.set),
            self.is_shared(share),
        )))
    }

    /// True for rows of a share's set that refer to rows outside the scope.
    fn is_shared(&self, share: &Share) -> String {
        let references = share.references.iter();
        let conditions = references.map(|&(foreign_key, inside)| {
            let leads = self.leads_to_something(foreign_key);
            match inside.filter(|&set| !self.is_empty(set)) {
                // A parent's key may be NULL, and then so is NOT IN.
                Some(set) => {
                    let refers = self.refers(foreign_key, set, None);
                    format!("(({refers}) IS NOT TRUE AND {leads})")
                }
                None => leads,
            }
        });
        format!("({})", conditions.collect::<Vec<_>>().join(" OR "))
    }

    /// The same as [`Renderer::leads_somewhere`], for what is only told: where
    /// the database sees to its foreign keys, it need not be asked again.
    fn leads_to_something(&self, foreign_key: ForeignKeyId) -> String {
        let key = self.schema().foreign_key(foreign_key);
        if key.origin == Origin::Relation || !self.dialect.sees_to_references() {
            return self.leads_somewhere(foreign_key);
        }
        let table = self.schema().table(key.child);
        let columns = key.child_columns();
        let columns = columns.map(|id| format!("{ROW}.{} IS NOT NULL", self.column(table, id)));
        format!("({})", columns.collect::<Vec<_>>().join(" AND "))
    }

    /// True for rows whose foreign key refers to a row that is there.
    fn leads_somewhere(&self, foreign_key: ForeignKeyId) -> String {
        let key = self.schema().foreign_key(foreign_key);
        let matches: Vec<String> = self
            .ties(key)
            .map(|(tie, _)| {
                let from = format!("{ROW}.{}", self.dialect.quote(&tie.from.name));
                let to = format!("p.{}", self.dialect.quote(&tie.to.name));
                let (from, to) = self.dialect.reference(&tie, &from, &to);
                format!("{from} = {to}")
            })
            .collect();
        format!(
            "EXISTS (SELECT 1 FROM {} AS p WHERE {})",
            self.table(key.parent),
            matches.join(" AND "),
        )
    }

    /// Counts the rows of a table for which a condition is true.
    fn count(&self, table: TableId, condition: &str) -> Statement {
        Statement::plain(format!(
            "SELECT {} FROM {} AS {ROW} WHERE {condition}",
            self.rows_counted(),
            self.table(table),
        ))
    }

    /// Removes the table of a set.
    #[must_use]
    pub fn discard(&self, set: SetId) -> Statement {
        Statement::plain(self.dialect.drop_temporary(&Self::set_name(set)))
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
