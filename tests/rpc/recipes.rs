//! Recipes, seeds and passwords: resets that the application names itself, what
//! is put in place after one, and a password with its sessions.

use std::collections::BTreeMap;

use resetd::{
    access::Role,
    config::Config,
    engine::SeedText,
    proto::{
        FullResetRequest, GetStatusRequest, ResetResult, RunRecipeRequest, SetPasswordRequest,
        SetPasswordResponse, event::Kind, set_password_request::User,
    },
};
use tonic::Code;

use crate::{
    caller::{Caller, Told, new_user},
    harness::Server,
    reset::BUYER,
};

const PHRASE: &str = "I UNDERSTAND THIS WILL DELETE ALL DATA";

/// The stock's history goes with what refers to it; who failed to sign in may
/// try again; expired payment links go by a condition.
const RECIPES: &str = r#"
[history]
title = "The history was deleted"
confirmation = "RESET"
include = ["links"]
delete = ["movimientos_stock"]
restore = { users = { failed_login_attempts = 0 } }
preserve = ["products"]
next_steps = ["Count the stock"]
public_counts = [
    "movimientos_stock",
    { name = "trackers", deleted = "movement_tracker" },
    { name = "users_reset", restored = "users" },
    { name = "links", deleted = "payment_intents" },
    { name = "links_left", rows = "payment_intents" },
    { name = "nothing", deleted = "categories" },
    { name = "total", sum = ["movimientos_stock", "trackers", "links"] },
]

[links]
title = "Expired links were deleted"
minimum_role = "superuser"
delete = [{ table = "payment_intents", where = "status = 'expired'" }]

[greedy]
title = "Too much"
delete = ["orders"]
preserve = ["order_items"]

[admins]
title = "The admins were deleted"
delete = [{ table = "users", where = "user_type = 'ADMIN'" }]
"#;

fn recipes(config: &mut Config) {
    config.targets[0].policy.recipes = toml::from_str(RECIPES).unwrap();
}

async fn run(
    caller: &Caller,
    recipe: &str,
    confirmation: &str,
    validate_only: bool,
) -> Result<(Vec<Kind>, ResetResult), Told> {
    let request = caller.request(RunRecipeRequest {
        recipe: recipe.to_owned(),
        confirmation: confirmation.to_owned(),
        validate_only,
        ..RunRecipeRequest::default()
    });
    let told = |status| Told::of(&status);
    let stream = caller.client.clone().run_recipe(request).await;
    let mut stream = stream.map_err(told)?.into_inner();
    let mut events = Vec::new();
    while let Some(message) = stream.message().await.map_err(told)? {
        let event = message.event.unwrap();
        events.push(event.kind.unwrap());
        assert_eq!(event.number, i64::try_from(events.len()).unwrap());
    }
    match events.pop() {
        Some(Kind::Finished(finished)) => Ok((events, finished.result.unwrap())),
        other => panic!("the events end with {other:?}"),
    }
}

