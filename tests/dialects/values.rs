//! Types and values: keys, e-mails, enums, JSON, collations, lengths.

use std::collections::BTreeSet;

use resetd::{
    operation::{Level, Mode, UserSelector},
    target::Error,
};

use crate::{
    cases,
    world::{Failure, Kind, POLICY, World, summary},
};

cases! {
    EVERYWHERE: uuid_keys, text_keys, big_keys, malformed_keys_are_not_found,
        users_without_a_type, users_of_types_that_come_and_go, relations_across_types, json_is_restored, restores_of_every_type,
        emails_are_compared_exactly, several_users_of_one_email;
    POSTGRES: case_insensitive_types, arrays_and_domains, counts_of_larger_tables;
}

fn keyed(kind: &str, ann: &str, bob: &str) -> String {
    format!(
        "CREATE TABLE users (id {kind} PRIMARY KEY, email TEXT NOT NULL);
        CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id {kind} NOT NULL REFERENCES users (id));
        INSERT INTO users VALUES ('{ann}', 'ann@test.com'), ('{bob}', 'bob@test.com');
        INSERT INTO posts VALUES (1, '{ann}'), (2, '{bob}');"
    )
}

const ANN: &str = "00000000-0000-4000-8000-00000000000a";
const BOB: &str = "00000000-0000-4000-8000-00000000000b";

async fn uuid_keys(kind: Kind) {
    let world = World::make(kind, &keyed("UUID", ANN, BOB), POLICY).await;
    world
        .takes(world.id(ANN), "posts -1, users -1", "posts 1, users 1")
        .await;
    world
        .takes(world.test_users(false), "posts -1, users -1", "")
        .await;
}

async fn text_keys(kind: Kind) {
    let world = World::make(kind, &keyed("VARCHAR(36)", ANN, BOB), POLICY).await;
    world
        .takes(world.id(ANN), "posts -1, users -1", "posts 1, users 1")
        .await;
}

async fn big_keys(kind: Kind) {
    let (ann, bob) = ("9223372036854775807", "-9223372036854775808");
    let world = World::make(kind, &keyed("BIGINT", ann, bob), POLICY).await;
    world
        .takes(world.id(bob), "posts -1, users -1", "posts 1, users 1")
        .await;
    world.takes(world.id(ann), "posts -1, users -1", "").await;
}

/// A key that cannot be one is a user that does not exist, not an error.
async fn malformed_keys_are_not_found(kind: Kind) {
    let asked = [
        "",
        " ",
        "1 ",
        "01",
        "+1",
        "1.0",
        "1e0",
        "0x1",
        "abc",
        "'",
        "\\",
        "1; DROP TABLE users",
        "99999999999999999999",
        "NaN",
        "é",
        "\u{0}",
        "1\u{0}",
        "00000000-0000-4000-8000-00000000000",
        "{00000000-0000-4000-8000-00000000000a}x",
    ];
    for (column, ann, bob) in [
        ("UUID", ANN, BOB),
        ("INTEGER", "1", "2"),
        ("BIGINT", "1", "2"),
        ("SMALLINT", "1", "2"),
        ("NUMERIC(9)", "1", "2"),
        ("TEXT", "a", "b"),
        ("CHAR(3)", "aaa", "bbb"),
    ] {
        let world = World::make(kind, &keyed(column, ann, bob), POLICY).await;
        for id in asked {
            let done = world.reset(&world.id(id), Mode::DryRun).await;
            let missing = matches!(done, Err(Failure::Target(Error::UserNotFound { .. })));
            assert!(missing, "{column} {id:?}: {done:?}");
            let done = world.reset(&world.user(id), Mode::DryRun).await;
            let missing = matches!(done, Err(Failure::Target(Error::UserNotFound { .. })));
            assert!(missing, "email {id:?}: {done:?}");
        }
        let done = world.reset(&world.id(ann), Mode::DryRun).await;
        assert_eq!(summary(&done.unwrap()), "posts -1, users -1", "{column}");
    }
}

async fn users_without_a_type(kind: Kind) {
    let sql = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, user_type TEXT);
        INSERT INTO users VALUES (1, 'a@test.com', NULL), (2, 'b@test.com', 'ADMIN'),
            (3, NULL, NULL), (4, 'c@test.com', 'BUYER'), (5, 'd@corp.com', NULL), (6, NULL, 'ADMIN');";
    let policy = POLICY.replace(
        "email =",
        "type = \"user_type\"\nadmins = { column = \"user_type\", values = [\"ADMIN\"] }\nemail =",
    );
    let world = World::make(kind, sql, &policy).await;
    let changes = world
        .takes(world.test_users(false), "users -2", "users 4")
        .await;
    assert_eq!(changes.user_count, 2);
    assert!(
        changes.warnings[0].contains("passed over 1 user"),
        "{changes:?}"
    );
    let changes = world.takes(world.everything(), "users -2", "users 2").await;
    assert_eq!(changes.warnings, ["Preserved 2 admin users"]);
}

