//! Resolves the names of a policy in a schema, and gathers all that is wrong
//! with them at once.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    model::{LevelRules, MIGRATION_TABLES, Mark, MarkedTable, Users},
    problem::{Problem, nearest},
};
use crate::{
    policy::{self, BcryptCost, Policy, Treatment, Value},
    schema::{
        ColumnId, ColumnPair, ForeignKey, ForeignKeyId, Origin, ReferentialAction, Schema, Table,
        TableId,
    },
};

/// Resolves names and gathers what is wrong.
#[derive(Default)]
pub(super) struct Binder {
    pub(super) problems: Vec<Problem>,
}

impl Binder {
    pub(super) fn add(&mut self, text: String) {
        self.problems.push(Problem::new(text));
    }

    pub(super) fn table(&mut self, schema: &Schema, place: &str, name: &str) -> Option<TableId> {
        let found = schema.find(name);
        if found.is_none() {
            let names = schema.tables().map(|(_, table)| table.name.to_string());
            self.add(format!(
                "{place} names table {name}, which does not exist{}",
                nearest(name, names)
            ));
        }
        found
    }

    fn column(&mut self, table: &Table, place: &str, name: &str) -> Option<ColumnId> {
        let found = table.find(name);
        if found.is_none() {
            let names = table.columns.iter().map(|column| column.name.clone());
            self.add(format!(
                "{place} names column {}.{name}, which does not exist{}",
                table.name,
                nearest(name, names)
            ));
        }
        found
    }

    /// A `table.column`, where the table may have a schema before it.
    pub(super) fn place(
        &mut self,
        schema: &Schema,
        place: &str,
        name: &str,
    ) -> Option<(TableId, ColumnId)> {
        let Some((table, column)) = name.rsplit_once('.') else {
            self.add(format!("{place} says {name}, which is not table.column"));
            return None;
        };
        let table = self.table(schema, place, table)?;
        let column = self.column(schema.table(table), place, column)?;
        Some((table, column))
    }

    pub(super) fn relations(&mut self, schema: &Schema, policy: &Policy) -> Vec<ForeignKey> {
        let mut relations = Vec::new();
        for relation in &policy.relations {
            let child = self.place(schema, "relations.child", &relation.child);
            let parent = self.place(schema, "relations.parent", &relation.parent);
            let (Some((child, from)), Some((parent, to))) = (child, parent) else {
                continue;
            };
            relations.push(ForeignKey {
                name: None,
                child,
                parent,
                columns: vec![ColumnPair {
                    child: from,
                    parent: to,
                }],
                on_delete: ReferentialAction::NoAction,
                deferrable: true,
                origin: Origin::Relation,
            });
        }
        relations
    }

    pub(super) fn keep(&mut self, schema: &Schema, policy: &Policy) -> BTreeSet<TableId> {
        let named: Vec<_> = policy
            .keep
            .iter()
            .filter_map(|name| self.table(schema, "keep", name))
            .collect();
        schema
            .tables()
            .filter(|(_, table)| MIGRATION_TABLES.contains(&table.name.name.as_str()))
            .map(|(id, _)| id)
            .chain(named)
            .collect()
    }

    /// The conditions of the tables that can have orphans.
    pub(super) fn orphans(
        &mut self,
        schema: &Schema,
        policy: &Policy,
    ) -> BTreeMap<TableId, String> {
        let mut orphans = BTreeMap::new();
        for (name, condition) in &policy.orphans {
            let Some(table) = self.table(schema, "orphans", name) else {
                continue;
            };
            if name == &policy.users.table || policy.keep.contains(name) {
                self.add(format!("orphans names {name}, whose rows are never swept"));
            }
            orphans.insert(table, condition.clone());
        }
        orphans
    }

