//! Where a Redis is, read by a strict grammar: a server with the index of its
//! database, or nodes of a cluster.

use std::fmt;

use redis::{ConnectionInfo, IntoConnectionInfo};

/// Where a target's Redis is. It can hold a password, so it prints without.
#[derive(Clone)]
pub struct RedisSettings {
    pub(super) nodes: Vec<ConnectionInfo>,
    pub(super) is_cluster: bool,
    pub(super) is_exclusive: bool,
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
        Ok(Self {
            nodes,
            is_cluster,
            is_exclusive: false,
        })
    }

    /// Says that nobody else has keys in the database, so that it may be
    /// emptied as a whole.
    #[must_use]
    pub fn exclusive(mut self) -> Self {
        self.is_exclusive = true;
        self
    }

    /// True when the database may be emptied as a whole.
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        self.is_exclusive
    }

    /// The hosts of the nodes.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter_map(|node| match node.addr() {
            redis::ConnectionAddr::Tcp(host, _) => Some(host.as_str()),
            _ => None,
        })
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
}
