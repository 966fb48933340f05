//! Why an address is refused, and how to write it instead. Nothing here ever
//! holds the password: where a piece of the address could be one, the message
//! gives its place instead of its text.

use std::fmt;

/// The part of an address that a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The user name.
    User,
    /// The password.
    Password,
    /// The database name, or SQLite's path.
    Database,
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::User => "user",
            Self::Password => "password",
            Self::Database => "database",
        })
    }
}

/// Every way an address leaves the grammar, from the *address* row of
/// `design/guard.md`. Positions count characters from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no text.
    #[error(
        "the address is empty; write it as postgresql://user:password@host:5432/database or sqlite:///./file.db"
    )]
    Empty,
    /// A tab, line break, NUL or other control character.
    #[error("the address has a control character at position {position}; remove it")]
    Control {
        /// Where it stands.
        position: usize,
    },
    /// A space, which readers trim, cut at or keep.
    #[error(
        "the address has a space at position {position}; remove it, or write %20 in a password"
    )]
    Space {
        /// Where it stands.
        position: usize,
    },
    /// A character outside ASCII, such as a Cyrillic letter in a host.
    #[error(
        "the address has a character outside ASCII at position {position}, perhaps a look-alike letter; percent-encode it in a user, password or SQLite path, replace it elsewhere"
    )]
    NonAscii {
        /// Where it stands.
        position: usize,
    },
    /// A backslash, which some readers take for `/`.
    #[error(
        "the address has a `\\` at position {position}; write %5C in a password, `/` in a path"
    )]
    Backslash {
        /// Where it stands.
        position: usize,
    },
    /// A `#`, at which some readers stop.
    #[error("the address has a `#` at position {position}; write %23 in a user or password")]
    Fragment {
        /// Where it stands.
        position: usize,
    },
    /// No `scheme:` at the beginning.
    #[error("the address has no scheme; begin it with postgresql://, mysql:// or sqlite:")]
    NoScheme,
    /// A scheme that is none of ours.
    #[error(
        "the scheme `{scheme}` is unknown; it is postgres, postgresql, mysql, mariadb or sqlite, in lower case"
    )]
    UnknownScheme {
        /// The scheme as written.
        scheme: String,
    },
    /// A JDBC address.
    #[error(
        "a `jdbc:` address is not read; leave out the prefix and put user and password before the host: {mended}"
    )]
    Jdbc {
        /// The address as it should be, its password as `…`.
        mended: String,
    },
    /// A driver of SQLAlchemy in the scheme.
    #[error("the driver suffix `+{driver}` is not read; write {mended}")]
    DriverSuffix {
        /// The driver as written.
        driver: String,
        /// The address as it should be, its password as `…`.
        mended: String,
    },
    /// No `//` after the scheme of a server.
    #[error("`{scheme}:` is not followed by `//`; write {scheme}://host/database")]
    NoSlashes {
        /// The scheme.
        scheme: &'static str,
    },
    /// More than one `@`, or one behind the host.
    #[error(
        "an `@` stands only once, before the host; in a user or password write %40 for `@`, %2F for `/` and %3F for `?`"
    )]
    StrayAt,
    /// `@` or `:` without a user before it.
    #[error("the user before the `@` is empty; name one or leave out everything up to the `@`")]
    EmptyUser,
    /// `user:@`, which is an empty password for some readers and none for others.
    #[error("the password is empty; leave out the `:` when there is none")]
    EmptyPassword,
    /// A `%` without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the percent-encoding in the {part} is malformed; write a plain `%` as %25")]
    Encoding {
        /// Where it stands.
        part: Part,
    },
    /// Percent-encoding that hides what may not stand there.
    #[error("the {part} may not have, even percent-encoded, {}", refused(*.part))]
    Decoded {
        /// Where it stands.
        part: Part,
    },
    /// A name that the server would cut.
    #[error(
        "the {part} is longer than {limit} bytes, and a server would cut it; use a shorter one"
    )]
    TooLong {
        /// What is too long.
        part: Part,
        /// The limit in bytes.
        limit: usize,
    },
    /// No host; `PGHOST` and a default are never used.
    #[error(
        "the address names no host; write it out, as in postgresql://localhost/database (a socket has a configuration key of its own)"
    )]
    NoHost,
    /// Several hosts.
    #[error("the address names several hosts; name the one that is meant, without `,`")]
    SeveralHosts,
    /// Percent-encoding in the host or port.
    #[error(
        "the host is percent-encoded; write it plainly (a socket has a configuration key of its own)"
    )]
    EncodedHost,
    /// A host that is no DNS name.
    #[error(
        "the host `{host}` is no DNS name: labels of letters, digits, `-` and `_`, at most 63 bytes each, joined by single dots"
    )]
    HostName {
        /// The host as written.
        host: String,
    },
    /// A host that ends in a dot, which is the same host under another name.
    #[error("the host `{host}` ends in a dot; leave it out")]
    TrailingDot {
        /// The host as written.
        host: String,
    },
    /// A number or odd IPv4 spelling, which resolvers read in several ways.
    #[error(
        "the host `{host}` is not written as an IPv4 address: four decimal numbers without leading zeros, as in 127.0.0.1"
    )]
    NumericHost {
        /// The host as written.
        host: String,
    },
    /// `0.0.0.0` or `[::]`, which is whichever machine one stands on.
    #[error(
        "the host is the unspecified address; write the one that is meant, as 127.0.0.1 or [::1]"
    )]
    UnspecifiedHost,
    /// Colons without brackets.
    #[error(
        "the host and port have too many colons; write an IPv6 address in brackets, as in [::1]:5432"
    )]
    BareColons,
    /// Brackets around something that is no IPv6 address.
    #[error("the brackets of the host hold no IPv6 address; write one, as in [::1]")]
    NoIpv6,
    /// An IPv6 address in another than its one canonical spelling.
    #[error("the IPv6 address is not in its canonical spelling; write [{canonical}]")]
    Ipv6Spelling {
        /// The spelling of RFC 5952.
        canonical: String,
    },
    /// An IPv4 address in the clothes of an IPv6 address.
    #[error("the host is an IPv4 address written as IPv6; write {plain}")]
    MappedIpv4 {
        /// The IPv4 address.
        plain: String,
    },
    /// A port that is none. Not quoted: it is the password when the `@` is missing.
    #[error(
        "the port is not a number from 1 to 65535 without leading zeros; leave out the `:` for the default"
    )]
    Port,
    /// No database.
    #[error("the address names no database; write it after the host, as in …@host:5432/database")]
    NoDatabase,
    /// A path where a database name is wanted.
    #[error("the database name has a `/`; it is the one name after the host")]
    SecondSlash,
    /// `?` or `&` without `key=value`.
    #[error("an option has not the form `key=value`; leave out a `?` or `&` without one")]
    OptionForm,
    /// A percent-encoded key.
    #[error("the name of an option is percent-encoded; write it plainly")]
    EncodedOption,
    /// An option that is not read, because it may lead elsewhere.
    #[error(
        "the option `{key}` is not read, only `{option}` is; leave it out (host, port, user and database stand before the `?`)"
    )]
    UnknownOption {
        /// The option as written.
        key: String,
        /// The only one that the engine knows here.
        option: &'static str,
    },
    /// An option given twice, of which readers take the first or the last.
    #[error("the option `{option}` is given twice; give it once")]
    RepeatedOption {
        /// The option.
        option: &'static str,
    },
    /// A value that the option does not have.
    #[error("the option `{option}` is one of {accepted}")]
    OptionValue {
        /// The option.
        option: &'static str,
        /// The values that it has.
        accepted: &'static str,
    },
    /// Options behind a SQLite path.
    #[error("a SQLite address has no options; leave out the `?` and what follows")]
    SqliteOption,
    /// A database that vanishes with its connection.
    #[error(
        "an in-memory SQLite database is empty for every connection; name a file, as in sqlite:///./app.db"
    )]
    InMemory,
    /// A path that some readers take as relative and others as absolute.
    #[error(
        "the SQLite path is relative for some readers and absolute for others; write sqlite:///./{path} or sqlite:////{path}"
    )]
    AmbiguousPath {
        /// The path as written, without leading slashes.
        path: String,
    },
    /// A path that leads through oddities.
    #[error(
        "the SQLite path has {problem}; write sqlite:///./relative/file.db or sqlite:////absolute/file.db"
    )]
    SqlitePath {
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Error {
    /// Quotes the scheme only when it looks like one: before the first colon of
    /// a garbled address anything may stand.
    pub(super) fn unknown_scheme(scheme: &str) -> Self {
        if scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && excerpt(scheme) == scheme {
            let scheme = scheme.to_owned();
            Self::UnknownScheme { scheme }
        } else {
            Self::NoScheme
        }
    }
}

/// A name as it may stand in a message: itself, or `…` when it is no short word.
pub(super) fn excerpt(text: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
    if text.len() <= 40 && text.chars().all(word) {
        text.to_owned()
    } else {
        "…".to_owned()
    }
}

fn refused(part: Part) -> &'static str {
    match part {
        Part::User => "a control character, whitespace or `/`",
        Part::Password => "a control character",
        Part::Database => "anything but ASCII letters, digits and _ - . $ + ~ ! ( )",
    }
}
