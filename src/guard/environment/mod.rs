//! The environment and name layers: whether what a target says about itself,
//! and how its host and database are called, allows a reset at all.
//!
//! The rules are the *environment* and *name* rows of `design/guard.md`. Absence
//! of information means no, and nothing here can be switched off. Names are
//! compared whole or word by word, never as a piece of a URL, where a password
//! containing `dev` would open production.
//!
//! This module knows no I/O and no process environment: whoever calls it has
//! read [`VARIABLES`] and the configuration.

#[cfg(test)]
mod tests;

use std::fmt;

/// The environments in which a reset is allowed, in lower case: the four of
/// MeStore's document. A configuration may add names ([`check_extra_allowed`]).
pub const ALLOWED: [&str; 4] = ["development", "dev", "testing", "test"];

/// The words that say production, in lower case.
///
/// The list is for whole words that a test system has no reason to carry, among
/// them the Spanish and German ones. `staging` is missing on purpose: a staging
/// system is where abacus' document tries a reset out, is not allowed unless a
/// configuration adds it, and is no production.
pub const PRODUCTION_WORDS: [&str; 8] = [
    "prod",
    "production",
    "prd",
    "live",
    "preprod",
    "preproduction",
    "produccion",
    "produktion",
];

/// The variables by which frameworks and platforms name their environment, and
/// which veto a reset when one of them says production.
pub const VARIABLES: [&str; 25] = [
    "ENVIRONMENT",
    "ENV",
    "APP_ENV",
    "APP_ENVIRONMENT",
    "NODE_ENV",
    "RAILS_ENV",
    "RACK_ENV",
    "FLASK_ENV",
    "DJANGO_ENV",
    "DJANGO_SETTINGS_MODULE",
    "DJANGO_CONFIGURATION",
    "ASPNETCORE_ENVIRONMENT",
    "DOTNET_ENVIRONMENT",
    "GO_ENV",
    "GIN_ENV",
    "RUST_ENV",
    "MIX_ENV",
    "SPRING_PROFILES_ACTIVE",
    "QUARKUS_PROFILE",
    "MICRONAUT_ENVIRONMENTS",
    "DEPLOY_ENV",
    "DEPLOYMENT_ENVIRONMENT",
    "CI_ENVIRONMENT_NAME",
    "RAILWAY_ENVIRONMENT",
    "VERCEL_ENV",
];

/// Databases that belong to the server itself: administration templates of
/// PostgreSQL, catalogues of MySQL and MariaDB.
const SYSTEM_DATABASES: [&str; 7] = [
    "postgres",
    "template0",
    "template1",
    "mysql",
    "information_schema",
    "performance_schema",
    "sys",
];

/// How every refusal for want of an allowed environment begins its remedy.
const WHERE: &str =
    "set the target's `environment` (ENVIRONMENT when there is no configuration file)";

/// The layer of `design/guard.md` that refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// What the target and the process say their environment is.
    Environment,
    /// Where the address leads, and how host and database are called.
    Address,
}

impl fmt::Display for Layer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Environment => "environment",
            Self::Address => "address",
        })
    }
}

/// A refusal by one layer, with all that its reader needs to see why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denied {
    /// The layer that refuses.
    pub layer: Layer,
    /// What is wrong; begins with the text that MeStore's document promises.
    pub message: String,
    /// The setting that would make it pass.
    pub fix: String,
    /// Every value that the layer looked at, as name and value; none is secret.
    pub observed: Vec<(String, String)>,
}

/// The names that a target's configuration allows and denies. Each entry is one
/// whole name, compared without regard to ASCII case; there are no patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameRules {
    /// When not empty, the only hosts to be reset.
    pub allow_hosts: Vec<String>,
    /// Hosts never to be reset, whatever else allows them.
    pub deny_hosts: Vec<String>,
    /// When not empty, the only databases to be reset; for SQLite the path as
    /// written, or its file name.
    pub allow_databases: Vec<String>,
    /// Databases never to be reset; for SQLite the path, or its file name.
    pub deny_databases: Vec<String>,
}

/// Why a name is refused, and what to do.
struct Reason {
    text: String,
    fix: String,
}

