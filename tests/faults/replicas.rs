//! Three servers on one journal and one target behave as one.

use std::{collections::BTreeMap, sync::Arc};

use resetd::proto::ResetUserRequest;
use tonic::Code;
use uuid::Uuid;

use crate::{
    injected, operated,
    redis::Redis,
    world::{GONE, Kind, Server, WHOLE, World, by_email, email, reason, request, until},
};

async fn three(world: &World) -> [Server; 3] {
    [
        world.start_as("points1").await,
        world.start_as("points2").await,
        world.start_as("points3").await,
    ]
}

/// One request at all of them is executed once, and answered the same.
pub async fn one_request_at_all_of_them(_: Kind) {
    let world = World::new(Kind::Postgres).await;
    let servers = three(&world).await;
    let message = ResetUserRequest {
        request_id: Uuid::now_v7().to_string(),
        ..by_email(&world.user(0))
    };
    let mut calls = tokio::task::JoinSet::new();
    for server in &servers {
        for _ in 0..8 {
            let (mut client, message) = (server.resets().await, message.clone());
            operated();
            calls.spawn(async move { client.reset_user(request(message)).await });
        }
    }
    let mut answers = Vec::new();
    for answer in calls.join_all().await {
        answers.push(answer.unwrap().into_inner());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let other = ResetUserRequest {
        force: true,
        ..message
    };
    let status = servers[2].send(other).await.unwrap_err();
    assert_eq!(reason(&status), "REQUEST_ID_REUSED");
    world.settled().await;
    assert_eq!(world.traces(&world.user(0)).await, GONE);
}

/// What one that was killed has left, another ends.
pub async fn what_one_leaves_another_ends(_: Kind) {
    for point in ["committed", "applied", "before_close", "before_commit"] {
        let world = World::new(Kind::Postgres).await;
        let mut first = world.start_as("points1").await;
        let second = world.start_as("points2").await;
        first.order(point, "stop");
        let mut client = first.resets().await;
        let message = ResetUserRequest {
            request_id: Uuid::now_v7().to_string(),
            ..by_email(&world.user(0))
        };
        let sent = message.clone();
        operated();
        let call = tokio::spawn(async move { drop(client.reset_user(request(sent)).await) });
        first.reached(point).await;
        injected();
        first.kill();
        call.await.unwrap();
        // Asked for again elsewhere, it is answered once somebody knows.
        let answer = second.send(message).await.unwrap();
        assert_eq!(answer.result.unwrap().affected_user_count, 1, "{point}");
        world.settled().await;
        assert_eq!(world.traces(&world.user(0)).await, GONE, "{point}");
    }
}

/// A server that was only slow, and was taken for dead, commits no more.
pub async fn one_that_is_slow_is_overtaken(_: Kind) {
    let world = World::new(Kind::Postgres).await;
    let first = world.start_as("points1").await;
    first.order("working", "stop");
    let mut client = first.resets().await;
    let message = by_email(&world.user(0));
    operated();
    let call = tokio::spawn(async move { client.reset_user(request(message)).await });
    first.reached("working").await;
    injected();
    // As if it had not been seen for long.
    world
        .write_journal("UPDATE server SET ended_at = seen_at")
        .await;
    let _second = world.start_as("points2").await;
    until("the decision", async || {
        let decided = format!("SELECT count(*) FROM {}", world.own("commit"));
        world.number(&decided).await == 1
    })
    .await;
    first.release("working");
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Aborted, "{status:?}");
    assert_eq!(reason(&status), "OPERATION_ABORTED");
    assert_eq!(world.traces(&world.user(0)).await, WHOLE);
    world.settled().await;
}

/// All of them reset the same user, or everything, at once: one does the work.
pub async fn all_at_once_one_does_the_work(_: Kind) {
    let world = World::new(Kind::Postgres).await;
    let servers = three(&world).await;
    let mut calls = tokio::task::JoinSet::new();
    for server in &servers {
        let (mut client, user) = (server.resets().await, world.user(0));
        operated();
        calls.spawn(async move { client.reset_user(request(by_email(&user))).await });
    }
    let mut done = 0;
    for answer in calls.join_all().await {
        match answer {
            Ok(_) => done += 1,
            Err(status) => assert_eq!(reason(&status), "USER_NOT_FOUND"),
        }
    }
    assert_eq!(done, 1);
    let mut calls = tokio::task::JoinSet::new();
    for server in &servers {
        let mut client = server.resets().await;
        operated();
        calls.spawn(async move {
            let message = resetd::proto::ResetTestUsersRequest::default();
            client.reset_test_users(request(message)).await
        });
    }
    let mut users = 0;
    for answer in calls.join_all().await {
        users += answer
            .unwrap()
            .into_inner()
            .result
            .unwrap()
            .affected_user_count;
    }
    assert_eq!(users, 5, "each user went once");
    world.settled().await;
}

