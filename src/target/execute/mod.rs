//! Carries a cleared plan out, in one transaction.
//!
//! In order: what the guards saw is read again, the target is locked, the
//! scope's roots are found and checked, the row sets are found, what must not
//! be there is looked for, the steps are taken and their effect verified, the
//! proof of the commit is written, and then everything is committed or, in a
//! dry run, rolled back.

mod around;
mod besides;
pub mod cost;
mod digest;
mod elsewhere;
mod find;
mod leaves;
mod lists;
mod look;
mod recheck;
mod roots;
mod sequences;
mod steps;
mod strategy;
mod swift;
mod switch;
mod texts;
mod unlinked;
mod way;
mod wipe;

pub use strategy::{Choice, Strategy, strategy};
pub use way::Way;

pub(super) use recheck::recheck;
pub(super) use texts::Texts;

pub use besides::{Besides, NewPassword, Sowing};
pub use elsewhere::Elsewhere;

use around::Around;
use elsewhere::BoundEffects;
use find::Extent;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    Brake, Deadline, Error, Target, armed,
    connection::Checks,
    transaction::{Opening, Transaction},
};
use crate::{
    dialect::{Eligible, Hold, Renderer},
    effect::Effect,
    failpoint,
    guard::{Cleared, UserRule},
    operation::{Changes, Mode, OperationId, Progress, TableCounts, UserSelector},
    plan::{Plan, SetId},
    schema::TableId,
};

/// How often a transaction is tried that others are in the way of.
const ATTEMPTS: u32 = 4;

/// Affected users that are named; the others are counted.
const NAMED_USERS: usize = 100;

/// An operation on a plan.
#[derive(Debug, Clone)]
pub struct Request {
    /// The operation, whose commit is proved under this id.
    pub operation: OperationId,
    /// Whether the changes are kept.
    pub mode: Mode,
    /// When it began.
    pub started: Timestamp,
    /// When it has to be done.
    pub deadline: Deadline,
    /// What stops it before its commit.
    pub brake: Brake,
    /// What it starts from.
    pub start: Start,
    /// What this server has besides the database.
    pub elsewhere: Elsewhere,
    /// The digest of the dry run that it has to be the same as, if any.
    pub expected: Option<String>,
    /// What is done besides the plan's steps.
    pub besides: Besides,
}

impl Opening {
    /// As a request says.
    fn of(request: &Request) -> Self {
        Self {
            deadline: request.deadline,
            brake: request.brake.clone(),
            ..Self::default()
        }
    }
}

/// What an operation starts from, and on whose word.
#[derive(Debug, Clone)]
pub enum Start {
    /// One user.
    User {
        /// Who.
        user: UserSelector,
        /// Whether they may be reset.
        rule: UserRule,
        /// An unknown user is an empty success.
        allow_missing: bool,
    },
    /// The test users.
    TestUsers(Eligible),
    /// The marked rows.
    Marked {
        /// Of this session; of all when absent.
        session: Option<String>,
        /// Which users may go.
        eligible: Eligible,
    },
    /// The rows that have no owner any more.
    Orphans,
    /// What a recipe names.
    Recipe {
        /// Keys or e-mails of users that it must not take.
        protected: Vec<String>,
    },
    /// Everything.
    Everything {
        /// Whether admins stay.
        preserve_admins: bool,
        /// Keys or e-mails of users that stay.
        protected: Vec<String>,
    },
}

impl Start {
    /// How the target is held: together with others for one user or one
    /// session, alone for whatever is wider.
    #[must_use]
    pub fn hold(&self) -> Hold {
        match self {
            Self::User { .. }
            | Self::Marked {
                session: Some(_), ..
            } => Hold::Shared,
            Self::TestUsers(_)
            | Self::Marked { session: None, .. }
            | Self::Orphans
            | Self::Recipe { .. }
            | Self::Everything { .. } => Hold::Exclusive,
        }
    }
}

/// What an execution changed; only an execution makes one.
#[derive(Debug, Clone)]
pub struct Executed {
    changes: Changes,
    digest: Option<String>,
    effects: Vec<Effect>,
    strategy: Strategy,
}

impl Executed {
    /// What would go outside the database: of a dry run.
    #[must_use]
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// What was changed, or in a dry run would have been.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// What a later execution is compared with: of a dry run, and of an
    /// execution that was compared itself.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// In which way it was done.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The changes, for keeping.
    #[must_use]
    pub fn into_changes(self) -> Changes {
        self.changes
    }
}

