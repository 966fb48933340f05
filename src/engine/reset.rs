//! The order of a reset. It reads like the picture in the crate's
//! documentation: each line's result is the next line's argument.
//!
//! One user, the test users, a test session and everything are the same
//! operation on different scopes.

use std::collections::BTreeSet;

use super::{Advice, Context, ResetDone, accounts, advice, done::named_counts, hooks, now, token};
use crate::{
    dialect::Eligible,
    effect::Effect,
    effects,
    error::Error,
    guard::{self, Cleared, Limits, UserRule},
    operation::{
        Action, Cleanup, EffectCounts, FullReset, Mode, Progress, ResetTestUsers, ResetUser,
        RunRecipe, SetPassword, SweepOrphans,
    },
    plan::{self, Plan, Scope},
    policy::Counted,
    target::{self, Besides, Elsewhere, Evidence, Executed, NewPassword, Request, Start, Way},
};

/// What an action wants reset, in the words of planner and executor.
struct Order {
    scope: Scope,
    start: Start,
    mode: Mode,
    limits: Limits,
    /// What is done besides the plan's steps.
    besides: Besides,
}

/// True for actions that are on more than one user or one session: they hold
/// the target alone, and tell how far they are.
pub(super) fn is_bulk(action: &Action) -> bool {
    match action {
        Action::ResetTestUsers(_)
        | Action::FullReset(_)
        | Action::RunRecipe(_)
        | Action::SweepOrphans(_) => true,
        Action::Cleanup(action) => action.test_session_id.is_none(),
        _ => false,
    }
}

/// True for what the policy's commands are for: a sweep follows an operation
/// that had its own.
fn has_hooks(action: &Action) -> bool {
    is_bulk(action) && !matches!(action, Action::SweepOrphans(_))
}

/// The same as [`is_bulk`] by an action's name, as far as that tells.
pub(super) fn is_bulk_name(action: &str) -> bool {
    matches!(
        action,
        "ResetTestUsers" | "FullReset" | "RunRecipe" | "SweepOrphans" | "Cleanup"
    )
}

/// Resets a scope.
pub(super) async fn reset(context: &Context) -> Result<ResetDone, Error> {
    let target = &context.served.target;
    guard::precheck(target.setting(), now())?;
    let order = order(context).await?;

    let has_hooks = order.mode == Mode::Execute && has_hooks(context.grant.action());
    if has_hooks && !target.policy().hooks.before.is_empty() {
        // Nothing runs for what would be refused.
        clear(context, &order, target.evidence().await?)?;
        hooks::before(context).await?;
    }
    let (cleared, executed) = execute(context, &order).await?;
    let token = match (order.mode, executed.digest()) {
        (Mode::DryRun, Some(digest)) => {
            let (journal, plan) = (&context.engine.journal, context.operation);
            Some(token::issue(journal, &context.grant, plan, digest, now())?)
        }
        (Mode::DryRun | Mode::Execute, _) => None,
    };
    let counted = count_effects(context, executed.effects()).await;
    let foreseen = match order.mode {
        Mode::DryRun => foresee(context, &order, cleared.subject(), &executed).await,
        Mode::Execute => None,
    };
    let (way, advice) = foreseen.unzip();
    let mut changes = executed.into_changes();
    match counted {
        Ok(Some(counts)) => changes.effects = counts,
        Ok(None) => {}
        Err(error) => changes.warnings.push(format!(
            "what is outside the database was not counted: {error}"
        )),
    }
    if has_hooks {
        changes.warnings.extend(hooks::after(context).await);
    }
    let action = context.grant.action();
    Ok(ResetDone {
        edges: match order.mode {
            Mode::DryRun => edges(cleared.subject()),
            Mode::Execute => Vec::new(),
        },
        way,
        advice: advice.unwrap_or_default(),
        plan_token: token,
        ..ResetDone::of(action, target.policy(), changes)?
    })
}

/// In which way it would be done in earnest, without the token of a plan, and
/// what it would be quicker with. A dry run that cannot tell is none the worse.
async fn foresee(
    context: &Context,
    order: &Order,
    plan: &Plan,
    rehearsed: &Executed,
) -> Option<(Way, Vec<Advice>)> {
    let earnest = Request {
        mode: Mode::Execute,
        expected: None,
        ..request(context, order)
    };
    let foreseen = advice::on_plan(context, plan, &earnest, rehearsed).await;
    foreseen
        .inspect_err(|error| tracing::warn!(%error, "no way could be foreseen"))
        .ok()
}

/// Counts what a dry run would remove outside the database.
async fn count_effects(
    context: &Context,
    effects: &[Effect],
) -> Result<Option<EffectCounts>, effects::Error> {
    match effects.is_empty() {
        true => Ok(None),
        false => context.served.effects.count(effects).await.map(Some),
    }
}

