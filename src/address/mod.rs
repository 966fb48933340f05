//! Where a database is, read by a strict grammar of our own.
//!
//! Libraries disagree about odd addresses, and whoever checks one reading while
//! the driver connects to another has checked nothing. So exactly one spelling
//! of each address is read here, everything else is refused together with how
//! to write it, and connection options are built from the parts, never from the
//! text. The rules are the *address* row of `design/guard.md`.
//!
//! This module knows no I/O, no environment variable, no clock and no driver,
//! and has no opinion on which hosts or names are production: that is
//! `guard::environment`.

mod error;
mod host;
mod percent;
mod sqlite;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;

pub use error::{Error, Part};
use percent::{decode, encode};
pub use tls::TlsMode;

/// PostgreSQL keeps 63 bytes of a name and drops the rest, so a longer name
/// would reach another database than the one that was checked.
const POSTGRES_NAME_BYTES: usize = 63;
/// MySQL's limit for a database name.
const MYSQL_NAME_BYTES: usize = 64;

/// The kind of database that an address leads to, taken from its scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// `postgres://` or `postgresql://`.
    Postgres,
    /// `mysql://` or `mariadb://`.
    MySql,
    /// `sqlite:`, a file.
    Sqlite,
}

/// A secret from an address. `Debug` does not show it, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The secret in clear, percent-decoded, for the connection options alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(…)")
    }
}

/// A database address that passed the grammar. [`Address::parse`] is its only
/// maker. `Display` and [`Address::redacted`] never show the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    engine: Engine,
    scheme: &'static str,
    user: Option<String>,
    password: Option<Password>,
    host: Option<String>,
    port: Option<u16>,
    database: String,
    tls: Option<TlsMode>,
}

impl Address {
    /// Reads `scheme://[user[:password]@]host[:port]/database[?sslmode=…]`, or a
    /// `sqlite:` path.
    ///
    /// # Errors
    ///
    /// One [`Error`] for each way of leaving the grammar, saying how to write
    /// the address instead; none carries the password. The rules are the
    /// *address* row of `design/guard.md`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        check_characters(text)?;
        let (scheme, rest) = text.split_once(':').ok_or(Error::NoScheme)?;
        if scheme == "jdbc" {
            return Err(Error::Jdbc { mended: mend(rest) });
        }
        if let Some((base, driver)) = scheme.split_once('+')
            && known_scheme(base).is_some()
        {
            return Err(Error::DriverSuffix {
                driver: error::excerpt(driver),
                mended: mend(&format!("{base}:{rest}")),
            });
        }
        Self::read(scheme, rest)
    }

    /// The kind of database.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The user name, percent-decoded; `None` when the address names none.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password; `None` when the address has none.
    #[must_use]
    pub fn password(&self) -> Option<&Password> {
        self.password.as_ref()
    }

    /// The host in lower case, an IPv6 address without its brackets; `None` for
    /// SQLite alone.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The TCP port, the engine's default when the address names none; `None`
    /// for SQLite alone.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The database name; for SQLite the path as written, such as `./app.db`.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The encryption that the address asks for; `None` when it does not say.
    #[must_use]
    pub fn tls(&self) -> Option<TlsMode> {
        self.tls
    }

    /// The address for people: scheme, user, host, port and database, without
    /// password and options. [`Address::parse`] reads it back.
    #[must_use]
    pub fn redacted(&self) -> String {
        self.to_string()
    }

    fn read(scheme: &str, rest: &str) -> Result<Self, Error> {
        let (engine, scheme) = known_scheme(scheme).ok_or_else(|| Error::unknown_scheme(scheme))?;
        match engine {
            Engine::Sqlite => Ok(Self {
                engine,
                scheme,
                user: None,
                password: None,
                host: None,
                port: None,
                database: sqlite::path(rest)?,
                tls: None,
            }),
            Engine::Postgres => Self::read_server(engine, scheme, 5432, rest),
            Engine::MySql => Self::read_server(engine, scheme, 3306, rest),
        }
    }

    fn read_server(
        engine: Engine,
        scheme: &'static str,
        default_port: u16,
        rest: &str,
    ) -> Result<Self, Error> {
        let rest = rest.strip_prefix("//").ok_or(Error::NoSlashes { scheme })?;
        let (place, options) = split(rest, '?');
        let (authority, database) = split(place, '/');
        let (account, server) = match authority.split_once('@') {
            Some((account, server)) => (Some(account), server),
            None => (None, authority),
        };
        // A second `@` means that parsers differ on where the password ends, so
        // nothing after this line quotes a piece of it as host or database.
        if [Some(server), database, options]
            .iter()
            .flatten()
            .any(|part| part.contains('@'))
        {
            return Err(Error::StrayAt);
        }
        let (user, password) =
            account.map_or(Ok((None, None)), |text| account_parts(engine, text))?;
        let (host, port) = host::read(server)?;
        Ok(Self {
            engine,
            scheme,
            user,
            password,
            host: Some(host),
            port: Some(port.unwrap_or(default_port)),
            database: database_name(engine, database.unwrap_or_default())?,
            tls: options.map_or(Ok(None), |text| tls::read(engine, text))?,
        })
    }

    fn write(&self, formatter: &mut impl fmt::Write, password: &str) -> fmt::Result {
        let Some(host) = &self.host else {
            // The spelling that no other reader takes for something else.
            let slashes = if ["/", "./", "../"]
                .iter()
                .any(|root| self.database.starts_with(root))
            {
                "///"
            } else {
                ""
            };
            write!(formatter, "{}:{slashes}", self.scheme)?;
            return encode(&self.database, "/", formatter);
        };
        write!(formatter, "{}://", self.scheme)?;
        if let Some(user) = &self.user {
            encode(user, "", formatter)?;
            write!(formatter, "{password}@")?;
        }
        if host.contains(':') {
            write!(formatter, "[{host}]")?;
        } else {
            formatter.write_str(host)?;
        }
        if let Some(port) = self.port {
            write!(formatter, ":{port}")?;
        }
        formatter.write_char('/')?;
        encode(&self.database, "", formatter)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(formatter, "")
    }
}

