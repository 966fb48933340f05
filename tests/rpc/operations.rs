//! One request, executed once: its id, its plan, and the operation that can be
//! looked up, followed and stopped.

use prost_types::Timestamp;
use resetd::{
    access::Role,
    proto::{
        CancelOperationRequest, Event, FullResetRequest, GetOperationRequest,
        ListOperationsRequest, Operation, ResetTestUsersRequest, ResetUserRequest,
        WatchOperationRequest, WatchOperationResponse, get_operation_request, operation::State,
        operation_service_client::OperationServiceClient,
    },
};
use tonic::{Code, transport::Channel};
use uuid::Uuid;

use crate::{
    caller::{Caller, Told, at, by_email, dry, new_user},
    harness::{Server, until},
    leaving::{FOR_EVER, OTHER, slow},
    reset::BUYER,
};

/// A caller of the operation service.
struct Reader {
    client: OperationServiceClient<Channel>,
    caller: Caller,
}

impl Reader {
    async fn of(server: &Server, role: Role) -> Self {
        let channel = server.channel().await;
        Self {
            client: OperationServiceClient::new(channel.clone()),
            caller: Caller::new(channel, server.token(role)),
        }
    }

    async fn get(&self, which: get_operation_request::Operation) -> Result<Operation, Told> {
        let operation = Some(which);
        let request = self.caller.request(GetOperationRequest { operation });
        let answer = self.client.clone().get_operation(request).await;
        let answer = answer.map_err(|status| Told::of(&status))?;
        Ok(answer.into_inner().operation.unwrap())
    }

    async fn by_id(&self, id: &str) -> Operation {
        let which = get_operation_request::Operation::OperationId(id.to_owned());
        self.get(which).await.unwrap()
    }

    async fn list(&self, request: ListOperationsRequest) -> (Vec<Operation>, String) {
        let request = self.caller.request(request);
        let answer = self.client.clone().list_operations(request).await.unwrap();
        let answer = answer.into_inner();
        (answer.operations, answer.next_page_token)
    }

    async fn watch(&self, id: &str, after: i64) -> Result<Vec<WatchOperationResponse>, Told> {
        let request = self.caller.request(WatchOperationRequest {
            operation_id: id.to_owned(),
            after_number: after,
        });
        let answer = self.client.clone().watch_operation(request).await;
        let mut stream = answer.map_err(|status| Told::of(&status))?.into_inner();
        let mut events = Vec::new();
        loop {
            match stream.message().await {
                Ok(Some(event)) => events.push(event),
                Ok(None) => return Ok(events),
                Err(status) => return Err(Told::of(&status)),
            }
        }
    }

    async fn cancel(&self, id: &str) -> Result<Operation, Told> {
        let request = self.caller.request(CancelOperationRequest {
            operation_id: id.to_owned(),
        });
        let answer = self.client.clone().cancel_operation(request).await;
        let answer = answer.map_err(|status| Told::of(&status))?;
        Ok(answer.into_inner().operation.unwrap())
    }
}

