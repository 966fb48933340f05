//! Logs: structured, on standard error, at levels that can be set per module.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Sends logs to standard error. `filter` is a list such as
/// `info,resetd::engine=debug`; what cannot be read in it is left out.
pub fn start(filter: Option<&str>) {
    let filter = EnvFilter::builder().parse_lossy(filter.unwrap_or("info"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // Told on standard error too, and so a panic in the middle of an
        // operation when that is gone.
        .log_internal_errors(false);
    // A second start, as in tests, keeps the first one's settings.
    drop(logs.try_init());
}
