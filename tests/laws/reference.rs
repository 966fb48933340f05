//! What a reset has to do, worked out by following single rows: the rules of
//! `design/policy.md` once more, with nothing taken from the planner.

use std::collections::{BTreeMap, BTreeSet};

use resetd::operation::Level;

use crate::case::{Action, Case, Cell, Key, LevelRules, Reset, Row, Treatment};

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
    let named = case.rules.treatments.iter().filter(|(name, _)| {
        key.pairs
            .iter()
            .any(|pair| case.place(key.child, pair.0) == **name)
    });
    named.last().map(|(_, treatment)| *treatment)
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
        (None, Action::Cascade) => is(Fate::Delete, true),
        (None, Action::SetNull) if optional => is(Fate::Detach, true),
        (None, Action::SetNull) => is(Fate::Delete, true),
        (None, Action::SetDefault) => is(Fate::RestoreDefault, true),
        (None, Action::NoAction | Action::Restrict) if optional => None,
        (None, Action::NoAction | Action::Restrict) => is(Fate::Delete, false),
    }
}

/// Finds owners. Tables that lead into one another are looked at together,
/// those that lead to them before; inside, owners first, then only ways in.
pub fn graph(case: &Case) -> Graph {
    let decided: Vec<Option<Decision>> = (0..case.keys.len()).map(|id| decide(case, id)).collect();
    let leads = |id: usize| decided[id].is_none_or(|decision| decision.fate == Fate::Delete);
    let ahead = reachability(case, &leads);
    let mut strata: Vec<Vec<usize>> = Vec::new();
    for table in (0..case.tables.len()).filter(|&table| ahead[case.users][table]) {
        let together =
            |stratum: &&mut Vec<usize>| ahead[table][stratum[0]] && ahead[stratum[0]][table];
        match strata.iter_mut().find(together) {
            Some(stratum) => stratum.push(table),
            None => strata.push(vec![table]),
        }
    }
    strata.sort_by_key(|stratum| ahead.iter().filter(|row| row[stratum[0]]).count());
    let mut reached = BTreeSet::from([case.users]);
    let mut only_ways = BTreeSet::new();
    let mut ambiguous = Vec::new();
    let ways = |table: usize, reached: &BTreeSet<usize>, owning: bool| -> Vec<usize> {
        (0..case.keys.len())
            .filter(|&id| case.keys[id].child == table && reached.contains(&case.keys[id].parent))
            .filter(|&id| leads(id) && decided[id].is_some() == owning)
            .collect()
    };
    for stratum in strata {
        loop {
            let outside = |reached: &BTreeSet<usize>| -> Vec<usize> {
                stratum
                    .iter()
                    .copied()
                    .filter(|table| !reached.contains(table))
                    .collect()
            };
            let waiting = outside(&reached);
            let owned = waiting
                .iter()
                .find(|&&table| !ways(table, &reached, true).is_empty());
            if let Some(&table) = owned {
                reached.insert(table);
                continue;
            }
            let entries: Vec<(usize, Vec<usize>)> = waiting
                .iter()
                .map(|&table| (table, ways(table, &reached, false)))
                .filter(|(_, ways)| !ways.is_empty())
                .collect();
            if entries.is_empty() {
                break;
            }
            for (table, ways) in entries {
                reached.insert(table);
                match ways.len() {
                    1 => _ = only_ways.insert(ways[0]),
                    _ => ambiguous.push(Problem::Ambiguous { table, ways }),
                }
            }
        }
    }
    let mut fates = Fates::new();
    let mut at_every_level = BTreeSet::new();
    for id in (0..case.keys.len()).filter(|&id| reached.contains(&case.keys[id].parent)) {
        let by_the_fourth = if only_ways.contains(&id) {
            Fate::Delete
        } else {
            Fate::Detach
        };
        fates.insert(
            id,
            decided[id].map_or(by_the_fourth, |decision| decision.fate),
        );
        if decided[id].is_some_and(|decision| decision.holds_everywhere) {
            at_every_level.insert(id);
        }
    }
    Graph {
        fates,
        reached,
        at_every_level,
        ambiguous,
    }
}

