//! Files and directories below one root.
//!
//! Every step is taken from one directory handle to the next, by a single
//! name, and no link is ever followed: whatever a path says and whoever moves
//! things about meanwhile, nothing outside the root is touched. A directory is
//! looked through first, then renamed into a trash on the same device, which
//! is one step, and removed there.

use std::{
    ffi::OsStr,
    io::{self, Read as _, Write as _},
    path::{Component, Path, PathBuf},
    sync::Mutex,
};

use cap_fs_ext::{DirExt as _, FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::{
    ambient_authority,
    fs::{Dir, MetadataExt as _, OpenOptions, ReadDir},
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{Error, trash::Trash};
use crate::{failpoint, operation::EffectCounts};

/// The file that says that effects may be applied below a root.
const MARK: &str = ".resetd-root";
/// How everything of ours below a root begins.
const OURS: &str = ".resetd-";
/// How the trash of a root begins.
const TRASH: &str = ".resetd-trash";
/// How deep directories may be nested: each level is an open handle.
const DEPTH: usize = 200;

/// Where a root is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootSettings {
    /// The directory.
    pub path: PathBuf,
    /// How long what was removed is kept in the trash.
    pub keep: SignedDuration,
}

/// A root.
#[derive(Debug)]
pub(super) struct Root {
    name: String,
    settings: RootSettings,
    /// Held by whoever empties the trash.
    emptying: Mutex<()>,
}

/// What a path is expected to name. Directories are dealt with first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Directory,
    File,
}

impl Root {
    pub(super) fn new(name: String, settings: RootSettings) -> Self {
        Self {
            name,
            settings,
            emptying: Mutex::new(()),
        }
    }

    /// The root's id; nothing when it is not there or was not marked.
    pub(super) fn id(&self) -> Option<String> {
        let mut options = OpenOptions::new();
        options.read(true).follow(FollowSymlinks::No);
        let mark = self.open().ok()?.open_with(MARK, &options).ok()?;
        if !mark.metadata().ok()?.is_file() {
            return None;
        }
        let mut text = String::new();
        mark.take(100).read_to_string(&mut text).ok()?;
        let id = text.trim();
        Uuid::try_parse(id).is_ok().then(|| id.to_owned())
    }

    /// Gives the root an id, unless it has one.
    pub(super) fn mark(&self) -> Result<(), Error> {
        if self.id().is_some() {
            return Ok(());
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let mark = self.open()?.open_with(MARK, &options);
        let id = format!("{}\n", Uuid::new_v4());
        let written = mark.and_then(|mut mark| mark.write_all(id.as_bytes()));
        written.map_err(|error| self.told(&error, "cannot be marked"))
    }

    /// The root itself, which is no link: it is opened from the directory
    /// that it is in.
    fn open(&self) -> Result<Dir, Error> {
        let (parent, name) = self.place()?;
        let found = parent.symlink_metadata(name);
        let found = found.map_err(|error| self.told(&error, "cannot be opened"))?;
        if !found.is_dir() {
            return Err(self.refused("is no directory"));
        }
        let opened = parent.open_dir_nofollow(name);
        opened.map_err(|error| self.told(&error, "cannot be opened"))
    }

    /// The directory that the root is in, and its name there.
    fn place(&self) -> Result<(Dir, &OsStr), Error> {
        let path = &self.settings.path;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(self.refused("is no directory inside another one"));
        };
        let parent = match parent.as_os_str().is_empty() {
            true => Path::new("."),
            false => parent,
        };
        let opened = Dir::open_ambient_dir(parent, ambient_authority());
        let parent = opened.map_err(|error| self.told(&error, "cannot be opened"))?;
        Ok((parent, name))
    }

    /// Counts what a path names.
    pub(super) fn count(&self, path: &str, kind: Kind) -> Result<EffectCounts, Error> {
        let root = self.open()?;
        match self.find(&root, path, kind)? {
            Some(found) => found.counts(device(&root)?),
            None => Ok(EffectCounts::default()),
        }
    }

