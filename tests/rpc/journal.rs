//! The audit journal, read as an auditor would: from its file.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;
use sqlx::{Connection as _, Row as _};

use crate::harness::connect;

#[derive(Debug, Clone)]
pub struct Record {
    pub operation: String,
    pub kind: String,
    pub body: Value,
}

/// Every record, oldest first.
pub async fn read(path: &Path) -> Vec<Record> {
    let mut connection = connect(path).await;
    let rows = sqlx::query("SELECT operation_id, kind, body FROM record ORDER BY sequence")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    rows.iter()
        .map(|row| Record {
            operation: row.get(0),
            kind: row.get(1),
            body: serde_json::from_str(row.get(2)).unwrap(),
        })
        .collect()
}

/// The operations that began and have no outcome.
pub fn unfinished(records: &[Record]) -> Vec<&Record> {
    let ended: BTreeSet<&str> = kind(records, "outcome")
        .map(|record| record.operation.as_str())
        .collect();
    kind(records, "intent")
        .filter(|record| !ended.contains(record.operation.as_str()))
        .collect()
}

/// The records of one kind.
pub fn kind<'a>(records: &'a [Record], kind: &'a str) -> impl Iterator<Item = &'a Record> {
    records.iter().filter(move |record| record.kind == kind)
}

/// The outcome of an operation.
pub fn outcome(records: &[Record], operation: &str) -> Value {
    let found = kind(records, "outcome").find(|record| record.operation == operation);
    let found = found.unwrap_or_else(|| panic!("{operation} has no outcome: {records:#?}"));
    found.body.clone()
}
