//! The other ways to do what resetd does, as somebody would write them by
//! hand.

use std::fmt::Write as _;

use crate::{
    data::TABLES,
    engine::{Engine, Sql},
};

/// One user in a transaction of its own, by the database's cascade.
pub async fn cascade_one(sql: &mut Sql, user: i64) {
    let delete = format!("DELETE FROM users WHERE id = {}", sql.engine().parameter());
    sql.run(sql.engine().begin()).await;
    sql.prepared(&delete, user).await;
    sql.run("COMMIT").await;
}

/// One user in a transaction of its own, table by table.
pub async fn statements_one(sql: &mut Sql, user: i64) {
    let engine = sql.engine();
    let one = engine.parameter();
    sql.run(sql.engine().begin()).await;
    for (name, references, _) in TABLES.iter().rev() {
        let delete = match references.iter().find(|(column, _)| *column == "user_id") {
            _ if *name == "users" => format!("DELETE FROM users WHERE id = {one}"),
            Some((column, _)) => format!("DELETE FROM {name} WHERE {column} = {one}"),
            None => {
                let (column, parent) = references[0];
                match engine {
                    Engine::Postgres | Engine::Sqlite => format!(
                        "DELETE FROM {name} WHERE {column} IN \
                         (SELECT id FROM {parent} WHERE user_id = {one})"
                    ),
                    // It would look at every row for the other text.
                    Engine::MariaDb => format!(
                        "DELETE {name} FROM {parent} JOIN {name} \
                         ON {name}.{column} = {parent}.id WHERE {parent}.user_id = {one}"
                    ),
                }
            }
        };
        sql.prepared(&delete, user).await;
    }
    sql.run("COMMIT").await;
}

/// Users of these domains.
pub fn in_scope(engine: Engine, domains: &[&str]) -> String {
    let domains: Vec<String> = domains.iter().map(|domain| format!("'{domain}'")).collect();
    let domain = match engine {
        Engine::Postgres => "split_part(email, '@', 2)",
        Engine::Sqlite => "substr(email, instr(email, '@') + 1)",
        Engine::MariaDb => "SUBSTRING_INDEX(email, '@', -1)",
    };
    format!("{domain} IN ({})", domains.join(", "))
}

/// All at once by the database's cascade.
pub fn cascade(engine: Engine, domains: &[&str]) -> String {
    format!(
        "BEGIN; DELETE FROM users WHERE {}; COMMIT",
        in_scope(engine, domains)
    )
}

