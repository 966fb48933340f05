//! One user: what each level takes, by id or by e-mail, and what stays of
//! everybody else.

use resetd::proto::{
    CreateTestUserRequest, ResetLevel, ResetUserRequest, reset_user_request::User,
};
use tonic::Code;

use super::{
    BUYER, BUYER_ID, MESTORE, NEWCOMER, VENDOR, assert_whole, by_email, cascade, dry, reset,
};
use crate::{
    cases,
    place::Kind,
    world::{World, changed, counts, refusal},
};

cases! {
    BOTH: a12_each_level_takes_more_and_means_what_it_says,
        a12_aw07_a_level_for_many_is_refused_for_one,
        a13_aw03_aw04_aw05_the_result_says_everything,
        a14_by_id_or_by_email,
        a14_a20_a48_the_same_email_again_and_again,
        a31_neither_id_nor_email,
        aw06_approvals_of_an_admin_are_not_theirs,
        aw06_a_vendor_goes_and_the_buyers_purchase_stays;
}

const OTP: &str = "SELECT coalesce(otp_secret, '-'), coalesce(otp_type, '-'), \
    coalesce(reset_token, '-'), CAST(otp_attempts AS TEXT), CAST(reset_attempts AS TEXT), \
    CAST(failed_login_attempts AS TEXT), \
    CASE WHEN otp_expires_at IS NULL AND last_otp_sent IS NULL AND reset_token_expires_at IS NULL \
    AND last_reset_request IS NULL THEN 'none' ELSE 'some' END \
    FROM users WHERE email = 'maria.compradora@test.com'";

async fn a12_each_level_takes_more_and_means_what_it_says(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let tester = world.tester().await;
    // The names on the wire, of increasing scope.
    let levels = [
        ResetLevel::UserData,
        ResetLevel::UserSessions,
        ResetLevel::UserCascade,
        ResetLevel::AllTestData,
        ResetLevel::FullReset,
    ];
    let names = levels.map(|level| level.as_str_name().trim_start_matches("RESET_LEVEL_"));
    assert_eq!(
        names.map(str::to_lowercase),
        [
            "user_data",
            "user_sessions",
            "user_cascade",
            "all_test_data",
            "full_reset"
        ]
    );
    world
        .sql(&format!(
            "UPDATE users SET otp_secret = '123456', otp_attempts = 2, reset_token = 'abc', \
             reset_attempts = 1, failed_login_attempts = 3 WHERE email = '{BUYER}'"
        ))
        .await;
    let before = world.dump().await;
    let only_the_profile = reset(&tester, by_email(BUYER, ResetLevel::UserData)).await;
    assert_eq!(counts(&only_the_profile.unwrap()), "users *1");
    assert_eq!(
        world.ask(OTP).await,
        "-|-|-|0|0|3|none",
        "the account stays"
    );
    assert_eq!(changed(&before, &world.dump().await), ["users"]);
    let sessions = reset(&tester, by_email(BUYER, ResetLevel::UserSessions)).await;
    assert_eq!(counts(&sessions.unwrap()), "users *1");
    assert_eq!(world.ask(OTP).await, "-|-|-|0|0|0|none");
    assert_eq!(changed(&before, &world.dump().await), ["users"]);
    let everything = reset(&tester, cascade(BUYER)).await.unwrap();
    assert!(counts(&everything).contains("orders -20"), "{everything:?}");
    assert!(counts(&everything).contains("users -1"));
    assert_eq!(world.count("users", &format!("email = '{BUYER}'")).await, 0);
    assert_eq!(
        world
            .count("orders", &format!("buyer_id = '{BUYER_ID}'"))
            .await,
        0
    );
    assert_whole(&world).await;
}

async fn a12_aw07_a_level_for_many_is_refused_for_one(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let before = world.dump().await;
    for level in [ResetLevel::AllTestData, ResetLevel::FullReset] {
        let refused = refusal(reset(&world.superuser().await, by_email(BUYER, level)).await);
        assert_eq!(
            (refused.0, refused.1.as_str()),
            (Code::InvalidArgument, "INVALID_FIELD")
        );
    }
    assert!(changed(&before, &world.dump().await).is_empty());
}

async fn a13_aw03_aw04_aw05_the_result_says_everything(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let tester = world.tester().await;
    let before = world.dump().await;
    let preview = reset(&tester, dry(BUYER)).await.unwrap();
    assert!(changed(&before, &world.dump().await).is_empty());
    let done = reset(&tester, cascade(BUYER)).await.unwrap();
    assert_eq!(
        done.tables, preview.tables,
        "a dry run says what then happens"
    );
    assert!(done.success && done.errors.is_empty());
    assert_eq!(done.level(), ResetLevel::UserCascade);
    assert_eq!(done.affected_users.len(), 1);
    assert_eq!(
        (
            done.affected_users[0].id.as_str(),
            done.affected_users[0].email.as_str()
        ),
        (BUYER_ID, BUYER)
    );
    assert!(done.duration.is_some() && done.finish_time.is_some());
    assert_eq!(
        (done.actor.as_str(), done.environment.as_str()),
        ("the tester", "test")
    );
    // What it says was deleted is what is missing.
    let after = world.dump().await;
    for table in &done.tables {
        let name = table.table.trim_start_matches("public.");
        let missing = before[name].len() - after[name].len();
        assert_eq!(i64::try_from(missing).unwrap(), table.deleted, "{name}");
    }
    let told: Vec<&str> = done
        .tables
        .iter()
        .map(|table| table.table.trim_start_matches("public."))
        .collect();
    let untold: Vec<String> = changed(&before, &after)
        .into_iter()
        .filter(|table| !told.contains(&table.as_str()))
        .collect();
    assert!(untold.is_empty(), "{untold:?}");
    assert_whole(&world).await;
}

