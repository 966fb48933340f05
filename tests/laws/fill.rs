//! Random rows for a schema, consistent but for what is meant to dangle.

use crate::{
    case::{Affinity, Case, Cell, Column, Key, Kind, OnDelete, Row},
    script::DOMAIN,
    source::Source,
};

/// A row on its way: a column without a value yet is nothing.
struct Draft {
    table: usize,
    cells: Vec<Option<Cell>>,
    alive: bool,
}

struct Filler<'a> {
    source: &'a mut Source,
    case: Case,
    drafts: Vec<Draft>,
}

/// The case with rows and defaults; nothing when no user is left.
pub fn fill(source: &mut Source, mut case: Case) -> Option<Case> {
    case.dangling = source.chance(12);
    let mut filler = Filler {
        source,
        case,
        drafts: Vec::new(),
    };
    filler.add_own_values();
    // References that are part of a key first: others refer to them. They
    // only lead to earlier tables.
    for id in 0..filler.case.tables.len() {
        filler.refer(id, true);
    }
    for id in 0..filler.case.tables.len() {
        filler.refer(id, false);
    }
    filler.finish();
    let (source, mut case) = (filler.source, filler.case);
    drop_duplicates(&mut case);
    if !case.dangling {
        drop_dangling(&mut case);
    }
    add_defaults(source, &mut case);
    choose_root(source, case)
}

/// The key of a row's number, in words or digits.
fn own_value(column: &Column, number: usize) -> Cell {
    let number = i64::try_from(number).unwrap();
    match column.kind {
        Kind::Integer | Kind::Decimal => Cell::Integer(number),
        Kind::Uuid => Cell::Text(format!("{number:08x}-0000-4000-8000-00000000000a")),
        // Whether words or digits is the column's own, by its name.
        Kind::Text | Kind::Varchar if column.name.len().is_multiple_of(2) => {
            Cell::Text(number.to_string())
        }
        Kind::Text | Kind::Varchar | Kind::Bare => Cell::Text(format!("k{number}")),
    }
}

