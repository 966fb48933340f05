//! The conductor: opens an operation, owns its task, and closes it.
//!
//! Whoever asked only watches. An operation that has begun ends by itself:
//! a caller that leaves, a deadline or a dropped future never leave it half
//! done, its connection dirty, or its end unrecorded.

mod accounts;
mod reset;
mod statistics;
mod status;

pub use accounts::Created;
pub use statistics::{Advice, Report};
pub use status::{MarkerState, Status};

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::{
    access::Grant,
    error::{Error, Failure},
    guard::{self, Limits, TestDomains},
    journal::{Intent, Journal, Outcome, RefusedCall},
    operation::{Action, Changes, Extent, Mode, OperationId, Progress},
    plan::Edge,
    target::{self, Brake, Deadline, Target},
};

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
    /// Who is a test user there.
    pub domains: TestDomains,
    /// How much an operation on one user or session may change.
    pub limits: Limits,
    /// How much any other operation may change.
    pub bulk_limits: Limits,
}

/// Runs operations on targets and records them.
#[derive(Debug)]
pub struct Engine {
    targets: BTreeMap<String, Arc<Served>>,
    journal: Journal,
    /// An error's reason as callers see it, so that the journal says the same.
    reason: fn(&Error) -> &'static str,
    running: TaskTracker,
    draining: AtomicBool,
}

/// A finished operation.
#[derive(Debug)]
pub struct Finished<T> {
    /// Its id in the journal.
    pub operation: OperationId,
    /// What came of it.
    pub value: T,
    /// Who asked.
    pub actor: String,
    /// The environment of the target.
    pub environment: String,
    /// How long it took.
    pub took: Duration,
    /// When it ended.
    pub at: Timestamp,
}

/// What a reset did.
#[derive(Debug)]
pub struct ResetDone {
    /// How much was in scope.
    pub extent: Extent,
    /// Whether the changes were kept.
    pub mode: Mode,
    /// The changes.
    pub changes: Changes,
    /// What was deleted, by the policy's names.
    pub public_counts: Vec<(String, u64)>,
    /// The test session, where one was given.
    pub session: Option<String>,
    /// How the plan followed each reference, in words and as a choice.
    pub edges: Vec<(String, Edge)>,
}

/// What came of an operation that changes data.
#[derive(Debug)]
pub enum Done {
    /// Of a reset.
    Reset(ResetDone),
    /// Of a creation.
    Created(Created),
}

/// What an operation's task knows.
#[derive(Debug, Clone)]
struct Context {
    operation: OperationId,
    served: Arc<Served>,
    grant: Grant,
    deadline: Deadline,
    brake: Brake,
    watcher: Option<Watcher>,
    started: Timestamp,
}

impl Context {
    /// Tells the watcher, if somebody watches. One that has left is no
    /// reason to stop.
    fn tell(&self, progress: Progress) {
        if let Some(watcher) = &self.watcher {
            drop(watcher.send(progress));
        }
    }
}

