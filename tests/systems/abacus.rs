//! The abacus application, on SQLite and PostgreSQL.

use std::{
    fmt::Write as _,
    process::{Command, Stdio},
};

use resetd::{
    access::Role,
    client::{Client, Error},
    config::{Config, Variables},
    proto::{
        GetStatusRequest, ListOperationsRequest, ResetLevel, ResetResult, ResetUserRequest,
        RunRecipeRequest, event::Kind as Event, operation::State, reset_user_request::User,
    },
};
use tonic::Code;

use crate::{
    cases,
    place::{Kind, System},
    world::{Armed, Dump, World, changed, counts, finished, refusal},
};

cases! {
    BOTH: b01_b02_b03_b04_b05_progress_goes_and_the_school_stays,
        b06_b17_a_failure_changes_nothing_and_is_told,
        b07_only_the_exact_word,
        b09_every_step_is_told_with_its_rows,
        b10_b11_b13_the_reply_is_the_documents,
        b12_b14_clear_refusals,
        b15_b16_a_copy_and_a_word_before,
        b16_a_trial_changes_nothing,
        bw01_the_ledger_is_preserved_until_it_is_asked_for,
        bw02_one_call_is_not_enough,
        bw04_only_rows_that_differ_are_changed,
        bw05_practice_and_reset_take_turns,
        bw07_a_schema_that_drifted_is_refused,
        bw02_one_student_without_the_others;
    SQLITE: b07_b09_b18_the_command_line,
        b13_the_database_of_the_environment;
}

/// The system.
const ABACUS: System = System {
    name: "abacus",
    variant: None,
};

/// What the document says is deleted.
const TAKEN: [&str; 4] = ["attempts", "practice_sessions", "paper_attempts", "rewards"];

fn progress(confirmation: &str) -> RunRecipeRequest {
    RunRecipeRequest {
        recipe: "progress".to_owned(),
        confirmation: confirmation.to_owned(),
        ..RunRecipeRequest::default()
    }
}

async fn run(caller: &Client, request: RunRecipeRequest) -> Result<ResetResult, Error> {
    finished(caller.run_recipe(request).await).await
}

fn named(result: &ResetResult, name: &str) -> i64 {
    let mut counts = result.public_counts.iter();
    counts.find(|count| count.name == name).unwrap().count
}

/// What changed, without the numbers that databases give to new rows.
fn tables(before: &Dump, after: &Dump) -> Vec<String> {
    let mut tables = changed(before, after);
    tables.retain(|table| !table.starts_with("sequence"));
    tables
}

async fn b01_b02_b03_b04_b05_progress_goes_and_the_school_stays(kind: Kind) {
    let world = World::of(ABACUS, kind).await;
    let others = "SELECT CAST(id AS TEXT), google_id, email, name, coalesce(display_name, '-'), \
        coalesce(avatar_url, '-'), role, CAST(created_at AS TEXT) FROM users ORDER BY id";
    let accounts = world.ask(others).await;
    let lines = "SELECT CAST(id AS TEXT), CAST(user_id AS TEXT) FROM leaderboard ORDER BY id";
    let board = world.ask(lines).await;
    let before = world.dump().await;
    for table in TAKEN {
        assert!(!before[table].is_empty(), "{table}");
    }
    run(&world.admin().await, progress("RESET")).await.unwrap();
    let after = world.dump().await;
    for table in TAKEN {
        assert!(after[table].is_empty(), "{table}");
    }
    let zero = "total_points = 0 AND current_streak = 0 AND longest_streak = 0 \
        AND total_questions_attempted = 0";
    assert_eq!(world.count("users", zero).await, 100);
    let null = "last_practice_date IS NULL AND last_grace_skip_date IS NULL \
        AND grace_skip_week_start IS NULL AND last_daily_login_bonus_date IS NULL";
    assert_eq!(world.count("users", null).await, 100);
    let line = "total_points = 0 AND weekly_points = 0 AND rank IS NULL AND weekly_rank IS NULL";
    assert_eq!(world.count("leaderboard", line).await, 100);
    // Everything else is as it was, to the letter: accounts, profiles,
    // attendance, classes, fees, certificates, the audit of profiles.
    assert_eq!(world.ask(others).await, accounts);
    assert_eq!(world.ask(lines).await, board);
    let mut expected: Vec<&str> = TAKEN.into_iter().chain(["users", "leaderboard"]).collect();
    expected.sort_unstable();
    assert_eq!(tables(&before, &after), expected);
}

