//! Recipes, seeds and passwords on every database.

use resetd::{operation::Mode, target::Error};

use crate::{
    cases,
    world::{Failure, Kind, POLICY, World},
};

cases! {
    EVERYWHERE: a_recipe_takes_rows_and_their_children, a_recipe_changes_no_preserved_table,
        a_recipe_takes_no_protected_user, a_wrong_condition_is_told_at_once,
        a_seed_stands_where_everything_was, a_seed_that_fails_leaves_everything,
        a_password_is_kept_or_nothing_is;
    SERVERS: what_grants_says_is_enough;
}

const RECIPES: &str = r#"
[levels.user_data.restore.users]
streak = 7
[levels.user_sessions]
delete = ["sessions"]

[recipes.progress]
title = "done"
include = ["stale"]
delete = ["attempts"]
restore = { users = { points = 0, streak = { null = true } }, boards = { rank = { null = true } } }
preserve = ["profiles"]

[recipes.stale]
title = "stale"
delete = [{ table = "images", where = "status = 'rejected' AND age > 30" },
          { table = "images", where = "status = 'error'" }]

[recipes.greedy]
title = "greedy"
delete = ["images"]
preserve = ["tags"]

[recipes.users]
title = "users"
delete = [{ table = "users", where = "points > 4" }]
"#;

const TABLES: &str = "
    CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(99) NOT NULL, points INTEGER NOT NULL,
        streak INTEGER, hash VARCHAR(30));
    CREATE TABLE sessions (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id));
    CREATE TABLE profiles (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id));
    CREATE TABLE boards (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id),
        rank INTEGER);
    CREATE TABLE attempts (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id));
    CREATE TABLE answers (id INTEGER PRIMARY KEY,
        attempt_id INTEGER NOT NULL REFERENCES attempts (id));
    CREATE TABLE images (id INTEGER PRIMARY KEY, status VARCHAR(9) NOT NULL, age INTEGER NOT NULL,
        user_id INTEGER REFERENCES users (id));
    CREATE TABLE tags (id INTEGER PRIMARY KEY, image_id INTEGER NOT NULL REFERENCES images (id));
    INSERT INTO users VALUES (1, 'a@test.com', 5, 3, 'old'), (2, 'real@corp.example', 0, NULL, 'old'),
        (3, 'b@test.com', 0, 1, 'old');
    INSERT INTO sessions VALUES (1, 1), (2, 1), (3, 2);
    INSERT INTO profiles VALUES (1, 1), (2, 2);
    INSERT INTO boards VALUES (1, 1, 4), (2, 2, NULL);
    INSERT INTO attempts VALUES (1, 1), (2, 2), (3, 2);
    INSERT INTO answers VALUES (1, 1), (2, 1), (3, 3);
    INSERT INTO images VALUES (1, 'rejected', 31, 1), (2, 'rejected', 1, 1), (3, 'error', 1, NULL),
        (4, 'ok', 99, 2);
    INSERT INTO tags VALUES (1, 1), (2, 2), (3, 3);";

async fn make(kind: Kind) -> World {
    let sql = match kind {
        // A word of its own there.
        Kind::MariaDb => TABLES.replace("rank", "`rank`"),
        Kind::Sqlite | Kind::Postgres => TABLES.to_owned(),
    };
    World::make(kind, &sql, &format!("{POLICY}{RECIPES}")).await
}

async fn a_recipe_takes_rows_and_their_children(kind: Kind) {
    let world = make(kind).await;
    world
        .takes(
            world.recipe("progress", &["a@test.com"]),
            "answers -3, attempts -3, boards *1, images -2, tags -2, users *2",
            "boards 2, images 2, profiles 2, sessions 3, tags 1, users 3",
        )
        .await;
    let images = world
        .ask("SELECT CAST(id AS TEXT) FROM images ORDER BY id")
        .await;
    assert_eq!(images, "2 4");
    let users = "SELECT CAST(count(*) AS TEXT) FROM users WHERE points = 0 AND streak IS NULL";
    assert_eq!(world.ask(users).await, "3");
}

