//! Files on a real file system: whatever a path says, and whoever moves things
//! about meanwhile, nothing outside the root is touched.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, symlink},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::SignedDuration;
use resetd::{
    effect::Effect,
    effects::{Applied, Effects, RootSettings},
};
use tempfile::TempDir;

use crate::now;

/// A root, and beside it what nobody may touch.
struct Place {
    folder: TempDir,
    effects: Effects,
}

impl Place {
    fn new() -> Self {
        Self::keeping(0)
    }

    fn keeping(hours: i64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("home/storage");
        fs::create_dir_all(&root).unwrap();
        let outside = folder.path().join("outside");
        fs::create_dir_all(outside.join("deep/er")).unwrap();
        fs::write(outside.join("canary"), "alive").unwrap();
        fs::write(outside.join("deep/er/canary"), "alive").unwrap();
        fs::write(folder.path().join("home/beside"), "alive").unwrap();
        let settings = RootSettings {
            path: root,
            keep: SignedDuration::from_hours(hours),
        };
        let roots = BTreeMap::from([("storage".to_owned(), settings)]);
        let effects = Effects::new(None, roots);
        effects.mark_roots().unwrap();
        Self { folder, effects }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("home/storage")
    }

    fn outside(&self) -> PathBuf {
        self.folder.path().join("outside")
    }

    fn write(&self, path: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }

    async fn remove(&self, effects: &[Effect]) -> Applied {
        self.effects.apply(effects, now()).await
    }

