//! Who may do what: a caller, a target and an action make a [`Grant`] or a
//! refusal.

use std::{collections::BTreeSet, fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::operation::Action;

/// What a caller may do at most. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May look.
    Viewer,
    /// May reset and create test users: a test runner.
    Tester,
    /// May also force, and act on more than one user.
    Admin,
    /// May do everything.
    Superuser,
}

/// What the callers of the old endpoints know a denial by, where it is an
/// admin that is needed.
const fn known_words(needed: Role) -> &'static str {
    match needed {
        Role::Admin | Role::Superuser => "Admin access required: ",
        Role::Viewer | Role::Tester => "",
    }
}

/// A caller that has proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Their name, as the journal records it.
    pub subject: String,
    /// What they may do at most.
    pub role: Role,
    /// The targets that they may use; all when absent.
    pub targets: Option<BTreeSet<String>>,
    /// The RPCs that they may call; all that the role may when absent.
    pub allow: Option<BTreeSet<String>>,
    /// The key or e-mail of the user row that is their own.
    pub own_user: Option<String>,
}

/// A token of the configuration. Only the digest of its secret is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The SHA-256 of the secret.
    pub digest: [u8; 32],
    /// Whom it proves.
    pub principal: Principal,
    /// Until when; for ever when absent.
    pub expires: Option<Timestamp>,
}

/// Leave to do one action on one target.
#[derive(Debug, Clone)]
pub struct Grant {
    principal: Principal,
    target: String,
    action: Action,
}

/// Why a caller may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The role is too low.
    #[error("{}{action} needs role {needed}{why}, and {subject} has role {role}", known_words(*needed))]
    Role {
        /// The caller.
        subject: String,
        /// Their role.
        role: Role,
        /// The RPC.
        action: &'static str,
        /// The least role.
        needed: Role,
        /// What raises the need, with a space before it.
        why: &'static str,
    },
    /// The token is not for this target.
    #[error("the token of {subject} is not for target {target}")]
    Target {
        /// The caller.
        subject: String,
        /// The target.
        target: String,
    },
    /// The plan token is somebody else's, or for something else.
    #[error(
        "the plan_token is not for this request of {subject}: do the dry run yourself, and send its token"
    )]
    Plan {
        /// The caller.
        subject: String,
    },
    /// The token is not for this call.
    #[error("the token of {subject} does not allow {action}")]
    Action {
        /// The caller.
        subject: String,
        /// The RPC.
        action: &'static str,
    },
}

/// What a target's policy says about who may do what there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Demands<'a> {
    /// The user types that make a created user an admin.
    pub admin_types: &'a [String],
    /// True when the recipe that is asked for needs a superuser.
    pub recipe_of_superusers: bool,
}

/// Grants an action on a target.
///
/// # Errors
///
/// When the token is not for this target or RPC, or the role is too low.
pub fn authorize(
    principal: &Principal,
    target: &str,
    action: Action,
    demands: Demands<'_>,
) -> Result<Grant, Denied> {
    let subject = || principal.subject.clone();
    let targets = principal.targets.as_ref();
    if targets.is_some_and(|names| !names.contains(target)) {
        return Err(Denied::Target {
            subject: subject(),
            target: target.to_owned(),
        });
    }
    allow(principal, &action, demands)?;
    Ok(Grant {
        principal: principal.clone(),
        target: target.to_owned(),
        action,
    })
}

/// Whether a caller may do an action on any target at all, for calls that do
/// not say on which.
///
/// # Errors
///
/// When the token is not for this RPC, or the role is too low.
pub fn allow(principal: &Principal, action: &Action, demands: Demands<'_>) -> Result<(), Denied> {
    let subject = || principal.subject.clone();
    let allowed = principal.allow.as_ref();
    if allowed.is_some_and(|names| !names.contains(action.name())) {
        return Err(Denied::Action {
            subject: subject(),
            action: action.name(),
        });
    }
    let (needed, why) = least_role(action, demands);
    if principal.role < needed {
        return Err(Denied::Role {
            subject: subject(),
            role: principal.role,
            action: action.name(),
            needed,
            why,
        });
    }
    Ok(())
}

/// The least role for an action, and what raises it.
fn least_role(action: &Action, demands: Demands<'_>) -> (Role, &'static str) {
    match action {
        Action::GetStatus
        | Action::Statistics(_)
        | Action::GetOperation
        | Action::ListOperations
        | Action::WatchOperation => (Role::Viewer, ""),
        Action::CancelOperation { own: true } => (Role::Tester, ""),
        Action::CancelOperation { own: false } => (Role::Admin, " for the operation of another"),
        Action::ResetUser(action) if action.force => (Role::Admin, " with force"),
        Action::ResetUser(_) => (Role::Tester, ""),
        Action::ResetTestUsers(action) if action.include_admins => {
            (Role::Superuser, " with include_admins")
        }
        Action::ResetTestUsers(_) => (Role::Admin, ""),
        Action::Cleanup(action) => match &action.test_session_id {
            Some(_) => (Role::Tester, ""),
            None => (Role::Admin, " without a session"),
        },
        Action::FullReset(_) => (Role::Superuser, ""),
        Action::RunRecipe(_) if demands.recipe_of_superusers => {
            (Role::Superuser, " for this recipe")
        }
        Action::RunRecipe(_) | Action::SetPassword(_) | Action::ClearCache(_) => (Role::Admin, ""),
        // It follows a reset whose caller was let.
        Action::SweepOrphans(_) => (Role::Tester, ""),
        Action::CreateTestUser(action) => match &action.user_type {
            Some(kind) if demands.admin_types.contains(kind) => {
                (Role::Admin, " for an admin's type")
            }
            _ => (Role::Tester, ""),
        },
    }
}

impl Grant {
    /// Who.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// On which target.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// What.
    #[must_use]
    pub fn action(&self) -> &Action {
        &self.action
    }
}

impl Role {
    /// Every role, lowest first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Tester, Self::Admin, Self::Superuser];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Tester => "tester",
            Self::Admin => "admin",
            Self::Superuser => "superuser",
        })
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.to_string() == text)
            .ok_or_else(|| format!("{text} is no role: use viewer, tester, admin or superuser"))
    }
}
