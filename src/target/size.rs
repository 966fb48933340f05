//! How big a target is: its users, its rows, its bytes.

use std::collections::BTreeMap;

use super::{Error, LOCK_TIMEOUT, Target, connection::Session, field, qualified};
use crate::{
    dialect::{Row, Statement},
    plan::Model,
    schema::TableId,
};

/// Tables whose rows are counted in one statement.
const COUNTED_AT_ONCE: usize = 100;

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    /// Users by type, in the order of the label.
    pub users: Vec<UserCount>,
    /// Users that are test users.
    pub test_users: u64,
    /// Every table, in the order of the names.
    pub tables: Vec<TableSize>,
}

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

/// One table's size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSize {
    /// The table.
    pub id: TableId,
    /// Its name.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// Whether they were counted rather than estimated.
    pub exact: bool,
    /// The bytes of the table and its indexes, where the database knows.
    pub bytes: Option<u64>,
}

impl Target {
    /// Measures the target. Users are always counted; rows are estimated
    /// where the database keeps estimates, unless `exact`.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached or a count fails.
    pub async fn sizes(
        &self,
        model: &Model,
        domains: &[String],
        exact: bool,
    ) -> Result<Sizes, Error> {
        let mut session = self.pool().await?.acquire(LOCK_TIMEOUT).await?;
        let (users, test_users) = self.count_users(&mut session, model, domains).await?;
        let mut tables = self.measure(&mut session, model, exact).await?;
        tables.sort_by(|a, b| a.table.cmp(&b.table));
        Ok(Sizes {
            users,
            test_users,
            tables,
        })
    }

    /// Users by type, and how many of all are test users, in one go.
    async fn count_users(
        &self,
        session: &mut Session,
        model: &Model,
        domains: &[String],
    ) -> Result<(Vec<UserCount>, u64), Error> {
        let (dialect, users) = (self.dialect.as_ref(), model.users());
        let table = model.schema().table(users.table);
        let name = |id| dialect.quote(&table.column(id).name);
        let user_type = users.user_type.map_or_else(
            || "''".to_owned(),
            |id| {
                format!(
                    "COALESCE({}, '')",
                    dialect.text(table.column(id), &name(id))
                )
            },
        );
        let such = |condition: &str| format!("count(CASE WHEN {condition} THEN 1 END)");
        let active = users
            .active
            .map_or_else(|| "count(*)".to_owned(), |id| such(&name(id)));
        let is_test = dialect.is_test_email(&name(users.email), domains);
        let sql = format!(
            "SELECT {user_type}, {}, {}, {} FROM {} GROUP BY 1 ORDER BY 1",
            dialect.as_text("count(*)"),
            dialect.as_text(&active),
            dialect.as_text(&such(&is_test)),
            dialect.table(&table.name)
        );
        let rows = session.rows(&Statement::plain(sql)).await?;
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
        Ok((counts, test_users))
    }

    async fn measure(
        &self,
        session: &mut Session,
        model: &Model,
        exact: bool,
    ) -> Result<Vec<TableSize>, Error> {
        let dialect = self.dialect.as_ref();
        let rows = session.rows(&Statement::plain(dialect.sizes())).await?;
        let names = rows.iter().map(|row| {
            let schema = row.first().and_then(Option::as_deref);
            ((schema, field(row, 1)), row)
        });
        let known: BTreeMap<(Option<&str>, &str), &Row> = names.collect();
        let mut sizes = Vec::new();
        for (id, table) in model.schema().tables() {
            let name = (table.name.schema.as_deref(), table.name.name.as_str());
            let row = known.get(&name);
            let estimate = row
                .and_then(|row| field(row, 2).parse().ok())
                .filter(|_| !exact);
            sizes.push(TableSize {
                id,
                table: table.name.to_string(),
                rows: estimate.unwrap_or(0),
                exact: estimate.is_none(),
                bytes: row.and_then(|row| field(row, 3).parse().ok()),
            });
        }
        let uncounted = sizes.iter_mut().filter(|size| size.exact);
        let mut uncounted: Vec<&mut TableSize> = uncounted.collect();
        for part in uncounted.chunks_mut(COUNTED_AT_ONCE) {
            let counts: Vec<String> = part
                .iter()
                .map(|size| {
                    let from = qualified(dialect, model.schema(), size.id);
                    format!("(SELECT {} FROM {from})", dialect.as_text("count(*)"))
                })
                .collect();
            let question = Statement::plain(format!("SELECT {}", counts.join(", ")));
            let row = session.query(&question).await;
            let row = row.map_err(|fault| fault.during("counting rows"))?;
            let row = row.into_iter().next().unwrap_or_default();
            for (place, size) in part.iter_mut().enumerate() {
                size.rows = number(field(&row, place))?;
            }
        }
        Ok(sizes)
    }
}

fn number(text: &str) -> Result<u64, Error> {
    text.parse()
        .map_err(|_| Error::Unexpected(format!("{text} is no count")))
}