/// What is told of users, as in `BUYER:2/1 tests 1`: all and active of each
/// type, then the test users of all.
async fn told(world: &World, exact: bool) -> String {
    let domains = ["test.com".to_owned()];
    let (_, sizes) = world.target.sizes(&domains, exact).await.unwrap();
    let users = sizes.users.into_iter();
    let users = users.map(|users| format!("{}:{}/{}", users.user_type, users.total, users.active));
    let users: BTreeSet<String> = users.collect();
    let users: Vec<String> = users.into_iter().collect();
    format!("{} tests {}", users.join(" "), sizes.test_users)
}

async fn users_of_types_that_come_and_go(kind: Kind) {
    let sql = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, user_type TEXT,
        is_active BOOLEAN);";
    let policy = POLICY.replace(
        "email =",
        "type = \"user_type\"\nactive = \"is_active\"\nemail =",
    );
    let world = World::make(kind, sql, &policy).await;
    let steps = [
        ("DELETE FROM users", " tests 0"),
        (
            "INSERT INTO users VALUES (1, 'a@test.com', 'BUYER', TRUE)",
            "BUYER:1/1 tests 1",
        ),
        (
            "INSERT INTO users VALUES (2, 'b@test.com', 'BUYER', FALSE), (3, NULL, NULL, NULL)",
            ":1/0 BUYER:2/1 tests 2",
        ),
        (
            "INSERT INTO users VALUES (4, 'd@corp.com', '', TRUE), (5, 'e@test.com', 'o''c', NULL)",
            ":2/1 BUYER:2/1 o'c:1/0 tests 3",
        ),
        (
            "UPDATE users SET user_type = 'buyer' WHERE id = 2",
            ":2/1 BUYER:1/1 buyer:1/0 o'c:1/0 tests 3",
        ),
        (
            "DELETE FROM users WHERE id = 1",
            ":2/1 buyer:1/0 o'c:1/0 tests 2",
        ),
        (
            "INSERT INTO users VALUES (11, '', 'a', TRUE), (12, '', 'b', TRUE), (13, '', 'c', TRUE),
                (14, '', 'd', TRUE), (15, '', 'e', TRUE), (16, '', 'f', NULL)",
            ":2/1 a:1/1 b:1/1 buyer:1/0 c:1/1 d:1/1 e:1/1 f:1/0 o'c:1/0 tests 2",
        ),
        (
            "UPDATE users SET user_type = 'a' WHERE id > 5",
            ":2/1 a:6/5 buyer:1/0 o'c:1/0 tests 2",
        ),
        ("DELETE FROM users WHERE id > 3", ":1/0 buyer:1/0 tests 1"),
    ];
    for (step, expected) in steps {
        world.sql(step).await;
        for exact in [true, false, true] {
            assert_eq!(told(&world, exact).await, expected, "{step}");
        }
    }
}

/// Tables that one process counts, and their users as well.
async fn counts_of_larger_tables(kind: Kind) {
    let sql = "CREATE TABLE users (id integer PRIMARY KEY, email text, user_type text);
        CREATE TABLE notes (id integer PRIMARY KEY, note text);
        INSERT INTO users SELECT n, 'user' || n || CASE WHEN n % 4 = 0 THEN '@test.com'
            ELSE '@corp.com' END, CASE WHEN n % 3 = 0 THEN 'b' ELSE 'a' END
            FROM generate_series(1, 30000) AS n;
        INSERT INTO notes SELECT n, repeat('x', 60) FROM generate_series(1, 30001) AS n;";
    let policy = POLICY.replace("email =", "type = \"user_type\"\nemail =");
    let world = World::make(kind, sql, &policy).await;
    world.sudo("ANALYZE").await;
    let domains = ["test.com".to_owned()];
    let (_, sizes) = world.target.sizes(&domains, true).await.unwrap();
    let tables = sizes.tables.iter();
    let tables: Vec<(&str, u64)> = tables
        .map(|size| (size.table.as_str(), size.rows))
        .collect();
    assert_eq!(tables, [("notes", 30_001), ("users", 30_000)]);
    assert!(
        sizes.tables.iter().all(|size| size.bytes > Some(1 << 20)),
        "{sizes:?}"
    );
    assert_eq!(
        told(&world, true).await,
        "a:20000/20000 b:10000/10000 tests 7500"
    );
}

