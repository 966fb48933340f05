//! What was wrong with Searchable's clean-up, and with what stood in for it,
//! is gone; and its test runner sees a clean-up that failed.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::Command,
    time::Duration,
};

use resetd::{access::Role, proto::ResetUserRequest, proto::reset_user_request::User};
use tokio::{runtime::Handle, task::block_in_place};
use tonic::Code;

use crate::{
    cases,
    place::{Database, Kind},
    searchable::{DOCUMENTED, REAL, SESSION, clean, served},
    world::{World, refusal},
};

cases! {
    POSTGRES: d20_dw10_the_runner_cleans_up, dw01_a_marker_that_cannot_be_is_refused_at_the_start,
        dw02_an_empty_session_is_not_everything, dw03_what_others_have_a_part_in_is_told,
        dw04_a_user_leaves_no_orphans, dw05_every_table_is_counted,
        dw06_a_marker_makes_nobody_a_test_user, dw07_bytes_go_unless_somebody_needs_them,
        dw08_revoked_tokens_stay_revoked, dw09_markers_are_found_by_an_index;
}

async fn plain(system: crate::place::System) -> World {
    served(system, |_| {}, &async |_: &Database| {}).await
}

/// Runs the runner with a token: its exit code.
fn run(world: &World, role: Role, arguments: &[&str]) -> i32 {
    let runner = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systems/searchable");
    let programs = Path::new(env!("CARGO_BIN_EXE_resetctl")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new(runner.join("with-cleanup"));
    command
        .args(arguments)
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("RESETCTL_ADDRESS", world.address.to_string())
        .env("RESETCTL_TOKEN", world.token(role))
        .env("TEST_SESSION_ID", SESSION);
    let output = block_in_place(|| command.output()).unwrap();
    output.status.code().unwrap()
}

async fn d20_dw10_the_runner_cleans_up(_: Kind) {
    for system in [DOCUMENTED, REAL] {
        let world = plain(system).await;
        let left = async || world.count("users", "id BETWEEN 101 AND 125").await;
        assert_eq!(run(&world, Role::Tester, &["--keep", "true"]), 0);
        assert_eq!(left().await, 25, "--keep keeps it");
        // A clean-up that fails is a failure, if nothing worse has happened.
        assert_eq!(run(&world, Role::Viewer, &["true"]), 4);
        assert_eq!(run(&world, Role::Viewer, &["sh", "-c", "exit 9"]), 9);
        assert_eq!(left().await, 25);
        // Tests that fail are cleaned up after as well.
        assert_eq!(run(&world, Role::Tester, &["sh", "-c", "exit 9"]), 9);
        assert_eq!(left().await, 0);
        assert_eq!(run(&world, Role::Tester, &["true"]), 0);
    }
}

/// What is wrong with a server that does not start.
fn complaint(prepare: &str) -> String {
    let change = async |database: &Database| {
        let mut connection = database.connect().await;
        connection.run(prepare).await.unwrap();
        connection.close().await;
    };
    let start = || Handle::current().block_on(served(REAL, |_| {}, &change));
    let started = block_in_place(|| catch_unwind(AssertUnwindSafe(start)));
    let panic = started.err().expect("it starts");
    panic.downcast_ref::<String>().unwrap().clone()
}

async fn dw01_a_marker_that_cannot_be_is_refused_at_the_start(_: Kind) {
    let missing = complaint("ALTER TABLE users DROP COLUMN test_metadata CASCADE");
    assert!(missing.contains("test_metadata"), "{missing}");
    let renamed = complaint("ALTER TABLE metrics RENAME COLUMN tag3 TO third");
    assert!(renamed.contains("tag3"), "{renamed}");
}

async fn dw02_an_empty_session_is_not_everything(_: Kind) {
    let world = plain(REAL).await;
    let before = world.dump().await;
    for client in [world.tester().await, world.superuser().await] {
        let (code, reason, message) = refusal(clean(&client, Some("")).await);
        assert_eq!(
            (code, reason.as_str()),
            (Code::InvalidArgument, "INVALID_FIELD")
        );
        assert!(message.contains("test_session_id"), "{message}");
    }
    assert!(before == world.dump().await);
    // A session's id alone marks nothing.
    clean(&world.tester().await, Some(SESSION)).await.unwrap();
    assert_eq!(world.count("users", "id IN (303, 304)").await, 2);
    assert_eq!(
        world.count("metrics", "event_id BETWEEN 61 AND 70").await,
        10
    );
}

async fn dw03_what_others_have_a_part_in_is_told(_: Kind) {
    for (system, expected) in [
        (
            DOCUMENTED,
            "invoice_notes 6, invoices 15, ratings 3, withdrawals 1",
        ),
        (REAL, "invoice 15, invoice_note 6, purchases 2, rating 2"),
    ] {
        let world = plain(system).await;
        let reply = clean(&world.tester().await, Some(SESSION)).await.unwrap();
        let result = reply.result.unwrap();
        let mut shared: Vec<String> = result
            .shared
            .iter()
            .map(|shared| format!("{} {}", shared.table, shared.rows))
            .collect();
        shared.sort();
        assert_eq!(shared.join(", "), expected);
        // Their other parties are untouched.
        assert_eq!(world.count("users", "id <= 40").await, 40);
    }
}

async fn dw04_a_user_leaves_no_orphans(_: Kind) {
    let world = plain(REAL).await;
    let request = ResetUserRequest {
        user: Some(User::Email("test_user_101@example.com".to_owned())),
        ..ResetUserRequest::default()
    };
    world.tester().await.reset_user(request).await.unwrap();
    for (table, condition) in [
        ("users", "id = 101"),
        ("terminal", "terminal_id = 101"),
        ("searchables", "terminal_id = 101"),
        ("files", "metadata->>'user_id' = '101'"),
        ("purchases", "user_id = 101 OR file_id = 101"),
        ("invoice", "101 IN (buyer_id, seller_id, searchable_id)"),
        ("withdrawal", "user_id = 101"),
        ("user_profile", "user_id = 101"),
        ("rating", "user_id = 101"),
        ("invoice_note", "user_id = 101"),
        ("searchable_tags", "searchable_id = 101"),
    ] {
        assert_eq!(world.count(table, condition).await, 0, "{table}");
    }
}

async fn dw05_every_table_is_counted(_: Kind) {
    for (system, besides) in [
        (
            DOCUMENTED,
            &[
                ("payments", 35),
                ("invoice_notes", 19),
                ("user_profiles", 25),
                ("user_sessions", 50),
                ("user_balances", 25),
                ("media_uploads", 6),
            ][..],
        ),
        (
            REAL,
            &[
                ("payment", 35),
                ("invoice_note", 19),
                ("user_profile", 25),
                ("purchases", 3),
                ("terminal", 25),
            ][..],
        ),
    ] {
        let world = plain(system).await;
        let reply = clean(&world.tester().await, Some(SESSION)).await.unwrap();
        assert_eq!(reply.deleted_counts.len(), 7, "the seven stay as they were");
        let result = reply.result.unwrap();
        for &(table, rows) in besides {
            let counted = result.tables.iter().find(|counts| counts.table == table);
            assert_eq!(counted.map(|counts| counts.deleted), Some(rows), "{table}");
        }
    }
}

async fn dw06_a_marker_makes_nobody_a_test_user(_: Kind) {
    for system in [DOCUMENTED, REAL] {
        let world = plain(system).await;
        let anybody = "UPDATE users SET test_metadata = \
            '{\"test_marker\": \"integration_test_data\", \"test_session_id\": \"mine\"}' \
            WHERE id <= 5";
        world.sql(anybody).await;
        let before = world.dump().await;
        let reply = clean(&world.tester().await, Some("mine")).await.unwrap();
        let result = reply.result.unwrap();
        assert_eq!(result.total_rows, 0);
        assert!(
            result.warnings[0].starts_with("passed over 5 users"),
            "{:?}",
            result.warnings
        );
        assert!(before == world.dump().await);
    }
}

async fn dw07_bytes_go_unless_somebody_needs_them(_: Kind) {
    let world = plain(REAL).await;
    let uploads = world.folder.join("uploads");
    let name = async |file: i64| world.ask(&format!("SELECT md5('{file}')")).await;
    for file in [1, 2, 101, 102, 107, 108] {
        std::fs::write(uploads.join(name(file).await), "bytes").unwrap();
    }
    let reply = clean(&world.tester().await, Some(SESSION)).await.unwrap();
    assert_eq!(reply.deleted_counts["files"], 8, "rows");
    let mut left = Vec::new();
    for file in [1, 2, 101, 102, 107, 108] {
        if uploads.join(name(file).await).exists() {
            left.push(file);
        }
    }
    // 108 is also what a real user's row names.
    assert_eq!(left, [1, 2, 108]);
    let warnings = reply.result.unwrap().warnings.join(" ");
    assert!(warnings.contains("1 file stayed"), "{warnings}");
}

async fn dw08_revoked_tokens_stay_revoked(_: Kind) {
    let world = plain(REAL).await;
    // The patterns of old match tokens of others.
    let pattern = "EXISTS (SELECT 1 FROM users WHERE id BETWEEN 101 AND 125 \
        AND jwt_token LIKE '%' || id || '%')";
    assert!(world.count("jwt_token_blocklist", pattern).await >= 25);
    let before = world.dump().await;
    clean(&world.tester().await, Some(SESSION)).await.unwrap();
    clean(&world.admin().await, None).await.unwrap();
    let after = world.dump().await;
    for table in ["jwt_token_blocklist", "tags", "kv"] {
        assert_eq!(before[table], after[table], "{table}");
    }
}

async fn dw09_markers_are_found_by_an_index(_: Kind) {
    let crowd = async |database: &Database| {
        let mut connection = database.connect().await;
        let sql = format!(
            "INSERT INTO users (username, email) \
             SELECT 'n', 'n' || n || '@gmail.com' FROM generate_series(1, 5000) AS n; \
             ANALYZE users; ALTER DATABASE {} SET enable_seqscan = off",
            database.name
        );
        connection.run(&sql).await.unwrap();
        connection.close().await;
    };
    let world = served(REAL, |_| {}, &crowd).await;
    clean(&world.tester().await, Some(SESSION)).await.unwrap();
    // PostgreSQL tells of it a while later.
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    for index in ["users_test_session", "searchables_test_session"] {
        let sql = format!(
            "SELECT (idx_scan > 0)::text FROM pg_stat_user_indexes WHERE indexrelname = '{index}'"
        );
        for tries in 0.. {
            if world.ask(&sql).await == "true" {
                break;
            }
            assert!(tries < 150, "{index} is not used");
            ticks.tick().await;
        }
    }
}
