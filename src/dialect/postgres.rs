//! PostgreSQL.

use std::{collections::BTreeSet, time::Duration};

use super::{Catalogue, Class, Dialect, Explain, Grant, Hold, Needs, Tie, advice::json_index};
use crate::{
    policy::Value,
    schema::{Column, Origin, Table, TableName},
};

/// PostgreSQL's notation. Every table is named with its schema, so that the
/// search path and temporary tables decide nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Postgres;

/// The schema that is not written before a table's name.
const DEFAULT_SCHEMA: &str = "public";

/// Tables of the application: no views, no foreign tables, none that belongs
/// to an extension, of partitioned tables the root.
const TABLES: &str = "pg_catalog.pg_class AS c \
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' \
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'resetd') \
    AND n.nspname !~ '^pg_' AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend AS d \
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')";

/// It is asked inside every transaction, so it has to be cheap: rows are told
/// apart by who wrote them last, and are mixed in any order, without a sort
/// and without texts (measured at 300 tables: a third of the time of a digest
/// over sorted texts). What is ours is numbered from 16384 on; the temporary
/// tables of other sessions come and go.
const FINGERPRINT: &str = "WITH hidden AS MATERIALIZED (SELECT n.oid \
    FROM pg_catalog.pg_namespace AS n \
    WHERE n.nspname IN ('pg_catalog', 'information_schema', 'resetd') OR n.nspname ~ '^pg_'), \
    c AS MATERIALIZED (SELECT c.oid, c.xmin \
    FROM pg_catalog.pg_class AS c WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p') \
    AND NOT c.relispartition AND c.relpersistence <> 't' \
    AND c.relnamespace NOT IN (SELECT oid FROM hidden)) \
    SELECT concat_ws(':', \
    (SELECT concat(count(*), '.', bit_xor(hashint8extended(\
    (c.oid::bigint << 32) | c.xmin::text::bigint, 0))) FROM c), \
    (SELECT concat(count(*), '.', bit_xor(hashint8extended(\
    (k.oid::bigint << 32) | k.xmin::text::bigint, 1))) FROM pg_catalog.pg_constraint AS k \
    WHERE k.oid >= 16384 AND k.contype IN ('f', 'p', 'u') \
    AND k.connamespace NOT IN (SELECT oid FROM hidden)), \
    (SELECT concat(count(*), '.', bit_xor(hashint8extended(\
    (a.attrelid::bigint << 32) | a.xmin::text::bigint, 2 + a.attnum))) \
    FROM pg_catalog.pg_attribute AS a WHERE a.attnum > 0 \
    AND a.attrelid = ANY (ARRAY(SELECT c.oid FROM c))), \
    (SELECT concat(count(*), '.', bit_xor(hashint8extended(\
    (g.oid::bigint << 32) | g.xmin::text::bigint, 1))) FROM pg_catalog.pg_trigger AS g \
    WHERE NOT g.tgisinternal))";

/// By the same means, in a third of a millisecond for the indexes of 300
/// tables. What is never rewritten is told by its number, but for whether it is
/// valid yet. To leave out those of other sessions' temporary tables would cost
/// three times as much; for them the catalogue is read once more.
const INDEXED: &str = "SELECT concat(count(*), '.', bit_xor(hashint8extended(\
    (i.indexrelid::bigint << 1) | i.indisvalid::integer, 3))) FROM pg_catalog.pg_index AS i \
    WHERE i.indexrelid >= 16384";

