//! Which indexes a target should have, and what each would save.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::Context;
use crate::{
    dialect::{Missing, Need, Remedy, Sweep},
    operation::{Action, Changes, counted},
    plan::Plan,
    schema::{Schema, TableId},
    target,
};

/// What a row of a referring table costs for each row that goes of the table
/// that it refers to, when no index finds it: 16 ms for 600 thousand rows on
/// PostgreSQL 15.
const SCANNED_NANOS: u64 = 27;

/// What a row costs in a sweep that no index serves: 104 ms for a million rows
/// on PostgreSQL 15, of which an index leaves 0.1.
const SWEPT_NANOS: u64 = 104;

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
        advice(schema, missing, rows, 1, &when)
    });
    sorted(advice.collect())
}

/// The advice on what an operation of this plan would gain by, when it changes
/// what a dry run of it did.
///
/// # Errors
///
/// When the database cannot be reached.
pub(super) async fn on_plan(
    context: &Context,
    plan: &Plan,
    changes: &Changes,
) -> Result<Vec<Advice>, target::Error> {
    let (target, schema) = (&context.served.target, plan.schema());
    let missing = target.missing(plan.model()).await?;
    let used: Vec<(&Missing, u64)> = missing
        .iter()
        .map(|missing| {
            (
                missing,
                reads(context.grant.action(), plan, changes, missing),
            )
        })
        .filter(|(_, reads)| *reads > 0)
        .collect();
    let tables = used.iter().map(|(missing, _)| missing.table).collect();
    let rows = target.count(plan.model(), &tables).await?;
    let advice = used.into_iter().map(|(missing, reads)| {
        let when = match missing.need {
            Need::Reference(key) => {
                let parent = &schema.table(schema.foreign_key(key).parent).name;
                format!("for each of {} of {parent}", counted(reads, "row"))
            }
            Need::Marker(_) => "to find what is marked".to_owned(),
        };
        let rows = rows.get(&missing.table).copied().unwrap_or(0);
        advice(schema, missing, rows, reads, &when)
    });
    Ok(sorted(
        advice.filter(|advice| advice.gain >= WORTH).collect(),
    ))
}

/// How often an operation reads a table for want of an index.
fn reads(action: &Action, plan: &Plan, changes: &Changes, missing: &Missing) -> u64 {
    match (missing.need, action) {
        // What refers to a row is gone before it, in whole tables.
        (_, Action::FullReset(_)) => 0,
        (Need::Reference(key), _) => {
            let schema = plan.schema();
            let parent = schema.table(schema.foreign_key(key).parent);
            let parent = parent.name.to_string();
            let mut tables = changes.tables.iter();
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

/// The advice on something that is missing, for so many times that all rows
/// are read.
fn advice(schema: &Schema, missing: &Missing, rows: u64, reads: u64, when: &str) -> Advice {
    let table = schema.table(missing.table).name.to_string();
    let (purpose, nanos) = match missing.need {
        Need::Reference(_) => (Purpose::Reference, SCANNED_NANOS),
        Need::Marker(_) => (Purpose::Marker, SWEPT_NANOS),
    };
    let read = format!("all of {table} is read {when}");
    let (statement, reason) = match &missing.remedy {
        Remedy::Index(statement) => (Some(statement.clone()), read),
        Remedy::None(why) => (None, format!("{read}: {why}")),
    };
    let nanos = nanos.saturating_mul(rows).saturating_mul(reads);
    Advice {
        purpose,
        subject: missing.subject.clone(),
        table,
        rows,
        statement,
        gain: Duration::from_nanos(nanos),
        reason,
    }
}

fn sorted(mut advice: Vec<Advice>) -> Vec<Advice> {
    advice.sort_by(|a, b| b.gain.cmp(&a.gain).then_with(|| a.subject.cmp(&b.subject)));
    advice
}
