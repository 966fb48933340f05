//! The real server as a process, and a client of it.

use std::{
    fmt::Write as _,
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use resetd::{
    client::{Client, Options},
    guard::Setting,
    policy::Policy,
    proto::{FullResetRequest, ResetTestUsersRequest, ResetUserRequest, reset_user_request::User},
    target::{Arming, Target},
};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::engine::Place;

const SECRET: &str = "a token of the benches";

/// A database as the server is told of it.
pub struct Served<'a> {
    pub name: &'a str,
    pub place: &'a Place,
    pub policy: &'a str,
}

/// A running `resetd`.
pub struct Rig {
    child: Child,
    pub address: String,
    _folder: TempDir,
}

impl Rig {
    pub async fn start(targets: &[Served<'_>]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let mut config = format!(
            "listen = \"{address}\"\njournal = \"journal.db\"\n\n[[tokens]]\nsubject = \"bench\"\n\
             role = \"superuser\"\nsha256 = \"{}\"\n",
            hex::encode(Sha256::digest(SECRET))
        );
        for target in targets {
            let name = target.name;
            fs::write(folder.path().join(format!("{name}.toml")), target.policy).unwrap();
            let _ = write!(
                config,
                "\n[[targets]]\nname = \"{name}\"\nenvironment = \"test\"\n\
                 url = \"{}\"\npolicy = \"{name}.toml\"\n\
                 [targets.limits]\nmax_rows = 10000000\nmax_rows_bulk = 100000000\n",
                target.place.url()
            );
        }
        fs::write(folder.path().join("resetd.toml"), config).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_resetd"))
            .args(["serve", "--config", "resetd.toml"])
            .env_clear()
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let rig = Self {
            child,
            address,
            _folder: folder,
        };
        for _ in 0..400 {
            if tokio::net::TcpStream::connect(&rig.address).await.is_ok() {
                return rig;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let said = fs::read_to_string(rig._folder.path().join("log")).unwrap_or_default();
        panic!("resetd does not start: {said}");
    }

    pub async fn client(&self) -> Client {
        let options = Options {
            address: self.address.clone(),
            token: Some(SECRET.to_owned()),
            timeout: Some(Duration::from_mins(30)),
        };
        Client::connect(options).await.unwrap()
    }

    /// A number of `/proc/PID/status`, in megabytes.
    pub fn memory(&self, field: &str) -> f64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with(field));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        kilobytes.unwrap_or(0.0) / 1024.0
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Lets a database be reset.
pub async fn arm(place: &Place) {
    let (host, database, credentials) = place.credentials();
    let setting = Setting {
        target: "bench".to_owned(),
        environment: Some("test".to_owned()),
        host,
        database,
        ..Setting::default()
    };
    let policy = Policy::parse(&policy(&["one.test"])).unwrap();
    let now = Timestamp::now();
    let arming = Arming {
        id: format!("bench-{}", now.as_nanosecond()),
        environment: "test".to_owned(),
        armed_by: "benches".to_owned(),
        armed_at: now,
        expires_at: now + SignedDuration::from_hours(24),
        protected: false,
    };
    let target = Target::new(setting, policy, credentials);
    let database = target.setting().database_name().to_owned();
    target.arm(&database, &arming).await.unwrap();
    target.close().await;
}

/// A policy with these test domains.
pub fn policy(domains: &[&str]) -> String {
    let domains: Vec<String> = domains
        .iter()
        .map(|domain| format!("\"{domain}\""))
        .collect();
    format!(
        "[users]\ntable = \"users\"\nkey = \"id\"\nemail = \"email\"\ntype = \"user_type\"\n\
         test_domains = [{}]\n[bulk]\nexclusive = true\n",
        domains.join(", ")
    )
}

pub async fn reset_user(client: &Client, target: &str, id: i64) -> u64 {
    let request = ResetUserRequest {
        target: target.to_owned(),
        user: Some(User::UserId(id.to_string())),
        level: 3,
        ..ResetUserRequest::default()
    };
    let reply = client.reset_user(request).await;
    let reply = reply.unwrap_or_else(|error| panic!("user {id}: {}", error.message()));
    u64::try_from(reply.result.unwrap().total_rows).unwrap()
}

pub async fn reset_test_users(client: &Client, target: &str) -> u64 {
    let request = ResetTestUsersRequest {
        target: target.to_owned(),
        level: 3,
        ..ResetTestUsersRequest::default()
    };
    let reply = client.reset_test_users(request).await;
    let reply = reply.unwrap_or_else(|error| panic!("{}", error.message()));
    u64::try_from(reply.result.unwrap().total_rows).unwrap()
}

pub async fn full_reset(client: &Client, target: &str) {
    let request = FullResetRequest {
        target: target.to_owned(),
        confirmation: target.to_owned(),
        preserve_admins: Some(false),
        ..FullResetRequest::default()
    };
    let events = client.full_reset(request).await;
    let mut events = events.unwrap_or_else(|error| panic!("{}", error.message()));
    while let Some(_event) = events
        .next()
        .await
        .unwrap_or_else(|error| panic!("{}", error.message()))
    {}
}
