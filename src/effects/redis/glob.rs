//! Redis's globs, matched here: many patterns in one pass over the keys.

use std::collections::{BTreeMap, BTreeSet};

/// Patterns, by what their matches begin with.
#[derive(Debug, Default)]
pub(super) struct Globs {
    by_beginning: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
    lengths: BTreeSet<usize>,
}

impl Globs {
    pub(super) fn new<'a>(patterns: impl Iterator<Item = &'a str>) -> Self {
        let mut globs = Self::default();
        for pattern in patterns {
            let beginning = beginning(pattern.as_bytes());
            globs.lengths.insert(beginning.len());
            let known = globs.by_beginning.entry(beginning).or_default();
            known.push(pattern.as_bytes().to_vec());
        }
        globs
    }

    pub(super) fn matches(&self, key: &[u8]) -> bool {
        self.lengths.iter().any(|&length| {
            let patterns = key
                .get(..length)
                .and_then(|begin| self.by_beginning.get(begin));
            patterns.is_some_and(|patterns| patterns.iter().any(|pattern| matches(pattern, key)))
        })
    }

    /// One pattern that matches whatever any of them matches: the only one
    /// itself, else what all begin with.
    pub(super) fn covering(&self) -> Vec<u8> {
        let mut all = self.by_beginning.values().flatten();
        if let (Some(only), None) = (all.next(), all.next()) {
            return only.clone();
        }
        let first = self.by_beginning.keys().next();
        let last = self.by_beginning.keys().next_back();
        let (Some(first), Some(last)) = (first, last) else {
            return b"*".to_vec();
        };
        let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        let mut covering = Vec::new();
        for &byte in first.iter().take(shared) {
            if b"*?[]\\^-".contains(&byte) {
                covering.push(b'\\');
            }
            covering.push(byte);
        }
        covering.push(b'*');
        covering
    }
}

/// What every match of a pattern begins with.
fn beginning(pattern: &[u8]) -> Vec<u8> {
    let mut begin = Vec::new();
    let mut bytes = pattern.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'*' | b'?' | b'[' => break,
            b'\\' => begin.push(bytes.next().copied().unwrap_or(b'\\')),
            other => begin.push(other),
        }
    }
    begin
}

/// Whether a key matches a pattern, as Redis's own `stringmatchlen` has it,
/// without its exponential time: after a star that has matched, no earlier one
/// has to be tried again.
fn matches(pattern: &[u8], key: &[u8]) -> bool {
    let (mut pattern, mut key) = (pattern, key);
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        let step = match pattern.split_first() {
            Some((b'*', rest)) => {
                star = Some((rest, key));
                pattern = rest;
                continue;
            }
            Some(_) => one(pattern, key),
            None if key.is_empty() => return true,
            None => None,
        };
        match (step, &mut star) {
            (Some((rest, left)), _) => (pattern, key) = (rest, left),
            (None, Some((after, from))) => {
                let Some((_, left)) = from.split_first() else {
                    return false;
                };
                *from = left;
                (pattern, key) = (*after, *from);
            }
            (None, None) => return false,
        }
    }
}

/// Matches one byte of a key; what is left of both.
fn one<'p, 'k>(pattern: &'p [u8], key: &'k [u8]) -> Option<(&'p [u8], &'k [u8])> {
    let (&byte, left) = key.split_first()?;
    let (&first, rest) = pattern.split_first()?;
    match first {
        b'?' => Some((rest, left)),
        b'[' => {
            let (is_in, rest) = class(rest, byte);
            is_in.then_some((rest, left))
        }
        b'\\' => match rest.split_first() {
            Some((&escaped, rest)) => (escaped == byte).then_some((rest, left)),
            None => (byte == b'\\').then_some((rest, left)),
        },
        plain => (plain == byte).then_some((rest, left)),
    }
}

/// Whether a byte is in a class, and what comes after it.
fn class(pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    let (negated, mut rest) = match pattern.split_first() {
        Some((b'^', rest)) => (true, rest),
        _ => (false, pattern),
    };
    let mut is_in = false;
    loop {
        rest = match rest {
            [b'\\', escaped, after @ ..] => {
                is_in |= *escaped == byte;
                after
            }
            [b']', after @ ..] => return (is_in != negated, after),
            [from, b'-', to, after @ ..] => {
                let (low, high) = (from.min(to), from.max(to));
                is_in |= (low..=high).contains(&&byte);
                after
            }
            [single, after @ ..] => {
                is_in |= *single == byte;
                after
            }
            // A class that is not closed ends with the pattern.
            [] => return (is_in != negated, rest),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_mean_what_they_mean_to_redis() {
        for (pattern, key, expected) in [
            ("*", "", true),
            ("a*", "a", true),
            ("a*c", "abbbc", true),
            ("a*b*c", "axbxbxc", true),
            ("a*c", "abbb", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a[bc]d", "acd", true),
            ("a[^bc]d", "acd", false),
            ("a[a-c]d", "abd", true),
            ("a[c-a]d", "abd", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("a\\[1\\]", "a[1]", true),
            ("a[b", "ab", true),
            ("a[\\]]", "a]", true),
            ("u:1:*", "u:10:x", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), key.as_bytes()),
                expected,
                "{pattern} {key}"
            );
        }
    }

    #[test]
    fn many_are_covered_by_what_they_begin_with() {
        let globs = Globs::new(["u:1:*", "u:2:*", "u:\\*:*"].into_iter());
        assert_eq!(globs.covering(), b"u:*");
        assert!(globs.matches(b"u:2:x") && globs.matches(b"u:*:x"));
        assert!(!globs.matches(b"u:3:x") && !globs.matches(b"u:22:x"));
        assert_eq!(Globs::new(["a*[b]"].into_iter()).covering(), b"a*[b]");
        assert_eq!(Globs::new(["a:*", "b:*"].into_iter()).covering(), b"*");
    }
}
