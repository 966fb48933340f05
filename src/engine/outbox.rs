//! Applies what is written down in a target: at once for the operation that
//! wrote it, and in the background until nothing is left.
//!
//! What cannot be done now is tried again; what cannot be done as things are
//! waits for somebody to look at it. Nothing is dropped.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

use super::{Served, now};
use crate::{
    effect::Effect,
    effects::Applied,
    error::Error,
    failpoint,
    operation::{EffectCounts, OperationId},
    target::{Claimed, Settled, Whose},
};

/// How long a server may take for what it has claimed.
const LEASE: Duration = Duration::from_secs(30);
/// How much is claimed at once.
const CLAIMED: usize = 64;
/// How long a caller waits for the effects of their operation.
const PATIENCE: Duration = Duration::from_secs(2);
/// How soon it is tried again when the other side cannot be reached: as soon
/// as it is back, people want their sessions gone.
const SOON: Duration = Duration::from_millis(250);
/// The longest pause between two attempts of anything else.
const LATEST: Duration = Duration::from_secs(30);
/// How often it is looked for what other servers left.
const ROUND: Duration = Duration::from_secs(2);
/// How long after a removal it is done once more: a login that was under way
/// may have filled a cache again meanwhile.
const SECOND_PASS: Duration = Duration::from_millis(300);

/// A target's effects, as this server applies them.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    wanted: Notify,
}

/// What was applied of one operation.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    pub(super) counts: EffectCounts,
    pub(super) errors: Vec<String>,
}

impl Outbox {
    /// There is something to be done.
    pub(super) fn wake(&self) {
        self.wanted.notify_one();
    }

    /// Applies the effects of one operation, as far as that is possible at
    /// once; the rest follows in the background.
    pub(super) async fn deliver(
        &self,
        served: &Arc<Served>,
        server: &str,
        operation: OperationId,
        written: u64,
    ) -> Delivered {
        let whose = Whose::Operation(operation);
        let once = round(served, server, whose);
        let mut delivered = match tokio::time::timeout(PATIENCE, once).await {
            Ok(Ok(delivered)) => delivered,
            Ok(Err(error)) => Delivered {
                errors: vec![error.to_string()],
                ..Delivered::default()
            },
            Err(_) => Delivered {
                errors: vec!["the effects take longer than the reply may wait".to_owned()],
                ..Delivered::default()
            },
        };
        match served.target.removed(operation).await {
            Ok(counts) => delivered.counts = counts,
            Err(_) => delivered.counts.pending = written,
        }
        if delivered.counts.pending > 0 {
            self.wake();
        }
        delivered
    }

    /// Applies whatever is due, until the server stops.
    pub(super) async fn work(&self, served: Arc<Served>, server: String, finished: Arc<Notify>) {
        let mut pause = Duration::ZERO;
        self.take_up(&served).await;
        loop {
            tokio::select! {
                () = self.wanted.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            pause = match self.sweep(&served, &server).await {
                Ok(true) => SOON,
                Ok(false) => ROUND,
                Err(error) => {
                    tracing::debug!(target = served.target.name(), %error, "effects are not asked for");
                    ROUND
                }
            };
            finished.notify_one();
        }
    }

    /// What somebody had to look at is tried again by a server that starts:
    /// its configuration may have changed.
    async fn take_up(&self, served: &Arc<Served>) {
        served.effects.empty_trash(now()).await;
        if crate::guard::precheck(served.target.setting(), now()).is_err() {
            return;
        }
        match served.target.revive().await {
            Ok(0) => {}
            Ok(revived) => {
                tracing::info!(
                    target = served.target.name(),
                    revived,
                    "effects are tried again"
                );
                self.wake();
            }
            Err(error) => {
                tracing::debug!(target = served.target.name(), %error, "effects are not asked for");
            }
        }
    }

    /// True when something is left that wants to be tried soon.
    async fn sweep(&self, served: &Arc<Served>, server: &str) -> Result<bool, Error> {
        if crate::guard::precheck(served.target.setting(), now()).is_err() {
            return Ok(false);
        }
        round(served, server, Whose::Anybody).await?;
        Ok(served.target.backlog().await?.pending > 0)
    }
}

/// Claims and applies until nothing is to be had.
async fn round(served: &Arc<Served>, server: &str, whose: Whose) -> Result<Delivered, Error> {
    let mut delivered = Delivered::default();
    let roots = served.effects.root_ids();
    loop {
        // Where Redis does not answer, what waits for it is left alone.
        let with_redis = served.effects.is_reachable().await;
        let (target, effects) = (&served.target, &served.effects);
        let claimed = target.claim(server, whose, &roots, with_redis, LEASE, CLAIMED);
        let claimed = claimed.await?;
        if claimed.is_empty() {
            if !with_redis && delivered.errors.is_empty() {
                delivered.errors.push("Redis cannot be reached".to_owned());
            }
            return Ok(delivered);
        }
        failpoint::reach("claimed").await;
        let mut is_stuck = false;
        for claimed in claimed {
            let applied = effects.apply(&claimed.pending.effects, now()).await;
            delivered.counts += applied.counts;
            let settled = settle(&claimed, &applied);
            failpoint::reach("applied").await;
            is_stuck |= settled != Settled::Done;
            delivered.errors.extend(
                applied
                    .failed
                    .iter()
                    .map(|(effect, error)| format!("{}: {error}", name(effect))),
            );
            target
                .settle(server, &claimed, applied.counts, &settled, now())
                .await?;
            if settled == Settled::Done {
                again(served, claimed);
            }
        }
        if is_stuck {
            return Ok(delivered);
        }
    }
}

/// What becomes of claimed effects that were applied as far as possible.
fn settle(claimed: &Claimed, applied: &Applied) -> Settled {
    let Some((_, first)) = applied.failed.first() else {
        return Settled::Done;
    };
    let left: Vec<Effect> = applied.failed.iter().map(|(e, _)| e.clone()).collect();
    let words = first.to_string();
    if applied
        .failed
        .iter()
        .all(|(_, error)| error.needs_attention())
    {
        return Settled::Attention(left, words);
    }
    let pause = match applied.failed.iter().any(|(_, error)| error.is_outage()) {
        true => SOON,
        false => SOON
            .saturating_mul(1_u32 << claimed.attempts.min(10))
            .min(LATEST),
    };
    Settled::Retry(left, pause, words)
}

/// Removes Redis keys once more after a pause, unless they are somebody's
/// again by then.
fn again(served: &Arc<Served>, claimed: Claimed) {
    if !claimed.pending.effects.iter().any(Effect::is_redis) {
        return;
    }
    let served = Arc::clone(served);
    tokio::spawn(async move {
        tokio::time::sleep(SECOND_PASS).await;
        if let Ok(false) = served.target.is_known(&claimed.pending.subjects).await {
            let applied = served.effects.apply(&claimed.pending.effects, now()).await;
            if applied.counts.redis_keys > 0 {
                let keys = applied.counts.redis_keys;
                tracing::info!(operation = %claimed.operation, keys, "keys that had come back were removed");
            }
        }
    });
}

/// What an effect is about, for people to read.
fn name(effect: &Effect) -> String {
    match effect {
        Effect::RedisKey { key } => format!("Redis key {key}"),
        Effect::RedisMembers { set, .. } => format!("Redis keys of {set}"),
        Effect::RedisPattern { pattern } => format!("Redis keys {pattern}"),
        Effect::File { root, path } => format!("file {path} under {root}"),
        Effect::Directory { root, path } => format!("directory {path} under {root}"),
    }
}