fn counts(result: &ResetResult) -> Vec<(&str, i64)> {
    let counts = result.public_counts.iter();
    counts
        .map(|count| (count.name.as_str(), count.count))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_takes_what_it_names_and_what_refers_to_that() {
    let server = Server::with(recipes).await;
    let admin = server.caller(Role::Admin).await;
    let before = server.data.dump().await;
    let expected = [
        ("movimientos_stock", 696),
        ("trackers", 232),
        ("users_reset", 64),
        ("links", 51),
        ("links_left", 362),
        ("nothing", 0),
        ("total", 979),
    ];
    let (events, dry) = run(&admin, "history", "", true).await.unwrap();
    assert_eq!(counts(&dry), expected);
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, Kind::Committed(_)))
    );
    before.assert_same(&server.data.dump().await, "a dry run");

    let (events, result) = run(&admin, "history", "RESET", false).await.unwrap();
    assert_eq!(counts(&result), expected);
    assert_eq!(result.message, "The history was deleted");
    assert_eq!(result.next_steps, ["Count the stock"]);
    assert!(
        matches!(events.last(), Some(Kind::Committed(_))),
        "{events:?}"
    );
    let after = server.data.dump().await;
    let changed = [
        "movimientos_stock",
        "movement_tracker",
        "payment_intents",
        "users",
    ];
    before.assert_same_but(&after, &changed);
    let failed = "SELECT count(*) FROM users WHERE failed_login_attempts > 0";
    assert_eq!(server.data.number(failed).await, 0);
    assert_eq!(server.data.number("SELECT count(*) FROM users").await, 300);

    // Once more there is nothing to do.
    let (_, again) = run(&admin, "history", "RESET", false).await.unwrap();
    assert_eq!(again.total_rows, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_is_confirmed_and_needs_its_role() {
    let server = Server::with(recipes).await;
    let before = server.data.dump().await;
    let admin = server.caller(Role::Admin).await;
    let superuser = server.caller(Role::Superuser).await;
    let refused = async |caller: &Caller, recipe: &str, phrase: &str| {
        run(caller, recipe, phrase, false).await.unwrap_err()
    };
    let precondition = Code::FailedPrecondition;
    refused(&admin, "history", "")
        .await
        .is(precondition, "CONFIRMATION_REQUIRED");
    refused(&admin, "history", "reset")
        .await
        .is(precondition, "CONFIRMATION_MISMATCH");
    // Without a phrase of its own it is the target's name.
    refused(&superuser, "links", "RESET")
        .await
        .is(precondition, "CONFIRMATION_MISMATCH");
    let told = refused(&admin, "links", "demo").await;
    told.is(Code::PermissionDenied, "ROLE_REQUIRED");
    assert_eq!(told.metadata["required_role"], "superuser");
    let told = refused(&admin, "nobody", "demo").await;
    told.is(Code::NotFound, "RECIPE_NOT_FOUND");
    assert_eq!(told.metadata["known"], "admins, greedy, history, links");
    before.assert_same(&server.data.dump().await, "refusals");
    let (_, links) = run(&superuser, "links", "demo", false).await.unwrap();
    assert_eq!(links.total_rows, 51);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_leaves_alone_what_it_preserves_what_is_kept_and_who_is_protected() {
    let change = |config: &mut Config| {
        recipes(config);
        config.targets[0].policy.users.protect = vec!["nobody@test.com".to_owned()];
    };
    let server = Server::with(change).await;
    let before = server.data.dump().await;
    let admin = server.caller(Role::Admin).await;
    let told = run(&admin, "greedy", "demo", false).await.unwrap_err();
    told.is(Code::FailedPrecondition, "TABLE_PRESERVED");
    assert!(
        told.message.contains("order_items.order_id -> orders.id"),
        "{told:?}"
    );
    assert_eq!(told.metadata["table"], "order_items");
    before.assert_same(&server.data.dump().await, "refusals");

    let one = "SELECT email FROM users WHERE user_type = 'ADMIN' ORDER BY 1 LIMIT 1";
    let protected = server.data.texts(one).await;
    let server = Server::with(|config| {
        recipes(config);
        config.targets[0].policy.users.protect = protected;
    });
    let server = server.await;
    let before = server.data.dump().await;
    let admin = server.caller(Role::Admin).await;
    let told = run(&admin, "admins", "demo", false).await.unwrap_err();
    told.is(Code::FailedPrecondition, "PROTECTED_USER");
    before.assert_same(&server.data.dump().await, "a protected user");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_lists_the_recipes() {
    let server = Server::with(recipes).await;
    let viewer = server.caller(Role::Viewer).await;
    let request = viewer.request(GetStatusRequest::default());
    let status = viewer.client.clone().get_status(request).await.unwrap();
    let listed = status.into_inner().recipes;
    let listed: Vec<_> = listed
        .iter()
        .map(|recipe| {
            let fields = [&recipe.name, &recipe.confirmation, &recipe.minimum_role];
            fields.map(String::as_str)
        })
        .collect();
    assert_eq!(listed[2], ["history", "RESET", "admin"]);
    assert_eq!(listed[3], ["links", "demo", "superuser"]);
}

/// The demo with a seed of one company's admin.
fn seeded(text: &'static str) -> impl FnOnce(&mut Config) {
    move |config| {
        let target = &mut config.targets[0];
        target.policy.full_reset.seed = vec!["seed.sql".to_owned()];
        let file = ("seed.sql".to_owned(), text.to_owned());
        target.seeds.files = BTreeMap::from([file]);
        let password = SeedText::Password {
            password: "it's secret".to_owned(),
            cost: 4,
        };
        let name = SeedText::Plain("O'Brien; DELETE FROM users".to_owned());
        target.seeds.values = BTreeMap::from([
            ("admin_hash".to_owned(), password),
            ("admin_name".to_owned(), name),
        ]);
    }
}

async fn reseed(caller: &Caller, validate_only: bool) -> Result<ResetResult, Told> {
    let request = caller.request(FullResetRequest {
        confirmation: PHRASE.to_owned(),
        preserve_admins: Some(false),
        reseed: true,
        validate_only,
        ..FullResetRequest::default()
    });
    let told = |status| Told::of(&status);
    let stream = caller.client.clone().full_reset(request).await;
    let mut stream = stream.map_err(told)?.into_inner();
    let mut result = None;
    while let Some(message) = stream.message().await.map_err(told)? {
        if let Some(Kind::Finished(end)) = message.event.unwrap().kind {
            result = end.result;
        }
    }
    Ok(result.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_reset_puts_the_seed_in_place() {
    let server = Server::with(seeded(
        "-- the one admin; with a ; in a comment\n\
         INSERT INTO users (id, email, password_hash, nombre, user_type, created_at, updated_at)\n\
         VALUES ('admin', 'admin@corp.example', {{admin_hash}}, {{admin_name}}, 'SUPERUSER',\n\
                 '2026-01-01', '2026-01-01');\n\
         INSERT INTO orders (id, order_number, buyer_id, subtotal, tax_amount, shipping_cost,\n\
             discount_amount, total_amount, status, shipping_name, shipping_phone,\n\
             shipping_address, shipping_city, shipping_state, shipping_country)\n\
         SELECT 4711, 'seeded; too', id, 1, 0, 0, 0, 1, 'PENDING', 'n', 'p', 'a', 'c', 's', 'CO'\n\
         FROM users;\n",
    ));
    let server = server.await;
    let superuser = server.caller(Role::Superuser).await;
    let before = server.data.dump().await;
    reseed(&superuser, true).await.unwrap();
    before.assert_same(&server.data.dump().await, "a dry run");
    reseed(&superuser, false).await.unwrap();
    let users = server
        .data
        .texts("SELECT id || ' ' || nombre FROM users")
        .await;
    assert_eq!(users, ["admin O'Brien; DELETE FROM users"]);
    let hash = server.data.texts("SELECT password_hash FROM users").await;
    assert!(bcrypt::verify("it's secret", &hash[0]).unwrap());
    let orders = server.data.texts("SELECT order_number FROM orders").await;
    assert_eq!(orders, ["seeded; too"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_that_fails_changes_nothing() {
    let text = "INSERT INTO categories (id) VALUES ('x');\nUPDATE users SET id = NULL;\n";
    let server = Server::with(seeded(text)).await;
    let superuser = server.caller(Role::Superuser).await;
    let before = server.data.dump().await;
    let told = reseed(&superuser, false).await.unwrap_err();
    told.is(Code::FailedPrecondition, "SEED_FAILED");
    assert_eq!(
        (
            told.metadata["file"].as_str(),
            told.metadata["statement"].as_str()
        ),
        ("seed.sql", "1")
    );
    before.assert_same(&server.data.dump().await, "a seed that fails");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_seed_nothing_can_be_put_in_place() {
    let server = Server::start().await;
    let superuser = server.caller(Role::Superuser).await;
    reseed(&superuser, true).await.unwrap_err().field("reseed");
}

async fn set(caller: &Caller, message: SetPasswordRequest) -> Result<SetPasswordResponse, Told> {
    let request = caller.request(message);
    let answer = caller.client.clone().set_password(request).await;
    Ok(answer.map_err(|status| Told::of(&status))?.into_inner())
}

fn of(email: &str, password: &str) -> SetPasswordRequest {
    SetPasswordRequest {
        user: Some(User::Email(email.to_owned())),
        password: password.to_owned(),
        ..SetPasswordRequest::default()
    }
}

async fn stored(server: &Server, email: &str) -> String {
    let sql = format!("SELECT password_hash FROM users WHERE email = '{email}'");
    server.data.texts(&sql).await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_set_verified_and_ends_the_sessions() {
    let server = Server::start().await;
    let admin = server.caller(Role::Admin).await;
    let login = format!(
        "UPDATE users SET last_login = '2026-01-01', otp_attempts = 3 WHERE email = '{BUYER}'"
    );
    server.data.run(&login).await;
    let before = server.data.dump().await;
    let dry = SetPasswordRequest {
        validate_only: true,
        ..of(BUYER, "correct horse")
    };
    let dry = set(&admin, dry).await.unwrap();
    assert!(dry.message.contains("nothing was changed"), "{dry:?}");
    before.assert_same(&server.data.dump().await, "a dry run");

    let answer = set(&admin, of(BUYER, "correct horse")).await.unwrap();
    assert_eq!(answer.message, format!("The password of {BUYER} was set"));
    assert_eq!(answer.hash_prefix, "$2b$08$");
    let hash = stored(&server, BUYER).await;
    assert!(bcrypt::verify("correct horse", &hash).unwrap());
    let after = server.data.dump().await;
    before.assert_same_but(&after, &["users"]);
    let changed = before.without_proofs().changed(&after.without_proofs());
    let [(place, columns)] = changed.iter().collect::<Vec<_>>()[..] else {
        panic!("{changed:#?}");
    };
    assert_eq!(place.0, "users");
    let ended = ["password_hash", "failed_login_attempts", "last_login"];
    assert_eq!(columns, &ended, "and nothing of the levels below");
    let written = std::fs::read(&server.data.journal).unwrap();
    let text = String::from_utf8_lossy(&written);
    assert!(!text.contains("correct horse") && !text.contains(&hash));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_cannot_be_is_refused() {
    let server = Server::start().await;
    let admin = server.caller(Role::Admin).await;
    let before = server.data.dump().await;
    for password in ["", "nul\0l", &"x".repeat(73), &"ü".repeat(37)] {
        set(&admin, of(BUYER, password))
            .await
            .unwrap_err()
            .field("password");
    }
    let told = set(&admin, of("nobody@test.com", "x")).await.unwrap_err();
    told.is(Code::NotFound, "USER_NOT_FOUND");
    let real =
        "SELECT email FROM users WHERE email LIKE '%@gmail.com' OR email LIKE '%.co' LIMIT 1";
    let real = server.data.texts(real).await.remove(0);
    let told = set(&admin, of(&real, "x")).await.unwrap_err();
    told.is(Code::FailedPrecondition, "NOT_A_TEST_USER");
    before.assert_same(&server.data.dump().await, "refusals");
    let forced = SetPasswordRequest {
        force: true,
        ..of(&real, &"ü".repeat(36))
    };
    set(&admin, forced).await.unwrap();
    assert!(bcrypt::verify("ü".repeat(36), &stored(&server, &real).await).unwrap());
}

/// Ways in which a database does not keep what it is given.
#[tokio::test(flavor = "multi_thread")]
async fn a_hash_that_the_database_changes_is_not_kept() {
    let trigger = "CREATE TRIGGER mangle AFTER UPDATE OF password_hash ON users BEGIN \
        UPDATE users SET password_hash = substr(new.password_hash, 1, 50) WHERE id = new.id; END";
    let server = Server::prepared(|_| {}, async |data| data.run(trigger).await).await;
    let admin = server.caller(Role::Admin).await;
    let before = server.data.dump().await;
    let told = set(&admin, of(BUYER, "correct horse")).await.unwrap_err();
    told.is(Code::FailedPrecondition, "CONSTRAINT_VIOLATED");
    assert!(told.message.contains("did not keep"), "{told:?}");
    before.assert_same(&server.data.dump().await, "a mangled hash");

    let trigger = "DROP TRIGGER mangle; CREATE TRIGGER mangle AFTER INSERT ON users BEGIN \
        UPDATE users SET password_hash = upper(new.password_hash) WHERE id = new.id; END";
    server.data.run(trigger).await;
    let before = server.data.dump().await;
    let told = admin.create(new_user("erika@test.com")).await.unwrap_err();
    told.is(Code::FailedPrecondition, "CONSTRAINT_VIOLATED");
    before.assert_same(&server.data.dump().await, "a mangled hash of a new user");
}
