//! Removes what belonged to the rows outside the database: Redis keys, then
//! files. What is not there is done, so that everything can be done again.

mod files;
mod redis;

pub use files::RootSettings;
pub use redis::{RedisSettings, Refused};

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use files::Root;
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

    /// Counts what would be removed.
    ///
    /// # Errors
    ///
    /// When it cannot be looked at.
    pub async fn count(&self, effects: &[Effect]) -> Result<EffectCounts, Error> {
        let mut counts = EffectCounts::default();
        for effect in effects {
            counts += match effect {
                Effect::RedisKey { .. }
                | Effect::RedisMembers { .. }
                | Effect::RedisPattern { .. } => self.redis()?.count(effect).await?,
                Effect::File { root, path } | Effect::Directory { root, path } => {
                    let is_directory = matches!(effect, Effect::Directory { .. });
                    let (root, path) = (self.root(root)?, path.clone());
                    blocking(move || root.count(&path, is_directory)).await?
                }
            };
        }
        Ok(counts)
    }

    /// Removes what is there.
    pub async fn apply(&self, effects: &[Effect], at: Timestamp) -> Applied {
        let mut applied = Applied::default();
        for effect in effects {
            match self.remove(effect, at).await {
                Ok(counts) => applied.counts += counts,
                Err(error) => applied.failed.push((effect.clone(), error)),
            }
        }
        applied
    }

    async fn remove(&self, effect: &Effect, at: Timestamp) -> Result<EffectCounts, Error> {
        match effect {
            Effect::RedisKey { .. } | Effect::RedisMembers { .. } | Effect::RedisPattern { .. } => {
                self.redis()?.remove(effect).await
            }
            Effect::File { root, path } | Effect::Directory { root, path } => {
                let is_directory = matches!(effect, Effect::Directory { .. });
                let (root, path) = (self.root(root)?, path.clone());
                blocking(move || root.remove(&path, is_directory, at)).await
            }
        }
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
            let counts = self.redis()?.remove(&effect).await?;
            cleared.push((pattern, counts.redis_keys));
        }
        Ok(cleared)
    }

    /// Removes for good what is in the trash for long enough.
    pub async fn empty_trash(&self, at: Timestamp) {
        for (name, root) in &self.roots {
            let root = Arc::clone(root);
            if let Err(error) = blocking(move || root.empty_trash(at)).await {
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

/// Work on files, off the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Error::Retry("the work on files was given up".to_owned())))
}