impl Filler<'_> {
    fn add_own_values(&mut self) {
        for id in 0..self.case.tables.len() {
            let least = if id <= self.case.users { 2 } else { 1 };
            let count = least + self.source.below(12);
            for number in 1..=count {
                let cells = self.own_cells(id, number);
                self.drafts.push(Draft {
                    table: id,
                    cells,
                    alive: true,
                });
            }
        }
    }

    fn own_cells(&mut self, id: usize, number: usize) -> Vec<Option<Cell>> {
        let table = self.case.tables[id].clone();
        let refers = |column: usize| {
            let keys = self.case.keys.iter().filter(|key| key.child == id);
            keys.into_iter()
                .any(|key| key.pairs.iter().any(|pair| pair.0 == column))
        };
        let own: Vec<usize> = (0..table.columns.len())
            .filter(|&column| table.is_key(column) && !refers(column))
            .filter(|&column| (id, column) != (self.case.users, self.case.email))
            .collect();
        let mut cells = vec![None; table.columns.len()];
        for &column in &own {
            let composite = table.primary.len() > 1 && table.primary.contains(&column);
            // Of a composite key each part repeats, so that half a match is
            // none.
            let number = match own.first() {
                Some(&first) if composite && own.len() > 1 && first == column => number % 3,
                _ if composite => number.div_ceil(3),
                _ => number,
            };
            let missing = table.columns[column].nullable
                && !table.primary.contains(&column)
                && self.source.chance(15);
            let value = if missing {
                Cell::Null
            } else {
                own_value(&table.columns[column], number)
            };
            cells[column] = Some(value);
        }
        cells
    }

    /// Chooses parents for all references of a table that are, or are not,
    /// part of a key.
    fn refer(&mut self, id: usize, in_key: bool) {
        let keys: Vec<usize> = (0..self.case.keys.len())
            .filter(|&key| {
                let key = &self.case.keys[key];
                let table = &self.case.tables[id];
                key.child == id && key.pairs.iter().any(|pair| table.is_key(pair.0)) == in_key
            })
            .collect();
        for draft in (0..self.drafts.len())
            .filter(|&draft| self.drafts[draft].table == id)
            .collect::<Vec<_>>()
        {
            for &key in &keys {
                self.choose_parent(draft, key);
            }
        }
    }

    fn choose_parent(&mut self, draft: usize, key: usize) {
        let key = self.case.keys[key].clone();
        let table = &self.case.tables[key.child];
        let missing: Vec<(usize, usize)> = key
            .pairs
            .iter()
            .copied()
            .filter(|&(from, _)| self.drafts[draft].cells[from].is_none())
            .collect();
        let clearable = missing
            .iter()
            .map(|pair| pair.0)
            .find(|&from| table.columns[from].nullable && !table.primary.contains(&from));
        if let Some(column) = clearable
            && self.source.chance(25)
        {
            return self.set(draft, column, Cell::Null);
        }
        if self.case.dangling && !missing.is_empty() && self.source.chance(8) {
            for (from, _) in missing {
                let gone = own_value(&self.case.tables[key.child].columns[from], 77);
                self.set(draft, from, gone);
            }
            return;
        }
        let fitting = self.fitting_parents(draft, &key);
        if fitting.is_empty() {
            match clearable {
                Some(column) => self.set(draft, column, Cell::Null),
                None => self.drafts[draft].alive &= self.case.dangling && missing.is_empty(),
            }
            return;
        }
        // The first rows get more than their share, so that some user has
        // much to lose.
        let some = self.source.below(fitting.len());
        let parent = if self.source.chance(45) {
            fitting[0]
        } else {
            fitting[some]
        };
        for (from, to) in missing {
            let value = self.drafts[parent].cells[to].clone().unwrap();
            let value = self.spelled(&key, (from, to), value);
            self.set(draft, from, value);
        }
    }

    /// The rows that a reference can lead to, given what is set already.
    fn fitting_parents(&self, draft: usize, key: &Key) -> Vec<usize> {
        let child = &self.drafts[draft];
        (0..self.drafts.len())
            .filter(|&parent| {
                let itself = parent == draft;
                let parent = &self.drafts[parent];
                parent.table == key.parent
                    && parent.alive
                    && !(itself && self.clashes(key))
                    && key.pairs.iter().all(|&(from, to)| {
                        let column = &self.case.tables[key.parent].columns[to];
                        let own = &self.case.tables[key.child].columns[from];
                        let Some(target) = parent.cells[to].as_ref().filter(|c| **c != Cell::Null)
                        else {
                            return false;
                        };
                        let value = child.cells[from]
                            .clone()
                            .unwrap_or_else(|| own.store(target));
                        column.same(&column.store(&value), target)
                    })
            })
            .collect()
    }

    /// True when a reference's values are of another type than its parent's:
    /// a row that refers to itself that way is one that SQLite never changes.
    fn clashes(&self, key: &Key) -> bool {
        let (child, parent) = (self.case.child(key), self.case.parent(key));
        key.pairs.iter().any(|&(from, to)| {
            child.columns[from].kind.affinity() != parent.columns[to].kind.affinity()
        })
    }

    /// A value as a child may write it: in other letter case, or as a number
    /// in words, where the parent's column does not mind.
    fn spelled(&mut self, key: &Key, (from, to): (usize, usize), value: Cell) -> Cell {
        let loose = self.case.child(key).columns[from].kind == Kind::Bare;
        let column = &self.case.parent(key).columns[to];
        let written = match &value {
            Cell::Text(text) if column.nocase => Cell::Text(text.to_ascii_uppercase()),
            Cell::Integer(_) if loose => Affinity::Text.convert(&value),
            Cell::Text(_) if loose => Affinity::Number.convert(&value),
            _ => return value,
        };
        let means_the_same = column.same(&column.store(&written), &value);
        if means_the_same && self.source.chance(50) {
            written
        } else {
            value
        }
    }

    fn set(&mut self, draft: usize, column: usize, value: Cell) {
        let table = &self.case.tables[self.drafts[draft].table];
        let cells = &mut self.drafts[draft].cells;
        cells[column] = Some(table.columns[column].store(&value));
        if let Some((base, _)) = table.columns[column].generated {
            cells[base] = Some(table.columns[base].store(&value));
        }
    }

    fn finish(&mut self) {
        let drafts = std::mem::take(&mut self.drafts);
        for (number, draft) in drafts
            .into_iter()
            .enumerate()
            .filter(|(_, draft)| draft.alive)
        {
            let cells = self.finished_cells(number, &draft);
            self.case.rows.push(Row {
                table: draft.table,
                cells,
            });
        }
    }

    fn finished_cells(&mut self, number: usize, draft: &Draft) -> Vec<Cell> {
        let columns = &self.case.tables[draft.table].columns;
        let mut cells = Vec::new();
        for (id, column) in columns.iter().enumerate() {
            let is_email = draft.table == self.case.users && id == self.case.email;
            let value = match (&draft.cells[id], column.name.as_str()) {
                (Some(value), _) => value.clone(),
                (None, "tag") => Cell::Text(format!("r{number}")),
                (None, _) if is_email => match self.source.below(10) {
                    8 => Cell::Text(format!("u{number}@real.org")),
                    9 => Cell::Null,
                    _ => Cell::Text(format!("u{number}@{DOMAIN}")),
                },
                (None, "points" | "loose") => match self.source.below(3) {
                    0 => Cell::Null,
                    points => Cell::Integer(i64::try_from(points).unwrap() - 1),
                },
                (None, "the \"state\"") => {
                    Cell::Text((*self.source.pick(&["new", "NEW", "old", "0"])).to_owned())
                }
                (None, _) if column.nullable => Cell::Null,
                (None, _) => own_value(column, number),
            };
            cells.push(column.store(&value));
        }
        cells
    }
}

