//! What happens to rows that refer to rows that go.

use resetd::{
    guard::Reason,
    operation::{Level, UserSelector},
};

use crate::{
    cases,
    cycles::USERS,
    world::{Failure, Kind, POLICY, World},
};

cases! {
    EVERYWHERE: sets_null, cascades, restricts, chain_of_actions,
        kept_rows_block, mentions_are_detached, only_way_in_is_followed,
        levels_below_the_cascade, level_deletes_and_what_refers_blocks,
        restores_what_differs_only, blocked_by_policy, shared_rows_are_reported,
        several_ways_count_once;
    // InnoDB takes no key that sets a default.
    NOT_MARIADB: sets_default, default_that_is_taken;
}

fn posts(rule: &str) -> String {
    format!(
        "{USERS}
        INSERT INTO users VALUES (9, 'nobody@corporation.com');
        CREATE TABLE posts (id INTEGER PRIMARY KEY,
            user_id INTEGER DEFAULT 9 REFERENCES users (id) {rule}, title TEXT);
        INSERT INTO posts VALUES (1, 1, 'a'), (2, 1, 'b'), (3, 2, 'c'), (4, NULL, 'd');"
    )
}

async fn sets_null(kind: Kind) {
    let world = World::make(kind, &posts("ON DELETE SET NULL"), POLICY).await;
    let order = world.user("ann@test.com");
    world
        .takes(order, "posts ~2, users -1", "posts 4, users 2")
        .await;
    let ids = world
        .ask("SELECT title FROM posts WHERE user_id IS NULL ORDER BY id")
        .await;
    assert_eq!(ids, "a b d");
}

async fn sets_default(kind: Kind) {
    let world = World::make(kind, &posts("ON DELETE SET DEFAULT"), POLICY).await;
    let order = world.user("ann@test.com");
    world
        .takes(order, "posts ~2, users -1", "posts 4, users 2")
        .await;
    let ids = world
        .ask("SELECT title FROM posts WHERE user_id = 9 ORDER BY id")
        .await;
    assert_eq!(ids, "a b");
}

/// It is the reset's failure, and not a user's who exists already.
async fn default_that_is_taken(kind: Kind) {
    let sql = posts("ON DELETE SET DEFAULT").replace("DEFAULT 9", "DEFAULT 9 UNIQUE");
    let sql = sql.replace("(2, 1, 'b')", "(2, 9, 'b')");
    let world = World::make(kind, &sql, POLICY).await;
    let failure = world.fails(world.user("ann@test.com")).await;
    let Failure::Target(resetd::target::Error::Violation { step, .. }) = &failure else {
        panic!("{failure:?}");
    };
    assert_eq!(step, "detach posts");
}

async fn cascades(kind: Kind) {
    let world = World::make(kind, &posts("ON DELETE CASCADE"), POLICY).await;
    let order = world.user("ann@test.com");
    world
        .takes(order, "posts -2, users -1", "posts 2, users 2")
        .await;
}

async fn restricts(kind: Kind) {
    let world = World::make(kind, &posts("ON DELETE RESTRICT"), POLICY).await;
    let order = world.user("ann@test.com");
    world
        .takes(order, "posts -2, users -1", "posts 2, users 2")
        .await;
}

async fn chain_of_actions(kind: Kind) {
    let sql = format!(
        "{}
        CREATE TABLE comments (id INTEGER PRIMARY KEY,
            post_id INTEGER NOT NULL REFERENCES posts (id) ON DELETE RESTRICT,
            by_id INTEGER REFERENCES users (id) ON DELETE SET NULL);
        CREATE TABLE likes (comment_id INTEGER NOT NULL REFERENCES comments (id),
            user_id INTEGER NOT NULL REFERENCES users (id), PRIMARY KEY (comment_id, user_id));
        INSERT INTO comments VALUES (1, 1, 2), (2, 3, 1), (3, 3, 2);
        INSERT INTO likes VALUES (1, 2), (2, 2), (3, 1), (3, 2);",
        posts("ON DELETE CASCADE")
    );
    let world = World::make(kind, &sql, POLICY).await;
    let told = "comments -1 ~1, likes -2, posts -2, users -1";
    let left = "comments 2, likes 2, posts 2, users 2";
    world.takes(world.user("ann@test.com"), told, left).await;
}

async fn kept_rows_block(kind: Kind) {
    let policy = format!("keep = [\"posts\"]\n{POLICY}");
    let world = World::make(kind, &posts(""), &policy).await;
    let failure = world.fails(world.user("ann@test.com")).await;
    let Failure::Target(resetd::target::Error::Refused(refused)) = &failure else {
        panic!("{failure}");
    };
    assert_eq!(refused.0[0].reason, Reason::BlockedByReferences);
    assert!(
        failure
            .to_string()
            .contains("posts.user_id -> users.id (2 rows)"),
        "{failure}"
    );
}

async fn blocked_by_policy(kind: Kind) {
    let policy = format!("{POLICY}\n[references]\n\"posts.user_id\" = \"block\"");
    let world = World::make(kind, &posts(""), &policy).await;
    let failure = world.fails(world.user("ann@test.com")).await;
    assert!(
        failure
            .to_string()
            .contains("posts.user_id -> users.id (2 rows)"),
        "{failure}"
    );
    let told = "users -1";
    world.sql("DELETE FROM posts WHERE user_id = 1").await;
    world
        .takes(world.user("ann@test.com"), told, "posts 2, users 2")
        .await;
}

