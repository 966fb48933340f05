//! resetd: the reset control plane for test and development databases.

pub mod access;
pub mod address;
pub mod admin;
pub mod config;
pub mod demo;
pub mod dialect;
pub mod engine;
pub mod error;
pub mod guard;
pub mod journal;
pub mod operation;
pub mod plan;
pub mod policy;
pub mod proto;
pub mod rpc;
pub mod schema;
pub mod server;
pub mod target;
pub mod telemetry;
