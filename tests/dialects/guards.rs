//! What the guards saw, and whether it is still so: markers, schemas,
//! databases that take no writes, budgets.

use resetd::{guard::Reason, operation::Mode, target::Error};

use crate::{
    cases,
    obstacles::posts,
    world::{Failure, Kind, POLICY, World},
};

cases! {
    EVERYWHERE: marker_missing, marker_removed_meanwhile, marker_shadowed,
        schema_changed_meanwhile, budget_is_kept;
    POSTGRES: read_only, read_only_by_default, other_sessions_temporary_tables;
}

fn marker_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite | Kind::MariaDb => "resetd_marker",
        Kind::Postgres => "resetd.marker",
    }
}

async fn marker_missing(kind: Kind) {
    let world = World::bare(kind, POLICY).await;
    world.sql(&posts("")).await;
    let not_armed = |failure: &Failure| match failure {
        Failure::Refused(refused) => refused.0[0].reason == Reason::TargetNotArmed,
        _ => false,
    };
    let failure = world.fails(world.everything()).await;
    assert!(not_armed(&failure), "{failure}");
    world.arm().await;
    world.sql(&format!("DELETE FROM {}", marker_of(kind))).await;
    let failure = world.fails(world.everything()).await;
    assert!(not_armed(&failure), "{failure}");
}

async fn marker_removed_meanwhile(kind: Kind) {
    let world = World::make(kind, &posts(""), POLICY).await;
    let order = world.everything();
    let before = world.dump().await;
    for change in [
        format!(
            "UPDATE {} SET expires_at = '2020-01-01T00:00:00Z'",
            marker_of(kind)
        ),
        format!("DELETE FROM {}", marker_of(kind)),
    ] {
        world.arm().await;
        let cleared = world.clear(&order).await.unwrap();
        world.sql(&change).await;
        let failure = world
            .execute(&cleared, &order, Mode::Execute)
            .await
            .unwrap_err();
        assert!(
            matches!(failure, Failure::Target(Error::Changed(_))),
            "{failure}"
        );
    }
    crate::world::same(&before, &world.dump().await, "a failed reset changed");
}

/// A table of the marker's name in another place says nothing.
async fn marker_shadowed(kind: Kind) {
    let world = World::bare(kind, POLICY).await;
    let forged = "(id TEXT, environment TEXT, database_name TEXT, server_identity TEXT,
        armed_by TEXT, armed_at TEXT, expires_at TEXT, protected INTEGER)";
    world.sql(&posts("")).await;
    if kind == Kind::Postgres {
        world
            .sql(&format!(
                "CREATE TABLE marker {forged}; CREATE TABLE resetd_marker {forged};
            CREATE SCHEMA {0} CREATE TABLE marker {forged}; CREATE SCHEMA shop
            CREATE TABLE \"resetd.marker\" {forged}",
                crate::world::OWNER
            ))
            .await;
    }
    let real = World::make(
        kind,
        "",
        "[users]\ntable = 'users'\nemail = 'email'\ntest_domains = []",
    );
    let real = real.await;
    let columns = "id, environment, database_name, server_identity, armed_by, armed_at, expires_at";
    let row = real
        .ask(&format!("SELECT {columns} FROM {}", marker_of(kind)))
        .await;
    let row = row.replace(&real.name, &world.name).replace('|', "', '");
    for table in match kind {
        Kind::Sqlite | Kind::MariaDb => vec![],
        Kind::Postgres => vec!["marker", "resetd_marker", "resetd_app.marker"],
    } {
        world
            .sql(&format!("INSERT INTO {table} VALUES ('{row}', 0)"))
            .await;
    }
    let failure = world.fails(world.everything()).await;
    let Failure::Refused(refused) = &failure else {
        panic!("{failure}");
    };
    assert_eq!(refused.0[0].reason, Reason::TargetNotArmed, "{failure}");
}

async fn schema_changed_meanwhile(kind: Kind) {
    let world = World::make(kind, &posts(""), POLICY).await;
    let order = world.user("ann@test.com");
    for change in [
        "CREATE TABLE comments (id INTEGER PRIMARY KEY, post_id INTEGER REFERENCES posts (id))",
        "ALTER TABLE comments ADD COLUMN words TEXT",
        "DROP TABLE comments",
    ] {
        let cleared = world.clear(&order).await.unwrap();
        world.sql(change).await;
        let before = world.dump().await;
        let failure = world
            .execute(&cleared, &order, Mode::Execute)
            .await
            .unwrap_err();
        assert!(
            matches!(failure, Failure::Target(Error::Changed(_))),
            "{change}: {failure}"
        );
        crate::world::same(&before, &world.dump().await, "a failed reset changed");
    }
    world
        .takes(order, "posts -2, users -1", "posts 1, users 1")
        .await;
}

/// Applications make and drop temporary tables all the time.
async fn other_sessions_temporary_tables(kind: Kind) {
    let world = World::make(kind, &posts(""), POLICY).await;
    let order = world.user("ann@test.com");
    let cleared = world.clear(&order).await.unwrap();
    let mut other = world.connect().await;
    let sql = "CREATE TEMPORARY TABLE users (id INTEGER PRIMARY KEY, email TEXT UNIQUE);
        CREATE TEMPORARY TABLE t (id INTEGER REFERENCES users)";
    other.run(sql).await.unwrap();
    world
        .execute(&cleared, &order, Mode::Execute)
        .await
        .unwrap();
    assert_eq!(world.ask("SELECT count(*)::text FROM users").await, "1");
    other.close().await;
}

async fn budget_is_kept(kind: Kind) {
    let world = World::make(kind, &posts(""), POLICY).await;
    for (order, rows) in [(world.user("ann@test.com"), 3), (world.everything(), 5)] {
        let mut order = order;
        order.max_rows = rows - 1;
        let failure = world.fails(order.clone()).await;
        let words = format!("would change {rows} rows");
        assert!(failure.to_string().contains(&words), "{failure}");
        order.max_rows = rows;
        world.reset(&order, Mode::DryRun).await.unwrap();
    }
}

async fn read_only(kind: Kind) {
    let world = World::make(kind, &posts(""), POLICY).await;
    let name = world.name.clone();
    world
        .sql(&format!(
            "ALTER DATABASE {name} SET default_transaction_read_only = on"
        ))
        .await;
    world.target.close().await;
    let world = world.with_policy(POLICY);
    let failure = world.fails(world.user("ann@test.com")).await;
    let Failure::Refused(refused) = &failure else {
        panic!("{failure}");
    };
    assert_eq!(refused.0[0].reason, Reason::DatabaseReadOnly, "{failure}");
}

/// It becomes so between the check and the execution.
async fn read_only_by_default(kind: Kind) {
    let world = World::make(kind, &posts(""), POLICY).await;
    let order = world.user("ann@test.com");
    let cleared = world.clear(&order).await.unwrap();
    let name = world.name.clone();
    world
        .sql(&format!(
            "ALTER DATABASE {name} SET default_transaction_read_only = on"
        ))
        .await;
    let before = world.dump().await;
    world.target.close().await;
    let world = world.with_policy(POLICY);
    let failure = world
        .execute(&cleared, &order, Mode::Execute)
        .await
        .unwrap_err();
    let changed = matches!(
        failure,
        Failure::Target(Error::Changed(_) | Error::ReadOnly)
    );
    assert!(changed, "{failure}");
    crate::world::same(&before, &world.dump().await, "a failed reset changed");
}