impl Target {
    /// Executes a cleared plan. A transaction that others are in the way of is
    /// rolled back and tried again as a whole.
    ///
    /// # Errors
    ///
    /// After any error the database is as it was, but for
    /// [`Error::InDoubt`], after which nobody knows.
    pub async fn execute(
        &self,
        cleared: &Cleared<Plan>,
        request: &Request,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Executed, Error> {
        let mut attempt = 1;
        loop {
            match self.attempt(cleared, request, progress).await {
                Err(Error::Conflict(_)) if attempt < ATTEMPTS && !request.deadline.is_over() => {
                    // The operation's own random bits keep two of them from
                    // meeting again at the same moment.
                    let spread = request.operation.spread() % 20;
                    let pause = Duration::from_millis(u64::from(attempt * 10) + spread);
                    tokio::time::sleep(pause).await;
                    attempt += 1;
                }
                Err(Error::Conflict(_)) => return Err(Error::Conflict(attempt)),
                other => return other,
            }
        }
    }

    async fn attempt(
        &self,
        cleared: &Cleared<Plan>,
        request: &Request,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Executed, Error> {
        let choice = strategy(self.dialect.as_ref(), cleared.subject(), request);
        let extent = match choice.strategy {
            Strategy::Sets => Extent::Unknown,
            swift => match self
                .attempt_swiftly(swift, cleared, request, progress)
                .await?
            {
                Attempt::Done(executed) => return Ok(*executed),
                Attempt::Declined(extent) => extent,
            },
        };
        let mut checks = wipe::checks_needed(self.dialect.as_ref(), cleared.subject(), request);
        loop {
            let stepping = self.attempt_by_steps((checks, extent), cleared, request, progress);
            match stepping.await? {
                Attempt::Done(executed) => return Ok(*executed),
                // Rows stay after all, and what refers to them is checked.
                Attempt::Declined(_) => checks = Checks::Made,
            }
        }
    }

    /// Step by step; given up where nothing is checked that has to be.
    async fn attempt_by_steps(
        &self,
        (checks, extent): (Checks, Extent),
        cleared: &Cleared<Plan>,
        request: &Request,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Attempt, Error> {
        let is_everything = matches!(request.start, Start::Everything { .. });
        let (transaction, seen) = match is_everything {
            true => {
                let begun = self.begin_around(cleared.subject(), request, checks);
                let (transaction, seen) = begun.await?;
                (transaction, Some(seen))
            }
            false => {
                let (deadline, brake) = (request.deadline, request.brake.clone());
                (self.begin_braked(deadline, brake).await?, None)
            }
        };
        let mut execution = Execution::new(self, transaction, cleared, request, progress);
        (execution.checks, execution.extent) = (checks, extent);
        let begun = match seen {
            Some(seen) => execution.look_around(self, &seen).await,
            None => execution.look_again(self).await,
        };
        let worked = match begun {
            Ok(()) => execution.work().await,
            Err(error) => Err(error),
        };
        match worked {
            Ok(None) => {
                execution.transaction.rollback().await;
                Ok(Attempt::Declined(extent))
            }
            Ok(Some(Worked {
                changes,
                digest,
                last,
            })) => {
                let (transaction, effects) = (execution.transaction, execution.bound.effects);
                let (restarts, strategy) = (execution.restarts, execution.strategy);
                match request.mode {
                    Mode::DryRun => transaction.rehearse().await?,
                    Mode::Execute => {
                        failpoint::reach("before_commit").await;
                        transaction.commit_with(&last).await?;
                        failpoint::reach("committed").await;
                        self.restart_numbers(restarts).await;
                        progress(Progress::Committed);
                    }
                }
                Ok(Attempt::Done(Box::new(Executed {
                    changes,
                    digest,
                    effects,
                    strategy,
                })))
            }
            Err(error) => {
                execution.transaction.rollback().await;
                Err(error)
            }
        }
    }

    /// The same in few round trips, unless the plan has to be taken step by
    /// step after all.
    async fn attempt_swiftly(
        &self,
        strategy: Strategy,
        cleared: &Cleared<Plan>,
        request: &Request,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Attempt, Error> {
        let begun = self.begin_looking(strategy, cleared.subject(), request);
        let Some((mut transaction, seen)) = begun.await? else {
            return Ok(Attempt::Declined(Extent::Unknown));
        };
        if request.start.hold() == Hold::Exclusive {
            transaction.interruptible(self).await?;
        }
        let mut execution = Execution::new(self, transaction, cleared, request, progress);
        execution.strategy = strategy;
        let worked = execution.work_swiftly(&seen).await;
        let (transaction, extent) = (execution.transaction, execution.extent);
        match worked {
            Ok(Some(proved)) => {
                failpoint::reach("before_commit").await;
                transaction.commit_with(&proved.proof).await?;
                failpoint::reach("committed").await;
                progress(Progress::Committed);
                Ok(Attempt::Done(Box::new(Executed {
                    changes: proved.changes,
                    digest: None,
                    effects: Vec::new(),
                    strategy,
                })))
            }
            Ok(None) => {
                transaction.rollback().await;
                Ok(Attempt::Declined(extent))
            }
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        }
    }
}

/// What came of one way to do it.
enum Attempt {
    /// It is done.
    Done(Box<Executed>),
    /// It has to be done in the next way; nothing is changed.
    Declined(Extent),
}

/// One execution under way.
struct Execution<'a> {
    transaction: Transaction<'a>,
    texts: &'a Texts,
    cleared: &'a Cleared<Plan>,
    plan: &'a Plan,
    request: &'a Request,
    progress: &'a (dyn Fn(Progress) + Sync),
    /// How many rows each set has, by set.
    sizes: Vec<u64>,
    /// The sets that have a table.
    made: Vec<SetId>,
    /// The sets whose rows were only counted.
    counted: BTreeSet<SetId>,
    counts: BTreeMap<TableId, TableCounts>,
    /// Rows that others have a share in, by the place of the share.
    shares: BTreeMap<usize, u64>,
    /// What goes outside the database.
    bound: BoundEffects,
    /// What restarts sequences once everything is committed.
    restarts: Vec<String>,
    strategy: Strategy,
    extent: Extent,
    /// Whether the transaction began with the checks of foreign keys.
    checks: Checks,
    /// What was seen of everything, where that is in scope.
    around: Option<Around>,
    /// Whether every check that waits for the commit was made.
    is_settled: bool,
}

/// What an execution has done, but for its commit.
struct Worked {
    changes: Changes,
    digest: Option<String>,
    /// What is sent with the commit.
    last: String,
}

impl<'a> Execution<'a> {
    fn new(
        target: &'a Target,
        transaction: Transaction<'a>,
        cleared: &'a Cleared<Plan>,
        request: &'a Request,
        progress: &'a (dyn Fn(Progress) + Sync),
    ) -> Self {
        Self {
            transaction,
            texts: &target.texts,
            cleared,
            plan: cleared.subject(),
            request,
            progress,
            sizes: vec![0; cleared.subject().sets().count()],
            made: Vec::new(),
            counted: BTreeSet::new(),
            counts: BTreeMap::new(),
            shares: BTreeMap::new(),
            bound: BoundEffects::default(),
            restarts: Vec::new(),
            strategy: Strategy::Sets,
            extent: Extent::Unknown,
            checks: Checks::Made,
            around: None,
            is_settled: false,
        }
    }
}

impl Execution<'_> {
    /// Does everything but the commit; nothing where that needs checks that
    /// are not made.
    async fn work(&mut self) -> Result<Option<Worked>, Error> {
        let mut changes = Changes::default();
        let Some(user) = self.find_roots(&mut changes).await? else {
            let digest = self.digest(&changes).await?;
            return Ok(Some(Worked {
                changes,
                digest,
                last: String::new(),
            }));
        };
        if self.checks == Checks::SwitchedOff && !self.needs_no_checks() {
            return Ok(None);
        }
        failpoint::reach("found").await;
        self.check().await?;
        self.count_shares().await?;
        self.write_effects(&mut changes).await?;
        failpoint::reach("effects_written").await;
        self.set_password(&user).await?;
        self.take_steps().await?;
        failpoint::reach("steps_taken").await;
        changes.tables = self.tables();
        changes.shared = self.shared();
        self.count_remaining(&mut changes).await?;
        self.cleared.limits().check(changes.total_rows())?;
        if !self.is_settled {
            self.transaction.settle().await?;
        }
        self.verify_password(&user, &mut changes).await?;
        let digest = self.digest(&changes).await?;
        let last = self.seal(&changes).await?;
        Ok(Some(Worked {
            changes,
            digest,
            last,
        }))
    }

    fn renderer(&self) -> Renderer<'_> {
        Renderer::new(self.transaction.dialect, self.plan, &self.sizes)
    }

    /// The counts, in plan order, without tables that have nothing to report.
    fn tables(&mut self) -> Vec<TableCounts> {
        self.plan
            .changed_tables()
            .iter()
            .filter_map(|table| self.counts.remove(table))
            .filter(|counts| counts.deleted + counts.restored + counts.detached > 0)
            .collect()
    }

    /// The proof of the commit, and what takes our tables of sets away, as text
    /// that is sent with the commit; where there is no such text, or no commit,
    /// both are done at once.
    async fn seal(&mut self, changes: &Changes) -> Result<String, Error> {
        let (operation, started) = (self.request.operation, self.request.started);
        let dialect = self.transaction.dialect;
        let proof = match self.request.mode {
            Mode::DryRun => None,
            Mode::Execute => armed::inline_proof(dialect, operation, started, &result(changes)?),
        };
        let Some(proof) = proof.filter(|_| !failpoint::skips("proof")) else {
            self.prove(changes).await?;
            return Ok(String::new());
        };
        let made = std::mem::take(&mut self.made);
        let discards = made.into_iter().map(|id| self.renderer().discard(id).sql);
        Ok(discards.fold(String::new(), |text, sql| text + &sql + "; ") + &proof)
    }

    /// Writes the proof of the commit and takes our tables of sets away.
    async fn prove(&mut self, changes: &Changes) -> Result<(), Error> {
        let result = result(changes)?;
        let (operation, started) = (self.request.operation, self.request.started);
        armed::prove(&mut self.transaction, operation, started, result).await?;
        for id in std::mem::take(&mut self.made) {
            let statement = self.renderer().discard(id);
            self.transaction.run("cleaning up", &statement).await?;
        }
        Ok(())
    }
}

/// What a proof says.
fn result(changes: &Changes) -> Result<String, Error> {
    serde_json::to_string(changes).map_err(|error| Error::Unexpected(error.to_string()))
}
