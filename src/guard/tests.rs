//! The layers' verdicts.

use jiff::SignedDuration;

use super::*;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn setting() -> Setting {
    Setting {
        target: "default".into(),
        environment: Some("development".into()),
        database: "./data/shop.db".into(),
        ..Setting::default()
    }
}

fn marker() -> Marker {
    Marker {
        id: "m1".into(),
        environment: "development".into(),
        database: "shop.db".into(),
        server_identity: "/data/shop.db".into(),
        armed_by: "someone".into(),
        armed_at: now() - SignedDuration::from_hours(1),
        expires_at: now() + SignedDuration::from_hours(1),
        protected: false,
    }
}

fn seen(markers: Vec<Marker>) -> Seen {
    Seen {
        database: "shop.db".into(),
        server_identity: "/data/shop.db".into(),
        read_only: false,
        markers,
    }
}

fn reasons(setting: &Setting, seen: Seen) -> Vec<Reason> {
    match clear((), setting, seen, Limits { max_rows: 1 }, now()) {
        Ok(_) => Vec::new(),
        Err(Refused(refusals)) => refusals.into_iter().map(|r| r.reason).collect(),
    }
}

#[test]
fn an_armed_database_is_cleared() {
    assert_eq!(reasons(&setting(), seen(vec![marker()])), []);
}

#[test]
fn every_fault_of_a_marker_refuses() {
    type Spoil = fn(&mut Marker);
    let cases: [(&str, Spoil, Reason); 5] = [
        ("expired", |m| m.expires_at = now(), Reason::TargetNotArmed),
        ("protected", |m| m.protected = true, Reason::TargetProtected),
        (
            "other environment",
            |m| m.environment = "testing".into(),
            Reason::TargetIdentityMismatch,
        ),
        (
            "other server",
            |m| m.server_identity = "/copy/shop.db".into(),
            Reason::TargetIdentityMismatch,
        ),
        (
            "other database",
            |m| m.database = "SHOP.db".into(),
            Reason::TargetIdentityMismatch,
        ),
    ];
    for (name, spoil, reason) in cases {
        let mut spoiled = marker();
        spoil(&mut spoiled);
        assert_eq!(reasons(&setting(), seen(vec![spoiled])), [reason], "{name}");
    }
    assert_eq!(reasons(&setting(), seen(vec![])), [Reason::TargetNotArmed]);
    assert_eq!(
        reasons(&setting(), seen(vec![marker(), marker()])),
        [Reason::TargetNotArmed]
    );
}

#[test]
fn another_database_or_a_read_only_one_refuses() {
    let mut elsewhere = seen(vec![marker()]);
    elsewhere.database = "live.db".into();
    assert!(reasons(&setting(), elsewhere).contains(&Reason::TargetIdentityMismatch));
    let mut standby = seen(vec![marker()]);
    standby.read_only = true;
    assert_eq!(reasons(&setting(), standby), [Reason::DatabaseReadOnly]);
}

#[test]
fn all_refusals_come_at_once() {
    let setting = Setting {
        environment: Some("production".into()),
        ..setting()
    };
    assert_eq!(
        reasons(&setting, seen(vec![])),
        [Reason::EnvironmentDenied, Reason::TargetNotArmed]
    );
}

#[test]
fn the_budget_is_a_limit_that_may_be_reached() {
    let limits = Limits { max_rows: 10 };
    assert!(limits.check(10).is_ok());
    assert_eq!(
        limits.check(11).unwrap_err().reason,
        Reason::BlastRadiusExceeded
    );
}

#[test]
fn protected_users_stay_even_when_forced() {
    let rule = UserRule {
        domains: TestDomains::new(["test.com"]).unwrap(),
        protected: vec!["boss@test.com".into()],
        own: Some("7".into()),
        force: true,
    };
    let user = |id: &str, email: &str| UserFacts {
        id: id.into(),
        email: Some(email.into()),
    };
    let refusal = |user| rule.check(&user).map_err(|refusal| refusal.reason);
    assert_eq!(
        refusal(user("1", "boss@test.com")),
        Err(Reason::ProtectedUser)
    );
    assert_eq!(
        refusal(user("7", "me@test.com")),
        Err(Reason::ProtectedUser)
    );
    assert_eq!(refusal(user("2", "ceo@corporation.com")), Ok(()));
    let unforced = UserRule {
        force: false,
        ..rule.clone()
    };
    assert_eq!(
        unforced
            .check(&user("2", "ceo@corporation.com"))
            .map_err(|r| r.reason),
        Err(Reason::NotATestUser)
    );
    assert_eq!(unforced.check(&user("3", "a@test.com")), Ok(()));
}
