//! Everything in a database, and the difference between two moments, found
//! without any of the server's own knowledge.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};

use crate::harness::connect;

/// What stands between two values of a row: none of our data has it.
const GAP: char = '\u{1f}';
/// What stands between a row's id and its values.
const ID_GAP: char = '\u{1e}';
/// What stands between two rows.
const ROW_GAP: char = '\u{1d}';

/// A database at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    pub tables: BTreeMap<String, Table>,
    pub keys: Vec<Key>,
}

/// A table, its rows by row id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub columns: Vec<String>,
    rows: BTreeMap<i64, String>,
}

/// A foreign key of one column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub child: String,
    pub column: String,
    pub parent: String,
    pub parent_column: String,
}

/// A row's place: its table and row id.
pub type Place = (String, i64);

impl Dump {
    pub async fn of(path: &Path) -> Self {
        let mut connection = connect(path).await;
        // One transaction, so that all of it is of one moment.
        sqlx::query("BEGIN").execute(&mut connection).await.unwrap();
        let names = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
        let mut dump = Self {
            tables: BTreeMap::new(),
            keys: Vec::new(),
        };
        for name in texts(&mut connection, names).await {
            let columns = format!("SELECT name FROM pragma_table_info('{name}') ORDER BY cid");
            let columns = texts(&mut connection, &columns).await;
            let rows = rows(&mut connection, &name, &columns).await;
            dump.keys.extend(keys(&mut connection, &name).await);
            dump.tables.insert(name, Table { columns, rows });
        }
        let schema = "SELECT quote(name) || quote(sql) FROM sqlite_schema ORDER BY type, name";
        let rows = texts(&mut connection, schema).await;
        let table = Table {
            columns: vec!["sql".to_owned()],
            rows: (1..).zip(rows).collect(),
        };
        dump.tables.insert("sqlite_schema".to_owned(), table);
        connection.close().await.unwrap();
        dump
    }

    /// The same without the proofs of commit, of which each committed
    /// operation leaves one.
    pub fn without_proofs(mut self) -> Self {
        for name in ["resetd_commit", "resetd_effect"] {
            if let Some(table) = self.tables.get_mut(name) {
                table.rows.clear();
            }
        }
        self
    }

    /// Fails with the rows that differ, rather than with two whole dumps.
    #[track_caller]
    pub fn assert_same(&self, later: &Self, what: &str) {
        let (gone, come) = (self.minus(later), later.minus(self));
        assert!(
            gone.is_empty() && come.is_empty() && self == later,
            "{what} changed the database\n- {gone:#?}\n+ {come:#?}"
        );
    }

    /// Fails where any other table than these has changed.
    #[track_caller]
    pub fn assert_same_but(&self, later: &Self, tables: &[&str]) {
        let without = |dump: &Self| {
            let mut dump = dump.clone().without_proofs();
            for table in tables {
                dump.tables.get_mut(*table).unwrap().rows.clear();
            }
            dump
        };
        without(self).assert_same(&without(later), &format!("besides {tables:?}"));
    }

    fn minus(&self, other: &Self) -> Vec<String> {
        let mut rows = Vec::new();
        for (name, table) in &self.tables {
            let there = other.tables.get(name);
            for (id, row) in &table.rows {
                if there.and_then(|table| table.rows.get(id)) != Some(row) {
                    rows.push(format!("{name} {id}: {}", row.replace(GAP, " | ")));
                }
            }
        }
        rows
    }

    /// Also follows a reference that the database does not declare.
    pub fn declare(&mut self, child: &str, column: &str, parent: &str, parent_column: &str) {
        self.keys.push(Key {
            child: child.to_owned(),
            column: column.to_owned(),
            parent: parent.to_owned(),
            parent_column: parent_column.to_owned(),
        });
    }

    /// The rows that `later` does not have any more.
    pub fn deleted(&self, later: &Self) -> BTreeSet<Place> {
        self.places()
            .filter(|(name, id)| !later.tables[name].rows.contains_key(id))
            .collect()
    }

