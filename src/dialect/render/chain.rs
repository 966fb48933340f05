//! Writes a whole reset as one statement: the sets are common table
//! expressions instead of tables, and so are the changes, each of which
//! answers how many rows it took.
//!
//! All parts see the rows as they were before the statement, and the checks of
//! foreign keys come at its end, so that the order of the parts is of no
//! importance. That serves a few thousand rows; for more, a set needs a table
//! that the planner knows the size of.

use super::{ROW, Renderer, Seed, Shape, list};
use crate::{
    dialect::{Dialect, Statement},
    plan::{Delete, Path, Plan, SetId, Share, Step, Whence},
};

/// What a number in the answer of a chain counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tally {
    /// The rows of a set.
    Found(SetId),
    /// The rows of a set that were deleted.
    Deleted(SetId),
    /// The rows that a step changed, by its place from 0.
    Changed(usize),
    /// The rows that a check forbids, by its place.
    Forbidden(usize),
    /// The rows that others have a share in, by the share's place.
    Shared(usize),
    /// The users that were taken along and may not go.
    Ineligible,
    /// The users that the scope names and that may not go.
    PassedOver,
    /// The first users in scope, no number but JSON: `[[key, e-mail], …]`.
    Users,
}

/// A reset as one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The statement; it answers one row.
    pub statement: Statement,
    /// What the columns of the row count.
    pub tallies: Vec<Tally>,
}

/// One expression of the statement and what is asked of it.
#[derive(Default)]
pub(super) struct Links {
    expressions: Vec<String>,
    counts: Vec<String>,
    tallies: Vec<Tally>,
}

impl Links {
    fn add(&mut self, name: &str, expression: &str) {
        self.expressions.push(format!("{name} AS ({expression})"));
    }

    pub(super) fn count(&mut self, tally: Tally, name: &str) {
        self.counts
            .push(format!("(SELECT CAST(count(*) AS TEXT) FROM {name})"));
        self.tallies.push(tally);
    }

    /// Those of an expression's rows for which a condition is true.
    fn count_where(&mut self, tally: Tally, name: &str, condition: &str) {
        self.counts.push(format!(
            "(SELECT CAST(count(*) AS TEXT) FROM {name} AS {ROW} WHERE {condition})"
        ));
        self.tallies.push(tally);
    }

    /// What a query of its own would answer.
    pub(super) fn ask(&mut self, tally: Tally, query: &str) {
        self.counts.push(format!("({query})"));
        self.tallies.push(tally);
    }

    /// What was asked, as a query, and what its columns count.
    pub(super) fn into_questions(self) -> (String, Vec<Tally>) {
        (format!("SELECT {}", self.counts.join(", ")), self.tallies)
    }
}

/// Which sets can have rows at all: 1 for those, 0 for the others, by set.
#[must_use]
pub fn reachable(plan: &Plan) -> Vec<u64> {
    let mut sizes = vec![0; plan.sets().count()];
    for id in plan.groups().iter().flat_map(|group| &group.sets) {
        let set = plan.set(*id);
        let led_to = |path: &Path| path.source().is_some_and(|from| sizes[from.index()] > 0);
        sizes[id.index()] = u64::from(set.is_root || set.paths.iter().any(led_to));
    }
    sizes
}

impl<'a> Renderer<'a> {
    /// Writes chains for `plan`, of whose sets those are used that are
    /// [`reachable`].
    #[must_use]
    pub fn chained(dialect: &'a dyn Dialect, plan: &'a Plan, reachable: &'a [u64]) -> Self {
        Self {
            shape: Shape::Chain,
            ..Self::new(dialect, plan, reachable)
        }
    }

    /// The reset of a scope; nothing when the plan takes steps that no
    /// statement can be made of. Of the users in scope it tells so many.
    #[must_use]
    pub fn chain(&self, seed: &Seed<'_>, named: usize) -> Option<Chain> {
        let mut links = Links::default();
        let mut parameters = Vec::new();
        let direct = self.direct();
        for id in self.plan.groups().iter().flat_map(|group| &group.sets) {
            if self.is_empty(*id) || direct.contains(id) {
                continue;
            }
            let columns = list(self.set_columns(*id).into_iter().map(|(name, ..)| name));
            let name = Self::set_name(*id);
            let search = self.search(&mut links, *id, seed, &mut parameters);
            links.add(&format!("{name} ({columns})"), &search);
            links.count(Tally::Found(*id), &name);
        }
        for (place, check) in self.plan.checks().iter().enumerate() {
            if let Some(statement) = self.check(check) {
                links.ask(Tally::Forbidden(place), &statement.sql);
            }
        }
        self.ask_for_users(&mut links, seed, named, &mut parameters)?;
        for (place, step) in self.plan.steps().iter().enumerate() {
            let change = match step {
                Step::Restore(step) => self.restore(step),
                Step::Detach(step) => self.detach(step),
                Step::Delete(step) => {
                    self.add_deletions(&mut links, step, &direct);
                    None
                }
                Step::Release(_) | Step::Wipe(_) => return None,
            };
            if let Some(change) = change {
                let name = format!("resetd_step_{place}");
                links.add(&name, &format!("{} RETURNING 1", change.sql));
                links.count(Tally::Changed(place), &name);
            }
        }
        let sql = format!(
            "WITH {} SELECT {}",
            links.expressions.join(", "),
            links.counts.join(", ")
        );
        Some(Chain {
            statement: Statement::new(sql, parameters),
            tallies: links.tallies,
        })
    }