async fn relations_across_types(kind: Kind) {
    let sql = format!(
        "{}
        CREATE TABLE log (id INTEGER PRIMARY KEY, who TEXT, mail VARCHAR(50), extra TEXT);
        INSERT INTO log VALUES (1, '{ANN}', 'ann@test.com', 'a'), (2, '{BOB}', NULL, 'b'),
            (3, 'nobody', 'bob@test.com', 'c'), (4, NULL, 'ann@test.com', 'd');
        CREATE TABLE counts (id INTEGER PRIMARY KEY, post TEXT NOT NULL);
        INSERT INTO counts VALUES (1, '1'), (2, '2'), (3, 'x');",
        keyed("UUID", ANN, BOB)
    );
    let policy = format!(
        "{POLICY}
        [references]
        \"log.who\" = \"delete\"
        \"log.mail\" = \"detach\"
        [[relations]]
        child = \"log.who\"
        parent = \"users.id\"
        [[relations]]
        child = \"log.mail\"
        parent = \"users.email\"
        [[relations]]
        child = \"counts.post\"
        parent = \"posts.id\""
    );
    let world = World::make(kind, &sql, &policy).await;
    let told = "counts -1, log -1 ~1, posts -1, users -1";
    let left = "counts 2, log 3, posts 1, users 1";
    world.takes(world.user("ann@test.com"), told, left).await;
}

async fn json_is_restored(kind: Kind) {
    let sql = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL,
    lite:   a JSON, b JSON,
    maria:  a JSON, b JSON,
    pg:     a json, b jsonb,
            c TEXT);
        INSERT INTO users VALUES (1, 'ann@test.com', '{\"x\": 1}', '{\"x\": 1}', '[]'),
            (2, 'bob@test.com', '{}', '{}', '{}'), (3, 'eve@test.com', NULL, NULL, NULL);";
    let policy = format!(
        "{POLICY}[levels.user_data.restore.users]\na = \"{{}}\"\nb = \"{{}}\"\nc = \"{{}}\""
    );
    let world = World::make(kind, sql, &policy).await;
    for (email, told) in [("ann", "users *1"), ("bob", ""), ("eve", "users *1")] {
        let email = UserSelector::Email(format!("{email}@test.com"));
        let order = world.at(Level::UserData, email);
        world.takes(order.clone(), told, "users 3").await;
        world.takes(order, "", "users 3").await;
    }
    let all = world
        .ask("SELECT CAST(a AS TEXT), CAST(b AS TEXT), c FROM users")
        .await;
    assert_eq!(all, "{}|{}|{} {}|{}|{} {}|{}|{}");
}

/// A policy's literal fits columns of other types than its own.
async fn restores_of_every_type(kind: Kind) {
    let sql = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL, flag BOOLEAN,
            n INTEGER, big BIGINT, price NUMERIC(9, 2), rate FLOAT, word VARCHAR(9),
            day DATE, at TIMESTAMP, code VARCHAR(9));
        INSERT INTO users VALUES (1, 'ann@test.com', TRUE, 7, 7, 7.25, 7.5, 'seven',
            '2020-01-01', '2020-01-01 10:00:00', '7'),
            (2, 'bob@test.com', TRUE, 7, 7, 7.25, 7.5, 'seven', NULL, NULL, '7');";
    let policy = format!(
        "{POLICY}[levels.user_data.restore.users]
        flag = false\nn = 0\nbig = -1\nprice = 1.5\nrate = 0.5\nword = \"it's\\\\\"
        day = \"2024-02-29\"\nat = \"2024-02-29 12:30:00\"\ncode = 5"
    );
    let world = World::make(kind, sql, &policy).await;
    let order = world.at(Level::UserData, UserSelector::Id("1".to_owned()));
    world.takes(order.clone(), "users *1", "users 2").await;
    world.takes(order, "", "users 2").await;
    let row = world
        .ask(
            "SELECT CAST(n AS TEXT), CAST(big AS TEXT), CAST(price AS TEXT), \
            CAST(rate AS TEXT), word, CAST(day AS TEXT), code FROM users WHERE id = 1 AND NOT flag",
        )
        .await;
    let price = if kind == Kind::Sqlite { "1.5" } else { "1.50" };
    assert_eq!(row, format!("0|-1|{price}|0.5|it's\\|2024-02-29|5"));
}

