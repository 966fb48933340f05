//! What goes outside the database together with rows: the policy's Redis keys
//! and files, with every placeholder bound to a column.
//!
//! A template takes its values from the users, or from the rows of one other
//! table: a row of each would have to be joined, and nobody could say whose
//! key it is.

use super::{bind::Binder, model::Users, problem::nearest};
use crate::{
    effect::Effect,
    policy::{FilePlace, FileRule, Part, RedisRule, Template, names_something},
    schema::{ColumnId, Schema, TableId},
};

/// A kind of key or file that goes with rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectRule {
    /// What goes.
    pub what: What,
    /// Where its values come from.
    pub source: Source,
}

/// What goes, with places for values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// One Redis key.
    Key(Text),
    /// The Redis keys that the members of a set name, and the set.
    Members {
        /// The set's key.
        set: Text,
        /// What stands before a member in the key that it names.
        before: Text,
        /// What stands after it.
        after: Text,
    },
    /// Redis keys by a glob.
    Pattern(Text),
    /// One file.
    File {
        /// The root's name.
        root: String,
        /// The path below it.
        path: Text,
    },
    /// A directory with all that is in it.
    Directory {
        /// The root's name.
        root: String,
        /// The path below it.
        path: Text,
    },
    /// The file that the one value names; rows that stay can name it too.
    Named {
        /// The root's name.
        root: String,
        /// What values begin with and paths below the root do not.
        strip: Option<String>,
    },
}

/// Where values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// From nowhere: there are no placeholders.
    Nothing,
    /// From the users in scope.
    Users(Vec<ColumnId>),
    /// From the rows of this table that go.
    Rows(TableId, Vec<ColumnId>),
}

/// A text with places for the values of its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Plain(String),
    Value(usize),
}

/// How values are written into a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Exact,
    /// So that a glob takes every letter for itself.
    Glob,
    /// As part of one name in a path.
    Name,
}

/// What values make of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// This.
    Effect(Effect),
    /// Nothing: a value is NULL or empty.
    Nothing,
    /// Nothing: a value would lead elsewhere in the directory tree.
    Astray,
}

impl EffectRule {
    /// What these values, those of the source in its order, make of it.
    #[must_use]
    pub fn bind(&self, values: &[Option<String>]) -> Bound {
        let made = match &self.what {
            What::Key(key) => key
                .fill(values, Writing::Exact)
                .map(|key| Effect::RedisKey { key }),
            What::Members { set, before, after } => members(set, before, after, values),
            What::Pattern(pattern) => pattern
                .fill(values, Writing::Glob)
                .map(|pattern| Effect::RedisPattern { pattern }),
            What::File { root, path } => path.fill(values, Writing::Name).map(|path| {
                let root = root.clone();
                Effect::File { root, path }
            }),
            What::Directory { root, path } => path.fill(values, Writing::Name).map(|path| {
                let root = root.clone();
                Effect::Directory { root, path }
            }),
            What::Named { root, strip } => match values.first() {
                Some(Some(path)) if !path.is_empty() => {
                    let strip = strip.as_deref().unwrap_or_default();
                    let path = path.strip_prefix(strip).unwrap_or(path).to_owned();
                    let root = root.clone();
                    Ok(Effect::File { root, path })
                }
                _ => Err(Bound::Nothing),
            },
        };
        match made {
            Ok(effect) => Bound::Effect(effect),
            Err(other) => other,
        }
    }

    /// The root that it is below; nothing for Redis keys.
    #[must_use]
    pub fn root(&self) -> Option<&str> {
        match &self.what {
            What::File { root, .. } | What::Directory { root, .. } | What::Named { root, .. } => {
                Some(root)
            }
            What::Key(_) | What::Members { .. } | What::Pattern(_) => None,
        }
    }
}

fn members(
    set: &Text,
    before: &Text,
    after: &Text,
    values: &[Option<String>],
) -> Result<Effect, Bound> {
    Ok(Effect::RedisMembers {
        set: set.fill(values, Writing::Exact)?,
        before: before.fill(values, Writing::Exact)?,
        after: after.fill(values, Writing::Exact)?,
    })
}

