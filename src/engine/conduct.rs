//! One operation from its record to its reply: opened in the journal, worked
//! on in a task of its own, decided where nobody saw its end, followed by its
//! effects, and closed.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use tokio::task::{JoinError, JoinHandle};

use super::{Context, Done, Engine, Finished, Terms, Watcher, accounts, cache, now, reset, token};
use crate::{
    access::{self, Grant},
    error::{Error, Failure},
    failpoint,
    journal::{self, Begun, Closed, Entry, Filter, Intent, Outcome, Repeat, State},
    operation::{Action, EffectCounts, Level, Mode, OperationId, Progress, SweepOrphans},
    target::{self, Brake, Deadline, Fate},
};

/// How long the journal may take when the caller has all the time.
const JOURNAL: Duration = Duration::from_secs(10);
/// How often it is asked again what became of an operation.
const DECISIONS: u32 = 20;
/// The pause between two such questions, and between two looks at an operation
/// that another server works on.
const PAUSE: Duration = Duration::from_millis(100);

/// An operation that was asked for.
pub(super) struct Order {
    pub(super) operation: OperationId,
    pub(super) grant: Grant,
    pub(super) terms: Terms,
    pub(super) deadline: Deadline,
    pub(super) watcher: Option<Watcher>,
    pub(super) begun: Instant,
}

/// Conducts an operation to its end.
pub(super) async fn conduct(engine: Arc<Engine>, order: Order) -> Result<Finished<Done>, Failure> {
    let (operation, begun) = (order.operation, order.begun);
    let fail = |error| Failure {
        error,
        operation: Some(operation),
        took: begun.elapsed(),
    };
    let mut context = context(&engine, &order).map_err(fail)?;
    let _place = engine.live.enter(operation, context.brake.clone());
    failpoint::reach("before_intent").await;
    let ticket = order.ticket(&engine).map_err(fail)?;
    context.expected = ticket.as_ref().map(|ticket| ticket.digest.clone());
    let (entry, working) = loop {
        let (brake, permit) = context.brake.until_permitted();
        context.brake = brake;
        let mut working = is_begun_unrecorded(&context, &order.terms).then(|| work(&context));
        let opened = open(&context, &order, ticket.as_ref()).await;
        if let Ok(Opened::New(_)) = opened {
            failpoint::reach("after_intent").await;
            permit.grant();
        } else {
            drop(permit);
            if let Some(working) = working.take() {
                // It has changed nothing, and is not told of.
                drop(working.await);
            }
        }
        match opened.map_err(fail)? {
            Opened::New(entry) => break (entry, working),
            Opened::Repeat(repeat) => {
                let answered = answer_again(&engine, repeat, order.deadline).await;
                if let Some(finished) = answered.map_err(fail)? {
                    return Ok(finished);
                }
            }
        }
    };
    let working = working.unwrap_or_else(|| work(&context));
    let mut result = ended(operation, working.await);
    match result {
        Err(Error::Target(target::Error::InDoubt)) => result = decide(&context).await,
        Err(Error::Target(target::Error::Cancelled)) if engine.is_draining() => {
            result = Err(Error::Stopped);
        }
        Ok(_) | Err(_) => {}
    }
    let mut finished = result.map(|value| Finished {
        operation,
        value,
        actor: context.grant.principal().subject.clone(),
        environment: context.environment(),
        took: begun.elapsed(),
        at: now(),
    });
    if let Ok(finished) = &mut finished {
        failpoint::reach("before_effects").await;
        follow(&context, finished).await;
        finished.took = begun.elapsed();
        finished.at = now();
    }
    if let Err(error) = &mut finished {
        name_holders(&context, error).await;
    }
    if !is_trace_free(&finished) {
        engine.snapshots.forget(context.served.target.name());
    }
    failpoint::reach("before_close").await;
    close(&context, entry, &finished, begun.elapsed()).await;
    if let Ok(finished) = &finished {
        sweep(&context, finished);
    }
    finished.map_err(fail)
}

/// True when an operation leaves nothing that a target's status would tell of.
fn is_trace_free(finished: &Result<Finished<Done>, Error>) -> bool {
    match finished.as_ref().map(|finished| &finished.value) {
        Ok(Done::Reset(done)) => done.changes.effects == EffectCounts::default(),
        Ok(Done::Created(_)) => true,
        Ok(Done::Cleared(_)) | Err(_) => false,
    }
}

