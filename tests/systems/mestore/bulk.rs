//! All test users at once.

use resetd::proto::{ListOperationsRequest, ResetLevel, ResetTestUsersRequest, operation::State};
use tonic::Code;

use super::{
    ADMINS, BUYER, LOOK_ALIKES, MESTORE, NEWCOMER, assert_whole, cascade, reset, reset_test_users,
    test_users,
};
use crate::{
    cases,
    place::Kind,
    world::{World, changed, counts, refusal},
};

cases! {
    BOTH: a15_a27_a29_test_users_go_and_nobody_else,
        a15_aw02_further_domains_only_as_the_policy_lists_them,
        a15_each_level_for_all_of_them,
        a34_a48_orders_of_nobodys_are_swept_behind_the_reply,
        aw14_two_at_once_take_turns;
    POSTGRES: a22_statements_do_not_grow_with_the_rows;
}

async fn a15_a27_a29_test_users_go_and_nobody_else(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let admin = world.admin().await;
    let before = world.dump().await;
    let doomed = format!("{} AND NOT ({ADMINS})", test_users(kind));
    assert_eq!(world.count("users", &doomed).await, 92);
    let others = format!("SELECT email FROM users WHERE NOT ({doomed}) ORDER BY email");
    let stay = world.ask(&others).await;
    let dry = ResetTestUsersRequest {
        validate_only: true,
        ..ResetTestUsersRequest::default()
    };
    let preview = reset_test_users(&admin, dry).await.unwrap();
    assert!(changed(&before, &world.dump().await).is_empty());
    let done = reset_test_users(&admin, ResetTestUsersRequest::default()).await;
    let done = done.unwrap();
    assert_eq!(done.tables, preview.tables);
    assert_eq!(
        (done.affected_user_count, done.level()),
        (92, ResetLevel::UserCascade)
    );
    assert_eq!(world.count("users", &doomed).await, 0);
    assert_eq!(world.ask(&others).await, stay);
    for email in LOOK_ALIKES {
        assert!(stay.contains(email), "{email}");
    }
    assert_whole(&world).await;
    // What the policy keeps is as it was, to the letter.
    let after = world.dump().await;
    for table in [
        "categories",
        "admin_permissions",
        "system_settings",
        "alembic_version",
    ] {
        assert_eq!(before[table], after[table], "{table}");
    }
    let nobody = reset_test_users(&admin, ResetTestUsersRequest::default()).await;
    let nobody = nobody.unwrap();
    assert!(nobody.success && nobody.total_rows == 0);
    assert!(
        nobody
            .warnings
            .iter()
            .any(|text| text == "No test users found to reset"),
        "{:?}",
        nobody.warnings
    );
}

async fn a15_aw02_further_domains_only_as_the_policy_lists_them(kind: Kind) {
    let world = World::with(MESTORE, kind, |setup| {
        let lists = "extra_domains = [\"qa.mestore.co\"]";
        setup.policy = setup.policy.replace("extra_domains = []", lists);
    })
    .await;
    let admin = world.admin().await;
    let rename = format!("UPDATE users SET email = 'uno@qa.mestore.co' WHERE email = '{NEWCOMER}'");
    world.sql(&rename).await;
    let before = world.dump().await;
    let with = |domain: &str| ResetTestUsersRequest {
        email_domains: vec![domain.to_owned()],
        validate_only: true,
        ..ResetTestUsersRequest::default()
    };
    for pattern in [
        "",
        "%",
        "_",
        "com",
        "%@gmail.com",
        "gmail.com",
        "x' OR '1'='1",
        "*.com",
    ] {
        let (code, ..) = refusal(reset_test_users(&admin, with(pattern)).await);
        assert_eq!(code, Code::InvalidArgument, "{pattern:?}");
    }
    assert!(changed(&before, &world.dump().await).is_empty());
    let without = ResetTestUsersRequest {
        validate_only: true,
        ..ResetTestUsersRequest::default()
    };
    let without = reset_test_users(&admin, without).await.unwrap();
    let more = reset_test_users(&admin, with("qa.mestore.co"))
        .await
        .unwrap();
    assert_eq!(
        (without.affected_user_count, more.affected_user_count),
        (91, 92)
    );
}

