//! MariaDB, and what is said of it that holds for MySQL as well.
//!
//! It is served from MariaDB 10.6 on, and tried on 10.11. MySQL is refused
//! when it is connected to: there a temporary table cannot be named twice in
//! one statement, `INSERT … RETURNING` and simultaneous assignments do not
//! exist, `max_execution_time` stops nothing but a SELECT, and `NO PAD`
//! collations have other names.
//!
//! What differs from the other databases:
//!
//! - Creating, altering and truncating a table commits. So nothing of that
//!   happens inside a reset but `CREATE TEMPORARY TABLE`, which does not, and
//!   numbers start again after the commit.
//! - Foreign keys are checked row by row. Where rows need one another, the
//!   checks are off while they go and made up for before the commit.
//! - Texts are compared by the connection's collation, which is binary and
//!   does not pad, wherever a column's own is not asked for.
//! - A table's rows have no hidden locator: one without a primary key or
//!   another unique and required one can be emptied only as a whole.

mod catalogue;

use std::time::Duration;

use super::{Catalogue, Class, Dialect, Grant, Hold, Needs, Tie};
use crate::{
    policy::Value,
    schema::{Column, Origin, Table, TableName},
};

/// MariaDB's notation. Tables are named without their database: a session is
/// in one, and stays there.
#[derive(Debug, Clone, Copy, Default)]
pub struct MySql;

/// What a column holds, as far as it decides how it is written and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Signed,
    Unsigned,
    Number,
    Bits,
    Bytes,
    Text,
    Uuid,
    Other,
}

fn kind(column: &Column) -> Kind {
    let name = column.type_name.to_ascii_lowercase();
    let base = name.split(['(', ' ']).next().unwrap_or_default();
    match base {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" if name.contains("unsigned") => {
            Kind::Unsigned
        }
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => Kind::Signed,
        "year" => Kind::Unsigned,
        "decimal" | "float" | "double" => Kind::Number,
        "bit" => Kind::Bits,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Kind::Bytes,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "json" | "enum"
        | "set" => Kind::Text,
        "uuid" => Kind::Uuid,
        _ => Kind::Other,
    }
}

/// Text in quotes, for a session in which a backslash escapes.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Why nothing is advised for markers.
const NO_EXPRESSIONS: &str = "MariaDB has no index that serves an expression; a column \
    VARCHAR(191) AS (JSON_VALUE(column, '$.session')) with an index finds a session's rows";

/// Why nothing is advised for tags.
const NO_FOLDING: &str = "MariaDB has no index that serves an expression";

/// As much of a long value as an index takes at most.
const INDEXED_LETTERS: usize = 191;

/// A column of an index, cut where its type can be too long for one.
fn indexed(name: &str, kind: &str) -> String {
    let base = kind.split(['(', ' ']).next().unwrap_or_default();
    let length = || {
        let inside = kind.split(['(', ')']).nth(1);
        inside.and_then(|length| length.parse::<usize>().ok())
    };
    let is_long = base.contains("text")
        || base.contains("blob")
        || base.contains("char") && length().is_some_and(|length| length > INDEXED_LETTERS)
        || base.contains("binary") && length().is_some_and(|length| length > INDEXED_LETTERS);
    match is_long {
        true => format!("{name}({INDEXED_LETTERS})"),
        false => name.to_owned(),
    }
}

impl Dialect for MySql {
    fn quote(&self, identifier: &str) -> String {
        format!("`{}`", identifier.replace('`', "``"))
    }

