//! Measures resets through the real server, beside every other way to do them.
//!
//! `benches/run` starts it. Every comparison is made in one run, on one server,
//! in turns; what counts is the ratio of the medians.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::string_slice,
    reason = "a bench that cannot measure ends"
)]

mod constants;
mod data;
mod engine;
mod mariadb;
mod others;
mod peers;
mod plot;
mod postgres;
mod report;
mod rig;
mod site;
mod users;
mod ways;
mod whole;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use engine::Engine;
use postgres::Postgres;
use report::Report;
use site::Site;

/// What all measurements share.
pub struct Bench {
    /// What was measured.
    pub report: Report,
    /// Users of the marketplace.
    pub users: u32,
    /// How often everything is measured.
    pub rounds: usize,
    /// Whether there are three minutes for it.
    pub is_quick: bool,
    /// 10, or 100 where a tenth of the data will do.
    pub tenth: u32,
}

/// What is measured on every database.
const WORK: [&str; 6] = ["one", "cycle", "sessions", "statistics", "large", "many"];

/// What there is on PostgreSQL alone, or on no database.
const ALONE: [&str; 4] = ["peers", "constants", "memory", "calls"];

/// Which databases and works are wanted.
struct Wanted(Vec<String>);

impl Wanted {
    fn database(&self, engine: Engine) -> bool {
        let databases = ["postgresql", "mariadb", "sqlite"];
        let mut named = self
            .0
            .iter()
            .filter(|word| databases.contains(&word.as_str()));
        let own = engine.to_string().to_lowercase();
        named.clone().next().is_none() || named.any(|word| *word == own)
    }

    fn names(&self, name: &str) -> bool {
        self.0.iter().any(|word| word == name)
    }

    fn work(&self, name: &str) -> bool {
        let databases = ["postgresql", "mariadb", "sqlite"];
        let mut named = self
            .0
            .iter()
            .filter(|word| !databases.contains(&word.as_str()));
        named.next().is_none() || self.names(name)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).cloned()
    };
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run(
        quick,
        after("--json"),
        after("--only"),
        after("--results"),
    ));
    ExitCode::SUCCESS
}

async fn run(quick: bool, json: Option<String>, only: Option<String>, results: Option<String>) {
    let begun = Instant::now();
    let mut bench = Bench {
        report: Report::default(),
        users: if quick { 10_000 } else { 100_000 },
        rounds: if quick { 3 } else { 7 },
        is_quick: quick,
        tenth: if quick { 100 } else { 10 },
    };
    let only = only.unwrap_or_default().to_lowercase();
    let words = only
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    let wanted = Wanted(words.map(str::to_owned).collect());
    let mut versions = Vec::new();
    // It starts while others are measured.
    let mariadb = wanted.database(Engine::MariaDb).then(mariadb::start);
    if wanted.database(Engine::Postgres) {
        let site = Site::Postgres(Postgres::start().await);
        measure(&mut bench, &site, &wanted, &mut versions).await;
    }
    if wanted.database(Engine::Sqlite) {
        measure(&mut bench, &Site::sqlite(), &wanted, &mut versions).await;
    }
    if let Some(mariadb) = mariadb {
        let site = Site::MariaDb(mariadb.ready().await);
        measure(&mut bench, &site, &wanted, &mut versions).await;
    }
    let machine = machine(&bench, quick, versions);
    if let Some(file) = json {
        let text = serde_json::to_string_pretty(&bench.report.json(&machine)).unwrap();
        std::fs::write(file, text + "\n").unwrap();
    }
    if let Some(folder) = results.map(PathBuf::from) {
        bench.report.write(&folder, &machine);
    }
    println!(
        "{} targets missed, {:.0} s",
        bench.report.missed(),
        begun.elapsed().as_secs_f64()
    );
}

/// The table of targets on one database.
async fn measure(
    bench: &mut Bench,
    site: &Site,
    wanted: &Wanted,
    versions: &mut Vec<(String, String)>,
) {
    let engine = site.engine();
    bench.report.about(Some(engine));
    versions.push((engine.to_string(), site.version().await));
    if engine == Engine::MariaDb {
        bench.report.remark(
            "MariaDB cannot copy a database: its marketplace has a fifth of the users, for \
             ResetUser two fifths, and is filled again between the ways.",
        );
    }
    for name in WORK.into_iter().filter(|name| wanted.work(name)) {
        let begun = Instant::now();
        println!("{engine}: {name}");
        match name {
            "one" => users::one(bench, site).await,
            "cycle" => whole::cycle(bench, site).await,
            "sessions" => others::sessions(bench, site).await,
            "statistics" => others::statistics(bench, site).await,
            "large" => whole::large(bench, site).await,
            _ => users::many(bench, site).await,
        }
        println!("  ({:.0} s)", begun.elapsed().as_secs_f64());
    }
    let Site::Postgres(postgres) = site else {
        return;
    };
    for name in ALONE.into_iter().filter(|name| wanted.work(name)) {
        // No target is about them.
        if name == "constants" && bench.is_quick && !wanted.names("constants") {
            continue;
        }
        let begun = Instant::now();
        println!("{name}");
        match name {
            "peers" => whole::peers(bench, postgres).await,
            "constants" => constants::constants(bench, postgres).await,
            "memory" => whole::memory(bench, postgres).await,
            _ => others::idle_calls(bench, postgres).await,
        }
        println!("  ({:.0} s)", begun.elapsed().as_secs_f64());
    }
}

/// What it ran on, without saying whose it is.
fn machine(bench: &Bench, quick: bool, versions: Vec<(String, String)>) -> Vec<(String, String)> {
    let read = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key));
        let value = line.and_then(|line| line.split_once(':'));
        value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut machine = vec![
        ("processor".to_owned(), read("/proc/cpuinfo", "model name")),
        ("cores".to_owned(), cores.to_string()),
        ("memory".to_owned(), read("/proc/meminfo", "MemTotal")),
    ];
    machine.extend(versions);
    machine.extend([
        ("users".to_owned(), bench.users.to_string()),
        ("rounds".to_owned(), bench.rounds.to_string()),
        (
            "run".to_owned(),
            if quick { "quick" } else { "whole" }.to_owned(),
        ),
    ]);
    machine
}
