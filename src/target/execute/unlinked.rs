//! Deletes many rows while foreign keys that lead to them are gone: they are
//! dropped, and added back once the rows are deleted, in the same transaction.
//!
//! The database validates each key that is added back, so that nothing stays
//! that refers to what went. Whoever reads or writes one of the tables
//! meanwhile waits, and so it is done only where the policy says that the
//! database is the reset's alone.

use std::collections::BTreeMap;

use super::{
    Execution, Strategy,
    cost::{Load, Lookup},
};
use crate::{
    dialect::{Hold, Row, Statement},
    failpoint,
    plan::{Scope, Step},
    schema::{ForeignKeyId, Origin, TableId},
    target::{Error, field},
};

const DROPPING: &str = "dropping foreign keys";
const SETTLING: &str = "the final checks";
const ADDING: &str = "adding foreign keys back";

/// Fewer rows are deleted before anybody has asked for foreign keys.
const FEW_ROWS: u64 = 200;

/// A foreign key that can be added back just as it was.
#[derive(Debug)]
pub(super) struct Link {
    id: ForeignKeyId,
    drop: String,
    add: String,
    /// Rows of the referring table, estimated.
    referring: u64,
}

impl Execution<'_> {
    /// Drops the foreign keys that cost less to validate than to check for
    /// every row that goes; none where that is not allowed.
    pub(super) async fn unlink(&mut self) -> Result<Vec<Link>, Error> {
        let is_alone = self.plan.model().policy().bulk.exclusive
            && self.request.start.hold() == Hold::Exclusive
            && !matches!(self.plan.scope(), Scope::Everything);
        let doomed = self.doomed();
        if !is_alone || !self.are_many(&doomed) {
            return Ok(Vec::new());
        }
        let names: Vec<String> = doomed.keys().map(|&table| self.name(table)).collect();
        let Some(question) = self.transaction.dialect.droppable_keys(&names) else {
            return Ok(Vec::new());
        };
        let question = Statement::plain(question);
        let answer = self.transaction.query(DROPPING, &question).await?;
        let links = answer.iter().filter_map(|row| self.link(row));
        let links: Vec<Link> = links.filter(|link| self.is_dear(link, &doomed)).collect();
        if links.is_empty() || !self.drop_keys(&links).await? {
            return Ok(Vec::new());
        }
        self.strategy = Strategy::Unlinked;
        failpoint::reach("unlinked").await;
        Ok(links)
    }

    /// Adds the keys back. What waits for the commit is checked first: a table
    /// that is still to be checked is not altered.
    pub(super) async fn link_again(&mut self, links: &[Link]) -> Result<(), Error> {
        if links.is_empty() {
            return Ok(());
        }
        let settled = self.transaction.dialect.settle();
        let settled = settled.map(|sql| (SETTLING, Statement::plain(sql)));
        let added = links
            .iter()
            .map(|link| (ADDING, Statement::plain(&*link.add)));
        let parts = settled.into_iter().chain(added).collect();
        self.transaction.together(parts).await?;
        Ok(())
    }

    /// True when so many rows go that another way could be worth asking for.
    pub(super) fn are_many(&self, doomed: &BTreeMap<TableId, u64>) -> bool {
        doomed.values().sum::<u64>() >= FEW_ROWS
    }

    /// How many rows go, by table.
    pub(super) fn doomed(&self) -> BTreeMap<TableId, u64> {
        let mut doomed = BTreeMap::new();
        for step in self.plan.steps() {
            let Step::Delete(step) = step else { continue };
            for &set in &step.sets {
                let rows = self.sizes[set.index()];
                if rows > 0 {
                    *doomed.entry(self.plan.set(set).table).or_default() += rows;
                }
            }
        }
        doomed
    }

    pub(super) fn name(&self, table: TableId) -> String {
        let name = &self.plan.schema().table(table).name;
        self.transaction.dialect.table(name)
    }

    /// The key that a row tells of, if the plan knows it.
    fn link(&self, row: &Row) -> Option<Link> {
        let schema = self.plan.schema();
        let (id, key) = schema.foreign_keys().find(|(_, key)| {
            let child = &schema.table(key.child).name;
            key.origin == Origin::Catalogue
                && child.schema.as_deref() == row.first().and_then(Option::as_deref)
                && child.name == field(row, 1)
                && key.name.as_deref() == Some(field(row, 2))
        })?;
        let (table, name) = (
            self.name(key.child),
            self.transaction.dialect.quote(field(row, 2)),
        );
        Some(Link {
            id,
            drop: format!("ALTER TABLE {table} DROP CONSTRAINT {name}"),
            add: format!(
                "ALTER TABLE {table} ADD CONSTRAINT {name} {}",
                field(row, 3)
            ),
            referring: field(row, 4).parse().unwrap_or(0),
        })
    }

    /// True when checking a key for every row that goes takes longer than
    /// validating it for every row that stays.
    fn is_dear(&self, link: &Link, doomed: &BTreeMap<TableId, u64>) -> bool {
        let schema = self.plan.schema();
        let key = schema.foreign_key(link.id);
        let going = |table| doomed.get(&table).copied().unwrap_or(0);
        let children = going(key.child);
        let load = Load {
            lookup: match schema.is_indexed(link.id) {
                true => Lookup::Index,
                false => Lookup::Scan {
                    rows: link.referring,
                },
            },
            parents: going(key.parent),
            children,
            staying: link.referring.saturating_sub(children),
        };
        load.is_dear()
    }

    /// False when somebody else is at one of the tables.
    async fn drop_keys(&mut self, links: &[Link]) -> Result<bool, Error> {
        let schema = self.plan.schema();
        let mut tables: Vec<TableId> = links
            .iter()
            .map(|link| schema.foreign_key(link.id))
            .flat_map(|key| [key.child, key.parent])
            .collect();
        tables.sort_unstable();
        tables.dedup();
        let tables: Vec<String> = tables.into_iter().map(|table| self.name(table)).collect();
        let drops: Vec<&str> = links.iter().map(|link| link.drop.as_str()).collect();
        let dropping = format!(
            "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE NOWAIT; {}",
            tables.join(", "),
            drops.join("; ")
        );
        self.attempt(DROPPING, &dropping).await
    }

    /// Runs statements, or leaves everything as it was where our role may not
    /// do that, or somebody else is at one of the tables.
    pub(super) async fn attempt(&mut self, step: &str, sql: &str) -> Result<bool, Error> {
        let attempt = format!("SAVEPOINT resetd_attempt; {sql}");
        match self.transaction.batch_during(step, &attempt).await {
            Ok(()) => Ok(true),
            Err(Error::Busy | Error::Permission { .. } | Error::Database { .. }) => {
                self.retreat().await?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Undoes what was attempted, and lets go of what was locked for it.
    pub(super) async fn retreat(&mut self) -> Result<(), Error> {
        let undo = "ROLLBACK TO SAVEPOINT resetd_attempt";
        self.transaction.batch(undo).await
    }
}