    /// Removes what a path names: one file at once, a directory by one rename
    /// into the trash.
    pub(super) fn remove(
        &self,
        path: &str,
        kind: Kind,
        at: Timestamp,
    ) -> Result<EffectCounts, Error> {
        let root = self.open()?;
        let Some(found) = self.find(&root, path, kind)? else {
            return Ok(EffectCounts::default());
        };
        let counts = found.counts(device(&root)?)?;
        let done = match found.is_directory || self.settings.keep > SignedDuration::ZERO {
            true => {
                let trash = self.trash(&root)?;
                trash.take(&found.parent, &found.name, found.is_directory, at)
            }
            false => found.parent.remove_file_or_symlink(&found.name),
        };
        failpoint::pass("renamed");
        match done {
            Ok(()) => Ok(counts),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(EffectCounts::default()),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Removes for good what is in the trash for long enough. What cannot be
    /// removed now is removed the next time.
    pub(super) fn empty_trash(&self, at: Timestamp) {
        // Two at once would only be in each other's way.
        let Ok(_emptying) = self.emptying.lock() else {
            return;
        };
        let emptied = self.open().and_then(|root| {
            for trash in self.trashes(&root)? {
                let emptied = trash.empty(at, self.settings.keep);
                emptied.map_err(|error| failed(&error))?;
            }
            Ok(())
        });
        if let Err(error) = emptied {
            tracing::warn!(root = self.name, %error, "trash not emptied");
        }
    }

    /// The trash: beside the root, where that can be written and is on the
    /// same device; else inside.
    fn trash(&self, root: &Dir) -> Result<Trash, Error> {
        let device = device(root)?;
        let (parent, name) = self.place()?;
        if let Ok(beside) = made(&parent, &beside(name))
            && dev(&beside).is_ok_and(|other| other == device)
        {
            return Ok(Trash::new(beside, device));
        }
        let inside = made(root, Path::new(TRASH));
        let inside = inside.map_err(|error| self.told(&error, "has no place for its trash"))?;
        Ok(Trash::new(inside, device))
    }

    /// Every trash that there is.
    fn trashes(&self, root: &Dir) -> Result<Vec<Trash>, Error> {
        let device = device(root)?;
        let (parent, name) = self.place()?;
        let there = [
            parent.open_dir_nofollow(beside(name)),
            root.open_dir_nofollow(TRASH),
        ];
        let there = there.into_iter().filter_map(Result::ok);
        let there = there.filter(|trash| dev(trash).is_ok_and(|other| other == device));
        Ok(there.map(|trash| Trash::new(trash, device)).collect())
    }

    /// What a path names, if it is there.
    fn find(&self, root: &Dir, path: &str, kind: Kind) -> Result<Option<Found>, Error> {
        let names = match failpoint::skips("containment") {
            true => Some(Path::new(path).iter().map(PathBuf::from).collect()),
            false => contained(path),
        };
        let mut names: Vec<PathBuf> = names.ok_or_else(|| {
            Error::Attention(format!("{path:?} does not stay below root {}", self.name))
        })?;
        let Some(last) = names.pop() else {
            return Err(self.refused("itself is never removed"));
        };
        let device = device(root)?;
        let mut parent = root.try_clone().map_err(|error| failed(&error))?;
        for name in names {
            let Some(next) = enter(&parent, &name, path)? else {
                return Ok(None);
            };
            on_device(&next, device, path)?;
            parent = next;
        }
        let metadata = match parent.symlink_metadata(&last) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let found = Found {
            parent,
            name: last,
            is_directory: metadata.is_dir(),
        };
        match (kind, found.is_directory) {
            (Kind::Directory, true) => {
                on_device(&found.directory()?, device, path)?;
                Ok(Some(found))
            }
            // A link is a name like any other, and goes as one.
            (Kind::Directory, false) if metadata.is_symlink() => Ok(Some(found)),
            (Kind::Directory, false) => Err(Error::Attention(format!("{path:?} is no directory"))),
            (Kind::File, true) => Err(Error::Attention(format!("{path:?} is a directory"))),
            (Kind::File, false) => Ok(Some(found)),
        }
    }

    fn refused(&self, problem: &str) -> Error {
        Error::Attention(format!("root {} {problem}", self.name))
    }

    fn told(&self, error: &io::Error, problem: &str) -> Error {
        let text = format!("root {} {problem}: {}", self.name, error.kind());
        match failed(error) {
            Error::Attention(_) => Error::Attention(text),
            Error::Outage(_) | Error::Retry(_) => Error::Retry(text),
        }
    }
}

/// Something that a path names.
struct Found {
    parent: Dir,
    name: PathBuf,
    is_directory: bool,
}

impl Found {
    fn directory(&self) -> Result<Dir, Error> {
        let opened = self.parent.open_dir_nofollow(&self.name);
        opened.map_err(|error| failed(&error))
    }

    /// Counts the files; those in a directory are looked through down to the
    /// last, so that nothing on another device goes away with it.
    fn counts(&self, device: u64) -> Result<EffectCounts, Error> {
        let files = match self.is_directory {
            true => files(self.directory()?, device).map_err(|error| failed(&error))?,
            false => 1,
        };
        Ok(EffectCounts {
            files,
            directories: u64::from(self.is_directory),
            ..EffectCounts::default()
        })
    }
}

/// Steps from a directory into one that is in it; nothing when there is none.
fn enter(parent: &Dir, name: &Path, path: &str) -> Result<Option<Dir>, Error> {
    let error = match parent.open_dir_nofollow(name) {
        Ok(next) => return Ok(Some(next)),
        Err(error) => error,
    };
    match parent.symlink_metadata(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Ok(found) if found.is_symlink() => {
            Err(Error::Attention(format!("{path:?} leads through a link")))
        }
        // Below a file there is nothing.
        Ok(found) if !found.is_dir() => Ok(None),
        Ok(_) | Err(_) => Err(failed(&error)),
    }
}

/// The names on the way of a path that stays where it starts; nothing for one
/// that might not.
fn contained(path: &str) -> Option<Vec<PathBuf>> {
    let mut names = Vec::new();
    for part in path.split('/') {
        // On every system, each part is one plain name.
        let mut components = Path::new(part).components();
        match (components.next(), components.next()) {
            (Some(Component::Normal(name)), None) if name == OsStr::new(part) => {
                names.push(PathBuf::from(name));
            }
            _ => return None,
        }
    }
    let is_ours = path.starts_with(OURS);
    (!is_ours && !path.contains('\0')).then_some(names)
}

/// Counts the files in a directory, from handle to handle, without following
/// a link or entering another device.
fn files(directory: Dir, device: u64) -> io::Result<u64> {
    let mut files = 0;
    let entries = directory.entries()?;
    let mut open: Vec<(Dir, ReadDir)> = vec![(directory, entries)];
    while let Some((directory, entries)) = open.last_mut() {
        let Some(entry) = entries.next() else {
            open.pop();
            continue;
        };
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            files += 1;
            continue;
        }
        let inner = match directory.open_dir_nofollow(entry.file_name()) {
            Ok(inner) => inner,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if dev(&inner)? != device {
            return Err(io::Error::from(io::ErrorKind::CrossesDevices));
        }
        if open.len() == DEPTH {
            return Err(io::Error::from(io::ErrorKind::InvalidFilename));
        }
        let entries = inner.entries()?;
        open.push((inner, entries));
    }
    Ok(files)
}

/// How the trash beside a root is called.
fn beside(root: &OsStr) -> PathBuf {
    let mut name = TRASH.to_owned();
    name.push('-');
    let mut name = std::ffi::OsString::from(name);
    name.push(root);
    PathBuf::from(name)
}

/// A directory of this name, made where there is none; never a link.
fn made(parent: &Dir, name: &Path) -> io::Result<Dir> {
    match parent.create_dir(name) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let made = parent.open_dir_nofollow(name)?;
    // A trash that was there may be somebody's who lets nobody write to it.
    let probe = format!("{}", Uuid::new_v4());
    made.create_dir(&probe)?;
    made.remove_dir(&probe)?;
    Ok(made)
}

pub(super) fn dev(directory: &Dir) -> io::Result<u64> {
    Ok(directory.dir_metadata()?.dev())
}

fn device(directory: &Dir) -> Result<u64, Error> {
    dev(directory).map_err(|error| failed(&error))
}

fn on_device(directory: &Dir, expected: u64, path: &str) -> Result<(), Error> {
    match device(directory)? == expected {
        true => Ok(()),
        false => Err(Error::Attention(format!("{path:?} is on another device"))),
    }
}

/// What an error of the file system means to an effect.
fn failed(error: &io::Error) -> Error {
    let text = format!("the file system refuses: {}", error.kind());
    match error.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::CrossesDevices
        | io::ErrorKind::ResourceBusy
        | io::ErrorKind::InvalidFilename => Error::Attention(text),
        _ => Error::Retry(text),
    }
}
