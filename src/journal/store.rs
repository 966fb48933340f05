//! The journal's file.

use std::path::Path;

use jiff::Timestamp;
use sqlx::{
    ConnectOptions as _, Row as _,
    sqlite::{
        SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
    },
};

use super::Error;
use crate::operation::OperationId;

/// The format that this version writes.
const FORMAT: i64 = 1;

/// Records are only ever added: the triggers hold that even against somebody
/// with a shell, short of dropping them.
const SCHEMA: &str = "
    CREATE TABLE record (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        operation_id TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('intent', 'outcome', 'refused')),
        at TEXT NOT NULL,
        body TEXT NOT NULL CHECK (json_valid(body)),
        UNIQUE (operation_id, kind)
    );
    CREATE TRIGGER record_is_append_only_update BEFORE UPDATE ON record
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
    CREATE TRIGGER record_is_append_only_delete BEFORE DELETE ON record
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
    PRAGMA user_version = 1;
";

#[derive(Debug)]
pub(super) struct Store {
    pool: SqlitePool,
}

impl Store {
    pub(super) async fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Open {
            path: path.display().to_string(),
            source,
        };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // An intent must survive a power cut before its operation starts.
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await
            .map_err(failed)?;
        let found: i64 = sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(&pool)
            .await
            .map_err(failed)?;
        if found > FORMAT {
            return Err(Error::Newer {
                path: path.display().to_string(),
                found,
                known: FORMAT,
            });
        }
        if found == 0 {
            let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
            let made = sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await;
            made.map_err(failed)?;
            transaction.commit().await.map_err(failed)?;
        }
        Ok(Self { pool })
    }

    pub(super) async fn append(
        &self,
        operation: OperationId,
        kind: &'static str,
        at: Timestamp,
        body: &str,
    ) -> Result<i64, Error> {
        let sql = "INSERT INTO record (operation_id, kind, at, body) VALUES (?1, ?2, ?3, ?4)";
        let done = sqlx::query(sql)
            .bind(operation.to_string())
            .bind(kind)
            .bind(at.to_string())
            .bind(body)
            .execute(&self.pool)
            .await
            .map_err(Error::Write)?;
        Ok(done.last_insert_rowid())
    }

    /// Operations without an outcome, in their order, each with its target.
    pub(super) async fn unfinished(&self) -> Result<Vec<(OperationId, String)>, Error> {
        let sql = "SELECT operation_id, json_extract(body, '$.target') FROM record AS i \
                   WHERE kind = 'intent' AND NOT EXISTS (SELECT 1 FROM record AS o \
                   WHERE o.operation_id = i.operation_id AND o.kind = 'outcome') ORDER BY sequence";
        let rows = sqlx::query(sql)
            .fetch_all(&self.pool)
            .await
            .map_err(Error::Write)?;
        let entry = |row: &sqlx::sqlite::SqliteRow| {
            let operation = row.get::<String, _>(0).parse().ok()?;
            let target: Option<String> = row.get(1);
            Some((operation, target.unwrap_or_default()))
        };
        Ok(rows.iter().filter_map(entry).collect())
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn operation(number: u128) -> OperationId {
        OperationId::from(uuid::Uuid::from_u128(number))
    }

    #[tokio::test]
    async fn what_is_written_stays_and_ends_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let store = Store::open(&path).await.unwrap();
        store
            .append(operation(1), "intent", now(), "{}")
            .await
            .unwrap();
        store
            .append(operation(2), "intent", now(), "{}")
            .await
            .unwrap();
        store
            .append(operation(1), "outcome", now(), "{}")
            .await
            .unwrap();
        let again = store.append(operation(1), "outcome", now(), "{}").await;
        assert!(matches!(again, Err(Error::Write(_))), "{again:?}");
        let unfinished = [(operation(2), String::new())];
        assert_eq!(store.unfinished().await.unwrap(), unfinished);
        for sql in ["DELETE FROM record", "UPDATE record SET body = '{}'"] {
            let error = sqlx::query(sql).execute(&store.pool).await.unwrap_err();
            assert!(error.to_string().contains("append-only"), "{error}");
        }
        store.close().await;
        let store = Store::open(&path).await.unwrap();
        assert_eq!(store.unfinished().await.unwrap(), unfinished);
    }

    #[tokio::test]
    async fn a_journal_of_a_later_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let store = Store::open(&path).await.unwrap();
        sqlx::raw_sql("PRAGMA user_version = 2")
            .execute(&store.pool)
            .await
            .unwrap();
        store.close().await;
        let error = Store::open(&path).await.unwrap_err();
        assert!(matches!(error, Error::Newer { found: 2, .. }), "{error:?}");
    }
}
