//! What the demo prints works as it is printed, and `resetctl` ends as its
//! help says.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::{
    harness::{Data, Server},
    process::{Process, output},
    reset::BUYER,
};
use resetd::access::Role;

/// The lines that the demo prints for this program.
fn printed(said: &str, program: &str) -> Vec<String> {
    let lines = said.lines().map(str::trim);
    let lines = lines.filter(|line| line.split(' ').next().unwrap().ends_with(program));
    lines.map(str::to_owned).collect()
}

/// A line taken apart as a shell would: at spaces, but not inside quotes.
fn words(line: &str) -> Vec<String> {
    line.split('\'')
        .enumerate()
        .flat_map(|(index, part)| -> Vec<String> {
            if index % 2 == 1 {
                return vec![part.to_owned()];
            }
            part.split_whitespace().map(str::to_owned).collect()
        })
        .collect()
}

/// `buf`, which `tests/run` installs and names in `RESETD_BUF`.
fn buf() -> PathBuf {
    let named = std::env::var_os("RESETD_BUF").map(PathBuf::from);
    let target = Path::new(env!("CARGO_BIN_EXE_resetd")).ancestors().nth(2);
    let beside = target.unwrap().join("tools/node_modules/.bin/buf");
    let found = named.unwrap_or(beside);
    let hint = "tests/run installs it";
    assert!(
        found.exists(),
        "there is no buf at {}: {hint}",
        found.display()
    );
    found
}

/// What a program said, when it did well.
#[track_caller]
fn success(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}: {out}{err}", output.status);
    out
}

/// Calls a method as a printed `grpcurl` line says, by `buf curl`.
fn curl(line: &str, home: &Path) -> serde_json::Value {
    let words = words(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [
        "grpcurl",
        "-plaintext",
        "-H",
        header,
        "-d",
        data,
        address,
        method,
    ] = words[..]
    else {
        panic!("{words:?}");
    };
    let url = format!("http://{address}/{method}");
    let mut command = Command::new(buf());
    command
        .args(["curl", "--protocol", "grpc", "--http2-prior-knowledge"])
        .args(["-H", header, "-d", data, &url])
        .env("HOME", home);
    serde_json::from_str(&success(&output(&mut command))).unwrap()
}

async fn demo() -> (TempDir, Data, Process) {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::demo(folder.path()).await;
    let data = Data::of(folder.path());
    (folder, data, process)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_grpcurl_lines_work_by_reflection_alone() {
    let (folder, data, process) = demo().await;
    let lines = printed(&process.said(), "grpcurl");
    assert_eq!(lines.len(), 2, "{}", process.said());
    let before = data.dump().await;
    let statistics = curl(&lines[0], folder.path());
    assert_eq!(statistics["totalUsers"], "300");
    let preview = curl(&lines[1], folder.path());
    let result = &preview["result"];
    assert_eq!(result["validateOnly"], true);
    assert_eq!(result["affectedUsers"][0]["email"], BUYER);
    assert!(
        result["tables"]
            .as_array()
            .is_some_and(|tables| tables.len() > 5)
    );
    before.assert_same(&data.dump().await, "the printed lines");
    process.stop(&data).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_resetctl_lines_work_as_printed() {
    let (_folder, data, process) = demo().await;
    let lines = printed(&process.said(), "resetctl");
    assert_eq!(lines.len(), 5, "{}", process.said());
    let exists = format!("SELECT count(*) FROM users WHERE email = '{BUYER}'");
    let id = format!("SELECT id FROM users WHERE email = '{BUYER}'");
    let old = data.texts(&id).await;
    for (line, users) in lines.iter().zip([1, 1, 1, 0, 1]) {
        let said = success(&output(Command::new("sh").args(["-c", line])));
        assert!(!said.is_empty(), "{line}");
        assert_eq!(data.number(&exists).await, users, "{line}: {said}");
    }
    assert_ne!(
        data.texts(&id).await,
        old,
        "another user of the same e-mail"
    );
    process.stop(&data).await;
}

/// `resetctl` with this role, and the code that it ends with.
fn ends(server: &Server, role: Role, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resetctl"));
    command
        .args(arguments)
        .env_clear()
        .current_dir(&server.data.folder)
        .env("RESETCTL_ADDRESS", server.address.to_string())
        .env("RESETCTL_TOKEN", server.token(role));
    let output = output(&mut command);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.code().expect("an end of its own"), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn resetctl_ends_with_the_code_of_what_happened() {
    let server = Server::start().await;
    let cases: &[(i32, Role, &[&str], &str)] = &[
        (0, Role::Viewer, &["status"], "development"),
        (0, Role::Viewer, &["stats"], "300"),
        (2, Role::Tester, &["user", "maria"], "email"),
        (2, Role::Tester, &["no-such-command"], "no-such-command"),
        (
            2,
            Role::Tester,
            &["create-user", "erika@gmail.com"],
            "test domain",
        ),
        (3, Role::Tester, &["user", "ceo@corporation.com"], "--force"),
        (4, Role::Viewer, &["user", BUYER], "tester"),
        (
            4,
            Role::Tester,
            &["user", "ceo@corporation.com", "--force"],
            "admin",
        ),
        (
            5,
            Role::Tester,
            &["user", "nobody@test.com"],
            "nobody@test.com",
        ),
        (6, Role::Tester, &["create-user", BUYER], "exists"),
        (
            7,
            Role::Tester,
            &["--address", "127.0.0.1:9", "status"],
            "127.0.0.1:9",
        ),
        (0, Role::Tester, &["user", BUYER, "--dry-run"], BUYER),
        (0, Role::Tester, &["user", BUYER], BUYER),
        (5, Role::Tester, &["user", BUYER], BUYER),
        (0, Role::Tester, &["create-user", BUYER], BUYER),
        (
            0,
            Role::Admin,
            &["user", "ceo@corporation.com", "--force"],
            "ceo",
        ),
    ];
    for &(code, role, arguments, expected) in cases {
        let (ended, said) = ends(&server, role, arguments);
        assert_eq!(ended, code, "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert!(
            !said.contains(server.token(role)),
            "it tells the token: {said}"
        );
    }
    println!("resetctl: {} commands", cases.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn resetctl_speaks_json_in_success_and_in_failure() {
    let server = Server::start().await;
    let cases: &[(i32, &[&str])] = &[
        (0, &["status"]),
        (0, &["stats"]),
        (0, &["user", BUYER, "--dry-run"]),
        (0, &["create-user", "erika@test.com"]),
        (3, &["user", "ceo@corporation.com"]),
        (5, &["user", "nobody@test.com"]),
    ];
    for &(code, arguments) in cases {
        let arguments = [arguments, &["--output", "json"]].concat();
        let (ended, said) = ends(&server, Role::Tester, &arguments);
        assert_eq!(ended, code, "{said}");
        let json: serde_json::Value = serde_json::from_str(&said)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {said}"));
        assert!(json.is_object(), "{said}");
    }
}
