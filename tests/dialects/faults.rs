//! Others in the way: locks, deadlocks, deadlines, connections that die.

use std::time::{Duration, Instant};

use resetd::{
    operation::Mode,
    target::{Error, LOCK_TIMEOUT},
};

use crate::{
    cases,
    cycles::USERS,
    order::Order,
    world::{Failure, Kind, POLICY, World, same, summary},
};

cases! {
    EVERYWHERE: lock_of_an_application, lock_and_a_deadline, deadline_during_a_statement,
        deadline_that_has_passed;
    SERVERS: deadlock_is_tried_again, backend_killed_by_a_trigger, backend_killed_from_outside,
        connections_that_died_meanwhile,
        user_who_changes_meanwhile, user_who_comes_meanwhile, operations_take_turns;
    POSTGRES: serialization_failure_is_tried_again, backend_killed_at_the_last_check;
}

async fn make(kind: Kind, more: &str) -> World {
    let sql = format!(
        "{USERS}
        CREATE TABLE posts (id INTEGER PRIMARY KEY,
            user_id INTEGER NOT NULL REFERENCES users (id), words TEXT);
        INSERT INTO posts VALUES (1, 1, ''), (2, 1, ''), (3, 2, '');
        {more}"
    );
    World::make(kind, &sql, POLICY).await
}

fn lock(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite => "BEGIN IMMEDIATE",
        Kind::Postgres => "BEGIN; LOCK TABLE posts IN ACCESS EXCLUSIVE MODE",
        Kind::MariaDb => "BEGIN; SELECT id FROM posts FOR UPDATE",
    }
}

/// Fails while `lock` is held, and changes nothing; tells how long it took.
async fn fails_beside(world: &World, lock: &str, order: &Order) -> (Failure, Duration) {
    let before = world.dump().await;
    let mut other = world.connect().await;
    other.run(lock).await.unwrap();
    let begun = Instant::now();
    let failure = world.reset(order, Mode::Execute).await.unwrap_err();
    let took = begun.elapsed();
    other.run("ROLLBACK").await.unwrap();
    other.close().await;
    same(&before, &world.dump().await, "a failed reset changed");
    (failure, took)
}

async fn lock_of_an_application(kind: Kind) {
    let world = make(kind, "").await;
    let order = world.user("ann@test.com");
    let (failure, took) = fails_beside(&world, lock(kind), &order).await;
    assert!(matches!(failure, Failure::Target(Error::Busy)), "{failure}");
    let expected = LOCK_TIMEOUT - Duration::from_millis(100)..LOCK_TIMEOUT * 2;
    assert!(expected.contains(&took), "{took:?}");
    world
        .takes(order, "posts -2, users -1", "posts 1, users 1")
        .await;
}

async fn lock_and_a_deadline(kind: Kind) {
    let world = make(kind, "").await;
    // The first connections are not what the deadline is about.
    world.clear(&world.everything()).await.unwrap();
    let order = world.user("ann@test.com").within(Duration::from_secs(1));
    let (failure, took) = fails_beside(&world, lock(kind), &order).await;
    let in_time = matches!(failure, Failure::Target(Error::DeadlineExceeded { .. }));
    assert!(in_time, "{failure:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    let order = world.user("ann@test.com");
    world
        .takes(order, "posts -2, users -1", "posts 1, users 1")
        .await;
}

async fn deadline_during_a_statement(kind: Kind) {
    let slow = "lite: CREATE TRIGGER slow BEFORE DELETE ON posts BEGIN SELECT (WITH RECURSIVE
        lite: n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)
        lite: SELECT count(*) FROM n); END;
        pg: CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
        pg: $$ BEGIN PERFORM pg_sleep(50); RETURN OLD; END $$;
        pg: CREATE TRIGGER slow BEFORE DELETE ON posts FOR EACH ROW EXECUTE FUNCTION slow();
        maria: CREATE TRIGGER slow BEFORE DELETE ON posts FOR EACH ROW DO SLEEP(50);";
    let world = make(kind, slow).await;
    world.clear(&world.everything()).await.unwrap();
    for order in [world.user("ann@test.com"), world.everything()] {
        let begun = Instant::now();
        let failure = world.fails(order.within(Duration::from_secs(1))).await;
        let in_time = matches!(failure, Failure::Target(Error::DeadlineExceeded { .. }));
        assert!(in_time, "{failure:?}");
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?}",
            begun.elapsed()
        );
    }
    world
        .sql("lite: DROP TRIGGER slow\nmaria: DROP TRIGGER slow\npg: DROP TRIGGER slow ON posts")
        .await;
    let order = world.user("ann@test.com");
    world
        .takes(order, "posts -2, users -1", "posts 1, users 1")
        .await;
}

