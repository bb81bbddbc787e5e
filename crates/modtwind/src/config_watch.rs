//! Notices that config or credential files changed on disk.
//!
//! Watches folders, not files: fleet tools write beside and rename, swap symlinks, or replace
//! whole folders. What changed is not told, only that something may have, once it has settled;
//! whoever hears it compares what the files say or their [`fingerprint`]s, because other files may
//! live in the same folders, log files among them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use modtwin_config::{config_files, drop_in_folder};
use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

/// How long it must be quiet before a change counts as complete.
const QUIET: Duration = Duration::from_millis(300);
/// How long a change is waited for at the most, however busy the folder is.
const BUSY_LIMIT: Duration = Duration::from_secs(5);
/// How long a config file may stay open for writing before it is read as it is.
const OPEN_LIMIT: Duration = Duration::from_secs(30);

/// Watches the folders around a config file.
#[derive(Debug)]
pub(crate) struct ConfigWatch {
    // Dropping it ends the watch.
    watcher: Option<RecommendedWatcher>,
    places: Places,
    sender: watch::Sender<News>,
    news: watch::Receiver<News>,
    /// A change that has not settled yet.
    pending: Option<Pending>,
    /// The config files as last looked at.
    seen: Vec<(PathBuf, Fingerprint)>,
}

/// What is watched, by name: what a name stands for may be replaced.
#[derive(Debug, Clone)]
struct Places {
    config_file: PathBuf,
    drop_ins: PathBuf,
    folders: BTreeSet<PathBuf>,
}

/// What the system told.
#[derive(Debug, Default)]
struct News {
    /// The config files that somebody has written to and not closed since.
    open: BTreeSet<PathBuf>,
}

/// A change that has not settled yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    since: Instant,
    last: Instant,
}

impl ConfigWatch {
    /// Begins to watch the folder of `config_file`, its `conf.d`, and `others`.
    ///
    /// Where the system can't watch, that is said once; what [`look`](Self::look) finds is noticed
    /// all the same.
    pub(crate) fn start(config_file: &Path, others: &BTreeSet<PathBuf>) -> Self {
        let places = Places::around(config_file, others);
        let sender = watch::Sender::new(News::default());
        let (wanted, telling) = (places.clone(), sender.clone());
        let on_event = move |event: notify::Result<Event>| {
            telling.send_if_modified(|news| match &event {
                Ok(event) => news.note(event, &wanted),
                // Something was lost.
                Err(_) => true,
            });
        };
        let watcher = match notify::recommended_watcher(on_event) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                warn!(%error, "can't watch for config changes; looking at the files instead");
                None
            }
        };
        let (news, seen) = (sender.subscribe(), seen(&places.config_file));
        let mut watch = Self { watcher, places, sender, news, pending: None, seen };
        for (folder, error) in watch.arm() {
            warn!(%error, folder = %folder.display(), "can't watch this folder for changes");
        }
        watch
    }

    /// Watches these folders beside the config's own from now on.
    pub(crate) fn follow(&mut self, others: &BTreeSet<PathBuf>) {
        let places = Places::around(&self.places.config_file, others);
        if places.folders != self.places.folders {
            *self = Self::start(&places.config_file, others);
            // What the watch before was waiting for counts.
            self.nudge();
        }
    }

    /// Watches what the folders' names stand for now, and the folders above them, in which a name
    /// may come to stand for another. Watching what is watched already changes nothing.
    fn arm(&mut self) -> Vec<(PathBuf, notify::Error)> {
        let Some(watcher) = &mut self.watcher else {
            return Vec::new();
        };
        let folders = &self.places.folders;
        let above = folders.iter().filter_map(|folder| folder.parent());
        let above = above.filter(|folder| !folder.as_os_str().is_empty());
        let all: BTreeSet<&Path> = folders.iter().map(PathBuf::as_path).chain(above).collect();
        let existing = all.into_iter().filter(|folder| folder.is_dir());
        existing
            .filter_map(|folder| {
                let error = watcher.watch(folder, RecursiveMode::NonRecursive).err()?;
                Some((folder.to_owned(), error))
            })
            .collect()
    }

    /// Waits until something changed and has settled: it has been quiet since, and no config file
    /// that was written to is still open; or the wait for that has become too long. Cancel-safe.
    pub(crate) async fn changed(&mut self) {
        loop {
            let due = self.due();
            tokio::select! {
                biased;
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => break,
                // The sender is ours: this does not end.
                _told = self.news.changed() => {
                    let last = Instant::now();
                    let since = self.pending.map_or(last, |pending| pending.since);
                    self.pending = Some(Pending { since, last });
                }
            }
        }
        self.pending = None;
        // What can't be watched was said at the start.
        let _said_before = self.arm();
    }

    fn due(&self) -> Option<Instant> {
        let Pending { since, last } = self.pending?;
        Some(if self.news.borrow().open.is_empty() {
            (last + QUIET).min(since + BUSY_LIMIT)
        } else {
            since + OPEN_LIMIT
        })
    }

    /// Has the files read again once it is quiet.
    pub(crate) fn nudge(&self) {
        self.sender.send_modify(|_news| ());
    }

    /// Looks whether the config files are others than at the last look: for folders of which the
    /// system tells nothing, such as those on a network or far above a symbolic link's target.
    pub(crate) fn look(&mut self) {
        let seen = seen(&self.places.config_file);
        if std::mem::replace(&mut self.seen, seen) != self.seen {
            self.nudge();
        }
    }
}

