//! A connection beside the target's own, as an application or an
//! administrator has it.

use std::collections::BTreeMap;

use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, MySqlConnection, PgConnection, Row as _,
    SqlSafeStr as _, SqliteConnection, postgres::PgConnectOptions, sqlite::SqliteConnectOptions,
};

/// A connection to one of the databases.
#[derive(Debug)]
pub enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
    MariaDb(MySqlConnection),
}

type Rows = Vec<Vec<String>>;

const POSTGRES_TABLES: &str = "SELECT c.oid::regclass::text, \
    'SELECT to_jsonb(t)::text FROM ONLY ' || c.oid::regclass || ' AS t ORDER BY 1' \
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' \
    AND n.nspname NOT IN ('information_schema', 'resetd') \
    UNION ALL SELECT 'sequence ' || c.oid::regclass, \
    'SELECT last_value || '' '' || is_called FROM ' || c.oid::regclass \
    FROM pg_class AS c WHERE c.relkind = 'S'";

const SQLITE_TABLES: &str = "SELECT CASE name WHEN 'sqlite_sequence' THEN 'sequences' ELSE name END, \
    'SELECT ' || (SELECT group_concat('quote(\"' || replace(x.name, '\"', '\"\"') || '\")', \
    ' || '','' || ') FROM pragma_table_xinfo(m.name) AS x) || ' FROM \"' || name || '\" ORDER BY 1' \
    FROM sqlite_schema AS m WHERE type = 'table' AND name NOT LIKE 'resetd_%' \
    AND (name NOT LIKE 'sqlite_%' OR name = 'sqlite_sequence')";

const MARIADB_TABLES: &str = "SELECT t.TABLE_NAME, CONCAT('SELECT CONCAT_WS('','', ', \
    GROUP_CONCAT(CONCAT('QUOTE(`', REPLACE(c.COLUMN_NAME, '`', '``'), '`)') \
    ORDER BY c.ORDINAL_POSITION), ') FROM `', REPLACE(t.TABLE_NAME, '`', '``'), '` ORDER BY 1') \
    FROM information_schema.TABLES AS t JOIN information_schema.COLUMNS AS c \
    ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME \
    WHERE t.TABLE_SCHEMA = DATABASE() AND c.TABLE_SCHEMA = DATABASE() \
    AND t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') \
    AND t.TABLE_NAME NOT IN ('resetd_marker', 'resetd_commit', 'resetd_effect', 'resetd_lock') \
    GROUP BY t.TABLE_NAME UNION ALL SELECT CONCAT('sequence ', TABLE_NAME), \
    CONCAT('SELECT ''', AUTO_INCREMENT, '''') FROM information_schema.TABLES \
    WHERE TABLE_SCHEMA = DATABASE() AND AUTO_INCREMENT IS NOT NULL";

impl Connection {
    pub async fn sqlite(path: &str) -> Self {
        let options = SqliteConnectOptions::new().filename(path);
        let options = options.create_if_missing(true).foreign_keys(true);
        Self::Sqlite(SqliteConnection::connect_with(&options).await.unwrap())
    }

    pub async fn postgres(options: &PgConnectOptions) -> Self {
        Self::Postgres(PgConnection::connect_with(options).await.unwrap())
    }

    /// Runs statements.
    pub async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned()).into_sql_str();
        match self {
            Self::Sqlite(connection) => connection.execute(sqlx::raw_sql(sql)).await.map(|_| ()),
            Self::Postgres(connection) => connection.execute(sqlx::raw_sql(sql)).await.map(|_| ()),
            Self::MariaDb(connection) => connection.execute(sqlx::raw_sql(sql)).await.map(|_| ()),
        }
    }

    /// The rows that a query answers; every column has to be text.
    pub async fn rows(&mut self, sql: &str) -> Result<Rows, sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned()).into_sql_str();
        let text = |text: Option<String>| text.unwrap_or_default();
        match self {
            Self::Sqlite(connection) => {
                let rows = connection
                    .fetch_all(sqlx::query(sql).persistent(false))
                    .await?;
                let row = |row: &sqlx::sqlite::SqliteRow| {
                    (0..row.len()).map(|i| text(row.get(i))).collect()
                };
                Ok(rows.iter().map(row).collect())
            }
            Self::Postgres(connection) => {
                let rows = connection
                    .fetch_all(sqlx::query(sql).persistent(false))
                    .await?;
                let row = |row: &sqlx::postgres::PgRow| {
                    (0..row.len()).map(|i| text(row.get(i))).collect()
                };
                Ok(rows.iter().map(row).collect())
            }
            Self::MariaDb(connection) => {
                let rows = connection.fetch_all(sqlx::raw_sql(sql)).await?;
                let row = |row: &sqlx::mysql::MySqlRow| {
                    (0..row.len()).map(|i| text(row.get(i))).collect()
                };
                Ok(rows.iter().map(row).collect())
            }
        }
    }

    /// Every row of every table, and where the sequences stand.
    pub async fn dump(&mut self) -> BTreeMap<String, Vec<String>> {
        let tables = match self {
            Self::Sqlite(_) => SQLITE_TABLES,
            Self::Postgres(_) => POSTGRES_TABLES,
            Self::MariaDb(_) => MARIADB_TABLES,
        };
        let mut dump = BTreeMap::new();
        for table in self.rows(tables).await.unwrap() {
            let rows = self.rows(&table[1]).await.unwrap();
            dump.insert(table[0].clone(), rows.into_iter().flatten().collect());
        }
        dump
    }

    pub async fn close(self) {
        match self {
            Self::Sqlite(connection) => connection.close().await.unwrap(),
            Self::Postgres(connection) => connection.close().await.unwrap(),
            Self::MariaDb(connection) => connection.close().await.unwrap(),
        }
    }
}
