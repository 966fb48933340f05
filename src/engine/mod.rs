//! The conductor: opens an operation, owns its task, and closes it.
//!
//! Whoever asked only watches. An operation that has begun ends by itself:
//! a caller that leaves, a deadline or a dropped future never leave it half
//! done, its connection dirty, or its end unrecorded.

mod accounts;
mod advice;
mod cache;
mod conduct;
mod done;
mod hooks;
mod live;
mod operations;
mod outbox;
mod plans;
mod recovery;
mod reset;
mod seeds;
mod statistics;
mod status;
mod token;

pub use accounts::Created;
pub use advice::{Advice, Purpose};
pub use cache::Cleared;
pub use done::{Done, Finished, ResetDone};
pub use operations::{Event, Events, Which};
pub use seeds::{SeedText, Seeds};
pub use statistics::Report;
pub use status::{Elsewhere, MarkerState, Status};

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use live::Live;
use outbox::Outbox;

use crate::{
    access::Grant,
    effects::Effects,
    error::{Error, Failure},
    guard::{Limits, TestDomains},
    journal::{Journal, Outcome, RefusedCall},
    operation::{OperationId, Progress},
    target::{Brake, Deadline, Target},
};

/// How long operations that were told to stop may take to roll back.
const ROLLING_BACK: Duration = Duration::from_secs(1);

/// The moment, as everything in one server sees it.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A target with what the configuration says about its use.
#[derive(Debug)]
pub struct Served {
    /// The target.
    pub target: Target,
    /// What belongs to its rows elsewhere.
    pub effects: Effects,
    /// Who is a test user there.
    pub domains: TestDomains,
    /// What is put in place after a reset.
    pub seeds: Seeds,
    /// How much an operation on one user or session may change.
    pub limits: Limits,
    /// How much any other operation may change.
    pub bulk_limits: Limits,
}

/// Runs operations on targets and records them.
#[derive(Debug)]
pub struct Engine {
    targets: BTreeMap<String, Arc<Served>>,
    outboxes: BTreeMap<String, Arc<Outbox>>,
    journal: Journal,
    keep: SignedDuration,
    /// An error's reason as callers see it, so that the journal says the same.
    reason: fn(&Error) -> &'static str,
    live: Live,
    snapshots: status::Snapshots,
    plans: plans::Plans,
    running: TaskTracker,
    /// Work that goes on between operations, and ends with the server.
    background: TaskTracker,
    stopping: Notify,
    draining: AtomicBool,
}

/// What a caller says about a request besides what is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// Their own id for it: under one id it is executed once.
    pub request: Option<Uuid>,
    /// The token of the dry run that it has to be the same as.
    pub plan_token: Option<String>,
    /// The operation that it follows.
    pub parent: Option<OperationId>,
}

/// What an operation's task knows.
#[derive(Debug, Clone)]
struct Context {
    operation: OperationId,
    engine: Arc<Engine>,
    served: Arc<Served>,
    grant: Grant,
    deadline: Deadline,
    brake: Brake,
    /// The digest of the dry run that it has to be the same as.
    expected: Option<String>,
    watcher: Option<Watcher>,
    /// How many events it has told.
    told: Arc<AtomicU64>,
    started: Timestamp,
}

impl Context {
    /// Tells how far the operation is: the journal, and the watcher if
    /// somebody watches. One that has left is no reason to stop.
    fn tell(&self, progress: Progress) {
        // One user or session is done before anybody could look.
        if !reset::is_bulk(self.grant.action()) {
            return;
        }
        let number = self.told.fetch_add(1, Ordering::Relaxed) + 1;
        if let Ok(body) = serde_json::to_string(&progress) {
            let journal = &self.engine.journal;
            journal.event(self.operation, number, now(), body);
        }
        if let Some(watcher) = &self.watcher {
            drop(watcher.send((number, progress)));
        }
        self.engine.live.tell();
    }
}

/// Where an operation tells how far it is, each event with its number. A plan
/// has few steps, so what a slow watcher leaves unread stays small.
pub type Watcher = mpsc::UnboundedSender<(u64, Progress)>;

/// An operation that was started.
#[derive(Debug)]
pub struct Running {
    /// Its id in the journal.
    pub operation: OperationId,
    begun: Instant,
    task: JoinHandle<Result<Finished<Done>, Failure>>,
}

impl Running {
    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// Those of the operation.
    pub async fn end(self) -> Result<Finished<Done>, Failure> {
        self.task.await.unwrap_or_else(|_| {
            Err(Failure {
                error: Error::Invariant,
                operation: Some(self.operation),
                took: self.begun.elapsed(),
            })
        })
    }
}

