//! Searchable on PostgreSQL, with the tables that its document assumes and
//! with those that it really has: what a clean-up promises.

use std::collections::BTreeSet;

use resetd::{
    access::Role,
    client::{Client, Error},
    proto::{
        CleanupRequest, CleanupResponse, CreateTestUserRequest, ListOperationsRequest,
        operation::State,
    },
};
use tonic::Code;

use crate::{
    cases,
    place::{Database, Kind, System},
    world::{Armed, Setup, World, counts, refusal},
};

cases! {
    POSTGRES: d01_the_session_is_optional, d02_one_session_or_all, d03_the_documents_reply,
        d04_marked_users, d05_marked_searchables, d06_marked_metrics, d07_what_belongs_to_users,
        d08_what_belongs_to_searchables, d09_what_belongs_to_invoices, d10_the_documents_queries,
        d11_all_or_nothing, d12_no_reference_is_left_without_its_row, d13_failures_in_detail,
        d14_who_cleaned_what, d15_sets_rather_than_rows, d16_nowhere_but_in_test_environments,
        d17_who_may, d19_the_tests_metadata, d21_only_what_is_marked_and_only_once;
}

/// As the document assumes it.
pub const DOCUMENTED: System = System {
    name: "searchable",
    variant: Some("documented"),
};

/// As it really is.
pub const REAL: System = System {
    name: "searchable",
    variant: None,
};

/// The session of the document's example, and another.
pub const SESSION: &str = "test_session_1640995200_abc12345";
const SECOND: &str = "test_session_1754316000_5f3a9c01";

/// What the document's reply looks like, with its own numbers.
const REPLY: &str = include_str!("golden/searchable-cleanup.json");

/// What the two shapes call the same things.
struct Names {
    searchable: &'static str,
    owner: &'static str,
    metric: &'static str,
    file: &'static str,
    invoices: &'static str,
    payments: &'static str,
    notes: &'static str,
    ratings: &'static str,
    withdrawals: &'static str,
    /// What belongs to a user and to nothing else.
    of_users: &'static [&'static str],
    /// Every reference: child, its column, and the parent's key.
    references: &'static [(&'static str, &'static str, &'static str)],
    /// Marked rows, as the document's queries find them.
    marked: [&'static str; 3],
}

const IN_THE_DOCUMENT: Names = Names {
    searchable: "id",
    owner: "user_id",
    metric: "id",
    file: "id",
    invoices: "invoices",
    payments: "payments",
    notes: "invoice_notes",
    ratings: "ratings",
    withdrawals: "withdrawals",
    of_users: &["user_profiles", "user_sessions", "user_balances"],
    references: &[
        ("searchables", "user_id", "users.id"),
        ("files", "searchable_id", "searchables.id"),
        ("media_uploads", "searchable_id", "searchables.id"),
        ("invoices", "searchable_id", "searchables.id"),
        ("invoices", "buyer_id", "users.id"),
        ("invoices", "seller_id", "users.id"),
        ("payments", "invoice_id", "invoices.id"),
        ("invoice_notes", "invoice_id", "invoices.id"),
        ("ratings", "searchable_id", "searchables.id"),
        ("withdrawals", "invoice_id", "invoices.id"),
    ],
    marked: [
        "users WHERE test_metadata->>'test_marker' = 'integration_test_data'",
        "searchables WHERE payloads->'public'->'test_metadata'->>'test_marker' = \
         'integration_test_data'",
        "metrics WHERE tags->>'test_marker' = 'integration_test_data' \
         OR metadata->>'test_marker' = 'integration_test_data'",
    ],
};

