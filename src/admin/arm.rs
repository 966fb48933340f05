//! Arms a database: makes it say itself that it may be reset.

use std::io::{self, IsTerminal as _, Write as _};

use jiff::SignedDuration;

use crate::{
    config::{Config, user_name},
    effects,
    engine::now,
    guard::{self, Marker},
    server,
    target::{self, Arming},
};

/// What to arm, and for how long.
#[derive(Debug, Clone)]
pub struct Request {
    /// The target; the only one when absent.
    pub target: Option<String>,
    /// The database's name, as a sign that it is meant; asked for at a
    /// terminal when absent.
    pub database: Option<String>,
    /// For how many days.
    pub days: u32,
    /// Protects the database from every reset instead.
    pub protect: bool,
}

/// Why a database was not armed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration does not say which.
    #[error(transparent)]
    Config(#[from] crate::config::Error),
    /// It cannot be served.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// It must not be reset.
    #[error("{0}")]
    Refused(guard::Refused),
    /// The database could not do it.
    #[error("{error}{}", super::source_of(error))]
    Target {
        /// Why.
        #[from]
        error: target::Error,
    },
    /// A directory of files cannot be marked.
    #[error("not armed: {0}")]
    Effects(#[from] effects::Error),
    /// The name was not typed.
    #[error("not armed: give the database's name with --database {0}")]
    NameNeeded(String),
    /// Another name was typed.
    #[error("not armed: {typed:?} is not the name of the database, which is {database:?}")]
    NameMismatch {
        /// What was typed.
        typed: String,
        /// What would have been right.
        database: String,
    },
    /// The terminal cannot be read.
    #[error("the terminal cannot be read: {0}")]
    Terminal(#[from] io::Error),
}

/// Arms a target's database and tells its marker.
///
/// # Errors
///
/// When it must not be reset, is not the one that was named, or cannot be
/// written.
pub async fn run(config: &Config, request: &Request) -> Result<Marker, Error> {
    let target = config.target(request.target.as_deref())?;
    let served = server::serve(target)?;
    let setting = served.target.setting();
    if !request.protect {
        guard::precheck(setting, now()).map_err(Error::Refused)?;
    }
    let database = served.target.observe().await?.seen.database;
    let typed = match &request.database {
        Some(name) => name.clone(),
        None => ask(&served.target.address(), &database, request.protect)?,
    };
    if typed != database {
        return Err(Error::NameMismatch { typed, database });
    }
    let armed_at = now();
    let arming = Arming {
        id: uuid::Uuid::new_v4().to_string(),
        environment: setting.environment.clone().unwrap_or_default(),
        armed_by: user_name(),
        armed_at,
        expires_at: armed_at + SignedDuration::from_hours(i64::from(request.days) * 24),
        protected: request.protect,
    };
    if !request.protect {
        served.effects.mark_roots()?;
    }
    let marker = served.target.arm(&database, &arming).await?;
    served.target.close().await;
    Ok(marker)
}

fn ask(address: &str, database: &str, protect: bool) -> Result<String, Error> {
    if !io::stdin().is_terminal() {
        return Err(Error::NameNeeded(database.to_owned()));
    }
    let what = match protect {
        true => "never be reset",
        false => "be reset, which deletes data in it",
    };
    println!("{address}\nThis says that the database may {what}.");
    print!("Type the database's name to go on: ");
    io::stdout().flush()?;
    let mut typed = String::new();
    io::stdin().read_line(&mut typed)?;
    Ok(typed.trim_end_matches(['\r', '\n']).to_owned())
}
