//! Counts a target, and says which references are slow to follow.

use super::Engine;
use crate::{
    access::Grant, error::Error, operation::Statistics, plan::Model, schema::Origin, target::Sizes,
};

/// A target's statistics.
#[derive(Debug)]
pub struct Report {
    /// Users, tables, rows, bytes.
    pub sizes: Sizes,
    /// References without an index.
    pub unindexed: Vec<Advice>,
    /// The environment of the target.
    pub environment: String,
}

/// A reference without an index on the referring side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The reference in words.
    pub reference: String,
    /// The rows that are scanned for each deleted parent.
    pub rows: u64,
    /// The statement that makes the index.
    pub statement: String,
}

impl Engine {
    /// Counts a target.
    ///
    /// # Errors
    ///
    /// When it cannot be reached or its policy does not fit.
    pub async fn statistics(&self, grant: &Grant, what: &Statistics) -> Result<Report, Error> {
        let served = self.served(grant.target())?;
        let model = served.target.model().await?;
        let domains: Vec<String> = served.domains.domains().map(str::to_owned).collect();
        let sizes = served.target.sizes(&model, &domains, what.exact).await?;
        let unindexed = advise(&model, &sizes, &served.target);
        Ok(Report {
            sizes,
            unindexed,
            environment: served
                .target
                .setting()
                .environment
                .clone()
                .unwrap_or_default(),
        })
    }
}

fn advise(model: &Model, sizes: &Sizes, target: &crate::target::Target) -> Vec<Advice> {
    let schema = model.schema();
    let mut advice: Vec<Advice> = schema
        .foreign_keys()
        .filter(|(id, key)| key.origin == Origin::Catalogue && !schema.is_indexed(*id))
        .map(|(id, key)| Advice {
            reference: schema.describe(id),
            rows: sizes
                .tables
                .iter()
                .find(|size| size.id == key.child)
                .map_or(0, |size| size.rows),
            statement: target.index_statement(schema, id),
        })
        .collect();
    advice.sort_by(|a, b| {
        b.rows
            .cmp(&a.rows)
            .then_with(|| a.reference.cmp(&b.reference))
    });
    advice
}
