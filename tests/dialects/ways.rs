//! The ways in which a plan is carried out do the same, and the quickest is
//! taken where it can be.

use jiff::Timestamp;
use resetd::{
    operation::{Changes, Level, Mode, OperationId, UserSelector},
    target::{Besides, Brake, Request, Strategy},
};
use uuid::Uuid;

use crate::{
    cases,
    order::Order,
    world::{Kind, OWNER, POLICY, World, summary},
};

cases! {
    EVERYWHERE: one_statement, one_statement_at_every_level, rows_that_cascade;
    MARIADB: rows_that_cascade_unseen;
    NOT_POSTGRES: one_text_after_another, one_text_given_up;
    POSTGRES: step_by_step, given_up, few_of_many, ways_at_once, counted_where_they_are,
        counted_again, without_keys, keys_that_stay, keys_that_others_hold, switched_off;
}

const SHOP: &str = "
    CREATE TABLE users (id int PRIMARY KEY, email varchar(99) UNIQUE, bio varchar(99),
        invited_by int REFERENCES users (id));
    CREATE TABLE orders (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users (id));
    CREATE TABLE items (order_id int REFERENCES orders (id), number int, note varchar(99),
        PRIMARY KEY (order_id, number));
    CREATE TABLE stock (
        maria: id int AUTO_INCREMENT PRIMARY KEY,
        order_id int, number int, at varchar(99),
        FOREIGN KEY (order_id, number) REFERENCES items (order_id, number));
    CREATE TABLE reviews (id int PRIMARY KEY, author int NOT NULL REFERENCES users (id),
        order_id int REFERENCES orders (id),
        seen_by int REFERENCES users (id) ON DELETE SET NULL);
    CREATE TABLE friends (
        maria: id int AUTO_INCREMENT PRIMARY KEY,
        a int NOT NULL REFERENCES users (id), b int NOT NULL REFERENCES users (id));
    INSERT INTO users VALUES (1, 'a@test.com', 'x', NULL), (2, 'b@test.com', 'y', 1),
        (3, 'c@test.com', 'z', 3);
    INSERT INTO orders VALUES (1, 1), (2, 1), (3, 2);
    INSERT INTO items VALUES (1, 1, 'a'), (1, 2, 'b'), (2, 1, 'c'), (3, 1, 'd');
    INSERT INTO stock (order_id, number, at)
        VALUES (1, 1, 'here'), (1, 1, 'here'), (1, 1, 'there'), (3, 1, 'here');
    INSERT INTO reviews VALUES (1, 1, 3, 2), (2, 2, 1, 1), (3, 3, NULL, 1);
    INSERT INTO friends (a, b) VALUES (1, 2), (2, 1), (2, 3), (1, 2);
";

/// Nothing but `listings` and `parcels` leads anywhere, and every key cascades.
const CASCADING: &str = "
    CREATE TABLE users (id int PRIMARY KEY, email varchar(99) UNIQUE);
    CREATE TABLE listings (id int PRIMARY KEY,
        user_id int NOT NULL REFERENCES users (id) ON DELETE CASCADE);
    CREATE TABLE parcels (listing_id int NOT NULL REFERENCES listings (id) ON DELETE CASCADE,
        number int NOT NULL, PRIMARY KEY (listing_id, number));
    CREATE TABLE stamps (id int PRIMARY KEY, listing_id int, number int,
        FOREIGN KEY (listing_id, number) REFERENCES parcels (listing_id, number) ON DELETE CASCADE);
    CREATE TABLE reviews (id int PRIMARY KEY, user_id int REFERENCES users (id) ON DELETE CASCADE,
        listing_id int REFERENCES listings (id) ON DELETE CASCADE);
    CREATE TABLE audits (id int PRIMARY KEY,
        user_id int NOT NULL REFERENCES users (id) ON DELETE CASCADE);
    INSERT INTO users VALUES (1, 'a@test.com'), (2, 'b@test.com'), (3, 'c@corp.com');
    INSERT INTO listings VALUES (1, 1), (2, 1), (3, 3);
    INSERT INTO parcels VALUES (1, 1), (1, 2), (3, 1);
    INSERT INTO stamps VALUES (1, 1, 1), (2, 1, 2), (3, 1, NULL), (4, NULL, 2), (5, 3, 1);
    INSERT INTO reviews VALUES (1, 1, 1), (2, 1, 3), (3, 3, 1), (4, NULL, 2), (5, 1, NULL),
        (6, 3, 3), (7, 2, 1);
    INSERT INTO audits VALUES (1, 1), (2, 1), (3, 3);
