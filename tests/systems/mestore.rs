//! MeStore, on SQLite and PostgreSQL, with its Redis.

use resetd::proto::{ResetUserRequest, reset_user_request::User};
use tonic::Code;

use crate::{
    cases,
    place::{Kind, System},
    world::{World, refusal},
};

cases! {
    BOTH: a05_exact_domains_are_test_users;
}

/// The system.
pub const MESTORE: System = System {
    name: "mestore",
    variant: None,
};

async fn a05_exact_domains_are_test_users(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let tester = world.tester().await;
    let reset = async |email: &str| {
        let request = ResetUserRequest {
            user: Some(User::Email(email.to_owned())),
            validate_only: true,
            ..ResetUserRequest::default()
        };
        tester.reset_user(request).await
    };
    for email in [
        "ana@test.com.evil.org",
        "luis@evil-test.com",
        "bob@test.community",
        "ceo@dev.company.com",
        "camila@tést.com",
        "xiomara@xtest.com",
    ] {
        let (code, reason, _) = refusal(reset(email).await);
        assert_eq!(
            (code, reason.as_str()),
            (Code::FailedPrecondition, "NOT_A_TEST_USER"),
            "{email}"
        );
    }
    let of_domain = async |domain: &str| {
        let question = format!(
            "SELECT min(email) FROM users WHERE lower(email) LIKE '%@{domain}' \
             AND user_type = 'BUYER'"
        );
        world.ask(&question).await
    };
    for domain in ["test.com", "testing.com", "dev.com", "example.com"] {
        let email = of_domain(domain).await;
        let answer = reset(&email).await.unwrap();
        let result = answer.result.unwrap();
        assert_eq!(result.affected_users[0].email, email, "{domain}");
    }
}
