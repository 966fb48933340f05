//! The connection to a Redis, as long as it holds, and what its errors mean.

use std::{fmt, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    RedisError, aio::MultiplexedConnection, cluster::ClusterClient,
    cluster_async::ClusterConnection,
};
use tokio::sync::Mutex;

use super::{super::Error, RedisSettings};

/// How long a connection or an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// A Redis that is connected to when it is needed.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) settings: RedisSettings,
    connected: Mutex<Option<Connected>>,
}

#[derive(Clone)]
enum Connected {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connected")
    }
}

/// A server that holds keys of its own.
pub(super) struct Node(MultiplexedConnection);

impl Node {
    pub(super) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Error> {
        let answer = command.query_async(&mut self.0).await;
        answer.map_err(|error| told(&error))
    }
}

impl Link {
    pub(super) fn new(settings: RedisSettings) -> Self {
        Self {
            settings,
            connected: Mutex::new(None),
        }
    }

    /// Asks, and once more on a new connection when the old one was broken:
    /// everything here can be done twice.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let was_there = self.connected.lock().await.is_some();
        match self.once(command).await {
            Err(error) if was_there && error.is_outage() => self.once(command).await,
            other => other,
        }
    }

    async fn once<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let answer = match self.connected().await? {
            Connected::Server(mut connection) => command.query_async(&mut connection).await,
            Connected::Cluster(mut connection) => command.query_async(&mut connection).await,
        };
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.failed(&error).await),
        }
    }

    async fn connected(&self) -> Result<Connected, Error> {
        let mut connected = self.connected.lock().await;
        if let Some(connected) = &*connected {
            return Ok(connected.clone());
        }
        let made = match self.settings.is_cluster {
            true => {
                let client = ClusterClient::builder(self.settings.nodes.clone())
                    .connection_timeout(PATIENCE)
                    .response_timeout(PATIENCE)
                    .retries(2)
                    .build();
                let client = client.map_err(|error| told(&error))?;
                let connecting = client.get_async_connection();
                let made = tokio::time::timeout(PATIENCE * 2, connecting).await;
                let made = made.map_err(|_| silent())?;
                Connected::Cluster(made.map_err(|error| told(&error))?)
            }
            false => {
                let info = self.settings.nodes.first().cloned().ok_or_else(silent)?;
                Connected::Server(connect(info).await.map_err(|error| told(&error))?)
            }
        };
        *connected = Some(made.clone());
        Ok(made)
    }

    /// What an error means. A connection that is broken is given up.
    async fn failed(&self, error: &RedisError) -> Error {
        let told = told(error);
        if told.is_outage() {
            *self.connected.lock().await = None;
        }
        told
    }

    /// A connection to every server that holds keys of its own, and how the
    /// keys are spread over them.
    pub(super) async fn nodes(&self) -> Result<(Vec<Node>, Vec<Master>), Error> {
        if !self.settings.is_cluster {
            let info = self.settings.nodes.first().cloned().ok_or_else(silent)?;
            let node = connect(info).await.map_err(|error| told(&error))?;
            return Ok((vec![Node(node)], Vec::new()));
        }
        let masters = self.masters().await?;
        let mut nodes = Vec::new();
        for master in &masters {
            let Some(first) = self.settings.nodes.first() else {
                break;
            };
            let address = ConnectionAddr::Tcp(master.host.clone(), master.port);
            let node = connect(first.clone().set_addr(address)).await;
            nodes.push(Node(node.map_err(|error| told(&error))?));
        }
        Ok((nodes, masters))
    }

    /// How the keys of a cluster are spread; nothing for a single server.
    pub(super) async fn masters(&self) -> Result<Vec<Master>, Error> {
        if !self.settings.is_cluster {
            return Ok(Vec::new());
        }
        let mut question = redis::cmd("CLUSTER");
        question.arg("NODES");
        masters(&self.ask::<String>(&question).await?)
    }
}

async fn connect(info: ConnectionInfo) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let client = Client::open(info)?;
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

