//! The lines that the systems' users were promised, as README.md lists them:
//! each has its cases there, or the reason why it has none.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// How many lines there are.
pub const LINES: usize = 126;

/// How many each system has.
const OF_EACH: [(char, usize); 5] = [('A', 49), ('B', 18), ('C', 24), ('D', 21), ('E', 14)];

/// The lines that a case keeps, which its name begins with; a weakness that
/// is gone is numbered `aw01` and is none of them.
pub fn lines_of(case: &str) -> Vec<String> {
    let is_line = |part: &&str| match part.as_bytes() {
        [b'a'..=b'e', tens, ones] => tens.is_ascii_digit() && ones.is_ascii_digit(),
        _ => false,
    };
    let parts = case.split('_').take_while(is_line);
    parts.map(str::to_uppercase).collect()
}

/// Every line there is.
fn lines() -> BTreeSet<String> {
    let lines = OF_EACH
        .iter()
        .flat_map(|&(system, count)| (1..=count).map(move |line| format!("{system}{line:02}")));
    lines.collect()
}

/// The cases of each line.
fn cases() -> BTreeMap<String, BTreeSet<String>> {
    let mut cases: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for case in crate::all() {
        for line in lines_of(case.name) {
            cases
                .entry(line)
                .or_default()
                .insert(format!("`{}`", case.name));
        }
    }
    cases
}

fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/systems/README.md")
}

/// A row of a table in README.md: the line, what it asks for, and its cases
/// or the reason why there are none.
fn row(text: &str) -> Option<(String, String, String)> {
    let cells: Vec<&str> = text.strip_prefix("| ")?.split(" | ").collect();
    let [line, asks, kept] = cells[..] else {
        return None;
    };
    let kept = kept.trim_end_matches('|').trim();
    let is_line = lines().contains(line);
    is_line.then(|| (line.to_owned(), asks.to_owned(), kept.to_owned()))
}

#[test]
fn the_table_and_the_tests_agree() {
    let cases = cases();
    let text = fs::read_to_string(readme()).unwrap();
    if std::env::var("SYSTEMS_TABLE").is_ok_and(|how| how == "write") {
        let rewritten = text.lines().map(|text| match row(text) {
            Some((line, asks, _)) if cases.contains_key(&line) => {
                format!("| {line} | {asks} | {} |\n", joined(&cases[&line]))
            }
            _ => format!("{text}\n"),
        });
        fs::write(readme(), rewritten.collect::<String>()).unwrap();
        return;
    }
    let rows: Vec<_> = text.lines().filter_map(row).collect();
    let listed: BTreeSet<String> = rows.iter().map(|(line, ..)| line.clone()).collect();
    assert_eq!(rows.len(), LINES, "each line is listed once");
    assert_eq!(listed, lines());
    for (line, _, kept) in rows {
        match cases.get(&line) {
            Some(cases) => assert_eq!(kept, joined(cases), "{line}: see SYSTEMS_TABLE in main.rs"),
            None => assert!(
                kept.len() > 1 && !kept.contains('`'),
                "{line} has no case, and no reason why"
            ),
        }
    }
}

fn joined(cases: &BTreeSet<String>) -> String {
    cases.iter().cloned().collect::<Vec<_>>().join(", ")
}

#[test]
fn each_case_has_a_name_of_its_own() {
    let names: BTreeSet<&str> = crate::all().iter().map(|case| case.name).collect();
    assert_eq!(names.len(), crate::all().len());
    let known = lines();
    for name in names {
        let lines = lines_of(name);
        assert!(lines.iter().all(|line| known.contains(line)), "{name}");
        let is_weakness = name.get(1..2) == Some("w");
        assert!(
            is_weakness || !lines.is_empty(),
            "{name} begins with no line"
        );
    }
}

/// Each fault of old is listed, with every case that shows it gone.
#[test]
fn the_faults_of_old_are_listed() {
    let names: BTreeSet<&str> = crate::all().iter().map(|case| case.name).collect();
    let text = fs::read_to_string(readme()).unwrap();
    let mut listed = BTreeSet::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").collect();
        let [fault, _, shown] = cells[..] else {
            continue;
        };
        if fault.len() != 4 || fault.get(1..2) != Some("w") {
            continue;
        }
        assert!(
            listed.insert(fault.to_owned()),
            "{fault} stands there twice"
        );
        let shown: BTreeSet<&str> = shown.split('`').skip(1).step_by(2).collect();
        for name in &shown {
            assert!(names.contains(name), "{fault}: there is no case {name}");
        }
        for name in &names {
            let is_of_it = name.split('_').any(|part| part == fault);
            assert!(!is_of_it || shown.contains(name), "{fault} lacks {name}");
        }
    }
    let of_each = [('a', 15), ('b', 7), ('c', 10), ('d', 10), ('e', 8)];
    let all = of_each
        .iter()
        .flat_map(|&(system, count)| (1..=count).map(move |fault| format!("{system}w{fault:02}")));
    assert_eq!(listed, all.collect());
}
