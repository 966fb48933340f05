//! The questions to MariaDB's catalogue.

use super::super::Catalogue;

const OURS: &str = "('resetd_marker', 'resetd_commit', 'resetd_effect', 'resetd_lock')";

/// Tables of the application: no views, no sequences, none of ours.
fn tables() -> String {
    format!(
        "t.TABLE_SCHEMA = DATABASE() \
         AND t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND t.TABLE_NAME NOT IN {OURS}"
    )
}

/// What keeps rows of a table from going, or from coming back when the
/// transaction is rolled back.
const OBSTACLE: &str = "CASE WHEN t.ENGINE <> 'InnoDB' THEN CONCAT('its storage engine ', t.ENGINE, \
    ' rolls nothing back; ALTER TABLE … ENGINE = InnoDB') \
    WHEN t.TABLE_TYPE = 'SYSTEM VERSIONED' THEN 'its rows are kept by system versioning when \
    they are deleted' \
    WHEN t.TABLE_NAME LIKE 'resetd\\_set\\_%' THEN 'its name is that of a temporary table of ours' \
    WHEN o.SCHEMA_NAME IS NOT NULL THEN CONCAT('a table of database ', o.SCHEMA_NAME, \
    ' refers to it') END";

/// The tables whose rows number themselves, and the number that each gave
/// last. Which column has it is known; to ask takes seven times as long.
pub(super) const NUMBERED: &str = "SELECT NULL, TABLE_NAME, NULL, TABLE_NAME, \
    CAST(CAST(AUTO_INCREMENT AS SIGNED) - 1 AS CHAR), '1' \
    FROM information_schema.TABLES \
    WHERE TABLE_SCHEMA = DATABASE() AND AUTO_INCREMENT IS NOT NULL";

/// Whether the account may make triggers on every table of the database: the
/// catalogue tells it of all of them, then, and of their keys. What a role
/// gives it is not looked for.
pub(super) const SIGHT: &str = "SELECT '1' WHERE EXISTS (\
    SELECT 1 FROM (SELECT CONCAT('''', LEFT(CURRENT_USER(), \
    CHAR_LENGTH(CURRENT_USER()) - CHAR_LENGTH(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)) - 1), \
    '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''') AS name) AS me \
    WHERE EXISTS (SELECT 1 FROM information_schema.USER_PRIVILEGES AS p \
    WHERE p.GRANTEE = me.name AND p.PRIVILEGE_TYPE = 'TRIGGER') \
    OR EXISTS (SELECT 1 FROM information_schema.SCHEMA_PRIVILEGES AS p \
    WHERE p.GRANTEE = me.name AND p.PRIVILEGE_TYPE = 'TRIGGER' \
    AND p.TABLE_SCHEMA IN (DATABASE(), REPLACE(DATABASE(), '_', '\\\\_'))))";

