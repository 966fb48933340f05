//! Which tables the users reach and what happens along each key: the rules of
//! `design/policy.md` once more, with nothing taken from the planner.

use std::collections::{BTreeMap, BTreeSet};

use resetd::operation::Level;

use crate::case::{Case, Key, OnDelete, Treatment};

/// What happens to a row whose parent goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Delete,
    Detach,
    RestoreDefault,
    Block,
}

/// What is wrong with the rules of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// A table has several optional ways in and no owner.
    Ambiguous { table: usize, ways: Vec<usize> },
    /// A reference is to be detached that cannot be NULL.
    NotDetachable { name: String },
    /// The users are kept.
    KeepsUsers,
    /// A level names a kept table, the users, or one that no reference ties
    /// to the users.
    Level { table: usize },
}

/// The fate of every key whose parent table the users reach.
pub type Fates = BTreeMap<usize, Fate>;

/// What a fate rests on: the first two rules hold at every level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Decision {
    fate: Fate,
    holds_everywhere: bool,
}

/// The tables that the users reach, and what happens along each key.
pub struct Graph {
    pub fates: Fates,
    pub reached: BTreeSet<usize>,
    at_every_level: BTreeSet<usize>,
    ambiguous: Vec<Problem>,
}

/// The columns of a key that can be set to NULL without touching another.
pub fn clearable(case: &Case, id: usize) -> Vec<usize> {
    let key = &case.keys[id];
    let table = case.child(key);
    let others = |column: usize| {
        let same_table = case
            .keys
            .iter()
            .enumerate()
            .filter(|(o, other)| *o != id && other.child == key.child);
        same_table
            .into_iter()
            .any(|(_, other)| other.pairs.iter().any(|pair| pair.0 == column))
    };
    let columns = key.pairs.iter().map(|pair| pair.0);
    columns
        .filter(|&c| {
            let column = &table.columns[c];
            let free = key.pairs.len() == 1 || !others(c);
            column.nullable && column.generated.is_none() && !table.primary.contains(&c) && free
        })
        .collect()
}

/// What the policy says of a key; a later name has the last word.
fn treatment(case: &Case, key: &Key) -> Option<Treatment> {
    let mut named = case.rules.treatments.iter().filter(|(name, _)| {
        key.pairs
            .iter()
            .any(|pair| case.place(key.child, pair.0) == **name)
    });
    named.next_back().map(|(_, treatment)| *treatment)
}

/// The first three rules; nothing where the fourth is asked.
fn decide(case: &Case, id: usize) -> Option<Decision> {
    let key = &case.keys[id];
    let said = treatment(case, key);
    let is = |fate, holds_everywhere| {
        Some(Decision {
            fate,
            holds_everywhere,
        })
    };
    let optional = !clearable(case, id).is_empty();
    match (said, key.action) {
        (Some(Treatment::Detach), _) => is(Fate::Detach, true),
        _ if case.rules.keep.contains(&key.child) => is(Fate::Block, true),
        (Some(Treatment::Delete), _) => is(Fate::Delete, true),
        (Some(Treatment::Block), _) => is(Fate::Block, true),
        (None, OnDelete::Cascade) => is(Fate::Delete, true),
        (None, OnDelete::SetNull) if optional => is(Fate::Detach, true),
        (None, OnDelete::SetNull) => is(Fate::Delete, true),
        (None, OnDelete::SetDefault) => is(Fate::RestoreDefault, true),
        (None, OnDelete::NoAction | OnDelete::Restrict) if optional => None,
        (None, OnDelete::NoAction | OnDelete::Restrict) => is(Fate::Delete, false),
    }
}

/// Finds the fates from what is decided already and from who owns what.
pub fn graph(case: &Case) -> Graph {
    let mut walk = Walk {
        case,
        decided: (0..case.keys.len()).map(|id| decide(case, id)).collect(),
        reached: BTreeSet::from([case.users]),
        only_ways: BTreeSet::new(),
        ambiguous: Vec::new(),
    };
    for stratum in walk.strata() {
        while walk.enter(&stratum) {}
    }
    let mut fates = Fates::new();
    let mut at_every_level = BTreeSet::new();
    for id in (0..case.keys.len()).filter(|&id| walk.reached.contains(&case.keys[id].parent)) {
        let by_the_fourth = match walk.only_ways.contains(&id) {
            true => Fate::Delete,
            false => Fate::Detach,
        };
        let decision = walk.decided[id];
        fates.insert(id, decision.map_or(by_the_fourth, |decision| decision.fate));
        if decision.is_some_and(|decision| decision.holds_everywhere) {
            at_every_level.insert(id);
        }
    }
    Graph {
        fates,
        reached: walk.reached,
        at_every_level,
        ambiguous: walk.ambiguous,
    }
}

/// Looks for owners, from the users on.
struct Walk<'a> {
    case: &'a Case,
    decided: Vec<Option<Decision>>,
    reached: BTreeSet<usize>,
    only_ways: BTreeSet<usize>,
    ambiguous: Vec<Problem>,
}

