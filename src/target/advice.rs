//! Which indexes the database would be asked for if it had them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError},
};

use super::{Error, Target, connection::Session, field, qualified};
use crate::{
    dialect::{self, Missing, Statement},
    plan::Model,
    schema::TableId,
};

/// What was missing of a model: one that was read anew is another.
pub(super) type Looked = (Arc<Model>, Arc<[Missing]>);

impl Target {
    /// The indexes that resets would be quicker with. The database is asked
    /// again only when the catalogue or an index has changed.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached, or takes no part of a question.
    pub async fn missing(&self, model: &Arc<Model>) -> Result<Arc<[Missing]>, Error> {
        if let Some((_, missing)) = self.looked().filter(|(of, _)| Arc::ptr_eq(of, model)) {
            return Ok(missing);
        }
        let missing: Arc<[Missing]> = self.look(model).await?.into();
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        *looked = Some((Arc::clone(model), Arc::clone(&missing)));
        Ok(missing)
    }

    /// How many rows tables have.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn count(
        &self,
        model: &Model,
        tables: &BTreeSet<TableId>,
    ) -> Result<BTreeMap<TableId, u64>, Error> {
        let dialect = self.dialect.as_ref();
        let mut counts = BTreeMap::new();
        let mut session = self.session().await?;
        for &table in tables {
            let question = format!(
                "SELECT {} FROM {}",
                dialect.as_text("count(*)"),
                qualified(dialect, model.schema(), table)
            );
            let rows = session.query(&Statement::plain(question)).await;
            let rows = rows.map_err(|fault| fault.during("counting rows"))?;
            let count = rows.first().and_then(|row| field(row, 0).parse().ok());
            counts.insert(table, count.unwrap_or(0));
        }
        Ok(counts)
    }

    fn looked(&self) -> Option<Looked> {
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.clone()
    }

    async fn look(&self, model: &Model) -> Result<Vec<Missing>, Error> {
        let mut missing = dialect::references(self.dialect.as_ref(), model.schema());
        let (probes, hopeless) = dialect::markers(self.dialect.as_ref(), model);
        missing.extend(hopeless);
        if probes.is_empty() {
            return Ok(missing);
        }
        let mut session = self.session().await?;
        for probe in probes {
            if !self.scans(&mut session, &probe.of_all).await? {
                continue;
            }
            missing.push(match self.scans(&mut session, &probe.of_one).await? {
                true => probe.neither,
                false => probe.of_all_alone,
            });
        }
        Ok(missing)
    }

    /// True when no index serves a query.
    async fn scans(&self, session: &mut Session, query: &str) -> Result<bool, Error> {
        let Some(explain) = self.dialect.explain(query) else {
            return Ok(false);
        };
        let lines = session.explained(&explain.sql).await;
        let lines = lines.map_err(|fault| fault.during("asking how rows are found"))?;
        Ok(lines.iter().any(|line| line.contains(explain.scan)))
    }
}
