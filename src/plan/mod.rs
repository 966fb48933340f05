//! What a reset will do, decided before anything is touched.
//!
//! A [`Plan`] is made by [`build`] from a schema, a policy and a scope, and
//! from nothing else: the same input gives the same plan. It speaks of sets of
//! rows and of steps that change them; how a database is told so is the
//! dialect's to say.

mod bind;
mod build;
mod elsewhere;
mod everything;
mod leaves;
mod model;
mod problem;
mod reach;
mod recipe;

pub use build::{Error, build};
pub use elsewhere::{Bound, EffectRule, Source, What};
pub use model::{LevelRules, Mark, MarkedTable, Model, Users};
pub use problem::Problem;
pub use reach::{Ambiguity, Choice, Fate, Reach, reach};
pub use recipe::Recipe;

use std::sync::Arc;

use crate::{
    operation::Level,
    policy::Value,
    schema::{ColumnId, ForeignKeyId, Schema, TableId},
};

/// Which rows an operation starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// One user, found inside the transaction.
    User(Level),
    /// The sessions of one user, whose password is set.
    Sessions,
    /// The test users.
    TestUsers(Level),
    /// What the recipe of this name takes.
    Recipe(String),
    /// The rows that carry a test marker.
    Marked,
    /// The rows that have no owner any more.
    Orphans,
    /// The whole database.
    Everything,
}

/// What a reset will do: row sets to find, checks to make, steps to take. A
/// clone is the same plan.
#[derive(Debug, Clone)]
pub struct Plan(Arc<Parts>);

impl Plan {
    /// True for a clone of this plan.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// What a plan is made of.
#[derive(Debug)]
struct Parts {
    model: Arc<Model>,
    scope: Scope,
    sets: Vec<RowSet>,
    groups: Vec<Group>,
    checks: Vec<Check>,
    shares: Vec<Share>,
    steps: Vec<Step>,
    edges: Vec<Edge>,
}

/// A row set's place in its [`Plan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetId(usize);

/// Rows of one table that belong to the scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSet {
    /// The table.
    pub table: TableId,
    /// What the rows are found for.
    pub role: Role,
    /// True for the sets that the scope itself names.
    pub is_root: bool,
    /// The ways by which rows get into the set; their union counts.
    pub paths: Vec<Path>,
    /// The columns that other sets refer to, kept with each row.
    pub columns: Vec<ColumnId>,
}

/// What the rows of a set are found for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// They belong to the scope and stay.
    Owned,
    /// They will be deleted.
    Doomed,
    /// They stay although everything else of their table goes.
    Kept,
}

/// A way into a row set, along a foreign key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// The foreign key.
    pub foreign_key: ForeignKeyId,
    /// Where it starts.
    pub from: Whence,
}

/// Where a way into a row set starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whence {
    /// At the parents of this set: rows that refer to them are found.
    Parents(SetId),
    /// At the children of this set: rows that they refer to are found.
    Children(SetId),
    /// At all rows of the child's table: rows that they refer to are found.
    AllChildren,
}

/// Sets that are found together, because they lead into one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The sets.
    pub sets: Vec<SetId>,
    /// True when one round of looking is not enough.
    pub recursive: bool,
}

/// Rows that must not be there: they would stay behind and refer to rows that
/// go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// The reference.
    pub foreign_key: ForeignKeyId,
    /// The rows that go.
    pub from: SetId,
    /// The rows of the referring table that go as well.
    pub except: Option<SetId>,
}

/// Rows of a set that also refer to rows outside the scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The rows that go.
    pub set: SetId,
    /// Their references, each with the rows of its parent table that go.
    pub references: Vec<(ForeignKeyId, Option<SetId>)>,
}

/// A change to one table, or to tables that can only be changed together.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Sets columns back in rows that stay.
    Restore(Restore),
    /// Clears references of rows that stay.
    Detach(Detach),
    /// Deletes rows.
    Delete(Delete),
    /// Clears references of kept rows to rows that go.
    Release(Release),
    /// Deletes everything but what is kept.
    Wipe(Wipe),
}

/// Sets columns back, in rows that have other values now.
#[derive(Debug, Clone, PartialEq)]
pub struct Restore {
    /// The rows.
    pub set: SetId,
    /// Columns and their values.
    pub values: Vec<(ColumnId, Value)>,
    /// Rows of the table that go, and need no restoring.
    pub except: Option<SetId>,
}

/// Clears references to rows that go, in rows that stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detach {
    /// The table of the referring rows.
    pub table: TableId,
    /// The references that are cleared.
    pub references: Vec<Detachment>,
    /// Rows of the table that go.
    pub except: Option<SetId>,
}