impl Places {
    fn around(config_file: &Path, others: &BTreeSet<PathBuf>) -> Self {
        let named = |folder: &Path| {
            if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() }
        };
        let own = named(config_file.parent().unwrap_or(Path::new("")));
        let config_file = config_file.file_name().map_or(own.clone(), |name| own.join(name));
        let drop_ins = drop_in_folder(&config_file);
        let others = others.iter().map(|folder| named(folder));
        let folders = [own, drop_ins.clone()].into_iter().chain(others).collect();
        Self { config_file, drop_ins, folders }
    }

    fn is_config(&self, path: &Path) -> bool {
        let is_drop_in = || {
            path.parent() == Some(&self.drop_ins)
                && path.extension().is_some_and(|extension| extension == "toml")
        };
        *path == self.config_file || is_drop_in()
    }

    /// Whether an event on `paths` may concern the folders: one of them, or something in one.
    /// Without paths it may be anything.
    fn concern(&self, paths: &[PathBuf]) -> bool {
        let one = |path: &PathBuf| {
            self.folders.contains(path)
                || path.parent().is_some_and(|parent| self.folders.contains(parent))
        };
        paths.is_empty() || paths.iter().any(one)
    }
}

impl News {
    /// Takes up what the system told; says whether anybody has to know.
    fn note(&mut self, event: &Event, places: &Places) -> bool {
        let mut closed = false;
        match event.kind {
            EventKind::Modify(ModifyKind::Data(_)) => {
                let files = event.paths.iter().filter(|path| places.is_config(path));
                self.open.extend(files.cloned());
            }
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(_))
            | EventKind::Remove(_) => {
                for path in &event.paths {
                    closed |= self.open.remove(path);
                    // With a folder goes what is in it.
                    self.open.retain(|file| file.parent() != Some(path));
                }
            }
            _ => {}
        }
        closed || !event.kind.is_access() && places.concern(&event.paths)
    }
}

fn seen(config_file: &Path) -> Vec<(PathBuf, Fingerprint)> {
    let files = config_files(config_file).into_iter();
    files.map(|file| (file.clone(), fingerprint([&file]))).collect()
}

/// What tells one state of a file from another without reading it; symlinks are followed.
///
/// None where there is no such file.
pub(crate) type Fingerprint = Vec<Option<(u64, u64, u64, i64, i64)>>;

