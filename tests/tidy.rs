//! The house rules, held by a program: who may name whom, which words have one
//! owner, what is pure, what never ships, and what lies at the top level.
//!
//! The floor table and the owners are written once, in the head of `src/lib.rs`;
//! this file reads them there. It knows Rust's tokens and `use` trees, no more:
//! a `use … as …` hides a name from it, and review has to see that.
//!
//! Every rule is a function from sources to violations, `file:line: what`, and
//! has two tests: one over the house, and one over a planted violation.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test fails by panicking, and so do the functions that it calls"
)]

use std::collections::BTreeSet;

use house::{File, House, Table};
use source::{Source, declared};

#[path = "tidy/house.rs"]
mod house;
#[path = "tidy/planted.rs"]
mod planted;
#[path = "tidy/rust.rs"]
mod rust;
#[path = "tidy/source.rs"]
mod source;

type Violations = Vec<String>;

/// These floors decide and describe; they neither wait nor look around.
const PURE_FLOORS: std::ops::RangeInclusive<u32> = 0..=2;

/// Not on a pure floor, its tests included: they need no database and no runtime.
/// Of `std::net` the addresses are values, and may be named.
const IMPURE: &[&str] = &[
    "async",
    ".await",
    "tokio",
    "sqlx",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixListener",
    "UnixStream",
    "ToSocketAddrs",
    ".to_socket_addrs",
];

/// Not on a pure floor, though its tests may: a fixture can be read from a file.
const IMPURE_OUTSIDE_TESTS: &[&str] = &["std::fs", "std::env", "SystemTime", "Instant::now"];

/// What stops the process, or was meant to be temporary.
const NEVER_SHIPPED: &[&str] = &[
    ".unwrap()",
    "::unwrap",
    ".expect()",
    "::expect",
    "panic!",
    "todo!",
    "unimplemented!",
    "dbg!",
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "helper", "helpers", "manager", "common", "core", "service",
];

/// Everything that may stand at the top level of the repository.
const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "buf.yaml",
    "build.rs",
    "clients",
    "clippy.toml",
    "deny.toml",
    "deploy",
    "proto",
    "rustfmt.toml",
    "src",
    "tests",
];

// ── the rules, over this repository ─────────────────────────────────────────

#[test]
fn every_room_stands_on_one_floor() {
    let house = House::of_this_repository();
    assert_clean(&floors(&house.sources, &house.table));
}

#[test]
fn rooms_name_only_lower_floors() {
    let house = House::of_this_repository();
    assert_clean(&direction(&house.sources, &house.table));
}

#[test]
fn owned_words_stay_with_their_owners() {
    let house = House::of_this_repository();
    assert_clean(&owners(&house.sources, &house.table));
}

#[test]
fn low_floors_are_pure() {
    let house = House::of_this_repository();
    assert_clean(&purity(&house.sources, &house.table));
}

#[test]
fn nothing_temporary_and_nothing_that_panics_is_shipped() {
    assert_clean(&shipped(&House::of_this_repository().sources));
}

#[test]
fn every_rust_file_begins_with_its_head() {
    let is_rust = |(path, _): &&File| {
        let root = path.split('/').next().unwrap_or_default();
        path.ends_with(".rs") && ["src", "tests", "benches", "build.rs"].contains(&root)
    };
    assert_clean(&heads(
        House::of_this_repository()
            .repository
            .iter()
            .filter(is_rust),
    ));
}

#[test]
fn names_of_rooms_say_something() {
    assert_clean(&names(&House::of_this_repository().sources));
}

#[test]
fn the_top_level_holds_only_what_belongs_there() {
    let paths = House::of_this_repository().repository.iter();
    assert_clean(&top_level(paths.map(|(path, _)| path.as_str())));
}

#[test]
fn no_file_tells_a_secret_or_whose_machine_this_is() {
    assert_clean(&private(&House::of_this_repository().repository));
}

#[track_caller]
fn assert_clean(violations: &[String]) {
    assert!(
        violations.is_empty(),
        "{} against the rules of the house (src/lib.rs, CONTRIBUTING.md):\n  {}",
        violations.len(),
        violations.join("\n  ")
    );
}

// ── the rules ───────────────────────────────────────────────────────────────

/// Each room in `src/` is in the table once, and each room in the table is in `src/`.
fn floors(sources: &[Source], table: &Table) -> Violations {
    let rooms: BTreeSet<&str> = sources.iter().filter_map(Source::room).collect();
    let unlisted = rooms
        .iter()
        .filter(|room| !table.floor_of.contains_key(**room));
    let absent = table
        .floor_of
        .iter()
        .filter(|(room, _)| !rooms.contains(room.as_str()));
    let mut violations: Violations = unlisted
        .map(|room| format!("src/{room}: stands on no floor; add it to the table in src/lib.rs"))
        .collect();
    violations.extend(absent.map(|(room, listed)| {
        format!(
            "src/lib.rs:{}: `{room}` is on floor {} but not in src/",
            listed.line, listed.floor
        )
    }));
    violations
}

/// A room names rooms on lower floors and itself; tests may name anything.
fn direction(sources: &[Source], table: &Table) -> Violations {
    let mut violations = Vec::new();
    for source in sources {
        let Some(room) = source.room() else { continue };
        let Some(own) = table.floor_of.get(room) else {
            continue;
        };
        for name in &source.product.names {
            let [root, named, ..] = &name.segments[..] else {
                continue;
            };
            if root != "crate" || named == room {
                continue;
            }
            match table.floor_of.get(named) {
                Some(other) if other.floor < own.floor => {}
                Some(other) => violations.push(format!(
                    "{}:{}: `{room}` (floor {}) names `crate::{named}` (floor {}): only lower floors",
                    source.path, name.line, own.floor, other.floor
                )),
                None => violations.push(format!(
                    "{}:{}: `crate::{named}` is no room in the table; name the room itself",
                    source.path, name.line
                )),
            }
        }
    }
    violations
}

