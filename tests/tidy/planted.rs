//! The rules, each over violations planted in a string: a rule that cannot
//! fail holds nothing.

use crate::house::{TABLE, Table};
use crate::source::Source;
use crate::*;

fn table() -> Table {
    Table::read(TABLE).unwrap()
}

fn sources(files: &[(&str, &str)]) -> Vec<Source> {
    Source::read_all(
        files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned())),
    )
}

/// The lines, in one file, that a rule objects to.
fn lines(violations: &[String]) -> Vec<usize> {
    let line = |text: &String| text.split(':').nth(1).and_then(|line| line.parse().ok());
    violations
        .iter()
        .map(|text| line(text).unwrap_or_else(|| panic!("no line: {text}")))
        .collect()
}

#[test]
fn a_room_without_a_floor_and_a_floor_without_a_room_are_found() {
    let rooms = [
        "server.rs",
        "rpc/mod.rs",
        "cli/mod.rs",
        "config/mod.rs",
        "target/mod.rs",
    ];
    let more = [
        "journal/mod.rs",
        "plan/reach.rs",
        "access.rs",
        "schema/mod.rs",
        "proto.rs",
    ];
    let apart = ["main.rs", "lib.rs", "bin/resetctl.rs"];
    let all: Vec<String> = rooms
        .iter()
        .chain(&more)
        .chain(&apart)
        .map(|file| format!("src/{file}"))
        .collect();
    let all: Vec<(&str, &str)> = all.iter().map(|path| (path.as_str(), "")).collect();
    assert_eq!(floors(&sources(&all), &table()), Violations::new());
    let attic = [&all[..], &[("src/attic.rs", "")]].concat();
    let violations = floors(&sources(&attic), &table());
    assert_eq!(violations.len(), 1);
    assert!(
        violations[0].starts_with("src/attic: stands on no floor"),
        "{violations:?}"
    );
    let violations = floors(&sources(&all[1..]), &table());
    assert_eq!(
        violations,
        ["src/lib.rs:4: `server` is on floor 7 but not in src/"]
    );
}

#[test]
fn a_name_from_the_same_or_a_higher_floor_is_found() {
    let text = "\
//! `crate::server` in a comment is not a name.
use crate::schema::Table;
use crate::{
    plan::{self, Plan},
    access,
    schema::{graph::{Graph, Cycle}, Column},
    journal::{Entry as _, *},
};
pub(in crate::target) fn f(a: crate::proto::Message) -> crate::rpc::Status {
    let text = \"crate::server\";
    super::config::load();
    super::super::cli::run(); // one too many: still the root
    self::inner::g()
}
mod inner {
    use super::super::server;
    fn g() { super::f(); crate :: journal :: open() }
}
macro_rules! m { () => { $crate::cli::run() } }
fn h() { crate::Error::new() }
#[cfg(test)]
mod tests { use crate::server::run; }
";
    let violations = direction(&sources(&[("src/target/mod.rs", text)]), &table());
    assert_eq!(
        lines(&violations),
        [7, 7, 9, 11, 12, 16, 17, 19, 20],
        "{violations:#?}"
    );
    assert!(violations[0].contains("`target` (floor 3) names `crate::journal` (floor 3)"));
    assert!(violations[8].contains("`crate::Error` is no room in the table"));
    let deeper = [(
        "src/rpc/status.rs",
        "use super::super::cli; use super::convert; use crate::plan;",
    )];
    let violations = direction(&sources(&deeper), &table());
    assert_eq!(violations.len(), 1, "{violations:#?}");
    let apart = [
        ("src/main.rs", "//! .\nuse resetd::{server, cli};"),
        ("src/lib.rs", "use crate::cli;"),
    ];
    assert_eq!(direction(&sources(&apart), &table()), Violations::new());
}

