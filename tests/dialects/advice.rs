//! Which indexes are advised, and that they serve what a reset then asks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use jiff::Timestamp;
use resetd::{
    dialect::{
        Dialect, Missing, MySql, Need, Postgres, Remedy, Renderer, Seed, Sqlite, Statement, Sweep,
    },
    operation::{Mode, OperationId},
    plan::{self, Scope},
    target::{Brake, Elsewhere, Executed, Request, Start, Strategy},
};
use sqlx::{AssertSqlSafe, Executor as _, Row as _, SqlSafeStr as _};

use uuid::Uuid;

use crate::{
    cases,
    connection::Connection,
    order::Order,
    world::{Kind, POLICY, World},
};

cases! {
    EVERYWHERE: the_way_of_a_run_is_foreseen;
    NOT_MARIADB: every_index_serves, an_index_of_ones_own;
    POSTGRES: texts_that_are_no_json;
    MARIADB: no_index_on_an_expression;
}

const MARKED: &str = r#"
[cleanup]
marker = { key = "test_marker", value = "it's data" }
session = "test session"
roots = [ { table = "users", json = "meta.tests" }, { table = "items", any = [
    { json = "labels" }, { tags = ["tag1", "tag2", "tag3"] }] } ]
"#;

const TABLES: &str = "
    lite: CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL, meta JSON);
    lite: CREATE TABLE items (id INTEGER PRIMARY KEY, labels TEXT, tag1 TEXT, tag2 VARCHAR(99),
    lite:     tag3 JSON);
    pg: CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL, meta jsonb);
    pg: CREATE TABLE items (id INTEGER PRIMARY KEY, labels json, tag1 VARCHAR(99)[],
    pg:     tag2 VARCHAR(99), tag3 jsonb);
    maria: CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL, meta JSON);
    maria: CREATE TABLE items (id INTEGER PRIMARY KEY, labels JSON, tag1 TEXT,
    maria:     tag2 VARCHAR(99), tag3 JSON);
    CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL,
        FOREIGN KEY (user_id) REFERENCES users (id));";

fn rows() -> String {
    let mark = r#"{"test_marker": "it''s data", "test session": "one"}"#;
    let mut rows = String::from("INSERT INTO users VALUES (0, 'x@y.z', NULL)");
    for id in 1..4_000 {
        let _ = write!(rows, ", ({id}, 'u{id}@test.com', NULL)");
    }
    rows.push_str("; INSERT INTO items VALUES (0, NULL, NULL, NULL, NULL)");
    for id in 1..4_000 {
        let _ = write!(rows, ", ({id}, NULL, NULL, NULL, NULL)");
    }
    let _ = write!(
        rows,
        "; INSERT INTO orders SELECT id, id FROM users;
        UPDATE users SET meta = '{{\"tests\": {mark}}}' WHERE id = 7;
        UPDATE items SET labels = '{mark}' WHERE id = 8;
        UPDATE items SET tag2 = 'test_marker:it''s data' WHERE id = 9;"
    );
    rows
}

async fn make(kind: Kind) -> World {
    let sql = format!("{TABLES}\n{}", rows());
    World::make(kind, &sql, &format!("{POLICY}{MARKED}")).await
}

async fn missing(world: &World) -> Vec<Missing> {
    let model = world.target.model().await.unwrap();
    let mut missing = world.target.missing(&model).await.unwrap().to_vec();
    missing.sort_by(|a, b| a.subject.cmp(&b.subject));
    missing
}

fn subjects(missing: &[Missing]) -> Vec<&str> {
    missing
        .iter()
        .map(|missing| missing.subject.as_str())
        .collect()
}

fn statement(missing: &Missing) -> &str {
    match &missing.remedy {
        Remedy::Index(statement) => statement,
        Remedy::None(why) => panic!("{}: {why}", missing.subject),
    }
}

fn dialect(kind: Kind) -> &'static dyn Dialect {
    match kind {
        Kind::Sqlite => &Sqlite,
        Kind::Postgres => &Postgres,
        Kind::MariaDb => &MySql,
    }
}