/// The fingerprint of `files`.
pub(crate) fn fingerprint<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Fingerprint {
    let one = |file: &PathBuf| {
        let found = fs::metadata(file).ok()?;
        // Tools set the time of writing back; the time of change they can't.
        Some((found.dev(), found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
    };
    files.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    #[test]
    fn a_swapped_symlink_changes_the_fingerprint_and_reading_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("old.pem"), "a").unwrap();
        fs::write(path("new.pem"), "b").unwrap();
        std::os::unix::fs::symlink(path("old.pem"), path("live.pem")).unwrap();
        let files = [path("live.pem"), path("missing.pem")];
        let before = fingerprint(&files);
        fs::read(path("live.pem")).unwrap();
        assert_eq!(fingerprint(&files), before);
        std::os::unix::fs::symlink(path("new.pem"), path("swap")).unwrap();
        fs::rename(path("swap"), path("live.pem")).unwrap();
        assert_ne!(fingerprint(&files), before);
    }

    async fn notices(change: impl FnOnce(&Path)) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("modtwind.toml");
        fs::write(&file, "a").unwrap();
        fs::create_dir(folder.path().join("conf.d")).unwrap();
        let mut watch = ConfigWatch::start(&file, &BTreeSet::new());
        change(folder.path());
        timeout(Duration::from_secs(10), watch.changed()).await.unwrap();
    }

    #[tokio::test]
    async fn a_write_is_noticed() {
        notices(|folder| fs::write(folder.join("modtwind.toml"), "b").unwrap()).await;
    }

    #[tokio::test]
    async fn a_file_that_is_still_written_to_is_waited_for() {
        use std::io::Write as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("modtwind.toml");
        fs::write(&file, "a").unwrap();
        let mut watch = ConfigWatch::start(&file, &BTreeSet::new());
        let mut writer = fs::File::create(&file).unwrap();
        writer.write_all(b"half").unwrap();
        assert!(timeout(QUIET * 4, watch.changed()).await.is_err());
        drop(writer);
        timeout(Duration::from_secs(10), watch.changed()).await.unwrap();
    }

    /// Neither a folder that never rests nor whoever interrupts the wait again and again puts it
    /// off.
    #[tokio::test]
    async fn constant_changes_are_read_within_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("modtwind.toml");
        fs::write(&file, "a").unwrap();
        let mut watch = ConfigWatch::start(&file, &BTreeSet::new());
        let began = Instant::now();
        loop {
            fs::write(&file, "b").unwrap();
            if timeout(QUIET / 3, watch.changed()).await.is_ok() {
                break;
            }
            assert!(began.elapsed() < BUSY_LIMIT * 2, "put off for ever");
        }
    }

    #[tokio::test]
    async fn what_the_system_does_not_tell_of_is_found_by_looking() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for version in ["v1", "v2"] {
            fs::create_dir_all(path(version).join("etc/deep")).unwrap();
            fs::write(path(version).join("etc/deep/config"), version).unwrap();
        }
        std::os::unix::fs::symlink("v1", path("live")).unwrap();
        fs::create_dir(path("modtwin")).unwrap();
        let file = path("modtwin/modtwind.toml");
        std::os::unix::fs::symlink("../live/etc/deep/config", &file).unwrap();
        let mut watch = ConfigWatch::start(&file, &BTreeSet::new());
        watch.look();
        assert!(timeout(QUIET * 2, watch.changed()).await.is_err());
        std::os::unix::fs::symlink("v2", path("next")).unwrap();
        fs::rename(path("next"), path("live")).unwrap();
        watch.look();
        timeout(Duration::from_secs(10), watch.changed()).await.unwrap();
    }

    #[tokio::test]
    async fn a_change_is_not_forgotten_by_whoever_is_interrupted_while_it_settles() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("modtwind.toml");
        fs::write(&file, "a").unwrap();
        let mut watch = ConfigWatch::start(&file, &BTreeSet::new());
        fs::write(&file, "b").unwrap();
        assert!(timeout(QUIET / 2, watch.changed()).await.is_err());
        timeout(Duration::from_secs(10), watch.changed()).await.unwrap();
    }

    #[tokio::test]
    async fn a_rename_over_the_file_is_noticed() {
        notices(|folder| {
            fs::write(folder.join("new"), "b").unwrap();
            fs::rename(folder.join("new"), folder.join("modtwind.toml")).unwrap();
        })
        .await;
    }

    #[tokio::test]
    async fn a_new_drop_in_is_noticed() {
        notices(|folder| fs::write(folder.join("conf.d/10.toml"), "b").unwrap()).await;
    }

    /// How fleet tools put a new folder in place: both ways, again and again.
    #[tokio::test]
    async fn a_folder_that_is_replaced_is_noticed_each_time() {
        for is_link in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            fs::create_dir_all(path("etc")).unwrap();
            let place = |version: u32| {
                fs::create_dir_all(path(&format!("pki/v{version}"))).unwrap();
                if is_link {
                    std::os::unix::fs::symlink(path(&format!("pki/v{version}")), path("pki/next"))
                        .unwrap();
                    fs::rename(path("pki/next"), path("pki/live")).unwrap();
                } else {
                    let _none_yet =
                        fs::rename(path("pki/live"), path(&format!("pki/old{version}")));
                    fs::rename(path(&format!("pki/v{version}")), path("pki/live")).unwrap();
                }
            };
            place(1);
            let file = path("etc/modtwind.toml");
            let mut watch = ConfigWatch::start(&file, &BTreeSet::from([path("pki/live")]));
            for version in 2..5 {
                place(version);
                timeout(Duration::from_secs(10), watch.changed()).await.unwrap();
                fs::write(path("pki/live/m01.pem"), "new").unwrap();
                timeout(Duration::from_secs(10), watch.changed()).await.unwrap();
            }
            fs::write(path("pki/neighbour"), "of no concern").unwrap();
            assert!(timeout(QUIET * 2, watch.changed()).await.is_err());
        }
    }

    #[tokio::test]
    async fn reading_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("modtwind.toml");
        fs::write(&file, "a").unwrap();
        let mut watch = ConfigWatch::start(&file, &BTreeSet::new());
        fs::read(&file).unwrap();
        assert!(timeout(QUIET * 2, watch.changed()).await.is_err());
    }
}
