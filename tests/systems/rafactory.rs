//! Ra Factory on PostgreSQL, with row-level security: its environments, its
//! passwords, and its database wiped and set up again.

use std::path::Path;

use resetd::{
    admin::arm,
    client::{Client, Error},
    config::{Config, Variables},
    proto::{
        CreateTestUserRequest, FullResetRequest, GetStatusRequest, ListOperationsRequest,
        ResetResult, ResetTestUsersRequest, ResetUserRequest, SetPasswordRequest,
        SetPasswordResponse, reset_user_request, set_password_request::User,
    },
};
use tonic::Code;

use crate::{
    cases,
    connection::Connection,
    place::{Database, Kind, OWNER, System},
    server::server,
    world::{Setup, World, changed, counts, finished, refusal},
};

cases! {
    POSTGRES: e01_three_environments, e02_users_of_a_set_up, e04_e05_e06_a_password_by_email,
        e07_no_password_of_production, e08_whether_the_database_answers,
        e09_the_environment_holds_what_is_secret, e13_wiped_and_set_up_again,
        ew01_passwords_are_nowhere_else, ew02_a_hash_is_verified, ew03_a_port_is_no_environment,
        ew04_a_failure_in_between_changes_nothing, ew05_what_bcrypt_would_cut_is_refused,
        ew07_hidden_rows_are_noticed, ew08_a_delete_that_does_not_happen_is_noticed;
}

const RAFACTORY: System = System {
    name: "rafactory",
    variant: None,
};

const PHRASE: &str = "DELETE ALL DATA";
const ADMIN: &str = "new.admin@rafactory.example";
const ADMINS_PASSWORD: &str = "correct horse, battery";
const REAL: &str = "a.petrov@rafactory.example";
const TEST: &str = "operator1.a@example.com";

/// What the server finds in its environment.
fn variables() -> Vec<(String, String)> {
    let variables = [
        ("SYSTEM_COMPANY_NAME", "Ra Factory"),
        ("SYSTEM_COMPANY_SHORT_NAME", "RA"),
        ("ADMIN_EMAIL", ADMIN),
        ("ADMIN_PASSWORD", ADMINS_PASSWORD),
        ("ADMIN_NAME", "Ада"),
        ("ADMIN_SURNAME", "O\"Brien; --"),
    ];
    variables.map(|(a, b)| (a.to_owned(), b.to_owned())).into()
}

fn own(setup: &mut Setup) {
    setup.redis = None;
    setup.variables = variables();
}

async fn served() -> World {
    World::with(RAFACTORY, Kind::Postgres, own).await
}

async fn prepared(prepare: impl AsyncFnOnce(&Database, &Path)) -> World {
    World::prepared(RAFACTORY, Kind::Postgres, own, prepare).await
}

async fn set(
    client: &Client,
    target: &str,
    email: &str,
    password: &str,
) -> Result<SetPasswordResponse, Error> {
    let request = SetPasswordRequest {
        target: target.to_owned(),
        user: Some(User::Email(email.to_owned())),
        password: password.to_owned(),
        force: true,
        ..SetPasswordRequest::default()
    };
    client.set_password(request).await
}

/// Whether somebody gets in, as the application decides it.
async fn login(database: &Database, email: &str, password: &str) -> bool {
    let sql = format!("SELECT pwd_hash FROM users WHERE email = '{email}' AND is_active");
    let mut connection = database.superuser().await;
    let hashes = connection.rows(&sql).await.unwrap();
    connection.close().await;
    let fits = |hash: &String| bcrypt::verify(password, hash).unwrap_or(false);
    hashes.concat().iter().any(fits)
}

/// A connection to another database of the server.
async fn elsewhere() -> Connection {
    Connection::Postgres(server().superuser(None).await)
}

async fn wipe(client: &Client, change: fn(&mut FullResetRequest)) -> Result<ResetResult, Error> {
    let mut request = FullResetRequest {
        confirmation: PHRASE.to_owned(),
        preserve_admins: Some(false),
        reseed: true,
        ..FullResetRequest::default()
    };
    change(&mut request);
    finished(client.full_reset(request).await).await
}

