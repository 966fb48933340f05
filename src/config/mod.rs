//! What the server is told: by a file, or by the environment and `.env`.
//!
//! This is the only place that reads the process's environment.

mod environment;
mod file;

pub use environment::{Variables, program_beside, user_name, working_folder};

use std::{
    collections::BTreeMap,
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::SignedDuration;
use serde::Deserialize;

use crate::{
    access::Token,
    address::{self, Address},
    effects::{RedisSettings, RootSettings},
    engine::SeedText,
    guard::{Limits, NameRules},
    policy::{self, Policy, SeedValue},
};

/// Where the server listens when nobody says.
pub const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 50051);

/// The most rows that an operation on one user or session may change when
/// nobody says.
pub const MAX_ROWS: u64 = 100_000;

/// The most rows that any other operation may change when nobody says.
pub const MAX_ROWS_BULK: u64 = 10_000_000;

/// Everything that a server is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where the audit journal is.
    pub journal: JournalConfig,
    /// How long its records are kept.
    pub keep: SignedDuration,
    /// Whether reflection is served.
    pub reflection: Reflection,
    /// How long a stopping server waits for running operations.
    pub drain: Duration,
    /// The targets, at least one.
    pub targets: Vec<TargetConfig>,
    /// The tokens, at least one.
    pub tokens: Vec<Token>,
}

/// Where the audit journal is.
#[derive(Debug, Clone)]
pub enum JournalConfig {
    /// In an SQLite file.
    File(PathBuf),
    /// In a PostgreSQL database, for several servers.
    Server(Box<Address>),
}

/// For how many days records are kept when nobody says.
pub const KEEP_DAYS: u32 = 90;

/// Whether clients may ask the server for its descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reflection {
    /// Everybody may.
    #[default]
    Open,
    /// Nobody may.
    Off,
}

/// Everything about one target.
#[derive(Debug, Clone)]
pub struct TargetConfig {
    /// Its name.
    pub name: String,
    /// The environment that it is declared to be.
    pub environment: Option<String>,
    /// Environments that are allowed beyond the usual ones.
    pub extra_environments: Vec<String>,
    /// The process's variables that name an environment.
    pub variables: Vec<(String, String)>,
    /// Where its database is.
    pub address: Address,
    /// Which host and database names are allowed.
    pub names: NameRules,
    /// How much an operation on one user or session may change.
    pub limits: Limits,
    /// How much any other operation may change.
    pub bulk_limits: Limits,
    /// What a reset does there.
    pub policy: Policy,
    /// Where its Redis is.
    pub redis: Option<RedisSettings>,
    /// The directories with files of its users, by name.
    pub roots: BTreeMap<String, RootSettings>,
    /// What is put in place after a reset.
    pub seeds: SeedConfig,
}