fn known_scheme(text: &str) -> Option<(Engine, &'static str)> {
    match text {
        "postgres" => Some((Engine::Postgres, "postgres")),
        "postgresql" => Some((Engine::Postgres, "postgresql")),
        "mysql" => Some((Engine::MySql, "mysql")),
        "mariadb" => Some((Engine::MySql, "mariadb")),
        "sqlite" => Some((Engine::Sqlite, "sqlite")),
        _ => None,
    }
}

/// What may stand nowhere, so that the parts need not ask again. The offending
/// character is not named, since it may be one of the password.
fn check_characters(text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::Empty);
    }
    for (index, character) in text.chars().enumerate() {
        let position = index + 1;
        match character {
            _ if !character.is_ascii() => return Err(Error::NonAscii { position }),
            _ if character.is_ascii_control() => return Err(Error::Control { position }),
            ' ' => return Err(Error::Space { position }),
            '\\' => return Err(Error::Backslash { position }),
            '#' => return Err(Error::Fragment { position }),
            _ => {}
        }
    }
    Ok(())
}

/// The address that a refused one stands for, its password as `…`; a pattern
/// when there is more to mend, since then no piece of it is safe to show.
fn mend(text: &str) -> String {
    let (scheme, rest) = split(text, ':');
    match Address::read(scheme, rest.unwrap_or_default()) {
        Ok(address) => {
            let password = address.password.as_ref().map_or("", |_| ":…");
            let mut mended = String::new();
            // Writing into a String cannot fail.
            let _ = address.write(&mut mended, password);
            mended
        }
        Err(_) => match known_scheme(scheme) {
            Some((Engine::Sqlite, _)) => "sqlite:///./path/to/file.db".to_owned(),
            Some((_, scheme)) => format!("{scheme}://user:…@host:port/database"),
            None => "postgresql://user:…@host:port/database".to_owned(),
        },
    }
}

fn account_parts(engine: Engine, text: &str) -> Result<(Option<String>, Option<Password>), Error> {
    // Every parser agrees that the first colon ends the user.
    let (user, password) = split(text, ':');
    if user.is_empty() {
        return Err(Error::EmptyUser);
    }
    let user = decode(user, Part::User)?;
    if user.contains(|c: char| c.is_control() || c.is_whitespace() || c == '/') {
        return Err(Error::Decoded { part: Part::User });
    }
    if engine == Engine::Postgres && user.len() > POSTGRES_NAME_BYTES {
        return Err(Error::TooLong {
            part: Part::User,
            limit: POSTGRES_NAME_BYTES,
        });
    }
    let Some(password) = password else {
        return Ok((Some(user), None));
    };
    if password.is_empty() {
        return Err(Error::EmptyPassword);
    }
    let password = decode(password, Part::Password)?;
    // Unlike a name, a password reaches nothing but the server's check of it,
    // so only what a protocol could cut it at is refused.
    if password.contains(char::is_control) {
        return Err(Error::Decoded {
            part: Part::Password,
        });
    }
    Ok((Some(user), Some(Password(password))))
}

fn database_name(engine: Engine, text: &str) -> Result<String, Error> {
    if text.is_empty() {
        return Err(Error::NoDatabase);
    }
    if text.contains('/') {
        return Err(Error::SecondSlash);
    }
    let name = decode(text, Part::Database)?;
    // Tools read more than a name into other characters: libpq takes `a=b` and
    // `x://` in a database name for connection settings.
    if !name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_-.$+~!()".contains(c))
    {
        return Err(Error::Decoded {
            part: Part::Database,
        });
    }
    let limit = match engine {
        Engine::Postgres => POSTGRES_NAME_BYTES,
        Engine::MySql | Engine::Sqlite => MYSQL_NAME_BYTES,
    };
    if name.len() > limit {
        return Err(Error::TooLong {
            part: Part::Database,
            limit,
        });
    }
    Ok(name)
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at)
        .map_or((text, None), |(before, after)| (before, Some(after)))
}
