//! What came of an operation, as its caller is answered and as a repeat of its
//! request is answered again.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Created;
use crate::{
    error::Error,
    journal::Outcome,
    operation::{Action, Changes, Extent, Mode, OperationId},
    plan::Choice,
    policy::Policy,
    target::NewUser,
};

/// A finished operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finished<T> {
    /// Its id in the journal.
    pub operation: OperationId,
    /// What came of it.
    pub value: T,
    /// Who asked.
    pub actor: String,
    /// The environment of the target.
    pub environment: String,
    /// How long it took.
    pub took: Duration,
    /// When it ended.
    pub at: Timestamp,
}

/// What a reset did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResetDone {
    /// How much was in scope.
    pub extent: Extent,
    /// Whether the changes were kept.
    pub mode: Mode,
    /// The changes.
    pub changes: Changes,
    /// What was deleted, by the policy's names.
    pub public_counts: Vec<(String, u64)>,
    /// The test session, where one was given.
    pub session: Option<String>,
    /// How the plan followed each reference, in words and as a choice.
    pub edges: Vec<(String, Choice)>,
    /// What lets the caller execute just what a dry run showed.
    pub plan_token: Option<String>,
}

/// What came of an operation that changes data.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// Of a reset.
    Reset(Box<ResetDone>),
    /// Of a creation.
    Created(Created),
}

impl Done {
    /// What a commit proof says, put together again with what was asked for.
    ///
    /// # Errors
    ///
    /// When the proof is none of this version.
    pub(super) fn proved(action: &Action, policy: &Policy, proof: &str) -> Result<Self, Error> {
        let unread = |_| Error::Invariant;
        if let Action::CreateTestUser(_) = action {
            let user: NewUser = serde_json::from_str(proof).map_err(unread)?;
            let mode = Mode::Execute;
            return Ok(Self::Created(Created { user, mode }));
        }
        let changes: Changes = serde_json::from_str(proof).map_err(unread)?;
        Ok(Self::Reset(Box::new(ResetDone::of(
            action, policy, changes,
        )?)))
    }

    /// The changes, of a reset.
    pub(super) fn changes_mut(&mut self) -> Option<&mut Changes> {
        match self {
            Self::Reset(done) => Some(&mut done.changes),
            Self::Created(_) => None,
        }
    }

    /// What the journal is told.
    pub(super) fn outcome(&self) -> Outcome<'_> {
        match self {
            Self::Reset(done) => match done.mode {
                Mode::Execute => Outcome::Committed {
                    changes: &done.changes,
                },
                Mode::DryRun => Outcome::Validated {
                    changes: &done.changes,
                },
            },
            Self::Created(created) => Outcome::Created {
                user: &created.user.id,
                validate_only: created.mode == Mode::DryRun,
            },
        }
    }
}

impl ResetDone {
    /// What an action did, by what was changed.
    ///
    /// # Errors
    ///
    /// When the action is no reset.
    pub(super) fn of(action: &Action, policy: &Policy, changes: Changes) -> Result<Self, Error> {
        let extent = match action {
            Action::ResetUser(action) => Extent::Users(action.level),
            Action::ResetTestUsers(action) => Extent::Users(action.level),
            Action::Cleanup(_) => Extent::TestData,
            Action::FullReset(_) => Extent::Everything,
            Action::SweepOrphans(_) => Extent::Orphans,
            _ => return Err(Error::Invariant),
        };
        let session = match action {
            Action::Cleanup(action) => action.test_session_id.clone(),
            _ => None,
        };
        Ok(Self {
            extent,
            mode: action.mode().unwrap_or(Mode::Execute),
            public_counts: public_counts(policy, extent, &changes),
            session,
            changes,
            edges: Vec::new(),
            plan_token: None,
        })
    }
}

/// The counts by the names that callers know, zeros included.
fn public_counts(policy: &Policy, extent: Extent, changes: &Changes) -> Vec<(String, u64)> {
    let cleanup = policy.cleanup.as_ref();
    let names = cleanup.filter(|_| extent == Extent::TestData);
    let names = names.into_iter().flat_map(|cleanup| &cleanup.public_counts);
    names
        .map(|name| {
            let counts = changes.tables.iter().find(|counts| counts.table == *name);
            (name.clone(), counts.map_or(0, |counts| counts.deleted))
        })
        .collect()
}
