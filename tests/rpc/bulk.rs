//! The test users, a test session and everything: the same pipeline on other
//! scopes, over the wire.

use std::collections::BTreeMap;

use resetd::{
    access::Role,
    address::Address,
    proto::{
        CleanupRequest, CleanupResponse, FullResetRequest, GetStatusRequest, ResetResult,
        ResetTestUsersRequest, event::Kind,
    },
};
use tonic::Code;

use crate::{
    caller::{Caller, Told, by_email, new_user},
    harness::{Server, until},
    journal,
    leaving::{begun_and_ended, slow},
};

const PHRASE: &str = "I UNDERSTAND THIS WILL DELETE ALL DATA";
const SESSIONS: [&str; 2] = [
    "test_session_1640995200_abc12345",
    "test_session_1754316000_5f3a9c01",
];
/// In SQL of the test's own: who is a test user and no admin.
const TEST_USERS: &str = "substr(email, instr(email, '@') + 1) IN \
    ('test.com', 'testing.com', 'dev.com', 'example.com') \
    AND user_type NOT IN ('ADMIN', 'SUPERUSER')";

async fn test_users(caller: &Caller, dry: bool) -> Result<ResetResult, Told> {
    let request = caller.request(ResetTestUsersRequest {
        validate_only: dry,
        ..ResetTestUsersRequest::default()
    });
    let answer = caller.client.clone().reset_test_users(request).await;
    let answer = answer.map_err(|status| Told::of(&status))?;
    Ok(answer.into_inner().result.unwrap())
}

async fn cleanup(caller: &Caller, session: Option<&str>) -> Result<CleanupResponse, Told> {
    let request = caller.request(CleanupRequest {
        test_session_id: session.map(str::to_owned),
        ..CleanupRequest::default()
    });
    let answer = caller.client.clone().cleanup(request).await;
    Ok(answer.map_err(|status| Told::of(&status))?.into_inner())
}

/// All events of a full reset, and the status that it ended with.
async fn full_reset(caller: &Caller, request: FullResetRequest) -> (Vec<Kind>, Option<Told>) {
    let request = caller.request(request);
    let answer = caller.client.clone().full_reset(request).await;
    let mut stream = match answer {
        Ok(answer) => answer.into_inner(),
        Err(status) => return (Vec::new(), Some(Told::of(&status))),
    };
    let mut events = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(message)) => {
                let event = message.event.unwrap();
                events.push(event.kind.unwrap());
                assert_eq!(event.number, i64::try_from(events.len()).unwrap());
            }
            Ok(None) => return (events, None),
            Err(status) => return (events, Some(Told::of(&status))),
        }
    }
}

fn confirmed() -> FullResetRequest {
    FullResetRequest {
        confirmation: PHRASE.to_owned(),
        ..FullResetRequest::default()
    }
}