/// The first of [`PRODUCTION_WORDS`] that `text` has as a whole word, without
/// regard to ASCII case and to digits around it (`prod2`).
///
/// Words end at every character that is no ASCII letter or digit, so `latest`
/// and `devices` pass, and `attestation_prod` and `prod-eu` do not.
#[must_use]
pub fn names_production(text: &str) -> Option<&'static str> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .map(|word| word.trim_matches(|c: char| c.is_ascii_digit()))
        .find_map(|word| {
            PRODUCTION_WORDS
                .into_iter()
                .find(|production| word.eq_ignore_ascii_case(production))
        })
}

/// Checks the environment that a target declares, and the [`VARIABLES`] that the
/// process has.
///
/// The declared name is compared with [`ALLOWED`] and `extra_allowed` without
/// regard to ASCII case but otherwise as it stands: a space around it is no
/// typing error to be forgiven, but a value nobody looked at.
///
/// # Errors
///
/// [`Denied`] by [`Layer::Environment`] when the name is unset, empty, not
/// allowed or says production, or when an observed variable says production or
/// is not ASCII; the *environment* row of `design/guard.md`.
pub fn check_environment(
    declared: Option<&str>,
    extra_allowed: &[String],
    observed: &[(String, String)],
) -> Result<(), Denied> {
    let denied = |environment: &str, fix: String| {
        let own = ("environment".to_owned(), declared.map_or_else(unset, shown));
        let others = observed
            .iter()
            .map(|(name, value)| (name.clone(), shown(value)));
        Denied {
            layer: Layer::Environment,
            message: format!("Database reset not allowed in environment: {environment}"),
            fix,
            observed: std::iter::once(own).chain(others).collect(),
        }
    };
    let allowed = allowed_names(extra_allowed);
    let Some(name) = declared else {
        let fix = format!("{WHERE} to one of {allowed}");
        return Err(denied(&unset(), fix));
    };
    if let Some(problem) = unusable(name) {
        let fix = format!("the name {problem}; {WHERE} to one of {allowed}");
        return Err(denied(&shown(name), fix));
    }
    let mut known = ALLOWED
        .into_iter()
        .chain(extra_allowed.iter().map(String::as_str));
    if !known.any(|known| known.eq_ignore_ascii_case(name)) {
        let fix = format!(
            "{WHERE} to one of {allowed}, or add the name to the allowed ones in the configuration"
        );
        return Err(denied(&shown(name), fix));
    }
    for (variable, value) in observed {
        let says = if names_production(value).is_some() {
            "says production"
        } else if !value.is_ascii() {
            "cannot be read for certain, being not ASCII"
        } else {
            continue;
        };
        let environment = format!("{} (by {variable})", shown(value));
        let fix = format!(
            "the variable {variable} {says}, which outweighs the target's environment; unset it or correct it where resetd is started"
        );
        return Err(denied(&environment, fix));
    }
    Ok(())
}

/// Checks the environment names that a configuration adds to [`ALLOWED`].
///
/// # Errors
///
/// [`Denied`] by [`Layer::Environment`] for a name that says production, or that
/// is empty, not ASCII or has whitespace: "a config may add names, never ones
/// that look like production" (`design/guard.md`).
pub fn check_extra_allowed(names: &[String]) -> Result<(), Denied> {
    names.iter().try_for_each(|name| {
        unusable(name).map_or(Ok(()), |problem| {
            Err(Denied {
                layer: Layer::Environment,
                message: format!("Database reset not allowed in environment: {}", shown(name)),
                fix: format!(
                    "the name {problem}; take it from the allowed environments in the configuration"
                ),
                observed: vec![("allowed environment".to_owned(), shown(name))],
            })
        })
    })
}

/// Checks the names of host and database. Without a host the database is a
/// SQLite path, or one behind a local socket, and only its own name is checked.
///
/// Of a path every component is searched for production words; its file name
/// alone must be ASCII, since directories belong to the machine's user.
///
/// # Errors
///
/// [`Denied`] by [`Layer::Address`] for an empty or non-ASCII name (look-alike
/// letters), a production word, a system database, an entry of a deny list, or
/// none of an allow list; the *name* row of `design/guard.md`.
pub fn check_names(host: Option<&str>, database: &str, rules: &NameRules) -> Result<(), Denied> {
    let reason = host
        .and_then(|host| host_reason(host, rules))
        .or_else(|| database_reason(database, host.is_none(), rules));
    let Some(reason) = reason else {
        return Ok(());
    };
    let host = host.map(|host| ("host".to_owned(), shown(host)));
    let database = ("database".to_owned(), shown(database));
    Err(Denied {
        layer: Layer::Address,
        message: format!("DATABASE_URL appears to be production: {}", reason.text),
        fix: reason.fix,
        observed: host.into_iter().chain([database]).collect(),
    })
}

