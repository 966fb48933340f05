//! Stops an operation from outside, until its commit.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use tokio::sync::Notify;

/// Stops one operation until its commit: whoever comes first, the commit or
/// the one who pulls, has their way, and the other is told.
#[derive(Debug, Clone, Default)]
pub struct Brake(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: AtomicU8,
    pulled: Notify,
}

const FREE: u8 = 0;
const PULLED: u8 = 1;
const COMMITTING: u8 = 2;

impl Brake {
    /// Stops the operation. False when its commit has begun.
    #[must_use]
    pub fn pull(&self) -> bool {
        let before = self.turn(PULLED);
        self.0.pulled.notify_waiters();
        before != COMMITTING
    }

    /// True when it was pulled.
    #[must_use]
    pub fn is_pulled(&self) -> bool {
        self.0.state.load(Ordering::Acquire) == PULLED
    }

    /// Completes when it is pulled.
    pub async fn pulled(&self) {
        loop {
            let notified = self.0.pulled.notified();
            if self.is_pulled() {
                return;
            }
            notified.await;
        }
    }

    /// The commit begins: from here on nobody stops it. False when it was
    /// pulled before.
    pub(super) fn commits(&self) -> bool {
        self.turn(COMMITTING) != PULLED
    }

    /// Takes a state, unless another one was taken before; tells the state
    /// before.
    fn turn(&self, state: u8) -> u8 {
        let turned =
            self.0
                .state
                .compare_exchange(FREE, state, Ordering::AcqRel, Ordering::Acquire);
        turned.unwrap_or_else(|before| before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_comes_first_has_their_way() {
        let pulled_first = Brake::default();
        assert!(pulled_first.pull());
        assert!(pulled_first.pull(), "pulling twice is pulling");
        assert!(!pulled_first.commits());
        pulled_first.pulled().await;

        let committed_first = Brake::default();
        assert!(committed_first.commits());
        assert!(!committed_first.pull());
        assert!(!committed_first.is_pulled());
    }
}
