//! What a policy says about Redis keys and files that belong to rows: as
//! written, with placeholders for what only the rows know.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// Redis keys that go with rows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RedisRuleFile")]
pub enum RedisRule {
    /// One key, written `{ key = "session:{id}" }`.
    Key(Template),
    /// The keys that the members of a set name, and the set, written
    /// `{ members_of = "user_sessions:{id}", key = "session:{member}" }`.
    Members {
        /// The key of the set.
        set: Template,
        /// The key that a member names.
        key: Template,
    },
    /// Keys that match a glob, written `{ pattern = "cart:{id}:*" }`.
    Pattern(Template),
}

/// Files that go with rows, below one of the configuration's roots.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "FileRuleFile")]
pub struct FileRule {
    /// The name of the root.
    pub root: String,
    /// Which of its files.
    pub what: FilePlace,
}

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilePlace {
    /// A directory with all that is in it.
    Directory(Template),
    /// One file.
    File(Template),
    /// The file that a column of the rows names.
    Column {
        /// `table.column`.
        column: String,
        /// What the column's texts begin with and paths below the root do not.
        strip: Option<String>,
    },
}

/// A text with placeholders: `{name}` stands for a value, `{{` and `}}` for
/// the braces themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

/// True for a glob of Redis keys with a letter that is one; without one it
/// matches every key.
pub(crate) fn names_something(glob: &str) -> bool {
    glob.chars().any(|letter| !"*?[]^-\\".contains(letter))
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it is.
    Text(String),
    /// The value of this name.
    Value(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// When it is empty, or a brace is left open or names nothing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '{' | '}' if letters.peek() == Some(&letter) => {
                    letters.next();
                    plain.push(letter);
                }
                '{' => {
                    let mut name = String::new();
                    loop {
                        match letters.next() {
                            Some('}') => break,
                            Some('{') | None => {
                                return Err(format!("{text:?} leaves a brace open"));
                            }
                            Some(letter) => name.push(letter),
                        }
                    }
                    if name.is_empty() {
                        return Err(format!("{text:?} has a placeholder without a name"));
                    }
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(Part::Value(name));
                }
                '}' => return Err(format!("{text:?} closes a brace that is not open")),
                _ => plain.push(letter),
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        match parts.is_empty() {
            true => Err("a text with placeholders cannot be empty".to_owned()),
            false => Ok(Self {
                text: text.to_owned(),
                parts,
            }),
        }
    }

    /// Its parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The names of its placeholders.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RedisRuleFile {
    key: Option<Template>,
    members_of: Option<Template>,
    pattern: Option<Template>,
}

impl TryFrom<RedisRuleFile> for RedisRule {
    type Error = &'static str;

    fn try_from(file: RedisRuleFile) -> Result<Self, Self::Error> {
        match (file.key, file.members_of, file.pattern) {
            (Some(key), None, None) => Ok(Self::Key(key)),
            (Some(key), Some(set), None) => Ok(Self::Members { set, key }),
            (None, None, Some(pattern)) => Ok(Self::Pattern(pattern)),
            _ => Err("a Redis rule has a key, members_of and a key, or a pattern"),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRuleFile {
    root: String,
    directory: Option<Template>,
    file: Option<Template>,
    column: Option<String>,
    strip: Option<String>,
}

impl TryFrom<FileRuleFile> for FileRule {
    type Error = &'static str;

    fn try_from(rule: FileRuleFile) -> Result<Self, Self::Error> {
        let what = match (rule.directory, rule.file, rule.column, rule.strip) {
            (Some(directory), None, None, None) => FilePlace::Directory(directory),
            (None, Some(file), None, None) => FilePlace::File(file),
            (None, None, Some(column), strip) => FilePlace::Column { column, strip },
            _ => return Err("a file rule has a root and a directory, a file, or a column"),
        };
        Ok(Self {
            root: rule.root,
            what,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_name_values_and_double_ones_are_themselves() {
        let template = Template::parse("a:{{{id}}}:{t.c}*").unwrap();
        let text = |text: &str| Part::Text(text.to_owned());
        let value = |name: &str| Part::Value(name.to_owned());
        assert_eq!(
            template.parts(),
            [
                text("a:{"),
                value("id"),
                text("}:"),
                value("t.c"),
                text("*")
            ]
        );
        for wrong in ["", "{", "{a", "a}", "{}", "{a{b}}", "a{b"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rule_says_one_thing() {
        let redis = |text: &str| toml::from_str::<RedisRule>(text);
        assert!(redis("key = 'a:{id}'").is_ok());
        assert!(redis("members_of = 'a:{id}'\nkey = 's:{member}'").is_ok());
        assert!(redis("pattern = 'a:{id}:*'").is_ok());
        for wrong in [
            "",
            "members_of = 'a'",
            "key = 'a'\npattern = 'b'",
            "keys = 'a'",
        ] {
            assert!(redis(wrong).is_err(), "{wrong}");
        }
        let file = |text: &str| toml::from_str::<FileRule>(text);
        assert!(file("root = 'r'\ndirectory = 'a/{id}'").is_ok());
        assert!(file("root = 'r'\ncolumn = 'a.b'\nstrip = 'x/'").is_ok());
        for wrong in [
            "root = 'r'",
            "directory = 'a'",
            "root = 'r'\nfile = 'a'\ncolumn = 'a.b'",
        ] {
            assert!(file(wrong).is_err(), "{wrong}");
        }
    }
}
