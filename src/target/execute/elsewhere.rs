//! Writes down what goes with the rows outside the database, while they are
//! still there to be read.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Execution;
use crate::{
    dialect::{Row, Statement},
    effect::{Effect, PendingEffect},
    guard::{Layer, Reason, Refusal},
    operation::{Changes, Mode, counted},
    plan::{EffectRule, Plan, Role, SetId},
    schema::{ColumnId, TableId},
    target::{Error, field},
};

const STEP: &str = "writing effects down";

/// Users whose effects stand in one row of a bulk operation.
const USERS: usize = 500;
/// Rows that are written in one statement.
const ROWS: usize = 50;

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

impl Execution<'_> {
    /// Writes down what goes with the rows; in a dry run only tells it.
    pub(super) async fn write_effects(
        &mut self,
        changes: &mut Changes,
    ) -> Result<Vec<Effect>, Error> {
        let rules = self.request.elsewhere.wanted(self.plan);
        let rules: Vec<EffectRule> = rules.cloned().collect();
        if rules.is_empty() {
            return Ok(Vec::new());
        }
        let mut pending = self.of_users(&rules).await?;
        pending.extend(self.of_rows(&rules, changes).await?);
        let told = pending.iter().map(|p| p.effects.len() as u64).sum();
        match self.request.mode {
            Mode::DryRun => Ok(pending.into_iter().flat_map(|p| p.effects).collect()),
            Mode::Execute => {
                self.insert(&pending).await?;
                changes.effects.pending = told;
                Ok(Vec::new())
            }
        }
    }

    /// The set of a table's rows that are in scope.
    fn set_of(&self, table: TableId, only_doomed: bool) -> Option<SetId> {
        let mut sets = self.plan.sets();
        let found = sets.find(|(id, set)| {
            let role = match set.role {
                Role::Doomed => true,
                Role::Owned => !only_doomed,
                Role::Kept => false,
            };
            set.table == table && role && self.sizes[id.index()] > 0
        });
        found.map(|(id, _)| id)
    }

    /// What goes with each user in scope.
    async fn of_users(&mut self, rules: &[EffectRule]) -> Result<Vec<PendingEffect>, Error> {
        let users = self.plan.model().users();
        let (table, key, email) = (users.table, users.key, users.email);
        let mut columns: Vec<ColumnId> = vec![key, email];
        columns.extend(rules.iter().flat_map(EffectRule::columns));
        let rows = match self.set_of(table, false) {
            Some(set) => {
                let statement = self.renderer().values(set, &columns);
                self.transaction.query(STEP, &statement).await?
            }
            // What takes everything takes nobody in particular.
            None if rules.iter().all(|rule| rule.columns().next().is_none()) => {
                vec![vec![None; columns.len()]]
            }
            None => Vec::new(),
        };
        let mut pending = Vec::new();
        for part in rows.chunks(USERS) {
            let subjects = part.iter().flat_map(|row| row.iter().take(2).flatten());
            let subjects: Vec<String> = subjects.cloned().collect();
            let mut places: BTreeMap<Option<String>, Vec<Effect>> = BTreeMap::new();
            for row in part {
                for rule in rules {
                    if let Some(effect) = rule.bind(&|column| value(row, &columns, column)) {
                        let place = self.place(rule)?;
                        places.entry(place).or_default().push(effect);
                    }
                }
            }
            pending.extend(places.into_iter().map(|(root_id, effects)| PendingEffect {
                id: Uuid::new_v4().to_string(),
                root_id,
                subjects: subjects.clone(),
                effects,
            }));
        }
        Ok(pending)
    }

    /// The files that rows which go name, and no row that stays.
    async fn of_rows(
        &mut self,
        rules: &[EffectRule],
        changes: &mut Changes,
    ) -> Result<Vec<PendingEffect>, Error> {
        let mut pending = Vec::new();
        for rule in rules {
            let EffectRule::FilesOf {
                root,
                table,
                column,
            } = rule
            else {
                continue;
            };
            let Some(set) = self.set_of(*table, true) else {
                continue;
            };
            let shared = self.renderer().shared_values(set, *column);
            let shared = self.transaction.query(STEP, &shared).await?;
            let shared: Vec<&str> = shared.iter().map(|row| field(row, 0)).collect();
            if !shared.is_empty() {
                let name = &self.plan.schema().table(*table).name;
                let files = counted(shared.len() as u64, "file");
                changes.warnings.push(format!(
                    "{files} of {name} stay: rows that stay name them as well"
                ));
            }
            let values = self.renderer().distinct_values(set, *column);
            let found = self.transaction.query(STEP, &values).await?;
            let paths = found.iter().map(|row| field(row, 0));
            let paths = paths.filter(|path| !path.is_empty() && !shared.contains(path));
            let effects: Vec<Effect> = paths
                .map(|path| Effect::File {
                    root: root.clone(),
                    path: path.to_owned(),
                })
                .collect();
            let root_id = self.place(rule)?;
            pending.extend(effects.chunks(USERS).map(|part| PendingEffect {
                id: Uuid::new_v4().to_string(),
                root_id: root_id.clone(),
                subjects: Vec::new(),
                effects: part.to_vec(),
            }));
        }
        Ok(pending)
    }

    /// The id of the root that a rule is about; nothing for Redis.
    fn place(&self, rule: &EffectRule) -> Result<Option<String>, Error> {
        let Some(root) = rule.root() else {
            return Ok(None);
        };
        match self.request.elsewhere.roots.get(root) {
            Some(id) => Ok(Some(id.clone())),
            None => Err(Refusal {
                layer: Layer::Marker,
                reason: Reason::TargetNotArmed,
                message: format!("the directory of root {root} is not there or was not marked"),
                fix: "make the directory, then run `resetd arm`, which marks it".to_owned(),
                observed: vec![("root".to_owned(), root.to_owned())],
            }
            .into()),
        }
    }

    async fn insert(&mut self, pending: &[PendingEffect]) -> Result<(), Error> {
        let dialect = self.transaction.dialect;
        let (operation, at) = (self.request.operation, self.request.started);
        let json = |value: &[String]| serde_json::to_string(value);
        for part in pending.chunks(ROWS) {
            let mut values = Vec::new();
            let mut rows = Vec::new();
            for pending in part {
                let unencodable = |error: serde_json::Error| Error::Unexpected(error.to_string());
                let effects = serde_json::to_string(&pending.effects).map_err(unencodable)?;
                let subjects = json(&pending.subjects).map_err(unencodable)?;
                let mut value = |text: String| {
                    values.push(text);
                    dialect.parameter(values.len(), None)
                };
                let (id, operation) = (value(pending.id.clone()), value(operation.to_string()));
                let root = match &pending.root_id {
                    Some(root) => value(root.clone()),
                    None => "NULL".to_owned(),
                };
                let (subjects, effects) = (value(subjects), value(effects));
                let at = value(at.to_string());
                rows.push(format!(
                    "({id}, {operation}, {root}, {subjects}, {effects}, 'pending', {at})"
                ));
            }
            let sql = format!(
                "INSERT INTO {} (id, operation_id, root_id, subjects, effects, state, created_at) \
                 VALUES {}",
                dialect.own_table("effect"),
                rows.join(", "),
            );
            let insert = Statement::new(sql, values);
            self.transaction.run(STEP, &insert).await?;
        }
        Ok(())
    }
}

fn value(row: &Row, columns: &[ColumnId], column: ColumnId) -> Option<String> {
    let place = columns.iter().position(|&known| known == column)?;
    row.get(place).cloned().flatten()
}
