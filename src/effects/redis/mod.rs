//! Keys in a Redis: one server, or a cluster.
//!
//! Keys are removed by name, and named by sets or found by scans where that is
//! needed; nothing blocks the server, and nothing is emptied as a whole unless
//! the configuration says that nobody else has keys there.

mod glob;
mod link;
mod settings;

pub use settings::{RedisSettings, Refused};

use std::collections::{BTreeSet, HashSet};

use redis::Cmd;

use super::Error;
use crate::effect::Effect;
use glob::Globs;
use link::{Link, Master, Node};

/// Keys that are looked at in one step of a scan; the default of 10 is ten
/// times slower.
const SCANNED: usize = 1000;
/// Keys of one command.
const TOGETHER: usize = 500;

/// One Redis.
#[derive(Debug)]
pub(super) struct Redis {
    link: Link,
}

/// What came of removing keys.
#[derive(Debug, Default)]
pub(super) struct Removed {
    pub(super) keys: u64,
    pub(super) failed: Vec<(Effect, Error)>,
}

impl Removed {
    fn add(&mut self, effects: &[&Effect], done: Result<u64, Error>) {
        match done {
            Ok(keys) => self.keys += keys,
            Err(error) => self.failed.extend(
                effects
                    .iter()
                    .map(|&effect| (effect.clone(), error.clone())),
            ),
        }
    }

    /// After an outage the rest would only wait for the same.
    fn outage(&self) -> Option<Error> {
        let mut errors = self.failed.iter().map(|(_, error)| error);
        errors.find(|error| error.is_outage()).cloned()
    }
}

/// Effects by their kinds.
#[derive(Default)]
struct Sorted<'e> {
    keys: Vec<(&'e Effect, &'e str)>,
    sets: Vec<(&'e Effect, [&'e str; 3])>,
    patterns: Vec<(&'e Effect, &'e str)>,
    all: Vec<&'e Effect>,
}

impl<'e> Sorted<'e> {
    fn new(effects: &[&'e Effect]) -> Self {
        let mut sorted = Self::default();
        for &effect in effects {
            match effect {
                Effect::RedisKey { key } => sorted.keys.push((effect, key)),
                Effect::RedisMembers { set, before, after } => {
                    sorted.sets.push((effect, [set, before, after]));
                }
                Effect::RedisPattern { pattern } if pattern == "*" => sorted.all.push(effect),
                Effect::RedisPattern { pattern } => sorted.patterns.push((effect, pattern)),
                Effect::File { .. } | Effect::Directory { .. } => {}
            }
        }
        sorted
    }
}

impl Redis {
    pub(super) fn new(settings: RedisSettings) -> Self {
        Self {
            link: Link::new(settings),
        }
    }

    pub(super) fn address(&self) -> String {
        self.link.settings.to_string()
    }

    pub(super) async fn is_reachable(&self) -> bool {
        self.link.ask::<String>(&redis::cmd("PING")).await.is_ok()
    }

    /// Removes keys. What failed can be tried again as it is.
    pub(super) async fn remove(&self, effects: &[&Effect]) -> Removed {
        let sorted = Sorted::new(effects);
        let mut removed = Removed::default();
        for part in sorted.keys.chunks(TOGETHER) {
            let effects: Vec<&Effect> = part.iter().map(|(effect, _)| *effect).collect();
            if let Some(outage) = removed.outage() {
                removed.add(&effects, Err(outage));
                continue;
            }
            let keys: Vec<&[u8]> = part.iter().map(|(_, key)| key.as_bytes()).collect();
            match self.unlink(&keys).await {
                // One of them may be the reason; the others go all the same.
                Err(error) if error.needs_attention() && part.len() > 1 => {
                    for (effect, key) in part {
                        removed.add(&[effect], self.unlink(&[key.as_bytes()]).await);
                    }
                }
                done => removed.add(&effects, done),
            }
        }
        for (effect, [set, before, after]) in &sorted.sets {
            let done = match removed.outage() {
                Some(outage) => Err(outage),
                None => self.unlink_members(set, before, after).await,
            };
            removed.add(&[effect], done);
        }
        if !sorted.patterns.is_empty() {
            let effects: Vec<&Effect> = sorted.patterns.iter().map(|(e, _)| *e).collect();
            let done = match removed.outage() {
                Some(outage) => Err(outage),
                None => self.unlink_matches(&sorted.patterns).await,
            };
            removed.add(&effects, done);
        }
        for effect in sorted.all {
            let done = match removed.outage() {
                Some(outage) => Err(outage),
                None => self.empty().await,
            };
            removed.add(&[effect], done);
        }
        removed
    }

    /// Counts the keys that would be removed, each once.
    pub(super) async fn count(&self, effects: &[&Effect]) -> Result<u64, Error> {
        let sorted = Sorted::new(effects);
        if !sorted.all.is_empty() {
            return self.size().await;
        }
        let mut named: BTreeSet<Vec<u8>> = BTreeSet::new();
        named.extend(sorted.keys.iter().map(|(_, key)| key.as_bytes().to_vec()));
        for (_, [set, before, after]) in &sorted.sets {
            let mut scan = MemberScan::new(set);
            while let Some(members) = scan.next(&self.link).await? {
                named.extend(members.iter().map(|member| key(before, member, after)));
            }
            named.insert(set.as_bytes().to_vec());
        }
        let mut found = 0;
        let all: Vec<&Vec<u8>> = named.iter().collect();
        for part in all.chunks(TOGETHER) {
            let keys: Vec<&[u8]> = part.iter().map(|key| key.as_slice()).collect();
            found += self.link.ask::<u64>(&each("EXISTS", &keys)).await?;
        }
        if sorted.patterns.is_empty() {
            return Ok(found);
        }
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        let mut scan = self.scan(&sorted.patterns).await?;
        while let Some(keys) = scan.next(&self.link).await? {
            seen.extend(keys.into_iter().filter(|key| !named.contains(key)));
        }
        Ok(found + seen.len() as u64)
    }

