//! Each check of the protocol is needed: without it, what the suite looks for
//! goes wrong. The check is switched off, the case is run, and must fail.

use std::panic::AssertUnwindSafe;

use crate::{
    arrows, injected, operated, outages,
    world::{GONE, Kind, World, by_email, request, until},
};

/// Without the proof a committed operation is taken for one that was not: the
/// same request is executed a second time.
pub async fn without_the_proof(kind: Kind) {
    let world = World::new(kind).await;
    let mut server = world.start().await;
    server.order("skip.proof", "");
    server.order("committed", "stop");
    let mut client = server.resets().await;
    let message = by_email(&world.user(0));
    operated();
    let call = tokio::spawn(async move { drop(client.reset_user(request(message)).await) });
    server.reached("committed").await;
    server.kill();
    injected();
    call.await.unwrap();
    let _server = world.start().await;
    until("the end", async || {
        world
            .recorded("SELECT count(*) FROM operation WHERE state = 'open'")
            .await
            == 0
    })
    .await;
    let failed = "SELECT count(*) FROM operation WHERE state = 'failed'";
    assert_eq!(
        world.recorded(failed).await,
        1,
        "the proof is not needed to tell a committed operation"
    );
    assert_eq!(world.traces(&world.user(0)).await.rows, 0);
}

/// Without the pending row what belonged to the rows is forgotten.
pub async fn without_the_pending_row(kind: Kind) {
    let world = World::new(kind).await;
    let mut server = world.start().await;
    server.order("skip.pending", "");
    operated();
    let told = server.reset(&world.user(0)).await;
    injected();
    drop(told);
    server.kill();
    let _server = world.start().await;
    let left = world.traces(&world.user(0)).await;
    assert_ne!(left, GONE, "the pending row is not needed");
    assert_eq!(left.rows, 0);
}

/// Without the lease two servers do the same at the same time.
pub async fn without_the_lease(_: Kind) {
    let apply_twice = async |is_skipped: bool| {
        let world = World::new(Kind::Postgres).await;
        let first = world.start_as("points1").await;
        first.order("claimed", "stop");
        let mut client = first.resets().await;
        let message = by_email(&world.user(0));
        operated();
        let call = tokio::spawn(async move { drop(client.reset_user(request(message)).await) });
        first.reached("claimed").await;
        injected();
        let second = world.start_as("points2").await;
        if is_skipped {
            second.order("skip.lease", "");
        }
        second.order("claimed", "stop");
        // Twice its round.
        tokio::time::sleep(std::time::Duration::from_secs(4)).await;
        let is_claimed = second.is_reached("claimed");
        first.release("claimed");
        if is_claimed {
            second.release("claimed");
        }
        call.await.unwrap();
        is_claimed
    };
    assert!(!apply_twice(false).await, "what is leased was claimed");
    assert!(apply_twice(true).await, "the lease is not needed");
}

/// Without the look at a path, a row has the root's own mark removed.
pub async fn without_the_containment_check(kind: Kind) {
    let world = World::new(kind).await;
    let user = world.user(0);
    world
        .run(&format!(
            "INSERT INTO posts VALUES ('x', '{user}', '.resetd-root')"
        ))
        .await;
    let server = world.start().await;
    server.order("skip.containment", "");
    operated();
    injected();
    server.reset(&user).await.unwrap();
    until("the mark to go", async || {
        !world.storage().join(".resetd-root").exists()
    })
    .await;
}

/// The same cases with every check in place hold; so what fails above fails
/// for want of the check.
pub async fn with_all_of_them(kind: Kind) {
    let holds = AssertUnwindSafe(async {
        arrows::killed_after_the_commit_the_rest_follows(kind).await;
        outages::a_shared_file_stays(kind).await;
    });
    holds.0.await;
}
