//! What a reset takes, what it leaves, and that it says so.

use std::collections::{BTreeMap, BTreeSet};

use resetd::{
    access::Role,
    proto::{ResetLevel, ResetResult, plan_edge::Choice},
};

use crate::{
    caller::{Caller, at, by_email, by_id, dry, new_user},
    dump::{Dump, Key, Place},
    harness::Server,
};

/// A buyer with twenty orders and everything that hangs off them.
pub const BUYER: &str = "maria.compradora@test.com";
/// A vendor with products, stock, storages, papers, payouts, commissions.
const VENDOR: &str = "tienda.demo@test.com";
/// What the policy keeps, and what a deleted row may therefore refer to
/// without sharing anything.
const KEPT: [&str; 4] = [
    "admin_permissions",
    "alembic_version",
    "categories",
    "system_settings",
];

/// The references that the plan clears, as `table.column`.
fn detached(preview: &ResetResult) -> BTreeSet<String> {
    preview
        .plan
        .iter()
        .filter(|edge| edge.choice() == Choice::Detach)
        .map(|edge| edge.reference.split(" -> ").next().unwrap().to_owned())
        .collect()
}

/// Holds a cascade to its promise, by what is in the database alone: what was
/// deleted hung off the user, what others have a part in was counted as
/// shared, and nothing else differs but cleared references that were listed.
fn hold_to_promise(user: &Place, preview: &ResetResult, before: &Dump, after: &Dump) {
    let deleted = before.deleted(after);
    assert!(deleted.contains(user), "the account is still there");
    let keys = |table: &str| -> Vec<&Key> {
        let keys = before.keys.iter();
        keys.filter(|key| key.child == table).collect()
    };
    let mut shared: BTreeMap<&str, i64> = BTreeMap::new();
    for place in deleted.iter().filter(|place| *place != user) {
        let parents: Vec<Place> = keys(&place.0)
            .into_iter()
            .filter_map(|key| before.parent(place, key))
            .collect();
        assert!(
            parents.iter().any(|parent| deleted.contains(parent)),
            "{place:?} was deleted and hung off nothing that was"
        );
        let stays = |parent: &Place| {
            !deleted.contains(parent) && !KEPT.contains(&parent.0.as_str()) && parent.0 != place.0
        };
        if parents.iter().any(stays) {
            *shared.entry(&place.0).or_default() += 1;
        }
    }
    let told = preview.shared.iter().map(|s| (s.table.as_str(), s.rows));
    assert_eq!(shared, told.collect(), "rows that others have a part in");

    let listed = detached(preview);
    let mut counted: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for (table, _) in &deleted {
        counted.entry(table).or_default().0 += 1;
    }
    let changed = before.changed(after);
    for (place, columns) in &changed {
        counted.entry(&place.0).or_default().1 += 1;
        for column in columns {
            let name = format!("{}.{column}", place.0);
            assert!(listed.contains(&name), "{name} of {place:?} changed");
            assert_eq!(after.value(place, column), None);
            let of_column = keys(&place.0).into_iter().filter(|k| k.column == *column);
            let mut parents = of_column.filter_map(|key| before.parent(place, key));
            assert!(parents.all(|parent| deleted.contains(&parent)));
        }
    }
    let told = preview.tables.iter().map(|table| {
        assert_eq!(table.restored, 0, "a cascade restores nothing");
        (table.table.as_str(), (table.deleted, table.detached))
    });
    assert_eq!(counted, told.collect(), "counts of the report");
    assert!(after.deleted(before).is_empty(), "rows appeared");
}

/// Resets a user, holds the reset to its promise, and gives what is left.
async fn cascade(server: &Server, tester: &Caller, email: &str, before: &Dump) -> Dump {
    let user = before.find("users", "email", email).unwrap();
    let id = before.value(&user, "id").unwrap();
    let preview = tester.reset(dry(by_email(email))).await.unwrap();
    let done = tester.reset(by_email(email)).await.unwrap();
    assert_eq!(done.level(), ResetLevel::UserCascade, "the default level");
    assert_eq!(
        (&preview.tables, &preview.shared),
        (&done.tables, &done.shared)
    );
    let after = whole(server).await;
    hold_to_promise(&user, &preview, before, &after);
    let mentions = after.mentions(&id, &[]);
    assert!(mentions.is_empty(), "{mentions:#?}");
    // What the warehouse reported about others' stock stays, signed.
    let mentions = after.mentions(&format!("'{email}'"), &["incidentes_inventario"]);
    assert!(mentions.is_empty(), "{mentions:#?}");
    after
}