/// Plans, clears and executes, by what was seen last; where that is no longer
/// true, or would be refused, it is looked at anew before anybody is told no.
async fn execute(context: &Context, order: &Order) -> Result<(Cleared<Plan>, Executed), Error> {
    let target = &context.served.target;
    if let Some(evidence) = target.remembered()
        && let Ok(cleared) = clear(context, order, evidence)
    {
        match run(context, order, &cleared).await {
            Err(target::Error::Changed(_)) => {}
            Err(error) => return Err(error.into()),
            Ok(executed) => return Ok((cleared, executed)),
        }
    }
    let cleared = clear(context, order, target.evidence().await?)?;
    let executed = run(context, order, &cleared).await?;
    Ok((cleared, executed))
}

fn clear(context: &Context, order: &Order, evidence: Evidence) -> Result<Cleared<Plan>, Error> {
    let setting = context.served.target.setting();
    let (name, plans) = (context.served.target.name(), &context.engine.plans);
    let plan = plans.plan(name, &evidence.model, &order.scope)?;
    Ok(guard::clear(
        plan,
        setting,
        evidence.seen,
        order.limits,
        now(),
    )?)
}

async fn run(
    context: &Context,
    order: &Order,
    cleared: &Cleared<Plan>,
) -> Result<Executed, target::Error> {
    let plan = cleared.subject();
    let steps = plan.steps().iter().map(|step| plan.title(step));
    context.tell(Progress::Planned {
        steps: steps.chain(order.besides.sowing.titles()).collect(),
    });
    let progress = |progress| context.tell(progress);
    let target = &context.served.target;
    let request = request(context, order);
    target.execute(cleared, &request, &progress).await
}

fn request(context: &Context, order: &Order) -> Request {
    Request {
        operation: context.operation,
        mode: order.mode,
        started: context.started,
        deadline: context.deadline,
        start: order.start.clone(),
        expected: context.expected.clone(),
        brake: context.brake.clone(),
        elsewhere: Elsewhere {
            has_redis: context.served.effects.redis_address().is_some(),
            roots: context.served.effects.root_ids(),
        },
        besides: order.besides.clone(),
    }
}

async fn order(context: &Context) -> Result<Order, Error> {
    match context.grant.action() {
        Action::ResetUser(action) => Ok(one_user(context, action)),
        Action::ResetTestUsers(action) => test_users(context, action),
        Action::Cleanup(action) => marked(context, action),
        Action::FullReset(action) => everything(context, action).await,
        Action::RunRecipe(action) => recipe(context, action).await,
        Action::SetPassword(action) => password(context, action).await,
        Action::SweepOrphans(action) => Ok(orphans(context, action)),
        Action::CreateTestUser(_)
        | Action::ClearCache(_)
        | Action::GetStatus
        | Action::Statistics(_)
        | Action::GetOperation
        | Action::ListOperations
        | Action::WatchOperation
        | Action::CancelOperation { .. } => Err(Error::Invariant),
    }
}

impl Order {
    fn new(scope: Scope, start: Start, mode: Mode, limits: Limits) -> Self {
        Self {
            scope,
            start,
            mode,
            limits,
            besides: Besides::default(),
        }
    }
}

fn rule(context: &Context, force: bool) -> UserRule {
    let served = &context.served;
    UserRule {
        domains: served.domains.clone(),
        protected: served.target.policy().users.protect.clone(),
        own: context.grant.principal().own_user.clone(),
        force,
    }
}

fn one_user(context: &Context, action: &ResetUser) -> Order {
    let start = Start::User {
        user: action.user.clone(),
        rule: rule(context, action.force),
        allow_missing: action.allow_missing,
    };
    let scope = Scope::User(action.level);
    Order::new(scope, start, action.mode, context.served.limits)
}

/// A new password ends the sessions that the old one began.
async fn password(context: &Context, action: &SetPassword) -> Result<Order, Error> {
    let served = &context.served;
    let create = served.target.policy().users.create.as_ref();
    let stored = create.and_then(|create| create.password.as_ref());
    let stored = stored.ok_or_else(|| Error::Field {
        field: "target",
        problem: "the policy of this target stores no password: it has none under [users.create]"
            .to_owned(),
    })?;
    let hash = accounts::hashed(context, stored, Some(action.password.clone())).await?;
    let start = Start::User {
        user: action.user.clone(),
        rule: rule(context, action.force),
        allow_missing: false,
    };
    Ok(Order {
        besides: Besides {
            password: Some(NewPassword {
                column: stored.column.clone(),
                hash,
            }),
            ..Besides::default()
        },
        ..Order::new(Scope::Sessions, start, action.mode, served.limits)
    })
}