/// Where an operation tells how far it is. A plan has few steps, so what a
/// slow watcher leaves unread stays small.
pub type Watcher = mpsc::UnboundedSender<Progress>;

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
    /// An engine over these targets, recording in this journal. `reason`
    /// tells an error's reason as callers see it.
    #[must_use]
    pub fn new(
        targets: Vec<Served>,
        journal: Journal,
        reason: fn(&Error) -> &'static str,
    ) -> Arc<Self> {
        let targets = targets
            .into_iter()
            .map(|served| (served.target.name().to_owned(), Arc::new(served)))
            .collect();
        Arc::new(Self {
            targets,
            journal,
            reason,
            running: TaskTracker::new(),
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
        deadline: Deadline,
        watcher: Option<Watcher>,
    ) -> Result<Running, Failure> {
        let begun = Instant::now();
        if self.draining.load(Ordering::Acquire) {
            return Err(Failure {
                error: Error::Draining,
                operation: None,
                took: begun.elapsed(),
            });
        }
        let operation = OperationId::from(Uuid::now_v7());
        let conducted = Arc::clone(self).conduct(operation, grant, deadline, watcher, begun);
        Ok(Running {
            operation,
            begun,
            task: self.running.spawn(conducted),
        })
    }

    /// Records the intent, does the work in a task of its own, so that even a
    /// panic has an end that is recorded, and records the outcome.
    async fn conduct(
        self: Arc<Self>,
        operation: OperationId,
        grant: Grant,
        deadline: Deadline,
        watcher: Option<Watcher>,
        begun: Instant,
    ) -> Result<Finished<Done>, Failure> {
        let actor = grant.principal().subject.clone();
        let fail = |error| Failure {
            error,
            operation: Some(operation),
            took: begun.elapsed(),
        };
        let served = Arc::clone(self.served(grant.target()).map_err(fail)?);
        let environment = served
            .target
            .setting()
            .environment
            .clone()
            .unwrap_or_default();
        let context = Context {
            operation,
            served,
            grant,
            deadline,
            brake: Brake::default(),
            watcher,
            started: now(),
        };
        let intent = Intent {
            operation,
            actor: &actor,
            role: context.grant.principal().role,
            target: context.grant.target(),
            action: context.grant.action(),
        };
        let entry = self.journal.begin(&intent, context.started).await;
        let entry = entry.map_err(|error| {
            tracing::error!(%operation, %error, source = ?std::error::Error::source(&error), "operation not recorded");
            fail(error.into())
        })?;
        let work = tokio::spawn(work(context));
        let result = work.await.unwrap_or_else(|panic| {
            tracing::error!(%operation, %panic, "operation panicked");
            Err(Error::Invariant)
        });
        let (took, at) = (begun.elapsed(), now());
        let closed = match &result {
            Ok(done) => self.journal.close(entry, &outcome(done), at, took).await,
            Err(error) => {
                let reason = (self.reason)(error);
                report(operation, reason, error);
                let message = error.to_string();
                let outcome = match error {
                    Error::Target(target::Error::InDoubt) => Outcome::InDoubt,
                    _ => Outcome::Failed {
                        reason,
                        message: &message,
                    },
                };
                self.journal.close(entry, &outcome, at, took).await
            }
        };
        if let Err(error) = closed {
            // The operation has ended and its caller is told so; the proof in
            // the target says the same to whoever looks later.
            tracing::error!(%operation, %error, "outcome not recorded");
        }
        let value = result.map_err(fail)?;
        tracing::info!(%operation, actor, took_ms = took.as_secs_f64() * 1e3, "operation finished");
        Ok(Finished {
            operation,
            value,
            actor,
            environment,
            took,
            at,
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
    /// connections. True when all of them ended within `patience`.
    pub async fn finish(&self, patience: Duration) -> bool {
        let ended = tokio::time::timeout(patience, self.running.wait())
            .await
            .is_ok();
        if ended {
            for served in self.targets.values() {
                served.target.close().await;
            }
            self.journal.shut().await;
        }
        ended
    }

    /// Ends what an earlier server began and did not: the proof in the target
    /// says whether it was committed. A target that cannot be asked now is
    /// asked at the next start.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read or written.
    pub async fn recover(&self) -> Result<(), Error> {
        for (entry, target) in self.journal.unfinished().await? {
            let operation = entry.operation();
            let Some(served) = self.targets.get(&target) else {
                tracing::warn!(%operation, target, "operation of a target that is not served");
                continue;
            };
            if guard::precheck(served.target.setting(), now()).is_err() {
                continue;
            }
            match served.target.decide(operation, now()).await {
                Ok(fate) => {
                    let committed = fate != target::Fate::Aborted;
                    tracing::warn!(%operation, committed, "operation of an earlier server ended");
                    let outcome = Outcome::Recovered { committed };
                    let took = Duration::ZERO;
                    self.journal.close(entry, &outcome, now(), took).await?;
                }
                Err(error) => {
                    tracing::warn!(%operation, %error, "operation of an earlier server not ended");
                }
            }
        }
        Ok(())
    }
}

async fn work(context: Context) -> Result<Done, Error> {
    if context.deadline.is_over() {
        return Err(Error::DeadlineExceeded {
            phase: "the wait for a turn".to_owned(),
        });
    }
    match context.grant.action().clone() {
        Action::ResetUser(_)
        | Action::ResetTestUsers(_)
        | Action::Cleanup(_)
        | Action::FullReset(_) => reset::reset(&context).await.map(Done::Reset),
        Action::CreateTestUser(action) => {
            accounts::create(&context, action).await.map(Done::Created)
        }
        Action::GetStatus | Action::Statistics(_) => Err(Error::Invariant),
    }
}

fn outcome(done: &Done) -> Outcome<'_> {
    match done {
        Done::Reset(done) => match done.mode {
            Mode::Execute => Outcome::Committed {
                changes: &done.changes,
            },
            Mode::DryRun => Outcome::Validated {
                changes: &done.changes,
            },
        },
        Done::Created(created) => Outcome::Created {
            user: &created.user.id,
            validate_only: created.mode == Mode::DryRun,
        },
    }
}

/// Logs a failure once, with the driver's words, which callers never see. Our
/// own words can name a user, so they are for the caller and the journal only.
fn report(operation: OperationId, reason: &str, error: &Error) {
    let source = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(%operation, reason, source, "operation failed");
}
