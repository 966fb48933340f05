//! The environment and name cases of `design/guard.md`.

use super::*;

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn named(host: &str, database: &str) -> Result<(), Denied> {
    check_names(Some(host), database, &NameRules::default())
}

#[test]
fn finds_production_as_a_whole_word_only() {
    for text in [
        "contest",
        "latest",
        "devices",
        "test",
        "dev",
        "abacus_replitt",
        "abacus_replitt.db",
        "products",
        "product",
        "productive",
        "reproduction",
        "alive",
        "olive",
        "delivery",
        "live_d",
        "lives",
        "livestock",
        "staging",
        "nonprod",
        "prodigy",
        "",
        "-",
        "42",
        "db1",
    ] {
        let expected = (text == "live_d").then_some("live");
        assert_eq!(names_production(text), expected, "{text}");
    }
    for (text, word) in [
        ("attestation_prod", "prod"),
        ("prod_test_backup", "prod"),
        ("test_prod", "prod"),
        ("prod-eu", "prod"),
        ("Production", "production"),
        (" production", "production"),
        ("PROD", "prod"),
        ("live", "live"),
        ("go.live.example", "live"),
        ("prd", "prd"),
        ("prod1", "prod"),
        ("prod02", "prod"),
        ("db.prod2.internal", "prod"),
        ("2prod", "prod"),
        ("/srv/prod/app.db", "prod"),
        ("production.sqlite3", "production"),
        ("mysite.settings.production", "production"),
        ("metrics,prod", "prod"),
        ("x\u{e9}prod", "prod"),
        ("pre-prod", "prod"),
        ("preprod", "preprod"),
    ] {
        assert_eq!(names_production(text), Some(word), "{text}");
    }
}

#[test]
fn its_lists_are_consistent() {
    for word in PRODUCTION_WORDS {
        assert_eq!(names_production(word), Some(word));
        assert_eq!(word, word.to_ascii_lowercase());
    }
    for name in ALLOWED {
        assert_eq!(unusable(name), None);
    }
    for (index, name) in VARIABLES.iter().enumerate() {
        assert!(!VARIABLES[..index].contains(name), "{name} is there twice");
    }
}

#[test]
fn allows_the_four_environments_in_any_case() {
    for name in ALLOWED {
        for name in [
            name.to_owned(),
            name.to_ascii_uppercase(),
            name.replacen('t', "T", 1),
        ] {
            assert_eq!(check_environment(Some(&name), &[], &[]), Ok(()), "{name}");
        }
    }
}

#[test]
fn refuses_every_other_environment() {
    let begin = "Database reset not allowed in environment: ";
    for (declared, environment) in [
        (None, "(unset)"),
        (Some(""), "\"\""),
        (Some("production"), "production"),
        (Some("Production"), "Production"),
        (Some(" production"), "\" production\""),
        (Some("prod-eu"), "prod-eu"),
        (Some("live"), "live"),
        (Some("prod1"), "prod1"),
        (Some("test_prod"), "test_prod"),
        (Some("staging"), "staging"),
        (Some("contest"), "contest"),
        (Some("latest"), "latest"),
        (Some("tests"), "tests"),
        (Some("development,test"), "development,test"),
        (Some(" test"), "\" test\""),
        (Some("test "), "\"test \""),
        (Some("test\n"), "\"test\\n\""),
        (Some("test\0"), "\"test\\u{0}\""),
        (Some("t\u{435}st"), "\"t\\u{435}st\""),
        (
            Some("\u{ff54}\u{ff45}\u{ff53}\u{ff54}"),
            "\"\\u{ff54}\\u{ff45}\\u{ff53}\\u{ff54}\"",
        ),
    ] {
        let denied = check_environment(declared, &[], &[]).unwrap_err();
        assert_eq!(denied.message, format!("{begin}{environment}"));
        assert_eq!(denied.layer, Layer::Environment);
        assert!(
            denied.fix.contains("development, dev, testing, test"),
            "{}",
            denied.fix
        );
        assert_eq!(denied.observed.len(), 1);
        assert_eq!(denied.to_string(), denied.message);
    }
    let padded = check_environment(Some(" test"), &[], &[]).unwrap_err();
    assert!(padded.fix.contains("not trimmed"), "{}", padded.fix);
}

