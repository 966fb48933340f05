//! Rows that tests have marked, all of them or one session's.

use resetd::operation::Mode;

use crate::{
    cases,
    world::{Kind, POLICY, World, same, summary},
};

cases! {
    EVERYWHERE: every_place_of_a_marker, texts_that_are_no_json, odd_sessions,
        two_sessions_at_once;
    POSTGRES: lists_of_tags;
    MARIADB: lists_of_tags_in_texts, an_index_on_a_computed_column;
}

const MARKED: &str = r#"
[cleanup]
marker = { key = "test_marker", value = "integration_test_data" }
session = "test_session_id"
roots = [ { table = "users", json = "meta" },
          { table = "searchables", json = "payloads.public.test_metadata" },
          { table = "metrics", any = [{ json = "labels" }, { json = "metadata" },
                                      { tags = ["tag1", "tag2"] }] } ]
"#;

const TABLES: &str = "
    lite: CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL, meta JSON);
    lite: CREATE TABLE searchables (id INTEGER PRIMARY KEY, payloads JSON);
    lite: CREATE TABLE metrics (id INTEGER PRIMARY KEY, labels JSON, metadata TEXT, tag1 TEXT,
    lite:     tag2 VARCHAR(99));
    pg: CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL, meta jsonb);
    pg: CREATE TABLE searchables (id INTEGER PRIMARY KEY, payloads json);
    pg: CREATE TABLE metrics (id INTEGER PRIMARY KEY, labels jsonb, metadata TEXT, tag1 TEXT,
    pg:     tag2 VARCHAR(99));
    maria: CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL, meta JSON);
    maria: CREATE TABLE searchables (id INTEGER PRIMARY KEY, payloads JSON);
    maria: CREATE TABLE metrics (id INTEGER PRIMARY KEY, labels JSON, metadata TEXT, tag1 TEXT,
    maria:     tag2 VARCHAR(99));
    CREATE TABLE pages (id INTEGER PRIMARY KEY, searchable_id INTEGER NOT NULL
        REFERENCES searchables (id), user_id INTEGER REFERENCES users (id));
    CREATE TABLE places (id INTEGER PRIMARY KEY);
    CREATE TABLE visits (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id),
        place_id INTEGER NOT NULL REFERENCES places (id));
    INSERT INTO places VALUES (1);";

fn mark(session: &str) -> String {
    format!("{{\"test_marker\": \"integration_test_data\", \"test_session_id\": \"{session}\"}}")
}

async fn make(kind: Kind, rows: &str) -> World {
    let sql = format!("{TABLES}\n{rows}");
    World::make(kind, &sql, &format!("{POLICY}{MARKED}")).await
}

fn rows() -> String {
    let (one, two) = (mark("one"), mark("two"));
    let tag =
        |session: &str| format!("'test_marker:integration_test_data', 'test_session_id:{session}'");
    format!(
        "INSERT INTO users VALUES (1, 'a@test.com', '{one}'), (2, 'b@test.com', '{two}'),
            (3, 'c@test.com', NULL), (4, 'd@gmail.com', '{one}'),
            (5, 'e@test.com', '{{\"test_marker\": \"other\", \"test_session_id\": \"one\"}}'),
            (6, 'f@test.com', '{{\"test_session_id\": \"one\"}}'),
            (7, 'g@test.com', '{{\"x\": {one}}}'), (8, 'h@test.com', '[{one}]');
        INSERT INTO searchables VALUES
            (1, '{{\"public\": {{\"test_metadata\": {one}}}}}'), (2, '{one}'),
            (3, '{{\"public\": {{\"test_metadata\": {two}}}}}'), (4, '{{\"public\": 1}}'),
            (5, NULL), (6, '{{\"public\": {{\"test_metadata\": \"x\"}}}}'),
            (7, '{{\"public.test_metadata\": {one}}}');
        INSERT INTO metrics VALUES (1, '{one}', NULL, NULL, NULL), (2, NULL, '{one}', NULL, NULL),
            (3, NULL, NULL, {}), (4, NULL, NULL, {}), (5, '{{}}', '{{}}', 'a', 'b'),
            (6, NULL, NULL, 'test_session_id:one', NULL), (7, '{two}', '{one}', NULL, NULL);
        INSERT INTO pages VALUES (1, 1, 1), (2, 2, 1), (3, 3, 2), (4, 4, NULL);
        INSERT INTO visits VALUES (1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 4, 1);",
        tag("one"),
        tag("two")
    )
}

