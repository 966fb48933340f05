//! Keeps production safe: what has to be true before anything is touched.
//!
//! Absence of information means no. The guards look at what is configured
//! ([`Setting`]) and at what the database says of itself ([`Seen`]); they read
//! neither themselves and know no clock. [`clear`] is the only way to a
//! [`Cleared`] subject, and only a cleared subject can be executed.

pub mod environment;
mod test_user;
mod user;

pub use environment::NameRules;
pub use test_user::{Error as DomainError, TestDomains};
pub use user::{UserFacts, UserRule, taken_along};

use std::fmt;

use jiff::Timestamp;

/// Which guard speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The declared environment and the process's variables.
    Environment,
    /// The database's address and name.
    Address,
    /// What the server says of itself.
    Identity,
    /// The row by which the database says that it may be reset.
    Marker,
    /// The user in scope.
    User,
    /// Rows that must not be left behind.
    References,
    /// The phrase by which the caller says that it is meant.
    Confirmation,
    /// How many rows one operation may change.
    Budget,
}

/// Why a guard refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The environment is none in which resets are allowed.
    EnvironmentDenied,
    /// The address or the database's name looks like production.
    AddressDenied,
    /// There is no valid marker.
    TargetNotArmed,
    /// The marker says that the database is never reset.
    TargetProtected,
    /// The database is not the one that was configured or armed.
    TargetIdentityMismatch,
    /// The database takes no writes.
    DatabaseReadOnly,
    /// The user is no test user.
    NotATestUser,
    /// The user is never reset.
    ProtectedUser,
    /// Rows that stay refer to rows that would go.
    BlockedByReferences,
    /// The confirmation phrase is missing.
    ConfirmationRequired,
    /// The confirmation phrase is another one.
    ConfirmationMismatch,
    /// More rows would change than allowed.
    BlastRadiusExceeded,
}

/// A guard's no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which guard.
    pub layer: Layer,
    /// Why.
    pub reason: Reason,
    /// What was seen, in words.
    pub message: String,
    /// The command or setting that would make it a yes.
    pub fix: String,
    /// The values that the message names.
    pub observed: Vec<(String, String)>,
}

/// Everything that was refused at once, at least one refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub Vec<Refusal>);

/// What one layer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The layer.
    pub layer: Layer,
    /// Its refusal; nothing means that it lets resets pass.
    pub refusal: Option<Refusal>,
}

/// What is configured about a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setting {
    /// The target's name.
    pub target: String,
    /// The environment that it is declared to be.
    pub environment: Option<String>,
    /// Environments that the configuration allows beyond the usual ones.
    pub extra_environments: Vec<String>,
    /// The process's variables that name an environment.
    pub variables: Vec<(String, String)>,
    /// The host of its address; nothing for a file.
    pub host: Option<String>,
    /// The database of its address, or the file's path.
    pub database: String,
    /// Which names are allowed.
    pub names: NameRules,
}

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The name of the database that the session is in.
    pub database: String,
    /// What tells this database on this server from all others.
    pub server_identity: String,
    /// True when it takes no writes.
    pub read_only: bool,
    /// Its marker rows: one in an armed database.
    pub markers: Vec<Marker>,
}

/// The row by which a database says that it may be reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// A random id.
    pub id: String,
    /// The environment that it was armed for.
    pub environment: String,
    /// The database's name when it was armed.
    pub database: String,
    /// What told it from all others then.
    pub server_identity: String,
    /// Who armed it.
    pub armed_by: String,
    /// When.
    pub armed_at: Timestamp,
    /// Until when it counts.
    pub expires_at: Timestamp,
    /// True when it may never be reset.
    pub protected: bool,
}

/// How much one operation may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows deleted, restored and detached together.
    pub max_rows: u64,
}

/// A subject that every guard has let pass, with what they saw.
#[derive(Debug, Clone)]
pub struct Cleared<T> {
    subject: T,
    seen: Seen,
    limits: Limits,
}