async fn b06_b17_a_failure_changes_nothing_and_is_told(kind: Kind) {
    let world = World::of(ABACUS, kind).await;
    let trigger = match kind {
        Kind::Sqlite => {
            "CREATE TRIGGER no BEFORE UPDATE ON leaderboard BEGIN \
             SELECT RAISE(ABORT, 'the board is closed'); END"
        }
        Kind::Postgres | Kind::MariaDb => {
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'the board is closed'; END $$; \
             CREATE TRIGGER no BEFORE UPDATE ON leaderboard FOR EACH ROW EXECUTE FUNCTION no()"
        }
    };
    world.sql(trigger).await;
    let before = world.dump().await;
    let admin = world.admin().await;
    let (code, reason, message) = refusal(run(&admin, progress("RESET")).await);
    assert_ne!(code, Code::Ok);
    assert!(message.contains("leaderboard"), "it says where: {message}");
    // What the application's own trigger says is told, statements are not.
    assert!(message.contains("the board is closed"), "{message}");
    assert!(!message.contains("UPDATE"), "{message}");
    assert!(changed(&before, &world.dump().await).is_empty());
    let list = admin
        .list_operations(ListOperationsRequest::default())
        .await;
    let operation = &list.unwrap().operations[0];
    assert_eq!(operation.state(), State::Failed);
    assert!(operation.reason().as_str_name().ends_with(&reason));
    assert!(
        operation.error_message.contains("leaderboard"),
        "{operation:?}"
    );
}

async fn b07_only_the_exact_word(kind: Kind) {
    let world = World::of(ABACUS, kind).await;
    let before = world.dump().await;
    let admin = world.admin().await;
    for word in ["", "reset", "Reset", "RESET ", " RESET", "yes", "RESE"] {
        let (code, reason, _) = refusal(run(&admin, progress(word)).await);
        assert_eq!(code, Code::FailedPrecondition, "{word:?}");
        assert!(reason.starts_with("CONFIRMATION_"), "{reason}");
    }
    assert!(changed(&before, &world.dump().await).is_empty());
    // What one asks beforehand says what is done, and by which word.
    let status = admin.get_status(GetStatusRequest::default()).await.unwrap();
    let recipe = status
        .recipes
        .iter()
        .find(|recipe| recipe.name == "progress");
    assert_eq!(recipe.unwrap().confirmation, "RESET");
    let preview = RunRecipeRequest {
        validate_only: true,
        ..progress("")
    };
    let told = counts(&run(&admin, preview).await.unwrap());
    for group in [
        "practice_sessions -1234",
        "attempts -2468",
        "paper_attempts -567",
        "rewards -890",
        "users *100",
        "leaderboard *100",
    ] {
        assert!(told.contains(group), "{group} in {told}");
    }
}

async fn b09_every_step_is_told_with_its_rows(kind: Kind) {
    let world = World::of(ABACUS, kind).await;
    let admin = world.admin().await;
    let mut events = admin.run_recipe(progress("RESET")).await.unwrap();
    let mut told = String::new();
    let mut steps = Vec::new();
    while let Some(event) = events.next().await.unwrap() {
        match event.kind.unwrap() {
            Event::Started(started) => {
                assert!(steps.is_empty());
                steps = started.steps;
            }
            Event::StepStarted(started) => told += &started.title,
            Event::StepFinished(finished) => writeln!(told, " {}", finished.rows).unwrap(),
            Event::Committed(_) => told += "committed\n",
            Event::Finished(_) => told += "finished",
            Event::EffectsFinished(_) | Event::HookFinished(_) => {}
        }
    }
    let told_steps = told.lines().count();
    assert!(told.ends_with("committed\nfinished"), "{told}");
    assert_eq!(told_steps, steps.len() + 2, "{told}");
    for (table, rows) in [
        ("practice_sessions", 1234),
        ("paper_attempts", 567),
        ("rewards", 890),
        ("users", 100),
        ("leaderboard", 100),
    ] {
        let line = told
            .lines()
            .find(|line| line.contains(table) && line.ends_with(&format!(" {rows}")));
        assert!(line.is_some(), "{table} in {told}");
    }
}

