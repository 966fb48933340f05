//! How big a target is: its users, its rows, its bytes.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Error, Target, connection::Session, field, qualified, users::UserCount};
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
        let of_users = tables.iter().find(|size| size.id == model.users().table);
        let of_users = of_users.and_then(|size| size.bytes).unwrap_or(0);
        let ((users, test_users), ()) = {
            let parts = Mutex::new(parts(&mut tables, model.users().table));
            tokio::try_join!(
                async {
                    let users = self.count_users(&mut first, &model, domains, of_users);
                    let users = users.await?;
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
