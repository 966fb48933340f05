//! One user, and many.

use std::time::Instant;

use resetd::{client::Client, proto::GetStatusRequest};

use crate::{
    Bench,
    data::{Keys, marketplace},
    postgres::{Sql, timed},
    report::Samples,
    rig::{Rig, Served, arm, policy, reset_test_users, reset_user},
    ways,
};

const DOMAINS: [&str; 3] = ["one.test", "ten.test", "ninety.test"];

/// Users of a kind that a test user's reset may take, one after another.
struct Users(i64);

impl Iterator for Users {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        self.0 += if self.0 % 10 == 8 { 2 } else { 1 };
        Some(self.0)
    }
}

/// One user: alone, among many rows, and from many callers.
pub async fn one(bench: &mut Bench) {
    println!("one user");
    let large = marketplace(bench.users, Keys::Cascading);
    bench.postgres.make("large", &large).await;
    bench
        .postgres
        .make("small", &marketplace(2_000, Keys::Cascading))
        .await;
    let port = bench.postgres.port;
    let test = policy(&DOMAINS);
    for database in ["large", "small"] {
        arm(port, database).await;
    }
    let served = ["large", "small"].map(|name| Served {
        name,
        database: name,
        policy: &test,
    });
    let rig = Rig::start(port, &served).await;
    let client = rig.client().await;
    let mut hand = bench.postgres.owner("large").await;
    let mut users = Users(0);
    let mut next = move || users.next().unwrap();
    for _ in 0..10 {
        ways::cascade_one(&mut hand, next()).await;
        ways::statements_one(&mut hand, next()).await;
        let id = next();
        assert_eq!(reset_user(&client, "large", id).await, 33, "rows of a user");
        reset_user(&client, "small", id).await;
    }
    let [mut ours, mut cascade, mut statements, mut small] = [(); 4].map(|()| Samples::default());
    for _ in 0..40 * bench.rounds {
        let id = next();
        ours.add(timed(reset_user(&client, "large", id)).await);
        small.add(timed(reset_user(&client, "small", id)).await);
        cascade.add(timed(ways::cascade_one(&mut hand, next())).await);
        statements.add(timed(ways::statements_one(&mut hand, next())).await);
    }
    let report = &mut bench.report;
    let (rows, few) = (f64::from(bench.users) * 33.0, 2_000.0 * 33.0);
    for (line, samples) in [("resetd", &ours), ("cascade by hand", &cascade)] {
        report.point("rows_kept", "rows kept", line, rows, samples.median());
    }
    report.point("rows_kept", "rows kept", "resetd", few, small.median());
    report.at_most("ResetUser, durable", ours.median() / cascade.median(), 2.0);
    report.at_most(
        "ResetUser, rows kept from few to many",
        ours.median() / small.median(),
        1.3,
    );
    report.figure("ResetUser: resetd", ours);
    report.figure("ResetUser: resetd, few rows kept", small);
    report.figure("ResetUser: cascade by hand", cascade);
    report.figure("ResetUser: statements by hand", statements);
    callers(bench, &client, &mut next).await;
}

