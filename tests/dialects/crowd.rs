//! Ten thousand users with every e-mail that a guard has to judge.

use std::{collections::BTreeMap, collections::BTreeSet, fmt::Write as _};

use resetd::{
    dialect::{Dialect, MySql, Postgres, Sqlite},
    guard::TestDomains,
    operation::Mode,
};

use crate::{
    cases,
    world::{Kind, POLICY, World},
};

cases! {
    EVERYWHERE: ten_thousand_users, nobody_to_reset;
}

const USERS: usize = 10_000;

/// `#` becomes the user's number, so that most of them differ.
const EMAILS: [&str; 60] = [
    "a#@test.com",
    "A#@TEST.COM",
    "a#@Example.Com",
    "a+#@test.com",
    "a.#-c@dev.com",
    "\"a#\"@test.com",
    "%@test.com",
    "_@test.com",
    "#'@test.com",
    "a\\#@test.com",
    "a#@test.com.evil.org",
    "a#@evil-test.com",
    "a#@xtest.com",
    "a#@sub.test.com",
    "ceo#@dev.company.com",
    "bob#@test.community",
    "a#@test.com.",
    "a#@.test.com",
    "\"a#@test.com\"@evil.org",
    "\"a#@evil.org\"@test.com",
    "a#@test.com@evil.org",
    "a#@evil.org@test.com",
    "a#@@test.com",
    "a#@evil.org\n@test.com",
    "a#\n@test.com",
    "a#@test.com\n",
    "a#@test.com ",
    " a#@test.com",
    "a #@test.com",
    "a#\t@test.com",
    "a#\u{7f}@test.com",
    "a#@testxcom",
    "a#@test_com",
    "a#@t\u{435}st.com",
    "a#@t\u{e9}st.com",
    "\u{e9}#@test.com",
    "a#@\u{ff54}\u{ff45}\u{ff53}\u{ff54}.com",
    "a#\u{ff20}test.com",
    "a#@test\u{3002}com",
    "a#\u{200b}@test.com",
    "a#@test.com\u{200b}",
    "a#@te\u{ad}st.com",
    "\u{feff}a#@test.com",
    "@test.com",
    "a#@",
    "@",
    "a#",
    "test.com",
    "",
    "a#@evil.org",
    "a#@corporation.com",
    "a#@test.com\r\n",
    "a#@TEST.COM.EVIL.ORG",
    "a#@DEV.com",
    "a#@dev.com",
    "a#@example.com",
    "a#@example.org",
    "a#@test.comx",
    "a#@\u{212a}est.com",
    "a#@test.com\u{0}",
];

struct Person {
    email: Option<String>,
    is_admin: bool,
}

fn people(kind: Kind) -> Vec<Person> {
    let domain = "a".repeat(1 << 20);
    (0..USERS)
        .map(|number| {
            let email = match number {
                0 => None,
                1 => Some(format!("{domain}@test.com")),
                2 => Some(format!("a@{domain}.test.com")),
                3 => Some("@".repeat(1 << 20)),
                _ => Some(EMAILS[number % EMAILS.len()].replace('#', &number.to_string())),
            };
            Person {
                // PostgreSQL's text holds no NUL.
                email: email.map(|email| match kind {
                    Kind::Postgres => email.replace('\0', ""),
                    Kind::Sqlite | Kind::MariaDb => email,
                }),
                is_admin: number % 7 == 0,
            }
        })
        .collect()
}

fn literal(kind: Kind, text: &str) -> String {
    let quoted = format!("'{}'", text.replace('\'', "''"));
    match kind {
        Kind::Sqlite => quoted.replace('\0', "' || char(0) || '"),
        Kind::Postgres | Kind::MariaDb => quoted,
    }
}

