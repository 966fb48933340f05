//! How big a target is: its users, its rows, its bytes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Error, Target, connection::Session, field, qualified};
use crate::{
    dialect::{Row, Statement},
    plan::Model,
    schema::TableId,
};

/// Tables whose rows are counted in one statement.
const COUNTED_AT_ONCE: usize = 100;
/// What is counted goes in about so many parts, the biggest first: whichever
/// connection is free takes the next one, so that both end at nearly the same
/// time although nobody knows how long a part takes.
const PARTS: u64 = 8;

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
    /// Measures the target as it is now. Users are always counted; rows are
    /// estimated where the database keeps estimates, unless `exact`.
    ///
    /// Two connections are asked at the same time: the catalogue's digest and
    /// its estimates take as long as one another, and then each counts whatever
    /// the other has not taken yet. Both are held until the end: one that is
    /// given back and taken again at once is another one most of the time, and
    /// a new one.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached, a count fails, or the policy does
    /// not fit.
    pub async fn sizes(
        &self,
        domains: &[String],
        exact: bool,
    ) -> Result<(Arc<Model>, Sizes), Error> {
        let mut first = self.session().await?;
        let mut second = self.session().await?;
        let question = Statement::plain(self.dialect.sizes());
        let (model, rows) = tokio::try_join!(self.model_by(&mut first), second.rows(&question))?;
        let mut tables = listed(&model, &rows, exact);
        let ((users, test_users), ()) = {
            let parts = Mutex::new(parts(&mut tables, model.users().table));
            tokio::try_join!(
                async {
                    let users = self.count_users(&mut first, &model, domains).await?;
                    self.count_parts(&mut first, &model, &parts).await?;
                    Ok::<_, Error>(users)
                },
                self.count_parts(&mut second, &model, &parts),
            )?
        };
        let counted = tables
            .iter_mut()
            .find(|size| size.id == model.users().table);
        if let Some(size) = counted.filter(|size| size.exact) {
            size.rows = users.iter().map(|users| users.total).sum();
        }
        tables.sort_by(|a, b| a.table.cmp(&b.table));
        let sizes = Sizes {
            users,
            test_users,
            tables,
        };
        Ok((model, sizes))
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

    /// Counts the rows of the tables of one part after the other, until none
    /// is left.
    async fn count_parts(
        &self,
        session: &mut Session,
        model: &Model,
        parts: &Mutex<Vec<Part<'_>>>,
    ) -> Result<(), Error> {
        let dialect = self.dialect.as_ref();
        let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).pop();
        while let Some(mut part) = next() {
            let counts: Vec<String> = part
                .iter()
                .map(|size| {
                    let from = qualified(dialect, model.schema(), size.id);
                    format!("(SELECT {} FROM {from})", dialect.as_text("count(*)"))
                })
                .collect();
            let question = Statement::plain(format!("SELECT {}", counts.join(", ")));
            let row = session.ask(&question).await;
            let row = row.map_err(|fault| fault.during("counting rows"))?;
            let row = row.into_iter().next().unwrap_or_default();
            for (place, size) in part.iter_mut().enumerate() {
                size.rows = number(field(&row, place))?;
            }
        }
        Ok(())
    }
}

/// Every table with what the catalogue tells of it.
fn listed(model: &Model, rows: &[Row], exact: bool) -> Vec<TableSize> {
    let names = rows.iter().map(|row| {
        let schema = row.first().and_then(Option::as_deref);
        ((schema, field(row, 1)), row)
    });
    let known: BTreeMap<(Option<&str>, &str), &Row> = names.collect();
    let tables = model.schema().tables().map(|(id, table)| {
        let name = (table.name.schema.as_deref(), table.name.name.as_str());
        let row = known.get(&name);
        let estimate = row
            .and_then(|row| field(row, 2).parse().ok())
            .filter(|_| !exact);
        TableSize {
            id,
            table: table.name.to_string(),
            rows: estimate.unwrap_or(0),
            exact: estimate.is_none(),
            bytes: row.and_then(|row| field(row, 3).parse().ok()),
        }
    });
    tables.collect()
}

/// Tables that are counted in one statement.
type Part<'t> = Vec<&'t mut TableSize>;

/// The tables that have to be counted, in parts of about the same bytes, the
/// smallest first; that of the users is in none.
fn parts(tables: &mut [TableSize], users: TableId) -> Vec<Part<'_>> {
    let bytes = |size: &TableSize| size.bytes.unwrap_or(0).saturating_add(1);
    let uncounted = tables.iter_mut().filter(|size| size.exact);
    let mut uncounted: Part<'_> = uncounted.filter(|size| size.id != users).collect();
    uncounted.sort_by_key(|size| bytes(size));
    let all: u64 = uncounted.iter().map(|size| bytes(size)).sum();
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut load = 0;
    for size in uncounted {
        let more = bytes(size);
        match parts.last_mut() {
            Some(part) if load + more <= all / PARTS && part.len() < COUNTED_AT_ONCE => {
                load += more;
                part.push(size);
            }
            _ => {
                load = more;
                parts.push(vec![size]);
            }
        }
    }
    // The same question is the same text, which is prepared once.
    for part in &mut parts {
        part.sort_by_key(|size| size.id);
    }
    parts
}

fn number(text: &str) -> Result<u64, Error> {
    text.parse()
        .map_err(|_| Error::Unexpected(format!("{text} is no count")))
}
