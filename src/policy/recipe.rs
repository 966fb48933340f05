//! Resets that an application names itself, what is put back after one, and
//! the counts by the names that its callers know.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};

use super::{FileRule, Policy, RedisRule, Value, names_something};

/// A reset that an application names itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What it has done, in one sentence: the message of its result.
    pub title: String,
    /// The phrase that a caller types; the target's name when absent.
    pub confirmation: Option<String>,
    /// The least role of a caller.
    #[serde(default)]
    pub minimum_role: MinimumRole,
    /// Recipes that are part of it, and come before its own.
    #[serde(default)]
    pub include: Vec<String>,
    /// Tables whose rows go, all of them or those of a condition.
    #[serde(default)]
    pub delete: Vec<Doomed>,
    /// Columns that are set back, per table, in every row.
    #[serde(default)]
    pub restore: BTreeMap<String, BTreeMap<String, Value>>,
    /// Tables that it must not change, whatever the references say.
    #[serde(default)]
    pub preserve: Vec<String>,
    /// Redis keys that go with it.
    #[serde(default)]
    pub redis: Vec<RedisRule>,
    /// Files that go with it.
    #[serde(default)]
    pub files: Vec<FileRule>,
    /// SQL files that are run at its end, in the same transaction.
    #[serde(default)]
    pub seed: Vec<String>,
    /// What a person has to do afterwards.
    #[serde(default)]
    pub next_steps: Vec<String>,
    /// The counts that are told by name, in this order.
    #[serde(default)]
    pub public_counts: Vec<PublicCount>,
}

/// Why a recipe cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipeError {
    /// There is none of this name.
    Unknown(String),
    /// It includes this one, which includes it.
    Cyclic(String),
}

impl Policy {
    /// A recipe with all that it includes, in the order in which they are done.
    ///
    /// # Errors
    ///
    /// When a name is no recipe's, or recipes include one another.
    pub fn recipe(&self, name: &str) -> Result<Vec<&Recipe>, RecipeError> {
        let mut parts = Vec::new();
        self.gather(name, &mut Vec::new(), &mut parts)?;
        Ok(parts)
    }

    fn gather<'a>(
        &'a self,
        name: &str,
        within: &mut Vec<&'a str>,
        parts: &mut Vec<&'a Recipe>,
    ) -> Result<(), RecipeError> {
        let found = self.recipes.get_key_value(name);
        let (name, recipe) = found.ok_or_else(|| RecipeError::Unknown(name.to_owned()))?;
        if within.contains(&name.as_str()) {
            return Err(RecipeError::Cyclic(name.clone()));
        }
        within.push(name);
        for included in &recipe.include {
            self.gather(included, within, parts)?;
        }
        within.pop();
        // Included twice, it is done once.
        if !parts.iter().any(|part| std::ptr::eq(*part, recipe)) {
            parts.push(recipe);
        }
        Ok(())
    }
}

/// The least role that may run a recipe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MinimumRole {
    /// An admin.
    #[default]
    Admin,
    /// A superuser.
    Superuser,
}

/// Rows of a table that go: written as the table's name, or as
/// `{ table = "images", where = "status = 'rejected'" }`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "DoomedFile")]
pub struct Doomed {
    /// The table.
    pub table: String,
    /// Which of its rows, in the database's own SQL; all when absent.
    pub condition: Option<String>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a table's name, or { table = \"…\", where = \"…\" }"
)]
enum DoomedFile {
    All(String),
    Some(DoomedRows),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DoomedRows {
    table: String,
    #[serde(rename = "where")]
    condition: Option<String>,
}

impl From<DoomedFile> for Doomed {
    fn from(file: DoomedFile) -> Self {
        match file {
            DoomedFile::All(table) => Self {
                table,
                condition: None,
            },
            DoomedFile::Some(rows) => Self {
                table: rows.table,
                condition: rows.condition,
            },
        }
    }
}

/// A count by the name that callers know: written as a table's name, whose
/// deleted rows are meant, or as `{ name = "users_reset", restored = "users" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicCount {
    /// The name.
    pub name: String,
    /// What is counted.
    pub what: Counted,
}

/// What a public count counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Rows of a table that were deleted.
    Deleted(String),
    /// Rows of a table that were set back.
    Restored(String),
    /// Rows of a table that lost a reference.
    Detached(String),
    /// Rows that a table has at the end.
    Rows(String),
    /// What was removed outside the database.
    Effects(CountedEffect),
    /// The sum of counts that are listed before it.
    Sum(Vec<String>),
}

/// What is counted outside the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountedEffect {
    /// Redis keys.
    RedisKeys,
    /// Files, those in directories included.
    Files,
    /// Directories.
    Directories,
}

impl Counted {
    /// The table whose rows are counted, if it is one.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        match self {
            Self::Deleted(table)
            | Self::Restored(table)
            | Self::Detached(table)
            | Self::Rows(table) => Some(table),
            Self::Effects(_) | Self::Sum(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for PublicCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = "a public count is a table's name, or { name = \"…\" } with one of deleted, \
                     restored, detached, rows, effects and sum";
        let mut table = match toml::Value::deserialize(deserializer)? {
            toml::Value::String(table) => {
                return Ok(Self {
                    name: table.clone(),
                    what: Counted::Deleted(table),
                });
            }
            toml::Value::Table(table) => table,
            _ => return Err(de::Error::custom(wrong)),
        };
        let Some(toml::Value::String(name)) = table.remove("name") else {
            return Err(de::Error::custom(wrong));
        };
        let what = Counted::deserialize(toml::Value::Table(table));
        let what = what.map_err(|error| de::Error::custom(format!("{wrong}: {error}")))?;
        Ok(Self { name, what })
    }
}

