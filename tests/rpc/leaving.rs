//! An operation outlives its caller: who leaves, or whose deadline passes,
//! never leaves a reset half done, unrecorded, or in the next one's way.

use std::time::{Duration, Instant};

use resetd::{access::Role, proto::ResetUserRequest};
use tokio::task::JoinHandle;
use tonic::{Code, Request};

use crate::{
    caller::{Caller, Told, by_email},
    dump::Dump,
    harness::{Data, Server, until},
    journal,
    reset::BUYER,
};

pub const OTHER: &str = "tienda.demo@test.com";

/// Keeps a reset busy in the midst of its transaction: for a moment, or for
/// longer than any test.
pub fn slow(rounds: u64) -> String {
    format!(
        "CREATE TRIGGER slow BEFORE DELETE ON users BEGIN SELECT count(*) FROM \
         (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < {rounds}) \
         SELECT x FROM c); END"
    )
}

pub const FOR_EVER: u64 = 1_000_000_000_000;

/// The number of operations that have begun, and of those that have ended.
pub async fn begun_and_ended(data: &Data) -> (usize, usize) {
    let records = data.records().await;
    let count = |kind| journal::kind(&records, kind).count();
    (count("intent"), count("outcome"))
}

fn send(caller: &Caller, request: Request<ResetUserRequest>) -> JoinHandle<Result<(), Told>> {
    let caller = caller.clone();
    tokio::spawn(async move { caller.send_reset(request).await.map(drop) })
}

/// Whether the reset was done wholly; fails when it was done by halves.
fn is_done(before: &Dump, after: &Dump, email: &str) -> bool {
    let user = before.find("users", "email", email).unwrap();
    if before == after {
        return false;
    }
    let id = before.value(&user, "id").unwrap();
    let mentions = after.mentions(&id, &["resetd_commit"]);
    assert!(mentions.is_empty(), "half done: {mentions:#?}");
    true
}

/// The journal's only outcome agrees with the database.
async fn agrees(server: &Server, before: &Dump) -> bool {
    let after = server.data.dump().await;
    let done = is_done(before, &after, BUYER);
    let records = server.data.records().await;
    let outcome = journal::kind(&records, "outcome").next().unwrap();
    let state = if done { "committed" } else { "failed" };
    assert_eq!(outcome.body["state"], state, "{outcome:?}");
    done
}

