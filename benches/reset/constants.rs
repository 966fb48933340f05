//! What the cost model takes for granted, measured again.
//!
//! The numbers in use are read from the source, by the names of their
//! constants, so that none has to be public for this.

use std::{fs, path::Path};

use crate::{
    Bench,
    data::NOTE,
    engine::{Engine, Sql},
    postgres::{Postgres, timed},
    report::{Constant, Samples},
};

/// Tables that are truncated together.
const TRUNCATED: u32 = 20;
/// Rows that are deleted while a table refers to them without an index.
const LOOKED_FOR: u32 = 20;

/// Measures all of them, each in a transaction that is rolled back.
pub async fn constants(bench: &mut Bench, postgres: &Postgres) {
    let rows = 2_000_000 / bench.tenth;
    let place = postgres.make("constants", &schema(rows)).await;
    let mut sql = place.connect().await;
    let many = f64::from(rows);
    let half = many / 2.0;
    // Each is an odd half of a table, so that the other stays to be kept.
    let odd = |table: &str| format!("DELETE FROM {table} WHERE id % 2 = 1");
    let deleted = undone(bench, &mut sql, "", &odd("plain")).await / half;
    let by_keys = undone(
        bench,
        &mut sql,
        "CREATE TEMPORARY TABLE k ON COMMIT DROP AS SELECT id FROM plain WHERE id % 2 = 1; \
         ANALYZE k",
        "DELETE FROM plain WHERE id IN (SELECT id FROM k)",
    )
    .await
        / half;
    let referred = undone(bench, &mut sql, "", &odd("parent")).await / half;
    // Two for each of those that go.
    let passed = format!(
        "INSERT INTO child SELECT n, 1 + 2 * (n % ({rows} / 2)), {NOTE} FROM {}; \
         DELETE FROM child WHERE parent % 2 = 1",
        Engine::Postgres.series(u64::from(rows))
    );
    let passed = undone(bench, &mut sql, &passed, &odd("parent")).await / half;
    let unindexed = format!("DELETE FROM lonely WHERE id <= {LOOKED_FOR}");
    let scanned = undone(bench, &mut sql, "", &unindexed).await / f64::from(LOOKED_FOR) / many;
    let add = "ALTER TABLE keyless ADD FOREIGN KEY (parent) REFERENCES plain";
    let validated = undone(bench, &mut sql, "", add).await / many;
    let add = "ALTER TABLE empty ADD FOREIGN KEY (parent) REFERENCES plain";
    let added = undone(bench, &mut sql, "", add).await;
    let looked_up = undone(
        bench,
        &mut sql,
        "CREATE TEMPORARY TABLE k ON COMMIT DROP AS SELECT id FROM parent WHERE id % 2 = 1; \
         ANALYZE k",
        "SELECT count(*) FROM k WHERE EXISTS (SELECT 1 FROM child WHERE child.parent = k.id)",
    )
    .await
        / half;
    let marked = "SELECT count(*) FROM marked WHERE metadata #>> ARRAY['session'] = 'x'";
    let marked = undone(bench, &mut sql, "", marked).await / many;
    let set = "CREATE TEMPORARY TABLE k ON COMMIT DROP AS \
               SELECT id FROM plain WHERE id < 30; ANALYZE k";
    let set = undone(bench, &mut sql, "", set).await;
    let truncated = truncated(bench, &mut sql).await / f64::from(TRUNCATED);
    // In milliseconds, as everything is measured.
    let measured = [
        (
            "DELETED_ROW_MS",
            "a deleted row, of all that a table has",
            deleted,
        ),
        (
            "KEYED_ROW_US",
            "a deleted row that is found by a key",
            by_keys,
        ),
        (
            "CHECKED_KEY_US",
            "a look for referring rows by an index, for each deleted row",
            referred - deleted,
        ),
        (
            "PASSED_ROW_US",
            "a referring row that was deleted before, for that look",
            (passed - referred) / 2.0,
        ),
        (
            "SCANNED_ROW_US",
            "a row of a referring table without an index, for each deleted row",
            scanned,
        ),
        (
            "VALIDATED_ROW_US",
            "a row that a key is validated for when it is added back",
            validated,
        ),
        (
            "ADDED_KEY_US",
            "a key that is added back, besides its rows",
            added,
        ),
        ("MARKED_ROW_US", "a row that is read for its marker", marked),
        ("SET_US", "the table of a set, with ANALYZE", set),
        (
            "VERIFIED_ROW_US",
            "a deleted key that is looked for again",
            looked_up,
        ),
        ("TRUNCATED_TABLE_MS", "a truncated table", truncated),
    ];
    for (name, what, milliseconds) in measured {
        let (unit, factor) = match name.ends_with("_MS") {
            true => ("ms", 1.0),
            false => ("µs", 1000.0),
        };
        bench.report.constant(Constant {
            name,
            what,
            unit,
            value: milliseconds * factor,
            in_use: in_use(name),
        });
    }
    sql.close().await;
    postgres.remove("constants").await;
}

