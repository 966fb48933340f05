//! Deletes many rows while the database enforces nothing, where our role may
//! switch that off: what it would have checked for every row is checked once
//! for all of them before the commit.
//!
//! Nobody can add a row meanwhile that refers to one that goes: the tables
//! are locked against writers first. Whoever is given the switch says that
//! they may wait.

use std::collections::BTreeSet;

use super::{Execution, Strategy};
use crate::{
    dialect::{Hold, Statement},
    failpoint,
    plan::{Cleared, Scope, SetId, Step},
    schema::{Origin, TableId},
    target::Error,
};

const SWITCHING: &str = "switching checks off";
const VERIFYING: &str = "checking references";

impl Execution<'_> {
    /// Switches the checks off; false where that is not allowed, would save
    /// nothing, or could silence what has to be heard.
    pub(super) async fn switch_off(&mut self) -> Result<bool, Error> {
        let Some((off, _)) = self.transaction.dialect.enforcement() else {
            return Ok(false);
        };
        let is_plain = self.plan.steps().iter().all(|step| match step {
            Step::Delete(step) => {
                let mut tables = step.sets.iter().map(|&set| self.plan.set(set).table);
                !tables.any(|table| self.is_listened_to(table))
            }
            Step::Detach(step) => {
                let mut references = step.references.iter();
                !self.is_listened_to(step.table)
                    && references.all(|reference| reference.to == Cleared::Null)
            }
            Step::Restore(_) | Step::Release(_) | Step::Wipe(_) => false,
        });
        let is_bulk = self.request.start.hold() == Hold::Exclusive
            && !matches!(self.plan.scope(), Scope::Everything);
        let doomed = self.doomed();
        if !is_plain || !is_bulk || !self.are_many(&doomed) {
            return Ok(false);
        }
        let schema = self.plan.schema();
        let referring = schema
            .foreign_keys()
            .filter(|(_, key)| key.origin == Origin::Catalogue && doomed.contains_key(&key.parent))
            .map(|(_, key)| key.child);
        let mut tables: Vec<TableId> = referring.chain(doomed.keys().copied()).collect();
        tables.sort_unstable();
        tables.dedup();
        let tables: Vec<String> = tables.into_iter().map(|table| self.name(table)).collect();
        let locked = format!(
            "{off}; LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE NOWAIT",
            tables.join(", ")
        );
        if !self.attempt(SWITCHING, &locked).await? {
            return Ok(false);
        }
        self.strategy = Strategy::Unchecked;
        failpoint::reach("switched_off").await;
        Ok(true)
    }

    /// Switches the checks off while all rows of these tables go; false where
    /// that is not allowed, or something is left that could refer to them:
    /// then there would be something to check.
    pub(super) async fn switch_off_for(&mut self, going: &[TableId]) -> Result<bool, Error> {
        let dialect = self.transaction.dialect;
        let Some((off, _)) = dialect.enforcement() else {
            return Ok(false);
        };
        let wiped: BTreeSet<TableId> = self.wiped().collect();
        let schema = self.plan.schema();
        let mut known: BTreeSet<TableId> = going.iter().copied().collect();
        for (_, key) in schema.foreign_keys() {
            if key.origin == Origin::Catalogue && going.contains(&key.parent) {
                known.insert(key.child);
            }
        }
        let name = |table: &TableId| self.name(*table);
        let going_names: Vec<String> = going.iter().map(name).collect();
        let known_names: Vec<String> = known.iter().map(name).collect();
        let Some(strangers) = dialect.strangers(&going_names, &known_names) else {
            return Ok(false);
        };
        let locked = format!(
            "{off}; LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE NOWAIT",
            known_names.join(", ")
        );
        if !known.is_subset(&wiped) || !self.attempt(SWITCHING, &locked).await? {
            return Ok(false);
        }
        // From here on nobody adds a row or a key, and what was seen before is
        // looked at again.
        let strangers = Statement::plain(strangers);
        let mut is_alone = self
            .transaction
            .query(SWITCHING, &strangers)
            .await?
            .is_empty();
        let empty = known.iter().filter(|table| !going.contains(table));
        let empty: Vec<(TableId, Option<SetId>)> = empty.map(|&table| (table, None)).collect();
        if is_alone && !empty.is_empty() {
            let question = self.renderer().occupied(&empty);
            is_alone = self
                .transaction
                .query(SWITCHING, &question)
                .await?
                .is_empty();
        }
        if is_alone {
            self.strategy = Strategy::Unchecked;
            failpoint::reach("switched_off").await;
        } else {
            self.retreat().await?;
        }
        Ok(is_alone)
    }

    /// Switches the checks on again, and makes those that were left out.
    pub(super) async fn switch_on(&mut self) -> Result<(), Error> {
        if let Some((_, on)) = self.transaction.dialect.enforcement() {
            self.transaction.batch_during(SWITCHING, on).await?;
        }
        let sets = self.plan.steps().iter().filter_map(|step| match step {
            Step::Delete(step) => Some(&step.sets),
            Step::Restore(_) | Step::Detach(_) | Step::Release(_) | Step::Wipe(_) => None,
        });
        let gone: Vec<(TableId, Option<SetId>)> = sets
            .flatten()
            .filter(|set| self.sizes[set.index()] > 0)
            .map(|&set| (self.plan.set(set).table, Some(set)))
            .collect();
        self.verify_references(VERIFYING, &gone).await
    }

    /// True when something of the application's own could happen as rows of a
    /// table change.
    fn is_listened_to(&self, table: TableId) -> bool {
        let table = self.plan.schema().table(table);
        table.has_triggers || table.has_heirs
    }
}