    async fn unlink(&self, keys: &[&[u8]]) -> Result<u64, Error> {
        match keys.is_empty() {
            true => Ok(0),
            // A cluster's client sends each key to where it is.
            false => self.link.ask(&each("UNLINK", keys)).await,
        }
    }

    /// The set goes last: as long as it is there, nothing that it names is
    /// forgotten.
    async fn unlink_members(&self, set: &str, before: &str, after: &str) -> Result<u64, Error> {
        let mut removed = 0;
        let mut scan = MemberScan::new(set);
        while let Some(members) = scan.next(&self.link).await? {
            let keys: Vec<Vec<u8>> = members.iter().map(|m| key(before, m, after)).collect();
            let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            removed += self.unlink(&keys).await?;
        }
        Ok(removed + self.unlink(&[set.as_bytes()]).await?)
    }

    async fn unlink_matches(&self, patterns: &[(&Effect, &str)]) -> Result<u64, Error> {
        let mut removed = 0;
        let mut scan = self.scan(patterns).await?;
        while let Some(keys) = scan.next(&self.link).await? {
            for part in keys.chunks(TOGETHER) {
                let keys: Vec<&[u8]> = part.iter().map(Vec::as_slice).collect();
                removed += self.unlink(&keys).await?;
            }
        }
        Ok(removed)
    }

    /// Begins one pass over all keys for those that match any of the patterns.
    async fn scan(&self, patterns: &[(&Effect, &str)]) -> Result<KeyScan, Error> {
        let globs = Globs::new(patterns.iter().map(|(_, pattern)| *pattern));
        let (nodes, masters) = self.link.nodes().await?;
        Ok(KeyScan {
            covering: globs.covering(),
            globs,
            nodes,
            masters,
            cursor: 0,
        })
    }

    async fn size(&self) -> Result<u64, Error> {
        self.check_exclusive()?;
        let mut keys = 0;
        for mut node in self.link.nodes().await?.0 {
            keys += node.ask::<u64>(&redis::cmd("DBSIZE")).await?;
        }
        Ok(keys)
    }

    /// Empties a database in which nobody else has keys.
    async fn empty(&self) -> Result<u64, Error> {
        let keys = self.size().await?;
        for mut node in self.link.nodes().await?.0 {
            let mut flush = redis::cmd("FLUSHDB");
            flush.arg("ASYNC");
            node.ask::<()>(&flush).await?;
        }
        Ok(keys)
    }

    fn check_exclusive(&self) -> Result<(), Error> {
        match self.link.settings.is_exclusive() {
            true => Ok(()),
            false => Err(Error::Attention(
                "the pattern * empties a Redis, which has to be declared exclusive for that"
                    .to_owned(),
            )),
        }
    }
}

/// The members of a set, some at a time.
struct MemberScan<'s> {
    set: &'s str,
    cursor: Option<u64>,
}

impl<'s> MemberScan<'s> {
    fn new(set: &'s str) -> Self {
        Self {
            set,
            cursor: Some(0),
        }
    }

    async fn next(&mut self, link: &Link) -> Result<Option<Vec<Vec<u8>>>, Error> {
        let Some(cursor) = self.cursor else {
            return Ok(None);
        };
        let mut scan = redis::cmd("SSCAN");
        scan.arg(self.set).arg(cursor).arg("COUNT").arg(SCANNED);
        let (next, members): (u64, Vec<Vec<u8>>) = link.ask(&scan).await?;
        self.cursor = Some(next).filter(|&next| next != 0);
        Ok(Some(members))
    }
}

/// The keys that match, some at a time, from one server after the other. One
/// can be told twice.
struct KeyScan {
    globs: Globs,
    covering: Vec<u8>,
    nodes: Vec<Node>,
    masters: Vec<Master>,
    cursor: u64,
}

impl KeyScan {
    async fn next(&mut self, link: &Link) -> Result<Option<Vec<Vec<u8>>>, Error> {
        let Some(node) = self.nodes.last_mut() else {
            // Keys that were moved meanwhile may have been on neither side.
            return match link.masters().await? == self.masters {
                true => Ok(None),
                false => Err(Error::Retry(
                    "the Redis cluster changed during the scan".to_owned(),
                )),
            };
        };
        let mut scan = redis::cmd("SCAN");
        scan.arg(self.cursor).arg("MATCH");
        scan.arg(self.covering.as_slice());
        scan.arg("COUNT").arg(SCANNED);
        let (next, mut keys): (u64, Vec<Vec<u8>>) = node.ask(&scan).await?;
        self.cursor = next;
        if next == 0 {
            self.nodes.pop();
        }
        keys.retain(|key| self.globs.matches(key));
        Ok(Some(keys))
    }
}

fn each(command: &str, keys: &[&[u8]]) -> Cmd {
    let mut each = redis::cmd(command);
    for key in keys {
        each.arg(*key);
    }
    each
}

fn key(before: &str, member: &[u8], after: &str) -> Vec<u8> {
    [before.as_bytes(), member, after.as_bytes()].concat()
}
