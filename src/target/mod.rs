//! The database that is reset: connects to it, reads its catalogue, and
//! carries out what was planned and cleared.
//!
//! It is the only one who knows the driver. It decides nothing: what to do
//! comes from a plan, whether it may be done from the guards.

mod account;
mod advice;
mod answers;
mod armed;
mod brake;
mod connection;
mod execute;
mod fault;
mod mariadb;
mod named;
mod pending;
mod size;
mod sqlite;
mod transaction;
mod users;
mod warm;

pub use crate::dialect::Grant;
pub use account::{Creation, NewUser};
pub use armed::{Arming, Fate, commit_proof};
pub use brake::{Brake, Permit};
pub use connection::Credentials;
pub use execute::{
    Besides, Choice, Elsewhere, Executed, NewPassword, Request, Sowing, Start, Strategy, Way, cost,
    strategy,
};
pub use fault::{Error, Fault};
pub use pending::{Backlog, Claimed, Settled, Whose};
pub use size::{Sizes, TableSize};
pub use users::UserCount;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use connection::{Pool, Session};

use crate::{
    dialect::{Dialect, Needs, Raw, Row, SeedError, SeedFile, Statement},
    guard::{Seen, Setting},
    plan::{Model, Problem},
    policy::Policy,
    schema::{ColumnId, Schema, TableId},
};

/// How long a call waits for its turn on the target's connections, and a
/// statement for another transaction's locks.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// A database that may be reset, and what is known about it.
#[derive(Debug)]
pub struct Target {
    setting: Setting,
    policy: Policy,
    credentials: Credentials,
    dialect: Box<dyn Dialect>,
    pool: tokio::sync::OnceCell<Pool>,
    model: Mutex<Option<Known>>,
    /// Which indexes were missing when it was last looked for them.
    looked: Mutex<Option<advice::Looked>>,
    /// The types of users when they were last counted; none when there were
    /// many.
    user_types: Mutex<Vec<String>>,
    /// What the database said of itself when it was last asked.
    seen: Mutex<Option<Seen>>,
    texts: execute::Texts,
}

/// The policy bound to the schema, and the indexes of that moment.
#[derive(Debug, Clone)]
struct Known {
    model: Arc<Model>,
    indexed: String,
    moment: Option<String>,
}

/// What tells one state of the catalogue from another.
#[derive(Debug)]
struct Prints {
    /// That of tables, columns and keys; it is not taken where the moment is
    /// the one that was asked about.
    fingerprint: String,
    /// That of the indexes, likewise.
    indexed: String,
    /// When they were taken, where a database can tell.
    moment: Option<String>,
}

/// What a database is when it is asked.
#[derive(Debug, Clone)]
pub struct Observation {
    /// What it says of itself, for the guards.
    pub seen: Seen,
    /// Its product and version.
    pub version: String,
}

/// What an operation is planned and judged by. It is read again inside the
/// transaction, so that it may be a little old: then it costs another try.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The policy bound to the schema.
    pub model: Arc<Model>,
    /// What the database says of itself.
    pub seen: Seen,
}

/// The moment by which an operation has to be done, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deadline(Option<Instant>);

impl Target {
    /// Describes a target; nothing is connected yet.
    #[must_use]
    pub fn new(setting: Setting, policy: Policy, credentials: Credentials) -> Self {
        let dialect = credentials.dialect();
        Self {
            setting,
            policy,
            credentials,
            dialect,
            pool: tokio::sync::OnceCell::new(),
            model: Mutex::new(None),
            looked: Mutex::new(None),
            user_types: Mutex::default(),
            seen: Mutex::new(None),
            texts: execute::Texts::default(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.setting.target
    }

    /// What is configured about it, for the guards.
    #[must_use]
    pub fn setting(&self) -> &Setting {
        &self.setting
    }

    /// Its policy, as written.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Its address without the password.
    #[must_use]
    pub fn address(&self) -> String {
        self.credentials.redacted()
    }

    /// True once anybody has asked the database anything.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.pool.get().is_some()
    }

    async fn pool(&self) -> Result<&Pool, Error> {
        self.pool
            .get_or_try_init(|| Pool::connect(&self.credentials))
            .await
    }

    /// A connection for reading. It can have died since it was used last, and
    /// the others with it: it is asked whether it has, as reads are few, and
    /// then a new one is used.
    async fn session(&self) -> Result<Session, Error> {
        let pool = self.pool().await?;
        let mut session = pool.acquire(LOCK_TIMEOUT).await?;
        if session.ping().await.is_ok() {
            return Ok(session);
        }
        session.discard();
        drop(session);
        pool.renew();
        pool.acquire(LOCK_TIMEOUT).await
    }

    /// What was seen last, if anything was.
    #[must_use]
    pub fn remembered(&self) -> Option<Evidence> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (model, seen) = (self.known()?.model, seen.clone()?);
        Some(Evidence { model, seen })
    }

