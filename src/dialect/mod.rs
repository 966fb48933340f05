//! How a database is told what a plan says: text only, no connection.
//!
//! [`Dialect`] holds what differs between databases. [`Renderer`] writes the
//! statements of a plan with it, the same for all of them.

mod advice;
mod catalogue;
mod mysql;
mod postgres;
mod render;
mod seed;
mod sqlite;

pub use advice::{Explain, Missing, Need, Probe, Remedy, Sweep, markers, references};
pub use catalogue::{Catalogue, Raw, Row};
pub use mysql::MySql;
pub use postgres::Postgres;
pub use render::{
    Chain, Eligible, Going, Key, Part, Renderer, Script, Seed, Tally, Ways, reachable,
};
pub use seed::{SeedError, SeedFile};
pub use sqlite::Sqlite;

use std::{fmt, time::Duration};

use crate::{
    policy::Value,
    schema::{Column, ForeignKey, Table, TableName},
};

/// One column pair of a foreign key, with all that it ties together.
#[derive(Debug, Clone, Copy)]
pub struct Tie<'a> {
    /// The foreign key.
    pub key: &'a ForeignKey,
    /// The referring table.
    pub child: &'a Table,
    /// The table that is referred to.
    pub parent: &'a Table,
    /// The referring column.
    pub from: &'a Column,
    /// The column that is referred to.
    pub to: &'a Column,
}

/// One SQL statement and the values of its parameters, all of them text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The text, with the dialect's own placeholders.
    pub sql: String,
    /// The values, in the order of the placeholders.
    pub parameters: Vec<String>,
}

/// What resets need on the tables of a target.
#[derive(Debug, Clone, Default)]
pub struct Needs<'a> {
    /// The database's name.
    pub database: &'a str,
    /// The tables that are read and never changed.
    pub read: Vec<&'a TableName>,
    /// The tables whose rows can go or be changed.
    pub change: Vec<&'a TableName>,
    /// The table of the users, which can be created.
    pub create: Option<&'a TableName>,
}

/// A privilege that a role needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The statement that gives it.
    pub statement: String,
    /// What for.
    pub why: &'static str,
}

/// How an operation holds a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Together with others of its kind.
    Shared,
    /// Alone.
    Exclusive,
}