async fn b10_b11_b13_the_reply_is_the_documents(kind: Kind) {
    let world = World::of(ABACUS, kind).await;
    let done = run(&world.admin().await, progress("RESET")).await.unwrap();
    let summary: serde_json::Map<String, serde_json::Value> = done
        .public_counts
        .iter()
        .map(|count| (count.name.clone(), count.count.into()))
        .collect();
    let reply = serde_json::json!({ "message": done.message, "summary": summary });
    let reply = serde_json::to_string_pretty(&reply).unwrap();
    assert_eq!(reply, include_str!("golden/abacus_reply.json").trim_end());
    // The document's example, which forgot the attempts.
    let document = [
        ("practice_sessions_deleted", 1234),
        ("paper_attempts_deleted", 567),
        ("rewards_deleted", 890),
        ("users_reset", 100),
        ("leaderboard_entries_reset", 100),
    ];
    for (name, count) in document {
        assert_eq!(named(&done, name), count);
    }
    assert_eq!(done.actor, "the admin");
}

async fn b12_b14_clear_refusals(kind: Kind) {
    let world = World::of(ABACUS, kind).await;
    let before = world.dump().await;
    for caller in [world.caller(Role::Viewer).await, world.tester().await] {
        let (code, reason, message) = refusal(run(&caller, progress("RESET")).await);
        assert_eq!(
            (code, reason.as_str()),
            (Code::PermissionDenied, "ROLE_REQUIRED")
        );
        assert!(message.contains("needs role admin"), "{message}");
    }
    let nobody = world.holder(None).await;
    let (code, ..) = refusal(run(&nobody, progress("RESET")).await);
    assert_eq!(code, Code::Unauthenticated);
    assert!(changed(&before, &world.dump().await).is_empty());
    // A database that is not there is told apart from one that may not be.
    let away = World::with(ABACUS, kind, |setup| {
        setup.url = Some("postgresql://app@127.0.0.1:1/abacus_test".to_owned());
        setup.armed = Armed::No;
    })
    .await;
    let (code, _, message) = refusal(run(&away.admin().await, progress("RESET")).await);
    assert_eq!(code, Code::Unavailable);
    assert!(message.contains("database"), "{message}");
}

async fn b15_b16_a_copy_and_a_word_before(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (copy, word) = (path("backup"), path("word"));
    // The copy is of the database before; the name is known only now, so that
    // a first server is asked for it.
    let world = World::of(ABACUS, kind).await;
    let before = world.dump().await;
    let database = world.database.name.clone();
    let port = crate::server::server().port.to_string();
    let owner = crate::place::OWNER;
    let backup: Vec<&str> = match kind {
        Kind::Sqlite => vec!["cp", &database, &copy],
        Kind::Postgres | Kind::MariaDb => vec![
            "pg_dump",
            "--host",
            "127.0.0.1",
            "--port",
            &port,
            "--username",
            owner,
            "--file",
            &copy,
            &database,
        ],
    };
    let hooks = format!("\n[hooks]\nbefore = [{backup:?}, [\"touch\", {word:?}]]\n");
    let url = world.database.url();
    let with_hooks = World::with(ABACUS, kind, |setup| {
        setup.url = Some(url);
        setup.armed = Armed::No;
        setup.policy += &hooks;
    })
    .await;
    run(&with_hooks.admin().await, progress("RESET"))
        .await
        .unwrap();
    assert!(folder.path().join("word").exists(), "users were told");
    assert_eq!(world.count("rewards", "true").await, 0);
    match kind {
        Kind::Sqlite => {
            let mut copied = crate::connection::Connection::sqlite(&copy).await;
            let rows = copied.dump().await;
            copied.close().await;
            assert_eq!(rows["rewards"], before["rewards"]);
        }
        Kind::Postgres | Kind::MariaDb => {
            let text = std::fs::read_to_string(&copy).unwrap();
            assert!(text.contains("COPY public.rewards") && text.contains("Streak of "));
        }
    }
    // Without a copy there is no reset.
    let world = World::with(ABACUS, kind, |setup| {
        setup.policy += "\n[hooks]\nbefore = [[\"false\"]]\n";
    })
    .await;
    let before = world.dump().await;
    let (_, reason, _) = refusal(run(&world.admin().await, progress("RESET")).await);
    assert_eq!(reason, "HOOK_FAILED");
    assert!(changed(&before, &world.dump().await).is_empty());
}

async fn b16_a_trial_changes_nothing(kind: Kind) {
    let world = World::of(ABACUS, kind).await;
    let before = world.dump().await;
    let admin = world.admin().await;
    let preview = RunRecipeRequest {
        validate_only: true,
        ..progress("")
    };
    let preview = run(&admin, preview).await.unwrap();
    assert!(preview.validate_only);
    assert!(changed(&before, &world.dump().await).is_empty());
    let done = run(&admin, progress("RESET")).await.unwrap();
    assert_eq!(preview.tables, done.tables);
    assert_eq!(preview.public_counts, done.public_counts);
}