/// Lets a subject pass when every layer does.
///
/// # Errors
///
/// The refusals of all layers at once.
pub fn clear<T>(
    subject: T,
    setting: &Setting,
    seen: Seen,
    limits: Limits,
    now: Timestamp,
) -> Result<Cleared<T>, Refused> {
    let refusals: Vec<Refusal> = verdicts(setting, Some(&seen), now)
        .into_iter()
        .filter_map(|verdict| verdict.refusal)
        .collect();
    if refusals.is_empty() {
        Ok(Cleared {
            subject,
            seen,
            limits,
        })
    } else {
        Err(Refused(refusals))
    }
}

/// Lets a target be connected to: asks the layers that need no connection, so
/// that a production database is not even reached.
///
/// # Errors
///
/// The refusals of these layers.
pub fn precheck(setting: &Setting, now: Timestamp) -> Result<(), Refused> {
    let refusals: Vec<Refusal> = verdicts(setting, None, now)
        .into_iter()
        .filter_map(|verdict| verdict.refusal)
        .collect();
    if refusals.is_empty() {
        Ok(())
    } else {
        Err(Refused(refusals))
    }
}

/// Lets a caller pass who has typed the phrase.
///
/// # Errors
///
/// When it is missing or another one.
pub fn confirm(phrase: &str, typed: &str) -> Result<(), Refusal> {
    if typed == phrase {
        return Ok(());
    }
    let (reason, message) = match typed.is_empty() {
        true => (
            Reason::ConfirmationRequired,
            "this deletes data for good and needs a confirmation",
        ),
        false => (
            Reason::ConfirmationMismatch,
            "the confirmation is not the phrase that this target demands",
        ),
    };
    Err(Refusal {
        layer: Layer::Confirmation,
        reason,
        message: message.to_owned(),
        fix: format!("set confirmation to {phrase:?}, or look first with validate_only"),
        observed: pairs([("confirmation", phrase)]),
    })
}

/// What each layer says of a target. Without `seen`, because the database
/// cannot be reached, only the layers that do not need it speak.
#[must_use]
pub fn verdicts(setting: &Setting, seen: Option<&Seen>, now: Timestamp) -> Vec<Verdict> {
    let environment = environment::check_environment(
        setting.environment.as_deref(),
        &setting.extra_environments,
        &setting.variables,
    );
    let names =
        environment::check_names(setting.host.as_deref(), &setting.database, &setting.names);
    let mut verdicts = vec![
        Verdict {
            layer: Layer::Environment,
            refusal: environment.err().map(Refusal::from),
        },
        Verdict {
            layer: Layer::Address,
            refusal: names.err().map(Refusal::from),
        },
    ];
    if let Some(seen) = seen {
        verdicts.push(Verdict {
            layer: Layer::Identity,
            refusal: identity(setting, seen),
        });
        verdicts.push(Verdict {
            layer: Layer::Marker,
            refusal: marker(setting, seen, now),
        });
    }
    verdicts
}

/// The server's own answers must agree with what was asked for.
fn identity(setting: &Setting, seen: &Seen) -> Option<Refusal> {
    let asked = setting.database_name();
    if seen.database != asked {
        return Some(Refusal {
            layer: Layer::Identity,
            reason: Reason::TargetIdentityMismatch,
            message: format!(
                "target {} is configured as database {asked}, but the session is in {}",
                setting.target, seen.database
            ),
            fix: "correct the target's url: a pooler or an alias leads somewhere else".to_owned(),
            observed: pairs([("configured", asked), ("connected", &seen.database)]),
        });
    }
    seen.read_only.then(|| Refusal {
        layer: Layer::Identity,
        reason: Reason::DatabaseReadOnly,
        message: format!("database {} takes no writes", seen.database),
        fix: "point the target at a primary, and at a file that may be written".to_owned(),
        observed: pairs([("database", seen.database.as_str())]),
    })
}

