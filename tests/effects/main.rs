//! What a reset removes outside the database, on real Redis servers and real
//! directories.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cache;
mod files;
mod keys;
mod orders;
mod servers;
mod wire;

use jiff::Timestamp;

fn now() -> Timestamp {
    Timestamp::now()
}