impl Engine {
    /// An engine over these targets, recording in this journal, where records
    /// are kept for so long. `reason` tells an error's reason as callers see
    /// it.
    #[must_use]
    pub fn new(
        targets: Vec<Served>,
        journal: Journal,
        keep: SignedDuration,
        reason: fn(&Error) -> &'static str,
    ) -> Arc<Self> {
        let targets: BTreeMap<String, Arc<Served>> = targets
            .into_iter()
            .map(|served| (served.target.name().to_owned(), Arc::new(served)))
            .collect();
        let outboxes = targets.keys();
        Arc::new(Self {
            outboxes: outboxes
                .map(|name| (name.clone(), Arc::default()))
                .collect(),
            targets,
            journal,
            keep,
            reason,
            live: Live::new(),
            snapshots: status::Snapshots::default(),
            plans: plans::Plans::default(),
            running: TaskTracker::new(),
            background: TaskTracker::new(),
            stopping: Notify::new(),
            draining: AtomicBool::new(false),
        })
    }

    /// The target of this name; the only one when the name is empty.
    ///
    /// # Errors
    ///
    /// When there is none, or several and no name.
    pub fn served(&self, name: &str) -> Result<&Arc<Served>, Error> {
        let mut all = self.targets.values();
        match (name, all.next(), all.next()) {
            ("", Some(only), None) => Ok(only),
            ("", _, _) => Err(Error::Field {
                field: "target",
                problem: format!(
                    "this server has several targets, name one of {}",
                    self.known()
                ),
            }),
            _ => self.targets.get(name).ok_or_else(|| Error::TargetNotFound {
                name: name.to_owned(),
                known: self.known(),
            }),
        }
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Every target.
    pub fn targets(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.targets.values()
    }

    fn known(&self) -> String {
        let names: Vec<&str> = self.targets.keys().map(String::as_str).collect();
        names.join(", ")
    }

    /// Starts an operation that changes data. It ends by itself, whether
    /// somebody waits for it or not; whoever gives `watcher` is told how far
    /// it is.
    ///
    /// # Errors
    ///
    /// When the server takes no new operations.
    pub fn start(
        self: &Arc<Self>,
        grant: Grant,
        terms: Terms,
        deadline: Deadline,
        watcher: Option<Watcher>,
    ) -> Result<Running, Failure> {
        let begun = Instant::now();
        if self.is_draining() {
            return Err(Failure {
                error: Error::Draining,
                operation: None,
                took: begun.elapsed(),
            });
        }
        let operation = OperationId::from(Uuid::now_v7());
        let order = conduct::Order {
            operation,
            grant,
            terms,
            deadline,
            watcher,
            begun,
        };
        let conducted = conduct::conduct(Arc::clone(self), order);
        Ok(Running {
            operation,
            begun,
            task: self.running.spawn(conducted),
        })
    }

    /// Records a call that was refused before it became an operation. It must
    /// not make the refusal wait, and cannot make it worse.
    pub fn refused(self: &Arc<Self>, actor: String, reason: &'static str, message: String) {
        let engine = Arc::clone(self);
        self.running.spawn(async move {
            let call = RefusedCall {
                actor: &actor,
                reason,
                message: &message,
            };
            let operation = OperationId::from(Uuid::now_v7());
            if let Err(error) = engine.journal.refuse(operation, &call, now()).await {
                tracing::error!(%error, reason, "refused call not recorded");
            }
        });
    }

    /// Takes no new operations from here on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.running.close();
    }

    /// Waits until every running operation has ended, then closes the
    /// connections. What has not ended within `patience` is stopped, as far
    /// as its commit has not begun. True when all of them ended.
    pub async fn finish(&self, patience: Duration) -> bool {
        let wait = |time| tokio::time::timeout(time, self.running.wait());
        let mut ended = wait(patience).await.is_ok();
        if !ended {
            tracing::warn!(
                "operations were still running after {patience:?}: they are rolled back"
            );
            self.live.stop_all();
            ended = wait(ROLLING_BACK).await.is_ok();
        }
        self.background.close();
        self.stopping.notify_waiters();
        if ended {
            for served in self.targets.values() {
                let server = self.journal.server().to_string();
                if served.target.is_connected()
                    && let Err(error) = served.target.release(std::slice::from_ref(&server)).await
                {
                    tracing::warn!(target = served.target.name(), %error, "leases run out by themselves");
                }
                served.target.close().await;
            }
            self.journal.shut().await;
        }
        ended
    }
}