async fn deadline_that_has_passed(kind: Kind) {
    let world = make(kind, "").await;
    let order = world.user("ann@test.com").within(Duration::ZERO);
    let failure = world.fails(order).await;
    let in_time = matches!(failure, Failure::Target(Error::DeadlineExceeded { .. }));
    assert!(in_time, "{failure:?}");
}

/// Counts the attempts; a sequence is not rolled back.
const ATTEMPTS: &str = "CREATE SEQUENCE attempts;
    CREATE FUNCTION count_attempt() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM nextval('attempts'); RETURN NULL; END $$;
    CREATE TRIGGER count_attempt BEFORE DELETE ON posts FOR EACH STATEMENT
        EXECUTE FUNCTION count_attempt();";

/// The application holds a post and then wants its user; the reset holds the
/// user and wants the post. The application is not the one that has to yield:
/// on PostgreSQL it is the more patient of the two, on MariaDB it has done
/// more.
async fn deadlock_is_tried_again(kind: Kind) {
    let ballast = "CREATE TABLE ballast (id INTEGER PRIMARY KEY);";
    let world = match kind {
        Kind::Postgres => make(kind, ATTEMPTS).await,
        Kind::Sqlite | Kind::MariaDb => make(kind, ballast).await,
    };
    let mut application = world.superuser().await;
    if kind == Kind::Postgres {
        let impatient = format!(
            "ALTER DATABASE {} SET deadlock_timeout = '1s'; SET deadlock_timeout = '60s'; BEGIN",
            world.name
        );
        for statement in impatient.split("; ") {
            application.run(statement).await.unwrap();
        }
    } else {
        let rows: Vec<String> = (1..300).map(|id| format!("({id})")).collect();
        let much = format!("BEGIN; INSERT INTO ballast VALUES {}", rows.join(", "));
        application.run(&much).await.unwrap();
    }
    application
        .run("UPDATE posts SET words = 'x' WHERE id = 1")
        .await
        .unwrap();
    let order = world.user("ann@test.com");
    let (done, ()) = tokio::join!(world.reset(&order, Mode::Execute), async {
        world.until_blocked().await;
        application
            .run("UPDATE users SET email = email WHERE id = 1")
            .await
            .unwrap();
        application.run("ROLLBACK").await.unwrap();
    });
    assert_eq!(summary(&done.unwrap()), "posts -2, users -1");
    assert_eq!(world.left().await, "posts 1, users 1");
    if kind == Kind::Postgres {
        let attempts = world.ask("SELECT last_value::text FROM attempts").await;
        assert_eq!(attempts, "2");
    }
    application.close().await;
}

async fn serialization_failure_is_tried_again(kind: Kind) {
    let world = make(kind, ATTEMPTS).await;
    let name = world.name.clone();
    let sql = format!("ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'");
    world.sql(&sql).await;
    let mut application = world.connect().await;
    application
        .run("BEGIN; UPDATE posts SET words = 'x' WHERE id = 1")
        .await
        .unwrap();
    world.target.close().await;
    let world = world.with_policy(POLICY);
    let order = world.user("ann@test.com");
    let (done, ()) = tokio::join!(world.reset(&order, Mode::Execute), async {
        world.until_blocked().await;
        application.run("COMMIT").await.unwrap();
    });
    assert_eq!(summary(&done.unwrap()), "posts -2, users -1");
    assert_eq!(world.left().await, "posts 1, users 1");
    assert_eq!(
        world.ask("SELECT last_value::text FROM attempts").await,
        "2"
    );
    application.close().await;
}

/// A function that kills the backend that calls it.
pub const KILL: &str = "CREATE FUNCTION kill() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN OLD; END $$;";