async fn test_users(client: &Client) -> Result<ResetResult, Error> {
    let answer = client.reset_test_users(ResetTestUsersRequest::default());
    Ok(answer.await?.result.unwrap())
}

/// Served with databases for development and production besides.
async fn three() -> (World, Database, Database) {
    let copy = async || Database::copy_of(RAFACTORY, Kind::Postgres, Path::new("")).await;
    let (dev, prod) = (copy().await, copy().await);
    let target = |name: &str, environment: &str, database: &Database| {
        format!(
            "[[targets]]\nname = '{name}'\nenvironment = '{environment}'\nurl = '{}'\n\
             policy = 'policy.toml'\n",
            database.url()
        )
    };
    let targets = target("dev", "dev", &dev) + &target("prod", "production", &prod);
    let change = |setup: &mut Setup| {
        own(setup);
        setup.target = targets;
    };
    let world = World::with(RAFACTORY, Kind::Postgres, change).await;
    let variables: Variables = variables().into_iter().collect();
    let config = Config::from_file(&world.folder.join("resetd.toml"), &variables).unwrap();
    let request = arm::Request {
        target: Some("dev".to_owned()),
        database: Some(dev.called()),
        days: 1,
        protect: false,
    };
    arm::run(&config, &request).await.unwrap();
    (world, dev, prod)
}

async fn e01_three_environments(_: Kind) {
    let (world, dev, prod) = three().await;
    let admin = world.admin().await;
    for (target, environment, allowed, database) in [
        ("system", "test", true, &world.database),
        ("dev", "dev", true, &dev),
        ("prod", "production", false, &prod),
    ] {
        let request = GetStatusRequest {
            target: target.to_owned(),
        };
        let status = admin.get_status(request).await.unwrap();
        assert_eq!(
            (status.environment.as_str(), status.reset_allowed),
            (environment, allowed),
            "{status:?}"
        );
        assert!(status.database_address.contains(&database.name));
    }
    // With several, none is the one that is meant when nobody says which.
    let (code, _, message) = refusal(set(&admin, "", REAL, "new").await);
    assert_eq!(code, Code::InvalidArgument);
    assert!(
        message.contains("prod") && message.contains("dev"),
        "{message}"
    );

    let before = world.dump().await;
    set(&admin, "dev", REAL, "development's own").await.unwrap();
    assert!(login(&dev, REAL, "development's own").await);
    assert!(before == world.dump().await, "the other environment");
    assert!(!login(&prod, REAL, "development's own").await);
}

async fn e02_users_of_a_set_up(_: Kind) {
    let (world, dev, _) = three().await;
    let tester = world.tester().await;
    let before = world.dump().await;
    let request = CreateTestUserRequest {
        target: "system".to_owned(),
        email: "setup@example.com".to_owned(),
        password: "set up".to_owned(),
        user_type: "CompanyAdmin".to_owned(),
        attributes: [(
            "company_guid".to_owned(),
            "22222222-2222-2222-2222-222222222222".to_owned(),
        )]
        .into(),
        ..CreateTestUserRequest::default()
    };
    tester.create_test_user(request).await.unwrap();
    assert!(login(&world.database, "setup@example.com", "set up").await);
    let made = "SELECT role || ' ' || company_guid || ' ' || left(pwd_hash, 7) FROM users \
        WHERE email = 'setup@example.com'";
    assert_eq!(
        world.ask(made).await,
        "CompanyAdmin 22222222-2222-2222-2222-222222222222 $2b$12$"
    );
    assert!(
        !login(&dev, "setup@example.com", "set up").await,
        "isolated"
    );
    // The tear-down leaves it as the set-up found it.
    let request = ResetUserRequest {
        target: "system".to_owned(),
        user: Some(reset_user_request::User::Email(
            "setup@example.com".to_owned(),
        )),
        ..ResetUserRequest::default()
    };
    tester.reset_user(request).await.unwrap();
    assert!(before == world.dump().await);
}

