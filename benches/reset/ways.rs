//! The other ways to do what resetd does, as somebody would write them by
//! hand.

use std::fmt::Write as _;

use crate::{data::TABLES, postgres::Sql};

/// One user in a transaction of its own, by the database's cascade.
pub async fn cascade_one(sql: &mut Sql, user: i64) {
    sql.run("BEGIN").await;
    sql.prepared("DELETE FROM users WHERE id = $1", user).await;
    sql.run("COMMIT").await;
}

/// One user in a transaction of its own, table by table.
pub async fn statements_one(sql: &mut Sql, user: i64) {
    sql.run("BEGIN").await;
    for (name, references, _) in TABLES.iter().rev() {
        let rows = match references.iter().find(|(column, _)| *column == "user_id") {
            _ if *name == "users" => "id = $1".to_owned(),
            Some((column, _)) => format!("{column} = $1"),
            None => {
                let (column, parent) = references[0];
                format!("{column} IN (SELECT id FROM {parent} WHERE user_id = $1)")
            }
        };
        let delete = format!("DELETE FROM {name} WHERE {rows}");
        sql.prepared(&delete, user).await;
    }
    sql.run("COMMIT").await;
}

fn in_scope(domains: &[&str]) -> String {
    let domains: Vec<String> = domains.iter().map(|domain| format!("'{domain}'")).collect();
    format!("split_part(email, '@', 2) IN ({})", domains.join(", "))
}

/// All at once by the database's cascade.
pub fn cascade(domains: &[&str]) -> String {
    format!(
        "BEGIN; DELETE FROM users WHERE {}; COMMIT",
        in_scope(domains)
    )
}

/// The rows of a table by the keys of its parents.
fn search(
    references: &[(&str, &str)],
    name: &str,
    domains: &[&str],
    found: &dyn Fn(&str, &str) -> String,
) -> String {
    if references.is_empty() {
        return format!("SELECT id FROM {name} WHERE {}", in_scope(domains));
    }
    let ways = references
        .iter()
        .map(|(column, parent)| format!("SELECT id FROM {name} WHERE {}", found(column, parent)));
    ways.collect::<Vec<_>>().join(" UNION ")
}

/// Arrays of keys, children first.
pub fn arrays(domains: &[&str]) -> String {
    let (mut variables, mut work) = (String::new(), String::new());
    let found = |column: &str, parent: &str| format!("{column} = ANY (k_{parent})");
    for (name, references, _) in TABLES {
        let search = search(references, name, domains, &found);
        let _ = write!(variables, "k_{name} bigint[]; ");
        let _ = write!(work, "k_{name} := ARRAY({search}); ");
    }
    for (name, ..) in TABLES.iter().rev() {
        let _ = write!(work, "DELETE FROM {name} WHERE id = ANY (k_{name}); ");
    }
    format!("BEGIN; DO $$ DECLARE {variables} BEGIN {work} END $$; COMMIT")
}

fn found_in_tables(domains: &[&str]) -> String {
    let mut sql = String::new();
    let found = |column: &str, parent: &str| format!("{column} IN (SELECT id FROM k_{parent})");
    for (name, references, _) in TABLES {
        let search = search(references, name, domains, &found);
        let _ = write!(
            sql,
            "CREATE TEMPORARY TABLE k_{name} ON COMMIT DROP AS {search}; ANALYZE k_{name}; "
        );
    }
    sql
}

fn deleted_by_tables() -> String {
    let deletes = TABLES.iter().rev();
    let deletes = deletes
        .map(|(name, ..)| format!("DELETE FROM {name} WHERE id IN (SELECT id FROM k_{name}); "));
    deletes.collect()
}

/// Keys in temporary tables that the planner knows the size of.
pub fn tables(domains: &[&str]) -> String {
    let (find, delete) = (found_in_tables(domains), deleted_by_tables());
    format!("BEGIN; {find}{delete}COMMIT")
}

