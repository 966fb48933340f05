//! What others use in the place of resetd, as it is: programs that are asked
//! for each reset, and tell how long it took them.

use std::{
    io::{BufRead as _, BufReader, Lines, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde_json::json;

use crate::{
    data::TABLES,
    engine::{OWNER, Place},
    report::Report,
};

/// A running program; it ends when it is dropped.
pub struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    pub version: String,
}

impl Peer {
    /// Django, with models of these tables; `None` and a remark where it is
    /// not installed.
    pub fn django(report: &mut Report, place: &Place, tables: &str) -> Option<Self> {
        let (port, database) = address(place)?;
        let mut command = Command::new("python3");
        command.arg(program("flush.py"));
        command.args([port.as_str(), OWNER, database.as_str(), tables]);
        // Where benches/run has put it.
        if let Some(folder) = std::env::var_os("RESETD_PEERS") {
            command.env("PYTHONPATH", folder);
        }
        Self::start(&mut command, report, "Django")
    }

    /// DatabaseCleaner as a superuser, as its deletion wants to be.
    pub fn cleaner(report: &mut Report, place: &Place) -> Option<Self> {
        let (port, database) = address(place)?;
        let mut command = Command::new("ruby");
        command.arg(program("cleaner.rb"));
        command.args([port.as_str(), "postgres", database.as_str()]);
        Self::start(&mut command, report, "DatabaseCleaner")
    }

    fn start(command: &mut Command, report: &mut Report, name: &str) -> Option<Self> {
        let started = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let ready = started.ok().and_then(|mut child| {
            let input = child.stdin.take();
            let mut output = BufReader::new(child.stdout.take()?).lines();
            let said = output.next()?.ok()?;
            let version = said.strip_prefix("ready ")?.to_owned();
            Some(Self {
                child,
                input,
                output,
                version,
            })
        });
        report.remark(match &ready {
            Some(peer) => format!("{name} is {}, as its own program.", peer.version),
            None => format!("{name} is not installed, so that only its SQL is compared."),
        });
        ready
    }

    /// Asks for a reset, and tells how long the program says that it took.
    pub fn ask(&mut self, command: &str) -> Duration {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{command}").unwrap();
        input.flush().unwrap();
        let said = self.output.next().and_then(Result::ok);
        let took = said.as_deref().and_then(|said| said.trim().parse().ok());
        let took: f64 = took.unwrap_or_else(|| {
            let mut complaint = String::new();
            if let Some(mut errors) = self.child.stderr.take() {
                drop(errors.read_to_string(&mut complaint));
            }
            panic!("{command}: {complaint}")
        });
        Duration::from_secs_f64(took / 1000.0)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.input.take());
        drop(self.child.wait());
    }
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("benches/peers")
        .join(name)
}

fn address(place: &Place) -> Option<(String, String)> {
    match place {
        Place::Postgres { port, database, .. } => Some((port.to_string(), database.clone())),
        Place::MariaDb { .. } | Place::Sqlite(_) => None,
    }
}

/// The marketplace, as Django's program takes it.
pub fn marketplace() -> String {
    let tables = TABLES.map(|(name, references, _)| json!([name, references]));
    json!(tables).to_string()
}

/// A plain schema with a cycle and a table that refers to itself.
pub fn tangled(tables: u32) -> String {
    let mut listed = vec![json!(["users", []])];
    for n in 1..tables {
        let parent = match n {
            1 => 5,
            6 => 6,
            n if n % 5 == 1 => 0,
            n => n - 1,
        };
        let references = match parent {
            0 => json!([]),
            parent => json!([["parent", format!("t{parent}")]]),
        };
        listed.push(json!([format!("t{n}"), references]));
    }
    json!(listed).to_string()
}
