//! The database is cut off, restarted under us, held by an application, or
//! says no; the journal takes nothing.

use resetd::proto::ResetUserRequest;
use tonic::Code;
use uuid::Uuid;

use crate::{
    injected, operated,
    proxy::{Fault, Proxy},
    world::{GONE, Kind, WHOLE, World, by_email, reason, request, until},
};

async fn proxied(kind: Kind) -> (World, Proxy) {
    let world = World::new(kind).await;
    let proxy = Proxy::start(world.database_port()).await;
    world.configure(&world.redis.url, proxy.port);
    (world, proxy)
}

/// The connection is lost as the commit is sent, or as it is answered: the
/// proof decides, and the caller is told what it says.
pub async fn cut_at_the_commit_the_proof_decides(kind: Kind) {
    for fault in [Fault::CutBeforeCommit, Fault::CutAfterCommit] {
        let (world, proxy) = proxied(kind).await;
        let server = world.start().await;
        // The connections are made before they are cut.
        server.reset(&world.user(1)).await.unwrap();
        // The sweep after it commits as well, and the cut is not for that.
        world.swept(1).await;
        proxy.set(fault);
        injected();
        operated();
        let id = Uuid::now_v7().to_string();
        let message = || ResetUserRequest {
            request_id: id.clone(),
            ..by_email(&world.user(0))
        };
        let answer = server.send(message()).await;
        assert!(proxy.is_done(), "the fault did not happen");
        match fault {
            Fault::CutAfterCommit => {
                let result = answer.unwrap().result.unwrap();
                assert!(result.total_rows >= 5, "{result:?}");
                world.settled().await;
                assert_eq!(world.traces(&world.user(0)).await, GONE);
            }
            _ => {
                let status = answer.unwrap_err();
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                assert_eq!(reason(&status), "DATABASE_UNAVAILABLE");
                assert_eq!(world.traces(&world.user(0)).await, WHOLE);
            }
        }
        // The same request again: executed now, or answered the same.
        let again = server.send(message()).await.unwrap().result.unwrap();
        assert_eq!(again.affected_user_count, 1);
        world.settled().await;
        assert_eq!(world.traces(&world.user(0)).await, GONE);
    }
}

/// A database that cannot be reached, or does not answer, is told within a
/// bounded time, and is used again when it is back.
pub async fn a_database_that_is_away(kind: Kind) {
    let (world, proxy) = proxied(kind).await;
    let server = world.start().await;
    server.reset(&world.user(1)).await.unwrap();
    proxy.set(Fault::Cut);
    injected();
    operated();
    let status = server.reset(&world.user(0)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    proxy.set(Fault::None);
    operated();
    server.reset(&world.user(0)).await.unwrap();
    proxy.set(Fault::Swallow);
    injected();
    let mut message = request(by_email(&world.user(2)));
    message.set_timeout(std::time::Duration::from_secs(2));
    operated();
    let status = server.resets().await.reset_user(message).await.unwrap_err();
    assert!(
        matches!(
            status.code(),
            Code::DeadlineExceeded | Code::Cancelled | Code::Unavailable
        ),
        "{status:?}"
    );
    proxy.set(Fault::None);
}

/// Somebody ends our connection in the midst of an operation.
pub async fn a_backend_that_is_ended(kind: Kind) {
    let world = World::new(kind).await;
    let server = world.start().await;
    server.order("steps_taken", "stop");
    server.order("step", "stop");
    let mut client = server.resets().await;
    let message = by_email(&world.user(0));
    operated();
    let call = tokio::spawn(async move { client.reset_user(request(message)).await });
    server.reached("step").await;
    injected();
    world.end_transactions().await;
    server.release("step");
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(world.traces(&world.user(0)).await, WHOLE);
    std::fs::remove_file(server.points.join("steps_taken")).ok();
    server.reset(&world.user(0)).await.unwrap();
    world.settled().await;
}

/// An application holds a row: after seconds it is given up, and never
/// executed later.
pub async fn a_row_that_an_application_holds(kind: Kind) {
    let world = World::new(kind).await;
    let server = world.start().await;
    let user = world.user(0);
    let hold = format!("BEGIN; SELECT id FROM sessions WHERE user_id = '{user}' FOR UPDATE");
    let application = world.application(&hold).await;
    injected();
    operated();
    let status = server.reset(&user).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted, "{status:?}");
    assert_eq!(reason(&status), "LOCK_TIMEOUT");
    drop(application);
    assert_eq!(world.traces(&user).await, WHOLE);
    world.settled().await;
}

