//! Finds the rows of a plan's sets, and what stands in their way.

use std::collections::BTreeMap;

use super::Execution;
use crate::{
    dialect::{Hold, Seed, Statement, Ways},
    guard::{Layer, Reason, Refusal},
    operation::SharedRows,
    plan::{Group, Path, SetId, Step, Whence},
    target::Error,
};

const FINDING: &str = "finding rows";

/// What is known of how much is in scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Nothing, or that it is little.
    Unknown,
    /// More than a few of a hundred users.
    Many,
}

impl Execution<'_> {
    /// Finds every set, each after those that lead into it.
    pub(super) async fn find_all(&mut self, seed: &Seed<'_>) -> Result<(), Error> {
        if let Seed::TestUsers(eligible) = seed
            && self.extent == Extent::Unknown
            && self.transaction.dialect.hashes_sets()
        {
            self.extent = self.extent_of(eligible).await?;
        }
        for group in self.plan.groups() {
            self.find(group, seed).await?;
        }
        Ok(())
    }

    /// Finds the rows of sets that lead into one another.
    async fn find(&mut self, group: &Group, seed: &Seed<'_>) -> Result<(), Error> {
        let inside = |path: &&Path| path.source().is_some_and(|from| group.sets.contains(&from));
        for &id in &group.sets {
            let set = self.plan.set(id);
            let outer: Vec<Path> = set.paths.iter().filter(|p| !inside(p)).copied().collect();
            let root = match set.is_root {
                true => self.renderer().seed(id, seed),
                false => None,
            };
            if matches!(seed, Seed::Marked { .. })
                && root.is_some()
                && let Some(reader) = self.renderer().reader(id)
            {
                self.transaction.run(FINDING, &reader).await?;
            }
            if self.is_counted(id) {
                self.count_rows(FINDING, id).await?;
                continue;
            }
            let fill = self.renderer().fill(id, &outer, self.ways(&outer));
            if root.is_none() && fill.is_none() && !group.recursive {
                continue;
            }
            let created = self.renderer().create(id);
            self.made.push(id);
            let searches: Vec<Statement> = root.into_iter().chain(fill).collect();
            // What a later round adds is not known yet.
            let analyzed = match group.recursive {
                true => None,
                false => self.renderer().analyze(id),
            };
            self.sizes[id.index()] += self.collect(created, searches, analyzed).await?;
        }
        if group.recursive {
            self.find_recursively(group).await?;
            for &id in group.sets.iter().filter(|id| self.sizes[id.index()] > 0) {
                if let Some(statement) = self.renderer().analyze(id) {
                    self.transaction.run(FINDING, &statement).await?;
                }
            }
        }
        Ok(())
    }

    /// Makes the table of a set and fills it, and tells how many rows were
    /// found.
    async fn collect(
        &mut self,
        created: Statement,
        searches: Vec<Statement>,
        analyzed: Option<Statement>,
    ) -> Result<u64, Error> {
        let mut rows = 0;
        if searches.iter().any(|search| !search.parameters.is_empty()) {
            self.transaction.run(FINDING, &created).await?;
            for search in &searches {
                rows += self.transaction.run(FINDING, search).await?;
            }
            if let Some(analyzed) = analyzed {
                self.transaction.run(FINDING, &analyzed).await?;
            }
            return Ok(rows);
        }
        let found = 1..=searches.len();
        let parts = std::iter::once(created).chain(searches).chain(analyzed);
        let parts = parts.map(|part| (FINDING, part)).collect();
        let done = self.transaction.together(parts).await?;
        for done in done.get(found).unwrap_or_default() {
            rows += done.changed;
        }
        Ok(rows)
    }

    /// Several ways into a table read it at once where at least one of them
    /// reads all of it anyway.
    fn ways(&self, paths: &[Path]) -> Ways {
        match self.is_read_as_a_whole(paths) {
            true => Ways::AtOnce,
            false => Ways::Apart,
        }
    }

    /// True where a table is read from end to end, and what leads to its rows
    /// is looked up for each: because no index serves a way, or because so
    /// many users are in scope.
    pub(super) fn is_read_as_a_whole(&self, paths: &[Path]) -> bool {
        let fits = |path: &Path| {
            let rows = path.source().map(|from| self.sizes[from.index()]);
            rows.is_some_and(|rows| rows <= self.hashed())
        };
        let is_read = |path: &Path| {
            let is_indexed = self.plan.schema().is_indexed(path.foreign_key);
            matches!(path.from, Whence::Parents(_)) && !is_indexed
        };
        let is_whole = self.extent == Extent::Many || paths.iter().any(is_read);
        self.transaction.dialect.hashes_sets() && is_whole && paths.iter().all(fits)
    }

    /// So many rows of a set are hashed for certain: 4 MB hold 65 thousand
    /// keys of 40 letters, and more is granted to whoever is alone.
    fn hashed(&self) -> u64 {
        match self.request.start.hold() {
            Hold::Shared => 40_000,
            Hold::Exclusive => 500_000,
        }
    }

    /// Follows the ways inside a group until no round finds anything new.
    async fn find_recursively(&mut self, group: &Group) -> Result<(), Error> {
        let mut last: BTreeMap<SetId, u64> = group
            .sets
            .iter()
            .map(|&id| (id, self.sizes[id.index()]))
            .collect();
        for round in 1.. {
            let mut found = BTreeMap::new();
            for &id in &group.sets {
                let fresh = |path: &&Path| {
                    let rows = path.source().and_then(|from| last.get(&from));
                    rows.is_some_and(|&rows| rows > 0)
                };
                let set = self.plan.set(id);
                let paths: Vec<Path> = set.paths.iter().filter(fresh).copied().collect();
                if paths.is_empty() {
                    continue;
                }
                let statement = self.renderer().extend(id, &paths, round);
                let rows = self.transaction.run(FINDING, &statement).await?;
                self.sizes[id.index()] += rows;
                found.insert(id, rows);
            }
            if found.values().all(|&rows| rows == 0) {
                break;
            }
            last = found;
        }
        Ok(())
    }

    /// Refuses when rows that stay refer to rows that go and may not be
    /// changed; and before anything is changed, when too many rows would go.
    pub(super) async fn check(&mut self) -> Result<(), Error> {
        let mut blocking = Vec::new();
        for check in self.plan.checks() {
            let Some(statement) = self.renderer().check(check) else {
                continue;
            };
            let rows = self
                .transaction
                .count("checking references", &statement)
                .await?;
            if rows > 0 {
                blocking.push((self.plan.schema().describe(check.foreign_key), rows));
            }
        }
        if !blocking.is_empty() {
            return Err(blocked(blocking).into());
        }
        let doomed = |step: &Step| match step {
            Step::Delete(step) => step.sets.iter().map(|id| self.sizes[id.index()]).sum(),
            Step::Restore(_) | Step::Detach(_) | Step::Release(_) | Step::Wipe(_) => 0,
        };
        let rows: u64 = self.plan.steps().iter().map(doomed).sum();
        Ok(self.cleared.limits().check(rows)?)
    }

    /// Counts the rows that others have a share in, but for those that tell
    /// it as they go.
    pub(super) async fn count_shares(&mut self) -> Result<(), Error> {
        for (place, share) in self.plan.shares().iter().enumerate() {
            if self.tells(share.set) || self.counted.contains(&share.set) {
                continue;
            }
            if let Some(statement) = self.renderer().share(share) {
                let step = "counting shared rows";
                let rows = self.transaction.count(step, &statement).await?;
                self.shares.insert(place, rows);
            }
        }
        Ok(())
    }

    /// True when the deletion of a set tells what else its rows referred to.
    pub(super) fn tells(&self, set: SetId) -> bool {
        let table = self.plan.schema().table(self.plan.set(set).table);
        self.transaction.dialect.deletes_together() && !table.has_triggers && self.goes_alone(set)
    }

    /// True when a step deletes the rows of a set and no others.
    pub(super) fn goes_alone(&self, set: SetId) -> bool {
        self.plan.steps().iter().any(|step| match step {
            Step::Delete(step) => step.sets == [set] && !step.cyclic,
            Step::Restore(_) | Step::Detach(_) | Step::Release(_) | Step::Wipe(_) => false,
        })
    }

    /// What was counted of shared rows.
    pub(super) fn shared(&self) -> Vec<SharedRows> {
        let shares = self.shares.iter().filter(|(_, rows)| **rows > 0);
        let told = shares.map(|(&share, &rows)| {
            let set = self.plan.shares()[share].set;
            let table = self.plan.schema().table(self.plan.set(set).table);
            SharedRows {
                table: table.name.to_string(),
                rows,
            }
        });
        told.collect()
    }
}

pub(super) fn blocked(references: Vec<(String, u64)>) -> Refusal {
    let list: Vec<String> = references
        .iter()
        .map(|(reference, rows)| format!("{reference} ({rows} rows)"))
        .collect();
    Refusal {
        layer: Layer::References,
        reason: Reason::BlockedByReferences,
        message: format!(
            "rows that may not be touched refer to rows that would go: {}",
            list.join(", ")
        ),
        fix: "say under [references] of the policy what happens to them, or take a level that \
              reaches them"
            .to_owned(),
        observed: references
            .into_iter()
            .map(|(reference, rows)| (reference, rows.to_string()))
            .collect(),
    }
}