";

/// Resets, and tells in which way.
pub async fn way(world: &World, order: &Order) -> Strategy {
    let cleared = world.clear(order).await.unwrap();
    let request = Request {
        besides: Besides::default(),
        operation: OperationId::from(Uuid::now_v7()),
        mode: Mode::Execute,
        started: Timestamp::now(),
        deadline: order.deadline,
        start: order.start.clone(),
        expected: None,
        brake: Brake::default(),
        elsewhere: resetd::target::Elsewhere::default(),
    };
    let executed = world.target.execute(&cleared, &request, &|_| {}).await;
    executed.unwrap().strategy()
}

/// The way for few rows.
fn quick(kind: Kind) -> Strategy {
    match kind {
        Kind::Sqlite => Strategy::Script,
        Kind::Postgres => Strategy::Chain,
        Kind::MariaDb => Strategy::Lists,
    }
}

async fn one_statement(kind: Kind) {
    let world = World::make(kind, SHOP, POLICY).await;
    let told = "friends -3, items -3, orders -2, reviews -1 ~2, stock -3, users -1 ~1";
    let left = "friends 1, items 1, orders 1, reviews 2, stock 1, users 2";
    world.takes(world.user("a@test.com"), told, left).await;
    assert_eq!(way(&world, &world.user("b@test.com")).await, quick(kind));
    assert_eq!(world.left().await, "reviews 1, users 1");
}

/// The same with 120 more test users, each with a row of everything, and one
/// more review by who stays.
fn many_cascading() -> String {
    let mut sql = CASCADING.to_owned();
    for n in 100..220 {
        let more = format!(
            "INSERT INTO users VALUES ({n}, 'u{n}@test.com');
            INSERT INTO listings VALUES ({n}, {n});
            INSERT INTO parcels VALUES ({n}, 1);
            INSERT INTO stamps VALUES ({n}, {n}, 1);
            INSERT INTO reviews VALUES ({n}, {n}, {n}), (1{n}, 3, {n});
            INSERT INTO audits VALUES ({n}, {n});"
        );
        sql.push_str(&more);
    }
    sql
}

/// What goes of them.
const MANY_CASCADE: &str =
    "audits -122, listings -122, parcels -122, reviews -246, stamps -122, users -122";

/// Rows that the database deletes by itself are told as all others are, each
/// once, and what others have a share in.
async fn rows_that_cascade(kind: Kind) {
    let world = World::make(kind, CASCADING, POLICY).await;
    let told = "audits -2, listings -2, parcels -2, reviews -6, stamps -2, users -1";
    let left = "audits 1, listings 1, parcels 1, reviews 1, stamps 3, users 2";
    let changes = world.takes(world.user("a@test.com"), told, left).await;
    let shared = |changes: &Changes| {
        let shared = changes.shared.iter();
        let shared = shared.map(|shared| (shared.table.clone(), shared.rows));
        shared.collect::<Vec<_>>()
    };
    assert_eq!(shared(&changes), [("reviews".to_owned(), 3)]);
    let world = World::make(kind, &many_cascading(), POLICY).await;
    let left = "audits 1, listings 1, parcels 1, reviews 1, stamps 3, users 1";
    let order = world.test_users(false);
    let changes = world.takes(order, MANY_CASCADE, left).await;
    assert_eq!(shared(&changes), [("reviews".to_owned(), 122)]);
    let world = World::make(kind, CASCADING, POLICY).await;
    assert_eq!(way(&world, &world.user("a@test.com")).await, quick(kind));
}

/// No trigger sees the rows that a key of MariaDB's takes along: those that one
/// waits for are deleted by themselves.
async fn rows_that_cascade_unseen(kind: Kind) {
    let world = World::make(kind, &many_cascading(), POLICY).await;
    world.sql("CREATE TABLE gone (id int PRIMARY KEY)").await;
    let trigger = "CREATE TRIGGER gone AFTER DELETE ON audits FOR EACH ROW
        INSERT INTO gone VALUES (OLD.id)";
    world.sudo(trigger).await;
    let order = world.test_users(false);
    let done = world.reset(&order, Mode::Execute).await;
    assert_eq!(summary(&done.unwrap()), MANY_CASCADE);
    let gone = world.ask("SELECT CAST(count(*) AS CHAR) FROM gone");
    assert_eq!(gone.await, "122");
}

