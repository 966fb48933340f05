//! A database that is not ours, from `resetd init` to a reset: a shop of more
//! than forty tables, made by the shop's own software from its own package.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use sqlx::{Connection as _, Row as _, SqliteConnection};

const RESETD: &str = env!("CARGO_BIN_EXE_resetd");
const RESETCTL: &str = env!("CARGO_BIN_EXE_resetctl");

/// Runs a program and gives what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}{errors}");
    text
}

/// Where `tests/run` has installed the shop's software.
fn packages() -> String {
    std::env::var("RESETD_SHOP")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/shop").to_owned())
}

fn make_shop(database: &Path) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/init/shop.py");
    run(Command::new("python3")
        .args([Path::new(script), database])
        .env("PYTHONPATH", packages()));
}

/// A server that is stopped when the test ends.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(config: &Path) -> Self {
        let mut child = Command::new(RESETD)
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let serving = lines
            .map(Result::unwrap)
            .find(|line| line.contains("serving"));
        let serving = serving.expect("the server says where it listens");
        let address = serving.rsplit('=').next().unwrap().trim().to_owned();
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn count(database: &Path, sql: &'static str) -> i64 {
    let url = format!("sqlite:{}", database.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let row = sqlx::query(sql).fetch_one(&mut connection).await.unwrap();
    row.get(0)
}

#[tokio::test]
async fn a_shop_of_many_tables_is_reset_without_an_edit() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("shop.db");
    make_shop(&database);
    let tables = count(
        &database,
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table'",
    )
    .await;
    assert!(tables >= 40, "{tables} tables are no unfamiliar schema");

    let url = format!("sqlite:{}", database.display());
    let init = run(Command::new(RESETD)
        .args(["init", "--url", &url, "--out"])
        .arg(folder.path()));
    assert!(init.contains("the users are in auth_user"), "{init}");
    let config = folder.path().join("resetd.toml");
    let with_config = |command: &str| {
        let mut process = Command::new(RESETD);
        process.args([command, "--config"]).arg(&config);
        process
    };
    let check = run(&mut with_config("check"));
    assert!(check.contains("the policy fits"), "{check}");
    run(with_config("arm").args(["--database", "shop.db"]));

    let server = Server::start(&config);
    let tokens = std::fs::read_to_string(folder.path().join("tokens.json")).unwrap();
    let tokens: BTreeMap<String, String> = serde_json::from_str(&tokens).unwrap();
    let resetctl = |token: &str, arguments: &[&str]| {
        run(Command::new(RESETCTL)
            .args(["--output", "json", "--address", &server.address])
            .args(arguments)
            .env("RESETCTL_TOKEN", &tokens[token]))
    };

    resetctl("tester", &["user", "user0@test.com"]);
    let left = "SELECT count(*) FROM auth_user WHERE email = 'user0@test.com'";
    assert_eq!(count(&database, left).await, 0);
    let broken = "SELECT count(*) FROM pragma_foreign_key_check";
    assert_eq!(count(&database, broken).await, 0);
    let orders = "SELECT count(*) FROM order_order";
    assert_eq!(count(&database, orders).await, 29);

    resetctl("admin", &["test-users"]);
    let others = "SELECT count(*) FROM auth_user WHERE email LIKE '%@reader.org'";
    assert_eq!(count(&database, others).await, 10);
    let all = "SELECT count(*) FROM auth_user";
    assert_eq!(
        count(&database, all).await,
        11,
        "readers and the admin stay"
    );
    assert_eq!(count(&database, orders).await, 10);
    assert_eq!(count(&database, broken).await, 0);
    let books = "SELECT count(*) FROM catalogue_product";
    assert_eq!(count(&database, books).await, 5, "products are nobody's");
}