/// The whole database, with the references that the policy declares.
async fn whole(server: &Server) -> Dump {
    let mut dump = server.data.dump().await.without_proofs();
    dump.declare("admin_activity_logs", "target_id", "users", "id");
    dump.declare("admin_activity_logs", "admin_email", "users", "email");
    dump
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_cascade_nothing_reaches_or_names_the_user() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let orders = format!(
        "SELECT count(*) FROM orders JOIN users ON users.id = buyer_id WHERE email = '{BUYER}'"
    );
    assert!(server.data.number(&orders).await >= 12);
    let before = server.data.dump().await;
    let user = before.find("users", "email", BUYER).unwrap();
    let id = before.value(&user, "id").unwrap();
    assert!(before.mentions(&id, &["users"]).len() > 20);

    let done = tester.reset(by_email(BUYER)).await.unwrap();

    let after = server.data.dump().await;
    // The proof of the commit says whose reset it was; it is ours.
    for text in [id.as_str(), BUYER] {
        let mentions = after.mentions(text, &["resetd_commit"]);
        assert!(mentions.is_empty(), "{mentions:#?}");
    }
    let broken = "SELECT count(*) FROM pragma_foreign_key_check";
    assert_eq!(server.data.number(broken).await, 0);
    assert_eq!(done.affected_user_count, 1);
    assert_eq!(done.affected_users[0].id, id);
    assert_eq!(done.affected_users[0].email, BUYER);
    assert_eq!(done.actor, "demo-tester");
    assert_eq!(done.environment, "development");
    assert!(done.plan.is_empty() && !done.validate_only);

    let created = tester.create(new_user(BUYER)).await.unwrap();
    assert_ne!(created.user.unwrap().id, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cascade_takes_what_is_the_users_and_leaves_everybody_elses() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let test_users = "SELECT email FROM users WHERE rowid <= 100 ORDER BY rowid";
    let emails = server.data.texts(test_users).await;
    assert!(emails.len() == 100 && emails.contains(&VENDOR.to_owned()));
    let mut before = whole(&server).await;
    for email in emails {
        before = cascade(&server, &tester, &email, &before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lesser_levels_restore_the_account_and_keep_it() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let dirty = format!(
        "UPDATE users SET otp_secret = '123456', otp_attempts = 3, reset_token = 't', \
         failed_login_attempts = 9, last_login = '2026-01-01' WHERE email = '{BUYER}'"
    );
    server.data.run(&dirty).await;
    let before = server.data.dump().await.without_proofs();
    let user = before.find("users", "email", BUYER).unwrap();
    let id = before.value(&user, "id").unwrap();

    let request = at(ResetLevel::UserData, by_id(&id));
    let done = tester.reset(request.clone()).await.unwrap();
    assert_eq!(done.level(), ResetLevel::UserData);
    assert_eq!(restored(&done), [("users", 1)]);
    let after = server.data.dump().await.without_proofs();
    let changed = before.changed(&after);
    let columns: BTreeSet<&str> = changed[&user].iter().map(String::as_str).collect();
    assert!(columns.is_superset(&["otp_secret", "otp_attempts", "reset_token"].into()));
    assert!(
        columns
            .iter()
            .all(|c| c.contains("otp") || c.contains("reset"))
    );
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(before.deleted(&after).is_empty());
    let again = tester.reset(request).await.unwrap();
    assert_eq!(again.total_rows, 0, "a second run finds nothing: {again:?}");
    assert_eq!(again.affected_user_count, 1);

    let request = at(ResetLevel::UserSessions, by_email(BUYER));
    let done = tester.reset(request).await.unwrap();
    assert_eq!(restored(&done), [("users", 1)]);
    let last = server.data.dump().await.without_proofs();
    let changed = after.changed(&last);
    assert_eq!(changed.len(), 1, "{changed:?}");
    let columns: BTreeSet<&str> = changed[&user].iter().map(String::as_str).collect();
    assert!(columns.is_superset(&["failed_login_attempts", "last_login"].into()));
    assert!(after.deleted(&last).is_empty());
}

fn restored(done: &ResetResult) -> Vec<(&str, i64)> {
    let tables = done.tables.iter();
    tables.map(|t| (t.table.as_str(), t.restored)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_deleted_user_is_found_and_reset() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let sql = format!("UPDATE users SET deleted_at = '2026-01-01' WHERE email = '{BUYER}'");
    server.data.run(&sql).await;
    let done = tester.reset(by_email(BUYER)).await.unwrap();
    assert_eq!(done.affected_user_count, 1);
}
