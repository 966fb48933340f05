//! What is put in place after a reset: the policy's seed files, and the values
//! that they name.

use std::{collections::BTreeMap, fmt};

use super::accounts;
use crate::{
    dialect::{SeedError, SeedFile},
    error::Error,
    target::Sowing,
};

/// The seed files of a target.
#[derive(Debug, Clone, Default)]
pub struct Seeds {
    files: BTreeMap<String, SeedFile>,
    values: BTreeMap<String, SeedText>,
}

/// A value that seed files name.
#[derive(Clone, PartialEq, Eq)]
pub enum SeedText {
    /// As it is.
    Plain(String),
    /// A password, of which the bcrypt hash is put in.
    Password {
        /// In clear.
        password: String,
        /// The cost of the hash.
        cost: u32,
    },
}

impl Seeds {
    /// The files and values of a target.
    ///
    /// # Errors
    ///
    /// When a file names a value that is not there.
    pub fn new(
        files: Vec<SeedFile>,
        values: BTreeMap<String, SeedText>,
    ) -> Result<Self, SeedError> {
        for file in &files {
            if let Some(name) = file.values().find(|name| !values.contains_key(*name)) {
                return Err(SeedError {
                    file: file.name().to_owned(),
                    line: 1,
                    problem: format!("{{{{{name}}}}} is none of the policy's [seed_values]"),
                });
            }
        }
        let files = files.into_iter();
        Ok(Self {
            files: files.map(|file| (file.name().to_owned(), file)).collect(),
            values,
        })
    }

    /// The files of these names, with passwords hashed as the application
    /// does it.
    pub(super) async fn sowing(&self, names: &[String]) -> Result<Sowing, Error> {
        let files: Vec<SeedFile> = names
            .iter()
            .filter_map(|name| self.files.get(name).cloned())
            .collect();
        let mut values = BTreeMap::new();
        for name in files.iter().flat_map(SeedFile::values) {
            let value = match self.values.get(name) {
                Some(SeedText::Plain(text)) => text.clone(),
                Some(SeedText::Password { password, cost }) if !values.contains_key(name) => {
                    accounts::hash(password.clone(), *cost).await?
                }
                Some(SeedText::Password { .. }) | None => continue,
            };
            values.insert(name.to_owned(), value);
        }
        Ok(Sowing { files, values })
    }
}

impl fmt::Debug for SeedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeedText")
    }
}
