//! The path of a SQLite address.
//!
//! Readers differ on `sqlite:///name`: SQLAlchemy drops three slashes (relative),
//! sqlx two (absolute). So after three slashes only `/`, `./` and `../` may
//! follow, of which there is one sensible reading, and `sqlite://name` may have
//! no further `/`, since there `name` is a host for some.

use super::error::{Error, Part};
use super::percent::decode;
use super::split;

/// Reads what follows `sqlite:` into the path as written.
pub(super) fn path(rest: &str) -> Result<String, Error> {
    if rest.trim_start_matches('/') == ":memory:" {
        return Err(Error::InMemory);
    }
    let (place, options) = split(rest, '?');
    if options.is_some() {
        return Err(Error::SqliteOption);
    }
    // The characters are checked before any error quotes the path: behind an
    // `@` or `:` could be a password.
    let written = place.trim_start_matches('/');
    let decoded = components(written)?;
    let ambiguous = || Error::AmbiguousPath {
        path: written.to_owned(),
    };
    let dotted = written.starts_with("./") || written.starts_with("../");
    let root = match place.len() - written.len() {
        0 => "",
        2 if dotted || !written.contains('/') => "",
        3 if dotted => "",
        1 | 4 => "/",
        2 | 3 => return Err(ambiguous()),
        _ => return Err(problem("an empty component")),
    };
    check_components(root, &decoded)?;
    Ok(format!("{root}{}", decoded.join("/")))
}

fn components(written: &str) -> Result<Vec<String>, Error> {
    if written.is_empty() {
        return Err(problem("no file name"));
    }
    written
        .split('/')
        .map(|component| {
            if component.contains('@') {
                return Err(problem("an `@`, which is written %40"));
            }
            let component = decode(component, Part::Database)?;
            // SQLite as we build it reads a name that begins with `file:` as a
            // URI with options, so nothing of a URI may be in it.
            if component
                .contains(|c: char| c.is_control() || c.is_whitespace() || "/\\:?#%".contains(c))
            {
                return Err(problem(
                    "whitespace, a control character or one of / \\ : ? # % in a name",
                ));
            }
            Ok(component)
        })
        .collect()
}

/// `..` after a name means different files to text and to a file system with
/// links, so dots may only lead.
fn check_components(root: &str, components: &[String]) -> Result<(), Error> {
    let mut named = !root.is_empty();
    for component in components {
        match component.as_str() {
            "" => return Err(problem("an empty component")),
            "." | ".." if named => return Err(problem("`.` or `..` after its beginning")),
            "." | ".." => {}
            _ => named = true,
        }
    }
    match components.last().map(String::as_str) {
        None | Some("." | "..") => Err(problem("no file name")),
        Some(_) => Ok(()),
    }
}

fn problem(problem: &'static str) -> Error {
    Error::SqlitePath { problem }
}
