//! What SQLite cannot do, or does wrongly, so that a reset which is right may
//! fail there.

use crate::{
    case::{Affinity, Case, Cell, Key, OnDelete, Row},
    fates::reachability,
    reference::Done,
};

/// Why SQLite may refuse a reset that is right, if it may.
pub fn troubled(case: &Case, done: &Done, left: &[Row]) -> Option<String> {
    let goes: Vec<&Row> = case
        .rows
        .iter()
        .filter(|row| done.deleted.contains(case.tag(row)))
        .collect();
    miscounts(case)
        .or_else(|| clings(case, done, left))
        .or_else(|| misleads(case, &goes))
        .or_else(|| converts(case, &goes))
        .or_else(|| answers(case, &goes))
}

/// It counts what dangles for deferred keys and for others apart, but mixes
/// the two up.
fn miscounts(case: &Case) -> Option<String> {
    let deferred = |deferred| {
        case.keys
            .iter()
            .any(|key| key.declared && key.deferred == deferred)
    };
    (case.dangling && deferred(true) && deferred(false))
        .then(|| "some keys are deferred, others not, and some rows dangle".to_owned())
}

/// It lets no row be changed that refers to itself by a value of another type.
fn clings(case: &Case, done: &Done, left: &[Row]) -> Option<String> {
    let to_itself = |row: &Row| {
        let otherwise = |key: &Key| {
            key.pairs
                .iter()
                .any(|&(from, to)| row.cells[from] != row.cells[to])
        };
        let mut keys = case.keys.iter().filter(|key| key.declared);
        keys.any(|key| case.refers(key, row, row) && otherwise(key))
    };
    let changed = |row: &&Row| {
        let tag = case.tag(row);
        done.deleted.contains(tag)
            || done.detached.contains_key(tag)
            || done.restored.contains_key(tag)
    };
    let mut rows = left.iter().chain(&case.rows).filter(changed);
    let row = rows.find(|row| to_itself(row))?;
    Some(format!(
        "{} refers to itself by a value of another type",
        case.tag(row)
    ))
}

/// It takes rows for children that are none, where types differ.
fn misleads(case: &Case, goes: &[&Row]) -> Option<String> {
    for key in case.keys.iter().filter(|key| key.declared) {
        let children = || case.rows.iter().filter(|row| row.table == key.child);
        let mut parents = goes.iter().filter(|row| row.table == key.parent);
        let mistaken = parents.any(|parent| {
            children().any(|child| {
                seems_to_refer(case, key, child, parent) && !case.refers(key, child, parent)
            })
        });
        if mistaken {
            return Some(format!("it mistakes what {} means", case.describe(key)));
        }
    }
    None
}

/// As a parent goes, it looks for children by an index, and converts the
/// parent's key to the type of the indexed column for the other searches too.
fn converts(case: &Case, goes: &[&Row]) -> Option<String> {
    let declared = || case.keys.iter().filter(|key| key.declared);
    let is_searched = |key: &Key| {
        let (table, parent) = (case.child(key), case.parent(key));
        let mut indexes = table.indexes.iter().cloned().chain(table.candidates());
        let kind = |from: usize| table.columns[from].kind.affinity();
        indexes.any(|index| {
            let mut pairs = key.pairs.iter().filter(|pair| index.contains(&pair.0));
            pairs.any(|&(from, to)| kind(from) != parent.columns[to].kind.affinity())
        })
    };
    let key = declared().find(|key| {
        let mut others = declared().filter(|other| other.parent == key.parent);
        is_searched(key)
            && others.any(|other| in_a_cycle(case, other))
            && goes.iter().any(|row| row.table == key.parent)
    })?;
    Some(format!("it converts what {} refers to", case.describe(key)))
}

/// It sets a reference of a row that goes to NULL or to its default while its
/// parent goes first, even if the row itself goes in the same breath. In a
/// cycle, or inside one table, that can be impossible.
fn answers(case: &Case, goes: &[&Row]) -> Option<String> {
    let acts = |key: &&Key| [OnDelete::SetNull, OnDelete::SetDefault].contains(&key.action);
    let mut keys = case
        .keys
        .iter()
        .filter(|key| key.declared && in_a_cycle(case, key));
    let key = keys.by_ref().filter(acts).find(|key| {
        goes.iter().any(|child| {
            let mut others = goes
                .iter()
                .filter(|parent| case.tag(parent) != case.tag(child));
            others.any(|parent| case.refers(key, child, parent))
        })
    })?;
    Some(format!("{} acts inside a cycle", case.describe(key)))
}

/// True when SQLite takes a row for a child as its parent goes: then it
/// compares the two columns like any others, as numbers when one is a number's.
fn seems_to_refer(case: &Case, key: &Key, child: &Row, parent: &Row) -> bool {
    key.pairs.iter().all(|&(from, to)| {
        let column = &case.parent(key).columns[to];
        let kinds = [column.kind, case.child(key).columns[from].kind];
        let compared = match kinds.iter().any(|kind| kind.affinity() == Affinity::Number) {
            true => Affinity::Number,
            false => Affinity::Nothing,
        };
        let (one, two) = (&child.cells[from], &parent.cells[to]);
        *one != Cell::Null && column.same(&compared.convert(one), &compared.convert(two))
    })
}

/// True when a key's parent table refers back to its child, over any keys.
fn in_a_cycle(case: &Case, key: &Key) -> bool {
    reachability(case, &|_| true)[key.child][key.parent]
}