    pub(super) fn treatments(
        &mut self,
        schema: &Schema,
        policy: &Policy,
    ) -> BTreeMap<ForeignKeyId, Treatment> {
        let mut treatments = BTreeMap::new();
        for (name, &treatment) in &policy.references {
            let found = references_named(schema, name);
            if found.is_empty() {
                self.add(format!(
                    "references names {name}, which is neither a foreign key's name nor a \
                     table.column that refers to another table"
                ));
            }
            for id in found {
                if treatment == Treatment::Detach && schema.detachable(id).is_empty() {
                    self.add(format!(
                        "references.\"{name}\" says detach, but {} cannot be NULL",
                        schema.describe(id)
                    ));
                }
                treatments.insert(id, treatment);
            }
        }
        treatments
    }

    pub(super) fn level(
        &mut self,
        schema: &Schema,
        name: &str,
        rules: &policy::LevelRules,
    ) -> LevelRules {
        let place = format!("levels.{name}.delete");
        let delete = rules
            .delete
            .iter()
            .filter_map(|table| self.table(schema, &place, table))
            .collect();
        let place = format!("levels.{name}.restore");
        let restore = self.restored(schema, &place, &rules.restore);
        LevelRules { delete, restore }
    }

    /// Columns that are set back, by table.
    pub(super) fn restored(
        &mut self,
        schema: &Schema,
        place: &str,
        tables: &BTreeMap<String, BTreeMap<String, Value>>,
    ) -> BTreeMap<TableId, Vec<(ColumnId, Value)>> {
        let mut restore = BTreeMap::new();
        for (table, values) in tables {
            let Some(id) = self.table(schema, place, table) else {
                continue;
            };
            let assignments = values
                .iter()
                .filter_map(|(column, value)| {
                    let column = self.restorable(schema.table(id), place, column, value)?;
                    Some((column, value.clone()))
                })
                .collect();
            restore.insert(id, assignments);
        }
        restore
    }

    fn restorable(
        &mut self,
        table: &Table,
        place: &str,
        name: &str,
        value: &Value,
    ) -> Option<ColumnId> {
        let id = self.column(table, place, name)?;
        let column = table.column(id);
        let wrong = if column.generated {
            "is computed by the database"
        } else if table.primary_key.contains(&id) {
            "is part of the primary key"
        } else if *value == Value::Null && !column.nullable {
            "cannot be NULL"
        } else {
            return Some(id);
        };
        self.add(format!("{place} sets {}.{name}, which {wrong}", table.name));
        None
    }

    pub(super) fn users(
        &mut self,
        schema: &Schema,
        policy: &Policy,
        marked: &[MarkedTable],
    ) -> Option<Users> {
        let file = &policy.users;
        let table_id = self.table(schema, "users.table", &file.table)?;
        let table = schema.table(table_id);
        let key = match (&file.key, table.primary_key.as_slice()) {
            (Some(name), _) => self.column(table, "users.key", name),
            (None, [one]) => Some(*one),
            (None, _) => {
                self.add(format!(
                    "{} has no primary key of one column: name its key as users.key",
                    table.name
                ));
                None
            }
        };
        if let Some(key) = key
            && !table
                .indexes
                .iter()
                .any(|index| index.unique && index.columns == [key])
        {
            let name = &table.column(key).name;
            self.add(format!(
                "users.key is {name}, which is not unique in {}",
                table.name
            ));
        }
        let email = self.column(table, "users.email", &file.email);
        let mut optional = |place: &str, name: Option<&String>| {
            name.and_then(|name| self.column(table, place, name))
        };
        let user_type = optional("users.type", file.user_type.as_ref());
        let active = optional("users.active", file.active.as_ref());
        let admins = file.admins.as_ref().and_then(|admins| {
            optional("users.admins", Some(&admins.column)).map(|id| (id, admins.values.clone()))
        });
        let marker = marked
            .iter()
            .filter(|root| root.table == table_id)
            .flat_map(|root| &root.places)
            .find_map(|place| match place {
                Mark::Json(column, path) => Some((*column, path.clone())),
                Mark::Tags(_) => None,
            });
        self.creation(table, policy, key);
        Some(Users {
            table: table_id,
            key: key?,
            email: email?,
            user_type,
            active,
            admins,
            marker,
        })
    }

