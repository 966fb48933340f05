//! The tables of a journal, and how those of an earlier version become them.

use super::{
    Error, Place, chain,
    place::{Connection, Pool, field, values},
};

/// The format that this version writes.
pub(super) const FORMAT: i64 = 2;

/// Records are only ever added, and taken away from the front alone, up to
/// where the anchor says so: the triggers hold that even against somebody
/// with a shell, short of dropping them.
const SQLITE: &str = "
    CREATE TABLE record (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        chain TEXT NOT NULL, number BIGINT NOT NULL,
        operation_id TEXT NOT NULL, kind TEXT NOT NULL,
        at TEXT NOT NULL, body TEXT NOT NULL CHECK (json_valid(body)), hash TEXT NOT NULL,
        UNIQUE (chain, number)
    );
    CREATE TRIGGER record_is_append_only_update BEFORE UPDATE ON record
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
    CREATE TRIGGER record_is_append_only_delete BEFORE DELETE ON record
        WHEN OLD.number > COALESCE((SELECT pruned_number FROM anchor WHERE chain = OLD.chain), 0)
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
";

const POSTGRES: &str = "
    CREATE TABLE record (
        sequence bigserial PRIMARY KEY,
        chain text NOT NULL, number bigint NOT NULL,
        operation_id text NOT NULL, kind text NOT NULL,
        at text NOT NULL, body text NOT NULL, hash text NOT NULL,
        UNIQUE (chain, number)
    );
    CREATE FUNCTION record_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'DELETE' AND OLD.number <= (SELECT pruned_number FROM resetd_journal.anchor
            WHERE chain = OLD.chain) THEN RETURN OLD; END IF;
        RAISE EXCEPTION 'the journal is append-only'; END $$;
    CREATE TRIGGER record_is_append_only BEFORE UPDATE OR DELETE ON record
        FOR EACH ROW EXECUTE FUNCTION record_is_append_only();
    CREATE TRIGGER record_is_append_only_whole BEFORE TRUNCATE ON record
        FOR EACH STATEMENT EXECUTE FUNCTION record_is_append_only();
";

/// What stands beside the chain: state that changes, and what an idempotent
/// repeat is answered from.
const BESIDE: &str = "
    CREATE TABLE anchor (
        chain TEXT PRIMARY KEY, number BIGINT NOT NULL, hash TEXT NOT NULL, seal TEXT NOT NULL,
        pruned_number BIGINT NOT NULL DEFAULT 0, pruned_hash TEXT NOT NULL DEFAULT ''
    );
    CREATE TABLE server (
        id TEXT PRIMARY KEY, started_at TEXT NOT NULL, seen_at TEXT NOT NULL, ended_at TEXT
    );
    CREATE TABLE operation (
        id TEXT PRIMARY KEY, parent_id TEXT, request_id TEXT, target TEXT NOT NULL,
        actor TEXT NOT NULL, role TEXT NOT NULL, action TEXT NOT NULL, mode TEXT,
        body TEXT NOT NULL, state TEXT NOT NULL, reason TEXT, message TEXT,
        began_at TEXT NOT NULL, ended_at TEXT, took_us BIGINT, server TEXT NOT NULL,
        cancel_requested BIGINT NOT NULL DEFAULT 0, reply TEXT
    );
    CREATE INDEX operation_open ON operation (state) WHERE state NOT IN ('complete', 'failed');
    CREATE INDEX operation_began ON operation (began_at);
    CREATE TABLE request (
        actor TEXT NOT NULL, id TEXT NOT NULL, digest TEXT NOT NULL,
        operation_id TEXT NOT NULL, began_at TEXT NOT NULL, PRIMARY KEY (actor, id)
    );
    CREATE TABLE spent (plan TEXT PRIMARY KEY, at TEXT NOT NULL);
    CREATE TABLE event (
        operation_id TEXT NOT NULL, number BIGINT NOT NULL, at TEXT NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (operation_id, number)
    );
    CREATE TABLE secret (
        id TEXT PRIMARY KEY, secret TEXT NOT NULL, created_at TEXT NOT NULL, retired_at TEXT
    );
";