async fn assert_works(server: &Server) {
    let tester = server.caller(Role::Tester).await;
    let done = tester.reset(by_email(OTHER)).await.unwrap();
    assert!(done.total_rows > 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_while_waiting_stops_nothing() {
    let server = Server::start().await;
    let before = server.data.dump().await;
    let hold = server.data.hold().await;
    let tester = server.caller(Role::Tester).await;
    let call = send(&tester, tester.request(by_email(BUYER)));
    drop(tester);
    until("the intent", async || {
        begun_and_ended(&server.data).await == (1, 0)
    })
    .await;
    // Takes the future and, as its last user, the connection.
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    hold.release().await;
    until("the outcome", async || {
        begun_and_ended(&server.data).await == (1, 1)
    })
    .await;
    assert!(agrees(&server, &before).await, "it was stopped");
    assert_works(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_in_the_midst_stops_nothing() {
    let server = Server::start().await;
    server.data.run(&slow(3_000_000)).await;
    let before = server.data.dump().await;
    let tester = server.caller(Role::Tester).await;
    let call = send(&tester, tester.request(by_email(BUYER)));
    drop(tester);
    until("the transaction", async || {
        server.data.is_being_written().await
    })
    .await;
    call.abort();
    until("the outcome", async || {
        begun_and_ended(&server.data).await == (1, 1)
    })
    .await;
    assert!(agrees(&server, &before).await, "it was stopped");
    assert_works(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_callers_who_leave_leave_nothing_behind() {
    let server = Server::start().await;
    let hold = server.data.hold().await;
    for round in 1..=10 {
        let tester = server.caller(Role::Tester).await;
        let calls: Vec<_> = (0..10)
            .map(|_| send(&tester, tester.request(by_email(BUYER))))
            .collect();
        until("the intents", async || {
            begun_and_ended(&server.data).await.0 == round * 10
        })
        .await;
        calls.iter().for_each(JoinHandle::abort);
    }
    hold.release().await;
    until("every outcome", async || {
        let (begun, ended) = begun_and_ended(&server.data).await;
        begun == ended
    })
    .await;
    assert_works(&server).await;
}

/// A call with a deadline fails by it, in time and recorded, with nothing
/// changed then or later.
async fn passes(server: &Server, before: &Dump, timeout: Duration) -> Told {
    let tester = server.caller(Role::Tester).await;
    let mut request = tester.request(by_email(BUYER));
    request.set_timeout(timeout);
    let begun = Instant::now();
    let told = tester.send_reset(request).await.unwrap_err();
    assert!(begun.elapsed() <= timeout + Duration::from_secs(1));
    told.is(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert!(told.message.contains("nothing was changed"), "{told:#?}");
    assert!(told.message.contains(&told.metadata["phase"]), "{told:#?}");
    before.assert_same(&server.data.dump().await, "a deadline that passed");
    let records = server.data.records().await;
    let outcome = journal::outcome(&records, told.operation.as_ref().unwrap());
    assert_eq!(outcome["state"], "failed");
    assert_eq!(outcome["reason"], "DEADLINE_EXCEEDED");
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_while_waiting_is_told_in_time() {
    let server = Server::start().await;
    let before = server.data.dump().await;
    let hold = server.data.hold().await;
    passes(&server, &before, Duration::from_secs(3)).await;
    hold.release().await;
    before.assert_same(&server.data.dump().await, "a release after the deadline");
    assert_works(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_in_the_queue_is_told_in_time() {
    let server = Server::start().await;
    let hold = server.data.hold().await;
    let before = server.data.dump().await;
    let tester = server.caller(Role::Tester).await;
    // Has the turn, and waits for the lock.
    let first = send(&tester, tester.request(by_email(OTHER)));
    until("the intent", async || {
        begun_and_ended(&server.data).await == (1, 0)
    })
    .await;
    passes(&server, &before, Duration::from_secs(3)).await;
    hold.release().await;
    // On a slow machine its own time was over as well.
    if let Err(told) = first.await.unwrap() {
        told.is(Code::Aborted, "LOCK_TIMEOUT");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_in_the_midst_rolls_back() {
    let server = Server::start().await;
    server.data.run(&slow(FOR_EVER)).await;
    let before = server.data.dump().await;
    let told = passes(&server, &before, Duration::from_secs(3)).await;
    assert!(told.metadata["phase"].contains("users"), "{told:#?}");
    server.data.run("DROP TRIGGER slow").await;
    assert_works(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_of_a_millisecond_changes_nothing() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let before = server.data.dump().await;
    for _ in 0..20 {
        let mut request = tester.request(by_email(BUYER));
        request.set_timeout(Duration::from_millis(1));
        let status = tester.client.clone().reset_user(request).await.unwrap_err();
        // The client's own clock may be first, and says so in its words.
        if status.code() != Code::Cancelled {
            Told::of(&status).is(Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
        }
    }
    until("every outcome", async || {
        let (begun, ended) = begun_and_ended(&server.data).await;
        begun == ended
    })
    .await;
    before.assert_same(&server.data.dump().await, "a millisecond");
    assert_works(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_is_far_or_cannot_be_read_stops_nothing() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    for text in ["soon", "1", "-1S", "99999999H", "30S"] {
        let mut request = tester.request(by_email("nuevo.usuario@test.com"));
        request.get_mut().validate_only = true;
        request
            .metadata_mut()
            .insert("grpc-timeout", text.parse().unwrap());
        tester.send_reset(request).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_held_for_too_long_is_given_up_and_not_reset_later() {
    let server = Server::start().await;
    let before = server.data.dump().await;
    let hold = server.data.hold().await;
    let tester = server.caller(Role::Tester).await;
    let told = tester.reset(by_email(BUYER)).await.unwrap_err();
    told.is(Code::Aborted, "LOCK_TIMEOUT");
    let wait = told.details.retry_info().expect("RetryInfo").retry_delay;
    assert!(wait.is_some_and(|wait| !wait.is_zero()));
    hold.release().await;
    before.assert_same(&server.data.dump().await, "a lock that came too late");
    assert_works(&server).await;
}
