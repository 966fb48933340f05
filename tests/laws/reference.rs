//! What a reset has to do, worked out by following single rows.

use std::collections::{BTreeMap, BTreeSet};

use resetd::operation::Level;

use crate::{
    case::{Case, Cell, Key, LevelRules, Reset, Row},
    fates::{Fate, Graph, at_level, clearable},
    quirks::troubled,
};

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

/// The rows that belong to the user. Where accounts stay, other users and
/// what is theirs are none of them.
pub fn scope(case: &Case, graph: &Graph) -> BTreeSet<String> {
    let mut rows = case.rows.iter();
    let root = rows.find(|row| case.tag(row) == case.root).unwrap();
    follow(case, graph, vec![root], &|id| {
        let to_a_user = case.keys[id].child == case.users;
        graph.fates[&id] == Fate::Delete && (case.level == Level::UserCascade || !to_a_user)
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
    let mut cells = done.detached.values().flat_map(|columns| columns.values());
    let ambivalent = cells.any(|values| values.iter().any(|value| *value != values[0]));
    match broken(case, &restored, &detached, &left) {
        Some(broken) if !ambivalent => return Outcome::Broken(broken),
        broken => done.may_fail = broken.or_else(|| troubled(case, &done, &left)),
    }
    if ambivalent {
        done.may_fail = Some("a column has to be NULL and its default".to_owned());
    }
    Outcome::Done(done)
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
