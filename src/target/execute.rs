//! Carries a cleared plan out, in one transaction.
//!
//! In order: what the guards saw is read again, the scope's root is found and
//! checked, the row sets are found, what must not be there is looked for, the
//! steps are taken, their effect is verified, the proof of the commit is
//! written, and then everything is committed or, in a dry run, rolled back.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Deadline, Error, Target, armed, field, transaction::Transaction};
use crate::{
    dialect::{Renderer, Statement},
    guard::{Cleared, Layer, Reason, Refusal, UserFacts, UserRule},
    operation::{
        Changes, Mode, OperationId, Progress, SharedRows, TableCounts, User, UserSelector,
    },
    plan::{Delete, Group, Path, Plan, SetId, Step},
    schema::TableId,
};

/// Whom an operation starts from, and on whose word.
#[derive(Debug, Clone)]
pub struct Request {
    /// The operation, whose commit is proved under this id.
    pub operation: OperationId,
    /// Whether the changes are kept.
    pub mode: Mode,
    /// When it began.
    pub started: Timestamp,
    /// When it has to be done.
    pub deadline: Deadline,
    /// The user.
    pub user: UserSelector,
    /// Whether they may be reset.
    pub rule: UserRule,
    /// An unknown user is an empty success.
    pub allow_missing: bool,
}

/// What an execution changed; only an execution makes one.
#[derive(Debug, Clone)]
pub struct Executed {
    changes: Changes,
}

impl Executed {
    /// What was changed, or in a dry run would have been.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The same, for keeping.
    #[must_use]
    pub fn into_changes(self) -> Changes {
        self.changes
    }
}

impl Target {
    /// Executes a cleared plan.
    ///
    /// # Errors
    ///
    /// After any error the database is as it was, but for
    /// [`Error::InDoubt`], after which nobody knows.
    pub async fn execute(
        &self,
        cleared: &Cleared<Plan>,
        request: &Request,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Executed, Error> {
        let mut execution = Execution {
            transaction: self.begin(request.deadline).await?,
            cleared,
            plan: cleared.subject(),
            request,
            progress,
            sizes: vec![0; cleared.subject().sets().count()],
            made: Vec::new(),
            counts: BTreeMap::new(),
        };
        match execution.work().await {
            Ok(changes) => {
                let transaction = execution.transaction;
                match request.mode {
                    Mode::DryRun => transaction.rollback().await,
                    Mode::Execute => {
                        transaction.commit().await?;
                        progress(Progress::Committed);
                    }
                }
                Ok(Executed { changes })
            }
            Err(error) => {
                execution.transaction.rollback().await;
                Err(error)
            }
        }
    }
}

/// One execution under way.
struct Execution<'a> {
    transaction: Transaction<'a>,
    cleared: &'a Cleared<Plan>,
    plan: &'a Plan,
    request: &'a Request,
    progress: &'a (dyn Fn(Progress) + Sync),
    /// How many rows each set has, by set.
    sizes: Vec<u64>,
    /// The sets that have a table.
    made: Vec<SetId>,
    counts: BTreeMap<TableId, TableCounts>,
}

