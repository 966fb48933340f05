//! Connections to an SQLite file: how they are made, and what stops their
//! statements.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{
    ConnectOptions as _,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};

use super::{
    Brake, LOCK_TIMEOUT,
    connection::{Pool, Session},
    fault::Error,
    warm::Warm,
};

/// Connections that read a file at most.
const READERS: usize = 4;

/// Instructions of SQLite's machine between two looks whether to stop.
const ASKED_EVERY: i32 = 1_000;

/// The connections to a file, of which one is there already.
pub(super) async fn pool(path: &Path, create: bool) -> Result<Pool, Error> {
    let mut options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        .foreign_keys(true)
        .busy_timeout(LOCK_TIMEOUT)
        .pragma("temp_store", "MEMORY")
        // Statements can hold data, which is not logged.
        .disable_statement_logging();
    // The journal's mode is a property of the file: that of a file which was
    // there before is its owner's to choose.
    if create {
        options = options.journal_mode(SqliteJournalMode::Wal);
    }
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(LOCK_TIMEOUT)
        .test_before_acquire(false);
    // A missing or broken file is told at once, not after the pool's time-out.
    let stop = Arc::new(Stop::default());
    let writer = stopped_by(&pool, &stop).connect_with(options.clone());
    let writer = writer.await.map_err(Error::Unavailable)?;
    let unchecked = options.clone().foreign_keys(false);
    Ok(Pool::Sqlite {
        writer: Writer {
            connection: Warm::new(1, || writer.clone()),
            stop,
        },
        unchecked: Writer::new(|stop| stopped_by(&pool, stop).connect_lazy_with(unchecked.clone())),
        reader: Warm::new(READERS, || pool.clone().connect_lazy_with(options.clone())),
    })
}

/// A connection that changes an SQLite file.
#[derive(Debug)]
pub(super) struct Writer {
    connection: Warm<sqlx::Sqlite>,
    stop: Arc<Stop>,
}

impl Writer {
    fn new(pool: impl Fn(&Arc<Stop>) -> sqlx::SqlitePool) -> Self {
        let stop = Arc::default();
        Self {
            connection: Warm::new(1, || pool(&stop)),
            stop,
        }
    }

    pub(super) async fn take(&self, patience: Duration) -> Result<Session, Error> {
        let connection = self.connection.take(patience).await?;
        Ok(Session::Sqlite(connection, Arc::clone(&self.stop)))
    }

    pub(super) async fn close(&self) {
        self.connection.close().await;
    }
}

/// When the statements of a connection stop: SQLite asks as they run.
#[derive(Debug, Default)]
pub(super) struct Stop(Mutex<Option<(Option<Instant>, Brake)>>);

impl Stop {
    pub(super) fn set(&self, when: Option<(Option<Instant>, Brake)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = when;
    }

    fn is_reached(&self) -> bool {
        let when = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        when.as_ref().is_some_and(|(moment, brake)| {
            moment.is_some_and(|moment| Instant::now() >= moment) || brake.is_pulled()
        })
    }
}

/// Connections that ask this when to stop, from their beginning on: to tell
/// one that it is to ask takes a turn of its thread.
fn stopped_by(pool: &SqlitePoolOptions, stop: &Arc<Stop>) -> SqlitePoolOptions {
    let stop = Arc::clone(stop);
    pool.clone().after_connect(move |connection, _| {
        let stop = Arc::clone(&stop);
        Box::pin(async move {
            let mut handle = connection.lock_handle().await?;
            handle.set_progress_handler(ASKED_EVERY, move || !stop.is_reached());
            Ok(())
        })
    })
}