/// The seed files that a policy names, and the values that they name.
#[derive(Debug, Clone, Default)]
pub struct SeedConfig {
    /// The files' names, as the policy writes them, with their text.
    pub files: BTreeMap<String, String>,
    /// The values.
    pub values: BTreeMap<String, SeedText>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration file is not understood.
    #[error("{} is not understood: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: toml::de::Error,
    },
    /// A policy file is not understood.
    #[error("{}: {source}", path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: policy::Error,
    },
    /// A connection URL is refused.
    #[error("the url of target {target} is refused: {source}")]
    Address {
        /// The target.
        target: String,
        /// Why.
        source: address::Error,
    },
    /// A setting is missing or makes no sense.
    #[error("{0}")]
    Setting(String),
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    ///
    /// When the file, or a policy that it names, cannot be read or understood.
    pub fn from_file(path: &Path, variables: &Variables) -> Result<Self, Error> {
        file::load(path, variables)
    }

    /// Makes a configuration of one target named `default` from the
    /// environment: `ENVIRONMENT` and `DATABASE_URL`.
    ///
    /// # Errors
    ///
    /// When a variable is missing, by its name, or is not understood.
    pub fn from_environment(
        variables: &Variables,
        policy: &Path,
        data: &Path,
    ) -> Result<Self, Error> {
        let needed = |name: &str| {
            variables
                .get(name)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| {
                    Error::Setting(format!(
                        "{name} is not set: set it here or in .env, or give --config FILE"
                    ))
                })
        };
        let environment = needed("ENVIRONMENT")?;
        let url = needed("DATABASE_URL")?;
        let redis = variables.get("REDIS_URL").filter(|url| !url.is_empty());
        let redis = redis.map(|url| parse_redis("default", &[url.to_owned()], false));
        let (policy, seeds) = read_policy(policy, variables)?;
        let target = TargetConfig {
            name: "default".to_owned(),
            environment: Some(environment.to_owned()),
            extra_environments: Vec::new(),
            variables: variables.environments(),
            address: parse_address("default", url)?,
            names: NameRules::default(),
            limits: Limits { max_rows: MAX_ROWS },
            bulk_limits: Limits {
                max_rows: MAX_ROWS_BULK,
            },
            policy,
            seeds,
            redis: redis.transpose()?,
            roots: BTreeMap::new(),
        };
        let listen = match variables.get("RESETD_LISTEN") {
            None => LISTEN,
            Some(text) => text.parse().map_err(|_| {
                Error::Setting(format!(
                    "RESETD_LISTEN is {text}, not an address such as {LISTEN}"
                ))
            })?,
        };
        Ok(Self {
            listen,
            journal: JournalConfig::File(data.join("journal.db")),
            keep: days(KEEP_DAYS),
            reflection: Reflection::default(),
            drain: Duration::from_secs(10),
            targets: vec![target],
            tokens: Vec::new(),
        })
    }

    /// The target of this name; the only one when none is given.
    ///
    /// # Errors
    ///
    /// When there is none, or several and no name.
    pub fn target(&self, name: Option<&str>) -> Result<&TargetConfig, Error> {
        let known: Vec<&str> = self
            .targets
            .iter()
            .map(|target| target.name.as_str())
            .collect();
        match (name, self.targets.as_slice()) {
            (None, [only]) => Ok(only),
            (None, _) => Err(Error::Setting(format!(
                "there are several targets, choose one with --target: {}",
                known.join(", ")
            ))),
            (Some(name), all) => all
                .iter()
                .find(|target| target.name == name)
                .ok_or_else(|| {
                    Error::Setting(format!(
                        "there is no target {name}, only {}",
                        known.join(", ")
                    ))
                }),
        }
    }
}

fn parse_redis(target: &str, urls: &[String], is_cluster: bool) -> Result<RedisSettings, Error> {
    RedisSettings::parse(urls, is_cluster)
        .map_err(|refused| Error::Setting(format!("the Redis of target {target}: {refused}")))
}

fn days(days: u32) -> SignedDuration {
    SignedDuration::from_hours(24 * i64::from(days))
}

fn parse_address(target: &str, url: &str) -> Result<Address, Error> {
    Address::parse(url).map_err(|source| Error::Address {
        target: target.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

/// Reads a policy with the seed files beside it.
fn read_policy(path: &Path, variables: &Variables) -> Result<(Policy, SeedConfig), Error> {
    let policy = Policy::parse(&read(path)?).map_err(|source| Error::Policy {
        path: path.to_owned(),
        source,
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut seeds = SeedConfig::default();
    for name in policy.seed_files() {
        seeds.files.insert(name.clone(), read(&folder.join(name))?);
    }
    for (name, value) in &policy.seed_values {
        let text = seed_value(name, value, variables)?;
        seeds.values.insert(name.clone(), text);
    }
    Ok((policy, seeds))
}

fn seed_value(name: &str, value: &SeedValue, variables: &Variables) -> Result<SeedText, Error> {
    let variable = match value {
        SeedValue::Text(text) => return Ok(SeedText::Plain(text.clone())),
        SeedValue::Variable(variable) => variable,
    };
    let given = variables.get(&variable.env).filter(|text| !text.is_empty());
    let given = given.ok_or_else(|| {
        Error::Setting(format!(
            "seed_values.{name} of the policy takes its value from {}, which is not set",
            variable.env
        ))
    })?;
    let text = given.to_owned();
    Ok(match variable.bcrypt_cost {
        Some(cost) => SeedText::Password {
            password: text,
            cost,
        },
        None => SeedText::Plain(text),
    })
}

impl fmt::Display for Reflection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Off => "off",
        })
    }
}
