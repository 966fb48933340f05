//! What a reset does to MeStore's keys in Redis: the user's go, nobody
//! else's do.

use redis::Commands as _;
use resetd::proto::{ResetLevel, ResetTestUsersRequest};

use super::{
    BUYER, BUYER_ID, MESTORE, by_email, cascade, confirmed, full_reset, reset, reset_test_users,
};
use crate::{cases, place::Kind, world::World};

cases! {
    BOTH: a21_sessions_and_codes_of_the_user_go,
        a21_aw12_nobody_elses_keys_are_touched,
        a21_a_redis_that_is_away_is_a_warning;
}

const OTHER_ID: &str = "00000001-0000-4000-8000-000000000005";

fn keys(world: &mut World) -> Vec<String> {
    let mut keys: Vec<String> = world.redis().keys("*").unwrap();
    keys.sort();
    keys
}

/// As the application writes them, and as the document says.
fn fill(world: &mut World) -> Vec<String> {
    let redis = world.redis();
    for (id, email, session) in [
        (BUYER_ID, BUYER, "aaaa"),
        (OTHER_ID, "tienda.demo@test.com", "bbbb"),
    ] {
        for key in [
            format!("session:{id}"),
            format!("session:{session}"),
            format!("user_sessions:{id}:jti-1"),
            format!("auth_attempts:{email}:failed"),
            format!("auth_attempts:{email}:lockout"),
            format!("rate_limit:user:{id}"),
            format!("session:user:{id}:web"),
            format!("otp:{id}:login"),
        ] {
            redis.set::<_, _, ()>(key, "x").unwrap();
        }
        redis
            .sadd::<_, _, ()>(format!("user_sessions:{id}"), session)
            .unwrap();
    }
    for key in [
        "jwt_blacklist:some",
        "cache:home",
        "another:applications",
        "session",
    ] {
        redis.set::<_, _, ()>(key, "x").unwrap();
    }
    keys(world)
}

fn is_buyers(key: &str) -> bool {
    key.contains(BUYER_ID) || key.contains(BUYER) || key == "session:aaaa"
}

async fn a21_sessions_and_codes_of_the_user_go(kind: Kind) {
    let mut world = World::of(MESTORE, kind).await;
    let before = fill(&mut world);
    let tester = world.tester().await;
    // The lowest level is about the profile alone.
    let profile = reset(&tester, by_email(BUYER, ResetLevel::UserData)).await;
    assert_eq!(profile.unwrap().effects.unwrap_or_default().redis_keys, 0);
    assert_eq!(keys(&mut world), before);
    let done = reset(&tester, by_email(BUYER, ResetLevel::UserSessions)).await;
    let done = done.unwrap();
    assert_eq!(done.effects.unwrap().redis_keys, 9);
    let left: Vec<String> = before.into_iter().filter(|key| !is_buyers(key)).collect();
    assert_eq!(keys(&mut world), left);
    assert_eq!(world.count("users", &format!("email = '{BUYER}'")).await, 1);
}

async fn a21_aw12_nobody_elses_keys_are_touched(kind: Kind) {
    let mut world = World::of(MESTORE, kind).await;
    fill(&mut world);
    let everybody = reset_test_users(&world.admin().await, ResetTestUsersRequest::default()).await;
    assert!(everybody.unwrap().success);
    let strangers = [
        "another:applications",
        "cache:home",
        "jwt_blacklist:some",
        "session",
    ];
    assert_eq!(keys(&mut world), strangers);
    fill(&mut world);
    // A full reset ends every session, and flushes nothing.
    full_reset(&world.superuser().await, confirmed())
        .await
        .unwrap();
    assert_eq!(keys(&mut world), strangers);
}

async fn a21_a_redis_that_is_away_is_a_warning(kind: Kind) {
    let world = World::with(MESTORE, kind, |setup| {
        // Nobody listens there.
        setup.redis = Some("redis://127.0.0.1:1/0".to_owned());
    })
    .await;
    let done = reset(&world.tester().await, cascade(BUYER)).await.unwrap();
    assert!(done.success);
    assert!(done.effects.unwrap().pending > 0);
    assert!(
        done.warnings
            .iter()
            .any(|text| text.contains("outside the database")),
        "{:?}",
        done.warnings
    );
    assert_eq!(world.count("users", &format!("email = '{BUYER}'")).await, 0);
}