/// One reference that is cleared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detachment {
    /// The reference.
    pub foreign_key: ForeignKeyId,
    /// The parents that go.
    pub from: SetId,
    /// The columns that are set.
    pub columns: Vec<ColumnId>,
    /// What they are set to.
    pub to: Cleared,
}

/// What a cleared reference is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleared {
    /// NULL.
    Null,
    /// The column's default.
    Default,
}

/// Deletes row sets, children first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// The sets in the order of their deletion.
    pub sets: Vec<SetId>,
    /// True when foreign keys lead from one of the sets into a later one, so
    /// that their checks have to wait until all are deleted.
    pub cyclic: bool,
    /// Optional references inside the group whose check cannot wait; they are
    /// cleared first.
    pub cuts: Vec<Detachment>,
}

/// Clears a reference of kept rows, because the policy says detach, to rows
/// that are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The reference.
    pub foreign_key: ForeignKeyId,
    /// The columns that are set to NULL.
    pub columns: Vec<ColumnId>,
    /// The referring rows that are kept; all of a kept table when absent.
    pub rows: Option<SetId>,
    /// The parents that are kept; none when absent.
    pub parents: Option<SetId>,
}

/// Deletes all rows of tables but those that are kept, children first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wipe {
    /// The tables, each with its rows that are kept.
    pub tables: Vec<(TableId, Option<SetId>)>,
    /// True when foreign keys lead from one of the tables into a later one.
    pub cyclic: bool,
}

/// How the plan follows one reference, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The reference.
    pub foreign_key: ForeignKeyId,
    /// What happens to its rows and why.
    pub choice: Choice,
}

impl Plan {
    /// The model that the plan was made from.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.0.model
    }

    /// The schema that the plan speaks of.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        self.0.model.schema()
    }

    /// Which rows it starts from.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.0.scope
    }

    /// The row sets, with their ids.
    pub fn sets(&self) -> impl Iterator<Item = (SetId, &RowSet)> {
        self.0
            .sets
            .iter()
            .enumerate()
            .map(|(i, set)| (SetId(i), set))
    }

    /// The row set of this id.
    #[must_use]
    pub fn set(&self, id: SetId) -> &RowSet {
        &self.0.sets[id.0]
    }

    /// The order in which sets are found, parents first.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.0.groups
    }

    /// What must not be there.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.0.checks
    }

    /// What is reported as shared.
    #[must_use]
    pub fn shares(&self) -> &[Share] {
        &self.0.shares
    }

    /// The changes, in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0.steps
    }

    /// How each reference is followed.
    #[must_use]
    pub fn edges(&self) -> &[Edge] {
        &self.0.edges
    }

    /// The tables that steps change, in plan order, each once.
    #[must_use]
    pub fn changed_tables(&self) -> Vec<TableId> {
        let mut tables = Vec::new();
        for step in &self.0.steps {
            let changed: Vec<TableId> = match step {
                Step::Restore(step) => vec![self.set(step.set).table],
                Step::Detach(step) => vec![step.table],
                Step::Delete(step) => step.sets.iter().map(|&id| self.set(id).table).collect(),
                Step::Release(step) => vec![self.schema().foreign_key(step.foreign_key).child],
                Step::Wipe(step) => step.tables.iter().map(|&(table, _)| table).collect(),
            };
            for table in changed {
                if !tables.contains(&table) {
                    tables.push(table);
                }
            }
        }
        tables
    }

    fn names(&self, tables: impl Iterator<Item = TableId>) -> String {
        let names: Vec<String> = tables
            .map(|table| self.schema().table(table).name.to_string())
            .collect();
        names.join(", ")
    }

    /// A step in words.
    #[must_use]
    pub fn title(&self, step: &Step) -> String {
        let name = |table| &self.schema().table(table).name;
        match step {
            Step::Restore(step) => format!("restore {}", name(self.set(step.set).table)),
            Step::Detach(step) => format!("detach {}", name(step.table)),
            Step::Delete(step) => {
                let tables = step.sets.iter().map(|&id| self.set(id).table);
                format!("delete {}", self.names(tables))
            }
            Step::Release(step) => {
                let child = self.schema().foreign_key(step.foreign_key).child;
                format!("detach {}", name(child))
            }
            Step::Wipe(step) => {
                format!(
                    "delete {}",
                    self.names(step.tables.iter().map(|&(table, _)| table))
                )
            }
        }
    }
}

impl Path {
    /// The set that the way starts from, if it is one.
    #[must_use]
    pub fn source(&self) -> Option<SetId> {
        match self.from {
            Whence::Parents(set) | Whence::Children(set) => Some(set),
            Whence::AllChildren => None,
        }
    }
}

impl SetId {
    /// The set's number in its plan.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}
