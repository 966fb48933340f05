//! In which way a plan is carried out: all of them do the same, and differ in
//! how long they take.

use std::collections::BTreeSet;

use super::{Request, Start, elsewhere::is_of_users_alone};
use crate::{
    dialect::{Dialect, Renderer},
    operation::Mode,
    plan::{Cleared, Plan, Step},
    schema::{Origin, TableId},
};

/// How a plan is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// In one statement, for the few rows of one user: 0.4 ms of the database
    /// for 34 rows in 14 tables, where sets in tables take 1.6.
    Chain,
    /// The same in several statements of one text, where the database changes
    /// one table in a statement.
    Script,
    /// In few texts, of which each lists the keys that those before it found.
    Lists,
    /// Step by step, with the rows of each set in a table of its own.
    Sets,
    /// The same, while foreign keys that lead to the rows are gone: for many
    /// rows, or keys without an index, where the database is ours alone.
    Unlinked,
    /// The same, while the database enforces nothing, where our role may
    /// switch that off.
    Unchecked,
}

/// Sets that one statement has at most: it is planned once for each
/// connection, and the time for that grows faster than their number.
const CHAINED_SETS: usize = 60;

/// A strategy and what speaks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The strategy.
    pub strategy: Strategy,
    /// Why, in words.
    pub reason: &'static str,
}

/// Chooses the way for a request on a plan.
#[must_use]
pub fn strategy(dialect: &dyn Dialect, plan: &Plan, request: &Request) -> Choice {
    match refusal(dialect, plan, request) {
        Some(reason) => Choice {
            strategy: Strategy::Sets,
            reason,
        },
        None if dialect.deletes_together() => Choice {
            strategy: Strategy::Chain,
            reason: "the rows are few, and one statement finds and deletes them",
        },
        None if dialect.keeps_tables() => Choice {
            strategy: Strategy::Script,
            reason: "the rows are few, and one text finds and deletes them",
        },
        None => Choice {
            strategy: Strategy::Lists,
            reason: "the rows are few, and found and deleted by lists of their keys",
        },
    }
}

/// Why a plan cannot be one statement.
fn refusal(dialect: &dyn Dialect, plan: &Plan, request: &Request) -> Option<&'static str> {
    match &request.start {
        Start::User { .. } if is_of_users_alone(&request.elsewhere, plan) => {}
        Start::TestUsers(_)
        | Start::Marked {
            session: Some(_), ..
        } if request.elsewhere.wanted(plan).next().is_none() => {}
        Start::User { .. }
        | Start::TestUsers(_)
        | Start::Marked {
            session: Some(_), ..
        } => {
            return Some("Redis keys or files go with the rows, and are read from them first");
        }
        Start::Marked { session: None, .. }
        | Start::Orphans
        | Start::Recipe { .. }
        | Start::Everything { .. } => return Some("many rows can be in scope"),
    }
    if request.besides.password.is_some() {
        return Some("a password is set with it, and read back");
    }
    if !dialect.deletes_together() {
        if !dialect.keeps_tables() && !Renderer::new(dialect, plan, &[]).can_list() {
            return Some("rows have keys that are not told exactly by their text");
        }
        if dialect.keeps_tables() && matches!(request.start, Start::TestUsers(_)) {
            return Some("many users can be in scope, and to count them takes as long as this");
        }
    }
    if request.mode == Mode::DryRun || request.expected.is_some() {
        return Some("the rows are compared with those of a dry run");
    }
    if matches!(request.start, Start::TestUsers(_)) && is_dear(plan) {
        return Some("keys without an index are dropped, which is quicker than any look for them");
    }
    if plan.sets().count() > CHAINED_SETS {
        return Some("too many tables are in scope for one statement");
    }
    if plan.groups().iter().any(|group| group.recursive) {
        return Some("rows lead to further rows of the same table");
    }
    let schema = plan.schema();
    let changed = plan.changed_tables();
    if changed.iter().any(|&id| schema.table(id).has_triggers) {
        return Some("triggers can keep or bring back rows, which is looked for step by step");
    }
    let mut keys = schema.foreign_keys().map(|(_, key)| key);
    if keys.any(|key| changed.contains(&key.child) && schema.moves(key)) {
        return Some("the database writes to what rows are found by");
    }
    steps(plan)
}

/// True when a key without an index leads to rows that go, and may be dropped
/// meanwhile.
fn is_dear(plan: &Plan) -> bool {
    let (schema, changed) = (plan.schema(), plan.changed_tables());
    let mut keys = schema.foreign_keys();
    plan.model().policy().bulk.exclusive
        && keys.any(|(id, key)| {
            key.origin == Origin::Catalogue
                && changed.contains(&key.parent)
                && !schema.is_indexed(id)
        })
}

/// Steps that cannot be parts of one statement: it changes a row once, and
/// nobody sees a default before its end.
fn steps(plan: &Plan) -> Option<&'static str> {
    let mut updated: BTreeSet<TableId> = BTreeSet::new();
    for step in plan.steps() {
        let table = match step {
            Step::Restore(step) => plan.set(step.set).table,
            Step::Detach(step) => {
                let mut references = step.references.iter();
                if references.any(|reference| reference.to == Cleared::Default) {
                    return Some("a reference gets its default, which has to be looked at");
                }
                step.table
            }
            Step::Delete(_) => continue,
            Step::Release(_) | Step::Wipe(_) => return Some("everything is in scope"),
        };
        if !updated.insert(table) {
            return Some("rows are changed twice");
        }
    }
    None
}