async fn mentions_are_detached(kind: Kind) {
    let sql = format!(
        "{USERS}
        CREATE TABLE papers (id INTEGER PRIMARY KEY,
            owner_id INTEGER NOT NULL REFERENCES users (id),
            editor_id INTEGER REFERENCES users (id), checked_by INTEGER REFERENCES users (id));
        INSERT INTO papers VALUES (1, 1, 1, 2), (2, 2, 1, 1), (3, 2, NULL, 1), (4, 2, 2, 2);"
    );
    let world = World::make(kind, &sql, POLICY).await;
    let order = world.user("ann@test.com");
    world
        .takes(order, "papers -1 ~2, users -1", "papers 3, users 1")
        .await;
}

async fn only_way_in_is_followed(kind: Kind) {
    let world = World::make(kind, &posts(""), POLICY).await;
    let order = world.user("ann@test.com");
    world
        .takes(order, "posts -2, users -1", "posts 2, users 2")
        .await;
}

const LEVELS: &str = r#"
[levels.user_data.restore.users]
attempts = 0
note = { null = true }
[levels.user_data.restore.profiles]
bio = ""
[levels.user_sessions]
delete = ["sessions"]
"#;

fn accounts() -> String {
    "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0, note TEXT);
    CREATE TABLE profiles (user_id INTEGER PRIMARY KEY REFERENCES users (id),
        bio TEXT NOT NULL);
    CREATE TABLE sessions (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id));
    CREATE TABLE visits (session_id INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
        page TEXT
    maria: , id INTEGER AUTO_INCREMENT PRIMARY KEY
        );
    INSERT INTO users VALUES (1, 'ann@test.com', 3, 'x'), (2, 'bob@test.com', 2, 'y'),
        (3, 'eve@test.com', 0, NULL);
    INSERT INTO profiles VALUES (1, 'hello'), (2, 'hi'), (3, '');
    INSERT INTO sessions VALUES (1, 1), (2, 1), (3, 2);
    INSERT INTO visits (session_id, page) VALUES (1, '/'), (1, '/a'), (3, '/');"
        .to_owned()
}

fn email(email: &str) -> UserSelector {
    UserSelector::Email(email.to_owned())
}

async fn levels_below_the_cascade(kind: Kind) {
    let world = World::make(kind, &accounts(), &format!("{POLICY}{LEVELS}")).await;
    let all = "profiles 3, sessions 3, users 3, visits 3";
    let order = world.at(Level::UserData, email("ann@test.com"));
    world.takes(order, "profiles *1, users *1", all).await;
    let order = world.at(Level::UserSessions, email("ann@test.com"));
    let left = "profiles 3, sessions 1, users 3, visits 1";
    world.takes(order, "sessions -2, visits -2", left).await;
    let others = "SELECT CAST(attempts AS TEXT), note FROM users ORDER BY id";
    assert_eq!(world.ask(others).await, "0| 2|y 0|");
}

async fn level_deletes_and_what_refers_blocks(kind: Kind) {
    let sql = accounts().replace("ON DELETE CASCADE", "");
    let world = World::make(kind, &sql, &format!("{POLICY}{LEVELS}")).await;
    let failure = world
        .fails(world.at(Level::UserSessions, email("ann@test.com")))
        .await;
    let words = "visits.session_id -> sessions.id (2 rows)";
    assert!(failure.to_string().contains(words), "{failure}");
}

async fn restores_what_differs_only(kind: Kind) {
    let world = World::make(kind, &accounts(), &format!("{POLICY}{LEVELS}")).await;
    let all = "profiles 3, sessions 3, users 3, visits 3";
    let order = world.at(Level::UserData, email("eve@test.com"));
    world.takes(order, "", all).await;
    world.sql("UPDATE users SET note = '' WHERE id = 3").await;
    let order = world.at(Level::UserData, email("eve@test.com"));
    world.takes(order, "users *1", all).await;
}

async fn shared_rows_are_reported(kind: Kind) {
    let sql = format!(
        "{USERS}
        CREATE TABLE trades (id INTEGER PRIMARY KEY, buyer INTEGER NOT NULL REFERENCES users (id),
            seller INTEGER NOT NULL REFERENCES users (id));
        INSERT INTO trades VALUES (1, 1, 2), (2, 2, 1), (3, 1, 1), (4, 2, 2);"
    );
    let world = World::make(kind, &sql, POLICY).await;
    let order = world.user("ann@test.com");
    let changes = world
        .takes(order, "trades -3, users -1", "trades 1, users 1")
        .await;
    assert_eq!(changes.shared.len(), 1);
    assert_eq!(
        (changes.shared[0].table.as_str(), changes.shared[0].rows),
        ("trades", 2)
    );
}

async fn several_ways_count_once(kind: Kind) {
    let sql = format!(
        "{USERS}
        CREATE TABLE teams (id INTEGER PRIMARY KEY, lead INTEGER NOT NULL REFERENCES users (id));
        CREATE TABLE tasks (id INTEGER PRIMARY KEY, team INTEGER NOT NULL REFERENCES teams (id),
            by_id INTEGER NOT NULL REFERENCES users (id),
            for_id INTEGER NOT NULL REFERENCES users (id));
        INSERT INTO teams VALUES (1, 1), (2, 2);
        INSERT INTO tasks VALUES (1, 1, 1, 1), (2, 1, 2, 2), (3, 2, 1, 1), (4, 2, 2, 1),
            (5, 2, 2, 2);"
    );
    let world = World::make(kind, &sql, POLICY).await;
    let order = world.user("ann@test.com");
    world
        .takes(
            order,
            "tasks -4, teams -1, users -1",
            "tasks 1, teams 1, users 1",
        )
        .await;
}
