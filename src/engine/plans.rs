//! The plans of a target's scopes, each made once for a schema: the same input
//! gives the same plan.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::plan::{self, Model, Plan, Scope};

/// The plans that were made, by target.
#[derive(Debug, Default)]
pub(super) struct Plans(Mutex<BTreeMap<String, Vec<Plan>>>);

impl Plans {
    /// The plan of a scope. Those of an earlier schema are forgotten.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(super) fn plan(
        &self,
        target: &str,
        model: &Arc<Model>,
        scope: &Scope,
    ) -> Result<Plan, plan::Error> {
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = plans.entry(target.to_owned()).or_default();
        known.retain(|plan| Arc::ptr_eq(plan.model(), model));
        if let Some(plan) = known.iter().find(|plan| plan.scope() == scope) {
            return Ok(plan.clone());
        }
        let plan = plan::build(model, scope.clone())?;
        known.push(plan.clone());
        Ok(plan)
    }
}
