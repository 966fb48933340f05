//! One transaction in the target, which ends whole or not at all.

use std::time::{Duration, Instant};

use super::{
    Brake, Deadline, Error, LOCK_TIMEOUT, Target,
    answers::Done,
    armed::Asking,
    connection::{Checks, Interrupter, Session},
    fault::Fault,
};
use crate::dialect::{Class, Dialect, Hold, Row, Statement};

/// What asks a statement to stop can come before it has begun, or while it
/// runs a trigger in somebody else's name, and is asked again after this.
const INTERRUPTED_AGAIN: Duration = Duration::from_secs(1);

/// An open transaction. Dropped before its end, by a panic or by a runtime
/// that stops, it takes its connection with it: no other operation ever runs
/// inside somebody else's transaction.
#[derive(Debug)]
pub(super) struct Transaction<'a> {
    session: Session,
    /// The right to change the target, where that is another connection's.
    turn: Option<Session>,
    pub(super) dialect: &'a dyn Dialect,
    deadline: Deadline,
    brake: Brake,
    interrupter: Option<Interrupter>,
    ended: bool,
}

/// How a transaction begins.
#[derive(Debug, Clone, Default)]
pub(super) struct Opening {
    /// When it has to be done.
    pub(super) deadline: Deadline,
    /// What stops it from outside.
    pub(super) brake: Brake,
    /// Whether foreign keys are checked.
    pub(super) checks: Checks,
    /// What is set and locked in the same round trip.
    pub(super) more: Vec<Option<&'static str>>,
}

impl Target {
    /// Begins a transaction that may change the target.
    pub(super) async fn begin(&self, deadline: Deadline) -> Result<Transaction<'_>, Error> {
        self.begin_braked(deadline, Brake::default()).await
    }

    /// The same, for an operation that can be stopped from outside.
    pub(super) async fn begin_braked(
        &self,
        deadline: Deadline,
        brake: Brake,
    ) -> Result<Transaction<'_>, Error> {
        let opening = Opening {
            deadline,
            brake,
            more: vec![self.dialect.defer()],
            ..Opening::default()
        };
        Ok(self.begin_with(opening, None).await?.0)
    }

    /// Begins, and asks first questions, if any, in one round trip.
    ///
    /// A connection can have died since it was used last, and the others with
    /// it: then a new one is asked.
    pub(super) async fn begin_with(
        &self,
        opening: Opening,
        asking: Option<&Asking>,
    ) -> Result<(Transaction<'_>, Vec<Row>), Error> {
        match self.open(opening.clone(), asking).await {
            Err(Error::Unavailable(_)) => {
                self.pool().await?.renew();
                self.open(opening, asking).await
            }
            other => other,
        }
    }

    async fn open(
        &self,
        opening: Opening,
        asking: Option<&Asking>,
    ) -> Result<(Transaction<'_>, Vec<Row>), Error> {
        let Opening {
            deadline,
            brake,
            checks,
            more,
        } = opening;
        let time = deadline.moment().map(|moment| moment - Instant::now());
        let patience = time.map_or(LOCK_TIMEOUT, |time| time.min(LOCK_TIMEOUT));
        let in_time = |error| match error {
            Error::Busy if deadline.is_over() => Error::DeadlineExceeded {
                phase: "the wait for the target".to_owned(),
            },
            other => other,
        };
        let pool = self.pool().await?;
        let (session, turn) = pool
            .acquire_writer(patience, checks)
            .await
            .map_err(in_time)?;
        let mut transaction = Transaction {
            session,
            turn,
            dialect: self.dialect.as_ref(),
            deadline,
            brake: brake.clone(),
            interrupter: None,
            ended: false,
        };
        transaction.session.stop_at(deadline.moment(), brake);
        let unchecked = match checks {
            Checks::Made => None,
            Checks::SwitchedOff => self.dialect.unchecked().map(|(stop, _)| stop),
        };
        let begin = more
            .into_iter()
            .chain([unchecked])
            .flatten()
            .fold(self.dialect.begin(patience, time), |text, more| {
                text + "; " + more
            });
        // Whoever waits for the target can be told not to: the connection is
        // given up with the transaction then, in which nothing was done yet.
        let session = &mut transaction.session;
        let beginning = async {
            match asking {
                Some(asking) => session.begin_asking(&begin, asking).await,
                None => session.batch(&begin).await.map(|()| Vec::new()),
            }
        };
        let begun = tokio::select! {
            biased;
            begun = beginning => begun,
            () = transaction.brake.pulled() => return Err(Error::Cancelled),
        };
        let rows = begun.map_err(|fault| in_time(fault.during("the beginning")))?;
        Ok((transaction, rows))
    }
}

