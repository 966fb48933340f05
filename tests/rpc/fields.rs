//! A message that makes no sense is refused by the field that makes none,
//! whatever its size, and nothing is done.

use resetd::{
    access::Role,
    proto::{CreateTestUserRequest, ResetUserRequest, StatisticsRequest},
};
use tonic::Code;

use crate::{
    caller::{by_email, by_id, new_user},
    harness::Server,
    journal,
    reset::BUYER,
};

const MEBIBYTE: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_without_a_sensible_user_or_level_is_an_invalid_field() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let before = server.data.dump().await;
    let at = |level: i32| ResetUserRequest {
        level,
        ..by_email(BUYER)
    };
    let long = format!("{}@test.com", "a".repeat(MEBIBYTE));
    for (request, field, about) in [
        (ResetUserRequest::default(), "user", "user_id or email"),
        (by_email(""), "email", "empty"),
        (by_id(""), "user_id", "empty"),
        (by_email("maria"), "email", "name@example.com"),
        (by_email("@test.com"), "email", "name@example.com"),
        (by_email("maria@"), "email", "name@example.com"),
        (by_email("a b@test.com"), "email", "name@example.com"),
        (by_email("a@evil.org\n@test.com"), "email", "control"),
        (by_email("a@test.com\0"), "email", "control"),
        (by_email(&long), "email", "320 bytes"),
        (by_id("1\n2"), "user_id", "control"),
        (by_id(&"1".repeat(MEBIBYTE)), "user_id", "256 bytes"),
        (at(4), "level", "more than one user"),
        (at(5), "level", "more than one user"),
        (at(99), "level", "99"),
        (at(-1), "level", "-1"),
    ] {
        let told = tester.reset(request).await.unwrap_err();
        told.field(field);
        assert!(told.message.contains(field), "{told:#?}");
        assert!(told.message.contains(about), "{told:#?}");
    }
    before.assert_same(&server.data.dump().await, "an invalid reset");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_with_a_senseless_field_creates_nobody() {
    let server = Server::start().await;
    let admin = server.caller(Role::Admin).await;
    let before = server.data.dump().await;
    let erika = || new_user("erika@test.com");
    let attribute = |name: &str, value: &str| CreateTestUserRequest {
        attributes: [(name.to_owned(), value.to_owned())].into(),
        ..erika()
    };
    let password = |password: &str| CreateTestUserRequest {
        password: password.to_owned(),
        ..erika()
    };
    let session = |session: &str| CreateTestUserRequest {
        test_session_id: Some(session.to_owned()),
        ..erika()
    };
    let long = "x".repeat(MEBIBYTE);
    for (request, field, about) in [
        (new_user(""), "email", "empty"),
        (new_user("erika"), "email", "name@example.com"),
        (new_user("erika@gmail.com"), "email", "example.com"),
        (new_user("erika@test.com.evil.org"), "email", "test domain"),
        (new_user(&format!("{long}@test.com")), "email", "320 bytes"),
        (password(&"x".repeat(73)), "password", "72 bytes"),
        (password("with a \0 inside"), "password", "NUL"),
        (password(&long), "password", "72 bytes"),
        (session(""), "test_session_id", "empty"),
        (session("a\nb"), "test_session_id", "control"),
        (session(&long), "test_session_id", "128 bytes"),
        (attribute("password_hash", "x"), "attributes", "nombre"),
        (attribute("id", "1"), "attributes", "nombre"),
        (attribute("no such column", "1"), "attributes", "nombre"),
        (attribute("", "1"), "attributes", "empty"),
        (attribute(&long, "1"), "attributes", "128 bytes"),
        (
            attribute("nombre\", is_active) --", "1"),
            "attributes",
            "nombre",
        ),
        (attribute("nombre", &long), "attributes", "bytes"),
        (
            CreateTestUserRequest {
                user_type: long.clone(),
                ..erika()
            },
            "user_type",
            "bytes",
        ),
    ] {
        let told = admin.create(request).await.unwrap_err();
        told.field(field);
        assert!(told.message.contains(about), "{told:#?}");
    }
    before.assert_same(&server.data.dump().await, "an invalid creation");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_cannot_be_is_an_invalid_field() {
    let server = Server::start().await;
    let viewer = server.caller(Role::Viewer).await;
    for page_size in [-1, 1001, i32::MAX, i32::MIN] {
        let request = StatisticsRequest {
            page_size,
            ..StatisticsRequest::default()
        };
        viewer
            .statistics(request)
            .await
            .unwrap_err()
            .field("page_size");
    }
    for page_token in ["x", "zz", "ff", "'"] {
        let request = StatisticsRequest {
            page_token: page_token.to_owned(),
            ..StatisticsRequest::default()
        };
        viewer
            .statistics(request)
            .await
            .unwrap_err()
            .field("page_token");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_target_is_not_found_however_long_its_name() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let request = ResetUserRequest {
        target: "staging".to_owned(),
        ..by_email(BUYER)
    };
    let told = tester.reset(request).await.unwrap_err();
    told.is(Code::NotFound, "TARGET_NOT_FOUND");
    assert!(
        told.message.contains("demo"),
        "it names those that there are"
    );
    assert_eq!(told.metadata["target"], "staging");
    let resource = told.details.resource_info().expect("ResourceInfo");
    assert_eq!(resource.resource_name, "staging");
    for target in ["x".repeat(MEBIBYTE), "é".repeat(200), "a\nb".to_owned()] {
        let request = ResetUserRequest {
            target: target.clone(),
            ..by_email(BUYER)
        };
        tester.reset(request).await.unwrap_err().field("target");
        let request = StatisticsRequest {
            target,
            ..StatisticsRequest::default()
        };
        tester
            .statistics(request)
            .await
            .unwrap_err()
            .field("target");
    }
    // What nobody could use is not written down either.
    let records = server.data.records().await;
    assert!(records.iter().all(|r| r.body.to_string().len() < 10_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_limit_is_refused_as_such() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let told = tester
        .reset(by_id(&"1".repeat(5 * MEBIBYTE)))
        .await
        .unwrap_err();
    told.is(Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    assert!(told.message.contains("4 MiB"), "{told:#?}");
    assert!(told.details.quota_failure().is_some());
    // The connection lives on.
    tester
        .reset(by_email("nuevo.usuario@test.com"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_operation_is_not_recorded_as_one() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let told = tester.reset(ResetUserRequest::default()).await.unwrap_err();
    assert_eq!(told.operation, None);
    let records = server.data.records().await;
    assert_eq!(journal::kind(&records, "intent").count(), 0);
}
