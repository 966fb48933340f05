//! Redis keys, on one server or on a cluster.
//!
//! Exact keys are unlinked in batches; patterns are scanned, never asked for
//! with KEYS; and a database is never flushed.

use std::{collections::BTreeSet, fmt, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo as _, Pipeline, RedisError, aio::MultiplexedConnection,
    cluster::ClusterClient, cluster_async::ClusterConnection,
};
use tokio::sync::Mutex;

use super::Error;
use crate::{effect::Effect, operation::EffectCounts};

/// How long a connection or an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Keys that are looked at in one step of a scan; the default of 10 is ten
/// times slower.
const SCANNED: usize = 1000;
/// Keys of one command.
const TOGETHER: usize = 500;

/// Where a target's Redis is. It can hold a password, so it prints without.
#[derive(Clone)]
pub struct RedisSettings {
    nodes: Vec<ConnectionInfo>,
    is_cluster: bool,
}

/// Why an address of a Redis is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is none that is understood.
    #[error("a Redis URL is redis://USER:PASSWORD@HOST:PORT/DATABASE and nothing else")]
    Form,
    /// It does not say which database.
    #[error("a Redis URL names its database, such as redis://localhost:6379/0")]
    Database,
    /// A cluster has one database.
    #[error("a Redis cluster has no databases: leave the number out, or say 0")]
    Cluster,
    /// There are several, and they are no cluster.
    #[error("several Redis URLs are those of one cluster: say cluster = true")]
    Several,
}

impl RedisSettings {
    /// Reads addresses: of one server, or of some nodes of a cluster.
    ///
    /// # Errors
    ///
    /// When one is not understood, or does not say which database is meant.
    pub fn parse(urls: &[String], is_cluster: bool) -> Result<Self, Refused> {
        if urls.len() != 1 && !is_cluster {
            return Err(Refused::Several);
        }
        let mut nodes = Vec::new();
        for url in urls {
            let rest = url.strip_prefix("redis://").ok_or(Refused::Form)?;
            let is_odd = |letter: char| letter.is_control() || " ?#\\,".contains(letter);
            if rest.chars().any(is_odd) || rest.starts_with('/') {
                return Err(Refused::Form);
            }
            let database = rest.split_once('/').map_or("", |(_, path)| path);
            match (database, is_cluster) {
                ("" | "0", true) => {}
                (_, true) => return Err(Refused::Cluster),
                ("", false) => return Err(Refused::Database),
                (number, false) if number.parse::<u16>().is_err() => return Err(Refused::Form),
                (_, false) => {}
            }
            nodes.push(
                url.as_str()
                    .into_connection_info()
                    .map_err(|_| Refused::Form)?,
            );
        }
        Ok(Self { nodes, is_cluster })
    }
}

impl fmt::Display for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, node) in self.nodes.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let database = node.redis_settings().db();
            write!(f, "{comma}redis://{}/{database}", node.addr())?;
        }
        Ok(())
    }
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One Redis, and the connection to it as long as it holds.
#[derive(Debug)]
pub(super) struct Redis {
    settings: RedisSettings,
    link: Mutex<Option<Link>>,
}

#[derive(Clone)]
enum Link {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

impl Redis {
    pub(super) fn new(settings: RedisSettings) -> Self {
        Self {
            settings,
            link: Mutex::new(None),
        }
    }

    pub(super) fn address(&self) -> String {
        self.settings.to_string()
    }

    pub(super) async fn is_reachable(&self) -> bool {
        let ping = redis::cmd("PING");
        self.ask::<String>(&ping).await.is_ok()
    }

    pub(super) async fn count(&self, effect: &Effect) -> Result<EffectCounts, Error> {
        let keys = self.keys(effect).await?;
        let mut found = 0;
        for part in keys.chunks(TOGETHER) {
            found += self.each("EXISTS", part).await?;
        }
        Ok(counted(found))
    }

    pub(super) async fn remove(&self, effect: &Effect) -> Result<EffectCounts, Error> {
        let keys = self.keys(effect).await?;
        let mut removed = 0;
        for part in keys.chunks(TOGETHER) {
            removed += self.each("UNLINK", part).await?;
        }
        Ok(counted(removed))
    }

