//! The host and port of an address: a DNS name, or an IP address in its one
//! canonical spelling. Resolvers read `127.1`, `2130706433` and `0x7f000001`
//! alike, lists that compare text do not; so only one spelling exists here. The
//! types come from `core`, which has addresses but no sockets.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::Error;
use super::error::excerpt;

/// RFC 1035's limits.
const NAME_BYTES: usize = 253;
const LABEL_BYTES: usize = 63;

/// Reads `host[:port]` into the host (lower case, no brackets) and the port.
pub(super) fn read(text: &str) -> Result<(String, Option<u16>), Error> {
    if text.contains('%') {
        return Err(Error::EncodedHost);
    }
    if text.contains(',') {
        return Err(Error::SeveralHosts);
    }
    if let Some(inside) = text.strip_prefix('[') {
        let (inside, after) = inside.split_once(']').ok_or(Error::NoIpv6)?;
        let host = ipv6(inside)?;
        let port = match after.strip_prefix(':') {
            Some(digits) => Some(port(digits)?),
            None if after.is_empty() => None,
            None => return Err(Error::Port),
        };
        return Ok((host, port));
    }
    match text.split_once(':') {
        Some((_, digits)) if digits.contains(':') => Err(Error::BareColons),
        Some((host, digits)) => Ok((name(host)?, Some(port(digits)?))),
        None => Ok((name(text)?, None)),
    }
}

fn port(digits: &str) -> Result<u16, Error> {
    // `parse` alone would take `+5432` and `05432`.
    if digits.starts_with(['+', '0']) {
        return Err(Error::Port);
    }
    digits.parse().map_err(|_| Error::Port)
}

fn name(text: &str) -> Result<String, Error> {
    if text.is_empty() {
        return Err(Error::NoHost);
    }
    let host = text.to_ascii_lowercase();
    if let Some(before) = host.strip_suffix('.')
        && !before.is_empty()
    {
        return Err(Error::TrailingDot {
            host: excerpt(text),
        });
    }
    if host.len() > NAME_BYTES || !host.split('.').all(is_label) {
        return Err(Error::HostName {
            host: excerpt(text),
        });
    }
    if host.rsplit('.').next().is_some_and(is_number) {
        return ipv4(host);
    }
    Ok(host)
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= LABEL_BYTES
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether a last label makes resolvers read the whole host as an IPv4 address
/// (the WHATWG URL standard's "ends in a number" check).
fn is_number(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_digit())
        || label
            .strip_prefix("0x")
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn ipv4(host: String) -> Result<String, Error> {
    match host.parse::<Ipv4Addr>() {
        Ok(address) if address.is_unspecified() => Err(Error::UnspecifiedHost),
        Ok(address) if address.to_string() == host => Ok(host),
        _ => Err(Error::NumericHost {
            host: excerpt(&host),
        }),
    }
}

fn ipv6(text: &str) -> Result<String, Error> {
    let address: Ipv6Addr = text.parse().map_err(|_| Error::NoIpv6)?;
    if address.is_unspecified() {
        return Err(Error::UnspecifiedHost);
    }
    if let Some(plain) = address.to_ipv4_mapped() {
        let plain = plain.to_string();
        return Err(Error::MappedIpv4 { plain });
    }
    let canonical = address.to_string();
    if canonical == text {
        Ok(canonical)
    } else {
        Err(Error::Ipv6Spelling { canonical })
    }
}
