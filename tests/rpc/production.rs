//! The real program never touches what is not known to be a test database.

use resetd::proto::GetStatusRequest;
use tonic::Code;

use crate::{
    caller::{Told, by_email, new_user},
    harness::Data,
    process::{Call, Process},
    reset::BUYER,
};

/// Everything that changes data is refused by this server, the same way.
async fn refuses(process: Process, data: &Data) -> Told {
    let before = data.dump().await;
    let superuser = process.caller("superuser").await;
    let told = superuser.reset(by_email(BUYER)).await.unwrap_err();
    let created = superuser.create(new_user("erika@test.com")).await;
    assert_eq!(created.unwrap_err().message, told.message);
    before.assert_same(&data.dump().await, "a refused call");
    let status = superuser.status(GetStatusRequest::default()).await.unwrap();
    assert!(!status.reset_allowed);
    let refusing = status.layers.iter().find(|layer| !layer.allowed).unwrap();
    assert_eq!(refusing.fix, told.metadata["fix"]);
    drop(superuser);
    process.stop(data).await;
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn production_is_refused_by_its_name() {
    let (_folder, data) = Data::make().await;
    for environment in [
        "production",
        "Production",
        " prod",
        "prod-eu",
        "live",
        "staging",
    ] {
        let process = Process::serve(&data, environment).await;
        assert!(process.said().contains("is not connected to"));
        let told = refuses(process, &data).await;
        told.is(Code::FailedPrecondition, "ENVIRONMENT_DENIED")
            .fix("development");
        assert!(told.message.contains(environment), "{told:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_variable_that_says_production_vetoes() {
    let (_folder, data) = Data::make().await;
    for name in ["APP_ENV", "NODE_ENV", "RAILS_ENV", "FLASK_ENV"] {
        let call = Call::configured(&["serve"], &data, "development").variable(name, "production");
        let told = refuses(call.serve(&data.folder).await, &data).await;
        told.is(Code::FailedPrecondition, "ENVIRONMENT_DENIED")
            .fix(name);
        assert!(told.message.contains(name), "{told:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_is_refused_in_production_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().display().to_string();
    let arguments = ["demo", "--listen", "127.0.0.1:0", "--data", &data];
    let call = Call::new(&arguments).variable("ENVIRONMENT", "production");
    let process = call.demo(folder.path()).await;
    let data = Data::of(folder.path());
    let told = refuses(process, &data).await;
    told.is(Code::FailedPrecondition, "ENVIRONMENT_DENIED")
        .fix("ENVIRONMENT");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_environment_or_a_database_nothing_starts() {
    let (_folder, data) = Data::make().await;
    for name in ["ENVIRONMENT", "DATABASE_URL"] {
        let call = Call::configured(&["serve"], &data, "development");
        let (status, said) = call.variable(name, "").ended().await;
        assert!(!status.success());
        assert!(said.contains(&format!("{name} is not set")), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_an_armed_database_is_not_armed_until_it_is() {
    let (_folder, data) = Data::make().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = Data {
        database: elsewhere.path().join("copy.db"),
        ..Data::of(elsewhere.path())
    };
    std::fs::copy(&data.database, &copy.database).unwrap();
    let told = refuses(Process::serve(&copy, "development").await, &copy).await;
    told.is(Code::FailedPrecondition, "TARGET_IDENTITY_MISMATCH")
        .fix("resetd arm --target default --database copy.db");
    assert!(told.message.contains("demo.db"), "{told:#?}");

    // The fix, as it is told, is one.
    let words: Vec<&str> = told.metadata["fix"].split(' ').skip(1).collect();
    let (status, said) = Call::configured(&words, &copy, "development").ended().await;
    assert!(status.success(), "{said}");
    let process = Process::serve(&copy, "development").await;
    let tester = process.caller("tester").await;
    tester.reset(by_email(BUYER)).await.unwrap();
    drop(tester);
    process.stop(&copy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_names_the_database_can_arm_it() {
    let (_folder, data) = Data::make().await;
    data.run("DELETE FROM resetd_marker").await;
    let before = data.dump().await;
    let arm = |words: &[&str], environment: &str| {
        let words: Vec<&str> = ["arm"].iter().chain(words).copied().collect();
        Call::configured(&words, &data, environment).ended()
    };
    for (words, environment, expected) in [
        (&[][..], "development", "--database demo.db"),
        (&["--database", "demo"], "development", "demo.db"),
        (&["--database", "demo.db"], "production", "production"),
    ] {
        let (status, said) = arm(words, environment).await;
        assert!(!status.success(), "{said}");
        assert!(said.contains(expected), "{said}");
        before.assert_same(&data.dump().await, "a refused arming");
    }
    let (status, said) = arm(&["--database", "demo.db", "--protect"], "development").await;
    assert!(status.success(), "{said}");
    let told = refuses(Process::serve(&data, "development").await, &data).await;
    told.is(Code::FailedPrecondition, "TARGET_PROTECTED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_is_unavailable_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::of(folder.path());
    let process = Process::serve(&data, "development").await;
    let tester = process.caller("tester").await;
    let told = tester.reset(by_email(BUYER)).await.unwrap_err();
    told.is(Code::Unavailable, "DATABASE_UNAVAILABLE");
    assert!(told.details.retry_info().is_some());
    let status = tester.status(GetStatusRequest::default()).await.unwrap();
    assert!(!status.reset_allowed);
    assert!(!data.database.exists(), "it was made");
    // It comes back without a new start.
    let (_folder, demo) = Data::make().await;
    demo.run("UPDATE resetd_marker SET server_identity = 'x'")
        .await;
    std::fs::copy(&demo.database, &data.database).unwrap();
    let told = tester.reset(by_email(BUYER)).await.unwrap_err();
    told.is(Code::FailedPrecondition, "TARGET_IDENTITY_MISMATCH");
    drop(tester);
    process.stop(&data).await;
}
