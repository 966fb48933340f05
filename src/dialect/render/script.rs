//! Writes a whole reset as several statements of one text, where a database
//! changes one table in a statement: what is done step by step, without the
//! time between the steps.
//!
//! The sets are tables that a connection keeps for the next reset, so that
//! the text stays the same and is prepared once. A set that nothing else asks
//! about has none: its rows are found as they are deleted. Each part sees what
//! those before have done.

use super::{Renderer, Seed, Shape, Ways, chain::Links};
use crate::{
    dialect::{Dialect, Statement, Tally},
    plan::{Path, Plan, SetId, Step},
};

/// A reset as one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The tables that have to be there before, by name, each with what makes
    /// it.
    pub tables: Vec<(String, String)>,
    /// The text with its parameters, which all parts share.
    pub statement: Statement,
    /// What each part tells, in their order.
    pub parts: Vec<Part>,
}

/// What one statement of a script tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Nothing.
    Silent,
    /// How many rows it changed.
    Changes(Tally),
    /// One row, whose columns count this.
    Answers(Vec<Tally>),
}

/// Statements that are added up.
#[derive(Default)]
pub(super) struct Text {
    tables: Vec<(String, String)>,
    parts: Vec<Part>,
    sql: Vec<String>,
}

impl Text {
    pub(super) fn add(&mut self, part: Part, sql: String) {
        self.parts.push(part);
        self.sql.push(sql);
    }

    /// Adds what tells nothing.
    pub(super) fn say(&mut self, sql: &str) {
        self.add(Part::Silent, sql.to_owned());
    }

    /// Adds questions, if there are any.
    pub(super) fn ask(&mut self, questions: Links) {
        let (sql, tallies) = questions.into_questions();
        if !tallies.is_empty() {
            self.add(Part::Answers(tallies), sql);
        }
    }

    pub(super) fn into_script(self, parameters: Vec<String>) -> Script {
        Script {
            tables: self.tables,
            statement: Statement::new(self.sql.join(";\n"), parameters),
            parts: self.parts,
        }
    }
}

impl<'a> Renderer<'a> {
    /// Writes scripts for `plan`, of whose sets those are used that are
    /// [`reachable`](super::reachable).
    #[must_use]
    pub fn scripted(dialect: &'a dyn Dialect, plan: &'a Plan, reachable: &'a [u64]) -> Self {
        Self {
            shape: Shape::Kept,
            ..Self::new(dialect, plan, reachable)
        }
    }

    /// The reset of a scope; nothing when the plan takes steps that need a
    /// look between them. Of the users in scope it tells so many.
    #[must_use]
    pub fn script(&self, seed: &Seed<'_>, named: usize) -> Option<Script> {
        let mut text = Text::default();
        let mut parameters = Vec::new();
        self.find(&mut text, seed, &mut parameters)?;
        let mut questions = self.questions(seed, named, &mut parameters)?;
        let asked = |id: &SetId| !self.is_empty(*id) && !self.is_unkept(*id);
        for id in self.plan.sets().map(|(id, _)| id).filter(asked) {
            questions.count(Tally::Found(id), &self.rows_of(id));
        }
        text.ask(questions);
        self.change(&mut text)?;
        Some(text.into_script(parameters))
    }

    /// What is asked before anything is changed.
    pub(super) fn questions(
        &self,
        seed: &Seed<'_>,
        named: usize,
        parameters: &mut Vec<String>,
    ) -> Option<Links> {
        let mut questions = Links::default();
        for (place, check) in self.plan.checks().iter().enumerate() {
            if let Some(statement) = self.check(check) {
                questions.ask(Tally::Forbidden(place), &statement.sql);
            }
        }
        self.ask_for_users(&mut questions, seed, named, parameters)?;
        for (place, share) in self.plan.shares().iter().enumerate() {
            if let Some(statement) = self.share(share) {
                questions.ask(Tally::Shared(place), &statement.sql);
            }
        }
        Some(questions)
    }

    /// Finds every set, each after those that lead into it.
    fn find(&self, text: &mut Text, seed: &Seed<'_>, parameters: &mut Vec<String>) -> Option<()> {
        for group in self.plan.groups() {
            let inside = |path: &Path| path.source().is_some_and(|id| group.sets.contains(&id));
            for &id in &group.sets {
                let set = self.plan.set(id);
                if set.paths.iter().any(inside) {
                    return None;
                }
                if self.is_empty(id) || self.is_unkept(id) {
                    continue;
                }
                text.tables.push((self.kept_name(id), self.keep(id)?));
                let emptied = format!("DELETE FROM {}", self.rows_of(id));
                text.add(Part::Silent, emptied);
                let root = set.is_root.then(|| self.rooted(id, seed, parameters));
                if let Some(root) = root.flatten() {
                    let found = self.insert(id, &[root], 0) + self.dialect.for_update();
                    text.add(Part::Silent, found);
                }
                if let Some(filled) = self.fill(id, &set.paths, Ways::Apart) {
                    text.add(Part::Silent, filled.sql);
                }
            }
        }
        Some(())
    }

    /// True when a set's rows are found only as they are deleted.
    fn is_unkept(&self, id: SetId) -> bool {
        let mut shares = self.plan.shares().iter();
        self.shape == Shape::Kept && self.plan.is_leaf(id) && shares.all(|share| share.set != id)
    }

    /// Takes the plan's steps.
    pub(super) fn change(&self, text: &mut Text) -> Option<()> {
        for (place, step) in self.plan.steps().iter().enumerate() {
            let change = match step {
                Step::Restore(step) => self.restore(step),
                Step::Detach(step) => self.detach(step),
                Step::Delete(step) => {
                    for cut in &step.cuts {
                        let child = self.schema().foreign_key(cut.foreign_key).child;
                        let sets = step.sets.iter();
                        let sets = sets.filter(|&&id| self.plan.set(id).table == child);
                        for cleared in sets.filter_map(|&id| self.cut(cut, id)) {
                            text.add(Part::Silent, cleared.sql);
                        }
                    }
                    for &id in &step.sets {
                        let deletion = match self.is_unkept(id) {
                            true => self
                                .delete_found(id, Ways::Apart)
                                .map(|deletion| deletion.sql),
                            false => self.delete(id).map(|deletion| deletion.sql),
                        };
                        if let Some(deletion) = deletion {
                            text.add(Part::Changes(Tally::Deleted(id)), deletion);
                        }
                    }
                    None
                }
                Step::Release(_) | Step::Wipe(_) => return None,
            };
            if let Some(change) = change {
                text.add(Part::Changes(Tally::Changed(place)), change.sql);
            }
        }
        Some(())
    }
}