async fn a15_each_level_for_all_of_them(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let admin = world.admin().await;
    let mut totals = Vec::new();
    for level in [
        ResetLevel::UserData,
        ResetLevel::UserSessions,
        ResetLevel::UserCascade,
        ResetLevel::AllTestData,
    ] {
        let request = ResetTestUsersRequest {
            level: level.into(),
            validate_only: true,
            ..ResetTestUsersRequest::default()
        };
        match reset_test_users(&admin, request).await {
            Ok(result) => totals.push(result.total_rows),
            // What this RPC does is what that level means.
            Err(error) => assert_eq!(
                (level, error.code()),
                (ResetLevel::AllTestData, Code::InvalidArgument)
            ),
        }
    }
    assert!(totals.is_sorted() && totals[0] < totals[2], "{totals:?}");
}

/// Deleting a user by hand left these behind.
async fn a34_a48_orders_of_nobodys_are_swept_behind_the_reply(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let mut by_hand = world.database.superuser().await;
    let off = match kind {
        Kind::Sqlite => "PRAGMA foreign_keys = OFF",
        Kind::Postgres | Kind::MariaDb => "SET session_replication_role = replica",
    };
    by_hand.run(off).await.unwrap();
    let orphan = "UPDATE orders SET buyer_id = 'gone' WHERE id IN \
                  (SELECT max(id) FROM orders WHERE buyer_id <> \
                  (SELECT id FROM users WHERE email = 'maria.compradora@test.com'))";
    by_hand.run(orphan).await.unwrap();
    by_hand.close().await;
    assert_eq!(world.count("orders", "buyer_id = 'gone'").await, 1);
    let tester = world.tester().await;
    let done = reset(&tester, cascade(NEWCOMER)).await.unwrap();
    assert_eq!(
        counts(&done),
        "users -1",
        "the reply is about the user alone"
    );
    let begun = std::time::Instant::now();
    while world.count("orders", "buyer_id = 'gone'").await > 0 {
        assert!(begun.elapsed().as_secs() < 30, "the orphan stays");
        tokio::task::yield_now().await;
    }
    let sweep = loop {
        let list = tester
            .list_operations(ListOperationsRequest::default())
            .await;
        let sweep = list
            .unwrap()
            .operations
            .into_iter()
            .find(|operation| !operation.parent_operation_id.is_empty());
        match sweep {
            Some(sweep) if sweep.state() == State::Succeeded => break sweep,
            _ => assert!(begun.elapsed().as_secs() < 30, "the sweep does not end"),
        }
    };
    assert_eq!(
        (sweep.parent_operation_id.as_str(), sweep.actor.as_str()),
        (done.operation_id.as_str(), "the tester")
    );
    assert_whole(&world).await;
}

async fn aw14_two_at_once_take_turns(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let (first, second) = (world.admin().await, world.admin().await);
    let (first, second) = tokio::join!(
        reset_test_users(&first, ResetTestUsersRequest::default()),
        reset_test_users(&second, ResetTestUsersRequest::default()),
    );
    let counted = [first, second].map(|answer| match answer {
        Ok(result) => result.affected_user_count,
        Err(error) => {
            assert_eq!(error.code(), Code::Aborted, "{error}");
            0
        }
    });
    assert_eq!(counted.iter().sum::<i64>(), 92, "each user went once");
    assert_whole(&world).await;
}

/// A trigger counts the statements that reach a table.
async fn a22_statements_do_not_grow_with_the_rows(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    world
        .sql(
            "CREATE TABLE statements (of text); \
             CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN INSERT INTO statements VALUES (TG_TABLE_NAME); RETURN NULL; END $$; \
             CREATE TRIGGER told AFTER DELETE ON orders FOR EACH STATEMENT EXECUTE FUNCTION told(); \
             CREATE TRIGGER told AFTER DELETE ON order_items FOR EACH STATEMENT EXECUTE FUNCTION told(); \
             CREATE TRIGGER told AFTER DELETE ON users FOR EACH STATEMENT EXECUTE FUNCTION told()",
        )
        .await;
    let done = reset_test_users(&world.admin().await, ResetTestUsersRequest::default()).await;
    let done = done.unwrap();
    let deleted = |table: &str| {
        let found = done
            .tables
            .iter()
            .find(|counts| counts.table.ends_with(table));
        found.unwrap().deleted
    };
    assert!(deleted("users") == 92 && deleted("orders") > 100);
    for table in ["orders", "order_items", "users"] {
        let statements = world.count("statements", &format!("of = '{table}'")).await;
        assert!((1..=3).contains(&statements), "{statements} on {table}");
    }
    assert_eq!(world.count("users", &format!("email = '{BUYER}'")).await, 0);
}