async fn every_place_of_a_marker(kind: Kind) {
    let world = make(kind, &rows()).await;
    let told = "metrics -4, pages -1 ~1, searchables -1, users -1, visits -1";
    let left = "metrics 3, pages 3, places 1, searchables 6, users 7, visits 3";
    let changes = world.takes(world.marked(Some("one")), told, left).await;
    assert_eq!(changes.user_count, 1);
    assert!(
        changes.warnings[0].contains("passed over 1 user"),
        "{changes:?}"
    );
    let told = "metrics -1, pages -1, searchables -1, users -1, visits -1";
    let left = "metrics 2, pages 2, places 1, searchables 5, users 6, visits 2";
    world.takes(world.marked(None), told, left).await;
    world.takes(world.marked(None), "", left).await;
}

/// An indexed column that has the session's id of every row finds a session's
/// rows, and only they are locked; but it is the marker itself that decides.
async fn an_index_on_a_computed_column(kind: Kind) {
    let policy = format!("{POLICY}{MARKED}").replace(
        "{ table = \"searchables\"",
        "{ table = \"notes\", json = \"metadata\" }, { table = \"searchables\"",
    );
    let sql = format!(
        "{TABLES}
        CREATE TABLE notes (id INTEGER PRIMARY KEY, metadata JSON, session VARCHAR(5)
            AS (JSON_VALUE(metadata, '$.test_session_id')) VIRTUAL, KEY (session));
        INSERT INTO notes (id, metadata) SELECT seq, '{{}}' FROM seq_100_to_4000;
        INSERT INTO notes (id, metadata) VALUES (1, '{}'), (2, '{}'), (3, '{}'), (4, '{}'),
            (5, '{{\"test_session_id\": \"one\"}}');",
        mark("one"),
        mark("ONE"),
        mark("one "),
        mark("two")
    );
    let world = World::make(kind, &sql, &policy).await;
    let mut other = world.connect().await;
    let held = "BEGIN; SELECT id FROM notes WHERE id IN (4, 200) FOR UPDATE";
    other.run(held).await.unwrap();
    let left = "notes 3905, places 1";
    let one = || world.marked(Some("one"));
    world.takes(one(), "notes -1", left).await;
    other.run("ROLLBACK").await.unwrap();
    let longer = || world.marked(Some("longer than the column"));
    world.takes(longer(), "", left).await;
    world
        .takes(world.marked(None), "notes -3", "notes 3902, places 1")
        .await;
}

/// A column of text may hold anything.
async fn texts_that_are_no_json(kind: Kind) {
    let rows = format!(
        "INSERT INTO metrics (id, metadata) VALUES (1, 'test_marker'), (2, ''), (3, '{{'),
            (4, '{{\"test_marker\": '), (5, '{0}'), (6, ' {0}'), (7, '{0} x'), (8, '\"{{}}\"'),
            (9, '{{}} {{}}'), (10, '{{test_marker: \"integration_test_data\"}}'),
            (11, '[1, \"test_marker\"]'), (12, '12');",
        mark("one")
    );
    let world = make(kind, &rows).await;
    world
        .takes(world.marked(None), "metrics -2", "metrics 10, places 1")
        .await;
}

async fn odd_sessions(kind: Kind) {
    let odd = [
        "o''ne", "%", "_ne", "on\\\\e", "${x}", "$1", "?1", "one two",
    ];
    let rows: Vec<String> = odd
        .iter()
        .zip(1..)
        .map(|(session, id)| {
            let mark = mark(session);
            format!("INSERT INTO users VALUES ({id}, 'a{id}@test.com', '{mark}');")
        })
        .collect();
    let world = make(kind, &rows.concat()).await;
    for session in ["", "one", "' OR 1 = 1 --", "%%"] {
        world
            .takes(world.marked(Some(session)), "", "places 1, users 8")
            .await;
    }
    for (session, left) in odd.iter().zip((0..8).rev()) {
        let session = session.replace("''", "'").replace("\\\\", "\\");
        let rows = match left {
            0 => "places 1".to_owned(),
            left => format!("places 1, users {left}"),
        };
        world
            .takes(world.marked(Some(&session)), "users -1", &rows)
            .await;
    }
}

