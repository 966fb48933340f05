//! The old script's commands, as `resetctl` has them: the real program, with
//! its output and its exit codes.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Output, Stdio},
};

use resetd::access::Role;

use super::{ADMINS, BUYER, CEO, MESTORE, PHRASE, test_users};
use crate::{
    cases,
    place::Kind,
    world::{World, changed},
};

cases! {
    SQLITE: a36_quick_reset,
        a37_a42_a_user_by_email_with_level_and_force,
        a38_a45_numbers_before_anything_is_destroyed,
        a39_a_test_user,
        a40_a_full_reset_with_its_confirmation,
        a41_help_names_every_command,
        a43_failures_as_the_document_shows_them,
        a47_logs_of_one_module;
}

/// Runs `resetctl` as somebody of this role.
fn resetctl(world: &World, role: Role, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resetctl"));
    command
        .args(arguments)
        .env_clear()
        .env("RESETCTL_ADDRESS", world.address.to_string())
        .env("RESETCTL_TOKEN", world.token(role))
        .stdin(Stdio::null());
    // The server that it calls runs on these threads as well.
    tokio::task::block_in_place(|| command.output()).unwrap()
}

/// What it printed, when it did well.
#[track_caller]
fn printed(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{error}");
    text
}

/// What it said when it failed.
#[track_caller]
fn complained(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn a36_quick_reset(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    printed(&resetctl(&world, Role::Admin, &["test-users"]));
    let left = format!("{} AND NOT ({ADMINS})", test_users(kind));
    assert_eq!(world.count("users", &left).await, 0);
}

async fn a37_a42_a_user_by_email_with_level_and_force(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let profile = ["user", BUYER, "--level", "user_data"];
    printed(&resetctl(&world, Role::Tester, &profile));
    assert_eq!(world.count("users", &format!("email = '{BUYER}'")).await, 1);
    printed(&resetctl(&world, Role::Tester, &["user", BUYER]));
    assert_eq!(world.count("users", &format!("email = '{BUYER}'")).await, 0);
    let real = ["user", "ana@test.com.evil.org"];
    complained(&resetctl(&world, Role::Admin, &real));
    let is_there = "email = 'ana@test.com.evil.org'";
    assert_eq!(world.count("users", is_there).await, 1);
    printed(&resetctl(
        &world,
        Role::Admin,
        &[real[0], real[1], "--force"],
    ));
    assert_eq!(world.count("users", is_there).await, 0);
}

async fn a38_a45_numbers_before_anything_is_destroyed(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let before = world.dump().await;
    let numbers = printed(&resetctl(&world, Role::Viewer, &["stats"]));
    for expected in ["BUYER", "178", "VENDOR", "95", "300", "100"] {
        assert!(numbers.contains(expected), "{expected} in {numbers}");
    }
    // Every destructive command can be tried first.
    for command in [
        &["user", BUYER, "--dry-run"][..],
        &["test-users", "--dry-run"],
        &["full-reset", "--dry-run"],
    ] {
        let text = printed(&resetctl(&world, Role::Superuser, command));
        assert!(text.contains("Dry run: nothing was changed"), "{text}");
    }
    assert!(changed(&before, &world.dump().await).is_empty());
}

async fn a39_a_test_user(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let create = ["create-user", "newuser@test.com", "--set", "nombre=Test"];
    let text = printed(&resetctl(&world, Role::Tester, &create));
    assert!(text.contains("newuser@test.com"), "{text}");
    let stored = "email = 'newuser@test.com' AND nombre = 'Test'";
    assert_eq!(world.count("users", stored).await, 1);
}

async fn a40_a_full_reset_with_its_confirmation(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let before = world.dump().await;
    for command in [
        &["full-reset"][..],
        &["full-reset", "--confirm", "yes"],
        &["full-reset", "--confirm", "DELETE ALL DATA"],
    ] {
        complained(&resetctl(&world, Role::Superuser, command));
    }
    assert!(changed(&before, &world.dump().await).is_empty());
    let confirmed = ["full-reset", "--confirm", PHRASE];
    printed(&resetctl(&world, Role::Superuser, &confirmed));
    assert_eq!(world.count("orders", "true").await, 0);
    assert_eq!(
        world.count("users", ADMINS).await,
        20,
        "unless told otherwise"
    );
    let all = ["full-reset", "--confirm", PHRASE, "--no-preserve-admins"];
    printed(&resetctl(&world, Role::Superuser, &all));
    assert_eq!(world.count("users", "true").await, 0);
}

async fn a41_help_names_every_command(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let help = printed(&resetctl(&world, Role::Viewer, &["--help"]));
    for command in [
        "user",
        "test-users",
        "create-user",
        "stats",
        "full-reset",
        "status",
    ] {
        assert!(
            help.contains(&format!("\n  {command} ")),
            "{command} in {help}"
        );
        let own = printed(&resetctl(&world, Role::Viewer, &[command, "--help"]));
        assert!(own.contains("Usage: resetctl"), "{own}");
    }
}

async fn a43_failures_as_the_document_shows_them(kind: Kind) {
    let world = World::of(MESTORE, kind).await;
    let output = resetctl(&world, Role::Tester, &["user", CEO]);
    let text = complained(&output);
    let first = text.lines().next().unwrap();
    assert!(first.starts_with("❌ Reset"), "{text}");
    assert!(first.ends_with("failed!"), "{text}");
    let error = format!("   Error: User {CEO} doesn't appear to be a test user");
    assert!(text.contains(&error), "{text}");
    assert!(
        text.contains("   Use --force to override this check"),
        "{text}"
    );
    assert!(
        !text.contains('\u{1b}'),
        "no colours where nobody sees them"
    );
}

/// The daemon logs what its filter says, module by module.
async fn a47_logs_of_one_module(_: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let config = "[[targets]]\nname = 'm'\nenvironment = 'production'\n\
                  url = 'sqlite:m_test.db'\npolicy = 'policy.toml'\n\
                  [[tokens]]\nsubject = 'me'\nrole = 'viewer'\nsha256 = 'DIGEST'\n";
    let config = config.replace("DIGEST", &"0".repeat(64));
    std::fs::write(folder.path().join("resetd.toml"), config).unwrap();
    let policy = MESTORE.folder().join("policy.toml");
    std::fs::copy(policy, folder.path().join("policy.toml")).unwrap();
    let logged = |filter: &str| {
        let mut daemon = Command::new(env!("CARGO_BIN_EXE_resetd"))
            .args([
                "serve",
                "--config",
                "resetd.toml",
                "--listen",
                "127.0.0.1:0",
            ])
            .args(["--log", filter])
            .current_dir(folder.path())
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(daemon.stderr.take().unwrap()).lines();
        // It says that it is serving, and before that what it thinks of a
        // target in production, unless it is told not to.
        let mut text = String::new();
        for line in lines.by_ref() {
            let line = line.unwrap();
            text.push_str(&line);
            if line.contains("serving") {
                break;
            }
        }
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        text
    };
    let (all, one) =
        tokio::task::block_in_place(|| (logged("info"), logged("info,resetd::server=off")));
    assert!(all.contains("target is not connected to"), "{all}");
    assert!(!one.contains("target is not connected to"), "{one}");
    assert!(one.contains("serving"), "{one}");
}