/// Any of them cancels what another works on.
pub async fn any_of_them_cancels(_: Kind) {
    let world = World::new(Kind::Postgres).await;
    let first = world.start_as("points1").await;
    let second = world.start_as("points2").await;
    first.order("steps_taken", "stop");
    let mut client = first.resets().await;
    operated();
    let call = tokio::spawn(async move {
        let message = resetd::proto::ResetTestUsersRequest::default();
        client.reset_test_users(request(message)).await
    });
    first.reached("steps_taken").await;
    injected();
    let mut operations = second.operations().await;
    let listed = operations
        .list_operations(request(resetd::proto::ListOperationsRequest::default()))
        .await
        .unwrap()
        .into_inner();
    let operation_id = listed.operations[0].operation_id.clone();
    let message = resetd::proto::CancelOperationRequest { operation_id };
    operations.cancel_operation(request(message)).await.unwrap();
    let asked = "SELECT count(*) FROM operation WHERE cancel_requested = 1";
    assert_eq!(world.recorded(asked).await, 1);
    // The other server looks for it within half a second.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    first.release("steps_taken");
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Cancelled, "{status:?}");
    assert_eq!(world.traces(&world.user(0)).await, WHOLE);
    world.settled().await;
}

/// Thousands of resets and creations of the same hundred e-mails, from 32
/// callers over three servers (`FAULTS_CROWD` says how many): nothing but the errors that say so, nobody
/// lost, nothing left.
pub async fn thousands_of_the_same_hundred(_: Kind) {
    const CALLERS: usize = 32;
    let all = std::env::var("FAULTS_CROWD").map_or(2_000, |all| all.parse().unwrap());
    let each = all / CALLERS + 1;
    let world = Arc::new(World::with(Kind::Postgres, Redis::start(&[]).await).await);
    let servers = three(&world).await;
    let mut clients = Vec::new();
    for caller in 0..CALLERS {
        clients.push(servers[caller % 3].resets().await);
    }
    let mut callers = tokio::task::JoinSet::new();
    for (caller, mut client) in clients.into_iter().enumerate() {
        callers.spawn(async move {
            let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
            for round in 0..each {
                let user = format!("crowd{}", (caller * 31 + round * 17) % 100);
                operated();
                let answer = match (caller * 7 + round / 3) % 2 {
                    0 => {
                        let message = resetd::proto::CreateTestUserRequest {
                            email: email(&user),
                            ..resetd::proto::CreateTestUserRequest::default()
                        };
                        client.create_test_user(request(message)).await.map(drop)
                    }
                    _ => client.reset_user(request(by_email(&user))).await.map(drop),
                };
                let told = match answer {
                    Ok(()) => "OK".to_owned(),
                    Err(status) => reason(&status),
                };
                *reasons.entry(told).or_default() += 1;
            }
            reasons
        });
    }
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for told in callers.join_all().await {
        for (reason, count) in told {
            *reasons.entry(reason).or_default() += count;
        }
    }
    crate::say(&format!("  a crowd: {reasons:?}"));
    let allowed = [
        "OK",
        "USER_NOT_FOUND",
        "USER_EXISTS",
        "RESET_EFFECTS_PENDING",
        "LOCK_TIMEOUT",
        "OPERATION_IN_PROGRESS",
        "OPERATION_ABORTED",
        "DEADLOCK",
        "SCHEMA_DRIFT",
    ];
    let odd: Vec<_> = reasons
        .keys()
        .filter(|reason| !allowed.contains(&reason.as_str()))
        .collect();
    assert!(odd.is_empty(), "{odd:?}");
    world.settled().await;
    // Created and reset users even out to those that are there.
    let created = "SELECT count(*) FROM operation WHERE action = 'CreateTestUser' \
                   AND state = 'complete'";
    let reset = "SELECT count(*) FROM operation WHERE action = 'ResetUser' AND state = 'complete'";
    let there = "SELECT count(*) FROM users WHERE email LIKE 'crowd%'";
    let (created, reset) = (world.recorded(created).await, world.recorded(reset).await);
    assert_eq!(
        world.number(there).await,
        created - reset,
        "a user was lost"
    );
    let orphans = "SELECT count(*) FROM sessions WHERE user_id NOT IN (SELECT id FROM users)";
    assert_eq!(world.number(orphans).await, 0);
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(world.number(locks).await, 0);
}
