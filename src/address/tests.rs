//! The address cases of `design/guard.md`, and laws over generated text.

use super::*;

/// Stands nowhere but in passwords, so that a leak is seen.
const SECRET: &str = "Zq7xSecretZq7x";

fn parsed(text: &str) -> Address {
    Address::parse(text).unwrap_or_else(|error| panic!("{text:?} was refused: {error}"))
}

fn refused(text: &str) -> Error {
    match Address::parse(text) {
        Ok(address) => panic!("{text:?} was read as {address:?}"),
        Err(error) => error,
    }
}

#[test]
fn accepts_what_the_grammar_knows() {
    // address, redacted form
    let cases = [
        (
            "postgresql://localhost:5432/test_db",
            "postgresql://localhost:5432/test_db",
        ),
        (
            "postgres://u:p@localhost/app_test",
            "postgres://u@localhost:5432/app_test",
        ),
        (
            "postgresql://u@db_test/app",
            "postgresql://u@db_test:5432/app",
        ),
        (
            "postgresql://u@postgres:6543/app",
            "postgresql://u@postgres:6543/app",
        ),
        (
            "postgres://u@LOCALHOST/app_test",
            "postgres://u@localhost:5432/app_test",
        ),
        (
            "postgres://u@localhost.evil.org/app",
            "postgres://u@localhost.evil.org:5432/app",
        ),
        (
            "postgres://u@evil-localhost/app",
            "postgres://u@evil-localhost:5432/app",
        ),
        (
            "postgres://u@127.0.0.1/app",
            "postgres://u@127.0.0.1:5432/app",
        ),
        (
            "postgres://u@0xdeadbeef.example/app",
            "postgres://u@0xdeadbeef.example:5432/app",
        ),
        ("postgres://u@[::1]/app", "postgres://u@[::1]:5432/app"),
        (
            "postgres://u@[fe80::1]:7/app",
            "postgres://u@[fe80::1]:7/app",
        ),
        (
            "postgres://u@h:65535/app?sslmode=require",
            "postgres://u@h:65535/app",
        ),
        (
            "postgres://u%40server:p@h/a",
            "postgres://u%40server@h:5432/a",
        ),
        ("postgres://u:a:b%2Fc%20d%5Ce@h/a", "postgres://u@h:5432/a"),
        ("postgres://u@h/app%2Dtest", "postgres://u@h:5432/app-test"),
        (
            "mysql://u:p@localhost/app_test",
            "mysql://u@localhost:3306/app_test",
        ),
        (
            "mariadb://u@h/app?ssl-mode=REQUIRED",
            "mariadb://u@h:3306/app",
        ),
        (
            "sqlite:///./abacus_replitt.db",
            "sqlite:///./abacus_replitt.db",
        ),
        ("sqlite:///../x.db", "sqlite:///../x.db"),
        ("sqlite:////abs/x.db", "sqlite:////abs/x.db"),
        ("sqlite:/abs/x.db", "sqlite:////abs/x.db"),
        ("sqlite://./x.db", "sqlite:///./x.db"),
        ("sqlite://relative.db", "sqlite:relative.db"),
        ("sqlite:relative.db", "sqlite:relative.db"),
        ("sqlite:.hidden.db", "sqlite:.hidden.db"),
        ("sqlite:dir/relative.db", "sqlite:dir/relative.db"),
        (
            "sqlite:////home/jos%c3%a9/x.db",
            "sqlite:////home/jos%C3%A9/x.db",
        ),
        ("sqlite:///./a%40b.db", "sqlite:///./a%40b.db"),
    ];
    for (text, redacted) in cases {
        let address = parsed(text);
        assert_eq!(address.redacted(), redacted, "{text}");
        let again = parsed(redacted);
        assert_eq!(again.database(), address.database(), "{text}");
        assert_eq!(again.host(), address.host(), "{text}");
        assert_eq!(again.redacted(), redacted, "{text}");
    }
}

