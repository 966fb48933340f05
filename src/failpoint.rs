//! Places at which a test can hold, slow or break the program: at every arrow
//! of the protocol. Without the feature `failpoints` they are nothing.
//!
//! A folder says what happens: where it has a file of a place's name, the
//! first who comes there takes the file away and does what it says: `stop`
//! (until somebody removes what is there then, `NAME.reached`), `panic`,
//! `sleep MILLISECONDS`, or with `skip ` before it, lets so many pass first.
//! A file `skip.CHECK` switches a check off, to show that a test needs it.

#[cfg(feature = "failpoints")]
mod points {
    use std::{
        fs,
        path::{Path, PathBuf},
        sync::OnceLock,
        time::Duration,
    };

    static FOLDER: OnceLock<PathBuf> = OnceLock::new();

    const LOOK: Duration = Duration::from_millis(2);

    /// Takes the places' orders from this folder.
    pub fn install(folder: Option<&str>) {
        if let Some(folder) = folder {
            // Whoever installs twice means the same folder.
            drop(FOLDER.set(PathBuf::from(folder)));
        }
    }

    enum Order {
        Pass,
        Stop(PathBuf),
        Sleep(Duration),
        Panic,
    }

    fn order(name: &str) -> Order {
        let Some(folder) = FOLDER.get() else {
            return Order::Pass;
        };
        let (file, taken) = (folder.join(name), folder.join(format!("{name}.reached")));
        let Ok(text) = fs::read_to_string(&file) else {
            return Order::Pass;
        };
        let text = text.trim();
        if let Some(left) = text.strip_prefix("skip ") {
            let (count, then) = left.split_once(' ').unwrap_or((left, "stop"));
            let next = match count.parse::<u32>() {
                Ok(count) if count > 1 => format!("skip {} {then}", count - 1),
                Ok(_) | Err(_) => then.to_owned(),
            };
            return match fs::write(&file, next) {
                Ok(()) | Err(_) => Order::Pass,
            };
        }
        // Of several who come at once one has it.
        if fs::rename(&file, &taken).is_err() {
            return Order::Pass;
        }
        match text.split_once(' ') {
            Some(("sleep", time)) => Order::Sleep(Duration::from_millis(time.parse().unwrap_or(0))),
            _ if text == "panic" => Order::Panic,
            _ => Order::Stop(taken),
        }
    }

    fn is_held(taken: &Path) -> bool {
        taken.exists()
    }

    #[allow(clippy::panic, reason = "a test wants to see what a panic does")]
    fn broken(name: &str) -> ! {
        std::panic::panic_any(format!("fail point {name}"))
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "it is on a thread for work that blocks, and only in tests"
    )]
    fn pause(time: Duration) {
        std::thread::sleep(time);
    }

    /// A place in asynchronous code.
    pub async fn reach(name: &str) {
        match order(name) {
            Order::Pass => {}
            Order::Stop(taken) => {
                while is_held(&taken) {
                    tokio::time::sleep(LOOK).await;
                }
            }
            Order::Sleep(time) => tokio::time::sleep(time).await,
            Order::Panic => broken(name),
        }
    }

    /// A place in code that blocks.
    pub fn pass(name: &str) {
        match order(name) {
            Order::Pass => {}
            Order::Stop(taken) => {
                while is_held(&taken) {
                    pause(LOOK);
                }
            }
            Order::Sleep(time) => pause(time),
            Order::Panic => broken(name),
        }
    }

    /// True when a test has switched a check off.
    pub fn skips(check: &str) -> bool {
        FOLDER
            .get()
            .is_some_and(|folder| folder.join(format!("skip.{check}")).exists())
    }
}

#[cfg(not(feature = "failpoints"))]
mod points {
    /// Takes the places' orders from this folder.
    pub const fn install(_folder: Option<&str>) {}

    /// A place in asynchronous code.
    #[inline]
    pub fn reach(_name: &str) -> std::future::Ready<()> {
        std::future::ready(())
    }

    /// A place in code that blocks.
    #[inline]
    pub const fn pass(_name: &str) {}

    /// True when a test has switched a check off.
    #[inline]
    #[must_use]
    pub const fn skips(_check: &str) -> bool {
        false
    }
}

pub use points::{install, pass, reach, skips};
