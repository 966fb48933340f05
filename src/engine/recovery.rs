//! What goes on between operations: this server says that it lives, ends what
//! others have left, has effects applied, stops what somebody wants stopped,
//! and takes away what was kept for long enough.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::SignedDuration;
use tokio::sync::Notify;

use super::{Done, Engine, Finished, Outcome, now};
use crate::{
    error::Error,
    guard,
    journal::{Entry, OperationRecord, Retention},
    operation::{Action, OperationId},
    target::Fate,
};

/// How often a server says that it lives, and looks what there is to be done.
const BEAT: Duration = Duration::from_millis(500);
/// How long a server may be silent before it is taken for dead.
const SILENCE: SignedDuration = SignedDuration::from_secs(15);
/// How often it is looked for what was kept for long enough.
const HOUSEKEEPING: Duration = Duration::from_secs(3600);
/// How long proofs of commits and effects that are done are kept.
const PROOFS: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Engine {
    /// Starts what goes on between operations; it ends with the server.
    pub fn keep_house(self: &Arc<Self>) {
        let applied = Arc::new(Notify::new());
        for (name, outbox) in &self.outboxes {
            let Some(served) = self.targets.get(name) else {
                continue;
            };
            if served.effects.are_none() {
                continue;
            }
            let (engine, outbox) = (Arc::clone(self), Arc::clone(outbox));
            let (served, applied) = (Arc::clone(served), Arc::clone(&applied));
            let server = self.journal.server().to_string();
            self.background.spawn(async move {
                tokio::select! {
                    () = outbox.work(served, server, applied) => {}
                    () = engine.stopping.notified() => {}
                }
            });
        }
        let engine = Arc::clone(self);
        self.background.spawn(async move {
            let stopping = engine.stopping.notified();
            tokio::select! {
                () = engine.beat(&applied) => {}
                () = stopping => {}
            }
        });
    }

    async fn beat(&self, applied: &Notify) {
        let mut cleaned: Option<Instant> = None;
        loop {
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "what others left was not looked at");
            }
            if cleaned.is_none_or(|at| at.elapsed() > HOUSEKEEPING) {
                self.clean().await;
                cleaned = Some(Instant::now());
            }
            tokio::select! {
                () = tokio::time::sleep(BEAT) => {}
                () = applied.notified() => {}
            }
        }
    }

    async fn round(&self) -> Result<(), Error> {
        self.journal.heartbeat(now())?;
        for operation in self.journal.cancelled().await? {
            if let Some(brake) = self.live.brake(operation) {
                // One that is committing ends by itself.
                let _is_stopped = brake.pull();
            }
        }
        self.recover().await?;
        self.finish_effects().await
    }

    /// Ends what an earlier server, or one that is not seen any more, began
    /// and did not: the proof in the target says whether it was committed. A
    /// target that cannot be asked now is asked again later.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read or written.
    pub async fn recover(&self) -> Result<(), Error> {
        let silent_since = now().checked_sub(SILENCE).map_err(|_| Error::Invariant)?;
        for (entry, record) in self.journal.abandoned(silent_since).await? {
            let operation = entry.operation();
            let Some(served) = self.targets.get(&record.target) else {
                tracing::debug!(%operation, target = record.target, "operation of a target that is not served");
                continue;
            };
            if guard::precheck(served.target.setting(), now()).is_err() {
                continue;
            }
            match served.target.decide(operation, now()).await {
                Ok(fate) => self.end(entry, &record, fate).await?,
                Err(error) => {
                    tracing::warn!(%operation, %error, "operation of an earlier server not ended");
                }
            }
        }
        Ok(())
    }

    async fn end(&self, entry: Entry, record: &OperationRecord, fate: Fate) -> Result<(), Error> {
        let operation = entry.operation();
        let finished = match &fate {
            Fate::Committed(proof) => self.reconstruct(record, proof),
            Fate::Aborted => None,
        };
        let mut finished = finished.transpose().unwrap_or_else(|error| {
            tracing::warn!(%operation, %error, "what it did is not known any more");
            None
        });
        let reply = finished
            .as_ref()
            .and_then(|finished| serde_json::to_string(finished).ok());
        let changes = finished.as_mut().and_then(|f| f.value.changes_mut());
        let committed = fate != Fate::Aborted;
        let outcome = Outcome::Recovered {
            committed,
            changes: changes.as_deref(),
        };
        tracing::warn!(%operation, committed, "operation of an earlier server ended");
        let closing = self
            .journal
            .close(entry, &outcome, reply, now(), Duration::ZERO);
        closing.await?;
        if let Some(outbox) = self.outboxes.get(&record.target) {
            outbox.wake();
        }
        self.live.tell();
        Ok(())
    }

    /// The reply that the caller would have got.
    fn reconstruct(
        &self,
        record: &OperationRecord,
        proof: &str,
    ) -> Option<Result<Finished<Done>, Error>> {
        #[derive(serde::Deserialize)]
        struct Recorded {
            action: Action,
        }
        let recorded: Recorded = serde_json::from_str(&record.body).ok()?;
        let target = &self.targets.get(&record.target)?.target;
        let done = Done::proved(&recorded.action, target.policy(), proof);
        Some(done.map(|value| Finished {
            operation: record.operation,
            value,
            actor: record.actor.clone(),
            environment: target.setting().environment.clone().unwrap_or_default(),
            took: Duration::ZERO,
            at: now(),
        }))
    }

    /// Records which operations have had all their effects applied.
    async fn finish_effects(&self) -> Result<(), Error> {
        let unfinished = self.journal.unfinished_effects().await?;
        if unfinished.is_empty() {
            return Ok(());
        }
        let silent_since = now().checked_sub(SILENCE).map_err(|_| Error::Invariant)?;
        let gone = self.journal.gone(silent_since).await?;
        for record in unfinished {
            let Some(served) = self.targets.get(&record.target) else {
                continue;
            };
            // Nobody waits for the lease of a server that is no more.
            if let Ok(1..) = served.target.release(&gone).await
                && let Some(outbox) = self.outboxes.get(&record.target)
            {
                outbox.wake();
            }
            let Ok(counts) = served.target.removed(record.operation).await else {
                continue;
            };
            if counts.pending > 0 {
                continue;
            }
            let operation = record.operation;
            self.journal
                .effects_done(operation, counts, None, now())
                .await?;
            tracing::info!(%operation, redis_keys = counts.redis_keys, files = counts.files, "effects finished");
            self.live.tell();
        }
        Ok(())
    }

    /// Takes away what was kept for long enough.
    async fn clean(&self) {
        let keep = Retention { records: self.keep };
        match self.journal.retain(keep, now()).await {
            Ok(0) => {}
            Ok(gone) => tracing::info!(gone, "journal cleaned"),
            Err(error) => tracing::warn!(%error, "journal not cleaned"),
        }
        if let Err(error) = self.journal.reload_keys(now()).await {
            tracing::warn!(%error, "keys not read again");
        }
        let Ok(before) = now().checked_sub(PROOFS) else {
            return;
        };
        for served in self.targets.values() {
            served.effects.empty_trash(now()).await;
            if served.target.is_connected()
                && let Err(error) = served.target.forget(before).await
            {
                tracing::warn!(target = served.target.name(), %error, "proofs not cleaned");
            }
        }
    }
}

/// The id of an operation in a text.
///
/// # Errors
///
/// When it is none.
pub(super) fn id(text: &str) -> Result<OperationId, Error> {
    text.parse().map_err(|_| Error::Field {
        field: "operation_id",
        problem: format!("{text} is no operation's id, which is a UUID"),
    })
}
