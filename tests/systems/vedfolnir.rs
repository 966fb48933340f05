//! Vedfolnir, on MariaDB, with its Redis and its files.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use redis::Commands as _;
use resetd::{
    access::Role,
    client::{Client, Error},
    proto::{
        ClearCacheRequest, FullResetRequest, GetStatusRequest, ListOperationsRequest, ResetLevel,
        ResetResult, ResetUserRequest, RunRecipeRequest, StatisticsRequest,
        reset_user_request::User,
    },
};
use tonic::Code;

use crate::{
    cases,
    place::{Database, Kind, System},
    world::{Dump, Setup, World, changed, counts, finished, refusal},
};

cases! {
    MARIADB: c01_c03_c04_c05_c06_c07_c08_c18_user_data_goes_and_the_system_stays,
        c02_c09_files_and_directories_go_with_the_rows,
        c10_c12_the_cache_is_cleared_and_nothing_else,
        c11_c23_a_complete_reset_ends_with_the_defaults,
        c13_c15_the_summary_is_the_documents,
        c14_nothing_happens_without_the_word,
        c16_without_redis_the_rest_goes_on,
        c17_c22_one_user_as_all_of_them,
        c19_every_step_is_told_and_recorded,
        c21_the_command_line,
        c24_storage_retention_and_status,
        cw01_a_failed_commit_leaves_the_files,
        cw02_rows_that_name_nobody_go_as_well,
        cw04_no_path_leads_outside,
        cw05_retention_leaves_live_images,
        cw07_there_is_no_default_admin,
        cw09_a_failed_seed_leaves_everything;
}

/// The system.
pub const VEDFOLNIR: System = System {
    name: "vedfolnir",
    variant: None,
};

const RECIPE: &str = "delete_all_user_data";

/// What is preserved, by the old document and the old script.
const PRESERVED: [&str; 9] = [
    "users",
    "notifications",
    "user_audit_log",
    "system_configuration",
    "alert_configuration",
    "system_alerts",
    "compliance_audits",
    "compliance_requirements",
    "compliance_metrics",
];

const TAKEN: [&str; 11] = [
    "posts",
    "images",
    "processing_runs",
    "platform_connections",
    "caption_generation_tasks",
    "caption_generation_user_settings",
    "user_sessions",
    "job_audit_log",
    "gdpr_audit_log",
    "storage_event_log",
    "storage_overrides",
];

/// Rows of every table that goes, and of those that stay.
const MORE: &str = "
    INSERT INTO gdpr_audit_log (id, user_id, action_type, admin_user_id) VALUES (1, 1, 'export', 3),
        (2, NULL, 'purge', 3);
    INSERT INTO storage_overrides (id, admin_user_id, activated_at, expires_at, duration_hours)
        VALUES (1, 3, NOW(), NOW(), 1);
    INSERT INTO storage_event_log (id, event_type, storage_gb, limit_gb, user_id, `timestamp`,
        storage_override_id) VALUES (1, 'limit', 9, 10, 2, NOW(), 1), (2, 'limit', 9, 10, NULL,
        NOW(), NULL);";

const PASSWORD: &str = "a long one";

