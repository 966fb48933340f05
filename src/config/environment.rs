//! The process's variables, and those of `.env`.

use std::{
    collections::BTreeMap,
    env, io,
    path::{Path, PathBuf},
};

use super::Error;
use crate::guard::environment::VARIABLES;

/// The variables that a process was started with; those of `.env` stand in
/// for the ones that are not set. It holds passwords, so it does not print.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl FromIterator<(String, String)> for Variables {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl Variables {
    /// Reads the process's variables and, when it is there, this `.env` file.
    ///
    /// # Errors
    ///
    /// When the file is there and cannot be read or understood.
    pub fn read(dotenv: &Path) -> Result<Self, Error> {
        let mut variables = BTreeMap::new();
        match dotenvy::from_path_iter(dotenv) {
            Ok(pairs) => {
                for pair in pairs {
                    let (name, value) = pair.map_err(|error| {
                        Error::Setting(format!("{} is not understood: {error}", dotenv.display()))
                    })?;
                    variables.insert(name, value);
                }
            }
            Err(dotenvy::Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(Error::Setting(format!(
                    "{} cannot be read: {error}",
                    dotenv.display()
                )));
            }
        }
        // A value that is no text is none that we could compare, so it counts
        // as what it would be printed as.
        for (name, value) in env::vars_os() {
            let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
            variables.insert(text(name), text(value));
        }
        Ok(Self(variables))
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The variables that name an environment, with their values.
    #[must_use]
    pub fn environments(&self) -> Vec<(String, String)> {
        VARIABLES
            .iter()
            .filter_map(|&name| Some((name.to_owned(), self.get(name)?.to_owned())))
            .collect()
    }
}

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Who runs this process, for the marker that says who armed a database.
#[must_use]
pub fn user_name() -> String {
    ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The folder that relative paths start from.
///
/// # Errors
///
/// When it does not exist any more.
pub fn working_folder() -> io::Result<PathBuf> {
    env::current_dir()
}

/// Where the program of this name is, if it stands beside this one.
///
/// # Errors
///
/// When the system does not say where this program is.
pub fn program_beside(name: &str) -> io::Result<PathBuf> {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    Ok(env::current_exe()?.with_file_name(file))
}
