//! Which indexes a target should have, and what each would save.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::Context;
use crate::{
    dialect::{Missing, Need, Remedy, Sweep},
    operation::{Action, counted},
    plan::{Plan, Scope},
    schema::{Schema, TableId},
    target::{
        self, Executed, Request, Strategy, Way,
        cost::{self, Load, Lookup},
    },
};

/// What is not worth a word in a plan: less than a caller would notice.
const WORTH: Duration = Duration::from_millis(1);

/// An index that a target should have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// What for.
    pub purpose: Purpose,
    /// What rows are looked for by, in words.
    pub subject: String,
    /// Their table.
    pub table: String,
    /// How many rows it has, which are all read.
    pub rows: u64,
    /// The statement that makes the index; none where no index helps.
    pub statement: Option<String>,
    /// What reading them takes, and an index saves.
    pub gain: Duration,
    /// When the rows are read, and where no index helps, why not.
    pub reason: String,
}

/// What an index is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Finding the rows that refer to a row that goes.
    Reference,
    /// Finding marked rows.
    Marker,
}

/// The advice on all that is missing, the most rewarding first: for one row
/// that goes, and for one cleanup.
pub(super) fn in_general(
    schema: &Schema,
    missing: &[Missing],
    rows: &BTreeMap<TableId, u64>,
) -> Vec<Advice> {
    let advice = missing.iter().map(|missing| {
        let when = match missing.need {
            Need::Reference(key) => {
                let parent = &schema.table(schema.foreign_key(key).parent).name;
                format!("for each row of {parent} that goes")
            }
            Need::Marker(Sweep::Any) => "by each cleanup".to_owned(),
            Need::Marker(Sweep::OfAll) => "by each cleanup of all sessions".to_owned(),
        };
        let rows = rows.get(&missing.table).copied().unwrap_or(0);
        advice(
            schema,
            missing,
            rows,
            gain(missing, Strategy::Sets, rows, 1),
            &when,
        )
    });
    sorted(advice.collect())
}

/// In which way an operation would be done in earnest, and what it would be
/// quicker with, when it changes what a dry run of it did.
///
/// # Errors
///
/// When the database cannot be reached.
pub(super) async fn on_plan(
    context: &Context,
    plan: &Plan,
    earnest: &Request,
    rehearsed: &Executed,
) -> Result<(Way, Vec<Advice>), target::Error> {
    let (target, schema) = (&context.served.target, plan.schema());
    let missing = target.missing(plan.model()).await?;
    let used: Vec<(&Missing, u64)> = missing
        .iter()
        .map(|missing| {
            (
                missing,
                reads(context.grant.action(), plan, rehearsed, missing),
            )
        })
        .filter(|(_, reads)| *reads > 0)
        .collect();
    let mut tables: BTreeSet<TableId> = used.iter().map(|(missing, _)| missing.table).collect();
    if let Scope::TestUsers(_) = plan.scope() {
        tables.insert(plan.model().users().table);
    }
    let rows = target.count(plan.model(), &tables).await?;
    let mut way = target.way(plan, earnest, rehearsed, &rows);
    let mut all = Vec::new();
    for (missing, reads) in used {
        let rows = rows.get(&missing.table).copied().unwrap_or(0);
        let read = match missing.need {
            Need::Reference(_) => target.scanned(schema.table(missing.table), rows, rehearsed),
            Need::Marker(_) => rows,
        };
        let gain = gain(missing, rehearsed.strategy(), read, reads);
        let when = match missing.need {
            Need::Reference(key) => {
                let parent = &schema.table(schema.foreign_key(key).parent).name;
                format!("for each of {} of {parent}", counted(reads, "row"))
            }
            Need::Marker(_) => {
                way.predicted = way.predicted.map(|predicted| predicted + gain);
                "to find what is marked".to_owned()
            }
        };
        if gain >= WORTH {
            all.push(advice(schema, missing, rows, gain, &when));
        }
    }
    Ok((way, sorted(all)))
}

/// How often an operation reads a table for want of an index.
fn reads(action: &Action, plan: &Plan, rehearsed: &Executed, missing: &Missing) -> u64 {
    match (missing.need, action) {
        // What refers to a row is gone before it, in whole tables.
        (_, Action::FullReset(_)) => 0,
        (Need::Reference(key), _) => {
            let schema = plan.schema();
            let parent = schema.table(schema.foreign_key(key).parent);
            let parent = parent.name.to_string();
            let mut tables = rehearsed.changes().tables.iter();
            let counts = tables.find(|counts| counts.table == parent);
            counts.map_or(0, |counts| counts.deleted)
        }
        (Need::Marker(Sweep::Any), Action::Cleanup(_)) => 1,
        (Need::Marker(Sweep::OfAll), Action::Cleanup(cleanup)) => {
            u64::from(cleanup.test_session_id.is_none())
        }
        (Need::Marker(_), _) => 0,
    }
}

/// What so many readings of a table take.
fn gain(missing: &Missing, strategy: Strategy, rows: u64, reads: u64) -> Duration {
    match missing.need {
        Need::Reference(_) => {
            let load = Load {
                lookup: Lookup::Scan { rows },
                parents: reads,
                children: 0,
                staying: rows,
            };
            cost::checks(strategy, load)
        }
        Need::Marker(_) => cost::sweep(rows),
    }
}

/// The advice on something that is missing.
fn advice(schema: &Schema, missing: &Missing, rows: u64, gain: Duration, when: &str) -> Advice {
    let table = schema.table(missing.table).name.to_string();
    let read = format!("all of {table} is read {when}");
    let (statement, reason) = match &missing.remedy {
        Remedy::Index(statement) => (Some(statement.clone()), read),
        Remedy::None(why) => (None, format!("{read}: {why}")),
    };
    Advice {
        purpose: match missing.need {
            Need::Reference(_) => Purpose::Reference,
            Need::Marker(_) => Purpose::Marker,
        },
        subject: missing.subject.clone(),
        table,
        rows,
        statement,
        gain,
        reason,
    }
}

fn sorted(mut advice: Vec<Advice>) -> Vec<Advice> {
    advice.sort_by(|a, b| b.gain.cmp(&a.gain).then_with(|| a.subject.cmp(&b.subject)));
    advice
}
