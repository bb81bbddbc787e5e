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
    _watcher: Option<RecommendedWatcher>,
    touched: mpsc::Receiver<()>,
}

impl ConfigWatch {
    /// Begins to watch the folder of `config_file`, its `conf.d`, and `others`.
    ///
    /// Where the system can't watch, that is said once and nothing is ever noticed: a reload by
    /// request works all the same.
    pub(crate) fn start(config_file: &Path, others: &BTreeSet<PathBuf>) -> Self {
        let (sender, touched) = mpsc::channel(1);
        let on_event = move |event: notify::Result<Event>| {
            let reads_only = event.as_ref().is_ok_and(|event| event.kind.is_access());
            if !reads_only {
                // Full means that the news is on its way already.
                let _already_told = sender.try_send(());
            }
        };
        let mut watcher = match notify::recommended_watcher(on_event) {
            Ok(watcher) => watcher,
            Err(error) => {
                warn!(%error, "can't watch for config changes; reload by request");
                return Self { _watcher: None, touched };
            }
        };
        let own = [config_file.parent().map(Path::to_path_buf), Some(drop_in_folder(config_file))];
        for folder in own.into_iter().flatten().chain(others.iter().cloned()) {
            let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
            if !folder.is_dir() {
                continue;
            }
            if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
                warn!(%error, folder = %folder.display(), "can't watch this folder for changes");
            }
        }
        Self { _watcher: Some(watcher), touched }
    }

    /// Waits until something changed and it has been quiet since. Cancel-safe, save that the quiet
    /// moment begins anew.
    pub(crate) async fn changed(&mut self) {
        if self.touched.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        let settle = async { while timeout(QUIET, self.touched.recv()).await.is_ok() {} };
        // A folder that never rests is read all the same.
        let _settled_or_busy = timeout(LONGEST_WAIT, settle).await;
    }
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
