//! Which tables a scope reaches, and what happens along each reference.
//!
//! The rules, in the order in which they are asked, for each reference into a
//! row that will go:
//!
//! 1. the policy says `delete`, `detach` or `block`;
//! 2. the database's own action: CASCADE deletes, SET NULL detaches, SET
//!    DEFAULT restores the default;
//! 3. a reference that cannot be NULL is followed;
//! 4. one that can be NULL is a mention and is detached when the table has an
//!    owner through rules 1 to 3; it is followed when it is the table's only
//!    way in; with several and no owner the policy has to say.

use std::collections::{BTreeMap, BTreeSet};

use super::model::Model;
use serde::{Deserialize, Serialize};

use crate::{
    policy::Treatment,
    schema::{ForeignKeyId, Origin, ReferentialAction, Schema, TableId, graph},
};

/// What happens to the rows of a reference whose parent goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// What happens.
    pub fate: Fate,
    /// The number of the rule that decided; 0 where the table is kept or the
    /// level does not reach it.
    pub rule: u8,
    /// Why, in words.
    pub reason: String,
}

/// What happens to a row whose parent goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It goes too.
    Delete,
    /// It stays, its reference becomes NULL.
    Detach,
    /// It stays, its reference becomes its default.
    RestoreDefault,
    /// It must not be there.
    Block,
}

/// The tables that a scope reaches and the choice for each reference into one
/// of them.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// The tables, roots included.
    pub tables: BTreeSet<TableId>,
    /// The choices.
    pub choices: BTreeMap<ForeignKeyId, Choice>,
}

/// A table that several optional references lead to, none of which owns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ambiguity {
    /// The table.
    pub table: TableId,
    /// The references.
    pub ways: Vec<ForeignKeyId>,
}

/// Follows every reference from `roots` by the rules.
///
/// # Errors
///
/// The tables for which rule 4 cannot tell the owner.
pub fn reach(model: &Model, roots: &BTreeSet<TableId>) -> Result<Reach, Vec<Ambiguity>> {
    let schema = model.schema();
    let decided: BTreeMap<ForeignKeyId, Option<Choice>> = schema
        .foreign_keys()
        .map(|(id, _)| (id, decide(model, id)))
        .collect();
    let possible = possible(schema, roots, &decided);
    let edges: Vec<_> = possible
        .followed
        .iter()
        .map(|&id| (schema.foreign_key(id).parent, schema.foreign_key(id).child))
        .collect();

    let mut walk = Walk {
        schema,
        decided: &decided,
        reached: roots.clone(),
        only_ways: BTreeSet::new(),
        ambiguous: Vec::new(),
    };
    for group in graph::groups(&possible.tables, &edges) {
        walk.enter(&group);
    }
    if walk.ambiguous.is_empty() {
        let (tables, only_ways) = (walk.reached, walk.only_ways);
        Ok(Reach {
            choices: choices(schema, &tables, &only_ways, decided),
            tables,
        })
    } else {
        Err(walk.ambiguous)
    }
}

/// Rules 1 to 3; nothing where rule 4 has to look at the whole graph.
fn decide(model: &Model, id: ForeignKeyId) -> Option<Choice> {
    let schema = model.schema();
    let key = schema.foreign_key(id);
    let treatment = model.treatment(id);
    let choice = |fate, rule, reason: &str| {
        Some(Choice {
            fate,
            rule,
            reason: reason.to_owned(),
        })
    };
    if model.keeps(key.child) && treatment != Some(Treatment::Detach) {
        return choice(Fate::Block, 0, "the table is kept");
    }
    match treatment {
        Some(Treatment::Delete) => return choice(Fate::Delete, 1, "the policy says delete"),
        Some(Treatment::Detach) => return choice(Fate::Detach, 1, "the policy says detach"),
        Some(Treatment::Block) => return choice(Fate::Block, 1, "the policy says block"),
        None => {}
    }
    let optional = !schema.detachable(id).is_empty();
    if key.origin == Origin::Catalogue {
        match key.on_delete {
            ReferentialAction::Cascade => return choice(Fate::Delete, 2, "ON DELETE CASCADE"),
            ReferentialAction::SetNull if optional => {
                return choice(Fate::Detach, 2, "ON DELETE SET NULL");
            }
            ReferentialAction::SetNull => {
                return choice(
                    Fate::Delete,
                    2,
                    "ON DELETE SET NULL of columns that cannot be NULL",
                );
            }
            ReferentialAction::SetDefault => {
                return choice(Fate::RestoreDefault, 2, "ON DELETE SET DEFAULT");
            }
            ReferentialAction::NoAction | ReferentialAction::Restrict => {}
        }
    }
    if optional {
        None
    } else {
        choice(Fate::Delete, 3, "the reference is required")
    }
}