    /// The keys that an effect is about. A set comes after the keys that it
    /// names: as long as it is there, nothing of it is forgotten.
    async fn keys(&self, effect: &Effect) -> Result<Vec<Vec<u8>>, Error> {
        match effect {
            Effect::RedisKey { key } => Ok(vec![key.clone().into_bytes()]),
            Effect::RedisMembers { set, before, after } => {
                let mut members = redis::cmd("SMEMBERS");
                members.arg(set);
                let members: Vec<Vec<u8>> = self.ask(&members).await?;
                let key = |member: Vec<u8>| [before.as_bytes(), &member, after.as_bytes()].concat();
                let mut keys: Vec<Vec<u8>> = members.into_iter().map(key).collect();
                keys.push(set.clone().into_bytes());
                Ok(keys)
            }
            Effect::RedisPattern { pattern } => self.scan(pattern).await,
            Effect::File { .. } | Effect::Directory { .. } => Ok(Vec::new()),
        }
    }

    /// Every key that matches, once: a scan may tell a key twice.
    async fn scan(&self, pattern: &str) -> Result<Vec<Vec<u8>>, Error> {
        let mut keys = BTreeSet::new();
        for mut node in self.nodes().await? {
            let mut cursor = 0_u64;
            loop {
                let mut scan = redis::cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(pattern);
                scan.arg("COUNT").arg(SCANNED);
                let answer: Result<(u64, Vec<Vec<u8>>), RedisError> =
                    scan.query_async(&mut node).await;
                let (next, found) = match answer {
                    Ok(answer) => answer,
                    Err(error) => return Err(self.failed(&error).await),
                };
                keys.extend(found);
                if next == 0 {
                    break;
                }
                cursor = next;
            }
        }
        Ok(keys.into_iter().collect())
    }

    /// A connection to every server that holds keys of its own.
    async fn nodes(&self) -> Result<Vec<MultiplexedConnection>, Error> {
        let mut link = match self.link().await? {
            Link::Server(connection) => return Ok(vec![connection]),
            Link::Cluster(connection) => connection,
        };
        let mut question = redis::cmd("CLUSTER");
        question.arg("NODES");
        let answer: Result<String, RedisError> = question.query_async(&mut link).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Err(self.failed(&error).await),
        };
        let mut nodes = Vec::new();
        for (host, port) in masters(&answer) {
            let Some(first) = self.settings.nodes.first() else {
                break;
            };
            let info = first.clone().set_addr(ConnectionAddr::Tcp(host, port));
            match connect(info).await {
                Ok(node) => nodes.push(node),
                Err(error) => return Err(self.failed(&error).await),
            }
        }
        Ok(nodes)
    }

    /// Does the same to each of these keys, and tells to how many it was done.
    async fn each(&self, command: &str, keys: &[Vec<u8>]) -> Result<u64, Error> {
        match self.link().await? {
            Link::Server(mut connection) => {
                let mut pipeline = Pipeline::new();
                for key in keys {
                    pipeline.cmd(command).arg(key);
                }
                let done: Result<Vec<u64>, RedisError> =
                    pipeline.query_async(&mut connection).await;
                match done {
                    Ok(done) => Ok(done.into_iter().sum()),
                    Err(error) => Err(self.failed(&error).await),
                }
            }
            // Keys of one command would have to be in one slot.
            Link::Cluster(_) => {
                let mut total = 0;
                for key in keys {
                    let mut one = redis::cmd(command);
                    one.arg(key);
                    total += self.ask::<u64>(&one).await?;
                }
                Ok(total)
            }
        }
    }