impl Walk<'_> {
    /// True for a key along which rows may go.
    fn leads(&self, id: usize) -> bool {
        self.decided[id].is_none_or(|decision| decision.fate == Fate::Delete)
    }

    /// The tables that the users may reach, those that lead into one another
    /// together, and each after those that lead to it.
    fn strata(&self) -> Vec<Vec<usize>> {
        let ahead = reachability(self.case, &|id| self.leads(id));
        let mut strata: Vec<Vec<usize>> = Vec::new();
        for table in (0..self.case.tables.len()).filter(|&table| ahead[self.case.users][table]) {
            let tied =
                |stratum: &&mut Vec<usize>| ahead[table][stratum[0]] && ahead[stratum[0]][table];
            match strata.iter_mut().find(tied) {
                Some(stratum) => stratum.push(table),
                None => strata.push(vec![table]),
            }
        }
        strata.sort_by_key(|stratum| ahead.iter().filter(|row| row[stratum[0]]).count());
        strata
    }

    /// The keys from reached tables into a table, decided ones or others.
    fn ways(&self, table: usize, decided: bool) -> Vec<usize> {
        let keys = &self.case.keys;
        (0..keys.len())
            .filter(|&id| keys[id].child == table && self.reached.contains(&keys[id].parent))
            .filter(|&id| self.leads(id) && self.decided[id].is_some() == decided)
            .collect()
    }

    /// Reaches further tables of a stratum: one that has an owner, else all
    /// that have optional ways in. False when there is none.
    fn enter(&mut self, stratum: &[usize]) -> bool {
        let waiting = stratum
            .iter()
            .copied()
            .filter(|table| !self.reached.contains(table));
        let waiting: Vec<usize> = waiting.collect();
        if let Some(&owned) = waiting
            .iter()
            .find(|&&table| !self.ways(table, true).is_empty())
        {
            return self.reached.insert(owned);
        }
        let entries: Vec<(usize, Vec<usize>)> = waiting
            .iter()
            .map(|&table| (table, self.ways(table, false)))
            .filter(|(_, ways)| !ways.is_empty())
            .collect();
        for (table, ways) in &entries {
            self.reached.insert(*table);
            match ways.as_slice() {
                [only] => _ = self.only_ways.insert(*only),
                _ => self.ambiguous.push(Problem::Ambiguous {
                    table: *table,
                    ways: ways.clone(),
                }),
            }
        }
        !entries.is_empty()
    }
}

/// Which table leads to which, over any number of keys; each to itself.
pub fn reachability(case: &Case, leads: &dyn Fn(usize) -> bool) -> Vec<Vec<bool>> {
    let count = case.tables.len();
    let mut ahead = vec![vec![false; count]; count];
    for (table, row) in ahead.iter_mut().enumerate() {
        row[table] = true;
    }
    for (_, key) in case.keys.iter().enumerate().filter(|(id, _)| leads(*id)) {
        ahead[key.parent][key.child] = true;
    }
    for middle in 0..count {
        for from in 0..count {
            for to in 0..count {
                ahead[from][to] |= ahead[from][middle] && ahead[middle][to];
            }
        }
    }
    ahead
}

/// What is wrong with the rules, as a policy's reader has to find it.
pub fn problems(case: &Case) -> Vec<Problem> {
    let mut problems = Vec::new();
    if case.rules.keep.contains(&case.users) {
        problems.push(Problem::KeepsUsers);
    }
    for (name, treatment) in &case.rules.treatments {
        for (id, key) in case.keys.iter().enumerate() {
            let named = key
                .pairs
                .iter()
                .any(|pair| case.place(key.child, pair.0) == *name);
            if named && *treatment == Treatment::Detach && clearable(case, id).is_empty() {
                problems.push(Problem::NotDetachable { name: name.clone() });
            }
        }
    }
    let graph = graph(case);
    if !graph.ambiguous.is_empty() {
        problems.extend(graph.ambiguous);
        return problems;
    }
    for rules in [&case.rules.user_data, &case.rules.user_sessions] {
        let deleted: BTreeSet<usize> = rules.delete.iter().copied().collect();
        let restored: BTreeSet<usize> = rules.restore.iter().map(|(table, ..)| *table).collect();
        if deleted.contains(&case.users) {
            problems.push(Problem::Level { table: case.users });
        }
        let others = deleted.iter().filter(|&&table| table != case.users);
        for &table in others.chain(&restored) {
            if case.rules.keep.contains(&table) || !graph.reached.contains(&table) {
                problems.push(Problem::Level { table });
            }
        }
    }
    problems
}

/// Below the cascade a row goes with its parent when the level lists its
/// table or the policy or the database says so itself; users never go.
pub fn at_level(case: &Case, graph: &Graph, id: usize) -> Fate {
    let rules = case.level_rules();
    let child = case.keys[id].child;
    let within = case.level == Level::UserCascade
        || (child != case.users
            && (rules.delete.contains(&child) || graph.at_every_level.contains(&id)));
    match graph.fates[&id] {
        Fate::Delete if !within => Fate::Block,
        fate => fate,
    }
}
