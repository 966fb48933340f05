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

mod data;
mod others;
mod postgres;
mod report;
mod rig;
mod users;
mod ways;
mod whole;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use postgres::Postgres;
use report::Report;

/// What all measurements share.
pub struct Bench {
    /// The server.
    pub postgres: Postgres,
    /// What was measured.
    pub report: Report,
    /// Users of the marketplace.
    pub users: u32,
    /// How often everything is measured.
    pub rounds: usize,
    /// 10, or 100 where a tenth of the data will do.
    pub tenth: u32,
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
        postgres: Postgres::start().await,
        report: Report::default(),
        users: if quick { 10_000 } else { 100_000 },
        rounds: if quick { 3 } else { 7 },
        tenth: if quick { 100 } else { 10 },
    };
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only.contains(name));
    if wanted("one") {
        users::one(&mut bench).await;
    }
    if wanted("cycle") {
        whole::cycle(&mut bench).await;
    }
    if wanted("peers") {
        whole::peers(&mut bench).await;
    }
    if wanted("sessions") {
        others::sessions(&mut bench).await;
    }
    if wanted("statistics") {
        others::statistics(&mut bench).await;
        others::idle_calls(&mut bench).await;
    }
    if wanted("large") {
        whole::large(&mut bench).await;
    }
    if wanted("many") {
        users::many(&mut bench).await;
    }
    let machine = machine(&bench, quick);
    if let Some(file) = json {
        let text = serde_json::to_string_pretty(&bench.report.json(&machine)).unwrap();
        std::fs::write(file, text + "\n").unwrap();
    }
    if let Some(folder) = results.map(PathBuf::from) {
        std::fs::create_dir_all(&folder).unwrap();
        let text = bench.report.markdown(&machine);
        std::fs::write(folder.join("README.md"), text).unwrap();
        let text = serde_json::to_string_pretty(&bench.report.json(&machine)).unwrap();
        std::fs::write(folder.join("results.json"), text + "\n").unwrap();
        bench.report.draw(&folder);
    }
    println!(
        "{} targets missed, {:.0} s",
        bench.report.missed(),
        begun.elapsed().as_secs_f64()
    );
}

/// What it ran on, without saying whose it is.
fn machine(bench: &Bench, quick: bool) -> Vec<(&'static str, String)> {
    let read = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key));
        let value = line.and_then(|line| line.split_once(':'));
        value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    vec![
        ("processor", read("/proc/cpuinfo", "model name")),
        ("cores", cores.to_string()),
        ("memory", read("/proc/meminfo", "MemTotal")),
        ("PostgreSQL", bench.postgres.version.clone()),
        ("users", bench.users.to_string()),
        ("rounds", bench.rounds.to_string()),
        ("run", if quick { "quick" } else { "whole" }.to_owned()),
    ]
}