/// How a database would carry out a statement.
async fn explain(connection: &mut Connection, statement: &Statement) -> String {
    let explained = |word: &str| AssertSqlSafe(format!("{word} {}", statement.sql)).into_sql_str();
    macro_rules! lines {
        ($connection:expr, $word:literal) => {{
            let mut query = sqlx::query(explained($word)).persistent(false);
            for parameter in &statement.parameters {
                query = query.bind(parameter);
            }
            let rows = $connection.fetch_all(query).await.unwrap();
            let lines = rows.iter().map(|row| row.get(row.len() - 1));
            lines.collect::<Vec<String>>()
        }};
    }
    let lines = match connection {
        Connection::Sqlite(connection) => lines!(connection, "EXPLAIN QUERY PLAN"),
        Connection::Postgres(connection) => lines!(connection, "EXPLAIN"),
        Connection::MariaDb(_) => panic!("nothing is advised there"),
    };
    lines.join("\n")
}

/// How the marked rows of each table would be found, by the statements of a
/// cleanup.
async fn searches(world: &World, session: Option<&str>) -> Vec<String> {
    let model = world.target.model().await.unwrap();
    let plan = plan::build(&model, Scope::Marked).unwrap();
    let sizes = vec![1; plan.sets().count()];
    let renderer = Renderer::new(dialect(world.kind), &plan, &sizes);
    let Start::Marked { eligible, .. } = world.marked(session).start else {
        panic!("an order for marked rows");
    };
    let seed = Seed::Marked {
        session,
        eligible: &eligible,
    };
    let mut connection = world.connect().await;
    connection.run("BEGIN").await.unwrap();
    let mut searches = Vec::new();
    for (set, _) in plan.sets().filter(|(_, set)| set.is_root) {
        connection.run(&renderer.create(set).sql).await.unwrap();
        let statement = renderer.seed(set, &seed).unwrap();
        searches.push(explain(&mut connection, &statement).await);
    }
    connection.close().await;
    searches
}

fn is_scan(search: &str) -> bool {
    search.contains("Seq Scan") || search.contains("SCAN ")
}

async fn every_index_serves(kind: Kind) {
    let world = make(kind).await;
    for session in [None, Some("one")] {
        let searches = searches(&world, session).await;
        assert_eq!(searches.len(), 2);
        assert!(
            searches.iter().all(|search| is_scan(search)),
            "{searches:?}"
        );
    }
    let before = missing(&world).await;
    let expected = [
        "items.labels.test_marker",
        "items.tag1",
        "items.tag2",
        "items.tag3",
        "orders.user_id -> users.id",
        "users.meta.tests.test_marker",
    ];
    assert_eq!(subjects(&before), expected);
    for advice in &before {
        world.sql(statement(advice)).await;
    }
    world.sql("ANALYZE").await;
    assert_eq!(missing(&world).await, []);
    for session in [None, Some("one")] {
        for search in searches(&world, session).await {
            assert!(!is_scan(&search), "{session:?}: {search}");
        }
    }
    let children = Statement::new(
        match kind {
            Kind::Postgres => "SELECT 1 FROM orders WHERE user_id = $1::int",
            Kind::Sqlite | Kind::MariaDb => "SELECT 1 FROM orders WHERE user_id = ?",
        },
        vec!["7".to_owned()],
    );
    let mut connection = world.connect().await;
    let search = explain(&mut connection, &children).await;
    connection.close().await;
    assert!(search.contains("orders_user_id_idx"), "{search}");
    let left = "items 3999, orders 3999, users 3999";
    let told = "items -1, orders -1, users -1";
    world.takes(world.marked(Some("one")), told, left).await;
    let left = "items 3998, orders 3999, users 3999";
    world.takes(world.marked(None), "items -1", left).await;
}

