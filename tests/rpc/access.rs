//! Who may call what: every method that the descriptor declares, for every
//! role, and every way of not being anybody.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_reflect::DescriptorPool;
use resetd::{
    access::{Principal, Role, Token},
    admin::token,
    config::Config,
    policy::Cache,
    proto::{
        self, CancelOperationRequest, CleanupRequest, ClearCacheRequest, CreateTestUserRequest,
        FullResetRequest, GetOperationRequest, GetStatusRequest, ListOperationsRequest,
        ResetTestUsersRequest, ResetUserRequest, RunRecipeRequest, SetPasswordRequest,
        StatisticsRequest, WatchOperationRequest, get_operation_request::Operation,
        set_password_request,
    },
};
use tonic::{Code, transport::Channel};

use crate::{
    caller::{Told, by_email, new_user},
    harness::{Server, until},
    journal,
    raw::call,
    reset::BUYER,
};

/// The least role for a call of a method.
struct Row {
    method: &'static str,
    variant: &'static str,
    least: Role,
    /// The message, dry or in earnest.
    message: fn(dry: bool) -> Vec<u8>,
}

const fn row(
    method: &'static str,
    variant: &'static str,
    least: Role,
    message: fn(bool) -> Vec<u8>,
) -> Row {
    Row {
        method,
        variant,
        least,
        message,
    }
}

const SERVICE: &str = "resetd.v1.ResetService";
const OPERATIONS: &str = "resetd.v1.OperationService";
const SESSION: &str = "test_session_1640995200_abc12345";

/// An operation that is not there: whoever may look for it is told so.
const UNKNOWN: &str = "019a0000-0000-7000-8000-000000000000";

/// Whoever may clear a cache is told that there is none.
const WITHOUT_REDIS: &str = "without Redis";

/// What the demo's policy says besides, so that every call can be made.
fn everything(config: &mut Config) {
    let target = &mut config.targets[0];
    target.policy.recipes = toml::from_str(
        "[plain]\ntitle = 'done'\ndelete = ['webhook_events']\n\
         [grave]\ntitle = 'done'\ndelete = ['webhook_events']\nminimum_role = 'superuser'\n",
    )
    .unwrap();
    target.policy.full_reset.seed = vec!["seed.sql".to_owned()];
    let seed = ("seed.sql".to_owned(), "SELECT 1".to_owned());
    target.seeds.files = BTreeMap::from([seed]);
    let patterns = vec!["cache:*".to_owned()];
    target.policy.cache = Some(Cache { patterns });
}