/// Has the deletion of a user kill the connection that deletes.
pub async fn kill_whoever_deletes(world: &World) {
    let trigger = "CREATE TRIGGER deadly BEFORE DELETE ON users FOR EACH ROW";
    let sql = match world.kind {
        Kind::MariaDb => format!("{trigger} KILL CONNECTION_ID()"),
        Kind::Postgres | Kind::Sqlite => format!("{KILL}{trigger} EXECUTE FUNCTION kill()"),
    };
    world.sudo(&sql).await;
}

async fn backend_killed_by_a_trigger(kind: Kind) {
    let world = make(kind, "").await;
    kill_whoever_deletes(&world).await;
    for order in [world.user("ann@test.com"), world.test_users(false)] {
        let failure = world.fails(order).await;
        assert!(
            matches!(failure, Failure::Target(Error::Unavailable(_))),
            "{failure:?}"
        );
    }
    let harmless = match kind {
        Kind::MariaDb => "DROP TRIGGER deadly",
        Kind::Postgres | Kind::Sqlite => "DROP TRIGGER deadly ON users",
    };
    world.sudo(harmless).await;
    let order = world.user("ann@test.com");
    world
        .takes(order, "posts -2, users -1", "posts 1, users 1")
        .await;
}

async fn backend_killed_at_the_last_check(kind: Kind) {
    let world = make(kind, "").await;
    let trigger = "CREATE CONSTRAINT TRIGGER kill AFTER DELETE ON posts DEFERRABLE
        INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION kill()";
    world.sudo(&format!("{KILL}{trigger}")).await;
    let failure = world.fails(world.user("ann@test.com")).await;
    assert!(
        matches!(failure, Failure::Target(Error::Unavailable(_))),
        "{failure:?}"
    );
}

async fn backend_killed_from_outside(kind: Kind) {
    let world = make(kind, "").await;
    let before = world.dump().await;
    let mut application = world.superuser().await;
    application
        .run("BEGIN; UPDATE posts SET words = words WHERE id = 2")
        .await
        .unwrap();
    let order = world.user("ann@test.com");
    let (done, ()) = tokio::join!(world.reset(&order, Mode::Execute), async {
        world.until_blocked().await;
        let kill = match kind {
            Kind::MariaDb => format!(
                "SELECT CONCAT('KILL ', p.ID) FROM information_schema.PROCESSLIST AS p \
                 JOIN information_schema.INNODB_TRX AS x ON x.trx_mysql_thread_id = p.ID \
                 WHERE p.DB = '{}' AND x.trx_state = 'LOCK WAIT'",
                world.name
            ),
            Kind::Postgres | Kind::Sqlite => format!(
                "SELECT 'SELECT pg_terminate_backend(' || pid || ')' FROM pg_stat_activity \
                 WHERE datname = '{}' AND application_name = 'resetd' AND wait_event_type = 'Lock'",
                world.name
            ),
        };
        // MariaDB keeps its list of transactions for a tenth of a second.
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let kill = loop {
            let found = application.rows(&kill).await.unwrap();
            if let Some(row) = found.into_iter().next() {
                break row[0].clone();
            }
            ticks.tick().await;
        };
        application.run(&kill).await.unwrap();
        application.run("ROLLBACK").await.unwrap();
    });
    let failure = done.unwrap_err();
    assert!(
        matches!(failure, Failure::Target(Error::Unavailable(_))),
        "{failure:?}"
    );
    same(&before, &world.dump().await, "a killed reset changed");
    world
        .takes(order, "posts -2, users -1", "posts 1, users 1")
        .await;
    application.close().await;
}

