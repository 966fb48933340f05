//! SQLite.

use std::{fmt::Write as _, time::Duration};

use super::{Catalogue, Class, Dialect, Explain, Hold, Tie, advice::json_index};
use crate::{
    policy::Value,
    schema::{Column, Table, TableName},
};

/// SQLite's notation. Everything is told to `main`, so that no temporary
/// table of the session can stand in for one of the target's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sqlite;

/// A column's affinity: which conversions a comparison with it makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

/// SQLite's own rules, in its own order ("Determination Of Column Affinity").
fn affinity(type_name: &str) -> Affinity {
    let name = type_name.to_ascii_uppercase();
    let has = |part: &str| name.contains(part);
    if has("INT") {
        Affinity::Integer
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        Affinity::Text
    } else if has("BLOB") || name.is_empty() {
        Affinity::Blob
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        Affinity::Real
    } else {
        Affinity::Numeric
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Dialect for Sqlite {
    fn quote(&self, identifier: &str) -> String {
        format!("\"{}\"", identifier.replace('"', "\"\""))
    }

    fn tokens(&self) -> &'static dyn sqlparser::dialect::Dialect {
        &sqlparser::dialect::SQLiteDialect {}
    }

    fn table(&self, name: &TableName) -> String {
        format!("main.{}", self.quote(&name.name))
    }

    fn rows(&self, table: &Table) -> String {
        self.table(&table.name)
    }

    fn temporary(&self, name: &str) -> String {
        format!("temp.{name}")
    }

    fn create_temporary(&self, name: &str, columns: &[(String, String)]) -> String {
        let columns: Vec<String> = columns
            .iter()
            .map(|(name, kind)| format!("{name} {kind}"))
            .collect();
        format!("CREATE TABLE temp.{name} ({})", columns.join(", "))
    }

    fn keep_temporary(&self, name: &str, columns: &[(String, String)]) -> Option<String> {
        let columns: Vec<String> = columns
            .iter()
            .map(|(name, kind)| format!("{name} {kind}"))
            .collect();
        let columns = columns.join(", ");
        Some(format!(
            "CREATE TABLE IF NOT EXISTS temp.{name} ({columns})"
        ))
    }

    fn as_json(&self, query: &str) -> Option<String> {
        Some(format!(
            "WITH u(a, b) AS ({query}) SELECT json_group_array(json_array(a, b)) FROM u"
        ))
    }

    fn key_type(&self, column: &Column) -> String {
        match affinity(&column.type_name) {
            Affinity::Integer => "INTEGER",
            Affinity::Text => "TEXT",
            Affinity::Blob => "BLOB",
            Affinity::Real => "REAL",
            Affinity::Numeric => "NUMERIC",
        }
        .to_owned()
    }

    fn locator_type(&self) -> &'static str {
        "INTEGER"
    }

    /// A parameter has no affinity: the column's own is applied to the text.
    fn parameter(&self, position: usize, _column: Option<&Column>) -> String {
        format!("?{position}")
    }

    fn opaque(&self, text: &str) -> Option<String> {
        Some(format!("CAST(x'{}' AS TEXT)", hex::encode(text)))
    }

    fn literal(&self, value: &Value) -> String {
        match value {
            Value::Null => "NULL".to_owned(),
            Value::Now => "CURRENT_TIMESTAMP".to_owned(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Boolean(flag) => i32::from(*flag).to_string(),
            Value::Text(text) => quoted(text),
        }
    }

    fn text(&self, column: &Column, sql: &str) -> String {
        match affinity(&column.type_name) {
            Affinity::Blob => {
                format!(
                    "CASE typeof({sql}) WHEN 'blob' THEN hex({sql}) ELSE CAST({sql} AS TEXT) END"
                )
            }
            _ => format!("CAST({sql} AS TEXT)"),
        }
    }

    /// A foreign key compares by the parent's affinity and collation, whatever
    /// the child's are. A unary plus takes the child's affinity away, and with
    /// it the use of an index, so it stands only where the two differ.
    fn reference(&self, tie: &Tie<'_>, child: &str, parent: &str) -> (String, String) {
        let mut text = child.to_owned();
        if affinity(&tie.from.type_name) != affinity(&tie.to.type_name) {
            text.insert(0, '+');
        }
        if tie.child.has_collations || tie.parent.has_collations {
            let collation = tie.to.collation.as_deref().unwrap_or("BINARY");
            let _ = write!(text, " COLLATE {collation}");
        }
        (text, parent.to_owned())
    }

    /// Letter for letter, whatever the column's collation takes for the same.
    fn differs(&self, _column: &Column, sql: &str, value: &str) -> String {
        format!("{sql} COLLATE BINARY IS NOT {value}")
    }

    fn accepts(&self, _column: &Column, _text: &str) -> bool {
        true
    }

    fn default(&self, column: &Column) -> String {
        let default = column.default.as_deref().unwrap_or("NULL");
        format!("({default})")
    }

    /// Text only, printable ASCII without a space only, and the part after
    /// the first `@` is a listed domain. `length` stops at a NUL and counts
    /// characters, so comparing it with the bytes refuses both a NUL and
    /// whatever is not ASCII. How it ends comes first: all of it takes 1.3 µs a
    /// row (measured), and that a tenth.
    fn is_test_email(&self, sql: &str, domains: &[String]) -> String {
        let ends: Vec<String> = domains
            .iter()
            .map(|domain| {
                let end = self.literal(&Value::Text(format!("@{domain}")));
                let letters = domain.chars().count() + 1;
                format!("substr({sql}, -{letters}) COLLATE NOCASE = {end}")
            })
            .collect();
        if ends.is_empty() {
            return "(1 = 0)".to_owned();
        }
        let domains: Vec<String> = domains
            .iter()
            .map(|domain| self.literal(&Value::Text(domain.clone())))
            .collect();
        format!(
            "(({}) AND typeof({sql}) = 'text' AND length({sql}) = length(CAST({sql} AS BLOB)) \
             AND {sql} NOT GLOB '*[^!-~]*' AND instr({sql}, '@') > 1 \
             AND lower(substr({sql}, instr({sql}, '@') + 1)) COLLATE BINARY IN ({}))",
            ends.join(" OR "),
            domains.join(", ")
        )
    }

    fn json_text(&self, _column: &Column, sql: &str, path: &[&str]) -> String {
        let keys: Vec<String> = path
            .iter()
            .map(|key| format!("\"{}\"", key.replace('"', "")))
            .collect();
        let path = quoted(&format!("$.{}", keys.join(".")));
        // json_extract fails the whole statement at one malformed row.
        format!("CASE WHEN json_valid({sql}) THEN CAST(json_extract({sql}, {path}) AS TEXT) END")
    }

    fn json_reader(&self, _column: &Column) -> Option<&'static str> {
        None
    }

    fn has_tag(&self, _column: &Column, sql: &str, tag: &str) -> String {
        format!("{sql} = {tag}")
    }

    fn json_index(&self, column: &Column, paths: &[&[&str]]) -> Result<String, &'static str> {
        Ok(json_index(self, column, paths))
    }

    fn tag_index(&self, column: &Column) -> Result<String, &'static str> {
        let name = self.quote(&column.name);
        Ok(format!("({name}) WHERE {name} IS NOT NULL"))
    }

    /// What is only explained is not run, and so would be explained by the
    /// schema that the connection knows: it is made to look first.
    fn explain(&self, query: &str) -> Option<Explain> {
        Some(Explain {
            sql: format!("SELECT name FROM main.sqlite_schema LIMIT 0; EXPLAIN QUERY PLAN {query}"),
            scan: "SCAN ",
        })
    }

    fn lock(&self, _hold: Hold) -> Option<&'static str> {
        None
    }

    /// SQLite keeps books only for AUTOINCREMENT; other tables take one more
    /// than their highest key by themselves.
    fn sequences(&self) -> (Option<&'static str>, String) {
        (
            Some("SELECT '1' FROM main.sqlite_schema WHERE name = 'sqlite_sequence'"),
            "SELECT NULL, name, 'rowid', name, CAST(seq AS TEXT), '1' FROM main.sqlite_sequence \
             ORDER BY name"
                .to_owned(),
        )
    }

    fn restart(&self, sequence: &str, next: i64) -> String {
        format!(
            "UPDATE main.sqlite_sequence SET seq = {} WHERE name = {}",
            next - 1,
            quoted(sequence)
        )
    }

    /// IMMEDIATE: a deferred transaction that reads first fails when another
    /// writes in between. The text is prepared once, and so there are not many
    /// of it.
    fn begin(&self, patience: Duration, _time: Option<Duration>) -> String {
        let tenths = patience.as_millis().max(1).div_ceil(100);
        format!("PRAGMA busy_timeout = {tenths}00; BEGIN IMMEDIATE")
    }

    /// Foreign keys are watched by a connection or not: one of ours does not.
    fn begins_unchecked(&self) -> bool {
        true
    }

    /// So that cycles can go. Every prepared statement of the connection is
    /// prepared again after it, so that it is said only where it may be needed.
    fn defer(&self) -> Option<&'static str> {
        Some("PRAGMA defer_foreign_keys = ON")
    }

    /// The whole database is locked by `begin`.
    fn now_ms(&self) -> &'static str {
        "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
    }

    fn for_update(&self) -> &'static str {
        ""
    }

    fn analyze(&self, _name: &str) -> Option<String> {
        None
    }

    fn deletes_together(&self) -> bool {
        false
    }

    fn settle(&self) -> Option<&'static str> {
        None
    }

    fn violated(&self) -> Option<String> {
        Some("SELECT \"table\", \"parent\" FROM pragma_foreign_key_check LIMIT 1".to_owned())
    }

    /// The file's canonical path tells it from all others. Its name is what
    /// follows the last slash: SQLite has no function for that, so everything
    /// but slashes is trimmed away to find what stands before it.
    fn identity(&self) -> String {
        "SELECT replace(d.file, rtrim(d.file, replace(d.file, '/', '')), ''), d.file, \
         CAST((SELECT query_only FROM pragma_query_only) AS TEXT), \
         CAST(EXISTS (SELECT 1 FROM main.sqlite_schema \
         WHERE type = 'table' AND name = 'resetd_marker') AS TEXT) \
         FROM pragma_database_list AS d WHERE d.name = 'main'"
            .to_owned()
    }

    /// SQLite keeps no running estimates, and how many bytes a table has is
    /// known only to whoever reads every page of the file, which takes many
    /// times as long as counting its rows.
    fn sizes(&self) -> Option<String> {
        None
    }

    fn groups_by_sorting(&self) -> bool {
        true
    }

    fn arm(&self) -> Vec<String> {
        vec![
            "CREATE TABLE IF NOT EXISTS main.resetd_marker (
                id TEXT PRIMARY KEY NOT NULL, environment TEXT NOT NULL,
                database_name TEXT NOT NULL, server_identity TEXT NOT NULL,
                armed_by TEXT NOT NULL, armed_at TEXT NOT NULL, expires_at TEXT NOT NULL,
                protected INTEGER NOT NULL DEFAULT 0)"
                .to_owned(),
            "CREATE TABLE IF NOT EXISTS main.resetd_commit (
                operation_id TEXT PRIMARY KEY NOT NULL, committed_at TEXT NOT NULL,
                result TEXT NOT NULL)"
                .to_owned(),
            "CREATE TABLE IF NOT EXISTS main.resetd_effect (
                id TEXT PRIMARY KEY NOT NULL, operation_id TEXT NOT NULL, root_id TEXT,
                subjects TEXT NOT NULL, effects TEXT NOT NULL,
                state TEXT NOT NULL CHECK (state IN ('pending', 'attention', 'done')),
                attempts INTEGER NOT NULL DEFAULT 0, next_attempt_ms INTEGER NOT NULL DEFAULT 0,
                leased_by TEXT, leased_until_ms INTEGER, created_at TEXT NOT NULL,
                done_at TEXT, counts TEXT, last_error TEXT)"
                .to_owned(),
        ]
    }

    fn own_table(&self, name: &str) -> String {
        format!("main.resetd_{name}")
    }

    /// By SQLite's extended result codes, whose low byte is the primary one.
    fn classify(&self, code: &str, _message: &str) -> Class {
        let extended: u32 = code.parse().unwrap_or(0);
        match (extended & 0xff, extended) {
            (_, 1555 | 2067 | 2579) => Class::Duplicate,
            (19 | 20, _) => Class::Violation,
            (5 | 6, _) => Class::Busy,
            (8, _) => Class::ReadOnly,
            (13, _) => Class::Full,
            (3 | 23, _) => Class::Permission,
            (9, _) => Class::Interrupted,
            (14, _) => Class::Unavailable,
            _ => Class::Other,
        }
    }

    fn catalogue(&self) -> Catalogue {
        // Virtual tables and the tables that serve them are no tables of the
        // application's own: pragma_table_list tells them apart.
        let tables = "main.sqlite_schema AS m JOIN pragma_table_list AS l \
             ON l.schema = 'main' AND l.name = m.name AND l.type = 'table' \
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
             AND m.name NOT IN ('resetd_marker', 'resetd_commit', 'resetd_effect')";
        let names = format!("(SELECT m.name, m.sql, l.wr FROM {tables}) AS m");
        let hidden = |name: &str| {
            format!(
                "WHEN NOT EXISTS (SELECT 1 FROM pragma_table_xinfo(m.name, 'main') AS x \
                 WHERE lower(x.name) = '{name}') THEN '{name}'"
            )
        };
        Catalogue {
            tables: format!(
                "SELECT NULL, m.name, CASE WHEN m.wr THEN NULL {} {} {} END, \
                 CAST(EXISTS (SELECT 1 FROM main.sqlite_schema AS g WHERE g.type = 'trigger' \
                 AND lower(g.tbl_name) = lower(m.name)) AS TEXT), \
                 CAST(m.sql LIKE '%collate%' AS TEXT), NULL, '0' FROM {names} ORDER BY m.name",
                hidden("rowid"),
                hidden("_rowid_"),
                hidden("oid"),
            ),
            columns: format!(
                "SELECT NULL, m.name, x.name, x.type, CAST(x.\"notnull\" = 0 AND x.pk = 0 AS TEXT), \
                 x.dflt_value, CAST(x.hidden IN (2, 3) AS TEXT), \
                 CAST(x.pk = 1 AND NOT m.wr AND upper(x.type) = 'INTEGER' AND NOT EXISTS \
                 (SELECT 1 FROM pragma_table_xinfo(m.name, 'main') AS y WHERE y.pk = 2) AS TEXT), \
                 CAST(x.pk AS TEXT), \
                 CASE WHEN m.sql LIKE '%collate%' THEN (SELECT k.coll \
                 FROM pragma_index_list(m.name, 'main') AS i, pragma_index_xinfo(i.name, 'main') AS k \
                 WHERE i.\"unique\" AND k.key AND k.name = x.name AND k.coll <> 'BINARY' LIMIT 1) END \
                 FROM {names}, pragma_table_xinfo(m.name, 'main') AS x WHERE x.hidden <> 1 \
                 ORDER BY m.name, x.cid"
            ),
            foreign_keys: format!(
                "SELECT NULL, m.name, CAST(f.id AS TEXT), NULL, f.\"from\", NULL, f.\"table\", \
                 f.\"to\", f.on_delete, '1' FROM {names}, pragma_foreign_key_list(m.name, 'main') AS f \
                 ORDER BY m.name, f.id, f.seq"
            ),
            indexes: format!(
                "SELECT NULL, m.name, i.name, k.name, CAST(i.\"unique\" AS TEXT) \
                 FROM {names}, pragma_index_list(m.name, 'main') AS i, pragma_index_info(i.name, 'main') AS k \
                 WHERE i.partial = 0 ORDER BY m.name, i.name, k.seqno"
            ),
            fingerprint: "SELECT CAST(schema_version AS TEXT) FROM pragma_schema_version"
                .to_owned(),
            // The version changes with them.
            indexed: "''".to_owned(),
        }
    }
}
