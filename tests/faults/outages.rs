//! Redis is away, refuses, or has other ideas; files are not what they should
//! be. The reset answers OK with a warning, and the rest follows.

use std::time::{Duration, Instant};

use crate::{
    injected, operated,
    redis::{Cluster, Redis},
    world::{GONE, Kind, WHOLE, World, tree, until},
};

/// Keys go within a second of Redis's return.
pub async fn redis_down_is_a_warning_and_the_keys_go_later(kind: Kind) {
    let world = World::with(kind, Redis::start(&[]).await).await;
    let server = world.start().await;
    world.redis.stop().await;
    injected();
    operated();
    let result = server.reset(&world.user(0)).await.unwrap().result.unwrap();
    assert_eq!(result.effects.unwrap().pending, 3, "{result:?}");
    assert!(
        result
            .warnings
            .iter()
            .any(|w| w.contains("still to be done"))
    );
    assert!(!result.errors.is_empty());
    assert_eq!(server.pending().await.0, 3);
    world.redis.resume().await;
    let back = Instant::now();
    until("the keys", async || {
        world.redis.count(&world.user(0)).await == 0
    })
    .await;
    assert!(
        back.elapsed() < Duration::from_secs(1),
        "{:?}",
        back.elapsed()
    );
    world.settled().await;
    assert_eq!(world.traces(&world.user(0)).await, GONE);
}

/// The same when the server is killed in between.
pub async fn redis_down_and_a_kill_lose_nothing(kind: Kind) {
    let world = World::with(kind, Redis::start(&[]).await).await;
    let mut server = world.start().await;
    world.redis.stop().await;
    injected();
    operated();
    server.reset(&world.user(0)).await.unwrap();
    server.kill();
    injected();
    let _server = world.start().await;
    world.redis.resume().await;
    let back = Instant::now();
    until("the keys", async || {
        world.redis.count(&world.user(0)).await == 0
    })
    .await;
    assert!(
        back.elapsed() < Duration::from_secs(1),
        "{:?}",
        back.elapsed()
    );
    world.settled().await;
}

/// A Redis that is away from the start keeps nobody from starting.
pub async fn redis_down_at_the_start(kind: Kind) {
    let world = World::with(kind, Redis::start(&[]).await).await;
    world.redis.stop().await;
    injected();
    let server = world.start().await;
    operated();
    server.reset(&world.user(0)).await.unwrap();
    world.redis.resume().await;
    world.settled().await;
    assert_eq!(world.traces(&world.user(0)).await, GONE);
}

/// What Redis says no to for a while is tried again.
pub async fn what_redis_refuses_for_now_is_tried_again(kind: Kind) {
    for (refuse, allow) in [
        // A replica of nobody takes no writes: READONLY.
        (
            vec!["REPLICAOF", "127.0.0.1", "1"],
            vec!["REPLICAOF", "NO", "ONE"],
        ),
        (
            vec!["CONFIG", "SET", "min-replicas-to-write", "3"],
            vec!["CONFIG", "SET", "min-replicas-to-write", "0"],
        ),
    ] {
        let world = World::with(kind, Redis::start(&[]).await).await;
        let server = world.start().await;
        world.redis.tell(&refuse).await;
        injected();
        operated();
        let result = server.reset(&world.user(0)).await.unwrap().result.unwrap();
        assert!(
            result.effects.unwrap().pending > 0,
            "{refuse:?}: {result:?}"
        );
        assert_eq!(world.traces(&world.user(0)).await.rows, 0);
        world.redis.tell(&allow).await;
        world.settled().await;
        assert_eq!(world.traces(&world.user(0)).await, GONE, "{refuse:?}");
    }
}

/// What it says no to for good waits for somebody to look at it, and a server
/// that starts tries it again.
pub async fn what_redis_refuses_for_good_needs_attention(kind: Kind) {
    let world = World::with(kind, Redis::start(&[]).await).await;
    let mut server = world.start().await;
    let noperm = ["ACL", "SETUSER", "default", "-unlink"];
    world.redis.tell(&noperm).await;
    injected();
    operated();
    let result = server.reset(&world.user(0)).await.unwrap().result.unwrap();
    assert!(result.errors.iter().any(|error| error.contains("NOPERM")));
    until("somebody's attention", async || {
        server.pending().await.1 > 0
    })
    .await;
    // Files are removed all the same.
    assert_eq!(world.traces(&world.user(0)).await.files, 0);
    world
        .redis
        .tell(&["ACL", "SETUSER", "default", "+unlink"])
        .await;
    server.kill();
    let _server = world.start().await;
    world.settled().await;
    assert_eq!(world.traces(&world.user(0)).await, GONE);
}

