//! What is wrong with a policy, in words that say how to mend it.

use std::fmt;

use super::reach::Ambiguity;
use crate::schema::Schema;

/// One thing that is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    text: String,
    ambiguity: Option<Ambiguity>,
}

impl Problem {
    /// A problem told in words.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self {
            text,
            ambiguity: None,
        }
    }

    /// The table without an owner, when that is the problem.
    #[must_use]
    pub fn ambiguity(&self) -> Option<&Ambiguity> {
        self.ambiguity.as_ref()
    }

    /// A table whose owner rule 4 cannot tell.
    #[must_use]
    pub fn ambiguous(schema: &Schema, ambiguity: &Ambiguity) -> Self {
        let table = &schema.table(ambiguity.table).name;
        let ways: Vec<String> = ambiguity
            .ways
            .iter()
            .map(|&id| schema.describe(id))
            .collect();
        let first = ways
            .first()
            .and_then(|way| way.split(" -> ").next())
            .unwrap_or_default();
        let text = format!(
            "the owner of {table} is ambiguous, since every way to it is optional: {}. \
             Name the owner, such as references.\"{first}\" = \"delete\"",
            ways.join(", ")
        );
        Self {
            text,
            ambiguity: Some(ambiguity.clone()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A hint at the name that is closest to a mistyped one.
pub(super) fn nearest(name: &str, names: impl Iterator<Item = String>) -> String {
    names
        .map(|candidate| (strsim::damerau_levenshtein(name, &candidate), candidate))
        .filter(|(distance, _)| *distance <= 3)
        .min()
        .map(|(_, candidate)| format!(" (did you mean {candidate}?)"))
        .unwrap_or_default()
}
