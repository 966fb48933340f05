//! Counts a target, and says what would make its resets quicker.

use super::{Advice, Engine, advice};
use crate::{access::Grant, error::Error, operation::Statistics, target::Sizes};

/// A target's statistics.
#[derive(Debug)]
pub struct Report {
    /// Users, tables, rows, bytes.
    pub sizes: Sizes,
    /// The indexes that it should have.
    pub advice: Vec<Advice>,
    /// The environment of the target.
    pub environment: String,
}

impl Engine {
    /// Counts a target.
    ///
    /// # Errors
    ///
    /// When it cannot be reached or its policy does not fit.
    pub async fn statistics(&self, grant: &Grant, what: &Statistics) -> Result<Report, Error> {
        let served = self.served(grant.target())?;
        let domains: Vec<String> = served.domains.domains().map(str::to_owned).collect();
        let (model, sizes) = served.target.sizes(&domains, what.exact).await?;
        let missing = served.target.missing(&model).await?;
        let rows = sizes.tables.iter().map(|size| (size.id, size.rows));
        let advice = advice::in_general(model.schema(), &missing, &rows.collect());
        Ok(Report {
            sizes,
            advice,
            environment: served
                .target
                .setting()
                .environment
                .clone()
                .unwrap_or_default(),
        })
    }
}
