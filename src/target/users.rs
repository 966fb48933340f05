//! How many users there are of each type, and how many are test users.

use std::sync::PoisonError;

use super::{Error, Target, connection::Session, field, size::number};
use crate::{dialect::Dialect, plan::Model, policy::Value};

/// With more types than these, sorting the users costs no more than comparing
/// each one's type with all of them: 25 ms for 100 thousand users on SQLite,
/// and 3 for each type.
const TYPES: usize = 8;

/// The users of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCount {
    /// The label; empty where the policy names no type.
    pub user_type: String,
    /// All of them.
    pub total: u64,
    /// The active ones.
    pub active: u64,
}

/// The users by type, and how many of all are test users.
pub(super) type Users = (Vec<UserCount>, u64);

/// What is asked of the users, in the words of the database.
struct Questions {
    table: String,
    user_type: String,
    is_active: Option<String>,
    is_test: String,
}

impl Target {
    /// Users by type, and how many of all are test users, in one go.
    ///
    /// Where users are grouped by sorting them, the types of the last time are
    /// counted one beside the other instead; when that is not everybody, there
    /// are others now, and the users are sorted after all.
    pub(super) async fn count_users(
        &self,
        session: &mut Session,
        model: &Model,
        domains: &[String],
        bytes: u64,
    ) -> Result<Users, Error> {
        let dialect = self.dialect.as_ref();
        let questions = Questions::new(dialect, model, domains);
        let types = match dialect.groups_by_sorting() {
            true => self.user_types(),
            false => Vec::new(),
        };
        if !types.is_empty() {
            let rows = self.counts(session, questions.of(dialect, &types), bytes);
            let rows = rows.await?;
            let row = rows.first().map_or(&[][..], Vec::as_slice);
            if let Some(counts) = everybody(&types, row)? {
                return Ok(counts);
            }
        }
        let rows = self.counts(session, questions.by_type(dialect), bytes);
        let rows = rows.await?;
        let mut counts = Vec::with_capacity(rows.len());
        let mut test_users = 0;
        for row in &rows {
            counts.push(UserCount {
                user_type: field(row, 0).to_owned(),
                total: number(field(row, 1))?,
                active: number(field(row, 2))?,
            });
            test_users += number(field(row, 3))?;
        }
        let types = counts.iter().map(|count| count.user_type.clone());
        let types = match counts.len() <= TYPES {
            true => types.collect(),
            false => Vec::new(),
        };
        *self
            .user_types
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = types;
        Ok((counts, test_users))
    }

    fn user_types(&self) -> Vec<String> {
        let types = self
            .user_types
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        types.clone()
    }
}

impl Questions {
    fn new(dialect: &dyn Dialect, model: &Model, domains: &[String]) -> Self {
        let users = model.users();
        let table = model.schema().table(users.table);
        let name = |id| dialect.quote(&table.column(id).name);
        let text = |id| dialect.text(table.column(id), &name(id));
        Self {
            table: dialect.table(&table.name),
            user_type: users.user_type.map_or_else(
                || "''".to_owned(),
                |id| format!("COALESCE({}, '')", text(id)),
            ),
            is_active: users.active.map(name),
            is_test: dialect.is_test_email(&name(users.email), domains),
        }
    }

    /// A row for each type.
    fn by_type(&self, dialect: &dyn Dialect) -> String {
        let Self {
            table,
            user_type,
            is_active,
            is_test,
        } = self;
        let all = dialect.as_text("count(*)");
        let active = is_active.as_ref().map(|active| such(dialect, active));
        let active = active.as_ref().unwrap_or(&all);
        let tests = such(dialect, is_test);
        format!("SELECT {user_type}, {all}, {active}, {tests} FROM {table} GROUP BY 1 ORDER BY 1")
    }

    /// One row: of all users, test users, and for each type all and the active
    /// ones.
    fn of(&self, dialect: &dyn Dialect, types: &[String]) -> String {
        let mut counts = vec![dialect.as_text("count(*)"), such(dialect, &self.is_test)];
        for label in types {
            let label = dialect.literal(&Value::Text(label.clone()));
            let is_of = format!("{} = {label}", self.user_type);
            counts.push(such(dialect, &is_of));
            if let Some(active) = &self.is_active {
                counts.push(such(dialect, &format!("{is_of} AND {active}")));
            }
        }
        format!("SELECT {} FROM {}", counts.join(", "), self.table)
    }
}

/// The counts of these types, when there are no other users.
fn everybody(types: &[String], row: &[Option<String>]) -> Result<Option<Users>, Error> {
    let counts: Result<Vec<u64>, Error> = row
        .iter()
        .map(|count| number(count.as_deref().unwrap_or_default()))
        .collect();
    let counts = counts?;
    let [all, test_users, counts @ ..] = counts.as_slice() else {
        return Ok(None);
    };
    let each = counts.len() / types.len();
    let counts = types.iter().zip(counts.chunks(each.max(1)));
    let counts = counts.map(|(label, counts)| UserCount {
        user_type: label.clone(),
        total: counts.first().copied().unwrap_or(0),
        active: counts.last().copied().unwrap_or(0),
    });
    let counts: Vec<UserCount> = counts.filter(|count| count.total > 0).collect();
    let counted: u64 = counts.iter().map(|count| count.total).sum();
    Ok((counted == *all).then_some((counts, *test_users)))
}

/// Counts the rows of which a condition is true.
fn such(dialect: &dyn Dialect, condition: &str) -> String {
    dialect.as_text(&format!("count(CASE WHEN {condition} THEN 1 END)"))
}