impl Text {
    fn fill(&self, values: &[Option<String>], writing: Writing) -> Result<String, Bound> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Plain(plain) => text.push_str(plain),
                Piece::Value(place) => {
                    let value = values.get(*place).and_then(Option::as_deref);
                    let value = value.filter(|value| !value.is_empty());
                    let value = value.ok_or(Bound::Nothing)?;
                    match writing {
                        Writing::Exact => text.push_str(value),
                        Writing::Name if value.contains(['/', '\\', '\0']) => {
                            return Err(Bound::Astray);
                        }
                        Writing::Name => text.push_str(value),
                        Writing::Glob => escape(value, &mut text),
                    }
                }
            }
        }
        let leads_astray =
            |name: &str| matches!(name, "" | "." | "..") || name.starts_with(".resetd-");
        match writing == Writing::Name && text.split('/').any(leads_astray) {
            true => Err(Bound::Astray),
            false => Ok(text),
        }
    }
}

fn escape(value: &str, text: &mut String) {
    for letter in value.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            text.push('\\');
        }
        text.push(letter);
    }
}

/// Whose keys and files rules may be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Those of the rows in scope.
    Rows,
    /// All that there are.
    Everything,
}

/// Gathers the columns that a template needs.
#[derive(Default)]
struct Values {
    table: Option<TableId>,
    columns: Vec<ColumnId>,
}

impl Values {
    fn place(&mut self, column: ColumnId) -> usize {
        let known = self.columns.iter().position(|&known| known == column);
        known.unwrap_or_else(|| {
            self.columns.push(column);
            self.columns.len() - 1
        })
    }

    fn source(self, users: &Users) -> Source {
        match self.table {
            None => Source::Nothing,
            Some(table) if table == users.table => Source::Users(self.columns),
            Some(table) => Source::Rows(table, self.columns),
        }
    }
}

/// A member of a set, in the key that it names.
const MEMBER: &str = "member";

impl Binder {
    /// Binds the rules of one place in the policy.
    pub(super) fn effects(
        &mut self,
        (schema, users): (&Schema, &Users),
        place: &str,
        (redis, files): (&[RedisRule], &[FileRule]),
        extent: Extent,
    ) -> Vec<EffectRule> {
        let mut rules = Vec::new();
        for rule in redis {
            let place = format!("{place}.redis");
            rules.extend(self.redis_rule((schema, users), &place, rule, extent));
        }
        for rule in files {
            let place = format!("{place}.files");
            rules.extend(self.file_rule((schema, users), &place, rule, extent));
        }
        rules
    }

    fn redis_rule(
        &mut self,
        known: (&Schema, &Users),
        place: &str,
        rule: &RedisRule,
        extent: Extent,
    ) -> Option<EffectRule> {
        let mut values = Values::default();
        let what = match rule {
            RedisRule::Key(key) => What::Key(self.text(known, place, key, &mut values)?),
            RedisRule::Members { set, key } => {
                if key.names().filter(|name| *name == MEMBER).count() != 1 {
                    self.add(format!(
                        "{place} says {key}, which does not have {{member}} once"
                    ));
                    return None;
                }
                let set = self.text(known, place, set, &mut values)?;
                let mut halves = key
                    .parts()
                    .split(|part| *part == Part::Value(MEMBER.into()));
                let before = halves.next().unwrap_or_default();
                let after = halves.next().unwrap_or_default();
                let before = self.pieces(known, place, before, &mut values)?;
                let after = self.pieces(known, place, after, &mut values)?;
                What::Members { set, before, after }
            }
            RedisRule::Pattern(pattern) => {
                self.glob(place, pattern, extent)?;
                What::Pattern(self.text(known, place, pattern, &mut values)?)
            }
        };
        let source = values.source(known.1);
        Some(EffectRule { what, source })
    }

    fn file_rule(
        &mut self,
        known: (&Schema, &Users),
        place: &str,
        rule: &FileRule,
        extent: Extent,
    ) -> Option<EffectRule> {
        let root = rule.root.clone();
        let mut values = Values::default();
        let what = match &rule.what {
            FilePlace::Directory(path) => {
                self.path(place, path, extent)?;
                let path = self.text(known, place, path, &mut values)?;
                What::Directory { root, path }
            }
            FilePlace::File(path) => {
                self.path(place, path, extent)?;
                let path = self.text(known, place, path, &mut values)?;
                What::File { root, path }
            }
            FilePlace::Column { column, strip } => {
                self.value(known, place, column, &mut values)?;
                let strip = strip.clone();
                What::Named { root, strip }
            }
        };
        let source = values.source(known.1);
        Some(EffectRule { what, source })
    }

