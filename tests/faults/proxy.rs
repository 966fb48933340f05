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

/// True for the answer to the last statement of a text: PostgreSQL names the
/// commit, and MariaDB's packets say whether more of them come.
fn is_last(answer: &[u8]) -> bool {
    if answer.windows(7).any(|bytes| bytes == b"COMMIT\0") {
        return true;
    }
    let mut rest = answer;
    let mut has_more = true;
    while let [one, two, three, _, payload @ ..] = rest {
        let length = usize::from(*one) + (usize::from(*two) << 8) + (usize::from(*three) << 16);
        let Some((packet, behind)) = payload.split_at_checked(length) else {
            return false;
        };
        // Rows changed, the last number, both short here, and the status.
        let status = packet
            .first_chunk()
            .map(|[ok, _, _, status]| (*ok, *status));
        has_more = status.is_none_or(|(ok, status)| ok == 0 && status & 8 != 0);
        rest = behind;
    }
    !has_more
}

async fn pass(client: TcpStream, to: u16, fault: Arc<AtomicU8>) -> std::io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", to)).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let is = |wanted: Fault| fault.load(Ordering::SeqCst) == wanted as u8;
    let mut asked = vec![0; 64 * 1024];
    let mut answered = vec![0; 64 * 1024];
    let mut withheld = Vec::new();
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
                // A text that ends with a commit, as PostgreSQL or as MariaDB
                // is sent it.
                let asked = &asked[..read];
                let is_commit = asked.windows(7).any(|bytes| bytes == b"COMMIT\0")
                    || asked.ends_with(b"COMMIT");
                if is_commit && is(Fault::CutBeforeCommit) {
                    fault.store(0, Ordering::SeqCst);
                    return Ok(());
                }
                is_cut = is_commit && is(Fault::CutAfterCommit);
                withheld.clear();
                to_server.write_all(asked).await?;
            }
            read = from_server.read(&mut answered) => {
                let read = read?;
                if read == 0 || is(Fault::Cut) {
                    return Ok(());
                }
                if is_cut {
                    // What comes before the commit in its text is answered
                    // before it is done.
                    withheld.extend_from_slice(&answered[..read]);
                    if is_last(&withheld) {
                        fault.store(0, Ordering::SeqCst);
                        return Ok(());
                    }
                    continue;
                }
                if is(Fault::Swallow) {
                    continue;
                }
                to_client.write_all(&answered[..read]).await?;
            }
        }
    }
}