fn schema(rows: u32) -> String {
    let series = Engine::Postgres.series(u64::from(rows));
    let mut sql = format!(
        "CREATE TABLE plain (id bigint PRIMARY KEY, note text);\
         INSERT INTO plain SELECT n, {NOTE} FROM {series};\
         CREATE TABLE parent AS TABLE plain; ALTER TABLE parent ADD PRIMARY KEY (id);\
         CREATE TABLE child AS SELECT n AS id, 2 * (1 + n % ({rows} / 2)) AS parent, {NOTE} AS note \
         FROM {series};\
         CREATE INDEX ON child (parent);\
         ALTER TABLE child ADD FOREIGN KEY (parent) REFERENCES parent;\
         CREATE TABLE lonely AS TABLE plain; ALTER TABLE lonely ADD PRIMARY KEY (id);\
         CREATE TABLE scanned AS SELECT n AS id, {rows}::bigint AS parent, {NOTE} AS note \
         FROM {series};\
         ALTER TABLE scanned ADD FOREIGN KEY (parent) REFERENCES lonely;\
         CREATE TABLE keyless AS SELECT id, id AS parent, note FROM plain;\
         CREATE TABLE marked AS SELECT n AS id, \
         jsonb_build_object('env', 'live', 'n', n) AS metadata, {NOTE} AS note FROM {series};\
         CREATE TABLE empty (id bigint, parent bigint);"
    );
    for n in 0..TRUNCATED {
        sql += &format!("CREATE TABLE cut{n} (id bigint PRIMARY KEY, note text);");
    }
    sql
}

/// The median of a statement, in milliseconds, after which all is as before.
async fn undone(bench: &Bench, sql: &mut Sql, before: &str, statement: &str) -> f64 {
    let mut samples = Samples::default();
    for _ in 0..bench.rounds {
        sql.run(&format!("BEGIN; {before}")).await;
        samples.add(timed(sql.run(statement)).await);
        sql.run("ROLLBACK").await;
        // What was rolled back left dead rows.
        sql.run("VACUUM plain, parent, child, lonely").await;
    }
    samples.median()
}

/// Only a commit removes the files.
async fn truncated(bench: &Bench, sql: &mut Sql) -> f64 {
    let names: Vec<String> = (0..TRUNCATED).map(|n| format!("cut{n}")).collect();
    let truncate = format!("TRUNCATE {}", names.join(", "));
    let mut samples = Samples::default();
    for _ in 0..bench.rounds {
        let series = Engine::Postgres.series(1000);
        let fill = names
            .iter()
            .map(|name| format!("INSERT INTO {name} SELECT n, {NOTE} FROM {series};"));
        sql.run(&fill.collect::<String>()).await;
        samples.add(timed(sql.run(&truncate)).await);
    }
    samples.median()
}

/// The constant of this name in the source.
fn in_use(name: &str) -> Option<f64> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&folder).into_iter().find_map(|text| {
        let after = text.split_once(&format!("const {name}: f64 = "))?.1;
        let value = after.split_once(';')?.0.replace('_', "");
        value.trim().parse().ok()
    })
}

fn sources(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut texts = Vec::new();
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() {
            texts.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            texts.extend(fs::read_to_string(&path));
        }
    }
    texts
}
