//! Plan tokens: leave to execute just what a dry run showed.
//!
//! A token is the dry run's digest and what it is bound to, under a seal that
//! only servers of the journal can make.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    access::{Denied, Grant},
    error::Error,
    journal::Journal,
    operation::{Action, OperationId},
    target,
};

/// How long a token counts.
const LIFETIME: SignedDuration = SignedDuration::from_mins(10);

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    /// The dry run; of two executions with its token one is refused.
    plan: OperationId,
    caller: String,
    target: String,
    request: String,
    digest: String,
    expires: Timestamp,
}

/// What a token lets its caller do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    /// The dry run.
    pub(super) plan: String,
    /// What it showed.
    pub(super) digest: String,
}

/// A token for what a dry run showed.
pub(super) fn issue(
    journal: &Journal,
    grant: &Grant,
    plan: OperationId,
    digest: &str,
    now: Timestamp,
) -> Result<String, Error> {
    let claims = Claims {
        plan,
        caller: grant.principal().subject.clone(),
        target: grant.target().to_owned(),
        request: request(grant.action())?,
        digest: digest.to_owned(),
        expires: now.checked_add(LIFETIME).map_err(|_| Error::Invariant)?,
    };
    let claims = serde_json::to_vec(&claims).map_err(|_| Error::Invariant)?;
    let seal = journal.seal(&claims);
    Ok(format!("{}.{seal}", BASE64.encode(claims)))
}

/// What a token lets this caller do now.
///
/// # Errors
///
/// When it is none, was given to somebody else or for something else, or its
/// time is over.
pub(super) fn read(
    journal: &Journal,
    grant: &Grant,
    token: &str,
    now: Timestamp,
) -> Result<Ticket, Error> {
    let none = || Error::Field {
        field: "plan_token",
        problem: "is none that a dry run of this server has answered with".to_owned(),
    };
    let (claims, seal) = token.split_once('.').ok_or_else(none)?;
    let claims = BASE64.decode(claims).map_err(|_| none())?;
    if !journal.is_sealed(&claims, seal) {
        return Err(none());
    }
    let claims: Claims = serde_json::from_slice(&claims).map_err(|_| none())?;
    let is_ours = claims.caller == grant.principal().subject
        && claims.target == grant.target()
        && claims.request == request(grant.action())?;
    if !is_ours {
        return Err(Error::Denied(Denied::Plan {
            subject: grant.principal().subject.clone(),
        }));
    }
    if claims.expires <= now {
        return Err(Error::Target(target::Error::Stale));
    }
    Ok(Ticket {
        plan: claims.plan.to_string(),
        digest: claims.digest,
    })
}

/// What was asked for, whether as a dry run or not: a dry run needs no
/// confirmation, so that is left out as well.
fn request(action: &Action) -> Result<String, Error> {
    let mut request = serde_json::to_value(action).map_err(|_| Error::Invariant)?;
    if let Some(fields) = request.as_object_mut() {
        fields.remove("mode");
        fields.remove("confirmation");
    }
    Ok(hex::encode(Sha256::digest(request.to_string())))
}
