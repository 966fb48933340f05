//! Files and directories below one root.
//!
//! Every step is taken from one directory handle to the next, and no link is
//! ever followed: whatever a path says and whoever moves things about
//! meanwhile, nothing outside the root is touched. What goes is first renamed
//! into a trash on the same device, which is one step, and removed there.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use cap_fs_ext::DirExt as _;
use cap_std::{
    ambient_authority,
    fs::{Dir, Metadata, MetadataExt as _},
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::Error;
use crate::operation::EffectCounts;

/// The file that says that effects may be applied below a root.
const MARK: &str = ".resetd-root";
/// How the trash of a root begins.
const TRASH: &str = ".resetd-trash";

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
}

impl Root {
    pub(super) fn new(name: String, settings: RootSettings) -> Self {
        Self { name, settings }
    }

    /// The root's id; nothing when it is not there or was not marked.
    pub(super) fn id(&self) -> Option<String> {
        let mark = self.open().ok()?.read_to_string(MARK).ok()?;
        let id = mark.trim();
        Uuid::try_parse(id).is_ok().then(|| id.to_owned())
    }

    /// Gives the root an id, unless it has one.
    pub(super) fn mark(&self) -> Result<(), Error> {
        if self.id().is_some() {
            return Ok(());
        }
        let root = self.open()?;
        let id = format!("{}\n", Uuid::new_v4());
        let written = root.write(MARK, id);
        written.map_err(|error| self.told(&error, "cannot be marked"))
    }

    /// The root itself, which is no link.
    fn open(&self) -> Result<Dir, Error> {
        let path = &self.settings.path;
        let found = std::fs::symlink_metadata(path);
        let found = found.map_err(|error| self.told(&error, "cannot be opened"))?;
        if !found.is_dir() {
            return Err(self.refused("is no directory"));
        }
        let root = Dir::open_ambient_dir(path, ambient_authority());
        root.map_err(|error| self.told(&error, "cannot be opened"))
    }

    /// Counts what is below a path.
    pub(super) fn count(&self, path: &str, is_directory: bool) -> Result<EffectCounts, Error> {
        let root = self.open()?;
        let Some(found) = self.find(&root, path, is_directory)? else {
            return Ok(EffectCounts::default());
        };
        let files = match found.is_directory {
            true => {
                let directory = found.directory()?;
                let device = device(&root)?;
                tree(&directory, device, Visit::Count).map_err(|error| failed(&error))?
            }
            false => 1,
        };
        Ok(counts(files, found.is_directory))
    }

    /// Removes what a path names: by one rename into the trash, and then from
    /// there, unless it is kept for a while.
    pub(super) fn remove(
        &self,
        path: &str,
        is_directory: bool,
        at: Timestamp,
    ) -> Result<EffectCounts, Error> {
        let root = self.open()?;
        let Some(found) = self.find(&root, path, is_directory)? else {
            return Ok(EffectCounts::default());
        };
        let (trash, device) = (self.trash(&root)?, device(&root)?);
        let name = format!("{}-{}", at.as_millisecond(), Uuid::new_v4());
        if let Err(error) = found.parent.rename(&found.name, &trash, &name) {
            return match error.kind() {
                io::ErrorKind::NotFound => Ok(EffectCounts::default()),
                _ => Err(failed(&error)),
            };
        }
        let files = match found.is_directory {
            true => match trash.open_dir_nofollow(&name) {
                Ok(directory) => {
                    tree(&directory, device, Visit::Count).map_err(|error| failed(&error))?
                }
                // It was swapped for something else before the rename.
                Err(_) => 0,
            },
            false => 1,
        };
        if self.settings.keep <= SignedDuration::ZERO {
            // It is out of the way already: what cannot be removed now is
            // removed the next time.
            if let Err(error) = discard(&trash, &name, device) {
                tracing::warn!(root = self.name, %error, "trash not emptied");
            }
        }
        Ok(counts(files, found.is_directory))
    }

