//! In which way a plan would be carried out, told before it is.

use serde::{Deserialize, Serialize};

use super::{Request, Strategy, Target, strategy};
use crate::plan::Plan;

/// A way of carrying a plan out, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// What it is called.
    pub name: String,
    /// What speaks for it.
    pub reason: String,
}

impl Target {
    /// In which way a request on a plan would be carried out.
    #[must_use]
    pub fn way(&self, plan: &Plan, request: &Request) -> Way {
        let choice = strategy(self.dialect.as_ref(), plan, request);
        Way {
            name: name(choice.strategy).to_owned(),
            reason: choice.reason.to_owned(),
        }
    }
}

fn name(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Chain => "one statement",
        Strategy::Sets => "step by step",
        Strategy::Unlinked => "step by step, without foreign keys",
    }
}
