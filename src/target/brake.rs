//! Stops an operation from outside, until its commit.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use tokio::sync::{Notify, watch};

/// Stops one operation until its commit: whoever comes first, the commit or
/// the one who pulls, has their way, and the other is told.
#[derive(Debug, Clone, Default)]
pub struct Brake {
    inner: Arc<Inner>,
    /// What the commit waits for, if anything.
    permit: Option<watch::Receiver<bool>>,
}

/// What lets a commit happen; dropped, it lets none.
#[derive(Debug)]
pub struct Permit(watch::Sender<bool>);

impl Permit {
    /// Lets the commit happen.
    pub fn grant(self) {
        self.0.send_replace(true);
    }
}

#[derive(Debug, Default)]
struct Inner {
    state: AtomicU8,
    pulled: Notify,
}

const FREE: u8 = 0;
const PULLED: u8 = 1;
const COMMITTING: u8 = 2;

impl Brake {
    /// The same brake, with a commit that waits until it is permitted.
    #[must_use]
    pub fn until_permitted(&self) -> (Self, Permit) {
        let (sender, receiver) = watch::channel(false);
        let brake = Self {
            inner: Arc::clone(&self.inner),
            permit: Some(receiver),
        };
        (brake, Permit(sender))
    }

    /// Waits until the commit is permitted, or the brake is pulled. False when
    /// it never will be.
    pub(super) async fn is_permitted(&self) -> bool {
        let Some(permit) = &self.permit else {
            return true;
        };
        let mut permit = permit.clone();
        tokio::select! {
            granted = permit.wait_for(|is_granted| *is_granted) => granted.is_ok(),
            () = self.pulled() => false,
        }
    }

    /// Stops the operation. False when its commit has begun.
    #[must_use]
    pub fn pull(&self) -> bool {
        let before = self.turn(PULLED);
        self.inner.pulled.notify_waiters();
        before != COMMITTING
    }

    /// True when it was pulled.
    #[must_use]
    pub fn is_pulled(&self) -> bool {
        self.inner.state.load(Ordering::Acquire) == PULLED
    }

    /// Completes when it is pulled.
    pub async fn pulled(&self) {
        loop {
            let notified = self.inner.pulled.notified();
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
            self.inner
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

    #[tokio::test]
    async fn a_commit_waits_for_its_permit() {
        let (granted, permit) = Brake::default().until_permitted();
        permit.grant();
        assert!(granted.is_permitted().await && granted.commits());

        let (refused, permit) = Brake::default().until_permitted();
        drop(permit);
        assert!(!refused.is_permitted().await);

        let brake = Brake::default();
        let (pulled, permit) = brake.until_permitted();
        assert!(brake.pull());
        assert!(!pulled.is_permitted().await && pulled.is_pulled());
        permit.grant();
    }
}
