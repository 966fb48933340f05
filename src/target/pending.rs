//! The effects that are written down in the target: claimed under a lease,
//! and ended by whoever holds it.
//!
//! They were inserted in the transactions that deleted the rows. Any server
//! of the target may claim them; a lease that runs out is anybody's again.
//! Time is the database's own, so that servers need not agree on it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::{Deadline, Error, Known, Target, field, transaction::Transaction};
use crate::{
    dialect::{Dialect, Row, Statement},
    effect::{Effect, PendingEffect},
    failpoint,
    operation::{EffectCounts, OperationId},
};

/// Effects that a server has claimed, and the operation that they follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// What is to be done.
    pub pending: PendingEffect,
    /// The operation whose rows they belonged to.
    pub operation: OperationId,
    /// How often it was tried before.
    pub attempts: u32,
    /// What earlier attempts removed.
    pub counts: EffectCounts,
}

/// Whose effects are claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Those of one operation, whenever they are due.
    Operation(OperationId),
    /// Those of any operation that are due.
    Anybody,
}

/// What came of claimed effects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// All were applied.
    Done,
    /// Some are left, and are tried again after this pause.
    Retry(Vec<Effect>, Duration, String),
    /// Some are left that cannot be applied as things are.
    Attention(Vec<Effect>, String),
}

/// How much is left to be done outside a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Effects that wait for their turn.
    pub pending: u64,
    /// Effects that somebody has to look at.
    pub attention: u64,
    /// The latest error of those, for people to read.
    pub last_error: Option<String>,
}

const STEP: &str = "claiming effects";

/// Stands for every user, where effects can be about any of them: those of
/// rows of many users, or of everything.
pub(super) const EVERYBODY: &str = "*";

impl Target {
    /// Claims effects for this long: those in Redis first, if wanted, then
    /// files, as far as they are under one of these roots.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached or is busy.
    pub async fn claim(
        &self,
        server: &str,
        whose: Whose,
        roots: &BTreeMap<String, String>,
        with_redis: bool,
        lease: Duration,
        most: usize,
    ) -> Result<Vec<Claimed>, Error> {
        let question = claimable(self.dialect.as_ref(), whose, roots, with_redis, most);
        // Mostly there is nothing, and then nobody is kept from writing.
        let mut session = self.session().await?;
        let is_idle = session.rows(&question).await?.is_empty();
        drop(session);
        if is_idle {
            return Ok(Vec::new());
        }
        let mut transaction = self.begin(Deadline::default()).await?;
        match claim(&mut transaction, server, &question, lease).await {
            Ok(claimed) => {
                transaction.commit().await?;
                Ok(claimed)
            }
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        }
    }

    /// Ends a claim. False when the lease had run out and somebody else has
    /// it: then nothing is written, as their word counts.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached or is busy.
    pub async fn settle(
        &self,
        server: &str,
        claimed: &Claimed,
        counts: EffectCounts,
        settled: &Settled,
        at: Timestamp,
    ) -> Result<bool, Error> {
        let mut transaction = self.begin(Deadline::default()).await?;
        let statement = ending(transaction.dialect, server, claimed, counts, settled, at);
        match transaction.run("ending effects", &statement).await {
            Ok(rows) => {
                transaction.commit().await?;
                Ok(rows > 0)
            }
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        }
    }

    /// Gives up what these servers have claimed, so that another one need not
    /// wait for the leases to run out.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached or is busy.
    pub async fn release(&self, servers: &[String]) -> Result<u64, Error> {
        if servers.is_empty() {
            return Ok(0);
        }
        let dialect = self.dialect.as_ref();
        let table = dialect.own_table("effect");
        let parameters: Vec<String> = (1..=servers.len())
            .map(|position| dialect.parameter(position, None))
            .collect();
        let theirs = format!(
            "state = 'pending' AND leased_by IN ({})",
            parameters.join(", ")
        );
        let question = format!("SELECT id FROM {table} WHERE {theirs} LIMIT 1");
        let question = Statement::new(question, servers.to_vec());
        let mut session = self.session().await?;
        let is_none = session.rows(&question).await?.is_empty();
        drop(session);
        if is_none {
            return Ok(0);
        }
        let sql =
            format!("UPDATE {table} SET leased_by = NULL, leased_until_ms = NULL WHERE {theirs}");
        self.write(&Statement::new(sql, servers.to_vec())).await
    }

