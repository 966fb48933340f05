//! One user, and many.

use std::time::{Duration, Instant};

use resetd::{client::Client, proto::GetStatusRequest};

use crate::{
    Bench,
    data::{Keys, ROWS_EACH, marketplace},
    engine::{Engine, Place, Sql},
    peers::{self, Peer},
    postgres::timed,
    report::{Samples, best, ratio},
    rig::{Rig, Served, arm, policy, reset_test_users, reset_user},
    site::Site,
    ways::{self, Checks},
};

pub const DOMAINS: [&str; 3] = ["one.test", "ten.test", "ninety.test"];

/// Resets that each caller asks for.
const EACH: usize = 8;

/// Rounds that open connections and prepare statements, and are not counted.
const WARM: usize = 10;

/// Users of a kind that a test user's reset may take, one after another.
struct Users(i64);

impl Iterator for Users {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        self.0 += if self.0 % 10 == 8 { 2 } else { 1 };
        Some(self.0)
    }
}

/// A marketplace with so many users.
#[derive(Clone)]
struct Kept {
    name: String,
    place: Place,
    users: u32,
}

/// Marketplaces from few rows to many.
async fn kept(bench: &Bench, site: &Site) -> Vec<Kept> {
    // Each round takes some users, so that there have to be many.
    let large = match site.engine() {
        Engine::Postgres | Engine::Sqlite => bench.users,
        Engine::MariaDb => bench.users / 5 * 2,
    };
    // The least loses most of its rows meanwhile.
    let least = if bench.is_quick { 350 } else { 700 };
    let mut sizes = vec![least, large / 10, large];
    sizes.retain(|&users| users == large || users >= least);
    let mut kept = Vec::new();
    for users in sizes {
        let name = format!("kept_{users}");
        let sql = marketplace(site.engine(), users, Keys::Cascading);
        let place = site.make(&name, &sql).await;
        arm(&place).await;
        kept.push(Kept { name, place, users });
    }
    kept
}

/// One user: alone, among many rows, and from many callers.
pub async fn one(bench: &mut Bench, site: &Site) {
    let rounds = 40 * bench.rounds;
    let kept = kept(bench, site).await;
    let test = policy(&DOMAINS);
    let served = kept.iter().map(|kept| Served {
        name: &kept.name,
        place: &kept.place,
        policy: &test,
    });
    let rig = Rig::start(&served.collect::<Vec<_>>()).await;
    let client = rig.client().await;
    let mut hands: Vec<Sql> = Vec::new();
    for kept in &kept {
        hands.push(kept.place.connect().await);
    }
    let mut times: Vec<[Samples; 2]> = kept.iter().map(|_| Default::default()).collect();
    let mut users = Users(0);
    for round in 0..rounds + WARM {
        let [one, other] = [(); 2].map(|()| users.next().unwrap());
        for ((kept, sql), samples) in kept.iter().zip(&mut hands).zip(&mut times) {
            let took = [
                timed(reset_user(&client, &kept.name, one)).await,
                timed(ways::cascade_one(sql, other)).await,
            ];
            if round >= WARM {
                for (samples, took) in samples.iter_mut().zip(took) {
                    samples.add(took);
                }
            }
        }
    }
    let mut next = move || users.next().unwrap();
    let Kept { name, place, .. } = kept.last().unwrap();
    let rows = reset_user(&client, name, next()).await;
    assert_eq!(rows, u64::from(ROWS_EACH), "rows of a user");
    by_rows_kept(bench, &kept, times);
    slower_ways(bench, place, rounds / 2, &mut next).await;
    callers(bench, (&client, name), place, &mut next).await;
}

/// Tells of resetd's times and the cascade's.
fn by_rows_kept(bench: &mut Bench, kept: &[Kept], mut times: Vec<[Samples; 2]>) {
    let report = &mut bench.report;
    for (kept, samples) in kept.iter().zip(&times) {
        let rows = f64::from(kept.users * ROWS_EACH);
        for (line, samples) in ["resetd", "cascade by hand"].iter().zip(samples) {
            report.point("rows_kept", line, rows, samples.median());
        }
    }
    let [ours, cascade] = times.pop().unwrap();
    report.at_most("ResetUser, durable", ratio(&ours, &cascade), 2.0);
    report.at_most(
        "ResetUser, rows kept from few to many",
        ratio(&ours, &times[0][0]),
        1.3,
    );
    report.figure("ResetUser: resetd", ours);
    report.figure("ResetUser: cascade by hand", cascade);
    for (kept, [ours, cascade]) in kept.iter().zip(times) {
        let label = format!("ResetUser, {} rows kept", kept.users * ROWS_EACH);
        report.figure(format!("{label}: resetd"), ours);
        report.figure(format!("{label}: cascade by hand"), cascade);
    }
}

