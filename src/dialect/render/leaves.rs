//! Rows that are found only as they are counted, and as they are deleted.

use super::{Found, ROW, Renderer, Ways, list};
use crate::{
    dialect::Statement,
    plan::{SetId, Share},
};

impl Renderer<'_> {
    /// Counts the rows of a set where they are, and those of them that each
    /// share is about; nothing when there can be none.
    #[must_use]
    pub fn count_found(&self, set: SetId, shares: &[&Share], ways: Ways) -> Option<Statement> {
        let found = self.found(set, ways)?;
        let table = self.table(self.plan.set(set).table);
        Some(Statement::plain(format!(
            "SELECT {} FROM {table} AS {ROW} WHERE {found}",
            self.with_shares(shares),
        )))
    }

    /// Finds the rows of a set and deletes them.
    #[must_use]
    pub fn delete_found(&self, set: SetId, ways: Ways) -> Option<Statement> {
        let found = self.found(set, ways)?;
        let table = self.table(self.plan.set(set).table);
        let delete = self.dialect.delete(&table, ROW);
        Some(Statement::plain(format!("{delete} WHERE {found}")))
    }

    /// How many rows there are, and how many of them each share is about.
    pub(super) fn with_shares(&self, shares: &[&Share]) -> String {
        let shared = shares.iter().map(|share| {
            let shared = format!("count(*) FILTER (WHERE {})", self.is_shared(share));
            self.dialect.as_text(&shared)
        });
        list(std::iter::once(self.rows_counted()).chain(shared))
    }

    /// True for the rows of a set, by the ways that lead to it.
    fn found(&self, id: SetId, ways: Ways) -> Option<String> {
        let set = self.plan.set(id);
        let paths = set.paths.iter();
        let known = |from| !self.is_empty(from);
        let conditions: Vec<String> = paths
            .filter(|path| path.source().is_none_or(known))
            .map(|path| self.follows(path, None))
            .collect();
        match (conditions.as_slice(), ways) {
            ([], _) => None,
            ([one], _) => Some(one.clone()),
            (many, Ways::AtOnce) => Some(format!("({})", many.join(" OR "))),
            (many, Ways::Apart) => {
                let table = self.table(set.table);
                let locator = self.locator(self.schema().table(set.table));
                let searches = many.iter().map(|condition| {
                    let columns = locator.join(", ");
                    format!("SELECT {columns} FROM {table} AS {ROW} WHERE {condition}")
                });
                let searches = searches.collect::<Vec<_>>().join(" UNION ");
                Some(self.among(locator, Found::Query(searches)))
            }
        }
    }
}
