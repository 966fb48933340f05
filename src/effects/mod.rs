//! Removes what belonged to the rows outside the database: Redis keys, then
//! files. What is not there is done, so that everything can be done again.

mod files;
mod redis;
mod trash;

pub use files::RootSettings;
pub use redis::{RedisSettings, Refused};

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use files::{Kind, Root};
use redis::Redis;

use crate::{effect::Effect, operation::EffectCounts};

/// What belongs to one target's rows outside its database.
#[derive(Debug, Default)]
pub struct Effects {
    redis: Option<Redis>,
    roots: BTreeMap<String, Arc<Root>>,
}

/// What came of applying effects.
#[derive(Debug, Default)]
pub struct Applied {
    /// What was removed.
    pub counts: EffectCounts,
    /// The effects that were not applied, each with why.
    pub failed: Vec<(Effect, Error)>,
}

/// Why an effect was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The other side cannot be reached, or is not ready.
    #[error("{0}")]
    Outage(String),
    /// It may go the next time.
    #[error("{0}")]
    Retry(String),
    /// It cannot be done as things are.
    #[error("{0}")]
    Attention(String),
}

impl Error {
    /// True when somebody has to look at it.
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        matches!(self, Self::Attention(_))
    }

    /// True when the other side could not be reached, or was not ready.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Outage(_))
    }
}

impl Effects {
    /// What these settings say; nothing is connected yet.
    #[must_use]
    pub fn new(redis: Option<RedisSettings>, roots: BTreeMap<String, RootSettings>) -> Self {
        let root = |(name, settings): (String, RootSettings)| {
            let root = Root::new(name.clone(), settings);
            (name, Arc::new(root))
        };
        Self {
            redis: redis.map(Redis::new),
            roots: roots.into_iter().map(root).collect(),
        }
    }

