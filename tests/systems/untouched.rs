//! No system is known to the program: what it does to their tables, their
//! policies say. Only the demo has one of them embedded.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Names that are not the systems' alone: a migration tool's table, and one
/// of our levels.
const OURS: [&str; 2] = ["alembic_version", "user_sessions"];

/// Words of SQL after which a table is named.
const BEFORE_A_TABLE: [&str; 6] = ["FROM", "INTO", "UPDATE", "JOIN", "TABLE", "ONLY"];

#[test]
fn the_program_names_no_table_of_a_system() {
    let tables = tables();
    assert!(tables.len() > 80, "{tables:?}");
    let mut found = Vec::new();
    for path in shipped() {
        for (number, line) in code(&fs::read_to_string(&path).unwrap()) {
            let named = named(line, &tables).into_iter();
            found.extend(named.map(|name| format!("{}:{number}: {name}", path.display())));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_table_that_is_named_is_found() {
    let tables = tables();
    let found = |line| named(line, &tables).len();
    assert_eq!(found("let sql = \"DELETE FROM users WHERE id = 1\";"), 1);
    assert_eq!(found("LEFT JOIN orders\", \"INSERT INTO order_items"), 2);
    assert_eq!(found("let users = self.policy.users.table;"), 0);
    assert_eq!(found("table: \"orders\".to_owned(),"), 0);
}

/// The tables that a line of the program names.
fn named<'a>(line: &'a str, tables: &BTreeSet<String>) -> Vec<&'a str> {
    let words: Vec<&str> = line
        .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .filter(|word| !word.is_empty())
        .collect();
    let mut found = Vec::new();
    for (place, word) in words.iter().enumerate() {
        // Of names such as `users` only a statement tells what is meant.
        let before = place.checked_sub(1).map(|before| words[before]);
        let in_a_statement = before.is_some_and(|before| BEFORE_A_TABLE.contains(&before));
        let is_told = word.contains('_') || in_a_statement;
        if is_told && tables.contains(*word) && !OURS.contains(word) {
            found.push(*word);
        }
    }
    found
}

/// The names of every system's tables.
fn tables() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systems");
    let mut tables = BTreeSet::new();
    for path in files(&root) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.starts_with("schema") {
            continue;
        }
        for rest in fs::read_to_string(&path)
            .unwrap()
            .split("CREATE TABLE ")
            .skip(1)
        {
            let rest = rest.trim_start_matches("IF NOT EXISTS ");
            let name = rest.split([' ', '(', '\n']).next().unwrap();
            tables.insert(name.trim_matches(['"', '`']).to_owned());
        }
    }
    tables
}

/// The program's files without the demo.
fn shipped() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut shipped = files(&root);
    shipped.retain(|path| {
        let text = path.to_str().unwrap();
        text.ends_with(".rs") && !text.contains("/demo") && !text.ends_with("tests.rs")
    });
    assert!(shipped.len() > 50);
    shipped
}

/// Its lines without comments and tests.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text
        .lines()
        .enumerate()
        .map(|(place, line)| (place + 1, line));
    lines
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}
