//! A policy bound to a schema: every name resolved, every contradiction
//! found before the first reset.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    problem::{Problem, nearest},
    reach,
};
use crate::{
    operation::Level,
    policy::{self, Policy, Treatment, Value},
    schema::{
        ColumnId, ColumnPair, ForeignKey, ForeignKeyId, Origin, ReferentialAction, Schema, Table,
        TableId,
    },
};

/// Tables in which migration tools keep their books; they are kept without
/// being named.
const MIGRATION_TABLES: [&str; 13] = [
    "__EFMigrationsHistory",
    "_prisma_migrations",
    "_sqlx_migrations",
    "alembic_version",
    "ar_internal_metadata",
    "databasechangelog",
    "databasechangeloglock",
    "diesel_schema_migrations",
    "__diesel_schema_migrations",
    "django_migrations",
    "flyway_schema_history",
    "knex_migrations",
    "schema_migrations",
];

/// A policy bound to the schema of a live database.
#[derive(Debug, Clone)]
pub struct Model {
    schema: Schema,
    policy: Policy,
    users: Users,
    keep: BTreeSet<TableId>,
    treatments: BTreeMap<ForeignKeyId, Treatment>,
    user_data: LevelRules,
    user_sessions: LevelRules,
    marked: Vec<MarkedTable>,
}

/// A table whose rows carry markers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkedTable {
    /// The table.
    pub table: TableId,
    /// Where its marker can be; a row is marked when any of these says so.
    pub places: Vec<Mark>,
}

/// Where a row's marker can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// In a JSON column, at this path to the object with the marker.
    Json(ColumnId, Vec<String>),
    /// In one of these columns, as `key:value`.
    Tags(Vec<ColumnId>),
}

/// The users table and its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users {
    /// The table.
    pub table: TableId,
    /// The key.
    pub key: ColumnId,
    /// The e-mail.
    pub email: ColumnId,
    /// The type's label.
    pub user_type: Option<ColumnId>,
    /// True for active users.
    pub active: Option<ColumnId>,
    /// The column that says who is an admin, and its labels.
    pub admins: Option<(ColumnId, Vec<String>)>,
    /// The JSON column of test markers and the path in it, when the policy
    /// marks users.
    pub marker: Option<(ColumnId, Vec<String>)>,
}

/// What a level takes from tables that stay otherwise.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LevelRules {
    /// Tables whose rows go.
    pub delete: BTreeSet<TableId>,
    /// Columns that are set back.
    pub restore: BTreeMap<TableId, Vec<(ColumnId, Value)>>,
}

impl Model {
    /// Binds a policy to a schema.
    ///
    /// # Errors
    ///
    /// Every name that does not exist and every contradiction, at once.
    pub fn bind(schema: Schema, policy: Policy) -> Result<Self, Vec<Problem>> {
        let mut binder = Binder::default();
        let relations = binder.relations(&schema, &policy);
        let schema = schema.with_relations(relations);
        let keep = binder.keep(&schema, &policy);
        let treatments = binder.treatments(&schema, &policy);
        let user_data = binder.level(&schema, "user_data", &policy.levels.user_data);
        let user_sessions = binder.level(&schema, "user_sessions", &policy.levels.user_sessions);
        let marked = binder.marked(&schema, &policy);
        let Some(users) = binder.users(&schema, &policy, &marked) else {
            return Err(binder.problems);
        };
        if keep.contains(&users.table) {
            binder.add("keep names the users table, so no user could ever be reset".into());
        }
        let model = Self {
            schema,
            policy,
            users,
            keep,
            treatments,
            user_data,
            user_sessions,
            marked,
        };
        binder.problems.extend(model.contradictions());
        if binder.problems.is_empty() {
            Ok(model)
        } else {
            Err(binder.problems)
        }
    }

    /// The schema, with the policy's relations.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The policy as written.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The users table.
    #[must_use]
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// True for tables that no reset changes.
    #[must_use]
    pub fn keeps(&self, table: TableId) -> bool {
        self.keep.contains(&table)
    }

    /// What the policy says of a reference.
    #[must_use]
    pub fn treatment(&self, id: ForeignKeyId) -> Option<Treatment> {
        self.treatments.get(&id).copied()
    }

