//! The values that name what goes outside the database.

use super::{ROW, Renderer, list};
use crate::{
    dialect::Statement,
    plan::{Role, SetId, Step},
    schema::{ColumnId, Locator, TableId},
};

/// Rows of a table that go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Going {
    /// Those of a set.
    In(SetId),
    /// All but those of a set.
    Except(Option<SetId>),
}

/// The alias of the table in a search inside a search.
const INNER: &str = "k";

impl Renderer<'_> {
    /// The rows of a table that go, if any do.
    #[must_use]
    pub fn going(&self, table: TableId) -> Option<Going> {
        let doomed = self
            .plan
            .sets()
            .find(|(_, set)| set.table == table && set.role == Role::Doomed);
        if let Some((id, _)) = doomed {
            return (!self.is_empty(id)).then_some(Going::In(id));
        }
        self.plan.steps().iter().find_map(|step| match step {
            Step::Wipe(wipe) => wipe
                .tables
                .iter()
                .find(|(wiped, _)| *wiped == table)
                .map(|&(_, kept)| Going::Except(kept)),
            Step::Restore(_) | Step::Detach(_) | Step::Delete(_) | Step::Release(_) => None,
        })
    }

    /// The users in scope, whether they go or not.
    #[must_use]
    pub fn users_in_scope(&self) -> Option<Going> {
        let users = self.plan.model().users().table;
        let own = self
            .plan
            .sets()
            .find(|(_, set)| set.table == users && set.role == Role::Owned && set.is_root);
        match own {
            Some((id, _)) => (!self.is_empty(id)).then_some(Going::In(id)),
            None => self.going(users),
        }
    }

    /// Key, e-mail and further columns of the users in scope, in the order of
    /// their keys, from one key on.
    #[must_use]
    pub fn user_values(
        &self,
        going: Going,
        columns: &[ColumnId],
        after: Option<&str>,
        limit: usize,
    ) -> Statement {
        let users = self.plan.model().users();
        let table = self.schema().table(users.table);
        let key = table.column(users.key);
        let values = [users.key, users.email];
        let values = values.iter().chain(columns);
        let values = list(values.map(|&column| self.text_of(ROW, users.table, column)));
        let name = self.column(table, users.key);
        let further = after.map(|_| {
            let last = self.dialect.parameter(1, Some(key));
            format!(" AND {ROW}.{name} > {last}")
        });
        let sql = format!(
            "SELECT {values} FROM {} AS {ROW} WHERE {}{} ORDER BY {ROW}.{name} LIMIT {limit}",
            self.table(users.table),
            self.goes(going, ROW, users.table),
            further.unwrap_or_default(),
        );
        Statement::new(sql, after.map(str::to_owned).into_iter().collect())
    }

    /// The values of these columns in the rows of a table that go, each once.
    #[must_use]
    pub fn values(&self, table: TableId, going: Going, columns: &[ColumnId]) -> Statement {
        let values = list(columns.iter().map(|&id| self.text_of(ROW, table, id)));
        Statement::plain(format!(
            "SELECT DISTINCT {values} FROM {} AS {ROW} WHERE {}",
            self.table(table),
            self.goes(going, ROW, table),
        ))
    }

    /// The values of a column in rows that go that rows that stay have as
    /// well.
    #[must_use]
    pub fn values_that_stay(&self, table: TableId, going: Going, column: ColumnId) -> Statement {
        let rows = self.table(table);
        let name = self.column(self.schema().table(table), column);
        Statement::plain(format!(
            "SELECT DISTINCT {} FROM {rows} AS {ROW} WHERE NOT ({}) AND {ROW}.{name} IN \
             (SELECT {INNER}.{name} FROM {rows} AS {INNER} WHERE {})",
            self.text_of(ROW, table, column),
            self.goes(going, ROW, table),
            self.goes(going, INNER, table),
        ))
    }

    fn text_of(&self, alias: &str, table: TableId, column: ColumnId) -> String {
        let table = self.schema().table(table);
        let sql = format!("{alias}.{}", self.column(table, column));
        self.dialect.text(table.column(column), &sql)
    }

    /// True for rows that go.
    fn goes(&self, going: Going, alias: &str, table: TableId) -> String {
        let set = match going {
            Going::In(set) | Going::Except(Some(set)) if !self.is_empty(set) => set,
            Going::In(_) => return "1 = 0".to_owned(),
            Going::Except(_) => return "1 = 1".to_owned(),
        };
        let table = self.schema().table(table);
        let locator = match &table.locator {
            Locator::Hidden(name) => vec![format!("{alias}.{name}")],
            Locator::Columns(keys) => keys
                .iter()
                .map(|&key| format!("{alias}.{}", self.column(table, key)))
                .collect(),
        };
        let inside = self.among(locator, self.locators(set));
        match going {
            Going::In(_) => inside,
            Going::Except(_) => format!("NOT {inside}"),
        }
    }
}