/// Every method, and each variant of a message that asks for more.
const MATRIX: &[Row] = &[
    row("GetStatus", "", Role::Viewer, |_| {
        GetStatusRequest::default().encode_to_vec()
    }),
    row("Statistics", "", Role::Viewer, |_| {
        StatisticsRequest::default().encode_to_vec()
    }),
    row("Statistics", "exact", Role::Viewer, |_| {
        let exact = StatisticsRequest {
            exact: true,
            ..StatisticsRequest::default()
        };
        exact.encode_to_vec()
    }),
    row("ResetUser", "", Role::Tester, |dry| {
        reset(dry).encode_to_vec()
    }),
    row("ResetUser", "force", Role::Admin, |dry| {
        let forced = ResetUserRequest {
            force: true,
            ..reset(dry)
        };
        forced.encode_to_vec()
    }),
    row("ResetTestUsers", "", Role::Admin, |dry| {
        test_users(dry).encode_to_vec()
    }),
    row("ResetTestUsers", "include_admins", Role::Superuser, |dry| {
        let everybody = ResetTestUsersRequest {
            include_admins: true,
            ..test_users(dry)
        };
        everybody.encode_to_vec()
    }),
    row("Cleanup", "session", Role::Tester, |dry| {
        cleanup(dry, Some(SESSION))
    }),
    row("Cleanup", "", Role::Admin, |dry| cleanup(dry, None)),
    row("FullReset", "", Role::Superuser, |dry| {
        let request = FullResetRequest {
            validate_only: dry,
            confirmation: "I UNDERSTAND THIS WILL DELETE ALL DATA".to_owned(),
            ..FullResetRequest::default()
        };
        request.encode_to_vec()
    }),
    row("FullReset", "reseed", Role::Superuser, |dry| {
        let request = FullResetRequest {
            validate_only: dry,
            reseed: true,
            ..FullResetRequest::default()
        };
        request.encode_to_vec()
    }),
    row("RunRecipe", "", Role::Admin, |dry| recipe(dry, "plain")),
    row("RunRecipe", "of superusers", Role::Superuser, |dry| {
        recipe(dry, "grave")
    }),
    row("SetPassword", "", Role::Admin, |dry| {
        let request = SetPasswordRequest {
            validate_only: dry,
            user: Some(set_password_request::User::Email(BUYER.to_owned())),
            password: "correct horse".to_owned(),
            ..SetPasswordRequest::default()
        };
        request.encode_to_vec()
    }),
    row("ClearCache", WITHOUT_REDIS, Role::Admin, |dry| {
        let request = ClearCacheRequest {
            validate_only: dry,
            ..ClearCacheRequest::default()
        };
        request.encode_to_vec()
    }),
    row("ListOperations", "", Role::Viewer, |_| {
        ListOperationsRequest::default().encode_to_vec()
    }),
    row("GetOperation", UNKNOWN, Role::Viewer, |_| {
        let request = GetOperationRequest {
            operation: Some(Operation::OperationId(UNKNOWN.to_owned())),
        };
        request.encode_to_vec()
    }),
    row("WatchOperation", UNKNOWN, Role::Viewer, |_| {
        let request = WatchOperationRequest {
            operation_id: UNKNOWN.to_owned(),
            ..WatchOperationRequest::default()
        };
        request.encode_to_vec()
    }),
    row("CancelOperation", UNKNOWN, Role::Tester, |_| {
        let request = CancelOperationRequest {
            operation_id: UNKNOWN.to_owned(),
        };
        request.encode_to_vec()
    }),
    row("CreateTestUser", "", Role::Tester, |dry| create(dry, "")),
    row("CreateTestUser", "VENDOR", Role::Tester, |dry| {
        create(dry, "VENDOR")
    }),
    row("CreateTestUser", "ADMIN", Role::Admin, |dry| {
        create(dry, "ADMIN")
    }),
    row("CreateTestUser", "SUPERUSER", Role::Admin, |dry| {
        create(dry, "SUPERUSER")
    }),
];

fn reset(validate_only: bool) -> ResetUserRequest {
    ResetUserRequest {
        validate_only,
        ..by_email(BUYER)
    }
}

fn test_users(validate_only: bool) -> ResetTestUsersRequest {
    ResetTestUsersRequest {
        validate_only,
        ..ResetTestUsersRequest::default()
    }
}

fn cleanup(validate_only: bool, session: Option<&str>) -> Vec<u8> {
    let request = CleanupRequest {
        validate_only,
        test_session_id: session.map(str::to_owned),
        ..CleanupRequest::default()
    };
    request.encode_to_vec()
}

fn recipe(validate_only: bool, recipe: &str) -> Vec<u8> {
    let request = RunRecipeRequest {
        validate_only,
        recipe: recipe.to_owned(),
        ..RunRecipeRequest::default()
    };
    request.encode_to_vec()
}

fn create(validate_only: bool, user_type: &str) -> Vec<u8> {
    let request = CreateTestUserRequest {
        validate_only,
        user_type: user_type.to_owned(),
        ..new_user("erika@test.com")
    };
    request.encode_to_vec()
}

fn service(method: &str) -> &'static str {
    match method.ends_with("Operation") || method == "ListOperations" {
        true => OPERATIONS,
        false => SERVICE,
    }
}

fn path(method: &str) -> String {
    format!("/{}/{method}", service(method))
}

fn bearer(secret: &str) -> Vec<u8> {
    format!("Bearer {secret}").into_bytes()
}

/// A call that is refused before it is anything, in these words.
async fn denied(channel: &Channel, row: &Row, headers: &[&[u8]]) -> Told {
    let message = (row.message)(false);
    let answer = call(channel, &path(row.method), headers, message).await;
    let status = answer.expect_err(row.method);
    let told = Told::of(&status);
    assert_eq!(told.operation, None, "it became an operation: {told:#?}");
    told
}

/// Waits until the journal has this many refusals, the last of them of this
/// actor and for this reason.
async fn recorded(server: &Server, count: usize, actor: &str, told: &Told) {
    until("the record of a refusal", async || {
        let records = server.data.records().await;
        journal::kind(&records, "refused").count() >= count
    })
    .await;
    let records = server.data.records().await;
    let refused: Vec<_> = journal::kind(&records, "refused").collect();
    assert_eq!(refused.len(), count);
    let last = &refused[count - 1].body;
    assert_eq!(last["actor"], actor);
    assert_eq!(last["reason"], told.reason.as_str());
    assert_eq!(last["message"], told.message.as_str());
}