    /// What a level takes, together with the levels that it includes. The
    /// cascade takes everything, which no rules need to say.
    #[must_use]
    pub fn level(&self, level: Level) -> LevelRules {
        match level {
            Level::UserData => self.user_data.clone(),
            Level::UserSessions => {
                let mut rules = self.user_data.clone();
                rules.delete.extend(&self.user_sessions.delete);
                for (&table, values) in &self.user_sessions.restore {
                    rules
                        .restore
                        .entry(table)
                        .or_default()
                        .extend(values.clone());
                }
                rules
            }
            Level::UserCascade => LevelRules::default(),
        }
    }

    /// The tables whose rows carry markers.
    pub fn marked(&self) -> impl Iterator<Item = &MarkedTable> {
        self.marked.iter()
    }

    /// What the rules cannot decide, and what a level names but cannot find.
    fn contradictions(&self) -> Vec<Problem> {
        let roots = BTreeSet::from([self.users.table]);
        let reach = match reach::reach(self, &roots) {
            Ok(reach) => reach,
            Err(ambiguities) => {
                return ambiguities
                    .iter()
                    .map(|ambiguity| Problem::ambiguous(&self.schema, ambiguity))
                    .collect();
            }
        };
        let named = [
            ("user_data", &self.user_data),
            ("user_sessions", &self.user_sessions),
        ];
        named
            .into_iter()
            .flat_map(|(level, rules)| {
                let tables = rules.delete.iter().chain(rules.restore.keys());
                tables.map(move |&table| (level, table))
            })
            .filter_map(|(level, table)| {
                let name = &self.schema.table(table).name;
                if self.keeps(table) {
                    Some(format!("levels.{level} names {name}, which is kept"))
                } else if reach.tables.contains(&table) {
                    None
                } else {
                    Some(format!(
                        "levels.{level} names {name}, but no reference leads from it to {}: \
                         declare one under [[relations]]",
                        self.schema.table(self.users.table).name
                    ))
                }
            })
            .map(Problem::new)
            .collect()
    }
}

/// Resolves names and gathers what is wrong.
#[derive(Default)]
struct Binder {
    problems: Vec<Problem>,
}

impl Binder {
    fn add(&mut self, text: String) {
        self.problems.push(Problem::new(text));
    }

    fn table(&mut self, schema: &Schema, place: &str, name: &str) -> Option<TableId> {
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
    fn place(&mut self, schema: &Schema, place: &str, name: &str) -> Option<(TableId, ColumnId)> {
        let Some((table, column)) = name.rsplit_once('.') else {
            self.add(format!("{place} says {name}, which is not table.column"));
            return None;
        };
        let table = self.table(schema, place, table)?;
        let column = self.column(schema.table(table), place, column)?;
        Some((table, column))
    }

    fn relations(&mut self, schema: &Schema, policy: &Policy) -> Vec<ForeignKey> {
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

    fn keep(&mut self, schema: &Schema, policy: &Policy) -> BTreeSet<TableId> {
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

    fn treatments(
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

    fn level(&mut self, schema: &Schema, name: &str, rules: &policy::LevelRules) -> LevelRules {
        let place = format!("levels.{name}.delete");
        let delete = rules
            .delete
            .iter()
            .filter_map(|table| self.table(schema, &place, table))
            .collect();
        let place = format!("levels.{name}.restore");
        let mut restore = BTreeMap::new();
        for (table, values) in &rules.restore {
            let Some(id) = self.table(schema, &place, table) else {
                continue;
            };
            let assignments = values
                .iter()
                .filter_map(|(column, value)| {
                    let column = self.restorable(schema.table(id), &place, column, value)?;
                    Some((column, value.clone()))
                })
                .collect();
            restore.insert(id, assignments);
        }
        LevelRules { delete, restore }
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

    fn users(&mut self, schema: &Schema, policy: &Policy, marked: &[MarkedTable]) -> Option<Users> {
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

    fn marked(&mut self, schema: &Schema, policy: &Policy) -> Vec<MarkedTable> {
        let mut marked = Vec::new();
        let counted = policy
            .cleanup
            .iter()
            .flat_map(|cleanup| &cleanup.public_counts);
        for name in counted {
            self.table(schema, "cleanup.public_counts", name);
        }
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
        if let Some(password) = &create.password
            && !(4..=31).contains(&password.bcrypt_cost)
        {
            self.add(format!(
                "users.create.password.bcrypt_cost is {}, not 4 to 31",
                password.bcrypt_cost
            ));
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