impl Transaction<'_> {
    /// Refuses to go on once the brake is pulled or the deadline has passed.
    pub(super) fn in_time(&self, step: &str) -> Result<(), Error> {
        if self.brake.is_pulled() {
            return Err(Error::Cancelled);
        }
        if self.deadline.is_over() {
            return Err(Error::DeadlineExceeded {
                phase: step.to_owned(),
            });
        }
        Ok(())
    }

    /// A statement that was stopped from outside was stopped by the brake or
    /// by the deadline.
    fn fault(&self, fault: Fault, step: &str) -> Error {
        match fault.class {
            Class::Interrupted if self.brake.is_pulled() => Error::Cancelled,
            _ => fault.during(step),
        }
    }

    /// Runs a statement and tells how many rows it changed.
    pub(super) async fn run(&mut self, step: &str, statement: &Statement) -> Result<u64, Error> {
        self.in_time(step)?;
        let running = self.session.run(statement);
        let done = unless_pulled(&self.brake, self.interrupter.as_ref(), running).await;
        done.map_err(|fault| self.fault(fault, step))
    }

    /// From here on a long statement is stopped as well, not only what would
    /// come after it.
    pub(super) async fn interruptible(&mut self, target: &Target) -> Result<(), Error> {
        let pool = target.pool().await?;
        let interrupter = self.session.interrupter(pool, self.dialect).await;
        self.interrupter = interrupter.map_err(|fault| fault.during("the beginning"))?;
        Ok(())
    }

    /// The same where the server's number of the connection is known.
    pub(super) async fn interruptible_by(
        &mut self,
        target: &Target,
        backend: &str,
    ) -> Result<(), Error> {
        self.interrupter = Interrupter::of(target.pool().await?, backend);
        Ok(())
    }

    /// Runs a query whose columns are all text.
    pub(super) async fn query(
        &mut self,
        step: &str,
        statement: &Statement,
    ) -> Result<Vec<Row>, Error> {
        self.in_time(step)?;
        let asking = self.session.query(statement);
        let answer = unless_pulled(&self.brake, self.interrupter.as_ref(), asking).await;
        answer.map_err(|fault| self.fault(fault, step))
    }

    /// Runs statements without parameters, each during its step, in as few
    /// round trips as the database allows.
    pub(super) async fn together(
        &mut self,
        parts: Vec<(&str, Statement)>,
    ) -> Result<Vec<Done>, Error> {
        let (steps, statements): (Vec<&str>, Vec<Statement>) = parts.into_iter().unzip();
        let Some(first) = steps.first() else {
            return Ok(Vec::new());
        };
        self.in_time(first)?;
        let running = self.session.together(&statements);
        let done = unless_pulled(&self.brake, self.interrupter.as_ref(), running).await;
        done.map_err(|(place, fault)| self.fault(fault, steps.get(place).unwrap_or(first)))
    }

    /// Makes tables that the connection keeps, where it does not know them.
    pub(super) async fn keep_tables(
        &mut self,
        step: &str,
        tables: &[(String, String)],
    ) -> Result<(), Error> {
        let unknown = tables.iter().filter(|(name, _)| self.session.learns(name));
        let unknown: Vec<&str> = unknown.map(|(_, make)| make.as_str()).collect();
        match unknown.is_empty() {
            true => Ok(()),
            false => self.batch_during(step, &unknown.join("; ")).await,
        }
    }

    /// Runs several statements of one text, kept prepared.
    pub(super) async fn script(
        &mut self,
        step: &str,
        statement: &Statement,
    ) -> Result<Vec<Done>, Error> {
        self.in_time(step)?;
        let running = self.session.script(statement);
        let done = unless_pulled(&self.brake, self.interrupter.as_ref(), running).await;
        done.map_err(|fault| self.fault(fault, step))
    }

    /// Runs a query whose columns are all text, and keeps it prepared: for
    /// statements of which a target has few.
    pub(super) async fn ask(
        &mut self,
        step: &str,
        statement: &Statement,
    ) -> Result<Vec<Row>, Error> {
        self.in_time(step)?;
        let asking = self.session.ask(statement);
        let answer = unless_pulled(&self.brake, self.interrupter.as_ref(), asking).await;
        answer.map_err(|fault| self.fault(fault, step))
    }

    /// Asks several questions at once.
    pub(super) async fn ask_all(&mut self, step: &str, asking: &Asking) -> Result<Vec<Row>, Error> {
        self.in_time(step)?;
        let asking = self.session.ask_all(asking);
        let answer = unless_pulled(&self.brake, self.interrupter.as_ref(), asking).await;
        answer.map_err(|fault| self.fault(fault, step))
    }

    /// Locks the target: together with others for one user or one session,
    /// alone for whatever is wider.
    pub(super) async fn hold(&mut self, hold: Hold) -> Result<(), Error> {
        match self.dialect.lock(hold) {
            Some(lock) => {
                let lock = Statement::plain(lock);
                self.run("waiting for the target", &lock).await?;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The one number that a query answers.
    pub(super) async fn count(&mut self, step: &str, statement: &Statement) -> Result<u64, Error> {
        let rows = self.query(step, statement).await?;
        let text = rows.first().map_or("", |row| super::field(row, 0));
        text.parse()
            .map_err(|_| Error::Unexpected(format!("{text} is no count")))
    }

    /// Runs several statements of one text.
    pub(super) async fn batch(&mut self, sql: &str) -> Result<(), Error> {
        self.batch_during("loading", sql).await
    }

    /// The connection, for questions that are the same inside and outside.
    pub(super) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Makes every check happen that has waited for the commit, so that a dry
    /// run is refused by whatever would refuse the real one.
    pub(super) async fn settle(&mut self) -> Result<(), Error> {
        match self.dialect.settle() {
            Some(sql) => self.batch_during("the final checks", sql).await,
            None => Ok(()),
        }
    }

    pub(super) async fn batch_during(&mut self, step: &str, sql: &str) -> Result<(), Error> {
        self.in_time(step)?;
        let done = self.session.batch(sql).await;
        done.map_err(|fault| self.fault(fault, step))
    }

    /// Makes the changes durable.
    ///
    /// # Errors
    ///
    /// When the database refuses, in which case everything is rolled back, or
    /// when the connection is lost, in which case nobody knows.
    pub(super) async fn commit(self) -> Result<(), Error> {
        self.commit_with("").await
    }

    /// The same with a last statement before it, in one round trip.
    pub(super) async fn commit_with(mut self, last: &str) -> Result<(), Error> {
        self.in_time("the commit")?;
        // From here on neither deadline nor brake counts any more: a commit
        // that was sent is waited for.
        if !self.brake.is_permitted().await || !self.brake.commits() {
            self.rollback().await;
            return Err(Error::Cancelled);
        }
        let unbounded = self.session.stop_no_more();
        let text = format!("{unbounded}{last}COMMIT");
        match self.session.batch(&text).await {
            Ok(()) => {
                self.ended = true;
                Ok(())
            }
            Err(fault) if fault.class == Class::Unavailable => Err(Error::InDoubt),
            Err(fault) if fault.refuses_proof() => {
                self.rollback().await;
                // Another server took this one for dead and has decided.
                Err(Error::Overtaken)
            }
            Err(fault) => {
                let refused = self.refused_at_commit(fault).await;
                self.rollback().await;
                Err(refused)
            }
        }
    }

    /// Undoes everything, once the database has said that it would take it: a
    /// dry run is refused by whatever would refuse the real one.
    ///
    /// # Errors
    ///
    /// As of a commit.
    pub(super) async fn rehearse(mut self) -> Result<(), Error> {
        self.in_time("the commit")?;
        let unbounded = self.session.never_stop().await;
        unbounded.map_err(|fault| fault.during("the commit"))?;
        self.session.forget();
        match self.session.rehearse().await {
            Ok(true) => {
                self.ended = true;
                Ok(())
            }
            Ok(false) => {
                self.rollback().await;
                Ok(())
            }
            Err(fault) => {
                let refused = self.refused_at_commit(fault).await;
                self.rollback().await;
                Err(refused)
            }
        }
    }

    /// Where the checks of foreign keys wait for the commit, the error does
    /// not say which one failed: the database is asked while it still knows.
    async fn refused_at_commit(&mut self, fault: Fault) -> Error {
        if fault.class == Class::Violation
            && let Some(question) = self.dialect.violated()
            && let Ok(rows) = self.session.query(&Statement::plain(question)).await
            && let Some(row) = rows.first()
        {
            return Error::Violation {
                step: "the commit".to_owned(),
                detail: format!(
                    "rows of {} would be left without the rows of {} that they refer to",
                    super::field(row, 0),
                    super::field(row, 1)
                ),
            };
        }
        fault.during("the commit")
    }

    /// Undoes everything. A connection that cannot do that is given up, and
    /// the database undoes it by itself.
    pub(super) async fn rollback(mut self) {
        self.session.forget();
        let unbounded = self.session.never_stop().await;
        let undone = self.session.batch("ROLLBACK").await;
        if unbounded.is_ok() && undone.is_ok() {
            self.ended = self.session.is_as_before();
        }
    }
}

/// Waits for a statement, and has it stopped when the brake is pulled. Its end
/// is waited for either way: the connection is of use only then.
async fn unless_pulled<T>(
    brake: &Brake,
    interrupter: Option<&Interrupter>,
    statement: impl Future<Output = T>,
) -> T {
    let Some(interrupter) = interrupter else {
        return statement.await;
    };
    tokio::pin!(statement);
    tokio::select! {
        done = &mut statement => done,
        () = brake.pulled() => loop {
            interrupter.interrupt().await;
            if let Ok(done) = tokio::time::timeout(INTERRUPTED_AGAIN, &mut statement).await {
                break done;
            }
        },
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        match self.ended {
            true => self.session.trust(),
            false => self.session.discard(),
        }
        if let Some(turn) = &mut self.turn {
            turn.trust();
        }
    }
}
