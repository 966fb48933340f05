//! Where MeStore may be reset, who may do it, and what the journal knows of
//! it afterwards.

use resetd::{
    config::{Config, Variables},
    proto::{
        CleanupRequest, CreateTestUserRequest, ErrorReason, GetStatusRequest,
        ListOperationsRequest, ResetTestUsersRequest, ResetUserRequest, StatisticsRequest,
    },
};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    BUYER, CEO, LOOK_ALIKES, MESTORE, NEWCOMER, cascade, confirmed, dry, full_reset, reset,
    reset_test_users,
};
use crate::{
    cases,
    place::Kind,
    world::{Armed, World, changed, refusal},
};

cases! {
    SQLITE: a01_a02_only_where_the_environment_allows_it,
        a03_a49_aw09_addresses_of_production_are_refused,
        a04_the_environment_is_the_configuration,
        a19_what_is_not_reachable_is_told_and_nothing_stays_open;
    BOTH: a05_a06_aw01_exact_domains_are_test_users,
        a06_force_is_for_admins,
        a09_a10_aw14_every_operation_is_recorded_with_its_actor,
        a11_a_failure_changes_nothing,
        a23_a25_status_and_health,
        a26_a27_a28_a29_a30_a32_who_may_call_what;
}

async fn a01_a02_only_where_the_environment_allows_it(kind: Kind) {
    for environment in ["DEVELOPMENT", "Testing", "dev", "TEST"] {
        let world = World::with(MESTORE, kind, |setup| {
            setup.environment = environment.to_owned();
        })
        .await;
        let caller = world.tester().await;
        let result = reset(&caller, dry(BUYER)).await.unwrap();
        assert_eq!(result.environment, environment);
    }
    for environment in ["production", "staging", "prod", "testproduction"] {
        let world = World::with(MESTORE, kind, |setup| {
            setup.environment = environment.to_owned();
        })
        .await;
        let before = world.dump().await;
        let caller = world.superuser().await;
        let expected = format!("Database reset not allowed in environment: {environment}");
        let create = CreateTestUserRequest {
            email: "otra@test.com".to_owned(),
            ..CreateTestUserRequest::default()
        };
        let every = [
            refusal(reset(&caller, cascade(BUYER)).await),
            refusal(reset_test_users(&caller, ResetTestUsersRequest::default()).await),
            refusal(caller.cleanup(CleanupRequest::default()).await),
            refusal(caller.create_test_user(create).await),
            refusal(full_reset(&caller, confirmed()).await),
        ];
        for (code, reason, message) in every {
            assert_eq!(
                (code, reason.as_str()),
                (Code::FailedPrecondition, "ENVIRONMENT_DENIED")
            );
            assert!(message.contains(&expected), "{message}");
        }
        let status = caller.get_status(GetStatusRequest::default()).await;
        assert!(!status.unwrap().reset_allowed);
        assert!(changed(&before, &world.dump().await).is_empty());
    }
}

async fn a03_a49_aw09_addresses_of_production_are_refused(kind: Kind) {
    // The database is named for something with "dev" or "test" in it, or the
    // password or the account is; what counts is host and database.
    for url in [
        "postgresql://app:test-secret@prod-db/devices",
        "postgresql://test:test-secret@db.mestore.co/mestore_production",
        "postgresql://localhost:test-secret@10.2.3.4/mestore_prod",
        "postgresql://dev:test-secret@127.0.0.1:1/production",
    ] {
        let world = World::with(MESTORE, kind, |setup| {
            setup.url = Some(url.to_owned());
            setup.armed = Armed::No;
            setup.redis = None;
        })
        .await;
        let caller = world.superuser().await;
        let status = caller.get_status(GetStatusRequest::default()).await;
        let status = status.unwrap();
        let layer = status.layers.iter().find(|layer| layer.name == "address");
        let layer = layer.unwrap();
        assert!(!status.reset_allowed && !layer.allowed, "{url}");
        assert_eq!(layer.reason(), ErrorReason::AddressDenied, "{url}");
        let (code, reason, message) = refusal(reset(&caller, cascade(BUYER)).await);
        assert_eq!(
            (code, reason.as_str()),
            (Code::FailedPrecondition, "ADDRESS_DENIED"),
            "{url}"
        );
        let told = format!("{status:?}{message}");
        assert!(!told.contains("test-secret"), "{told}");
    }
}

