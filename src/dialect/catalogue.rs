//! What a database's catalogue answers, and the schema that follows.
//!
//! Every dialect's queries give the same columns, each as text and in a fixed
//! order, so that they are read once for all databases.

use std::collections::BTreeMap;

use crate::schema::{
    Column, ColumnId, ColumnPair, ForeignKey, Index, Locator, Origin, ReferentialAction, Schema,
    Table, TableId, TableName,
};

/// The statements that read a catalogue.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// schema, table, hidden locator, has triggers or rules, has collations, obstacle,
    /// has heirs.
    pub tables: String,
    /// schema, table, column, type, nullable, default, generated, automatic,
    /// position in the primary key (from 1), collation, and where there is such
    /// a thing, self-updating.
    pub columns: String,
    /// schema, table, number, name, child column, parent schema, parent table,
    /// parent column, action, deferrable; ordered within each key.
    pub foreign_keys: String,
    /// schema, table, index, column, unique; ordered within each index.
    pub indexes: String,
    /// One text that changes whenever tables, columns or keys do.
    pub fingerprint: String,
    /// One that changes whenever indexes do. They decide nothing but how long
    /// something takes, so that nobody asks inside a transaction.
    pub indexed: String,
}

/// What the statements of a [`Catalogue`] answered.
#[derive(Debug, Clone, Default)]
pub struct Raw {
    /// Of `tables`.
    pub tables: Vec<Row>,
    /// Of `columns`.
    pub columns: Vec<Row>,
    /// Of `foreign_keys`.
    pub foreign_keys: Vec<Row>,
    /// Of `indexes`.
    pub indexes: Vec<Row>,
    /// Of `fingerprint`.
    pub fingerprint: String,
}

/// One row of an answer, every column as text.
pub type Row = Vec<Option<String>>;

impl Raw {
    /// The schema that the answers describe. A foreign key whose parent does
    /// not exist, which SQLite allows, ties nothing and is left out.
    #[must_use]
    pub fn into_schema(self) -> Schema {
        let mut tables: Vec<Table> = self.tables.iter().map(table).collect();
        let places: BTreeMap<TableName, usize> = tables
            .iter()
            .enumerate()
            .map(|(index, table)| (table.name.clone(), index))
            .collect();
        let mut keys: BTreeMap<usize, Vec<(usize, ColumnId)>> = BTreeMap::new();
        for row in &self.columns {
            if let Some(&place) = places.get(&name(row)) {
                let id = ColumnId(tables[place].columns.len());
                let position: usize = text(row, 8).parse().unwrap_or(0);
                if position > 0 {
                    keys.entry(place).or_default().push((position, id));
                }
                tables[place].columns.push(column(row));
            }
        }
        for (place, mut key) in keys {
            key.sort_unstable();
            let columns: Vec<ColumnId> = key.into_iter().map(|(_, id)| id).collect();
            let table = &mut tables[place];
            if table.locator == Locator::Columns(Vec::new()) {
                table.locator = Locator::Columns(columns.clone());
            }
            table.primary_key.clone_from(&columns);
            table.indexes.push(Index {
                columns,
                unique: true,
            });
        }
        for index in indexes(&self.indexes) {
            if let Some(&place) = places.get(&index.table)
                && let Some(columns) = columns_named(&tables[place], &index.columns)
            {
                let unique = index.unique;
                tables[place].indexes.push(Index { columns, unique });
            }
        }
        for table in &mut tables {
            let is_unlocated = table.locator == Locator::Columns(Vec::new());
            if is_unlocated && let Some(columns) = told_apart(table) {
                table.locator = Locator::Columns(columns);
            }
        }
        let foreign_keys = foreign_keys(&self.foreign_keys, &tables, &places);
        Schema::new(tables, foreign_keys, self.fingerprint)
    }
}

fn text(row: &Row, index: usize) -> String {
    row.get(index).cloned().flatten().unwrap_or_default()
}

fn flag(row: &Row, index: usize) -> bool {
    text(row, index) == "1"
}

fn optional(row: &Row, index: usize) -> Option<String> {
    row.get(index).cloned().flatten()
}

fn name(row: &Row) -> TableName {
    TableName {
        schema: optional(row, 0),
        name: text(row, 1),
    }
}

fn table(row: &Row) -> Table {
    Table {
        name: name(row),
        columns: Vec::new(),
        primary_key: Vec::new(),
        locator: optional(row, 2).map_or(Locator::Columns(Vec::new()), Locator::Hidden),
        indexes: Vec::new(),
        has_triggers: flag(row, 3),
        has_collations: flag(row, 4),
        obstacle: optional(row, 5),
        has_heirs: flag(row, 6),
    }
}