    pub(super) fn marked(&mut self, schema: &Schema, policy: &Policy) -> Vec<MarkedTable> {
        let mut marked = Vec::new();
        if let Some(cleanup) = &policy.cleanup {
            self.counts(schema, "cleanup", &cleanup.public_counts);
        }
        self.counts(schema, "full_reset", &policy.full_reset.public_counts);
        for root in policy.cleanup.iter().flat_map(|cleanup| &cleanup.roots) {
            let Some(id) = self.table(schema, "cleanup.roots", &root.table) else {
                continue;
            };
            let table = schema.table(id);
            let places: Vec<Mark> = root
                .places()
                .filter_map(|place| self.mark(table, &place))
                .collect();
            if places.is_empty() {
                self.add(format!(
                    "cleanup.roots says not where {} is marked",
                    root.table
                ));
            }
            marked.push(MarkedTable { table: id, places });
        }
        marked
    }

    fn mark(&mut self, table: &Table, place: &policy::Place) -> Option<Mark> {
        let at = "cleanup.roots";
        match (&place.json, &place.tags) {
            (Some(json), None) => {
                let mut path = json.split('.').map(str::to_owned);
                let column = self.column(table, at, &path.next().unwrap_or_default())?;
                Some(Mark::Json(column, path.collect()))
            }
            (None, Some(tags)) => {
                let columns: Vec<ColumnId> = tags
                    .iter()
                    .filter_map(|tag| self.column(table, at, tag))
                    .collect();
                (!columns.is_empty()).then_some(Mark::Tags(columns))
            }
            (Some(_), Some(_)) | (None, None) => {
                self.add(format!("{at} of {} needs one of json and tags", table.name));
                None
            }
        }
    }

    /// A created user must fill every column that the database demands.
    fn creation(&mut self, table: &Table, policy: &Policy, key: Option<ColumnId>) {
        let Some(create) = &policy.users.create else {
            return;
        };
        let set = create.set.keys().map(|name| ("users.create.set", name));
        let attributes = create
            .attributes
            .iter()
            .map(|name| ("users.create.attributes", name));
        let password = create
            .password
            .iter()
            .map(|p| ("users.create.password", &p.column));
        let mut filled = BTreeSet::new();
        for (place, name) in set.chain(password) {
            filled.extend(self.column(table, place, name));
        }
        for (place, name) in attributes {
            self.column(table, place, name);
        }
        filled.extend(table.find(&policy.users.email));
        filled.extend(
            policy
                .users
                .user_type
                .as_ref()
                .and_then(|name| table.find(name)),
        );
        if create.key.is_some() {
            filled.extend(key);
        }
        for (index, column) in table.columns.iter().enumerate() {
            let id = ColumnId(index);
            let by_database =
                column.default.is_some() || column.generated || column.automatic || column.nullable;
            if !filled.contains(&id) && !by_database {
                self.add(format!(
                    "users.create leaves {}.{} empty, which is NOT NULL and has no default: \
                     give it a value in users.create.set",
                    table.name, column.name
                ));
            }
        }
        if let Some(password) = &create.password {
            self.costs(&password.bcrypt_cost);
        }
    }

    fn costs(&mut self, costs: &BcryptCost) {
        for cost in costs.all().filter(|cost| !(4..=31).contains(cost)) {
            self.add(format!(
                "users.create.password.bcrypt_cost is {cost}, not 4 to 31"
            ));
        }
        if let BcryptCost::By(costs) = costs
            && !costs.contains_key(BcryptCost::DEFAULT)
        {
            self.add(
                "users.create.password.bcrypt_cost has no default for environments that it does \
                 not name"
                    .to_owned(),
            );
        }
    }
}

/// The foreign keys that a policy means: by the constraint's name, or by
/// `table.column` of one of its columns.
fn references_named(schema: &Schema, name: &str) -> Vec<ForeignKeyId> {
    let refers = |key: &ForeignKey| {
        let table = schema.table(key.child);
        key.name.as_deref() == Some(name)
            || key
                .child_columns()
                .any(|column| format!("{}.{}", table.name, table.column(column).name) == name)
    };
    schema
        .foreign_keys()
        .filter(|(_, key)| refers(key))
        .map(|(id, _)| id)
        .collect()
}
