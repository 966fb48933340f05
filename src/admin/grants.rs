//! Says which privileges a role needs on a target, as statements for whoever
//! may grant them.

use crate::{
    config::Config,
    server,
    target::{self, Grant},
};

/// Why it cannot be said.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration does not say which target.
    #[error(transparent)]
    Config(#[from] crate::config::Error),
    /// The target cannot be served.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// The policy does not fit, or the database cannot be reached.
    #[error("{error}{}", super::source_of(error))]
    Target {
        /// Why.
        #[from]
        error: target::Error,
    },
}

/// Prints the statements that give a role what resets of a target need. It
/// changes nothing itself.
///
/// # Errors
///
/// When the target's schema cannot be read.
pub async fn run(config: &Config, name: Option<&str>, role: &str) -> Result<(), Error> {
    let served = server::serve(config.target(name)?)?;
    let grants = served.target.grants(role).await?;
    served.target.close().await;
    if grants.is_empty() {
        println!("-- An SQLite file has no roles: whoever may write it may reset it.");
    }
    let mut last = "";
    for Grant { statement, why } in &grants {
        if *why != last {
            println!("-- {why}");
            last = why;
        }
        println!("{statement};");
    }
    Ok(())
}