/// Questions that are united to one: SQLite takes 500 at most.
const UNITED: usize = 400;

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
    /// The database has no room left.
    Full,
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

    /// How the database's SQL is taken apart.
    fn tokens(&self) -> &'static dyn sqlparser::dialect::Dialect;

    /// A table of the target, qualified so that nothing can shadow it.
    fn table(&self, name: &TableName) -> String;

    /// A table's own rows, without those of tables that inherit from it.
    fn rows(&self, table: &Table) -> String;

    /// A table of ours that lives as long as the transaction.
    fn temporary(&self, name: &str) -> String;

    /// The statement that makes a table of ours with these columns and types.
    fn create_temporary(&self, name: &str, columns: &[(String, String)]) -> String;

    /// The statement that takes away a table of ours.
    fn drop_temporary(&self, name: &str) -> String {
        format!("DROP TABLE {}", self.temporary(name))
    }

    /// The statement that makes a table of ours, where it is not there yet,
    /// which a connection keeps; nothing where a text of several statements is
    /// not prepared once and for all.
    fn keep_temporary(&self, name: &str, columns: &[(String, String)]) -> Option<String> {
        let _ = (name, columns);
        None
    }

    /// True when a table of ours can be kept.
    fn keeps_tables(&self) -> bool {
        self.keep_temporary("", &[]).is_some()
    }

    /// True when values of the column can be written into a statement as its
    /// text tells them, and found there by its index.
    fn can_list(&self, column: &Column) -> bool {
        let _ = column;
        false
    }

    /// Such a value of the column.
    fn listed(&self, column: &Column, text: &str) -> Option<String> {
        let _ = (column, text);
        None
    }

    /// What goes behind a table's alias, so that the table itself is read for
    /// the first of its rows, where the database would read an index instead
    /// and look up each deleted row that is still in it.
    fn read_through(&self) -> &'static str {
        ""
    }

    /// What makes the session find the rows that it changes by an index,
    /// however few a table has, or refuse, and what ends that: whoever reads a
    /// table through waits for rows that others hold. Nothing where keys are
    /// not listed.
    fn by_index(&self) -> Option<(&'static str, &'static str)> {
        None
    }

    /// Any text, written so that it means what a parameter would.
    fn inline(&self, text: &str, column: Option<&Column>) -> String {
        let _ = column;
        self.literal(&Value::Text(text.to_owned()))
    }

    /// True when a value is among the few that a search finds.
    fn among_few(&self, value: &str, search: &str) -> String {
        format!("{value} IN ({search})")
    }

    /// The rows of a query with two columns as one JSON text; nothing where a
    /// database cannot write that.
    fn as_json(&self, query: &str) -> Option<String> {
        let _ = query;
        None
    }

    /// True when a reference that a foreign key declares leads to a row that
    /// is there.
    fn sees_to_references(&self) -> bool {
        false
    }

    /// Deletes rows of a table that the rest of the statement calls `row`.
    fn delete(&self, table: &str, row: &str) -> String {
        format!("DELETE FROM {table} AS {row}")
    }

    /// The type of a temporary column that holds the values of `column`.
    fn key_type(&self, column: &Column) -> String;

    /// The type of a temporary column that holds a hidden locator.
    fn locator_type(&self) -> &'static str;

    /// The placeholder of the parameter at `position`, from 1, for a value
    /// that is compared with or stored in `column`.
    fn parameter(&self, position: usize, column: Option<&Column>) -> String;

    /// Any text, written in letters none of which means anything to the
    /// database but themselves; nothing where there is no way to.
    fn opaque(&self, text: &str) -> Option<String> {
        let _ = text;
        None
    }

    /// A value of the policy.
    fn literal(&self, value: &Value) -> String;

    /// The value of a column as text.
    fn text(&self, column: &Column, sql: &str) -> String;

    /// A value of one of our own tables as text.
    fn as_text(&self, sql: &str) -> String {
        format!("CAST({sql} AS TEXT)")
    }

    /// The moment by the database's clock, in milliseconds since 1970.
    fn now_ms(&self) -> &'static str;

    /// A referring column and the column that it refers to, written so that
    /// comparing them means what the foreign key means.
    fn reference(&self, tie: &Tie<'_>, child: &str, parent: &str) -> (String, String);

    /// True when a column's value is another one, NULL being a value like any
    /// other.
    fn differs(&self, column: &Column, sql: &str, value: &str) -> String;

    /// True when a text can be a value of the column at all, so that asking
    /// for it is no error.
    fn accepts(&self, column: &Column, text: &str) -> bool;

    /// What a column's default is when it is set explicitly.
    fn default(&self, column: &Column) -> String;

    /// True for the rows whose e-mail makes them test users: the rule of
    /// `guard::TestDomains` in SQL.
    fn is_test_email(&self, sql: &str, domains: &[String]) -> String;

    /// The text at this path in a JSON column; NULL where there is none, also
    /// in a column that holds no JSON.
    fn json_text(&self, column: &Column, sql: &str, path: &[&str]) -> String;

    /// True when an index over `computed` finds, among others, all rows that
    /// have this text at this path of a JSON column; where a database knows no
    /// index for the expression itself.
    fn computes(&self, computed: &Column, column: &Column, path: &[&str], text: &str) -> bool {
        let _ = (computed, column, path, text);
        false
    }

    /// What has to be there before the JSON in a column can be read.
    fn json_reader(&self, column: &Column) -> Option<&'static str>;

    /// True when a column is a tag, or a list of tags with it.
    fn has_tag(&self, column: &Column, sql: &str, tag: &str) -> String;

    /// What an index needs to have in it, behind its table's name, to find rows
    /// by the texts at these paths as [`Dialect::json_text`] reads them; else
    /// why there is no such index.
    ///
    /// # Errors
    ///
    /// Why not, in words.
    fn json_index(&self, column: &Column, paths: &[&[&str]]) -> Result<String, &'static str>;

    /// The same for what [`Dialect::has_tag`] asks.
    ///
    /// # Errors
    ///
    /// Why not, in words.
    fn tag_index(&self, column: &Column) -> Result<String, &'static str>;

    /// Asks by which index the rows of a query would be found if by any;
    /// nothing where that is never asked.
    fn explain(&self, query: &str) -> Option<Explain> {
        let _ = query;
        None
    }

    /// Takes the lock of an operation until the transaction ends: together
    /// with others for one user or session, alone for anything wider. Nothing
    /// where `begin` has locked the whole database.
    fn lock(&self, hold: Hold) -> Option<&'static str>;

    /// Asks for schema, table, column and name of every sequence, with the
    /// value that it gave last, NULL before the first, and its first one; a
    /// question before that says whether there are any. Without a column it is
    /// the table's automatic one.
    fn sequences(&self) -> (Option<&'static str>, String);

    /// Makes a sequence give `next`.
    fn restart(&self, sequence: &str, next: i64) -> String;

    /// True when that ends a transaction, and so has to wait for its commit.
    fn restarts_after_commit(&self) -> bool {
        false
    }

    /// Begins the transaction of an operation, which may take `time`, and
    /// sets what holds for it.
    fn begin(&self, patience: Duration, time: Option<Duration>) -> String;

    /// Asks, of tables of the target, which have rows: their places in the
    /// list, from 1, and the bytes of their rows, where those are known.
    fn filled(&self, tables: &[String]) -> String {
        let asked: Vec<String> = (1..)
            .zip(tables)
            .map(|(place, table)| {
                format!(
                    "SELECT '{place}', NULL WHERE EXISTS (SELECT 1 FROM {table}{})",
                    self.read_through()
                )
            })
            .collect();
        let united = |part: &[String]| part.join(" UNION ALL ");
        match asked.len() {
            0 => "SELECT NULL, NULL WHERE 1 = 0".to_owned(),
            1..=UNITED => united(&asked),
            _ => {
                let parts = asked.chunks(UNITED);
                let parts = parts.map(|part| format!("SELECT * FROM ({}) AS f", united(part)));
                united(&parts.collect::<Vec<_>>())
            }
        }
    }

    /// True when questions that are asked together are several statements of
    /// one text, instead of one.
    fn asks_apart(&self) -> bool {
        false
    }

    /// True when a transaction can begin without any check of foreign keys,
    /// whatever our role may do.
    fn begins_unchecked(&self) -> bool {
        false
    }

    /// Asks whether our role sees all tables of the database, and whatever
    /// refers to them, by a row; nothing where everybody does who may begin
    /// without checks.
    fn sees_all(&self) -> Option<&'static str> {
        None
    }

    /// Has the checks of foreign keys wait for the commit, where `begin` does
    /// not say it, and where they can wait.
    fn defer(&self) -> Option<&'static str> {
        None
    }

    /// Asks for the number by which another connection stops what this one
    /// does; nothing where that needs no other connection.
    fn backend(&self) -> Option<&'static str> {
        None
    }

    /// Asks whether our role may truncate tables inside a transaction; nothing
    /// where that ends it.
    fn may_truncate(&self, tables: &[String]) -> Option<String> {
        let _ = tables;
        None
    }

    /// Gives a transaction room for sets of many rows.
    fn ample(&self) -> Option<&'static str> {
        None
    }

    /// What switches off whatever the database enforces, until the transaction
    /// ends, and what switches it on, where a role can be allowed to.
    fn enforcement(&self) -> Option<(&'static str, &'static str)> {
        None
    }

    /// Asks for whatever could refer to tables that go besides the known
    /// tables: others that do, and parts of a table that others could refer to
    /// by themselves. Nothing where that is never asked.
    fn strangers(&self, going: &[String], known: &[String]) -> Option<String> {
        let _ = (going, known);
        None
    }

    /// Asks for the foreign keys that lead to tables and that our role can
    /// drop and add back just as they were: schema, table and name, what
    /// defines it, and an estimate of the table's rows. Nothing where that
    /// would end the transaction.
    fn droppable_keys(&self, parents: &[String]) -> Option<String> {
        let _ = parents;
        None
    }

    /// True when rows that a transaction has deleted are still passed when it
    /// reads their table.
    fn passes_deleted(&self) -> bool {
        false
    }

    /// Settings of a transaction whose statements are kept prepared.
    fn prepared(&self) -> Option<&'static str> {
        None
    }

    /// Locks the rows that a query finds against everybody else.
    fn for_update(&self) -> &'static str;

    /// Tells the planner about a table of ours that was just filled.
    fn analyze(&self, name: &str) -> Option<String>;

    /// True when deletions that need one another are one statement; false
    /// when their checks wait for the commit anyway.
    fn deletes_together(&self) -> bool;

    /// True when sets of keys are hashed to be looked up for each row, so that
    /// several ways into a table read it once.
    fn hashes_sets(&self) -> bool {
        false
    }

    /// What stops the checks of foreign keys and what resumes them, where they
    /// cannot wait until rows that need one another are all gone. What went
    /// meanwhile has to be checked by whoever did it.
    fn unchecked(&self) -> Option<(&'static str, &'static str)> {
        None
    }

    /// Makes every check happen that has waited, while there is still a
    /// transaction to roll back.
    fn settle(&self) -> Option<&'static str>;

    /// Asks, after a commit was refused, which tables (child, parent) a
    /// foreign key was violated between; nothing where the refusal says it.
    fn violated(&self) -> Option<String>;

    /// Asks for the database's name, what tells it from all others, whether
    /// it is read-only, and whether our tables are there.
    fn identity(&self) -> String;

    /// Asks for schema, table, estimated rows where there are estimates, and
    /// bytes, of every table; others that are told of are passed over. Nothing
    /// where the database keeps neither.
    fn sizes(&self) -> Option<String>;

    /// What goes before a question, in one text, for which the server is to
    /// start no processes beside the connection's own; nothing where it never
    /// does.
    fn one_process(&self) -> Option<&'static str> {
        None
    }

    /// True when rows are grouped by sorting all of them.
    fn groups_by_sorting(&self) -> bool {
        false
    }

    /// Makes our tables in the target, where they are not there yet.
    fn arm(&self) -> Vec<String>;

    /// One of our tables in the target: `marker`, `commit`, `effect`.
    fn own_table(&self, name: &str) -> String;

    /// The statements that give a role what resets need; none where there are
    /// no roles.
    fn grants(&self, role: &str, needs: &Needs<'_>) -> Vec<Grant> {
        let _ = (role, needs);
        Vec::new()
    }

    /// What an error of this code and text means.
    fn classify(&self, code: &str, message: &str) -> Class;

    /// The statements that read the catalogue.
    fn catalogue(&self) -> Catalogue;

    /// What is the same text as long as whatever is asked has the same answer;
    /// nothing where no expression tells.
    fn moment(&self) -> Option<&'static str> {
        None
    }
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