/// One user as those do it who have no cascade.
async fn slower_ways(
    bench: &mut Bench,
    place: &Place,
    rounds: usize,
    next: &mut impl FnMut() -> i64,
) {
    let mut hand = place.connect().await;
    let [mut statements, mut collector] = [(); 2].map(|()| Samples::default());
    let report = &mut bench.report;
    let mut django = Peer::django(report, place, &peers::marketplace());
    for round in 0..rounds + WARM {
        let took = timed(ways::statements_one(&mut hand, next())).await;
        let django = django
            .as_mut()
            .map(|django| django.ask(&format!("one {}", next())));
        if round >= WARM {
            statements.add(took);
            collector.0.extend(django);
        }
    }
    report.figure("ResetUser: statements by hand", statements);
    if django.is_some() {
        report.figure("ResetUser: Django's Collector", collector);
    }
}

/// Many callers at once.
async fn callers(
    bench: &mut Bench,
    (client, name): (&Client, &str),
    place: &Place,
    next: &mut impl FnMut() -> i64,
) {
    let mut hands: Vec<Sql> = Vec::new();
    for _ in 0..32 {
        hands.push(place.connect().await);
    }
    for callers in [1, 8, 32] {
        let [mut ours, mut theirs] = [(); 2].map(|()| Samples::default());
        // SQLite has one writer at a time, which is best when it has no rival.
        let connections = match place.engine() {
            Engine::Sqlite => 1,
            Engine::Postgres | Engine::MariaDb => callers,
        };
        for round in 0..=bench.rounds {
            let begun = Instant::now();
            let mut running = tokio::task::JoinSet::new();
            for _ in 0..callers {
                let users: Vec<i64> = (0..EACH).map(|_| next()).collect();
                let (client, name) = (client.clone(), name.to_owned());
                running.spawn(async move {
                    for id in users {
                        reset_user(&client, &name, id).await;
                    }
                });
            }
            running.join_all().await;
            let took = begun.elapsed();
            let begun = Instant::now();
            let mut running = tokio::task::JoinSet::new();
            for mut hand in hands.drain(..connections) {
                let each = EACH * callers / connections;
                let users: Vec<i64> = (0..each).map(|_| next()).collect();
                running.spawn(async move {
                    for id in users {
                        ways::cascade_one(&mut hand, id).await;
                    }
                    hand
                });
            }
            hands.extend(running.join_all().await);
            // The first round opens connections.
            if round > 0 {
                ours.add(took);
                theirs.add(begun.elapsed());
            }
        }
        let calls = callers * EACH;
        for (line, samples) in [("resetd", &ours), ("cascade by hand", &theirs)] {
            let each = samples.median() / calls as f64;
            let report = &mut bench.report;
            report.point("callers", line, callers as f64, each);
        }
        if callers == 32 {
            let measured = ratio(&theirs, &ours);
            let report = &mut bench.report;
            report.at_least("ResetUser, 32 callers, throughput", measured, 0.7);
        }
        let label = format!("{calls} resets by {callers} callers");
        bench.report.figure(format!("{label}: resetd"), ours);
        bench.report.figure(format!("{label}: by hand"), theirs);
    }
}

/// All test users: few and many of all rows, keys with an index and without.
pub async fn many(bench: &mut Bench, site: &Site) {
    let kinds = match site.engine() {
        Engine::Postgres => &[Keys::Cascading, Keys::Indexed, Keys::Bare][..],
        // MariaDB has no key without an index, and on both the database's
        // cascade is one of the ways to beat.
        Engine::Sqlite | Engine::MariaDb => &[Keys::Cascading],
    };
    for &keys in kinds {
        let name = match keys {
            Keys::Bare => "keys not indexed",
            Keys::Indexed => "keys indexed",
            Keys::Cascading => "keys cascade",
        };
        let users = match keys {
            Keys::Bare => site.users(bench) / 5,
            Keys::Cascading | Keys::Indexed => site.users(bench),
        };
        site.remove("shop").await;
        let sql = marketplace(site.engine(), users, keys);
        site.make("shop", &sql).await;
        let shares = [(1, &DOMAINS[..1]), (10, &DOMAINS[..2]), (90, &DOMAINS[..])];
        let shares = match (site.engine(), keys) {
            (Engine::Postgres, Keys::Cascading) => &shares[..2],
            (Engine::Postgres, Keys::Indexed | Keys::Bare) => &shares[..],
            (Engine::Sqlite | Engine::MariaDb, _) => &shares[1..2],
        };
        for &(percent, domains) in shares {
            let shop = Shop { site, keys, users };
            share(bench, &shop, name, percent, domains).await;
        }
    }
    site.remove("shop").await;
    site.remove("work").await;
}

/// A marketplace to be copied.
struct Shop<'a> {
    site: &'a Site,
    keys: Keys,
    users: u32,
}

