//! How a database is told what a plan says: text only, no connection.
//!
//! [`Dialect`] holds what differs between databases. [`Renderer`] writes the
//! statements of a plan with it, the same for all of them.

mod catalogue;
mod render;
mod sqlite;

pub use catalogue::{Catalogue, Raw, Row};
pub use render::Renderer;
pub use sqlite::Sqlite;

use std::fmt;

use crate::{
    policy::Value,
    schema::{Column, ColumnPair, Table, TableName},
};

/// One SQL statement and the values of its parameters, all of them text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The text, with the dialect's own placeholders.
    pub sql: String,
    /// The values, in the order of the placeholders.
    pub parameters: Vec<String>,
}

/// What an error of the database means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Another transaction is in the way; the whole of ours can be tried
    /// again.
    Retry,
    /// A lock was not to be had in time.
    Busy,
    /// A constraint or a trigger refused.
    Violation,
    /// A unique value exists already.
    Duplicate,
    /// The database is read-only.
    ReadOnly,
    /// Our role lacks a privilege.
    Permission,
    /// Our own deadline stopped the statement.
    Interrupted,
    /// The database cannot be reached.
    Unavailable,
    /// Anything else.
    Other,
}

/// What differs between databases, as text.
pub trait Dialect: fmt::Debug + Send + Sync {
    /// An identifier, quoted.
    fn quote(&self, identifier: &str) -> String;

    /// A table of the target, qualified so that nothing can shadow it.
    fn table(&self, name: &TableName) -> String;

    /// A table of ours that lives as long as the transaction.
    fn temporary(&self, name: &str) -> String;

    /// The statement that makes a table of ours with these columns and types.
    fn create_temporary(&self, name: &str, columns: &[(String, String)]) -> String;

    /// The type of a temporary column that holds the values of `column`.
    fn key_type(&self, column: &Column) -> String;

    /// The type of a temporary column that holds a hidden locator.
    fn locator_type(&self) -> &'static str;

    /// The placeholder of the parameter at `position`, from 1, for a value
    /// that is compared with or stored in `column`.
    fn parameter(&self, position: usize, column: Option<&Column>) -> String;

    /// A value of the policy.
    fn literal(&self, value: &Value) -> String;

    /// The value of a column as text.
    fn text(&self, column: &Column, sql: &str) -> String;

    /// A referring column, written so that comparing it with its parent's
    /// values means what the foreign key means.
    fn reference(&self, child: &Table, parent: &Table, pair: ColumnPair, sql: &str) -> String;

    /// True when two values differ, NULL being a value like any other.
    fn differs(&self, left: &str, right: &str) -> String;

    /// What a column's default is when it is set explicitly.
    fn default(&self, column: &Column) -> String;

    /// True for the rows whose e-mail makes them test users: the rule of
    /// `guard::TestDomains` in SQL.
    fn is_test_email(&self, sql: &str, domains: &[String]) -> String;

    /// Begins the transaction of an operation and sets what holds for it.
    fn begin(&self) -> Vec<String>;

    /// Asks, after a commit was refused, which tables (child, parent) a
    /// foreign key was violated between; nothing where the refusal says it.
    fn violated(&self) -> Option<String>;

    /// Asks for the database's name, what tells it from all others, whether
    /// it is read-only, and whether our tables are there.
    fn identity(&self) -> String;

    /// Asks for schema, table, estimated rows where there are estimates, and
    /// bytes, of every table.
    fn sizes(&self) -> String;

    /// Makes our tables in the target, where they are not there yet.
    fn arm(&self) -> Vec<String>;

    /// One of our tables in the target: `marker`, `commit`, `effect`.
    fn own_table(&self, name: &str) -> String;

    /// What an error of this code and text means.
    fn classify(&self, code: &str, message: &str) -> Class;

    /// The statements that read the catalogue.
    fn catalogue(&self) -> Catalogue;
}

impl Statement {
    /// A statement without parameters.
    #[must_use]
    pub fn plain(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            parameters: Vec::new(),
        }
    }

    /// A statement with parameters.
    #[must_use]
    pub fn new(sql: impl Into<String>, parameters: Vec<String>) -> Self {
        Self {
            sql: sql.into(),
            parameters,
        }
    }
}