fn test_users(context: &Context, action: &ResetTestUsers) -> Result<Order, Error> {
    let served = &context.served;
    let extra = &served.target.policy().users.extra_domains;
    let known: BTreeSet<String> = extra.iter().map(|d| d.to_ascii_lowercase()).collect();
    let mut eligible = eligible(context, action.include_admins);
    for domain in &action.email_domains {
        let domain = domain.trim_start_matches('@').to_ascii_lowercase();
        let is_test = eligible.domains.contains(&domain);
        if !is_test && !known.contains(&domain) {
            return Err(Error::Field {
                field: "email_domains",
                problem: format!(
                    "{domain} is none of the policy's users.extra_domains, which are [{}]",
                    known.into_iter().collect::<Vec<_>>().join(", ")
                ),
            });
        }
        if !is_test {
            eligible.domains.push(domain);
        }
    }
    let (scope, start) = (Scope::TestUsers(action.level), Start::TestUsers(eligible));
    Ok(Order::new(scope, start, action.mode, served.bulk_limits))
}

fn marked(context: &Context, action: &Cleanup) -> Result<Order, Error> {
    let served = &context.served;
    if served.target.policy().cleanup.is_none() {
        return Err(Error::Field {
            field: "target",
            problem: "the policy of this target has no [cleanup], so nothing is marked".to_owned(),
        });
    }
    let limits = match action.test_session_id {
        Some(_) => served.limits,
        None => served.bulk_limits,
    };
    let start = Start::Marked {
        session: action.test_session_id.clone(),
        eligible: eligible(context, false),
    };
    Ok(Order::new(Scope::Marked, start, action.mode, limits))
}

async fn everything(context: &Context, action: &FullReset) -> Result<Order, Error> {
    let served = &context.served;
    let full = &served.target.policy().full_reset;
    confirm(context, full.confirmation.as_deref(), &action.confirmation)?;
    if action.reseed && full.seed.is_empty() {
        return Err(Error::Field {
            field: "reseed",
            problem: "the policy of this target has no seed under [full_reset]".to_owned(),
        });
    }
    let start = Start::Everything {
        preserve_admins: action.preserve_admins,
        protected: protected(context),
    };
    let seeds = match action.reseed {
        true => full.seed.as_slice(),
        false => &[],
    };
    Ok(Order {
        besides: besides(context, seeds).await?,
        ..Order::new(Scope::Everything, start, action.mode, served.bulk_limits)
    })
}

async fn recipe(context: &Context, action: &RunRecipe) -> Result<Order, Error> {
    let served = &context.served;
    let policy = served.target.policy();
    let Some(recipe) = policy.recipes.get(&action.recipe) else {
        let known: Vec<&str> = policy.recipes.keys().map(String::as_str).collect();
        return Err(Error::RecipeNotFound {
            name: action.recipe.clone(),
            known: match known.is_empty() {
                true => "none".to_owned(),
                false => known.join(", "),
            },
        });
    };
    confirm(
        context,
        recipe.confirmation.as_deref(),
        &action.confirmation,
    )?;
    let parts = policy
        .recipe(&action.recipe)
        .map_err(|_| Error::Invariant)?;
    let seeds: Vec<String> = parts
        .into_iter()
        .flat_map(|part| part.seed.clone())
        .collect();
    let start = Start::Recipe {
        protected: protected(context),
    };
    let scope = Scope::Recipe(action.recipe.clone());
    Ok(Order {
        besides: besides(context, &seeds).await?,
        ..Order::new(scope, start, action.mode, served.bulk_limits)
    })
}

/// The seeds, and the tables whose rows are told at the end.
async fn besides(context: &Context, seeds: &[String]) -> Result<Besides, Error> {
    let served = &context.served;
    let counts = named_counts(context.grant.action(), served.target.policy()).iter();
    let remaining = counts.filter_map(|count| match &count.what {
        Counted::Rows(table) => Some(table.clone()),
        _ => None,
    });
    Ok(Besides {
        password: None,
        sowing: served.seeds.sowing(seeds).await?,
        remaining: remaining.collect(),
    })
}

/// What is kept needs the phrase of the policy, or the target's name.
fn confirm(context: &Context, phrase: Option<&str>, typed: &str) -> Result<(), Error> {
    if context.grant.action().mode() == Some(Mode::Execute) {
        let phrase = phrase.unwrap_or_else(|| context.served.target.name());
        guard::confirm(phrase, typed).map_err(guard::Refused::from)?;
    }
    Ok(())
}

fn eligible(context: &Context, include_admins: bool) -> Eligible {
    Eligible {
        domains: context
            .served
            .domains
            .domains()
            .map(str::to_owned)
            .collect(),
        include_admins,
        protected: protected(context),
    }
}

/// Whom nothing in bulk ever takes: the policy's list and the caller's own.
fn protected(context: &Context) -> Vec<String> {
    let listed = &context.served.target.policy().users.protect;
    let own = &context.grant.principal().own_user;
    listed.iter().chain(own).cloned().collect()
}

fn orphans(context: &Context, action: &SweepOrphans) -> Order {
    let limits = context.served.bulk_limits;
    Order::new(Scope::Orphans, Start::Orphans, action.mode, limits)
}

fn edges(plan: &Plan) -> Vec<(String, plan::Choice)> {
    plan.edges()
        .iter()
        .map(|edge| {
            (
                plan.schema().describe(edge.foreign_key),
                edge.choice.clone(),
            )
        })
        .collect()
}