    /// What is seen now.
    ///
    /// # Errors
    ///
    /// As of [`Target::model`] and [`Target::observe`].
    pub async fn evidence(&self) -> Result<Evidence, Error> {
        let model = self.model().await?;
        let seen = self.observe().await?.seen;
        let mut last = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(seen.clone());
        drop(last);
        Ok(Evidence { model, seen })
    }

    /// Asks the database what it is and whether it may be reset.
    ///
    /// # Errors
    ///
    /// When it cannot be reached or answers what cannot be understood.
    pub async fn observe(&self) -> Result<Observation, Error> {
        let mut session = self.session().await?;
        let seen = armed::seen(&mut session, self.dialect.as_ref()).await?;
        let version = session.version().await?;
        Ok(Observation { seen, version })
    }

    /// The policy bound to the schema as it is now. The catalogue is read
    /// again only when its fingerprint, or that of the indexes, has changed.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached, or the policy does not fit it.
    pub async fn model(&self) -> Result<Arc<Model>, Error> {
        let mut session = self.session().await?;
        self.model_by(&mut session).await
    }

    async fn model_by(&self, session: &mut Session) -> Result<Arc<Model>, Error> {
        let known = self.known();
        let since = known.as_ref().and_then(|known| known.moment.as_deref());
        let prints = self.prints(session, since).await?;
        if let Some(known) = known.filter(|known| known.is_of(&prints)) {
            let model = Arc::clone(&known.model);
            self.knows(Known {
                moment: prints.moment,
                ..known
            });
            return Ok(model);
        }
        let Prints {
            fingerprint,
            indexed,
            moment,
        } = prints;
        let schema = self.read(session, fingerprint).await?;
        let model = Model::bind(schema, self.policy.clone()).map_err(|problems| Error::Policy {
            target: self.name().to_owned(),
            problems,
        })?;
        self.understands(session, &model).await?;
        let model = Arc::new(model);
        self.knows(Known {
            model: Arc::clone(&model),
            indexed,
            moment,
        });
        Ok(model)
    }

    /// Has the database read the conditions of the policy, so that a wrong one
    /// is told before the first sweep.
    async fn understands(&self, session: &mut Session, model: &Model) -> Result<(), Error> {
        for (place, table, condition) in model.conditions() {
            let name = &model.schema().table(table).name;
            let sql = format!(
                "SELECT '1' FROM {} WHERE ({condition}) LIMIT 0",
                self.dialect.table(name)
            );
            // Prepared, so that it is one statement and no more.
            if session.ask(&Statement::plain(sql)).await.is_err() {
                let text = format!("{place} of {name}: the database does not take {condition:?}");
                return Err(Error::Policy {
                    target: self.name().to_owned(),
                    problems: vec![Problem::new(text)],
                });
            }
        }
        Ok(())
    }