/// Leaves out rows that repeat what is unique.
fn drop_duplicates(case: &mut Case) {
    let mut kept: Vec<Row> = Vec::new();
    for row in std::mem::take(&mut case.rows) {
        let table = &case.tables[row.table];
        let repeats = |other: &Row| {
            other.table == row.table
                && table.candidates().iter().any(|unique| {
                    unique.iter().all(|&column| {
                        let (one, two) = (&row.cells[column], &other.cells[column]);
                        *one != Cell::Null && table.columns[column].same(one, two)
                    })
                })
        };
        if !kept.iter().any(repeats) {
            kept.push(row);
        }
    }
    case.rows = kept;
}

/// Leaves out rows whose declared parents are not there, until there is none.
fn drop_dangling(case: &mut Case) {
    loop {
        let left: Vec<Row> = case
            .rows
            .iter()
            .filter(|row| {
                let mut keys = case
                    .keys
                    .iter()
                    .filter(|key| key.declared && key.child == row.table);
                keys.all(|key| {
                    let unset = key.pairs.iter().any(|pair| row.cells[pair.0] == Cell::Null);
                    unset || case.rows.iter().any(|parent| case.refers(key, row, parent))
                })
            })
            .cloned()
            .collect();
        if left.len() == case.rows.len() {
            return;
        }
        case.rows = left;
    }
}

/// Defaults of columns that ON DELETE SET DEFAULT needs: another parent's
/// key, or none.
fn add_defaults(source: &mut Source, case: &mut Case) {
    for key in case
        .keys
        .clone()
        .iter()
        .filter(|key| key.action == OnDelete::SetDefault)
    {
        let parents: Vec<&Row> = case
            .rows
            .iter()
            .filter(|row| row.table == key.parent)
            .collect();
        if parents.is_empty() || source.chance(35) {
            continue;
        }
        let parent = (*source.pick(&parents)).clone();
        for &(from, to) in &key.pairs {
            let column = &mut case.tables[key.child].columns[from];
            if column.generated.is_none() {
                column.default = Some(column.store(&parent.cells[to]));
            }
        }
    }
}

fn choose_root(source: &mut Source, mut case: Case) -> Option<Case> {
    let users: Vec<&Row> = case
        .rows
        .iter()
        .filter(|row| row.table == case.users && row.cells[case.user_key] != Cell::Null)
        .collect();
    if users.is_empty() {
        return None;
    }
    let some = *source.pick(&users);
    let root = if source.chance(70) { users[0] } else { some };
    let email = &root.cells[case.email];
    let by_email = *email != Cell::Null && source.chance(30);
    let is_test = matches!(email, Cell::Text(email) if email.ends_with(&format!("@{DOMAIN}")));
    let root = case.tag(root).to_owned();
    let force = !is_test || source.chance(50);
    case.root = root;
    case.by_email = by_email;
    case.force = force;
    Some(case)
}
