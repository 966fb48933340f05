//! The server is killed, or told to stop, at every arrow of the protocol.

use tonic::Code;
use uuid::Uuid;

use crate::{
    injected, operated,
    world::{GONE, Kind, Server, Traces, WHOLE, World, by_email, reason},
};

/// Where nothing is durable in the target yet.
const BEFORE: &[&str] = &[
    "before_intent",
    "after_intent",
    "working",
    "begun",
    "rechecked",
    "found",
    "effects_written",
    "step",
    "steps_taken",
    "before_commit",
];

/// Where the rows have gone, and the rest is certain to follow.
const AFTER: &[&str] = &[
    "committed",
    "before_effects",
    "claimed",
    "applied",
    "renamed",
    "emptying",
    "before_close",
];

/// Holds a reset of a user at a place.
async fn held(world: &World, point: &str, id: Uuid) -> (Server, tokio::task::JoinHandle<()>) {
    let server = world.start().await;
    server.order(point, "stop");
    let mut client = server.resets().await;
    let message = resetd::proto::ResetUserRequest {
        request_id: id.to_string(),
        ..by_email(&world.user(0))
    };
    operated();
    let call = tokio::spawn(async move {
        // Whether it is answered is the server's to say.
        drop(client.reset_user(crate::world::request(message)).await);
    });
    server.reached(point).await;
    injected();
    (server, call)
}

/// Asks for the same once more, and looks that everything is as if it had
/// been asked for once.
async fn once(world: &World, id: Uuid) {
    let server = world.start().await;
    let message = resetd::proto::ResetUserRequest {
        request_id: id.to_string(),
        ..by_email(&world.user(0))
    };
    operated();
    let answer = server.send(message).await;
    let result = answer.unwrap().result.unwrap();
    assert_eq!(result.affected_user_count, 1);
    world.settled().await;
    assert_eq!(world.traces(&world.user(0)).await, GONE);
    assert_eq!(world.traces(&world.user(1)).await, WHOLE);
    let committed = format!(
        "SELECT count(*) FROM {} WHERE result <> '\"aborted\"'",
        world.own("commit")
    );
    let sweeps = "SELECT count(*) FROM operation WHERE action = 'SweepOrphans'";
    let sweeps = world.recorded(sweeps).await;
    let proofs = world.number(&committed).await;
    assert!(
        proofs <= 1 + sweeps,
        "{proofs} commits, {sweeps} of them sweeps"
    );
}

async fn killed(kind: Kind, point: &str, expected: Traces) {
    let world = World::new(kind).await;
    let id = Uuid::now_v7();
    let (mut server, call) = held(&world, point, id).await;
    server.kill();
    call.await.unwrap();
    let rows = world.traces(&world.user(0)).await.rows;
    assert_eq!(rows, expected.rows, "rows after kill -9 at {point}");
    // What is certain to follow follows without anybody asking for it.
    let server = world.start().await;
    world.settled().await;
    assert_eq!(world.traces(&world.user(0)).await, expected, "{point}");
    drop(server);
    once(&world, id).await;
}

pub async fn killed_before_the_commit_nothing_is_changed(kind: Kind) {
    for point in BEFORE {
        killed(kind, point, WHOLE).await;
    }
}

pub async fn killed_after_the_commit_the_rest_follows(kind: Kind) {
    for point in AFTER {
        killed(kind, point, GONE).await;
    }
}

/// A server that is told to stop finishes what it can, and rolls back what is
/// held for too long before its commit.
pub async fn told_to_stop_it_ends_or_rolls_back(kind: Kind) {
    let few = ["begun", "step", "before_commit", "committed", "applied"];
    let all = BEFORE.iter().chain(AFTER);
    // On the slower one not at every place.
    let points = all.filter(|point| kind == Kind::Sqlite || few.contains(point));
    for point in points {
        let world = World::new(kind).await;
        let id = Uuid::now_v7();
        let (mut server, call) = held(&world, point, id).await;
        let release = match *point {
            // There it cannot be stopped: it goes on by itself.
            "renamed" | "emptying" | "committed" | "before_effects" | "claimed" | "applied"
            | "before_close" => true,
            _ => false,
        };
        if release {
            server.release(point);
        }
        server.terminate().await;
        call.await.unwrap();
        let rows = world.traces(&world.user(0)).await.rows;
        assert!(rows == WHOLE.rows || rows == 0, "{rows} rows at {point}");
        drop(server);
        once(&world, id).await;
    }
}

/// The reply takes as long as the work, and no longer than its caller waits.
pub async fn a_slow_step_is_in_the_duration(kind: Kind) {
    let world = World::new(kind).await;
    let server = world.start().await;
    server.order("step", "sleep 300");
    injected();
    operated();
    let begun = std::time::Instant::now();
    let result = server.reset(&world.user(0)).await.unwrap().result.unwrap();
    let waited = begun.elapsed();
    let told: std::time::Duration = result.duration.unwrap().try_into().unwrap();
    assert!(told.as_millis() >= 300, "{told:?}");
    assert!(told <= waited, "{told:?} of {waited:?}");
    world.settled().await;
}

/// A panic answers INTERNAL, changes nothing, and the server goes on.
pub async fn a_panic_is_rolled_back(kind: Kind) {
    for point in ["rechecked", "step", "before_commit"] {
        let world = World::new(kind).await;
        let server = world.start().await;
        server.order(point, "panic");
        injected();
        operated();
        let status = server.reset(&world.user(0)).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(reason(&status), "INVARIANT_VIOLATED");
        assert_eq!(world.traces(&world.user(0)).await, WHOLE);
        server.reset(&world.user(0)).await.unwrap();
        world.settled().await;
        assert_eq!(world.traces(&world.user(0)).await, GONE);
    }
}

/// A sweep that is held keeps no reply waiting.
pub async fn the_sweep_delays_no_reply(kind: Kind) {
    let world = World::new(kind).await;
    world.run("INSERT INTO carts VALUES ('orphan', NULL)").await;
    let server = world.start().await;
    server.order("sweep", "stop");
    injected();
    operated();
    server.reset(&world.user(0)).await.unwrap();
    server.reached("sweep").await;
    let orphans = "SELECT count(*) FROM carts WHERE owner_id IS NULL";
    assert_eq!(world.number(orphans).await, 1);
    server.release("sweep");
    world.settled().await;
    crate::world::until("the sweep", async || world.number(orphans).await == 0).await;
    let swept = "SELECT count(*) FROM operation WHERE action = 'SweepOrphans' \
                 AND state = 'complete' AND parent_id IS NOT NULL AND actor = 'ci'";
    assert_eq!(world.recorded(swept).await, 1);
}
