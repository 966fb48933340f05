//! What is measured on: a marketplace of 14 tables and 18 foreign keys, and
//! plain schemas of any number of tables.

use std::fmt::Write as _;

use crate::engine::Engine;

/// A table: its name, its references (column, parent), and its rows for each
/// user.
pub type Table = (&'static str, &'static [(&'static str, &'static str)], u32);

/// Tables of the marketplace.
pub const TABLES: [Table; 14] = [
    ("users", &[], 1),
    ("addresses", &[("user_id", "users")], 2),
    ("sessions", &[("user_id", "users")], 3),
    ("listings", &[("user_id", "users")], 2),
    ("photos", &[("listing_id", "listings")], 4),
    (
        "favourites",
        &[("user_id", "users"), ("listing_id", "listings")],
        2,
    ),
    (
        "orders",
        &[("user_id", "users"), ("address_id", "addresses")],
        2,
    ),
    (
        "order_lines",
        &[("order_id", "orders"), ("listing_id", "listings")],
        4,
    ),
    ("payments", &[("order_id", "orders")], 2),
    (
        "reviews",
        &[("user_id", "users"), ("listing_id", "listings")],
        2,
    ),
    ("threads", &[("user_id", "users")], 1),
    (
        "messages",
        &[("thread_id", "threads"), ("user_id", "users")],
        4,
    ),
    ("notifications", &[("user_id", "users")], 3),
    ("carts", &[("user_id", "users")], 1),
];

/// Rows of the marketplace for each user.
pub const ROWS_EACH: u32 = 33;

/// A text of 60 letters.
pub const NOTE: &str = "'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy'";

/// How a foreign key is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// ON DELETE CASCADE, with an index.
    Cascading,
    /// Without an action, with an index.
    Indexed,
    /// Without either.
    Bare,
}

/// The marketplace with so many users. One in a hundred is of one.test, up to
/// one in ten of ten.test, up to nine in ten of ninety.test.
pub fn marketplace(engine: Engine, users: u32, keys: Keys) -> String {
    let (key, short) = (engine.key(), engine.short());
    let mut sql = format!(
        "CREATE TABLE users (id {key}, email {short} NOT NULL UNIQUE, \
         user_type {short} NOT NULL, bio {short});\
         INSERT INTO users SELECT n, 'user' || {} || '@' || CASE WHEN n % 100 = 0 THEN 'one.test' \
         WHEN n % 10 = 0 THEN 'ten.test' WHEN n % 10 < 9 THEN 'ninety.test' \
         ELSE 'example.org' END, 'user', {NOTE} FROM {};\n",
        engine.text("n"),
        engine.series(u64::from(users))
    );
    let action = match keys {
        Keys::Cascading => " ON DELETE CASCADE",
        Keys::Indexed | Keys::Bare => "",
    };
    for (name, references, rows) in &TABLES[1..] {
        let _ = write!(sql, "CREATE TABLE {name} (id {key}, ");
        for (column, parent) in *references {
            let reference = match engine {
                // Added when the rows are there, which is faster.
                Engine::Postgres => String::new(),
                Engine::Sqlite | Engine::MariaDb => format!(" REFERENCES {parent} (id){action}"),
            };
            let _ = write!(sql, "{column} bigint NOT NULL{reference}, ");
        }
        // Row 1 + n belongs to user 1 + n % users, and so do its parents.
        let parents = references.iter().map(|(_, parent)| {
            let of = TABLES.iter().find(|(name, ..)| name == parent).unwrap().2;
            let turn = engine.quotient("(n - 1)", users);
            format!("1 + ((n - 1) % {users}) + {users} * ({turn} % {of})")
        });
        let parents: Vec<String> = parents.collect();
        let _ = writeln!(
            sql,
            "note {short}); INSERT INTO {name} SELECT n, {}, {NOTE} FROM {};",
            parents.join(", "),
            engine.series(u64::from(users) * u64::from(*rows))
        );
    }
    for (name, references, _) in TABLES {
        for (column, parent) in references {
            // MariaDB makes the index of a key by itself.
            if keys != Keys::Bare && engine != Engine::MariaDb {
                let _ = writeln!(sql, "CREATE INDEX {name}_{column} ON {name} ({column});");
            }
            if engine == Engine::Postgres {
                let _ = writeln!(
                    sql,
                    "ALTER TABLE {name} ADD FOREIGN KEY ({column}) REFERENCES {parent}{action};"
                );
            }
        }
    }
    sql
}