async fn bw01_the_ledger_is_preserved_until_it_is_asked_for(kind: Kind) {
    let world = World::of(ABACUS, kind).await;
    let admin = world.admin().await;
    run(&admin, progress("RESET")).await.unwrap();
    assert_eq!(world.count("points_logs", "true").await, 100);
    let ledger = RunRecipeRequest {
        recipe: "ledger".to_owned(),
        ..progress("RESET LEDGER")
    };
    let done = run(&admin, ledger).await.unwrap();
    assert_eq!(named(&done, "points_logs_deleted"), 100);
    let differing = "total_points <> (SELECT coalesce(sum(points), 0) FROM points_logs \
        WHERE points_logs.user_id = users.id)";
    assert_eq!(world.count("users", differing).await, 0, "the sums agree");
}

/// An admin's token is not all that it takes.
async fn bw02_one_call_is_not_enough(kind: Kind) {
    let production = World::with(ABACUS, kind, |setup| {
        setup.environment = "production".to_owned();
    })
    .await;
    let (_, reason, _) = refusal(run(&production.admin().await, progress("RESET")).await);
    assert_eq!(reason, "ENVIRONMENT_DENIED");
    let unarmed = World::with(ABACUS, kind, |setup| setup.armed = Armed::No).await;
    let (_, reason, _) = refusal(run(&unarmed.admin().await, progress("RESET")).await);
    assert_eq!(reason, "TARGET_NOT_ARMED");
    for world in [production, unarmed] {
        assert_eq!(world.count("rewards", "true").await, 890);
    }
}

async fn bw04_only_rows_that_differ_are_changed(kind: Kind) {
    let world = World::of(ABACUS, kind).await;
    let admin = world.admin().await;
    let stamps = "SELECT CAST(updated_at AS TEXT) FROM users ORDER BY id";
    let stamped = world.ask(stamps).await;
    run(&admin, progress("RESET")).await.unwrap();
    assert_eq!(world.ask(stamps).await, stamped, "nobody has edited them");
    let reset = world.dump().await;
    let again = run(&admin, progress("RESET")).await.unwrap();
    assert!(
        again.public_counts.iter().all(|count| count.count == 0),
        "{again:?}"
    );
    assert!(changed(&reset, &world.dump().await).is_empty());
}

/// A session that is practised meanwhile comes before or after, wholly.
async fn bw05_practice_and_reset_take_turns(kind: Kind) {
    let world = World::of(ABACUS, kind).await;
    let admin = world.admin().await;
    let other = world.admin().await;
    let practice = "INSERT INTO practice_sessions (id, user_id, operation_type, difficulty_mode, \
        total_questions, time_taken) VALUES (5000, 1, 'addition', 'easy', 1, 1.0)";
    let (first, second, ()) = tokio::join!(
        run(&admin, progress("RESET")),
        run(&other, progress("RESET")),
        world.sql(practice),
    );
    let done: Vec<i64> = [first, second]
        .into_iter()
        .map(|answer| match answer {
            Ok(result) => named(&result, "practice_sessions_deleted"),
            Err(error) => {
                assert_eq!(error.code(), Code::Aborted, "{error}");
                0
            }
        })
        .collect();
    let left = world.count("practice_sessions", "true").await;
    assert_eq!(
        done.iter().sum::<i64>() + left,
        1235,
        "each row went once, or stays"
    );
    let list = admin
        .list_operations(ListOperationsRequest::default())
        .await;
    let operations = list.unwrap().operations;
    assert_eq!(operations.len(), 2, "who did it is written down");
    assert!(
        operations
            .iter()
            .all(|operation| operation.actor == "the admin")
    );
}