    /// Asks, and once more on a new connection when the old one was broken:
    /// everything here can be done twice.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let was_there = self.link.lock().await.is_some();
        match self.once(command).await {
            Err(error) if was_there && error.is_outage() => self.once(command).await,
            other => other,
        }
    }

    async fn once<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let answer = match self.link().await? {
            Link::Server(mut connection) => command.query_async(&mut connection).await,
            Link::Cluster(mut connection) => command.query_async(&mut connection).await,
        };
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.failed(&error).await),
        }
    }

    async fn link(&self) -> Result<Link, Error> {
        let mut link = self.link.lock().await;
        if let Some(link) = &*link {
            return Ok(link.clone());
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
                let connected = tokio::time::timeout(PATIENCE * 2, connecting).await;
                let connected = connected.map_err(|_| silent())?;
                Link::Cluster(connected.map_err(|error| told(&error))?)
            }
            false => {
                let info = self.settings.nodes.first().cloned().ok_or_else(silent)?;
                Link::Server(connect(info).await.map_err(|error| told(&error))?)
            }
        };
        *link = Some(made.clone());
        Ok(made)
    }

    /// What an error means. A connection that is broken is given up.
    async fn failed(&self, error: &RedisError) -> Error {
        let told = told(error);
        if told.is_outage() {
            *self.link.lock().await = None;
        }
        told
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

/// The servers of a cluster that hold keys of their own, by what `CLUSTER
/// NODES` says: an id, an address and flags on each line.
fn masters(nodes: &str) -> Vec<(String, u16)> {
    let address = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (address, flags) = (words.next()?, words.next()?);
        let mut flags = flags.split(',');
        let is_master = flags.any(|flag| flag == "master") && !flags.any(|flag| flag == "fail");
        let address = address.split(['@', ',']).next()?;
        let (host, port) = address.rsplit_once(':')?;
        let port = port.parse().ok()?;
        is_master.then(|| (host.to_owned(), port))
    };
    nodes.lines().filter_map(address).collect()
}

fn counted(keys: u64) -> EffectCounts {
    EffectCounts {
        redis_keys: keys,
        ..EffectCounts::default()
    }
}

fn silent() -> Error {
    Error::Outage("Redis does not answer".to_owned())
}

/// What an error of Redis means to an effect. Its words are those of the
/// server's error code, never a key or an address.
fn told(error: &RedisError) -> Error {
    let is_away = error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_connection_refusal()
        || error.kind() == ErrorKind::ClusterConnectionNotFound;
    if is_away {
        return silent();
    }
    let code = error.code().unwrap_or("ERR").to_owned();
    let words = format!("Redis refuses with {code}");
    match code.as_str() {
        "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "READONLY" | "BUSY" | "TRYAGAIN" => {
            Error::Outage(words)
        }
        "MOVED" | "ASK" | "NOREPLICAS" | "OOM" | "MISCONF" => Error::Retry(words),
        _ => Error::Attention(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str, is_cluster: bool) -> Result<String, Refused> {
        let settings = RedisSettings::parse(&[url.to_owned()], is_cluster)?;
        Ok(settings.to_string())
    }

    #[test]
    fn an_address_names_its_database_and_tells_no_password() {
        for (url, told) in [
            ("redis://localhost:6379/1", "redis://localhost:6379/1"),
            (
                "redis://u:secret@localhost:6379/0",
                "redis://localhost:6379/0",
            ),
            (
                "redis://:secret@127.0.0.1:7000/15",
                "redis://127.0.0.1:7000/15",
            ),
        ] {
            assert_eq!(parse(url, false).as_deref(), Ok(told), "{url}");
        }
        for url in [
            "redis://localhost:6379",
            "redis://localhost:6379/",
            "redis://localhost:6379/one",
            "redis://localhost:6379/1?protocol=resp3",
            "redis://localhost:6379/1#x",
            "redis://localhost:6379/1/2",
            "rediss://localhost:6379/1",
            "redis+unix:///run/redis.sock",
            "redis:///1",
            "redis://a,b:6379/1",
            "localhost:6379/1",
        ] {
            assert!(parse(url, false).is_err(), "{url}");
        }
        assert!(parse("redis://localhost:7000", true).is_ok());
        assert_eq!(
            parse("redis://localhost:7000/1", true),
            Err(Refused::Cluster)
        );
    }

    #[test]
    fn masters_are_told_from_replicas() {
        let nodes = "a 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-5460\n\
                     b 127.0.0.1:7001@17001,host master - 0 0 2 connected 5461-10922\n\
                     c 127.0.0.1:7002@17002 slave a 0 0 1 connected\n\
                     d 127.0.0.1:7003@17003 master,fail - 0 0 3 connected\n";
        let found: Vec<u16> = masters(nodes).into_iter().map(|(_, port)| port).collect();
        assert_eq!(found, [7000, 7001]);
    }
}