#[test]
fn every_method_that_is_declared_has_its_row() {
    let pool = DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
    let services = pool.services();
    let ours = services.filter(|service| service.package_name() == "resetd.v1");
    let declared: BTreeSet<String> = ours
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|method| method.full_name().to_owned())
        .collect();
    let rows = MATRIX
        .iter()
        .map(|row| format!("{}.{}", service(row.method), row.method));
    let rows: BTreeSet<String> = rows.collect();
    let without: Vec<_> = declared.difference(&rows).collect();
    assert!(without.is_empty(), "methods without a row: {without:?}");
    let unknown: Vec<_> = rows.difference(&declared).collect();
    assert!(unknown.is_empty(), "rows without a method: {unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_asks_for_its_least_role_and_no_more() {
    let server = Server::with(everything).await;
    let channel = server.channel().await;
    let before = server.data.dump().await;
    let (mut refusals, mut leaves) = (0, 0);
    for row in MATRIX {
        for role in Role::ALL {
            let header = bearer(server.token(role));
            if role < row.least {
                let told = denied(&channel, row, &[&header]).await;
                refusals += 1;
                told.is(Code::PermissionDenied, "ROLE_REQUIRED");
                let (has, needs) = (role.to_string(), row.least.to_string());
                assert_eq!(told.metadata["role"], has);
                assert_eq!(told.metadata["required_role"], needs);
                assert_eq!(told.metadata["action"], row.method);
                assert!(told.message.contains(&needs), "{told:#?}");
                before.assert_same(&server.data.dump().await, row.method);
                recorded(&server, refusals, &format!("demo-{role}"), &told).await;
            } else {
                let message = (row.message)(true);
                let answer = call(&channel, &path(row.method), &[&header], message).await;
                let name = format!("{} {} as {role}", row.method, row.variant);
                match answer {
                    Err(status) if row.variant == UNKNOWN => {
                        Told::of(&status).is(Code::NotFound, "OPERATION_NOT_FOUND");
                    }
                    Err(status) if row.variant == WITHOUT_REDIS => {
                        Told::of(&status).is(Code::Unavailable, "CACHE_UNAVAILABLE");
                    }
                    other => drop(other.unwrap_or_else(|status| panic!("{name}: {status:?}"))),
                }
                leaves += 1;
            }
        }
    }
    before.assert_same(&server.data.dump().await, "dry runs");
    let cases = refusals + leaves;
    println!("the access matrix: {cases} cases, {refusals} refused, {leaves} let through");
    assert_eq!(cases, MATRIX.len() * Role::ALL.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_proves_nothing_may_do_nothing() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let before = server.data.dump().await;
    let secret = server.token(Role::Superuser);
    let good = bearer(secret);
    let with = |prefix: &str, suffix: &str| vec![format!("{prefix}{secret}{suffix}").into_bytes()];
    let wrong: Vec<Vec<Vec<u8>>> = vec![
        vec![good.clone(), good.clone()],
        vec![good.clone(), b"Bearer x".to_vec()],
        vec![b"Bearer x".to_vec(), good],
        vec![b"Bearer rt_0123456789abcdef".to_vec()],
        vec![b"Bearer ".to_vec()],
        vec![b"Bearer".to_vec()],
        vec![b"".to_vec()],
        vec![b"Bearer \xff\xfe".to_vec()],
        vec![[b"Bearer ".as_slice(), &[b'x'; 8000]].concat()],
        with("", ""),
        with("Basic ", ""),
        with("Token ", ""),
        with("Bearer  ", ""),
        with("Bearer ", "x"),
        with("Bearer ", ","),
        with("Bearer x, Bearer ", ""),
    ];
    for row in MATRIX {
        let told = denied(&channel, row, &[]).await;
        told.is(Code::Unauthenticated, "TOKEN_MISSING");
        assert!(told.message.contains("authorization: Bearer"), "{told:#?}");
        for headers in &wrong {
            let headers: Vec<&[u8]> = headers.iter().map(Vec::as_slice).collect();
            let told = denied(&channel, row, &headers).await;
            told.is(Code::Unauthenticated, "TOKEN_INVALID");
            assert!(!format!("{told:?}").contains(secret), "it tells the secret");
        }
    }
    before.assert_same(&server.data.dump().await, "nobody");
    let count = MATRIX.len() * (1 + wrong.len());
    println!("nobody: {count} calls, all refused");
    until("the records", async || {
        journal::kind(&server.data.records().await, "refused").count() >= count
    })
    .await;
    let records = server.data.records().await;
    assert_eq!(records.len(), count, "refusals and nothing else");
    assert!(records.iter().all(|record| record.body["actor"] == ""));
    let missing = records
        .iter()
        .filter(|r| r.body["reason"] == "TOKEN_MISSING");
    assert_eq!(missing.count(), MATRIX.len());
}

/// A server with two targets and one more token.
async fn with_token(secret: &str, change: impl FnOnce(&mut Token)) -> Server {
    Server::with(|config| {
        let mut second = config.targets[0].clone();
        second.name = "second".to_owned();
        config.targets.push(second);
        let mut token = Token {
            digest: token::digest(secret),
            principal: Principal {
                subject: "robot".to_owned(),
                role: Role::Superuser,
                targets: None,
                allow: None,
                own_user: None,
            },
            expires: None,
        };
        change(&mut token);
        config.tokens.push(token);
    })
    .await
}

/// A reset on this target.
fn on(target: &str) -> ResetUserRequest {
    ResetUserRequest {
        target: target.to_owned(),
        validate_only: true,
        ..by_email(BUYER)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_nobodys() {
    let server = with_token("old", |token| {
        token.expires = Some("2026-01-01T00:00:00Z".parse().unwrap());
    })
    .await;
    let robot = server.holder("old").await;
    let told = robot.reset(on("demo")).await.unwrap_err();
    told.is(Code::Unauthenticated, "TOKEN_EXPIRED");
    recorded(&server, 1, "", &told).await;
    let server = with_token("young", |token| {
        token.expires = Some("2126-01-01T00:00:00Z".parse().unwrap());
    })
    .await;
    let robot = server.holder("young").await;
    assert_eq!(robot.reset(on("demo")).await.unwrap().actor, "robot");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_its_targets_only() {
    let server = with_token("bound", |token| {
        token.principal.targets = Some(["second".to_owned()].into());
    })
    .await;
    let robot = server.holder("bound").await;
    robot.reset(on("second")).await.unwrap();
    // Whether a target exists is not told to whoever may not use it.
    for (count, target) in (0..).zip(["demo", "nowhere", "SECOND"]) {
        let told = robot.reset(on(target)).await.unwrap_err();
        told.is(Code::PermissionDenied, "TARGET_NOT_GRANTED");
        assert_eq!(told.metadata["target"], target);
        assert!(!told.message.contains("there is no"), "{told:#?}");
        recorded(&server, count * 3 + 1, "robot", &told).await;
        let request = GetStatusRequest {
            target: target.to_owned(),
        };
        let told = robot.status(request).await.unwrap_err();
        told.is(Code::PermissionDenied, "TARGET_NOT_GRANTED");
        let request = StatisticsRequest {
            target: target.to_owned(),
            ..StatisticsRequest::default()
        };
        let told = robot.statistics(request).await.unwrap_err();
        told.is(Code::PermissionDenied, "TARGET_NOT_GRANTED");
        until("three records", async || {
            server.data.records().await.len() == 2 + (count + 1) * 3
        })
        .await;
    }
    let tester = server.caller(Role::Tester).await;
    let told = tester.reset(on("")).await.unwrap_err();
    told.field("target");
    assert!(told.message.contains("demo, second"), "{told:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_its_calls_only() {
    let server = with_token("narrow", |token| {
        token.principal.allow = Some(["ResetUser".to_owned()].into());
    })
    .await;
    let robot = server.holder("narrow").await;
    robot.reset(on("demo")).await.unwrap();
    let request = GetStatusRequest {
        target: "demo".to_owned(),
    };
    let told = robot.status(request).await.unwrap_err();
    told.is(Code::PermissionDenied, "TARGET_NOT_GRANTED");
    assert!(told.message.contains("GetStatus"), "{told:#?}");
    recorded(&server, 1, "robot", &told).await;
    let told = robot.create(new_user("erika@test.com")).await.unwrap_err();
    assert_eq!(told.code, Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_refused_in_our_words() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let header = bearer(server.token(Role::Superuser));
    for row in MATRIX {
        for garbage in [&b"\xff\xff\xff\xff"[..], b"\x0a\xff", b"\x0a\x01\xff"] {
            let path = path(row.method);
            let answer = call(&channel, &path, &[&header], garbage.to_vec()).await;
            let status = answer.expect_err(row.method);
            Told::of(&status).is(Code::InvalidArgument, "INVALID_FIELD");
        }
    }
    assert!(server.data.records().await.is_empty());
}