/// The expected error, where `/` adds the part that it names, and the address.
const REFUSED: &str = "\
UnknownOption    postgres://u@localhost/app_test?host=prod
UnknownOption    postgres://u@localhost/app_test?hostaddr=10.0.0.5
UnknownOption    postgres://u@localhost/app_test?host=a&host=b
EncodedOption    postgres://u@localhost/app_test?h%6fst=prod
UnknownOption    postgres://u@localhost/app_test?HOST=prod
UnknownOption    postgres://u@localhost/app_test?dbname=prod
UnknownOption    postgres://u@localhost/app_test?user=admin
UnknownOption    postgres://u@localhost/app_test?port=1&port=2
UnknownOption    postgres://u@h/a?options=-csearch_path%3Dx
UnknownOption    postgres://u@h/a?options=-crole%3Dadmin
UnknownOption    postgres://u@h/a?service=prod
UnknownOption    postgres://u@h/a?application_name=x%00database%00prod
RepeatedOption   postgres://u@h/a?sslmode=require&sslmode=disable
RepeatedOption   postgres://u@h/a?sslmode=require&sslmode=require
OptionValue      postgres://u@h/a?sslmode=REQUIRE
UnknownOption    postgres://u@h/a?SSLMODE=require
UnknownOption    postgres://u@h/a?ssl-mode=REQUIRED
UnknownOption    mysql://u@h/a?sslmode=require
OptionForm       postgres://u@h/a?
OptionForm       postgres://u@h/a?sslmode
OptionForm       postgres://u@h/a?sslmode=require&
OptionValue      postgres://u@h/a?sslmode=require?host=b
Decoded/Database postgres://u@h/app_test%00database%00prod
EncodedHost      postgres://u@%2Frun%2Fpg/app_test?host=prod
EncodedHost      postgres://u@localh%6fst/a
EncodedHost      postgres://u@localhost:54%332/a
SeveralHosts     postgres://u@localhost,prod/app_test
SeveralHosts     postgres://u@localhost:1,prod:2/app_test
MappedIpv4       postgres://u@[::ffff:10.0.0.5]/a
MappedIpv4       postgres://u@[::ffff:a00:5]/a
Ipv6Spelling     postgres://u@[::10.0.0.5]/a
Ipv6Spelling     postgres://u@[0:0:0:0:0:0:0:1]/a
Ipv6Spelling     postgres://u@[FE80::1]/a
UnspecifiedHost  postgres://u@[::]/a
NoIpv6           postgres://u@[::1/a
NoIpv6           postgres://u@[127.0.0.1]/a
EncodedHost      postgres://u@[fe80::1%25eth0]/a
Port             postgres://u@[::1]5432/a
Port             postgres://u@[::1]:/a
BareColons       postgres://u@::1/a
UnspecifiedHost  postgres://u@0.0.0.0/a
NumericHost      postgres://u@127.1/a
NumericHost      postgres://u@2130706433/a
NumericHost      postgres://u@0x7f000001/a
NumericHost      postgres://u@0X7F000001/a
NumericHost      postgres://u@0177.0.0.1/a
NumericHost      postgres://u@0x7f.1/a
NumericHost      postgres://u@127.0.0.0x1/a
NumericHost      postgres://u@127.0.0.01/a
NumericHost      postgres://u@256.0.0.1/a
NumericHost      postgres://u@1.2.3.4.5/a
NumericHost      postgres://u@db.1/a
TrailingDot      postgres://u@localhost./a
TrailingDot      postgres://u@127.0.0.1./a
HostName         postgres://u@./a
HostName         postgres://u@a..b/a
HostName         postgres://u@.a/a
HostName         postgres://u@-a/a
HostName         postgres://u@a*b/a
NonAscii         postgres://u@l\u{43e}calhost/a
NonAscii         postgres://u@h/app_t\u{435}st
Decoded/Database postgres://u@h/app_t%D0%B5st
Fragment         postgres://u@prod#@localhost/app_test
Backslash        postgres://u@localhost\\@prod/app_test
StrayAt          postgres://u:pa@ss@h/a
StrayAt          postgres://u:pa/ss@h/a
StrayAt          postgres://u:pa?ss@h/a
StrayAt          postgres://u@localhost@prod/a
StrayAt          postgres://u@h/a@prod/b
Jdbc             jdbc:postgresql://localhost/app_test
Jdbc             jdbc:jdbc:jdbc:x
NoHost           postgres:///app_test
NoHost           postgres://u@/app_test
NoHost           postgres://u@:5432/app_test
NoHost           postgres://
NoSlashes        postgres:u@h/a
Port             postgres://u@h:0/a
Port             postgres://u@h:/a
Port             postgres://u@h:99999/a
Port             postgres://u@h:65536/a
Port             postgres://u@h:05432/a
Port             postgres://u@h:+5432/a
Port             postgres://u@h:-1/a
NoDatabase       postgres://u@h
NoDatabase       postgres://u@h/
NoDatabase       postgres://u@h?sslmode=require
SecondSlash      postgres://u@h/a/b
Decoded          postgres://u@h/a%2Fb
Decoded          postgres://u@h/a%20b
Decoded          postgres://u@h/dbname=prod
Decoded          postgres://u@h/postgres:a
Encoding         postgres://u@h/a%
Encoding         postgres://u@h/a%2
Encoding         postgres://u@h/a%+2
Encoding         postgres://u@h/a%zz
Encoding         postgres://u@h/a%ff
Decoded/User     postgres://u%00x@h/a
Decoded/User     postgres://u%2Fx@h/a
Decoded/Password postgres://u:p%00@h/a
EmptyUser        postgres://@h/a
EmptyUser        postgres://:p@h/a
EmptyPassword    postgres://u:@h/a
NoScheme         localhost/a
NoScheme         //localhost/a
UnknownScheme    u:p@localhost/a
UnknownScheme    Postgres://u@h/a
UnknownScheme    mssql://u@h/a
UnknownScheme    mssql+pyodbc://u@h/a
DriverSuffix     postgres+://u@h/a
InMemory         sqlite::memory:
InMemory         sqlite://:memory:
InMemory         sqlite:///:memory:
NoScheme         :memory:
SqlitePath       sqlite:%3Amemory%3A
SqlitePath       sqlite:file:x.db
SqliteOption     sqlite:x.db?mode=memory
AmbiguousPath    sqlite:///x.db
AmbiguousPath    sqlite:///dir/x.db
AmbiguousPath    sqlite://dir/x.db
SqlitePath       sqlite:
SqlitePath       sqlite://
SqlitePath       sqlite:///
SqlitePath       sqlite:////
SqlitePath       sqlite:///./
AmbiguousPath    sqlite:///..
SqlitePath       sqlite:..
SqlitePath       sqlite:////abs/../x.db
SqlitePath       sqlite:////abs/%2e%2e/x.db
SqlitePath       sqlite:////../x.db
SqlitePath       sqlite:////abs//x.db
SqlitePath       sqlite://///abs/x.db
SqlitePath       sqlite:////abs/x.db/
SqlitePath       sqlite:////abs/a%2Fx.db
SqlitePath       sqlite:////abs/x%00.db
SqlitePath       sqlite:////abs/x%3Fmode=memory
SqlitePath       sqlite://u@host/x.db
";

