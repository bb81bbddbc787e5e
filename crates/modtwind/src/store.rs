//! The state directory: one folder a module, in it one JSON file with the twin that is always whole.
//!
//! A save writes a temporary file, syncs it, renames it over the old one and syncs the folder, so
//! that after a crash or a power cut there is either the old state or the new one. What is damaged
//! is kept aside under another name, said in log and status, and counts as none. What may not be
//! read (it belongs to another user) is not touched: reports in it were promised to reach the hub.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use modtwin_core::ids::ModuleId;
use modtwin_session::store::{
    Loaded, STORED_FORMAT, StoreError, StoredTwin, TwinStore, to_stored_ms,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tracing::error;

/// The name of the state file in a module's folder.
pub(crate) const STATE_FILE: &str = "twin.json";

/// What stays as it is in a folder's name. Not the dot: a module may be called `..`.
const FOLDER_NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// The folder of one module.
#[derive(Debug, Clone)]
pub(crate) struct StateFolder {
    folder: PathBuf,
}

impl StateFolder {
    /// The folder of `module` below `state_directory`; made when first needed.
    #[must_use]
    pub(crate) fn new(state_directory: &Path, module: &ModuleId) -> Self {
        let name = utf8_percent_encode(module.as_str(), FOLDER_NAME).to_string();
        Self { folder: state_directory.join(name) }
    }

    /// The state file's path.
    #[must_use]
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join(STATE_FILE)
    }

    /// The folder itself.
    #[must_use]
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn keep_aside(&self, why: &str) -> Result<Loaded, StoreError> {
        let file = self.file();
        let mut aside = file.clone();
        aside.set_extension(format!("json.damaged-{}", to_stored_ms(SystemTime::now())));
        fs::rename(&file, &aside).map_err(|error| failed("keep aside", &file, &error))?;
        error!(
            file = %file.display(),
            kept_as = %aside.display(),
            why,
            "state not readable; kept aside, the twin is fetched anew, reports in it are lost"
        );
        let damage = format!(
            "the state file was damaged ({why}) and is kept as `{}`; reports that waited in it are \
             lost, the twin is fetched anew",
            aside.display()
        );
        Ok(Loaded { twin: None, damage: Some(damage) })
    }
}

impl TwinStore for StateFolder {
    fn load(&self) -> Result<Loaded, StoreError> {
        let file = self.file();
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Loaded::default()),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(failed("read", &file, &error));
            }
            // A folder in its place, or a part of the disk that is gone: trying again is no use.
            Err(error) => return self.keep_aside(&error.to_string()),
        };
        match serde_json::from_slice::<StoredTwin>(&bytes) {
            Ok(stored) if stored.format == STORED_FORMAT => {
                Ok(Loaded { twin: Some(stored), damage: None })
            }
            Ok(stored) => {
                let why = format!("expected format {STORED_FORMAT}, found {}", stored.format);
                self.keep_aside(&why)
            }
            Err(error) => self.keep_aside(&error.to_string()),
        }
    }

    fn save(&self, twin: &StoredTwin) -> Result<u64, StoreError> {
        let mut bytes = serde_json::to_vec(twin)
            .map_err(|error| StoreError(format!("cannot write the state as JSON: {error}")))?;
        bytes.push(b'\n');
        match replace(&self.folder, STATE_FILE, &bytes) {
            Err(_) if !self.folder.is_dir() => {
                make_folder(&self.folder)?;
                replace(&self.folder, STATE_FILE, &bytes)?;
            }
            written => written?,
        }
        Ok(bytes.len() as u64)
    }
}

/// Makes a folder that only the daemon's user may look into, with all folders above it.
///
/// # Errors
///
/// [`StoreError`] where it can't be made.
pub(crate) fn make_folder(folder: &Path) -> Result<(), StoreError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| failed("create", folder, &error))?;
    folder.parent().map_or(Ok(()), sync_folder)
}