async fn a_recipe_changes_no_preserved_table(kind: Kind) {
    let world = make(kind).await;
    let failure = world.fails(world.recipe("greedy", &[])).await;
    let said = failure.to_string();
    assert!(
        said.contains("tags") && said.contains("tags.image_id -> images.id"),
        "{said}"
    );
    // What is kept is preserved as well.
    let policy = format!("keep = [\"tags\"]\n{POLICY}{RECIPES}");
    let world = world.with_policy(&policy.replace("preserve = [\"tags\"]", ""));
    let failure = world.fails(world.recipe("greedy", &[])).await;
    assert!(failure.to_string().contains("tags.image_id"), "{failure}");
}

async fn a_recipe_takes_no_protected_user(kind: Kind) {
    let policy = format!("{POLICY}{RECIPES}").replace(
        "sessions\"]",
        "sessions\"]\n[references]\n\"images.user_id\" = \"detach\"",
    );
    let world = make(kind).await.with_policy(&policy);
    let failure = world.fails(world.recipe("users", &["a@test.com"])).await;
    assert!(
        matches!(failure, Failure::Target(Error::Refused(_))),
        "{failure}"
    );
    world
        .takes(
            world.recipe("users", &["b@test.com"]),
            "answers -2, attempts -1, boards -1, images ~2, profiles -1, sessions -2, users -1",
            "answers 1, attempts 2, boards 1, images 4, profiles 1, sessions 1, tags 3, users 2",
        )
        .await;
}

async fn a_wrong_condition_is_told_at_once(kind: Kind) {
    let policy = format!("{POLICY}{RECIPES}").replace("age > 30", "no_such > 30");
    let world = make(kind).await.with_policy(&policy);
    let failure = world.fails(world.recipe("progress", &[])).await;
    let said = failure.to_string();
    assert!(said.contains("recipes.progress.delete of images"), "{said}");
}

async fn a_seed_stands_where_everything_was(kind: Kind) {
    let sql = format!(
        "{TABLES}
        lite: CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, body VARCHAR(99));
        pg: CREATE TABLE notes (id SERIAL PRIMARY KEY, body VARCHAR(99));
        maria: CREATE TABLE notes (id INTEGER PRIMARY KEY AUTO_INCREMENT, body VARCHAR(99));
        INSERT INTO notes (body) VALUES ('a'), ('b'), ('c'), ('d');"
    );
    let sql = match kind {
        Kind::MariaDb => sql.replace("rank", "`rank`"),
        Kind::Sqlite | Kind::Postgres => sql,
    };
    let world = World::make(kind, &sql, POLICY).await;
    let seed = "INSERT INTO users VALUES (9, 'admin@corp.example', 1, 1, {{name}}); -- the one; admin\n\
                INSERT INTO notes (id, body) VALUES (2, 'it''s; seeded');";
    let order = world.reseeded(seed, "O'Brien\\; x");
    world
        .takes(
            order,
            "answers -3, attempts -3, boards -2, images -4, notes -4, profiles -2, sessions -3, \
         tags -3, users -3",
            "notes 1, users 1",
        )
        .await;
    assert_eq!(world.ask("SELECT hash FROM users").await, "O'Brien\\; x");
    // Numbers go on after the highest that was seeded.
    world.sql("INSERT INTO notes (body) VALUES ('next')").await;
    let next = "SELECT CAST(id AS TEXT) FROM notes WHERE body = 'next'";
    assert_eq!(world.ask(next).await, "3");
}