async fn e04_e05_e06_a_password_by_email(_: Kind) {
    let world = served().await;
    let admin = world.admin().await;
    let before = world.dump().await;
    let answer = set(&admin, "", REAL, "нова парола").await.unwrap();
    assert_eq!(answer.hash_prefix, "$2b$12$");
    let hash = format!("SELECT pwd_hash FROM users WHERE email = '{REAL}'");
    let hash = world.ask(&hash).await;
    assert!(hash.starts_with("$2b$12$") && hash.len() == 60, "{hash}");
    assert!(login(&world.database, REAL, "нова парола").await);
    assert!(!login(&world.database, REAL, "password").await);
    // One row, and in it the hash and what the trigger keeps.
    let after = world.dump().await;
    assert_eq!(changed(&before, &after), ["users"]);
    let told: Vec<_> = after["users"]
        .iter()
        .filter(|row| !before["users"].contains(row))
        .collect();
    assert_eq!(told.len(), 1);
    let others = "SELECT count(*)::text FROM users WHERE updated_at > created_at + interval '1 day' \
        AND email <> 'b.ivanov@rafactory.example'";
    assert_eq!(world.ask(others).await, "1");
    let open = format!(
        "SELECT count(*)::text FROM pg_stat_activity WHERE datname = '{}' \
         AND application_name = 'resetd' AND state LIKE 'idle in transaction%'",
        world.database.name
    );
    assert_eq!(world.ask(&open).await, "0");
}

async fn e07_no_password_of_production(_: Kind) {
    let (world, _, prod) = three().await;
    let mut connection = prod.superuser().await;
    let before = connection.dump().await;
    for client in [world.admin().await, world.superuser().await] {
        let (code, reason, message) = refusal(set(&client, "prod", REAL, "new").await);
        assert_eq!(
            (code, reason.as_str()),
            (Code::FailedPrecondition, "ENVIRONMENT_DENIED")
        );
        assert!(message.contains("production"), "{message}");
    }
    assert!(before == connection.dump().await);
    connection.close().await;
}

/// Tokens are the application's to give out; that it could, is asked of the
/// hash, as it does.
async fn e08_whether_the_database_answers(_: Kind) {
    let world = served().await;
    let viewer = world.caller(resetd::access::Role::Viewer).await;
    let status = viewer
        .get_status(GetStatusRequest::default())
        .await
        .unwrap();
    assert!(status.reset_allowed, "{status:?}");
    assert!(!status.database_version.is_empty(), "{status:?}");
    assert!(login(&world.database, REAL, "password").await);
    // A database that turns everybody away is told as such.
    let name = &world.database.name;
    let mut elsewhere = elsewhere().await;
    elsewhere
        .run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        .await
        .unwrap();
    let kill = format!(
        "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE datname = '{name}'"
    );
    elsewhere.rows(&kill).await.unwrap();
    let (code, reason, _) = refusal(set(&world.admin().await, "", REAL, "new").await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::Unavailable, "DATABASE_UNAVAILABLE")
    );
    elsewhere
        .run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
        .await
        .unwrap();
    set(&world.admin().await, "", REAL, "new").await.unwrap();
    elsewhere.close().await;
}

