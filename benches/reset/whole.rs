//! Everything.

use resetd::{client::Client, proto::StatisticsRequest};

use crate::{
    Bench,
    data::{Keys, fill, marketplace, plain, tangled},
    engine::{Engine, Place},
    peers::{self, Peer},
    postgres::{Postgres, timed, vacuum_catalogue},
    report::{Samples, best, part, quotient, ratio},
    rig::{Rig, Served, arm, full_reset, policy, reset_test_users},
    site::Site,
    users::DOMAINS,
    ways::{self, Checks},
};

/// Calls before one is measured: most of the other ways change the catalogue,
/// after which every connection plans its statements again, as after a
/// migration and not after a test.
const WARM: usize = 6;

/// What a test leaves behind: 25 rows in five of so many tables.
pub async fn cycle(bench: &mut Bench, site: &Site) {
    let engine = site.engine();
    let sizes = match engine {
        Engine::Postgres => &[15_u32, 100, 300][..],
        Engine::Sqlite | Engine::MariaDb => &[100],
    };
    for &tables in sizes {
        let name = format!("cycle_{tables}");
        let place = site.make(&name, &plain(engine, tables)).await;
        let (rig, client) = serve(&name, &place).await;
        let mut owner = place.connect().await;
        let filled = || (0..5).map(move |n| n * (tables - 1) / 5 + 1);
        let insert = fill(engine, filled(), 5);
        let [mut ours, mut floor, mut truncate] = [(); 3].map(|()| Samples::default());
        // It takes seconds for hundreds of tables.
        let every = if tables < 300 || bench.rounds > 3 {
            3
        } else {
            5
        };
        for _ in 0..WARM {
            owner.run(&insert).await;
            full_reset(&client, &name).await;
        }
        for round in 0..=bench.rounds * 3 {
            owner.run(&insert).await;
            let took = timed(full_reset(&client, &name)).await;
            owner.run(&insert).await;
            let by_hand = timed(ways::selective(&mut owner, tables, Checks::On)).await;
            if round > 0 {
                ours.add(took);
                floor.add(by_hand);
            }
        }
        for _ in (0..=bench.rounds * 3).step_by(every) {
            owner.run(&insert).await;
            let all = ways::truncate(engine, tables);
            truncate.add(timed(owner.run(&all)).await);
        }
        for (line, samples) in [
            ("resetd", &ours),
            ("selective, by hand", &floor),
            ("TRUNCATE of everything", &truncate),
        ] {
            let report = &mut bench.report;
            report.point("tables", line, f64::from(tables), samples.median());
        }
        let label = format!("FullReset after a test, {tables} tables");
        let report = &mut bench.report;
        report.at_most(&*label, ratio(&ours, &floor), 2.0);
        // SQLite has no TRUNCATE; a DELETE of everything is one.
        if tables == 100 && engine != Engine::Sqlite {
            let measured = ratio(&truncate, &ours);
            let label = "FullReset after a test, 100 tables, against TRUNCATE";
            report.at_least(label, measured, 15.0);
        }
        report.figure(format!("{label}: resetd"), ours);
        report.figure(format!("{label}: selective by hand"), floor);
        report.figure(format!("{label}: TRUNCATE of everything"), truncate);
        drop(rig);
    }
}

async fn serve(name: &str, place: &Place) -> (Rig, Client) {
    arm(place).await;
    let served = Served {
        name,
        place,
        policy: &policy(&["one.test"]),
    };
    let rig = Rig::start(&[served]).await;
    let client = rig.client().await;
    (rig, client)
}

