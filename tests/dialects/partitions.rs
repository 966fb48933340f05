//! Tables that consist of others: partitions and heirs.

use crate::{
    cases,
    cycles::USERS,
    world::{Kind, POLICY, World},
};

cases! {
    POSTGRES: range_partitions, hash_partitions, keys_to_partitioned_tables,
        partitions_without_a_key, inheritance, users_with_heirs;
}

fn partitioned(by: &str, parts: [&str; 2]) -> String {
    format!(
        "{USERS}
        CREATE TABLE events (id INTEGER NOT NULL, at INTEGER NOT NULL,
            user_id INTEGER NOT NULL REFERENCES users (id), PRIMARY KEY (id, at))
            PARTITION BY {by};
        CREATE TABLE events_1 PARTITION OF events {};
        CREATE TABLE events_2 (at INTEGER NOT NULL, user_id INTEGER NOT NULL, junk TEXT,
            id INTEGER NOT NULL);
        ALTER TABLE events_2 DROP COLUMN junk;
        ALTER TABLE events ATTACH PARTITION events_2 {};
        CREATE TABLE notes (id INTEGER PRIMARY KEY, event_id INTEGER, at INTEGER,
            FOREIGN KEY (event_id, at) REFERENCES events (id, at));
        INSERT INTO events VALUES (1, 1, 1), (2, 20, 1), (3, 1, 2), (4, 20, 2), (5, 3, 1);
        INSERT INTO notes VALUES (1, 1, 1), (2, 2, 20), (3, 3, 1), (4, NULL, NULL);",
        parts[0], parts[1]
    )
}

async fn range_partitions(kind: Kind) {
    let parts = [
        "FOR VALUES FROM (0) TO (10)",
        "FOR VALUES FROM (10) TO (30)",
    ];
    let world = World::make(kind, &partitioned("RANGE (at)", parts), POLICY).await;
    let order = world.user("ann@test.com");
    let told = "events -3, notes -2, users -1";
    world
        .takes(order, told, "events_1 1, events_2 1, notes 2, users 1")
        .await;
    world
        .takes(world.everything(), "events -2, notes -2, users -1", "")
        .await;
}

async fn hash_partitions(kind: Kind) {
    let parts = [
        "FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
        "FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    ];
    let world = World::make(kind, &partitioned("HASH (id)", parts), POLICY).await;
    let changes = world
        .reset(
            &world.user("ann@test.com"),
            resetd::operation::Mode::Execute,
        )
        .await;
    let told = "events -3, notes -2, users -1";
    assert_eq!(crate::world::summary(&changes.unwrap()), told);
    assert_eq!(world.ask("SELECT count(*)::text FROM events").await, "2");
}

/// A key to the root, one to a partition alone, one from a partition alone.
async fn keys_to_partitioned_tables(kind: Kind) {
    let sql = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL)
            PARTITION BY RANGE (id);
        CREATE TABLE users_1 PARTITION OF users FOR VALUES FROM (0) TO (10);
        CREATE TABLE users_2 PARTITION OF users FOR VALUES FROM (10) TO (20)
            PARTITION BY RANGE (id);
        CREATE TABLE users_3 PARTITION OF users_2 FOR VALUES FROM (10) TO (20);
        CREATE TABLE a (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users);
        CREATE TABLE b (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users_1);
        CREATE TABLE c (id INTEGER NOT NULL, part INTEGER NOT NULL, user_id INTEGER,
            PRIMARY KEY (id, part)) PARTITION BY LIST (part);
        CREATE TABLE c_1 PARTITION OF c FOR VALUES IN (1);
        CREATE TABLE c_2 PARTITION OF c FOR VALUES IN (2);
        ALTER TABLE c_2 ADD FOREIGN KEY (user_id) REFERENCES users;
        INSERT INTO users VALUES (1, 'ann@test.com'), (2, 'bob@test.com'), (11, 'eve@test.com');
        INSERT INTO a VALUES (1, 1), (2, 2), (3, 11);
        INSERT INTO b VALUES (1, 1), (2, 2);
        INSERT INTO c VALUES (1, 1, 9), (2, 1, 7), (3, 2, 1), (4, 2, 11);";
    let world = World::make(kind, sql, POLICY).await;
    let told = "a -1, b -1, c -1, users -1";
    let left = "a 2, b 1, c_1 2, c_2 1, users_1 1, users_3 1";
    world.takes(world.user("ann@test.com"), told, left).await;
    let left = "a 1, b 1, c_1 2, users_1 1";
    world
        .takes(world.user("eve@test.com"), "a -1, c -1, users -1", left)
        .await;
    world
        .takes(world.everything(), "a -1, b -1, c -2, users -1", "")
        .await;
}

/// Such a table can be emptied, but its rows cannot be told apart.
async fn partitions_without_a_key(kind: Kind) {
    let sql = format!(
        "{USERS}
        CREATE TABLE events (at INTEGER NOT NULL, user_id INTEGER NOT NULL REFERENCES users)
            PARTITION BY RANGE (at);
        CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (10);
        INSERT INTO events VALUES (1, 1), (2, 2);"
    );
    let world = World::make(kind, &sql, POLICY).await;
    let failure = world.fails(world.user("ann@test.com")).await.to_string();
    assert!(
        failure.contains("events cannot be reset: it has no primary key"),
        "{failure}"
    );
    world
        .takes(world.everything(), "events -2, users -2", "")
        .await;
}

/// A parent's rows are its own; its heirs' are theirs, and no key of the
/// parent's ties them.
async fn inheritance(kind: Kind) {
    let sql = format!(
        "{USERS}
        CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users);
        CREATE TABLE long_posts (body TEXT, PRIMARY KEY (id)) INHERITS (posts);
        CREATE TABLE owned_posts (PRIMARY KEY (id), FOREIGN KEY (user_id) REFERENCES users)
            INHERITS (posts);
        INSERT INTO posts VALUES (1, 1), (2, 2);
        INSERT INTO long_posts VALUES (1, 1, 'x'), (4, 1, 'y');
        INSERT INTO owned_posts VALUES (1, 1), (6, 2);"
    );
    let world = World::make(kind, &sql, POLICY).await;
    let told = "owned_posts -1, posts -1, users -1";
    let left = "long_posts 2, owned_posts 1, posts 1, users 1";
    world.takes(world.user("ann@test.com"), told, left).await;
    let told = "long_posts -2, owned_posts -1, posts -1, users -1";
    world.takes(world.everything(), told, "").await;
}

async fn users_with_heirs(kind: Kind) {
    let sql = format!(
        "{USERS}
        CREATE TABLE staff (badge TEXT, PRIMARY KEY (id)) INHERITS (users);
        INSERT INTO staff VALUES (3, 'eve@test.com', 'x'), (1, 'ann@test.com', 'y');"
    );
    let world = World::make(kind, &sql, POLICY).await;
    let failure = world.fails(world.user("eve@test.com")).await.to_string();
    assert!(
        failure.contains("no user has email eve@test.com"),
        "{failure}"
    );
    world
        .takes(world.user("ann@test.com"), "users -1", "staff 2, users 1")
        .await;
    world
        .takes(world.test_users(false), "users -1", "staff 2")
        .await;
}
