//! The configuration file.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::{
    Config, Error, JournalConfig, KEEP_DAYS, LISTEN, MAX_ROWS, MAX_ROWS_BULK, Reflection,
    TargetConfig, Variables, days, parse_address, parse_redis, read, read_policy,
};
use crate::{
    access::{Principal, Role, Token},
    address::{Address, Engine},
    effects::{RedisSettings, RootSettings},
    guard::{Limits, NameRules, environment},
};

/// Replies, and request ids with them, are kept for so many days, and the
/// records that they belong to at least as long.
const REPLY_DAYS: u32 = 7;

/// The file as written; see README for an example of the whole.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    journal: Option<String>,
    journal_env: Option<String>,
    journal_keep_days: Option<u32>,
    #[serde(default)]
    reflection: Reflection,
    drain_seconds: Option<u64>,
    #[serde(default)]
    environments: Vec<String>,
    targets: Vec<TargetFile>,
    #[serde(default)]
    tokens: Vec<TokenFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetFile {
    name: String,
    environment: Option<String>,
    url: Option<String>,
    url_env: Option<String>,
    policy: String,
    #[serde(default)]
    limits: LimitsFile,
    #[serde(default)]
    names: NamesFile,
    redis: Option<RedisFile>,
    #[serde(default)]
    roots: BTreeMap<String, RootFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RedisFile {
    url: Option<OneOrMany>,
    url_env: Option<String>,
    #[serde(default)]
    cluster: bool,
    #[serde(default)]
    exclusive: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RootFile {
    path: String,
    #[serde(default)]
    trash_hours: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsFile {
    max_rows: Option<u64>,
    max_rows_bulk: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NamesFile {
    allow_hosts: Vec<String>,
    deny_hosts: Vec<String>,
    allow_databases: Vec<String>,
    deny_databases: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenFile {
    subject: String,
    role: Role,
    sha256: String,
    targets: Option<BTreeSet<String>>,
    allow: Option<BTreeSet<String>>,
    expires: Option<Timestamp>,
    user: Option<String>,
}

/// Reads a configuration file; paths in it start from its own folder.
pub(super) fn load(path: &Path, variables: &Variables) -> Result<Config, Error> {
    let file: File = toml::from_str(&read(path)?).map_err(|source| Error::Syntax {
        path: path.to_owned(),
        source,
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    environment::check_extra_allowed(&file.environments)
        .map_err(|denied| Error::Setting(format!("environments: {denied}; {}", denied.fix)))?;
    if file.targets.is_empty() {
        return Err(Error::Setting(
            "the configuration names no [[targets]]".into(),
        ));
    }
    let mut names = BTreeSet::new();
    for target in &file.targets {
        if !names.insert(&target.name) {
            return Err(Error::Setting(format!(
                "two targets are named {}",
                target.name
            )));
        }
    }
    let targets = file
        .targets
        .iter()
        .map(|target| target.resolve(folder, &file.environments, variables))
        .collect::<Result<_, _>>()?;
    Ok(Config {
        listen: file.listen.unwrap_or(LISTEN),
        journal: journal(&file, folder, variables)?,
        keep: days(file.journal_keep_days.unwrap_or(KEEP_DAYS).max(REPLY_DAYS)),
        reflection: file.reflection,
        drain: Duration::from_secs(file.drain_seconds.unwrap_or(10)),
        targets,
        tokens: file
            .tokens
            .iter()
            .map(TokenFile::resolve)
            .collect::<Result<_, _>>()?,
    })
}

/// Where the journal is: a file, or the URL of a PostgreSQL database. A
/// variable that is named and set comes first.
fn journal(file: &File, folder: &Path, variables: &Variables) -> Result<JournalConfig, Error> {
    let named = file.journal_env.as_deref();
    let named = named.and_then(|variable| variables.get(variable));
    let place = named.or(file.journal.as_deref()).unwrap_or("journal.db");
    if !place.contains("://") {
        return Ok(JournalConfig::File(folder.join(place)));
    }
    let address = Address::parse(place).map_err(|source| Error::Address {
        target: "journal".to_owned(),
        source,
    })?;
    match address.engine() {
        Engine::Postgres => Ok(JournalConfig::Server(Box::new(address))),
        Engine::Sqlite | Engine::MySql => Err(Error::Setting(
            "the journal is a file, or in PostgreSQL: journal = \"postgresql://…\"".to_owned(),
        )),
    }
}

impl TargetFile {
    fn resolve(
        &self,
        folder: &Path,
        extra: &[String],
        variables: &Variables,
    ) -> Result<TargetConfig, Error> {
        let name = &self.name;
        let url = match (&self.url, &self.url_env) {
            (Some(url), None) => url.as_str(),
            (None, Some(variable)) => variables.get(variable).ok_or_else(|| {
                Error::Setting(format!(
                    "target {name} takes its url from {variable}, which is not set"
                ))
            })?,
            _ => {
                return Err(Error::Setting(format!(
                    "target {name} needs one of url and url_env"
                )));
            }
        };
        let (policy, seeds) = read_policy(&folder.join(&self.policy), variables)?;
        Ok(TargetConfig {
            name: name.clone(),
            environment: self.environment.clone(),
            extra_environments: extra.to_vec(),
            variables: variables.environments(),
            address: parse_address(name, url)?,
            names: NameRules {
                allow_hosts: self.names.allow_hosts.clone(),
                deny_hosts: self.names.deny_hosts.clone(),
                allow_databases: self.names.allow_databases.clone(),
                deny_databases: self.names.deny_databases.clone(),
            },
            limits: Limits {
                max_rows: self.limits.max_rows.unwrap_or(MAX_ROWS),
            },
            bulk_limits: Limits {
                max_rows: self.limits.max_rows_bulk.unwrap_or(MAX_ROWS_BULK),
            },
            policy,
            seeds,
            redis: self
                .redis
                .as_ref()
                .map(|redis| redis.resolve(name, variables))
                .transpose()?,
            roots: self
                .roots
                .iter()
                .map(|(name, root)| (name.clone(), root.resolve(folder)))
                .collect(),
        })
    }
}

impl RedisFile {
    fn resolve(&self, target: &str, variables: &Variables) -> Result<RedisSettings, Error> {
        let urls: Vec<String> = match (&self.url, &self.url_env) {
            (Some(OneOrMany::One(url)), None) => vec![url.clone()],
            (Some(OneOrMany::Many(urls)), None) => urls.clone(),
            (None, Some(variable)) => {
                let value = variables.get(variable).ok_or_else(|| {
                    Error::Setting(format!(
                        "the Redis of target {target} is in {variable}, which is not set"
                    ))
                })?;
                value.split(',').map(|url| url.trim().to_owned()).collect()
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err(Error::Setting(format!(
                    "the Redis of target {target} needs one of url and url_env"
                )));
            }
        };
        let settings = parse_redis(target, &urls, self.cluster)?;
        Ok(match self.exclusive {
            true => settings.exclusive(),
            false => settings,
        })
    }
}

impl RootFile {
    fn resolve(&self, folder: &Path) -> RootSettings {
        RootSettings {
            path: folder.join(&self.path),
            keep: SignedDuration::from_hours(i64::from(self.trash_hours)),
        }
    }
}

impl TokenFile {
    fn resolve(&self) -> Result<Token, Error> {
        let mut digest = [0; 32];
        hex::decode_to_slice(&self.sha256, &mut digest).map_err(|_| {
            Error::Setting(format!(
                "the sha256 of the token of {} is not 64 hexadecimal digits: `resetd token new` \
                 makes one",
                self.subject
            ))
        })?;
        Ok(Token {
            digest,
            principal: Principal {
                subject: self.subject.clone(),
                role: self.role,
                targets: self.targets.clone(),
                allow: self.allow.clone(),
                own_user: self.user.clone(),
            },
            expires: self.expires,
        })
    }
}