async fn e09_the_environment_holds_what_is_secret(_: Kind) {
    let other = Database::copy_of(RAFACTORY, Kind::Postgres, Path::new("")).await;
    let url = other
        .url()
        .replace(&format!("{OWNER}@"), &format!("{OWNER}:s3cret@"));
    let mut all = variables();
    all.push(("RAFACTORY_URL".to_owned(), url));
    let change = |setup: &mut Setup| {
        own(setup);
        setup.variables.clone_from(&all);
        setup.target = "[[targets]]\nname = 'dev'\nenvironment = 'dev'\n\
            url_env = 'RAFACTORY_URL'\npolicy = 'policy.toml'\n"
            .to_owned();
    };
    let world = World::with(RAFACTORY, Kind::Postgres, change).await;
    let written = std::fs::read_to_string(world.folder.join("resetd.toml")).unwrap();
    let policy = std::fs::read_to_string(world.folder.join("policy.toml")).unwrap();
    for secret in ["s3cret", ADMINS_PASSWORD] {
        assert!(!written.contains(secret) && !policy.contains(secret));
    }
    let request = GetStatusRequest {
        target: "dev".to_owned(),
    };
    let status = world.admin().await.get_status(request).await.unwrap();
    assert!(status.database_address.contains(&other.name));
    assert!(!format!("{status:?}").contains("s3cret"));
    let path = world.folder.join("resetd.toml");
    let config = Config::from_file(&path, &all.into_iter().collect()).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("s3cret") && !shown.contains(ADMINS_PASSWORD));
    // What is missing is named.
    let missing = Config::from_file(&path, &variables().into_iter().collect());
    let missing = missing.unwrap_err().to_string();
    assert!(missing.contains("RAFACTORY_URL"), "{missing}");
}

async fn e13_wiped_and_set_up_again(_: Kind) {
    let world = served().await;
    let superuser = world.superuser().await;
    let before = world.dump().await;
    let expected = "pieces 144, articles 36, assemblies 36, components 18, projects 6, \
        workflow 300, ui_templates 9, workstations 9, api_keys 3, users 15, companies 4";
    let told = |result: &ResetResult| {
        let counts = result.public_counts.iter();
        let counts: Vec<String> = counts
            .map(|count| format!("{} {}", count.name, count.count))
            .collect();
        counts.join(", ")
    };
    let dry = wipe(&superuser, |request| request.validate_only = true).await;
    assert_eq!(told(&dry.unwrap()), expected);
    assert!(before == world.dump().await, "a dry run");

    let result = wipe(&superuser, |_| {}).await.unwrap();
    assert_eq!(told(&result), expected);
    let after = world.dump().await;
    assert_eq!(before["alembic_version"], after["alembic_version"]);
    for (table, rows) in &after {
        let left = match table.as_str() {
            "users" | "companies" | "alembic_version" => 1,
            name if name.starts_with("sequence") => continue,
            _ => 0,
        };
        assert_eq!(rows.len(), left, "{table}");
    }
    let company = "SELECT name || '|' || short_name || '|' || company_index || '|' || \
        subscription_tier || '|' || subscription_status FROM companies";
    assert_eq!(world.ask(company).await, "Ra Factory|RA|1|system|active");
    let admin = "SELECT email || '|' || role || '|' || name || '|' || surname FROM users";
    assert_eq!(
        world.ask(admin).await,
        format!("{ADMIN}|SystemAdmin|Ада|O\"Brien; --")
    );
    assert!(login(&world.database, ADMIN, ADMINS_PASSWORD).await);
    let numbers = "SELECT nextval('ui_templates_id_seq')::text";
    assert_eq!(world.ask(numbers).await, "1", "sequences start again");

    // Again, with the admins kept: who is there already stays as he is.
    let kept = wipe(&superuser, |request| request.preserve_admins = Some(true)).await;
    assert_eq!(kept.unwrap().total_rows, 0);
    assert!(login(&world.database, ADMIN, ADMINS_PASSWORD).await);
}

async fn ew01_passwords_are_nowhere_else(_: Kind) {
    let world = served().await;
    let admin = world.admin().await;
    let answer = set(&admin, "", TEST, "a password of 2026").await.unwrap();
    let result = wipe(&world.superuser().await, |_| {}).await.unwrap();
    let listed = ListOperationsRequest::default();
    let listed = admin.list_operations(listed).await.unwrap();
    assert_eq!(listed.operations.len(), 2);
    let told = format!("{answer:?} {result:?} {listed:?}");
    let mut written = std::fs::read(world.folder.join("journal.db")).unwrap();
    // What is not yet in the file itself.
    let log = std::fs::read(world.folder.join("journal.db-wal"));
    written.extend(log.unwrap_or_default());
    let written = String::from_utf8_lossy(&written);
    assert!(written.contains("SetPassword"), "the journal is read");
    for secret in ["a password of 2026", ADMINS_PASSWORD, "$2b$12$8JSb"] {
        assert!(!told.contains(secret), "{secret}");
        assert!(!written.contains(secret), "{secret}");
    }
    // Each environment has its own.
    let system = RAFACTORY.folder();
    for file in ["policy.toml", "system.sql", "README.md"] {
        let text = std::fs::read_to_string(system.join(file)).unwrap();
        assert!(!text.contains("s3cret") && !text.contains("$2b$12$8JSb"));
    }
}

