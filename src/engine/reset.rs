//! The order of a reset. It reads like the picture in the crate's
//! documentation: each line's result is the next line's argument.

use std::sync::Arc;

use super::{Context, ResetDone, now};
use crate::{
    error::Error,
    guard::{self, UserRule},
    operation::{Progress, ResetUser},
    plan::{self, Plan, Scope},
    target::Request,
};

/// Resets one user.
pub(super) async fn user(context: &Context, action: ResetUser) -> Result<ResetDone, Error> {
    let served = &context.served;
    let target = &served.target;
    guard::precheck(target.setting(), now())?;

    let model = target.model().await?;
    let plan = plan::build(&model, Scope::User(action.level))?;
    let seen = target.observe().await?.seen;
    let cleared = guard::clear(plan, target.setting(), seen, served.limits, now())?;
    let request = Request {
        operation: context.operation,
        mode: action.mode,
        started: context.started,
        deadline: context.deadline,
        rule: UserRule {
            domains: served.domains.clone(),
            protected: model.policy().users.protect.clone(),
            own: context.grant.principal().own_user.clone(),
            force: action.force,
        },
        user: action.user,
        allow_missing: action.allow_missing,
    };
    let executed = target.execute(&cleared, &request, &ignore).await?;

    Ok(ResetDone {
        level: action.level,
        mode: action.mode,
        changes: executed.into_changes(),
        edges: edges(cleared.subject()),
    })
}

/// Nobody watches the progress of one user's reset: it is over too soon.
fn ignore(_: Progress) {}

fn edges(plan: &Plan) -> Vec<(String, plan::Edge)> {
    let schema = Arc::clone(plan.model());
    plan.edges()
        .iter()
        .map(|edge| (schema.schema().describe(edge.foreign_key), edge.clone()))
        .collect()
}