/// So many tables beside the users: one in five refers to nothing, the others
/// to the one before.
pub fn plain(engine: Engine, tables: u32) -> String {
    let (key, short) = (engine.numbered(), engine.short());
    let mut sql =
        format!("CREATE TABLE users (id {key}, email {short} UNIQUE, user_type {short});");
    for n in 1..tables {
        let parent = match n % 5 {
            1 => String::new(),
            _ => format!(" REFERENCES t{} (id)", n - 1),
        };
        let _ = writeln!(
            sql,
            "CREATE TABLE t{n} (id {key}, parent bigint{parent}, note {short}); \
             CREATE INDEX t{n}_parent ON t{n} (parent);"
        );
    }
    sql
}

/// The same with a cycle and a table that refers to itself.
pub fn tangled(tables: u32) -> String {
    plain(Engine::Postgres, tables)
        + "ALTER TABLE t1 ADD FOREIGN KEY (parent) REFERENCES t5 DEFERRABLE; \
           ALTER TABLE t6 ADD FOREIGN KEY (parent) REFERENCES t6;"
}

/// Puts so many rows into these tables.
pub fn fill(engine: Engine, tables: impl Iterator<Item = u32>, rows: u32) -> String {
    let mut sql = String::new();
    let series = engine.series(u64::from(rows));
    for n in tables {
        let _ = write!(sql, "INSERT INTO t{n} (note) SELECT 'note' FROM {series};");
    }
    sql
}

/// Rows with a marker of an application in use, and an index on the session.
pub fn marked(engine: Engine, rows: u32) -> String {
    let (key, numbered, series) = (
        engine.key(),
        engine.numbered(),
        engine.series(u64::from(rows)),
    );
    match engine {
        Engine::Postgres => format!(
            "CREATE TABLE users (id {key}, email text, user_type text);\
             CREATE TABLE notes (id {numbered}, metadata jsonb, note text);\
             INSERT INTO notes (metadata, note) \
             SELECT jsonb_build_object('env', 'live', 'n', n), {NOTE} FROM {series};\
             CREATE INDEX ON notes ((metadata #>> ARRAY['session']::text[]));"
        ),
        Engine::Sqlite => format!(
            "CREATE TABLE users (id {key}, email text, user_type text);\
             CREATE TABLE notes (id {numbered}, metadata json, note text);\
             INSERT INTO notes (metadata, note) \
             SELECT json_object('env', 'live', 'n', n), {NOTE} FROM {series};\
             CREATE INDEX notes_session ON notes (CASE WHEN json_valid(metadata) \
             THEN CAST(json_extract(metadata, '$.\"session\"') AS TEXT) END);"
        ),
        Engine::MariaDb => format!(
            "CREATE TABLE users (id {key}, email varchar(99), user_type varchar(99));\
             CREATE TABLE notes (id {numbered}, metadata json, note varchar(99), \
             session varchar(99) AS (JSON_VALUE(metadata, '$.session')) VIRTUAL, \
             KEY notes_session (session));\
             INSERT INTO notes (metadata, note) \
             SELECT JSON_OBJECT('env', 'live', 'n', n), {NOTE} FROM {series};"
        ),
    }
}

/// Twenty marked rows of a session.
pub fn session(engine: Engine, name: &str) -> String {
    format!(
        "INSERT INTO notes (metadata, note) SELECT \
         '{{\"env\": \"test\", \"session\": \"{name}\"}}'{}, 'x' FROM {}",
        match engine {
            Engine::Postgres => "::jsonb",
            Engine::Sqlite | Engine::MariaDb => "",
        },
        engine.series(20)
    )
}