fn context(engine: &Arc<Engine>, order: &Order) -> Result<Context, Error> {
    Ok(Context {
        operation: order.operation,
        engine: Arc::clone(engine),
        served: Arc::clone(engine.served(order.grant.target())?),
        grant: order.grant.clone(),
        deadline: order.deadline,
        brake: Brake::default(),
        expected: None,
        watcher: order.watcher.clone(),
        told: Arc::new(AtomicU64::new(0)),
        started: now(),
    })
}

impl Context {
    /// There is something to be done for the target's outbox.
    pub(super) fn wake_outbox(&self) {
        if let Some(outbox) = self.engine.outboxes.get(self.served.target.name()) {
            outbox.wake();
        }
    }

    fn environment(&self) -> String {
        let setting = self.served.target.setting();
        setting.environment.clone().unwrap_or_default()
    }
}

enum Opened {
    New(Entry),
    Repeat(Repeat),
}

/// Writes the operation down, unless it was asked for before.
async fn open(
    context: &Context,
    order: &Order,
    ticket: Option<&token::Ticket>,
) -> Result<Opened, Error> {
    let engine = &context.engine;
    let body = match order.terms.request {
        Some(_) => serde_json::to_vec(&(order.grant.target(), order.grant.action()))
            .map_err(|_| Error::Invariant)?,
        None => Vec::new(),
    };
    let intent = Intent {
        operation: context.operation,
        parent: order.terms.parent,
        actor: &context.grant.principal().subject,
        role: context.grant.principal().role,
        target: context.grant.target(),
        action: context.grant.action(),
        request: order.terms.request.map(|id| (id, body.as_slice())),
        plan: ticket.map(|ticket| ticket.plan.as_str()),
    };
    let time = order.deadline.moment().map_or(JOURNAL, |moment| {
        moment.saturating_duration_since(Instant::now())
    });
    let mut begin = Box::pin(engine.journal.begin(&intent, context.started));
    let begun = tokio::time::timeout(time.min(JOURNAL), &mut begin).await;
    let Ok(begun) = begun else {
        let error = match order.deadline.is_over() {
            true => Error::DeadlineExceeded {
                phase: "the wait for the journal".to_owned(),
            },
            false => journal::Error::Closed.into(),
        };
        // It may be written all the same, and then it has failed.
        let (context, reason) = (context.clone(), (engine.reason)(&error));
        let message = error.to_string();
        engine.running.spawn(async move {
            if let Ok(Begun::New(entry)) = begin.await {
                let outcome = Outcome::Failed {
                    reason,
                    message: &message,
                };
                let journal = &context.engine.journal;
                let closing = journal.close(entry, &outcome, None, now(), Duration::ZERO);
                if let Err(error) = closing.await {
                    tracing::error!(operation = %context.operation, %error, "outcome not recorded");
                }
            }
        });
        return Err(error);
    };
    let operation = context.operation;
    let begun = begun.map_err(|error| {
        tracing::error!(%operation, %error, source = ?std::error::Error::source(&error), "operation not recorded");
        Error::from(error)
    })?;
    let id = order.terms.request.unwrap_or_default();
    match begun {
        Begun::New(entry) => Ok(Opened::New(entry)),
        Begun::Repeat(repeat) => Ok(Opened::Repeat(repeat)),
        Begun::AnotherBody => Err(Error::RequestReused(id)),
        Begun::RequestTooOld => Err(Error::RequestTooOld(id)),
        Begun::PlanSpent => Err(Error::Target(target::Error::Stale)),
    }
}

impl Order {
    fn ticket(&self, engine: &Engine) -> Result<Option<token::Ticket>, Error> {
        let token = self.terms.plan_token.as_ref();
        token
            .map(|token| token::read(&engine.journal, &self.grant, token, now()))
            .transpose()
    }
}

/// True for what is begun while it is being written down, and is not
/// committed before it is: what changes nothing but its transaction. Whoever
/// watches is told nothing of an operation that turns out to be a repeat.
fn is_begun_unrecorded(context: &Context, terms: &Terms) -> bool {
    let has_no_repeat = terms.request.is_none() && terms.plan_token.is_none();
    match context.grant.action() {
        Action::ResetUser(_) => true,
        Action::Cleanup(action) if action.test_session_id.is_some() => true,
        Action::FullReset(_) => {
            has_no_repeat && context.served.target.policy().hooks.before.is_empty()
        }
        _ => false,
    }
}

/// Does the work in a task of its own, so that even a panic has an end.
fn work(context: &Context) -> JoinHandle<Result<Done, Error>> {
    tokio::spawn(act(context.clone()))
}