    /// True when nothing is configured.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.redis.is_none() && self.roots.is_empty()
    }

    /// Where Redis is, without its password.
    #[must_use]
    pub fn redis_address(&self) -> Option<String> {
        self.redis.as_ref().map(Redis::address)
    }

    /// The names of the roots.
    pub fn root_names(&self) -> impl Iterator<Item = &str> {
        self.roots.keys().map(String::as_str)
    }

    /// The ids of the roots that are there, by their names: those of other
    /// servers are left to them.
    #[must_use]
    pub fn root_ids(&self) -> BTreeMap<String, String> {
        let id = |(name, root): (&String, &Arc<Root>)| Some((name.clone(), root.id()?));
        self.roots.iter().filter_map(id).collect()
    }

    /// Gives every root an id, which says that effects may be applied there.
    ///
    /// # Errors
    ///
    /// When a root is not there, is a link, or takes no file.
    pub fn mark_roots(&self) -> Result<(), Error> {
        self.roots.values().try_for_each(|root| root.mark())
    }

    /// True when Redis answers, or is not needed.
    pub async fn is_reachable(&self) -> bool {
        match &self.redis {
            Some(redis) => redis.is_reachable().await,
            None => true,
        }
    }

    /// Counts what would be removed; as pending, what cannot be as things are.
    ///
    /// # Errors
    ///
    /// When it cannot be looked at.
    pub async fn count(&self, effects: &[Effect]) -> Result<EffectCounts, Error> {
        let (in_redis, in_files) = sorted(effects);
        let mut counts = EffectCounts::default();
        if !in_redis.is_empty() {
            counts.redis_keys = self.redis()?.count(&in_redis).await?;
        }
        let mut directories: BTreeSet<Place<'_>> = BTreeSet::new();
        for (effect, place) in in_files {
            if !above(place).any(|place| directories.contains(&place)) {
                let (root, path) = (self.root(place.0)?, place.1.to_owned());
                let kind = kind(effect);
                match blocking(move || root.count(&path, kind)).await {
                    Ok(found) => counts += found,
                    // It would stay behind in a run as well, as pending.
                    Err(error) if error.needs_attention() => counts.pending += 1,
                    Err(error) => return Err(error),
                }
            }
            if kind(effect) == Kind::Directory {
                directories.insert(place);
            }
        }
        Ok(counts)
    }

    /// Removes what is there.
    pub async fn apply(&self, effects: &[Effect], at: Timestamp) -> Applied {
        let (in_redis, in_files) = sorted(effects);
        let mut applied = Applied::default();
        if !in_redis.is_empty() {
            match self.redis() {
                Ok(redis) => {
                    let removed = redis.remove(&in_redis).await;
                    applied.counts.redis_keys = removed.keys;
                    applied.failed = removed.failed;
                }
                Err(error) => applied.failed.extend(
                    in_redis
                        .into_iter()
                        .map(|effect| (effect.clone(), error.clone())),
                ),
            }
        }
        let mut roots: BTreeSet<&str> = BTreeSet::new();
        for (effect, (root, path)) in in_files {
            roots.insert(root);
            match self.remove(root, path, kind(effect), at).await {
                Ok(counts) => applied.counts += counts,
                Err(error) => applied.failed.push((effect.clone(), error)),
            }
        }
        for root in roots {
            self.empty_soon(root, at);
        }
        applied
    }

    async fn remove(
        &self,
        root: &str,
        path: &str,
        kind: Kind,
        at: Timestamp,
    ) -> Result<EffectCounts, Error> {
        let (root, path) = (self.root(root)?, path.to_owned());
        blocking(move || root.remove(&path, kind, at)).await
    }

    /// What was removed is out of sight; it is removed for good in the
    /// background, and what a crash leaves of it by the next server.
    fn empty_soon(&self, root: &str, at: Timestamp) {
        let Some(root) = self.roots.get(root).cloned() else {
            return;
        };
        tokio::task::spawn_blocking(move || root.empty_trash(at));
    }

    /// Removes the keys of these patterns; gives how many, by pattern. With
    /// nothing but `*` a database that is declared exclusive is emptied.
    ///
    /// # Errors
    ///
    /// When there is no Redis, or it cannot be reached.
    pub async fn clear(&self, patterns: &[String]) -> Result<Vec<(String, u64)>, Error> {
        let mut cleared = Vec::new();
        for pattern in patterns {
            let pattern = pattern.clone();
            let effect = Effect::RedisPattern {
                pattern: pattern.clone(),
            };
            let mut removed = self.redis()?.remove(&[&effect]).await;
            match removed.failed.pop() {
                Some((_, error)) => return Err(error),
                None => cleared.push((pattern, removed.keys)),
            }
        }
        Ok(cleared)
    }

    /// Removes for good what is in the trash for long enough.
    pub async fn empty_trash(&self, at: Timestamp) {
        for (name, root) in &self.roots {
            let emptied = Arc::clone(root);
            let emptying = blocking(move || {
                emptied.empty_trash(at);
                Ok(())
            });
            if let Err(error) = emptying.await {
                tracing::warn!(root = name, %error, "trash not emptied");
            }
        }
    }

    fn redis(&self) -> Result<&Redis, Error> {
        let none = || Error::Attention("no Redis is configured for this target".to_owned());
        self.redis.as_ref().ok_or_else(none)
    }

    fn root(&self, name: &str) -> Result<Arc<Root>, Error> {
        let none = || Error::Attention(format!("no root {name} is configured for this target"));
        self.roots.get(name).cloned().ok_or_else(none)
    }
}

/// A root's name and a path below it.
type Place<'e> = (&'e str, &'e str);

/// What is in Redis, and what is below roots: directories first, each before
/// what is in it, so that nothing is counted twice whatever the order was.
fn sorted(effects: &[Effect]) -> (Vec<&Effect>, Vec<(&Effect, Place<'_>)>) {
    let (in_redis, in_files): (Vec<&Effect>, Vec<&Effect>) =
        effects.iter().partition(|effect| effect.is_redis());
    let place = |effect| match effect {
        &Effect::File { ref root, ref path } | &Effect::Directory { ref root, ref path } => {
            Some((effect, (root.as_str(), path.as_str())))
        }
        &Effect::RedisKey { .. } | &Effect::RedisMembers { .. } | &Effect::RedisPattern { .. } => {
            None
        }
    };
    let mut in_files: Vec<_> = in_files.into_iter().filter_map(place).collect();
    in_files.sort_by_key(|&(effect, place)| (kind(effect), place));
    in_files.dedup();
    (in_redis, in_files)
}

fn kind(effect: &Effect) -> Kind {
    match effect {
        Effect::Directory { .. } => Kind::Directory,
        Effect::File { .. }
        | Effect::RedisKey { .. }
        | Effect::RedisMembers { .. }
        | Effect::RedisPattern { .. } => Kind::File,
    }
}

/// A path below a root, and all that it is in.
fn above((root, path): Place<'_>) -> impl Iterator<Item = Place<'_>> {
    std::iter::successors(Some(path), |path| Some(path.rsplit_once('/')?.0))
        .map(move |path| (root, path))
}

/// Work on files, off the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Error::Retry("the work on files was given up".to_owned())))
}