#[test]
fn a_variable_that_says_production_vetoes() {
    let observed = pairs(&[("APP_ENV", "test"), ("RAILS_ENV", "production")]);
    let denied = check_environment(Some("test"), &[], &observed).unwrap_err();
    assert_eq!(
        denied.message,
        "Database reset not allowed in environment: production (by RAILS_ENV)"
    );
    assert!(denied.fix.contains("RAILS_ENV"), "{}", denied.fix);
    assert_eq!(
        denied.observed,
        pairs(&[
            ("environment", "test"),
            ("APP_ENV", "test"),
            ("RAILS_ENV", "production")
        ])
    );
    for value in [
        "prod",
        " Production",
        "eu-live",
        "prod,metrics",
        "producci\u{f3}n",
        "pr\u{43e}d",
    ] {
        for variable in VARIABLES {
            let observed = pairs(&[(variable, value)]);
            assert!(
                check_environment(Some("test"), &[], &observed).is_err(),
                "{variable}={value}"
            );
        }
    }
    let harmless = pairs(&[
        ("NODE_ENV", ""),
        ("APP_ENV", "staging"),
        ("ENV", "/etc/profile"),
    ]);
    assert_eq!(check_environment(Some("dev"), &[], &harmless), Ok(()));
}

#[test]
fn a_configuration_adds_names_but_never_production() {
    let extra = list(&["qa", "Staging"]);
    assert_eq!(check_extra_allowed(&extra), Ok(()));
    for name in ["qa", "QA", "staging", "test"] {
        assert_eq!(check_environment(Some(name), &extra, &[]), Ok(()), "{name}");
    }
    for name in [
        "",
        " ",
        "qa ",
        "prod",
        "Production",
        "pre-prod",
        "live1",
        "q\u{430}",
    ] {
        let extra = list(&["qa", name]);
        let denied = check_extra_allowed(&extra).unwrap_err();
        assert_eq!(denied.layer, Layer::Environment);
        // Even one that slipped into the configuration allows nothing.
        assert!(
            check_environment(Some(name), &extra, &[]).is_err(),
            "{name:?}"
        );
    }
}

#[test]
fn passes_ordinary_names() {
    for (host, database) in [
        ("localhost", "abacus_replitt"),
        ("localhost", "contest"),
        ("localhost", "latest"),
        ("localhost", "devices"),
        ("db_test", "app"),
        ("postgres", "app_test"),
        ("mysql", "app_test"),
        ("::1", "app_test"),
        ("10.0.0.5", "app_test"),
        ("localhost.evil.org", "app_test"),
    ] {
        assert_eq!(named(host, database), Ok(()), "{host}/{database}");
    }
    for path in [
        "./abacus_replitt.db",
        "/home/jos\u{e9}/app.db",
        "app.db",
        "/var/lib/postgres/app.db",
    ] {
        assert_eq!(
            check_names(None, path, &NameRules::default()),
            Ok(()),
            "{path}"
        );
    }
}