async fn fill(world: &World, people: &[Person]) {
    let mut sql = "CREATE TABLE users (id INTEGER PRIMARY KEY, kind TEXT, email
        lite: TEXT
        pg: TEXT
        maria: LONGTEXT COLLATE utf8mb4_general_ci
        );
        CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL
            REFERENCES users (id), seen_by INTEGER REFERENCES users (id));
        CREATE INDEX a ON posts (user_id); CREATE INDEX b ON posts (seen_by);"
        .to_owned();
    for (number, person) in people.iter().enumerate() {
        let email = person.email.as_ref();
        let email = email.map_or_else(|| "NULL".to_owned(), |email| literal(world.kind, email));
        let kind = match (person.is_admin, number % 3) {
            (true, _) => "'ADMIN'",
            (false, 0) => "NULL",
            (false, _) => "'BUYER'",
        };
        write!(sql, "INSERT INTO users VALUES ({number}, {kind}, {email});").unwrap();
        let seen = (number + 1) % USERS;
        write!(sql, "INSERT INTO posts VALUES ({number}, {number}, NULL);").unwrap();
        if number % 5 == 0 && seen > 0 {
            write!(
                sql,
                "INSERT INTO posts VALUES ({}, {number}, {});",
                number + USERS,
                number / 2
            )
            .unwrap();
        }
    }
    world.sql(&format!("BEGIN; {sql} COMMIT;")).await;
}

fn is_test(domains: &TestDomains, person: &Person) -> bool {
    person
        .email
        .as_ref()
        .is_some_and(|email| domains.is_test_user(email))
}

fn numbers<'a>(people: &'a [Person], chosen: impl Fn(&Person) -> bool + 'a) -> BTreeSet<usize> {
    let numbered = people
        .iter()
        .enumerate()
        .filter(move |(_, person)| chosen(person));
    numbered.map(|(number, _)| number).collect()
}

async fn ids(world: &World, question: &str) -> BTreeSet<usize> {
    let ids = world.ask(question).await;
    ids.split(' ').filter_map(|id| id.parse().ok()).collect()
}

fn rows_of(dump: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
    dump["users"].iter().cloned().collect()
}

async fn ten_thousand_users(kind: Kind) {
    let policy = POLICY
        .replace("\"dev.com\"]", "\"dev.com\", \"example.com\"]")
        .replace(
            "email =",
            "admins = { column = \"kind\", values = [\"ADMIN\"] }\nemail =",
        );
    let world = World::bare(kind, &policy).await;
    let people = people(kind);
    fill(&world, &people).await;
    world.arm().await;
    let domains = world.domains();
    let by_rust = numbers(&people, |person| is_test(&domains, person));
    let going = numbers(&people, |person| {
        is_test(&domains, person) && !person.is_admin
    });
    let listed: Vec<String> = domains.domains().map(str::to_owned).collect();
    let predicate = match kind {
        Kind::Sqlite => Sqlite.is_test_email("email", &listed),
        Kind::Postgres => Postgres.is_test_email("email", &listed),
        Kind::MariaDb => MySql.is_test_email("email", &listed),
    };
    let question = format!("SELECT CAST(id AS TEXT) FROM users WHERE {predicate}");
    let by_sql = ids(&world, &question).await;
    assert_eq!(by_sql, by_rust, "the rule in Rust and in SQL");
    assert!(
        by_rust.len() > 1_500 && by_rust.len() < 3_000,
        "{}",
        by_rust.len()
    );

    let (before, order) = (world.dump().await, world.test_users(false));
    let dry = world.reset(&order, Mode::DryRun).await.unwrap();
    let changes = world.reset(&order, Mode::Execute).await.unwrap();
    assert_eq!(dry, changes);
    assert_eq!(changes.user_count, going.len() as u64);
    let left = ids(&world, "SELECT CAST(id AS TEXT) FROM users").await;
    let staying = numbers(&people, |person| {
        !is_test(&domains, person) || person.is_admin
    });
    assert_eq!(left, staying, "who is left");
    let after = world.dump().await;
    assert!(
        rows_of(&after).is_subset(&rows_of(&before)),
        "a user who stays was changed"
    );
    let posts = ids(
        &world,
        "SELECT CAST(user_id AS TEXT) FROM posts WHERE seen_by IS NULL \
        OR seen_by IN (SELECT id FROM users)",
    )
    .await;
    assert_eq!(posts, staying, "everybody else's posts");

    let changes = world
        .reset(&world.test_users(true), Mode::Execute)
        .await
        .unwrap();
    assert_eq!(changes.user_count, (by_rust.len() - going.len()) as u64);
    assert_eq!(ids(&world, &question).await, BTreeSet::new());
}

async fn nobody_to_reset(kind: Kind) {
    let sql = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT);
        INSERT INTO users VALUES (1, 'ceo@corporation.com');";
    let world = World::make(kind, sql, POLICY).await;
    let changes = world.takes(world.test_users(true), "", "users 1").await;
    assert_eq!(changes.warnings, ["No test users found to reset"]);
    world.takes(world.test_users(true), "", "users 1").await;
}