async fn ew02_a_hash_is_verified(_: Kind) {
    let world = served().await;
    let admin = world.admin().await;
    // Sixty characters, the right prefix, and nobody gets in with it.
    let looks_right = "b.ivanov@rafactory.example";
    let hash = format!("SELECT pwd_hash FROM users WHERE email = '{looks_right}'");
    let hash = world.ask(&hash).await;
    assert!(hash.starts_with("$2b$12$") && hash.len() == 60);
    assert!(!login(&world.database, looks_right, "password").await);
    set(&admin, "", looks_right, "password").await.unwrap();
    assert!(login(&world.database, looks_right, "password").await);

    let (code, reason, message) = refusal(set(&admin, "", "nobody@example.com", "new").await);
    assert_eq!((code, reason.as_str()), (Code::NotFound, "USER_NOT_FOUND"));
    assert!(message.contains("nobody@example.com"), "{message}");
    // Addresses are compared exactly.
    let (_, reason, _) = refusal(set(&admin, "", "A.PETROV@rafactory.example", "new").await);
    assert_eq!(reason, "USER_NOT_FOUND");
}

/// A dump of production that was restored under a test database's name, or a
/// port that leads elsewhere: the marker is another database's.
async fn ew03_a_port_is_no_environment(_: Kind) {
    let world = served().await;
    let name = &world.database.name;
    let mut elsewhere = elsewhere().await;
    let kill = format!(
        "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE datname = '{name}'"
    );
    // The same rows, marker included, in another database of the same name.
    elsewhere
        .run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        .await
        .unwrap();
    elsewhere.rows(&kill).await.unwrap();
    for statement in [
        format!("ALTER DATABASE {name} RENAME TO {name}_1"),
        format!("CREATE DATABASE {name} TEMPLATE {name}_1 OWNER {OWNER}"),
    ] {
        elsewhere.run(&statement).await.unwrap();
    }
    elsewhere.close().await;
    let before = world.dump().await;
    let superuser = world.superuser().await;
    let (code, reason, _) = refusal(wipe(&superuser, |_| {}).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "TARGET_IDENTITY_MISMATCH")
    );
    let (_, reason, _) = refusal(set(&superuser, "", REAL, "new").await);
    assert_eq!(reason, "TARGET_IDENTITY_MISMATCH");
    assert!(before == world.dump().await);
}

async fn ew04_a_failure_in_between_changes_nothing(_: Kind) {
    let world = prepared(async |_: &Database, folder: &Path| {
        let path = folder.join("system.sql");
        let seed = std::fs::read_to_string(&path).unwrap();
        // The company is put in place, the admin cannot be.
        let seed = seed.replace("'SystemAdmin', true,", "'SystemAdmin', NULL,");
        std::fs::write(&path, seed).unwrap();
    })
    .await;
    let superuser = world.superuser().await;
    let before = world.dump().await;
    let error = wipe(&superuser, |_| {}).await.unwrap_err();
    assert_eq!(error.reason(), Some("SEED_FAILED"));
    assert_eq!(error.metadata()["file"], "system.sql");
    assert_eq!(error.metadata()["statement"], "2");
    assert!(before == world.dump().await, "sequences included");
    assert!(login(&world.database, REAL, "password").await);
    // Nothing of this needs a superuser of the database; and it is on record.
    let role = format!("SELECT rolsuper::text FROM pg_roles WHERE rolname = '{OWNER}'");
    assert_eq!(world.ask(&role).await, "false");
    let listed = ListOperationsRequest::default();
    let listed = superuser.list_operations(listed).await.unwrap();
    assert_eq!(listed.operations[0].action, "FullReset");
    assert_eq!(listed.operations[0].actor, "the superuser");
}

