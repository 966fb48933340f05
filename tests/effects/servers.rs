//! Redis servers of a test's own: one, or a cluster of three, on free ports,
//! that can be paused, killed and started again, and end with the test.

use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

const MISSING: &str = "redis-server is missing: apt-get install redis-server";

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A Redis server.
pub struct Redis {
    pub port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
    folder: TempDir,
}

impl Redis {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// A server with further arguments.
    pub fn with(arguments: &[&str]) -> Self {
        for _ in 0..5 {
            let mut server = Self {
                port: free_port(),
                arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
                child: None,
                folder: tempfile::tempdir().unwrap(),
            };
            // Between our finding a free port and its use somebody else can
            // take it.
            if server.run() {
                return server;
            }
        }
        panic!("redis-server does not start");
    }

    fn run(&mut self) -> bool {
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(self.folder.path())
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stdin(Stdio::null())
            .spawn();
        let child = self.child.insert(child.expect(MISSING));
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if child.try_wait().unwrap().is_some() {
                self.child = None;
                return false;
            }
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            std::thread::yield_now();
        }
        panic!("redis-server does not answer on port {}", self.port);
    }

    /// Where its database of this number is.
    pub fn url(&self, database: u16) -> String {
        format!("redis://127.0.0.1:{}/{database}", self.port)
    }

    /// Ends it as a crash would; its keys are lost.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again on the same port.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.run(), "redis-server does not start again");
    }

    /// Stops its time: connections stay, and nothing answers.
    pub fn pause(&self) {
        self.signal("-STOP");
        // Any of its threads takes the signal, and the others go on until it
        // has.
        let id = self.child.as_ref().unwrap().id();
        let is_stopped = || {
            let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
            status.lines().any(|line| line.starts_with("State:\tT"))
        };
        let begun = std::time::Instant::now();
        while !is_stopped() {
            assert!(begun.elapsed() < Duration::from_secs(10), "it goes on");
            std::thread::yield_now();
        }
    }

    /// Lets its time go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// A connection for looking and preparing.
    pub fn connection(&self, database: u16) -> redis::Connection {
        let client = redis::Client::open(self.url(database)).unwrap();
        client.get_connection().unwrap()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A cluster of three servers that share the slots.
pub struct Cluster {
    pub nodes: Vec<Redis>,
}

impl Cluster {
    pub fn start() -> Self {
        let arguments = [
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "2000",
            "--cluster-require-full-coverage",
            "no",
        ];
        let nodes: Vec<Redis> = (0..3).map(|_| node(&arguments)).collect();
        for (index, (from, to)) in [(0, 5460), (5461, 10922), (10923, 16383)]
            .iter()
            .enumerate()
        {
            let mut connection = nodes[index].connection(0);
            let range = redis::cmd("CLUSTER")
                .arg("ADDSLOTSRANGE")
                .arg(*from)
                .arg(*to)
                .exec(&mut connection);
            range.unwrap();
            redis::cmd("CLUSTER")
                .arg("SET-CONFIG-EPOCH")
                .arg(index + 1)
                .exec(&mut connection)
                .unwrap();
        }
        let mut first = nodes[0].connection(0);
        for node in &nodes[1..] {
            redis::cmd("CLUSTER")
                .arg("MEET")
                .arg("127.0.0.1")
                .arg(node.port)
                .exec(&mut first)
                .unwrap();
        }
        let cluster = Self { nodes };
        let begun = Instant::now();
        while !cluster.is_whole() {
            assert!(begun.elapsed() < PATIENCE, "the cluster does not meet");
            std::thread::yield_now();
        }
        cluster
    }

    fn is_whole(&self) -> bool {
        self.nodes.iter().all(|node| {
            let mut connection = node.connection(0);
            let mut question = redis::cmd("CLUSTER");
            let told: String = question.arg("INFO").query(&mut connection).unwrap();
            told.contains("cluster_state:ok")
                && told.contains("cluster_known_nodes:3")
                && told.contains("cluster_slots_assigned:16384")
        })
    }

    pub fn urls(&self) -> Vec<String> {
        self.nodes
            .iter()
            .map(|node| format!("redis://127.0.0.1:{}", node.port))
            .collect()
    }

    pub fn connection(&self) -> redis::cluster::ClusterConnection {
        let client = redis::cluster::ClusterClient::new(self.urls()).unwrap();
        client.get_connection().unwrap()
    }

    /// Every key on every node.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        for node in &self.nodes {
            let mut question = redis::cmd("KEYS");
            let found: Vec<String> = question.arg("*").query(&mut node.connection(0)).unwrap();
            keys.extend(found);
        }
        keys.sort();
        keys
    }
}

/// A node, whose bus takes the port 10000 further on.
fn node(arguments: &[&str]) -> Redis {
    for _ in 0..20 {
        let mut server = Redis {
            port: free_port(),
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
            child: None,
            folder: tempfile::tempdir().unwrap(),
        };
        if server.port < 55_000 && server.run() {
            return server;
        }
    }
    panic!("redis-server does not start as a node");
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