#[test]
fn denies_production_system_and_look_alike_names() {
    let cases = [
        (Some("localhost"), "attestation_prod", "the word `prod`"),
        (Some("localhost"), "prod_test_backup", "the word `prod`"),
        (Some("localhost"), "test_prod", "the word `prod`"),
        (Some("localhost"), "Shop-Live", "the word `live`"),
        (Some("localhost"), "app_t\u{435}st", "outside ASCII"),
        (Some("localhost"), "postgres", "belongs to the server"),
        (Some("localhost"), "Postgres", "belongs to the server"),
        (Some("localhost"), "template0", "belongs to the server"),
        (Some("localhost"), "template1", "belongs to the server"),
        (Some("localhost"), "mysql", "belongs to the server"),
        (
            Some("localhost"),
            "information_schema",
            "belongs to the server",
        ),
        (
            Some("localhost"),
            "performance_schema",
            "belongs to the server",
        ),
        (Some("localhost"), "sys", "belongs to the server"),
        (Some("localhost"), "", "no name"),
        (None, "postgres", "belongs to the server"),
        (Some(""), "app_test", "no name"),
        (
            Some("prod"),
            "app_test",
            "the host prod has the word `prod`",
        ),
        (Some("prod"), "localhost", "the word `prod`"),
        (Some("prod1.db.internal"), "app_test", "the word `prod`"),
        (Some("prod-db"), "devices", "the word `prod`"),
        (Some("db.live.example"), "app_test", "the word `live`"),
        (Some("l\u{43e}calhost"), "app_test", "outside ASCII"),
        (None, "/srv/prod/app.db", "the word `prod`"),
        (None, "./production.sqlite3", "the word `production`"),
        (None, "./app_t\u{435}st.db", "outside ASCII"),
        (None, "/srv/", "no name"),
        (None, "", "no name"),
        // A name of a server is no path: all of it must be ASCII.
        (Some("localhost"), "\u{e9}/app", "outside ASCII"),
    ];
    for (host, database, why) in cases {
        let denied = check_names(host, database, &NameRules::default()).unwrap_err();
        assert_eq!(denied.layer, Layer::Address);
        let message = &denied.message;
        assert!(
            message.starts_with("DATABASE_URL appears to be production: "),
            "{message}"
        );
        assert!(message.contains(why), "{host:?}/{database} gave {message}");
        assert!(!denied.fix.is_empty());
        assert_eq!(denied.observed.len(), 1 + usize::from(host.is_some()));
    }
}

#[test]
fn compares_lists_whole() {
    let rules = NameRules {
        allow_hosts: list(&["localhost", "db.test", "[::1]"]),
        deny_hosts: list(&["db.test", " Billing.Example. "]),
        allow_databases: Vec::new(),
        deny_databases: list(&["Ledger", "billing.db"]),
    };
    let cases = [
        (Some("localhost"), "app", true),
        (Some("LocalHost"), "app", true),
        (Some("::1"), "app", true),
        (Some("localhost.evil.org"), "app", false),
        (Some("evil-localhost"), "app", false),
        (Some("db.test"), "app", false),
        (Some("billing.example"), "app", false),
        (Some("localhost"), "ledger", false),
        (Some("localhost"), "ledgers", true),
        (None, "./billing.db", false),
        (None, "./ledgers.db", true),
    ];
    for (host, database, passes) in cases {
        let checked = check_names(host, database, &rules);
        assert_eq!(
            checked.is_ok(),
            passes,
            "{host:?}/{database} gave {checked:?}"
        );
    }
    let rules = NameRules {
        allow_databases: list(&["app_test", "app.db", "prod"]),
        ..NameRules::default()
    };
    for (host, database, passes) in [
        (Some("h"), "app_test", true),
        (Some("h"), "app_test2", false),
        (Some("h"), "app", false),
        // An allow list outweighs no other rule.
        (Some("h"), "prod", false),
        (None, "./dir/app.db", true),
        (None, "app.db", true),
        (None, "./my-app.db", false),
    ] {
        let checked = check_names(host, database, &rules);
        assert_eq!(
            checked.is_ok(),
            passes,
            "{host:?}/{database} gave {checked:?}"
        );
    }
}

#[test]
fn shows_long_values_cut() {
    let long = "x".repeat(1 << 20);
    let denied = check_environment(Some(&long), &[], &[]).unwrap_err();
    assert!(denied.message.len() < 200, "{}", denied.message.len());
    assert!(denied.message.ends_with("xxx…"));
}
