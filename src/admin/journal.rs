//! Looks at the journal from outside: whether it is what was written, and a
//! new key for its seals.

use crate::{
    config::Config,
    engine::now,
    journal::{self, Journal, ServerId},
    server,
};

/// Why there is nothing good to say of the journal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be used.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// Somebody was at it.
    #[error("the journal is not what was written: {0} flaws")]
    Flawed(usize),
}

async fn open(config: &Config) -> Result<Journal, Error> {
    let place = server::place(&config.journal);
    Ok(Journal::open_beside(&place, ServerId::new(), now()).await?)
}

/// Looks at every record of every chain.
///
/// # Errors
///
/// When the journal cannot be read, or is not what was written.
pub async fn verify(config: &Config) -> Result<(), Error> {
    let journal = open(config).await?;
    let found = journal.verify().await;
    journal.leave().await;
    let found = found?;
    for flaw in &found.flaws {
        println!(
            "chain {}, record {}: {}",
            flaw.chain, flaw.number, flaw.problem
        );
    }
    match found.flaws.len() {
        0 => {
            println!(
                "{} records in {} chains: all as written",
                found.records, found.chains
            );
            Ok(())
        }
        flaws => Err(Error::Flawed(flaws)),
    }
}

/// Makes a new key for seals. Servers seal with it after two hours, when all of
/// them have read it; what was sealed before still counts.
///
/// # Errors
///
/// When the journal cannot be written.
pub async fn rotate(config: &Config) -> Result<(), Error> {
    let journal = open(config).await?;
    let id = journal.rotate_key(now()).await;
    journal.leave().await;
    println!("from two hours on, seals are made with key {}", id?);
    Ok(())
}
