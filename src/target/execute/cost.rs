//! What deleting costs a database, by what was measured on PostgreSQL 15 with
//! two cores: `benches/run --only constants` measures it again.

/// Looking for rows that refer to a deleted one, for each indexed foreign key
/// that leads to its table, in microseconds.
pub const CHECKED_KEY_US: f64 = 4.8;

/// The same for each row of the referring table where no index helps, in
/// microseconds (27 to 30 ns).
pub const SCANNED_ROW_US: f64 = 0.027;

/// Validating a row of the referring table when a foreign key is added back,
/// in microseconds.
pub const VALIDATED_ROW_US: f64 = 0.24;

/// Dropping and adding back a foreign key, besides its validation, in
/// microseconds.
pub const ADDED_KEY_US: f64 = 400.0;

/// A number of rows in calculations.
pub(super) fn rows(count: u64) -> f64 {
    // More rows than a float tells apart are of one cost.
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    let rows = count as f64;
    rows
}