/// A server of a cluster that holds keys of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Master {
    host: String,
    port: u16,
    slots: Vec<String>,
}

/// The servers of a cluster that hold keys of their own, by what `CLUSTER
/// NODES` says: on each line an id, an address, flags, five more words, and
/// the slots.
///
/// Where one of them has failed, or slots are on their way, a look at the
/// others would pass for a look at all keys.
fn masters(nodes: &str) -> Result<Vec<Master>, Error> {
    let mut masters = Vec::new();
    for line in nodes.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(address), Some(flags), Some(slots)) =
            (words.get(1), words.get(2), words.get(8..))
        else {
            continue;
        };
        let has = |flag: &str| flags.split(',').any(|word| word == flag);
        if !has("master") || slots.is_empty() {
            continue;
        }
        if has("fail") || has("fail?") || has("noaddr") || slots.iter().any(|s| s.starts_with('['))
        {
            let words = "a server of the Redis cluster does not answer, or keys are being moved";
            return Err(Error::Outage(words.to_owned()));
        }
        let place = address
            .split(['@', ','])
            .next()
            .and_then(|address| address.rsplit_once(':'))
            .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
        let (host, port) = place.ok_or_else(silent)?;
        masters.push(Master {
            host,
            port,
            slots: slots.iter().map(|&slot| slot.to_owned()).collect(),
        });
    }
    masters.sort();
    match masters.is_empty() {
        true => Err(silent()),
        false => Ok(masters),
    }
}

pub(super) fn silent() -> Error {
    Error::Outage("Redis does not answer".to_owned())
}

/// What an error of Redis means to an effect. Its words are those of the
/// server's error code, never a key or an address.
fn told(error: &RedisError) -> Error {
    let is_away = error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_connection_refusal()
        || matches!(
            error.kind(),
            ErrorKind::ClusterConnectionNotFound | ErrorKind::Parse
        );
    if is_away {
        return silent();
    }
    let code = match error.kind() {
        ErrorKind::AuthenticationFailed => "NOAUTH",
        _ => error.code().unwrap_or("ERR"),
    };
    let words = format!("Redis refuses with {code}");
    match code {
        // It is the wrong moment, and says so.
        "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "READONLY" | "BUSY" | "TRYAGAIN"
        | "NOREPLICAS" | "MISCONF" | "OOM" | "ASK" => Error::Outage(words),
        "MOVED" | "CROSSSLOT" => Error::Attention(format!(
            "{words}: it is a cluster, which the configuration does not say"
        )),
        // While a connection is made, the client keeps the words only.
        "ERR" if is_for_now(error.detail().unwrap_or_default()) => Error::Outage(words),
        _ => Error::Attention(words),
    }
}

fn is_for_now(words: &str) -> bool {
    ["max number of clients", "Redis is busy", "Redis is loading"]
        .iter()
        .any(|known| words.contains(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_clusters_are_looked_through() {
        let line = |address: &str, flags: &str, slots: &str| {
            format!("id {address} {flags} - 0 0 1 connected {slots}\n")
        };
        let first = line("127.0.0.1:7000@17000", "myself,master", "0-5460");
        let second = line("127.0.0.1:7001@17001,host", "master", "5461-10922 12000");
        let replica = line("127.0.0.1:7002@17002", "slave", "");
        let spare = line("127.0.0.1:7003@17003", "master,fail", "");
        let whole = format!("{first}{second}{replica}{spare}");
        let found: Vec<u16> = masters(&whole).unwrap().iter().map(|m| m.port).collect();
        assert_eq!(found, [7000, 7001]);
        for broken in [
            line("127.0.0.1:7004@17004", "master,fail", "13000-14000"),
            line("127.0.0.1:7004@17004", "master,fail?", "13000-14000"),
            line(
                "127.0.0.1:7004@17004",
                "master",
                "13000-14000 [13001->-abc]",
            ),
        ] {
            let error = masters(&format!("{first}{broken}")).unwrap_err();
            assert!(error.is_outage(), "{broken}");
        }
        assert!(masters("").is_err());
    }
}
