//! Looks operations up, follows them, and stops them.

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use uuid::Uuid;

use super::{Engine, recovery::id};
use crate::{
    access::{self, Demands, Grant, Principal},
    error::Error,
    journal::{Filter, OperationRecord, State},
    operation::{Action, OperationId, Progress},
};

/// How often it is looked for news of an operation of another server.
const LOOK: Duration = Duration::from_millis(200);

/// What a watcher is told.
#[derive(Debug)]
pub enum Event {
    /// How far the operation is.
    Progress(u64, Progress),
    /// It has ended well.
    Ended(u64, Box<OperationRecord>),
}

/// What a watcher is told, until the operation has ended.
pub type Events = Pin<Box<dyn Stream<Item = Result<Event, Error>> + Send>>;

/// How an operation is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// By its id.
    Id(String),
    /// By the caller's own id for the request.
    Request(Uuid),
}

impl Engine {
    /// An operation that this caller may see, and leave to do something with
    /// it. An operation on a target that they may not use is not there.
    async fn find(
        &self,
        principal: &Principal,
        operation: OperationId,
        what: impl FnOnce(&OperationRecord) -> Action,
    ) -> Result<(OperationRecord, Grant), Error> {
        let unknown = || Error::OperationNotFound(operation.to_string());
        let record = self.journal.operation(operation).await?;
        let record = record.ok_or_else(unknown)?;
        match access::authorize(principal, &record.target, what(&record), Demands::default()) {
            Ok(grant) => Ok((record, grant)),
            Err(access::Denied::Target { .. }) => Err(unknown()),
            Err(denied) => Err(denied.into()),
        }
    }

    /// Looks an operation up.
    ///
    /// # Errors
    ///
    /// When there is none that the caller may see.
    pub async fn operation(
        &self,
        principal: &Principal,
        which: &Which,
    ) -> Result<OperationRecord, Error> {
        access::allow(principal, &Action::GetOperation, Demands::default())?;
        let operation = match which {
            Which::Id(text) => id(text)?,
            Which::Request(request) => {
                let found = self.journal.requested(&principal.subject, *request).await?;
                found.ok_or_else(|| Error::OperationNotFound(request.to_string()))?
            }
        };
        let found = self.find(principal, operation, |_| Action::GetOperation);
        Ok(found.await?.0)
    }

    /// Lists operations that the caller may see, newest first.
    ///
    /// # Errors
    ///
    /// When the caller may not, or the journal cannot be read.
    pub async fn operations(
        &self,
        principal: &Principal,
        mut filter: Filter,
    ) -> Result<Vec<OperationRecord>, Error> {
        access::allow(principal, &Action::ListOperations, Demands::default())?;
        let asked = filter.targets.take();
        let mut allowed = Vec::new();
        let known = self.targets.keys().cloned();
        for target in asked.clone().unwrap_or_else(|| known.collect()) {
            match access::authorize(
                principal,
                &target,
                Action::ListOperations,
                Demands::default(),
            ) {
                Ok(_) => allowed.push(target),
                Err(access::Denied::Target { .. }) if asked.is_none() => {}
                Err(denied) => return Err(denied.into()),
            }
        }
        filter.targets = Some(allowed);
        Ok(self.journal.list(&filter).await?)
    }

    /// Follows an operation from behind an event on.
    ///
    /// # Errors
    ///
    /// When there is none that the caller may see.
    pub async fn watch(
        self: &Arc<Self>,
        principal: &Principal,
        operation: &str,
        after: u64,
    ) -> Result<Events, Error> {
        access::allow(principal, &Action::WatchOperation, Demands::default())?;
        let operation = id(operation)?;
        self.find(principal, operation, |_| Action::WatchOperation)
            .await?;
        // A watcher that reads slowly keeps as much as this waiting.
        let (events, watched) = mpsc::channel(16);
        let engine = Arc::clone(self);
        self.background.spawn(async move {
            let stopping = engine.stopping.notified();
            tokio::select! {
                () = engine.follow(operation, after, &events) => {}
                () = events.closed() => {}
                () = stopping => {
                    // Whoever has left is told nothing.
                    drop(events.try_send(Err(Error::Draining)));
                }
            }
        });
        Ok(Box::pin(ReceiverStream::new(watched)))
    }

    async fn follow(
        &self,
        operation: OperationId,
        mut after: u64,
        events: &mpsc::Sender<Result<Event, Error>>,
    ) {
        let mut news = self.live.listen();
        loop {
            match self.news(operation, after).await {
                Ok((told, end)) => {
                    for (number, progress) in told {
                        after = after.max(number);
                        let event = Event::Progress(number, progress);
                        if events.send(Ok(event)).await.is_err() {
                            return;
                        }
                    }
                    if let Some(end) = end {
                        let last = match end.state {
                            State::Failed => Err(Error::Recorded {
                                reason: end.reason.unwrap_or_default(),
                                message: end.message.unwrap_or_default(),
                            }),
                            _ => Ok(Event::Ended(after + 1, Box::new(end))),
                        };
                        // Whoever has left is told nothing.
                        drop(events.send(last).await);
                        return;
                    }
                }
                Err(error) => {
                    drop(events.send(Err(error)).await);
                    return;
                }
            }
            tokio::select! {
                _ = news.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// The events behind a number, and the operation if it has ended.
    async fn news(
        &self,
        operation: OperationId,
        after: u64,
    ) -> Result<(Vec<(u64, Progress)>, Option<OperationRecord>), Error> {
        // First the end, then the events: whatever was told before the end is
        // written by then.
        let record = self.journal.operation(operation).await?;
        let record = record.ok_or_else(|| Error::OperationNotFound(operation.to_string()))?;
        let told = self.journal.events(operation, after).await?;
        let told = told.into_iter().filter_map(|event| {
            let progress = serde_json::from_str(&event.body).ok()?;
            Some((event.number, progress))
        });
        let ended = !matches!(record.state, State::Open | State::InDoubt);
        Ok((told.collect(), ended.then_some(record)))
    }

    /// Asks an operation to stop before its commit.
    ///
    /// # Errors
    ///
    /// When there is none that the caller may stop, or it has ended or its
    /// commit has begun.
    pub async fn cancel(
        &self,
        principal: &Principal,
        operation: &str,
    ) -> Result<OperationRecord, Error> {
        access::allow(
            principal,
            &Action::CancelOperation { own: true },
            Demands::default(),
        )?;
        let operation = id(operation)?;
        let subject = &principal.subject;
        let found = self.find(principal, operation, |record| Action::CancelOperation {
            own: record.actor == *subject,
        });
        let (record, _) = found.await?;
        if record.state != State::Open {
            return Err(Error::NotCancellable(operation));
        }
        if let Some(brake) = self.live.brake(operation)
            && !brake.pull()
        {
            return Err(Error::NotCancellable(operation));
        }
        // The server that has it, if that is another one, looks for this.
        if !self.journal.request_cancel(operation).await? && self.live.brake(operation).is_none() {
            let record = self.journal.operation(operation).await?;
            return match record {
                Some(record) if record.state == State::Failed => Ok(record),
                _ => Err(Error::NotCancellable(operation)),
            };
        }
        tracing::info!(%operation, by = subject, "operation is to stop");
        let record = self.journal.operation(operation).await?;
        record.ok_or_else(|| Error::OperationNotFound(operation.to_string()))
    }
}