async fn one_statement_at_every_level(kind: Kind) {
    let policy = format!(
        "{POLICY}
[levels.user_data]
delete = [\"stock\"]

[levels.user_data.restore.users]
bio = \"new\"

[levels.user_sessions]
delete = [\"items\"]
"
    );
    let world = World::make(kind, SHOP, &policy).await;
    let at = |level| world.at(level, UserSelector::Id("1".to_owned()));
    let left = "friends 4, items 4, orders 3, reviews 3, stock 1, users 3";
    world
        .takes(at(Level::UserData), "stock -3, users *1", left)
        .await;
    let left = "friends 4, items 1, orders 3, reviews 3, stock 1, users 3";
    world.takes(at(Level::UserSessions), "items -3", left).await;
    let bios = world
        .ask("SELECT CAST(id AS TEXT), bio FROM users ORDER BY id")
        .await;
    assert_eq!(bios, "1|new 2|y 3|z");
    assert_eq!(way(&world, &at(Level::UserSessions)).await, quick(kind));
}

/// The tables that a connection keeps are empty for the next user, at whatever
/// level, also where a reset in between was refused, or the schema changed.
async fn one_text_after_another(kind: Kind) {
    let policy = format!("{POLICY}\n[levels.user_data]\ndelete = [\"stock\"]\n");
    let world = World::make(kind, SHOP, &policy).await;
    let at = |id: &str, level| world.at(level, UserSelector::Id(id.to_owned()));
    let (data, all) = (Level::UserData, Level::UserCascade);
    assert_eq!(way(&world, &at("1", data)).await, quick(kind));
    let left = "friends 4, items 4, orders 3, reviews 3, stock 1, users 3";
    assert_eq!(world.left().await, left);
    assert_eq!(way(&world, &at("3", all)).await, quick(kind));
    let left = "friends 3, items 4, orders 3, reviews 2, stock 1, users 2";
    assert_eq!(world.left().await, left);
    let mut few = at("2", all);
    few.max_rows = 2;
    let failure = world.fails(few).await;
    assert!(failure.to_string().contains("limit"), "{failure}");
    world.sql("ALTER TABLE users ADD more int").await;
    assert_eq!(way(&world, &at("2", all)).await, quick(kind));
    let left = "items 3, orders 2, reviews 1, users 1";
    assert_eq!(world.left().await, left);
}

/// What is looked at between two steps is done step by step.
async fn one_text_given_up(kind: Kind) {
    let trigger = match kind {
        Kind::MariaDb => "CREATE TRIGGER noted BEFORE DELETE ON stock FOR EACH ROW SET @noted = 1",
        _ => "CREATE TRIGGER noted BEFORE DELETE ON stock BEGIN SELECT 1; END",
    };
    let tree = "ALTER TABLE orders ADD parent int REFERENCES orders (id) ON DELETE CASCADE";
    for change in [trigger, tree] {
        let world = World::make(kind, &format!("{SHOP}{change}"), POLICY).await;
        let order = world.user("a@test.com");
        assert_eq!(way(&world, &order).await, Strategy::Sets, "{change}");
    }
}

/// What one statement cannot do is done step by step.
async fn step_by_step(kind: Kind) {
    let watched = "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RETURN OLD; END $$;
        CREATE TRIGGER noted BEFORE DELETE ON stock FOR EACH ROW EXECUTE FUNCTION noted()";
    let tree = "ALTER TABLE orders ADD parent int REFERENCES orders ON DELETE CASCADE";
    let default = "ALTER TABLE reviews ADD owner int DEFAULT 3
        REFERENCES users ON DELETE SET DEFAULT";
    for change in [watched, tree, default] {
        let world = World::make(kind, &format!("{SHOP};{change}"), POLICY).await;
        let order = world.user("a@test.com");
        assert_eq!(way(&world, &order).await, Strategy::Sets, "{change}");
    }
}

/// A rule that keeps rows, and a partition's own trigger, are noticed.
async fn given_up(kind: Kind) {
    let kept = "CREATE RULE kept AS ON DELETE TO stock DO INSTEAD NOTHING";
    let world = World::make(kind, &format!("{SHOP};{kept}"), POLICY).await;
    let failure = world.fails(world.user("a@test.com")).await;
    assert!(failure.to_string().contains("a rule keeps"), "{failure}");

    let parts = "CREATE TABLE logs (id int, user_id int REFERENCES users, PRIMARY KEY (id))
            PARTITION BY RANGE (id);
        CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (0) TO (9);
        INSERT INTO logs VALUES (1, 1), (2, 2);
        CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RETURN NULL; END $$;
        CREATE TRIGGER stay BEFORE DELETE ON logs_1 FOR EACH ROW EXECUTE FUNCTION stay()";
    let world = World::make(kind, &format!("{SHOP};{parts}"), POLICY).await;
    let failure = world.fails(world.user("a@test.com")).await;
    assert!(failure.to_string().contains("still there"), "{failure}");
    let world = World::make(kind, SHOP, POLICY).await;
    assert_eq!(
        summary(
            &world
                .reset(&world.user("c@test.com"), Mode::Execute)
                .await
                .unwrap()
        ),
        "friends -1, reviews -1, users -1"
    );
}

/// A crowd of whom two in five are test users, and a part of them admins.
const CROWD: &str = "
    CREATE TABLE users (id int PRIMARY KEY, email text UNIQUE, user_type text, bio text,
        invited_by int REFERENCES users ON DELETE SET NULL);
    CREATE TABLE orders (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users);
    CREATE TABLE items (order_id int REFERENCES orders, number int, note text,
        PRIMARY KEY (order_id, number));
    CREATE TABLE stock (order_id int, number int, at text,
        FOREIGN KEY (order_id, number) REFERENCES items);
    CREATE TABLE reviews (id int PRIMARY KEY, author int NOT NULL REFERENCES users,
        order_id int REFERENCES orders DEFERRABLE INITIALLY DEFERRED,
        seen_by int REFERENCES users ON DELETE SET NULL);
    INSERT INTO users SELECT n, 'u' || n || CASE WHEN n % 5 < 2 THEN '@test.com'
        ELSE '@live.org' END, CASE WHEN n % 20 = 0 THEN 'admin' END, 'x', NULLIF(n / 7, 0)
        FROM generate_series(1, 1000) AS n;
    INSERT INTO orders SELECT n, 1 + n % 1000 FROM generate_series(1, 3000) AS n;
    INSERT INTO items SELECT 1 + n % 3000, n / 3000, 'l' FROM generate_series(0, 8999) AS n;
    INSERT INTO stock SELECT order_id, number, 's' FROM items WHERE number < 2;
    INSERT INTO reviews SELECT n, 1 + n % 1000, 1 + (n * 7) % 3000, 1 + (n * 3) % 1000
        FROM generate_series(1, 4000) AS n;
";

const EXCLUSIVE: &str = "[bulk]\nexclusive = true\n";

fn crowd_policy(more: &str) -> String {
    let admins = "admins = { column = \"user_type\", values = [\"admin\"] }";
    format!("{POLICY}{admins}\n{more}")
}

/// The foreign keys of a database, as they are declared.
const KEYS: &str = "SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace
    ORDER BY 1, 2";

/// Few test users go in one statement, and a session's rows as well.
async fn few_of_many(kind: Kind) {
    let sql = format!("{CROWD}; UPDATE users SET email = 'u' || id || '@live.org' WHERE id > 200");
    let world = World::make(kind, &sql, &crowd_policy("")).await;
    let dry = world.reset(&world.test_users(false), Mode::DryRun).await;
    let twin = World::make(kind, &sql, &crowd_policy("")).await;
    assert_eq!(way(&twin, &twin.test_users(false)).await, Strategy::Chain);
    let dry = dry.unwrap();
    assert_eq!(dry.user_count, 70);
    assert_eq!(
        dry.warnings,
        ["passed over 10 users: admins, protected, or no test users"]
    );
    let done = world.reset(&world.test_users(false), Mode::Execute).await;
    assert_eq!(done.unwrap(), dry, "a dry run says what the run then does");
    assert_eq!(world.left().await, twin.left().await);
}

/// Where many go, several ways into a table read it once, and find what they
/// find one by one, as a dry run takes them where indexes serve them.
async fn ways_at_once(kind: Kind) {
    let indexed = "SET CONSTRAINTS ALL IMMEDIATE; CREATE INDEX ON users (invited_by);
        CREATE INDEX ON orders (user_id); CREATE INDEX ON stock (order_id, number);
        CREATE INDEX ON reviews (author); CREATE INDEX ON reviews (order_id);
        CREATE INDEX ON reviews (seen_by); ALTER TABLE reviews ALTER order_id SET NOT NULL";
    let world = World::make(kind, &format!("{CROWD};{indexed}"), &crowd_policy("")).await;
    let goes = "email LIKE '%@test.com' AND user_type IS DISTINCT FROM 'admin'";
    let theirs = format!("(SELECT id FROM users WHERE {goes})");
    let staying = format!(
        "SELECT count(*)::text FROM reviews AS r JOIN orders AS o ON o.id = r.order_id
        WHERE r.author NOT IN {theirs} AND o.user_id NOT IN {theirs}"
    );
    let staying = world.ask(&staying).await;
    let dry = world.reset(&world.test_users(false), Mode::DryRun).await;
    let done = world.reset(&world.test_users(false), Mode::Execute).await;
    assert_eq!(done.unwrap(), dry.unwrap());
    let left = world.ask("SELECT count(*)::text FROM reviews").await;
    assert_eq!(left, staying);
    assert_ne!(left, "0");
}

/// Two tables that nothing refers to, of which one tells of two users.
const NOTES: &str = "
    CREATE TABLE letters (id int PRIMARY KEY, order_id int NOT NULL REFERENCES orders,
        reader int NOT NULL REFERENCES users);
    CREATE TABLE notes (id int PRIMARY KEY, order_id int NOT NULL REFERENCES orders, word text);
    INSERT INTO letters SELECT n, 1 + n % 3000, 1 + (n * 7) % 1000
        FROM generate_series(1, 4000) AS n;
    INSERT INTO notes SELECT n, 1 + (n * 11) % 3000 FROM generate_series(1, 2000) AS n;
";

/// Rows that nothing else asks about are counted where they are; the same go,
/// and as many are shared, as where a trigger has all rows noted first.
async fn counted_where_they_are(kind: Kind) {
    let counted = World::make(kind, &format!("{CROWD};{NOTES}"), &crowd_policy("")).await;
    let trigger = "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RETURN OLD; END $$;
        CREATE TRIGGER nothing BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION nothing()";
    let sql = format!("{CROWD};{NOTES}");
    let noted = World::make(kind, &sql, &crowd_policy("")).await;
    noted.sql(trigger).await;
    let done = counted
        .reset(&counted.test_users(false), Mode::Execute)
        .await;
    let expected = noted.reset(&noted.test_users(false), Mode::Execute).await;
    let (done, expected) = (done.unwrap(), expected.unwrap());
    assert_eq!(done.tables, expected.tables);
    assert_eq!(done.shared, expected.shared);
    assert!(
        done.shared.iter().any(|shared| shared.table == "letters"),
        "{:?}",
        done.shared
    );
    for table in ["orders", "items", "stock", "reviews", "letters", "notes"] {
        let rows = to_text(&format!("SELECT * FROM {table} ORDER BY 1, 2"));
        assert_eq!(counted.ask(&rows).await, noted.ask(&rows).await, "{table}");
    }
}

/// A row that comes after its table was counted is counted as well: all of it
/// is tried again.
async fn counted_again(kind: Kind) {
    let world = World::make(kind, &format!("{CROWD};{NOTES}"), &crowd_policy("")).await;
    let order = world.test_users(false);
    let before = world.reset(&order, Mode::DryRun).await.unwrap();
    let deleted = |changes: &Changes, name: &str| {
        let mut tables = changes.tables.iter();
        tables.find(|counts| counts.table == name).unwrap().deleted
    };
    let place = |name: &str| before.tables.iter().position(|counts| counts.table == name);
    let (first, second) = match place("notes") < place("letters") {
        true => ("notes", "letters"),
        false => ("letters", "notes"),
    };
    let mut holder = world.connect().await;
    let theirs = "SELECT o.id FROM orders AS o JOIN users AS u ON u.id = o.user_id
        WHERE u.email LIKE '%@test.com' AND u.user_type IS DISTINCT FROM 'admin'";
    let hold = format!("BEGIN; SELECT id FROM {first} WHERE order_id IN ({theirs}) FOR UPDATE");
    holder.run(&hold).await.unwrap();
    let between = async {
        world.until_blocked().await;
        // Read by somebody who stays: the others are held.
        let insert = format!("INSERT INTO {second} SELECT 90000, id, 3 FROM ({theirs} LIMIT 1)");
        world.sql(&format!("{insert} AS their")).await;
        holder.run("ROLLBACK").await.unwrap();
        holder.close().await;
    };
    let (done, ()) = tokio::join!(world.reset(&order, Mode::Execute), between);
    let done = done.unwrap();
    assert_eq!(deleted(&done, first), deleted(&before, first));
    assert_eq!(deleted(&done, second), deleted(&before, second) + 1);
}

/// Many go while the keys that lead to them are gone; then those are there
/// again, and everything is as it is after the plain way.
async fn without_keys(kind: Kind) {
    let world = World::make(kind, CROWD, &crowd_policy(EXCLUSIVE)).await;
    let plain = World::make(kind, CROWD, &crowd_policy("")).await;
    let keys = world.ask(KEYS).await;
    let dry = world.reset(&world.test_users(false), Mode::DryRun).await;
    let expected = plain.reset(&plain.test_users(false), Mode::Execute).await;
    assert_eq!(dry.unwrap(), expected.unwrap());
    assert_eq!(world.ask(KEYS).await, keys, "a dry run changes no key");
    assert_eq!(
        way(&world, &world.test_users(false)).await,
        Strategy::Unlinked
    );
    assert_eq!(world.ask(KEYS).await, keys, "every key is there again");
    let rows = "SELECT id, email, bio, invited_by FROM users ORDER BY id";
    assert_eq!(
        world.ask(&to_text(rows)).await,
        plain.ask(&to_text(rows)).await
    );
    for table in ["orders", "items", "stock", "reviews"] {
        let rows = to_text(&format!("SELECT * FROM {table} ORDER BY 1, 2"));
        assert_eq!(world.ask(&rows).await, plain.ask(&rows).await, "{table}");
    }
}

fn to_text(rows: &str) -> String {
    format!("SELECT r::text FROM ({rows}) AS r")
}

/// What adding a key back would not restore stays where it is.
async fn keys_that_stay(kind: Kind) {
    let said = "COMMENT ON CONSTRAINT orders_user_id_fkey ON orders IS 'as it was';
        SET CONSTRAINTS ALL IMMEDIATE; CREATE INDEX ON reviews (author)";
    let world = World::make(kind, &format!("{CROWD};{said}"), &crowd_policy(EXCLUSIVE)).await;
    assert_eq!(
        way(&world, &world.test_users(false)).await,
        Strategy::Unlinked
    );
    let comment = "SELECT obj_description(oid, 'pg_constraint') FROM pg_constraint
        WHERE conname = 'orders_user_id_fkey'";
    assert_eq!(world.ask(comment).await, "as it was");
}

/// Whoever reads a table is not waited for: its keys stay, too.
async fn keys_that_others_hold(kind: Kind) {
    let world = World::make(kind, CROWD, &crowd_policy(EXCLUSIVE)).await;
    let mut reader = world.connect().await;
    reader
        .run("BEGIN; SELECT count(*) FROM items")
        .await
        .unwrap();
    assert_eq!(way(&world, &world.test_users(false)).await, Strategy::Sets);
    reader.run("ROLLBACK").await.unwrap();
}

/// Who may switch the checks off has them made once, and the same rows go.
async fn switched_off(kind: Kind) {
    let plain = World::make(kind, CROWD, &crowd_policy("")).await;
    let expected = plain.reset(&plain.test_users(true), Mode::Execute).await;
    let world = World::make(kind, CROWD, &crowd_policy("")).await;
    let role = format!("{}_switch", world.name);
    world
        .sudo(&format!(
            "CREATE ROLE {role} LOGIN IN ROLE {OWNER};
             GRANT SET ON PARAMETER session_replication_role TO {role}"
        ))
        .await;
    let world = world.reached_by(&crowd_policy(""), &role);
    let dry = world.reset(&world.test_users(true), Mode::DryRun).await;
    assert_eq!(dry.unwrap(), expected.unwrap());
    let way = way(&world, &world.test_users(true)).await;
    assert_eq!(way, Strategy::Unchecked);
    assert_eq!(world.left().await, plain.left().await);
}
