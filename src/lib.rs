//! resetd: the reset control plane for test and development databases.
//!
//! # One reset, top to bottom
//!
//! ```text
//!  bytes
//!    │ rpc::authn     token                        → Principal    UNAUTHENTICATED
//!    │ rpc::convert   message, validated           → Action       INVALID_ARGUMENT
//!    │ access         authorize                    → Grant        PERMISSION_DENIED
//!    │ engine         journal.begin                → Entry        AUDIT_UNAVAILABLE
//!    │   ┈┈ from here the engine owns the task; the caller only watches ┈┈
//!    │ guard          precheck(setting)
//!    │ target         model: policy bound to the catalogue        → Model
//!    │ plan           build(model, scope)          → Plan         FAILED_PRECONDITION
//!    │ guard          clear(plan, setting, seen)   → Cleared      FAILED_PRECONDITION
//!    │ target         execute, one transaction     → Executed
//!    │ journal        close(Entry, Outcome)        → AuditRecord
//!    ▼ reply
//! ```
//!
//! Calls only go down; values come back. Each arrow's result is the next
//! arrow's argument and has one maker, so that executing a plan that no guard
//! has cleared, acting without a grant, or ending an operation twice does not
//! compile. `engine/reset.rs` is the only file that knows the order.
//!
//! # Floors
//!
//! A module names only modules on lower floors and its own folder; siblings
//! on a floor do not know one another. Floors 0 to 2 are pure: no async, no
//! I/O, no driver, no clock. `tests/tidy.rs` holds the code to this table.
//!
//! ```text
//! floor 10: demo                              # a server with all that it needs
//! floor 9: admin                              # the daemon's other commands
//! floor 8: server                             # where the parts meet
//! floor 7: rpc cli config telemetry           # doors
//! floor 6: engine client                      # the conductor; the other end of the wire
//! floor 5: error                              # every way an operation fails
//! floor 4: target journal effects             # databases; what belonged to the rows elsewhere
//! floor 3: failpoint                          # where tests can hold the program
//! floor 2: guard dialect
//! floor 1: plan access                        # decisions
//! floor 0: schema policy operation effect address proto
//!
//! only target journal: sqlx:: AssertSqlSafe
//! only effects/redis: redis::
//! only rpc client cli server proto: tonic::
//! only rpc/status: Status::
//! only rpc client cli server: crate::proto
//! only config main bin: std::env
//! only engine access: SystemTime::now Timestamp::now Zoned::now
//! only engine server effects journal main: tokio::spawn
//! only main bin cli admin demo: println! print! eprintln! eprint!
//! ```
//!
//! # What holds at every moment
//!
//! - Nothing is changed outside one transaction, which ends whole or not at
//!   all; a connection that cannot say which is given up.
//! - What the guards saw is read again inside that transaction.
//! - Nothing is committed that the journal could not record first.
//! - Of the target's data only keys, e-mails and user types enter the
//!   process, as text, and they are not logged.

pub mod access;
pub mod address;
pub mod admin;
pub mod cli;
pub mod client;
pub mod config;
pub mod demo;
pub mod dialect;
pub mod effect;
pub mod effects;
pub mod engine;
pub mod error;
pub mod failpoint;
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
