//! A created user is one that the application accepts, and their password is
//! nobody else's to know.

use std::collections::BTreeMap;

use resetd::{access::Role, proto::CreateTestUserRequest};
use tonic::Code;

use crate::{
    caller::{by_email, new_user},
    harness::{Data, Server},
    journal,
    process::Process,
};

const ERIKA: &str = "erika@test.com";
const SECRET: &str = "correct horse battery staple";

/// A column of a user.
async fn column(data: &Data, email: &str, column: &str) -> String {
    let sql = format!("SELECT CAST({column} AS TEXT) FROM users WHERE email = '{email}'");
    data.texts(&sql).await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_more_than_an_email_the_policy_fills_the_user_in() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let before = server.data.dump().await.without_proofs();
    let created = tester.create(new_user(ERIKA)).await.unwrap();
    assert_eq!(created.message, "Test user created successfully");
    assert_eq!(created.actor, "demo-tester");
    assert_eq!(created.environment, "development");
    assert!(!created.validate_only);
    let user = created.user.unwrap();
    assert_eq!(
        (user.email.as_str(), user.user_type.as_str()),
        (ERIKA, "BUYER")
    );
    assert_eq!(column(&server.data, ERIKA, "id").await, user.id);
    assert_eq!(
        uuid::Uuid::parse_str(&user.id).unwrap().get_version_num(),
        4
    );
    for name in ["is_active", "is_verified", "email_verified"] {
        assert_eq!(column(&server.data, ERIKA, name).await, "1", "{name}");
        assert_eq!(user.columns[name], "1", "{name}");
    }
    let hash = column(&server.data, ERIKA, "password_hash").await;
    assert!(bcrypt::verify("testpass123", &hash).unwrap());
    let after = server.data.dump().await.without_proofs();
    assert!(before.deleted(&after).is_empty() && before.changed(&after).is_empty());
    assert_eq!(after.deleted(&before).len(), 1, "one row and no other");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_is_set_and_told_back() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let attributes: BTreeMap<&str, &str> = [
        ("nombre", "Érika"),
        ("apellido", "O'Neill \"Ñ\" \\ %s"),
        ("telefono", ""),
        ("ciudad", "Bogotá\nD.C."),
    ]
    .into();
    let request = CreateTestUserRequest {
        password: SECRET.to_owned(),
        user_type: "VENDOR".to_owned(),
        attributes: attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..new_user(ERIKA)
    };
    let user = tester.create(request).await.unwrap().user.unwrap();
    assert_eq!(user.user_type, "VENDOR");
    for (name, value) in attributes {
        assert_eq!(user.columns[name], value);
        assert_eq!(column(&server.data, ERIKA, name).await, value);
    }
    let hash = column(&server.data, ERIKA, "password_hash").await;
    assert!(bcrypt::verify(SECRET, &hash).unwrap());
    assert!(hash.starts_with("$2b$08$"), "the policy's cost: {hash}");
    // And can be reset as any other test user.
    let done = tester.reset(by_email(ERIKA)).await.unwrap();
    assert_eq!(done.total_rows, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_password_is_used_to_its_last_byte() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let password = "ñ".repeat(36);
    assert_eq!(password.len(), 72);
    let request = CreateTestUserRequest {
        password: password.clone(),
        ..new_user(ERIKA)
    };
    tester.create(request).await.unwrap();
    let hash = column(&server.data, ERIKA, "password_hash").await;
    assert!(bcrypt::verify(&password, &hash).unwrap());
    let shorter = format!("{}n", "ñ".repeat(35));
    assert!(!bcrypt::verify(shorter, &hash).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_password_nor_hash_is_told_recorded_or_logged() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::demo(folder.path()).await;
    let data = Data::of(folder.path());
    let admin = process.caller("admin").await;
    let with = |email: &str, kind: &str| CreateTestUserRequest {
        password: SECRET.to_owned(),
        user_type: kind.to_owned(),
        ..new_user(email)
    };
    let created = admin.create(with(ERIKA, "")).await.unwrap();
    let mut said = vec![format!("{created:?}")];
    for request in [
        with(ERIKA, ""),
        with("other@test.com", "WIZARD"),
        with("erika@gmail.com", ""),
        with("not an address", ""),
        CreateTestUserRequest {
            password: format!("{SECRET}\0"),
            ..new_user("third@test.com")
        },
    ] {
        said.push(format!("{:?}", admin.create(request).await.unwrap_err()));
    }
    let hash = column(&data, ERIKA, "password_hash").await;
    said.extend(data.records().await.iter().map(|r| r.body.to_string()));
    said.push(process.said());
    for text in said {
        assert!(!text.contains(SECRET), "the password: {text}");
        assert!(!text.contains(&hash), "the hash: {text}");
        assert!(!text.contains("$2b$"), "a hash: {text}");
    }
    // Nor are they where the commit is proved.
    let proofs = data.texts("SELECT result FROM resetd_commit").await;
    assert!(
        proofs
            .iter()
            .all(|p| !p.contains(SECRET) && !p.contains("$2b$"))
    );
    drop(admin);
    process.stop(&data).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_exists_is_not_created_again() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    tester.create(new_user(ERIKA)).await.unwrap();
    let before = server.data.dump().await;
    let dry = CreateTestUserRequest {
        validate_only: true,
        ..new_user(ERIKA)
    };
    for request in [new_user(ERIKA), dry] {
        let told = tester.create(request).await.unwrap_err();
        told.is(Code::AlreadyExists, "USER_EXISTS");
        assert!(told.details.resource_info().is_some());
        let outcome = journal::outcome(&server.data.records().await, &told.operation.unwrap());
        assert_eq!(outcome["reason"], "USER_EXISTS");
    }
    // Another unique value of somebody else's.
    let sql = "SELECT cedula FROM users WHERE cedula IS NOT NULL LIMIT 1";
    let taken = server.data.texts(sql).await.remove(0);
    let request = CreateTestUserRequest {
        attributes: [("cedula".to_owned(), taken)].into(),
        ..new_user("other@test.com")
    };
    let told = tester.create(request).await.unwrap_err();
    told.is(Code::AlreadyExists, "USER_EXISTS");
    before.assert_same(&server.data.dump().await, "a second creation");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_session_marks_its_users() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let session = "test_session_1758000000_\"quoted\"";
    let request = CreateTestUserRequest {
        test_session_id: Some(session.to_owned()),
        ..new_user(ERIKA)
    };
    tester.create(request).await.unwrap();
    let mark = column(&server.data, ERIKA, "test_metadata").await;
    let mark: serde_json::Value = serde_json::from_str(&mark).unwrap();
    assert_eq!(mark["test_marker"], "integration_test_data");
    assert_eq!(mark["test_session_id"], session);
    assert_eq!(mark["created_by_test"], true);
    assert!(
        mark["test_timestamp"]
            .as_str()
            .is_some_and(|at| at.contains('T'))
    );
    let sql = "SELECT count(*) FROM users WHERE email = 'x@test.com' AND test_metadata IS NULL";
    tester.create(new_user("x@test.com")).await.unwrap();
    assert_eq!(server.data.number(sql).await, 1, "no session, no mark");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_outside_the_test_domains_is_refused_in_the_old_words() {
    let server = Server::start().await;
    let superuser = server.caller(Role::Superuser).await;
    let before = server.data.dump().await;
    for email in [
        "erika@gmail.com",
        "erika@test.com.evil.org",
        "erika@evil-test.com",
        "erika@tést.com",
        "erika@evil.org@test.com",
        "érika@test.com",
    ] {
        let told = superuser.create(new_user(email)).await.unwrap_err();
        told.field("email");
        let words = format!(
            "Email {email} doesn't use a test domain. Use one of: \
             dev.com, example.com, test.com, testing.com"
        );
        assert!(told.message.contains(&words), "{told:#?}");
    }
    before.assert_same(&server.data.dump().await, "a refused creation");
    let created = superuser.create(new_user("ERIKA@TEST.COM")).await.unwrap();
    assert_eq!(
        created.user.unwrap().email,
        "ERIKA@TEST.COM",
        "as it was asked"
    );
}
