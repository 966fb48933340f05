//! Percent-encoding, strictly: other readers leave a malformed escape as it
//! stands, and then disagree about what it means.

use std::fmt;

use super::error::{Error, Part};

/// Decodes; a malformed escape, or bytes that are not UTF-8, are an error.
pub(super) fn decode(text: &str, part: Part) -> Result<String, Error> {
    let malformed = || Error::Encoding { part };
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let high = bytes.next().and_then(hexadecimal).ok_or_else(malformed)?;
            let low = bytes.next().and_then(hexadecimal).ok_or_else(malformed)?;
            high << 4 | low
        } else {
            byte
        });
    }
    String::from_utf8(decoded).map_err(|_| malformed())
}

fn hexadecimal(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16)?.try_into().ok()
}

/// Encodes all but RFC 3986's unreserved characters and those named.
pub(super) fn encode(text: &str, keep: &str, out: &mut impl fmt::Write) -> fmt::Result {
    for byte in text.bytes() {
        let character = char::from(byte);
        if character.is_ascii_alphanumeric()
            || "-._~".contains(character)
            || keep.contains(character)
        {
            out.write_char(character)?;
        } else {
            write!(out, "%{byte:02X}")?;
        }
    }
    Ok(())
}
