//! A Redis of our own, which can be stopped and started again; and a cluster
//! of three.

use std::{
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use redis::{AsyncCommands as _, aio::MultiplexedConnection, cluster::ClusterClient};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::world::{free_port, until};

/// One server.
#[derive(Clone)]
pub struct Redis {
    pub url: String,
    inner: Arc<Inner>,
}

struct Inner {
    port: u16,
    folder: TempDir,
    options: Vec<String>,
    child: Mutex<Option<Child>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.get_mut().unwrap().take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Redis {
    /// The server that every case may use, as long as it leaves it running.
    pub async fn shared() -> Self {
        static SHARED: OnceCell<Redis> = OnceCell::const_new();
        SHARED.get_or_init(|| Redis::start(&[])).await.clone()
    }

    pub async fn start(options: &[&str]) -> Self {
        let port = free_port();
        let redis = Self {
            url: format!("redis://127.0.0.1:{port}/3"),
            inner: Arc::new(Inner {
                port,
                folder: tempfile::tempdir().unwrap(),
                options: options.iter().map(ToString::to_string).collect(),
                child: Mutex::new(None),
            }),
        };
        redis.resume().await;
        redis
    }

    /// Ends the server; its keys are on disk. Nothing that it does after it has
    /// saved them is answered: a key that was removed in between would be back.
    pub async fn stop(&self) {
        let mut connection = self.connect().await;
        let mut shutdown = redis::cmd("SHUTDOWN");
        let ended: Result<(), _> = shutdown.arg("SAVE").query_async(&mut connection).await;
        assert!(ended.is_err(), "there is nobody to answer");
        let mut child = self.inner.child.lock().unwrap().take().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again where it was.
    pub async fn resume(&self) {
        let inner = &self.inner;
        let child = Command::new("redis-server")
            .args(["--port", &inner.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--dbfilename", "dump.rdb", "--dir"])
            .arg(inner.folder.path())
            .args(&inner.options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is missing: apt-get install redis-server");
        *inner.child.lock().unwrap() = Some(child);
        let client = redis::Client::open(self.url.as_str()).unwrap();
        until("Redis", async || {
            let Ok(mut connection) = client.get_multiplexed_async_connection().await else {
                return false;
            };
            redis::cmd("PING")
                .query_async::<String>(&mut connection)
                .await
                .is_ok()
        })
        .await;
    }

    pub async fn connect(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url.as_str()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// Has the server answer something: `CONFIG SET`, `REPLICAOF`, …
    pub async fn tell(&self, words: &[&str]) {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let mut connection = self.connect().await;
        let told: Result<redis::Value, _> = command.query_async(&mut connection).await;
        told.unwrap();
    }

    /// What belongs to a user: six keys.
    pub async fn seed(&self, user: &str) {
        let mut connection = self.connect().await;
        for key in plain(user) {
            let done: Result<(), _> = connection.set(key, user).await;
            done.unwrap();
        }
        let set = format!("sessions:{user}");
        let members = [format!("{user}a"), format!("{user}b")];
        let done: Result<(), _> = connection.sadd(set, &members).await;
        done.unwrap();
    }

    /// How many of a user's keys are there.
    pub async fn count(&self, user: &str) -> i64 {
        let mut connection = self.connect().await;
        let mut keys = plain(user);
        keys.push(format!("sessions:{user}"));
        let found: i64 = connection.exists(keys).await.unwrap();
        found
    }
}

fn plain(user: &str) -> Vec<String> {
    vec![
        format!("session:{user}"),
        format!("session:{user}a"),
        format!("session:{user}b"),
        format!("cache:{user}:1"),
        format!("cache:{user}:2"),
    ]
}

/// Three nodes that share all slots.
pub struct Cluster {
    nodes: Vec<Redis>,
}

impl Cluster {
    pub async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let options = [
                "--cluster-enabled",
                "yes",
                "--cluster-config-file",
                "nodes.conf",
                "--cluster-node-timeout",
                "2000",
            ];
            let port = free_port_for_cluster();
            nodes.push(Self::node(port, &options).await);
        }
        let addresses: Vec<String> = nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.inner.port))
            .collect();
        let made = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(&addresses)
            .arg("--cluster-yes")
            .output()
            .expect("redis-cli is missing: apt-get install redis-tools");
        assert!(made.status.success(), "{made:?}");
        let cluster = Self { nodes };
        until("the cluster", async || {
            let mut connection = cluster.nodes[2].connect().await;
            let info: Result<String, _> = redis::cmd("CLUSTER")
                .arg("INFO")
                .query_async(&mut connection)
                .await;
            info.is_ok_and(|info| info.contains("cluster_state:ok"))
        })
        .await;
        cluster
    }

    async fn node(port: u16, options: &[&str]) -> Redis {
        let redis = Redis {
            url: format!("redis://127.0.0.1:{port}/0"),
            inner: Arc::new(Inner {
                port,
                folder: tempfile::tempdir().unwrap(),
                options: options.iter().map(ToString::to_string).collect(),
                child: Mutex::new(None),
            }),
        };
        redis.resume().await;
        redis
    }

    pub fn urls(&self) -> Vec<String> {
        let url = |node: &Redis| format!("redis://127.0.0.1:{}", node.inner.port);
        self.nodes.iter().map(url).collect()
    }

    pub async fn connect(&self) -> redis::cluster_async::ClusterConnection {
        let client = ClusterClient::builder(self.urls())
            .connection_timeout(Duration::from_secs(2))
            .build()
            .unwrap();
        client.get_async_connection().await.unwrap()
    }
}

/// The bus of a node is 10 000 above its port.
fn free_port_for_cluster() -> u16 {
    loop {
        let port = free_port();
        if port < 55_000 && std::net::TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
    }
}
