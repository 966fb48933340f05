//! What is done besides a plan's steps: rows that are put in place, a password,
//! and counts of what is left.

use std::{collections::BTreeMap, fmt, time::Instant};

use super::Execution;
use crate::{
    dialect::{SeedFile, Statement},
    operation::{Changes, Progress},
    target::{
        Error,
        account::{PASSWORD, is_kept, not_kept},
    },
};

/// What is done in the same transaction besides a plan's steps.
#[derive(Debug, Clone, Default)]
pub struct Besides {
    /// The password that the user in scope gets.
    pub password: Option<NewPassword>,
    /// What is put in place afterwards.
    pub sowing: Sowing,
    /// The tables whose rows are counted at the end.
    pub remaining: Vec<String>,
}

/// What is put in place, in order.
#[derive(Clone, Default)]
pub struct Sowing {
    /// The files.
    pub files: Vec<SeedFile>,
    /// The values that they name.
    pub values: BTreeMap<String, String>,
}

/// A password that is set, already hashed.
#[derive(Clone)]
pub struct NewPassword {
    /// The users' column that it is in.
    pub column: String,
    /// The hash.
    pub hash: String,
}

/// What of a hash is told: how it was made, and nothing of what it hides.
const PREFIX: usize = "$2b$12$".len();

impl Sowing {
    /// What will be done, in words.
    pub fn titles(&self) -> impl Iterator<Item = String> {
        self.files.iter().map(title)
    }
}

fn title(file: &SeedFile) -> String {
    format!("seed {}", file.name())
}

impl Execution<'_> {
    /// Runs the seed files, each as a step after those of the plan.
    pub(super) async fn sow(&mut self) -> Result<(), Error> {
        let sowing = &self.request.besides.sowing;
        let first = self.plan.steps().len() + 1;
        for (step, file) in (first..).zip(&sowing.files) {
            let (title, begun) = (title(file), Instant::now());
            (self.progress)(Progress::StepStarted {
                step,
                title: title.clone(),
            });
            let statements = file.statements(self.transaction.dialect, &sowing.values);
            let mut rows = 0;
            for (number, statement) in (1..).zip(&statements) {
                let done = self.transaction.run(&title, statement).await;
                rows += done.map_err(|error| unsown(file, number, error))?;
            }
            (self.progress)(Progress::StepFinished {
                step,
                rows,
                took: begun.elapsed(),
            });
        }
        Ok(())
    }

    /// Sets the password of the user in scope.
    pub(super) async fn set_password(&mut self, user: &str) -> Result<(), Error> {
        let Some(password) = &self.request.besides.password else {
            return Ok(());
        };
        let (dialect, users) = (self.transaction.dialect, self.plan.model().users());
        let table = self.plan.schema().table(users.table);
        let hashed = self.password_column(password)?;
        let (hashed, key) = (table.column(hashed), table.column(users.key));
        let sql = format!(
            "UPDATE {} SET {} = {} WHERE {} = {}",
            dialect.table(&table.name),
            dialect.quote(&hashed.name),
            dialect.parameter(1, Some(hashed)),
            dialect.quote(&key.name),
            dialect.parameter(2, Some(key)),
        );
        let statement = Statement::new(sql, vec![password.hash.clone(), user.to_owned()]);
        match self.transaction.run(PASSWORD, &statement).await? {
            1 => Ok(()),
            _ => Err(not_kept()),
        }
    }

    /// Reads the password's hash back: a trigger can have changed it, or the
    /// column have cut it short, and then it verifies for nobody.
    pub(super) async fn verify_password(
        &mut self,
        user: &str,
        changes: &mut Changes,
    ) -> Result<(), Error> {
        let Some(password) = &self.request.besides.password else {
            return Ok(());
        };
        let column = self.password_column(password)?;
        let (model, hash) = (self.plan.model(), password.hash.as_str());
        is_kept(&mut self.transaction, model, (column, hash), user).await?;
        changes.hash_prefix = password.hash.get(..PREFIX).map(str::to_owned);
        Ok(())
    }

    fn password_column(&self, password: &NewPassword) -> Result<crate::schema::ColumnId, Error> {
        let users = self.plan.model().users().table;
        let found = self.plan.schema().table(users).find(&password.column);
        found.ok_or(Error::Changed("the schema"))
    }

    /// Counts the rows that are there at the end, of tables whose number is
    /// told.
    pub(super) async fn count_remaining(&mut self, changes: &mut Changes) -> Result<(), Error> {
        for name in &self.request.besides.remaining {
            let Some(table) = self.plan.schema().find(name) else {
                continue;
            };
            let dialect = self.transaction.dialect;
            let sql = format!(
                "SELECT {} FROM {}",
                dialect.as_text("count(*)"),
                dialect.table(&self.plan.schema().table(table).name)
            );
            let statement = Statement::plain(sql);
            let rows = self.transaction.count("counting rows", &statement).await?;
            changes.remaining.insert(name.clone(), rows);
        }
        Ok(())
    }
}

/// What the seed itself is to blame for is told as such.
fn unsown(file: &SeedFile, statement: usize, error: Error) -> Error {
    match error {
        Error::Database { .. }
        | Error::Violation { .. }
        | Error::Duplicate
        | Error::Permission { .. } => Error::Seed {
            file: file.name().to_owned(),
            statement,
            source: Box::new(error),
        },
        other => other,
    }
}

impl fmt::Debug for Sowing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<&str> = self.files.iter().map(SeedFile::name).collect();
        f.debug_tuple("Sowing").field(&files).finish()
    }
}

impl fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewPassword")
            .field("column", &self.column)
            .finish_non_exhaustive()
    }
}
