//! The same cases on every database: what the catalogue says, what a plan
//! does, how it fails. Each case has a database of its own.
//!
//! `DIALECTS_ONLY=words` runs the cases whose names contain the words.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod accounts;
mod actions;
mod advice;
mod cleanup;
mod connection;
mod crowd;
mod cycles;
mod faults;
mod full;
mod guards;
mod mariadb;
mod mestore;
mod obstacles;
mod order;
mod partitions;
mod recipes;
mod server;
mod shapes;
mod values;
mod ways;
mod whole;
mod wire;
mod world;

use std::{
    io::Write as _,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::Semaphore,
    task::{JoinError, JoinSet},
};
use world::{Kind, OWNER};

/// Something that has to hold on one or all kinds of database.
#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    on: &'static [Kind],
    run: fn(Kind) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

const EVERYWHERE: &[Kind] = &[Kind::Sqlite, Kind::Postgres, Kind::MariaDb];
/// What MariaDB cannot have; each case says why.
const NOT_MARIADB: &[Kind] = &[Kind::Sqlite, Kind::Postgres];
/// What PostgreSQL does in another way.
const NOT_POSTGRES: &[Kind] = &[Kind::Sqlite, Kind::MariaDb];
const MARIADB: &[Kind] = &[Kind::MariaDb];
/// Those that have roles, types of their own, and several connections at once.
const SERVERS: &[Kind] = &[Kind::Postgres, Kind::MariaDb];
const POSTGRES: &[Kind] = &[Kind::Postgres];

/// Cases that run at a time.
const AT_ONCE: usize = 6;

/// No case takes longer; whoever does, hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// Lists functions as cases.
#[macro_export]
macro_rules! cases {
    ($($on:ident: $($case:ident),+;)+) => {
        /// This module's cases.
        pub const CASES: &[$crate::Case] = &[$($($crate::Case {
            name: concat!(module_path!(), "::", stringify!($case)),
            on: $crate::$on,
            run: |kind| Box::pin($case(kind)),
        }),+),+];
    };
}

#[test]
fn every_database_passes_every_case() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let all = [
        // The longest come first.
        mestore::CASES,
        accounts::CASES,
        actions::CASES,
        advice::CASES,
        cleanup::CASES,
        crowd::CASES,
        cycles::CASES,
        faults::CASES,
        full::CASES,
        guards::CASES,
        obstacles::CASES,
        partitions::CASES,
        recipes::CASES,
        shapes::CASES,
        values::CASES,
        ways::CASES,
        whole::CASES,
        wire::CASES,
    ]
    .concat();
    let only = std::env::var("DIALECTS_ONLY").unwrap_or_default();
    let mut chosen = Vec::new();
    for case in all.iter().filter(|case| case.name.contains(&only)) {
        chosen.extend(case.on.iter().map(|&kind| (*case, kind)));
    }
    let hook = std::panic::take_hook();
    // What a case says when it fails is told with its name at the end.
    std::panic::set_hook(Box::new(|_| {}));
    let failed = runtime.block_on(run(chosen.clone()));
    std::panic::set_hook(hook);
    let count = |kind| chosen.iter().filter(|(_, on)| *on == kind).count();
    let (sqlite, postgres) = (count(Kind::Sqlite), count(Kind::Postgres));
    let mariadb = count(Kind::MariaDb);
    say(&format!(
        "dialects: {sqlite} cases on sqlite, {postgres} on postgres, {mariadb} on mariadb"
    ));
    assert!(
        failed.is_empty(),
        "{} failed: {}",
        failed.len(),
        failed.concat()
    );
    if only.is_empty() {
        assert_eq!(
            (sqlite, postgres, mariadb),
            (92, 155, 106),
            "cases went missing, or came: count again"
        );
    }
}

/// Runs cases, several at a time, and names those that fail.
async fn run(cases: Vec<(Case, Kind)>) -> Vec<String> {
    prepare().await;
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for (case, kind) in cases {
        let turns = Arc::clone(&turns);
        running.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            let begun = Instant::now();
            let name = format!("{} on {kind:?}", case.name.trim_start_matches("dialects::"));
            let work = tokio::spawn(AssertUnwindSafe((case.run)(kind)));
            let stop = work.abort_handle();
            let ended = tokio::time::timeout(PATIENCE, work).await;
            stop.abort();
            let took = begun.elapsed();
            if took > Duration::from_secs(3) {
                say(&format!("  {name}: {took:?}"));
            }
            let why = match ended {
                Ok(Ok(())) => return None,
                Ok(Err(error)) => words(error),
                Err(_) => "it hangs".to_owned(),
            };
            Some(format!("\n── {name}: {why}"))
        });
    }
    let mut failed: Vec<String> = running.join_all().await.into_iter().flatten().collect();
    failed.sort();
    clear_away().await;
    failed
}

/// What a panic said.
fn words(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else {
        return "it was stopped".to_owned();
    };
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_default()
}

/// The roles that all databases of a server share.
async fn prepare() {
    let superuser = server::server().superuser(None).await;
    let mut superuser = connection::Connection::Postgres(superuser);
    let sql = format!(
        "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{OWNER}') THEN \
         CREATE ROLE {OWNER} LOGIN; CREATE ROLE resetd_guest LOGIN; END IF; END $$"
    );
    superuser.run(&sql).await.unwrap();
    superuser.close().await;
    let superuser = mariadb::mariadb().superuser(None).await;
    let mut superuser = connection::Connection::MariaDb(superuser);
    let sql = format!("CREATE USER IF NOT EXISTS {OWNER}, resetd_guest");
    superuser.run(&sql).await.unwrap();
    superuser.close().await;
}

/// A server that is not ours alone keeps none of our databases.
async fn clear_away() {
    let superuser = server::server().superuser(None).await;
    let mut superuser = connection::Connection::Postgres(superuser);
    let question = format!(
        "SELECT datname::text FROM pg_database WHERE datname LIKE 'resetd\\_{}\\_%'",
        std::process::id()
    );
    for name in superuser.rows(&question).await.unwrap().concat() {
        let drop = format!("DROP DATABASE {name} WITH (FORCE)");
        superuser.run(&drop).await.unwrap();
    }
    superuser.close().await;
    let superuser = mariadb::mariadb().superuser(None).await;
    let mut superuser = connection::Connection::MariaDb(superuser);
    let question = format!(
        "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'resetd|_{}|_%' \
         ESCAPE '|'",
        std::process::id()
    );
    for name in superuser.rows(&question).await.unwrap().concat() {
        let drop = format!("DROP DATABASE {name}");
        superuser.run(&drop).await.unwrap();
    }
    superuser.close().await;
}

/// Tells it even when the test passes.
pub fn say(line: &str) {
    std::io::stdout()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}
