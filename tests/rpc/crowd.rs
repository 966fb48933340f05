//! Many callers at once: nobody waits for ever, nothing is lost or done by
//! halves.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use resetd::access::Role;
use tokio::task::JoinSet;
use tonic::Code;

use crate::{
    caller::{Caller, Told, by_email, dry, new_user},
    harness::Server,
    journal,
    reset::BUYER,
};

const CALLERS: usize = 16;
const ROUNDS: usize = 50;
const EMAILS: [&str; 4] = [
    "one@test.com",
    "two@testing.com",
    "three@dev.com",
    "four@example.com",
];

/// One caller's turn; the code of whatever was refused.
async fn turn(caller: &Caller, number: usize) -> Option<Code> {
    let email = EMAILS[number % EMAILS.len()];
    let answer: Result<(), Told> = match number % 3 {
        0 => caller.reset(by_email(email)).await.map(drop),
        1 => caller.create(new_user(email)).await.map(drop),
        _ => caller.reset(dry(by_email(email))).await.map(drop),
    };
    answer.err().map(|told| told.code)
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_callers_on_four_users_do_each_others_work_no_harm() {
    let server = Server::start().await;
    let before = server.data.dump().await.without_proofs();
    let mut crowd = JoinSet::new();
    let turns = std::sync::Arc::new(AtomicUsize::new(0));
    for number in 0..CALLERS {
        let caller = server.caller(Role::Tester).await;
        let turns = turns.clone();
        crowd.spawn(async move {
            let mut codes = Vec::new();
            for _ in 0..ROUNDS {
                let turn_number = turns.fetch_add(1, Ordering::Relaxed);
                codes.extend(turn(&caller, turn_number + number).await);
            }
            codes
        });
    }
    let mut refused: BTreeMap<i32, usize> = BTreeMap::new();
    while let Some(codes) = crowd.join_next().await {
        for code in codes.unwrap() {
            let allowed = [Code::AlreadyExists, Code::NotFound, Code::Aborted];
            assert!(allowed.contains(&code), "{code:?}");
            *refused.entry(code.into()).or_default() += 1;
        }
    }
    println!(
        "of {} calls refused, by code: {refused:?}",
        CALLERS * ROUNDS
    );
    let records = server.data.records().await;
    assert_eq!(journal::kind(&records, "intent").count(), CALLERS * ROUNDS);
    assert_eq!(journal::kind(&records, "outcome").count(), CALLERS * ROUNDS);

    // Creations minus resets is who is there.
    let count = |state: &str, action: &str| {
        let begun = journal::kind(&records, "intent").filter(|r| {
            r.body["action"]["action"] == action && r.body["action"]["mode"] == "execute"
        });
        begun
            .filter(|r| journal::outcome(&records, &r.operation)["state"] == state)
            .count()
    };
    let (created, gone) = (
        count("created", "create_test_user"),
        count("committed", "reset_user"),
    );
    assert!(created > 0 && gone > 0, "{created} created, {gone} gone");
    let after = server.data.dump().await.without_proofs();
    let new = after.deleted(&before);
    assert_eq!(new.len(), created - gone);
    assert!(before.deleted(&after).is_empty() && before.changed(&after).is_empty());
    // Each that was kept proves itself in the target, and no other.
    let proofs = server.data.number("SELECT count(*) FROM resetd_commit");
    assert_eq!(usize::try_from(proofs.await).unwrap(), created + gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_reset_the_same_user_one_does_it() {
    let server = Server::start().await;
    let mut crowd = JoinSet::new();
    for _ in 0..CALLERS {
        let caller = server.caller(Role::Tester).await;
        crowd.spawn(async move { caller.reset(by_email(BUYER)).await });
    }
    let mut done = Vec::new();
    while let Some(answer) = crowd.join_next().await {
        match answer.unwrap() {
            Ok(result) => done.push(result),
            Err(told) => drop(told.is(Code::NotFound, "USER_NOT_FOUND")),
        }
    }
    assert_eq!(done.len(), 1);
    assert!(done[0].total_rows > 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_does_not_wait_for_who_is_writing() {
    let server = Server::start().await;
    let viewer = server.caller(Role::Viewer).await;
    let hold = server.data.hold().await;
    let begun = std::time::Instant::now();
    for _ in 0..10 {
        viewer
            .status(resetd::proto::GetStatusRequest::default())
            .await
            .unwrap();
        viewer
            .statistics(resetd::proto::StatisticsRequest::default())
            .await
            .unwrap();
    }
    assert!(begun.elapsed() < resetd::target::LOCK_TIMEOUT);
    hold.release().await;
}
