//! The five systems as their users know them: the real schema and policy of
//! each, on the real database, through a real server over a real socket. A
//! case is named by the lines of the checklist that it keeps, as in
//! `a05_a06_exact_domains`; README.md says which lines there are.
//!
//! `SYSTEMS_ONLY=words` runs the cases whose names contain the words.
//! `SYSTEMS_TABLE=write` puts the cases' names into the README's tables.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod abacus;
mod checklist;
#[path = "../dialects/connection.rs"]
#[allow(dead_code, reason = "the dialect suite asks more of it")]
mod connection;
#[path = "../dialects/mariadb.rs"]
#[allow(dead_code, reason = "the dialect suite asks more of it")]
mod mariadb;
mod mestore;
mod place;
mod rafactory;
mod searchable;
mod searchable_faults;
#[path = "../dialects/server.rs"]
#[allow(dead_code, reason = "the dialect suite asks more of it")]
mod server;
#[path = "../effects/servers.rs"]
#[allow(dead_code, reason = "the suite of effects asks more of it")]
mod servers;
mod untouched;
mod vedfolnir;
#[allow(dead_code, reason = "each system asks for a part of it")]
mod world;

use std::{
    collections::BTreeSet,
    io::Write as _,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use place::Kind;
use tokio::{
    sync::Semaphore,
    task::{JoinError, JoinSet},
};

/// Something that one of the systems promises.
#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    on: &'static [Kind],
    run: fn(Kind) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Cases of what only SQLite has.
#[allow(dead_code, reason = "each system names those that it needs")]
pub const SQLITE: &[Kind] = &[Kind::Sqlite];
/// Cases of what only PostgreSQL has.
#[allow(dead_code, reason = "each system names those that it needs")]
pub const POSTGRES: &[Kind] = &[Kind::Postgres];
/// Cases of what only MariaDB has.
pub const MARIADB: &[Kind] = &[Kind::MariaDb];
/// Cases of a system that runs on either.
pub const BOTH: &[Kind] = &[Kind::Sqlite, Kind::Postgres];

/// Every case of every system.
fn all() -> Vec<Case> {
    [
        abacus::CASES,
        &mestore::cases()[..],
        rafactory::CASES,
        searchable::CASES,
        searchable_faults::CASES,
        vedfolnir::CASES,
    ]
    .concat()
}

/// Cases that run at a time.
const AT_ONCE: usize = 4;

/// No case takes longer; whoever does, hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// Lists functions as cases.
#[macro_export]
macro_rules! cases {
    ($($on:ident: $($case:ident),+ $(,)?;)+) => {
        /// This module's cases.
        pub const CASES: &[$crate::Case] = &[$($($crate::Case {
            name: stringify!($case),
            on: $crate::$on,
            run: |kind| Box::pin($case(kind)),
        }),+),+];
    };
}

#[test]
fn every_system_keeps_its_promises() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let only = std::env::var("SYSTEMS_ONLY").unwrap_or_default();
    let mut chosen = Vec::new();
    for case in all().iter().filter(|case| case.name.contains(&only)) {
        chosen.extend(case.on.iter().map(|&kind| (*case, kind)));
    }
    let names: BTreeSet<&str> = chosen.iter().map(|(case, _)| case.name).collect();
    let hook = std::panic::take_hook();
    // What a case says when it fails is told with its name at the end.
    std::panic::set_hook(Box::new(|_| {}));
    let failed = runtime.block_on(run(chosen.clone()));
    std::panic::set_hook(hook);
    let broken: BTreeSet<&str> = failed.iter().map(|(name, _)| *name).collect();
    let passed = names.difference(&broken).copied();
    let kept: BTreeSet<String> = passed.clone().flat_map(checklist::lines_of).collect();
    say(&format!(
        "systems: {} of {} lines covered, {} tests",
        kept.len(),
        checklist::LINES,
        passed.count()
    ));
    let why: String = failed.into_iter().map(|(_, why)| why).collect();
    assert!(why.is_empty(), "{} failed: {why}", broken.len());
}

/// Runs cases, several at a time, and tells which failed and why.
async fn run(cases: Vec<(Case, Kind)>) -> Vec<(&'static str, String)> {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for (case, kind) in cases {
        let turns = Arc::clone(&turns);
        running.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            let begun = Instant::now();
            let name = format!("{} on {kind:?}", case.name);
            let work = tokio::spawn(AssertUnwindSafe((case.run)(kind)));
            let stop = work.abort_handle();
            let ended = tokio::time::timeout(PATIENCE, work).await;
            stop.abort();
            let took = begun.elapsed();
            if took > Duration::from_secs(10) {
                say(&format!("  {name}: {took:?}"));
            }
            let why = match ended {
                Ok(Ok(())) => return None,
                Ok(Err(error)) => words(error),
                Err(_) => "it hangs".to_owned(),
            };
            Some((case.name, format!("\n── {name}: {why}")))
        });
    }
    let failed = running.join_all().await.into_iter().flatten();
    let mut failed: Vec<_> = failed.collect();
    failed.sort();
    place::clear_away().await;
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

/// Tells it even when the test passes.
fn say(line: &str) {
    std::io::stdout()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}