/// Who waits for another operation is told for which.
pub async fn the_holder_is_named(kind: Kind) {
    let world = World::new(kind).await;
    let server = world.start().await;
    server.order("steps_taken", "stop");
    let mut client = server.resets().await;
    operated();
    let bulk = tokio::spawn(async move {
        let message = resetd::proto::ResetTestUsersRequest::default();
        client.reset_test_users(request(message)).await
    });
    server.reached("steps_taken").await;
    injected();
    operated();
    let status = server.reset(&world.user(0)).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted, "{status:?}");
    assert_eq!(reason(&status), "OPERATION_IN_PROGRESS");
    assert!(
        status.message().contains("ResetTestUsers of ci"),
        "{status:?}"
    );
    server.release("steps_taken");
    bulk.await.unwrap().unwrap();
    world.settled().await;
}

/// A new foreign key between plan and execution is noticed.
pub async fn a_schema_that_changes_underneath(kind: Kind) {
    let world = World::new(kind).await;
    let server = world.start().await;
    server.reset(&world.user(1)).await.unwrap();
    // The sweep after it would come to the same place.
    world.swept(1).await;
    server.order("working", "stop");
    let mut client = server.resets().await;
    let dry = ResetUserRequest {
        validate_only: true,
        ..by_email(&world.user(0))
    };
    operated();
    let call = tokio::spawn(async move { client.reset_user(request(dry)).await });
    server.reached("working").await;
    injected();
    world
        .run(
            "CREATE TABLE notes (id VARCHAR(64) PRIMARY KEY, \
             user_id VARCHAR(64) NOT NULL REFERENCES users (id))",
        )
        .await;
    let user = world.user(0);
    world
        .run(&format!("INSERT INTO notes VALUES ('n', '{user}')"))
        .await;
    server.release("working");
    // Planned afresh, as the plan was not made yet: the table is in it.
    let result = call.await.unwrap().unwrap().into_inner().result.unwrap();
    assert!(result.tables.iter().any(|table| table.table == "notes"));
    // On SQLite nobody changes the schema under an open transaction.
    if kind == Kind::Postgres {
        server.order("begun", "stop");
        let mut client = server.resets().await;
        let message = resetd::proto::ResetTestUsersRequest::default();
        operated();
        let call = tokio::spawn(async move { client.reset_test_users(request(message)).await });
        server.reached("begun").await;
        injected();
        world
            .run("CREATE TABLE later (id VARCHAR(64) PRIMARY KEY, user_id VARCHAR(64) NOT NULL REFERENCES users (id))")
            .await;
        world
            .run(&format!("INSERT INTO later VALUES ('l', '{user}')"))
            .await;
        server.release("begun");
        // It is noticed, and planned afresh once.
        let result = call.await.unwrap().unwrap().into_inner().result.unwrap();
        assert!(result.tables.iter().any(|table| table.table == "later"));
    } else {
        server.reset(&user).await.unwrap();
    }
    world.settled().await;
    assert_eq!(world.traces(&user).await, GONE);
}

/// A journal that takes nothing lets nothing be done; one that takes no end is
/// ended later, by the proof.
pub async fn a_journal_that_takes_nothing(kind: Kind) {
    let world = World::new(kind).await;
    let mut server = world.start().await;
    let (full, free) = match kind {
        Kind::Sqlite | Kind::MariaDb => (
            "CREATE TRIGGER full BEFORE INSERT ON record BEGIN SELECT RAISE(ABORT, 'full'); END",
            "DROP TRIGGER full",
        ),
        Kind::Postgres => (
            "ALTER TABLE record ADD CONSTRAINT full_up CHECK (number < 0) NOT VALID",
            "ALTER TABLE record DROP CONSTRAINT full_up",
        ),
    };
    world.write_journal(full).await;
    injected();
    operated();
    let status = server.reset(&world.user(0)).await.unwrap_err();
    assert_eq!(reason(&status), "AUDIT_UNAVAILABLE", "{status:?}");
    assert_eq!(world.traces(&world.user(0)).await, WHOLE);
    world.write_journal(free).await;
    server.order("before_close", "stop");
    let mut client = server.resets().await;
    let message = by_email(&world.user(0));
    operated();
    let call = tokio::spawn(async move { client.reset_user(request(message)).await });
    server.reached("before_close").await;
    world.write_journal(full).await;
    injected();
    server.release("before_close");
    call.await.unwrap().unwrap();
    world.write_journal(free).await;
    server.kill();
    let _server = world.start().await;
    world.settled().await;
    assert_eq!(world.traces(&world.user(0)).await, GONE);
}

/// A user whose effects are pending is not created again.
pub async fn a_new_user_is_not_mistaken_for_the_old_one(kind: Kind) {
    let world = World::with(kind, crate::redis::Redis::start(&[]).await).await;
    let server = world.start().await;
    let user = world.user(0);
    world.redis.stop().await;
    injected();
    operated();
    server.reset(&user).await.unwrap();
    let status = server.create(&user).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(reason(&status), "RESET_EFFECTS_PENDING");
    world.redis.resume().await;
    until("the keys", async || world.redis.count(&user).await == 0).await;
    world.settled().await;
    server.create(&user).await.unwrap();
}
