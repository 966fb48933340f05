//! Checks a configuration: that every policy fits its database, and what each
//! reference would do.

use crate::{
    config::{Config, TargetConfig},
    engine::{Served, now},
    guard::{self, Verdict},
    operation::{Level, counted},
    plan::{self, Fate, Plan, Scope},
    server,
    target::{self, Target},
};

/// Why a target did not pass.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration does not say which.
    #[error(transparent)]
    Config(#[from] crate::config::Error),
    /// The target cannot be served.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// The policy does not fit, or the database cannot be reached.
    #[error("{error}{}", super::source_of(error))]
    Target {
        /// Why.
        #[from]
        error: target::Error,
    },
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] plan::Error),
    /// Some target did not pass.
    #[error("{0} of the targets did not pass")]
    Failed(usize),
}

/// Checks every target, or the one that is named, and prints what it found.
///
/// # Errors
///
/// When a target does not pass; the others are checked all the same.
pub async fn run(config: &Config, name: Option<&str>) -> Result<(), Error> {
    let targets: Vec<&TargetConfig> = match name {
        Some(name) => vec![config.target(Some(name))?],
        None => config.targets.iter().collect(),
    };
    let mut failed = 0;
    for target in targets {
        if let Err(error) = check(target).await {
            println!("{}: {error}", target.name);
            failed += 1;
        }
    }
    match failed {
        0 => Ok(()),
        failed => Err(Error::Failed(failed)),
    }
}

async fn check(config: &TargetConfig) -> Result<(), Error> {
    let served = server::serve(config)?;
    let target = &served.target;
    if let Err(refused) = guard::precheck(target.setting(), now()) {
        println!("{}: not connected to: {refused}", target.name());
        return Ok(());
    }
    let model = target.model().await?;
    let tables = model.schema().tables().count();
    println!(
        "{}: the policy fits {} ({tables} tables)",
        target.name(),
        target.address()
    );
    let plan = plan::build(&model, Scope::User(Level::UserCascade))?;
    edges(&plan);
    plan::build(&model, Scope::Everything)?;
    for name in model.recipes().keys() {
        let plan = plan::build(&model, Scope::Recipe(name.clone()))?;
        let tables = plan.changed_tables().len();
        println!(
            "  recipe {name}: changes {}",
            counted(u64::try_from(tables).unwrap_or(u64::MAX), "table")
        );
    }
    layers(target).await?;
    elsewhere(&served).await;
    target.close().await;
    Ok(())
}

/// What happens along each reference when a user goes.
fn edges(plan: &Plan) {
    println!("  when a user goes:");
    for edge in plan.edges() {
        let fate = match edge.choice.fate {
            Fate::Delete => "delete",
            Fate::Detach => "detach",
            Fate::RestoreDefault => "set default",
            Fate::Block => "block",
        };
        let reference = plan.schema().describe(edge.foreign_key);
        let choice = &edge.choice;
        println!(
            "    {fate:<11} {reference}  (rule {}: {})",
            choice.rule, choice.reason
        );
    }
}

/// What is there besides the database.
async fn elsewhere(served: &Served) {
    if let Some(address) = served.effects.redis_address() {
        match served.effects.is_reachable().await {
            true => println!("  Redis {address}: answers"),
            false => println!("  Redis {address}: does not answer; its effects would be pending"),
        }
    }
    let marked = served.effects.root_ids();
    for root in served.effects.root_names() {
        match marked.contains_key(root) {
            true => println!("  root {root}: marked"),
            false => println!("  root {root}: not there or not marked; `resetd arm` marks it"),
        }
    }
}

async fn layers(target: &Target) -> Result<(), Error> {
    let seen = target.observe().await?.seen;
    for Verdict { layer, refusal } in guard::verdicts(target.setting(), Some(&seen), now()) {
        match refusal {
            None => println!("  guard {layer}: passes"),
            Some(refusal) => println!("  guard {layer}: {refusal}"),
        }
    }
    Ok(())
}
