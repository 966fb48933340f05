//! Which connection is used next: the one that was used last.
//!
//! A pool hands its connections out in turns, so that a lone caller gets the
//! coldest of them each time. The process behind the last one has its plans,
//! its catalogue and its memory at hand. So each connection is a pool of its
//! own here, which opens, tests and closes it, and the pools are a stack.

use std::{
    collections::BTreeSet,
    fmt,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{Database, pool::PoolConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::fault::Error;

/// Connections, of which the one that was used last is used next.
pub(super) struct Warm<D: Database> {
    /// Each of one connection.
    pools: Arc<Vec<sqlx::Pool<D>>>,
    turns: Arc<Semaphore>,
    free: Arc<Stack>,
    /// What the connection of each has prepared under a name of ours, as long
    /// as it is the same connection.
    prepared: Arc<Vec<Mutex<BTreeSet<String>>>>,
}

/// The places of the pools that nobody uses, the last one on top.
struct Stack(Mutex<Vec<usize>>);

/// A connection, until it is dropped.
pub(super) struct Lent<D: Database> {
    // In this order: it is given back before its place is free, and that
    // before the next one has a turn.
    connection: PoolConnection<D>,
    prepared: Arc<Vec<Mutex<BTreeSet<String>>>>,
    place: Place,
    _turn: OwnedSemaphorePermit,
}

struct Place {
    index: usize,
    free: Arc<Stack>,
}

impl<D: Database> Warm<D> {
    /// At most so many connections, each of which such a pool makes.
    pub(super) fn new(most: usize, pool: impl Fn() -> sqlx::Pool<D>) -> Self {
        Self {
            pools: Arc::new((0..most).map(|_| pool()).collect()),
            turns: Arc::new(Semaphore::new(most)),
            free: Arc::new(Stack(Mutex::new((0..most).rev().collect()))),
            prepared: Arc::new((0..most).map(|_| Mutex::default()).collect()),
        }
    }

    /// The connection that was used last, of those that nobody uses.
    pub(super) async fn take(&self, patience: Duration) -> Result<Lent<D>, Error> {
        match tokio::time::timeout(patience, self.next()).await {
            Ok(Ok(lent)) => Ok(lent),
            Err(_) | Ok(Err(sqlx::Error::PoolTimedOut)) => Err(Error::Busy),
            Ok(Err(error)) => Err(Error::Unavailable(error)),
        }
    }

    async fn next(&self) -> Result<Lent<D>, sqlx::Error> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| sqlx::Error::PoolClosed)?;
        let place = self.free.top().ok_or(sqlx::Error::PoolTimedOut)?;
        let pool = self.pools.get(place.index);
        let connection = pool.ok_or(sqlx::Error::PoolClosed)?.acquire().await?;
        Ok(Lent {
            connection,
            prepared: Arc::clone(&self.prepared),
            place,
            _turn: turn,
        })
    }

    pub(super) async fn close(&self) {
        for pool in self.pools.iter() {
            pool.close().await;
        }
    }
}

impl Stack {
    fn top(self: &Arc<Self>) -> Option<Place> {
        let index = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()?;
        let free = Arc::clone(self);
        Some(Place { index, free })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut free = self.free.0.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(self.index);
    }
}

impl<D: Database> Lent<D> {
    /// True when this name is new to the connection, which is taken to know it
    /// from now on.
    pub(super) fn learns(&self, name: &str) -> bool {
        let prepared = self.prepared.get(self.place.index);
        prepared.is_none_or(|prepared| {
            let mut names = prepared.lock().unwrap_or_else(PoisonError::into_inner);
            names.insert(name.to_owned())
        })
    }

    /// Gives it up instead of back.
    pub(super) fn close_on_drop(&mut self) {
        if let Some(prepared) = self.prepared.get(self.place.index) {
            let mut names = prepared.lock().unwrap_or_else(PoisonError::into_inner);
            names.clear();
        }
        self.connection.close_on_drop();
    }
}

impl<D: Database> Deref for Lent<D> {
    type Target = D::Connection;

    fn deref(&self) -> &D::Connection {
        &self.connection
    }
}

impl<D: Database> DerefMut for Lent<D> {
    fn deref_mut(&mut self) -> &mut D::Connection {
        &mut self.connection
    }
}

impl<D: Database> Clone for Warm<D> {
    fn clone(&self) -> Self {
        Self {
            pools: Arc::clone(&self.pools),
            turns: Arc::clone(&self.turns),
            free: Arc::clone(&self.free),
            prepared: Arc::clone(&self.prepared),
        }
    }
}

impl<D: Database> fmt::Debug for Warm<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} connections", self.pools.len())
    }
}

impl<D: Database> fmt::Debug for Lent<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.place.index)
    }
}
