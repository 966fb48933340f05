//! Makes tokens.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::access::{Principal, Role, Token};

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine gives no random numbers.
    #[error("the machine gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The file of tokens cannot be used.
    #[error("{} cannot be used: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A new secret of 192 random bits.
///
/// # Errors
///
/// When the machine gives no random numbers.
pub fn secret() -> Result<String, Error> {
    let mut bytes = [0_u8; 24];
    getrandom::fill(&mut bytes)?;
    Ok(format!("rt_{}", hex::encode(bytes)))
}

/// What a configuration says of a secret.
#[must_use]
pub fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Prints a new token and the lines that configure it.
///
/// # Errors
///
/// When the machine gives no random numbers.
pub fn print(subject: &str, role: Role) -> Result<(), Error> {
    let secret = secret()?;
    println!("token, shown only this once: {secret}\n");
    println!("[[tokens]]");
    println!("subject = {subject:?}");
    println!("role = \"{role}\"");
    println!("sha256 = \"{}\"", hex::encode(digest(&secret)));
    Ok(())
}

/// The tokens of a server that is configured by the environment alone: one
/// for each role, made at its first start and kept in its data folder, in a
/// file that only its owner reads.
///
/// # Errors
///
/// When the folder cannot be used.
pub fn kept(folder: &Path) -> Result<Vec<Token>, Error> {
    let path = folder.join("tokens.json");
    let failed = |source| Error::File {
        path: path.clone(),
        source,
    };
    fs::create_dir_all(folder).map_err(failed)?;
    let secrets: BTreeMap<Role, String> = match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| failed(error.into()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut secrets = BTreeMap::new();
            for role in Role::ALL {
                secrets.insert(role, secret()?);
            }
            let text =
                serde_json::to_string_pretty(&secrets).map_err(|error| failed(error.into()))?;
            write_private(&path, &format!("{text}\n")).map_err(failed)?;
            secrets
        }
        Err(error) => return Err(failed(error)),
    };
    eprintln!("a token for each role is in {}", path.display());
    Ok(secrets
        .iter()
        .map(|(&role, secret)| of_role("local", role, secret))
        .collect())
}

/// A token of a role, for every target.
#[must_use]
pub fn of_role(subject: &str, role: Role, secret: &str) -> Token {
    Token {
        digest: digest(secret),
        principal: Principal {
            subject: format!("{subject}-{role}"),
            role,
            targets: None,
            allow: None,
            own_user: None,
        },
        expires: None,
    }
}

/// Writes a file that only its owner reads: it holds secrets.
///
/// # Errors
///
/// When it cannot be written.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)?.write_all(text.as_bytes())
}
