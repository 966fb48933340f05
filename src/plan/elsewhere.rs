//! What goes with the rows outside the database: the policy's rules, with
//! their names resolved.

use crate::{
    effect::Effect,
    policy::{FileRule, RedisRule},
    schema::{ColumnId, Table, TableId},
};

/// A text with columns of the users table in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(ColumnId),
}

/// What goes with each user in scope, or with the rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectRule {
    /// A Redis key.
    Key(Template),
    /// The keys that the members of a set name, and the set.
    Members {
        /// The set's key.
        set: Template,
        /// What stands before a member.
        before: Template,
        /// What stands after it.
        after: Template,
    },
    /// Redis keys by a glob.
    Pattern(Template),
    /// A directory.
    Directory {
        /// The root.
        root: String,
        /// The path below it.
        path: Template,
    },
    /// The files that a column of rows that go names.
    FilesOf {
        /// The root.
        root: String,
        /// The table.
        table: TableId,
        /// The column with the paths.
        column: ColumnId,
    },
}

impl EffectRule {
    /// The root that it is about; nothing for Redis.
    #[must_use]
    pub fn root(&self) -> Option<&str> {
        match self {
            Self::Key(_) | Self::Members { .. } | Self::Pattern(_) => None,
            Self::Directory { root, .. } | Self::FilesOf { root, .. } => Some(root),
        }
    }

    /// The columns of the users table that it needs.
    pub fn columns(&self) -> impl Iterator<Item = ColumnId> {
        let templates: Vec<&Template> = match self {
            Self::Key(template) | Self::Pattern(template) => vec![template],
            Self::Members { set, before, after } => vec![set, before, after],
            Self::Directory { path, .. } => vec![path],
            Self::FilesOf { .. } => Vec::new(),
        };
        templates
            .into_iter()
            .flat_map(Template::columns)
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// What goes with one user; nothing for a rule about other tables, or when
    /// a value that it needs is not there.
    #[must_use]
    pub fn bind(&self, value: &dyn Fn(ColumnId) -> Option<String>) -> Option<Effect> {
        let plain = |template: &Template| template.bind(value, str::to_owned);
        Some(match self {
            Self::Key(key) => Effect::RedisKey { key: plain(key)? },
            Self::Members { set, before, after } => Effect::RedisMembers {
                set: plain(set)?,
                before: plain(before)?,
                after: plain(after)?,
            },
            Self::Pattern(pattern) => Effect::RedisPattern {
                pattern: pattern.bind(value, literal)?,
            },
            Self::Directory { root, path } => Effect::Directory {
                root: root.clone(),
                path: plain(path)?,
            },
            Self::FilesOf { .. } => return None,
        })
    }
}

impl Template {
    /// Reads a text with `{column}` in it. `{id}` and `{email}` are the users'
    /// key and e-mail, whatever they are called.
    ///
    /// # Errors
    ///
    /// In words: a name that is no column, or a bracket that is not closed.
    fn read(text: &str, users: &Table, key: ColumnId, email: ColumnId) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| format!("{text:?} has a bracket that is not closed"))?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Column(match name {
                "id" => key,
                "email" => email,
                name => users
                    .find(name)
                    .ok_or_else(|| format!("{text:?} names {{{name}}}, which is no column"))?,
            }));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    fn columns(&self) -> impl Iterator<Item = ColumnId> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Column(column) => Some(*column),
        })
    }

    fn bind(
        &self,
        value: &dyn Fn(ColumnId) -> Option<String>,
        written: fn(&str) -> String,
    ) -> Option<String> {
        let part = |part: &Part| match part {
            Part::Text(text) => Some(text.clone()),
            // An empty value would make the key of one the key of all.
            Part::Column(column) => {
                let value = value(*column).filter(|value| !value.is_empty());
                value.map(|value| written(&value))
            }
        };
        self.0.iter().map(part).collect()
    }
}

/// A value as itself in a glob.
fn literal(value: &str) -> String {
    let letters = value.chars().flat_map(|letter| match letter {
        '*' | '?' | '[' | ']' | '\\' | '^' | '-' => vec!['\\', letter],
        other => vec![other],
    });
    letters.collect()
}

/// Resolves a rule about Redis.
///
/// # Errors
///
/// In words, what is wrong with it.
pub(super) fn redis(
    rule: &RedisRule,
    users: &Table,
    key: ColumnId,
    email: ColumnId,
) -> Result<EffectRule, String> {
    let read = |text: &str| Template::read(text, users, key, email);
    match (&rule.key, &rule.members_of, &rule.pattern) {
        (Some(key), None, None) => Ok(EffectRule::Key(read(key)?)),
        (Some(key), Some(set), None) => {
            let (before, after) = key
                .split_once("{member}")
                .ok_or_else(|| format!("{key:?} has no {{member}}"))?;
            Ok(EffectRule::Members {
                set: read(set)?,
                before: read(before)?,
                after: read(after)?,
            })
        }
        (None, None, Some(pattern)) => {
            let fixed = pattern.split(['*', '{']).next().unwrap_or_default();
            match fixed.is_empty() {
                true => Err(format!("{pattern:?} begins with nothing that is its own")),
                false => Ok(EffectRule::Pattern(read(pattern)?)),
            }
        }
        _ => Err("a Redis rule has key, key and members_of, or pattern".to_owned()),
    }
}

/// Resolves a rule about a directory.
///
/// # Errors
///
/// In words, what is wrong with it.
pub(super) fn directory(
    rule: &FileRule,
    path: &str,
    users: &Table,
    key: ColumnId,
    email: ColumnId,
) -> Result<EffectRule, String> {
    Ok(EffectRule::Directory {
        root: rule.root.clone(),
        path: Template::read(path, users, key, email)?,
    })
}
