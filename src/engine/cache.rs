//! Clears what the policy calls a cache.

use serde::{Deserialize, Serialize};

use super::{Context, now};
use crate::{
    effect::Effect,
    error::Error,
    guard,
    operation::{ClearCache, Mode},
};

/// What was cleared.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cleared {
    /// The keys that were removed, by the pattern that they matched.
    pub patterns: Vec<(String, u64)>,
    /// Whether they were removed.
    pub mode: Mode,
}

/// Clears the cache of a target, which has to let itself be reset.
pub(super) async fn clear(context: &Context, action: &ClearCache) -> Result<Cleared, Error> {
    let served = &context.served;
    let target = &served.target;
    guard::precheck(target.setting(), now())?;
    let patterns = target.policy().cache.as_ref().map(|cache| &cache.patterns);
    let patterns = patterns.ok_or_else(|| Error::Field {
        field: "target",
        problem: "the policy of this target has no [cache]".to_owned(),
    })?;
    let evidence = target.evidence().await?;
    guard::clear((), target.setting(), evidence.seen, served.limits, now())?;
    let unavailable = |error: crate::effects::Error| Error::Cache(error.to_string());
    let patterns = match action.mode {
        Mode::Execute => served.effects.clear(patterns).await.map_err(unavailable)?,
        Mode::DryRun => {
            let mut counted = Vec::new();
            for pattern in patterns {
                let pattern = pattern.clone();
                let effect = Effect::RedisPattern {
                    pattern: pattern.clone(),
                };
                let counts = served.effects.count(&[effect]).await;
                counted.push((pattern, counts.map_err(unavailable)?.redis_keys));
            }
            counted
        }
    };
    Ok(Cleared {
        patterns,
        mode: action.mode,
    })
}