async fn a04_the_environment_is_the_configuration(_: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let policy = MESTORE.folder().join("policy.toml");
    let read = |lines: &str| {
        let path = folder.path().join(".env");
        std::fs::write(&path, lines).unwrap();
        let variables = Variables::read(&path).unwrap();
        Config::from_environment(&variables, &policy, folder.path())
    };
    let url = "DATABASE_URL=postgresql://localhost:5432/test_db\n";
    let config = read(&format!("ENVIRONMENT=development\n{url}")).unwrap();
    assert_eq!(
        config.targets[0].environment.as_deref(),
        Some("development")
    );
    assert!(config.targets[0].redis.is_none(), "Redis is optional");
    let redis = "REDIS_URL=redis://localhost:6379/0\n";
    let config = read(&format!("ENVIRONMENT=testing\n{url}{redis}")).unwrap();
    assert!(config.targets[0].redis.is_some());
    for (lines, missing) in [
        (url, "ENVIRONMENT is not set"),
        ("ENVIRONMENT=dev\n", "DATABASE_URL is not set"),
    ] {
        let error = read(lines).unwrap_err().to_string();
        assert!(error.contains(missing), "{error}");
    }
}

async fn a05_a06_aw01_exact_domains_are_test_users(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let tester = world.tester().await;
    for email in LOOK_ALIKES.into_iter().chain([CEO]) {
        let (code, reason, message) = refusal(reset(&tester, cascade(email)).await);
        assert_eq!(
            (code, reason.as_str()),
            (Code::FailedPrecondition, "NOT_A_TEST_USER"),
            "{email}"
        );
        let expected = format!("User {email} doesn't appear to be a test user");
        assert!(message.contains(&expected), "{message}");
        assert!(message.contains("force"), "{message}");
    }
    for domain in ["test.com", "testing.com", "dev.com", "example.com"] {
        let email = world
            .ask(&format!(
                "SELECT min(email) FROM users WHERE email LIKE '%@{domain}' AND user_type = 'BUYER'"
            ))
            .await;
        let result = reset(&tester, dry(&email)).await.unwrap();
        assert_eq!(result.affected_users[0].email, email, "{domain}");
    }
}

async fn a06_force_is_for_admins(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let email = LOOK_ALIKES[0];
    let forced = ResetUserRequest {
        force: true,
        ..cascade(email)
    };
    let (code, ..) = refusal(reset(&world.tester().await, forced.clone()).await);
    assert_eq!(code, Code::PermissionDenied);
    let is_there = format!("email = '{email}'");
    assert_eq!(world.count("users", &is_there).await, 1);
    let result = reset(&world.admin().await, forced).await.unwrap();
    assert_eq!(result.affected_users[0].email, email);
    assert_eq!(world.count("users", &is_there).await, 0);
}

async fn a09_a10_aw14_every_operation_is_recorded_with_its_actor(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let (tester, admin) = (world.tester().await, world.admin().await);
    let once = ResetUserRequest {
        request_id: uuid::Uuid::now_v7().to_string(),
        ..cascade(NEWCOMER)
    };
    let done = reset(&tester, once.clone()).await.unwrap();
    assert!(done.duration.unwrap() != prost_types::Duration::default());
    // Under one id it is executed once, and answered the same again.
    let again = reset(&tester, once).await.unwrap();
    assert_eq!(again.operation_id, done.operation_id);
    let many = reset_test_users(&admin, ResetTestUsersRequest::default()).await;
    let many = many.unwrap();
    assert!(many.duration.unwrap() != prost_types::Duration::default());
    assert_eq!(
        (done.actor.as_str(), many.actor.as_str()),
        ("the tester", "the admin")
    );
    drop(refusal(reset(&tester, cascade(CEO)).await));
    let list = admin
        .list_operations(ListOperationsRequest::default())
        .await
        .unwrap();
    let told: Vec<(String, String)> = list
        .operations
        .iter()
        .filter(|operation| operation.parent_operation_id.is_empty())
        .map(|operation| (operation.actor.clone(), operation.action.clone()))
        .collect();
    let expected = [
        ("the tester", "ResetUser"),
        ("the admin", "ResetTestUsers"),
        ("the tester", "ResetUser"),
    ];
    let expected = expected.map(|(actor, action)| (actor.to_owned(), action.to_owned()));
    assert_eq!(told, expected);
    let bulk = list
        .operations
        .iter()
        .find(|operation| operation.action == "ResetTestUsers");
    let bulk = bulk.unwrap_or_else(|| panic!("{list:?}"));
    assert!(bulk.duration.is_some(), "{bulk:?}");
}

async fn a11_a_failure_changes_nothing(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let trigger = match kind {
        Kind::Sqlite => {
            "CREATE TRIGGER no BEFORE DELETE ON users BEGIN SELECT RAISE(ABORT, 'no'); END"
        }
        Kind::Postgres | Kind::MariaDb => {
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'no'; END $$; CREATE TRIGGER no BEFORE DELETE ON users \
             FOR EACH ROW EXECUTE FUNCTION no()"
        }
    };
    world.sql(trigger).await;
    let before = world.dump().await;
    let tester = world.tester().await;
    let (code, reason, message) = refusal(reset(&tester, cascade(BUYER)).await);
    assert_ne!(code, Code::Ok);
    assert!(!reason.is_empty() && !message.is_empty());
    let many = reset_test_users(&world.admin().await, ResetTestUsersRequest::default()).await;
    drop(refusal(many));
    assert!(changed(&before, &world.dump().await).is_empty());
}