/// Text in quotes. Without a backslash in it, it means the same whatever
/// `standard_conforming_strings` says.
fn quoted(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

impl Dialect for Postgres {
    fn quote(&self, identifier: &str) -> String {
        format!("\"{}\"", identifier.replace('"', "\"\""))
    }

    fn tokens(&self) -> &'static dyn sqlparser::dialect::Dialect {
        &sqlparser::dialect::PostgreSqlDialect {}
    }

    fn table(&self, name: &TableName) -> String {
        let schema = name.schema.as_deref().unwrap_or(DEFAULT_SCHEMA);
        format!("{}.{}", self.quote(schema), self.quote(&name.name))
    }

    fn rows(&self, table: &Table) -> String {
        let only = if table.has_heirs { "ONLY " } else { "" };
        format!("{only}{}", self.table(&table.name))
    }

    fn temporary(&self, name: &str) -> String {
        format!("pg_temp.{name}")
    }

    fn create_temporary(&self, name: &str, columns: &[(String, String)]) -> String {
        let columns: Vec<String> = columns
            .iter()
            .map(|(name, kind)| format!("{name} {kind}"))
            .collect();
        format!(
            "CREATE TEMPORARY TABLE {name} ({}) ON COMMIT DROP",
            columns.join(", ")
        )
    }

    /// An array is made once, and each of its values looked up in an index,
    /// also beside OR (measured for a user of 34 rows in 14 tables: 0.65 ms,
    /// where sets joined with the table take 0.93).
    fn among_few(&self, value: &str, search: &str) -> String {
        format!("{value} = ANY (ARRAY({search}))")
    }

    fn as_json(&self, query: &str) -> Option<String> {
        Some(format!(
            "SELECT COALESCE(json_agg(json_build_array(u.a, u.b)), '[]')::text \
             FROM ({query}) AS u(a, b)"
        ))
    }

    /// One that is not valid yet can lead to nothing.
    fn sees_to_references(&self) -> bool {
        true
    }

    fn key_type(&self, column: &Column) -> String {
        column.type_name.clone()
    }

    fn locator_type(&self) -> &'static str {
        "tid"
    }

    /// Parameters are sent as text. The catalogue's type is written without
    /// its length: a cast to `varchar(36)` would cut a longer text silently,
    /// and one to `character`, which means one character, nearly all of it.
    fn parameter(&self, position: usize, column: Option<&Column>) -> String {
        match column {
            Some(column) => format!("CAST(${position} AS {})", column.type_name),
            None => format!("${position}"),
        }
    }

    fn opaque(&self, text: &str) -> Option<String> {
        let hex = hex::encode(text);
        Some(format!(
            "pg_catalog.convert_from(pg_catalog.decode('{hex}', 'hex'), 'UTF8')"
        ))
    }

    /// A literal in quotes takes the type of its column: a number also fits
    /// one of text, where a bare one could not be compared.
    fn literal(&self, value: &Value) -> String {
        match value {
            Value::Null => "NULL".to_owned(),
            Value::Now => "CURRENT_TIMESTAMP".to_owned(),
            Value::Integer(number) => quoted(&number.to_string()),
            Value::Float(number) => quoted(&number.to_string()),
            Value::Boolean(flag) => quoted(&flag.to_string()),
            Value::Text(text) => quoted(text),
        }
    }

    fn text(&self, _column: &Column, sql: &str) -> String {
        format!("{sql}::text")
    }

    /// A declared foreign key compares by an operator that exists; a relation
    /// of the policy may tie different types, which meet as text.
    fn reference(&self, tie: &Tie<'_>, child: &str, parent: &str) -> (String, String) {
        if tie.key.origin == Origin::Relation && tie.from.type_name != tie.to.type_name {
            (format!("{child}::text"), format!("{parent}::text"))
        } else {
            (child.to_owned(), parent.to_owned())
        }
    }

    /// Some types have no equality, and some that have one mean another thing
    /// by it: boxes are equal that are equally big.
    fn differs(&self, column: &Column, sql: &str, value: &str) -> String {
        match column.type_name.as_str() {
            _ if value == "NULL" => format!("{sql} IS NOT NULL"),
            name @ ("json" | "xml" | "point" | "box" | "path" | "polygon" | "circle") => {
                format!("{sql}::text IS DISTINCT FROM CAST({value} AS {name})::text")
            }
            name => format!("{sql} IS DISTINCT FROM CAST({value} AS {name})"),
        }
    }

    /// PostgreSQL refuses the whole transaction when a text is no value of
    /// the type that it is compared with.
    fn accepts(&self, column: &Column, text: &str) -> bool {
        match column.type_name.as_str() {
            "smallint" => text.parse::<i16>().is_ok(),
            "integer" => text.parse::<i32>().is_ok(),
            "bigint" => text.parse::<i64>().is_ok(),
            "numeric" => text.parse::<f64>().is_ok(),
            "uuid" => uuid::Uuid::try_parse(text).is_ok(),
            _ => !text.contains('\0'),
        }
    }

    fn default(&self, column: &Column) -> String {
        let default = column.default.as_deref().unwrap_or("NULL");
        format!("({default})")
    }

    /// One `@` between printable ASCII without a space, and a listed domain
    /// after it, compared byte by byte whatever the column's collation is.
    fn is_test_email(&self, sql: &str, domains: &[String]) -> String {
        let domains: Vec<String> = domains.iter().map(|domain| quoted(domain)).collect();
        let text = format!("({sql}::text COLLATE \"C\")");
        format!(
            "COALESCE(lower(split_part({text}, '@', 2)) IN ({}) \
             AND {text} ~ '^[!-?A-~]+@[!-?A-~]+$', FALSE)",
            domains.join(", ")
        )
    }

    fn json_text(&self, column: &Column, sql: &str, path: &[&str]) -> String {
        let keys: Vec<String> = path.iter().map(|key| quoted(key)).collect();
        let keys_array = format!("ARRAY[{}]::text[]", keys.join(", "));
        match column.type_name.as_str() {
            "json" | "jsonb" => format!("({sql} #>> {keys_array})"),
            // Only what may hold the key is read: it costs a subtransaction.
            _ => {
                let key = keys.last().map_or("''", String::as_str);
                format!(
                    "CASE WHEN strpos({sql}::text, {key}) > 0 \
                     THEN pg_temp.resetd_json({sql}::text) #>> {keys_array} END"
                )
            }
        }
    }

    /// A text that is no JSON fails the whole statement when it is cast, and
    /// before PostgreSQL 16 nothing else tells whether it is.
    fn json_reader(&self, column: &Column) -> Option<&'static str> {
        match column.type_name.as_str() {
            "json" | "jsonb" => None,
            _ => Some(
                "CREATE OR REPLACE FUNCTION pg_temp.resetd_json(text) RETURNS jsonb \
                 LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1::jsonb; \
                 EXCEPTION WHEN data_exception THEN RETURN NULL; END $$",
            ),
        }
    }

    fn has_tag(&self, column: &Column, sql: &str, tag: &str) -> String {
        match column.type_name.as_str() {
            "json" | "jsonb" => format!("{sql}::jsonb ? {tag}"),
            // Unlike `= ANY`, an index serves this.
            list if list.ends_with("[]") => format!("{sql}::text[] @> ARRAY[{tag}]"),
            _ => format!("{sql}::text = {tag}"),
        }
    }

    fn json_index(&self, column: &Column, paths: &[&[&str]]) -> Result<String, &'static str> {
        match column.type_name.as_str() {
            "json" | "jsonb" => Ok(json_index(self, column, paths)),
            _ => Err("no index serves JSON in a column of text; one of type jsonb can have one"),
        }
    }

    fn tag_index(&self, column: &Column) -> Result<String, &'static str> {
        let name = self.quote(&column.name);
        Ok(match column.type_name.as_str() {
            "json" | "jsonb" => format!("USING gin (({name}::jsonb))"),
            list if list.ends_with("[]") => format!("USING gin (({name}::text[]))"),
            _ => format!("(({name}::text))"),
        })
    }

    /// A small table is read as a whole although it has an index, so that
    /// reading it is made dear: for this one text, which is one transaction.
    fn explain(&self, query: &str) -> Option<Explain> {
        Some(Explain {
            sql: format!("SET LOCAL enable_seqscan = off; EXPLAIN (COSTS off) {query}"),
            scan: "Seq Scan",
        })
    }

    /// One key for all targets: the lock is the database's own.
    fn lock(&self, hold: Hold) -> Option<&'static str> {
        Some(match hold {
            Hold::Shared => "SELECT pg_advisory_xact_lock_shared(7305801383)",
            Hold::Exclusive => "SELECT pg_advisory_xact_lock(7305801383)",
        })
    }

    /// A column takes its numbers from a sequence that it owns, or that its
    /// default calls. Sequences that never gave a number are left out before
    /// anybody asks whose they are: after most tests those are nearly all. One
    /// that may not be read counts as one that has.
    fn sequences(&self) -> (Option<&'static str>, String) {
        let sql = format!(
            "WITH s AS MATERIALIZED (SELECT s.oid, \
             CASE WHEN has_sequence_privilege(s.oid, 'SELECT, USAGE') \
             THEN pg_sequence_last_value(s.oid) ELSE -1 END AS last \
             FROM pg_catalog.pg_class AS s WHERE s.relkind = 'S' AND s.relpersistence <> 't'), \
             moved AS MATERIALIZED (SELECT s.oid, s.last FROM s WHERE s.last IS NOT NULL) \
             SELECT nullif(n.nspname, '{DEFAULT_SCHEMA}')::text, c.relname::text, a.attname::text, \
             s.oid::regclass::text, s.last::text, q.seqstart::text FROM moved AS s \
             JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = s.oid \
             JOIN LATERAL (SELECT d.refobjid, d.refobjsubid::smallint \
             FROM pg_catalog.pg_depend AS d \
             WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = s.oid \
             AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i') \
             UNION SELECT f.adrelid, f.adnum FROM pg_catalog.pg_depend AS d \
             JOIN pg_catalog.pg_attrdef AS f ON f.oid = d.objid \
             WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass \
             AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = s.oid) \
             AS d(refobjid, refobjsubid) ON true \
             JOIN pg_catalog.pg_class AS c ON c.oid = d.refobjid \
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid \
             ORDER BY 1, 2, 3"
        );
        (None, sql)
    }

    /// Unlike `setval`, this is undone by a rollback.
    fn restart(&self, sequence: &str, next: i64) -> String {
        format!("ALTER SEQUENCE {sequence} RESTART WITH {next}")
    }

    /// The application's path is kept, as its triggers and defaults expect it,
    /// but for two things: a system catalogue that is not named comes first,
    /// and a temporary schema that is named last shadows nothing.
    fn begin(&self, patience: Duration, time: Option<Duration>) -> String {
        let time = time.map_or(0, |time| time.as_millis().max(1));
        format!(
            "BEGIN; SET LOCAL synchronous_commit = on; SET LOCAL row_security = off; \
             SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {time}; \
             SELECT pg_catalog.set_config('search_path', pg_catalog.array_to_string(\
             ARRAY(SELECT pg_catalog.quote_ident(s) FROM pg_catalog.unnest(\
             pg_catalog.current_schemas(false)) WITH ORDINALITY AS u(s, position) \
             WHERE s <> 'pg_catalog' AND s !~ '^pg_temp' ORDER BY position) \
             OPERATOR(pg_catalog.||) 'pg_temp'::text, ', '), true); \
             SET CONSTRAINTS ALL DEFERRED",
            patience.as_millis(),
        )
    }

    /// A list of hundreds of columns takes longer to be answered than an array
    /// of them.
    fn filled(&self, tables: &[String]) -> String {
        let asked: Vec<String> = tables
            .iter()
            .map(|table| {
                format!(
                    "CASE WHEN EXISTS (SELECT 1 FROM {table}) \
                     THEN pg_relation_size({}::regclass)::text END",
                    quoted(table)
                )
            })
            .collect();
        format!(
            "SELECT u.place::text, u.bytes FROM unnest(ARRAY[{}]::text[]) \
             WITH ORDINALITY AS u(bytes, place) WHERE u.bytes IS NOT NULL",
            asked.join(", ")
        )
    }

    fn backend(&self) -> Option<&'static str> {
        Some("SELECT pg_backend_pid()::text")
    }

    fn may_truncate(&self, tables: &[String]) -> Option<String> {
        let checks: Vec<String> = tables
            .iter()
            .map(|table| format!("has_table_privilege({}, 'TRUNCATE')", quoted(table)))
            .collect();
        Some(format!(
            "SELECT CASE WHEN {} THEN '1' ELSE '0' END",
            checks.join(" AND ")
        ))
    }

    /// Sets are joined in memory then, where they would be on disk, or looked
    /// through for every row.
    fn ample(&self) -> Option<&'static str> {
        Some("SET LOCAL work_mem = '64MB'; SET LOCAL maintenance_work_mem = '64MB'")
    }

    /// From PostgreSQL 15 on a role can be given this and nothing else.
    fn enforcement(&self) -> Option<(&'static str, &'static str)> {
        Some((
            "SET LOCAL session_replication_role = replica",
            "SET LOCAL session_replication_role = origin",
        ))
    }

    fn strangers(&self, going: &[String], known: &[String]) -> Option<String> {
        let array = |tables: &[String]| {
            let tables: Vec<String> = tables.iter().map(|table| quoted(table)).collect();
            format!("(ARRAY[{}]::regclass[])", tables.join(", "))
        };
        Some(format!(
            "SELECT k.conrelid::regclass::text FROM pg_catalog.pg_constraint AS k \
             WHERE k.contype = 'f' AND k.confrelid = ANY {going} AND k.conrelid <> ALL {known} \
             UNION ALL SELECT c.oid::regclass::text FROM pg_catalog.pg_class AS c \
             WHERE c.oid = ANY {going} AND c.relkind <> 'r' LIMIT 1",
            going = array(going),
            known = array(known),
        ))
    }

    /// What adding a key back would not restore is left alone: a comment,
    /// triggers that are switched off, whatever depends on it or would hear of
    /// it, and what was never validated.
    fn droppable_keys(&self, parents: &[String]) -> Option<String> {
        let parents: Vec<String> = parents.iter().map(|parent| quoted(parent)).collect();
        Some(format!(
            "SELECT nullif(n.nspname, '{DEFAULT_SCHEMA}')::text, c.relname::text, k.conname::text, \
             pg_get_constraintdef(k.oid), (CASE WHEN c.reltuples >= 0 THEN c.reltuples \
             ELSE pg_relation_size(c.oid) / 100 END)::bigint::text \
             FROM pg_catalog.pg_constraint AS k \
             JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid AND c.relkind = 'r' \
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
             JOIN pg_catalog.pg_class AS p ON p.oid = k.confrelid AND p.relkind = 'r' \
             WHERE k.contype = 'f' AND k.convalidated AND k.conparentid = 0 AND k.conislocal \
             AND k.coninhcount = 0 AND k.confrelid = ANY (ARRAY[{}]::regclass[]) \
             AND pg_has_role(c.relowner, 'USAGE') AND has_table_privilege(p.oid, 'REFERENCES') \
             AND obj_description(k.oid, 'pg_constraint') IS NULL \
             AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_trigger AS g \
             WHERE g.tgconstraint = k.oid AND g.tgenabled <> 'O') \
             AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend AS d WHERE d.refobjid = k.oid \
             AND d.refclassid = 'pg_catalog.pg_constraint'::regclass AND d.deptype = 'n') \
             AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_event_trigger AS e \
             WHERE e.evtenabled <> 'D') ORDER BY 1, 2, 3",
            parents.join(", ")
        ))
    }

    /// Otherwise a statement is planned anew the first five times.
    fn prepared(&self) -> Option<&'static str> {
        Some("SET LOCAL plan_cache_mode = force_generic_plan")
    }

    fn now_ms(&self) -> &'static str {
        "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    }

    fn passes_deleted(&self) -> bool {
        true
    }

    fn for_update(&self) -> &'static str {
        " FOR UPDATE"
    }

    /// Without it a set of three rows is taken for thousands, and a big table
    /// is read from end to end to find their children.
    fn analyze(&self, name: &str) -> Option<String> {
        Some(format!("ANALYZE pg_temp.{name}"))
    }

    /// The checks of keys that are not deferrable come at the end of the
    /// statement.
    fn deletes_together(&self) -> bool {
        true
    }

    /// A set that fits into memory is hashed, and a row is looked up there for
    /// each way: for order lines of a tenth of the users, by two ways, 11 ms
    /// where the union of two searches takes 22.
    fn hashes_sets(&self) -> bool {
        true
    }

    fn settle(&self) -> Option<&'static str> {
        Some("SET CONSTRAINTS ALL IMMEDIATE")
    }

    fn violated(&self) -> Option<String> {
        None
    }

    fn identity(&self) -> String {
        "SELECT current_database()::text, \
         (SELECT system_identifier FROM pg_control_system())::text || '/' || d.oid::text, \
         CASE WHEN pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean \
         THEN '1' ELSE '0' END, \
         CASE WHEN to_regclass('resetd.marker') IS NULL THEN '0' ELSE '1' END \
         FROM pg_catalog.pg_database AS d WHERE d.datname = current_database()"
            .to_owned()
    }

    /// Bytes are estimates as rows are, as of the same moment: asking the file
    /// system costs more than all the rest. Where there are none it is asked.
    fn sizes(&self) -> Option<String> {
        let sizes = format!(
            "SELECT nullif(n.nspname, '{DEFAULT_SCHEMA}')::text, c.relname::text, \
             CASE WHEN c.relkind = 'r' AND c.reltuples >= 0 THEN c.reltuples::bigint::text END, \
             (CASE WHEN c.relkind = 'p' THEN (SELECT sum(pg_total_relation_size(p.oid)) \
             FROM (SELECT c.oid UNION SELECT relid FROM pg_partition_tree(c.oid)) AS p(oid))::bigint \
             WHEN c.reltuples < 0 THEN pg_total_relation_size(c.oid) \
             ELSE (c.relpages + coalesce(t.relpages, 0) + coalesce(i.pages, 0)) \
             * current_setting('block_size')::bigint END)::text \
             FROM pg_catalog.pg_class AS c \
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
             LEFT JOIN pg_catalog.pg_class AS t ON t.oid = c.reltoastrelid AND t.relpages > 0 \
             LEFT JOIN (SELECT i.indrelid, sum(x.relpages) AS pages FROM pg_catalog.pg_index AS i \
             JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid GROUP BY 1) AS i \
             ON i.indrelid = c.oid WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p') \
             AND NOT c.relispartition AND c.relpersistence <> 't'"
        );
        Some(sizes)
    }

    /// A snapshot tells which transactions are seen, so that equal ones see the
    /// same rows, those of the catalogue among them.
    fn moment(&self) -> Option<&'static str> {
        Some("pg_catalog.txid_current_snapshot()::text")
    }

    /// In force for the text that it begins, which is a transaction.
    fn one_process(&self) -> Option<&'static str> {
        Some("SET LOCAL max_parallel_workers_per_gather = 0")
    }

    fn arm(&self) -> Vec<String> {
        vec![
            "CREATE SCHEMA IF NOT EXISTS resetd".to_owned(),
            "CREATE TABLE IF NOT EXISTS resetd.marker (
                id text PRIMARY KEY, environment text NOT NULL,
                database_name text NOT NULL, server_identity text NOT NULL,
                armed_by text NOT NULL, armed_at text NOT NULL, expires_at text NOT NULL,
                protected integer NOT NULL DEFAULT 0)"
                .to_owned(),
            "CREATE TABLE IF NOT EXISTS resetd.commit (
                operation_id text PRIMARY KEY, committed_at text NOT NULL,
                result text NOT NULL)"
                .to_owned(),
            "CREATE TABLE IF NOT EXISTS resetd.effect (
                id text PRIMARY KEY, operation_id text NOT NULL, root_id text,
                subjects text NOT NULL, effects text NOT NULL,
                state text NOT NULL CHECK (state IN ('pending', 'attention', 'done')),
                attempts integer NOT NULL DEFAULT 0, next_attempt_ms bigint NOT NULL DEFAULT 0,
                leased_by text, leased_until_ms bigint, created_at text NOT NULL,
                done_at text, counts text, last_error text)"
                .to_owned(),
        ]
    }

    fn grants(&self, role: &str, needs: &Needs<'_>) -> Vec<Grant> {
        let role = self.quote(role);
        let tables = needs.read.iter().chain(&needs.change);
        let schemas: BTreeSet<&str> = tables.filter_map(|name| name.schema.as_deref()).collect();
        let mut grants = Vec::new();
        let mut grant = |why, what: &str, on: String| {
            let statement = format!("GRANT {what} ON {on} TO {role}");
            grants.push(Grant { statement, why });
        };
        let why = "to reach the tables";
        for schema in schemas.into_iter().chain(["public", "resetd"]) {
            grant(why, "USAGE", format!("SCHEMA {}", self.quote(schema)));
        }
        for table in &needs.read {
            grant("to read what is kept", "SELECT", self.table(table));
        }
        for table in &needs.change {
            let why = "to delete, set back and lock rows";
            grant(why, "SELECT, UPDATE, DELETE", self.table(table));
        }
        let database = format!("DATABASE {}", self.quote(needs.database));
        grant("for tables of keys", "TEMPORARY", database);
        grant(
            "to see that resets are allowed",
            "SELECT",
            self.own_table("marker"),
        );
        let why = "for the proofs of commits, and what is outside the database";
        for table in ["commit", "effect"] {
            grant(why, "SELECT, INSERT, UPDATE, DELETE", self.own_table(table));
        }
        if let Some(users) = needs.create {
            let why = "to create test users";
            grant(why, "INSERT", self.table(users));
            let schema = users.schema.as_deref().unwrap_or("public");
            let sequences = format!("ALL SEQUENCES IN SCHEMA {}", self.quote(schema));
            grant(why, "USAGE", sequences);
        }
        let why =
            "faster resets of many users (optional; from PostgreSQL 15 on, given by a superuser)";
        grant(why, "SET", "PARAMETER session_replication_role".to_owned());
        let why =
            "faster full resets of big tables (optional; restarted sequences need their owner)";
        for table in &needs.change {
            grant(why, "TRUNCATE", self.table(table));
        }
        grants
    }

    fn own_table(&self, name: &str) -> String {
        format!("resetd.{name}")
    }

    /// By SQLSTATE ("PostgreSQL Error Codes").
    fn classify(&self, code: &str, _message: &str) -> Class {
        match code {
            "40001" | "40P01" => Class::Retry,
            "55P03" => Class::Busy,
            "23505" => Class::Duplicate,
            "25006" => Class::ReadOnly,
            "42501" => Class::Permission,
            "57014" => Class::Interrupted,
            "53100" | "53200" => Class::Full,
            _ if code.starts_with("23") || code.starts_with("P0") || code.starts_with("22") => {
                Class::Violation
            }
            _ if code.starts_with("08") || code.starts_with("57P") || code.starts_with("53") => {
                Class::Unavailable
            }
            _ => Class::Other,
        }
    }

    fn catalogue(&self) -> Catalogue {
        let names = format!("nullif(n.nspname, '{DEFAULT_SCHEMA}')::text, c.relname::text");
        Catalogue {
            tables: format!(
                "SELECT {names}, CASE WHEN c.relkind = 'r' AND NOT EXISTS (SELECT 1 \
                 FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary) \
                 THEN 'ctid' END, \
                 CASE WHEN c.relhasrules OR EXISTS (SELECT 1 FROM pg_catalog.pg_trigger AS g \
                 WHERE NOT g.tgisinternal AND (g.tgrelid = c.oid OR c.relkind = 'p' \
                 AND g.tgrelid IN (SELECT relid FROM pg_partition_tree(c.oid)))) \
                 THEN '1' ELSE '0' END, '0', \
                 CASE WHEN row_security_active(c.oid) THEN 'row-level security hides rows of it \
                 from role ' || current_user || '; connect as its owner or as a role with \
                 BYPASSRLS' END, \
                 CASE WHEN c.relkind = 'r' AND c.relhassubclass THEN '1' ELSE '0' END \
                 FROM {TABLES} ORDER BY n.nspname, c.relname"
            ),
            columns: format!(
                "SELECT {names}, a.attname::text, format_type(a.atttypid, -1)::text, \
                 CASE WHEN a.attnotnull THEN '0' ELSE '1' END, \
                 CASE WHEN a.attgenerated = '' THEN pg_get_expr(f.adbin, f.adrelid) END, \
                 CASE WHEN a.attgenerated <> '' OR a.attidentity = 'a' THEN '1' ELSE '0' END, \
                 CASE WHEN a.attidentity <> '' OR pg_get_expr(f.adbin, f.adrelid) \
                 LIKE 'nextval(%' THEN '1' ELSE '0' END, \
                 COALESCE(array_position(i.indkey::smallint[], a.attnum) \
                 - array_lower(i.indkey::smallint[], 1) + 1, 0)::text, NULL \
                 FROM (SELECT c.oid, c.relname, n.nspname FROM {TABLES}) AS c(oid, relname, nspname) \
                 JOIN LATERAL (SELECT c.nspname) AS n(nspname) ON true \
                 JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 \
                 AND NOT a.attisdropped \
                 LEFT JOIN pg_catalog.pg_attrdef AS f ON f.adrelid = c.oid AND f.adnum = a.attnum \
                 LEFT JOIN pg_catalog.pg_index AS i ON i.indrelid = c.oid AND i.indisprimary \
                 ORDER BY n.nspname, c.relname, a.attnum"
            ),
            foreign_keys: "SELECT nullif(n.nspname, 'public')::text, c.relname::text, \
                 k.oid::text, k.conname::text, a.attname::text, nullif(pn.nspname, 'public')::text, \
                 p.relname::text, pa.attname::text, k.confdeltype::text, \
                 CASE WHEN k.condeferrable THEN '1' ELSE '0' END \
                 FROM pg_catalog.pg_constraint AS k \
                 JOIN pg_catalog.pg_class AS c \
                 ON c.oid = COALESCE(pg_partition_root(k.conrelid)::oid, k.conrelid) \
                 JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
                 JOIN pg_catalog.pg_class AS p \
                 ON p.oid = COALESCE(pg_partition_root(k.confrelid)::oid, k.confrelid) \
                 JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace \
                 JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS u(f, t, position) ON true \
                 JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.f \
                 JOIN pg_catalog.pg_attribute AS pa ON pa.attrelid = k.confrelid AND pa.attnum = u.t \
                 WHERE k.contype = 'f' AND k.conparentid = 0 \
                 ORDER BY n.nspname, c.relname, k.conname, k.oid, u.position"
                .to_owned(),
            indexes: format!(
                "SELECT {names}, x.relname::text, a.attname::text, \
                 CASE WHEN i.indisunique THEN '1' ELSE '0' END \
                 FROM (SELECT c.oid, c.relname, n.nspname FROM {TABLES}) AS c(oid, relname, nspname) \
                 JOIN LATERAL (SELECT c.nspname) AS n(nspname) ON true \
                 JOIN pg_catalog.pg_index AS i ON i.indrelid = c.oid AND i.indpred IS NULL \
                 AND i.indisvalid \
                 JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid \
                 JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS u(f, position) \
                 ON u.position <= i.indnkeyatts \
                 LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = u.f \
                 AND u.f > 0 ORDER BY n.nspname, c.relname, x.relname, u.position"
            ),
            fingerprint: FINGERPRINT.to_owned(),
            indexed: INDEXED.to_owned(),
        }
    }
}
