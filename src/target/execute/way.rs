//! In which way a plan would be carried out in earnest, and how long that
//! would take, as far as a dry run tells.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Executed, Request, Start, Strategy,
    cost::{self, Load, Lookup},
    lists, strategy, swift,
};
use crate::{
    plan::{Plan, Scope},
    schema::{Origin, Table, TableId},
    target::Target,
};

/// A way of carrying a plan out, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// What it is called.
    pub name: String,
    /// What speaks for it.
    pub reason: String,
    /// How long the changes would take; nothing where there is no prediction.
    pub predicted: Option<Duration>,
}

impl Target {
    /// How many rows are read, each time, to find those that refer to a row
    /// that goes, when no index finds them: what refers to it is gone before.
    #[must_use]
    pub fn scanned(&self, table: &Table, rows: u64, rehearsed: &Executed) -> u64 {
        match self.dialect.passes_deleted() {
            true => rows,
            false => rows.saturating_sub(going(rehearsed, table)),
        }
    }

    /// In which way a request on a plan would be carried out, of which a dry
    /// run did the same. `rows` are those of the tables that are known.
    #[must_use]
    pub fn way(
        &self,
        plan: &Plan,
        request: &Request,
        rehearsed: &Executed,
        rows: &BTreeMap<TableId, u64>,
    ) -> Way {
        let choice = strategy(self.dialect.as_ref(), plan, request);
        let users = plan.model().users().table;
        let is_few = match (choice.strategy, &request.start) {
            (Strategy::Lists, _) => lists::can_list(plan, &rehearsed.changes().tables),
            (_, Start::TestUsers(_)) => swift::is_few(
                rehearsed.changes().user_count,
                rows.get(&users).copied().unwrap_or(u64::MAX),
            ),
            _ => true,
        };
        let (way, reason) = match (choice.strategy, rehearsed.strategy()) {
            (way @ (Strategy::Chain | Strategy::Script | Strategy::Lists), _) if is_few => {
                (way, choice.reason)
            }
            (_, Strategy::Unlinked) => (
                Strategy::Unlinked,
                "validating foreign keys again takes less than checking them for each row",
            ),
            (_, Strategy::Unchecked) if matches!(plan.scope(), Scope::Everything) => (
                Strategy::Unchecked,
                "nothing that stays could refer to what goes",
            ),
            (_, Strategy::Unchecked) => (
                Strategy::Unchecked,
                "checking all rows at once takes less than checking each",
            ),
            (Strategy::Chain | Strategy::Script | Strategy::Lists, way) => {
                (way, "many of the users are in scope")
            }
            (_, way) => (way, choice.reason),
        };
        Way {
            name: name(way).to_owned(),
            reason: reason.to_owned(),
            predicted: self.predicted(way, plan, rehearsed, rows),
        }
    }

    /// By what goes of each table. How everything is emptied is decided table
    /// by table, on the way.
    fn predicted(
        &self,
        way: Strategy,
        plan: &Plan,
        rehearsed: &Executed,
        rows: &BTreeMap<TableId, u64>,
    ) -> Option<Duration> {
        if matches!(plan.scope(), Scope::Everything) {
            return None;
        }
        let (schema, changes) = (plan.schema(), rehearsed.changes());
        let mut time = match way {
            Strategy::Chain | Strategy::Script | Strategy::Lists => cost::statement(),
            Strategy::Sets | Strategy::Unlinked | Strategy::Unchecked => {
                cost::sets(changes.tables.len())
            }
        };
        time += cost::keyed(changes.total_rows());
        for (id, key) in schema.foreign_keys() {
            let parents = going(rehearsed, schema.table(key.parent));
            if key.origin != Origin::Catalogue || parents == 0 {
                continue;
            }
            let child = schema.table(key.child);
            let rows = rows.get(&key.child).copied().unwrap_or(0);
            let children = going(rehearsed, child);
            let lookup = match schema.is_indexed(id) {
                true => Lookup::Index,
                false => Lookup::Scan {
                    rows: self.scanned(child, rows, rehearsed),
                },
            };
            let load = Load {
                lookup,
                parents,
                children,
                staying: rows.saturating_sub(children),
            };
            time += cost::checks(way, load);
        }
        Some(time)
    }
}

fn name(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Chain => "one statement",
        Strategy::Script => "one text",
        Strategy::Lists => "lists of keys",
        Strategy::Sets => "step by step",
        Strategy::Unlinked => "step by step, without foreign keys",
        Strategy::Unchecked => "step by step, unchecked and verified",
    }
}

/// How many rows of a table go.
fn going(rehearsed: &Executed, table: &Table) -> u64 {
    let name = table.name.to_string();
    let mut tables = rehearsed.changes().tables.iter();
    let counts = tables.find(|counts| counts.table == name);
    counts.map_or(0, |counts| counts.deleted)
}
