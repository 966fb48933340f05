//! The demo: a marketplace's whole schema in an embedded database, with
//! believable data, armed and served.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::SignedDuration;
use serde_json::json;

use crate::{
    access::Role,
    admin::token,
    config::{
        Config, JournalConfig, KEEP_DAYS, MAX_ROWS, MAX_ROWS_BULK, Reflection, SeedConfig,
        TargetConfig, Variables, program_beside, user_name, working_folder,
    },
    engine::now,
    guard::{Limits, NameRules},
    policy::{self, Policy},
    server,
    target::{self, Arming, Credentials, Target},
};

const SCHEMA: &str = include_str!("../deploy/systems/mestore/schema.sqlite.sql");
const SEED: &str = include_str!("../deploy/systems/mestore/seed.sqlite.sql");
const POLICY: &str = include_str!("../deploy/systems/mestore/policy.toml");

/// The environment that the demo is armed for.
const ENVIRONMENT: &str = "development";

/// A test user of the seed with much hanging off it.
pub const SHOWN_USER: &str = "maria.compradora@test.com";

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its folder cannot be used.
    #[error("the demo's folder {} cannot be used: {source}", path.display())]
    Folder {
        /// The folder, or a file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another demo is using its folder.
    #[error("another demo is running in {}: stop it, or choose another folder with --data", .0.display())]
    InUse(PathBuf),
    /// Its policy is not understood.
    #[error(transparent)]
    Policy(#[from] policy::Error),
    /// Its database cannot be made.
    #[error("the demo's database cannot be made: {error}{}", source_of(error))]
    Target {
        /// Why.
        #[from]
        error: target::Error,
    },
    /// Its server does not start.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// The machine gives no random numbers.
    #[error(transparent)]
    Token(#[from] token::Error),
    /// The path of its database is none that a URL can say.
    #[error("the demo's database has a path that no url can say: {0}")]
    Address(#[from] crate::address::Error),
}

fn source_of(error: &target::Error) -> String {
    std::error::Error::source(error).map_or_else(String::new, |source| format!(": {source}"))
}

/// A demo that is ready to be served.
#[derive(Debug)]
pub struct Demo {
    /// What its server is told.
    pub config: Config,
    folder: PathBuf,
    /// Held for as long as the demo lives: nobody else makes its files anew.
    _lock: fs::File,
    database: PathBuf,
    /// A secret for each role.
    secrets: Vec<(Role, String)>,
}

impl Demo {
    /// Makes the demo's database anew in `folder`, with fresh tokens.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written.
    pub async fn make(
        folder: &Path,
        listen: SocketAddr,
        variables: &Variables,
    ) -> Result<Self, Error> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Folder { path, source }
        };
        fs::create_dir_all(folder).map_err(at(folder))?;
        let folder = folder.canonicalize().map_err(at(folder))?;
        let lock = folder.join("demo.lock");
        let lock = fs::File::create(&lock).map_err(at(&lock))?;
        if lock.try_lock().is_err() {
            return Err(Error::InUse(folder));
        }
        for name in ["demo.json", "demo.db", "demo.db-wal", "demo.db-shm"] {
            let path = folder.join(name);
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(at(&path)(error)),
            }
        }
        let database = folder.join("demo.db");
        // The demo has no Redis, and nobody who leaves orphans.
        let mut policy = Policy::parse(POLICY)?;
        policy.levels.user_sessions.redis.clear();
        policy.full_reset.redis.clear();
        policy.orphans.clear();
        fill(&database, policy.clone()).await?;

        let mut secrets = Vec::new();
        let mut tokens = Vec::new();
        for role in Role::ALL {
            let secret = token::secret()?;
            tokens.push(token::of_role("demo", role, &secret));
            secrets.push((role, secret));
        }
        let config = Config {
            listen,
            journal: JournalConfig::File(folder.join("journal.db")),
            keep: SignedDuration::from_hours(24 * i64::from(KEEP_DAYS)),
            reflection: Reflection::Open,
            drain: Duration::from_secs(10),
            targets: vec![TargetConfig {
                seeds: SeedConfig::default(),
                name: "demo".to_owned(),
                environment: Some(ENVIRONMENT.to_owned()),
                extra_environments: Vec::new(),
                variables: variables.environments(),
                address: crate::address::Address::parse(&format!(
                    "sqlite:{}",
                    percent(&database.display().to_string())
                ))?,
                names: NameRules::default(),
                limits: Limits { max_rows: MAX_ROWS },
                bulk_limits: Limits {
                    max_rows: MAX_ROWS_BULK,
                },
                policy,
                redis: None,
                roots: std::collections::BTreeMap::new(),
            }],
            tokens,
        };
        Ok(Self {
            config,
            folder,
            _lock: lock,
            database,
            secrets,
        })
    }

    fn secret(&self, role: Role) -> &str {
        let found = self.secrets.iter().find(|(known, _)| *known == role);
        found.map_or("", |(_, secret)| secret)
    }

    /// Writes `demo.json`, by which scripts find the demo: last of all and
    /// at once, so that whoever sees it sees a demo that answers.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written.
    pub fn announce(&self, address: SocketAddr) -> Result<(), Error> {
        let tokens: serde_json::Map<String, serde_json::Value> = self
            .secrets
            .iter()
            .map(|(role, secret)| (role.to_string(), json!(secret)))
            .collect();
        let text = json!({
            "address": address.to_string(),
            "database": self.database,
            "tokens": tokens,
        });
        let (draft, path) = (
            self.folder.join("demo.json.new"),
            self.folder.join("demo.json"),
        );
        token::write_private(&draft, &format!("{text:#}\n"))
            .and_then(|()| fs::rename(&draft, &path))
            .map_err(|source| Error::Folder { path, source })
    }

    /// Prints what a newcomer needs: the tokens, and commands to paste.
    ///
    /// # Errors
    ///
    /// When the folder of this process is gone.
    pub fn greet(&self, address: SocketAddr) -> io::Result<()> {
        println!("resetd demo: a marketplace of 300 users in 34 tables, on {address}");
        println!(
            "database {}, made anew at each start\n",
            self.database.display()
        );
        println!("A token for each role:");
        for (role, secret) in &self.secrets {
            println!("  {:<9} {secret}", role.to_string());
        }
        let tester = self.secret(Role::Tester);
        let resetctl = resetctl()?;
        println!("\nPaste these into another terminal:\n");
        let commands = [
            ("May it be reset?", "status".to_owned()),
            ("What is in it?", "stats".to_owned()),
            (
                "What would a reset of one user do?",
                format!("user {SHOWN_USER} --dry-run"),
            ),
            ("Reset that user:", format!("user {SHOWN_USER}")),
            (
                "Create the user again:",
                format!("create-user {SHOWN_USER}"),
            ),
        ];
        for (why, command) in commands {
            println!("  # {why}");
            println!("  {resetctl} --address {address} --token {tester} {command}\n");
        }
        println!("  # The same from any language, here with grpcurl:");
        let calls = [
            ("Statistics", "{}".to_owned()),
            (
                "ResetUser",
                format!("{{\"email\": \"{SHOWN_USER}\", \"validate_only\": true}}"),
            ),
        ];
        for (method, message) in calls {
            println!(
                "  grpcurl -plaintext -H 'authorization: Bearer {tester}' -d '{message}' \
                 {address} resetd.v1.ResetService/{method}\n"
            );
        }
        println!("Ctrl-C stops it.");
        Ok(())
    }
}