    fn add_deletions(&self, links: &mut Links, step: &Delete, direct: &[SetId]) {
        for &id in step.sets.iter().filter(|&&id| !self.is_empty(id)) {
            let set = self.plan.set(id);
            let rows = match direct.contains(&id) {
                true => self.any_way(&self.live_paths(id)),
                false => self.is_in(id),
            };
            let shares = self.plan.shares().iter().enumerate();
            let shares: Vec<(usize, &Share)> = shares.filter(|(_, s)| s.set == id).collect();
            // What went tells by itself what else it referred to.
            let about: Vec<&Share> = shares.iter().map(|(_, share)| *share).collect();
            let told = self.told(id, &about);
            let name = format!("resetd_gone_{}", id.index());
            links.add(
                &name,
                &format!(
                    "DELETE FROM {} AS {ROW} WHERE {rows} RETURNING {told}",
                    self.table(set.table)
                ),
            );
            links.count(Tally::Deleted(id), &name);
            for (place, share) in shares {
                links.count_where(Tally::Shared(place), &name, &self.is_shared(share));
            }
        }
    }

    /// The ways into a set from sets that can have rows.
    fn live_paths(&self, id: SetId) -> Vec<&'a Path> {
        let led_to = |path: &&Path| path.source().is_some_and(|from| !self.is_empty(from));
        self.plan.set(id).paths.iter().filter(led_to).collect()
    }

    /// True for rows at the end of any of these ways.
    fn any_way(&self, paths: &[&Path]) -> String {
        let ways = paths.iter().map(|path| self.follows(path, None));
        ways.collect::<Vec<_>>().join(" OR ")
    }

    /// True when an index serves each of these ways although OR joins them.
    fn may_be_joined(&self, paths: &[&Path]) -> bool {
        let is_one_column = |path: &&Path| {
            let key = self.schema().foreign_key(path.foreign_key);
            key.columns.len() == 1
        };
        paths.len() < 2 || paths.iter().all(is_one_column)
    }

    /// What there is to be known about the users in scope. One user is known.
    pub(super) fn ask_for_users(
        &self,
        links: &mut Links,
        seed: &Seed<'_>,
        named: usize,
        parameters: &mut Vec<String>,
    ) -> Option<()> {
        let (Seed::TestUsers(eligible) | Seed::Marked { eligible, .. }) = seed else {
            return Some(());
        };
        let users = self.plan.model().users().table;
        let mut sets = self.plan.sets();
        let Some((set, _)) = sets.find(|(_, set)| set.is_root && set.table == users) else {
            return Some(());
        };
        if !self.live_paths(set).is_empty() {
            links.ask(Tally::Ineligible, &self.ineligible(set, eligible).sql);
        }
        if let Some(query) = self.over(set, seed, parameters) {
            links.ask(Tally::PassedOver, &query);
        }
        let users = self.dialect.as_json(&self.users(set, named).sql)?;
        links.ask(Tally::Users, &users);
        Some(())
    }

    /// The rows of a set. Those that the scope names are locked first, as
    /// they are by [`Renderer::seed`]; one user is locked already.
    fn search(
        &self,
        links: &mut Links,
        id: SetId,
        seed: &Seed<'_>,
        parameters: &mut Vec<String>,
    ) -> String {
        let set = self.plan.set(id);
        let values = list(self.set_columns(id).into_iter().map(|(_, value, _)| value));
        let table = self.table(set.table);
        let root = set.is_root.then(|| self.rooted(id, seed, parameters));
        let root = root.flatten();
        let paths = self.live_paths(id);
        let ways = match self.may_be_joined(&paths) {
            true if paths.is_empty() => Vec::new(),
            true => vec![self.any_way(&paths)],
            false => paths.iter().map(|path| self.follows(path, None)).collect(),
        };
        let find = |rows: &str| format!("SELECT {values} FROM {table} AS {ROW} WHERE {rows}");
        let mut searches = Vec::new();
        match root {
            Some(root) if !matches!(seed, Seed::Key(_)) => {
                let name = format!("resetd_root_{}", id.index());
                links.add(&name, &(find(&root) + self.dialect.for_update()));
                searches.push(format!("SELECT * FROM {name}"));
            }
            root => searches.extend(root.iter().map(|root| find(root))),
        }
        searches.extend(ways.iter().map(|way| find(way)));
        match searches.is_empty() {
            true => find("1 = 0"),
            false => searches.join(" UNION "),
        }
    }

    /// The sets that need not be found before they are deleted: one condition
    /// says which rows they have, and nothing else asks for them.
    fn direct(&self) -> Vec<SetId> {
        let plan = self.plan;
        let mut asked: Vec<SetId> = Vec::new();
        for (_, set) in plan.sets() {
            asked.extend(set.paths.iter().filter_map(Path::source));
        }
        for check in plan.checks() {
            asked.push(check.from);
            asked.extend(check.except);
        }
        for share in plan.shares() {
            asked.extend(share.references.iter().filter_map(|&(_, inside)| inside));
        }
        let mut deleted = Vec::new();
        for step in plan.steps() {
            match step {
                Step::Restore(step) => {
                    asked.push(step.set);
                    asked.extend(step.except);
                }
                Step::Detach(step) => {
                    asked.extend(step.references.iter().map(|reference| reference.from));
                    asked.extend(step.except);
                }
                Step::Delete(step) => deleted.extend(&step.sets),
                Step::Release(_) | Step::Wipe(_) => {}
            }
        }
        let is_one_condition = |id: &SetId| {
            let set = plan.set(*id);
            let mut paths = set.paths.iter();
            let from_parents = paths.all(|path| matches!(path.from, Whence::Parents(_)));
            let paths = self.live_paths(*id);
            !set.is_root && from_parents && !paths.is_empty() && self.may_be_joined(&paths)
        };
        deleted.retain(|id| is_one_condition(id) && !asked.contains(id));
        deleted
    }
}
