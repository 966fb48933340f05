//! The operations of this server that have not ended.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::watch;

use crate::{operation::OperationId, target::Brake};

/// The operations of this server that have not ended, and word of whatever
/// happens to them.
#[derive(Debug)]
pub(super) struct Live {
    brakes: Mutex<BTreeMap<OperationId, Brake>>,
    happened: watch::Sender<()>,
}

/// An operation's place among the living; it is given up by being dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    live: &'a Live,
    operation: OperationId,
}

impl Live {
    pub(super) fn new() -> Self {
        Self {
            brakes: Mutex::default(),
            happened: watch::Sender::new(()),
        }
    }

    fn brakes(&self) -> std::sync::MutexGuard<'_, BTreeMap<OperationId, Brake>> {
        self.brakes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An operation begins.
    pub(super) fn enter(&self, operation: OperationId, brake: Brake) -> Place<'_> {
        self.brakes().insert(operation, brake);
        Place {
            live: self,
            operation,
        }
    }

    /// The brake of an operation, if it is one of these.
    pub(super) fn brake(&self, operation: OperationId) -> Option<Brake> {
        self.brakes().get(&operation).cloned()
    }

    /// Stops all of them, as far as their commits have not begun.
    pub(super) fn stop_all(&self) {
        for brake in self.brakes().values() {
            // One that is committing ends by itself.
            let _is_stopped = brake.pull();
        }
    }

    /// Something happened to an operation.
    pub(super) fn tell(&self) {
        self.happened.send_replace(());
    }

    /// Word of whatever happens from here on.
    pub(super) fn listen(&self) -> watch::Receiver<()> {
        self.happened.subscribe()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.live.brakes().remove(&self.operation);
        self.live.tell();
    }
}
