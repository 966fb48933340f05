//! How big a target is: its users, its rows, its bytes.

use super::{Error, LOCK_TIMEOUT, Target, connection::Session, field, qualified};
use crate::{
    dialect::Statement,
    plan::Model,
    schema::{ForeignKeyId, Schema, TableId},
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
        let users = self.count_users(&mut session, model).await?;
        let test_users = self.count_test_users(&mut session, model, domains).await?;
        let mut tables = self.measure(&mut session, model, exact).await?;
        tables.sort_by(|a, b| a.table.cmp(&b.table));
        Ok(Sizes {
            users,
            test_users,
            tables,
        })
    }

    /// The statement that makes the index which finds the rows of a foreign
    /// key.
    #[must_use]
    pub fn index_statement(&self, schema: &Schema, id: ForeignKeyId) -> String {
        let dialect = self.dialect.as_ref();
        let key = schema.foreign_key(id);
        let table = schema.table(key.child);
        let columns: Vec<String> = key
            .child_columns()
            .map(|column| dialect.quote(&table.column(column).name))
            .collect();
        let names: Vec<&str> = key
            .child_columns()
            .map(|column| table.column(column).name.as_str())
            .collect();
        let index = format!("{}_{}_idx", table.name.name, names.join("_"));
        format!(
            "CREATE INDEX {} ON {} ({});",
            dialect.quote(&index),
            match table.name.schema {
                Some(_) => dialect.table(&table.name),
                None => dialect.quote(&table.name.name),
            },
            columns.join(", ")
        )
    }

    async fn count_users(
        &self,
        session: &mut Session,
        model: &Model,
    ) -> Result<Vec<UserCount>, Error> {
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
        let active = users.active.map_or_else(
            || "count(*)".to_owned(),
            |id| format!("count(CASE WHEN {} THEN 1 END)", name(id)),
        );
        let sql = format!(
            "SELECT {user_type}, {}, {} FROM {} GROUP BY 1 ORDER BY 1",
            dialect.as_text("count(*)"),
            dialect.as_text(&active),
            dialect.table(&table.name)
        );
        let rows = session.rows(&Statement::plain(sql)).await?;
        rows.iter()
            .map(|row| {
                Ok(UserCount {
                    user_type: field(row, 0).to_owned(),
                    total: number(field(row, 1))?,
                    active: number(field(row, 2))?,
                })
            })
            .collect()
    }

    async fn count_test_users(
        &self,
        session: &mut Session,
        model: &Model,
        domains: &[String],
    ) -> Result<u64, Error> {
        let (dialect, users) = (self.dialect.as_ref(), model.users());
        let table = model.schema().table(users.table);
        let email = dialect.quote(&table.column(users.email).name);
        let sql = format!(
            "SELECT {} FROM {} WHERE {}",
            dialect.as_text("count(*)"),
            dialect.table(&table.name),
            dialect.is_test_email(&email, domains),
        );
        number(&session.text(&Statement::plain(sql)).await?)
    }

    async fn measure(
        &self,
        session: &mut Session,
        model: &Model,
        exact: bool,
    ) -> Result<Vec<TableSize>, Error> {
        let dialect = self.dialect.as_ref();
        let known = session.rows(&Statement::plain(dialect.sizes())).await?;
        let mut sizes = Vec::new();
        for (id, table) in model.schema().tables() {
            let row = known.iter().find(|row| {
                row.first().cloned().flatten() == table.name.schema
                    && field(row, 1) == table.name.name
            });
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
