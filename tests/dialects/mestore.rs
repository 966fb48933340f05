//! MeStore on every database: the same rows, the same resets, the same
//! counts.

use std::collections::{BTreeMap, BTreeSet};

use resetd::{
    guard::UserRule,
    operation::{Changes, Level, Mode, UserSelector},
    plan::Scope,
    schema::graph,
    target::Start,
};

use crate::{
    cases,
    connection::Connection,
    order::Order,
    world::{Kind, World, same, summary},
};

cases! {
    POSTGRES: all_test_users_as_on_sqlite, everything_as_on_sqlite, sessions_as_on_sqlite;
}

const SQLITE: &str = include_str!("../../deploy/systems/mestore/schema.sqlite.sql");
const SEED: &str = include_str!("../../deploy/systems/mestore/seed.sqlite.sql");
const POSTGRES: &str = include_str!("../../deploy/systems/mestore/schema.postgres.sql");
pub const POLICY: &str = include_str!("../../deploy/systems/mestore/policy.toml");

/// The seed on both databases: on PostgreSQL row by row as SQLite has it, as
/// literals that take the type of their column.
pub async fn both() -> (World, World) {
    let sqlite = World::bare(Kind::Sqlite, POLICY).await;
    sqlite.target.load(&[SQLITE, SEED]).await.unwrap();
    sqlite.arm().await;
    let postgres = World::bare(Kind::Postgres, POLICY).await;
    postgres.sql(POSTGRES).await;
    let model = sqlite.target.model().await.unwrap();
    let schema = model.schema();
    let edges: Vec<_> = schema
        .foreign_keys()
        .map(|(_, key)| (key.parent, key.child))
        .collect();
    let tables: BTreeSet<_> = schema.tables().map(|(id, _)| id).collect();
    let (mut from, mut to) = (sqlite.connect().await, postgres.connect().await);
    to.run("DELETE FROM alembic_version").await.unwrap();
    for id in graph::groups(&tables, &edges).concat() {
        copy(&mut from, &mut to, schema.table(id)).await;
    }
    to.run(
        "DO $$ DECLARE own record; BEGIN FOR own IN SELECT d.refobjid::regclass AS place, \
         d.objid::regclass AS sequence FROM pg_depend AS d JOIN pg_class AS s ON s.oid = d.objid \
         WHERE s.relkind = 'S' AND d.deptype = 'a' LOOP EXECUTE format( \
         'SELECT setval(%L, max(id)) FROM %s', own.sequence, own.place); END LOOP; END $$",
    )
    .await
    .unwrap();
    from.close().await;
    to.close().await;
    postgres.arm().await;
    (sqlite, postgres)
}

async fn copy(from: &mut Connection, to: &mut Connection, table: &resetd::schema::Table) {
    let name = format!("\"{}\"", table.name.name);
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| format!("\"{}\"", column.name))
        .collect();
    let quoted: Vec<String> = columns
        .iter()
        .map(|column| format!("quote({column})"))
        .collect();
    let sql = format!("SELECT {} FROM {name} ORDER BY rowid", quoted.join(", "));
    let literal = |text: &String| match text.as_str() {
        "NULL" => text.clone(),
        quoted if quoted.starts_with('\'') => text.clone(),
        number => format!("'{number}'"),
    };
    let rows: Vec<String> = from
        .rows(&sql)
        .await
        .unwrap()
        .iter()
        .map(|row| {
            format!(
                "({})",
                row.iter().map(literal).collect::<Vec<_>>().join(", ")
            )
        })
        .collect();
    for rows in rows.chunks(500) {
        let sql = format!(
            "INSERT INTO {name} ({}) VALUES {}",
            columns.join(", "),
            rows.join(", ")
        );
        to.run(&sql).await.unwrap();
    }
}

fn order(world: &World, level: Level, email: &str) -> Order {
    let mut order = world.at(level, UserSelector::Email(email.to_owned()));
    order.scope = Scope::User(level);
    if let Start::User { rule, .. } = &mut order.start {
        *rule = UserRule {
            domains: world.domains(),
            protected: Vec::new(),
            own: None,
            force: false,
        };
    }
    order
}

/// The counts of a dry run, which the run then confirms.
async fn dry_and_real(world: &World, order: &Order) -> Changes {
    let dry = world.reset(order, Mode::DryRun).await;
    let real = world.reset(order, Mode::Execute).await;
    let (dry, real) = (
        dry.unwrap_or_else(|f| panic!("{f}")),
        real.unwrap_or_else(|f| panic!("{f}")),
    );
    assert_eq!(dry, real, "a dry run says what the run then does");
    real
}

