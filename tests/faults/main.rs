//! What happens when something breaks: every row of the fault matrix that can
//! be provoked here, on real databases, a real Redis and real files, with the
//! real server as a process that is killed. `README.md` maps rows to cases.
//!
//! `FAULTS_ONLY=words` runs the cases whose names contain the words,
//! `FAULTS_SCHEDULES=1000` more random schedules, `FAULTS_SEED=7` one of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_wrap,
    reason = "tests"
)]

mod arrows;
mod databases;
#[path = "../dialects/mariadb.rs"]
#[allow(dead_code, reason = "the dialect suite asks more of it")]
mod mariadb;
mod outages;
#[path = "../dialects/server.rs"]
#[allow(dead_code, reason = "the small file system is for another suite")]
mod postgres;
mod proxy;
mod random;
mod redis;
mod replicas;
mod skips;
mod world;

use std::{
    io::Write as _,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task::JoinSet};
use world::Kind;

type Run = Pin<Box<dyn Future<Output = ()>>>;

/// Something that has to hold.
struct Case {
    name: String,
    run: Box<dyn FnOnce() -> Run + Send>,
}

/// Cases that run at a time.
const AT_ONCE: usize = 5;
/// Schedules of an ordinary run.
const SCHEDULES: u64 = 200;
/// No case takes longer; whoever does, hangs.
const PATIENCE: Duration = Duration::from_secs(900);

static INJECTED: AtomicU64 = AtomicU64::new(0);
static OPERATED: AtomicU64 = AtomicU64::new(0);

/// A fault has happened.
pub fn injected() {
    INJECTED.fetch_add(1, Ordering::Relaxed);
}

/// An operation was asked for.
pub fn operated() {
    OPERATED.fetch_add(1, Ordering::Relaxed);
}

/// Says something although output is captured.
pub fn say(text: &str) {
    // Where nobody reads, nothing is to be said.
    drop(writeln!(std::io::stdout(), "{text}"));
}

macro_rules! cases {
    ($($on:ident: $($room:ident::$case:ident),+;)+) => {{
        let mut cases = Vec::new();
        $($(
            for kind in $on {
                cases.push(Case {
                    name: format!("{}::{} on {kind:?}", stringify!($room), stringify!($case)),
                    run: Box::new(move || Box::pin($room::$case(*kind))),
                });
            }
        )+)+
        cases
    }};
}

const BOTH: &[Kind] = &[Kind::Sqlite, Kind::Postgres];
const EVERYWHERE: &[Kind] = &[Kind::Sqlite, Kind::Postgres, Kind::MariaDb];
/// Those whose journal several servers share.
const SHARED: &[Kind] = &[Kind::Postgres];
/// Those that a connection leads to.
const SERVERS: &[Kind] = &[Kind::Postgres, Kind::MariaDb];

fn all() -> Vec<Case> {
    cases! {
        SHARED:
            replicas::thousands_of_the_same_hundred,
            replicas::what_one_leaves_another_ends,
            replicas::one_request_at_all_of_them,
            replicas::one_that_is_slow_is_overtaken,
            replicas::all_at_once_one_does_the_work,
            replicas::any_of_them_cancels,
            skips::without_the_lease;
        SERVERS:
            databases::cut_at_the_commit_the_proof_decides,
            databases::a_database_that_is_away,
            databases::a_backend_that_is_ended,
            databases::a_row_that_an_application_holds;
        EVERYWHERE:
            arrows::told_to_stop_it_ends_or_rolls_back,
            arrows::killed_before_the_commit_nothing_is_changed,
            arrows::killed_after_the_commit_the_rest_follows,
            arrows::a_slow_step_is_in_the_duration,
            arrows::a_panic_is_rolled_back,
            arrows::the_sweep_delays_no_reply,
            databases::the_holder_is_named,
            databases::a_schema_that_changes_underneath,
            databases::a_new_user_is_not_mistaken_for_the_old_one,
            outages::redis_down_and_a_kill_lose_nothing,
            skips::without_the_proof,
            skips::without_the_pending_row;
        BOTH:
            outages::redis_down_is_a_warning_and_the_keys_go_later,
            outages::redis_down_at_the_start,
            outages::what_redis_refuses_for_now_is_tried_again,
            outages::what_redis_refuses_for_good_needs_attention,
            outages::on_a_cluster_the_keys_of_every_node_go,
            outages::no_path_leads_out_of_its_root,
            outages::a_directory_that_is_swapped_for_a_link,
            outages::a_shared_file_stays,
            databases::a_journal_that_takes_nothing,
            skips::without_the_containment_check,
            skips::with_all_of_them;
    }
}

/// The random schedules, each with its seed in its name.
fn schedules() -> Vec<Case> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seeds = match number("FAULTS_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let from = u64::from(std::process::id()) << 16;
            from..from + number("FAULTS_SCHEDULES").unwrap_or(SCHEDULES)
        }
    };
    say(&format!("  schedules from seed {}", seeds.start));
    let case = |seed| {
        // SQLite has no database to be made, so it takes most of them.
        let kind = match seed % 10 {
            0 => Kind::Postgres,
            5 => Kind::MariaDb,
            _ => Kind::Sqlite,
        };
        Case {
            name: format!("random::schedule FAULTS_SEED={seed} on {kind:?}"),
            run: Box::new(move || Box::pin(random::schedule(kind, seed))),
        }
    };
    seeds.map(case).collect()
}

#[test]
fn nothing_is_lost_whatever_breaks() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let only = std::env::var("FAULTS_ONLY").unwrap_or_default();
    let mut cases = all();
    cases.extend(schedules());
    cases.retain(|case| case.name.contains(&only));
    let hook = std::panic::take_hook();
    // What a case says when it fails is told with its name at the end.
    std::panic::set_hook(Box::new(|_| {}));
    let failed = runtime.block_on(run(cases));
    std::panic::set_hook(hook);
    let twice = failed.iter().filter(|text| text.contains("twice")).count();
    let (injected, operated) = (
        INJECTED.load(Ordering::Relaxed),
        OPERATED.load(Ordering::Relaxed),
    );
    for text in &failed {
        say(text);
    }
    say(&format!(
        "faults: {injected} injected, {operated} operations, {} lost, {twice} applied twice",
        failed.len() - twice
    ));
    assert!(failed.is_empty(), "{} cases failed", failed.len());
    if only.is_empty() {
        assert!(injected > 300, "only {injected} faults happened");
    }
}

async fn run(cases: Vec<Case>) -> Vec<String> {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for case in cases {
        let turns = Arc::clone(&turns);
        running.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            let (name, begun) = (case.name, Instant::now());
            // Each has a thread of its own, and what it waits for there.
            let work = tokio::task::spawn_blocking(move || {
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = runtime.enable_all().build().unwrap();
                let within = async { tokio::time::timeout(PATIENCE, (case.run)()).await };
                runtime.block_on(within).is_ok()
            });
            let ended = work.await;
            let took = begun.elapsed();
            if took > Duration::from_secs(20) {
                say(&format!("  {name}: {took:?}"));
            }
            match ended {
                Ok(true) => None,
                Ok(false) => Some(format!("{name}: it hangs")),
                Err(error) => Some(format!("{name}: {}", words(error))),
            }
        });
    }
    let mut failed = Vec::new();
    while let Some(ended) = running.join_next().await {
        failed.extend(ended.unwrap());
    }
    failed
}

fn words(error: tokio::task::JoinError) -> String {
    let panic = error.into_panic();
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_default()
}