/// What a round of a session leaves behind; `number` keeps keys apart.
fn litter(session: &str, number: i32) -> String {
    let mark = mark(session);
    let ids = (0..5).map(|offset| number * 10 + offset);
    ids.map(|id| {
        format!(
            "INSERT INTO users VALUES ({id}, 'u{id}@test.com', '{mark}');
            INSERT INTO searchables VALUES
                ({id}, '{{\"public\": {{\"test_metadata\": {mark}}}}}');
            INSERT INTO metrics (id, metadata) VALUES ({id}, '{mark}');
            INSERT INTO visits VALUES ({id}, {id}, 1);
            INSERT INTO pages VALUES ({id}, {id}, {id});"
        )
    })
    .collect()
}

async fn two_sessions_at_once(kind: Kind) {
    let one = make(kind, &rows()).await;
    let two = one.twin(&format!("{POLICY}{MARKED}"));
    let before = one.dump().await;
    for round in 0..50 {
        let names = [format!("a{round}"), format!("b{round}")];
        one.sql(&format!(
            "BEGIN; {}{} COMMIT;",
            litter(&names[0], 10),
            litter(&names[1], 20)
        ))
        .await;
        let orders = names.map(|name| one.marked(Some(&name)));
        let (here, there) = tokio::join!(
            one.reset(&orders[0], Mode::Execute),
            two.reset(&orders[1], Mode::Execute),
        );
        let told = "metrics -5, pages -5, searchables -5, users -5, visits -5";
        assert_eq!(summary(&here.unwrap()), told, "round {round}");
        assert_eq!(summary(&there.unwrap()), told, "round {round}");
        same(&before, &one.dump().await, "others' rows, in");
    }
}

async fn lists_of_tags(kind: Kind) {
    let sql = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL);
        CREATE TABLE metrics (id INTEGER PRIMARY KEY, tag1 TEXT[], tag2 jsonb, tag3 json);
        INSERT INTO metrics VALUES
            (1, '{a,test_marker:integration_test_data,test_session_id:x}', NULL, NULL),
            (2, NULL, '[\"test_marker:integration_test_data\", \"test_session_id:x\"]', NULL),
            (3, NULL, '{}', '[\"test_marker:integration_test_data\", \"test_session_id:x\"]'),
            (4, '{test_marker}', '5', '{\"a\": \"test_marker:integration_test_data\"}'),
            (5, NULL, NULL, NULL);";
    let policy = format!(
        "{POLICY}[cleanup]
        marker = {{ key = \"test_marker\", value = \"integration_test_data\" }}
        session = \"test_session_id\"
        roots = [{{ table = \"metrics\", tags = [\"tag1\", \"tag2\", \"tag3\"] }}]"
    );
    let world = World::make(kind, sql, &policy).await;
    world
        .takes(world.marked(Some("x")), "metrics -3", "metrics 2")
        .await;
}

/// A list is JSON in a column of text, and letters are told apart by case
/// whatever the column's collation says.
async fn lists_of_tags_in_texts(kind: Kind) {
    let sql = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL);
        CREATE TABLE metrics (id INTEGER PRIMARY KEY, tag1 TEXT, tag2 JSON, tag3 VARCHAR(99));
        INSERT INTO metrics VALUES
            (1, '[\"test_marker:integration_test_data\", \"test_session_id:x\"]', NULL, NULL),
            (2, NULL, '[\"test_marker:integration_test_data\", \"test_session_id:x\"]', NULL),
            (3, 'test_marker:integration_test_data', NULL, 'test_session_id:x'),
            (4, '{test_marker}', '5', 'test_marker:integration_test_data'),
            (5, NULL, NULL, NULL),
            (6, '[\"TEST_MARKER:integration_test_data\", \"test_session_id:x\"]', NULL, NULL),
            (7, 'Test_marker:integration_test_data', NULL, 'test_session_id:x'),
            (8, 'test_marker:integration_test_data', NULL, 'TEST_SESSION_ID:x'),
            (9, 'test_marker:integration_test_data', NULL, 'test_session_id:x ');";
    let policy = format!(
        "{POLICY}[cleanup]
        marker = {{ key = \"test_marker\", value = \"integration_test_data\" }}
        session = \"test_session_id\"
        roots = [{{ table = \"metrics\", tags = [\"tag1\", \"tag2\", \"tag3\"] }}]"
    );
    let world = World::make(kind, sql, &policy).await;
    world
        .takes(world.marked(Some("x")), "metrics -3", "metrics 6")
        .await;
}