/// Many callers at once.
async fn callers(bench: &mut Bench, client: &Client, next: &mut impl FnMut() -> i64) {
    let mut hands: Vec<Sql> = Vec::new();
    for _ in 0..32 {
        hands.push(bench.postgres.owner("large").await);
    }
    for callers in [1, 8, 32] {
        let [mut ours, mut theirs] = [(); 2].map(|()| Samples::default());
        for round in 0..=bench.rounds {
            let each = 8;
            let begun = Instant::now();
            let mut running = tokio::task::JoinSet::new();
            for _ in 0..callers {
                let users: Vec<i64> = (0..each).map(|_| next()).collect();
                let client = client.clone();
                running.spawn(async move {
                    for id in users {
                        reset_user(&client, "large", id).await;
                    }
                });
            }
            running.join_all().await;
            let took = begun.elapsed();
            let begun = Instant::now();
            let mut running = tokio::task::JoinSet::new();
            for mut hand in hands.drain(..callers) {
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
        let calls = callers as f64 * 8.0;
        for (line, samples) in [("resetd", &ours), ("cascade by hand", &theirs)] {
            let each = samples.median() / calls;
            bench
                .report
                .point("callers", "callers", line, callers as f64, each);
        }
        if callers == 32 {
            let ratio = theirs.median() / ours.median();
            bench
                .report
                .at_least("ResetUser, 32 callers, throughput", ratio, 0.7);
        }
        bench
            .report
            .figure(format!("256 resets by {callers} callers: resetd"), ours);
        bench
            .report
            .figure(format!("256 resets by {callers} callers: by hand"), theirs);
    }
}

/// All test users: few and many of all rows, keys with an index and without.
pub async fn many(bench: &mut Bench) {
    for keys in [Keys::Cascading, Keys::Indexed, Keys::Bare] {
        let name = match keys {
            Keys::Bare => "keys not indexed",
            Keys::Indexed => "keys indexed",
            Keys::Cascading => "keys cascade",
        };
        println!("test users, {name}");
        let users = match keys {
            Keys::Bare => bench.users / 5,
            Keys::Cascading | Keys::Indexed => bench.users,
        };
        bench.postgres.copy("template0", "work").await;
        drop_database(bench, "template_shop").await;
        bench
            .postgres
            .make("template_shop", &marketplace(users, keys))
            .await;
        let shares = [(1, &DOMAINS[..1]), (10, &DOMAINS[..2]), (90, &DOMAINS[..])];
        let shares = match keys {
            Keys::Cascading => &shares[..2],
            Keys::Indexed | Keys::Bare => &shares[..],
        };
        for &(percent, domains) in shares {
            share(bench, keys, name, percent, domains).await;
        }
    }
}

async fn drop_database(bench: &Bench, name: &str) {
    let mut superuser = bench.postgres.superuser("postgres").await;
    superuser
        .run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        .await;
}

async fn share(bench: &mut Bench, keys: Keys, name: &str, percent: u32, domains: &[&str]) {
    let by_hand: Vec<(&str, String)> = match keys {
        Keys::Bare => vec![("keys dropped", ways::rekeyed(domains))],
        Keys::Cascading => vec![("cascade", ways::cascade(domains))],
        Keys::Indexed => vec![
            ("key arrays", ways::arrays(domains)),
            ("temporary keys", ways::tables(domains)),
            ("keys dropped", ways::rekeyed(domains)),
        ],
    };
    let mut ours = Samples::default();
    let mut theirs: Vec<Samples> = by_hand.iter().map(|_| Samples::default()).collect();
    let rounds = if percent == 90 {
        bench.rounds.min(3)
    } else {
        bench.rounds
    };
    for _ in 0..rounds {
        for ((_, text), samples) in by_hand.iter().zip(&mut theirs) {
            bench.postgres.copy("template_shop", "work").await;
            let mut owner = bench.postgres.owner("work").await;
            samples.add(timed(owner.run(text)).await);
        }
        bench.postgres.copy("template_shop", "work").await;
        ours.add(reset(bench, domains).await);
    }
    let label = format!("ResetTestUsers, {percent} %, {name}");
    let best = theirs
        .iter()
        .map(Samples::median)
        .fold(f64::INFINITY, f64::min);
    bench.report.at_most(&*label, ours.median() / best, 1.15);
    let rows = f64::from(bench.users) * 33.0 * f64::from(percent) / 100.0;
    if keys == Keys::Indexed {
        bench.report.point(
            "rows_deleted",
            "rows deleted",
            "resetd",
            rows,
            ours.median(),
        );
        for ((way, _), samples) in by_hand.iter().zip(&theirs) {
            bench
                .report
                .point("rows_deleted", "rows deleted", way, rows, samples.median());
        }
    }
    if percent == 10 && keys == Keys::Indexed {
        let each = one_by_one(bench, domains).await;
        let ratio = each.median() / ours.median();
        bench
            .report
            .at_least("ResetTestUsers, 10 %, against a loop", ratio, 10.0);
        bench
            .report
            .figure(format!("{label}: a loop over the users"), each);
    }
    bench.report.figure(format!("{label}: resetd"), ours);
    for ((way, _), samples) in by_hand.iter().zip(theirs) {
        bench.report.figure(format!("{label}: {way}"), samples);
    }
}

/// Through the server, once it has warmed up.
async fn reset(bench: &Bench, domains: &[&str]) -> std::time::Duration {
    let port = bench.postgres.port;
    arm(port, "work").await;
    let served = Served {
        name: "work",
        database: "work",
        policy: &policy(domains),
    };
    let rig = Rig::start(port, &[served]).await;
    let client = rig.client().await;
    for _ in 0..3 {
        let status = client.get_status(GetStatusRequest::default()).await;
        assert!(status.unwrap().reset_allowed);
    }
    timed(reset_test_users(&client, "work")).await
}

async fn one_by_one(bench: &Bench, domains: &[&str]) -> Samples {
    bench.postgres.copy("template_shop", "work").await;
    let mut owner = bench.postgres.owner("work").await;
    let list: Vec<String> = domains.iter().map(|domain| format!("'{domain}'")).collect();
    let ids = format!(
        "SELECT id::text FROM users WHERE split_part(email, '@', 2) IN ({})",
        list.join(", ")
    );
    let ids = owner.texts(&ids).await;
    let begun = Instant::now();
    for id in ids {
        ways::statements_one(&mut owner, id.parse().unwrap()).await;
    }
    Samples(vec![begun.elapsed()])
}
