//! Test users that are created.

use resetd::proto::CreateTestUserRequest;
use tonic::Code;

use super::{LOOK_ALIKES, MESTORE};
use crate::{
    cases,
    place::Kind,
    world::{World, refusal},
};

cases! {
    BOTH: a17_a28_with_what_the_document_promises,
        a17_with_everything_that_can_be_asked_for;
    SQLITE: a17_the_hash_costs_what_the_environment_says;
}

fn create(email: &str) -> CreateTestUserRequest {
    CreateTestUserRequest {
        email: email.to_owned(),
        ..CreateTestUserRequest::default()
    }
}

async fn a17_a28_with_what_the_document_promises(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let tester = world.tester().await;
    let answer = tester.create_test_user(create("ensayo@test.com")).await;
    let answer = answer.unwrap();
    assert_eq!(answer.message, "Test user created successfully");
    let user = answer.user.unwrap();
    assert_eq!(
        (user.email.as_str(), user.user_type.as_str()),
        ("ensayo@test.com", "BUYER")
    );
    assert_eq!(
        (answer.actor.as_str(), answer.environment.as_str()),
        ("the tester", "test")
    );
    assert!(answer.finish_time.is_some());
    let stored = "email = 'ensayo@test.com' AND is_active AND is_verified AND email_verified \
                  AND user_type = 'BUYER'";
    assert_eq!(world.count("users", stored).await, 1);
    let hash = world
        .ask("SELECT password_hash FROM users WHERE email = 'ensayo@test.com'")
        .await;
    assert!(bcrypt::verify("testpass123", &hash).unwrap());
    for email in LOOK_ALIKES {
        let (code, reason, message) = refusal(tester.create_test_user(create(email)).await);
        assert_eq!(
            code,
            if reason == "INVALID_FIELD" {
                Code::InvalidArgument
            } else {
                Code::FailedPrecondition
            }
        );
        assert!(
            message.contains("test domain") || reason == "NOT_A_TEST_USER",
            "{message}"
        );
    }
}

async fn a17_with_everything_that_can_be_asked_for(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let attributes = [
        ("nombre", "Tést"),
        ("apellido", "Usuario"),
        ("cedula", "1000200300"),
        ("telefono", "+57 300 000 0000"),
        ("ciudad", "Bogotá"),
    ];
    let request = CreateTestUserRequest {
        password: "otra clave".to_owned(),
        user_type: "VENDOR".to_owned(),
        attributes: attributes
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..create("vendedor@example.com")
    };
    let tester = world.tester().await;
    tester.create_test_user(request).await.unwrap();
    let stored = world
        .ask(
            "SELECT nombre, apellido, cedula, telefono, ciudad, CAST(user_type AS TEXT), password_hash \
             FROM users WHERE email = 'vendedor@example.com'",
        )
        .await;
    let (known, hash) = stored.rsplit_once('|').unwrap();
    assert_eq!(
        known,
        "Tést|Usuario|1000200300|+57 300 000 0000|Bogotá|VENDOR"
    );
    assert!(bcrypt::verify("otra clave", hash).unwrap());
    let unknown = CreateTestUserRequest {
        attributes: [("is_active".to_owned(), "false".to_owned())].into(),
        ..create("otro@example.com")
    };
    let (code, ..) = refusal(tester.create_test_user(unknown).await);
    assert_eq!(code, Code::InvalidArgument, "only what the policy lists");
}

async fn a17_the_hash_costs_what_the_environment_says(kind: Kind) {
    for (environment, prefix) in [("testing", "$2b$04$"), ("development", "$2b$08$")] {
        let world = World::with(MESTORE, kind, |setup| {
            setup.environment = environment.to_owned();
        })
        .await;
        let tester = world.tester().await;
        tester
            .create_test_user(create("uno@test.com"))
            .await
            .unwrap();
        let hash = world
            .ask("SELECT password_hash FROM users WHERE email = 'uno@test.com'")
            .await;
        assert!(hash.starts_with(prefix), "{hash}");
    }
}
