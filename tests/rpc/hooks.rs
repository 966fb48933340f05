//! The policy's commands around whatever takes more than one user.

use resetd::{
    access::Role,
    policy::Hooks,
    proto::{ResetResult, ResetTestUsersRequest},
};
use tonic::Code;

use crate::{
    caller::{Told, by_email},
    harness::Server,
    reset::BUYER,
};

fn command(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

async fn serve(hooks: Hooks) -> Server {
    Server::with(|config| config.targets[0].policy.hooks = hooks).await
}

async fn test_users(server: &Server, validate_only: bool) -> Result<ResetResult, Told> {
    let admin = server.caller(Role::Admin).await;
    let request = admin.request(ResetTestUsersRequest {
        validate_only,
        ..ResetTestUsersRequest::default()
    });
    let answer = admin.client.clone().reset_test_users(request).await;
    let answer = answer.map_err(|status| Told::of(&status))?;
    Ok(answer.into_inner().result.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_before_refuses() {
    for (words, seconds) in [
        (vec!["false"], 600),
        (vec!["there-is-no-such-program"], 600),
        (vec!["sleep", "600"], 0),
    ] {
        let hooks = Hooks {
            before: vec![command(&words)],
            seconds,
            ..Hooks::default()
        };
        let server = serve(hooks).await;
        let before = server.data.dump().await;
        let told = test_users(&server, false).await.unwrap_err();
        told.is(Code::FailedPrecondition, "HOOK_FAILED");
        assert_eq!(told.metadata["command"], words[0]);
        before.assert_same(&server.data.dump().await, words[0]);
        // One user is reset without, and so is a dry run.
        test_users(&server, true).await.unwrap();
        let tester = server.caller(Role::Tester).await;
        tester.reset(by_email(BUYER)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_before_and_after() {
    let folder = tempfile::tempdir().unwrap();
    let (first, last) = (folder.path().join("first"), folder.path().join("last"));
    let touch = |path: &std::path::Path| command(&["touch", path.to_str().unwrap()]);
    let hooks = Hooks {
        before: vec![touch(&first)],
        after: vec![touch(&last), command(&["false"])],
        ..Hooks::default()
    };
    let server = serve(hooks).await;
    test_users(&server, true).await.unwrap();
    assert!(!first.exists() && !last.exists(), "a dry run runs nothing");
    let result = test_users(&server, false).await.unwrap();
    assert!(result.total_rows > 100);
    assert!(first.exists() && last.exists());
    let warning = |text: &String| text.contains("hook false failed");
    assert!(result.warnings.iter().any(warning), "{:?}", result.warnings);
}