/// The same with the foreign keys dropped and added back.
pub fn rekeyed(domains: &[&str]) -> String {
    let (mut drop, mut add) = (String::new(), String::new());
    for (name, references, _) in TABLES {
        for (column, parent) in references {
            let _ = write!(
                drop,
                "ALTER TABLE {name} DROP CONSTRAINT {name}_{column}_fkey; "
            );
            let _ = write!(
                add,
                "ALTER TABLE {name} ADD FOREIGN KEY ({column}) REFERENCES {parent}; "
            );
        }
    }
    let (find, delete) = (found_in_tables(domains), deleted_by_tables());
    format!("BEGIN; {find}{drop}{delete}{add}COMMIT")
}

/// Counts everything and empties it.
pub fn counted_truncate() -> String {
    let counts = TABLES.map(|(name, ..)| format!("SELECT count(*) FROM {name}"));
    let names = TABLES.map(|(name, ..)| name);
    format!(
        "BEGIN; {}; TRUNCATE {} RESTART IDENTITY; COMMIT",
        counts.join(" UNION ALL "),
        names.join(", ")
    )
}

fn names(tables: u32) -> Vec<String> {
    let numbered = (1..tables).map(|n| format!("t{n}"));
    std::iter::once("users".to_owned())
        .chain(numbered)
        .collect()
}

/// Every table in one statement, as Django's flush sends it.
pub fn truncate(tables: u32) -> String {
    format!(
        "BEGIN; TRUNCATE {} RESTART IDENTITY; COMMIT",
        names(tables).join(", ")
    )
}

/// The same as the common libraries send it.
pub fn truncate_cascade(tables: u32) -> String {
    format!(
        "TRUNCATE TABLE {} RESTART IDENTITY CASCADE",
        names(tables).join(", ")
    )
}

/// A DELETE for each table with its triggers off, as `DatabaseCleaner` and
/// `database_rewinder` send it to a superuser's session.
pub fn deletion(tables: u32) -> String {
    let each = |verb: &str| -> String {
        let alter = |name| format!("ALTER TABLE {name} {verb} TRIGGER ALL;");
        names(tables).into_iter().map(alter).collect()
    };
    let deletes: String = names(tables)
        .into_iter()
        .map(|name| format!("DELETE FROM {name};"))
        .collect();
    format!(
        "BEGIN; {}{deletes}{}COMMIT",
        each("DISABLE"),
        each("ENABLE")
    )
}

/// A DELETE for each table, children first.
pub fn ordered(tables: u32) -> String {
    let deletes: String = names(tables)
        .into_iter()
        .rev()
        .map(|name| format!("DELETE FROM {name};"))
        .collect();
    format!("BEGIN; SET CONSTRAINTS ALL DEFERRED; {deletes}COMMIT")
}

/// Asks which tables have rows, empties those, and restarts their sequences.
pub async fn selective(sql: &mut Sql, tables: u32, enforced: bool) {
    let names = names(tables);
    let asked: Vec<String> = names
        .iter()
        .map(|name| format!("EXISTS (SELECT 1 FROM {name})"))
        .collect();
    sql.run("BEGIN").await;
    let filled = format!(
        "SELECT array_to_string(ARRAY(SELECT n::text FROM unnest(ARRAY[{}]) \
         WITH ORDINALITY AS u(filled, n) WHERE filled), ' ')",
        asked.join(", ")
    );
    let filled = sql.text(&filled).await;
    let mut work = String::new();
    if !enforced {
        work += "SET LOCAL session_replication_role = replica;";
    }
    let places = filled.split_whitespace().rev();
    for place in places.filter_map(|place| place.parse::<usize>().ok()) {
        let name = &names[place - 1];
        let _ = write!(
            work,
            "DELETE FROM {name}; ALTER SEQUENCE {name}_id_seq RESTART;"
        );
    }
    sql.run(&format!("{work}COMMIT")).await;
}