#[test]
fn refuses_whatever_leads_elsewhere() {
    let cases: Vec<_> = REFUSED.lines().collect();
    assert!(cases.len() > 130, "{} cases", cases.len());
    for case in cases {
        let (expected, text) = case.split_once(' ').unwrap();
        let text = text.trim_start();
        let shown = format!("{:?}", refused(text));
        let (kind, part) = expected.split_once('/').unwrap_or((expected, ""));
        let name = shown.split(' ').next();
        assert!(
            name == Some(kind) && shown.contains(part),
            "{text:?} gave {shown}"
        );
    }
}

#[test]
fn says_where_a_character_stands() {
    let cases = [
        ("", Error::Empty),
        (" postgres://u@h/a", Error::Space { position: 1 }),
        (
            "postgres://u@local\thost/a",
            Error::Control { position: 19 },
        ),
        ("postgres://u@h/a\n", Error::Control { position: 17 }),
        (
            "postgres://u@l\u{43e}calhost/a",
            Error::NonAscii { position: 15 },
        ),
        (
            "postgres://u@prod#@localhost/a",
            Error::Fragment { position: 18 },
        ),
        (
            "postgres://u@localhost\\@prod/a",
            Error::Backslash { position: 23 },
        ),
    ];
    for (text, error) in cases {
        assert_eq!(refused(text), error, "{text:?}");
    }
}