/// Makes, fills and arms the database.
async fn fill(path: &Path, policy: Policy) -> Result<(), Error> {
    let credentials = Credentials::Sqlite {
        path: path.to_owned(),
        create: true,
    };
    let target = Target::new(crate::guard::Setting::default(), policy, credentials);
    target.load(&[SCHEMA, SEED]).await?;
    let armed_at = now();
    let arming = Arming {
        id: uuid::Uuid::new_v4().to_string(),
        environment: ENVIRONMENT.to_owned(),
        armed_by: user_name(),
        armed_at,
        expires_at: armed_at + SignedDuration::from_hours(30 * 24),
        protected: false,
    };
    target.arm("demo.db", &arming).await?;
    target.close().await;
    Ok(())
}

/// A path as a URL writes it: only what the grammar would read differently
/// is encoded.
fn percent(path: &str) -> String {
    path.chars()
        .map(|letter| match letter {
            ' ' => "%20".to_owned(),
            '%' => "%25".to_owned(),
            '#' => "%23".to_owned(),
            '?' => "%3F".to_owned(),
            other => other.to_string(),
        })
        .collect()
}

/// How this machine calls `resetctl`: the program beside this one, as short
/// as it can be said from here. `cargo run` builds only the one program; then
/// cargo makes the other when it is first called.
fn resetctl() -> io::Result<String> {
    let beside = program_beside("resetctl")?;
    if !beside.exists() {
        return Ok("cargo run --quiet --release --bin resetctl --".to_owned());
    }
    let here = working_folder()?;
    let short = beside.strip_prefix(&here).unwrap_or(&beside);
    Ok(short.display().to_string())
}
