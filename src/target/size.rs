//! How big a target is: its users, its rows, its bytes.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Error, Target,
    connection::Session,
    field, qualified,
    users::{UserCount, Users},
};
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

/// Bytes of a table and its indexes that one process counts: smaller ones have
/// no more by themselves, and larger ones are worth it. For 400 thousand rows
/// three processes on two cores take 20 ms, and one takes 17.
const COUNTED_ALONE: Range<u64> = 1 << 20..1 << 30;

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
    /// Two connections are asked at the same time: the catalogue's digest, and
    /// the users where that is all that is counted, take as long as its
    /// estimates; then each counts whatever the other has not taken yet.
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
        let (mut first, mut second) = tokio::try_join!(self.session(), self.session())?;
        let estimates = self.dialect.sizes().map(Statement::plain);
        let is_counted = exact || estimates.is_none();
        let ((model, users), rows) = tokio::try_join!(
            async {
                let model = self.model_by(&mut first).await?;
                let users = match is_counted {
                    true => None,
                    false => Some(self.count_users(&mut first, &model, domains, 0).await?),
                };
                Ok((model, users))
            },
            async {
                match &estimates {
                    Some(estimates) => second.rows(estimates).await,
                    None => Ok(Vec::new()),
                }
            }
        )?;
        let mut tables = listed(&model, &rows, exact);
        let sessions = [&mut first, &mut second];
        let counted = self.count_rest(sessions, &model, &mut tables, domains, users);
        let (users, test_users) = counted.await?;
        first.trust();
        second.trust();
        tables.sort_by(|a, b| a.table.cmp(&b.table));
        let sizes = Sizes {
            users,
            test_users,
            tables,
        };
        Ok((model, sizes))
    }

    /// Counts what nobody has told yet, on whichever connection is free.
    async fn count_rest(
        &self,
        [first, second]: [&mut Session; 2],
        model: &Model,
        tables: &mut [TableSize],
        domains: &[String],
        users: Option<Users>,
    ) -> Result<Users, Error> {
        let is_users = |size: &&mut TableSize| size.id == model.users().table;
        let bytes = tables.iter_mut().find(is_users).and_then(|size| size.bytes);
        let parts_left = Mutex::new(parts(tables, model.users().table));
        let (counted, ()) = tokio::try_join!(
            async {
                let users = match users {
                    Some(users) => users,
                    None => {
                        let bytes = bytes.unwrap_or(0);
                        self.count_users(first, model, domains, bytes).await?
                    }
                };
                self.count_parts(first, model, &parts_left).await?;
                Ok::<_, Error>(users)
            },
            self.count_parts(second, model, &parts_left),
        )?;
        let users = tables.iter_mut().find(is_users);
        if let Some(size) = users.filter(|size| size.exact) {
            size.rows = counted.0.iter().map(|users| users.total).sum();
        }
        Ok(counted)
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
            let largest = part.iter().filter_map(|size| size.bytes).max();
            let question = format!("SELECT {}", counts.join(", "));
            let rows = self.counts(session, question, largest.unwrap_or(0));
            let row = rows.await?.into_iter().next().unwrap_or_default();
            for (place, size) in part.iter_mut().enumerate() {
                size.rows = number(field(&row, place))?;
            }
        }
        Ok(())
    }

    /// Counts what is in tables of so many bytes at most.
    pub(super) async fn counts(
        &self,
        session: &mut Session,
        question: String,
        bytes: u64,
    ) -> Result<Vec<Row>, Error> {
        let alone = self.dialect.one_process();
        let answer = match alone.filter(|_| COUNTED_ALONE.contains(&bytes)) {
            Some(alone) => {
                let question = Statement::plain(format!("{alone}; {question}"));
                session.query(&question).await
            }
            None => session.ask(&Statement::plain(question)).await,
        };
        answer.map_err(|fault| fault.during("counting rows"))
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

pub(super) fn number(text: &str) -> Result<u64, Error> {
    text.parse()
        .map_err(|_| Error::Unexpected(format!("{text} is no count")))
}
