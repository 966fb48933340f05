//! Binds what goes outside the database to the rows that are about to go, and
//! writes it down in the same transaction: committed with them, or not at all.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{Execution, Start};
use crate::{
    dialect::{Going, Row, Statement},
    effect::Effect,
    failpoint,
    guard::{Layer, Reason, Refusal, UserFacts},
    operation::{Changes, Mode, counted},
    plan::{Bound, EffectRule, Plan, Source, What},
    schema::{ColumnId, TableId},
    target::{Error, pending::EVERYBODY},
};

const STEP: &str = "writing down what goes outside the database";

/// Users, or effects of other rows, that are written down together.
const TOGETHER: usize = 500;

/// What a server has besides the database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// Whether there is a Redis.
    pub has_redis: bool,
    /// The roots that are there, by name, with their ids.
    pub roots: BTreeMap<String, String>,
}

impl Elsewhere {
    /// The rules that a plan has for what is there.
    pub(super) fn wanted<'p>(&self, plan: &'p Plan) -> impl Iterator<Item = &'p EffectRule> {
        let has_redis = self.has_redis;
        let rules = plan.model().effects(plan.scope()).iter();
        rules.filter(move |rule| rule.root().is_some() || has_redis)
    }
}

/// What was bound, and what could not be.
#[derive(Debug, Default)]
pub(super) struct BoundEffects {
    /// In a dry run, all that would go.
    pub(super) effects: Vec<Effect>,
    written: u64,
    astray: u64,
    shared: u64,
}

/// True when key and e-mail of the users are all that is needed.
pub(super) fn is_of_users_alone(elsewhere: &Elsewhere, plan: &Plan) -> bool {
    let (key, email) = (plan.model().users().key, plan.model().users().email);
    elsewhere.wanted(plan).all(|rule| match of_users(rule) {
        Some(columns) => columns.iter().all(|&id| id == key || id == email),
        None => rule.source == Source::Nothing,
    })
}

/// The columns of the users that a rule takes its values from. Those that
/// name files are looked at with all rows of the table, as others that stay
/// can name the same ones.
fn of_users(rule: &EffectRule) -> Option<&[ColumnId]> {
    match (&rule.source, &rule.what) {
        (Source::Users(_), What::Named { .. }) | (Source::Nothing | Source::Rows(..), _) => None,
        (Source::Users(columns), _) => Some(columns),
    }
}

