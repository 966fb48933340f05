//! What holds for every schema and all data: random cases, executed on real
//! SQLite files and compared with a reference that follows single rows.
//!
//! `LAWS_CASES` says how many cases run, `LAWS_SEED` from which seed on; the
//! seed alone runs that one case. A case that fails is made smaller before it
//! is shown.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and so do the functions that it calls"
)]

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread::ScopedJoinHandle,
};

use case::Case;
use rules::Refused;
use source::Source;
use tally::Tally;
use trial::Broken;

#[path = "laws/aftermath.rs"]
mod aftermath;
#[path = "laws/bench.rs"]
mod bench;
#[path = "laws/case.rs"]
mod case;
#[path = "laws/database.rs"]
mod database;
#[path = "laws/fates.rs"]
mod fates;
#[path = "laws/fill.rs"]
mod fill;
#[path = "laws/generate.rs"]
mod generate;
#[path = "laws/quirks.rs"]
mod quirks;
#[path = "laws/reference.rs"]
mod reference;
#[path = "laws/rules.rs"]
mod rules;
#[path = "laws/script.rs"]
mod script;
#[path = "laws/source.rs"]
mod source;
#[path = "laws/tally.rs"]
mod tally;
#[path = "laws/trial.rs"]
mod trial;

/// How many cases the ordinary run has.
const CASES: u64 = 600;

/// How many cases run at the same time.
const THREADS: u64 = 2;

/// A feature has to occur in one of so many cases.
const RARE: usize = 200;

/// What came of one seed or record.
enum Verdict {
    Held,
    /// The choices made no case.
    NoCase,
    Failed(Broken),
}

#[test]
fn the_laws_hold() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let (seed, cases) = (number("LAWS_SEED"), number("LAWS_CASES"));
    let first = seed.unwrap_or(0);
    let count = cases.unwrap_or(if seed.is_some() { 1 } else { CASES });
    let next = AtomicU64::new(first);
    let held = AtomicU64::new(0);
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(|| run(&next, &held, count)))
            .collect();
        let ended = threads.into_iter().map(ScopedJoinHandle::join);
        ended
            .map(|end| end.unwrap_or_else(|cause| resume_unwind(cause)))
            .collect()
    });
    let mut tally = Tally::default();
    tallies.into_iter().for_each(|part| tally.merge(part));
    let held = held.into_inner();
    println!("{held} cases held, seeds from {first}");
    for (feature, count) in tally.counts() {
        println!("{count:6}  {feature}");
    }
    assert!(held >= count, "{held} cases instead of {count}");
    if seed.is_none() && cases.is_none() {
        the_cases_cover_everything(&tally);
    }
}

/// A generator that no longer makes some feature proves nothing about it, and
/// neither does a case that is excused.
fn the_cases_cover_everything(tally: &Tally) {
    let cases = usize::try_from(CASES).unwrap();
    assert!(cases >= 500, "an ordinary run has 500 cases at least");
    let rare: Vec<_> = tally
        .counts()
        .iter()
        .filter(|(feature, count)| **count < cases / RARE && **feature != trial::EXCUSED)
        .collect();
    assert!(rare.is_empty(), "the cases hardly cover {rare:?}");
    let excused = tally.counts().get(trial::EXCUSED).copied().unwrap_or(0);
    assert!(
        excused < cases / 20,
        "{excused} cases are excused by what SQLite cannot do"
    );
}

/// Takes one seed after the other until enough cases have run.
fn run(next: &AtomicU64, held: &AtomicU64, count: u64) -> Tally {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut tally = Tally::default();
    while held.load(Ordering::Relaxed) < count {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        let mut source = Source::from_seed(seed);
        match verdict(&runtime, &mut source, &mut tally) {
            Verdict::Held => _ = held.fetch_add(1, Ordering::Relaxed),
            Verdict::NoCase => {}
            Verdict::Failed(broken) => {
                // The other thread need not go on.
                held.fetch_add(count, Ordering::Relaxed);
                report(&runtime, seed, source, &broken)
            }
        }
    }
    tally
}

/// A case, and the problem cases that came before it; nothing when the choices
/// make none.
fn make(source: &mut Source) -> Option<(Case, Refused)> {
    let case = generate::schema(source);
    let case = fill::fill(source, case)?;
    rules::choose(source, case)
}

/// Runs one case; a panic inside is a law that does not hold.
fn verdict(runtime: &tokio::runtime::Runtime, source: &mut Source, tally: &mut Tally) -> Verdict {
    let folder = folder();
    let attempt = AssertUnwindSafe(|| {
        let Some((case, refused)) = make(source) else {
            return Verdict::NoCase;
        };
        tally.case(&case);
        if !refused.is_empty() {
            tally.add("policy with a problem");
        }
        let trial = trial::check(source, &case, &refused, folder.path(), tally);
        match runtime.block_on(trial) {
            Ok(()) => Verdict::Held,
            Err(broken) => Verdict::Failed(broken),
        }
    });
    let verdict = std::panic::catch_unwind(attempt).unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| cause.downcast_ref::<&str>().copied());
        Verdict::Failed(Broken {
            law: "nothing panics",
            message: text.unwrap_or("a panic").to_owned(),
        })
    });
    tally.end_case();
    verdict
}

/// A folder in memory where there is one: nothing here has to survive.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    made.unwrap()
}

/// Makes a failing case smaller and fails with it.
fn report(runtime: &tokio::runtime::Runtime, seed: u64, source: Source, broken: &Broken) -> ! {
    let verdict_of = |record: &[u32]| {
        let mut source = Source::from_record(record.to_vec());
        verdict(runtime, &mut source, &mut Tally::default())
    };
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let record = source::shrink(
        source.into_record(),
        &mut |record| matches!(verdict_of(record), Verdict::Failed(smaller) if smaller.law == broken.law),
    );
    std::panic::set_hook(hook);
    let smaller = match verdict_of(&record) {
        Verdict::Failed(smaller) => smaller.message,
        Verdict::Held | Verdict::NoCase => "it holds when it is run again".to_owned(),
    };
    let mut source = Source::from_record(record);
    let text = make(&mut source).map_or_else(String::new, |(case, _)| {
        format!(
            "{}\n{}\n\n{}\nlevel {}, user {}",
            script::schema(&case),
            script::rows(&case),
            script::policy(&case),
            case.level,
            case.root
        )
    });
    panic!(
        "seed {seed} breaks the law: {}\n{smaller}\n\nas small as it gets:\n{text}\n\n\
         at first:\n{}\n\nagain: LAWS_SEED={seed} cargo test --test laws",
        broken.law, broken.message
    );
}
