//! Keys on real servers: removed by name, by set and by pattern, and nothing
//! but those.

use std::collections::BTreeMap;

use redis::Commands as _;
use resetd::{
    effect::Effect,
    effects::{Effects, RedisSettings},
};

use crate::{
    now,
    servers::{Cluster, Redis},
};

fn effects(redis: &Redis) -> Effects {
    of(RedisSettings::parse(&[redis.url(1)], false).unwrap())
}

fn of(settings: RedisSettings) -> Effects {
    Effects::new(Some(settings), BTreeMap::new())
}

fn key(key: &str) -> Effect {
    Effect::RedisKey {
        key: key.to_owned(),
    }
}

fn pattern(pattern: &str) -> Effect {
    Effect::RedisPattern {
        pattern: pattern.to_owned(),
    }
}

fn members(set: &str, before: &str) -> Effect {
    Effect::RedisMembers {
        set: set.to_owned(),
        before: before.to_owned(),
        after: String::new(),
    }
}

/// Some of the keys named twice, by a name, a set and a pattern.
const MINE: [&str; 6] = [
    "session:1",
    "user_sessions:1",
    "session:a",
    "session:b",
    "cart:1:x",
    "cart:1:y",
];
const THEIRS: [&str; 5] = [
    "session:10",
    "user_sessions:10",
    "cart:10:x",
    "cart:1",
    "session:c",
];

fn wanted() -> Vec<Effect> {
    vec![
        key("session:1"),
        key("session:never"),
        members("user_sessions:1", "session:"),
        pattern("cart:1:*"),
        key("cart:1:x"),
    ]
}

fn fill(connection: &mut impl redis::ConnectionLike) {
    for name in MINE
        .iter()
        .chain(&THEIRS)
        .filter(|name| !name.starts_with("user_"))
    {
        connection.set::<_, _, ()>(name, "x").unwrap();
    }
    connection
        .sadd::<_, _, ()>("user_sessions:1", &["a", "b", "gone"])
        .unwrap();
    connection
        .sadd::<_, _, ()>("user_sessions:10", &["c"])
        .unwrap();
}

async fn removes_just_what_is_wanted(effects: &Effects) {
    let counted = effects.count(&wanted()).await.unwrap();
    assert_eq!(counted.redis_keys, MINE.len() as u64);
    let applied = effects.apply(&wanted(), now()).await;
    assert!(applied.failed.is_empty(), "{:?}", applied.failed);
    assert_eq!(applied.counts, counted, "a dry run tells what a run does");
    let again = effects.apply(&wanted(), now()).await;
    assert!(again.failed.is_empty() && again.counts.redis_keys == 0);
}

fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_loses_the_users_keys_and_no_others() {
    let redis = Redis::start();
    let mut connection = redis.connection(1);
    fill(&mut connection);
    let mut other = redis.connection(0);
    fill(&mut other);
    removes_just_what_is_wanted(&effects(&redis)).await;
    let mut left: Vec<String> = connection.keys("*").unwrap();
    left.sort();
    assert_eq!(left, sorted(&THEIRS));
    let beside: Vec<String> = other.keys("*").unwrap();
    assert_eq!(beside.len(), MINE.len() + THEIRS.len(), "another database");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_loses_the_users_keys_and_no_others() {
    let cluster = Cluster::start();
    fill(&mut cluster.connection());
    let settings = RedisSettings::parse(&cluster.urls(), true).unwrap();
    removes_just_what_is_wanted(&of(settings)).await;
    assert_eq!(cluster.keys(), sorted(&THEIRS));
    // As one server it is found out, rather than half looked at.
    let url = format!("{}/0", cluster.urls()[0]);
    let alone = of(RedisSettings::parse(&[url], false).unwrap());
    let many: Vec<Effect> = THEIRS.iter().map(|name| key(name)).collect();
    let applied = alone.apply(&many, now()).await;
    assert!(
        applied
            .failed
            .iter()
            .all(|(_, error)| error.needs_attention())
    );
    assert!(!applied.failed.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_a_node_down_is_not_looked_at_by_halves() {
    let mut cluster = Cluster::start();
    fill(&mut cluster.connection());
    let effects = of(RedisSettings::parse(&cluster.urls(), true).unwrap());
    cluster.nodes[2].kill();
    let applied = effects.apply(&[pattern("cart:1:*")], now()).await;
    assert!(
        applied.failed.iter().all(|(_, error)| error.is_outage()),
        "{applied:?}"
    );
    assert_eq!(applied.failed.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_in_patterns_are_only_themselves() {
    let redis = Redis::start();
    let effects = effects(&redis);
    let mut connection = redis.connection(1);
    let odd = [
        "*",
        "1*",
        "[1]",
        "\\*",
        "{}",
        "a\r\nDEL b",
        "?",
        "^",
        "a-z",
        "[^a]",
        "ü",
    ];
    for id in odd {
        connection
            .set::<_, _, ()>(format!("u:{id}:x"), "x")
            .unwrap();
    }
    for id in ["1", "10", "a", "z", "bystander"] {
        connection
            .set::<_, _, ()>(format!("u:{id}:x"), "x")
            .unwrap();
    }
    for id in odd {
        let escaped: String = id
            .chars()
            .flat_map(|letter| match letter {
                '*' | '?' | '[' | ']' | '\\' | '^' | '-' => vec!['\\', letter],
                other => vec![other],
            })
            .collect();
        let effect = pattern(&format!("u:{escaped}:*"));
        let applied = effects.apply(std::slice::from_ref(&effect), now()).await;
        assert_eq!(applied.counts.redis_keys, 1, "{id:?}");
    }
    let left: Vec<String> = connection.keys("*").unwrap();
    assert_eq!(left.len(), 5, "{left:?}");
}

/// What is matched here is what Redis itself would match.
#[tokio::test(flavor = "multi_thread")]
async fn globs_agree_with_the_server() {
    let redis = Redis::start();
    let mut connection = redis.connection(1);
    let letters = ["a", "b", "*", "[", "]", "^", "-", "\\", "?"];
    let mut state = 7_u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut text = |most: usize| {
        let length = 1 + random(most);
        (0..length)
            .map(|_| letters[random(letters.len())])
            .collect::<String>()
    };
    let names: Vec<String> = (0..200).map(|_| text(4)).collect();
    let patterns: Vec<String> = (0..300).map(|_| text(5)).collect();
    let effects = effects(&redis);
    for name in &names {
        connection.set::<_, _, ()>(name, "x").unwrap();
    }
    for asked in patterns.iter().filter(|pattern| *pattern != "*") {
        let theirs: Vec<String> = connection.keys(asked).unwrap();
        // A second pattern, of which nothing is there, makes us match here.
        let two = [pattern(asked), pattern("nothing:*")];
        let ours = effects.count(&two).await.unwrap().redis_keys;
        assert_eq!(ours, theirs.len() as u64, "{asked:?} matches {theirs:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_of_many_users_go_in_one_pass() {
    let redis = Redis::start();
    let mut connection = redis.connection(1);
    let mut pipeline = redis::pipe();
    for user in 0..2000 {
        for device in 0..5 {
            pipeline.set(format!("s:{user}:{device}"), "x").ignore();
        }
    }
    pipeline.exec(&mut connection).unwrap();
    let wanted: Vec<Effect> = (0..1500)
        .map(|user| pattern(&format!("s:{user}:*")))
        .collect();
    let effects = effects(&redis);
    assert_eq!(effects.count(&wanted).await.unwrap().redis_keys, 7500);
    let applied = effects.apply(&wanted, now()).await;
    assert_eq!(applied.counts.redis_keys, 7500);
    let left: u64 = redis::cmd("DBSIZE").query(&mut connection).unwrap();
    assert_eq!(left, 2500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_emptied_only_when_it_is_exclusive() {
    let redis = Redis::start();
    let mut connection = redis.connection(1);
    fill(&mut connection);
    let mut other = redis.connection(0);
    fill(&mut other);
    let applied = effects(&redis).apply(&[pattern("*")], now()).await;
    assert!(applied.failed[0].1.needs_attention());
    assert_eq!(connection.keys::<_, Vec<String>>("*").unwrap().len(), 11);
    let exclusive = of(RedisSettings::parse(&[redis.url(1)], false)
        .unwrap()
        .exclusive());
    let applied = exclusive.apply(&[pattern("*")], now()).await;
    assert_eq!(applied.counts.redis_keys, 11);
    assert_eq!(connection.keys::<_, Vec<String>>("*").unwrap().len(), 0);
    assert_eq!(other.keys::<_, Vec<String>>("*").unwrap().len(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_waited_for() {
    let mut redis = Redis::start();
    let effects = effects(&redis);
    assert!(effects.is_reachable().await);
    redis.restart();
    // The connection is broken, and nobody has to know.
    fill(&mut redis.connection(1));
    removes_just_what_is_wanted(&effects).await;
    redis.pause();
    let applied = effects.apply(&wanted(), now()).await;
    assert_eq!(applied.failed.len(), wanted().len());
    assert!(applied.failed.iter().all(|(_, error)| error.is_outage()));
    assert!(!effects.is_reachable().await);
    redis.resume();
    fill(&mut redis.connection(1));
    removes_just_what_is_wanted(&effects).await;
    redis.kill();
    let applied = effects.apply(&wanted(), now()).await;
    assert!(applied.failed.iter().all(|(_, error)| error.is_outage()));
    assert!(effects.count(&wanted()).await.unwrap_err().is_outage());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_is_retried_or_looked_at() {
    let redis = Redis::start();
    let effects = effects(&redis);
    let mut connection = redis.connection(1);
    fill(&mut connection);

    // READONLY: it was demoted, for now.
    let master = Redis::start();
    let replicate = |host: &str, port: &str| {
        let mut command = redis::cmd("REPLICAOF");
        command
            .arg(host)
            .arg(port)
            .exec(&mut redis.connection(1))
            .unwrap();
    };
    replicate("127.0.0.1", &master.port.to_string());
    let applied = effects.apply(&[key("session:1")], now()).await;
    assert!(applied.failed[0].1.is_outage(), "{applied:?}");
    replicate("NO", "ONE");
    fill(&mut redis.connection(1));

    // NOREPLICAS: too few of them for writing.
    let configure = |name: &str, value: &str| {
        let mut command = redis::cmd("CONFIG");
        command
            .arg("SET")
            .arg(name)
            .arg(value)
            .exec(&mut redis.connection(1))
            .unwrap();
    };
    configure("min-replicas-to-write", "1");
    let applied = effects.apply(&[key("session:1")], now()).await;
    assert!(applied.failed[0].1.is_outage(), "{applied:?}");
    configure("min-replicas-to-write", "0");

    // WRONGTYPE: what is no set names nothing.
    let applied = effects.apply(&[members("session:1", "x")], now()).await;
    assert!(applied.failed[0].1.needs_attention(), "{applied:?}");

    // NOPERM: the keys that may be removed go all the same.
    let user = ["ACL SETUSER limited on >secret ~session:* +@all"];
    let words: Vec<&str> = user[0].split(' ').collect();
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(word);
    }
    command.exec(&mut redis.connection(1)).unwrap();
    let url = format!("redis://limited:secret@127.0.0.1:{}/1", redis.port);
    let limited = of(RedisSettings::parse(&[url], false).unwrap());
    let applied = limited
        .apply(&[key("session:1"), key("cart:1:x")], now())
        .await;
    assert_eq!(applied.counts.redis_keys, 1);
    assert_eq!(applied.failed.len(), 1);
    assert!(applied.failed[0].1.needs_attention(), "{applied:?}");
    assert!(!applied.failed[0].1.to_string().contains("cart"));

    // NOAUTH and WRONGPASS: a password that is missing or wrong.
    configure("requirepass", "secret");
    let fresh = of(RedisSettings::parse(&[redis.url(1)], false).unwrap());
    let applied = fresh.apply(&[key("session:2")], now()).await;
    assert!(applied.failed[0].1.needs_attention(), "{applied:?}");
    let url = format!("redis://:wrong@127.0.0.1:{}/1", redis.port);
    let wrong = of(RedisSettings::parse(&[url], false).unwrap());
    let applied = wrong.apply(&[key("session:2")], now()).await;
    assert!(applied.failed[0].1.needs_attention(), "{applied:?}");
    assert!(!format!("{applied:?} {wrong:?}").contains("wrong@"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_waited_for() {
    let redis = Redis::with(&["--lua-time-limit", "1"]);
    let effects = effects(&redis);
    fill(&mut redis.connection(1));
    assert!(effects.is_reachable().await);
    let mut busy = redis.connection(1);
    let script = std::thread::spawn(move || {
        let mut endless = redis::cmd("EVAL");
        let ended = endless.arg("while true do end").arg(0).exec(&mut busy);
        assert!(ended.is_err(), "it was killed");
    });
    let begun = std::time::Instant::now();
    loop {
        let applied = effects.apply(&[key("session:10")], now()).await;
        if let Some((_, error)) = applied.failed.first() {
            assert!(error.is_outage(), "{error}");
            break;
        }
        assert!(begun.elapsed().as_secs() < 20, "it is never busy");
    }
    let client = redis::Client::open(redis.url(1)).unwrap();
    let mut killer = client
        .get_connection()
        .unwrap_or_else(|_| redis.connection(0));
    redis::cmd("SCRIPT").arg("KILL").exec(&mut killer).unwrap();
    script.join().unwrap();
    removes_just_what_is_wanted(&effects).await;
}