/// The ways to delete these users by hand that the role may use.
fn by_hand(shop: &Shop<'_>, domains: &[&str]) -> Vec<(&'static str, String)> {
    let engine = shop.site.engine();
    let cascade = || ("cascade", ways::cascade(engine, domains));
    let child_first = |checks| ways::child_first(engine, domains, checks);
    match (engine, shop.keys) {
        (Engine::Postgres, Keys::Bare) => vec![("keys dropped", ways::rekeyed(domains))],
        (Engine::Postgres, Keys::Cascading) => vec![cascade()],
        (Engine::Postgres, Keys::Indexed) => vec![
            ("key arrays", ways::arrays(domains)),
            ("temporary keys", ways::tables(domains)),
            ("keys dropped", ways::rekeyed(domains)),
        ],
        (Engine::Sqlite, _) => vec![cascade(), ("child first", child_first(Checks::On))],
        (Engine::MariaDb, _) => vec![
            cascade(),
            ("child first", child_first(Checks::On)),
            ("checks off, verified", child_first(Checks::Off)),
        ],
    }
}

async fn share(bench: &mut Bench, shop: &Shop<'_>, name: &str, percent: u32, domains: &[&str]) {
    let by_hand = by_hand(shop, domains);
    let mut ours = Samples::default();
    let mut theirs: Vec<Samples> = by_hand.iter().map(|_| Samples::default()).collect();
    let rounds = if percent == 90 {
        bench.rounds.min(3)
    } else {
        bench.rounds
    };
    for _ in 0..rounds {
        // What was far behind at first is not waited for again.
        let leader = best(&theirs).median();
        for ((_, text), samples) in by_hand.iter().zip(&mut theirs) {
            if samples.median() > leader * 1.5 {
                continue;
            }
            let mut owner = shop.site.restore("shop", "work").await.connect().await;
            samples.add(timed(owner.run(text)).await);
            owner.close().await;
        }
        let place = shop.site.restore("shop", "work").await;
        ours.add(reset(&place, domains).await);
    }
    let label = format!("ResetTestUsers, {percent} %, {name}");
    let best = best(&theirs);
    bench.report.at_most(&*label, ratio(&ours, best), 1.15);
    let rows = f64::from(shop.users * ROWS_EACH) * f64::from(percent) / 100.0;
    if shop.keys == Keys::Indexed {
        let report = &mut bench.report;
        report.point("rows_deleted", "resetd", rows, ours.median());
        for ((way, _), samples) in by_hand.iter().zip(&theirs) {
            report.point("rows_deleted", way, rows, samples.median());
        }
    }
    let is_looped = shop.keys == Keys::Indexed || shop.site.engine() != Engine::Postgres;
    if percent == 10 && is_looped {
        loops(bench, shop, &ours, domains, (&label, rows)).await;
    }
    bench.report.figure(format!("{label}: resetd"), ours);
    for ((way, _), samples) in by_hand.iter().zip(theirs) {
        bench.report.figure(format!("{label}: {way}"), samples);
    }
}

/// The same users one by one, and by Django.
async fn loops(
    bench: &mut Bench,
    shop: &Shop<'_>,
    ours: &Samples,
    domains: &[&str],
    (label, rows): (&str, f64),
) {
    let each = one_by_one(shop, domains).await;
    let report = &mut bench.report;
    let measured = ratio(&each, ours);
    report.at_least("ResetTestUsers, 10 %, against a loop", measured, 10.0);
    let place = shop.site.restore("shop", "work").await;
    let django = Peer::django(report, &place, &peers::marketplace());
    let django = django.map(|mut django| {
        let command = format!("domains {}", domains.join(" "));
        Samples(vec![django.ask(&command)])
    });
    let loops = [
        ("a loop over the users", Some(each)),
        ("Django's Collector", django),
    ];
    for (way, samples) in loops {
        let Some(samples) = samples else { continue };
        if shop.keys == Keys::Indexed {
            report.point("rows_deleted", way, rows, samples.median());
        }
        report.figure(format!("{label}: {way}"), samples);
    }
}

/// Through the server, once it has warmed up.
async fn reset(place: &Place, domains: &[&str]) -> Duration {
    arm(place).await;
    let served = Served {
        name: "work",
        place,
        policy: &policy(domains),
    };
    let rig = Rig::start(&[served]).await;
    let client = rig.client().await;
    for _ in 0..3 {
        let status = client.get_status(GetStatusRequest::default()).await;
        assert!(status.unwrap().reset_allowed);
    }
    timed(reset_test_users(&client, "work")).await
}

async fn one_by_one(shop: &Shop<'_>, domains: &[&str]) -> Samples {
    let mut owner = shop.site.restore("shop", "work").await.connect().await;
    let engine = shop.site.engine();
    let ids = format!(
        "SELECT {} FROM users WHERE {}",
        engine.text("id"),
        ways::in_scope(engine, domains)
    );
    let ids = owner.texts(&ids).await;
    let begun = Instant::now();
    for id in ids {
        ways::statements_one(&mut owner, id.parse().unwrap()).await;
    }
    Samples(vec![begun.elapsed()])
}