/// Which table leads to which, over any number of keys; each to itself.
fn reachability(case: &Case, leads: &dyn Fn(usize) -> bool) -> Vec<Vec<bool>> {
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

/// What a reset comes to.
#[derive(Debug)]
pub enum Outcome {
    /// Rows that stay refer to rows that go: per reference, how many.
    Blocked(BTreeMap<String, u64>),
    /// Something that the database demands would be broken.
    Broken(String),
    /// This is what is there afterwards.
    Done(Done),
}

#[derive(Debug, Default)]
pub struct Done {
    /// The tags of the rows that belong to the scope.
    pub scope: BTreeSet<String>,
    /// The tags of the rows that go.
    pub deleted: BTreeSet<String>,
    /// Per tag of a row that stays: its changed columns and the values that
    /// they may have now.
    pub restored: BTreeMap<String, BTreeMap<usize, Reset>>,
    pub detached: BTreeMap<String, BTreeMap<usize, Vec<Cell>>>,
    /// Deleted rows per table that others have a share in.
    pub shared: BTreeMap<usize, u64>,
    /// Why the database itself may be unable to do it, if it may.
    pub may_fail: Option<String>,
}

/// The rows that some rows lead to along keys, themselves included.
fn follow(
    case: &Case,
    graph: &Graph,
    rows: Vec<&Row>,
    keys: &dyn Fn(usize) -> bool,
) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = rows.iter().map(|row| case.tag(row).to_owned()).collect();
    let mut queue = rows;
    while let Some(parent) = queue.pop() {
        for key in graph
            .fates
            .keys()
            .filter(|&&id| keys(id))
            .map(|&id| &case.keys[id])
        {
            for child in case
                .rows
                .iter()
                .filter(|child| case.refers(key, child, parent))
            {
                if found.insert(case.tag(child).to_owned()) {
                    queue.push(child);
                }
            }
        }
    }
    found
}

/// The rows that belong to the user at the case's level.
fn scope(case: &Case, graph: &Graph) -> BTreeSet<String> {
    let root = case
        .rows
        .iter()
        .find(|row| case.tag(row) == case.root)
        .unwrap();
    // Where accounts stay, a user owns no other user.
    let leads = |id: usize| case.level == Level::UserCascade || case.keys[id].child != case.users;
    follow(case, graph, vec![root], &|id| {
        graph.fates[&id] == Fate::Delete && leads(id)
    })
}

/// The rows that go, if nothing is in the way.
pub fn deleted(case: &Case, graph: &Graph) -> BTreeSet<String> {
    let scope = scope(case, graph);
    if case.level == Level::UserCascade {
        return scope;
    }
    let rules = case.level_rules();
    let named = |row: &&Row| rules.delete.contains(&row.table) && scope.contains(case.tag(row));
    let named = case.rows.iter().filter(named).collect();
    follow(case, graph, named, &|id| {
        at_level(case, graph, id) == Fate::Delete
    })
}

