//! The daemon's commands besides serving.

pub mod arm;
pub mod token;
