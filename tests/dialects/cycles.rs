//! Tables that refer to themselves and to one another.

use crate::{
    cases,
    world::{Kind, POLICY, World},
};

cases! {
    EVERYWHERE: required_cycle, required_cycle_whose_checks_wait, optional_cycle,
        cycle_that_restricts, cycle_of_three, optional_self_reference, required_self_reference,
        self_reference_that_cascades, self_reference_that_sets_null,
        self_reference_that_restricts, restricting_self_reference_without_a_primary_key;
}

pub const USERS: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL);
    INSERT INTO users VALUES (1, 'ann@test.com'), (2, 'bob@test.com');";

/// Two tables of which each refers to the other. SQLite knows no later
/// addition of a key, so there it is declared, and its checks wait.
async fn cycle(kind: Kind, null: &str, rule: &str) -> World {
    let sql = format!(
        "{USERS}
        CREATE TABLE a (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id),
            b_id INTEGER {null}
    lite:   REFERENCES b (id) {rule} DEFERRABLE INITIALLY DEFERRED
        );
        CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INTEGER {null}
    lite:   REFERENCES a (id) {rule} DEFERRABLE INITIALLY DEFERRED
        );
    lite: BEGIN;
        INSERT INTO a VALUES (1, 1, 1), (2, 1, 2), (3, 2, 3);
        INSERT INTO b VALUES (1, 1), (2, 2), (3, 3);
    lite: COMMIT;
    pg: ALTER TABLE a ADD FOREIGN KEY (b_id) REFERENCES b (id) {rule};
    pg: ALTER TABLE b ADD FOREIGN KEY (a_id) REFERENCES a (id) {rule};
    maria: ALTER TABLE a ADD FOREIGN KEY (b_id) REFERENCES b (id) {rule};
    maria: ALTER TABLE b ADD FOREIGN KEY (a_id) REFERENCES a (id) {rule};"
    );
    World::make(kind, &sql, POLICY).await
}

async fn required_cycle(kind: Kind) {
    let world = cycle(kind, "NOT NULL", "").await;
    let order = world.user("ann@test.com");
    world
        .takes(order, "a -2, b -2, users -1", "a 1, b 1, users 1")
        .await;
    world
        .takes(world.everything(), "a -1, b -1, users -1", "")
        .await;
}

async fn required_cycle_whose_checks_wait(kind: Kind) {
    let rule = match kind {
        Kind::Sqlite | Kind::MariaDb => "",
        Kind::Postgres => "DEFERRABLE INITIALLY IMMEDIATE",
    };
    let world = cycle(kind, "NOT NULL", rule).await;
    let order = world.user("ann@test.com");
    world
        .takes(order, "a -2, b -2, users -1", "a 1, b 1, users 1")
        .await;
}

async fn optional_cycle(kind: Kind) {
    let world = cycle(kind, "", "").await;
    let order = world.user("ann@test.com");
    world
        .takes(order, "a -2, b -2, users -1", "a 1, b 1, users 1")
        .await;
    world
        .takes(world.everything(), "a -1, b -1, users -1", "")
        .await;
}

async fn cycle_that_restricts(kind: Kind) {
    let world = cycle(kind, "", "ON DELETE RESTRICT").await;
    let order = world.user("ann@test.com");
    world
        .takes(order, "a -2, b -2, users -1", "a 1, b 1, users 1")
        .await;
}