async fn a14_by_id_or_by_email(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let tester = world.tester().await;
    let by_id = ResetUserRequest {
        user: Some(User::UserId(BUYER_ID.to_owned())),
        validate_only: true,
        ..ResetUserRequest::default()
    };
    let by_id = reset(&tester, by_id).await.unwrap();
    let by_email = reset(&tester, dry(BUYER)).await.unwrap();
    assert_eq!(
        by_id.level(),
        ResetLevel::UserCascade,
        "unless another is named"
    );
    assert_eq!(by_id.tables, by_email.tables);
    assert_eq!(by_id.affected_users, by_email.affected_users);
    let nobody = ResetUserRequest {
        user: Some(User::UserId("nobody".to_owned())),
        ..ResetUserRequest::default()
    };
    let (code, reason, _) = refusal(reset(&tester, nobody).await);
    assert_eq!((code, reason.as_str()), (Code::NotFound, "USER_NOT_FOUND"));
}

async fn a14_a20_a48_the_same_email_again_and_again(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let tester = world.tester().await;
    let attributes = [("cedula", "900100200"), ("nombre", "Laura")];
    for round in 0..3 {
        // As a fixture does before each test, the first time as well.
        let request = ResetUserRequest {
            allow_missing: true,
            ..cascade("laura.nueva@test.com")
        };
        let done = reset(&tester, request).await.unwrap();
        assert_eq!(done.affected_users.len(), usize::from(round > 0));
        let create = CreateTestUserRequest {
            email: "laura.nueva@test.com".to_owned(),
            attributes: attributes
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..CreateTestUserRequest::default()
        };
        tester.create_test_user(create.clone()).await.unwrap();
        let (code, reason, _) = refusal(tester.create_test_user(create).await);
        assert_eq!(
            (code, reason.as_str()),
            (Code::AlreadyExists, "USER_EXISTS")
        );
        let order = format!(
            "INSERT INTO orders (order_number, buyer_id, subtotal, tax_amount, shipping_cost, \
             discount_amount, total_amount, status, shipping_name, shipping_phone, \
             shipping_address, shipping_city, shipping_state, shipping_country) \
             SELECT 'NEW-{round}', id, 1, 0, 0, 0, 1, 'PENDING', 'L', '1', 'x', 'y', 'z', 'CO' \
             FROM users WHERE email = 'laura.nueva@test.com'"
        );
        world.sql(&order).await;
    }
}

async fn a31_neither_id_nor_email(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let admin = world.admin().await;
    let (code, reason, _) = refusal(reset(&admin, ResetUserRequest::default()).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::InvalidArgument, "INVALID_FIELD")
    );
}

/// A test admin goes; what they approved, edited and did stays, without them.
async fn aw06_approvals_of_an_admin_are_not_theirs(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let admin = "adriana.zuluaga@test.com";
    let id = world
        .ask(&format!("SELECT id FROM users WHERE email = '{admin}'"))
        .await;
    let approved = format!("approved_by_id = '{id}'");
    assert!(world.count("commissions", &approved).await > 0);
    let all = world.count("commissions", "true").await;
    let logs = world.count("admin_activity_logs", "true").await;
    let done = reset(&world.admin().await, cascade(admin)).await.unwrap();
    assert_eq!(done.affected_users[0].email, admin);
    assert_eq!(world.count("commissions", "true").await, all);
    assert_eq!(world.count("commissions", &approved).await, 0);
    assert_eq!(world.count("admin_activity_logs", "true").await, logs);
    assert_whole(&world).await;
}

async fn aw06_a_vendor_goes_and_the_buyers_purchase_stays(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let before = world.dump().await;
    let of_others = format!("comprador_id <> (SELECT id FROM users WHERE email = '{VENDOR}')");
    let sales = world.count("transactions", &of_others).await;
    let ordered = of_others.replace("comprador_id", "buyer_id");
    let orders = world.count("orders", &ordered).await;
    let done = reset(&world.tester().await, cascade(VENDOR)).await.unwrap();
    assert!(counts(&done).contains("users -1"), "{}", counts(&done));
    assert_eq!(world.count("transactions", "true").await, sales);
    assert_eq!(world.count("orders", "true").await, orders);
    assert_eq!(
        world.count("users", &format!("email = '{NEWCOMER}'")).await,
        1
    );
    assert!(
        !done.shared.is_empty(),
        "what others have a part in is told"
    );
    // Of the users, one went and nobody else was touched.
    let after = world.dump().await;
    let kept: Vec<&String> = before["users"]
        .iter()
        .filter(|row| !row.contains(VENDOR))
        .collect();
    assert_eq!(kept, after["users"].iter().collect::<Vec<_>>());
}
