//! Everything.

use resetd::client::Client;

use crate::{
    Bench,
    data::{Keys, fill, marketplace, plain, tangled},
    postgres::{Sql, timed},
    report::Samples,
    rig::{Rig, Served, arm, full_reset, policy},
    ways,
};

/// What a test leaves behind: 25 rows in five of so many tables.
pub async fn cycle(bench: &mut Bench) {
    println!("full reset after every test");
    let port = bench.postgres.port;
    for tables in [15_u32, 100, 300] {
        let database = format!("cycle_{tables}");
        bench.postgres.make(&database, &plain(tables)).await;
        let (rig, client) = serve(port, &database).await;
        let mut owner = bench.postgres.owner(&database).await;
        let filled = || (0..5).map(move |n| n * (tables - 1) / 5 + 1);
        let insert = fill(filled(), 5);
        let [mut ours, mut floor, mut truncate] = [(); 3].map(|()| Samples::default());
        for round in 0..bench.rounds * 3 + 1 {
            owner.run(&insert).await;
            let took = timed(full_reset(&client, &database)).await;
            owner.run(&insert).await;
            let by_hand = timed(ways::selective(&mut owner, tables, true)).await;
            if round > 0 {
                ours.add(took);
                floor.add(by_hand);
            }
            if round % 3 == 0 {
                owner.run(&insert).await;
                truncate.add(timed(owner.run(&ways::truncate(tables))).await);
            }
        }
        for (line, samples) in [
            ("resetd", &ours),
            ("selective, by hand", &floor),
            ("TRUNCATE of everything", &truncate),
        ] {
            bench.report.point(
                "tables",
                "tables",
                line,
                f64::from(tables),
                samples.median(),
            );
        }
        let label = format!("FullReset after a test, {tables} tables");
        bench
            .report
            .at_most(&*label, ours.median() / floor.median(), 2.0);
        if tables == 100 {
            let ratio = truncate.median() / ours.median();
            let label = "FullReset after a test, 100 tables, against TRUNCATE";
            bench.report.at_least(label, ratio, 15.0);
        }
        bench.report.figure(format!("{label}: resetd"), ours);
        bench
            .report
            .figure(format!("{label}: selective by hand"), floor);
        bench
            .report
            .figure(format!("{label}: TRUNCATE of everything"), truncate);
        drop(rig);
    }
}

async fn serve(port: u16, database: &str) -> (Rig, Client) {
    arm(port, database).await;
    let served = Served {
        name: database,
        database,
        policy: &policy(&["one.test"]),
    };
    let rig = Rig::start(port, &[served]).await;
    let client = rig.client().await;
    (rig, client)
}

/// The sizes that peers were measured at.
pub async fn peers(bench: &mut Bench) {
    println!("full reset beside its peers");
    let port = bench.postgres.port;
    bench.postgres.make("peers", &tangled(60)).await;
    let (_rig, client) = serve(port, "peers").await;
    let mut owner = bench.postgres.owner("peers").await;
    let mut superuser = bench.postgres.superuser("peers").await;
    for (name, tables, rows) in [
        ("S1", 6, 20),
        ("S2", 59, 100),
        ("S3", 59, 50_000 / bench.tenth),
    ] {
        let insert = fill((0..tables).map(|n| n * 59 / tables + 1), rows);
        let peers: [(&str, String, bool); 5] = [
            ("Django flush", ways::truncate(60), false),
            ("TRUNCATE CASCADE", ways::truncate_cascade(60), false),
            ("ordered DELETE", ways::ordered(60), false),
            ("DELETE, triggers off", ways::deletion(60), true),
            ("selective DELETE, enforcement off", String::new(), true),
        ];
        let mut ours = Samples::default();
        let mut theirs = [(); 5].map(|()| Samples::default());
        for round in 0..=bench.rounds {
            owner.run(&insert).await;
            let took = timed(full_reset(&client, "peers")).await;
            if round > 0 {
                ours.add(took);
            }
            for ((_, text, privileged), samples) in peers.iter().zip(&mut theirs) {
                owner.run(&insert).await;
                let sql: &mut Sql = if *privileged {
                    &mut superuser
                } else {
                    &mut owner
                };
                let took = match text.as_str() {
                    "" => timed(ways::selective(sql, 60, false)).await,
                    text => timed(sql.run(text)).await,
                };
                if round > 0 {
                    samples.add(took);
                }
            }
        }
        let best = theirs
            .iter()
            .map(Samples::median)
            .fold(f64::INFINITY, f64::min);
        let label = format!("FullReset {name}, against the best peer");
        bench.report.at_most(label, ours.median() / best, 1.0);
        bench
            .report
            .figure(format!("FullReset {name}: resetd"), ours);
        for ((peer, ..), samples) in peers.iter().zip(theirs) {
            bench
                .report
                .figure(format!("FullReset {name}: {peer}"), samples);
        }
    }
}

/// All rows of the marketplace, counted, and how much memory that takes.
pub async fn large(bench: &mut Bench) {
    println!("full reset of many rows");
    let port = bench.postgres.port;
    let template = marketplace(bench.users, Keys::Indexed);
    bench.postgres.make("template_large", &template).await;
    let [mut ours, mut theirs] = [(); 2].map(|()| Samples::default());
    let (mut idle, mut peak) = (0.0_f64, 0.0_f64);
    for _ in 0..bench.rounds {
        bench.postgres.copy("template_large", "work").await;
        let mut owner = bench.postgres.owner("work").await;
        owner.run("SELECT count(*) FROM users").await;
        theirs.add(timed(owner.run(&ways::counted_truncate())).await);
        bench.postgres.copy("template_large", "work").await;
        let (rig, client) = serve(port, "work").await;
        idle = idle.max(rig.memory("VmRSS"));
        ours.add(timed(full_reset(&client, "work")).await);
        peak = peak.max(rig.memory("VmHWM"));
    }
    let ratio = ours.median() / theirs.median();
    bench
        .report
        .at_most("FullReset, many rows, counted", ratio, 1.3);
    bench.report.figure("FullReset, many rows: resetd", ours);
    bench
        .report
        .figure("FullReset, many rows: counts and TRUNCATE", theirs);
    bench
        .report
        .at_most("memory, idle (of 30 MB)", idle / 30.0, 1.0);
    bench
        .report
        .at_most("memory, while all rows go (of 80 MB)", peak / 80.0, 1.0);
}