/// What could be reached if every optional reference were followed.
struct Possible {
    tables: BTreeSet<TableId>,
    followed: BTreeSet<ForeignKeyId>,
}

fn possible(
    schema: &Schema,
    roots: &BTreeSet<TableId>,
    decided: &BTreeMap<ForeignKeyId, Option<Choice>>,
) -> Possible {
    let mut tables = roots.clone();
    let mut followed = BTreeSet::new();
    let mut frontier: Vec<TableId> = roots.iter().copied().collect();
    while let Some(parent) = frontier.pop() {
        for (id, key) in schema
            .foreign_keys()
            .filter(|(_, key)| key.parent == parent)
        {
            let follows = decided[&id]
                .as_ref()
                .is_none_or(|choice| choice.fate == Fate::Delete);
            if follows {
                followed.insert(id);
                if tables.insert(key.child) {
                    frontier.push(key.child);
                }
            }
        }
    }
    Possible { tables, followed }
}

/// The walk over groups of tables, parents first, that finds owners.
struct Walk<'a> {
    schema: &'a Schema,
    decided: &'a BTreeMap<ForeignKeyId, Option<Choice>>,
    reached: BTreeSet<TableId>,
    only_ways: BTreeSet<ForeignKeyId>,
    ambiguous: Vec<Ambiguity>,
}

impl Walk<'_> {
    /// Enters a group whose parents outside it are settled: by owners first,
    /// and only where there is none by an only way in.
    fn enter(&mut self, group: &[TableId]) {
        loop {
            while self.enter_by_owner(group) {}
            let entries: Vec<(TableId, Vec<ForeignKeyId>)> = group
                .iter()
                .filter(|table| !self.reached.contains(table))
                .map(|&table| (table, self.optional_ways(table)))
                .filter(|(_, ways)| !ways.is_empty())
                .collect();
            if entries.is_empty() {
                return;
            }
            for (table, ways) in entries {
                self.reached.insert(table);
                match ways.as_slice() {
                    [only] => {
                        self.only_ways.insert(*only);
                    }
                    _ => self.ambiguous.push(Ambiguity { table, ways }),
                }
            }
        }
    }

    fn enter_by_owner(&mut self, group: &[TableId]) -> bool {
        let owned: Vec<TableId> = self
            .schema
            .foreign_keys()
            .filter(|(id, key)| {
                group.contains(&key.child)
                    && !self.reached.contains(&key.child)
                    && self.reached.contains(&key.parent)
                    && self.decided[id]
                        .as_ref()
                        .is_some_and(|choice| choice.fate == Fate::Delete)
            })
            .map(|(_, key)| key.child)
            .collect();
        self.reached.extend(&owned);
        !owned.is_empty()
    }

    fn optional_ways(&self, table: TableId) -> Vec<ForeignKeyId> {
        self.schema
            .foreign_keys()
            .filter(|(id, key)| {
                key.child == table
                    && self.reached.contains(&key.parent)
                    && self.decided[id].is_none()
            })
            .map(|(id, _)| id)
            .collect()
    }
}

fn choices(
    schema: &Schema,
    tables: &BTreeSet<TableId>,
    only_ways: &BTreeSet<ForeignKeyId>,
    decided: BTreeMap<ForeignKeyId, Option<Choice>>,
) -> BTreeMap<ForeignKeyId, Choice> {
    decided
        .into_iter()
        .filter(|(id, _)| tables.contains(&schema.foreign_key(*id).parent))
        .map(|(id, choice)| {
            let choice = choice.unwrap_or_else(|| {
                if only_ways.contains(&id) {
                    Choice {
                        fate: Fate::Delete,
                        rule: 4,
                        reason: "the table's only way in".to_owned(),
                    }
                } else {
                    Choice {
                        fate: Fate::Detach,
                        rule: 4,
                        reason: "a mention: the table has another owner".to_owned(),
                    }
                }
            });
            (id, choice)
        })
        .collect()
}
