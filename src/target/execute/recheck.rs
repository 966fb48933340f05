//! Reads again, inside the transaction of the change, what the guards saw.

use super::Execution;
use crate::{
    dialect::{Hold, Row},
    failpoint,
    guard::{Cleared, Seen},
    target::{
        Error, Target,
        armed::{self, Asking},
        transaction::Transaction,
    },
};

impl Execution<'_> {
    /// Reads again what the guards saw, and locks the target.
    pub(super) async fn look_again(&mut self, target: &Target) -> Result<(), Error> {
        let hold = self.request.start.hold();
        if hold == Hold::Exclusive {
            self.transaction.interruptible(target).await?;
            if let Some(ample) = self.transaction.dialect.ample() {
                let transaction = &mut self.transaction;
                transaction.batch_during("the beginning", ample).await?;
            }
        }
        self.recheck().await?;
        self.transaction.hold(hold).await
    }

    /// Reads again what the guards saw.
    pub(super) async fn recheck(&mut self) -> Result<(), Error> {
        let fingerprint = self.plan.schema().fingerprint();
        failpoint::reach("begun").await;
        recheck(&mut self.transaction, self.cleared, fingerprint).await?;
        failpoint::reach("rechecked").await;
        Ok(())
    }
}

/// What the guards saw is read again on the connection and in the transaction
/// of the change; any difference ends the operation.
pub(in crate::target) async fn recheck<T>(
    transaction: &mut Transaction<'_>,
    cleared: &Cleared<T>,
    fingerprint: &str,
) -> Result<(), Error> {
    let dialect = transaction.dialect;
    let asking = Asking::of(dialect, &[]);
    let rows = match transaction.ask_all("reading the marker", &asking).await {
        // The table of the marker is not there any more.
        Err(Error::Database { .. }) => return Err(Error::Changed("the marker")),
        other => other?,
    };
    compare_all(&rows, cleared, fingerprint)
}

/// All that is seen now, and the schema, have to be what the guards saw.
pub(super) fn compare_all<T>(
    rows: &[Row],
    cleared: &Cleared<T>,
    fingerprint: &str,
) -> Result<(), Error> {
    let (seen, now) = armed::understand(rows)?;
    compare(&seen, cleared.seen())?;
    match now == fingerprint {
        true => Ok(()),
        false => Err(Error::Changed("the schema")),
    }
}

/// What is seen now has to be what the guards saw.
fn compare(now: &Seen, then: &Seen) -> Result<(), Error> {
    if now.markers != then.markers {
        return Err(Error::Changed("the marker"));
    }
    if now != then {
        return Err(Error::Changed("the database"));
    }
    Ok(())
}
