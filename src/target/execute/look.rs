//! How few round trips begin: the lock, what the guards saw, and the user where
//! it is one, in a single one of them.

use super::{Request, Start, Strategy, roots::root, swift::is_for_steps};
use crate::{
    dialect::Row,
    plan::Plan,
    target::{
        Error, Target,
        armed::{Asking, Question},
        transaction::{Opening, Transaction},
    },
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
        let root = user.map(|statement| Question {
            kind: "root",
            columns: 2,
            statement,
        });
        let opening = Opening {
            more: vec![dialect.prepared(), dialect.lock(request.start.hold())],
            ..Opening::of(request)
        };
        let asking = Asking::of(dialect, root.as_slice());
        match self.begin_with(opening, Some(&asking)).await {
            // Most likely nobody has armed the database, or the schema is
            // another one; the other way tells.
            Err(error) if is_for_steps(&error) => Ok(None),
            begun => begun.map(Some),
        }
    }
}
