//! From a call over a socket to keys and files that are gone: what a dry run
//! tells is what goes, and a Redis that is away only delays it.

use std::{fs, net::SocketAddr, path::Path, time::Instant};

use redis::Commands as _;
use resetd::{
    admin::{arm, token},
    client::{Client, Options},
    config::{Config, Variables},
    proto::{
        GetStatusRequest, ResetLevel, ResetResult, ResetTestUsersRequest, ResetUserRequest,
        reset_user_request::User,
    },
    server,
};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Executor as _, Row as _, SqliteConnection,
    sqlite::SqliteConnectOptions,
};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::servers::Redis;

const SCHEMA: &str = "
CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, avatar TEXT,
    password_hash TEXT);
CREATE TABLE login (token TEXT PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users);
CREATE TABLE image (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users,
    path TEXT NOT NULL);
INSERT INTO users (id, email, avatar) VALUES (1, 'one@test.com', 'faces/1.png'), (10, 'ten@test.com', NULL),
    (3, 'three@shop.org', 'faces/3.png'), (4, '4/../5@test.com', NULL);
INSERT INTO login VALUES ('tok-1', 1), ('tok-1b', 1), ('tok-10', 10);
INSERT INTO image VALUES (1, 1, 'media/a.png'), (2, 1, 'media/shared.png'),
    (3, 3, 'media/shared.png'), (4, 1, '../outside/canary'), (5, 10, 'media/ten.png');
";

const POLICY: &str = r#"
[users]
table = "users"
email = "email"
test_domains = ["test.com"]
[users.create]
password = { column = "password_hash", bcrypt_cost = 4 }
[levels.user_sessions]
delete = ["login"]
redis = [
    { key = "session:{id}" },
    { key = "token:{login.token}" },
    { members_of = "sessions_of:{id}", key = "session:{member}" },
    { pattern = "cart:{id}:*" },
]
[levels.user_cascade]
redis = [{ key = "profile:{email}" }]
files = [
    { root = "storage", directory = "images/user_{id}" },
    { root = "storage", directory = "mail/{email}" },
    { root = "storage", column = "image.path", strip = "media/" },
    { root = "storage", column = "users.avatar" },
]
"#;

/// A served database with a Redis and a directory of its own.
pub struct World {
    pub redis: Redis,
    pub client: Client,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<(), server::Error>>,
    folder: TempDir,
}

impl World {
    async fn start() -> Self {
        Self::with("").await
    }

    /// With more in its policy.
    pub async fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let redis = Redis::start();
        let path = folder.path();
        let mut database = database(path).await;
        database.execute(AssertSqlSafe(SCHEMA)).await.unwrap();
        drop(database);
        fs::write(path.join("policy.toml"), format!("{POLICY}{more}")).unwrap();
        let secret = token::secret().unwrap();
        let digest = hex::encode(token::digest(&secret));
        let url = redis.url(1);
        let shop = path.join("shop_test.db");
        let config = format!(
            "[[targets]]\nname = 'shop'\nenvironment = 'test'\nurl = 'sqlite:///{}'\n\
             policy = 'policy.toml'\n[targets.redis]\nurl = '{url}'\n\
             [targets.roots.storage]\npath = 'storage'\n\
             [[tokens]]\nsubject = 'test'\nrole = 'superuser'\nsha256 = '{digest}'\n",
            shop.display()
        );
        fs::write(path.join("resetd.toml"), config).unwrap();
        files(path);
        let config = Config::from_file(&path.join("resetd.toml"), &Variables::default()).unwrap();
        let request = arm::Request {
            target: None,
            database: Some("shop_test.db".to_owned()),
            days: 1,
            protect: false,
        };
        arm::run(&config, &request).await.unwrap();
        let listener = server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (announce, ready) = oneshot::channel();
        let serving = tokio::spawn(Box::pin(async move {
            let stopped = async { drop(stopped.await) };
            server::run(config, listener, stopped, || announce.send(()).unwrap()).await
        }));
        assert!(ready.await.is_ok(), "the server does not start");
        keys(&redis);
        Self {
            client: client(address, &secret).await,
            redis,
            stop: Some(stop),
            serving,
            folder,
        }
    }

    async fn reset(&self, id: &str, level: ResetLevel, dry: bool) -> ResetResult {
        let request = ResetUserRequest {
            user: Some(User::UserId(id.to_owned())),
            level: level.into(),
            validate_only: dry,
            ..ResetUserRequest::default()
        };
        self.client
            .reset_user(request)
            .await
            .unwrap()
            .result
            .unwrap()
    }

    /// Every key, in order.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.redis.connection(1).keys("*").unwrap();
        keys.sort();
        keys
    }

    pub fn has(&self, path: &str) -> bool {
        self.folder.path().join(path).exists()
    }

    /// Runs statements on the database.
    pub async fn run(&self, sql: &str) {
        let mut database = database(self.folder.path()).await;
        let sql = AssertSqlSafe(sql.to_owned());
        database.execute(sql).await.unwrap();
    }

    /// The texts that a query answers.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let mut database = database(self.folder.path()).await;
        let sql = AssertSqlSafe(sql.to_owned());
        let rows = database.fetch_all(sql).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Waits until this key is gone.
    pub async fn until_gone(&self, key: &str) {
        let begun = Instant::now();
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(10));
        while self.keys().iter().any(|there| there == key) {
            assert!(begun.elapsed().as_secs() < 10, "{key} stays");
            ticks.tick().await;
        }
    }

    pub async fn end(mut self) {
        drop(self.stop.take());
        self.serving.await.unwrap().unwrap();
    }
}