#[test]
fn reads_the_host_where_a_person_might_not() {
    // What looks like localhost is a user, a password or a database here; the
    // name layer sees the host `prod` and denies it.
    for text in [
        "postgres://localhost@prod/app_test",
        "postgres://u:localhost@prod/app_test",
        "postgres://u:localhost:5432@prod/app_test",
        "postgres://u@prod/localhost",
    ] {
        assert_eq!(parsed(text).host(), Some("prod"), "{text}");
    }
}

#[test]
fn gives_the_parts() {
    let address = parsed("postgresql://me%40site:a%2Fb:%C3%A9%20c@DB.Test/app?sslmode=verify-full");
    assert_eq!(address.engine(), Engine::Postgres);
    assert_eq!(address.user(), Some("me@site"));
    assert_eq!(address.password().map(Password::expose), Some("a/b:é c"));
    assert_eq!(address.host(), Some("db.test"));
    assert_eq!(address.port(), Some(5432));
    assert_eq!(address.database(), "app");
    assert_eq!(address.tls(), Some(TlsMode::VerifyFull));
    assert!(format!("{address:?}").contains("Password(…)"));

    assert_eq!(parsed("mysql://h/a").port(), Some(3306));
    assert_eq!(parsed("postgres://u@[::1]/a").host(), Some("::1"));

    let file = parsed("sqlite:///./abacus_replitt.db");
    assert_eq!(file.engine(), Engine::Sqlite);
    assert_eq!(file.database(), "./abacus_replitt.db");
    assert_eq!((file.host(), file.port(), file.user()), (None, None, None));
    assert_eq!(parsed("sqlite:////abs/x.db").database(), "/abs/x.db");
    assert_eq!(parsed("sqlite://relative.db").database(), "relative.db");
}