    /// Removes for good what is in the trash for long enough.
    pub(super) fn empty_trash(&self, at: Timestamp) -> Result<(), Error> {
        let root = self.open()?;
        let (trash, device) = (self.trash(&root)?, device(&root)?);
        let entries = trash.entries().map_err(|error| failed(&error))?;
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            let since = name.to_str().and_then(|name| name.split_once('-'));
            let since = since.and_then(|(since, _)| since.parse::<i64>().ok());
            let since = since.and_then(|since| Timestamp::from_millisecond(since).ok());
            let Some(since) = since else {
                continue;
            };
            if at.duration_since(since) >= self.settings.keep
                && let Err(error) = discard(&trash, &name, device)
            {
                tracing::warn!(root = self.name, %error, "trash not emptied");
            }
        }
        Ok(())
    }

    /// The trash: beside the root, where that can be written and is on the
    /// same device; else inside.
    fn trash(&self, root: &Dir) -> Result<Dir, Error> {
        let path = &self.settings.path;
        let beside = path.parent().zip(path.file_name());
        if let Some((parent, name)) = beside {
            let parent = match parent.as_os_str().is_empty() {
                true => Path::new("."),
                false => parent,
            };
            let trash = format!("{TRASH}-{}", name.to_string_lossy());
            let opened = Dir::open_ambient_dir(parent, ambient_authority());
            if let Ok(parent) = opened
                && let Ok(trash) = made(&parent, &trash)
                && device(&trash)? == device(root)?
            {
                return Ok(trash);
            }
        }
        made(root, TRASH).map_err(|error| self.told(&error, "has no place for its trash"))
    }

    /// What a path names, if it is there.
    fn find(&self, root: &Dir, path: &str, is_directory: bool) -> Result<Option<Found>, Error> {
        let mut names = contained(path).ok_or_else(|| {
            Error::Attention(format!("{path:?} does not stay below root {}", self.name))
        })?;
        let Some(last) = names.pop() else {
            return Err(self.refused("itself is never removed"));
        };
        let device = device(root)?;
        let mut parent = root.try_clone().map_err(|error| failed(&error))?;
        for name in names {
            match parent.open_dir_nofollow(&name) {
                Ok(next) => parent = next,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(_) => {
                    let text = format!("{path:?} leads through a link or a file");
                    return Err(Error::Attention(text));
                }
            }
            on_device(&parent, device, path)?;
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
        match (is_directory, found.is_directory) {
            (true, true) => {
                on_device(&found.directory()?, device, path)?;
                Ok(Some(found))
            }
            // A link is a name like any other, and goes as one.
            (true, false) if metadata.is_symlink() => Ok(Some(found)),
            (true, false) => Err(Error::Attention(format!("{path:?} is no directory"))),
            (false, true) => Err(Error::Attention(format!("{path:?} is a directory"))),
            (false, false) => Ok(Some(found)),
        }
    }

    fn refused(&self, problem: &str) -> Error {
        Error::Attention(format!("root {} {problem}", self.name))
    }

    fn told(&self, error: &io::Error, problem: &str) -> Error {
        let text = format!("root {} {problem}: {}", self.name, error.kind());
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Error::Attention(text)
            }
            _ => Error::Retry(text),
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
}

/// The names on the way of a path that stays where it starts; nothing for one
/// that might not.
fn contained(path: &str) -> Option<Vec<PathBuf>> {
    if path.is_empty() || path.contains('\0') {
        return None;
    }
    let mut names = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => names.push(PathBuf::from(name)),
            // `components` leaves out every `.` but the first.
            Component::CurDir
            | Component::ParentDir
            | Component::RootDir
            | Component::Prefix(_) => return None,
        }
    }
    let is_ours = names.first().is_some_and(|first| {
        let first = first.to_string_lossy();
        first == MARK || first.starts_with(TRASH)
    });
    (!is_ours && !path.split('/').any(|part| part == ".")).then_some(names)
}

/// What a walk through a directory does to what it finds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    Count,
    Remove,
}

/// Walks through a directory, from handle to handle, without following a link
/// or entering another device; gives how many files there are.
fn tree(directory: &Dir, device: u64, visit: Visit) -> io::Result<u64> {
    let mut files = 0;
    for entry in directory.entries()? {
        let entry = entry?;
        let name = entry.file_name();
        let is_directory = directory.symlink_metadata(&name)?.is_dir();
        if !is_directory {
            if visit == Visit::Remove {
                ignore_missing(directory.remove_file(&name))?;
            }
            files += 1;
            continue;
        }
        let inner = directory.open_dir_nofollow(&name)?;
        if inner.dir_metadata()?.dev() != device {
            return Err(io::Error::from(io::ErrorKind::CrossesDevices));
        }
        files += tree(&inner, device, visit)?;
        if visit == Visit::Remove {
            ignore_missing(directory.remove_dir(&name))?;
        }
    }
    Ok(files)
}

/// Removes something from the trash for good.
fn discard(trash: &Dir, name: impl AsRef<Path>, device: u64) -> io::Result<()> {
    let name = name.as_ref();
    match trash.symlink_metadata(name)?.is_dir() {
        true => {
            tree(&trash.open_dir_nofollow(name)?, device, Visit::Remove)?;
            trash.remove_dir(name)
        }
        false => trash.remove_file(name),
    }
}

fn ignore_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A directory of this name, made where there is none; never a link.
fn made(parent: &Dir, name: &str) -> io::Result<Dir> {
    match parent.create_dir(name) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    parent.open_dir_nofollow(name)
}

fn device(directory: &Dir) -> Result<u64, Error> {
    let metadata: io::Result<Metadata> = directory.dir_metadata();
    metadata
        .map(|metadata| metadata.dev())
        .map_err(|error| failed(&error))
}

fn on_device(directory: &Dir, expected: u64, path: &str) -> Result<(), Error> {
    match device(directory)? == expected {
        true => Ok(()),
        false => Err(Error::Attention(format!("{path:?} is on another device"))),
    }
}

fn counts(files: u64, is_directory: bool) -> EffectCounts {
    EffectCounts {
        files,
        directories: u64::from(is_directory),
        ..EffectCounts::default()
    }
}

fn failed(error: &io::Error) -> Error {
    let text = format!("the file system refuses: {}", error.kind());
    match error.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::CrossesDevices
        | io::ErrorKind::InvalidFilename => Error::Attention(text),
        _ => Error::Retry(text),
    }
}
