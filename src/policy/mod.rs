//! What a policy file says about a target: which table holds the users, what
//! each level takes, and where the rules need help.
//!
//! This is the file as written. Whether its names exist in a database, and
//! what follows from them, is the planner's to say.

mod recipe;
mod selector;

pub use recipe::{
    BcryptCost, Cache, Counted, CountedEffect, Doomed, MinimumRole, PublicCount, Recipe,
    RecipeError, SeedValue, SeedVariable,
};
pub(crate) use selector::names_something;
pub use selector::{FilePlace, FileRule, Part, RedisRule, Template};

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};

/// What a reset does to a target, as far as the schema cannot say it itself.
///
/// A key that this build does not serve is refused, never ignored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Tables that no reset changes; tables of migration tools are kept
    /// without being named.
    #[serde(default)]
    pub keep: Vec<String>,
    /// Where the users are.
    pub users: Users,
    /// What each level takes.
    #[serde(default)]
    pub levels: Levels,
    /// Per reference (`table.column`, or the constraint's name): what happens
    /// to rows whose parent goes. Overrides the rules.
    #[serde(default)]
    pub references: BTreeMap<String, Treatment>,
    /// References that the database does not declare.
    #[serde(default)]
    pub relations: Vec<Relation>,
    /// Per table, the rows that have no owner any more, as a condition in the
    /// database's own SQL: swept after a cascade.
    #[serde(default)]
    pub orphans: BTreeMap<String, String>,
    /// How rows of test sessions are marked.
    pub cleanup: Option<Cleanup>,
    /// Resets that the application names itself.
    #[serde(default)]
    pub recipes: BTreeMap<String, Recipe>,
    /// How the whole database is reset.
    #[serde(default)]
    pub full_reset: FullReset,
    /// Values that seed files name.
    #[serde(default)]
    pub seed_values: BTreeMap<String, SeedValue>,
    /// What of Redis is a cache.
    pub cache: Option<Cache>,
    /// How many rows at once are reset.
    #[serde(default)]
    pub bulk: Bulk,
    /// Commands around whatever takes more than one user or session.
    #[serde(default)]
    pub hooks: Hooks,
}

/// How many rows at once are reset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bulk {
    /// True when nobody else works in the database while more than one user
    /// or session is reset: foreign keys may then be dropped for the time of
    /// the transaction, and others wait for its end.
    pub exclusive: bool,
}

/// Commands around an operation, each a list of a program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hooks {
    /// Those that have to succeed before anything is changed.
    pub before: Vec<Vec<String>>,
    /// Those after the commit; what does not succeed is a warning.
    pub after: Vec<Vec<String>>,
    /// How many seconds each may take.
    pub seconds: u64,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            before: Vec::new(),
            after: Vec::new(),
            seconds: 600,
        }
    }
}

/// Where the users are, and who of them is who.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Users {
    /// Their table.
    pub table: String,
    /// Their key column; the primary key when absent.
    pub key: Option<String>,
    /// The column of their e-mail.
    pub email: String,
    /// The column of their type's label.
    #[serde(rename = "type")]
    pub user_type: Option<String>,
    /// The column that is true for active users.
    pub active: Option<String>,
    /// Who is an admin.
    pub admins: Option<Admins>,
    /// The e-mail domains of test users.
    pub test_domains: Vec<String>,
    /// Domains that a request may add to those.
    #[serde(default)]
    pub extra_domains: Vec<String>,
    /// Keys or e-mails of users that are never reset.
    #[serde(default)]
    pub protect: Vec<String>,
    /// How a test user is created.
    pub create: Option<Create>,
}

/// Who is an admin: users whose `column` has one of `values`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admins {
    /// The column.
    pub column: String,
    /// The labels, as stored.
    pub values: Vec<String>,
}

/// How a test user is created.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// How the key is made; by the database when absent.
    pub key: Option<KeyMaker>,
    /// Where the password's hash goes.
    pub password: Option<Password>,
    /// Columns that every created user has.
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
    /// Columns that a request may set.
    #[serde(default)]
    pub attributes: Vec<String>,
}

