//! What SetPassword and RunRecipe remove outside the database: the sessions of
//! one user, and what a recipe names.

use resetd::{
    client::{Error, Events},
    proto::{
        GetStatusRequest, ResetResult, RunRecipeRequest, SetPasswordRequest, SetPasswordResponse,
        event::Kind, set_password_request::User,
    },
};

use crate::wire::{World, keys};

/// Keys of one user's sessions, as the policy has them at that level.
const SESSIONS: [&str; 6] = [
    "cart:1:x",
    "session:1",
    "session:a",
    "sessions_of:1",
    "token:tok-1",
    "token:tok-1b",
];

async fn set(world: &World, dry: bool) -> Result<SetPasswordResponse, Error> {
    let request = SetPasswordRequest {
        user: Some(User::Email("one@test.com".to_owned())),
        password: "correct horse".to_owned(),
        validate_only: dry,
        ..SetPasswordRequest::default()
    };
    world.client.set_password(request).await
}

async fn hash(world: &World) -> String {
    let sql = "SELECT coalesce(password_hash, '') FROM users WHERE id = 1";
    world.texts(sql).await.remove(0)
}

fn without(before: &[String], gone: &[&str]) -> Vec<String> {
    let mut left = before.to_vec();
    left.retain(|key| !gone.contains(&key.as_str()));
    left
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_the_sessions_of_its_user_alone() {
    let world = World::with("").await;
    let before = world.keys();
    let dry = set(&world, true).await.unwrap().result.unwrap();
    assert_eq!(world.keys(), before, "a dry run removes nothing");
    assert_eq!(hash(&world).await, "");
    let done = set(&world, false).await.unwrap().result.unwrap();
    assert_eq!(done.effects, dry.effects);
    let effects = done.effects.unwrap();
    assert_eq!((effects.redis_keys, effects.files), (6, 0));
    assert!(bcrypt::verify("correct horse", &hash(&world).await).unwrap());
    assert_eq!(world.keys(), without(&before, &SESSIONS));
    let logins = world.texts("SELECT token FROM login").await;
    assert_eq!(logins, ["tok-10"]);
    for file in ["images/user_1/x", "a.png", "faces/1.png"] {
        assert!(world.has(&format!("storage/{file}")), "{file}");
    }
    world.end().await;
}

/// An old session must not outlive the old password.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_later_where_redis_is_away() {
    let mut world = World::with("").await;
    world.redis.kill();
    let done = set(&world, false).await.unwrap().result.unwrap();
    assert!(done.effects.unwrap().pending > 0, "{done:?}");
    assert!(!done.warnings.is_empty(), "it says so");
    assert!(bcrypt::verify("correct horse", &hash(&world).await).unwrap());
    world.redis.restart();
    keys(&world.redis);
    for key in SESSIONS {
        world.until_gone(key).await;
    }
    assert_eq!(world.keys().len(), 11 - SESSIONS.len(), "of others");
    world.end().await;
}

const RECIPES: &str = r#"
[recipes.pictures]
title = "The pictures of user 1 were deleted"
confirmation = "RESET"
delete = [{ table = "image", where = "user_id = 1" }]
redis = [{ pattern = "cart:*" }, { key = "session:{id}" }]
files = [
    { root = "storage", directory = "images" },
    { root = "storage", column = "image.path", strip = "media/" },
]
public_counts = [
    "image",
    { name = "carts_and_sessions", effects = "redis_keys" },
    { name = "pictures", effects = "files" },
    { name = "folders", effects = "directories" },
    { name = "all", sum = ["image", "pictures", "carts_and_sessions"] },
]
"#;

/// Of the pictures one is shared with a user whose row stays; the path that
/// leads out of the root is another case's.
async fn with_recipes() -> World {
    let world = World::with(RECIPES).await;
    world.run("DELETE FROM image WHERE id = 4").await;
    world
}

async fn run(world: &World, dry: bool) -> ResetResult {
    let request = RunRecipeRequest {
        recipe: "pictures".to_owned(),
        confirmation: "RESET".to_owned(),
        validate_only: dry,
        ..RunRecipeRequest::default()
    };
    let mut events: Events = world.client.run_recipe(request).await.unwrap();
    let mut result = None;
    while let Some(event) = events.next().await.unwrap() {
        if let Some(Kind::Finished(finished)) = event.kind {
            result = finished.result;
        }
    }
    result.unwrap()
}

fn counts(result: &ResetResult) -> Vec<(&str, i64)> {
    let counts = result.public_counts.iter();
    counts
        .map(|count| (count.name.as_str(), count.count))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_counts_by_name_what_goes_outside_the_database() {
    let world = with_recipes().await;
    let before = world.keys();
    let expected = [
        ("image", 2),
        ("carts_and_sessions", 4),
        ("pictures", 4),
        ("folders", 1),
        ("all", 10),
    ];
    let dry = run(&world, true).await;
    assert_eq!(counts(&dry), expected);
    assert_eq!(world.keys(), before, "a dry run removes nothing");
    assert!(world.has("storage/images/user_1/x") && world.has("storage/a.png"));

    let done = run(&world, false).await;
    assert_eq!(counts(&done), expected);
    assert_eq!(done.effects, dry.effects);
    let gone = ["cart:1:x", "cart:10:x", "session:1", "session:10"];
    assert_eq!(world.keys(), without(&before, &gone));
    for gone in ["images", "a.png"] {
        assert!(!world.has(&format!("storage/{gone}")), "{gone}");
    }
    for kept in ["shared.png", "ten.png", "faces/1.png", "mail"] {
        assert!(world.has(&format!("storage/{kept}")), "{kept}");
    }
    assert!(world.has("outside/canary"));
    let left = world.texts("SELECT path FROM image ORDER BY id").await;
    assert_eq!(left, ["media/shared.png", "media/ten.png"]);

    let again = run(&world, false).await;
    assert!(counts(&again).iter().all(|(_, count)| *count == 0));
    world.end().await;
}

/// What Redis keeps back is counted when it goes, and tells so until then.
#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_is_done_although_redis_is_away() {
    let mut world = with_recipes().await;
    world.redis.kill();
    let done = run(&world, false).await;
    assert_eq!(counts(&done)[0], ("image", 2));
    assert_eq!(counts(&done)[1], ("carts_and_sessions", 0));
    assert_eq!(counts(&done)[2], ("pictures", 4), "files go all the same");
    assert!(done.effects.unwrap().pending > 0, "{done:?}");
    assert!(!done.warnings.is_empty());
    world.redis.restart();
    keys(&world.redis);
    for key in ["cart:1:x", "cart:10:x", "session:1", "session:10"] {
        world.until_gone(key).await;
    }
    let status = world.client.get_status(GetStatusRequest::default()).await;
    let elsewhere = status.unwrap().elsewhere.unwrap();
    assert_eq!(elsewhere.effects_needing_attention, 0);
    world.end().await;
}
