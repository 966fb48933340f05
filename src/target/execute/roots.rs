//! Finds what a scope starts from, and judges the users among it.

use super::{Execution, NAMED_USERS, Start, Strategy};
use crate::{
    dialect::{Dialect, Eligible, Row, Seed, Statement},
    guard::{self, UserFacts, UserRule},
    operation::{Changes, User, UserSelector, counted},
    plan::{Plan, Role, Scope, SetId},
    target::{Error, field},
};

impl Execution<'_> {
    /// Finds the rows that the scope starts from and all that belongs to
    /// them; nothing when there is nothing to start from. Gives the key of the
    /// one user, where it is one.
    pub(super) async fn find_roots(
        &mut self,
        changes: &mut Changes,
    ) -> Result<Option<String>, Error> {
        match &self.request.start {
            Start::User {
                user,
                rule,
                allow_missing,
            } => {
                let Some(found) = self.find_user(user, *allow_missing).await? else {
                    let warning = format!("no user {user} was there to reset");
                    changes.warnings.push(warning);
                    return Ok(None);
                };
                rule.check(&found)?;
                self.find_all(&Seed::Key(&found.id)).await?;
                self.check_users(rule).await?;
                self.name_users(&Seed::Key(&found.id), changes).await?;
                return Ok(Some(found.id));
            }
            Start::TestUsers(eligible) => {
                self.find_all(&Seed::TestUsers(eligible)).await?;
                self.check_eligible(eligible).await?;
                self.name_users(&Seed::TestUsers(eligible), changes).await?;
            }
            Start::Marked { session, eligible } => {
                let session = session.as_deref();
                let seed = Seed::Marked { session, eligible };
                self.find_all(&seed).await?;
                self.check_eligible(eligible).await?;
                self.name_users(&seed, changes).await?;
            }
            Start::Orphans => self.find_all(&Seed::Orphans).await?,
            Start::Recipe { protected } => {
                self.find_all(&Seed::Recipe).await?;
                self.check_protected(protected).await?;
            }
            Start::Everything {
                preserve_admins,
                protected,
            } => {
                let seed = Seed::Kept {
                    admins: *preserve_admins,
                    protected,
                };
                self.find_all(&seed).await?;
                let kept = self.users_set().map_or(0, |set| self.sizes[set.index()]);
                let kept = counted(kept, "admin user");
                changes.warnings.push(format!("Preserved {kept}"));
            }
        }
        Ok(Some(String::new()))
    }

    /// A recipe takes no users that are never reset.
    async fn check_protected(&mut self, protected: &[String]) -> Result<(), Error> {
        let users = self.plan.model().users().table;
        let mut sets = self.plan.sets();
        let doomed = sets.find(|(_, set)| set.role == Role::Doomed && set.table == users);
        let Some((set, _)) = doomed.filter(|(id, _)| self.sizes[id.index()] > 0) else {
            return Ok(());
        };
        let statement = self.renderer().protected(set, protected);
        match self.transaction.count("checking users", &statement).await? {
            0 => Ok(()),
            rows => Err(guard::taken_along(rows).into()),
        }
    }

    /// The root set in the users table.
    pub(super) fn users_set(&self) -> Option<SetId> {
        let users = self.plan.model().users().table;
        let mut sets = self.plan.sets();
        let found = sets.find(|(_, set)| set.is_root && set.table == users);
        found.map(|(id, _)| id)
    }

    /// One user can take others along, such as those that it has invited: all
    /// of them must be users who may be reset.
    async fn check_users(&mut self, rule: &UserRule) -> Result<(), Error> {
        let Some(set) = self.users_set().filter(|set| self.sizes[set.index()] > 1) else {
            return Ok(());
        };
        let limit = usize::try_from(self.sizes[set.index()]).unwrap_or(usize::MAX);
        let statement = self.renderer().users(set, limit);
        for row in self.transaction.query("checking users", &statement).await? {
            rule.check(&UserFacts {
                id: field(&row, 0).to_owned(),
                email: row.get(1).cloned().flatten(),
            })?;
        }
        Ok(())
    }

    /// The same for many users, by the rule's form in SQL.
    async fn check_eligible(&mut self, eligible: &Eligible) -> Result<(), Error> {
        let taken_along = |set: &SetId| {
            let has_ways = !self.plan.set(*set).paths.is_empty();
            has_ways && self.sizes[set.index()] > 0
        };
        let Some(set) = self.users_set().filter(taken_along) else {
            return Ok(());
        };
        let statement = self.renderer().ineligible(set, eligible);
        let rows = self.transaction.count("checking users", &statement).await?;
        if rows == 0 {
            return Ok(());
        }
        Err(guard::taken_along(rows).into())
    }

    /// Counts the users in scope, names the first of them, and tells of those
    /// that were passed over.
    async fn name_users(&mut self, seed: &Seed<'_>, changes: &mut Changes) -> Result<(), Error> {
        let Some(set) = self.users_set() else {
            return Ok(());
        };
        changes.user_count = self.sizes[set.index()];
        if changes.user_count > 0 {
            let statement = self.renderer().users(set, NAMED_USERS);
            let rows = self
                .transaction
                .query("naming the users", &statement)
                .await?;
            changes.users = rows
                .iter()
                .map(|row| User {
                    id: field(row, 0).to_owned(),
                    email: field(row, 1).to_owned(),
                })
                .collect();
        }
        if let Some(statement) = self.renderer().passed_over(set, seed) {
            let rows = self.transaction.count("counting users", &statement).await?;
            changes.warnings.extend(passed_over(rows));
        }
        self.warn_of_nobody(changes);
        Ok(())
    }

    /// Tells that there were no test users.
    pub(super) fn warn_of_nobody(&self, changes: &mut Changes) {
        if changes.user_count == 0 && matches!(self.plan.scope(), Scope::TestUsers(_)) {
            changes
                .warnings
                .push("No test users found to reset".to_owned());
        }
    }

    /// Looks the root up; nothing when it may be missing and is.
    async fn find_user(
        &mut self,
        user: &UserSelector,
        allow_missing: bool,
    ) -> Result<Option<UserFacts>, Error> {
        let (field_name, asked) = match user {
            UserSelector::Id(id) => ("id", id),
            UserSelector::Email(email) => ("email", email),
        };
        let not_found = || match allow_missing {
            true => Ok(None),
            false => Err(Error::UserNotFound {
                field: field_name,
                value: asked.clone(),
            }),
        };
        let Some(statement) = self.root(user) else {
            return not_found();
        };
        let rows = self
            .transaction
            .query("looking the user up", &statement)
            .await?;
        let mut found = exactly(user, &rows);
        match (found.pop(), found.len()) {
            (Some(user), 0) => Ok(Some(user)),
            (None, _) => not_found(),
            (Some(_), others) => Err(Error::UserAmbiguous {
                field: field_name,
                value: asked.clone(),
                count: others + 1,
            }),
        }
    }

    fn root(&self, user: &UserSelector) -> Option<Statement> {
        root(self.transaction.dialect, self.plan, user, self.strategy)
    }
}