fn setup(setup: &mut Setup) {
    setup.roots = vec!["app"];
    setup.variables = [
        ("AUTH_ADMIN_USERNAME", "admin"),
        ("AUTH_ADMIN_EMAIL", "admin@vedfolnir.example"),
        ("AUTH_ADMIN_PASSWORD", PASSWORD),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
}

/// The files of the seed's images but two, which are gone already, and others.
fn files(folder: &Path) {
    let app = folder.join("app");
    for image in 1..=8 {
        let user = if image <= 6 { 1 } else { 2 };
        let folder = app.join(format!("storage/images/user_{user}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("image_{image}.jpg")), "image").unwrap();
    }
    fs::create_dir_all(app.join("storage/database")).unwrap();
    fs::write(app.join("storage/database/dump.sql"), "dump").unwrap();
    fs::create_dir_all(app.join("logs")).unwrap();
    fs::write(app.join("logs/app.log"), "log").unwrap();
}

/// The two users of the document's example, with their files.
async fn example(change: impl FnOnce(&mut Setup)) -> World {
    let prepare = async |_: &Database, folder: &Path| files(folder);
    let change = |given: &mut Setup| {
        setup(given);
        change(given);
    };
    World::prepared(VEDFOLNIR, Kind::MariaDb, change, prepare).await
}

/// The whole system: also an admin, and what is the system's.
async fn whole() -> World {
    let world = example(|_| {}).await;
    let system = fs::read_to_string(VEDFOLNIR.folder().join("system.mysql.sql")).unwrap();
    world.sql(&system).await;
    world.sql(MORE).await;
    world
}

async fn recipe(client: &Client, name: &str, dry: bool) -> ResetResult {
    let request = RunRecipeRequest {
        recipe: name.to_owned(),
        confirmation: "yes".to_owned(),
        validate_only: dry,
        ..RunRecipeRequest::default()
    };
    finished(client.run_recipe(request).await).await.unwrap()
}

fn named(result: &ResetResult, name: &str) -> i64 {
    let mut counts = result.public_counts.iter();
    counts.find(|count| count.name == name).unwrap().count
}

fn of(dump: &Dump, table: &str) -> Vec<String> {
    let rows = dump.iter().find(|(name, _)| name.ends_with(table));
    rows.unwrap_or_else(|| panic!("no table {table}")).1.clone()
}

fn keys(world: &mut World) -> Vec<String> {
    let mut keys: Vec<String> = world.redis().keys("*").unwrap();
    keys.sort();
    keys
}

fn set(world: &mut World, keys: &[&str]) {
    for key in keys {
        let _: () = world.redis().set(key, "x").unwrap();
    }
}

async fn c01_c03_c04_c05_c06_c07_c08_c18_user_data_goes_and_the_system_stays(_: Kind) {
    let mut world = whole().await;
    set(
        &mut world,
        &["vedfolnir:session:sid-astrid-1", "platform:1", "other"],
    );
    let before = world.dump().await;
    let result = recipe(&world.admin().await, RECIPE, false).await;
    assert_eq!(result.message, "All user data was deleted");
    let after = world.dump().await;
    for table in TAKEN {
        assert!(!of(&before, table).is_empty(), "{table} had rows");
        assert_eq!(world.count(table, "1 = 1").await, 0, "{table}");
    }
    for table in PRESERVED {
        assert_eq!(
            of(&before, table),
            of(&after, table),
            "{table} is preserved"
        );
    }
    assert_eq!(keys(&mut world), ["other"]);
    // Encrypted credentials of connections are in no other table either.
    assert!(!format!("{after:?}").contains("gAAAAA"));
}

async fn c02_c09_files_and_directories_go_with_the_rows(_: Kind) {
    let world = whole().await;
    let app = world.folder.join("app");
    for kind in ["temp", "backups"] {
        fs::create_dir_all(app.join(format!("storage/{kind}/user_2/deep"))).unwrap();
        fs::write(app.join(format!("storage/{kind}/user_2/deep/file")), "x").unwrap();
        fs::create_dir_all(app.join(format!("storage/{kind}/user_20"))).unwrap();
    }
    let result = recipe(&world.admin().await, RECIPE, false).await;
    assert_eq!(named(&result, "image_files"), 10);
    assert_eq!(named(&result, "directories_removed"), 4);
    for gone in [
        "images/user_1",
        "images/user_2",
        "temp/user_2",
        "backups/user_2",
    ] {
        assert!(!app.join("storage").join(gone).exists(), "{gone}");
    }
    for stays in [
        "storage/temp/user_20",
        "storage/database/dump.sql",
        "logs/app.log",
    ] {
        assert!(app.join(stays).exists(), "{stays}");
    }
}

async fn c10_c12_the_cache_is_cleared_and_nothing_else(_: Kind) {
    let mut world = whole().await;
    let cached = [
        "vedfolnir:session:a",
        "vedfolnir:session:b",
        "user_platforms:1",
        "platform:1",
        "platform_stats:1:1",
    ];
    set(&mut world, &cached);
    set(&mut world, &["rate:1", "vedfolnir:queue", "platforms"]);
    let before = world.dump().await;
    let admin = world.admin().await;
    let request = |validate_only| ClearCacheRequest {
        validate_only,
        ..ClearCacheRequest::default()
    };
    let dry = admin.clear_cache(request(true)).await.unwrap();
    assert_eq!(keys(&mut world).len(), 8, "a dry run");
    let real = admin.clear_cache(request(false)).await.unwrap();
    assert_eq!((dry.total_keys, real.total_keys), (5, 5));
    assert_eq!(dry.keys, real.keys, "a dry run says what the run then does");
    assert_eq!(real.keys[0].name, "vedfolnir:session:*");
    assert_eq!(real.keys[0].count, 2);
    assert_eq!(keys(&mut world), ["platforms", "rate:1", "vedfolnir:queue"]);
    assert_eq!(changed(&before, &world.dump().await), Vec::<String>::new());
}

/// The same without the numbers that the next rows get: InnoDB does not take
/// back those that it gave to rows of a seed that was rolled back.
fn rows_changed(before: &Dump, after: &Dump) -> Vec<String> {
    let mut tables = changed(before, after);
    tables.retain(|table| !table.starts_with("sequence "));
    tables
}

async fn full_reset(client: &Client, dry: bool) -> Result<ResetResult, Error> {
    let request = FullResetRequest {
        confirmation: "yes".to_owned(),
        preserve_admins: Some(false),
        reseed: true,
        validate_only: dry,
        ..FullResetRequest::default()
    };
    finished(client.full_reset(request).await).await
}

async fn c11_c23_a_complete_reset_ends_with_the_defaults(_: Kind) {
    let mut world = whole().await;
    set(&mut world, &["vedfolnir:session:sid-astrid-1", "other"]);
    let columns = "SELECT GROUP_CONCAT(TABLE_NAME, COLUMN_NAME, COLUMN_TYPE ORDER BY TABLE_NAME, \
                   ORDINAL_POSITION) FROM information_schema.COLUMNS \
                   WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME NOT LIKE 'resetd%'";
    let structure = world.ask(columns).await;
    let before = world.dump().await;
    let superuser = world.superuser().await;
    full_reset(&superuser, true).await.unwrap();
    assert_eq!(
        rows_changed(&before, &world.dump().await),
        Vec::<String>::new()
    );
    let result = full_reset(&superuser, false).await.unwrap();
    assert!(result.next_steps[0].contains("generate_env_secrets.py"));
    assert_eq!(world.ask(columns).await, structure);
    let admin = world
        .ask("SELECT username, email, role, password_hash FROM users")
        .await;
    let (who, hash) = admin.rsplit_once('|').unwrap();
    assert_eq!(who, "admin|admin@vedfolnir.example|ADMIN");
    assert!(hash.starts_with("$2b$12$"), "{hash}");
    assert!(bcrypt::verify(PASSWORD, hash).unwrap());
    assert_eq!(
        world.count("system_configuration", "updated_by = 1").await,
        6
    );
    for table in TAKEN
        .iter()
        .chain(&["notifications", "user_audit_log", "system_alerts"])
    {
        assert_eq!(world.count(table, "1 = 1").await, 0, "{table}");
    }
    assert_eq!(keys(&mut world), ["other"]);
    assert!(!world.folder.join("app/storage/images").exists());
    assert!(!world.folder.join("app/logs").exists());
    // Numbers go on after what was seeded.
    let next = "INSERT INTO users (username, email, password_hash) VALUES ('n', 'n@test.com', 'x')";
    world.sql(next).await;
    assert_eq!(
        world.ask("SELECT CAST(max(id) AS CHAR) FROM users").await,
        "2"
    );
}

/// The lines of the summary, each with its counter.
const LINES: [(&str, &str); 15] = [
    ("Users Processed", "users_processed"),
    ("Posts", "posts"),
    ("Images (DB)", "images"),
    ("Image Files", "image_files"),
    ("Processing Runs", "processing_runs"),
    ("Platform Connections", "platform_connections"),
    ("Caption Tasks", "caption_tasks"),
    ("Caption Settings", "caption_settings"),
    ("DB Sessions", "user_sessions_db"),
    ("Redis Sessions", "user_sessions_redis"),
    ("Job Audit Logs", "job_audit_logs"),
    ("GDPR Audit Logs", "gdpr_audit_logs"),
    ("Storage Events", "storage_events"),
    ("Storage Overrides", "storage_overrides"),
    ("User Directories", "directories_removed"),
];

/// The summary as the old script printed it, of the reply's own names.
fn summary(title: &str, result: &ResetResult) -> String {
    let rule = "=".repeat(60);
    let mut text = format!("{rule}\n{title}\n{rule}\n");
    let names: Vec<&str> = result
        .public_counts
        .iter()
        .map(|count| count.name.as_str())
        .collect();
    let listed: Vec<&str> = LINES
        .iter()
        .map(|(_, name)| *name)
        .chain(["total_items"])
        .collect();
    assert_eq!(names, listed, "the counters, in their order");
    for (line, name) in LINES {
        writeln!(text, "{line}: {}", named(result, name)).unwrap();
    }
    let total = named(result, "total_items");
    writeln!(text, "{}\nTotal Items: {total}\n{rule}", ".".repeat(40)).unwrap();
    text
}

async fn c13_c15_the_summary_is_the_documents(_: Kind) {
    let mut world = example(|_| {}).await;
    set(
        &mut world,
        &[
            "vedfolnir:session:sid-astrid-1",
            "vedfolnir:session:sid-bjorn-1",
        ],
    );
    let golden = include_str!("golden/vedfolnir_dry_run.txt");
    let admin = world.admin().await;
    let before = world.dump().await;
    let dry = recipe(&admin, RECIPE, true).await;
    assert_eq!(summary("DRY RUN SUMMARY", &dry), golden);
    assert_eq!(changed(&before, &world.dump().await), Vec::<String>::new());
    assert_eq!(keys(&mut world).len(), 2);
    assert!(
        world
            .folder
            .join("app/storage/images/user_1/image_1.jpg")
            .exists()
    );
    let real = recipe(&admin, RECIPE, false).await;
    let deleted = golden.replace("DRY RUN SUMMARY", "DELETION SUMMARY");
    assert_eq!(summary("DELETION SUMMARY", &real), deleted);
    // Of all other operations as well: what is said is what happens.
    for name in ["reset_storage", "retention"] {
        let before = world.dump().await;
        let dry = recipe(&admin, name, true).await;
        assert_eq!(changed(&before, &world.dump().await), Vec::<String>::new());
        let real = recipe(&admin, name, false).await;
        assert_eq!(dry.public_counts, real.public_counts, "{name}");
    }
}

async fn c14_nothing_happens_without_the_word(_: Kind) {
    let world = whole().await;
    let before = world.dump().await;
    let admin = world.admin().await;
    for (phrase, reason) in [
        ("", "CONFIRMATION_REQUIRED"),
        ("y", "CONFIRMATION_MISMATCH"),
    ] {
        for name in [RECIPE, "reset_storage", "retention"] {
            let request = RunRecipeRequest {
                recipe: name.to_owned(),
                confirmation: phrase.to_owned(),
                ..RunRecipeRequest::default()
            };
            let (code, told, _) = refusal(finished(admin.run_recipe(request).await).await);
            assert_eq!((code, told.as_str()), (Code::FailedPrecondition, reason));
        }
        let request = FullResetRequest {
            confirmation: phrase.to_owned(),
            ..FullResetRequest::default()
        };
        let superuser = world.superuser().await;
        let (_, told, _) = refusal(finished(superuser.full_reset(request).await).await);
        assert_eq!(told, reason);
    }
    assert_eq!(changed(&before, &world.dump().await), Vec::<String>::new());
    assert!(world.folder.join("app/storage/images/user_1").exists());
}

async fn c16_without_redis_the_rest_goes_on(_: Kind) {
    // Nobody listens there.
    let nobody = |setup: &mut Setup| setup.redis = Some("redis://127.0.0.1:1/0".to_owned());
    let world = example(nobody).await;
    let admin = world.admin().await;
    let result = recipe(&admin, RECIPE, false).await;
    assert_eq!(world.count("posts", "1 = 1").await, 0);
    assert_eq!(named(&result, "image_files"), 8);
    let warning = |text: &String| text.contains("still to be done");
    assert!(result.warnings.iter().any(warning), "{:?}", result.warnings);
    assert!(!result.errors.is_empty());
    let status = admin.get_status(GetStatusRequest::default()).await.unwrap();
    assert!(status.elsewhere.unwrap().pending_effects > 0);
    let cleared = admin.clear_cache(ClearCacheRequest::default()).await;
    let (code, reason, _) = refusal(cleared);
    assert_eq!(
        (code, reason.as_str()),
        (Code::Unavailable, "CACHE_UNAVAILABLE")
    );
}

async fn c17_c22_one_user_as_all_of_them(_: Kind) {
    let mut world = whole().await;
    set(
        &mut world,
        &[
            "vedfolnir:session:sid-astrid-1",
            "vedfolnir:session:sid-astrid-2",
            "vedfolnir:session:sid-bjorn-1",
            "user_platforms:1",
            "user_platforms:12",
            "platform_stats:1:1",
            "platform:1",
            "platform:2",
        ],
    );
    let before = world.dump().await;
    let request = ResetUserRequest {
        user: Some(User::Email("astrid@test.com".to_owned())),
        level: ResetLevel::UserSessions.into(),
        ..ResetUserRequest::default()
    };
    let admin = world.admin().await;
    let answer = admin.reset_user(request).await.unwrap();
    let result = answer.result.unwrap();
    let expected = "caption_generation_tasks -1, caption_generation_user_settings -1, \
        gdpr_audit_log -1, images -6, job_audit_log -9, platform_connections -1, posts -3, \
        processing_runs -2, user_sessions -2, users *1";
    assert_eq!(counts(&result), expected);
    let kept = [
        "platform:2",
        "user_platforms:12",
        "vedfolnir:session:sid-bjorn-1",
    ];
    assert_eq!(keys(&mut world), kept);
    assert!(!world.folder.join("app/storage/images/user_1").exists());
    assert!(
        world
            .folder
            .join("app/storage/images/user_2/image_7.jpg")
            .exists()
    );
    let after = world.dump().await;
    for table in PRESERVED.iter().filter(|table| **table != "users") {
        assert_eq!(of(&before, table), of(&after, table), "{table}");
    }
    // The other user's rows are untouched, and what is left goes with all.
    assert_eq!(world.count("posts", "user_id = 2").await, 2);
    assert_eq!(world.count("users", "1 = 1").await, 3);
    let rest = recipe(&admin, RECIPE, false).await;
    assert_eq!((named(&rest, "posts"), named(&rest, "images")), (2, 4));
}

async fn c19_every_step_is_told_and_recorded(_: Kind) {
    use resetd::proto::event::Kind as Event;
    let world = whole().await;
    let admin = world.admin().await;
    let request = RunRecipeRequest {
        recipe: RECIPE.to_owned(),
        confirmation: "yes".to_owned(),
        ..RunRecipeRequest::default()
    };
    let mut events = admin.run_recipe(request).await.unwrap();
    let (mut begun, mut ended, mut committed) = (Vec::new(), 0, false);
    while let Some(event) = events.next().await.unwrap() {
        match event.kind.unwrap() {
            Event::StepStarted(step) => begun.push(step.title),
            Event::StepFinished(_) => ended += 1,
            Event::Committed(_) => committed = true,
            _ => {}
        }
    }
    assert!(
        committed && begun.len() == ended && ended >= 11,
        "{begun:?}"
    );
    let listed = admin
        .list_operations(ListOperationsRequest::default())
        .await
        .unwrap();
    let operation = &listed.operations[0];
    assert_eq!(
        (operation.action.as_str(), operation.actor.as_str()),
        ("RunRecipe", "the admin")
    );
    assert!(operation.request_json.contains(RECIPE));
}

async fn c21_the_command_line(_: Kind) {
    let world = whole().await;
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_resetctl"));
        command
            .args(arguments)
            .env("RESETCTL_ADDRESS", world.address.to_string())
            .env("RESETCTL_TOKEN", world.token(Role::Superuser));
        // The server that it calls runs on these threads as well.
        let done = tokio::task::block_in_place(|| command.output()).unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        (done.status.code().unwrap(), text)
    };
    let before = world.dump().await;
    let (exit, text) = run(&["recipe"]);
    assert_eq!(exit, 0);
    assert!(
        text.contains(RECIPE) && text.contains("retention"),
        "{text}"
    );
    let (exit, text) = run(&["recipe", RECIPE, "--dry-run"]);
    assert_eq!(exit, 0);
    assert!(
        text.starts_with("Operation ") && text.contains("total_items: "),
        "{text}"
    );
    assert_eq!(run(&["recipe", RECIPE, "--confirm", "no"]).0, 3);
    assert_eq!(
        run(&["recipe", RECIPE]).0,
        3,
        "without a terminal nobody is asked"
    );
    assert_eq!(run(&["recipe", "nobody", "--confirm", "yes"]).0, 5);
    assert_eq!(changed(&before, &world.dump().await), Vec::<String>::new());
    let (exit, text) = run(&["recipe", RECIPE, "--confirm", "yes"]);
    assert_eq!(exit, 0);
    assert!(text.contains("✅ All user data was deleted"), "{text}");
}

async fn c24_storage_retention_and_status(_: Kind) {
    let world = whole().await;
    let admin = world.admin().await;
    let retained = recipe(&admin, "retention", false).await;
    let numbers = ["processing_runs", "images", "posts", "image_files"];
    let numbers = numbers.map(|name| named(&retained, name));
    assert_eq!(numbers, [2, 1, 0, 1]);
    assert_eq!(world.count("images", "id = 4").await, 0);
    let app = world.folder.join("app");
    assert!(!app.join("storage/images/user_1/image_4.jpg").exists());
    let storage = recipe(&admin, "reset_storage", false).await;
    assert_eq!(named(&storage, "files"), 8, "seven images and a log");
    assert!(app.join("storage/database/dump.sql").exists());
    assert_eq!(storage.total_rows, 0);
    let status = admin.get_status(GetStatusRequest::default()).await.unwrap();
    assert!(status.reset_allowed && status.database_version.contains("MariaDB"));
    let exact = StatisticsRequest {
        exact: true,
        ..StatisticsRequest::default()
    };
    let statistics = admin.statistics(exact).await.unwrap();
    assert_eq!(statistics.total_users, 3);
}

async fn cw01_a_failed_commit_leaves_the_files(_: Kind) {
    let mut world = whole().await;
    set(&mut world, &["vedfolnir:session:sid-astrid-1"]);
    world
        .sql(
            "CREATE TRIGGER no BEFORE DELETE ON posts FOR EACH ROW \
             SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'",
        )
        .await;
    let before = world.dump().await;
    let request = RunRecipeRequest {
        recipe: RECIPE.to_owned(),
        confirmation: "yes".to_owned(),
        ..RunRecipeRequest::default()
    };
    let admin = world.admin().await;
    let (_, reason, _) = refusal(finished(admin.run_recipe(request).await).await);
    assert_eq!(reason, "CONSTRAINT_VIOLATED");
    assert_eq!(changed(&before, &world.dump().await), Vec::<String>::new());
    assert!(
        world
            .folder
            .join("app/storage/images/user_1/image_1.jpg")
            .exists()
    );
    assert_eq!(keys(&mut world).len(), 1);
}

async fn cw02_rows_that_name_nobody_go_as_well(_: Kind) {
    let world = whole().await;
    assert_eq!(world.count("job_audit_log", "user_id IS NULL").await, 2);
    let admin = world.admin().await;
    let dry = recipe(&admin, RECIPE, true).await;
    let real = recipe(&admin, RECIPE, false).await;
    assert_eq!(dry.public_counts, real.public_counts);
    assert_eq!(named(&real, "job_audit_logs"), 15);
    assert_eq!(world.count("job_audit_log", "1 = 1").await, 0);
    assert_eq!(world.count("gdpr_audit_log", "1 = 1").await, 0);
}

async fn cw04_no_path_leads_outside(_: Kind) {
    let world = whole().await;
    let outside = world.folder.join("outside");
    fs::create_dir_all(&outside).unwrap();
    let precious = outside.join("precious.txt");
    fs::write(&precious, "x").unwrap();
    let link = world.folder.join("app/storage/images/user_1/link");
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    let paths = [
        "../outside/precious.txt".to_owned(),
        precious.to_str().unwrap().to_owned(),
        "storage/images/user_1/link/precious.txt".to_owned(),
        "storage/../../outside/precious.txt".to_owned(),
    ];
    for (image, path) in (1..).zip(&paths) {
        let sql = format!("UPDATE images SET local_path = '{path}' WHERE id = {image}");
        world.sql(&sql).await;
    }
    recipe(&world.admin().await, RECIPE, false).await;
    assert_eq!(fs::read_to_string(&precious).unwrap(), "x");
    assert_eq!(world.count("images", "1 = 1").await, 0);
}

async fn cw05_retention_leaves_live_images(_: Kind) {
    let world = whole().await;
    recipe(&world.admin().await, "retention", false).await;
    let images = world.folder.join("app/storage/images");
    let left = fs::read_dir(images.join("user_1")).unwrap().count()
        + fs::read_dir(images.join("user_2")).unwrap().count();
    assert_eq!(left, 7, "one of eight was kept for long enough");
    assert!(world.folder.join("app/logs/app.log").exists());
}

async fn cw07_there_is_no_default_admin(_: Kind) {
    use resetd::config::{Config, Variables};
    let folder = tempfile::tempdir().unwrap();
    for name in ["policy.toml", "defaults.mysql.sql"] {
        fs::copy(VEDFOLNIR.folder().join(name), folder.path().join(name)).unwrap();
    }
    let path = folder.path().join("resetd.toml");
    let text = "[[targets]]\nname = 'v'\nurl = 'mysql://u@127.0.0.1:3306/v_test'\n\
                environment = 'test'\npolicy = 'policy.toml'\n";
    fs::write(&path, text).unwrap();
    let error = Config::from_file(&path, &Variables::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("AUTH_ADMIN_EMAIL, which is not set"),
        "{error}"
    );
}

async fn cw09_a_failed_seed_leaves_everything(_: Kind) {
    let world = whole().await;
    // The seed's key, which another row than the seed's has by then.
    world
        .sql(
            "CREATE TRIGGER twice AFTER INSERT ON users FOR EACH ROW \
             INSERT INTO system_configuration (`key`, updated_by) VALUES ('maintenance_mode', 1)",
        )
        .await;
    let before = world.dump().await;
    let (_, reason, message) = refusal(full_reset(&world.superuser().await, false).await);
    assert_eq!(reason, "SEED_FAILED", "{message}");
    assert_eq!(
        rows_changed(&before, &world.dump().await),
        Vec::<String>::new()
    );
    assert!(world.folder.join("app/logs/app.log").exists());
}
