//! How the real program starts, stops, and dies.

use std::{
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    caller::by_email,
    harness::{Data, Server, connect, run, until},
    journal,
    leaving::{FOR_EVER, begun_and_ended, slow},
    process::{Call, Process},
    reset::BUYER,
};
use resetd::{access::Role, proto::GetStatusRequest};
use tonic::Code;

/// A server on the files of a demo, to be killed.
async fn mortal() -> (TempDir, Data, Process) {
    let (folder, data) = Data::make().await;
    let process = Process::serve(&data, "development").await;
    (folder, data, process)
}

/// Starts a reset and kills the server once this holds of it; whether it was
/// answered before.
async fn kill_when(process: Process, what: &str, holds: impl AsyncFnMut() -> bool) -> bool {
    let tester = process.caller("tester").await;
    let call = tokio::spawn(async move {
        let request = tester.request(by_email(BUYER));
        tester.client.clone().reset_user(request).await
    });
    until(what, holds).await;
    process.kill().await;
    call.await.unwrap().is_ok()
}

/// What a new server on what a killed one left finds out about the one
/// operation: whether it was committed. Afterwards everything works.
async fn recovered(data: &Data) -> bool {
    let records = data.records().await;
    let [open] = journal::unfinished(&records)[..] else {
        panic!("{records:#?}");
    };
    let process = Process::serve(data, "development").await;
    let outcome = journal::outcome(&data.records().await, &open.operation);
    assert_eq!(outcome["state"], "recovered", "{outcome}");
    assert!(process.said().contains(&open.operation), "it says so");
    let tester = process.caller("tester").await;
    let done = tester.reset(by_email("tienda.demo@test.com")).await;
    assert!(done.unwrap().total_rows > 20);
    drop(tester);
    process.stop(data).await;
    outcome["committed"].as_bool().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_waits_it_has_done_nothing() {
    let (_folder, data, process) = mortal().await;
    let before = data.dump().await;
    let hold = data.hold().await;
    let answered = kill_when(process, "the intent", async || {
        begun_and_ended(&data).await == (1, 0)
    });
    assert!(!answered.await);
    hold.release().await;
    before.assert_same(&data.dump().await, "a server that was killed");
    assert!(!recovered(&data).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_midst_it_has_done_nothing() {
    let (_folder, data, process) = mortal().await;
    data.run(&slow(FOR_EVER)).await;
    let before = data.dump().await;
    // The transaction begins while the intent is being written.
    let answered = kill_when(process, "the transaction", async || {
        data.is_being_written().await && begun_and_ended(&data).await == (1, 0)
    });
    assert!(!answered.await);
    before.assert_same(&data.dump().await, "a server that was killed");
    data.run("DROP TRIGGER slow").await;
    assert!(!recovered(&data).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_commit_it_has_done_everything() {
    let (_folder, data, process) = mortal().await;
    let before = data.dump().await;
    // Slow enough to take the journal away between intent and outcome.
    data.run(&slow(3_000_000)).await;
    let mut held = None;
    let proofs = "SELECT count(*) FROM resetd_commit";
    // The proof says all of it, so the answer waits for no more than that.
    let _is_answered = kill_when(process, "the commit", async || {
        if held.is_none() && begun_and_ended(&data).await == (1, 0) {
            let mut connection = connect(&data.journal).await;
            run(&mut connection, "BEGIN IMMEDIATE").await;
            held = Some(connection);
        }
        data.number(proofs).await == 1
    })
    .await;
    assert_eq!(
        begun_and_ended(&data).await,
        (1, 0),
        "its outcome was written"
    );
    drop(held);
    let after = data.dump().await;
    let user = before.find("users", "email", BUYER).unwrap();
    let id = before.value(&user, "id").unwrap();
    assert!(
        after.mentions(&id, &["resetd_commit"]).is_empty(),
        "half done"
    );
    data.run("DROP TRIGGER slow").await;
    assert!(recovered(&data).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_finishes_what_is_running() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::demo(folder.path()).await;
    let data = Data::of(folder.path());
    let hold = data.hold().await;
    let tester = process.caller("tester").await;
    let call = tokio::spawn(async move { tester.reset(by_email(BUYER)).await });
    until("the intent", async || {
        begun_and_ended(&data).await == (1, 0)
    })
    .await;
    let begun = Instant::now();
    process.signal("TERM");
    until("the signal", async || process.said().contains("stopping")).await;
    hold.release().await;
    let done = call
        .await
        .unwrap()
        .expect("its caller still gets the answer");
    assert!(done.total_rows > 100);
    let (status, said) = process.ended().await;
    assert!(status.success(), "{status}: {said}");
    assert!(begun.elapsed() < Duration::from_secs(10), "past its time");
    let outcome = journal::outcome(&data.records().await, &done.operation_id);
    assert_eq!(outcome["state"], "committed");
    data.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_does_not_wait_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::demo(folder.path()).await;
    let data = Data::of(folder.path());
    data.run(&slow(FOR_EVER)).await;
    let before = data.dump().await;
    let tester = process.caller("tester").await;
    let call = tokio::spawn(async move {
        let request = tester.request(by_email(BUYER));
        tester.client.clone().reset_user(request).await
    });
    until("the transaction", async || data.is_being_written().await).await;
    let begun = Instant::now();
    process.signal("TERM");
    let (status, said) = process.ended().await;
    assert!(status.success(), "{status}: {said}");
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    assert!(said.contains("operations were still running"), "{said}");
    call.await.unwrap().unwrap_err();
    before.assert_same(&data.dump().await, "a stop");
    data.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_stops_it_and_a_second_signal_stops_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::demo(folder.path()).await;
    process.signal("INT");
    let (status, said) = process.ended().await;
    assert!(status.success(), "{status}: {said}");

    std::fs::remove_file(folder.path().join("demo.json")).unwrap();
    let process = Process::demo(folder.path()).await;
    let data = Data::of(folder.path());
    data.run(&slow(FOR_EVER)).await;
    let tester = process.caller("tester").await;
    let request = tester.request(by_email(BUYER));
    let call = tokio::spawn(async move { tester.client.clone().reset_user(request).await });
    until("the transaction", async || data.is_being_written().await).await;
    process.signal("TERM");
    until("the signal", async || process.said().contains("stopping")).await;
    let begun = Instant::now();
    process.signal("TERM");
    let (status, said) = process.ended().await;
    assert!(!status.success(), "{status}: {said}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop(call.await.unwrap().unwrap_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_that_starts_again_has_fresh_data_and_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::demo(folder.path()).await;
    let data = Data::of(folder.path());
    let mode = std::fs::metadata(folder.path().join("demo.json")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600, "it holds secrets");
    let secrets = process.secrets.clone();
    let before = data.dump().await;
    let tester = process.caller("tester").await;
    tester.reset(by_email(BUYER)).await.unwrap();
    drop(tester);
    process.stop(&data).await;

    let announcement = folder.path().join("demo.json");
    let old = std::fs::read_to_string(&announcement).unwrap();
    std::fs::remove_file(&announcement).unwrap();
    let process = Process::demo(folder.path()).await;
    assert_ne!(std::fs::read_to_string(&announcement).unwrap(), old);
    let values = |secrets: &std::collections::BTreeMap<String, String>| -> Vec<String> {
        secrets.values().cloned().collect()
    };
    assert!(
        values(&process.secrets)
            .iter()
            .all(|s| !values(&secrets).contains(s))
    );
    let after = data.dump().await;
    for (name, table) in &before.tables {
        assert!(
            name == "resetd_marker" || Some(table) == after.tables.get(name),
            "{name}"
        );
    }
    let stranger = Server::start().await;
    let old = secrets["tester"].as_str();
    let caller = stranger.holder(old).await;
    let told = caller
        .status(GetStatusRequest::default())
        .await
        .unwrap_err();
    assert_eq!(told.reason, "TOKEN_INVALID", "a token of another server");
    process.stop(&data).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_demo_on_a_taken_port_leaves_the_first_one_alone() {
    let server = Server::start().await;
    let before = server.data.dump().await;
    let announced = std::fs::read(server.data.folder.join("demo.json")).unwrap();
    let (address, folder) = (
        server.address.to_string(),
        server.data.folder.display().to_string(),
    );
    let arguments = ["demo", "--listen", &address, "--data", &folder];
    let (status, said) = Call::new(&arguments).ended().await;
    assert!(!status.success(), "{said}");
    assert!(
        said.contains(&format!("cannot listen on {address}")),
        "{said}"
    );
    let now = std::fs::read(server.data.folder.join("demo.json")).unwrap();
    assert_eq!(now, announced);
    before.assert_same(&server.data.dump().await, "a second demo");
    let tester = server.caller(Role::Tester).await;
    tester.reset(by_email(BUYER)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_takes_no_new_calls() {
    let mut server = Server::start().await;
    let tester = server.caller(Role::Tester).await;
    tester.status(GetStatusRequest::default()).await.unwrap();
    server.stop();
    server.ended().await;
    let request = tester.request(by_email(BUYER));
    let status = tester.client.clone().reset_user(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}
