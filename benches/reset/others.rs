//! Test sessions, statistics, and what the server costs by itself.

use resetd::proto::{CleanupRequest, GetStatusRequest, StatisticsRequest};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    Bench,
    data::{Keys, TABLES, marked, marketplace, plain, session},
    engine::{Engine, Place},
    postgres::{Postgres, timed},
    report::{Samples, part, ratio},
    rig::{Rig, Served, arm, policy},
    site::Site,
};

/// A session's rows among few and among many.
pub async fn sessions(bench: &mut Bench, site: &Site) {
    let engine = site.engine();
    let test = policy(&["one.test"])
        + "[cleanup]\nmarker = { key = \"env\", value = \"test\" }\nsession = \"session\"\n\
           roots = [{ table = \"notes\", json = \"metadata\" }]\n";
    let mut places: Vec<(&str, Place)> = Vec::new();
    for (name, rows) in [
        ("few_marked", 10_000),
        ("many_marked", 10_000_000 / bench.tenth),
    ] {
        let place = site.make(name, &marked(engine, rows)).await;
        arm(&place).await;
        places.push((name, place));
    }
    let served = places.iter().map(|(name, place)| Served {
        name,
        place,
        policy: &test,
    });
    let rig = Rig::start(&served.collect::<Vec<_>>()).await;
    let client = rig.client().await;
    let mut times = [(); 2].map(|()| Samples::default());
    for round in 0..=bench.rounds * 5 {
        for ((name, place), samples) in places.iter().zip(&mut times) {
            let mut owner = place.connect().await;
            let id = format!("session-{round}");
            owner.run(&session(engine, &id)).await;
            owner.close().await;
            let request = CleanupRequest {
                target: (*name).to_owned(),
                test_session_id: Some(id),
                ..CleanupRequest::default()
            };
            let took = timed(async {
                let reply = client.cleanup(request).await;
                reply.unwrap_or_else(|error| panic!("{}", error.message()))
            })
            .await;
            if round > 0 {
                samples.add(took);
            }
        }
    }
    let [few, many] = times;
    let measured = ratio(&many, &few);
    let report = &mut bench.report;
    if engine == Engine::MariaDb {
        report.remark(
            "MariaDB has no index on an expression: a session's rows are found by an indexed \
             column that is computed from its id.",
        );
    }
    report.at_most("Cleanup of a session, from few rows to many", measured, 1.3);
    report.figure("Cleanup of a session, few rows kept", few);
    report.figure("Cleanup of a session, many rows kept", many);
}

/// Estimates of many tables, and exact counts of many rows.
pub async fn statistics(bench: &mut Bench, site: &Site) {
    let engine = site.engine();
    let wide = site.make_in_one_file("wide", &plain(engine, 300)).await;
    let sql = marketplace(engine, site.users(bench), Keys::Indexed);
    let counted = site.make("counted", &sql).await;
    let test = policy(&["one.test"]);
    let places = [("wide", &wide), ("counted", &counted)];
    for (_, place) in places {
        arm(place).await;
    }
    let served = places.map(|(name, place)| Served {
        name,
        place,
        policy: &test,
    });
    let rig = Rig::start(&served).await;
    let client = rig.client().await;
    let mut owner = counted.connect().await;
    let counts = TABLES.map(|(name, ..)| {
        let count = engine.text("count(*)");
        format!("SELECT {count} FROM {name}")
    });
    let counts = counts.join(" UNION ALL ");
    let ask = async |target: &str, exact| {
        let request = StatisticsRequest {
            target: target.to_owned(),
            exact,
            page_size: 1000,
            ..StatisticsRequest::default()
        };
        let reply = client.statistics(request).await;
        reply.unwrap_or_else(|error| panic!("{}", error.message()))
    };
    let [mut estimated, mut exact, mut bare] = [(); 3].map(|()| Samples::default());
    // Warm, as every other call: not after millions of rows were read.
    for call in 0..bench.rounds * 5 + 3 {
        let took = timed(ask("wide", false)).await;
        if call >= 3 {
            estimated.add(took);
        }
    }
    for round in 0..=bench.rounds {
        let times = [
            timed(ask("counted", true)).await,
            timed(owner.texts(&counts)).await,
        ];
        if round > 0 {
            for (samples, time) in [&mut exact, &mut bare].into_iter().zip(times) {
                samples.add(time);
            }
        }
    }
    owner.close().await;
    let report = &mut bench.report;
    report.at_most(
        "Statistics, estimates, 300 tables (of 3 ms)",
        part(estimated.median(), 3.0, "ms"),
        1.0,
    );
    report.at_most("Statistics, exact", ratio(&exact, &bare), 1.2);
    report.figure("Statistics, estimates, 300 tables", estimated);
    report.figure("Statistics, exact: resetd", exact);
    report.figure("Statistics, exact: bare counts", bare);
}

/// Calls that reset nothing, beside a server that does nothing.
pub async fn idle_calls(bench: &mut Bench, postgres: &Postgres) {
    let place = postgres.make("idle", &plain(Engine::Postgres, 2)).await;
    arm(&place).await;
    let served = Served {
        name: "idle",
        place: &place,
        policy: &policy(&["one.test"]),
    };
    let rig = Rig::start(&[served]).await;
    let client = rig.client().await;
    let (_reporter, service) = tonic_health::server::health_reporter();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    let bare = tonic::transport::Server::builder().add_service(service);
    let bare = tokio::spawn(bare.serve_with_incoming(incoming));
    let connect = async |address: String| {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"));
        let channel = endpoint.unwrap().connect().await.unwrap();
        HealthClient::new(channel)
    };
    let mut theirs = connect(address.to_string()).await;
    let mut ours = connect(rig.address.clone()).await;
    let [mut plain, mut health, mut status] = [(); 3].map(|()| Samples::default());
    for round in 0..bench.rounds * 100 {
        let request = HealthCheckRequest::default;
        let times = [
            timed(theirs.check(request())).await,
            timed(ours.check(request())).await,
            timed(client.get_status(GetStatusRequest::default())).await,
        ];
        if round >= 20 {
            for (samples, time) in [&mut plain, &mut health, &mut status]
                .into_iter()
                .zip(times)
            {
                samples.add(time);
            }
        }
    }
    bare.abort();
    let report = &mut bench.report;
    report.about(None);
    report.at_least(
        "health, against a bare handler",
        ratio(&plain, &health),
        0.7,
    );
    report.at_least(
        "GetStatus, against a bare handler",
        ratio(&plain, &status),
        0.7,
    );
    report.figure("a bare handler", plain);
    report.figure("health", health);
    report.figure("GetStatus", status);
}