fn ended(
    operation: OperationId,
    end: Result<Result<Done, Error>, JoinError>,
) -> Result<Done, Error> {
    end.unwrap_or_else(|panic| {
        tracing::error!(%operation, %panic, "operation panicked");
        Err(Error::Invariant)
    })
}

async fn act(context: Context) -> Result<Done, Error> {
    if let Action::SweepOrphans(_) = context.grant.action() {
        failpoint::reach("sweep").await;
    }
    failpoint::reach("working").await;
    if context.deadline.is_over() {
        return Err(Error::DeadlineExceeded {
            phase: "the wait for a turn".to_owned(),
        });
    }
    match context.grant.action().clone() {
        Action::ResetUser(_)
        | Action::ResetTestUsers(_)
        | Action::Cleanup(_)
        | Action::FullReset(_)
        | Action::RunRecipe(_)
        | Action::SetPassword(_)
        | Action::SweepOrphans(_) => {
            let done = reset::reset(&context).await?;
            Ok(Done::Reset(Box::new(done)))
        }
        Action::CreateTestUser(action) => {
            accounts::create(&context, action).await.map(Done::Created)
        }
        Action::ClearCache(action) => cache::clear(&context, &action).await.map(Done::Cleared),
        Action::GetStatus
        | Action::Statistics(_)
        | Action::GetOperation
        | Action::ListOperations
        | Action::WatchOperation
        | Action::CancelOperation { .. } => Err(Error::Invariant),
    }
}