    /// How much is left to be done.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn backlog(&self) -> Result<Backlog, Error> {
        let mut session = self.session().await?;
        let dialect = self.dialect.as_ref();
        let sql = format!(
            "SELECT state, effects, last_error FROM {} WHERE state <> 'done' \
             ORDER BY created_at, id",
            dialect.own_table("effect")
        );
        let mut backlog = Backlog::default();
        for row in session.rows(&Statement::plain(sql)).await? {
            let effects = decoded::<Vec<Effect>>(field(&row, 1))?.len() as u64;
            match field(&row, 0) {
                "attention" => {
                    backlog.attention += effects;
                    backlog.last_error = row.get(2).cloned().flatten();
                }
                _ => backlog.pending += effects,
            }
        }
        Ok(backlog)
    }

    /// The effects of one operation that are not done, and what those that
    /// are done have removed.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn removed(&self, operation: OperationId) -> Result<EffectCounts, Error> {
        let mut session = self.session().await?;
        let dialect = self.dialect.as_ref();
        let sql = format!(
            "SELECT state, effects, counts FROM {} WHERE operation_id = {}",
            dialect.own_table("effect"),
            dialect.parameter(1, None),
        );
        let statement = Statement::new(sql, vec![operation.to_string()]);
        let mut removed = EffectCounts::default();
        for row in session.rows(&statement).await? {
            removed += counted(&row, 2)?;
            if field(&row, 0) != "done" {
                removed.pending += decoded::<Vec<Effect>>(field(&row, 1))?.len() as u64;
            }
        }
        Ok(removed)
    }

    /// Whether a user of one of these keys or e-mails is there; true as well
    /// as long as the schema was not read.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn is_known(&self, subjects: &[String]) -> Result<bool, Error> {
        let Some(Known { model, .. }) = self.known() else {
            return Ok(true);
        };
        if subjects.iter().any(|subject| subject == EVERYBODY) {
            return Ok(true);
        }
        let (dialect, users) = (self.dialect.as_ref(), model.users());
        let table = model.schema().table(users.table);
        let mut session = self.session().await?;
        for subject in subjects {
            for id in [users.key, users.email] {
                let column = table.column(id);
                if !dialect.accepts(column, subject) {
                    continue;
                }
                let sql = format!(
                    "SELECT '1' FROM {} WHERE {} = {} LIMIT 1",
                    dialect.rows(table),
                    dialect.quote(&column.name),
                    dialect.parameter(1, Some(column)),
                );
                let question = Statement::new(sql, vec![subject.clone()]);
                if !session.rows(&question).await?.is_empty() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Tries everything again that somebody had to look at.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached or is busy.
    pub async fn revive(&self) -> Result<u64, Error> {
        let table = self.dialect.own_table("effect");
        let sql = format!(
            "UPDATE {table} SET state = 'pending', next_attempt_ms = 0 WHERE state = 'attention'"
        );
        self.write(&Statement::plain(sql)).await
    }

    /// Forgets proofs of commits and effects that were done before a moment.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached or is busy.
    pub async fn forget(&self, before: Timestamp) -> Result<u64, Error> {
        let dialect = self.dialect.as_ref();
        let mut forgotten = 0;
        for (table, moment) in [("effect", "done_at"), ("commit", "committed_at")] {
            let sql = format!(
                "DELETE FROM {} WHERE {moment} < {}",
                dialect.own_table(table),
                dialect.parameter(1, None),
            );
            let statement = Statement::new(sql, vec![before.to_string()]);
            forgotten += self.write(&statement).await?;
        }
        Ok(forgotten)
    }

    /// One statement in a transaction of its own.
    pub(super) async fn write(&self, statement: &Statement) -> Result<u64, Error> {
        let mut transaction = self.begin(Deadline::default()).await?;
        match transaction.run("keeping books", statement).await {
            Ok(rows) => {
                transaction.commit().await?;
                Ok(rows)
            }
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        }
    }
}

/// Which effects may be claimed now.
fn claimable(
    dialect: &dyn Dialect,
    whose: Whose,
    roots: &BTreeMap<String, String>,
    with_redis: bool,
    most: usize,
) -> Statement {
    let (table, now) = (dialect.own_table("effect"), dialect.now_ms());
    let mut values = Vec::new();
    let mut value = |text: &str| {
        values.push(text.to_owned());
        dialect.parameter(values.len(), None)
    };
    let due = match whose {
        Whose::Operation(operation) => format!("operation_id = {}", value(&operation.to_string())),
        Whose::Anybody => format!("next_attempt_ms <= {now}"),
    };
    let held: Vec<String> = roots.values().map(|root| value(root)).collect();
    let files = (!held.is_empty()).then(|| format!("root_id IN ({})", held.join(", ")));
    let redis = with_redis.then(|| "root_id IS NULL".to_owned());
    let held: Vec<String> = redis.into_iter().chain(files).collect();
    let held = match held.is_empty() {
        true => "1 = 0".to_owned(),
        false => format!("({})", held.join(" OR ")),
    };
    let free = match failpoint::skips("lease") {
        true => "1 = 1".to_owned(),
        false => format!("(leased_until_ms IS NULL OR leased_until_ms < {now})"),
    };
    let sql = format!(
        "SELECT id, operation_id, root_id, subjects, effects, {}, counts FROM {table} \
         WHERE state = 'pending' AND {due} AND {held} AND {free} \
         ORDER BY CASE WHEN root_id IS NULL THEN 0 ELSE 1 END, created_at, id LIMIT {most}",
        dialect.as_text("attempts"),
    );
    Statement::new(sql, values)
}

async fn claim(
    transaction: &mut Transaction<'_>,
    server: &str,
    question: &Statement,
    lease: Duration,
) -> Result<Vec<Claimed>, Error> {
    let dialect = transaction.dialect;
    let mut question = question.clone();
    question.sql += dialect.for_update();
    let rows = transaction.query(STEP, &question).await?;
    let claimed: Vec<Claimed> = rows.iter().map(read).collect::<Result<_, _>>()?;
    for part in claimed.chunks(100) {
        let mut values = vec![server.to_owned()];
        let mut ids = Vec::new();
        for claimed in part {
            values.push(claimed.pending.id.clone());
            ids.push(dialect.parameter(values.len(), None));
        }
        let sql = format!(
            "UPDATE {} SET leased_by = {}, leased_until_ms = {} + {} WHERE id IN ({})",
            dialect.own_table("effect"),
            dialect.parameter(1, None),
            dialect.now_ms(),
            lease.as_millis(),
            ids.join(", "),
        );
        transaction.run(STEP, &Statement::new(sql, values)).await?;
    }
    Ok(claimed)
}

fn read(row: &Row) -> Result<Claimed, Error> {
    Ok(Claimed {
        operation: field(row, 1)
            .parse()
            .map_err(|_| Error::Unexpected("an effect of no operation".to_owned()))?,
        attempts: field(row, 5).parse().unwrap_or(0),
        counts: counted(row, 6)?,
        pending: PendingEffect {
            id: field(row, 0).to_owned(),
            root_id: row.get(2).cloned().flatten(),
            subjects: decoded(field(row, 3))?,
            effects: decoded(field(row, 4))?,
        },
    })
}

/// Effects that are left are all that is kept of them: what was applied is
/// never applied again.
fn ending(
    dialect: &dyn Dialect,
    server: &str,
    claimed: &Claimed,
    counts: EffectCounts,
    settled: &Settled,
    at: Timestamp,
) -> Statement {
    let now = dialect.now_ms();
    let mut total = claimed.counts;
    total += counts;
    let mut values = Vec::new();
    let mut value = |text: String| {
        values.push(text);
        dialect.parameter(values.len(), None)
    };
    let counts = value(encoded(&total));
    let change = match settled {
        Settled::Done => format!(
            "state = 'done', done_at = {}, last_error = NULL",
            value(at.to_string())
        ),
        Settled::Retry(left, pause, error) => format!(
            "effects = {}, attempts = attempts + 1, next_attempt_ms = {now} + {}, last_error = {}",
            value(encoded(left)),
            pause.as_millis(),
            value(error.clone()),
        ),
        Settled::Attention(left, error) => format!(
            "effects = {}, attempts = attempts + 1, state = 'attention', last_error = {}",
            value(encoded(left)),
            value(error.clone()),
        ),
    };
    let (id, server) = (value(claimed.pending.id.clone()), value(server.to_owned()));
    let sql = format!(
        "UPDATE {} SET counts = {counts}, {change}, leased_by = NULL, leased_until_ms = NULL \
         WHERE id = {id} AND leased_by = {server} AND state = 'pending'",
        dialect.own_table("effect"),
    );
    Statement::new(sql, values)
}

/// Whether effects of an earlier reset that name one of these keys or e-mails
/// are still to be applied.
pub(super) async fn awaited(
    transaction: &mut Transaction<'_>,
    subjects: &[&str],
) -> Result<bool, Error> {
    let dialect = transaction.dialect;
    let mut values = Vec::new();
    let mut conditions = Vec::new();
    for subject in subjects.iter().filter(|subject| !subject.is_empty()) {
        // The list is JSON, and so is what is looked for in it.
        let text = encoded(subject);
        let escaped: String = text
            .chars()
            .flat_map(|letter| match letter {
                '%' | '_' | '!' => vec!['!', letter],
                other => vec![other],
            })
            .collect();
        values.push(format!("%{escaped}%"));
        let parameter = dialect.parameter(values.len(), None);
        conditions.push(format!("subjects LIKE {parameter} ESCAPE '!'"));
    }
    if conditions.is_empty() {
        return Ok(false);
    }
    values.push(encoded(&[EVERYBODY]));
    let parameter = dialect.parameter(values.len(), None);
    conditions.push(format!("subjects = {parameter}"));
    let sql = format!(
        "SELECT id FROM {} WHERE state = 'pending' AND ({}) LIMIT 1",
        dialect.own_table("effect"),
        conditions.join(" OR "),
    );
    let statement = Statement::new(sql, values);
    let rows = transaction
        .query("looking for pending effects", &statement)
        .await?;
    Ok(!rows.is_empty())
}

fn counted(row: &Row, index: usize) -> Result<EffectCounts, Error> {
    match field(row, index) {
        "" => Ok(EffectCounts::default()),
        text => decoded(text),
    }
}

fn encoded<T: serde::Serialize + ?Sized>(value: &T) -> String {
    // Lists of texts and numbers are always encodable.
    serde_json::to_string(value).unwrap_or_default()
}

fn decoded<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text)
        .map_err(|error| Error::Unexpected(format!("an effect is not understood: {error}")))
}
