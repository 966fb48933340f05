//! One MariaDB server for all cases of a run.

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::OnceLock,
};

use sqlx::{
    Connection as _, Executor as _,
    mysql::{MySqlConnectOptions, MySqlConnection},
};

/// Names a server to use instead of a throwaway one: the URL of an account
/// that may do everything.
const URL: &str = "RESETD_TEST_MARIADB";

const MISSING: &str = "MariaDB does not start (see above; is it missing? apt-get install \
                       mariadb-server), and RESETD_TEST_MARIADB names no server";

/// A server that every case has databases of its own in.
#[derive(Debug)]
pub struct MariaDb {
    superuser: MySqlConnectOptions,
    /// Its port on this machine.
    pub port: u16,
    /// Ends the server when it is closed, as it is when this process ends,
    /// however it does.
    _stdin: Option<ChildStdin>,
}

/// The server of this process.
pub fn mariadb() -> &'static MariaDb {
    static SERVER: OnceLock<MariaDb> = OnceLock::new();
    SERVER.get_or_init(MariaDb::start)
}

/// As an application that writes standard SQL connects.
pub async fn connect(options: &MySqlConnectOptions) -> MySqlConnection {
    let mut connection = MySqlConnection::connect_with(options).await.unwrap();
    let mode = "SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES,NO_BACKSLASH_ESCAPES')";
    connection.execute(mode).await.unwrap();
    connection
}

impl MariaDb {
    fn start() -> Self {
        if let Ok(url) = env::var(URL) {
            let superuser: MySqlConnectOptions = url.parse().expect(URL);
            let port = superuser.get_port();
            return Self {
                superuser,
                port,
                _stdin: None,
            };
        }
        // Between our finding a free port and its use somebody else can take
        // it.
        let (mut child, port) = (0..3).find_map(|_| attempt()).expect(MISSING);
        Self {
            superuser: MySqlConnectOptions::new()
                .host("127.0.0.1")
                .port(port)
                .username("root"),
            port,
            _stdin: child.stdin.take(),
        }
    }

    /// A connection of the superuser.
    pub async fn superuser(&self, database: Option<&str>) -> MySqlConnection {
        let options = self.superuser.clone();
        connect(&match database {
            Some(database) => options.database(database),
            None => options,
        })
        .await
    }

    /// How an ordinary account connects.
    pub fn account(&self, user: &str, database: &str) -> MySqlConnectOptions {
        MySqlConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port)
            .username(user)
            .database(database)
    }
}

fn attempt() -> Option<(Child, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let port = port.unwrap().port();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialects/mariadb.sh");
    let mut child = Command::new("sh")
        .arg(script)
        .arg(port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    line.starts_with("ready").then_some((child, port))
}