#[test]
fn a_word_said_by_another_than_its_owner_is_found() {
    let text = "\
use sqlx::Row;
use {sqlx, std::{env, fs}};
use std::{collections::BTreeMap, time::SystemTime};
fn f(env: u8, sqlx: u8, redis: u8) { let println = env!(\"A\"); }
#[derive(sqlx::FromRow)] struct S;
fn g() { ::sqlx::query(\"sqlx::\"); my::sqlx::query(); Vec::<u8>::sqlx() }
fn h(now: SystemTime) { SystemTime::now(); jiff::Timestamp::now(); tokio::spawn(x); }
fn i() -> tonic::Status { Status::internal(\"x\") }
fn j() { AssertSqlSafe(x); println!(\"{}\", crate::proto::NAME) }
fn k() { std::env::var(\"A\"); super::proto::f(); tokio::task::spawn_blocking(x) }
use tokio::{spawn as go, select};
// sqlx:: tonic:: std::env
#[cfg(test)] mod tests { use sqlx::Row; fn f() { println!() } }
";
    let found = |path: &str| {
        let mut lines = lines(&owners(&sources(&[(path, text)]), &table()));
        lines.sort_unstable();
        lines
    };
    let all = [1, 2, 2, 5, 6, 7, 7, 7, 8, 8, 9, 9, 9, 10, 10, 11];
    assert_eq!(found("src/plan/mod.rs"), all);
    assert_eq!(
        found("src/target/mod.rs"),
        [2, 7, 7, 7, 8, 8, 9, 9, 10, 10, 11]
    );
    assert_eq!(
        found("src/rpc/mod.rs"),
        [1, 2, 2, 5, 6, 7, 7, 7, 8, 9, 9, 10, 11]
    );
    assert_eq!(
        found("src/rpc/status.rs"),
        [1, 2, 2, 5, 6, 7, 7, 7, 9, 9, 10, 11]
    );
    assert_eq!(
        found("src/main.rs"),
        [1, 2, 5, 6, 7, 7, 7, 8, 8, 9, 9, 10, 11]
    );
    // A binary names the library by the package's name.
    let binary = |path| sources(&[(path, "use resetd::{proto::Request, cli};")]);
    assert_eq!(
        owners(&binary("src/bin/resetctl.rs"), &table()),
        Violations::new()
    );
    assert_eq!(owners(&binary("src/main.rs"), &table()).len(), 1);
    // A child module hides the crate of the same name.
    let family = "mod redis;\nuse redis::Keys;\nfn f() { redis::apply() }";
    let family = sources(&[
        ("src/effects/mod.rs", family),
        ("src/effects/redis.rs", "use redis::Client;"),
    ]);
    assert_eq!(owners(&family, &table()), Violations::new());
    assert_eq!(
        owners(
            &sources(&[("src/effects/files.rs", "use redis::Cmd;")]),
            &table()
        )
        .len(),
        1
    );
}

#[test]
fn an_impure_word_on_a_low_floor_is_found() {
    let text = "\
/// async, tokio::spawn and std::fs in words
async fn f() { g().await }
use tokio::select;
use std::{fs, io, net::{IpAddr, TcpStream}};
fn h() { std::time::Instant::now(); }
fn i(at: std::time::SystemTime, fs: u8) { \"async sqlx\"; }
#[cfg(test)]
mod tests {
    use std::fs;
    async fn waits() { sqlx::query() }
}
";
    let found = |path| lines(&purity(&sources(&[(path, text)]), &table()));
    let mut low = found("src/plan/reach.rs");
    low.sort_unstable();
    assert_eq!(low, [2, 2, 3, 4, 4, 5, 6, 10, 10]);
    assert!(found("src/target/mod.rs").is_empty());
    assert!(found("src/main.rs").is_empty());
}

#[test]
fn what_panics_or_was_temporary_is_found() {
    let text = "\
fn f() -> u8 { a().unwrap() }
fn g() { b
    .expect(\"c\"); d.unwrap_or(1); e.unwrap_or_default() }
fn h() { panic!(); std::panic::catch_unwind(x); if panic != todo {} }
fn i() { todo!(); unimplemented![]; dbg!(x); }
fn j() { x.map(Option::unwrap); \"panic!() TODO\"; }
// TODO: later
/* a
FIXME */
fn k() {} // TODOS are fine
#[cfg(test)]
mod tests { fn f() { a().unwrap(); panic!() } }
#[cfg(test)]
fn t() { panic!() }
fn u() { panic!() }
";
    let mut found = lines(&shipped(&sources(&[("src/bin/resetctl.rs", text)])));
    found.sort_unstable();
    assert_eq!(found, [1, 3, 4, 5, 5, 5, 6, 7, 8, 15]);
}

#[test]
fn a_file_without_a_head_is_found() {
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let good = file("src/main.rs", "//! The daemon.\nfn main() {}\n");
    assert_eq!(heads([&good].into_iter()), Violations::new());
    for text in [
        "",
        "//!\n//! Late.\n",
        "fn main() {}\n",
        "// The daemon.\n",
        "\n//! Late.\n",
    ] {
        assert_eq!(
            lines(&heads([&good, &file("src/bin/a.rs", text)].into_iter())),
            [1],
            "{text:?}"
        );
    }
}

#[test]
fn an_empty_name_is_found() {
    let files = [
        ("src/plan/helpers.rs", ""),
        ("src/core/mod.rs", ""),
        ("src/utils.rs", ""),
        ("src/plan/reach.rs", "mod a {\n mod common {} }"),
        ("src/journal/mod.rs", "fn helper() {}"),
    ];
    assert_eq!(lines(&names(&sources(&files))), [1, 1, 1, 2]);
}

#[test]
fn a_stranger_at_the_top_level_is_found() {
    let paths = [
        "src/main.rs",
        "Cargo.toml",
        "notes.txt",
        "docs/a.md",
        "docs/b.md",
        "tests/run",
    ];
    let strangers = top_level(paths.into_iter());
    assert_eq!(strangers.len(), 2);
    assert!(strangers[0].starts_with("docs:") && strangers[1].starts_with("notes.txt:"));
}

#[test]
fn a_secret_or_a_machine_path_is_found() {
    let file = |text: String| vec![("a/b".to_owned(), text)];
    let planted = [
        format!("x\n-----{} {}-----\n", "BEGIN", "PRIVATE KEY"),
        format!("x\n-----{} {}-----\n", "BEGIN EC", "PRIVATE KEY"),
        format!("x\ntoken = {}{}", "gh", "p_abc"),
        format!("x\npath = \"/{}/main\"", "work"),
        format!("x\nfile:///{}/.cargo", "root"),
        format!("x\nsource = \"registry{}https://example.org/index\"", "+"),
        format!("x\nsource = \"sparse{}https://example.org/index/\"", "+"),
        format!("x\n\"resolved\": {}https://example.org/a.tgz\"", '"'),
        format!("x\nreplace{} = \"mirror\"", "-with"),
    ];
    for text in planted {
        assert_eq!(lines(&private(&file(text.clone()))), [2], "{text}");
    }
    let public = [
        format!(
            "source = \"registry{}https://github.com/rust-lang/crates.io-index\"",
            "+"
        ),
        format!("https://example.org/{}/index target/{}/a", "work", "work"),
        format!("\"resolved\": {}https://registry.npmjs.org/a.tgz\"", '"'),
    ];
    for text in public {
        assert_eq!(private(&file(text)), Violations::new());
    }
}

#[test]
fn a_test_module_in_a_file_of_its_own_is_a_test() {
    let files = [
        ("src/plan/mod.rs", "#[cfg(test)]\nmod tests;\nmod reach;"),
        ("src/plan/tests.rs", "fn f() { a.unwrap() }"),
        ("src/plan/reach.rs", "fn f() { a.unwrap() }"),
    ];
    let violations = shipped(&sources(&files));
    assert_eq!(
        violations,
        ["src/plan/reach.rs:1: `.unwrap()` outside tests"]
    );
}