    /// The rows that are in both and differ, with the columns that do.
    pub fn changed(&self, later: &Self) -> BTreeMap<Place, Vec<String>> {
        let mut changed = BTreeMap::new();
        for (name, id) in self.places() {
            let (before, after) = (&self.tables[&name], &later.tables[&name]);
            if let Some(now) = after.rows.get(&id).filter(|now| **now != before.rows[&id]) {
                let was = before.rows[&id].split(GAP);
                let columns = before.columns.iter().zip(was.zip(now.split(GAP)));
                let differing = columns.filter(|(_, (was, now))| was != now);
                let differing = differing.map(|(column, _)| column.clone()).collect();
                changed.insert((name, id), differing);
            }
        }
        changed
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        self.tables
            .iter()
            .flat_map(|(name, table)| table.rows.keys().map(|id| (name.clone(), *id)))
    }

    /// A value as plain text; nothing for NULL.
    pub fn value(&self, (table, id): &Place, column: &str) -> Option<String> {
        let table = &self.tables[table];
        let index = table.columns.iter().position(|name| name == column);
        let index = index.unwrap_or_else(|| panic!("there is no column {column}"));
        plain(table.rows[id].split(GAP).nth(index).unwrap())
    }

    /// The row that a reference leads to; nothing for NULL, and nothing for a
    /// value that no row has, as only undeclared references may.
    pub fn parent(&self, place: &Place, key: &Key) -> Option<Place> {
        let value = self.value(place, &key.column)?;
        self.find(&key.parent, &key.parent_column, &value)
    }

    /// The row with this value in a column.
    pub fn find(&self, table: &str, column: &str, value: &str) -> Option<Place> {
        let rows = self.tables[table].rows.iter();
        // Looked for as a whole first, which is much faster than column by column.
        let mut places = rows
            .filter(|(_, row)| row.contains(value))
            .map(|(id, _)| (table.to_owned(), *id));
        places.find(|place| self.value(place, column).as_deref() == Some(value))
    }

    /// Where a text occurs in any value of any table but those of `except`.
    pub fn mentions(&self, text: &str, except: &[&str]) -> Vec<String> {
        let tables = self.tables.iter();
        let tables = tables.filter(|(name, _)| !except.contains(&name.as_str()));
        tables
            .flat_map(|(name, table)| table.rows.values().map(move |row| (name, row)))
            .filter(|(_, row)| row.contains(text))
            .map(|(name, row)| format!("{name}: {}", row.replace(GAP, " | ")))
            .collect()
    }
}

/// What `quote` made of a value, as plain text.
fn plain(quoted: &str) -> Option<String> {
    if quoted == "NULL" {
        return None;
    }
    let inner = quoted
        .strip_prefix('\'')
        .and_then(|text| text.strip_suffix('\''));
    Some(inner.map_or_else(|| quoted.to_owned(), |text| text.replace("''", "'")))
}

async fn texts(connection: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned()));
    let rows = rows.fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn rows(
    connection: &mut SqliteConnection,
    table: &str,
    columns: &[String],
) -> BTreeMap<i64, String> {
    let values: Vec<String> = columns
        .iter()
        .map(|column| format!("quote(\"{column}\")"))
        .collect();
    let values = values.join(" || char(31) || ");
    // All rows as one text: a dump is taken often.
    let sql = format!(
        "SELECT coalesce(group_concat(row, char(29)), '') FROM \
         (SELECT rowid || char(30) || {values} AS row FROM main.\"{table}\" ORDER BY rowid)"
    );
    let all = texts(connection, &sql).await.remove(0);
    let rows = all.split(ROW_GAP).filter(|row| !row.is_empty());
    let row = |row: &str| {
        let (id, values) = row.split_once(ID_GAP).unwrap();
        (id.parse().unwrap(), values.to_owned())
    };
    rows.map(row).collect()
}

async fn keys(connection: &mut SqliteConnection, table: &str) -> Vec<Key> {
    let sql = format!("SELECT \"from\", \"table\", \"to\" FROM pragma_foreign_key_list('{table}')");
    let rows = sqlx::query(AssertSqlSafe(sql));
    let rows = rows.fetch_all(connection).await.unwrap();
    rows.iter()
        .map(|row| Key {
            child: table.to_owned(),
            column: row.get(0),
            parent: row.get(1),
            parent_column: row.get(2),
        })
        .collect()
}
