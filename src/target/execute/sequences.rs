//! Lets numbers start again after everything was wiped.

use std::collections::{BTreeMap, BTreeSet};

use super::Execution;
use crate::{
    dialect::{Row, Statement},
    schema::{Table, TableId},
    target::{Deadline, Error, Target, field},
};

/// The step of that.
pub(super) const RESTARTING: &str = "restarting sequences";

impl Target {
    /// Restarts sequences after the commit, where that would have ended the
    /// transaction. Numbers that go on where they were are no harm.
    pub(super) async fn restart_numbers(&self, restarts: Vec<String>) {
        // Several at a time take half as long as one after the other (measured
        // for five tables: 6.5 ms against 12.2).
        let restart = |start| {
            let part = restarts.iter().skip(start).step_by(4);
            Box::pin(self.restart_all(part.collect()))
        };
        let done = tokio::try_join!(restart(0), restart(1), restart(2), restart(3));
        if done.is_ok() {
            return;
        }
        // Some may be allowed where others are not.
        for restart in restarts {
            let statement = Statement::plain(restart);
            if let Err(error) = self.write(&statement).await {
                tracing::warn!(%error, "a sequence was not restarted after a full reset");
            }
        }
    }

    async fn restart_all(&self, restarts: Vec<&String>) -> Result<(), Error> {
        if restarts.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin(Deadline::default()).await?;
        let restarts = restarts.into_iter().map(Statement::plain);
        let parts = restarts.map(|restart| (RESTARTING, restart)).collect();
        match transaction.together(parts).await {
            Ok(_) => transaction.commit().await,
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        }
    }
}

/// What a wiped table has at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// No row whose number would count.
    Nothing,
    /// Rows that were kept or put in place, perhaps.
    Some,
}

impl Execution<'_> {
    /// After everything, the sequences of wiped tables give what they gave
    /// first, or one more than the highest value that is there; also those of
    /// tables that were empty already.
    pub(super) async fn restart_sequences(&mut self) -> Result<(), Error> {
        if self.wiped().next().is_none() {
            return Ok(());
        }
        let rows = self.sequences().await?.unwrap_or_default();
        let restarts = self.restarts(rows, Left::Some).await?;
        if self.transaction.dialect.restarts_after_commit() {
            self.restarts = restarts;
            return Ok(());
        }
        match restarts.is_empty() {
            true => Ok(()),
            false => {
                let restarts = restarts.join("; ");
                self.transaction.batch_during(RESTARTING, &restarts).await
            }
        }
    }

    /// The sequences that the database tells; nothing where it knows of none.
    pub(super) async fn sequences(&mut self) -> Result<Option<Vec<Row>>, Error> {
        let (first, question) = self.transaction.dialect.sequences();
        if let Some(first) = first {
            let first = Statement::plain(first);
            if self.transaction.ask(RESTARTING, &first).await?.is_empty() {
                return Ok(None);
            }
        }
        let question = Statement::plain(question);
        self.transaction.ask(RESTARTING, &question).await.map(Some)
    }

    /// What restarts the sequences of wiped tables that have to be, of all that
    /// the database tells.
    pub(super) async fn restarts(
        &mut self,
        rows: Vec<Row>,
        left: Left,
    ) -> Result<Vec<String>, Error> {
        let wiped: BTreeSet<TableId> = self.wiped().collect();
        let empty = match left {
            Left::Nothing => wiped.clone(),
            Left::Some => BTreeSet::new(),
        };
        // Several tables can take their numbers from one sequence.
        let mut sequences: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        for row in rows {
            let name = field(&row, 3).to_owned();
            sequences.entry(name).or_default().push(row);
        }
        let mut restarts = Vec::new();
        for (name, uses) in sequences {
            let mut users = uses.iter().filter_map(|row| self.user(row));
            if users.any(|(id, _)| wiped.contains(&id)) {
                restarts.extend(self.restart(&name, &uses, &empty).await?);
            }
        }
        Ok(restarts)
    }

    /// The table that a row says takes its numbers from a sequence.
    fn user(&self, row: &Row) -> Option<(TableId, &Table)> {
        let mut tables = self.plan.schema().tables();
        tables.find(|(_, table)| {
            table.name.schema.as_deref() == row.first().and_then(Option::as_deref)
                && table.name.name == field(row, 1)
        })
    }

    /// What restarts a sequence, if it has to be.
    async fn restart(
        &mut self,
        sequence: &str,
        uses: &[Row],
        empty: &BTreeSet<TableId>,
    ) -> Result<Option<String>, Error> {
        let Some(row) = uses.first().filter(|row| !field(row, 4).is_empty()) else {
            return Ok(None);
        };
        let dialect = self.transaction.dialect;
        let start = field(row, 5).parse().unwrap_or(1);
        let mut next: i64 = start;
        for row in uses {
            let Some((id, table)) = self.user(row) else {
                continue;
            };
            if empty.contains(&id) {
                continue;
            }
            let mut automatic = table.columns.iter().filter(|column| column.automatic);
            let column = match (field(row, 2), automatic.next()) {
                ("rowid", _) => "rowid".to_owned(),
                ("", Some(column)) => dialect.quote(&column.name),
                ("", None) => continue,
                (column, _) => dialect.quote(column),
            };
            let table = dialect.table(&table.name);
            let highest = dialect.as_text(&format!("max({column})"));
            let highest = format!("SELECT {highest} FROM {table}");
            let highest = Statement::plain(highest);
            let answer = self.transaction.query(RESTARTING, &highest).await?;
            let highest = answer.first().map_or("", |row| field(row, 0));
            if let Ok(highest) = highest.parse::<i64>() {
                next = next.max(highest.saturating_add(1));
            }
        }
        if field(row, 4).parse() != Ok(next - 1) {
            return Ok(Some(dialect.restart(sequence, next)));
        }
        Ok(None)
    }
}
