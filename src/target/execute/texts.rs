//! The texts that reset one user, each written once for a plan: writing one
//! takes longer than sending it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    dialect::{Chain, Script, Seed, Statement},
    plan::Plan,
};

/// What was written for the plans of a target.
#[derive(Debug, Default)]
pub(in crate::target) struct Texts {
    pub(super) chains: Kept<Chain>,
    pub(super) scripts: Kept<Script>,
}

/// Texts by plan.
#[derive(Debug)]
pub(super) struct Kept<T>(Mutex<Vec<(Plan, Arc<T>)>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<T> Kept<T> {
    /// The text for a scope: that of one user is kept, and those of an earlier
    /// schema are forgotten.
    pub(super) fn text(
        &self,
        plan: &Plan,
        seed: &Seed<'_>,
        write: impl FnOnce() -> Option<T>,
    ) -> Option<Arc<T>> {
        if !matches!(seed, Seed::Key(_)) {
            return write().map(Arc::new);
        }
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, text)) = texts.iter().find(|(known, _)| known.is(plan)) {
            return Some(Arc::clone(text));
        }
        let text = Arc::new(write()?);
        texts.retain(|(known, _)| Arc::ptr_eq(known.model(), plan.model()));
        texts.push((plan.clone(), Arc::clone(&text)));
        Some(text)
    }
}

/// A statement that was written for one user, for another: whatever parameters
/// it has are the user's key.
pub(super) fn about(statement: &Statement, seed: &Seed<'_>) -> Statement {
    let mut statement = statement.clone();
    if let Seed::Key(key) = seed {
        let parameters = statement.parameters.iter_mut();
        parameters.for_each(|parameter| (*key).clone_into(parameter));
    }
    statement
}