/// Finds a user and locks them; nothing when no row can have such a key or
/// e-mail.
pub(super) fn root(
    dialect: &dyn Dialect,
    plan: &Plan,
    user: &UserSelector,
    strategy: Strategy,
) -> Option<Statement> {
    let users = plan.model().users();
    let table = plan.schema().table(users.table);
    let (asked, column) = match user {
        UserSelector::Id(id) => (id, users.key),
        UserSelector::Email(email) => (email, users.email),
    };
    let column = table.column(column);
    if !dialect.accepts(column, asked) {
        return None;
    }
    let name = |id| dialect.quote(&table.column(id).name);
    let text = |id| dialect.text(table.column(id), &name(id));
    let sql = format!(
        "SELECT {}, {} FROM {} WHERE {} = {}",
        text(users.key),
        text(users.email),
        dialect.rows(table),
        dialect.quote(&column.name),
        match strategy {
            Strategy::Lists => dialect.inline(asked, Some(column)),
            _ => dialect.parameter(1, Some(column)),
        },
    ) + dialect.for_update();
    Some(match strategy {
        Strategy::Lists => Statement::plain(sql),
        _ => Statement::new(sql, vec![asked.clone()]),
    })
}

/// Tells of users that were named and may not go.
pub(super) fn passed_over(users: u64) -> Option<String> {
    (users > 0).then(|| {
        format!(
            "passed over {}: admins, protected, or no test users",
            counted(users, "user")
        )
    })
}

/// Of the users that the database found, those with the very key or e-mail
/// that was asked for. It may compare more kindly than we do: by a collation
/// that ignores case, or as numbers. Only the exact text counts.
pub(super) fn exactly(user: &UserSelector, rows: &[Row]) -> Vec<UserFacts> {
    let facts = rows.iter().map(|row| UserFacts {
        id: field(row, 0).to_owned(),
        email: row.get(1).cloned().flatten(),
    });
    facts
        .filter(|found| match user {
            UserSelector::Id(id) => found.id == *id,
            UserSelector::Email(email) => found.email.as_ref() == Some(email),
        })
        .collect()
}