    /// Everything that is in a directory, with what each file says.
    fn tree(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut tree = BTreeMap::new();
        let mut left = vec![path.to_owned()];
        while let Some(path) = left.pop() {
            let metadata = fs::symlink_metadata(&path).unwrap();
            let says = if metadata.is_dir() {
                left.extend(
                    fs::read_dir(&path)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
                b"directory".to_vec()
            } else if metadata.is_symlink() {
                fs::read_link(&path)
                    .unwrap()
                    .as_os_str()
                    .as_bytes()
                    .to_vec()
            } else {
                fs::read(&path).unwrap()
            };
            tree.insert(path, says);
        }
        tree
    }

    /// The trash is empty in the end.
    async fn settled(&self) {
        self.effects.empty_trash(now()).await;
        for trash in [
            self.folder.path().join("home/.resetd-trash-storage"),
            self.root().join(".resetd-trash"),
        ] {
            let left = fs::read_dir(&trash).map_or(0, Iterator::count);
            assert_eq!(left, 0, "{}", trash.display());
        }
    }
}

fn file(path: &str) -> Effect {
    Effect::File {
        root: "storage".to_owned(),
        path: path.to_owned(),
    }
}

fn directory(path: &str) -> Effect {
    Effect::Directory {
        root: "storage".to_owned(),
        path: path.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_goes_and_a_dry_run_tells_how_much() {
    let place = Place::new();
    for path in [
        "images/user_1/a",
        "images/user_1/deep/b",
        "images/user_10/c",
        "one",
        "two",
    ] {
        place.write(path);
    }
    let odd = OsStr::from_bytes(b"images/user_1/\xff\xfe");
    fs::write(place.root().join(odd), "x").unwrap();
    let wanted = [
        file("one"),
        file("one"),
        file("images/user_1/a"),
        directory("images/user_1"),
        directory("images/user_1/deep"),
        directory("images/user_2"),
        file("images/nobody/x"),
        file("one/below"),
    ];
    let counted = place.effects.count(&wanted).await.unwrap();
    assert_eq!((counted.files, counted.directories), (4, 1));
    let applied = place.remove(&wanted).await;
    assert!(applied.failed.is_empty(), "{:?}", applied.failed);
    assert_eq!(applied.counts, counted);
    let again = place.remove(&wanted).await;
    assert!(again.failed.is_empty(), "what is not there is done");
    assert_eq!((again.counts.files, again.counts.directories), (0, 0));
    assert!(!place.root().join("images/user_1").exists());
    assert!(place.root().join("images/user_10/c").exists());
    assert!(place.root().join("two").exists());
    place.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_lead_elsewhere_touch_nothing() {
    let place = Place::new();
    place.write("images/a");
    let (root, outside) = (place.root(), place.outside());
    symlink(&outside, root.join("link")).unwrap();
    symlink("/", root.join("slash")).unwrap();
    symlink("../../outside", root.join("images/up")).unwrap();
    symlink("images", root.join("inner")).unwrap();
    let before = Place::tree(place.folder.path());
    let absolute = outside.join("canary");
    let absolute = absolute.to_str().unwrap();
    let paths = [
        "",
        ".",
        "..",
        "./",
        "../",
        "/",
        "//",
        "/etc",
        "../x",
        "../../outside/canary",
        "images/../../../outside/canary",
        "images/..",
        "images/.",
        "images/",
        "images//a",
        "./images/a",
        "link/canary",
        "link/",
        "link/deep",
        "slash/tmp",
        "images/up/canary",
        "inner/a",
        "images/\0",
        "\0",
        ".resetd-root",
        ".resetd-trash",
        ".resetd-trash/x",
        absolute,
    ];
    for path in paths {
        for effect in [file(path), directory(path)] {
            let applied = place.remove(std::slice::from_ref(&effect)).await;
            let refused = applied
                .failed
                .first()
                .map(|(_, error)| error.needs_attention());
            assert_eq!(refused, Some(true), "{effect:?}");
            let counted = place.effects.count(&[effect]).await.unwrap();
            assert_eq!((counted.files, counted.pending), (0, 1));
        }
    }
    // The others of the same row go on.
    let applied = place
        .remove(&[file("../x"), file("images/a"), file("/etc")])
        .await;
    assert_eq!((applied.counts.files, applied.failed.len()), (1, 2));
    place.write("images/a");
    assert_eq!(Place::tree(place.folder.path()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_go_as_names_and_what_they_lead_to_stays() {
    let place = Place::new();
    let outside = place.outside();
    let before = Place::tree(&outside);
    for (name, target) in [
        ("file_link", outside.join("canary")),
        ("directory_link", outside.join("deep")),
        ("user_1/link", outside.clone()),
        ("user_1/nested/link", PathBuf::from("/")),
        ("dangling", PathBuf::from("nowhere")),
    ] {
        let link = place.root().join(name);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(target, link).unwrap();
    }
    fs::hard_link(outside.join("canary"), place.root().join("user_1/hard")).unwrap();
    let wanted = [
        file("file_link"),
        directory("directory_link"),
        directory("user_1"),
        file("dangling"),
    ];
    let applied = place.remove(&wanted).await;
    assert!(applied.failed.is_empty(), "{:?}", applied.failed);
    assert_eq!((applied.counts.files, applied.counts.directories), (6, 1));
    place.settled().await;
    assert_eq!(Place::tree(&outside), before);
    assert_eq!(fs::metadata(outside.join("canary")).unwrap().nlink(), 1);
    let left = fs::read_dir(place.root()).unwrap().count();
    assert_eq!(left, 1, "only the mark");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_a_link_or_missing_or_unmarked_is_none() {
    let place = Place::new();
    let folder = place.folder.path();
    let of = |path: PathBuf| {
        let settings = RootSettings {
            path,
            keep: SignedDuration::ZERO,
        };
        Effects::new(None, BTreeMap::from([("storage".to_owned(), settings)]))
    };
    symlink(place.outside(), folder.join("linked")).unwrap();
    let before = Place::tree(folder);
    let linked = of(folder.join("linked"));
    assert!(linked.mark_roots().is_err());
    assert!(linked.root_ids().is_empty());
    let applied = linked
        .apply(&[file("canary"), directory("deep")], now())
        .await;
    assert_eq!(applied.failed.len(), 2);
    let missing = of(folder.join("missing"));
    assert!(missing.mark_roots().is_err() && missing.root_ids().is_empty());
    let applied = missing.apply(&[file("x")], now()).await;
    assert_eq!(applied.failed.len(), 1, "not there is not done");
    // A mark that is a link, or no id, is none.
    symlink("canary", folder.join("outside/.resetd-root")).unwrap();
    assert!(of(folder.join("outside")).root_ids().is_empty());
    fs::remove_file(folder.join("outside/.resetd-root")).unwrap();
    assert_eq!(Place::tree(folder), before);
    assert_eq!(place.effects.root_ids().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trash_that_is_a_link_is_not_used() {
    let place = Place::new();
    let before = Place::tree(&place.outside());
    symlink(
        place.outside(),
        place.folder.path().join("home/.resetd-trash-storage"),
    )
    .unwrap();
    place.write("user_1/a");
    let applied = place.remove(&[directory("user_1")]).await;
    assert!(applied.failed.is_empty(), "{applied:?}");
    assert!(!place.root().join("user_1").exists());
    // Both places are taken: it says so, and leaves everything where it is.
    place.effects.empty_trash(now()).await;
    fs::remove_dir(place.root().join(".resetd-trash")).unwrap();
    symlink(place.outside(), place.root().join(".resetd-trash")).unwrap();
    place.write("user_2/a");
    let applied = place.remove(&[directory("user_2")]).await;
    assert_eq!(applied.failed.len(), 1);
    assert!(place.root().join("user_2/a").exists());
    assert_eq!(Place::tree(&place.outside()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_is_kept_for_a_while_where_that_is_asked_for() {
    let place = Place::keeping(2);
    place.write("user_1/a");
    place.write("single");
    let applied = place.remove(&[directory("user_1"), file("single")]).await;
    assert_eq!((applied.counts.files, applied.counts.directories), (2, 1));
    let trash = place.folder.path().join("home/.resetd-trash-storage");
    place.effects.empty_trash(now()).await;
    assert_eq!(fs::read_dir(&trash).unwrap().count(), 2);
    let later = now() + SignedDuration::from_hours(3);
    place.effects.empty_trash(later).await;
    assert_eq!(fs::read_dir(&trash).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_in_the_trash_goes_at_the_next_start() {
    let place = Place::new();
    let trash = place.folder.path().join("home/.resetd-trash-storage");
    let mut deep = trash.join("1700000000000-half");
    for level in 0..150 {
        deep.push(format!("d{level}"));
    }
    fs::create_dir_all(&deep).unwrap();
    for index in 0..500 {
        fs::write(deep.join(format!("{index}")), "x").unwrap();
    }
    symlink(place.outside(), deep.join("link")).unwrap();
    let before = Place::tree(&place.outside());
    place.settled().await;
    assert_eq!(Place::tree(&place.outside()), before);
}

/// Somebody swaps a directory on the way for a link to the outside, again and
/// again, while it is being removed.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_swapped_for_a_link_leads_nowhere() {
    let place = Place::new();
    let (root, outside) = (place.root(), place.outside());
    let before = Place::tree(&outside);
    let done = Arc::new(AtomicBool::new(false));
    let swapper = {
        let (root, outside, done) = (root.clone(), outside.clone(), Arc::clone(&done));
        std::thread::spawn(move || {
            let mut swaps = 0_u64;
            while !done.load(Ordering::Relaxed) {
                for path in ["a/deep", "a"] {
                    let (own, away) = (root.join(path), root.join("away"));
                    if fs::rename(&own, &away).is_ok() {
                        if symlink(&outside, &own).is_ok() {
                            swaps += 1;
                        }
                        drop(fs::remove_file(&own));
                        if fs::rename(&away, &own).is_err() {
                            drop(fs::remove_dir_all(&away));
                        }
                    }
                }
            }
            swaps
        })
    };
    let wanted = [
        directory("a/deep/er"),
        file("a/deep/canary"),
        file("a/canary"),
        directory("a/deep"),
        directory("a"),
    ];
    for round in 0..400 {
        for name in ["a/deep/er/canary", "a/deep/canary", "a/canary"] {
            let path = root.join(name);
            // The swapper may be in between: then it is nothing this time.
            drop(fs::create_dir_all(path.parent().unwrap()));
            if path
                .parent()
                .and_then(|parent| parent.canonicalize().ok())
                .is_some_and(|parent| parent.starts_with(root.canonicalize().unwrap()))
            {
                drop(
                    fs::OpenOptions::new()
                        .write(true)
                        .create_new(true)
                        .open(&path),
                );
            }
        }
        let effect = &wanted[round % wanted.len()];
        drop(place.remove(std::slice::from_ref(effect)).await);
    }
    done.store(true, Ordering::Relaxed);
    let swaps = swapper.join().unwrap();
    assert!(swaps > 100, "only {swaps} swaps");
    place.effects.empty_trash(now()).await;
    for (path, says) in before {
        let now = fs::symlink_metadata(&path).unwrap();
        assert!(
            now.is_dir() || fs::read(&path).unwrap() == says,
            "{}",
            path.display()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_big_directory_is_out_of_sight_at_once() {
    let place = Place::new();
    let big = place.root().join("user_1");
    for part in 0..20 {
        fs::create_dir_all(big.join(part.to_string())).unwrap();
        for index in 0..500 {
            fs::File::create(big.join(format!("{part}/{index}"))).unwrap();
        }
    }
    let applied = place.remove(&[directory("user_1")]).await;
    assert_eq!(
        (applied.counts.files, applied.counts.directories),
        (10_000, 1)
    );
    assert!(!big.exists());
    place.settled().await;
}