    /// A glob must not reach from one user's keys into another's: with `u:{id}*`
    /// user 1 would take those of user 10 along.
    fn glob(&mut self, place: &str, pattern: &Template, extent: Extent) -> Option<()> {
        let parts = pattern.parts();
        let mut problem = None;
        for (index, part) in parts.iter().enumerate() {
            let Part::Text(text) = part else { continue };
            let is_open = |letter: Option<char>| matches!(letter, Some('*' | '?' | '[' | ']'));
            let follows = index > 0 && is_open(text.chars().next());
            let precedes = index + 1 < parts.len() && is_open(text.chars().last());
            if follows || precedes {
                problem = Some(
                    "has a placeholder right beside a glob, so that it would also match what \
                     belongs to others: put a separator between them",
                );
            }
        }
        let is_fixed = |part: &Part| match part {
            Part::Value(_) => true,
            Part::Text(text) => names_something(text),
        };
        if extent == Extent::Rows && pattern.names().next().is_none() {
            problem = Some("has no placeholder, so that it would match what belongs to others");
        } else if !parts.iter().any(is_fixed) && parts != [Part::Text("*".to_owned())] {
            problem = Some("matches every key: write it *");
        }
        match problem {
            Some(problem) => {
                self.add(format!("{place} says {pattern}, which {problem}"));
                None
            }
            None => Some(()),
        }
    }

    /// A path stays below its root, and in a reset of some rows it is theirs.
    fn path(&mut self, place: &str, path: &Template, extent: Extent) -> Option<()> {
        let text = path.to_string();
        let leads_astray = |name: &str| matches!(name, "" | "." | "..");
        let problem = if text.contains('\0') || text.split('/').any(leads_astray) {
            "is no path below a root: it has no empty name, no . and no .."
        } else if extent == Extent::Rows && path.names().next().is_none() {
            "has no placeholder, so that it would take what belongs to others"
        } else {
            return Some(());
        };
        self.add(format!("{place} says {path}, which {problem}"));
        None
    }

    fn text(
        &mut self,
        known: (&Schema, &Users),
        place: &str,
        template: &Template,
        values: &mut Values,
    ) -> Option<Text> {
        self.pieces(known, place, template.parts(), values)
    }

    fn pieces(
        &mut self,
        known: (&Schema, &Users),
        place: &str,
        parts: &[Part],
        values: &mut Values,
    ) -> Option<Text> {
        let mut pieces = Vec::new();
        for part in parts {
            pieces.push(match part {
                Part::Text(text) => Piece::Plain(text.clone()),
                Part::Value(name) => Piece::Value(self.value(known, place, name, values)?),
            });
        }
        Some(Text(pieces))
    }

    /// The column that a placeholder means: `id` and `email` are the users',
    /// another name is one of the users' columns, `table.column` any other.
    fn value(
        &mut self,
        (schema, users): (&Schema, &Users),
        place: &str,
        name: &str,
        values: &mut Values,
    ) -> Option<usize> {
        let (table, column) = match name {
            "id" => (users.table, users.key),
            "email" => (users.table, users.email),
            name if name.contains('.') => self.place(schema, place, name)?,
            name => {
                let table = schema.table(users.table);
                let Some(column) = table.find(name) else {
                    let names = table.columns.iter().map(|column| column.name.clone());
                    let names = names.chain(["id".to_owned(), "email".to_owned()]);
                    let hint = nearest(name, names);
                    self.add(format!(
                        "{place} has the placeholder {{{name}}}, which is neither id, email, a \
                         column of {} nor table.column{hint}",
                        table.name
                    ));
                    return None;
                };
                (users.table, column)
            }
        };
        if values.table.is_some_and(|other| other != table) {
            self.add(format!(
                "{place} takes the values of one rule from several tables: take them from the \
                 users, or from one other table"
            ));
            return None;
        }
        values.table = Some(table);
        Some(values.place(column))
    }
}