/// Writes a file of `folder` whole; on return it survives power loss.
///
/// # Errors
///
/// [`StoreError`] where the folder can't be written; what was there before is intact.
pub(crate) fn replace(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let (file, temporary) = (folder.join(name), folder.join(format!("{name}.new")));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| {
        // What was begun would only take the room that is missing.
        let _gone_or_not = fs::remove_file(&temporary);
        failed("write", &temporary, &error)
    })?;
    fs::rename(&temporary, &file).map_err(|error| failed("replace", &file, &error))?;
    sync_folder(folder)
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|opened| opened.sync_all())
        .map_err(|error| failed("sync", folder, &error))
}

/// The error of a call that failed on `path`, with what to do about it.
pub(crate) fn failed(what: &str, path: &Path, error: &io::Error) -> StoreError {
    let hint = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; make room on that disk",
        ErrorKind::PermissionDenied => "; the daemon's user must own the state directory",
        ErrorKind::ReadOnlyFilesystem => "; mount it writable",
        _ => "",
    };
    StoreError(format!("cannot {what} `{}`: {error}{hint}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twin(sequence: u64) -> StoredTwin {
        StoredTwin {
            format: STORED_FORMAT,
            generation: 1,
            desired: None,
            reported: None,
            outbox: Vec::new(),
            quarantined: Vec::new(),
            sequence,
            acknowledged: Vec::new(),
            expected: Vec::new(),
            as_of_ms: None,
        }
    }

    fn store(directory: &tempfile::TempDir, module: &str) -> StateFolder {
        StateFolder::new(directory.path(), &ModuleId::new(module).unwrap())
    }

    fn found(twin: StoredTwin) -> Result<Loaded, StoreError> {
        Ok(Loaded { twin: Some(twin), damage: None })
    }

    fn files(store: &StateFolder) -> Vec<String> {
        let entries = fs::read_dir(&store.folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn what_was_saved_is_loaded_and_only_that_file_remains() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory, "module01");
        assert_eq!(store.load(), Ok(Loaded::default()));
        for sequence in 1..=3 {
            assert!(store.save(&twin(sequence)).unwrap() > 10);
        }
        assert_eq!(store.load(), found(twin(3)));
        assert_eq!(files(&store), [STATE_FILE]);
    }

    #[test]
    fn no_module_id_leaves_the_state_directory() {
        let directory = tempfile::tempdir().unwrap();
        for module in ["..", ".", "a.b", "%2e%2e", "A", "a"] {
            let store = store(&directory, module);
            store.save(&twin(1)).unwrap();
            assert_eq!(store.folder.parent(), Some(directory.path()), "{module}");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 6);
    }

    #[test]
    fn a_torn_file_is_kept_aside_and_counts_as_none() {
        for damage in [&b""[..], b"{\"format\":1,", b"null", b"\xff\xfe", b"{\"format\":99}"] {
            let directory = tempfile::tempdir().unwrap();
            let store = store(&directory, "module01");
            store.save(&twin(1)).unwrap();
            fs::write(store.file(), damage).unwrap();
            let damaged = store.load().unwrap();
            assert!(damaged.twin.is_none() && damaged.damage.unwrap().contains("kept as"));
            assert!(files(&store).iter().any(|name| name.contains("damaged")));
            store.save(&twin(2)).unwrap();
            assert_eq!(store.load(), found(twin(2)));
        }
    }

    #[test]
    fn a_newer_format_is_kept_aside_rather_than_misread() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory, "module01");
        store.save(&StoredTwin { format: STORED_FORMAT + 1, ..twin(1) }).unwrap();
        assert!(store.load().unwrap().damage.is_some());
        assert_eq!(files(&store).len(), 1);
    }

    #[test]
    fn a_folder_in_the_place_of_the_file_is_kept_aside_too() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory, "module01");
        fs::create_dir_all(store.file().join("inner")).unwrap();
        assert!(store.load().unwrap().damage.is_some());
        store.save(&twin(2)).unwrap();
        assert_eq!(store.load(), found(twin(2)));
    }

    #[test]
    fn a_state_directory_that_is_a_file_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let blocked = directory.path().join("blocked");
        fs::write(&blocked, "").unwrap();
        let store = StateFolder::new(&blocked, &ModuleId::new("module01").unwrap());
        let error = store.save(&twin(1)).unwrap_err().to_string();
        assert!(error.contains("blocked"), "{error}");
    }
}