/// A cluster has its keys in many places.
pub async fn on_a_cluster_the_keys_of_every_node_go(kind: Kind) {
    let cluster = Cluster::start().await;
    let world = World::new(kind).await;
    let text = std::fs::read_to_string(world.folder.path().join("resetd.toml")).unwrap();
    let url = format!("url = {:?}", world.redis.url);
    let nodes = format!("url = {:?}\ncluster = true", cluster.urls());
    std::fs::write(
        world.folder.path().join("resetd.toml"),
        text.replace(&url, &nodes),
    )
    .unwrap();
    let user = world.user(0);
    let mut connection = cluster.connect().await;
    for number in 0..200 {
        for key in [
            format!("cache:{user}:{number}"),
            format!("cache:{user}x:{number}"),
            format!("session:m{number}"),
        ] {
            let done: Result<(), _> = redis::cmd("SET")
                .arg(key)
                .arg("x")
                .query_async(&mut connection)
                .await;
            done.unwrap();
        }
        let done: Result<(), _> = redis::cmd("SADD")
            .arg(format!("sessions:{user}"))
            .arg(format!("m{number}"))
            .query_async(&mut connection)
            .await;
        done.unwrap();
    }
    let server = world.start().await;
    operated();
    let dry = resetd::proto::ResetUserRequest {
        validate_only: true,
        ..crate::world::by_email(&user)
    };
    let told = server.send(dry).await.unwrap().result.unwrap();
    let result = server.reset(&user).await.unwrap().result.unwrap();
    let effects = result.effects.unwrap();
    assert_eq!(
        (effects.redis_keys, effects.pending),
        (401, 0),
        "{result:?}"
    );
    assert_eq!(told.effects.unwrap().redis_keys, 401, "{told:?}");
    for number in 0..200 {
        let kept: i64 = redis::cmd("EXISTS")
            .arg(format!("cache:{user}x:{number}"))
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!(kept, 1, "somebody else's key has gone");
    }
}

/// Names that lead out of the root, or are not what they say, touch nothing
/// there; what else belongs to the user goes.
pub async fn no_path_leads_out_of_its_root(kind: Kind) {
    let outside = "../canary";
    let world = World::new(kind).await;
    let user = world.user(0);
    let storage = world.storage();
    std::os::unix::fs::symlink(world.folder.path(), storage.join("out")).unwrap();
    std::fs::create_dir_all(world.folder.path().join("images")).unwrap();
    std::fs::write(world.folder.path().join("images/precious"), "stays").unwrap();
    std::fs::hard_link(
        world.folder.path().join("canary"),
        storage.join("posts/hard.png"),
    )
    .unwrap();
    let paths = [
        outside,
        "/etc/hostname",
        "posts/../../canary",
        "out/canary",
        "out/images/precious",
        "posts/./x",
        "..",
        ".",
        ".resetd-root",
        "posts",
        "posts/hard.png",
        "posts/missing.png",
    ];
    for (number, path) in paths.iter().enumerate() {
        world
            .run(&format!(
                "INSERT INTO posts VALUES ('x{number}', '{user}', '{path}')"
            ))
            .await;
        injected();
    }
    let before = tree(&world.folder.path().join("images"));
    let mark = std::fs::read(storage.join(".resetd-root")).unwrap();
    let server = world.start().await;
    operated();
    server.reset(&user).await.unwrap();
    until("somebody's attention", async || {
        server.pending().await == (0, 10)
    })
    .await;
    assert_eq!(tree(&world.folder.path().join("images")), before);
    assert_eq!(std::fs::read(storage.join(".resetd-root")).unwrap(), mark);
    assert!(storage.join("out").symlink_metadata().unwrap().is_symlink());
    assert!(!storage.join("posts/hard.png").exists());
    assert_eq!(world.traces(&user).await, GONE);
    world.whole().await;
}

/// Whoever swaps directories for links while they are removed has nothing
/// removed behind the link.
pub async fn a_directory_that_is_swapped_for_a_link(kind: Kind) {
    let world = World::new(kind).await;
    let server = world.start().await;
    let images = world.storage().join("images");
    let precious = world.folder.path().join("precious");
    std::fs::create_dir_all(&precious).unwrap();
    for number in 0..20 {
        std::fs::write(precious.join(number.to_string()), "stays").unwrap();
    }
    let before = tree(&precious);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let users: Vec<String> = (0..crate::world::USERS).map(|n| world.user(n)).collect();
    let swapping = std::thread::spawn({
        let (stop, users, images) = (stop.clone(), users.clone(), images.clone());
        move || {
            let mut rounds = 0_u64;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for user in &users {
                    let (own, aside) = (
                        images.join(format!("user_{user}")),
                        images.join(format!("aside_{user}")),
                    );
                    // Whether there is anything to swap is the race.
                    drop(std::fs::rename(&own, &aside));
                    drop(std::os::unix::fs::symlink(&precious, &own));
                    drop(std::fs::remove_file(&own));
                    drop(std::fs::rename(&aside, &own));
                    rounds += 1;
                }
            }
            rounds
        }
    });
    for user in &users {
        operated();
        server.reset(user).await.unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let rounds = swapping.join().unwrap();
    assert!(rounds > 20, "{rounds} rounds");
    injected();
    assert_eq!(tree(&world.folder.path().join("precious")), before);
    assert_eq!(world.traces(&users[0]).await.rows, 0);
    world.whole().await;
    let _untouched = WHOLE;
}

/// A file that a row which stays names as well stays.
pub async fn a_shared_file_stays(kind: Kind) {
    let world = World::new(kind).await;
    let (user, other) = (world.user(0), world.user(1));
    let shared = format!("posts/{other}-1.png");
    world
        .run(&format!(
            "INSERT INTO posts VALUES ('shared', '{user}', '{shared}')"
        ))
        .await;
    let server = world.start().await;
    operated();
    let result = server.reset(&user).await.unwrap().result.unwrap();
    assert!(result.warnings.iter().any(|w| w.contains("stay")));
    world.settled().await;
    assert_eq!(world.traces(&other).await, WHOLE);
    assert_eq!(world.traces(&user).await, GONE);
}
