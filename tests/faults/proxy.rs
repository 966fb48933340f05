//! Stands between a server and its database, and cuts or delays what goes
//! through.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What happens to what goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    None = 0,
    /// The connection is cut before a commit is passed on.
    CutBeforeCommit = 1,
    /// It is passed on, and cut before it is answered.
    CutAfterCommit = 2,
    /// Every connection is cut.
    Cut = 3,
    /// Nothing is passed on any more, and nobody is told.
    Swallow = 4,
}

pub struct Proxy {
    pub port: u16,
    fault: Arc<AtomicU8>,
}

impl Proxy {
    pub async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fault = Arc::new(AtomicU8::new(0));
        let shared = Arc::clone(&fault);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let fault = Arc::clone(&shared);
                if fault.load(Ordering::SeqCst) == Fault::Cut as u8 {
                    continue;
                }
                tokio::spawn(async move {
                    // A connection that is cut is what this is for.
                    drop(pass(client, to, fault).await);
                });
            }
        });
        Self { port, fault }
    }

    pub fn set(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }

    /// True once the fault has happened.
    pub fn is_done(&self) -> bool {
        self.fault.load(Ordering::SeqCst) == 0
    }
}

async fn pass(client: TcpStream, to: u16, fault: Arc<AtomicU8>) -> std::io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", to)).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let is = |wanted: Fault| fault.load(Ordering::SeqCst) == wanted as u8;
    let mut asked = vec![0; 64 * 1024];
    let mut answered = vec![0; 64 * 1024];
    let mut is_cut = false;
    loop {
        tokio::select! {
            read = from_client.read(&mut asked) => {
                let read = read?;
                if read == 0 || is(Fault::Cut) {
                    return Ok(());
                }
                if is(Fault::Swallow) {
                    continue;
                }
                // A simple query that is a commit and nothing else, as
                // PostgreSQL ends it or as MariaDB begins it.
                let is_commit = asked[..read]
                    .windows(7)
                    .any(|bytes| bytes == b"COMMIT\0" || bytes == b"\x03COMMIT");
                if is_commit && is(Fault::CutBeforeCommit) {
                    fault.store(0, Ordering::SeqCst);
                    return Ok(());
                }
                is_cut = is_commit && is(Fault::CutAfterCommit);
                to_server.write_all(&asked[..read]).await?;
            }
            read = from_server.read(&mut answered) => {
                let read = read?;
                if read == 0 || is(Fault::Cut) {
                    return Ok(());
                }
                if is_cut {
                    fault.store(0, Ordering::SeqCst);
                    return Ok(());
                }
                if is(Fault::Swallow) {
                    continue;
                }
                to_client.write_all(&answered[..read]).await?;
            }
        }
    }
}
