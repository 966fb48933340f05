//! What came of an operation, as its caller is answered and as a repeat of its
//! request is answered again.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Advice, Created, cache::Cleared};
use crate::{
    error::Error,
    journal::Outcome,
    operation::{Action, Changes, Extent, Mode, OperationId, TableCounts},
    plan::Choice,
    policy::{Counted, CountedEffect, Policy, PublicCount},
    target::{NewUser, Way},
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
    /// In which way it would be done: of a dry run.
    #[serde(default)]
    pub way: Option<Way>,
    /// Which indexes it would be quicker with: of a dry run.
    #[serde(default)]
    pub advice: Vec<Advice>,
    /// What lets the caller execute just what a dry run showed.
    pub plan_token: Option<String>,
    /// What a recipe says that it has done.
    #[serde(default)]
    pub title: Option<String>,
    /// What a person has to do now.
    #[serde(default)]
    pub next_steps: Vec<String>,
}

/// What came of an operation that changes data.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// Of a reset.
    Reset(Box<ResetDone>),
    /// Of a creation.
    Created(Created),
    /// Of a cleared cache.
    Cleared(Cleared),
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
            Self::Created(_) | Self::Cleared(_) => None,
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
            Self::Cleared(cleared) => Outcome::Cleared {
                keys: cleared.patterns.iter().map(|(_, keys)| keys).sum(),
                validate_only: cleared.mode == Mode::DryRun,
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
            Action::RunRecipe(_) => Extent::Recipe,
            Action::SetPassword(_) => Extent::Sessions,
            _ => return Err(Error::Invariant),
        };
        let session = match action {
            Action::Cleanup(action) => action.test_session_id.clone(),
            _ => None,
        };
        let recipe = match action {
            Action::RunRecipe(action) => policy.recipes.get(&action.recipe),
            _ => None,
        };
        let mut done = Self {
            extent,
            mode: action.mode().unwrap_or(Mode::Execute),
            public_counts: Vec::new(),
            session,
            changes,
            edges: Vec::new(),
            way: None,
            advice: Vec::new(),
            plan_token: None,
            title: recipe.map(|recipe| recipe.title.clone()),
            next_steps: match (action, recipe) {
                (Action::FullReset(_), _) => policy.full_reset.next_steps.clone(),
                (_, recipe) => recipe.map_or_else(Vec::new, |recipe| recipe.next_steps.clone()),
            },
        };
        done.count_again(action, policy);
        Ok(done)
    }

    /// Counts by the names that callers know, zeros included; again when what
    /// is outside the database has gone as well.
    pub(super) fn count_again(&mut self, action: &Action, policy: &Policy) {
        let mut counts: Vec<(String, u64)> = Vec::new();
        for count in named_counts(action, policy) {
            let value = self.counted(&count.what, &counts);
            counts.push((count.name.clone(), value));
        }
        self.public_counts = counts;
    }

    fn counted(&self, what: &Counted, before: &[(String, u64)]) -> u64 {
        let changes = &self.changes;
        let of = |name: &String, count: fn(&TableCounts) -> u64| {
            let table = changes.tables.iter().find(|counts| counts.table == *name);
            table.map_or(0, count)
        };
        match what {
            Counted::Deleted(table) => of(table, |counts| counts.deleted),
            Counted::Restored(table) => of(table, |counts| counts.restored),
            Counted::Detached(table) => of(table, |counts| counts.detached),
            Counted::Rows(table) => changes.remaining.get(table).copied().unwrap_or(0),
            Counted::Effects(CountedEffect::RedisKeys) => changes.effects.redis_keys,
            Counted::Effects(CountedEffect::Files) => changes.effects.files,
            Counted::Effects(CountedEffect::Directories) => changes.effects.directories,
            Counted::Sum(names) => {
                let summed = before.iter().filter(|(name, _)| names.contains(name));
                summed.map(|(_, count)| count).sum()
            }
        }
    }
}

/// The counts that callers of an action know by name.
pub(super) fn named_counts<'p>(action: &Action, policy: &'p Policy) -> &'p [PublicCount] {
    match action {
        Action::Cleanup(_) => policy
            .cleanup
            .as_ref()
            .map_or(&[], |cleanup| &cleanup.public_counts),
        Action::FullReset(_) => &policy.full_reset.public_counts,
        Action::RunRecipe(action) => policy
            .recipes
            .get(&action.recipe)
            .map_or(&[], |recipe| &recipe.public_counts),
        _ => &[],
    }
}