const IN_TRUTH: Names = Names {
    searchable: "searchable_id",
    owner: "terminal_id",
    metric: "event_id",
    file: "file_id",
    invoices: "invoice",
    payments: "payment",
    notes: "invoice_note",
    ratings: "rating",
    withdrawals: "withdrawal",
    of_users: &["user_profile", "feedback", "withdrawal", "purchases"],
    references: &[
        ("searchables", "terminal_id", "users.id"),
        ("terminal", "terminal_id", "users.id"),
        ("files", "owner_id", "users.id"),
        ("user_profile", "user_id", "users.id"),
        ("feedback", "user_id", "users.id"),
        ("purchases", "user_id", "users.id"),
        ("purchases", "file_id", "files.file_id"),
        ("invoice", "buyer_id", "users.id"),
        ("invoice", "seller_id", "users.id"),
        ("invoice", "searchable_id", "searchables.searchable_id"),
        ("payment", "invoice_id", "invoice.id"),
        ("invoice_note", "invoice_id", "invoice.id"),
        ("invoice_note", "user_id", "users.id"),
        ("rating", "invoice_id", "invoice.id"),
        ("rating", "user_id", "users.id"),
        ("withdrawal", "user_id", "users.id"),
        (
            "searchable_tags",
            "searchable_id",
            "searchables.searchable_id",
        ),
    ],
    marked: [
        "users WHERE test_metadata->>'test_marker' = 'integration_test_data'",
        "searchables WHERE searchable_data->'payloads'->'public'->'test_metadata'->>'test_marker' \
         = 'integration_test_data'",
        "metrics WHERE 'test_marker:integration_test_data' IN (tag1, tag2, tag3, tag4) \
         OR metadata->>'test_marker' = 'integration_test_data'",
    ],
};