/// At a later version rewards and leaderboard are gone: nothing is deleted
/// until the policy says so.
async fn bw07_a_schema_that_drifted_is_refused(kind: Kind) {
    let world = World::of(ABACUS, kind).await;
    let admin = world.admin().await;
    world.sql("DROP TABLE rewards").await;
    let before = world.dump().await;
    let (code, _, message) = refusal(run(&admin, progress("RESET")).await);
    assert_ne!(code, Code::Ok);
    assert!(!message.is_empty());
    assert!(changed(&before, &world.dump().await).is_empty());
    // With a policy that fits, it goes on.
    let url = world.database.url();
    let mended = World::with(ABACUS, kind, |setup| {
        setup.url = Some(url);
        setup.armed = Armed::No;
        setup.policy = setup.policy.replace(", \"rewards\"]", "]").replace(
            "    { name = \"rewards_deleted\", deleted = \"rewards\" },\n",
            "",
        );
    })
    .await;
    run(&mended.admin().await, progress("RESET")).await.unwrap();
    assert_eq!(world.count("practice_sessions", "true").await, 0);
}

async fn bw02_one_student_without_the_others(kind: Kind) {
    let world = World::of(ABACUS, kind).await;
    let tester = world.tester().await;
    let student = |email: &str, level: ResetLevel| ResetUserRequest {
        user: Some(User::Email(email.to_owned())),
        level: level.into(),
        ..ResetUserRequest::default()
    };
    let reset = async |request| Ok::<_, Error>(tester.reset_user(request).await?.result.unwrap());
    let sessions = world.count("practice_sessions", "user_id <> 1").await;
    let done = reset(student("student1@test.com", ResetLevel::UserData)).await;
    let told = counts(&done.unwrap());
    assert!(
        told.contains("users *1") && told.contains("leaderboard *1"),
        "{told}"
    );
    assert_eq!(world.count("practice_sessions", "true").await, sessions);
    assert_eq!(world.count("users", "total_points > 0").await, 99);
    for email in [
        "meera@test.com.evil.org",
        "kabir@test.community",
        "zoya@evil-test.com",
    ] {
        let refused = refusal(reset(student(email, ResetLevel::UserCascade)).await);
        assert_eq!(refused.1, "NOT_A_TEST_USER");
    }
}

async fn b07_b09_b18_the_command_line(kind: Kind) {
    let world = World::of(ABACUS, kind).await;
    let before = world.dump().await;
    let resetctl = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_resetctl"))
            .args(arguments)
            .env_clear()
            .env("RESETCTL_ADDRESS", world.address.to_string())
            .env("RESETCTL_TOKEN", world.token(Role::Admin))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat());
        (output.status.success(), text.expect("it is UTF-8"))
    };
    for confirm in [&[][..], &["--confirm", "reset"], &["--confirm", "yes"]] {
        let arguments: Vec<&str> = ["recipe", "progress"]
            .iter()
            .chain(confirm)
            .copied()
            .collect();
        let (done, text) = resetctl(&arguments);
        assert!(!done && text.contains('❌'), "{text}");
    }
    assert!(changed(&before, &world.dump().await).is_empty());
    let (done, text) = resetctl(&["recipe", "progress", "--confirm", "RESET"]);
    assert!(done && text.contains('✅'), "{text}");
    for (name, count) in [
        ("practice_sessions_deleted", "1234"),
        ("rewards_deleted", "890"),
    ] {
        let line = text.lines().find(|line| line.contains(name));
        let line = line.unwrap_or_else(|| panic!("{name} in {text}"));
        assert!(
            line.replace([',', ' ', '\u{a0}'], "").contains(count),
            "{line}"
        );
    }
    for end in [
        "💾 Committing changes to database…\n✅ All changes committed successfully!\n",
        "✅ Database reset completed successfully!\n",
    ] {
        assert!(text.contains(end), "{text}");
    }
    // UTF-8 that was read as something else and written again.
    for mojibake in ["â", "ðŸ", "Ã", "\u{fffd}"] {
        assert!(!text.contains(mojibake), "{text}");
    }
    assert_eq!(world.count("rewards", "true").await, 0);
}

async fn b13_the_database_of_the_environment(_: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let read = |url: &str| {
        let path = folder.path().join(".env");
        std::fs::write(
            &path,
            format!("ENVIRONMENT=development\nDATABASE_URL={url}\n"),
        )
        .unwrap();
        let variables = Variables::read(&path).unwrap();
        let policy = ABACUS.folder().join("policy.toml");
        Config::from_environment(&variables, &policy, folder.path()).unwrap()
    };
    let config = read("sqlite:///./abacus_replitt.db");
    let address = config.targets[0].address.to_string();
    assert!(address.contains("abacus_replitt.db"), "{address}");
    let config = read("postgresql://abacus:secret@localhost/abacus_test?sslmode=require");
    let address = config.targets[0].address.to_string();
    assert!(!address.contains("secret"), "{address}");
}