/// A word with owners is said by nobody else; tests may say it.
fn owners(sources: &[Source], table: &Table) -> Violations {
    let mut violations = Vec::new();
    for source in sources {
        for owned in table.owned.iter().filter(|owned| !owned.by(source)) {
            for line in source.product.says(&owned.word) {
                violations.push(format!(
                    "{}:{line}: `{}` belongs to {}",
                    source.path,
                    owned.word,
                    owned.owners.join(", ")
                ));
            }
        }
    }
    violations
}

/// Pure floors say no word of waiting, input, output or the clock.
fn purity(sources: &[Source], table: &Table) -> Violations {
    let mut violations = Vec::new();
    for source in sources {
        let listed = source.room().and_then(|room| table.floor_of.get(room));
        let Some(listed) = listed.filter(|listed| PURE_FLOORS.contains(&listed.floor)) else {
            continue;
        };
        let whole = IMPURE.iter().map(|word| (word, source.whole.says(word)));
        let product = IMPURE_OUTSIDE_TESTS
            .iter()
            .map(|word| (word, source.product.says(word)));
        for (word, lines) in whole.chain(product) {
            violations.extend(lines.iter().map(|line| {
                format!(
                    "{}:{line}: `{word}` on floor {}, which is pure",
                    source.path, listed.floor
                )
            }));
        }
    }
    violations
}

/// Outside tests nothing panics on purpose; nowhere in `src/` is a note to self.
fn shipped(sources: &[Source]) -> Violations {
    let mut violations = Vec::new();
    for source in sources {
        for word in NEVER_SHIPPED {
            for line in source.product.says(word) {
                violations.push(format!("{}:{line}: `{word}` outside tests", source.path));
            }
        }
        for (line, comment) in &source.comments {
            let mut words = comment.split(|letter: char| !letter.is_alphanumeric());
            if let Some(word) = words.find(|word| ["TODO", "FIXME"].contains(word)) {
                violations.push(format!("{}:{line}: {word} in a comment", source.path));
            }
        }
    }
    violations
}

/// A file says first what it is for.
fn heads<'a>(files: impl Iterator<Item = &'a File>) -> Violations {
    let headless = files.filter(|(_, text)| {
        let head = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("//!"));
        head.is_none_or(|head| head.trim().is_empty())
    });
    headless
        .map(|(path, _)| format!("{path}:1: does not begin with a `//!` head"))
        .collect()
}

/// No file, folder or inline module is called by a name that fits anything.
fn names(sources: &[Source]) -> Violations {
    let mut violations = Vec::new();
    for source in sources {
        let parts = source.path.split(['/', '.']).map(|part| (part, 1));
        let inline = declared(&source.whole.tokens).map(|name| (name.text.as_str(), name.line));
        for (name, line) in parts
            .chain(inline)
            .filter(|(name, _)| EMPTY_NAMES.contains(name))
        {
            violations.push(format!(
                "{}:{line}: `{name}` says nothing about what is inside",
                source.path
            ));
        }
    }
    violations
}

/// The top level is the reader's first page: what is new there is new here.
fn top_level<'a>(paths: impl Iterator<Item = &'a str>) -> Violations {
    let roots: BTreeSet<&str> = paths.filter_map(|path| path.split('/').next()).collect();
    let strangers = roots.into_iter().filter(|root| !TOP_LEVEL.contains(root));
    strangers
        .map(|root| format!("{root}:1: does not belong at the top level"))
        .collect()
}

/// Keys, tokens, folders of one machine, and registries other than the public ones.
fn private(files: &[File]) -> Violations {
    // Spelled apart, since this file is searched as well.
    const SECRETS: &[&str] = &[
        concat!("BEGIN ", "PRIVATE KEY"),
        concat!("PRIVATE ", "KEY-----"),
        concat!("gh", "p_"),
        concat!("github", "_pat_"),
    ];
    const FOLDERS: &[&str] = &[concat!("/ro", "ot/"), concat!("/wo", "rk/")];
    const REGISTRIES: &[(&str, &str)] = &[
        (
            concat!("registry", "+"),
            "https://github.com/rust-lang/crates.io-index",
        ),
        (concat!("sparse", "+"), "https://index.crates.io/"),
        (
            concat!("\"resolved\": ", "\"http"),
            "s://registry.npmjs.org/",
        ),
        (concat!("replace", "-with"), " = \"crates-io\""),
    ];
    let mut violations = BTreeSet::new();
    for (path, text) in files {
        let mut found = |at: usize, what: &str| {
            let line = text[..at].matches('\n').count() + 1;
            violations.insert(format!("{path}:{line}: {what}"));
        };
        for (at, _) in SECRETS
            .iter()
            .flat_map(|pattern| text.match_indices(pattern))
        {
            found(at, "a secret");
        }
        for (at, _) in FOLDERS
            .iter()
            .flat_map(|pattern| text.match_indices(pattern))
        {
            // In `https://host/x/` and `target/x/` it is no folder of a machine; in `"/x/` it is.
            let before = text[..at].chars().next_back().unwrap_or(' ');
            if !before.is_alphanumeric() && !"._-*})".contains(before) {
                found(at, "a folder of one machine");
            }
        }
        for (pattern, public) in REGISTRIES {
            for (at, _) in text.match_indices(pattern) {
                if !text[at + pattern.len()..].starts_with(public) {
                    found(at, "a registry other than the public one");
                }
            }
        }
    }
    violations.into_iter().collect()
}
