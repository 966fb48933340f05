//! The table in the head of `src/lib.rs`, and the files that it speaks of.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::source::Source;

/// The floors and the owners, as the head of `src/lib.rs` lists them.
#[derive(Debug, Default)]
pub struct Table {
    pub floor_of: BTreeMap<String, Listed>,
    pub owned: Vec<Owned>,
}

/// A room's floor, and the line that says so.
#[derive(Debug)]
pub struct Listed {
    pub floor: u32,
    pub line: usize,
}

/// A word, and the rooms or files that may say it outside tests.
#[derive(Debug)]
pub struct Owned {
    pub word: String,
    pub owners: Vec<String>,
}

impl Owned {
    pub fn by(&self, source: &Source) -> bool {
        self.owners.iter().any(|owner| {
            let owner: Vec<&str> = owner.split('/').collect();
            source
                .module
                .iter()
                .take(owner.len())
                .map(String::as_str)
                .eq(owner)
        })
    }
}

impl Table {
    /// Reads the lines `floor N: room…` and `only owner…: word…` in the fenced
    /// `text` blocks of the `//!` head. ` # ` begins a remark.
    pub fn read(library: &str) -> Result<Table, String> {
        let mut table = Table::default();
        let mut in_block = false;
        for (index, text) in library.lines().enumerate() {
            let Some(text) = text.trim_start().strip_prefix("//!").map(str::trim) else {
                break;
            };
            if let Some(kind) = text.strip_prefix("```") {
                in_block = !in_block && kind == "text";
                continue;
            }
            if in_block {
                let text = text.split(" # ").next().unwrap_or(text);
                table
                    .line(text, index + 1)
                    .map_err(|error| format!("src/lib.rs:{}: {error}", index + 1))?;
            }
        }
        if table.floor_of.is_empty() || table.owned.is_empty() {
            return Err("src/lib.rs: its head has no table of floors and owners".to_owned());
        }
        Ok(table)
    }

    fn line(&mut self, text: &str, line: usize) -> Result<(), String> {
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        if !["floor", "only"].contains(&kind) {
            return Ok(()); // a drawing, say
        }
        let (left, right) = rest.split_once(": ").ok_or("expected `: ` and names")?;
        if kind == "floor" {
            let floor = left.parse().map_err(|_| format!("`{left}` is no floor"))?;
            for room in right.split_whitespace() {
                if self
                    .floor_of
                    .insert(room.to_owned(), Listed { floor, line })
                    .is_some()
                {
                    return Err(format!("`{room}` stands on two floors"));
                }
            }
            return Ok(());
        }
        for word in right.split_whitespace() {
            if self.owned.iter().any(|owned| owned.word == word) {
                return Err(format!("`{word}` has two lines of owners"));
            }
            let owners = left.split_whitespace().map(str::to_owned).collect();
            self.owned.push(Owned {
                word: word.to_owned(),
                owners,
            });
        }
        Ok(())
    }
}

/// What the rules are held against.
pub struct House {
    pub table: Table,
    /// The Rust files in `src/`.
    pub sources: Vec<Source>,
    /// Every file in git.
    pub repository: Vec<File>,
}

/// A path from the root of the repository, and what stands there.
pub type File = (String, String);

impl House {
    /// Read once for all tests.
    pub fn of_this_repository() -> &'static House {
        static HOUSE: OnceLock<House> = OnceLock::new();
        HOUSE.get_or_init(|| {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let library = fs::read_to_string(root.join("src/lib.rs")).unwrap();
            let table = Table::read(&library).unwrap_or_else(|error| panic!("{error}"));
            let mut in_src = Vec::new();
            walk(root, "src", &mut in_src);
            in_src.retain(|path| path.ends_with(".rs"));
            House {
                table,
                sources: Source::read_all(with_text(root, in_src)),
                repository: with_text(root, files_in_git(root)),
            }
        })
    }
}

/// The files' texts. A file that is still in git but gone from the folder is left out.
fn with_text(root: &Path, paths: Vec<String>) -> Vec<File> {
    let files = paths.into_iter().filter_map(|path| {
        let bytes = fs::read(root.join(&path)).ok()?;
        Some((path, String::from_utf8_lossy(&bytes).into_owned()))
    });
    files.collect()
}

/// What git tracks; in a copy without git, every file that is there.
fn files_in_git(root: &Path) -> Vec<String> {
    let git = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root)
        .output();
    let listed = git.map(|output| output.stdout).unwrap_or_default();
    let listed = String::from_utf8_lossy(&listed);
    let listed = listed.split('\0').filter(|path| !path.is_empty());
    let mut paths: Vec<String> = listed.map(str::to_owned).collect();
    if paths.is_empty() {
        walk(root, "", &mut paths);
    }
    paths
}

/// The files below a folder, apart from what `.gitignore` names.
fn walk(root: &Path, folder: &str, into: &mut Vec<String>) {
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if folder.is_empty() {
            name.clone()
        } else {
            format!("{folder}/{name}")
        };
        if !entry.file_type().unwrap().is_dir() {
            into.push(path);
        } else if ![".git", ".resetd", "node_modules", "target"].contains(&path.as_str()) {
            walk(root, &path, into);
        }
    }
    into.sort();
}

/// A table for the rules to be tried on.
pub const TABLE: &str = "\
//! A house.
//!
//! ```text
//! floor 7: server            # meet
//! floor 6: rpc cli config
//! floor 3: target journal
//! floor 1: plan access
//! floor 0: schema proto
//! only target journal: sqlx:: AssertSqlSafe
//! only rpc/status: Status::
//! only effects/redis: redis::
//! only rpc cli proto: tonic::
//! only rpc cli bin: crate::proto
//! only config main: std::env
//! only access: SystemTime::now Timestamp::now
//! only server: tokio::spawn
//! only cli main bin: println!
//! ```
//!
//! floor 9: is prose here
";

#[test]
fn the_table_is_read_and_its_faults_are_refused() {
    let table = Table::read(TABLE).unwrap();
    assert_eq!(table.floor_of.len(), 10);
    assert_eq!(table.floor_of["server"].floor, 7);
    assert_eq!(table.floor_of["server"].line, 4);
    assert_eq!(table.owned.len(), 11);
    let fault = |block: &str| {
        let text = format!("//! ```text\n//! floor 0: a\n//! only a: b\n//! {block}\n//! ```\n");
        Table::read(&text).unwrap_err()
    };
    assert_eq!(
        fault("floor 1: a"),
        "src/lib.rs:4: `a` stands on two floors"
    );
    assert_eq!(fault("floor x: b"), "src/lib.rs:4: `x` is no floor");
    assert_eq!(fault("floor 1 b"), "src/lib.rs:4: expected `: ` and names");
    assert_eq!(
        fault("only c: b"),
        "src/lib.rs:4: `b` has two lines of owners"
    );
    assert!(Table::read("//! no table\n").is_err());
}