async fn emails_are_compared_exactly(kind: Kind) {
    let sql = "CREATE TABLE users (id INTEGER PRIMARY KEY,
    lite:   email TEXT NOT NULL COLLATE NOCASE);
    pg:     email TEXT NOT NULL);
    maria:  email TEXT NOT NULL);
        INSERT INTO users VALUES (1, 'Ann@Test.com'), (2, ' ann@test.com'), (3, 'bob@test.com');";
    let world = World::make(kind, sql, POLICY).await;
    for email in [
        "ann@test.com",
        "ANN@TEST.COM",
        "%@test.com",
        "bob@test.com ",
    ] {
        let failure = world.fails(world.user(email)).await;
        assert!(
            matches!(failure, Failure::Target(Error::UserNotFound { .. })),
            "{failure}"
        );
    }
    world
        .takes(world.user("Ann@Test.com"), "users -1", "users 2")
        .await;
}

async fn several_users_of_one_email(kind: Kind) {
    let sql = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL);
        INSERT INTO users VALUES (1, 'ann@test.com'), (2, 'ann@test.com');";
    let world = World::make(kind, sql, POLICY).await;
    let failure = world.fails(world.user("ann@test.com")).await;
    let two = matches!(
        failure,
        Failure::Target(Error::UserAmbiguous { count: 2, .. })
    );
    assert!(two, "{failure}");
    world.takes(world.id("2"), "users -1", "users 1").await;
}

/// A type and collations that ignore case tie more rows than their texts do,
/// and are still told apart by e-mail.
async fn case_insensitive_types(kind: Kind) {
    let sql = "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2',
            deterministic = false);
        CREATE TABLE users (id TEXT COLLATE ci PRIMARY KEY, email citext NOT NULL,
            name TEXT COLLATE \"C\");
        CREATE TABLE posts (id TEXT COLLATE \"C\" PRIMARY KEY,
            user_id TEXT COLLATE ci NOT NULL REFERENCES users (id));
        CREATE TABLE mails (id INTEGER PRIMARY KEY, email citext NOT NULL);
        CREATE TABLE names (id INTEGER PRIMARY KEY, of TEXT COLLATE \"POSIX\" NOT NULL);
        INSERT INTO users VALUES ('A', 'Ann@test.com', 'ann'), ('b', 'bob@test.com', 'bob');
        INSERT INTO posts VALUES ('x', 'a'), ('X', 'A'), ('y', 'B');
        INSERT INTO mails VALUES (1, 'ANN@TEST.COM'), (2, 'bob@test.com');
        INSERT INTO names VALUES (1, 'ann'), (2, 'bob');";
    let policy = format!(
        "{POLICY}[[relations]]\nchild = \"mails.email\"\nparent = \"users.email\"
        [[relations]]\nchild = \"names.of\"\nparent = \"users.name\""
    );
    let world = World::bare(kind, &policy).await;
    world.sudo("CREATE EXTENSION citext").await;
    world.sql(sql).await;
    world.arm().await;
    let failure = world.fails(world.user("ann@test.com")).await;
    assert!(
        matches!(failure, Failure::Target(Error::UserNotFound { .. })),
        "{failure}"
    );
    let told = "mails -1, names -1, posts -2, users -1";
    let order = world.user("Ann@test.com");
    world
        .takes(order, told, "mails 1, names 1, posts 1, users 1")
        .await;
}

async fn arrays_and_domains(kind: Kind) {
    let sql = "CREATE DOMAIN address AS VARCHAR(40) CHECK (VALUE LIKE '%@%');
        CREATE TYPE place AS (x INTEGER, y INTEGER);
        CREATE TABLE users (id INTEGER[] PRIMARY KEY, email address NOT NULL, home place,
            tags TEXT[], at POINT, doc XML);
        CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER[] REFERENCES users (id));
        INSERT INTO users VALUES ('{1,2}', 'ann@test.com', '(1,2)', '{a}', '(1,1)', '<a/>'),
            ('{2}', 'bob@test.com', NULL, NULL, NULL, NULL);
        INSERT INTO posts VALUES (1, '{1,2}'), (2, '{2}');";
    let policy = format!(
        "{POLICY}[levels.user_data.restore.users]\ntags = \"{{}}\"\nhome = \"(0,0)\"\n
        at = \"(0,0)\"\ndoc = \"<b/>\""
    );
    let world = World::make(kind, sql, &policy).await;
    let ann = UserSelector::Email("ann@test.com".to_owned());
    let order = world.at(Level::UserData, ann);
    world
        .takes(order.clone(), "users *1", "posts 2, users 2")
        .await;
    world.takes(order, "", "posts 2, users 2").await;
    world
        .takes(
            world.user("ann@test.com"),
            "posts -1, users -1",
            "posts 1, users 1",
        )
        .await;
}
