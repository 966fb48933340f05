//! Who may be reset: test users, unless the caller insists, and never those
//! that the policy protects.

use super::{Layer, Reason, Refusal, TestDomains};

/// What decides whether a user may be reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRule {
    /// Who is a test user.
    pub domains: TestDomains,
    /// Keys or e-mails of users that are never reset.
    pub protected: Vec<String>,
    /// The key or e-mail of the caller's own user, when the token has one.
    pub own: Option<String>,
    /// True when the caller insists on a user that is no test user.
    pub force: bool,
}

/// What is known of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFacts {
    /// The key, as text.
    pub id: String,
    /// The e-mail, where there is one.
    pub email: Option<String>,
}

impl UserRule {
    /// Lets a user pass.
    ///
    /// # Errors
    ///
    /// For a protected user, and for one that is no test user unless forced.
    pub fn check(&self, user: &UserFacts) -> Result<(), Refusal> {
        let email = user.email.as_deref().unwrap_or_default();
        let is_user = |name: &String| *name == user.id || (!email.is_empty() && *name == email);
        let protected = if self.own.as_ref().is_some_and(is_user) {
            Some("is the caller's own")
        } else if self.protected.iter().any(is_user) {
            Some("is on the policy's protect list")
        } else {
            None
        };
        if let Some(why) = protected {
            return Err(self.refusal(
                user,
                Reason::ProtectedUser,
                format!("user {} {why} and is never reset", name(user)),
                "choose another user, or take this one off users.protect".to_owned(),
            ));
        }
        if self.force || self.domains.is_test_user(email) {
            return Ok(());
        }
        let domains: Vec<String> = self.domains.domains().map(|d| format!("@{d}")).collect();
        // The first words are those that MeStore's users know.
        Err(self.refusal(
            user,
            Reason::NotATestUser,
            format!(
                "User {} doesn't appear to be a test user: test users are those of {}",
                name(user),
                domains.join(", ")
            ),
            "set force (resetctl --force) with a token of role admin".to_owned(),
        ))
    }

    fn refusal(&self, user: &UserFacts, reason: Reason, message: String, fix: String) -> Refusal {
        Refusal {
            layer: Layer::User,
            reason,
            message,
            fix,
            observed: vec![
                ("user_id".to_owned(), user.id.clone()),
                ("email".to_owned(), user.email.clone().unwrap_or_default()),
            ],
        }
    }
}

/// The refusal of a bulk reset in which users who may go would take `users`
/// along who may not.
#[must_use]
pub fn taken_along(users: u64) -> Refusal {
    Refusal {
        layer: Layer::User,
        reason: Reason::ProtectedUser,
        message: format!(
            "{users} users that are admins, protected or no test users would go with the test \
             users that they refer to"
        ),
        fix: "say detach or block under [references] for what refers from users to users"
            .to_owned(),
        observed: vec![("users".to_owned(), users.to_string())],
    }
}

/// The user's e-mail, or the key of one that has none.
fn name(user: &UserFacts) -> &str {
    match user.email.as_deref() {
        None | Some("") => &user.id,
        Some(email) => email,
    }
}
