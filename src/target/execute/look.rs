//! How few round trips begin: the lock, what the guards saw, and the user where
//! it is one, in a single one of them.

use super::{Request, Start, Strategy, recheck::nobody, roots::root, swift::is_for_steps};
use crate::{
    dialect::{Row, Statement},
    plan::Plan,
    target::{Error, Target, armed, transaction::Transaction},
};

impl Target {
    /// Begins, and looks at what the guards saw, and for the user where it is
    /// one; nothing when that is no case for few round trips.
    pub(super) async fn begin_looking(
        &self,
        strategy: Strategy,
        plan: &Plan,
        request: &Request,
    ) -> Result<Option<(Transaction<'_>, Vec<Row>)>, Error> {
        let dialect = self.dialect.as_ref();
        let user = match &request.start {
            Start::User { user, .. } => match root(dialect, plan, user, strategy) {
                None => return Ok(None),
                user => user,
            },
            _ => None,
        };
        let begun = match strategy {
            Strategy::Lists => self.begin_asking_apart(request, user).await,
            _ => {
                let user = user.unwrap_or_else(|| nobody(dialect));
                let question = armed::everything(dialect, &user);
                self.begin_held(request, Some(&question)).await
            }
        };
        match begun {
            // Most likely nobody has armed the database, or the schema is
            // another one; the other way tells.
            Err(error) if is_for_steps(&error) => Ok(None),
            begun => begun.map(Some),
        }
    }

    async fn begin_held(
        &self,
        request: &Request,
        question: Option<&Statement>,
    ) -> Result<(Transaction<'_>, Vec<Row>), Error> {
        let (deadline, brake) = (request.deadline, request.brake.clone());
        let lock = self.dialect.lock(request.start.hold());
        let held = [self.dialect.prepared(), lock];
        self.begin_with(deadline, brake, &held, question).await
    }

    async fn begin_asking_apart(
        &self,
        request: &Request,
        user: Option<Statement>,
    ) -> Result<(Transaction<'_>, Vec<Row>), Error> {
        let (mut transaction, _) = self.begin_held(request, None).await?;
        match armed::ask_apart(&mut transaction, user.as_ref()).await {
            Ok(rows) => Ok((transaction, rows)),
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        }
    }
}