/// Follows the rows of a case whose rules have no problems.
pub fn outcome(case: &Case, graph: &Graph) -> Outcome {
    let rules = case.level_rules();
    let (scope, deleted) = (scope(case, graph), deleted(case, graph));
    let fate = |id: usize| at_level(case, graph, id);
    let blocked = blocked(case, graph, &deleted, &fate);
    if !blocked.is_empty() {
        return Outcome::Blocked(blocked);
    }
    let mut done = Done {
        shared: shared(case, graph, &scope, &deleted),
        scope,
        deleted,
        ..Done::default()
    };
    let restored = restore(case, &rules, &mut done);
    detach(case, graph, &restored, &fate, &mut done);
    let (detached, left) = states(case, &restored, &done);
    if let Some(broken) = broken(case, &restored, &detached, &left) {
        return Outcome::Broken(broken);
    }
    done.may_fail = troubled(case, &done, &left);
    Outcome::Done(done)
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

/// True when a row refers by a key to one of the rows of these tags.
fn refers_to_any(case: &Case, key: &Key, row: &Row, tags: &BTreeSet<String>) -> bool {
    case.rows
        .iter()
        .any(|parent| tags.contains(case.tag(parent)) && case.refers(key, row, parent))
}

fn blocked(
    case: &Case,
    graph: &Graph,
    deleted: &BTreeSet<String>,
    fate: &dyn Fn(usize) -> Fate,
) -> BTreeMap<String, u64> {
    let mut blocked = BTreeMap::new();
    for &id in graph.fates.keys().filter(|&&id| fate(id) == Fate::Block) {
        let key = &case.keys[id];
        let stays = case
            .rows
            .iter()
            .filter(|row| !deleted.contains(case.tag(row)));
        let rows = stays
            .filter(|row| refers_to_any(case, key, row, deleted))
            .count();
        if rows > 0 {
            *blocked.entry(case.describe(key)).or_default() += rows as u64;
        }
    }
    blocked
}

/// Rows that go, users aside, and refer to a row of the users' graph that
/// does not belong to the scope.
fn shared(
    case: &Case,
    graph: &Graph,
    scope: &BTreeSet<String>,
    deleted: &BTreeSet<String>,
) -> BTreeMap<usize, u64> {
    let foreign: BTreeSet<String> = case
        .rows
        .iter()
        .map(|row| case.tag(row).to_owned())
        .filter(|tag| !scope.contains(tag))
        .collect();
    let mut shared = BTreeMap::new();
    for row in &case.rows {
        let goes = deleted.contains(case.tag(row)) && row.table != case.users;
        let mut keys = graph.fates.keys().map(|&id| &case.keys[id]);
        if goes && keys.any(|key| refers_to_any(case, key, row, &foreign)) {
            *shared.entry(row.table).or_default() += 1;
        }
    }
    shared
}

/// The rows with the level's columns set back.
fn restore(case: &Case, rules: &LevelRules, done: &mut Done) -> Vec<Row> {
    let mut rows = case.rows.clone();
    for row in &mut rows {
        let tag = case.tag(row).to_owned();
        if !done.scope.contains(&tag) || done.deleted.contains(&tag) {
            continue;
        }
        for (table, column, reset) in rules.restore.iter().filter(|item| item.0 == row.table) {
            let declared = &case.tables[*table].columns[*column];
            let value = match reset {
                Reset::Now => Cell::Text("now".to_owned()),
                Reset::Boolean(truth) => declared.store(&Cell::Integer(i64::from(*truth))),
                Reset::Cell(cell) => declared.store(cell),
            };
            if row.cells[*column] != value {
                row.cells[*column] = value;
                let changed = done.restored.entry(tag.clone()).or_default();
                changed.insert(*column, reset.clone());
            }
        }
        recompute(case, row);
    }
    rows
}

/// Brings computed columns up to date.
fn recompute(case: &Case, row: &mut Row) {
    let table = &case.tables[row.table];
    for (id, column) in table.columns.iter().enumerate() {
        if let Some((base, _)) = column.generated {
            row.cells[id] = column.store(&row.cells[base]);
        }
    }
}

/// Notes what is cleared in rows that stay, now that the restoring is done.
fn detach(
    case: &Case,
    graph: &Graph,
    restored: &[Row],
    fate: &dyn Fn(usize) -> Fate,
    done: &mut Done,
) {
    for &id in graph.fates.keys() {
        let key = &case.keys[id];
        let columns: Vec<usize> = match fate(id) {
            Fate::Detach => clearable(case, id),
            Fate::RestoreDefault => key.pairs.iter().map(|pair| pair.0).collect(),
            Fate::Delete | Fate::Block => continue,
        };
        let stays = restored
            .iter()
            .filter(|row| !done.deleted.contains(case.tag(row)));
        for row in stays.filter(|row| refers_to_any(case, key, row, &done.deleted)) {
            let cleared = done.detached.entry(case.tag(row).to_owned()).or_default();
            for &column in &columns {
                let declared = &case.child(key).columns[column];
                let value = match fate(id) {
                    Fate::RestoreDefault => declared.default.clone().unwrap_or(Cell::Null),
                    _ => Cell::Null,
                };
                cleared
                    .entry(column)
                    .or_default()
                    .push(declared.store(&value));
            }
        }
    }
}

/// All rows after the detaching, and those that are left in the end.
fn states(case: &Case, restored: &[Row], done: &Done) -> (Vec<Row>, Vec<Row>) {
    let mut detached = restored.to_vec();
    for row in &mut detached {
        for (&column, values) in done.detached.get(case.tag(row)).into_iter().flatten() {
            row.cells[column] = values[0].clone();
        }
        recompute(case, row);
    }
    let left = detached
        .iter()
        .filter(|row| !done.deleted.contains(case.tag(row)));
    let left = left.cloned().collect();
    (detached, left)
}

/// What the database would refuse: a required column without a value, a value
/// twice where it is unique, a reference that leads nowhere and did lead
/// somewhere before.
fn broken(case: &Case, restored: &[Row], detached: &[Row], left: &[Row]) -> Option<String> {
    for (now, before) in detached.iter().zip(&case.rows) {
        let table = &case.tables[now.table];
        let changed = |c: usize| now.cells[c] != before.cells[c];
        for c in (0..table.columns.len()).filter(|&c| changed(c)) {
            let number = table.primary == [c] && table.columns[c].kind.sql() == "INTEGER";
            if now.cells[c] == Cell::Null && (!table.columns[c].nullable || number) {
                return Some(format!("{} would be NULL", case.place(now.table, c)));
            }
        }
        for unique in table.candidates() {
            let others = [restored, detached].into_iter().flatten();
            let mut twins = others.filter(|other| {
                other.table == now.table
                    && case.tag(other) != case.tag(now)
                    && unique.iter().all(|&c| {
                        now.cells[c] != Cell::Null
                            && table.columns[c].same(&now.cells[c], &other.cells[c])
                    })
            });
            if unique.iter().any(|&c| changed(c)) && twins.next().is_some() {
                return Some(format!("a key of {} would be there twice", table.name));
            }
        }
    }
    let dangles = |row: &Row, key: &Key, rows: &[Row]| {
        key.child == row.table
            && key.pairs.iter().all(|pair| row.cells[pair.0] != Cell::Null)
            && !rows.iter().any(|parent| case.refers(key, row, parent))
    };
    for row in left {
        let before = case
            .rows
            .iter()
            .find(|old| case.tag(old) == case.tag(row))
            .unwrap();
        for key in case.keys.iter().filter(|key| key.declared) {
            let fresh = dangles(row, key, left)
                && !(dangles(before, key, &case.rows) && before.cells == row.cells);
            if fresh {
                return Some(format!("{} would lead nowhere", case.describe(key)));
            }
        }
    }
    None
}

/// SQLite sets a reference of a row that goes to NULL or to its default while
/// its parent goes first, even if the row itself goes in the same breath. In
/// a cycle, or inside one table, that can be impossible. A row that comes to
/// refer to itself by a value of another type it refuses as well.
fn troubled(case: &Case, done: &Done, left: &[Row]) -> Option<String> {
    for row in left
        .iter()
        .filter(|row| done.detached.contains_key(case.tag(row)))
    {
        let other = |key: &Key| {
            key.pairs
                .iter()
                .any(|&(from, to)| row.cells[from] != row.cells[to])
        };
        if case
            .keys
            .iter()
            .any(|key| case.refers(key, row, row) && other(key))
        {
            return Some(format!(
                "{} refers to itself in another type",
                case.tag(row)
            ));
        }
    }
    let goes: Vec<&Row> = case
        .rows
        .iter()
        .filter(|row| done.deleted.contains(case.tag(row)))
        .collect();
    for key in case.keys.iter().filter(|key| key.declared) {
        let acts = [Action::SetNull, Action::SetDefault].contains(&key.action);
        if acts && in_a_cycle(case, key) {
            for child in &goes {
                let other = |parent: &&&Row| case.tag(parent) != case.tag(child);
                if goes
                    .iter()
                    .filter(other)
                    .any(|parent| case.refers(key, child, parent))
                {
                    return Some(format!("{} acts inside a cycle", case.describe(key)));
                }
            }
        }
    }
    None
}

/// True when a key's parent table refers back to its child, over any keys.
fn in_a_cycle(case: &Case, key: &Key) -> bool {
    reachability(case, &|_| true)[key.child][key.parent]
}
