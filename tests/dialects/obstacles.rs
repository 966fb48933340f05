//! What stands in the way: triggers, rules, row-level security, privileges.

use resetd::{operation::Mode, plan, target::Error};

use crate::{
    cases,
    cycles::USERS,
    world::{Failure, Kind, POLICY, World},
};

cases! {
    EVERYWHERE: trigger_refuses, trigger_fills_another_table;
    // A trigger of MariaDB keeps no row but by an error.
    NOT_MARIADB: trigger_keeps_a_row;
    POSTGRES: rule_keeps_rows, rule_keeps_rows_of_a_cycle, hidden_rows, hidden_from_their_owner,
        missing_privilege, guest_with_all_privileges, durable_whatever_the_server_says,
        functions_shadowed;
}

const POSTS: &str = "CREATE TABLE posts (id INTEGER PRIMARY KEY,
        user_id INTEGER NOT NULL REFERENCES users (id));
    INSERT INTO posts VALUES (1, 1), (2, 1), (3, 2);";

pub fn posts(more: &str) -> String {
    format!("{USERS}\n{POSTS}\n{more}")
}

/// The two ways to say what a trigger does before a row of posts goes.
fn before_delete(when: &str, lite: &str, pg: &str, maria: &str) -> String {
    format!(
        "lite: CREATE TRIGGER guard BEFORE DELETE ON posts WHEN {when} BEGIN {lite}; END;
        pg: CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS
        pg: $$ BEGIN IF {when} THEN {pg}; END IF; RETURN OLD; END $$;
        pg: CREATE TRIGGER guard BEFORE DELETE ON posts FOR EACH ROW EXECUTE FUNCTION guard();
        maria: CREATE TRIGGER guard BEFORE DELETE ON posts FOR EACH ROW IF {when} THEN {maria}; END IF;"
    )
}

async fn trigger_keeps_a_row(kind: Kind) {
    let trigger = before_delete("OLD.id = 2", "SELECT RAISE(IGNORE)", "RETURN NULL", "");
    let world = World::make(kind, &posts(&trigger), POLICY).await;
    let order = world.user("ann@test.com");
    for order in [order, world.test_users(false), world.everything()] {
        let failure = world.fails(order).await;
        let Failure::Target(Error::Violation { detail, .. }) = &failure else {
            panic!("{failure}");
        };
        assert!(
            detail.contains("1 rows of posts are still there"),
            "{detail}"
        );
    }
    world
        .takes(
            world.user("bob@test.com"),
            "posts -1, users -1",
            "posts 2, users 1",
        )
        .await;
}

async fn trigger_refuses(kind: Kind) {
    let trigger = before_delete(
        "OLD.id = 2",
        "SELECT RAISE(ABORT, 'post 2 is sacred')",
        "RAISE EXCEPTION 'post 2 is sacred'",
        "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'post 2 is sacred'",
    );
    let world = World::make(kind, &posts(&trigger), POLICY).await;
    for order in [world.user("ann@test.com"), world.everything()] {
        let failure = world.fails(order).await;
        let Failure::Target(Error::Violation { step, detail }) = &failure else {
            panic!("{failure:?}");
        };
        assert!(
            step.contains("posts") && detail.contains("post 2 is sacred"),
            "{failure}"
        );
    }
}

/// What a trigger writes down while everything goes, goes too.
async fn trigger_fills_another_table(kind: Kind) {
    for history in ["history", "zeal"] {
        trigger_fills(kind, history).await;
    }
}

async fn trigger_fills(kind: Kind, history: &str) {
    let more = "CREATE TABLE history (id INTEGER PRIMARY KEY, post_id INTEGER NOT NULL);
        lite: CREATE TRIGGER note AFTER DELETE ON posts BEGIN
        lite: INSERT INTO history VALUES (OLD.id, OLD.id); END;
        pg: CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
        pg: $$ BEGIN INSERT INTO history VALUES (OLD.id, OLD.id); RETURN NULL; END $$;
        pg: CREATE TRIGGER note AFTER DELETE ON posts FOR EACH ROW EXECUTE FUNCTION note();
        maria: CREATE TRIGGER note AFTER DELETE ON posts FOR EACH ROW
        maria: INSERT INTO history VALUES (OLD.id, OLD.id);";
    let more = more.replace("history", history);
    let world = World::make(kind, &posts(&more), POLICY).await;
    world
        .reset(&world.user("ann@test.com"), Mode::Execute)
        .await
        .unwrap();
    assert!(world.left().await.contains(&format!("{history} 2")));
    world
        .reset(&world.everything(), Mode::Execute)
        .await
        .unwrap();
    assert_eq!(world.left().await, "");
}

async fn rule_keeps_rows(kind: Kind) {
    let rule = "CREATE RULE stay AS ON DELETE TO posts DO INSTEAD NOTHING;";
    let world = World::make(kind, &posts(rule), POLICY).await;
    for order in [world.user("ann@test.com"), world.everything()] {
        let failure = world.fails(order).await.to_string();
        assert!(failure.contains("posts"), "{failure}");
    }
}

