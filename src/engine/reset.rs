//! The order of a reset. It reads like the picture in the crate's
//! documentation: each line's result is the next line's argument.
//!
//! One user, the test users, a test session and everything are the same
//! operation on different scopes.

use std::collections::BTreeSet;

use super::{Context, ResetDone, now};
use crate::{
    dialect::Eligible,
    error::Error,
    guard::{self, Limits, UserRule},
    operation::{Action, Cleanup, Extent, FullReset, Mode, Progress, ResetTestUsers, ResetUser},
    plan::{self, Plan, Scope},
    target::{Request, Start},
};

/// What an action wants reset, in the words of planner and executor.
struct Order {
    scope: Scope,
    start: Start,
    extent: Extent,
    mode: Mode,
    limits: Limits,
}

/// Resets a scope.
pub(super) async fn reset(context: &Context) -> Result<ResetDone, Error> {
    let target = &context.served.target;
    guard::precheck(target.setting(), now())?;
    let order = order(context)?;

    let model = target.model().await?;
    let plan = plan::build(&model, order.scope)?;
    context.tell(Progress::Planned {
        steps: plan.steps().iter().map(|step| plan.title(step)).collect(),
    });
    let seen = target.observe().await?.seen;
    let cleared = guard::clear(plan, target.setting(), seen, order.limits, now())?;
    let request = Request {
        operation: context.operation,
        mode: order.mode,
        started: context.started,
        deadline: context.deadline,
        start: order.start,
        expected: None,
        brake: context.brake.clone(),
    };
    let progress = |progress| context.tell(progress);
    let executed = target.execute(&cleared, &request, &progress).await?;

    let changes = executed.into_changes();
    Ok(ResetDone {
        extent: order.extent,
        mode: order.mode,
        public_counts: public_counts(context, order.extent, &changes),
        session: session(&request.start),
        changes,
        edges: edges(cleared.subject()),
    })
}

fn order(context: &Context) -> Result<Order, Error> {
    match context.grant.action() {
        Action::ResetUser(action) => Ok(one_user(context, action)),
        Action::ResetTestUsers(action) => test_users(context, action),
        Action::Cleanup(action) => marked(context, action),
        Action::FullReset(action) => everything(context, action),
        Action::CreateTestUser(_) | Action::GetStatus | Action::Statistics(_) => {
            Err(Error::Invariant)
        }
    }
}

fn one_user(context: &Context, action: &ResetUser) -> Order {
    let served = &context.served;
    let rule = UserRule {
        domains: served.domains.clone(),
        protected: served.target.policy().users.protect.clone(),
        own: context.grant.principal().own_user.clone(),
        force: action.force,
    };
    Order {
        scope: Scope::User(action.level),
        start: Start::User {
            user: action.user.clone(),
            rule,
            allow_missing: action.allow_missing,
        },
        extent: Extent::Users(action.level),
        mode: action.mode,
        limits: served.limits,
    }
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
    Ok(Order {
        scope: Scope::TestUsers(action.level),
        start: Start::TestUsers(eligible),
        extent: Extent::Users(action.level),
        mode: action.mode,
        limits: served.bulk_limits,
    })
}

fn marked(context: &Context, action: &Cleanup) -> Result<Order, Error> {
    let served = &context.served;
    if served.target.policy().cleanup.is_none() {
        return Err(Error::Field {
            field: "target",
            problem: "the policy of this target has no [cleanup], so nothing is marked".to_owned(),
        });
    }
    Ok(Order {
        scope: Scope::Marked,
        limits: match action.test_session_id {
            Some(_) => served.limits,
            None => served.bulk_limits,
        },
        start: Start::Marked {
            session: action.test_session_id.clone(),
            eligible: eligible(context, false),
        },
        extent: Extent::TestData,
        mode: action.mode,
    })
}

fn everything(context: &Context, action: &FullReset) -> Result<Order, Error> {
    let served = &context.served;
    let policy = served.target.policy();
    if action.mode == Mode::Execute {
        let phrase = policy.full_reset.confirmation.as_deref();
        let phrase = phrase.unwrap_or_else(|| served.target.name());
        guard::confirm(phrase, &action.confirmation).map_err(guard::Refused::from)?;
    }
    Ok(Order {
        scope: Scope::Everything,
        start: Start::Everything {
            preserve_admins: action.preserve_admins,
            protected: protected(context),
        },
        extent: Extent::Everything,
        mode: action.mode,
        limits: served.bulk_limits,
    })
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

fn session(start: &Start) -> Option<String> {
    match start {
        Start::Marked { session, .. } => session.clone(),
        Start::User { .. } | Start::TestUsers(_) | Start::Everything { .. } => None,
    }
}

/// The counts by the names that callers know, zeros included.
fn public_counts(
    context: &Context,
    extent: Extent,
    changes: &crate::operation::Changes,
) -> Vec<(String, u64)> {
    let cleanup = context.served.target.policy().cleanup.as_ref();
    let names = cleanup.filter(|_| extent == Extent::TestData);
    let names = names.into_iter().flat_map(|cleanup| &cleanup.public_counts);
    names
        .map(|name| {
            let counts = changes.tables.iter().find(|counts| counts.table == *name);
            (name.clone(), counts.map_or(0, |counts| counts.deleted))
        })
        .collect()
}

fn edges(plan: &Plan) -> Vec<(String, plan::Edge)> {
    plan.edges()
        .iter()
        .map(|edge| (plan.schema().describe(edge.foreign_key), edge.clone()))
        .collect()
}
