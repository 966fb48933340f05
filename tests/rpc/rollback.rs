//! A reset that fails at any point leaves the database as it was.

use resetd::{access::Role, policy::Treatment, proto::ResetLevel};
use tonic::Code;

use crate::{
    caller::{Told, at, by_email, dry, new_user},
    harness::Server,
    journal,
    reset::BUYER,
};

/// Makes a reset of the buyer fail, dry and for real, by this statement.
async fn fails(sql: &str) -> Told {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    server.data.run(sql).await;
    let before = server.data.dump().await;
    let preview = tester.reset(dry(by_email(BUYER))).await.unwrap_err();
    before.assert_same(&server.data.dump().await, "a failed dry run");
    let told = tester.reset(by_email(BUYER)).await.unwrap_err();
    before.assert_same(&server.data.dump().await, "a failed reset");
    assert_eq!(told.message, preview.message);
    assert_recorded(&server, &told).await;

    // The connection is as good as new.
    server.data.run("DROP TRIGGER guard").await;
    tester.reset(by_email(BUYER)).await.unwrap();
    told
}

async fn assert_recorded(server: &Server, told: &Told) {
    let records = server.data.records().await;
    let outcome = journal::outcome(&records, told.operation.as_ref().unwrap());
    assert_eq!(outcome["state"], "failed", "{outcome}");
    assert_eq!(outcome["message"], told.message.as_str());
    assert_eq!(outcome["reason"], told.reason.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_refuses_the_last_delete_undoes_every_one() {
    let told = fails(
        "CREATE TRIGGER guard BEFORE DELETE ON users \
         BEGIN SELECT RAISE(ABORT, 'accounts stay'); END",
    )
    .await;
    told.is(Code::FailedPrecondition, "CONSTRAINT_VIOLATED");
    assert!(told.metadata["step"].contains("users"), "{told:#?}");
    assert!(told.metadata["detail"].contains("accounts stay"));
    assert!(told.message.contains(&told.metadata["step"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_rolls_everything_back_is_a_refusal_as_well() {
    let told = fails(
        "CREATE TRIGGER guard BEFORE DELETE ON users \
         BEGIN SELECT RAISE(ROLLBACK, 'accounts stay'); END",
    )
    .await;
    told.is(Code::FailedPrecondition, "CONSTRAINT_VIOLATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_trigger_keeps_silently_are_noticed() {
    for table in ["users", "orders", "payments"] {
        let told = fails(&format!(
            "CREATE TRIGGER guard BEFORE DELETE ON {table} BEGIN SELECT RAISE(IGNORE); END;"
        ))
        .await;
        told.is(Code::FailedPrecondition, "CONSTRAINT_VIOLATED");
        assert!(told.message.contains(table), "{told:#?}");
        assert!(told.message.contains("trigger"), "{told:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_trigger_writes_anew_are_noticed_at_the_commit() {
    // A note about a user that will be gone. SQLite looks at it at the commit
    // and no earlier, so only the real run finds it.
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    server
        .data
        .run(
            "CREATE TABLE notes (user_id VARCHAR(36) REFERENCES users (id)); \
             CREATE TRIGGER note AFTER DELETE ON users \
             BEGIN INSERT INTO notes VALUES (OLD.id); END",
        )
        .await;
    let before = server.data.dump().await;
    let told = tester.reset(by_email(BUYER)).await.unwrap_err();
    told.is(Code::FailedPrecondition, "CONSTRAINT_VIOLATED");
    let words = "rows of notes would be left without the rows of users";
    assert!(told.message.contains(words), "{told:#?}");
    before.assert_same(&server.data.dump().await, "a refused commit");
    assert_recorded(&server, &told).await;
    server.data.run("DROP TRIGGER note").await;
    tester.reset(by_email(BUYER)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_refund_blocks_the_reset_and_is_named() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    // A refund of somebody else's payment that names a transaction of hers.
    let (hers, theirs) = ("u.email = 'maria.compradora@test.com'", "u.rowid > 100");
    let of = |whose: &str| {
        format!(
            "(SELECT t.id FROM order_transactions t JOIN orders o ON o.id = t.order_id \
             JOIN users u ON u.id = o.buyer_id WHERE {whose})"
        )
    };
    server
        .data
        .run(&format!(
            "UPDATE payment_refunds SET transaction_id = (SELECT min(id) FROM {}) WHERE id = \
             (SELECT min(r.id) FROM payment_refunds r JOIN payments p ON p.id = r.payment_id \
             WHERE p.transaction_id IN {})",
            of(hers),
            of(theirs)
        ))
        .await;
    let before = server.data.dump().await;
    let told = tester.reset(by_email(BUYER)).await.unwrap_err();
    told.is(Code::FailedPrecondition, "BLOCKED_BY_REFERENCES")
        .fix("[references]");
    let reference = "payment_refunds.transaction_id -> order_transactions.id";
    assert!(told.message.contains(reference), "{told:#?}");
    assert_eq!(told.metadata[reference], "1");
    before.assert_same(&server.data.dump().await, "a blocked reset");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_very_many_causes_still_arrives() {
    let tables: Vec<String> = (0..80)
        .map(|i| format!("á_{i}_{}", "x".repeat(50)))
        .collect();
    let server = Server::prepared(
        |config| {
            let references = &mut config.targets[0].policy.references;
            for table in &tables {
                references.insert(format!("{table}.user_id"), Treatment::Block);
            }
        },
        async |data| {
            for table in &tables {
                let sql = format!(
                    "CREATE TABLE {table} (id INTEGER PRIMARY KEY, user_id REFERENCES users (id)); \
                     INSERT INTO {table} SELECT 1, id FROM users WHERE email = '{BUYER}'"
                );
                data.run(&sql).await;
            }
        },
    )
    .await;
    let tester = server.caller(Role::Tester).await;
    let told = tester.reset(by_email(BUYER)).await.unwrap_err();
    told.is(Code::FailedPrecondition, "BLOCKED_BY_REFERENCES");
    assert!(told.message.contains(&tables[0]), "{told:#?}");
    assert!(told.metadata["fix"].contains("[references]"), "{told:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_rows_than_the_budget_are_not_touched() {
    let server = Server::with(|config| config.targets[0].limits.max_rows = 40).await;
    let tester = server.caller(Role::Tester).await;
    let before = server.data.dump().await;
    let told = tester.reset(by_email(BUYER)).await.unwrap_err();
    told.is(Code::ResourceExhausted, "BLAST_RADIUS_EXCEEDED");
    assert_eq!(told.metadata["max_rows"], "40");
    let rows: u32 = told.metadata["rows"].parse().unwrap();
    assert!(rows > 40 && told.message.contains(&format!("{rows} rows")));
    let quota = told.details.quota_failure().unwrap();
    assert!(quota.violations[0].description.contains("max_rows"));
    before.assert_same(&server.data.dump().await, "a reset over the budget");
    let request = at(ResetLevel::UserData, by_email(BUYER));
    tester.reset(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_the_database_refuses_creates_nobody() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let before = server.data.dump().await;
    let mut request = new_user("erika@test.com");
    request.user_type = "WIZARD".to_owned();
    let told = tester.create(request).await.unwrap_err();
    told.is(Code::FailedPrecondition, "CONSTRAINT_VIOLATED");
    assert_recorded(&server, &told).await;
    before.assert_same(&server.data.dump().await, "a refused creation");
    tester.create(new_user("erika@test.com")).await.unwrap();
}