async fn cycle_of_three(kind: Kind) {
    let rule = "DEFERRABLE INITIALLY DEFERRED";
    let sql = format!(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL, c_id INTEGER
    lite:   REFERENCES c (id) {rule}
        );
        CREATE TABLE b (id INTEGER PRIMARY KEY,
            user_id INTEGER NOT NULL REFERENCES users (id) {rule});
        CREATE TABLE c (id INTEGER PRIMARY KEY, b_id INTEGER NOT NULL REFERENCES b (id) {rule});
    pg: ALTER TABLE users ADD FOREIGN KEY (c_id) REFERENCES c (id);
    maria: ALTER TABLE users ADD FOREIGN KEY (c_id) REFERENCES c (id);
        INSERT INTO users VALUES (1, 'ann@test.com', NULL), (2, 'bob@test.com', NULL),
            (3, 'eve@test.com', NULL);
        INSERT INTO b VALUES (1, 1), (2, 2), (3, 3);
        INSERT INTO c VALUES (1, 1), (2, 2), (3, 3);
        UPDATE users SET c_id = 4 - id;"
    );
    // Ann is owned by what Eve owns, and Eve by what Ann owns: both ways
    // lead round, and what else refers to a user is a mention.
    let world = World::make(kind, &sql, POLICY).await;
    let changes = world
        .reset(
            &world.user("ann@test.com"),
            resetd::operation::Mode::Execute,
        )
        .await;
    let told = crate::world::summary(&changes.unwrap());
    let left = world.left().await;
    assert!(
        (told == "b -1, c -1, users -1 ~1" && left == "b 2, c 2, users 2")
            || (told == "b -2, c -2, users -2" && left == "b 1, c 1, users 1"),
        "{told}: {left}"
    );
}

/// A tree in which Ann owns 1, 2 and 4, and Bob 3 and 5: 1 is above 2, 3; 3
/// is above 4; 5 stands alone.
async fn tree(kind: Kind, null: &str, rule: &str, key: &str) -> World {
    let root = if null.is_empty() { "NULL" } else { "1" };
    let alone = if null.is_empty() { "NULL" } else { "5" };
    let sql = format!(
        "{USERS}
        CREATE TABLE nodes (id INTEGER NOT NULL {key},
            user_id INTEGER NOT NULL REFERENCES users (id),
            parent_id INTEGER {null} REFERENCES nodes (id) {rule});
        INSERT INTO nodes VALUES (1, 1, {root}), (5, 2, {alone});
        INSERT INTO nodes VALUES (2, 1, 1), (3, 2, 1);
        INSERT INTO nodes VALUES (4, 1, 3);"
    );
    World::make(kind, &sql, POLICY).await
}

/// A mention: the node has an owner, who is not Ann.
async fn optional_self_reference(kind: Kind) {
    let world = tree(kind, "", "", "PRIMARY KEY").await;
    let order = world.user("ann@test.com");
    world
        .takes(order, "nodes -3 ~1, users -1", "nodes 2, users 1")
        .await;
    assert_eq!(
        world
            .ask("SELECT CAST(count(parent_id) AS TEXT) FROM nodes")
            .await,
        "0"
    );
}

async fn required_self_reference(kind: Kind) {
    let world = tree(kind, "NOT NULL", "", "PRIMARY KEY").await;
    let order = world.user("ann@test.com");
    world
        .takes(order, "nodes -4, users -1", "nodes 1, users 1")
        .await;
    world
        .takes(world.everything(), "nodes -1, users -1", "")
        .await;
}

async fn self_reference_that_cascades(kind: Kind) {
    let world = tree(kind, "", "ON DELETE CASCADE", "PRIMARY KEY").await;
    let order = world.user("ann@test.com");
    world
        .takes(order, "nodes -4, users -1", "nodes 1, users 1")
        .await;
}

async fn self_reference_that_sets_null(kind: Kind) {
    let world = tree(kind, "", "ON DELETE SET NULL", "PRIMARY KEY").await;
    let order = world.user("ann@test.com");
    world
        .takes(order, "nodes -3 ~1, users -1", "nodes 2, users 1")
        .await;
}

async fn self_reference_that_restricts(kind: Kind) {
    let world = tree(kind, "", "ON DELETE RESTRICT", "PRIMARY KEY").await;
    let order = world.user("ann@test.com");
    world
        .takes(order, "nodes -3 ~1, users -1", "nodes 2, users 1")
        .await;
    world
        .takes(world.everything(), "nodes -2, users -1", "")
        .await;
}

/// The rows are told apart by where they lie, which changes when one is
/// updated.
async fn restricting_self_reference_without_a_primary_key(kind: Kind) {
    let world = tree(kind, "", "ON DELETE RESTRICT", "UNIQUE").await;
    let order = world.user("ann@test.com");
    world
        .takes(order, "nodes -3 ~1, users -1", "nodes 2, users 1")
        .await;
}
