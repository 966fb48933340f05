//! The journal: who asked for what and what came of it, before anything is
//! done; and nothing is done that it cannot take.

use resetd::{
    access::Role,
    proto::{ResetLevel, ResetUserRequest},
};
use tonic::Code;

use crate::{
    caller::{at, by_email, dry, new_user},
    harness::{Data, Server, connect, run},
    journal,
    reset::BUYER,
};

/// Changes the journal's file behind the server's back.
async fn tamper(data: &Data, sql: &str) {
    use sqlx::Connection as _;
    let mut connection = connect(&data.journal).await;
    run(&mut connection, sql).await;
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_takes_nothing_lets_nothing_be_done() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let before = server.data.dump().await;
    let full = "CREATE TRIGGER full BEFORE INSERT ON record \
                BEGIN SELECT RAISE(ABORT, 'no room'); END";
    tamper(&server.data, full).await;
    let words = "cannot be written, so nothing was done";
    for request in [by_email(BUYER), dry(by_email(BUYER))] {
        let told = tester.reset(request).await.unwrap_err();
        told.is(Code::FailedPrecondition, "AUDIT_UNAVAILABLE");
        assert!(told.message.contains(words), "{told:#?}");
    }
    let told = tester.create(new_user("erika@test.com")).await.unwrap_err();
    told.is(Code::FailedPrecondition, "AUDIT_UNAVAILABLE");
    before.assert_same(&server.data.dump().await, "what was not recorded");
    // Refusals are refusals all the same.
    let told = server.holder("x").await.reset(by_email(BUYER)).await;
    assert_eq!(told.unwrap_err().reason, "TOKEN_INVALID");
    tamper(&server.data, "DROP TRIGGER full").await;
    tester.reset(by_email(BUYER)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_somebody_holds_is_waited_for_and_then_given_up() {
    use sqlx::Connection as _;
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let before = server.data.dump().await;
    let mut connection = connect(&server.data.journal).await;
    run(&mut connection, "BEGIN EXCLUSIVE").await;
    let told = tester.reset(by_email(BUYER)).await.unwrap_err();
    told.is(Code::FailedPrecondition, "AUDIT_UNAVAILABLE");
    before.assert_same(&server.data.dump().await, "what was not recorded");
    run(&mut connection, "ROLLBACK").await;
    connection.close().await.unwrap();
    tester.reset(dry(by_email(BUYER))).await.unwrap();
    before.assert_same(&server.data.dump().await, "what nobody waits for");
}

#[tokio::test(flavor = "multi_thread")]
async fn intents_say_who_asked_for_what_and_outcomes_what_came_of_it() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let request = ResetUserRequest {
        allow_missing: true,
        ..at(ResetLevel::UserSessions, by_email(BUYER))
    };
    let preview = tester.reset(dry(request.clone())).await.unwrap();
    let done = tester.reset(request).await.unwrap();
    let cascade = tester.reset(by_email(BUYER)).await.unwrap();
    let created = tester.create(new_user(BUYER)).await.unwrap();

    let records = server.data.records().await;
    assert_eq!(records.len(), 8);
    let intent = |operation: &str| {
        let mut intents = journal::kind(&records, "intent");
        intents
            .find(|r| r.operation == operation)
            .unwrap()
            .body
            .clone()
    };
    let begun = intent(&done.operation_id);
    assert_eq!(begun["operation"], done.operation_id.as_str());
    assert_eq!(begun["actor"], "demo-tester");
    assert_eq!(begun["role"], "tester");
    assert_eq!(begun["target"], "demo");
    let action = &begun["action"];
    assert_eq!(action["action"], "reset_user");
    assert_eq!(action["user"]["email"], BUYER);
    assert_eq!(action["level"], "user_sessions");
    assert_eq!(action["allow_missing"], true);
    assert_eq!(action["mode"], "execute");
    assert_eq!(intent(&preview.operation_id)["action"]["mode"], "dry_run");
    assert_eq!(
        intent(&created.operation_id)["action"]["action"],
        "create_test_user"
    );

    let outcome = |operation: &str| journal::outcome(&records, operation);
    assert_eq!(outcome(&preview.operation_id)["state"], "validated");
    let ended = outcome(&cascade.operation_id);
    assert_eq!(ended["state"], "committed");
    assert!(ended["duration_ms"].is_u64());
    let tables = ended["changes"]["tables"].as_array().unwrap();
    assert_eq!(tables.len(), cascade.tables.len());
    for (recorded, told) in tables.iter().zip(&cascade.tables) {
        assert_eq!(recorded["table"], told.table.as_str());
        assert_eq!(recorded["deleted"], told.deleted);
        assert_eq!(recorded["detached"], told.detached);
    }
    assert_eq!(ended["changes"]["users"][0]["email"], BUYER);
    let ended = outcome(&created.operation_id);
    assert_eq!(ended["state"], "created");
    assert_eq!(ended["user"], created.user.unwrap().id.as_str());

    // In the order in which they happened, each intent before its outcome.
    let kinds: Vec<&str> = records.iter().map(|r| r.kind.as_str()).collect();
    assert_eq!(kinds, ["intent", "outcome"].repeat(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_commit_is_proved_in_the_target_by_its_operation() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let preview = tester.reset(dry(by_email(BUYER))).await.unwrap();
    let done = tester.reset(by_email(BUYER)).await.unwrap();
    let missing = tester.reset(by_email(BUYER)).await.unwrap_err();
    let created = tester.create(new_user(BUYER)).await.unwrap();
    let proofs = "SELECT operation_id FROM resetd_commit ORDER BY rowid";
    let proofs = server.data.texts(proofs).await;
    assert_eq!(proofs, [done.operation_id, created.operation_id]);
    assert!(!proofs.contains(&preview.operation_id));
    assert!(!proofs.contains(&missing.operation.unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_is_not_recorded() {
    let server = Server::start().await;
    let viewer = server.caller(Role::Viewer).await;
    viewer
        .status(resetd::proto::GetStatusRequest::default())
        .await
        .unwrap();
    viewer
        .statistics(resetd::proto::StatisticsRequest::default())
        .await
        .unwrap();
    assert!(server.data.records().await.is_empty());
}

#[test]
fn a_handler_that_panics_answers_internal_without_its_words() {
    let panic = || -> Box<dyn std::any::Any + Send> { Box::new("the secret is 42".to_owned()) };
    let response = resetd::rpc::panicked(panic());
    assert_eq!(response.status(), 200, "gRPC says it in the header");
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("grpc-status"), "13");
    assert_eq!(header("content-type"), "application/grpc");
    let status = tonic::Status::from_header_map(response.headers()).unwrap();
    let told = crate::caller::Told::of(&status);
    told.is(Code::Internal, "INVARIANT_VIOLATED");
    assert!(!format!("{told:?}").contains("42"));
}