/// A way to empty everything.
enum Way {
    /// By statements of the owner, or of a superuser.
    Owner(String),
    Superuser(String),
    /// Only what has got rows, by a superuser who knows where they are.
    Rewinder,
    /// Only what has rows, by a superuser who asks; no tool does that, and so
    /// it is no peer.
    Selective,
    /// By a program, which is given a command.
    Django,
    Cleaner(&'static str),
}

impl Way {
    /// True where an owner may do it, and with whatever schema. Django's own
    /// program measures what its SQL does.
    fn is_for_owners(&self) -> bool {
        match self {
            Self::Owner(_) | Self::Django | Self::Cleaner("truncation") => true,
            Self::Superuser(_) | Self::Rewinder | Self::Selective | Self::Cleaner(_) => false,
        }
    }
}

/// The sizes that peers were measured at.
pub async fn peers(bench: &mut Bench, postgres: &Postgres) {
    const TABLES: u32 = 60;
    let place = postgres.make("peers", &tangled(TABLES)).await;
    let mut servers = vec![serve("peers", &place).await];
    if let Some(place) = postgres.switching("peers").await {
        servers.push(serve("peers", &place).await);
    }
    let mut owner = place.connect().await;
    let mut superuser = postgres.superuser("peers").await;
    let report = &mut bench.report;
    let mut django = Peer::django(report, &place, &peers::tangled(TABLES));
    let mut cleaner = Peer::cleaner(report, &place);
    let flush = ways::truncate(Engine::Postgres, TABLES);
    let mut ways = vec![
        ("TRUNCATE of everything, as Django", Way::Owner(flush)),
        (
            "TRUNCATE CASCADE of everything",
            Way::Owner(ways::truncate_cascade(TABLES)),
        ),
        ("ordered DELETE", Way::Owner(ways::ordered(TABLES))),
        (
            "DELETE with triggers off, as DatabaseCleaner",
            Way::Superuser(ways::deletion(TABLES)),
        ),
        (
            "DELETE of what was filled, triggers off, as database_rewinder",
            Way::Rewinder,
        ),
    ];
    if django.is_some() {
        ways.push(("Django's flush", Way::Django));
    }
    if cleaner.is_some() {
        ways.push(("DatabaseCleaner, deletion", Way::Cleaner("deletion")));
        ways.push(("DatabaseCleaner, truncation", Way::Cleaner("truncation")));
    }
    // The last, so that it can be left out.
    ways.push(("by hand: selective DELETE, enforcement off", Way::Selective));
    for (name, filled, rows) in [
        ("S1", 6, 20),
        ("S2", TABLES - 1, 100),
        ("S3", TABLES - 1, 50_000 / bench.tenth),
    ] {
        let numbers = (0..filled).map(|n| n * (TABLES - 1) / filled + 1);
        let insert = fill(Engine::Postgres, numbers.clone(), rows);
        let rewind = ways::rewind(numbers);
        let mut ours: Vec<Samples> = servers.iter().map(|_| Samples::default()).collect();
        let mut theirs: Vec<Samples> = ways.iter().map(|_| Samples::default()).collect();
        for round in 0..=bench.rounds {
            vacuum_catalogue(&mut superuser).await;
            for ((_, client), samples) in servers.iter().zip(&mut ours) {
                for _ in 0..WARM {
                    full_reset(client, "peers").await;
                }
                owner.run(&insert).await;
                let took = timed(full_reset(client, "peers")).await;
                if round > 0 {
                    samples.add(took);
                }
            }
            for ((_, way), samples) in ways.iter().zip(&mut theirs) {
                owner.run(&insert).await;
                let took = match way {
                    Way::Owner(text) => timed(owner.run(text)).await,
                    Way::Superuser(text) => timed(superuser.run(text)).await,
                    Way::Rewinder => timed(superuser.run(&rewind)).await,
                    Way::Selective => {
                        timed(ways::selective(&mut superuser, TABLES, Checks::Off)).await
                    }
                    Way::Django => django.as_mut().unwrap().ask("flush"),
                    Way::Cleaner(strategy) => cleaner.as_mut().unwrap().ask(strategy),
                };
                let count = "SELECT (SELECT count(*) FROM t1)::text";
                assert_eq!(owner.text(count).await, "0", "nothing is left");
                if round > 0 {
                    samples.add(took);
                }
            }
        }
        let report = &mut bench.report;
        let peers = &theirs[..theirs.len() - 1];
        let plain = ways.iter().zip(peers);
        let plain = plain.filter(|((_, way), _)| way.is_for_owners());
        let plain: Vec<Samples> = plain.map(|(_, samples)| samples.clone()).collect();
        let roles = ["", ", by a role that may switch checks off"];
        for (role, ours) in roles.into_iter().zip(ours) {
            let label = format!("FullReset {name}{role}");
            report.at_most(
                format!("{label}, against the best peer"),
                ratio(&ours, best(peers)),
                1.0,
            );
            if role.is_empty() {
                let label = format!("{label}, against the best without superuser");
                report.at_most(label, ratio(&ours, best(&plain)), 1.0);
            }
            report.figure(format!("{label}: resetd"), ours);
        }
        for ((way, _), samples) in ways.iter().zip(theirs) {
            report.figure(format!("FullReset {name}: {way}"), samples);
        }
    }
}

/// All rows of the marketplace, counted, and how much memory that takes.
pub async fn large(bench: &mut Bench, site: &Site) {
    let engine = site.engine();
    let sql = marketplace(engine, site.users(bench), Keys::Indexed);
    site.make("shop", &sql).await;
    let [mut ours, mut theirs] = [(); 2].map(|()| Samples::default());
    for _ in 0..bench.rounds {
        let mut owner = site.restore("shop", "work").await.connect().await;
        owner.run("SELECT count(*) FROM users").await;
        theirs.add(timed(owner.run(&ways::counted_truncate(engine))).await);
        owner.close().await;
        let place = site.restore("shop", "work").await;
        let (_rig, client) = serve("work", &place).await;
        // Whoever does it by hand is connected, and knows the tables.
        let known = client.statistics(StatisticsRequest {
            target: "work".to_owned(),
            ..StatisticsRequest::default()
        });
        drop(
            known
                .await
                .unwrap_or_else(|error| panic!("{}", error.message())),
        );
        ours.add(timed(full_reset(&client, "work")).await);
    }
    site.remove("shop").await;
    site.remove("work").await;
    let measured = ratio(&ours, &theirs);
    let report = &mut bench.report;
    report.at_most("FullReset, many rows, counted", measured, 1.3);
    report.figure("FullReset, many rows: resetd", ours);
    let by_hand = match engine {
        Engine::Postgres => "counts and TRUNCATE",
        Engine::MariaDb => "counts and DELETE, checks off",
        Engine::Sqlite => "counts and DELETE, keys off",
    };
    report.figure(format!("FullReset, many rows: {by_hand}"), theirs);
}

/// What the server takes while all rows of few users go, and of ten times as
/// many: test users first, everything else after them.
pub async fn memory(bench: &mut Bench, postgres: &Postgres) {
    let (mut idle, mut peaks) = (0.0_f64, Vec::new());
    for users in [bench.users / 10, bench.users] {
        postgres.remove("shop").await;
        let sql = marketplace(Engine::Postgres, users, Keys::Indexed);
        let place = postgres.make("shop", &sql).await;
        arm(&place).await;
        let served = Served {
            name: "shop",
            place: &place,
            policy: &policy(&DOMAINS),
        };
        let rig = Rig::start(&[served]).await;
        let client = rig.client().await;
        idle = idle.max(rig.memory("VmRSS"));
        reset_test_users(&client, "shop").await;
        full_reset(&client, "shop").await;
        peaks.push(rig.memory("VmHWM"));
    }
    postgres.remove("shop").await;
    let (few, many) = (peaks[0], peaks[1]);
    let report = &mut bench.report;
    report.about(None);
    report.at_most("memory, idle", part(idle, 30.0, "MB"), 1.0);
    report.at_most(
        "memory, at most, while all rows go",
        part(many, 80.0, "MB"),
        1.0,
    );
    report.at_most(
        "memory, at most, with ten times the users",
        quotient(many, few, "MB"),
        1.2,
    );
}
