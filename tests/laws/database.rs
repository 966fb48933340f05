//! A case's database, looked at from outside: by a connection of the test's
//! own.

use std::{collections::BTreeMap, path::Path};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection,
    sqlite::SqliteConnectOptions,
};

use crate::{
    case::{Case, Cell},
    script::quote,
};

/// Every row of every table, as cells: by table, in the order of their tags
/// or, for tables that have none, of their values.
pub type Snapshot = BTreeMap<String, Vec<Vec<Cell>>>;

/// How often a table (child, parent) has references that lead nowhere.
pub type Dangling = BTreeMap<(String, String), usize>;

pub struct Database(SqliteConnection);

impl Database {
    /// Opens the file without any enforcement of foreign keys.
    pub async fn open(path: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(false);
        Self(options.connect().await.unwrap())
    }

    /// Runs statements of the test's own.
    pub async fn run(&mut self, sql: &str) {
        let text = AssertSqlSafe(sql.to_owned());
        if let Err(error) = sqlx::raw_sql(text).execute(&mut self.0).await {
            panic!("{error} in {sql}");
        }
    }

    async fn rows(&mut self, sql: &str) -> Vec<Vec<Cell>> {
        let rows = sqlx::query(AssertSqlSafe(sql.to_owned()))
            .persistent(false)
            .fetch_all(&mut self.0)
            .await
            .unwrap_or_else(|error| panic!("{error} in {sql}"));
        let cells =
            |row: &sqlx::sqlite::SqliteRow| (0..row.len()).map(|index| cell(row, index)).collect();
        rows.iter().map(cells).collect()
    }

    /// All that is there, our own bookkeeping included.
    pub async fn snapshot(&mut self) -> Snapshot {
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
        let mut snapshot = Snapshot::new();
        for name in self.rows(tables).await {
            let Some(Cell::Text(name)) = name.into_iter().next() else {
                continue;
            };
            let mut rows = self.rows(&format!("SELECT * FROM {}", quote(&name))).await;
            rows.sort_by(|one, other| one.last().cmp(&other.last()).then(one.cmp(other)));
            snapshot.insert(name, rows);
        }
        snapshot
    }

    pub async fn close(self) {
        self.0.close().await.unwrap();
    }

    /// What SQLite itself finds wrong with the foreign keys.
    pub async fn dangling(&mut self) -> Dangling {
        let mut found = Dangling::new();
        for row in self
            .rows("SELECT \"table\", \"parent\" FROM pragma_foreign_key_check")
            .await
        {
            *found.entry((row[0].text(), row[1].text())).or_default() += 1;
        }
        found
    }
}

fn cell(row: &sqlx::sqlite::SqliteRow, index: usize) -> Cell {
    use sqlx::{TypeInfo as _, ValueRef as _};
    let raw = row.try_get_raw(index).unwrap();
    match raw.type_info().name() {
        _ if raw.is_null() => Cell::Null,
        "INTEGER" => Cell::Integer(row.try_get_unchecked(index).unwrap()),
        _ => Cell::Text(row.try_get_unchecked(index).unwrap()),
    }
}

/// What a snapshot of the case's rows has to be.
pub fn expected(case: &Case, rows: &[crate::case::Row]) -> Snapshot {
    let mut snapshot: Snapshot = case
        .tables
        .iter()
        .map(|table| (table.name.clone(), Vec::new()))
        .collect();
    for row in rows {
        let table = &case.tables[row.table].name;
        snapshot.get_mut(table).unwrap().push(row.cells.clone());
    }
    for rows in snapshot.values_mut() {
        rows.sort_by(|one, other| one.last().cmp(&other.last()).then(one.cmp(other)));
    }
    snapshot
}