/// A value that seed files name as `{{name}}`: text of the policy, or what a
/// variable of the server's environment says, hashed where it is a password.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a text, or { env = \"VARIABLE\" }")]
pub enum SeedValue {
    /// This text.
    Text(String),
    /// What the environment says.
    Variable(SeedVariable),
}

/// A value of the server's environment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedVariable {
    /// The variable.
    pub env: String,
    /// The cost of its bcrypt hash, where it is a password: the hash is what
    /// is put in.
    pub bcrypt_cost: Option<u32>,
}

/// What ClearCache removes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "CacheFile")]
pub struct Cache {
    /// Globs of Redis keys. None but `*` itself matches every key: that one is
    /// refused where others have keys.
    pub patterns: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CacheFile {
    patterns: Vec<String>,
}

impl TryFrom<CacheFile> for Cache {
    type Error = String;

    fn try_from(CacheFile { patterns }: CacheFile) -> Result<Self, String> {
        if patterns.is_empty() {
            return Err("cache has no patterns, so that nothing would be cleared".to_owned());
        }
        let mut patterns_of_all = patterns.iter().filter(|glob| !names_something(glob));
        match patterns_of_all.find(|glob| *glob != "*") {
            Some(glob) if glob.is_empty() => Err("cache has an empty pattern".to_owned()),
            Some(glob) => Err(format!(
                "cache says {glob}, which matches every key: write it *"
            )),
            None => Ok(Self { patterns }),
        }
    }
}

/// The cost of a bcrypt hash, 4 to 31, each step of which doubles the work:
/// one number, or one for each environment and a `default`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "a number, or numbers by environment with a default"
)]
pub enum BcryptCost {
    /// Everywhere the same.
    Everywhere(u32),
    /// By environment.
    By(BTreeMap<String, u32>),
}

impl BcryptCost {
    /// What stands for environments that are not named.
    pub const DEFAULT: &str = "default";

    /// The cost in an environment; nothing where it is not said.
    #[must_use]
    pub fn at(&self, environment: Option<&str>) -> Option<u32> {
        match self {
            Self::Everywhere(cost) => Some(*cost),
            Self::By(costs) => environment
                .and_then(|name| costs.get(&name.to_ascii_lowercase()))
                .or_else(|| costs.get(Self::DEFAULT))
                .copied(),
        }
    }

    /// Every cost that is named.
    pub fn all(&self) -> impl Iterator<Item = u32> {
        let costs: Vec<u32> = match self {
            Self::Everywhere(cost) => vec![*cost],
            Self::By(costs) => costs.values().copied().collect(),
        };
        costs.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(text: &str) -> Result<Recipe, toml::de::Error> {
        toml::from_str(&format!("title = 'done'\n{text}"))
    }

    #[test]
    fn tables_go_whole_or_by_a_condition() {
        let recipe = recipe("delete = ['a', { table = 'b', where = 'x = 1' }]").unwrap();
        assert_eq!(recipe.delete[0].condition, None);
        assert_eq!(recipe.delete[1].condition.as_deref(), Some("x = 1"));
        assert_eq!(recipe.minimum_role, MinimumRole::Admin);
    }

    #[test]
    fn counts_have_names_and_one_thing_that_is_counted() {
        let text = "public_counts = ['a', { name = 'b', restored = 't' }, \
                    { name = 'c', effects = 'redis_keys' }, { name = 'd', sum = ['a', 'b'] }]";
        let counts = recipe(text).unwrap().public_counts;
        assert_eq!(counts[0].what, Counted::Deleted("a".into()));
        assert_eq!(counts[1].what, Counted::Restored("t".into()));
        assert_eq!(counts[2].what, Counted::Effects(CountedEffect::RedisKeys));
        assert_eq!(counts[3].what, Counted::Sum(vec!["a".into(), "b".into()]));
        for wrong in [
            "[1]",
            "[{ name = 'a' }]",
            "[{ deleted = 'a' }]",
            "[{ name = 'a', deleted = 'a', restored = 'a' }]",
            "[{ name = 'a', effects = 'keys' }]",
        ] {
            let wrong = format!("public_counts = {wrong}");
            assert!(recipe(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_cache_names_something_or_says_that_it_is_everything() {
        let cache = |patterns: &str| toml::from_str::<Cache>(&format!("patterns = {patterns}"));
        let patterns = cache("['cache:*', '*', '[a-f]?']").unwrap().patterns;
        assert_eq!(patterns, ["cache:*", "*", "[a-f]?"]);
        for wrong in ["[]", "['']", "['a*', '**']", "['?*']", "['*?']", "['[^]*']"] {
            assert!(cache(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_cost_is_one_or_one_for_each_environment() {
        #[derive(Deserialize)]
        struct Costs {
            one: BcryptCost,
            more: BcryptCost,
        }
        let text = "one = 12\nmore = { test = 4, default = 12 }";
        let Costs { one, more } = toml::from_str(text).unwrap();
        assert_eq!(one.at(None), Some(12));
        assert_eq!(more.at(Some("TEST")), Some(4));
        assert_eq!(more.at(Some("staging")), Some(12));
        assert_eq!(BcryptCost::By(BTreeMap::new()).at(Some("test")), None);
    }
}
