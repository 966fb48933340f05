//! Schedules of operations and faults, drawn from a seed: whatever comes, at
//! the end every user is wholly there or wholly gone, every request that was
//! answered is done, and nothing was done twice.

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use resetd::proto::ResetUserRequest;

use crate::{
    injected, operated,
    redis::Redis,
    world::{GONE, Kind, Server, USERS, WHOLE, World, by_email, request, until},
};

const POINTS: &[&str] = &[
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
    "committed",
    "before_effects",
    "claimed",
    "applied",
    "renamed",
    "emptying",
    "before_close",
];

/// One schedule.
pub async fn schedule(kind: Kind, seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    let own_redis = dice.random_ratio(1, 3);
    let redis = match own_redis {
        true => Redis::start(&[]).await,
        false => Redis::shared().await,
    };
    let world = World::with(kind, redis).await;
    let mut redis_is_down = false;
    let mut server = world.start().await;
    let mut asked: Vec<(usize, ResetUserRequest, bool)> = Vec::new();
    let rounds = dice.random_range(2..=3);
    for _ in 0..rounds {
        let user = dice.random_range(0..USERS - 1);
        let message = ResetUserRequest {
            // Of random bits alone some say that they are years old.
            request_id: uuid::Builder::from_random_bytes(dice.random())
                .into_uuid()
                .to_string(),
            allow_missing: true,
            ..by_email(&world.user(user))
        };
        if own_redis && dice.random_ratio(1, 2) {
            match redis_is_down {
                true => world.redis.resume().await,
                false => world.redis.stop().await,
            }
            redis_is_down = !redis_is_down;
            injected();
        }
        operated();
        let is_answered = match dice.random_range(0..4) {
            0 => send(&server, message.clone()).await,
            fault => {
                let point = POINTS.choose(&mut dice).unwrap();
                let times = dice.random_range(0..3);
                let order = match times {
                    0 => "stop".to_owned(),
                    times => format!("skip {times} stop"),
                };
                server.order(point, &order);
                let mut client = server.resets().await;
                let sent = message.clone();
                let call =
                    tokio::spawn(async move { client.reset_user(request(sent)).await.is_ok() });
                until("the place or the end", async || {
                    server.is_reached(point) || call.is_finished()
                })
                .await;
                let is_held = server.is_reached(point);
                if is_held {
                    injected();
                }
                match fault {
                    1 | 2 => server.kill(),
                    _ => {
                        drop(std::fs::remove_file(server.points.join(point)));
                        if is_held && dice.random_ratio(1, 2) {
                            server.release(point);
                        }
                        server.terminate().await;
                        injected();
                    }
                }
                let is_answered = call.await.unwrap();
                drop(server);
                server = world.start().await;
                is_answered
            }
        };
        asked.push((user, message, is_answered));
    }
    if redis_is_down {
        world.redis.resume().await;
    }
    finish(&world, &server, &asked).await;
}

async fn send(server: &Server, message: ResetUserRequest) -> bool {
    server.send(message).await.is_ok()
}

/// Whoever got no answer asks again; then everything is looked at.
async fn finish(world: &World, server: &Server, asked: &[(usize, ResetUserRequest, bool)]) {
    let mut gone = [false; USERS];
    for (user, message, is_answered) in asked {
        if !is_answered {
            operated();
            let again = server.send(message.clone()).await;
            again.unwrap_or_else(|status| panic!("asked again: {status:?}\n{}", world.log()));
        }
        gone[*user] = true;
    }
    world.settled().await;
    for (user, is_gone) in gone.into_iter().enumerate() {
        let expected = if is_gone { GONE } else { WHOLE };
        let user = world.user(user);
        assert_eq!(world.traces(&user).await, expected, "{user}");
    }
    // Each request was committed once at most.
    let twice = "SELECT count(*) FROM (SELECT request_id FROM operation \
                 WHERE request_id IS NOT NULL AND state = 'complete' \
                 GROUP BY request_id HAVING count(*) > 1) AS t";
    assert_eq!(
        world.recorded(twice).await,
        0,
        "a request was committed twice"
    );
}