async fn ew05_what_bcrypt_would_cut_is_refused(_: Kind) {
    let world = served().await;
    let admin = world.admin().await;
    let before = world.dump().await;
    let long = "x".repeat(73);
    let wide = "ж".repeat(37);
    for password in ["", "nul\0l", long.as_str(), wide.as_str()] {
        let (code, reason, message) = refusal(set(&admin, "", REAL, password).await);
        assert_eq!(
            (code, reason.as_str()),
            (Code::InvalidArgument, "INVALID_FIELD")
        );
        assert!(password.is_empty() || !message.contains(password));
    }
    assert!(before == world.dump().await);
    let longest = "ж".repeat(36);
    set(&admin, "", REAL, &longest).await.unwrap();
    assert!(login(&world.database, REAL, &longest).await);
}

/// The tables are another role's, and this one may do everything with them but
/// see all their rows.
async fn ew07_hidden_rows_are_noticed(_: Kind) {
    let world = prepared(async |database: &Database, _: &Path| {
        let mut superuser = database.superuser().await;
        let sql = format!(
            "DO $$ DECLARE own record; BEGIN FOR own IN SELECT tablename AS name FROM pg_tables \
             WHERE schemaname = 'public' LOOP EXECUTE format('ALTER TABLE %I OWNER TO postgres', \
             own.name); END LOOP; END $$; GRANT ALL ON ALL TABLES IN SCHEMA public TO {OWNER}; \
             GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {OWNER}"
        );
        superuser.run(&sql).await.unwrap();
        superuser.close().await;
    })
    .await;
    let before = world.dump().await;
    let superuser = world.superuser().await;
    let one = ResetUserRequest {
        user: Some(reset_user_request::User::Email(TEST.to_owned())),
        ..ResetUserRequest::default()
    };
    let answers = [
        refusal(superuser.reset_user(one).await),
        refusal(test_users(&superuser).await),
        refusal(wipe(&superuser, |_| {}).await),
        refusal(set(&superuser, "", REAL, "new").await),
    ];
    for (code, reason, message) in answers {
        assert_eq!(
            (code, reason.as_str()),
            (Code::FailedPrecondition, "DATABASE_PERMISSION"),
            "{message}"
        );
    }
    assert!(before == world.dump().await);
}

async fn ew08_a_delete_that_does_not_happen_is_noticed(_: Kind) {
    let keep = "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        RETURN CASE WHEN OLD.email = 'operator2.a@example.com' THEN NULL ELSE OLD END; END $$; \
        CREATE TRIGGER keep BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION keep()";
    let world = prepared(async |database: &Database, _: &Path| {
        let mut connection = database.connect().await;
        connection.run(keep).await.unwrap();
        connection.close().await;
    })
    .await;
    let before = world.dump().await;
    let superuser = world.superuser().await;
    let answers = [
        refusal(test_users(&superuser).await),
        refusal(wipe(&superuser, |_| {}).await),
    ];
    for (code, reason, message) in answers {
        assert_eq!(code, Code::FailedPrecondition, "{reason}: {message}");
    }
    assert!(before == world.dump().await);
    // Users of whom it does not speak go, and their log entries stay.
    let one = ResetUserRequest {
        user: Some(reset_user_request::User::Email(TEST.to_owned())),
        ..ResetUserRequest::default()
    };
    let result = superuser.reset_user(one).await.unwrap().result.unwrap();
    assert_eq!(counts(&result), "users -1, workflow ~18");
    assert_eq!(world.count("workflow", "true").await, 300);
    let names = format!("user_guid IS NULL AND user_name = '{TEST}'");
    assert_eq!(world.count("workflow", &names).await, 18);
}
