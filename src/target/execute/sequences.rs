//! Lets numbers start again after everything was wiped.

use std::collections::{BTreeMap, BTreeSet};

use super::Execution;
use crate::{
    dialect::{Row, Statement},
    plan::Step,
    schema::{Table, TableId},
    target::{Error, Target, field},
};

const TITLE: &str = "restarting sequences";

impl Target {
    /// Restarts sequences after the commit, where that would have ended the
    /// transaction. Numbers that go on where they were are no harm.
    pub(super) async fn restart_numbers(&self, restarts: Vec<String>) {
        for restart in restarts {
            let statement = Statement::plain(restart);
            if let Err(error) = self.write(&statement).await {
                tracing::warn!(%error, "a sequence was not restarted after a full reset");
            }
        }
    }
}

impl Execution<'_> {
    /// After everything, the sequences of wiped tables give what they gave
    /// first, or one more than the highest value that is there; also those of
    /// tables that were empty already.
    pub(super) async fn restart_sequences(&mut self) -> Result<(), Error> {
        let wiped: BTreeSet<TableId> = self
            .plan
            .steps()
            .iter()
            .filter_map(|step| match step {
                Step::Wipe(step) => Some(step.tables.iter().map(|&(table, _)| table)),
                Step::Restore(_) | Step::Detach(_) | Step::Delete(_) | Step::Release(_) => None,
            })
            .flatten()
            .collect();
        if wiped.is_empty() {
            return Ok(());
        }
        let (first, question) = self.transaction.dialect.sequences();
        if let Some(first) = first {
            let first = Statement::plain(first);
            if self.transaction.query(TITLE, &first).await?.is_empty() {
                return Ok(());
            }
        }
        let question = Statement::plain(question);
        // Without kept and seeded rows nothing is left whose number would count.
        let is_empty = self.wipes_at_once() && self.request.besides.sowing.files.is_empty();
        let empty = match is_empty {
            true => wiped.clone(),
            false => BTreeSet::new(),
        };
        // Several tables can take their numbers from one sequence.
        let mut sequences: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        for row in self.transaction.ask(TITLE, &question).await? {
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
        if self.transaction.dialect.restarts_after_commit() {
            self.restarts = restarts;
            return Ok(());
        }
        match restarts.is_empty() {
            true => Ok(()),
            false => {
                let restarts = restarts.join("; ");
                self.transaction.batch_during(TITLE, &restarts).await
            }
        }
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
            let column = match field(row, 2) {
                "rowid" => "rowid".to_owned(),
                column => dialect.quote(column),
            };
            let table = dialect.table(&table.name);
            let highest = dialect.as_text(&format!("max({column})"));
            let highest = format!("SELECT {highest} FROM {table}");
            let highest = Statement::plain(highest);
            let answer = self.transaction.query(TITLE, &highest).await?;
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