fn column(row: &Row) -> Column {
    Column {
        name: text(row, 2),
        type_name: text(row, 3),
        nullable: flag(row, 4),
        default: optional(row, 5),
        generated: flag(row, 6),
        automatic: flag(row, 7),
        collation: optional(row, 9),
        self_updating: flag(row, 10),
        expression: optional(row, 11),
    }
}

/// An index as the catalogue names it.
#[derive(Default)]
struct Named {
    table: TableName,
    /// One over an expression has a column without a name.
    columns: Vec<Option<String>>,
    unique: bool,
}

/// The indexes, in the order of their tables and names.
fn indexes(rows: &[Row]) -> Vec<Named> {
    let mut found: BTreeMap<(TableName, String), Named> = BTreeMap::new();
    for row in rows {
        let entry = found.entry((name(row), text(row, 2))).or_default();
        entry.table = name(row);
        entry.columns.push(optional(row, 3));
        entry.unique = flag(row, 4);
    }
    found.into_values().collect()
}

/// Columns by which rows are told apart that have no primary key: unique and
/// never NULL.
fn told_apart(table: &Table) -> Option<Vec<ColumnId>> {
    let required = |id: &ColumnId| !table.column(*id).nullable;
    let mut indexes = table.indexes.iter();
    let found = indexes.find(|index| index.unique && index.columns.iter().all(required));
    found.map(|index| index.columns.clone())
}

fn columns_named(table: &Table, names: &[Option<String>]) -> Option<Vec<ColumnId>> {
    names
        .iter()
        .map(|name| find_column(table, name.as_deref()?))
        .collect()
}

/// By the exact name, else without regard to ASCII case, as SQLite resolves
/// the names in a foreign key.
fn find_column(table: &Table, name: &str) -> Option<ColumnId> {
    let inexact = |column: &Column| column.name.eq_ignore_ascii_case(name);
    table
        .find(name)
        .or_else(|| table.columns.iter().position(inexact).map(ColumnId))
}

fn find_table(places: &BTreeMap<TableName, usize>, name: &TableName) -> Option<usize> {
    places.get(name).copied().or_else(|| {
        let inexact = |other: &TableName| {
            other.schema == name.schema && other.name.eq_ignore_ascii_case(&name.name)
        };
        let mut entries = places.iter();
        entries
            .find(|(other, _)| inexact(other))
            .map(|(_, &place)| place)
    })
}

fn foreign_keys(
    rows: &[Row],
    tables: &[Table],
    places: &BTreeMap<TableName, usize>,
) -> Vec<ForeignKey> {
    let mut grouped: BTreeMap<(TableName, String), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        grouped
            .entry((name(row), text(row, 2)))
            .or_default()
            .push(row);
    }
    grouped
        .into_iter()
        .filter_map(|((child_name, _), rows)| foreign_key(&child_name, &rows, tables, places))
        .collect()
}

fn foreign_key(
    child_name: &TableName,
    rows: &[&Row],
    tables: &[Table],
    places: &BTreeMap<TableName, usize>,
) -> Option<ForeignKey> {
    let first = rows.first()?;
    let child = find_table(places, child_name)?;
    let parent_name = TableName {
        schema: optional(first, 5),
        name: text(first, 6),
    };
    let parent = find_table(places, &parent_name)?;
    let columns = rows
        .iter()
        .enumerate()
        .map(|(position, row)| {
            let to = match optional(row, 7) {
                Some(name) => find_column(&tables[parent], &name),
                None => tables[parent].primary_key.get(position).copied(),
            };
            Some(ColumnPair {
                child: find_column(&tables[child], &text(row, 4))?,
                parent: to?,
            })
        })
        .collect::<Option<Vec<_>>>()?;
    Some(ForeignKey {
        name: optional(first, 3),
        child: table_id(child),
        parent: table_id(parent),
        columns,
        on_delete: action(&text(first, 8)),
        deferrable: flag(first, 9),
        origin: Origin::Catalogue,
    })
}

fn table_id(place: usize) -> TableId {
    Schema::table_id(place)
}

fn action(text: &str) -> ReferentialAction {
    match text {
        "CASCADE" | "c" => ReferentialAction::Cascade,
        "SET NULL" | "n" => ReferentialAction::SetNull,
        "SET DEFAULT" | "d" => ReferentialAction::SetDefault,
        "RESTRICT" | "r" => ReferentialAction::Restrict,
        _ => ReferentialAction::NoAction,
    }
}