pub(super) fn catalogue() -> Catalogue {
    let application = tables();
    Catalogue {
        tables: format!(
            "SELECT NULL, t.TABLE_NAME, NULL, \
             CASE WHEN g.TABLE_NAME IS NULL THEN '0' ELSE '1' END, '0', {OBSTACLE}, '0' \
             FROM information_schema.TABLES AS t \
             LEFT JOIN (SELECT DISTINCT EVENT_OBJECT_TABLE AS TABLE_NAME \
             FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE()) AS g \
             ON g.TABLE_NAME = t.TABLE_NAME \
             LEFT JOIN (SELECT REFERENCED_TABLE_NAME AS TABLE_NAME, \
             MIN(CONSTRAINT_SCHEMA) AS SCHEMA_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS \
             WHERE UNIQUE_CONSTRAINT_SCHEMA = DATABASE() AND CONSTRAINT_SCHEMA <> DATABASE() \
             GROUP BY REFERENCED_TABLE_NAME) AS o ON o.TABLE_NAME = t.TABLE_NAME \
             WHERE {application} ORDER BY t.TABLE_NAME"
        ),
        columns: format!(
            "SELECT NULL, c.TABLE_NAME, c.COLUMN_NAME, c.COLUMN_TYPE, \
             CASE WHEN c.IS_NULLABLE = 'YES' THEN '1' ELSE '0' END, \
             NULLIF(c.COLUMN_DEFAULT, 'NULL'), \
             CASE WHEN c.IS_GENERATED = 'ALWAYS' OR c.EXTRA LIKE '%GENERATED%' \
             THEN '1' ELSE '0' END, \
             CASE WHEN c.EXTRA LIKE '%auto_increment%' THEN '1' ELSE '0' END, \
             CAST(COALESCE(k.SEQ_IN_INDEX, 0) AS CHAR), c.COLLATION_NAME, \
             CASE WHEN c.EXTRA LIKE '%on update%' THEN '1' ELSE '0' END, \
             c.GENERATION_EXPRESSION \
             FROM information_schema.COLUMNS AS c \
             JOIN information_schema.TABLES AS t ON t.TABLE_SCHEMA = c.TABLE_SCHEMA \
             AND t.TABLE_NAME = c.TABLE_NAME \
             LEFT JOIN information_schema.STATISTICS AS k ON k.TABLE_SCHEMA = DATABASE() \
             AND k.TABLE_NAME = c.TABLE_NAME AND k.COLUMN_NAME = c.COLUMN_NAME \
             AND k.INDEX_NAME = 'PRIMARY' AND k.SUB_PART IS NULL \
             WHERE c.TABLE_SCHEMA = DATABASE() AND {application} \
             ORDER BY c.TABLE_NAME, c.ORDINAL_POSITION"
        ),
        foreign_keys: "SELECT NULL, u.TABLE_NAME, u.CONSTRAINT_NAME, u.CONSTRAINT_NAME, \
             u.COLUMN_NAME, NULLIF(u.REFERENCED_TABLE_SCHEMA, DATABASE()), \
             u.REFERENCED_TABLE_NAME, u.REFERENCED_COLUMN_NAME, \
             CASE WHEN r.DELETE_RULE IN ('CASCADE', 'SET NULL') THEN r.DELETE_RULE \
             ELSE 'RESTRICT' END, '0' \
             FROM information_schema.KEY_COLUMN_USAGE AS u \
             JOIN information_schema.REFERENTIAL_CONSTRAINTS AS r \
             ON r.CONSTRAINT_SCHEMA = u.CONSTRAINT_SCHEMA \
             AND r.CONSTRAINT_NAME = u.CONSTRAINT_NAME AND r.TABLE_NAME = u.TABLE_NAME \
             WHERE u.TABLE_SCHEMA = DATABASE() AND r.CONSTRAINT_SCHEMA = DATABASE() \
             AND u.REFERENCED_TABLE_NAME IS NOT NULL \
             ORDER BY u.TABLE_NAME, u.CONSTRAINT_NAME, u.ORDINAL_POSITION"
            .to_owned(),
        indexes: "SELECT NULL, s.TABLE_NAME, s.INDEX_NAME, \
             CASE WHEN s.SUB_PART IS NULL THEN s.COLUMN_NAME END, \
             CASE WHEN s.NON_UNIQUE = 0 THEN '1' ELSE '0' END \
             FROM information_schema.STATISTICS AS s WHERE s.TABLE_SCHEMA = DATABASE() \
             AND s.INDEX_NAME <> 'PRIMARY' AND s.INDEX_TYPE = 'BTREE' \
             ORDER BY s.TABLE_NAME, s.INDEX_NAME, s.SEQ_IN_INDEX"
            .to_owned(),
        fingerprint: fingerprint(),
        // They are in the fingerprint.
        indexed: "''".to_owned(),
    }
}

/// The catalogue has no version, so all that is read of it is.
fn fingerprint() -> String {
    let part = |what: &str, from: &str, order: &str| {
        format!(
            "(SELECT GROUP_CONCAT(CONCAT_WS(',', {what}) ORDER BY {order} SEPARATOR ';') \
             FROM information_schema.{from})"
        )
    };
    let tables = part(
        "t.TABLE_NAME, t.TABLE_TYPE, t.ENGINE",
        &format!("TABLES AS t WHERE {}", tables()),
        "t.TABLE_NAME",
    );
    let columns = part(
        "TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, COLLATION_NAME, \
         GENERATION_EXPRESSION",
        &format!("COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME NOT IN {OURS}"),
        "TABLE_NAME, ORDINAL_POSITION",
    );
    let keys = part(
        "TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, \
         REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME",
        "KEY_COLUMN_USAGE WHERE TABLE_SCHEMA = DATABASE() AND REFERENCED_TABLE_NAME IS NOT NULL",
        "TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION",
    );
    let rules = part(
        "TABLE_NAME, CONSTRAINT_NAME, REFERENCED_TABLE_NAME, DELETE_RULE",
        "REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE()",
        "TABLE_NAME, CONSTRAINT_NAME",
    );
    let indexes = part(
        "TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME, NON_UNIQUE, SUB_PART",
        &format!("STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME NOT IN {OURS}"),
        "TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX",
    );
    let triggers = part(
        "TRIGGER_NAME, EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_TIMING, \
         MD5(ACTION_STATEMENT)",
        "TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE()",
        "TRIGGER_NAME",
    );
    format!(
        "SELECT MD5(CONCAT_WS('|', {tables}, {columns}, {keys}, {rules}, {indexes}, {triggers}))"
    )
}
