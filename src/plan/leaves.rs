//! Which rows nothing but their own deletion asks for.

use super::{Path, Plan, Role, SetId, Share, Step, Whence};
use crate::schema::{Origin, ReferentialAction};

impl Plan {
    /// True when the rows of a set are only deleted, and perhaps counted: no
    /// other set is found by them, and no step changes their table before.
    #[must_use]
    pub fn is_leaf(&self, id: SetId) -> bool {
        let set = self.set(id);
        let table = set.table;
        let leads_on = |path: &Path| path.source() == Some(id);
        let is_asked_for = |step: &Step| match step {
            Step::Delete(step) => step.cuts.iter().any(|cut| {
                let child = self.schema().foreign_key(cut.foreign_key).child;
                cut.from == id || child == table
            }),
            Step::Restore(step) => self.set(step.set).table == table || step.except == Some(id),
            Step::Detach(step) => {
                let mut references = step.references.iter();
                step.table == table || references.any(|reference| reference.from == id)
            }
            Step::Release(_) | Step::Wipe(_) => true,
        };
        let mut checks = self.checks().iter();
        let mut references = self.shares().iter().flat_map(|share| &share.references);
        set.role == Role::Doomed
            && !set.is_root
            && !self
                .sets()
                .any(|(_, other)| other.paths.iter().any(leads_on))
            && !self.steps().iter().any(is_asked_for)
            && checks.all(|check| check.from != id && check.except != Some(id))
            && references.all(|(_, inside)| *inside != Some(id))
    }

    /// What is reported as shared of a set's rows, and its place.
    #[must_use]
    pub fn shares_of(&self, id: SetId) -> Vec<(usize, &Share)> {
        let shares = self.shares().iter().enumerate();
        shares.filter(|(_, share)| share.set == id).collect()
    }

    /// True for a leaf whose rows the database deletes with those that lead to
    /// them, as each way is a foreign key that cascades; unless a trigger is to
    /// see them go.
    #[must_use]
    pub fn goes_by_cascade(&self, id: SetId) -> bool {
        let set = self.set(id);
        let cascades = |path: &Path| {
            let key = self.schema().foreign_key(path.foreign_key);
            matches!(path.from, Whence::Parents(from) if self.set(from).role == Role::Doomed)
                && key.origin == Origin::Catalogue
                && key.on_delete == ReferentialAction::Cascade
        };
        self.is_leaf(id)
            && set.paths.iter().all(cascades)
            && !self.schema().table(set.table).has_triggers
    }
}