    fn tokens(&self) -> &'static dyn sqlparser::dialect::Dialect {
        &sqlparser::dialect::MySqlDialect {}
    }

    fn table(&self, name: &TableName) -> String {
        self.quote(&name.name)
    }

    fn rows(&self, table: &Table) -> String {
        self.table(&table.name)
    }

    fn temporary(&self, name: &str) -> String {
        name.to_owned()
    }

    /// A subquery of an UPDATE is asked for row by row, and finds its answer
    /// by an index. To add one later would commit.
    fn create_temporary(&self, name: &str, columns: &[(String, String)]) -> String {
        let defined = columns.iter().map(|(name, kind)| format!("{name} {kind}"));
        let keys = columns.iter().filter(|(name, _)| name.starts_with('c'));
        let indexes = keys.map(|(name, kind)| format!("INDEX ({})", indexed(name, kind)));
        let parts: Vec<String> = defined.chain(indexes).collect();
        format!(
            "CREATE TEMPORARY TABLE {name} ({}) ENGINE = InnoDB",
            parts.join(", ")
        )
    }

    /// Without the word, it would take away a table of the application's own,
    /// and commit.
    fn drop_temporary(&self, name: &str) -> String {
        format!("DROP TEMPORARY TABLE {name}")
    }

    /// A table's alias is known only in the form for several tables, which is
    /// also the one that finds its rows by a subquery instead of reading all.
    fn delete(&self, table: &str, row: &str) -> String {
        format!("DELETE {row} FROM {table} AS {row}")
    }

    fn key_type(&self, column: &Column) -> String {
        let collation = column.collation.as_ref();
        let collation = collation.map_or_else(String::new, |name| format!(" COLLATE {name}"));
        format!("{}{collation} NULL", column.type_name)
    }

    fn locator_type(&self) -> &'static str {
        "BIGINT"
    }

    /// A number is compared as one: as text it would be by floating point.
    fn parameter(&self, _position: usize, column: Option<&Column>) -> String {
        match column.map(kind) {
            Some(Kind::Signed) => "CAST(? AS SIGNED)",
            Some(Kind::Unsigned | Kind::Bits) => "CAST(? AS UNSIGNED)",
            Some(Kind::Bytes) => "UNHEX(?)",
            Some(Kind::Number | Kind::Text | Kind::Uuid | Kind::Other) | None => "?",
        }
        .to_owned()
    }

    fn as_json(&self, query: &str) -> Option<String> {
        Some(format!(
            "WITH u(a, b) AS ({query}) \
             SELECT CAST(COALESCE(JSON_ARRAYAGG(JSON_ARRAY(a, b)), '[]') AS CHAR) FROM u"
        ))
    }

    /// Its bytes mean nothing but themselves.
    fn opaque(&self, text: &str) -> Option<String> {
        Some(format!("_utf8mb4 x'{}'", hex::encode(text)))
    }

    fn inline(&self, text: &str, column: Option<&Column>) -> String {
        let text = format!("_utf8mb4 x'{}'", hex::encode(text));
        match column {
            Some(_) => self.parameter(0, column).replace('?', &text),
            // It has no column's collation to take, and so the session's own.
            None => format!("({text} COLLATE utf8mb4_nopad_bin)"),
        }
    }

    /// Behind 80 thousand rows that the same transaction has deleted, 4 ms
    /// instead of 94.
    fn read_through(&self) -> &'static str {
        " USE INDEX ()"
    }

    fn by_index(&self) -> Option<(&'static str, &'static str)> {
        Some((
            "SET SESSION sql_safe_updates = 1",
            "SET SESSION sql_safe_updates = 0",
        ))
    }

    fn can_list(&self, column: &Column) -> bool {
        let base = column.type_name.to_ascii_lowercase();
        let base = base.split(['(', ' ']).next().unwrap_or_default();
        match kind(column) {
            Kind::Signed | Kind::Unsigned | Kind::Bytes | Kind::Uuid => base != "year",
            Kind::Text => matches!(base, "char" | "varchar"),
            Kind::Number | Kind::Bits | Kind::Other => false,
        }
    }

    fn listed(&self, column: &Column, text: &str) -> Option<String> {
        match kind(column) {
            Kind::Signed => text.parse::<i64>().ok().map(|number| number.to_string()),
            Kind::Unsigned => text.parse::<u64>().ok().map(|number| number.to_string()),
            Kind::Bytes => {
                let bytes = hex::decode(text).ok()?;
                Some(format!("x'{}'", hex::encode(bytes)))
            }
            Kind::Uuid => {
                let uuid = uuid::Uuid::try_parse(text).ok()?;
                Some(format!("'{uuid}'"))
            }
            Kind::Text => self.opaque(text),
            Kind::Number | Kind::Bits | Kind::Other => None,
        }
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
        match kind(column) {
            Kind::Bytes => format!("HEX({sql})"),
            Kind::Bits => format!("CAST({sql} + 0 AS CHAR)"),
            _ => self.as_text(sql),
        }
    }

    fn as_text(&self, sql: &str) -> String {
        format!("CAST({sql} AS CHAR)")
    }

    fn now_ms(&self) -> &'static str {
        "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"
    }

    /// A declared key's columns are of one type and one collation. A relation
    /// of the policy may tie others, which meet as text.
    fn reference(&self, tie: &Tie<'_>, child: &str, parent: &str) -> (String, String) {
        let is_same =
            tie.from.type_name == tie.to.type_name && tie.from.collation == tie.to.collation;
        if tie.key.origin == Origin::Relation && !is_same {
            (self.text(tie.from, child), self.text(tie.to, parent))
        } else {
            (child.to_owned(), parent.to_owned())
        }
    }

    /// Letter for letter, whatever the column's collation takes for the same.
    fn differs(&self, column: &Column, sql: &str, value: &str) -> String {
        match kind(column) {
            _ if value == "NULL" => format!("{sql} IS NOT NULL"),
            Kind::Text => format!("NOT ({} <=> {})", self.as_text(sql), self.as_text(value)),
            _ => format!("NOT ({sql} <=> {value})"),
        }
    }

    /// MariaDB takes what begins with a number for that number.
    fn accepts(&self, column: &Column, text: &str) -> bool {
        match kind(column) {
            Kind::Signed => text.parse::<i64>().is_ok(),
            Kind::Unsigned | Kind::Bits => text.parse::<u64>().is_ok(),
            Kind::Number => text.parse::<f64>().is_ok(),
            Kind::Bytes => {
                text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            }
            Kind::Uuid => uuid::Uuid::try_parse(text).is_ok(),
            Kind::Text | Kind::Other => true,
        }
    }

    fn default(&self, column: &Column) -> String {
        let default = column.default.as_deref().unwrap_or("NULL");
        format!("({default})")
    }

    /// One `@` between printable ASCII without a space, and a listed domain
    /// after it, which is ASCII then, whatever the collation takes for it. An
    /// end of text is also before a last line feed, which is asked for.
    fn is_test_email(&self, sql: &str, domains: &[String]) -> String {
        let domains: Vec<String> = domains.iter().map(|domain| quoted(domain)).collect();
        let text = self.as_text(sql);
        format!(
            "COALESCE(LOWER(SUBSTRING_INDEX({text}, '@', -1)) IN ({}) \
             AND {text} REGEXP '^[!-?A-~]+@[!-?A-~]+$(?![[:space:]])', FALSE)",
            domains.join(", ")
        )
    }

    fn json_text(&self, _column: &Column, sql: &str, path: &[&str]) -> String {
        let keys: Vec<String> = path
            .iter()
            .map(|key| format!("\"{}\"", key.replace(['"', '\\'], "")))
            .collect();
        let value = format!(
            "JSON_VALUE({sql}, {})",
            quoted(&format!("$.{}", keys.join(".")))
        );
        format!(
            "CASE WHEN JSON_VALID({sql}) THEN {} END",
            self.as_text(&value)
        )
    }

    /// A computed column has the text whole only where it is long enough for
    /// it, and tells all letters apart that Unicode does.
    fn computes(&self, computed: &Column, column: &Column, path: &[&str], text: &str) -> bool {
        let letters = computed.type_name.strip_prefix("varchar(");
        let letters = letters.and_then(|rest| rest.strip_suffix(')')?.parse::<usize>().ok());
        let collation = computed.collation.as_deref().unwrap_or_default();
        let is_plain = |key: &&str| key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let from = self.quote(&column.name);
        let ways = [path.join("."), format!("\"{}\"", path.join("\".\""))];
        let mut ways = ways
            .map(|keys| format!("json_value({from},'$.{keys}')"))
            .into_iter();
        letters.is_some_and(|letters| text.chars().count() <= letters)
            && collation.starts_with("utf8mb4_")
            && path.iter().all(is_plain)
            && ways.any(|way| computed.expression.as_ref() == Some(&way))
    }

    fn json_reader(&self, _column: &Column) -> Option<&'static str> {
        None
    }

    /// A list is JSON in a column of text, which may hold a lone tag as well.
    fn has_tag(&self, column: &Column, sql: &str, tag: &str) -> String {
        let name = column.type_name.as_str();
        match name.contains("text") || name == "json" {
            true => format!(
                "COALESCE(JSON_CONTAINS(CASE WHEN JSON_VALID({sql}) THEN {sql} \
                 ELSE JSON_QUOTE({sql}) END, JSON_QUOTE({tag})), FALSE)"
            ),
            false => format!("{} = {tag}", self.text(column, sql)),
        }
    }

    /// An index on a generated column does not serve the expression that the
    /// column is generated by, before MariaDB 11.8.
    fn json_index(&self, _column: &Column, _paths: &[&[&str]]) -> Result<String, &'static str> {
        Err(NO_EXPRESSIONS)
    }

    /// Tags are told apart letter for letter, which the column's collation may
    /// not do, and with it its index.
    fn tag_index(&self, _column: &Column) -> Result<String, &'static str> {
        Err(NO_FOLDING)
    }

    /// A lock by name would be the session's; that on a row of ours ends with
    /// the transaction.
    fn lock(&self, hold: Hold) -> Option<&'static str> {
        Some(match hold {
            Hold::Shared => "SELECT CAST(id AS CHAR) FROM resetd_lock LOCK IN SHARE MODE",
            Hold::Exclusive => "SELECT CAST(id AS CHAR) FROM resetd_lock FOR UPDATE",
        })
    }

    fn backend(&self) -> Option<&'static str> {
        Some("SELECT CAST(CONNECTION_ID() AS CHAR)")
    }

    fn sequences(&self) -> (Option<&'static str>, String) {
        (None, catalogue::NUMBERED.to_owned())
    }

    fn restart(&self, sequence: &str, next: i64) -> String {
        format!(
            "ALTER TABLE {} AUTO_INCREMENT = {next}",
            self.quote(sequence)
        )
    }

    fn restarts_after_commit(&self) -> bool {
        true
    }

    /// What holds for the session is said anew for each transaction. Under
    /// READ COMMITTED a row is judged as it is, as on PostgreSQL, and no gap
    /// is locked against other users' rows.
    fn begin(&self, patience: Duration, time: Option<Duration>) -> String {
        let seconds = patience.as_secs().max(1);
        let time = time.map_or(0.0, |time| time.as_secs_f64().max(0.001));
        format!(
            "SET SESSION max_statement_time = {time:.3}, innodb_lock_wait_timeout = {seconds}, \
             lock_wait_timeout = {seconds}; SET TRANSACTION ISOLATION LEVEL READ COMMITTED; \
             START TRANSACTION"
        )
    }

    fn asks_apart(&self) -> bool {
        true
    }

    fn begins_unchecked(&self) -> bool {
        true
    }

    fn sees_all(&self) -> Option<&'static str> {
        Some(catalogue::SIGHT)
    }

    fn for_update(&self) -> &'static str {
        " FOR UPDATE"
    }

    fn analyze(&self, _name: &str) -> Option<String> {
        None
    }

    fn deletes_together(&self) -> bool {
        false
    }

    fn unchecked(&self) -> Option<(&'static str, &'static str)> {
        Some((
            "SET SESSION foreign_key_checks = 0",
            "SET SESSION foreign_key_checks = 1",
        ))
    }

    fn settle(&self) -> Option<&'static str> {
        None
    }

    fn violated(&self) -> Option<String> {
        None
    }

    /// The server's own identity, which is that of its place: a copy of its
    /// files elsewhere has another.
    fn identity(&self) -> String {
        "SELECT DATABASE(), CONCAT(@@server_uid, '/', DATABASE()), \
         CASE WHEN @@global.read_only OR @@innodb_read_only THEN '1' ELSE '0' END, \
         CASE WHEN EXISTS (SELECT 1 FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'resetd_marker') THEN '1' ELSE '0' END"
            .to_owned()
    }

    fn sizes(&self) -> Option<String> {
        let sizes = "SELECT NULL, TABLE_NAME, CAST(TABLE_ROWS AS CHAR), \
             CAST(DATA_LENGTH + INDEX_LENGTH AS CHAR) FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = DATABASE()";
        Some(sizes.to_owned())
    }

    /// Each of them commits; what follows is a transaction again.
    fn arm(&self) -> Vec<String> {
        const OURS: &str = "ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
        vec![
            format!(
                "CREATE TABLE IF NOT EXISTS resetd_marker (
                id VARCHAR(64) PRIMARY KEY, environment VARCHAR(255) NOT NULL,
                database_name VARCHAR(255) NOT NULL, server_identity VARCHAR(255) NOT NULL,
                armed_by VARCHAR(255) NOT NULL, armed_at VARCHAR(64) NOT NULL,
                expires_at VARCHAR(64) NOT NULL, protected INTEGER NOT NULL DEFAULT 0) {OURS}"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS resetd_commit (
                operation_id VARCHAR(64) PRIMARY KEY, committed_at VARCHAR(64) NOT NULL,
                result LONGTEXT NOT NULL) {OURS}"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS resetd_effect (
                id VARCHAR(64) PRIMARY KEY, operation_id VARCHAR(64) NOT NULL,
                root_id VARCHAR(255), subjects LONGTEXT NOT NULL, effects LONGTEXT NOT NULL,
                state VARCHAR(16) NOT NULL CHECK (state IN ('pending', 'attention', 'done')),
                attempts INTEGER NOT NULL DEFAULT 0, next_attempt_ms BIGINT NOT NULL DEFAULT 0,
                leased_by VARCHAR(255), leased_until_ms BIGINT, created_at VARCHAR(64) NOT NULL,
                done_at VARCHAR(64), counts LONGTEXT, last_error LONGTEXT) {OURS}"
            ),
            format!("CREATE TABLE IF NOT EXISTS resetd_lock (id INTEGER PRIMARY KEY) {OURS}"),
            "INSERT IGNORE INTO resetd_lock (id) VALUES (1)".to_owned(),
            "START TRANSACTION".to_owned(),
        ]
    }

    fn grants(&self, role: &str, needs: &Needs<'_>) -> Vec<Grant> {
        let role = match role.split_once('@') {
            Some((user, host)) => format!("{}@{}", quoted(user), quoted(host)),
            None => quoted(role),
        };
        let database = self.quote(needs.database);
        let mut grants = Vec::new();
        let mut grant = |why, what: &str, on: &str| {
            let statement = format!("GRANT {what} ON {database}.{on} TO {role}");
            grants.push(Grant { statement, why });
        };
        let why = "for tables of keys, and to see triggers";
        grant(why, "CREATE TEMPORARY TABLES, TRIGGER", "*");
        for table in &needs.read {
            grant("to read what is kept", "SELECT", &self.table(table));
        }
        for table in &needs.change {
            let why = "to delete, set back and lock rows";
            grant(why, "SELECT, UPDATE, DELETE", &self.table(table));
        }
        grant("to see that resets are allowed", "SELECT", "resetd_marker");
        let why = "for the proofs of commits, and what is outside the database";
        for table in ["resetd_commit", "resetd_effect"] {
            grant(why, "SELECT, INSERT, UPDATE, DELETE", table);
        }
        grant("to hold the target", "SELECT, UPDATE", "resetd_lock");
        if let Some(users) = needs.create {
            grant("to create test users", "INSERT", &self.table(users));
        }
        for table in &needs.change {
            let why = "to let numbers start again after a full reset (optional)";
            grant(why, "ALTER, INSERT", &self.table(table));
        }
        grants
    }

    fn own_table(&self, name: &str) -> String {
        format!("resetd_{name}")
    }

    /// By the server's own numbers ("MariaDB Error Code Reference").
    fn classify(&self, code: &str, _message: &str) -> Class {
        match code.parse::<u32>().unwrap_or(0) {
            1020 | 1213 | 1412 | 1614 | 1615 => Class::Retry,
            1205 | 3572 => Class::Busy,
            1062 | 1169 | 1586 => Class::Duplicate,
            1290 | 1792 | 1836 => Class::ReadOnly,
            1044 | 1142 | 1143 | 1227 | 1370 | 1410 => Class::Permission,
            1317 | 1968 | 1969 | 3024 => Class::Interrupted,
            1021 | 1026 | 1114 => Class::Full,
            1048 | 1216 | 1217 | 1264 | 1265 | 1292 | 1364 | 1366 | 1406 | 1451 | 1452 | 1525
            | 1526 | 1557 | 1644 | 1690 | 1761 | 1762 | 3819 | 4025 => Class::Violation,
            1040
            | 1053
            | 1077
            | 1079
            | 1080
            | 1152
            | 1158..=1161
            | 1203
            | 1226
            | 1927
            | 2006
            | 2013 => Class::Unavailable,
            _ => Class::Other,
        }
    }

    fn catalogue(&self) -> Catalogue {
        catalogue::catalogue()
    }
}
