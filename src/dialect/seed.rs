//! Seed files: SQL of the policy's author that is run inside a reset.
//!
//! A seed only puts rows in place. Whatever could end the transaction that it
//! runs in, or change what the rest of the operation relies on, is refused
//! when the file is read: `COMMIT`, and on MySQL every DDL statement, would
//! make a half-done reset durable.

use std::collections::BTreeMap;

use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::{Dialect, Statement};
use crate::policy::Value;

/// What a statement of a seed may begin with.
const ALLOWED: [&str; 7] = [
    "INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE", "SELECT", "WITH",
];

/// A file of statements, with places for values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedFile {
    name: String,
    statements: Vec<Vec<Piece>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Sql(String),
    Value(String),
}

/// Why a seed file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: {problem}")]
pub struct SeedError {
    /// The file.
    pub file: String,
    /// The line.
    pub line: u64,
    /// What is wrong there.
    pub problem: String,
}

impl SeedFile {
    /// Takes a file apart into its statements.
    ///
    /// # Errors
    ///
    /// When it is no SQL, or a statement does not put rows in place.
    pub fn parse(dialect: &dyn Dialect, name: &str, text: &str) -> Result<Self, SeedError> {
        let refused = |line, problem: String| SeedError {
            file: name.to_owned(),
            line,
            problem,
        };
        let mut tokenizer = Tokenizer::new(dialect.tokens(), text);
        let tokens = tokenizer
            .tokenize_with_location()
            .map_err(|error| refused(error.location.line, error.message))?;
        let source = Source::new(text);
        let mut statements = Vec::new();
        for tokens in tokens.split(|token| token.token == Token::SemiColon) {
            let mut words = tokens.iter().filter(|token| !is_blank(&token.token));
            let Some(first) = words.next() else {
                continue;
            };
            let word = match &first.token {
                Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
                other => other.to_string(),
            };
            if !ALLOWED.contains(&word.as_str()) {
                let line = first.span.start.line;
                let problem = format!(
                    "a statement begins with {word}; a seed puts rows in place, with {}",
                    ALLOWED.join(", ")
                );
                return Err(refused(line, problem));
            }
            statements.push(source.pieces(tokens));
        }
        Ok(Self {
            name: name.to_owned(),
            statements,
        })
    }

    /// The file's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of the values that it needs.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        let pieces = self.statements.iter().flatten();
        pieces.filter_map(|piece| match piece {
            Piece::Value(name) => Some(name.as_str()),
            Piece::Sql(_) => None,
        })
    }

    /// The statements with these values in their places; a value that is not
    /// there is NULL.
    #[must_use]
    pub fn statements(
        &self,
        dialect: &dyn Dialect,
        values: &BTreeMap<String, String>,
    ) -> Vec<Statement> {
        let literal = |name: &String| match values.get(name) {
            Some(value) => dialect.literal(&Value::Text(value.clone())),
            None => dialect.literal(&Value::Null),
        };
        let sql = |pieces: &Vec<Piece>| {
            let texts = pieces.iter().map(|piece| match piece {
                Piece::Sql(sql) => sql.clone(),
                Piece::Value(name) => literal(name),
            });
            Statement::plain(texts.collect::<String>())
        };
        self.statements.iter().map(sql).collect()
    }
}

fn is_blank(token: &Token) -> bool {
    matches!(token, Token::Whitespace(_) | Token::EOF)
}

/// The text, for finding a place in it by line and column.
struct Source<'a> {
    text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    fn new(text: &'a str) -> Self {
        let ends = text.match_indices('\n').map(|(place, _)| place + 1);
        Self {
            text,
            lines: std::iter::once(0).chain(ends).collect(),
        }
    }

    fn at(&self, location: Location) -> usize {
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let line = count(location.line).saturating_sub(1);
        let start = self.lines.get(line).copied().unwrap_or(self.text.len());
        let letters = self.text.get(start..).unwrap_or_default().char_indices();
        let mut letters = letters.skip(count(location.column).saturating_sub(1));
        letters
            .next()
            .map_or(self.text.len(), |(place, _)| start + place)
    }

    /// The SQL between two places.
    fn sql(&self, from: usize, to: usize) -> Piece {
        Piece::Sql(self.text.get(from..to).unwrap_or_default().to_owned())
    }

    /// The text of a statement, cut at its `{{name}}`.
    fn pieces(&self, tokens: &[TokenWithSpan]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let end = tokens.last().map_or(0, |token| self.at(token.span.end));
        let mut from = tokens.first().map_or(0, |token| self.at(token.span.start));
        let mut rest = tokens;
        while let Some(token) = rest.first() {
            if let Some(name) = placeholder(rest) {
                let before = self.sql(from, self.at(token.span.start));
                pieces.extend([before, Piece::Value(name)]);
                from = rest.get(4).map_or(end, |last| self.at(last.span.end));
                rest = rest.get(5..).unwrap_or_default();
            } else {
                rest = rest.get(1..).unwrap_or_default();
            }
        }
        pieces.push(self.sql(from, end));
        pieces
    }
}

/// The name in `{{name}}`, if the tokens begin with that.
fn placeholder(tokens: &[TokenWithSpan]) -> Option<String> {
    let kinds: Vec<&Token> = tokens.iter().take(5).map(|token| &token.token).collect();
    match kinds.as_slice() {
        [
            Token::LBrace,
            Token::LBrace,
            Token::Word(word),
            Token::RBrace,
            Token::RBrace,
        ] => Some(word.value.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Postgres, Sqlite};

    fn statements(text: &str) -> Vec<String> {
        let file = SeedFile::parse(&Postgres, "seed.sql", text).unwrap();
        let values = BTreeMap::from([("name".to_owned(), "O'Brien; COMMIT".to_owned())]);
        let statements = file.statements(&Postgres, &values).into_iter();
        statements
            .map(|statement| statement.sql.trim().to_owned())
            .collect()
    }

    #[test]
    fn statements_end_where_the_database_ends_them() {
        let text = "-- é; a comment\nINSERT INTO a VALUES ('x;y', $$;$$); /* ; */\n\n\
                    UPDATE \"b;\" SET é = 'ü';\n;";
        let found = statements(text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].ends_with("INSERT INTO a VALUES ('x;y', $$;$$)"));
        assert!(found[1].ends_with("UPDATE \"b;\" SET é = 'ü'"));
    }

    #[test]
    fn values_are_put_in_as_text_and_nothing_else() {
        let found = statements("INSERT INTO a VALUES ({{name}}, '{{name}}', {{other}})");
        assert_eq!(
            found,
            ["INSERT INTO a VALUES ('O''Brien; COMMIT', '{{name}}', NULL)"]
        );
    }

    #[test]
    fn what_could_end_the_transaction_is_refused() {
        for text in [
            "COMMIT",
            "INSERT INTO a VALUES (1);\nCOMMIT; BEGIN",
            "TRUNCATE a",
            "CREATE TABLE b (x int)",
            "DO $$ BEGIN COMMIT; END $$",
            "CALL p()",
            "SET session_replication_role = replica",
            "/* c */ \"INSERT\" x",
        ] {
            let refused = SeedFile::parse(&Postgres, "seed.sql", text);
            assert!(refused.is_err(), "{text}");
            assert!(
                SeedFile::parse(&Sqlite, "seed.sql", text).is_err(),
                "{text}"
            );
        }
        let error = SeedFile::parse(&Postgres, "a.sql", "SELECT 1;\n\nVACUUM").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("a.sql, line 3: a statement begins with VACUUM")
        );
    }
}