impl Execution<'_> {
    async fn work(&mut self) -> Result<Changes, Error> {
        recheck(
            &mut self.transaction,
            self.cleared,
            self.plan.schema().fingerprint(),
        )
        .await?;
        let Some(user) = self.find_user().await? else {
            return Ok(Changes {
                warnings: vec![format!("no user {} was there to reset", self.request.user)],
                ..Changes::default()
            });
        };
        self.request.rule.check(&user)?;
        for group in self.plan.groups() {
            self.find(group, &user.id).await?;
        }
        self.check().await?;
        let shared = self.shared().await?;
        self.take_steps().await?;
        let changes = self.changes(user, shared);
        self.cleared.limits().check(changes.total_rows())?;
        self.prove(&changes).await?;
        Ok(changes)
    }

    fn renderer(&self) -> Renderer<'_> {
        Renderer::new(self.transaction.dialect, self.plan, &self.sizes)
    }

    /// Looks the root up; nothing when it may be missing and is.
    async fn find_user(&mut self) -> Result<Option<UserFacts>, Error> {
        let users = self.plan.model().users();
        let dialect = self.transaction.dialect;
        let table = self.plan.schema().table(users.table);
        let (field_name, asked, column) = match &self.request.user {
            UserSelector::Id(id) => ("id", id, users.key),
            UserSelector::Email(email) => ("email", email, users.email),
        };
        let column = table.column(column);
        let name = |id| dialect.quote(&table.column(id).name);
        let text = |id| dialect.text(table.column(id), &name(id));
        let sql = format!(
            "SELECT {}, {} FROM {} WHERE {} = {}",
            text(users.key),
            text(users.email),
            dialect.table(&table.name),
            dialect.quote(&column.name),
            dialect.parameter(1, Some(column)),
        );
        let statement = Statement::new(sql, vec![asked.clone()]);
        let rows = self
            .transaction
            .query("looking the user up", &statement)
            .await?;
        // The database may compare more kindly than we do: by a collation
        // that ignores case, or as numbers. Only the exact text counts.
        let mut found: Vec<UserFacts> = rows
            .iter()
            .map(|row| UserFacts {
                id: field(row, 0).to_owned(),
                email: row.get(1).cloned().flatten(),
            })
            .filter(|user| match &self.request.user {
                UserSelector::Id(id) => user.id == *id,
                UserSelector::Email(email) => user.email.as_ref() == Some(email),
            })
            .collect();
        match (found.pop(), found.len()) {
            (Some(user), 0) => Ok(Some(user)),
            (None, _) if self.request.allow_missing => Ok(None),
            (None, _) => Err(Error::UserNotFound {
                field: field_name,
                value: asked.clone(),
            }),
            (Some(_), others) => Err(Error::UserAmbiguous {
                field: field_name,
                value: asked.clone(),
                count: others + 1,
            }),
        }
    }

    /// Finds the rows of sets that lead into one another.
    async fn find(&mut self, group: &Group, root: &str) -> Result<(), Error> {
        let inside = |path: &&Path| group.sets.contains(&path.from);
        for &id in &group.sets {
            let set = self.plan.set(id);
            let outer: Vec<Path> = set.paths.iter().filter(|p| !inside(p)).copied().collect();
            let fill = self.renderer().fill(id, &outer);
            if set.is_root || fill.is_some() || group.recursive {
                let create = self.renderer().create(id);
                self.transaction.run("finding rows", &create).await?;
                self.made.push(id);
            }
            if set.is_root {
                let statement = self.renderer().fill_root(id, root);
                self.sizes[id.index()] += self.transaction.run("finding rows", &statement).await?;
            }
            if let Some(statement) = fill {
                self.sizes[id.index()] += self.transaction.run("finding rows", &statement).await?;
            }
        }
        if group.recursive {
            self.find_recursively(group).await?;
        }
        Ok(())
    }

    /// Follows the paths inside a group until no round finds anything new.
    async fn find_recursively(&mut self, group: &Group) -> Result<(), Error> {
        let mut last: BTreeMap<SetId, u64> = group
            .sets
            .iter()
            .map(|&id| (id, self.sizes[id.index()]))
            .collect();
        for round in 1.. {
            let mut found = BTreeMap::new();
            for &id in &group.sets {
                let fresh = |path: &&Path| last.get(&path.from).is_some_and(|&rows| rows > 0);
                let set = self.plan.set(id);
                let paths: Vec<Path> = set.paths.iter().filter(fresh).copied().collect();
                if paths.is_empty() {
                    continue;
                }
                let statement = self.renderer().extend(id, &paths, round);
                let rows = self.transaction.run("finding rows", &statement).await?;
                self.sizes[id.index()] += rows;
                found.insert(id, rows);
            }
            if found.values().all(|&rows| rows == 0) {
                break;
            }
            last = found;
        }
        Ok(())
    }

    /// Refuses when rows that stay refer to rows that go and may not be
    /// changed; and before anything is changed, when too many rows would go.
    async fn check(&mut self) -> Result<(), Error> {
        let mut blocking = Vec::new();
        for check in self.plan.checks() {
            let Some(statement) = self.renderer().check(check) else {
                continue;
            };
            let rows = self
                .transaction
                .count("checking references", &statement)
                .await?;
            if rows > 0 {
                blocking.push((self.plan.schema().describe(check.foreign_key), rows));
            }
        }
        if !blocking.is_empty() {
            return Err(blocked(blocking).into());
        }
        let doomed = |step: &Step| match step {
            Step::Delete(step) => step.sets.iter().map(|id| self.sizes[id.index()]).sum(),
            Step::Restore(_) | Step::Detach(_) => 0,
        };
        let rows: u64 = self.plan.steps().iter().map(doomed).sum();
        Ok(self.cleared.limits().check(rows)?)
    }

    async fn shared(&mut self) -> Result<Vec<SharedRows>, Error> {
        let mut shared = Vec::new();
        for share in self.plan.shares() {
            let Some(statement) = self.renderer().share(share) else {
                continue;
            };
            let rows = self
                .transaction
                .count("counting shared rows", &statement)
                .await?;
            if rows > 0 {
                let table = self.plan.schema().table(self.plan.set(share.set).table);
                shared.push(SharedRows {
                    table: table.name.to_string(),
                    rows,
                });
            }
        }
        Ok(shared)
    }

    async fn take_steps(&mut self) -> Result<(), Error> {
        let overlaps = self.overlaps().await?;
        for (number, step) in (1..).zip(self.plan.steps()) {
            let title = self.plan.title(step);
            (self.progress)(Progress::StepStarted {
                step: number,
                title: title.clone(),
            });
            let rows = match step {
                Step::Restore(step) => {
                    let statement = self.renderer().restore(step);
                    let rows = self.change(&title, statement).await?;
                    self.count(self.plan.set(step.set).table).restored += rows;
                    rows
                }
                Step::Detach(step) => {
                    let statement = self.renderer().detach(step);
                    let rows = self.change(&title, statement).await?;
                    let restored = overlaps.get(&step.table).copied().unwrap_or(0);
                    self.count(step.table).detached += rows.saturating_sub(restored);
                    rows
                }
                Step::Delete(step) => self.delete(&title, step).await?,
            };
            (self.progress)(Progress::StepFinished { step: number, rows });
        }
        Ok(())
    }

    /// The rows that are both restored and detached, by table: they count as
    /// restored. Asked before either has happened.
    async fn overlaps(&mut self) -> Result<BTreeMap<TableId, u64>, Error> {
        let mut overlaps = BTreeMap::new();
        for restore in self.plan.steps() {
            for detach in self.plan.steps() {
                if let (Step::Restore(restore), Step::Detach(detach)) = (restore, detach)
                    && self.plan.set(restore.set).table == detach.table
                    && let Some(statement) = self.renderer().overlap(restore, detach)
                {
                    let rows = self.transaction.count("counting rows", &statement).await?;
                    overlaps.insert(detach.table, rows);
                }
            }
        }
        Ok(overlaps)
    }

    async fn change(&mut self, title: &str, statement: Option<Statement>) -> Result<u64, Error> {
        match statement {
            Some(statement) => self.transaction.run(title, &statement).await,
            None => Ok(0),
        }
    }

    /// Deletes the sets of a step and verifies that their rows are gone: a
    /// trigger or a rule of the database can keep them silently.
    async fn delete(&mut self, title: &str, step: &Delete) -> Result<u64, Error> {
        for cut in &step.cuts {
            let child = self.plan.schema().foreign_key(cut.foreign_key).child;
            for &id in step
                .sets
                .iter()
                .filter(|&&id| self.plan.set(id).table == child)
            {
                let statement = self.renderer().cut(cut, id);
                self.change(title, statement).await?;
            }
        }
        let mut incomplete = Vec::new();
        let mut total = 0;
        for &id in &step.sets {
            let statement = self.renderer().delete(id);
            let rows = self.change(title, statement).await?;
            let expected = self.sizes[id.index()];
            // Fewer is not wrong yet: a cascade inside the table takes rows
            // that are not counted as deleted by the statement.
            if rows < expected {
                incomplete.push(id);
            }
            self.count(self.plan.set(id).table).deleted += expected;
            total += expected;
        }
        for id in incomplete {
            let statement = self.renderer().remaining(id);
            let rows = self.transaction.count(title, &statement).await?;
            if rows > 0 {
                let table = self.plan.schema().table(self.plan.set(id).table);
                return Err(Error::Violation {
                    step: title.to_owned(),
                    detail: format!(
                        "{rows} rows of {} are still there after their deletion: \
                         a trigger or a rule keeps them",
                        table.name
                    ),
                });
            }
        }
        Ok(total)
    }

    fn count(&mut self, table: TableId) -> &mut TableCounts {
        let name = &self.plan.schema().table(table).name;
        self.counts.entry(table).or_insert_with(|| TableCounts {
            table: name.to_string(),
            deleted: 0,
            restored: 0,
            detached: 0,
        })
    }

    fn changes(&mut self, user: UserFacts, shared: Vec<SharedRows>) -> Changes {
        let tables = self
            .plan
            .changed_tables()
            .iter()
            .filter_map(|table| self.counts.remove(table))
            .filter(|counts| counts.deleted + counts.restored + counts.detached > 0)
            .collect();
        Changes {
            tables,
            shared,
            users: vec![User {
                id: user.id,
                email: user.email.unwrap_or_default(),
            }],
            user_count: 1,
            warnings: Vec::new(),
        }
    }

    /// Writes the proof of the commit and takes our tables of sets away.
    async fn prove(&mut self, changes: &Changes) -> Result<(), Error> {
        let result =
            serde_json::to_string(changes).map_err(|error| Error::Unexpected(error.to_string()))?;
        let proof = armed::commit_proof(
            self.transaction.dialect,
            self.request.operation,
            self.request.started,
            result,
        );
        self.transaction.run("writing the proof", &proof).await?;
        for id in std::mem::take(&mut self.made) {
            let statement = self.renderer().discard(id);
            self.transaction.run("cleaning up", &statement).await?;
        }
        Ok(())
    }
}

