//! A policy bound to a schema: every name resolved, every contradiction
//! found before the first reset.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    EffectRule, Scope,
    bind::Binder,
    elsewhere::{Extent, Source},
    problem::Problem,
    reach,
    recipe::Recipe,
};
use crate::{
    operation::Level,
    policy::{FileRule, Policy, RedisRule, Treatment, Value},
    schema::{ColumnId, ForeignKeyId, Schema, TableId},
};

/// Tables in which migration tools keep their books; they are kept without
/// being named.
pub(super) const MIGRATION_TABLES: [&str; 13] = [
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
    orphans: BTreeMap<TableId, String>,
    recipes: BTreeMap<String, Recipe>,
    effects: Effects,
}

/// What goes outside the database, by how much is reset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Effects {
    user_data: Vec<EffectRule>,
    /// Of the sessions alone, without the levels below.
    sessions: Vec<EffectRule>,
    user_sessions: Vec<EffectRule>,
    user_cascade: Vec<EffectRule>,
    marked: Vec<EffectRule>,
    everything: Vec<EffectRule>,
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

impl Effects {
    /// Each level includes those before it; what the cascade takes of a user,
    /// it takes wherever a user goes.
    fn bind(binder: &mut Binder, schema: &Schema, users: &Users, policy: &Policy) -> Self {
        let levels = &policy.levels;
        let mut bind = |place: &str, redis: &[RedisRule], files: &[FileRule], extent| {
            binder.effects((schema, users), place, (redis, files), extent)
        };
        let mut rules = Vec::new();
        let mut level = |place: &str, redis: &[RedisRule], files: &[FileRule]| {
            rules.extend(bind(place, redis, files, Extent::Rows));
            rules.clone()
        };
        let (data, sessions) = (&levels.user_data, &levels.user_sessions);
        let user_data = level("levels.user_data", &data.redis, &data.files);
        let user_sessions = level("levels.user_sessions", &sessions.redis, &sessions.files);
        let alone = user_sessions.get(user_data.len()..).unwrap_or_default();
        let alone = alone.to_vec();
        let cascade = &levels.user_cascade;
        let user_cascade = level("levels.user_cascade", &cascade.redis, &cascade.files);
        let marked = match &policy.cleanup {
            Some(cleanup) => level("cleanup", &cleanup.redis, &cleanup.files),
            None => user_cascade.clone(),
        };
        let full = &policy.full_reset;
        let everything = bind("full_reset", &full.redis, &full.files, Extent::Everything);
        Self {
            user_data,
            sessions: alone,
            user_sessions,
            user_cascade,
            marked,
            everything,
        }
    }
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
        let orphans = binder.orphans(&schema, &policy);
        let Some(users) = binder.users(&schema, &policy, &marked) else {
            return Err(binder.problems);
        };
        let effects = Effects::bind(&mut binder, &schema, &users, &policy);
        let recipes = binder.recipes((&schema, &users), &policy);
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
            orphans,
            recipes,
            effects,
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

    /// The tables that can have rows without an owner, each with the condition
    /// that tells them.
    #[must_use]
    pub fn orphans(&self) -> &BTreeMap<TableId, String> {
        &self.orphans
    }

    /// A recipe, with all that it includes.
    #[must_use]
    pub fn recipe(&self, name: &str) -> Option<&Recipe> {
        self.recipes.get(name)
    }

    /// Every recipe.
    #[must_use]
    pub fn recipes(&self) -> &BTreeMap<String, Recipe> {
        &self.recipes
    }

    /// Every condition in the database's own SQL: where the policy has it, and
    /// of which table.
    #[must_use]
    pub fn conditions(&self) -> Vec<(String, TableId, &str)> {
        let mut conditions = Vec::new();
        for (&table, condition) in &self.orphans {
            conditions.push(("orphans".to_owned(), table, condition.as_str()));
        }
        for (name, recipe) in &self.recipes {
            for (&table, condition) in &recipe.delete {
                if let Some(condition) = condition {
                    conditions.push((format!("recipes.{name}.delete"), table, condition.as_str()));
                }
            }
        }
        conditions
    }

    /// What goes with the rows of a scope outside the database.
    #[must_use]
    pub fn effects(&self, scope: &Scope) -> &[EffectRule] {
        match scope {
            Scope::User(level) | Scope::TestUsers(level) => match level {
                Level::UserData => &self.effects.user_data,
                Level::UserSessions => &self.effects.user_sessions,
                Level::UserCascade => &self.effects.user_cascade,
            },
            Scope::Sessions => &self.effects.sessions,
            Scope::Recipe(name) => self.recipe(name).map_or(&[], |recipe| &recipe.effects),
            Scope::Marked => &self.effects.marked,
            Scope::Orphans => &self.effects.user_cascade,
            Scope::Everything => &self.effects.everything,
        }
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
                    // Both levels may name a column: the higher one decides.
                    let restored = rules.restore.entry(table).or_default();
                    restored.retain(|(column, _)| values.iter().all(|(other, _)| other != column));
                    restored.extend(values.clone());
                }
                rules
            }
            Level::UserCascade => LevelRules::default(),
        }
    }

    /// What ends the sessions of a user whose password is set, and nothing
    /// else of theirs.
    #[must_use]
    pub fn sessions(&self) -> LevelRules {
        self.user_sessions.clone()
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
        let mut problems = self.unreachable_sources(&reach);
        let contradictions = named
            .into_iter()
            .flat_map(|(level, rules)| {
                let deleted = rules.delete.iter().map(|&table| (table, true));
                let restored = rules.restore.keys().map(|&table| (table, false));
                deleted.chain(restored).map(move |named| (level, named))
            })
            .filter_map(|(level, (table, goes))| {
                let name = &self.schema.table(table).name;
                if goes && table == self.users.table {
                    Some(format!(
                        "levels.{level} deletes {name}, but only user_cascade takes accounts"
                    ))
                } else if self.keeps(table) {
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
            .map(Problem::new);
        problems.extend(contradictions);
        problems
    }

    /// Tables that keys and files are to be read from, but whose rows never go
    /// with a user.
    fn unreachable_sources(&self, reach: &reach::Reach) -> Vec<Problem> {
        let rules = self.effects.user_cascade.iter();
        let tables: BTreeSet<TableId> = rules
            .filter_map(|rule| match rule.source {
                Source::Rows(table, _) => Some(table),
                Source::Nothing | Source::Users(_) => None,
            })
            .filter(|table| !reach.tables.contains(table))
            .collect();
        let problem = |table| {
            let name = &self.schema.table(table).name;
            Problem::new(format!(
                "levels takes keys or files from {name}, whose rows do not go with a user"
            ))
        };
        tables.into_iter().map(problem).collect()
    }
}
