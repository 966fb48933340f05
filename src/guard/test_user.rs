//! Which users are test users: those whose e-mail address is in a listed
//! domain. The rule is the test-user row of `design/policy.md`'s decisions; the
//! dialects say the same in SQL.
//!
//! It is exact on purpose: the systems before asked whether a domain occurs
//! *somewhere* in the address, and took `x@test.com.evil.org` for their own.
//! Whatever is odd (a second `@`, a letter that only looks like another) is not
//! a test user, and so is left alone.

use std::collections::BTreeSet;

/// RFC 1035's limit for one label of a domain, in bytes.
const LABEL_BYTES: usize = 63;

/// Why a text is no domain to recognise test users by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Without a dot it is no domain, and `com` would be everybody's.
    #[error("the test domain {domain:?} has no dot; name a whole domain, as in test.com")]
    NoDot {
        /// The domain as written.
        domain: String,
    },
    /// A label is empty, too long or has another character; patterns, spaces
    /// and look-alike letters end here.
    #[error(
        "the test domain {} is none; each part between its dots has 1 to 63 letters, digits or `-`, not at its ends, and there are no patterns",
        shown(.domain)
    )]
    Label {
        /// The domain as written.
        domain: String,
    },
}

/// The domains whose users are test users, in lower case. Without a domain
/// nobody is a test user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestDomains(BTreeSet<String>);

impl TestDomains {
    /// Takes the domains of a policy or request, each as `test.com` or, as older
    /// documents write it, `@test.com`; in any case, in any order.
    ///
    /// # Errors
    ///
    /// [`Error`] for the first that is no domain of at least two labels of ASCII
    /// letters, digits and `-`.
    pub fn new<T: AsRef<str>>(domains: impl IntoIterator<Item = T>) -> Result<Self, Error> {
        domains
            .into_iter()
            .map(|written| domain(written.as_ref()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether an e-mail address is a test user's: exactly one `@`, something
    /// before it, no whitespace, control or non-ASCII character anywhere, and
    /// after it a listed domain, whole, without regard to ASCII case.
    ///
    /// What stands before the `@` may be a wildcard of SQL or Redis: the address
    /// is a value, never a pattern.
    #[must_use]
    pub fn is_test_user(&self, email: &str) -> bool {
        let Some((local, domain)) = email.split_once('@') else {
            return false;
        };
        // The listed domains have no `@`, so a second one matches none of them.
        !local.is_empty()
            && email.bytes().all(|byte| byte.is_ascii_graphic())
            && self
                .0
                .iter()
                .any(|listed| listed.eq_ignore_ascii_case(domain))
    }

    /// The domains, in lower case without `@`, sorted.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

fn domain(written: &str) -> Result<String, Error> {
    let domain = written.strip_prefix('@').unwrap_or(written);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_BYTES
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if !domain.split('.').all(is_label) {
        return Err(Error::Label {
            domain: written.to_owned(),
        });
    }
    if !domain.contains('.') {
        return Err(Error::NoDot {
            domain: written.to_owned(),
        });
    }
    Ok(domain.to_ascii_lowercase())
}

/// Escapes what is not ASCII, so that a look-alike letter is seen.
fn shown(domain: &str) -> String {
    format!("\"{}\"", domain.escape_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mestore() -> TestDomains {
        TestDomains::new(["@test.com", "testing.com", "dev.com", "Example.com"]).unwrap()
    }

    #[test]
    fn knows_test_users() {
        let domains = mestore();
        for email in [
            "a@test.com",
            "A@TEST.COM",
            "a@Example.Com",
            "a+b@test.com",
            "a.b-c@dev.com",
            "\"a\"@test.com",
            // Literal addresses, however they look to LIKE.
            "%@test.com",
            "_@test.com",
        ] {
            assert!(domains.is_test_user(email), "{email}");
        }
    }

    #[test]
    fn knows_who_is_none() {
        let domains = mestore();
        for email in [
            "a@test.com.evil.org",
            "a@evil-test.com",
            "a@xtest.com",
            "a@sub.test.com",
            "ceo@dev.company.com",
            "bob@test.community",
            "a@test.com.",
            "a@.test.com",
            "\"a@test.com\"@evil.org",
            "\"a@evil.org\"@test.com",
            "a@test.com@evil.org",
            "a@evil.org@test.com",
            "a@@test.com",
            "a@evil.org\n@test.com",
            "a\n@test.com",
            "a@test.com\n",
            "a@test.com ",
            " a@test.com",
            "a b@test.com",
            "a\0@test.com",
            "a@test.com\0",
            "a\u{7f}@test.com",
            "a@testxcom",
            "a@test_com",
            "a@t\u{435}st.com",
            "a@t\u{e9}st.com",
            "\u{e9}@test.com",
            "a@\u{ff54}\u{ff45}\u{ff53}\u{ff54}.com",
            "a\u{ff20}test.com",
            "a@test\u{3002}com",
            "a\u{200b}@test.com",
            "a@test.com\u{200b}",
            "a@te\u{ad}st.com",
            "\u{feff}a@test.com",
            "@test.com",
            "a@",
            "@",
            "a",
            "test.com",
            "",
        ] {
            assert!(!domains.is_test_user(email), "{email:?}");
        }
    }

    #[test]
    fn is_unimpressed_by_a_mebibyte() {
        let domains = mestore();
        let long = "a".repeat(1 << 20);
        assert!(domains.is_test_user(&format!("{long}@test.com")));
        assert!(!domains.is_test_user(&format!("a@{long}.test.com")));
        assert!(!domains.is_test_user(&long));
        assert!(!domains.is_test_user(&"@".repeat(1 << 20)));
    }

    #[test]
    fn one_odd_character_anywhere_is_too_many() {
        let domains = mestore();
        let good = "user@test.com";
        let odd = ('\0'..=' ').chain(['\u{7f}', '@', '\u{a0}', '\u{200d}', '\u{430}']);
        for character in odd {
            for position in 0..=good.len() {
                let mut email = good.to_owned();
                email.insert(position, character);
                assert!(!domains.is_test_user(&email), "{email:?}");
            }
        }
    }

    #[test]
    fn reads_domains() {
        let domains =
            TestDomains::new(["test.com", "@TEST.com", "a-b.dev.example", "dev.com"]).unwrap();
        let listed: Vec<_> = domains.domains().collect();
        assert_eq!(listed, ["a-b.dev.example", "dev.com", "test.com"]);
        let nobody = TestDomains::new(Vec::<String>::new()).unwrap();
        assert!(!nobody.is_test_user("a@test.com"));
    }

    #[test]
    fn refuses_what_is_no_domain() {
        for domain in ["com", "@localhost", "test-com"] {
            let error = TestDomains::new(["test.com", domain]).unwrap_err();
            assert!(matches!(error, Error::NoDot { .. }), "{domain}");
        }
        let long = format!("{}.com", "a".repeat(64));
        for domain in [
            "",
            "@",
            ".",
            "test.",
            ".com",
            "test..com",
            "@@test.com",
            "a@test.com",
            " test.com",
            "test.com ",
            "test_com",
            "te_st.com",
            "%.com",
            "*.test.com",
            "-test.com",
            "test-.com",
            "t\u{435}st.com",
            "test.com\0",
            "test.com,dev.com",
            &long,
        ] {
            let error = TestDomains::new([domain]).unwrap_err();
            assert!(matches!(error, Error::Label { .. }), "{domain:?}");
            assert!(error.to_string().is_ascii(), "{error}");
        }
    }
}