/// Both shapes, each served.
async fn both() -> [(World, &'static Names); 2] {
    both_with(|_| {}, async |_| {}).await
}

async fn both_with(
    change: fn(&mut Setup),
    prepare: impl AsyncFn(&Database),
) -> [(World, &'static Names); 2] {
    let documented = served(DOCUMENTED, change, &prepare).await;
    let real = served(REAL, change, &prepare).await;
    [(documented, &IN_THE_DOCUMENT), (real, &IN_TRUTH)]
}

/// One of the shapes; the real one's files are below `uploads`.
pub async fn served(
    system: System,
    change: fn(&mut Setup),
    prepare: &impl AsyncFn(&Database),
) -> World {
    let own = |setup: &mut Setup| {
        setup.redis = None;
        if system.variant.is_none() {
            setup.roots = vec!["uploads"];
        }
        change(setup);
    };
    let prepare = async |database: &Database, _: &std::path::Path| prepare(database).await;
    World::prepared(system, Kind::Postgres, own, prepare).await
}

pub async fn clean(client: &Client, session: Option<&str>) -> Result<CleanupResponse, Error> {
    let request = CleanupRequest {
        test_session_id: session.map(str::to_owned),
        ..CleanupRequest::default()
    };
    client.cleanup(request).await
}

async fn dry(client: &Client, session: Option<&str>) -> Result<CleanupResponse, Error> {
    let request = CleanupRequest {
        test_session_id: session.map(str::to_owned),
        validate_only: true,
        ..CleanupRequest::default()
    };
    client.cleanup(request).await
}

/// A reply in the words of the document.
fn in_its_words(reply: &CleanupResponse) -> String {
    let result = reply.result.as_ref().unwrap();
    let counts = result.public_counts.iter();
    let counts: Vec<String> = counts
        .map(|count| format!("    \"{}\": {}", count.name, count.count))
        .collect();
    let session = result.test_session_id.as_ref();
    let session = session.map(|id| format!(",\n  \"test_session_id\": \"{id}\""));
    format!(
        "{{\n  \"success\": {},\n  \"message\": \"{}\",\n  \"deleted_counts\": {{\n{}\n  }}{}\n}}\n",
        result.success,
        result.message,
        counts.join(",\n"),
        session.unwrap_or_default()
    )
}

/// The keys of a table that fulfil a condition.
async fn keys(world: &World, key: &str, table: &str, condition: &str) -> Vec<i64> {
    let sql = format!("SELECT {key}::text FROM {table} WHERE {condition}");
    let keys = world.ask(&sql).await;
    let keys = keys.split_whitespace().map(|key| key.parse().unwrap());
    let mut keys: Vec<i64> = keys.collect();
    keys.sort_unstable();
    keys
}

async fn d01_the_session_is_optional(_: Kind) {
    for (world, _) in both().await {
        // A call without a body is an empty message.
        let reply = world.admin().await.cleanup(CleanupRequest::default()).await;
        let result = reply.unwrap().result.unwrap();
        assert!(result.success);
        assert_eq!(result.test_session_id, None);
        let reply = clean(&world.tester().await, Some(SESSION)).await.unwrap();
        assert_eq!(
            reply.result.unwrap().test_session_id.as_deref(),
            Some(SESSION)
        );
    }
}

async fn d02_one_session_or_all(_: Kind) {
    for (world, _) in both().await {
        let users = async |condition: &str| world.count("users", condition).await;
        let of = |session: &str| {
            format!("test_metadata->>'test_session_id' = '{session}' AND id BETWEEN 101 AND 210")
        };
        clean(&world.tester().await, Some(SESSION)).await.unwrap();
        assert_eq!(
            (users(&of(SESSION)).await, users(&of(SECOND)).await),
            (0, 10)
        );
        assert_eq!(users("id = 306").await, 1, "it has no session");
        let unknown = clean(&world.tester().await, Some("test_session_1_nobodys0")).await;
        assert_eq!(unknown.unwrap().result.unwrap().total_rows, 0);
        clean(&world.admin().await, None).await.unwrap();
        assert_eq!(users(&of(SECOND)).await, 0);
        assert_eq!(users("id = 306").await, 0);
    }
}

async fn d03_the_documents_reply(_: Kind) {
    for (world, _) in both().await {
        let tester = world.tester().await;
        let before = dry(&tester, Some(SESSION)).await.unwrap();
        assert_eq!(
            in_its_words(&before),
            REPLY.replace(
                "Test data cleanup completed",
                &before.result.as_ref().unwrap().message
            )
        );
        let reply = clean(&tester, Some(SESSION)).await.unwrap();
        assert_eq!(in_its_words(&reply), REPLY);
        let ordered = &reply.result.as_ref().unwrap().public_counts;
        assert_eq!(reply.deleted_counts.len(), ordered.len());
        for count in ordered {
            assert_eq!(reply.deleted_counts[&count.name], count.count);
        }
        // The session is told only when it was given.
        let all = clean(&world.admin().await, None).await.unwrap();
        assert!(!in_its_words(&all).contains("test_session_id"));
    }
}

async fn d04_marked_users(_: Kind) {
    for (world, _) in both().await {
        clean(&world.tester().await, Some(SESSION)).await.unwrap();
        let left = keys(&world, "id", "users", "id > 100").await;
        assert_eq!(left, (201..=210).chain(301..=306).collect::<Vec<_>>());
        clean(&world.admin().await, None).await.unwrap();
        let left = keys(&world, "id", "users", "true").await;
        assert_eq!(left, (1..=40).chain(301..=305).collect::<Vec<_>>());
    }
}

async fn d05_marked_searchables(_: Kind) {
    for (world, names) in both().await {
        clean(&world.tester().await, Some(SESSION)).await.unwrap();
        let left = async || keys(&world, names.searchable, "searchables", "true").await;
        assert_eq!(left().await, (1..=22).chain(201..=205).collect::<Vec<_>>());
        // Marked ones go although their owner is real, who stays.
        assert_eq!(world.count("users", "id IN (2, 3)").await, 2);
        clean(&world.admin().await, None).await.unwrap();
        assert_eq!(left().await, (1..=22).collect::<Vec<_>>());
    }
}

async fn d06_marked_metrics(_: Kind) {
    for (world, names) in both().await {
        clean(&world.tester().await, Some(SESSION)).await.unwrap();
        let left = async || keys(&world, names.metric, "metrics", "true").await;
        assert_eq!(
            left().await,
            (1..=70).chain(2001..=2030).collect::<Vec<_>>()
        );
        clean(&world.admin().await, None).await.unwrap();
        assert_eq!(left().await, (1..=70).collect::<Vec<_>>());
    }
}

async fn d07_what_belongs_to_users(_: Kind) {
    for (world, names) in both().await {
        clean(&world.tester().await, Some(SESSION)).await.unwrap();
        for table in names.of_users {
            assert_eq!(
                world.count(table, "user_id BETWEEN 101 AND 125").await,
                0,
                "{table}"
            );
            assert!(world.count(table, "user_id < 100").await > 0, "{table}");
            assert!(
                world.count(table, "user_id BETWEEN 201 AND 210").await > 0,
                "{table}"
            );
        }
        let owned = format!("{} BETWEEN 101 AND 125", names.owner);
        assert_eq!(world.count("searchables", &owned).await, 0);
    }
}

async fn d08_what_belongs_to_searchables(_: Kind) {
    for (world, names) in both().await {
        clean(&world.tester().await, Some(SESSION)).await.unwrap();
        let test = "searchable_id BETWEEN 101 AND 112";
        assert_eq!(world.count(names.invoices, test).await, 0);
        let files = format!("{} BETWEEN 101 AND 112", names.file);
        assert_eq!(world.count("files", &files).await, 0);
        let theirs = "id BETWEEN 101 AND 106 OR id BETWEEN 1001 AND 1035";
        assert_eq!(world.count(names.ratings, theirs).await, 0);
        assert_eq!(
            world
                .count(names.payments, "invoice_id BETWEEN 1001 AND 1035")
                .await,
            0
        );
        if names.file == "id" {
            assert_eq!(world.count("media_uploads", test).await, 0);
            assert_eq!(world.count("media_uploads", "true").await, 12);
        }
        assert_eq!(world.count(names.invoices, "id <= 30").await, 30);
        assert_eq!(world.count(names.ratings, "id <= 10").await, 10);
    }
}

async fn d09_what_belongs_to_invoices(_: Kind) {
    for (world, names) in both().await {
        clean(&world.tester().await, Some(SESSION)).await.unwrap();
        let theirs = "invoice_id BETWEEN 1001 AND 1035";
        for table in [names.notes, names.payments] {
            assert_eq!(world.count(table, theirs).await, 0, "{table}");
        }
        // A test user's note on a real invoice goes, the invoice stays.
        assert_eq!(world.count(names.notes, "id = 5001").await, 0);
        assert_eq!(world.count(names.invoices, "id = 1").await, 1);
        assert_eq!(
            world
                .count(names.withdrawals, "id BETWEEN 101 AND 103")
                .await,
            0
        );
        assert_eq!(world.count(names.withdrawals, "id <= 8").await, 8);
        assert_eq!(world.count(names.payments, "invoice_id <= 30").await, 30);
    }
}

async fn d10_the_documents_queries(_: Kind) {
    for (world, names) in both().await {
        let found = async || {
            let mut found = Vec::new();
            for marked in names.marked {
                let (table, condition) = marked.split_once(" WHERE ").unwrap();
                found.push(world.count(table, condition).await);
            }
            found
        };
        assert_eq!(found().await, [38, 16, 180]);
        let reply = clean(&world.admin().await, None).await.unwrap();
        // An admin and somebody at a real address stay, and that is told.
        assert_eq!(found().await, [2, 0, 0]);
        let warnings = reply.result.unwrap().warnings;
        assert!(
            warnings[0].starts_with("passed over 2 users"),
            "{warnings:?}"
        );
    }
}

const FAILING: &str = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    RAISE EXCEPTION 'this user is needed'; END $$; \
    CREATE TRIGGER fail BEFORE DELETE ON users FOR EACH ROW WHEN (OLD.id = 125) \
    EXECUTE FUNCTION fail()";

async fn failing(database: &Database) {
    let mut connection = database.connect().await;
    connection.run(FAILING).await.unwrap();
    connection.close().await;
}

async fn d11_all_or_nothing(_: Kind) {
    for (world, _) in both_with(|_| {}, failing).await {
        let before = world.dump().await;
        clean(&world.tester().await, Some(SESSION))
            .await
            .unwrap_err();
        assert!(before == world.dump().await, "a clean-up that failed");
        // The other session is none of its business.
        clean(&world.tester().await, Some(SECOND)).await.unwrap();
        assert_eq!(world.count("users", "id BETWEEN 201 AND 210").await, 0);
    }
}

async fn d12_no_reference_is_left_without_its_row(_: Kind) {
    for (world, names) in both().await {
        let dangling = async || {
            let mut dangling = Vec::new();
            for (child, column, parent) in names.references {
                let (table, key) = parent.split_once('.').unwrap();
                let condition = format!(
                    "{column} IS NOT NULL AND NOT EXISTS \
                     (SELECT 1 FROM {table} AS p WHERE p.{key} = {child}.{column})"
                );
                let rows = world.count(child, &condition).await;
                if rows > 0 {
                    dangling.push(format!("{child}.{column}: {rows}"));
                }
            }
            dangling
        };
        assert_eq!(dangling().await, Vec::<String>::new(), "in the seed");
        clean(&world.tester().await, Some(SESSION)).await.unwrap();
        assert_eq!(dangling().await, Vec::<String>::new(), "of one session");
        clean(&world.admin().await, None).await.unwrap();
        assert_eq!(dangling().await, Vec::<String>::new(), "of all");
    }
}

async fn d13_failures_in_detail(_: Kind) {
    for (world, _) in both_with(|_| {}, failing).await {
        let error = clean(&world.tester().await, Some(SESSION))
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert_eq!(error.reason(), Some("CONSTRAINT_VIOLATED"));
        let told = |key: &str| error.metadata().get(key).map(String::as_str);
        assert_eq!(told("step"), Some("delete users"));
        // What a trigger says is meant for whoever deletes.
        assert_eq!(told("detail"), Some("this user is needed"));
        assert!(told("operation_id").is_some());
        let help = error.help().unwrap();
        assert!(help.ends_with("README.md#constraint_violated"), "{help}");
    }
}

async fn d14_who_cleaned_what(_: Kind) {
    for (world, _) in both_with(|_| {}, failing).await {
        let tester = world.tester().await;
        clean(&tester, Some(SESSION)).await.unwrap_err();
        let done = clean(&tester, Some(SECOND)).await.unwrap().result.unwrap();
        let request = ListOperationsRequest {
            action: "Cleanup".to_owned(),
            ..ListOperationsRequest::default()
        };
        let listed = world.admin().await.list_operations(request).await.unwrap();
        let [second, first] = &listed.operations[..] else {
            panic!("{listed:?}");
        };
        assert_eq!(second.operation_id, done.operation_id);
        assert_eq!(done.actor, "the tester");
        for (operation, session, state) in [
            (first, SESSION, State::Failed),
            (second, SECOND, State::Succeeded),
        ] {
            assert_eq!(operation.actor, "the tester");
            assert_eq!(operation.target, "system");
            assert!(operation.request_json.contains(session), "{operation:?}");
            assert_eq!(operation.state(), state);
            assert!(operation.begin_time.is_some() && operation.duration.is_some());
        }
        assert!(!first.error_message.is_empty());
    }
}

async fn d15_sets_rather_than_rows(_: Kind) {
    let crowd = async |database: &Database| {
        let mut connection = database.connect().await;
        let sql = format!(
            "INSERT INTO metrics (metric_name, metadata, created_at) SELECT 'search', \
             '{{\"test_marker\": \"integration_test_data\", \"test_session_id\": \"{SESSION}\"}}', \
             now() FROM generate_series(1, 20000); \
             CREATE TABLE statements (name text); \
             CREATE FUNCTION count_statement() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO statements VALUES (TG_TABLE_NAME); RETURN NULL; END $$; \
             CREATE TRIGGER one AFTER DELETE ON metrics FOR EACH STATEMENT \
             EXECUTE FUNCTION count_statement(); \
             CREATE TRIGGER one AFTER DELETE ON users FOR EACH STATEMENT \
             EXECUTE FUNCTION count_statement()"
        );
        connection.run(&sql).await.unwrap();
        connection.close().await;
    };
    for (world, _) in both_with(|_| {}, crowd).await {
        let reply = clean(&world.tester().await, Some(SESSION)).await.unwrap();
        assert_eq!(reply.deleted_counts["metrics"], 20_150);
        let statements = world.ask("SELECT name FROM statements ORDER BY name").await;
        assert_eq!(statements, "metrics users", "a statement for each table");
    }
}

async fn d16_nowhere_but_in_test_environments(_: Kind) {
    for environment in ["production", "staging"] {
        let change: fn(&mut Setup) = match environment {
            "production" => |setup| setup.environment = "production".to_owned(),
            _ => |setup| setup.environment = "staging".to_owned(),
        };
        for (world, _) in both_with(change, async |_| {}).await {
            let before = world.dump().await;
            let (code, reason, message) = refusal(clean(&world.superuser().await, None).await);
            assert_eq!(code, Code::FailedPrecondition);
            assert_eq!(reason, "ENVIRONMENT_DENIED");
            assert!(message.contains(environment), "{message}");
            assert!(before == world.dump().await);
        }
    }
    for (world, _) in both_with(|setup| setup.armed = Armed::No, async |_| {}).await {
        let (_, reason, _) = refusal(clean(&world.superuser().await, None).await);
        assert_eq!(reason, "TARGET_NOT_ARMED");
    }
}

async fn d17_who_may(_: Kind) {
    let world = served(DOCUMENTED, |_| {}, &async |_: &Database| {}).await;
    let before = world.dump().await;
    let told = |answer: Result<CleanupResponse, Error>| {
        let (code, reason, _) = refusal(answer);
        (code, reason)
    };
    let nobody = world.holder(None).await;
    let answer = told(clean(&nobody, Some(SESSION)).await);
    assert_eq!(answer, (Code::Unauthenticated, "TOKEN_MISSING".to_owned()));
    let stranger = world.holder(Some("a guess".to_owned())).await;
    let answer = told(clean(&stranger, None).await);
    assert_eq!(answer, (Code::Unauthenticated, "TOKEN_INVALID".to_owned()));
    let role_required = (Code::PermissionDenied, "ROLE_REQUIRED".to_owned());
    let viewer = world.caller(Role::Viewer).await;
    assert_eq!(told(clean(&viewer, Some(SESSION)).await), role_required);
    // One session is a tester's to clean, all of them are not.
    let tester = world.tester().await;
    assert_eq!(told(clean(&tester, None).await), role_required);
    assert!(before == world.dump().await);
    clean(&tester, Some(SESSION)).await.unwrap();
    clean(&world.admin().await, None).await.unwrap();
}

async fn d19_the_tests_metadata(_: Kind) {
    for (world, _) in both().await {
        let seeded = "SELECT test_metadata->>'test_timestamp' || ' ' || \
            (test_metadata->>'created_by_test') || ' ' || (test_metadata->>'test_data_type') \
            FROM users WHERE id = 101";
        assert_eq!(
            world.ask(seeded).await,
            "2024-01-01T12:00:00.000000 true user"
        );
        let tester = world.tester().await;
        let session = "test_session_1767225600_0123abcd";
        let request = CreateTestUserRequest {
            email: "new@example.com".to_owned(),
            test_session_id: Some(session.to_owned()),
            ..CreateTestUserRequest::default()
        };
        tester.create_test_user(request).await.unwrap();
        let marked = "SELECT (test_metadata->>'test_marker') || ' ' || \
            (test_metadata->>'test_session_id') FROM users WHERE email = 'new@example.com'";
        let written = format!("integration_test_data {session}");
        assert_eq!(world.ask(marked).await, written);
        let reply = clean(&tester, Some(session)).await.unwrap();
        assert_eq!(counts(&reply.result.unwrap()), "users -1");
        // Ids are compared, never understood.
        for odd in [
            "%",
            "test_session_%",
            "' OR 1=1 --",
            "test_session_1640995200",
        ] {
            let reply = clean(&tester, Some(odd)).await.unwrap();
            assert_eq!(reply.result.unwrap().total_rows, 0, "{odd}");
        }
    }
}

async fn d21_only_what_is_marked_and_only_once(_: Kind) {
    for (world, _) in both().await {
        let before = world.dump().await;
        let tester = world.tester().await;
        let first = clean(&tester, Some(SESSION)).await.unwrap();
        let after = world.dump().await;
        let result = first.result.unwrap();
        for (table, rows) in &before {
            let told = result.tables.iter().find(|counts| counts.table == *table);
            let told = told.map_or(0, |counts| counts.deleted);
            let then: BTreeSet<&String> = rows.iter().collect();
            let now: BTreeSet<&String> = after[table].iter().collect();
            assert!(now.is_subset(&then), "{table} has rows that were changed");
            let gone = i64::try_from(rows.len() - after[table].len()).unwrap();
            assert_eq!(gone, told, "{table}");
        }
        let again = clean(&tester, Some(SESSION)).await.unwrap();
        assert!(again.deleted_counts.values().all(|&count| count == 0));
        assert_eq!(again.deleted_counts.len(), 7);
        let result = again.result.unwrap();
        assert_eq!((result.success, result.total_rows), (true, 0));
        assert!(after == world.dump().await);
    }
}
