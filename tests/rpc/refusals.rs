//! What must not be reset is not, and the refusal says why and what to do.

use resetd::{
    access::Role,
    proto::{GetStatusRequest, ResetLevel, ResetUserRequest, StatisticsRequest},
};
use tonic::Code;

use crate::{
    caller::{Caller, Told, at, by_email, by_id, dry, new_user},
    harness::Server,
    journal,
    reset::BUYER,
};

const CEO: &str = "ceo@corporation.com";

/// A refusal, after which everything is as before and the journal knows.
#[track_caller]
pub fn refused(server: &Server, caller: &Caller, request: ResetUserRequest) -> Told {
    tokio::task::block_in_place(|| {
        tokio::runtime::Handle::current().block_on(async {
            let before = server.data.dump().await;
            let told = caller.reset(request).await.unwrap_err();
            before.assert_same(&server.data.dump().await, "a refused reset");
            let operation = told.operation.as_ref().expect("an operation");
            let outcome = journal::outcome(&server.data.records().await, operation);
            assert_eq!(outcome["state"], "failed");
            assert_eq!(outcome["reason"], told.reason.as_str());
            assert_eq!(outcome["message"], told.message.as_str());
            told
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_no_test_user_is_not_reset() {
    let server = Server::start().await;
    let admin = server.caller(Role::Admin).await;
    let emails = [
        CEO,
        "ana@test.com.evil.org",
        "luis@evil-test.com",
        "bob@test.community",
        "ceo@dev.company.com",
        "camila@tést.com",
        "xiomara@xtest.com",
    ];
    for email in emails {
        for level in [ResetLevel::UserData, ResetLevel::UserCascade] {
            for request in [by_email(email), dry(by_email(email))] {
                let told = refused(&server, &admin, at(level, request));
                told.is(Code::FailedPrecondition, "NOT_A_TEST_USER")
                    .fix("--force");
                assert!(told.message.contains(email), "{told:#?}");
                let words = "doesn't appear to be a test user";
                assert!(told.message.contains(words), "{told:#?}");
                assert!(told.message.contains("@testing.com"), "{told:#?}");
                assert_eq!(told.metadata["email"], email);
                assert_eq!(told.metadata["layer"], "user");
                let resource = told.details.resource_info().expect("ResourceInfo");
                assert_eq!(resource.resource_type, "user");
                assert_eq!(resource.resource_name, email);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_that_only_looks_like_a_test_users_names_nobody() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    for email in [
        "maria.compradora@test.com.evil.org",
        "MARIA.COMPRADORA@test.com",
        "maria.compradora@TEST.COM",
        "maria.compradora@test.com.",
        "\"maria.compradora@test.com\"@evil.org",
        "maria.compradora@test.com@evil.org",
        "%@test.com",
        "_aria.compradora@test.com",
        "maria.compradora@tеst.com",
        "maria.compradora@ｔｅｓｔ.com",
        "maria.compradora\u{200b}@test.com",
        "' OR 1=1 --@test.com",
    ] {
        let email = email.replace(' ', "/**/");
        let told = refused(&server, &tester, by_email(&email));
        told.is(Code::NotFound, "USER_NOT_FOUND");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn force_resets_anybody_when_an_admin_asks() {
    let server = Server::start().await;
    let request = ResetUserRequest {
        force: true,
        ..by_email(CEO)
    };
    let tester = server.caller(Role::Tester).await;
    let before = server.data.dump().await;
    let told = tester.reset(request.clone()).await.unwrap_err();
    told.is(Code::PermissionDenied, "ROLE_REQUIRED");
    assert_eq!(told.metadata["required_role"], "admin");
    assert!(told.message.contains("with force"), "{told:#?}");
    before.assert_same(&server.data.dump().await, "a refused reset");
    let admin = server.caller(Role::Admin).await;
    let done = admin.reset(request).await.unwrap();
    assert_eq!(done.affected_users[0].email, CEO);
    assert_eq!(done.actor, "demo-admin");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_is_not_found_or_an_empty_success() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let id = "00000000-0000-4000-8000-00000000ffff";
    let (email, injected) = ("nobody@test.com", "x' OR '1'='1");
    for (request, field, value) in [
        (by_id(id), "id", id),
        (by_email(email), "email", email),
        (by_id(injected), "id", injected),
    ] {
        let told = refused(&server, &tester, request.clone());
        told.is(Code::NotFound, "USER_NOT_FOUND");
        assert!(told.message.contains(value), "{told:#?}");
        assert_eq!(told.metadata[field], value);
        let resource = told.details.resource_info().expect("ResourceInfo");
        assert_eq!(resource.resource_name, value);
        let before = server.data.dump().await.without_proofs();
        let done = tester
            .reset(ResetUserRequest {
                allow_missing: true,
                ..request
            })
            .await
            .unwrap();
        assert_eq!((done.total_rows, done.affected_user_count), (0, 0));
        assert!(done.warnings[0].contains(value), "{done:#?}");
        let after = server.data.dump().await.without_proofs();
        before.assert_same(&after, "an empty success");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn protected_users_are_not_reset_even_by_force() {
    let server = Server::with(|config| {
        let protect = &mut config.targets[0].policy.users.protect;
        protect.push("tienda.demo@test.com".to_owned());
        for token in &mut config.tokens {
            token.principal.own_user = Some(BUYER.to_owned());
        }
    })
    .await;
    let admin = server.caller(Role::Admin).await;
    for (email, why) in [(BUYER, "own"), ("tienda.demo@test.com", "protect list")] {
        for force in [false, true] {
            let request = ResetUserRequest {
                force,
                ..by_email(email)
            };
            let told = refused(&server, &admin, request);
            told.is(Code::FailedPrecondition, "PROTECTED_USER")
                .fix("users.protect");
            assert!(told.message.contains(why), "{told:#?}");
            assert!(told.details.resource_info().is_some());
        }
    }
    admin
        .reset(by_email("nuevo.usuario@test.com"))
        .await
        .unwrap();
}

/// What a server answers whose database was changed before it started.
async fn marked(sql: &str) -> (Server, Told) {
    let server = Server::prepared(|_| {}, async |data| data.run(sql).await).await;
    let tester = server.caller(Role::Tester).await;
    let told = refused(&server, &tester, by_email(BUYER));
    let dry = refused(&server, &tester, dry(by_email(BUYER)));
    assert_eq!(told.message, dry.message);
    let created = tester.create(new_user("erika@test.com")).await.unwrap_err();
    assert_eq!(
        created.message, told.message,
        "creation has the same guards"
    );
    let status = tester.status(GetStatusRequest::default()).await.unwrap();
    assert!(!status.reset_allowed);
    let layer = status.layers.iter().find(|layer| layer.name == "marker");
    let layer = layer.unwrap();
    assert!(!layer.allowed && told.message.contains(&layer.message));
    let name = format!("ERROR_REASON_{}", told.reason);
    assert_eq!(layer.reason().as_str_name(), name);
    assert_eq!(layer.fix, told.metadata["fix"]);
    // Looking is always allowed.
    let look = StatisticsRequest::default();
    tester.statistics(look).await.unwrap();
    (server, told)
}

const ARM: &str = "resetd arm --target demo --database demo.db";

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_a_marker_is_not_reset() {
    let (server, told) = marked("DELETE FROM resetd_marker").await;
    told.is(Code::FailedPrecondition, "TARGET_NOT_ARMED")
        .fix(ARM);
    assert!(told.message.contains("demo.db is not armed"), "{told:#?}");
    assert_eq!(told.metadata["database"], "demo.db");
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_marker_does_not_count() {
    let sql = "UPDATE resetd_marker SET expires_at = '2026-01-01T00:00:00Z'";
    let (_server, told) = marked(sql).await;
    told.is(Code::FailedPrecondition, "TARGET_NOT_ARMED")
        .fix(ARM);
    assert_eq!(told.metadata["expired"], "2026-01-01T00:00:00Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_database_is_never_reset() {
    let (_server, told) = marked("UPDATE resetd_marker SET protected = 1").await;
    told.is(Code::FailedPrecondition, "TARGET_PROTECTED")
        .fix("another database");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_of_somewhere_else_does_not_count() {
    for (sql, found) in [
        ("environment = 'testing'", "development"),
        ("database_name = 'other.db'", "demo.db"),
        ("server_identity = '/somewhere/demo.db'", "/demo.db"),
    ] {
        let (_server, told) = marked(&format!("UPDATE resetd_marker SET {sql}")).await;
        told.is(Code::FailedPrecondition, "TARGET_IDENTITY_MISMATCH")
            .fix(ARM);
        assert!(told.metadata["found"].contains(found), "{told:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_markers_are_none() {
    let (_server, told) = marked(
        "INSERT INTO resetd_marker SELECT 'second', environment, database_name, \
         server_identity, armed_by, armed_at, expires_at, 0 FROM resetd_marker",
    )
    .await;
    told.is(Code::FailedPrecondition, "TARGET_NOT_ARMED")
        .fix(ARM);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_that_makes_no_sense_does_not_count() {
    let server = Server::prepared(
        |_| {},
        async |data| {
            data.run("UPDATE resetd_marker SET expires_at = 'tomorrow'")
                .await;
        },
    )
    .await;
    let tester = server.caller(Role::Tester).await;
    let told = refused(&server, &tester, by_email(BUYER));
    assert!(told.message.contains("the marker's time \"tomorrow\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_that_goes_while_the_server_runs_counts_at_once() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    tester.reset(dry(by_email(BUYER))).await.unwrap();
    server
        .data
        .run("UPDATE resetd_marker SET protected = 1")
        .await;
    let told = refused(&server, &tester, by_email(BUYER));
    told.is(Code::FailedPrecondition, "TARGET_PROTECTED");
    server
        .data
        .run("UPDATE resetd_marker SET protected = 0")
        .await;
    tester.reset(by_email(BUYER)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_refusals_are_told_at_once() {
    let server = Server::with(|config| {
        let target = &mut config.targets[0];
        target.environment = Some("Production".to_owned());
        target.names.deny_databases = vec!["demo.db".to_owned()];
    })
    .await;
    let tester = server.caller(Role::Tester).await;
    let told = refused(&server, &tester, by_email(BUYER));
    told.is(Code::FailedPrecondition, "ENVIRONMENT_DENIED")
        .fix("environment");
    let failure = told.details.precondition_failure().unwrap();
    let kinds: Vec<&str> = failure
        .violations
        .iter()
        .map(|v| v.r#type.as_str())
        .collect();
    assert_eq!(kinds, ["ENVIRONMENT_DENIED", "ADDRESS_DENIED"]);
    assert!(told.message.contains("Production"), "{told:#?}");
}
