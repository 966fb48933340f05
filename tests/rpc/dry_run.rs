//! A dry run says exactly what the run will do, and does nothing.

use resetd::{
    access::Role,
    proto::{ResetLevel, ResetResult},
};
use sqlx::{Connection as _, Row as _};

use crate::{
    caller::{at, by_email, by_id, dry, new_user},
    harness::Server,
};

/// A random order that can be asked for again.
struct Random(u64);

impl Random {
    /// From `RESETD_SEED`, else anew; printed, so that a failure can be had
    /// again.
    fn new() -> Self {
        let given = std::env::var("RESETD_SEED").ok();
        let seed = given.map_or_else(
            || {
                let mut bytes = [0; 8];
                getrandom::fill(&mut bytes).unwrap();
                u64::from_le_bytes(bytes)
            },
            |text| text.parse().unwrap(),
        );
        println!("RESETD_SEED={seed}");
        Self(seed | 1)
    }

    /// Xorshift: enough to shuffle.
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }
}

/// What a run and its dry run must agree on.
fn said(result: &ResetResult) -> impl PartialEq + std::fmt::Debug + '_ {
    (
        (result.level, &result.tables, &result.shared),
        (result.total_rows, &result.affected_users, &result.warnings),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_exactly_what_the_run_does_for_a_hundred_random_users() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let mut random = Random::new();
    let mut emails = server
        .data
        .texts("SELECT email FROM users WHERE rowid <= 100")
        .await;
    random.shuffle(&mut emails);
    // Its number moves when, and only when, somebody commits.
    let mut watch = server.data.connect().await;
    let mut version = async || -> i64 {
        let row = sqlx::query("PRAGMA data_version").fetch_one(&mut watch);
        row.await.unwrap().get(0)
    };
    let (mut rows, mut runs) = (0, 0);
    for (number, email) in emails.iter().enumerate() {
        for level in [
            ResetLevel::UserData,
            ResetLevel::UserSessions,
            ResetLevel::UserCascade,
        ] {
            let full = number % 20 == 0;
            let before = if full {
                Some(server.data.dump().await)
            } else {
                None
            };
            let was = version().await;
            let request = at(level, by_email(email));
            let preview = tester.reset(dry(request.clone())).await.unwrap();
            let cascades = level == ResetLevel::UserCascade;
            assert!(preview.validate_only && preview.plan.is_empty() != cascades);
            let strategy = preview.strategy.as_ref().unwrap();
            assert_eq!(strategy.name, "one text");
            assert!(strategy.reason.contains("few"), "{strategy:?}");
            assert_eq!(version().await, was, "a dry run committed something");
            if let Some(before) = before {
                before.assert_same(&server.data.dump().await, "a dry run");
            }
            let done = tester.reset(request).await.unwrap();
            assert_ne!(version().await, was, "a run committed nothing");
            assert_eq!(done.strategy, None, "of a dry run only");
            assert_eq!(said(&preview), said(&done), "{email} at {level:?}");
            rows += done.total_rows;
            runs += 1;
        }
    }
    watch.close().await.unwrap();
    assert_eq!(runs, 300);
    assert!(rows > 1_000, "only {rows} rows were reset");
    let left = "SELECT count(*) FROM users WHERE rowid <= 100";
    assert_eq!(server.data.number(left).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_a_missing_user_fails_as_the_run_would() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let nobody = by_id("00000000-0000-4000-8000-000000000000");
    let told = tester.reset(dry(nobody)).await.unwrap_err();
    assert_eq!(told.reason, "USER_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_creation_creates_nobody() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let before = server.data.dump().await;
    let mut request = new_user("erika@test.com");
    request.validate_only = true;
    let preview = tester.create(request.clone()).await.unwrap();
    assert!(preview.validate_only);
    before.assert_same(&server.data.dump().await, "a dry creation");
    request.validate_only = false;
    let created = tester.create(request).await.unwrap();
    let (preview, created) = (preview.user.unwrap(), created.user.unwrap());
    assert_eq!(preview.user_type, created.user_type);
    let columns = |user: &resetd::proto::TestUser| {
        let mut columns: Vec<String> = user.columns.keys().cloned().collect();
        columns.sort();
        columns
    };
    assert_eq!(columns(&preview), columns(&created));
}