async fn database(folder: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("shop_test.db"))
        .create_if_missing(true);
    options.connect().await.unwrap()
}

async fn client(address: SocketAddr, secret: &str) -> Client {
    let options = Options {
        address: address.to_string(),
        token: Some(secret.to_owned()),
        ..Options::default()
    };
    Client::connect(options).await.unwrap()
}

fn files(folder: &Path) {
    for path in [
        "outside/canary",
        "storage/a.png",
        "storage/shared.png",
        "storage/ten.png",
        "storage/faces/1.png",
        "storage/faces/3.png",
        "storage/images/user_1/x",
        "storage/images/user_1/deep/y",
        "storage/images/user_10/z",
        "storage/mail/5@test.com/letter",
    ] {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
}

/// Puts the keys of all users in place.
pub fn keys(redis: &Redis) {
    let mut connection = redis.connection(1);
    for key in [
        "session:1",
        "session:10",
        "token:tok-1",
        "token:tok-1b",
        "token:tok-10",
        "session:a",
        "cart:1:x",
        "cart:10:x",
        "profile:one@test.com",
        "profile:ten@test.com",
    ] {
        connection.set::<_, _, ()>(key, "x").unwrap();
    }
    connection.sadd::<_, _, ()>("sessions_of:1", "a").unwrap();
}

const LEFT: [&str; 4] = [
    "cart:10:x",
    "profile:ten@test.com",
    "session:10",
    "token:tok-10",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_goes_and_just_that_goes() {
    let world = World::start().await;
    let before = world.keys();
    let dry = world.reset("1", ResetLevel::UserCascade, true).await;
    assert_eq!(world.keys(), before, "a dry run removes nothing");
    // The path that leads out of the root stays behind.
    let told = dry.effects.unwrap();
    let counts = (told.redis_keys, told.files, told.directories, told.pending);
    assert_eq!(counts, (7, 4, 1, 1));
    let done = world.reset("1", ResetLevel::UserCascade, false).await;
    assert_eq!(done.effects.unwrap(), told);
    assert_eq!(done.errors.len(), 1, "{:?}", done.errors);
    assert!(
        done.warnings
            .iter()
            .any(|text| text.contains("1 file stayed")),
        "{done:?}"
    );
    assert_eq!(world.keys(), LEFT);
    for gone in ["a.png", "faces/1.png", "images/user_1"] {
        assert!(!world.has(&format!("storage/{gone}")), "{gone}");
    }
    for kept in ["shared.png", "ten.png", "faces/3.png", "images/user_10/z"] {
        assert!(world.has(&format!("storage/{kept}")), "{kept}");
    }
    assert!(world.has("outside/canary"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_that_keeps_the_account_takes_its_keys_and_no_files() {
    let world = World::start().await;
    let done = world.reset("1", ResetLevel::UserSessions, false).await;
    assert_eq!(done.effects.unwrap().redis_keys, 6);
    assert!(world.keys().contains(&"profile:one@test.com".to_owned()));
    assert!(world.has("storage/images/user_1/x"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_leads_out_needs_somebody_and_touches_nothing() {
    let world = World::start().await;
    let done = world.reset("1", ResetLevel::UserCascade, false).await;
    assert!(
        done.errors.iter().any(|text| text.contains("below root")),
        "{:?}",
        done.errors
    );
    assert!(world.has("outside/canary"));
    assert!(!world.has("storage/images/user_1"), "the others went");
    let status = world
        .client
        .get_status(GetStatusRequest::default())
        .await
        .unwrap();
    assert_eq!(status.elsewhere.unwrap().effects_needing_attention, 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_users_are_one_operation_and_a_value_is_no_path() {
    let world = World::start().await;
    let request = |dry| ResetTestUsersRequest {
        level: ResetLevel::UserCascade.into(),
        validate_only: dry,
        ..ResetTestUsersRequest::default()
    };
    let mut database = database(world.folder.path()).await;
    database
        .execute("DELETE FROM image WHERE id = 4")
        .await
        .unwrap();
    let dry = world
        .client
        .reset_test_users(request(true))
        .await
        .unwrap()
        .result
        .unwrap();
    let done = world
        .client
        .reset_test_users(request(false))
        .await
        .unwrap()
        .result
        .unwrap();
    assert_eq!(done.effects, dry.effects);
    assert!(
        done.warnings.iter().any(|text| text.contains("left out")),
        "{done:?}"
    );
    assert!(world.keys().is_empty());
    assert!(
        world.has("storage/mail/5@test.com/letter"),
        "nobody's but 5's"
    );
    assert!(world.has("storage/shared.png") && !world.has("storage/ten.png"));
    let left = database
        .fetch_one("SELECT count(*) FROM users")
        .await
        .unwrap();
    assert_eq!(left.get::<i64, _>(0), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_delays_the_keys_and_not_the_reset() {
    let mut world = World::start().await;
    world.redis.kill();
    let done = world.reset("10", ResetLevel::UserSessions, false).await;
    assert!(
        done.success && done.effects.unwrap().pending > 0,
        "{done:?}"
    );
    assert!(!done.warnings.is_empty());
    world.redis.restart();
    keys(&world.redis);
    let back = Instant::now();
    world.until_gone("session:10").await;
    println!("the keys went {:?} after Redis was back", back.elapsed());
    world.end().await;
}