fn result(events: &[Kind]) -> &ResetResult {
    match events.last() {
        Some(Kind::Finished(finished)) => finished.result.as_ref().unwrap(),
        other => panic!("the stream ended with {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_which_index_it_would_be_quicker_with() {
    let server = Server::start().await;
    let admin = server.caller(Role::Admin).await;
    let small = test_users(&admin, true).await.unwrap();
    assert_eq!(small.advice, [], "not worth it");
    for sql in [
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, user_id TEXT REFERENCES users (id))",
        "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
         INSERT INTO notes (id) SELECT i FROM n",
    ] {
        server.data.run(sql).await;
    }
    let slow = test_users(&admin, true).await.unwrap();
    assert_eq!(slow.advice.len(), 1, "{:?}", slow.advice);
    for advice in &slow.advice {
        let rows = format!("SELECT count(*) FROM \"{}\"", advice.table);
        assert_eq!(server.data.number(&rows).await, advice.rows);
        let (_, parent) = advice.subject.split_once(" -> ").unwrap();
        let (parent, _) = parent.split_once('.').unwrap();
        let mut tables = slow.tables.iter();
        let gone = tables.find(|counts| counts.table == parent).unwrap();
        let predicted = i32::try_from(27 * advice.rows * gone.deleted).unwrap();
        let gain = advice.gain.unwrap();
        assert_eq!((gain.seconds, gain.nanos), (0, predicted), "{advice:?}");
        assert!(predicted >= 1_000_000, "worth it: {advice:?}");
        server.data.run(&advice.statement).await;
    }
    let fast = test_users(&admin, true).await.unwrap();
    assert_eq!(fast.advice, [], "the advice helps");
    assert_eq!(fast.tables, slow.tables);
    let done = test_users(&admin, false).await.unwrap();
    assert_eq!(done.advice, [], "of a dry run only");
}

#[tokio::test(flavor = "multi_thread")]
async fn test_users_go_and_admins_and_everybody_else_stay() {
    let server = Server::start().await;
    let admin = server.caller(Role::Admin).await;
    let count = format!("SELECT count(*) FROM users WHERE {TEST_USERS}");
    assert_eq!(server.data.number(&count).await, 92);
    let others = format!("SELECT id FROM users WHERE NOT ({TEST_USERS}) ORDER BY id");
    let before = server.data.texts(&others).await;

    let said = test_users(&admin, true).await.unwrap();
    assert_eq!(
        server.data.number(&count).await,
        92,
        "a dry run changes nothing"
    );
    let done = test_users(&admin, false).await.unwrap();
    assert_eq!(
        (&said.tables, said.total_rows),
        (&done.tables, done.total_rows)
    );
    assert_eq!(done.affected_user_count, 92);
    assert_eq!(server.data.number(&count).await, 0);
    assert_eq!(server.data.texts(&others).await, before);
    let broken = "SELECT count(*) FROM pragma_foreign_key_check";
    assert_eq!(server.data.number(broken).await, 0);
    let again = test_users(&admin, false).await.unwrap();
    assert_eq!((again.total_rows, again.affected_user_count), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_cleaned_at_once_take_their_own_rows_only() {
    let server = Server::start().await;
    let callers = [
        server.caller(Role::Tester).await,
        server.caller(Role::Tester).await,
    ];
    let unmarked = "SELECT count(*) FROM users WHERE test_metadata IS NULL";
    let before = server.data.number(unmarked).await;
    for round in 0..50 {
        let sessions = SESSIONS.map(|session| format!("{session}_{round}"));
        for (index, session) in sessions.iter().enumerate() {
            for n in 0..2 {
                let mut user = new_user(&format!("r{round}s{index}n{n}@test.com"));
                user.test_session_id = Some(session.clone());
                callers[index].create(user).await.unwrap();
            }
        }
        let (first, second) = tokio::join!(
            cleanup(&callers[0], Some(&sessions[0])),
            cleanup(&callers[1], Some(&sessions[1])),
        );
        for (answer, session) in [first, second].into_iter().zip(&sessions) {
            let result = answer.unwrap().result.unwrap();
            assert_eq!(result.affected_user_count, 2, "{session}");
            assert_eq!(result.total_rows, 2, "{session}");
            assert_eq!(result.test_session_id.as_ref(), Some(session));
            assert_eq!(result.message, "Test data cleanup completed");
        }
    }
    assert_eq!(server.data.number(unmarked).await, before);
    assert_eq!(server.data.number("SELECT count(*) FROM users").await, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_takes_marked_test_users_and_passes_over_marked_admins() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let marked = format!(
        "SELECT count(*) FROM users WHERE json_extract(test_metadata, '$.test_session_id') = '{}'",
        SESSIONS[0]
    );
    assert_eq!(server.data.number(&marked).await, 11);
    let result = cleanup(&tester, Some(SESSIONS[0])).await.unwrap();
    let result = result.result.unwrap();
    assert_eq!(result.affected_user_count, 10);
    assert!(
        result.warnings[0].contains("passed over 1 user"),
        "{result:?}"
    );
    assert_eq!(server.data.number(&marked).await, 1, "the admin stays");
    let all = cleanup(&tester, None).await.unwrap_err();
    all.is(Code::PermissionDenied, "ROLE_REQUIRED");
    cleanup(&tester, Some(""))
        .await
        .unwrap_err()
        .field("test_session_id");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_but_admins_and_kept_tables() {
    let server = Server::start().await;
    let superuser = server.caller(Role::Superuser).await;
    let before = server.data.dump().await;
    let (events, none) = full_reset(&superuser, FullResetRequest::default()).await;
    none.unwrap()
        .is(Code::FailedPrecondition, "CONFIRMATION_REQUIRED")
        .fix(PHRASE);
    assert!(events.is_empty());
    let mut wrong = confirmed();
    wrong.confirmation = PHRASE.to_lowercase();
    let (_, told) = full_reset(&superuser, wrong).await;
    told.unwrap()
        .is(Code::FailedPrecondition, "CONFIRMATION_MISMATCH");

    let dry = FullResetRequest {
        validate_only: true,
        ..FullResetRequest::default()
    };
    let (events, none) = full_reset(&superuser, dry).await;
    assert!(none.is_none());
    let said = result(&events).clone();
    before.assert_same(&server.data.dump().await, "a dry run");

    let (events, none) = full_reset(&superuser, confirmed()).await;
    assert!(none.is_none(), "{none:?}");
    assert!(matches!(events.first(), Some(Kind::Started(_))));
    assert!(matches!(events[events.len() - 2], Kind::Committed(_)));
    assert_eq!(result(&events).tables, said.tables);
    let after = server.data.dump().await;
    assert_eq!(
        before.changed(&after),
        BTreeMap::new(),
        "what stays is as it was"
    );
    let admins = "SELECT count(*) FROM users";
    assert_eq!(server.data.number(admins).await, 20);
    assert_eq!(
        server.data.number("SELECT count(*) FROM categories").await,
        42
    );
    assert_eq!(server.data.number("SELECT count(*) FROM orders").await, 0);
    assert_eq!(
        server
            .data
            .number("SELECT count(*) FROM alembic_version")
            .await,
        1
    );
    let tester = server.caller(Role::Tester).await;
    tester
        .create(new_user("maria.compradora@test.com"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_reset_that_fails_at_its_last_step_changes_nothing() {
    let server = Server::start().await;
    server
        .data
        .run("CREATE TRIGGER no BEFORE DELETE ON users BEGIN SELECT RAISE(ABORT, 'no'); END")
        .await;
    let before = server.data.dump().await;
    let superuser = server.caller(Role::Superuser).await;
    let (events, told) = full_reset(&superuser, confirmed()).await;
    told.unwrap()
        .is(Code::FailedPrecondition, "CONSTRAINT_VIOLATED");
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Kind::StepFinished(_)))
    );
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, Kind::Committed(_)))
    );
    before.assert_same(&server.data.dump().await, "a failed full reset");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_reset_goes_on_when_its_watcher_leaves() {
    let server = Server::start().await;
    server.data.run(&slow(5_000)).await;
    let superuser = server.caller(Role::Superuser).await;
    let request = superuser.request(confirmed());
    let mut stream = superuser
        .client
        .clone()
        .full_reset(request)
        .await
        .unwrap()
        .into_inner();
    stream.message().await.unwrap().unwrap();
    drop(stream);
    drop(superuser);
    until("the end of the operation", async || {
        begun_and_ended(&server.data).await == (1, 1)
    })
    .await;
    assert_eq!(server.data.number("SELECT count(*) FROM users").await, 20);
    let records = server.data.records().await;
    let intent = journal::kind(&records, "intent").next().unwrap();
    let outcome = journal::outcome(&records, &intent.operation);
    assert_eq!(outcome["state"], "committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_target_does_not_stop_the_others() {
    let server = Server::with(|config| {
        let mut elsewhere = config.targets[0].clone();
        elsewhere.name = "elsewhere".to_owned();
        // Port 1 is nobody's.
        elsewhere.address = Address::parse("postgresql://app@127.0.0.1:1/shop").unwrap();
        config.targets.push(elsewhere);
    })
    .await;
    let tester = server.caller(Role::Tester).await;
    let mut request = by_email("maria.compradora@test.com");
    tester
        .reset(request.clone())
        .await
        .unwrap_err()
        .field("target");
    request.target = "elsewhere".to_owned();
    let told = tester.reset(request.clone()).await.unwrap_err();
    told.is(Code::Unavailable, "DATABASE_UNAVAILABLE");
    let asked = GetStatusRequest {
        target: "elsewhere".to_owned(),
    };
    let status = tester.status(asked).await.unwrap();
    assert!(!status.reset_allowed, "{status:?}");
    request.target = "demo".to_owned();
    tester.reset(request).await.unwrap();
}
