//! The texts that reset one user or everything, each written once for a plan:
//! writing one takes longer than sending it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    dialect::{Chain, Script, Seed, Statement},
    plan::Plan,
    target::armed::Asking,
};

/// What was written for the plans of a target.
#[derive(Debug, Default)]
pub(in crate::target) struct Texts {
    pub(super) chains: Kept<Chain>,
    pub(super) scripts: Kept<Script>,
    pub(super) looks: Kept<Look>,
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
        match self.of(plan) {
            Some(text) => Some(text),
            None => Some(self.keep(plan, write()?)),
        }
    }

    /// What is kept for a plan.
    pub(super) fn of(&self, plan: &Plan) -> Option<Arc<T>> {
        let texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = texts.iter().find(|(known, _)| known.is(plan));
        known.map(|(_, text)| Arc::clone(text))
    }

    /// Keeps it in place of what was kept, and forgets those of an earlier
    /// schema.
    pub(super) fn keep(&self, plan: &Plan, text: T) -> Arc<T> {
        let text = Arc::new(text);
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_current = |known: &Plan| Arc::ptr_eq(known.model(), plan.model());
        texts.retain(|(known, _)| is_current(known) && !known.is(plan));
        texts.push((plan.clone(), Arc::clone(&text)));
        text
    }
}

/// What a full reset asks as it begins.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) asking: Asking,
    pub(super) sequences: Sequences,
}

/// Whether a look tells the sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sequences {
    /// It does.
    Told,
    /// There are none.
    Missing,
    /// Nobody has asked yet whether there are any.
    Unknown,
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
