//! What a dry run showed, in a few bytes: a later execution that would do
//! anything else has another digest.

use sha2::{Digest as _, Sha256};

use super::Execution;
use crate::{
    operation::{Changes, Mode},
    target::Error,
};

/// Root sets with more rows than this are compared by their counts only: all
/// their keys would have to be read.
const KEYS: u64 = 100_000;

impl Execution<'_> {
    /// The digest of what was done, where somebody wants to know.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`] when it is not what was expected.
    pub(super) async fn digest(&mut self, changes: &Changes) -> Result<Option<String>, Error> {
        let expected = self.request.expected.clone();
        if self.request.mode == Mode::Execute && expected.is_none() {
            return Ok(None);
        }
        let mut digest = Sha256::new();
        let mut add = |text: &str| {
            digest.update(text.len().to_be_bytes());
            digest.update(text);
        };
        add(env!("CARGO_PKG_VERSION"));
        add(&format!("{:?}", self.plan.scope()));
        add(self.plan.schema().fingerprint());
        add(&format!("{:?}", self.plan.model().policy()));
        for marker in &self.cleared.seen().markers {
            add(&marker.id);
        }
        add(&format!("{:?}", (&changes.tables, &changes.shared)));
        add(&changes.user_count.to_string());
        for (id, set) in self.plan.sets().filter(|(_, set)| set.is_root) {
            add(&self.plan.schema().table(set.table).name.to_string());
            let size = self.sizes[id.index()];
            add(&size.to_string());
            if size == 0 || size > KEYS {
                continue;
            }
            let Some(keys) = self.renderer().keys(id) else {
                continue;
            };
            for row in self.transaction.query("reading the plan", &keys).await? {
                add(&format!("{row:?}"));
            }
        }
        let digest = hex::encode(digest.finalize());
        match expected {
            Some(expected) if expected != digest => Err(Error::Stale),
            Some(_) | None => Ok(Some(digest)),
        }
    }
}
