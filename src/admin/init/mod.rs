//! Writes a first configuration and policy for a live database, with a
//! reason for each guess.

mod guess;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::token;
use crate::{
    access::Role,
    address::Address,
    config::{MAX_ROWS, MAX_ROWS_BULK, SeedConfig, TargetConfig},
    guard::{Limits, NameRules},
    plan::{Model, Problem},
    policy::{self, Policy},
    server,
    target::{self, Target},
};
use guess::Guess;

/// What to look at, and what the caller knows better than any guess.
#[derive(Debug, Clone)]
pub struct Request {
    /// The database's URL.
    pub url: String,
    /// The variable that the URL came from, when it did.
    pub variable: Option<String>,
    /// The environment that the database is for.
    pub environment: String,
    /// The users' table, when it is not to be guessed.
    pub users: Option<String>,
    /// The e-mail domains of test users.
    pub test_domains: Vec<String>,
    /// The folder that the files are written to.
    pub folder: PathBuf,
    /// Replaces files that are there.
    pub force: bool,
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// The configuration.
    pub config: PathBuf,
    /// The policy.
    pub policy: PathBuf,
    /// The tokens.
    pub tokens: PathBuf,
    /// The tables that were found.
    pub tables: usize,
    /// The users' table.
    pub users: String,
    /// The database's name.
    pub database: String,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is refused.
    #[error("the url is refused: {0}")]
    Address(#[from] crate::address::Error),
    /// The target cannot be served.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// The database cannot be read.
    #[error("{error}{}", super::source_of(error))]
    Target {
        /// Why.
        #[from]
        error: target::Error,
    },
    /// No table looks like the users'.
    #[error(
        "no table looks like the users': name it with --users TABLE (it needs an e-mail column)"
    )]
    NoUsers,
    /// The table that was named is none, or has no e-mail.
    #[error("{0} is no table with an e-mail column")]
    NotUsers(String),
    /// The guesses contradict the database.
    #[error("the guesses do not fit the database: {0}")]
    Guess(String),
    /// The draft is not understood.
    #[error(transparent)]
    Policy(#[from] policy::Error),
    /// A file is there already.
    #[error("{} is there already: choose another folder with --out, or replace it with --force", .0.display())]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The machine gives no random numbers.
    #[error(transparent)]
    Token(#[from] token::Error),
}

/// Reads a database and writes a first configuration and policy for it.
///
/// # Errors
///
/// When the database cannot be read, has nothing that looks like users, or
/// the files are there already.
pub async fn run(request: &Request) -> Result<Written, Error> {
    let written = Written {
        config: request.folder.join("resetd.toml"),
        policy: request.folder.join("policy.toml"),
        tokens: request.folder.join("tokens.json"),
        tables: 0,
        users: String::new(),
        database: String::new(),
    };
    for path in [&written.config, &written.policy, &written.tokens] {
        if path.exists() && !request.force {
            return Err(Error::Exists(path.clone()));
        }
    }
    let target = target(request)?;
    let schema = target.schema().await?;
    let mut guess = Guess::new(schema, request.users.as_deref(), &request.test_domains)?;
    if let Some((table, column)) = guess.type_column() {
        let labels = target.labels(guess.schema(), table, column, 50).await?;
        guess.name_admins(&labels);
    }
    let database = target.observe().await?.seen.database;
    target.close().await;
    let text = settle(&mut guess)?;

    let write = |path: &Path, text: &str| {
        fs::write(path, text).map_err(|source| Error::Write {
            path: path.to_owned(),
            source,
        })
    };
    fs::create_dir_all(&request.folder).map_err(|source| Error::Write {
        path: request.folder.clone(),
        source,
    })?;
    write(&written.policy, &text)?;
    let secrets = secrets()?;
    write(&written.config, &config(request, &secrets))?;
    let tokens = serde_json::to_string_pretty(&secrets).unwrap_or_default();
    let private = token::write_private(&written.tokens, &format!("{tokens}\n"));
    private.map_err(|source| Error::Write {
        path: written.tokens.clone(),
        source,
    })?;
    Ok(Written {
        tables: guess.schema().tables().count(),
        users: guess.users_name(),
        database,
        ..written
    })
}

fn target(request: &Request) -> Result<Target, Error> {
    let config = TargetConfig {
        seeds: SeedConfig::default(),
        name: "default".to_owned(),
        environment: Some(request.environment.clone()),
        extra_environments: Vec::new(),
        variables: Vec::new(),
        address: Address::parse(&request.url)?,
        names: NameRules::default(),
        limits: Limits { max_rows: MAX_ROWS },
        bulk_limits: Limits {
            max_rows: MAX_ROWS_BULK,
        },
        policy: Policy::parse("[users]\ntable = \"\"\nemail = \"\"\ntest_domains = []")?,
        redis: None,
        roots: std::collections::BTreeMap::new(),
    };
    Ok(server::serve(&config)?.target)
}

/// Binds the draft to the database; where the rules cannot tell an owner, the
/// likeliest is named and it is bound again.
fn settle(guess: &mut Guess) -> Result<String, Error> {
    loop {
        let text = guess.text();
        let policy = Policy::parse(&text)?;
        let Err(problems) = Model::bind(guess.schema().clone(), policy) else {
            return Ok(text);
        };
        if !guess.settle(&problems) {
            let texts: Vec<String> = problems.iter().map(Problem::to_string).collect();
            return Err(Error::Guess(texts.join("; ")));
        }
    }
}

fn secrets() -> Result<BTreeMap<Role, String>, Error> {
    let mut secrets = BTreeMap::new();
    for role in Role::ALL {
        secrets.insert(role, token::secret()?);
    }
    Ok(secrets)
}

/// The configuration. A URL with a password stays in the environment.
fn config(request: &Request, secrets: &BTreeMap<Role, String>) -> String {
    let has_password = Address::parse(&request.url).is_ok_and(|a| a.password().is_some());
    let url = match &request.variable {
        Some(variable) => format!("url_env = {variable:?}"),
        None if has_password => {
            "# The url has a password, which belongs into the environment.\nurl_env = \
             \"DATABASE_URL\""
                .to_owned()
        }
        None => format!("url = {:?}", request.url),
    };
    let mut text = format!(
        "# The configuration of resetd; every key is in the README.\n\n\
         listen = \"127.0.0.1:50051\"\njournal = \"journal.db\"\n\n\
         [[targets]]\nname = \"default\"\nenvironment = {:?}\n{url}\npolicy = \"policy.toml\"\n",
        request.environment
    );
    for (role, secret) in secrets {
        let digest = hex::encode(token::digest(secret));
        text.push_str(&format!(
            "\n[[tokens]]\nsubject = \"local-{role}\"\nrole = \"{role}\"\nsha256 = \"{digest}\"\n"
        ));
    }
    text
}