async fn a19_what_is_not_reachable_is_told_and_nothing_stays_open(kind: Kind) {
    // Nobody answers at the address.
    let away = World::with(MESTORE, kind, |setup| {
        setup.url = Some("postgresql://app@127.0.0.1:1/mestore_test".to_owned());
        setup.armed = Armed::No;
    })
    .await;
    let (code, ..) = refusal(reset(&away.tester().await, cascade(BUYER)).await);
    assert_eq!(code, Code::Unavailable);
    drop(away);
    // The service cannot be set up on this database any more.
    let drifted = World::of(MESTORE, kind).await;
    drifted
        .sql("ALTER TABLE users RENAME COLUMN email TO correo")
        .await;
    let (code, reason, _) = refusal(reset(&drifted.tester().await, cascade(BUYER)).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::Unavailable, "SERVICE_NOT_INITIALIZED")
    );
    drop(drifted);
    // A server that has ended holds no connection any more.
    let world = World::of(MESTORE, Kind::Postgres).await;
    reset(&world.tester().await, cascade(NEWCOMER))
        .await
        .unwrap();
    let mut superuser = world.database.superuser().await;
    let question = format!(
        "SELECT count(*)::text FROM pg_stat_activity WHERE datname = '{}' \
         AND application_name = 'resetd'",
        world.database.name
    );
    drop(world);
    let begun = std::time::Instant::now();
    while superuser.rows(&question).await.unwrap().concat() != ["0"] {
        assert!(begun.elapsed().as_secs() < 20, "connections stay open");
        tokio::task::yield_now().await;
    }
    superuser.close().await;
}

async fn a23_a25_status_and_health(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let viewer = world.caller(resetd::access::Role::Viewer).await;
    let status = viewer.get_status(GetStatusRequest::default()).await;
    let status = status.unwrap();
    assert!(status.reset_allowed);
    assert_eq!(status.environment, "test");
    assert!(!status.database_address.is_empty());
    assert_eq!(
        status.test_domains,
        ["dev.com", "example.com", "test.com", "testing.com"]
    );
    assert_eq!(status.levels.len(), 3);
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", world.address));
    let channel = channel.unwrap().connect().await.unwrap();
    let health = HealthClient::new(channel)
        .check(HealthCheckRequest::default())
        .await
        .unwrap();
    assert_eq!(health.into_inner().status(), ServingStatus::Serving);
}

async fn a26_a27_a28_a29_a30_a32_who_may_call_what(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let before = world.dump().await;
    let viewer = world.caller(resetd::access::Role::Viewer).await;
    let create = CreateTestUserRequest {
        email: "otra@test.com".to_owned(),
        ..CreateTestUserRequest::default()
    };
    let many = ResetTestUsersRequest::default();
    for (code, reason, _) in [
        refusal(reset(&viewer, cascade(BUYER)).await),
        refusal(viewer.create_test_user(create.clone()).await),
        refusal(reset_test_users(&viewer, many.clone()).await),
        refusal(reset_test_users(&world.tester().await, many.clone()).await),
        refusal(full_reset(&viewer, confirmed()).await),
        refusal(full_reset(&world.admin().await, confirmed()).await),
    ] {
        assert_eq!(
            (code, reason.as_str()),
            (Code::PermissionDenied, "ROLE_REQUIRED")
        );
    }
    for token in [None, Some("guessed".to_owned())] {
        let nobody = world.holder(token).await;
        for (code, ..) in [
            refusal(reset(&nobody, cascade(BUYER)).await),
            refusal(full_reset(&nobody, confirmed()).await),
            refusal(nobody.get_status(GetStatusRequest::default()).await),
            refusal(nobody.statistics(StatisticsRequest::default()).await),
        ] {
            assert_eq!(code, Code::Unauthenticated);
        }
    }
    let (_, _, message) = refusal(reset_test_users(&viewer, many.clone()).await);
    assert!(message.starts_with("Admin access required"), "{message}");
    assert!(changed(&before, &world.dump().await).is_empty());
    // Both kinds of admin may, as the document says.
    let dry_many = ResetTestUsersRequest {
        validate_only: true,
        ..many
    };
    for caller in [world.admin().await, world.superuser().await] {
        reset_test_users(&caller, dry_many.clone()).await.unwrap();
        reset(&caller, dry(BUYER)).await.unwrap();
        let create = CreateTestUserRequest {
            validate_only: true,
            ..create.clone()
        };
        caller.create_test_user(create).await.unwrap();
    }
    reset(&world.tester().await, cascade(NEWCOMER))
        .await
        .unwrap();
    full_reset(&world.superuser().await, confirmed())
        .await
        .unwrap();
}