fn identified(request: ResetUserRequest, id: Uuid) -> ResetUserRequest {
    ResetUserRequest {
        request_id: id.to_string(),
        ..request
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_executed_once_and_answered_the_same_again() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let id = Uuid::new_v4();
    let first = tester.reset(identified(by_email(BUYER), id)).await.unwrap();
    assert!(first.total_rows > 20);
    tester.create(new_user(BUYER)).await.unwrap();
    let after = server.data.dump().await;

    // The user is there again, and stays: it is the same request.
    let again = tester.reset(identified(by_email(BUYER), id)).await.unwrap();
    assert_eq!(first, again);
    after.assert_same(&server.data.dump().await, "a repeat");

    for other in [by_email(OTHER), dry(by_email(BUYER))] {
        let told = tester.reset(identified(other, id)).await.unwrap_err();
        told.is(Code::InvalidArgument, "REQUEST_ID_REUSED");
        assert_eq!(told.metadata["request_id"], id.to_string());
    }
    let told = tester
        .reset(ResetUserRequest {
            request_id: "x".to_owned(),
            ..by_email(BUYER)
        })
        .await;
    told.unwrap_err().field("request_id");

    // An id is its caller's own.
    let admin = server.caller(Role::Admin).await;
    let other = admin.reset(identified(by_email(OTHER), id)).await.unwrap();
    assert_ne!(other.operation_id, first.operation_id);

    let reader = Reader::of(&server, Role::Tester).await;
    let which = get_operation_request::Operation::RequestId(id.to_string());
    let found = reader.get(which).await.unwrap();
    assert_eq!(found.operation_id, first.operation_id);
    assert_eq!(found.request_id, id.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_with_one_request_have_it_executed_once() {
    let server = Server::start().await;
    let id = Uuid::now_v7();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let tester = server.caller(Role::Tester).await;
        tasks.spawn(async move { tester.reset(identified(by_email(BUYER), id)).await });
    }
    let answers = tasks.join_all().await;
    let first = answers[0].as_ref().unwrap();
    for answer in &answers {
        assert_eq!(answer.as_ref().unwrap(), first);
    }
    let records = server.data.records().await;
    let intents = records.iter().filter(|record| record.kind == "intent");
    assert_eq!(intents.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_failed_is_tried_again_under_its_id() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let id = Uuid::new_v4();
    let missing = || identified(by_email("later@test.com"), id);
    let told = tester.reset(missing()).await.unwrap_err();
    told.is(Code::NotFound, "USER_NOT_FOUND");
    tester.create(new_user("later@test.com")).await.unwrap();
    let done = tester.reset(missing()).await.unwrap();
    assert_eq!(done.affected_user_count, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dry_run_showed_is_what_is_executed() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let planned = |token: &str| ResetUserRequest {
        plan_token: token.to_owned(),
        ..by_email(BUYER)
    };
    let shown = tester.reset(dry(by_email(BUYER))).await.unwrap();
    assert!(!shown.plan_token.is_empty());

    // Nobody else's, nothing else's, and nothing made up.
    let other = ResetUserRequest {
        plan_token: shown.plan_token.clone(),
        ..by_email(OTHER)
    };
    let admin = server.caller(Role::Admin).await;
    for told in [
        tester.reset(other).await.unwrap_err(),
        admin.reset(planned(&shown.plan_token)).await.unwrap_err(),
    ] {
        told.is(Code::PermissionDenied, "PLAN_OF_ANOTHER_CALLER");
    }
    let (claims, _) = shown.plan_token.split_once('.').unwrap();
    for forged in ["x", "x.y", &format!("{claims}.1.00")] {
        let told = tester.reset(planned(forged)).await.unwrap_err();
        told.field("plan_token");
    }

    let done = tester.reset(planned(&shown.plan_token)).await.unwrap();
    assert_eq!(done.tables, shown.tables);
    assert_eq!(done.plan_token, "");
    tester.create(new_user(BUYER)).await.unwrap();
    let told = tester.reset(planned(&shown.plan_token)).await.unwrap_err();
    told.is(Code::Aborted, "PLAN_STALE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_does_not_fit_any_more_is_not_executed() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let one_row_less = format!(
        "DELETE FROM payment_methods WHERE id = (SELECT m.id FROM payment_methods AS m \
         JOIN users AS u ON u.id = m.buyer_id WHERE u.email = '{BUYER}' AND NOT EXISTS \
         (SELECT 1 FROM order_transactions AS t WHERE t.payment_method_id = m.id) LIMIT 1)"
    );
    let changes = [
        one_row_less,
        "CREATE TABLE more (user_id TEXT REFERENCES users (id))".to_owned(),
        "UPDATE resetd_marker SET id = 'another'".to_owned(),
    ];
    for change in changes {
        let shown = tester.reset(dry(by_email(BUYER))).await.unwrap();
        server.data.run(&change).await;
        let before = server.data.dump().await;
        let request = ResetUserRequest {
            plan_token: shown.plan_token,
            ..by_email(BUYER)
        };
        let told = tester.reset(request).await.expect_err(&change);
        told.is(Code::Aborted, "PLAN_STALE");
        before.assert_same(&server.data.dump().await, &change);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_listed_newest_first_and_page_by_page() {
    let server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let done = tester.reset(dry(by_email(BUYER))).await.unwrap();
        ids.push(done.operation_id);
    }
    let failed = tester.reset(by_email("nobody@test.com")).await;
    ids.push(failed.unwrap_err().operation.unwrap());
    ids.reverse();

    let reader = Reader::of(&server, Role::Viewer).await;
    let (mut listed, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListOperationsRequest {
            page_size: 2,
            page_token: token,
            ..ListOperationsRequest::default()
        };
        let (page, next) = reader.list(request).await;
        assert!(page.len() <= 2);
        listed.extend(page);
        token = next;
        if token.is_empty() {
            break;
        }
    }
    let listed_ids: Vec<&String> = listed.iter().map(|o| &o.operation_id).collect();
    assert_eq!(listed_ids, ids.iter().collect::<Vec<_>>());
    assert!(listed[1..].iter().all(|operation| operation.validate_only));
    assert_eq!(listed[0].state(), State::Failed);
    assert_eq!(
        listed[0].reason().as_str_name(),
        "ERROR_REASON_USER_NOT_FOUND"
    );
    assert!(listed[0].request_json.contains("nobody@test.com"));

    for (request, count) in [
        (
            ListOperationsRequest {
                state: State::Failed.into(),
                ..ListOperationsRequest::default()
            },
            1,
        ),
        (
            ListOperationsRequest {
                actor: "demo-admin".to_owned(),
                ..ListOperationsRequest::default()
            },
            0,
        ),
        (
            ListOperationsRequest {
                action: "ResetUser".to_owned(),
                begin_time_from: Some(Timestamp::default()),
                ..ListOperationsRequest::default()
            },
            6,
        ),
    ] {
        assert_eq!(
            reader.list(request.clone()).await.0.len(),
            count,
            "{request:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_followed_from_any_event_on() {
    let server = Server::start().await;
    let superuser = server.caller(Role::Superuser).await;
    let request = superuser.request(FullResetRequest {
        confirmation: "I UNDERSTAND THIS WILL DELETE ALL DATA".to_owned(),
        ..FullResetRequest::default()
    });
    let mut stream = superuser.client.clone().full_reset(request).await.unwrap();
    let id = stream.metadata().get("resetd-operation-id").unwrap();
    let id = id.to_str().unwrap().to_owned();
    let stream = stream.get_mut();
    let mut told = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        told.push(message.event.unwrap());
    }
    let reader = Reader::of(&server, Role::Viewer).await;
    let all = reader.watch(&id, 0).await.unwrap();
    let events: Vec<Event> = all.iter().filter_map(|told| told.event.clone()).collect();
    assert_eq!(events, told, "a watcher is told what the caller is");
    let numbers = events.iter().map(|event| event.number);
    assert!(numbers.eq((1..).take(all.len())), "{events:?}");
    for after in [1, 5, all.len() - 1] {
        let number = i64::try_from(after).unwrap();
        let rest = reader.watch(&id, number).await.unwrap();
        assert_eq!(rest[..], all[after..]);
    }
    let (last, others) = all.split_last().unwrap();
    assert!(others.iter().all(|told| told.operation.is_none()));
    let last = last.operation.as_ref().unwrap();
    assert_eq!(last.state(), State::Succeeded);
    assert!(last.result.as_ref().unwrap().total_rows > 1000);
    let alone = reader.by_id(&id).await;
    assert_eq!(&alone, last);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_cancelled_until_its_commit() {
    let server = Server::prepared(|_| {}, async |data| data.run(&slow(FOR_EVER)).await).await;
    let before = server.data.dump().await;
    let admin = server.caller(Role::Admin).await;
    let call = tokio::spawn(async move {
        let request = admin.request(ResetTestUsersRequest::default());
        let answer = admin.client.clone().reset_test_users(request).await;
        answer.map(drop).map_err(|status| Told::of(&status))
    });
    let viewer = Reader::of(&server, Role::Viewer).await;
    let running = || ListOperationsRequest {
        state: State::Running.into(),
        ..ListOperationsRequest::default()
    };
    until("the transaction", async || {
        server.data.is_being_written().await
    })
    .await;
    let (listed, _) = viewer.list(running()).await;
    let id = listed[0].operation_id.clone();

    // A tester stops their own.
    let tester = Reader::of(&server, Role::Tester).await;
    let told = tester.cancel(&id).await.unwrap_err();
    told.is(Code::PermissionDenied, "ROLE_REQUIRED");
    let admin = Reader::of(&server, Role::Admin).await;
    admin.cancel(&id).await.unwrap();
    let told = call.await.unwrap().unwrap_err();
    told.is(Code::Cancelled, "OPERATION_CANCELLED");
    before.assert_same(&server.data.dump().await, "a cancelled operation");
    let ended = viewer.by_id(&id).await;
    assert_eq!(ended.state(), State::Failed);
    assert!(ended.cancel_requested);
    let told = admin.cancel(&id).await.unwrap_err();
    told.is(Code::FailedPrecondition, "OPERATION_NOT_CANCELLABLE");
    let told = viewer.watch(&id, 0).await.unwrap_err();
    told.is(Code::Cancelled, "OPERATION_CANCELLED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_of_a_target_that_is_not_ours_is_not_there() {
    let server = Server::with(|config| {
        let mut stranger = config.tokens[0].clone();
        stranger.principal.targets = Some(["elsewhere".to_owned()].into());
        stranger.digest = resetd::admin::token::digest("stranger");
        config.tokens.push(stranger);
    })
    .await;
    let tester = server.caller(Role::Tester).await;
    let done = tester
        .reset(at(resetd::proto::ResetLevel::UserData, by_email(BUYER)))
        .await
        .unwrap();
    let channel = server.channel().await;
    let reader = Reader {
        client: OperationServiceClient::new(channel.clone()),
        caller: Caller::new(channel, "stranger"),
    };
    let which = get_operation_request::Operation::OperationId(done.operation_id);
    let told = reader.get(which).await.unwrap_err();
    told.is(Code::NotFound, "OPERATION_NOT_FOUND");
    let (listed, _) = reader.list(ListOperationsRequest::default()).await;
    assert_eq!(listed, []);
}