async fn a_seed_that_fails_leaves_everything(kind: Kind) {
    let world = make(kind).await;
    let seed = "INSERT INTO sessions VALUES (1, 77);\nSELECT 1";
    let seed =
        format!("INSERT INTO users VALUES (1, 'x', 1, 1, NULL); {seed}; SELECT no_such FROM users");
    let failure = world.fails(world.reseeded(&seed, "")).await;
    let Failure::Target(Error::Seed { file, .. }) = failure else {
        panic!("{failure}");
    };
    assert_eq!(file, "seed.sql");
    for text in [
        "COMMIT",
        "TRUNCATE users",
        "DROP TABLE users",
        "BEGIN; COMMIT",
    ] {
        assert!(world.target.seed("seed.sql", text).is_err(), "{text}");
    }
}

async fn a_password_is_kept_or_nothing_is(kind: Kind) {
    let world = make(kind).await;
    let changes = world
        .takes(
            world.password("a@test.com", "hash", "$2b$12$abcdefghijklmnopqrstuv"),
            "sessions -2",
            "answers 3, attempts 3, boards 2, images 4, profiles 2, sessions 1, tags 3, users 3",
        )
        .await;
    assert_eq!(changes.hash_prefix.as_deref(), Some("$2b$12$"));
    let hashes = "SELECT hash FROM users ORDER BY id";
    assert_eq!(
        world.ask(hashes).await,
        "$2b$12$abcdefghijklmnopqrstuv old old"
    );
    // A column that cuts it, or does not take it, keeps the old one.
    let too_long = world.password("a@test.com", "hash", &"x".repeat(31));
    if kind != Kind::Sqlite {
        world.fails(too_long).await;
    }
    world
        .sql(
            "
            lite: CREATE TRIGGER m AFTER UPDATE OF hash ON users BEGIN
            lite: UPDATE users SET hash = 'mangled' WHERE id = new.id; END;
            maria: CREATE TRIGGER m BEFORE UPDATE ON users FOR EACH ROW SET new.hash = 'mangled';
            pg: CREATE FUNCTION m() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            pg: new.hash = 'mangled'; RETURN new; END $$;
            pg: CREATE TRIGGER m BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION m();",
        )
        .await;
    let failure = world
        .fails(world.password("a@test.com", "hash", "new"))
        .await;
    assert!(failure.to_string().contains("did not keep"), "{failure}");
    // Another user's password is none of anybody's.
    let dry = world.password("b@test.com", "hash", "mangled");
    world.reset(&dry, Mode::DryRun).await.unwrap();
}

/// A role that has been given what `resetd grants` says, and nothing else, can
/// do whatever does not restart sequences.
async fn what_grants_says_is_enough(kind: Kind) {
    let guest = "resetd_guest";
    let policy = format!(
        "keep = [\"boards\"]\n{POLICY}[users.create]\npassword = {{ column = \"hash\", \
         bcrypt_cost = 4 }}\n[users.create.set]\npoints = 0\n{}",
        RECIPES.replace(", boards = { rank = { null = true } }", "")
    );
    // Its key has no default.
    let policy = policy.replace("[users.create.set]", "[users.create.set]\nid = 99");
    let world = make(kind).await.with_policy(&policy);
    let denied = world.twin(&policy).reached_by(&policy, guest);
    let failure = denied.fails(denied.user("b@test.com")).await;
    assert!(matches!(failure, Failure::Target(_)), "{failure}");
    for grant in world.target.grants(guest).await.unwrap() {
        let mut superuser = world.superuser().await;
        let done = superuser.run(&grant.statement).await;
        done.unwrap_or_else(|error| panic!("{error} in {}", grant.statement));
        superuser.close().await;
    }
    let world = world.reached_by(&policy, guest);
    let changes = world.reset(&world.user("b@test.com"), Mode::Execute).await;
    changes.unwrap_or_else(|failure| panic!("{failure}"));
    let changes = world
        .reset(&world.recipe("progress", &[]), Mode::Execute)
        .await;
    changes.unwrap_or_else(|failure| panic!("{failure}"));
    let password = world.password("a@test.com", "hash", "new");
    world.reset(&password, Mode::Execute).await.unwrap();
}