/// How the key of a created user is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyMaker {
    /// A random UUID as text.
    Uuid4,
}

/// Where and how a password is stored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Password {
    /// The column of its hash.
    pub column: String,
    /// The password of users that are created without one.
    pub default: Option<String>,
    /// The cost of the bcrypt hash.
    pub bcrypt_cost: BcryptCost,
}

/// What each level takes. Each includes the ones before it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Levels {
    /// The account stays, with these columns restored.
    #[serde(default)]
    pub user_data: LevelRules,
    /// The account stays, its sessions go.
    #[serde(default)]
    pub user_sessions: LevelRules,
    /// The account goes, with everything that hangs off it.
    #[serde(default)]
    pub user_cascade: CascadeRules,
}

/// What a level takes from tables that stay otherwise.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelRules {
    /// Tables whose rows go, as far as they belong to the user.
    #[serde(default)]
    pub delete: Vec<String>,
    /// Columns that are set back, per table, in rows that belong to the user.
    #[serde(default)]
    pub restore: BTreeMap<String, BTreeMap<String, Value>>,
    /// Redis keys that go with each user.
    #[serde(default)]
    pub redis: Vec<RedisRule>,
    /// Files that go with each user.
    #[serde(default)]
    pub files: Vec<FileRule>,
}

/// What the cascade takes beyond what the references say.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CascadeRules {
    /// Redis keys that go with each user.
    #[serde(default)]
    pub redis: Vec<RedisRule>,
    /// Files that go with each user.
    #[serde(default)]
    pub files: Vec<FileRule>,
}

/// What happens to a row whose parent goes, where the policy says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Treatment {
    /// The row goes too.
    Delete,
    /// The row stays, its reference is set to NULL.
    Detach,
    /// The reset is refused when such a row would stay behind.
    Block,
}

/// A reference that the database does not declare.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relation {
    /// The referring column, `table.column`.
    pub child: String,
    /// The referred column, `table.column`.
    pub parent: String,
}

/// How rows of test sessions are marked, in JSON columns.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cleanup {
    /// The key and value that mark a row as test data.
    pub marker: Marker,
    /// The key that holds the test session's id.
    pub session: String,
    /// Where markers are.
    pub roots: Vec<MarkedTable>,
    /// The counts that are told by name, in this order.
    #[serde(default)]
    pub public_counts: Vec<PublicCount>,
    /// Redis keys that go with the rows, besides those of users that go.
    #[serde(default)]
    pub redis: Vec<RedisRule>,
    /// Files that go with the rows, besides those of users that go.
    #[serde(default)]
    pub files: Vec<FileRule>,
}

/// The key and value that mark a row as test data.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marker {
    /// The key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A table whose rows carry markers: at one place, or at any of several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarkedTable {
    /// The table.
    pub table: String,
    /// The one place, when it is one.
    json: Option<String>,
    tags: Option<Vec<String>>,
    /// Several places, any of which can hold the marker.
    #[serde(default)]
    any: Vec<Place>,
}

/// A place where a marker can be: one of both.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The JSON column, and after dots the path in it to the object with the
    /// marker.
    pub json: Option<String>,
    /// Columns that hold `key:value` texts.
    pub tags: Option<Vec<String>>,
}

/// How the whole database is reset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FullReset {
    /// The phrase that a caller types; the target's name when absent.
    pub confirmation: Option<String>,
    /// Redis keys that go with everything; no values stand in them.
    #[serde(default)]
    pub redis: Vec<RedisRule>,
    /// Files that go with everything.
    #[serde(default)]
    pub files: Vec<FileRule>,
    /// SQL files that are run afterwards where a request says so, in the same
    /// transaction.
    #[serde(default)]
    pub seed: Vec<String>,
    /// What a person has to do afterwards.
    #[serde(default)]
    pub next_steps: Vec<String>,
    /// The counts that are told by name, in this order.
    #[serde(default)]
    pub public_counts: Vec<PublicCount>,
}

