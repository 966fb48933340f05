//! One PostgreSQL server for all cases of a run.

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::OnceLock,
};

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};

/// Names a server to use instead of a throwaway one: the URL of a superuser.
const URL: &str = "RESETD_TEST_POSTGRES";

const MISSING: &str = "PostgreSQL is missing: apt-get install postgresql, or name a server's \
                       superuser in RESETD_TEST_POSTGRES";

/// A server that every case has databases of its own in.
#[derive(Debug)]
pub struct Server {
    /// How its superuser connects.
    superuser: PgConnectOptions,
    /// Its port on this machine.
    pub port: u16,
    /// A folder on a file system of 8 MB, where there is one.
    pub small: Option<PathBuf>,
    /// Ends the server when it is closed, as it is when this process ends,
    /// however it does.
    _stdin: Option<ChildStdin>,
}

/// The server of this process.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

impl Server {
    fn start() -> Self {
        if let Ok(url) = env::var(URL) {
            let superuser: PgConnectOptions = url.parse().expect(URL);
            return Self {
                port: superuser.get_port(),
                superuser,
                small: None,
                _stdin: None,
            };
        }
        let programs = programs().expect(MISSING);
        // Between our finding a free port and its use somebody else can take
        // it.
        let (mut child, port, ready) = (0..3)
            .find_map(|_| attempt(&programs))
            .expect("PostgreSQL does not start: see above");
        let small = ready.trim().strip_prefix("ready ").expect("ready");
        Self {
            superuser: PgConnectOptions::new_without_pgpass()
                .host("127.0.0.1")
                .port(port)
                .username("postgres")
                .database("postgres"),
            port,
            small: (small != "-").then(|| PathBuf::from(small)),
            _stdin: child.stdin.take(),
        }
    }

    /// A connection of the superuser.
    pub async fn superuser(&self, database: Option<&str>) -> PgConnection {
        let mut options = self.superuser.clone();
        if let Some(database) = database {
            options = options.database(database);
        }
        PgConnection::connect_with(&options).await.unwrap()
    }

    /// How an ordinary role connects.
    pub fn role(&self, role: &str, database: &str) -> PgConnectOptions {
        let superuser = &self.superuser;
        PgConnectOptions::new_without_pgpass()
            .host(superuser.get_host())
            .port(self.port)
            .username(role)
            .database(database)
    }
}

fn attempt(programs: &Path) -> Option<(Child, u16, String)> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let port = port.unwrap().port();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialects/server.sh");
    let mut child = Command::new("sh")
        .arg(script)
        .arg(programs)
        .arg(port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    line.starts_with("ready").then_some((child, port, line))
}

/// The newest installed server's programs.
fn programs() -> Option<PathBuf> {
    let has_server = |folder: &PathBuf| folder.join("initdb").exists();
    let packaged = std::fs::read_dir("/usr/lib/postgresql");
    let mut versions: Vec<(u32, PathBuf)> = packaged
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, folder)| has_server(folder))
        .collect();
    versions.sort();
    let path = env::var_os("PATH").unwrap_or_default();
    let configured = Command::new("pg_config").arg("--bindir").output().ok();
    let configured = configured.and_then(|done| String::from_utf8(done.stdout).ok());
    versions
        .pop()
        .map(|(_, folder)| folder)
        .or_else(|| env::split_paths(&path).find(has_server))
        .or_else(|| configured.map(|folder| PathBuf::from(folder.trim())))
        .filter(has_server)
}
