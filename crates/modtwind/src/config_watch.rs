//! Notices that config or credential files changed on disk.
//!
//! Watches folders, not files: fleet tools write beside and rename, swap symlinks, or replace
//! whole folders. What changed is not told, only that something may have, once it has been quiet
//! for a moment; whoever hears it compares [`fingerprint`]s, because other files may live in the
//! same folders, log files among them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use modtwin_config::drop_in_folder;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::warn;

/// How long it must be quiet before a change counts as complete.
const QUIET: Duration = Duration::from_millis(300);
/// How long a change is waited for at the most, however busy the folder is.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Watches the folders around a config file.
#[derive(Debug)]
pub(crate) struct ConfigWatch {
    // Dropping it ends the watch.
    watcher: Option<RecommendedWatcher>,
    /// What is watched, by name: what the name stands for may be replaced.
    folders: Arc<BTreeSet<PathBuf>>,
    touched: mpsc::Receiver<()>,
    /// Something changed, and it has not been quiet since.
    unsettled: bool,
}

impl ConfigWatch {
    /// Begins to watch the folder of `config_file`, its `conf.d`, and `others`.
    ///
    /// Where the system can't watch, that is said once and nothing is ever noticed: a reload by
    /// request works all the same.
    pub(crate) fn start(config_file: &Path, others: &BTreeSet<PathBuf>) -> Self {
        let (sender, touched) = mpsc::channel(1);
        let own = [config_file.parent().map(Path::to_path_buf), Some(drop_in_folder(config_file))];
        let named = |folder: PathBuf| {
            if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder }
        };
        let folders = own.into_iter().flatten().chain(others.iter().cloned()).map(named);
        let folders: Arc<BTreeSet<PathBuf>> = Arc::new(folders.collect());
        let wanted = Arc::clone(&folders);
        let on_event = move |event: notify::Result<Event>| {
            let is_news = event
                .as_ref()
                .map_or(true, |event| !event.kind.is_access() && concerns(&wanted, &event.paths));
            if is_news {
                // Full means that the news is on its way already.
                let _already_told = sender.try_send(());
            }
        };
        let watcher = match notify::recommended_watcher(on_event) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                warn!(%error, "can't watch for config changes; reload by request");
                None
            }
        };
        let mut watch = Self { watcher, folders, touched, unsettled: false };
        for (folder, error) in watch.arm() {
            warn!(%error, folder = %folder.display(), "can't watch this folder for changes");
        }
        watch
    }

    /// Watches what the folders' names stand for now, and the folders above them, in which a name
    /// may come to stand for another. Watching what is watched already changes nothing.
    fn arm(&mut self) -> Vec<(PathBuf, notify::Error)> {
        let Some(watcher) = &mut self.watcher else {
            return Vec::new();
        };
        let above = self.folders.iter().filter_map(|folder| folder.parent());
        let above = above.filter(|folder| !folder.as_os_str().is_empty());
        let all: BTreeSet<&Path> = self.folders.iter().map(PathBuf::as_path).chain(above).collect();
        let existing = all.into_iter().filter(|folder| folder.is_dir());
        existing
            .filter_map(|folder| {
                let error = watcher.watch(folder, RecursiveMode::NonRecursive).err()?;
                Some((folder.to_owned(), error))
            })
            .collect()
    }

    /// Waits until something changed and it has been quiet since. Cancel-safe, save that the quiet
    /// moment begins anew.
    pub(crate) async fn changed(&mut self) {
        if !self.unsettled && self.touched.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        self.unsettled = true;
        let settle = async { while timeout(QUIET, self.touched.recv()).await.is_ok() {} };
        // A folder that never rests is read all the same.
        let _settled_or_busy = timeout(LONGEST_WAIT, settle).await;
        self.unsettled = false;
        // What can't be watched was said at the start.
        let _said_before = self.arm();
    }
}

/// Whether an event on `paths` may concern `folders`: one of them, or something in one. Without
/// paths it may be anything.
fn concerns(folders: &BTreeSet<PathBuf>, paths: &[PathBuf]) -> bool {
    let one = |path: &PathBuf| {
        folders.contains(path) || path.parent().is_some_and(|parent| folders.contains(parent))
    };
    paths.is_empty() || paths.iter().any(one)
}

/// What tells one state of a file from another without reading it; symlinks are followed.
///
/// None where there is no such file.
pub(crate) type Fingerprint = Vec<Option<(u64, u64, u64, i64, i64)>>;

/// The fingerprint of `files`.
pub(crate) fn fingerprint<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Fingerprint {
    let one = |file: &PathBuf| {
        let found = fs::metadata(file).ok()?;
        Some((found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
    };
    files.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