/// One that others made counts when it serves, and only then.
async fn an_index_of_ones_own(kind: Kind) {
    let world = make(kind).await;
    let (session, wrong) = match kind {
        Kind::Postgres => (
            "CREATE INDEX ours ON users ((meta #>> '{tests,test session}'))",
            "CREATE INDEX other ON users ((meta -> 'tests' ->> 'test_marker'))",
        ),
        Kind::Sqlite | Kind::MariaDb => (
            "CREATE INDEX ours ON users (CASE  WHEN json_valid( meta) THEN
             cast(JSON_EXTRACT(meta, '$.\"tests\".\"test session\"') AS TEXT) END)",
            "CREATE INDEX other ON users (meta)",
        ),
    };
    let of = async |world: &World| {
        let missing = missing(world).await;
        let mut of_users = missing
            .into_iter()
            .filter(|missing| missing.subject.starts_with("users"));
        of_users.next()
    };
    let neither = of(&world).await.unwrap();
    assert_eq!(neither.need, Need::Marker(Sweep::Any));
    world.sql(wrong).await;
    assert_eq!(of(&world).await.as_ref(), Some(&neither));
    world.sql(session).await;
    let of_all = of(&world).await.unwrap();
    assert_eq!(of_all.need, Need::Marker(Sweep::OfAll));
    assert!(!statement(&of_all).contains("test session"), "{of_all:?}");
    world.sql(statement(&of_all)).await;
    assert_eq!(of(&world).await, None);
    world.sql("DROP INDEX ours").await;
    assert_eq!(of(&world).await, None, "the marker's own serves both");
}

async fn texts_that_are_no_json(kind: Kind) {
    let world = make(kind).await;
    world
        .sql("ALTER TABLE users ALTER meta TYPE text USING meta::text")
        .await;
    let missing = missing(&world).await;
    let mut missing = missing.iter();
    let users = missing.find(|missing| missing.subject.starts_with("users"));
    let Remedy::None(why) = &users.unwrap().remedy else {
        panic!("{users:?}");
    };
    assert!(why.contains("jsonb"), "{why}");
}

/// There a key always has an index.
async fn no_index_on_an_expression(kind: Kind) {
    let world = make(kind).await;
    let missing = missing(&world).await;
    assert_eq!(missing.len(), 5, "{:?}", subjects(&missing));
    for missing in missing {
        assert_eq!(missing.need, Need::Marker(Sweep::Any));
        assert!(matches!(missing.remedy, Remedy::None(_)), "{missing:?}");
    }
}

fn request(order: &Order, mode: Mode) -> Request {
    Request {
        besides: order.besides.clone(),
        operation: OperationId::from(Uuid::now_v7()),
        mode,
        started: Timestamp::now(),
        deadline: order.deadline,
        start: order.start.clone(),
        expected: None,
        brake: Brake::default(),
        elsewhere: Elsewhere::default(),
    }
}

async fn execute(world: &World, order: &Order, mode: Mode) -> Executed {
    let cleared = world.clear(order).await.unwrap();
    let request = request(order, mode);
    let executed = world.target.execute(&cleared, &request, &|_| {}).await;
    executed.unwrap()
}

/// The way that a run would take, by its dry run, and the one that it takes.
async fn the_way_of_a_run_is_foreseen(kind: Kind) {
    for more in ["", "[bulk]\nexclusive = true"] {
        let sql = format!("{TABLES}\n{}", rows());
        let world = World::make(kind, &sql, &format!("{POLICY}{MARKED}{more}")).await;
        let orders = [
            world.id("7"),
            world.marked(Some("one")),
            world.marked(None),
            world.test_users(false),
        ];
        for order in orders {
            let rehearsed = execute(&world, &order, Mode::DryRun).await;
            let model = world.target.model().await.unwrap();
            let tables: BTreeSet<_> = model.schema().tables().map(|(id, _)| id).collect();
            let rows: BTreeMap<_, _> = world.target.count(&model, &tables).await.unwrap();
            let plan = plan::build(&model, order.scope.clone()).unwrap();
            let earnest = request(&order, Mode::Execute);
            let way = world.target.way(&plan, &earnest, &rehearsed, &rows);
            let done = execute(&world, &order, Mode::Execute).await;
            let name = match done.strategy() {
                Strategy::Chain => "one statement",
                Strategy::Script => "one text",
                Strategy::Lists => "lists of keys",
                Strategy::Sets => "step by step",
                Strategy::Unlinked => "step by step, without foreign keys",
                Strategy::Unchecked => "step by step, unchecked and verified",
            };
            assert_eq!(way.name, name, "{:?} {more}", order.scope);
            assert!(way.predicted.unwrap() < Duration::from_secs(1), "{way:?}");
            if kind == Kind::Sqlite {
                // What refers to a user is gone before, and read no more.
                assert!(
                    way.predicted.unwrap() < Duration::from_millis(50),
                    "{way:?}"
                );
            }
        }
    }
}
