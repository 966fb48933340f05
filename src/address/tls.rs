//! What may stand behind the `?`: how the connection is encrypted.

use super::Engine;
use super::error::{Error, excerpt};

/// How a connection is encrypted: `sslmode` of PostgreSQL, `ssl-mode` of MySQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Never encrypted.
    Disable,
    /// Encrypted only when the server insists; PostgreSQL only.
    Allow,
    /// Encrypted when the server can.
    Prefer,
    /// Always encrypted, the certificate unchecked.
    Require,
    /// Always encrypted, the certificate's issuer checked.
    VerifyCa,
    /// Always encrypted, the issuer and the host name checked.
    VerifyFull,
}

/// The one option that is read. Everything else could lead elsewhere than the
/// address says (`host`, `hostaddr`, `service`, `options`, …).
pub(super) fn read(engine: Engine, text: &str) -> Result<Option<TlsMode>, Error> {
    let (option, accepted) = match engine {
        Engine::Postgres => (
            "sslmode",
            "disable, allow, prefer, require, verify-ca, verify-full",
        ),
        Engine::MySql | Engine::Sqlite => (
            "ssl-mode",
            "DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY",
        ),
    };
    let mut found = None;
    for pair in text.split('&') {
        let (key, value) = pair.split_once('=').ok_or(Error::OptionForm)?;
        if key.contains('%') {
            return Err(Error::EncodedOption);
        }
        if key != option {
            let key = excerpt(key);
            return Err(Error::UnknownOption { key, option });
        }
        let value = mode(engine, value).ok_or(Error::OptionValue { option, accepted })?;
        if found.replace(value).is_some() {
            return Err(Error::RepeatedOption { option });
        }
    }
    Ok(found)
}

fn mode(engine: Engine, value: &str) -> Option<TlsMode> {
    match (engine, value) {
        (Engine::Postgres, "disable") | (Engine::MySql, "DISABLED") => Some(TlsMode::Disable),
        (Engine::Postgres, "allow") => Some(TlsMode::Allow),
        (Engine::Postgres, "prefer") | (Engine::MySql, "PREFERRED") => Some(TlsMode::Prefer),
        (Engine::Postgres, "require") | (Engine::MySql, "REQUIRED") => Some(TlsMode::Require),
        (Engine::Postgres, "verify-ca") | (Engine::MySql, "VERIFY_CA") => Some(TlsMode::VerifyCa),
        (Engine::Postgres, "verify-full") | (Engine::MySql, "VERIFY_IDENTITY") => {
            Some(TlsMode::VerifyFull)
        }
        _ => None,
    }
}
