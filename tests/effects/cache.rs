//! ClearCache: what the policy calls a cache goes from the target's database
//! of its Redis, and nothing else does.

use std::time::{Duration, Instant};

use redis::Commands as _;
use resetd::{
    client::Error,
    proto::{ClearCacheRequest, ClearCacheResponse, GetStatusRequest},
};
use tonic::Code;
use uuid::Uuid;

use crate::wire::World;

/// The second one matches less than the first, and the third one letter.
const CACHE: &str = r#"
[cache]
patterns = ["cache:*", "cache:page:*", "temp:?", "nobody:*"]
"#;

const CACHED: [&str; 4] = ["cache:1", "cache:page:1", "cache:page:2", "temp:a"];

/// Keys that look alike.
const OTHERS: [&str; 4] = ["a:cache:1", "cache", "cacheX:1", "temp:bb"];

async fn cached() -> World {
    let world = World::with(CACHE).await;
    put(&world);
    world
}

/// In the target's database of that Redis, which is the first, and in others.
fn put(world: &World) {
    for database in [0, 1, 2] {
        let mut connection = world.redis.connection(database);
        for key in CACHED.iter().chain(&OTHERS) {
            connection.set::<_, _, ()>(key, "x").unwrap();
        }
    }
}

async fn clear(world: &World, request_id: &str, dry: bool) -> Result<ClearCacheResponse, Error> {
    let request = ClearCacheRequest {
        request_id: request_id.to_owned(),
        validate_only: dry,
        ..ClearCacheRequest::default()
    };
    world.client.clear_cache(request).await
}

fn counts(answer: &ClearCacheResponse) -> Vec<(&str, i64)> {
    let counts = answer.keys.iter();
    counts
        .map(|count| (count.name.as_str(), count.count))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cached_goes_and_what_looks_like_it_stays() {
    let world = cached().await;
    let before = world.keys();
    let dry = clear(&world, "", true).await.unwrap();
    let each = [
        ("cache:*", 3),
        ("cache:page:*", 2),
        ("temp:?", 1),
        ("nobody:*", 0),
    ];
    assert_eq!(counts(&dry), each);
    assert!(dry.validate_only);
    assert_eq!(world.keys(), before, "a dry run removes nothing");

    let done = clear(&world, "", false).await.unwrap();
    let first = [
        ("cache:*", 3),
        ("cache:page:*", 0),
        ("temp:?", 1),
        ("nobody:*", 0),
    ];
    assert_eq!(counts(&done), first);
    assert_eq!(done.total_keys, 4);
    let mut left = before.clone();
    left.retain(|key| !CACHED.contains(&key.as_str()));
    assert_eq!(world.keys(), left, "keys of users and others stay");
    for database in [0, 2] {
        let keys: Vec<String> = world.redis.connection(database).keys("*").unwrap();
        assert_eq!(keys.len(), 8, "database {database} is somebody else's");
    }
    let again = clear(&world, "", false).await.unwrap();
    assert_eq!(again.total_keys, 0);
    let rows = world.texts("SELECT email FROM users ORDER BY id").await;
    assert_eq!(rows.len(), 4, "no row is its business");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_clears_once() {
    let world = cached().await;
    let id = Uuid::now_v7().to_string();
    let done = clear(&world, &id, false).await.unwrap();
    put(&world);
    let again = clear(&world, &id, false).await.unwrap();
    assert_eq!(again, done);
    assert!(
        world.keys().contains(&"cache:1".to_owned()),
        "it came later"
    );
    let other = clear(&world, &id, true).await.unwrap_err();
    assert_eq!(other.reason(), Some("REQUEST_ID_REUSED"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_is_told_and_clears_when_it_is_back() {
    let mut world = cached().await;
    let id = Uuid::now_v7().to_string();
    world.redis.kill();
    for dry in [true, false] {
        let refused = clear(&world, "", dry).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
        assert_eq!(refused.reason(), Some("CACHE_UNAVAILABLE"));
    }
    let refused = clear(&world, &id, false).await.unwrap_err();
    assert_eq!(refused.reason(), Some("CACHE_UNAVAILABLE"));
    let status = world.client.get_status(GetStatusRequest::default()).await;
    let pending = status.unwrap().elsewhere.unwrap().pending_effects;
    assert_eq!(pending, 0, "what was not cleared is not cleared later");
    world.redis.restart();
    put(&world);
    // What failed is tried again under its id.
    let done = clear(&world, &id, false).await.unwrap();
    assert_eq!(done.total_keys, 4);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_does_not_answer_keeps_nobody_waiting() {
    let world = cached().await;
    world.redis.pause();
    let begun = Instant::now();
    let refused = clear(&world, "", false).await.unwrap_err();
    assert_eq!(refused.reason(), Some("CACHE_UNAVAILABLE"));
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    world.redis.resume();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_not_armed_keeps_its_cache() {
    let world = cached().await;
    let before = world.keys();
    world.run("UPDATE resetd_marker SET protected = 1").await;
    let refused = clear(&world, "", false).await.unwrap_err();
    assert_eq!(refused.reason(), Some("TARGET_PROTECTED"));
    world.run("DELETE FROM resetd_marker").await;
    let refused = clear(&world, "", false).await.unwrap_err();
    assert_eq!(refused.reason(), Some("TARGET_NOT_ARMED"));
    assert_eq!(world.keys(), before);
    world.end().await;
}

/// `*` would take what others have there, unless the policy's owner says that
/// there are no others.
#[tokio::test(flavor = "multi_thread")]
async fn everything_is_no_cache_where_others_have_keys() {
    let world = World::with("[cache]\npatterns = ['*']\n").await;
    let before = world.keys();
    for dry in [true, false] {
        let refused = clear(&world, "", dry).await.unwrap_err();
        assert!(refused.message().contains("exclusive"), "{refused}");
    }
    assert_eq!(world.keys(), before);
    world.end().await;
    let world = World::with("").await;
    let refused = clear(&world, "", false).await.unwrap_err();
    assert_eq!(refused.reason(), Some("INVALID_FIELD"), "without [cache]");
    world.end().await;
}
