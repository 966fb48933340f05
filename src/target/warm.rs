//! Which connection is used next: the one that was used last.
//!
//! A pool hands its connections out in turns, so that a lone caller gets the
//! coldest of them each time. The process behind the last one has its plans,
//! its catalogue and its memory at hand. So each connection is a pool of its
//! own here, which opens, tests and closes it, and the pools are a stack.
//!
//! A pool also tests each connection that comes back, which is a round trip.
//! One whose transaction has ended in order is kept for a moment instead, in
//! which nobody doubts that it is alive, and goes back when nobody has asked
//! for it.

use std::{
    collections::BTreeSet,
    fmt,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{Database, pool::PoolConnection};
use tokio::{
    runtime::Handle,
    sync::{OwnedMappedMutexGuard, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore},
};

use super::{connection::TRUSTED, fault::Error};

/// Connections, of which the one that was used last is used next.
pub(super) struct Warm<D: Database>(Arc<Places<D>>);

struct Places<D: Database> {
    all: Vec<Place<D>>,
    turns: Arc<Semaphore>,
    /// The places that nobody uses, the last one on top.
    free: Mutex<Vec<usize>>,
}

/// Where one connection is.
struct Place<D: Database> {
    /// Of one connection.
    pool: sqlx::Pool<D>,
    /// The connection, while it is used or kept.
    slot: Slot<D>,
    /// Since when it is kept; nothing while that has to be tested.
    trusted: Mutex<Option<Instant>>,
    /// Whether somebody sees to it that it goes back.
    is_watched: AtomicBool,
    /// What it has prepared or made under a name of ours, as long as it is the
    /// same connection.
    prepared: Mutex<BTreeSet<String>>,
}

type Slot<D> = Arc<tokio::sync::Mutex<Option<PoolConnection<D>>>>;

type Used<D> = OwnedMappedMutexGuard<Option<PoolConnection<D>>, PoolConnection<D>>;

/// A connection, until it is dropped.
pub(super) struct Lent<D: Database> {
    // In this order: its slot is free before its place is, and that before the
    // next one has a turn.
    connection: Used<D>,
    spot: Spot<D>,
    _turn: OwnedSemaphorePermit,
}

/// The right to a place.
struct Spot<D: Database> {
    index: usize,
    places: Arc<Places<D>>,
}

impl<D: Database> Warm<D> {
    /// At most so many connections, each of which such a pool makes.
    pub(super) fn new(most: usize, pool: impl Fn() -> sqlx::Pool<D>) -> Self {
        let place = |_| Place {
            pool: pool(),
            slot: Slot::default(),
            trusted: Mutex::default(),
            is_watched: AtomicBool::default(),
            prepared: Mutex::default(),
        };
        Self(Arc::new(Places {
            all: (0..most).map(place).collect(),
            turns: Arc::new(Semaphore::new(most)),
            free: Mutex::new((0..most).rev().collect()),
        }))
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
        let turn = Arc::clone(&self.0.turns).acquire_owned().await;
        let turn = turn.map_err(|_| sqlx::Error::PoolClosed)?;
        let index = locked(&self.0.free).pop();
        let spot = Spot {
            index: index.ok_or(sqlx::Error::PoolTimedOut)?,
            places: Arc::clone(&self.0),
        };
        let place = spot.place().ok_or(sqlx::Error::PoolClosed)?;
        let mut slot = Arc::clone(&place.slot).lock_owned().await;
        if locked(&place.trusted).take().is_none() {
            drop(slot.take());
        }
        if slot.is_none() {
            *slot = Some(place.pool.acquire().await?);
        }
        let connection = OwnedMutexGuard::try_map(slot, Option::as_mut);
        Ok(Lent {
            connection: connection.map_err(|_| sqlx::Error::PoolClosed)?,
            spot,
            _turn: turn,
        })
    }

    /// Gives up whatever nobody uses: one of the connections is dead that was
    /// taken to be alive, and so the others may be.
    pub(super) fn renew(&self) {
        for place in &self.0.all {
            let Ok(mut slot) = place.slot.try_lock() else {
                continue;
            };
            if let Some(mut kept) = slot.take().or_else(|| place.pool.try_acquire()) {
                kept.close_on_drop();
            }
            *locked(&place.trusted) = None;
            locked(&place.prepared).clear();
        }
    }

    pub(super) async fn close(&self) {
        for place in &self.0.all {
            drop(place.slot.lock().await.take());
            place.pool.close().await;
        }
    }
}

impl<D: Database> Place<D> {
    /// Gives the connection back to its pool, unless somebody uses it, or it
    /// is trusted still; false in that case.
    fn give_back(&self) -> bool {
        let Ok(mut slot) = self.slot.try_lock() else {
            return true;
        };
        let mut trusted = locked(&self.trusted);
        if trusted.is_some_and(|since| since.elapsed() < TRUSTED) {
            return false;
        }
        *trusted = None;
        drop(slot.take());
        true
    }
}

/// Waits until nobody has used a connection for a while.
async fn watch<D: Database>(places: Weak<Places<D>>, index: usize) {
    loop {
        tokio::time::sleep(TRUSTED).await;
        let Some(places) = places.upgrade() else {
            return;
        };
        let Some(place) = places.all.get(index) else {
            return;
        };
        // Whoever uses it now sees to it that this begins again.
        place.is_watched.store(false, Ordering::SeqCst);
        if place.give_back() || place.is_watched.swap(true, Ordering::SeqCst) {
            return;
        }
    }
}

impl<D: Database> Spot<D> {
    fn place(&self) -> Option<&Place<D>> {
        self.places.all.get(self.index)
    }
}

impl<D: Database> Drop for Spot<D> {
    fn drop(&mut self) {
        if let (Some(place), Ok(runtime)) = (self.place(), Handle::try_current()) {
            if locked(&place.trusted).is_none() {
                place.give_back();
            } else if !place.is_watched.swap(true, Ordering::SeqCst) {
                runtime.spawn(watch(Arc::downgrade(&self.places), self.index));
            }
        }
        locked(&self.places.free).push(self.index);
    }
}

/// What is kept is closed with everything else, and without a runtime, which
/// may be gone already.
impl<D: Database> Drop for Places<D> {
    fn drop(&mut self) {
        for place in &self.all {
            if let Ok(mut slot) = place.slot.try_lock()
                && let Some(connection) = slot.take()
            {
                drop(connection.leak());
            }
        }
    }
}

impl<D: Database> Lent<D> {
    /// True when this name is new to the connection, which is taken to know it
    /// from now on.
    pub(super) fn learns(&self, name: &str) -> bool {
        let place = self.spot.place();
        place.is_none_or(|place| locked(&place.prepared).insert(name.to_owned()))
    }

    /// Says that its transaction has ended in order: it is alive and idle.
    pub(super) fn trust(&mut self) {
        if let Some(place) = self.spot.place() {
            *locked(&place.trusted) = Some(Instant::now());
        }
    }

    /// Takes no name for known any more.
    pub(super) fn forget(&self) {
        if let Some(place) = self.spot.place() {
            locked(&place.prepared).clear();
        }
    }

    /// Gives it up instead of back.
    pub(super) fn close_on_drop(&mut self) {
        self.forget();
        self.connection.close_on_drop();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        Self(Arc::clone(&self.0))
    }
}

impl<D: Database> fmt::Debug for Warm<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} connections", self.0.all.len())
    }
}

impl<D: Database> fmt::Debug for Lent<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.spot.index)
    }
}
