//! Where what was removed waits to be removed for good, under names that tell
//! since when.
//!
//! Directories are emptied without ever standing in more than one: what is
//! nested comes up into the trash first, so neither depth nor size needs
//! memory or handles.

use std::{ffi::OsStr, io, path::Path};

use cap_fs_ext::DirExt as _;
use cap_std::fs::{Dir, Permissions, PermissionsExt as _};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::files::dev;
use crate::failpoint;

/// A trash.
pub(super) struct Trash {
    directory: Dir,
    device: u64,
}

impl Trash {
    pub(super) fn new(directory: Dir, device: u64) -> Self {
        Self { directory, device }
    }

    /// Takes something in, by one rename.
    pub(super) fn take(
        &self,
        from: &Dir,
        name: &Path,
        is_directory: bool,
        at: Timestamp,
    ) -> io::Result<()> {
        let taken = from.rename(name, &self.directory, fresh(at));
        match taken {
            // A directory that is moved has to be writable itself.
            Err(error) if is_directory && error.kind() == io::ErrorKind::PermissionDenied => {
                unlock(&from.open_dir_nofollow(name)?)?;
                from.rename(name, &self.directory, fresh(at))
            }
            other => other,
        }
    }

    /// Removes what is here for long enough, and tells the first thing that
    /// went wrong after doing all that could be done.
    pub(super) fn empty(&self, at: Timestamp, keep: SignedDuration) -> io::Result<()> {
        loop {
            let mut is_done = true;
            let mut first = Ok(());
            for entry in self.directory.entries()? {
                let entry = entry?;
                let name = entry.file_name();
                let Some(since) = since(&name) else {
                    continue;
                };
                if at.duration_since(since) < keep {
                    continue;
                }
                match self.discard(Path::new(&name), entry.file_type()?.is_dir(), since) {
                    Ok(Discarded::Wholly) => {}
                    Ok(Discarded::Spread) => is_done = false,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => first = first.and(Err(error)),
                }
            }
            if is_done || first.is_err() {
                return first;
            }
        }
    }

    fn discard(&self, name: &Path, is_directory: bool, since: Timestamp) -> io::Result<Discarded> {
        if !is_directory {
            self.directory.remove_file_or_symlink(name)?;
            return Ok(Discarded::Wholly);
        }
        let inner = self.directory.open_dir_nofollow(name)?;
        if dev(&inner)? != self.device {
            return Err(io::Error::from(io::ErrorKind::CrossesDevices));
        }
        let mut discarded = Discarded::Wholly;
        let entries = match inner.entries() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                unlock(&inner)?;
                inner.entries()?
            }
            other => other?,
        };
        let mut is_unlocked = false;
        for entry in entries {
            let entry = entry?;
            let (name, is_directory) = (entry.file_name(), entry.file_type()?.is_dir());
            let mut gone = self.bring_up(&inner, &name, is_directory, since);
            if let Err(error) = &gone
                && error.kind() == io::ErrorKind::PermissionDenied
                && !is_unlocked
            {
                unlock(&inner)?;
                is_unlocked = true;
                gone = self.bring_up(&inner, &name, is_directory, since);
            }
            match gone {
                Ok(Discarded::Wholly) => {}
                Ok(Discarded::Spread) => discarded = Discarded::Spread,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        match self.directory.remove_dir(name) {
            // An entry that came or was missed while others went.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(Discarded::Spread),
            other => other.map(|()| discarded),
        }
    }

    /// Removes a file, or a directory that is empty; another one comes up.
    fn bring_up(
        &self,
        from: &Dir,
        name: &OsStr,
        is_directory: bool,
        since: Timestamp,
    ) -> io::Result<Discarded> {
        failpoint::pass("emptying");
        if !is_directory {
            from.remove_file_or_symlink(name)?;
            return Ok(Discarded::Wholly);
        }
        match from.remove_dir(name) {
            Ok(()) => Ok(Discarded::Wholly),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                self.take(from, Path::new(name), true, since)?;
                Ok(Discarded::Spread)
            }
            Err(error) => Err(error),
        }
    }
}

/// How much of something is gone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Discarded {
    Wholly,
    /// Parts of it are in the trash on their own now.
    Spread,
}

fn fresh(at: Timestamp) -> String {
    format!("{}-{}", at.as_millisecond(), Uuid::new_v4())
}

fn since(name: &OsStr) -> Option<Timestamp> {
    let (since, _) = name.to_str()?.split_once('-')?;
    Timestamp::from_millisecond(since.parse().ok()?).ok()
}

/// Lets its owner read and write a directory, through its handle.
fn unlock(directory: &Dir) -> io::Result<()> {
    directory.set_permissions(".", Permissions::from_mode(0o700))
}
