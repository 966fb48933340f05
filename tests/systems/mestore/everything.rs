//! The full reset, and the numbers that one looks at before.

use resetd::proto::{FullResetRequest, StatisticsRequest};
use tonic::Code;

use super::{ADMINS, MESTORE, assert_whole, confirmed, full_reset, test_users};
use crate::{
    cases,
    place::Kind,
    world::{World, changed, refusal},
};

cases! {
    BOTH: a07_a16_aw08_admins_stay_as_they_are,
        a07_admins_go_when_asked_to,
        a08_a30_a33_only_with_the_exact_words,
        a18_a24_aw13_statistics_are_counts;
}

async fn a07_a16_aw08_admins_stay_as_they_are(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let before = world.dump().await;
    let everything = match kind {
        Kind::Sqlite => {
            "SELECT group_concat(quote(id) || quote(email) || quote(password_hash) \
            || quote(user_type) || quote(nombre) || quote(banco) || quote(employee_id) \
            || quote(created_at), ';') FROM (SELECT * FROM users WHERE user_type IN \
            ('ADMIN', 'SUPERUSER') ORDER BY id)"
        }
        Kind::Postgres | Kind::MariaDb => {
            "SELECT string_agg(to_jsonb(u)::text, ';' ORDER BY id) \
            FROM users AS u WHERE user_type IN ('ADMIN', 'SUPERUSER')"
        }
    };
    let admins = world.ask(everything).await;
    let dry = FullResetRequest {
        validate_only: true,
        ..confirmed()
    };
    let superuser = world.superuser().await;
    let preview = full_reset(&superuser, dry).await.unwrap();
    assert!(changed(&before, &world.dump().await).is_empty());
    let done = full_reset(&superuser, confirmed()).await.unwrap();
    assert_eq!(done.tables, preview.tables);
    assert_eq!(world.ask(everything).await, admins, "to the letter");
    assert_eq!(
        world.count("users", "true").await,
        world.count("users", ADMINS).await
    );
    let after = world.dump().await;
    for table in [
        "categories",
        "admin_permissions",
        "system_settings",
        "alembic_version",
    ] {
        assert_eq!(before[table], after[table], "{table}");
    }
    for table in [
        "orders",
        "order_items",
        "products",
        "payments",
        "commissions",
        "inventory",
    ] {
        assert!(after[table].is_empty(), "{table}");
    }
    assert_whole(&world).await;
    let again = full_reset(&superuser, confirmed()).await.unwrap();
    assert_eq!(again.total_rows, 0);
}

async fn a07_admins_go_when_asked_to(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let request = FullResetRequest {
        preserve_admins: Some(false),
        ..confirmed()
    };
    full_reset(&world.superuser().await, request).await.unwrap();
    assert_eq!(world.count("users", "true").await, 0);
    assert!(world.count("categories", "true").await > 0);
}

async fn a08_a30_a33_only_with_the_exact_words(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let before = world.dump().await;
    let superuser = world.superuser().await;
    for (phrase, reason) in [
        ("", "CONFIRMATION_REQUIRED"),
        ("DELETE ALL DATA", "CONFIRMATION_MISMATCH"),
        (
            "i understand this will delete all data",
            "CONFIRMATION_MISMATCH",
        ),
        (
            "I UNDERSTAND THIS WILL DELETE ALL DATA ",
            "CONFIRMATION_MISMATCH",
        ),
        ("yes", "CONFIRMATION_MISMATCH"),
    ] {
        let request = FullResetRequest {
            confirmation: phrase.to_owned(),
            ..FullResetRequest::default()
        };
        let refused = refusal(full_reset(&superuser, request).await);
        assert_eq!(refused.1, reason, "{phrase:?}");
        assert_ne!(refused.0, Code::Ok);
    }
    let (code, ..) = refusal(full_reset(&world.admin().await, confirmed()).await);
    assert_eq!(code, Code::PermissionDenied, "an admin is not enough");
    assert!(changed(&before, &world.dump().await).is_empty());
}

async fn a18_a24_aw13_statistics_are_counts(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let viewer = world.caller(resetd::access::Role::Viewer).await;
    let request = StatisticsRequest {
        exact: true,
        ..StatisticsRequest::default()
    };
    let told = viewer.statistics(request).await.unwrap();
    assert_eq!((told.total_users, told.test_users), (300, 100));
    assert_eq!(world.count("users", test_users(kind)).await, 100);
    assert_eq!(told.environment, "test");
    assert_eq!(told.users.len(), 5);
    for users in &told.users {
        let of_type = format!("user_type = '{}'", users.user_type);
        assert_eq!(world.count("users", &of_type).await, users.total);
        let active = format!("{of_type} AND is_active");
        assert_eq!(world.count("users", &active).await, users.active);
    }
    for table in &told.tables {
        let rows = world.count(&table.table, "true").await;
        assert_eq!(rows, table.rows, "{}", table.table);
    }
    assert!(told.tables.len() >= 34, "{}", told.tables.len());
}