async fn rule_keeps_rows_of_a_cycle(kind: Kind) {
    let rule = "ALTER TABLE posts ADD COLUMN first INTEGER;
        CREATE TABLE parts (id INTEGER PRIMARY KEY, post_id INTEGER NOT NULL REFERENCES posts);
        ALTER TABLE posts ADD FOREIGN KEY (first) REFERENCES parts;
        INSERT INTO parts VALUES (1, 1); UPDATE posts SET first = 1 WHERE id = 1;
        CREATE RULE stay AS ON DELETE TO parts DO INSTEAD NOTHING;";
    let world = World::make(kind, &posts(rule), POLICY).await;
    for order in [world.user("ann@test.com"), world.everything()] {
        let failure = world.fails(order).await.to_string();
        assert!(failure.contains("parts"), "{failure}");
    }
}

/// What another role's policies hide from ours is a refusal, not a silence.
async fn hidden_rows(kind: Kind) {
    let rows = "ALTER TABLE posts ENABLE ROW LEVEL SECURITY;
        CREATE POLICY partly ON posts USING (id <> 2);
        GRANT ALL ON ALL TABLES IN SCHEMA public TO resetd_guest;
        CREATE TABLE notes (id INTEGER);";
    let world = World::make(kind, &posts(rows), POLICY).await;
    world
        .sql(
            "GRANT USAGE ON SCHEMA resetd TO resetd_guest;
        GRANT ALL ON ALL TABLES IN SCHEMA resetd TO resetd_guest",
        )
        .await;
    let world = world.reached_by(POLICY, "resetd_guest");
    let failure = world.fails(world.user("ann@test.com")).await;
    assert!(
        matches!(failure, Failure::Plan(plan::Error::Obstacle { .. })),
        "{failure}"
    );
    let words = "posts cannot be reset: row-level security hides rows of it from role resetd_guest";
    assert!(failure.to_string().contains(words), "{failure}");
    let owner = world.reached_by(POLICY, crate::world::OWNER);
    owner
        .takes(
            owner.user("ann@test.com"),
            "posts -2, users -1",
            "posts 1, users 1",
        )
        .await;
}

async fn hidden_from_their_owner(kind: Kind) {
    let rows = "ALTER TABLE posts ENABLE ROW LEVEL SECURITY;
        ALTER TABLE posts FORCE ROW LEVEL SECURITY;";
    let world = World::make(kind, &posts(rows), POLICY).await;
    let failure = world.fails(world.everything()).await;
    assert!(
        matches!(failure, Failure::Plan(plan::Error::Obstacle { .. })),
        "{failure}"
    );
}

async fn missing_privilege(kind: Kind) {
    let world = World::make(kind, &posts(""), POLICY).await;
    world
        .sql(
            "GRANT USAGE ON SCHEMA resetd TO resetd_guest;
        GRANT ALL ON ALL TABLES IN SCHEMA resetd TO resetd_guest;
        GRANT ALL ON users TO resetd_guest; GRANT SELECT ON posts TO resetd_guest",
        )
        .await;
    let world = world.reached_by(POLICY, "resetd_guest");
    let failure = world.fails(world.user("ann@test.com")).await;
    let Failure::Target(Error::Permission { step }) = &failure else {
        panic!("{failure}");
    };
    assert_eq!(step, "delete posts");
}

/// Ownership is needed for sequences alone.
async fn guest_with_all_privileges(kind: Kind) {
    let world = World::make(kind, &posts(""), POLICY).await;
    world
        .sql(
            "GRANT USAGE ON SCHEMA resetd TO resetd_guest;
        GRANT SELECT ON resetd.marker TO resetd_guest;
        GRANT SELECT, INSERT ON resetd.commit TO resetd_guest;
        GRANT SELECT, UPDATE, DELETE ON users, posts TO resetd_guest",
        )
        .await;
    let world = world.reached_by(POLICY, "resetd_guest");
    world
        .takes(
            world.user("ann@test.com"),
            "posts -2, users -1",
            "posts 1, users 1",
        )
        .await;
    world
        .takes(world.everything(), "posts -1, users -1", "")
        .await;
}

/// The throwaway server has it off.
async fn durable_whatever_the_server_says(kind: Kind) {
    let more = "CREATE TABLE seen (what TEXT);
        CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit') || ' '
            || current_setting('row_security') || ' ' || current_setting('search_path'));
            RETURN NULL; END $$;
        CREATE TRIGGER look AFTER DELETE ON posts FOR EACH STATEMENT EXECUTE FUNCTION look();";
    let world = World::make(kind, &posts(more), POLICY).await;
    world
        .sql(&format!(
            "ALTER DATABASE {} SET synchronous_commit = off",
            world.name
        ))
        .await;
    world
        .reset(&world.user("ann@test.com"), Mode::Execute)
        .await
        .unwrap();
    assert_eq!(
        world.ask("SELECT what FROM seen").await,
        "on off public, pg_temp"
    );
}

/// Functions and operators of the application's stand in for none of ours.
async fn functions_shadowed(kind: Kind) {
    let more =
        "CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE sql AS $$ SELECT 'test.com' $$;
        CREATE FUNCTION public.split_part(text, text, integer) RETURNS text LANGUAGE sql
            AS $$ SELECT 'test.com' $$;
        CREATE FUNCTION public.count_all() RETURNS bigint LANGUAGE sql AS $$ SELECT 0 $$;
        CREATE FUNCTION public.current_database() RETURNS name LANGUAGE sql AS $$ SELECT 'x' $$;
        CREATE TABLE public.pg_class (id INTEGER PRIMARY KEY);
        INSERT INTO users VALUES (3, 'ceo@corporation.com');";
    let world = World::make(kind, &posts(more), POLICY).await;
    world
        .takes(world.test_users(false), "posts -3, users -2", "users 1")
        .await;
}
