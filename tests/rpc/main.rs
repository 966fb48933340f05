//! What a caller of resetd sees, over a real socket, from a real server on a
//! database of its own; and what the real programs do as processes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod access;
mod accounts;
mod audit;
mod caller;
mod dump;
mod harness;
mod hooks;
mod journal;

mod bulk;
mod commands;
mod crowd;
mod discovery;
mod dry_run;
mod fields;
mod leaving;
mod numbers;
mod operations;
mod process;
mod production;
mod raw;
mod recipes;
mod refusals;
mod reset;
mod rollback;
mod stopping;
