//! The real programs, as processes with an environment of their own.

use std::{
    collections::BTreeMap,
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
};

use tempfile::TempDir;

use crate::{
    caller::Caller,
    harness::{Data, channel, until},
};

/// `resetd`, running.
pub struct Process {
    child: Child,
    /// Where its output goes.
    folder: TempDir,
    pub address: SocketAddr,
    pub secrets: BTreeMap<String, String>,
}

/// How `resetd` is called.
pub struct Call {
    command: Command,
    folder: TempDir,
}

impl Call {
    /// A call of `resetd` in an empty folder and with an empty environment.
    pub fn new(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_resetd"));
        let output = |name| File::create(folder.path().join(name)).unwrap();
        command
            .args(arguments)
            .env_clear()
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(output("stdout"))
            .stderr(output("stderr"));
        Self { command, folder }
    }

    /// A call that is configured by its environment alone, for the database
    /// of this demo; journal and tokens are kept beside it.
    pub fn configured(arguments: &[&str], data: &Data, environment: &str) -> Self {
        let policy = repository("deploy/systems/mestore/policy.toml");
        let url = format!("sqlite:{}", data.database.display());
        Self::new(arguments)
            .variable("ENVIRONMENT", environment)
            .variable("DATABASE_URL", &url)
            .variable("RESETD_POLICY", &policy.display().to_string())
            .variable("RESETD_DATA", &data.folder.display().to_string())
            .variable("RESETD_LISTEN", "127.0.0.1:0")
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end: whether it succeeded, and what it said.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let mut child = self.command.spawn().unwrap();
        let status = end_of(&mut child).await;
        (status, said(self.folder.path()))
    }

    /// Starts it, and waits for the demo's announcement.
    pub async fn demo(mut self, data: &Path) -> Process {
        let announcement = data.join("demo.json");
        assert!(!announcement.exists(), "an announcement of another start");
        let mut child = self.command.spawn().unwrap();
        until("the announcement", async || {
            assert_eq!(child.try_wait().unwrap(), None, "{}", self.said());
            announcement.exists()
        })
        .await;
        let text = std::fs::read_to_string(&announcement).unwrap();
        let demo: serde_json::Value = serde_json::from_str(&text).unwrap();
        Process {
            child,
            folder: self.folder,
            address: demo["address"].as_str().unwrap().parse().unwrap(),
            secrets: serde_json::from_value(demo["tokens"].clone()).unwrap(),
        }
    }

    /// Starts it, and waits until it says that it serves.
    pub async fn serve(mut self, data: &Path) -> Process {
        let mut child = self.command.spawn().unwrap();
        let mut address = None;
        until("the server", async || {
            let said = self.said();
            assert_eq!(child.try_wait().unwrap(), None, "{said}");
            let serving = said.lines().find(|line| line.contains("serving address="));
            address = serving.and_then(|line| line.rsplit_once("address=")?.1.parse().ok());
            address.is_some()
        })
        .await;
        let text = std::fs::read_to_string(data.join("tokens.json")).unwrap();
        Process {
            child,
            folder: self.folder,
            address: address.unwrap(),
            secrets: serde_json::from_str(&text).unwrap(),
        }
    }

    fn said(&self) -> String {
        said(self.folder.path())
    }
}

impl Process {
    /// The demo of this folder, on a free port.
    pub async fn demo(data: &Path) -> Self {
        let folder = data.display().to_string();
        let arguments = ["demo", "--listen", "127.0.0.1:0", "--data", &folder];
        Call::new(&arguments).demo(data).await
    }

    /// `resetd serve` on the files of a demo, as the target `default`.
    pub async fn serve(data: &Data, environment: &str) -> Self {
        let call = Call::configured(&["serve"], data, environment);
        call.serve(&data.folder).await
    }

    /// A caller with the token of this role.
    pub async fn caller(&self, role: &str) -> Caller {
        Caller::new(channel(self.address).await, &self.secrets[role])
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        said(self.folder.path())
    }

    /// Ends it at once, as a crash would.
    pub async fn kill(mut self) {
        self.child.kill().unwrap();
        end_of(&mut self.child).await;
    }

    /// Sends a signal, by the `kill` of the system.
    pub fn signal(&self, name: &str) {
        let process = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &process]).status();
        assert!(sent.unwrap().success(), "no signal {name} for {process}");
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let status = end_of(&mut self.child).await;
        (status, self.said())
    }

    /// Stops it as the system would, and sees that it ends clean.
    pub async fn stop(self, data: &Data) {
        self.signal("TERM");
        let (status, said) = self.ended().await;
        assert!(status.success(), "{status}: {said}");
        data.assert_clean().await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Of a test that failed; otherwise it has ended and was waited for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn end_of(child: &mut Child) -> ExitStatus {
    let mut status = None;
    until("the end of a process", async || {
        status = child.try_wait().unwrap();
        status.is_some()
    })
    .await;
    status.unwrap()
}

fn said(folder: &Path) -> String {
    ["stdout", "stderr"]
        .map(|name| std::fs::read(folder.join(name)).unwrap())
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat()
}

/// Runs another program to its end.
pub fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// A file of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