/// The database itself must say that it may be reset.
fn marker(setting: &Setting, seen: &Seen, now: Timestamp) -> Option<Refusal> {
    let database = seen.database.as_str();
    let arm = format!(
        "resetd arm --target {} --database {database}",
        setting.target
    );
    let refuse = |reason, message: String, observed: Vec<(String, String)>| {
        Some(Refusal {
            layer: Layer::Marker,
            reason,
            message,
            fix: arm.clone(),
            observed,
        })
    };
    let marker = match seen.markers.as_slice() {
        [marker] => marker,
        [] => {
            let message =
                format!("database {database} is not armed: nothing says that it may be reset");
            return refuse(
                Reason::TargetNotArmed,
                message,
                pairs([("database", database)]),
            );
        }
        many => {
            let message = format!(
                "database {database} has {} markers where one is expected",
                many.len()
            );
            return refuse(
                Reason::TargetNotArmed,
                message,
                pairs([("database", database)]),
            );
        }
    };
    if marker.protected {
        return Some(Refusal {
            layer: Layer::Marker,
            reason: Reason::TargetProtected,
            message: format!("database {database} is protected: it is never reset"),
            fix: "use another database; protection is meant to stay".to_owned(),
            observed: pairs([("database", database), ("marker", &marker.id)]),
        });
    }
    let environment = setting.environment.as_deref().unwrap_or_default();
    let differences = [
        ("database", marker.database.as_str(), database),
        ("server", &marker.server_identity, &seen.server_identity),
        ("environment", &marker.environment, environment),
    ];
    for (what, armed, found) in differences {
        if !armed.eq_ignore_ascii_case(found) || (what != "environment" && armed != found) {
            let message = format!(
                "the marker was written for another {what}: armed as {armed}, found {found}"
            );
            let observed = pairs([("armed", armed), ("found", found)]);
            return refuse(Reason::TargetIdentityMismatch, message, observed);
        }
    }
    if marker.expires_at <= now {
        let message = format!(
            "the marker of database {database} expired at {}",
            marker.expires_at
        );
        let observed = vec![("expired".to_owned(), marker.expires_at.to_string())];
        return refuse(Reason::TargetNotArmed, message, observed);
    }
    None
}

fn pairs<const N: usize>(items: [(&str, &str); N]) -> Vec<(String, String)> {
    items
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
}

impl<T> Cleared<T> {
    /// What was cleared.
    pub fn subject(&self) -> &T {
        &self.subject
    }

    /// What the guards saw of the database.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// How much the operation may change.
    pub fn limits(&self) -> Limits {
        self.limits
    }
}

impl Setting {
    /// The name that the database itself is expected to answer: of a file,
    /// its own name without the folders.
    #[must_use]
    pub fn database_name(&self) -> &str {
        match self.host {
            Some(_) => &self.database,
            None => self.database.rsplit('/').next().unwrap_or_default(),
        }
    }
}

impl Limits {
    /// Refuses more rows than allowed.
    ///
    /// # Errors
    ///
    /// When `rows` is over the limit.
    pub fn check(self, rows: u64) -> Result<(), Refusal> {
        if rows <= self.max_rows {
            return Ok(());
        }
        Err(Refusal {
            layer: Layer::Budget,
            reason: Reason::BlastRadiusExceeded,
            message: format!(
                "the operation would change {rows} rows, more than the {} that it may",
                self.max_rows
            ),
            fix: "raise limits.max_rows of the target, if so many rows are really meant".to_owned(),
            observed: vec![
                ("rows".to_owned(), rows.to_string()),
                ("max_rows".to_owned(), self.max_rows.to_string()),
            ],
        })
    }
}

impl From<environment::Denied> for Refusal {
    fn from(denied: environment::Denied) -> Self {
        let (layer, reason) = match denied.layer {
            environment::Layer::Environment => (Layer::Environment, Reason::EnvironmentDenied),
            environment::Layer::Address => (Layer::Address, Reason::AddressDenied),
        };
        Self {
            layer,
            reason,
            message: denied.message,
            fix: denied.fix,
            observed: denied.observed,
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "environment",
            Self::Address => "address",
            Self::Identity => "identity",
            Self::Marker => "marker",
            Self::User => "user",
            Self::References => "references",
            Self::Confirmation => "confirmation",
            Self::Budget => "budget",
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; to allow it: {}", self.message, self.fix)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, refusal) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" | ")?;
            }
            refusal.fmt(f)?;
        }
        Ok(())
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(vec![refusal])
    }
}

#[cfg(test)]
mod tests;