    /// The schema as it is now, whatever the policy says.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn schema(&self) -> Result<Schema, Error> {
        let mut session = self.session().await?;
        let prints = self.prints(&mut session, None).await?;
        self.read(&mut session, prints.fingerprint).await
    }

    /// The different labels in a column, at most `limit` of them: such as the
    /// user types.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn labels(
        &self,
        schema: &Schema,
        table: TableId,
        column: ColumnId,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let mut session = self.session().await?;
        let column = schema.table(table).column(column);
        let name = self.dialect.quote(&column.name);
        let sql = format!(
            "SELECT DISTINCT {} FROM {} WHERE {name} IS NOT NULL ORDER BY 1 LIMIT {limit}",
            self.dialect.text(column, &name),
            qualified(self.dialect.as_ref(), schema, table),
        );
        let rows = session.rows(&Statement::plain(sql)).await?;
        Ok(rows.iter().map(|row| field(row, 0).to_owned()).collect())
    }

    /// The prints of the catalogue as it is now, unless nothing can have
    /// changed since: no transaction has ended.
    async fn prints(&self, session: &mut Session, since: Option<&str>) -> Result<Prints, Error> {
        let catalogue = self.dialect.catalogue();
        let (fingerprint, indexed) = (catalogue.fingerprint, catalogue.indexed);
        let question = match self.dialect.moment() {
            None => Statement::plain(format!("SELECT ({fingerprint}), ({indexed}), NULL")),
            Some(moment) => Statement::new(
                format!(
                    "SELECT CASE WHEN {moment} <> $1 THEN ({fingerprint}) END, \
                     CASE WHEN {moment} <> $1 THEN ({indexed}) END, {moment}"
                ),
                vec![since.unwrap_or_default().to_owned()],
            ),
        };
        let rows = session.rows(&question).await?;
        let [fingerprint, indexed, moment] = rows
            .into_iter()
            .next()
            .and_then(|row| <[Option<String>; 3]>::try_from(row).ok())
            .ok_or_else(|| {
                Error::Unexpected("no answer to the question for the catalogue".to_owned())
            })?;
        Ok(Prints {
            fingerprint: fingerprint.unwrap_or_default(),
            indexed: indexed.unwrap_or_default(),
            moment,
        })
    }

    async fn read(&self, session: &mut Session, fingerprint: String) -> Result<Schema, Error> {
        let catalogue = self.dialect.catalogue();
        let rows = |sql: &str| Statement::plain(sql);
        let raw = Raw {
            tables: session.rows(&rows(&catalogue.tables)).await?,
            columns: session.rows(&rows(&catalogue.columns)).await?,
            foreign_keys: session.rows(&rows(&catalogue.foreign_keys)).await?,
            indexes: session.rows(&rows(&catalogue.indexes)).await?,
            fingerprint,
        };
        Ok(raw.into_schema())
    }

    fn known(&self) -> Option<Known> {
        let known = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    fn knows(&self, known: Known) {
        *self.model.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }

    /// Loads SQL text in one transaction, for schemas and seeds.
    ///
    /// # Errors
    ///
    /// When a statement fails; nothing of the text is kept then.
    pub async fn load(&self, sql: &[&str]) -> Result<(), Error> {
        let mut transaction = self.begin(Deadline::default()).await?;
        for text in sql {
            transaction.batch(text).await?;
        }
        transaction.commit().await
    }

    /// The statements that give a role what resets of this target need, by its
    /// policy and schema.
    ///
    /// # Errors
    ///
    /// As of [`Target::model`].
    pub async fn grants(&self, role: &str) -> Result<Vec<Grant>, Error> {
        let model = self.model().await?;
        let (mut read, mut change) = (Vec::new(), Vec::new());
        for (id, table) in model.schema().tables() {
            match model.keeps(id) {
                true => read.push(&table.name),
                false => change.push(&table.name),
            }
        }
        let users = &model.schema().table(model.users().table).name;
        let needs = Needs {
            database: self.setting.database_name(),
            read,
            change,
            create: model.policy().users.create.is_some().then_some(users),
        };
        Ok(self.dialect.grants(role, &needs))
    }

    /// Reads a seed file as this target's database would.
    ///
    /// # Errors
    ///
    /// When the file is not one of rows that are put in place.
    pub fn seed(&self, name: &str, text: &str) -> Result<SeedFile, SeedError> {
        SeedFile::parse(self.dialect.as_ref(), name, text)
    }

    /// Closes the connections.
    pub async fn close(&self) {
        if let Some(pool) = self.pool.get() {
            pool.close().await;
        }
    }
}

impl Known {
    /// True when the catalogue is the same still.
    fn is_of(&self, prints: &Prints) -> bool {
        let is_same = self.moment.is_some() && self.moment == prints.moment;
        is_same
            || self.indexed == prints.indexed
                && self.model.schema().fingerprint() == prints.fingerprint
    }
}

impl Deadline {
    /// A deadline at this moment.
    #[must_use]
    pub fn at(moment: Instant) -> Self {
        Self(Some(moment))
    }

    /// The moment, if there is one.
    #[must_use]
    pub fn moment(self) -> Option<Instant> {
        self.0
    }

    /// True when it has passed.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.0.is_some_and(|moment| moment <= Instant::now())
    }
}

/// The schema's problems as one text.
fn problems(problems: &[Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// A column of a row, empty for NULL.
fn field(row: &Row, index: usize) -> &str {
    row.get(index)
        .and_then(Option::as_deref)
        .unwrap_or_default()
}

/// A table of the schema, as statements of this target name it.
fn qualified(dialect: &dyn Dialect, schema: &Schema, table: TableId) -> String {
    dialect.table(&schema.table(table).name)
}