async fn all_test_users_as_on_sqlite(_: Kind) {
    let (sqlite, postgres) = both().await;
    assert_eq!(
        sqlite.left().await,
        postgres.left().await,
        "the rows came over"
    );
    let emails = sqlite
        .ask("SELECT email FROM users WHERE rowid <= 100 ORDER BY rowid % 10, rowid")
        .await;
    let emails: Vec<&str> = emails.split(' ').collect();
    assert_eq!(emails.len(), 100);
    for level in Level::ALL {
        for (number, email) in emails.iter().enumerate() {
            let watched = level == Level::UserCascade && number % 10 == 0;
            let before = if watched {
                postgres.dump().await
            } else {
                BTreeMap::new()
            };
            let on_sqlite = sqlite
                .reset(&order(&sqlite, level, email), Mode::Execute)
                .await;
            let on_sqlite = on_sqlite.unwrap_or_else(|failure| panic!("{failure}"));
            let on_postgres = dry_and_real(&postgres, &order(&postgres, level, email)).await;
            assert_eq!(
                summary(&on_sqlite),
                summary(&on_postgres),
                "{level} of {email}"
            );
            let (mut here, mut there) = (on_sqlite.shared, on_postgres.shared.clone());
            here.sort_by(|a, b| a.table.cmp(&b.table));
            there.sort_by(|a, b| a.table.cmp(&b.table));
            assert_eq!(here, there, "{level} of {email}");
            if watched {
                only_told_rows_changed(&before, &postgres.dump().await, &on_postgres);
            }
        }
    }
    assert_eq!(sqlite.left().await, postgres.left().await, "what is left");
    no_one_is_named(&postgres).await;
}

/// As many rows went or changed in each table as were told, and every
/// untold row is what it was.
fn only_told_rows_changed(
    before: &BTreeMap<String, Vec<String>>,
    after: &BTreeMap<String, Vec<String>>,
    changes: &Changes,
) {
    for (table, rows) in before
        .iter()
        .filter(|(table, _)| !table.starts_with("sequence"))
    {
        let told = changes.tables.iter().find(|counts| counts.table == *table);
        let (deleted, changed) =
            told.map_or((0, 0), |told| (told.deleted, told.restored + told.detached));
        let then: BTreeSet<&String> = rows.iter().collect();
        let now: BTreeSet<&String> = after[table].iter().collect();
        let (gone, new) = (then.difference(&now).count(), now.difference(&then).count());
        assert_eq!(
            (gone as u64, new as u64),
            (deleted + changed, changed),
            "{table}"
        );
    }
}

/// No test user is left, by id or by e-mail, where a reference could name one.
async fn no_one_is_named(world: &World) {
    let question =
        "SELECT count(*)::text FROM users WHERE id < '00000001-0000-4000-8000-000000000065' \
        UNION ALL SELECT count(*)::text FROM admin_activity_logs \
        WHERE admin_email NOT IN (SELECT email FROM users)
        OR target_id LIKE '00000001-%' AND target_id NOT IN (SELECT id FROM users)";
    assert_eq!(world.ask(question).await, "0 0");
}

async fn everything_as_on_sqlite(_: Kind) {
    let (sqlite, postgres) = both().await;
    let mut told = Vec::new();
    for world in [&sqlite, &postgres] {
        let before = world.dump().await;
        let bulk = world.test_users(false);
        world.reset(&bulk, Mode::DryRun).await.unwrap();
        same(&before, &world.dump().await, "a dry run changed");
        let bulk = dry_and_real(world, &bulk).await;
        let everything = dry_and_real(world, &world.everything()).await;
        let users = format!(
            "{} {:?} {:?}",
            bulk.user_count, bulk.warnings, everything.warnings
        );
        told.push((
            summary(&bulk),
            summary(&everything),
            users,
            world.left().await,
        ));
    }
    assert_eq!(told[0], told[1]);
    assert!(told[0].3.contains("users 20"), "{}", told[0].3);
}

async fn sessions_as_on_sqlite(_: Kind) {
    let (sqlite, postgres) = both().await;
    for session in [
        Some("test_session_1640995200_abc12345"),
        Some("test_session_1754316000_5f3a9c01"),
        Some("nobody's"),
        None,
    ] {
        let here = dry_and_real(&sqlite, &sqlite.marked(session)).await;
        let there = dry_and_real(&postgres, &postgres.marked(session)).await;
        assert_eq!(summary(&here), summary(&there), "{session:?}");
        assert_eq!(here.user_count, there.user_count, "{session:?}");
        assert_eq!(here.warnings, there.warnings, "{session:?}");
    }
    assert_eq!(sqlite.left().await, postgres.left().await, "what is left");
}