/// Several connections have answered a moment ago, and all of them are dead.
async fn connections_that_died_meanwhile(kind: Kind) {
    let world = make(kind, "").await;
    let order = world.user("ann@test.com");
    let rehearsal = || world.reset(&order, Mode::DryRun);
    let done = tokio::join!(rehearsal(), rehearsal(), rehearsal(), rehearsal());
    for done in [done.0, done.1, done.2, done.3] {
        assert_eq!(summary(&done.unwrap()), "posts -2, users -1");
    }
    // On MariaDB a rehearsal gives its connection up.
    let cleared = || world.clear(&order);
    let done = tokio::join!(cleared(), cleared(), cleared(), cleared());
    done.0.and(done.1).and(done.2).and(done.3).unwrap();
    let kill = match kind {
        Kind::MariaDb => format!(
            "SELECT CONCAT('KILL ', ID) FROM information_schema.PROCESSLIST \
             WHERE DB = '{}' AND ID <> CONNECTION_ID()",
            world.name
        ),
        Kind::Postgres | Kind::Sqlite => format!(
            "SELECT 'SELECT pg_terminate_backend(' || pid || ', 5000)' FROM pg_stat_activity \
             WHERE datname = '{}' AND application_name = 'resetd'",
            world.name
        ),
    };
    let mut superuser = world.superuser().await;
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    let mut killed = 0;
    // Who is killed is gone a moment later.
    loop {
        let found = superuser.rows(&kill).await.unwrap();
        if found.is_empty() {
            break;
        }
        killed += found.len();
        for row in found {
            // Some are gone by themselves in between.
            drop(superuser.run(&row[0]).await);
        }
        ticks.tick().await;
    }
    assert!(killed >= 2, "{killed}");
    superuser.close().await;
    world
        .takes(order, "posts -2, users -1", "posts 1, users 1")
        .await;
}

/// Who is no test user any more when the rows are locked stays.
async fn user_who_changes_meanwhile(kind: Kind) {
    let world = make(kind, "").await;
    let mut application = world.connect().await;
    let change = "BEGIN; UPDATE users SET email = 'bob@corporation.com' WHERE id = 2";
    application.run(change).await.unwrap();
    let order = world.test_users(false);
    let (done, ()) = tokio::join!(world.reset(&order, Mode::Execute), async {
        world.until_blocked().await;
        application.run("COMMIT").await.unwrap();
    });
    let changes = done.unwrap();
    assert_eq!(
        (summary(&changes).as_str(), changes.user_count),
        ("posts -2, users -1", 1)
    );
    assert_eq!(world.left().await, "posts 1, users 1");
    application.close().await;
}

/// A row that comes after the rows were found is nobody's business, unless it
/// refers to one that goes: then nothing goes.
async fn user_who_comes_meanwhile(kind: Kind) {
    let world = make(kind, "").await;
    let mut application = world.connect().await;
    let insert = "BEGIN; INSERT INTO users VALUES (3, 'eve@test.com');
        INSERT INTO posts VALUES (9, 1, '')";
    application.run(insert).await.unwrap();
    let order = world.user("ann@test.com");
    let (done, ()) = tokio::join!(world.reset(&order, Mode::Execute), async {
        world.until_blocked().await;
        application.run("COMMIT").await.unwrap();
    });
    assert_eq!(summary(&done.unwrap()), "posts -3, users -1");
    assert_eq!(world.left().await, "posts 1, users 2");
    application.close().await;
}

/// Whatever is wide waits for whatever is narrow, and the other way round.
async fn operations_take_turns(kind: Kind) {
    let (narrow, wide) = match kind {
        Kind::MariaDb => (
            "SELECT id FROM resetd_lock LOCK IN SHARE MODE",
            "SELECT id FROM resetd_lock FOR UPDATE",
        ),
        Kind::Postgres | Kind::Sqlite => (
            "SELECT pg_advisory_xact_lock_shared(7305801383)",
            "SELECT pg_advisory_xact_lock(7305801383)",
        ),
    };
    let world = make(kind, "").await;
    let mut other = world.superuser().await;
    other.run(&format!("BEGIN; {narrow}")).await.unwrap();
    let one = world.user("ann@test.com");
    world.reset(&one, Mode::DryRun).await.unwrap();
    let all = world.everything();
    let (done, ()) = tokio::join!(world.reset(&all, Mode::DryRun), async {
        world.until_blocked().await;
        let instead = format!("ROLLBACK; BEGIN; {wide}");
        other.run(&instead).await.unwrap();
    });
    done.unwrap();
    let (done, ()) = tokio::join!(world.reset(&one, Mode::Execute), async {
        world.until_blocked().await;
        other.run("ROLLBACK").await.unwrap();
    });
    assert_eq!(summary(&done.unwrap()), "posts -2, users -1");
    other.close().await;
}