#[test]
fn mends_other_peoples_spellings() {
    let cases = [
        (
            format!("postgresql+asyncpg://u:{SECRET}@localhost:5432/app"),
            "the driver suffix `+asyncpg` is not read; write postgresql://u:…@localhost:5432/app",
        ),
        (
            "mysql+pymysql://u@h/app".to_owned(),
            "the driver suffix `+pymysql` is not read; write mysql://u@h:3306/app",
        ),
        (
            "sqlite+aiosqlite:///./app.db".to_owned(),
            "the driver suffix `+aiosqlite` is not read; write sqlite:///./app.db",
        ),
        (
            // More to mend than the suffix: nothing of it is shown.
            format!("postgresql+psycopg://u:{SECRET}/app"),
            "the driver suffix `+psycopg` is not read; write postgresql://user:…@host:port/database",
        ),
        (
            format!("jdbc:mysql://h/app?user=u&password={SECRET}"),
            "a `jdbc:` address is not read; leave out the prefix and put user and password before the host: mysql://user:…@host:port/database",
        ),
        (
            "jdbc:sqlite:app.db".to_owned(),
            "a `jdbc:` address is not read; leave out the prefix and put user and password before the host: sqlite:app.db",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(refused(&text).to_string(), message);
    }
}

#[test]
fn refuses_names_that_a_server_would_cut() {
    let name = "a".repeat(64);
    for (text, limit) in [
        (format!("postgres://u@h/{name}"), 63),
        (format!("postgres://{name}@h/a"), 63),
        (format!("mysql://u@h/{name}a"), 64),
    ] {
        assert!(
            matches!(refused(&text), Error::TooLong { limit: found, .. } if found == limit),
            "{text}"
        );
    }
    assert_eq!(parsed(&format!("mysql://u@h/{name}")).database(), name);
    let label = "a".repeat(64);
    assert!(matches!(
        refused(&format!("postgres://u@{label}/a")),
        Error::HostName { .. }
    ));
    let long = ["a"; 130].join(".");
    assert!(matches!(
        refused(&format!("postgres://u@{long}/a")),
        Error::HostName { .. }
    ));
}

#[test]
fn refuses_every_odd_character_everywhere() {
    let goods = [
        "postgres://user:pass@localhost:5432/app_test?sslmode=require",
        "postgres://user:pass@[::1]:5432/app_test",
        "sqlite:///./abacus.db",
    ];
    let mut count = 0;
    for good in goods {
        parsed(good);
        let controls = (0..32).chain([127]).map(char::from);
        let odd = [
            ' ', '\\', '#', '\u{a0}', '\u{200b}', '\u{202e}', '\u{ff0f}', '\u{430}',
        ];
        for character in controls.chain(odd) {
            for position in 0..=good.len() {
                let mut text = good.to_owned();
                text.insert(position, character);
                refused(&text);
                count += 1;
            }
        }
    }
    assert!(count > 5_000, "{count} cases ran");
}

#[test]
fn refuses_every_encoded_control_everywhere() {
    let good = "postgres://user:pass@localhost:5432/app_test?sslmode=require";
    for code in (0..32).chain([127]) {
        for position in 0..=good.len() {
            let mut text = good.to_owned();
            text.insert_str(position, &format!("%{code:02x}"));
            refused(&text);
        }
    }
}

#[test]
fn never_shows_the_password() {
    let mut ran = 0;
    // Characters around the password, and a garbled rest, so that it is taken
    // for every other part.
    let around = [
        "", ":", "@", "/", "?", "&", "=", "%", "%2F", "#", "\\", ",", "[", "]", "\t", "é", ".",
    ];
    let before = [
        "postgres://u:",
        "postgresql+asyncpg://u:",
        "mysql://u:",
        "jdbc:postgresql://u:",
        "sqlite://u:",
        "sqlite+aiosqlite:///u:",
        "mssql://u:",
        "u:",
        "postgres:u:",
    ];
    let after = [
        "@localhost/app",
        "@localhost",
        "/app",
        "",
        "@/a",
        "@[::1/a",
        "@a,b/c",
        "@h:x/a",
        "@h/a?b=c",
    ];
    for before in before {
        for left in around {
            for right in around {
                for after in after {
                    let text = format!("{before}{left}{SECRET}{right}{after}");
                    let shown = match Address::parse(&text) {
                        Ok(address) => format!("{address} {address:?} {}", address.redacted()),
                        Err(error) => format!("{error} {error:?}"),
                    };
                    assert!(!shown.contains(SECRET), "{text:?} gave {shown}");
                    ran += 1;
                }
            }
        }
    }
    assert!(ran > 20_000, "{ran} cases ran");
}

#[test]
fn survives_noise_and_reads_back_what_it_shows() {
    // A linear congruential generator: the same noise in every run.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let pieces = [
        "postgres",
        "mysql",
        "sqlite",
        "://",
        ":",
        "/",
        "//",
        "@",
        "?",
        "=",
        "&",
        "%",
        "%41",
        "%00",
        "%2F",
        "[",
        "]",
        "::1",
        "127.0.0.1",
        "0",
        "5432",
        ".",
        "..",
        "-",
        "_",
        "localhost",
        "prod",
        "a",
        "Z",
        "+x",
        "sslmode=require",
        "é",
        "\0",
        " ",
    ];
    let mut read = 0;
    for _ in 0..200_000 {
        let mut text = ["postgres://", "sqlite:", "mysql://a:b@", ""][next(4)].to_owned();
        for _ in 0..next(9) {
            text.push_str(pieces[next(pieces.len())]);
        }
        if let Ok(address) = Address::parse(&text) {
            read += 1;
            let again = parsed(&address.redacted());
            assert_eq!(again.redacted(), address.redacted(), "{text}");
            assert_eq!(again.database(), address.database(), "{text}");
            assert_eq!(again.host(), address.host(), "{text}");
            assert_eq!(again.port(), address.port(), "{text}");
            assert_eq!(again.user(), address.user(), "{text}");
        }
    }
    assert!(read > 1_000, "{read} were read");
}