/// What the guards saw is read again on the connection and in the transaction
/// of the change; any difference ends the operation.
pub(super) async fn recheck<T>(
    transaction: &mut Transaction<'_>,
    cleared: &Cleared<T>,
    fingerprint: &str,
) -> Result<(), Error> {
    let dialect = transaction.dialect;
    let seen = armed::seen(transaction.session(), dialect).await?;
    if seen.markers != cleared.seen().markers {
        return Err(Error::Changed("the marker"));
    }
    if seen != *cleared.seen() {
        return Err(Error::Changed("the database"));
    }
    let question = Statement::plain(dialect.catalogue().fingerprint);
    let now = transaction.session().text(&question).await?;
    if now != fingerprint {
        return Err(Error::Changed("the schema"));
    }
    Ok(())
}

fn blocked(references: Vec<(String, u64)>) -> Refusal {
    let list: Vec<String> = references
        .iter()
        .map(|(reference, rows)| format!("{reference} ({rows} rows)"))
        .collect();
    Refusal {
        layer: Layer::References,
        reason: Reason::BlockedByReferences,
        message: format!(
            "rows that may not be touched refer to rows that would go: {}",
            list.join(", ")
        ),
        fix: "say under [references] of the policy what happens to them, or take a level that \
              reaches them"
            .to_owned(),
        observed: references
            .into_iter()
            .map(|(reference, rows)| (reference, rows.to_string()))
            .collect(),
    }
}