/// Makes the tables, or those of an earlier version into them, in one
/// transaction.
pub(super) async fn prepare(pool: &Pool, place: &Place) -> Result<(), Error> {
    let failed = |source| Error::Open {
        place: place.to_string(),
        source,
    };
    let mut connection = pool.acquire().await.map_err(failed)?;
    connection
        .batch(match pool.is_shared() {
            // Servers that start together make them once. Where the schema is
            // there, nobody asks for the right to make one.
            true => {
                "BEGIN; SELECT pg_advisory_xact_lock(7305801384); \
                 DO $$ BEGIN IF to_regnamespace('resetd_journal') IS NULL THEN \
                 CREATE SCHEMA resetd_journal; END IF; END $$; \
                 CREATE TABLE IF NOT EXISTS format (version bigint NOT NULL)"
            }
            false => "BEGIN IMMEDIATE",
        })
        .await
        .map_err(failed)?;
    match migrate(pool, &mut connection, place).await {
        Ok(()) => connection.batch("COMMIT").await.map_err(failed),
        Err(error) => {
            if connection.batch("ROLLBACK").await.is_err() {
                connection.discard();
            }
            Err(error)
        }
    }
}

async fn migrate(pool: &Pool, connection: &mut Connection, place: &Place) -> Result<(), Error> {
    let failed = |source| Error::Open {
        place: place.to_string(),
        source,
    };
    let question = match pool.is_shared() {
        true => "SELECT CAST(version AS text) FROM format",
        false => "SELECT CAST(user_version AS TEXT) FROM pragma_user_version",
    };
    let found = connection.row(question, Vec::new()).await.map_err(failed)?;
    let found: i64 = found.map_or(0, |row| field(&row, 0).parse().unwrap_or(0));
    if found > FORMAT {
        return Err(Error::Newer {
            place: place.to_string(),
            found,
            known: FORMAT,
        });
    }
    if found == FORMAT {
        return Ok(());
    }
    if found == 1 {
        let aside = "DROP TRIGGER record_is_append_only_update; \
                     DROP TRIGGER record_is_append_only_delete; \
                     ALTER TABLE record RENAME TO record_1";
        connection.batch(aside).await.map_err(failed)?;
    }
    let (record, mark) = match pool.is_shared() {
        true => (
            POSTGRES,
            "DELETE FROM format; INSERT INTO format VALUES (2)",
        ),
        false => (SQLITE, "PRAGMA user_version = 2"),
    };
    for sql in [BESIDE, record, mark] {
        connection.batch(sql).await.map_err(failed)?;
    }
    if found == 1 {
        take_over(connection).await.map_err(failed)?;
    }
    Ok(())
}

/// Puts the records of format 1 in a chain, and their operations beside it.
async fn take_over(connection: &mut Connection) -> Result<(), sqlx::Error> {
    let sql = "SELECT operation_id, kind, at, body FROM record_1 ORDER BY sequence";
    let mut head = chain::Head::default();
    for row in connection.rows(sql, Vec::new()).await? {
        let link = chain::Link {
            operation: field(&row, 0),
            kind: field(&row, 1),
            at: field(&row, 2),
            body: field(&row, 3),
        };
        let (line, next) = chain::append(chain::EARLIER, &head, &link);
        connection.run(&line.sql, line.values).await?;
        head = next;
    }
    let number = head.number;
    let sql = "INSERT INTO anchor (chain, number, hash, seal) VALUES ($1, $2, $3, '')";
    connection
        .run(sql, values![chain::EARLIER, number, head.hash])
        .await?;
    connection
        .batch(
            "INSERT INTO operation (id, target, actor, role, action, mode, body, state, \
                began_at, server) \
             SELECT i.operation_id, COALESCE(json_extract(i.body, '$.target'), ''), \
                COALESCE(json_extract(i.body, '$.actor'), ''), \
                COALESCE(json_extract(i.body, '$.role'), ''), \
                COALESCE(json_extract(i.body, '$.action.action'), ''), \
                json_extract(i.body, '$.action.mode'), i.body, \
                CASE WHEN o.body IS NULL THEN 'open' \
                     WHEN json_extract(o.body, '$.state') = 'in_doubt' THEN 'in_doubt' \
                     WHEN json_extract(o.body, '$.state') = 'failed' THEN 'failed' \
                     WHEN json_extract(o.body, '$.committed') = 0 THEN 'failed' \
                     ELSE 'complete' END, i.at, 'before-servers' \
             FROM record_1 AS i LEFT JOIN record_1 AS o \
                ON o.operation_id = i.operation_id AND o.kind = 'outcome' \
             WHERE i.kind = 'intent'; \
             DROP TABLE record_1",
        )
        .await
}
