//! What deleting costs a database, by what was measured on PostgreSQL 15 with
//! two cores: `benches/run --only constants` measures it again.

use std::time::Duration;

use super::Strategy;

/// Looking for rows that refer to a deleted one, for each indexed foreign key
/// that leads to its table, in microseconds.
pub const CHECKED_KEY_US: f64 = 4.8;

/// Passing by a referring row that the same transaction has deleted before, in
/// microseconds (1.1 to 1.8): an index still leads there.
pub const PASSED_ROW_US: f64 = 1.5;

/// Reading a row of the referring table for each deleted one where no index
/// helps, in microseconds (27 to 30 ns).
pub const SCANNED_ROW_US: f64 = 0.027;

/// Validating a row of the referring table when a foreign key is added back,
/// in microseconds.
pub const VALIDATED_ROW_US: f64 = 0.24;

/// Dropping and adding back a foreign key, besides its validation, in
/// microseconds.
pub const ADDED_KEY_US: f64 = 400.0;

/// Looking once for rows that refer to so many deleted ones, for each of those,
/// in microseconds (1 to 2).
pub const VERIFIED_ROW_US: f64 = 1.5;

/// Finding a row by a key and deleting it, in microseconds (0.8 to 4).
pub const KEYED_ROW_US: f64 = 2.4;

/// Reading a row for its marker where no index helps, in microseconds (104 ms
/// for a million rows).
pub const MARKED_ROW_US: f64 = 0.104;

/// One statement that does everything, besides its rows, in microseconds.
pub const STATEMENT_US: f64 = 400.0;

/// Making, filling and analysing the table of a set, in microseconds.
pub const SET_US: f64 = 300.0;

/// How the rows are found that refer to a row that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// By an index.
    Index,
    /// By reading the whole table.
    Scan {
        /// Its rows.
        rows: u64,
    },
}

/// A foreign key that leads to rows that go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// How the rows are found that refer to one of them.
    pub lookup: Lookup,
    /// The rows that go.
    pub parents: u64,
    /// Rows of the referring table that go before them.
    pub children: u64,
    /// Rows of the referring table that stay.
    pub staying: u64,
}

impl Load {
    /// Checking the key for every row that goes, in microseconds.
    fn checked(&self) -> f64 {
        match self.lookup {
            Lookup::Index => {
                CHECKED_KEY_US * rows(self.parents) + PASSED_ROW_US * rows(self.children)
            }
            Lookup::Scan { rows: count } => SCANNED_ROW_US * rows(count) * rows(self.parents),
        }
    }

    /// Dropping the key, and validating it for every row that stays, in
    /// microseconds.
    fn validated(&self) -> f64 {
        ADDED_KEY_US + VALIDATED_ROW_US * rows(self.staying)
    }

    /// True when it is quicker to drop the key and to add it back.
    pub(super) fn is_dear(&self) -> bool {
        self.checked() > self.validated()
    }
}

/// What a foreign key costs.
#[must_use]
pub fn checks(strategy: Strategy, load: Load) -> Duration {
    micros(match strategy {
        Strategy::Chain | Strategy::Script | Strategy::Lists | Strategy::Sets => load.checked(),
        Strategy::Unlinked => load.checked().min(load.validated()),
        Strategy::Unchecked => VERIFIED_ROW_US * rows(load.parents),
    })
}

/// What looking for markers in so many rows costs without an index.
#[must_use]
pub fn sweep(count: u64) -> Duration {
    micros(MARKED_ROW_US * rows(count))
}

pub(super) fn keyed(count: u64) -> Duration {
    micros(KEYED_ROW_US * rows(count))
}

pub(super) fn statement() -> Duration {
    micros(STATEMENT_US)
}

pub(super) fn sets(count: usize) -> Duration {
    micros(SET_US * rows(u64::try_from(count).unwrap_or(u64::MAX)))
}

/// A number of rows in calculations.
pub(super) fn rows(count: u64) -> f64 {
    // More rows than a float tells apart are of one cost.
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    let rows = count as f64;
    rows
}

fn micros(time: f64) -> Duration {
    Duration::try_from_secs_f64(time / 1e6).unwrap_or(Duration::MAX)
}