/// A value that a policy sets a column to.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL, written `{ null = true }`.
    Null,
    /// The moment of the operation, written `{ now = true }`.
    Now,
    /// An integer.
    Integer(i64),
    /// A number.
    Float(f64),
    /// True or false.
    Boolean(bool),
    /// Text, in the column's own notation.
    Text(String),
}

impl Policy {
    /// Every rule about files.
    pub fn file_rules(&self) -> impl Iterator<Item = &FileRule> {
        let levels = &self.levels;
        let parts = [
            &levels.user_data.files,
            &levels.user_sessions.files,
            &levels.user_cascade.files,
            &self.full_reset.files,
        ];
        let cleanup = self.cleanup.iter().flat_map(|cleanup| &cleanup.files);
        let recipes = self.recipes.values().flat_map(|recipe| &recipe.files);
        parts.into_iter().flatten().chain(cleanup).chain(recipes)
    }

    /// Every seed file, as often as it is named.
    pub fn seed_files(&self) -> impl Iterator<Item = &String> {
        let recipes = self.recipes.values().flat_map(|recipe| &recipe.seed);
        self.full_reset.seed.iter().chain(recipes)
    }
}

impl MarkedTable {
    /// Where a marker can be.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        let own = Place {
            json: self.json.clone(),
            tags: self.tags.clone(),
        };
        let own = Some(own).filter(|place| place.json.is_some() || place.tags.is_some());
        own.into_iter().chain(self.any.iter().cloned())
    }
}

/// Why a policy file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the policy cannot be read: {0}")]
pub struct Error(#[from] toml::de::Error);

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    ///
    /// When the text is no TOML, has a key that this build does not serve, or
    /// lacks a required one; the message names line and column.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(toml::from_str(text)?)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => Ok(Self::Text(text)),
            toml::Value::Integer(number) => Ok(Self::Integer(number)),
            toml::Value::Float(number) => Ok(Self::Float(number)),
            toml::Value::Boolean(flag) => Ok(Self::Boolean(flag)),
            toml::Value::Datetime(moment) => Ok(Self::Text(moment.to_string())),
            toml::Value::Table(table) => match table.iter().next() {
                Some((key, toml::Value::Boolean(true))) if table.len() == 1 && key == "null" => {
                    Ok(Self::Null)
                }
                Some((key, toml::Value::Boolean(true))) if table.len() == 1 && key == "now" => {
                    Ok(Self::Now)
                }
                _ => Err(de::Error::custom(
                    "a value is a literal, { null = true } or { now = true }",
                )),
            },
            toml::Value::Array(_) => Err(de::Error::custom("a column takes one value, not a list")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        [users]
        table = "users"
        email = "email"
        test_domains = ["test.com"]
        "#;

    #[test]
    fn a_small_policy_is_enough() {
        let policy = Policy::parse(SMALL).unwrap();
        assert_eq!(policy.users.table, "users");
        assert_eq!(policy.levels, Levels::default());
    }

    #[test]
    fn keys_that_are_not_served_are_refused_by_name() {
        for key in ["redis = []", "[undo]\nkeep = 3"] {
            let error = Policy::parse(&format!("{key}\n{SMALL}")).unwrap_err();
            assert!(error.to_string().contains("unknown field"), "{error}");
        }
    }

    #[test]
    fn values_are_literals_null_or_now() {
        let text = format!(
            "{SMALL}\n[levels.user_data.restore.users]\na = 0\nb = {{ null = true }}\nc = {{ now = true }}\nd = 'x'"
        );
        let policy = Policy::parse(&text).unwrap();
        let users = &policy.levels.user_data.restore["users"];
        assert_eq!(users["a"], Value::Integer(0));
        assert_eq!(users["b"], Value::Null);
        assert_eq!(users["c"], Value::Now);
        assert_eq!(users["d"], Value::Text("x".into()));
        for wrong in [
            "{ null = false }",
            "{}",
            "[1]",
            "{ now = true, null = true }",
        ] {
            let text = format!("{SMALL}\n[levels.user_data.restore.users]\na = {wrong}");
            assert!(Policy::parse(&text).is_err(), "{wrong}");
        }
    }
}