/// Finds out what became of an operation whose connection was lost at its
/// commit.
async fn decide(context: &Context) -> Result<Done, Error> {
    let target = &context.served.target;
    for _ in 0..DECISIONS {
        match target.decide(context.operation, now()).await {
            Ok(Fate::Committed(proof)) => {
                return Done::proved(context.grant.action(), target.policy(), &proof);
            }
            Ok(Fate::Aborted) => return Err(Error::Target(target::Error::Lost)),
            Err(error) => {
                let operation = context.operation;
                tracing::warn!(%operation, %error, "the end is still in doubt");
                if context.deadline.is_over() {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    Err(Error::Target(target::Error::InDoubt))
}

/// What comes after the commit: what belonged to the rows elsewhere.
async fn follow(context: &Context, finished: &mut Finished<Done>) {
    let Done::Reset(done) = &mut finished.value else {
        return;
    };
    let written = done.changes.effects.pending;
    if done.mode == Mode::DryRun || written == 0 {
        return;
    }
    let (engine, served) = (&context.engine, &context.served);
    let Some(outbox) = engine.outboxes.get(served.target.name()) else {
        return;
    };
    let server = engine.journal.server().to_string();
    let delivered = outbox.deliver(served, &server, context.operation, written);
    let delivered = delivered.await;
    let counts = delivered.counts;
    if counts.pending > 0 {
        done.changes.warnings.push(format!(
            "{} outside the database are still to be done, and will be as soon as they can be",
            crate::operation::counted(counts.pending, "effect")
        ));
    }
    done.changes.effects = counts;
    done.changes.effect_errors = delivered.errors;
    done.count_again(context.grant.action(), served.target.policy());
    context.tell(Progress::EffectsFinished(counts));
}

/// Whoever waited in vain is told for whom.
async fn name_holders(context: &Context, error: &mut Error) {
    if !matches!(error, Error::Target(target::Error::Busy)) {
        return;
    }
    let filter = Filter {
        targets: Some(vec![context.grant.target().to_owned()]),
        state: Some(State::Open),
        limit: 100,
        ..Filter::default()
    };
    let Ok(open) = context.engine.journal.list(&filter).await else {
        return;
    };
    let ours_is_alone = reset::is_bulk(context.grant.action());
    let holders: Vec<String> = open
        .iter()
        .filter(|other| other.operation != context.operation)
        .filter(|other| ours_is_alone || reset::is_bulk_name(&other.action))
        .take(3)
        .map(|other| {
            format!(
                "operation {} ({} of {})",
                other.operation, other.action, other.actor
            )
        })
        .collect();
    if !holders.is_empty() {
        *error = Error::InProgress {
            holders: holders.join(", "),
        };
    }
}

/// Records what came of the operation.
async fn close(
    context: &Context,
    entry: Entry,
    finished: &Result<Finished<Done>, Error>,
    took: Duration,
) {
    let (engine, operation, at) = (&context.engine, context.operation, now());
    let closed = match finished {
        Ok(finished) => {
            let reply = serde_json::to_string(finished).ok();
            let outcome = finished.value.outcome();
            let journal = &engine.journal;
            match is_proved(context, &finished.value) {
                // The proof in the target says the same, should this server
                // end before it is written.
                true => journal
                    .close_later(entry, &outcome, reply, at, took)
                    .map(|()| Closed::Now),
                false => journal.close(entry, &outcome, reply, at, took).await,
            }
        }
        Err(error) => {
            let reason = (engine.reason)(error);
            report(operation, reason, error);
            let message = error.to_string();
            let outcome = match error {
                Error::Target(target::Error::InDoubt) => Outcome::InDoubt,
                _ => Outcome::Failed {
                    reason,
                    message: &message,
                },
            };
            engine.journal.close(entry, &outcome, None, at, took).await
        }
    };
    if let Err(error) = closed {
        // The operation has ended and its caller is told so; the proof in
        // the target says the same to whoever looks later.
        tracing::error!(%operation, %error, "outcome not recorded");
    }
    if let Ok(finished) = finished {
        let actor = &finished.actor;
        tracing::info!(%operation, actor, took_ms = took.as_secs_f64() * 1e3, "operation finished");
    }
}

/// True for what somebody waits for and the proof in the target tells all of.
fn is_proved(context: &Context, done: &Done) -> bool {
    let hooks = &context.served.target.policy().hooks;
    match done {
        Done::Reset(_) if matches!(context.grant.action(), Action::SweepOrphans(_)) => false,
        Done::Reset(done) => {
            done.mode == Mode::Execute
                && done.changes.effects == EffectCounts::default()
                && hooks.after.is_empty()
        }
        Done::Created(_) | Done::Cleared(_) => false,
    }
}

/// Logs a failure once, with the driver's words, which callers never see. Our
/// own words can name a user, so they are for the caller and the journal only.
fn report(operation: OperationId, reason: &str, error: &Error) {
    let source = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(%operation, reason, source, "operation failed");
}

/// Starts what the policy wants swept after a cascade, as an operation of its
/// own that nobody waits for.
fn sweep(context: &Context, finished: &Finished<Done>) {
    let Done::Reset(done) = &finished.value else {
        return;
    };
    let is_cascade = done.extent == crate::operation::Extent::Users(Level::UserCascade);
    let policy = context.served.target.policy();
    if !is_cascade || done.mode == Mode::DryRun || policy.orphans.is_empty() {
        return;
    }
    let action = Action::SweepOrphans(SweepOrphans {
        mode: Mode::Execute,
    });
    let principal = context.grant.principal();
    let granted = access::authorize(
        principal,
        context.grant.target(),
        action,
        access::Demands::default(),
    );
    let terms = Terms {
        parent: Some(context.operation),
        ..Terms::default()
    };
    let operation = context.operation;
    match granted {
        Ok(grant) => {
            let started = context
                .engine
                .start(grant, terms, Deadline::default(), None);
            if let Err(failure) = started {
                tracing::warn!(%operation, error = %failure.error, "orphans are not swept");
            }
        }
        Err(denied) => tracing::warn!(%operation, %denied, "orphans are not swept"),
    }
}

/// Answers a request that was begun before as it was answered then, once it
/// has ended, by whichever server; nothing when it has failed, so that it can
/// be tried again.
async fn answer_again(
    engine: &Arc<Engine>,
    mut repeat: Repeat,
    deadline: Deadline,
) -> Result<Option<Finished<Done>>, Error> {
    let mut news = engine.live.listen();
    loop {
        if let Some(reply) = &repeat.reply {
            let finished = serde_json::from_str(reply).map_err(|_| Error::Invariant)?;
            return Ok(Some(finished));
        }
        if repeat.state == State::Complete {
            // It was ended by a server that knew no reply, of which nothing
            // but the commit is certain.
            return Err(Error::OperationNotFound(repeat.operation.to_string()));
        }
        if deadline.is_over() {
            return Err(Error::DeadlineExceeded {
                phase: "the wait for the same request".to_owned(),
            });
        }
        tokio::select! {
            _ = news.changed() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
        let record = engine.journal.operation(repeat.operation).await?;
        let Some(record) = record else {
            return Err(Error::OperationNotFound(repeat.operation.to_string()));
        };
        if record.state == State::Failed {
            return Ok(None);
        }
        repeat.state = record.state;
        repeat.reply = record.reply;
    }
}