fn host_reason(host: &str, rules: &NameRules) -> Option<Reason> {
    // One host has several spellings in a list, and a deny entry that never
    // matches would be worse than none.
    fn bare(entry: &str) -> &str {
        entry.trim().trim_matches(['[', ']']).trim_end_matches('.')
    }
    let listed = |list: &[String]| {
        list.iter()
            .any(|entry| bare(entry).eq_ignore_ascii_case(bare(host)))
    };
    name_reason("host", host, host)
        .or_else(|| list_reason("host", host, listed, &rules.allow_hosts, &rules.deny_hosts))
}

fn database_reason(database: &str, may_be_path: bool, rules: &NameRules) -> Option<Reason> {
    let name = match database.rsplit_once('/') {
        Some((_, file)) if may_be_path => file,
        _ => database,
    };
    let listed = |list: &[String]| {
        list.iter()
            .any(|entry| entry.eq_ignore_ascii_case(database) || entry.eq_ignore_ascii_case(name))
    };
    let system = || {
        SYSTEM_DATABASES
            .into_iter()
            .find(|system| system.eq_ignore_ascii_case(database))
            .map(|system| Reason {
                text: format!("the database `{system}` belongs to the server"),
                fix: "name the application's own database in the address".to_owned(),
            })
    };
    name_reason("database", name, database)
        .or_else(system)
        .or_else(|| {
            let (allow, deny) = (&rules.allow_databases, &rules.deny_databases);
            list_reason("database", database, listed, allow, deny)
        })
}

/// What may be wrong with any name; `whole` is the name with its directories.
fn name_reason(kind: &str, name: &str, whole: &str) -> Option<Reason> {
    if name.is_empty() {
        return Some(Reason {
            text: format!("the {kind} has no name"),
            fix: format!("name the {kind} in the address"),
        });
    }
    if !name.is_ascii() {
        return Some(Reason {
            text: format!(
                "the {kind} {} has a character outside ASCII, perhaps a look-alike letter",
                shown(name)
            ),
            fix: format!("write the name of the {kind} in ASCII letters"),
        });
    }
    names_production(whole).map(|word| Reason {
        text: format!("the {kind} {} has the word `{word}`", shown(whole)),
        fix: format!(
            "name a {kind} without any of the words {} in the address",
            PRODUCTION_WORDS.join(", ")
        ),
    })
}

fn list_reason(
    kind: &str,
    name: &str,
    listed: impl Fn(&[String]) -> bool,
    allow: &[String],
    deny: &[String],
) -> Option<Reason> {
    if listed(deny) {
        return Some(Reason {
            text: format!("the {kind} {} is on the deny list", shown(name)),
            fix: format!("name another {kind}, or take this one from `deny_{kind}s`"),
        });
    }
    if !allow.is_empty() && !listed(allow) {
        return Some(Reason {
            text: format!("the {kind} {} is not on the allow list", shown(name)),
            fix: format!("add it to `allow_{kind}s`, which names the only ones to be reset"),
        });
    }
    None
}

/// Why a name can be no environment to reset in, whatever is allowed.
fn unusable(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if !name.is_ascii() {
        Some("has a character outside ASCII, perhaps a look-alike letter")
    } else if name.contains(|c: char| c.is_ascii_whitespace() || c.is_ascii_control()) {
        Some("has a space or control character, which is not trimmed")
    } else if names_production(name).is_some() {
        Some("says production")
    } else {
        None
    }
}

fn allowed_names(extra: &[String]) -> String {
    ALLOWED
        .into_iter()
        .map(str::to_owned)
        .chain(extra.iter().map(|name| shown(name)))
        .collect::<Vec<_>>()
        .join(", ")
}

fn unset() -> String {
    "(unset)".to_owned()
}

/// A value as it may stand in a message: itself, or quoted with its odd
/// characters escaped, so that a look-alike letter or a space is seen; and short.
fn shown(value: &str) -> String {
    const CHARACTERS: usize = 80;
    let cut: String = value.chars().take(CHARACTERS).collect();
    let dots = if cut.len() < value.len() { "…" } else { "" };
    if !cut.is_empty() && cut.bytes().all(|byte| byte.is_ascii_graphic()) {
        format!("{cut}{dots}")
    } else {
        format!("\"{}\"{dots}", cut.escape_default())
    }
}
