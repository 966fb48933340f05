//! Few rows on a database that changes one table in a statement and prepares
//! one statement at a time: their keys are read, each round those that the
//! rows of the round before lead to, and then everything is changed by lists
//! of them, in as many round trips as there are generations. Rows that the
//! database deletes with those that lead to them are only counted.

use super::{
    Execution, NAMED_USERS,
    swift::{STEP, tallied},
};
use crate::{
    dialect::{Key, Renderer, Row, Seed, Statement, Tally},
    operation::TableCounts,
    plan::{Path, Plan, SetId, Source},
    target::Error,
};

/// So many rows of a set are too many to be listed: from 16 000 on MariaDB
/// looks for no index any more.
const LISTED: usize = 10_000;

/// Rows that lead to others which the database deletes with them: from so many
/// on, to count those is quicker than to list them and to delete them by their
/// keys (measured for nine such tables: 2.5 ms more for one user, and half the
/// time for two thousand).
const CASCADING: u64 = 100;

/// True when the rows that go of these tables are few enough to be listed.
pub(super) fn can_list(plan: &Plan, tables: &[TableCounts]) -> bool {
    let most = u64::try_from(LISTED).unwrap_or(u64::MAX);
    let listed = plan.sets().filter(|(id, _)| !plan.goes_by_cascade(*id));
    let listed: Vec<String> = listed
        .map(|(_, set)| plan.schema().table(set.table).name.to_string())
        .collect();
    let mut many = tables.iter().filter(|table| table.deleted >= most);
    !many.any(|table| listed.contains(&table.table))
}

/// What is known of the sets on the way.
struct Known {
    keys: Vec<Vec<Key>>,
    sizes: Vec<u64>,
    is_known: Vec<bool>,
    /// Those whose rows the database deletes by itself.
    cascading: Vec<SetId>,
}

impl Known {
    /// Adds rows to a set, which may have some of them already.
    fn add(&mut self, set: SetId, more: Vec<Key>) {
        let keys = &mut self.keys[set.index()];
        keys.extend(more);
        keys.sort_unstable();
        keys.dedup();
        self.sizes[set.index()] = u64::try_from(keys.len()).unwrap_or(u64::MAX);
    }
}

impl Execution<'_> {
    /// Finds and changes everything, and gives what it counted; nothing when
    /// the rows are too many, or cannot be listed.
    pub(super) async fn run_lists(
        &mut self,
        seed: &Seed<'_>,
    ) -> Result<Option<(Vec<Tally>, Row)>, Error> {
        let Some(known) = self.list(seed).await? else {
            return Ok(None);
        };
        let (dialect, plan) = (self.transaction.dialect, self.plan);
        let renderer = Renderer::listing(dialect, plan, &known.sizes, &known.keys);
        let Some(script) = renderer.listed_changes(seed, NAMED_USERS, &known.cascading) else {
            return Ok(None);
        };
        let done = self.transaction.script(STEP, &script.statement).await?;
        let sets = plan.sets().map(|(id, _)| id);
        let listed = sets.filter(|id| !known.cascading.contains(id));
        let listed = listed.map(|id| (Tally::Found(id), known.sizes[id.index()].to_string()));
        let (found, sizes): (Vec<Tally>, Vec<String>) = listed.unzip();
        Ok(tallied(&script.parts, done).map(|(tallies, row)| {
            let sizes = sizes.into_iter().map(Some);
            let tallies = found.into_iter().chain(tallies).collect();
            (tallies, sizes.chain(row).collect())
        }))
    }

    /// True for a set whose rows the database deletes with many others, and
    /// nobody else asks for.
    fn cascades(&self, id: SetId, known: &Known) -> bool {
        let set = self.plan.set(id);
        let mut sources = set.paths.iter().filter_map(Path::source);
        let mut rules = self.request.elsewhere.wanted(self.plan);
        sources.any(|from| known.sizes[from.index()] >= CASCADING)
            && self.plan.goes_by_cascade(id)
            && !rules.any(|rule| matches!(rule.source, Source::Rows(of, _) if of == set.table))
    }

    /// Reads the keys of all sets, each after those that lead into it.
    async fn list(&mut self, seed: &Seed<'_>) -> Result<Option<Known>, Error> {
        let (dialect, plan) = (self.transaction.dialect, self.plan);
        let count = self.sizes.len();
        let mut known = Known {
            keys: vec![Vec::new(); count],
            sizes: vec![0; count],
            is_known: vec![false; count],
            cascading: Vec::new(),
        };
        let groups = plan.groups().iter();
        let mut waiting: Vec<SetId> = groups.flat_map(|group| group.sets.clone()).collect();
        while !waiting.is_empty() {
            let is_ready = |id: &SetId| {
                let mut sources = plan.set(*id).paths.iter().filter_map(Path::source);
                sources.all(|from| known.is_known[from.index()])
            };
            let (ready, later): (Vec<SetId>, Vec<SetId>) = waiting.into_iter().partition(is_ready);
            if ready.is_empty() {
                return Ok(None);
            }
            waiting = later;
            let (cascading, ready): (Vec<SetId>, Vec<SetId>) =
                ready.into_iter().partition(|id| self.cascades(*id, &known));
            known.cascading.extend(cascading);
            let renderer = Renderer::listing(dialect, plan, &known.sizes, &known.keys);
            let (mut users, mut asked) = (Vec::new(), Vec::new());
            for &id in &ready {
                if plan.set(id).is_root {
                    match renderer.listed_user(id, seed) {
                        Some(user) => users.push((id, user)),
                        None => asked.push((id, renderer.listed_seed(id, seed, LISTED))),
                    }
                }
                asked.push((id, renderer.listed_fill(id, LISTED)));
            }
            let asked = asked.into_iter();
            let asked = asked.filter_map(|(id, question)| Some((id, question?.sql)));
            let asked: Vec<(SetId, String)> = asked.collect();
            for (id, user) in users {
                known.add(id, vec![user]);
            }
            if !self.read(asked, &mut known).await? {
                return Ok(None);
            }
            for id in ready {
                known.is_known[id.index()] = true;
            }
        }
        Ok(Some(known))
    }

    /// Reads keys in one round trip; false when they are too many, or cannot
    /// be listed.
    async fn read(
        &mut self,
        asked: Vec<(SetId, String)>,
        known: &mut Known,
    ) -> Result<bool, Error> {
        if asked.is_empty() {
            return Ok(true);
        }
        let (sets, texts): (Vec<SetId>, Vec<String>) = asked.into_iter().unzip();
        let text = Statement::plain(texts.join(";\n"));
        let done = self.transaction.script(STEP, &text).await?;
        if done.len() != sets.len() {
            return Ok(false);
        }
        let renderer = self.renderer();
        for (set, done) in sets.into_iter().zip(done) {
            if done.rows.len() >= LISTED {
                return Ok(false);
            }
            let keys = done.rows.iter().map(|row| renderer.key(set, row));
            match keys.collect() {
                Some(keys) => known.add(set, keys),
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}
