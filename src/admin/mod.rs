//! The daemon's commands besides serving.

pub mod arm;
pub mod check;
pub mod grants;
pub mod init;
pub mod journal;
pub mod token;

use crate::target;

/// What the driver says, for somebody at a terminal who can mend it.
fn source_of(error: &target::Error) -> String {
    std::error::Error::source(error).map_or_else(String::new, |source| format!(": {source}"))
}