/// The rows of a table by the keys of its parents.
fn search(
    engine: Engine,
    references: &[(&str, &str)],
    name: &str,
    domains: &[&str],
    found: &dyn Fn(&str, &str) -> String,
) -> String {
    if references.is_empty() {
        return format!("SELECT id FROM {name} WHERE {}", in_scope(engine, domains));
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
        let search = search(Engine::Postgres, references, name, domains, &found);
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
        let search = search(Engine::Postgres, references, name, domains, &found);
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

/// Keys in temporary tables, children first, on SQLite and MariaDB.
pub fn child_first(engine: Engine, domains: &[&str], checks: Checks) -> String {
    let (mut find, mut delete, mut verify) = (String::new(), String::new(), String::new());
    let found = |column: &str, parent: &str| format!("{column} IN (SELECT id FROM k_{parent})");
    for (name, references, _) in TABLES {
        let search = search(engine, references, name, domains, &found);
        let key = match engine {
            Engine::Postgres | Engine::Sqlite => "",
            Engine::MariaDb => " (PRIMARY KEY (id))",
        };
        let _ = write!(find, "CREATE TEMPORARY TABLE k_{name}{key} AS {search}; ");
        for (column, parent) in references {
            let _ = write!(
                verify,
                "SELECT count(*) FROM {name} JOIN k_{parent} AS k ON {name}.{column} = k.id; "
            );
        }
    }
    let mut clear = String::new();
    for (name, ..) in TABLES.iter().rev() {
        let _ = match engine {
            Engine::Postgres | Engine::Sqlite => {
                write!(
                    delete,
                    "DELETE FROM {name} WHERE id IN (SELECT id FROM k_{name}); "
                )
            }
            Engine::MariaDb => write!(
                delete,
                "DELETE {name} FROM k_{name} STRAIGHT_JOIN {name} ON {name}.id = k_{name}.id; "
            ),
        };
        let drop = match engine {
            Engine::Postgres | Engine::Sqlite => "DROP TABLE",
            Engine::MariaDb => "DROP TEMPORARY TABLE",
        };
        let _ = write!(clear, "{drop} k_{name}; ");
    }
    match checks {
        Checks::On => format!("BEGIN; {find}{delete}{clear}COMMIT"),
        Checks::Off => format!(
            "SET foreign_key_checks = 0; BEGIN; {find}{delete}{verify}{clear}COMMIT; \
             SET foreign_key_checks = 1"
        ),
    }
}

/// Whether the database checks foreign keys, or the deleted keys are looked
/// for afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checks {
    On,
    Off,
}

/// Counts everything and empties it.
pub fn counted_truncate(engine: Engine) -> String {
    let counts = TABLES.map(|(name, ..)| format!("SELECT count(*) FROM {name}"));
    let counts = counts.join(" UNION ALL ");
    let names = TABLES.map(|(name, ..)| name);
    let deletes = names.map(|name| format!("DELETE FROM {name};")).concat();
    match engine {
        Engine::Postgres => format!(
            "BEGIN; {counts}; TRUNCATE {} RESTART IDENTITY; COMMIT",
            names.join(", ")
        ),
        // TRUNCATE would end the transaction.
        Engine::MariaDb => format!(
            "SET foreign_key_checks = 0; BEGIN; {counts}; {deletes} COMMIT; \
             SET foreign_key_checks = 1"
        ),
        // With no foreign key watching, each of these is a truncate.
        Engine::Sqlite => format!(
            "PRAGMA foreign_keys = OFF; BEGIN; {counts}; {deletes} COMMIT; \
             PRAGMA foreign_keys = ON"
        ),
    }
}

/// Names of a plain schema's tables.
fn names(tables: u32) -> Vec<String> {
    let numbered = (1..tables).map(|n| format!("t{n}"));
    std::iter::once("users".to_owned())
        .chain(numbered)
        .collect()
}

/// Every table, as Django's flush sends it.
pub fn truncate(engine: Engine, tables: u32) -> String {
    let names = names(tables);
    let each = |words: &str| -> String {
        let each = names.iter().map(|name| format!("{words} {name};"));
        each.collect()
    };
    match engine {
        Engine::Postgres => format!(
            "BEGIN; TRUNCATE {} RESTART IDENTITY; COMMIT",
            names.join(", ")
        ),
        Engine::MariaDb => format!(
            "SET foreign_key_checks = 0; {} SET foreign_key_checks = 1",
            each("TRUNCATE")
        ),
        Engine::Sqlite => format!(
            "PRAGMA foreign_keys = OFF; BEGIN; {} UPDATE sqlite_sequence SET seq = 0; COMMIT; \
             PRAGMA foreign_keys = ON",
            each("DELETE FROM")
        ),
    }
}

/// The same as the common libraries send it.
pub fn truncate_cascade(tables: u32) -> String {
    format!(
        "TRUNCATE TABLE {} RESTART IDENTITY CASCADE",
        names(tables).join(", ")
    )
}

/// A DELETE for each table with its triggers off, as `DatabaseCleaner`
/// sends it to a superuser's session.
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

/// A DELETE for each of these tables, with their triggers off, as
/// `database_rewinder` sends it, which has seen where rows were inserted.
pub fn rewind(tables: impl Iterator<Item = u32> + Clone) -> String {
    let each = |before: &str, after: &str| -> String {
        let tables = tables.clone();
        tables.map(|n| format!("{before} t{n}{after};")).collect()
    };
    format!(
        "BEGIN; {}{}{}COMMIT",
        each("ALTER TABLE", " DISABLE TRIGGER ALL"),
        each("DELETE FROM", ""),
        each("ALTER TABLE", " ENABLE TRIGGER ALL")
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
pub async fn selective(sql: &mut Sql, tables: u32, checks: Checks) {
    let engine = sql.engine();
    let names = names(tables);
    let asked: Vec<String> = names
        .iter()
        .map(|name| format!("EXISTS (SELECT 1 FROM {name})"))
        .collect();
    sql.run(sql.engine().begin()).await;
    let filled = match engine {
        Engine::Postgres => format!(
            "SELECT array_to_string(ARRAY(SELECT n::text FROM unnest(ARRAY[{}]) \
             WITH ORDINALITY AS u(filled, n) WHERE filled), ' ')",
            asked.join(", ")
        ),
        Engine::Sqlite => format!("SELECT {}", asked.join(" || ")),
        Engine::MariaDb => format!("SELECT CAST(CONCAT({}) AS CHAR)", asked.join(", ")),
    };
    let filled = sql.text(&filled).await;
    let filled: Vec<usize> = match engine {
        Engine::Postgres => filled
            .split_whitespace()
            .filter_map(|place| Some(place.parse::<usize>().ok()? - 1))
            .collect(),
        Engine::Sqlite | Engine::MariaDb => filled
            .bytes()
            .enumerate()
            .filter_map(|(place, is_filled)| (is_filled == b'1').then_some(place))
            .collect(),
    };
    let (mut work, mut restarts) = (String::new(), String::new());
    if checks == Checks::Off {
        work += "SET LOCAL session_replication_role = replica;";
    }
    for &place in filled.iter().rev() {
        let name = &names[place];
        let _ = write!(work, "DELETE FROM {name};");
        let _ = match engine {
            Engine::Postgres => write!(work, "ALTER SEQUENCE {name}_id_seq RESTART;"),
            Engine::Sqlite => write!(
                work,
                "UPDATE sqlite_sequence SET seq = 0 WHERE name = '{name}';"
            ),
            // This commits, and so it comes after the commit.
            Engine::MariaDb => write!(restarts, "; ALTER TABLE {name} AUTO_INCREMENT = 1"),
        };
    }
    sql.run(&format!("{work}COMMIT{restarts}")).await;
}
