//! The plan of a full reset: everything goes but what is kept, and kept rows
//! keep whatever they refer to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Model, Parts, Path, Plan, Release, Role, RowSet, Scope, SetId, Step, Whence, Wipe,
    build::groups,
};
use crate::{
    policy::Treatment,
    schema::{ColumnId, ForeignKeyId, Origin, Schema, TableId, graph},
};

/// Plans the reset of everything.
pub(super) fn build(model: &Arc<Model>) -> Plan {
    let mut keeper = Keeper {
        model,
        schema: model.schema(),
        sets: Vec::new(),
        ids: BTreeMap::new(),
    };
    keeper.keep_upwards();
    keeper.name_columns();
    let mut steps = keeper.releases();
    steps.extend(keeper.wipes());
    let groups = groups(&keeper.sets);
    Plan(Arc::new(Parts {
        model: Arc::clone(model),
        scope: Scope::Everything,
        sets: keeper.sets,
        groups,
        checks: Vec::new(),
        shares: Vec::new(),
        steps,
        edges: Vec::new(),
    }))
}

struct Keeper<'a> {
    model: &'a Arc<Model>,
    schema: &'a Schema,
    sets: Vec<RowSet>,
    ids: BTreeMap<TableId, SetId>,
}

impl Keeper<'_> {
    /// References by which a kept row keeps its parent. Where the policy says
    /// detach, the reference is cleared instead.
    fn keeping(&self) -> Vec<(ForeignKeyId, TableId, TableId)> {
        self.schema
            .foreign_keys()
            .filter(|(id, _)| self.model.treatment(*id) != Some(Treatment::Detach))
            .map(|(id, key)| (id, key.child, key.parent))
            .filter(|(_, _, parent)| !self.model.keeps(*parent))
            .collect()
    }

    fn set(&mut self, table: TableId) -> (SetId, bool) {
        let next = SetId(self.sets.len());
        let id = *self.ids.entry(table).or_insert(next);
        if id == next {
            self.sets.push(RowSet {
                table,
                role: Role::Kept,
                is_root: table == self.model.users().table,
                paths: Vec::new(),
                columns: Vec::new(),
            });
        }
        (id, id == next)
    }

    /// From the kept users and the kept tables upwards, to whatever they
    /// refer to.
    fn keep_upwards(&mut self) {
        let keeping = self.keeping();
        let (users, _) = self.set(self.model.users().table);
        let mut frontier = vec![users];
        for &(foreign_key, child, parent) in &keeping {
            if self.model.keeps(child) {
                let (set, new) = self.set(parent);
                let from = Whence::AllChildren;
                self.sets[set.0].paths.push(Path { foreign_key, from });
                if new {
                    frontier.push(set);
                }
            }
        }
        while let Some(from) = frontier.pop() {
            let table = self.sets[from.0].table;
            for &(foreign_key, child, parent) in &keeping {
                if child == table {
                    let (set, new) = self.set(parent);
                    let from = Whence::Children(from);
                    self.sets[set.0].paths.push(Path { foreign_key, from });
                    if new {
                        frontier.push(set);
                    }
                }
            }
        }
    }

    /// A set keeps the columns by which its rows refer to others, and by
    /// which released references refer to them.
    fn name_columns(&mut self) {
        for set in &mut self.sets {
            let mut columns: BTreeSet<ColumnId> = BTreeSet::new();
            for (_, key) in self.schema.foreign_keys() {
                if key.child == set.table {
                    columns.extend(key.child_columns());
                }
                if key.parent == set.table {
                    columns.extend(key.columns.iter().map(|pair| pair.parent));
                }
            }
            set.columns = columns.into_iter().collect();
        }
    }

    fn releases(&self) -> Vec<Step> {
        self.schema
            .foreign_keys()
            .filter(|(id, key)| {
                self.model.treatment(*id) == Some(Treatment::Detach)
                    && !self.model.keeps(key.parent)
                    && (self.model.keeps(key.child) || self.ids.contains_key(&key.child))
            })
            .map(|(foreign_key, key)| {
                Step::Release(Release {
                    foreign_key,
                    columns: self.schema.detachable(foreign_key),
                    rows: self.ids.get(&key.child).copied(),
                    parents: self.ids.get(&key.parent).copied(),
                })
            })
            .collect()
    }

    fn wipes(&self) -> Vec<Step> {
        let tables: BTreeSet<TableId> = self
            .schema
            .tables()
            .map(|(id, _)| id)
            .filter(|&id| !self.model.keeps(id))
            .collect();
        let edges: Vec<(TableId, TableId)> = self
            .schema
            .foreign_keys()
            .filter(|(_, key)| key.origin == Origin::Catalogue)
            .map(|(_, key)| (key.parent, key.child))
            .collect();
        let apart: Vec<_> = edges.iter().filter(|(p, c)| p != c).copied().collect();
        let mut groups = graph::groups(&tables, &apart);
        groups.reverse();
        groups
            .into_iter()
            .map(|group| {
                let cyclic = edges
                    .iter()
                    .any(|(p, c)| group.contains(p) && group.contains(c));
                let tables = group
                    .iter()
                    .map(|&table| (table, self.ids.get(&table).copied()));
                Step::Wipe(Wipe {
                    tables: tables.collect(),
                    cyclic,
                })
            })
            .collect()
    }
}