impl Execution<'_> {
    /// Binds and writes down what goes with the rows that were found.
    pub(super) async fn write_effects(&mut self, changes: &mut Changes) -> Result<(), Error> {
        let rules: Vec<EffectRule> = self.request.elsewhere.wanted(self.plan).cloned().collect();
        self.tell_without_redis(changes);
        if rules.is_empty() {
            return Ok(());
        }
        self.check_roots(&rules)?;
        let subjects = self.bind_users(&rules).await?;
        self.bind_rows(&rules, &subjects).await?;
        let constant = match self.request.start {
            Start::Everything { .. } | Start::Recipe { .. } => vec![EVERYBODY.to_owned()],
            _ => Vec::new(),
        };
        let plain = rules.iter().filter(|s| s.source == Source::Nothing);
        let mut batch = Batch::default();
        for rule in plain {
            self.bind(rule, &[], &mut batch);
        }
        self.write(&constant, batch).await?;
        self.tell(changes);
        Ok(())
    }

    /// The same for one user who was found already, where nothing more is
    /// needed.
    pub(super) async fn write_effects_of(
        &mut self,
        user: &UserFacts,
        changes: &mut Changes,
    ) -> Result<(), Error> {
        let rules: Vec<EffectRule> = self.request.elsewhere.wanted(self.plan).cloned().collect();
        self.tell_without_redis(changes);
        if rules.is_empty() {
            return Ok(());
        }
        self.check_roots(&rules)?;
        let key = self.plan.model().users().key;
        let mut batch = Batch::default();
        for rule in &rules {
            let columns = of_users(rule).unwrap_or_default();
            let value = |&column: &ColumnId| match column == key {
                true => Some(user.id.clone()),
                false => user.email.clone(),
            };
            let values: Vec<_> = columns.iter().map(value).collect();
            self.bind(rule, &values, &mut batch);
        }
        let subjects = [Some(user.id.clone()), user.email.clone()];
        let subjects: Vec<String> = subjects.into_iter().flatten().collect();
        self.write(&subjects, batch).await?;
        self.tell(changes);
        Ok(())
    }

    /// A root that this server cannot see, or that nobody has marked, is no
    /// place to promise removals in.
    fn check_roots(&self, rules: &[EffectRule]) -> Result<(), Error> {
        for root in rules.iter().filter_map(|rule| rule.root()) {
            if !self.request.elsewhere.roots.contains_key(root) {
                return Err(Error::from(Refusal {
                    layer: Layer::Marker,
                    reason: Reason::TargetNotArmed,
                    message: format!("file root {root} is not there, or was not armed"),
                    fix: "make the directory of the root and run `resetd arm`, which writes \
                          .resetd-root into it"
                        .to_owned(),
                    observed: vec![("root".to_owned(), root.to_owned())],
                }));
            }
        }
        Ok(())
    }

    /// Binds what takes its values from the users, page by page; gives the
    /// users' keys and e-mails for what takes its values from other rows.
    async fn bind_users(&mut self, rules: &[EffectRule]) -> Result<Vec<String>, Error> {
        let Some(going) = self.renderer().users_in_scope() else {
            return Ok(Vec::new());
        };
        let is_all = matches!(self.request.start, Start::Everything { .. });
        let columns: BTreeSet<ColumnId> = rules
            .iter()
            .filter_map(of_users)
            .flatten()
            .copied()
            .collect();
        if is_all && columns.is_empty() {
            return Ok(vec![EVERYBODY.to_owned()]);
        }
        let columns: Vec<ColumnId> = columns.into_iter().collect();
        let mut after: Option<String> = None;
        let mut everybody = Vec::new();
        for page in 0_u64.. {
            let statement =
                self.renderer()
                    .user_values(going, &columns, after.as_deref(), TOGETHER);
            let rows = self.transaction.query(STEP, &statement).await?;
            let mut batch = Batch::default();
            let mut subjects = Vec::new();
            for row in &rows {
                let known = row.iter().take(2).flatten();
                subjects.extend(known.filter(|text| !text.is_empty()).cloned());
                for rule in rules {
                    if let Some(wanted) = of_users(rule) {
                        let values = picked(row, &columns, wanted);
                        self.bind(rule, &values, &mut batch);
                    }
                }
            }
            self.write(&subjects, batch).await?;
            match (page, rows.len() < TOGETHER) {
                (0, true) => everybody = subjects,
                (0, false) => everybody = vec![EVERYBODY.to_owned()],
                _ => {}
            }
            after = rows.last().and_then(|row| row.first().cloned().flatten());
            if rows.len() < TOGETHER || after.is_none() {
                break;
            }
            // Without a column of the users there is nothing more to read.
            if columns.is_empty() {
                break;
            }
        }
        Ok(everybody)
    }

    /// Binds what takes its values from other rows that go.
    async fn bind_rows(&mut self, rules: &[EffectRule], subjects: &[String]) -> Result<(), Error> {
        for rule in rules {
            let (table, columns, going) = match &rule.source {
                Source::Rows(table, columns) => (*table, columns, self.renderer().going(*table)),
                Source::Users(columns) if matches!(rule.what, What::Named { .. }) => {
                    let users = self.plan.model().users().table;
                    (users, columns, self.renderer().users_in_scope())
                }
                Source::Nothing | Source::Users(_) => continue,
            };
            let Some(going) = going else {
                continue;
            };
            let kept = self.staying(rule, table, going, columns).await?;
            let statement = self.renderer().values(table, going, columns);
            let rows = self.transaction.query(STEP, &statement).await?;
            let mut batch = Batch::default();
            let mut size = 0;
            for row in rows {
                if row.first().is_some_and(|value| kept.contains(value)) {
                    self.bound.shared += 1;
                    continue;
                }
                self.bind(rule, &row, &mut batch);
                size += 1;
                if size == TOGETHER {
                    self.write(subjects, std::mem::take(&mut batch)).await?;
                    size = 0;
                }
            }
            self.write(subjects, batch).await?;
        }
        Ok(())
    }

    /// The files that rows that stay name as well.
    async fn staying(
        &mut self,
        rule: &EffectRule,
        table: TableId,
        going: Going,
        columns: &[ColumnId],
    ) -> Result<BTreeSet<Option<String>>, Error> {
        let (What::Named { .. }, Some(&column)) = (&rule.what, columns.first()) else {
            return Ok(BTreeSet::new());
        };
        let statement = self.renderer().values_that_stay(table, going, column);
        let rows = self.transaction.query(STEP, &statement).await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| row.into_iter().next())
            .collect())
    }

    fn bind(&mut self, rule: &EffectRule, values: &[Option<String>], batch: &mut Batch) {
        match rule.bind(values) {
            Bound::Effect(effect) => {
                let root = rule.root().map(str::to_owned);
                batch.0.entry(root).or_default().insert(effect);
            }
            Bound::Nothing => {}
            Bound::Astray => self.bound.astray += 1,
        }
    }

    /// Writes effects down as pending: those in Redis together, and those
    /// below each root.
    async fn write(&mut self, subjects: &[String], batch: Batch) -> Result<(), Error> {
        for (root, effects) in batch.0 {
            let effects: Vec<Effect> = effects.into_iter().collect();
            self.bound.written += effects.len() as u64;
            if self.request.mode == Mode::DryRun {
                self.bound.effects.extend(effects);
                continue;
            }
            let root = root.and_then(|root| self.request.elsewhere.roots.get(&root).cloned());
            let statement = self.pending(root, subjects, &effects)?;
            if !failpoint::skips("pending") {
                self.transaction.run(STEP, &statement).await?;
            }
        }
        Ok(())
    }

    fn pending(
        &self,
        root: Option<String>,
        subjects: &[String],
        effects: &[Effect],
    ) -> Result<Statement, Error> {
        let unexpected = |error: serde_json::Error| Error::Unexpected(error.to_string());
        let mut columns = vec!["id", "operation_id", "subjects", "effects", "created_at"];
        let mut values = vec![
            Uuid::new_v4().to_string(),
            self.request.operation.to_string(),
            serde_json::to_string(subjects).map_err(unexpected)?,
            serde_json::to_string(effects).map_err(unexpected)?,
            self.request.started.to_string(),
        ];
        if let Some(root) = root {
            columns.push("root_id");
            values.push(root);
        }
        let dialect = self.transaction.dialect;
        let parameters: Vec<String> = (1..=values.len())
            .map(|position| dialect.parameter(position, None))
            .collect();
        let sql = format!(
            "INSERT INTO {} (state, {}) VALUES ('pending', {})",
            dialect.own_table("effect"),
            columns.join(", "),
            parameters.join(", "),
        );
        Ok(Statement::new(sql, values))
    }

    /// A policy can be that of several targets, of which some have no Redis.
    fn tell_without_redis(&self, changes: &mut Changes) {
        let rules = self.plan.model().effects(self.plan.scope());
        let is_meant = rules.iter().any(|rule| rule.root().is_none());
        if is_meant && !self.request.elsewhere.has_redis {
            let warning = "Redis keys stay: the policy names some, but no Redis is configured";
            changes.warnings.push(warning.to_owned());
        }
    }

    fn tell(&self, changes: &mut Changes) {
        changes.effects.pending = self.bound.written;
        if self.bound.shared > 0 {
            changes.warnings.push(format!(
                "{} stayed, as rows that stay name the same path",
                counted(self.bound.shared, "file")
            ));
        }
        if self.bound.astray > 0 {
            changes.warnings.push(format!(
                "{} left out: a value in the path would lead elsewhere",
                counted(self.bound.astray, "path")
            ));
        }
    }
}

/// Effects by the name of their root; those in Redis have none.
#[derive(Debug, Default)]
struct Batch(BTreeMap<Option<String>, BTreeSet<Effect>>);

/// The values of these columns in a row that begins with key and e-mail.
fn picked(row: &Row, columns: &[ColumnId], wanted: &[ColumnId]) -> Vec<Option<String>> {
    let value = |id: &ColumnId| {
        let place = columns.iter().position(|column| column == id)?;
        row.get(place + 2).cloned().flatten()
    };
    wanted.iter().map(value).collect()
}
