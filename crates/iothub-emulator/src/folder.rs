//! The emulator's folder: given or temporary, locked against a second emulator, files written whole.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;
use thiserror::Error;

/// Says why the folder can't be used.
#[derive(Debug, Error)]
pub enum FolderError {
    /// A file or folder can't be read, made or written.
    #[error("cannot use `{path}`")]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another emulator runs in it.
    #[error(
        "`{0}` is in use by another emulator: end that one, or give this one a folder of its own with --dir"
    )]
    InUse(PathBuf),
}

/// Holds the folder; a temporary one is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    temporary: Option<TempDir>,
    _lock: Flock<File>,
}

impl Folder {
    /// Makes and locks the folder; without a path, a temporary one.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, FolderError> {
        let (path, temporary) = match path {
            Some(path) => {
                let mut builder = std::fs::DirBuilder::new();
                builder.recursive(true).mode(0o755).create(path).map_err(io(path))?;
                (path.canonicalize().map_err(io(path))?, None)
            }
            None => {
                let made = tempfile::Builder::new().prefix("iothub-emulator-").tempdir();
                let made = made.map_err(io(&std::env::temp_dir()))?;
                (made.path().to_owned(), Some(made))
            }
        };
        let lock = path.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&lock)
            .map_err(io(&lock))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|_| FolderError::InUse(path.clone()))?;
        Ok(Self { path, temporary, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// Reads a file; `None` if there is none.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, FolderError> {
        let path = self.path.join(name);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(&path)(error)),
        }
    }

    /// Writes a file whole.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        write_whole(&self.path.join(name), bytes)
    }

    /// Writes a file whole that everybody may read.
    pub(crate) fn publish(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let path = self.path.join(name);
        write_whole(&path, bytes)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).map_err(io(&path))
    }

    /// Removes a file that may be there.
    pub(crate) fn remove(&self, name: &str) {
        let _ = std::fs::remove_file(self.path.join(name));
    }
}

/// Writes a file whole, mode 0600: a temporary one beside it, fsync, rename, fsync of the folder.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let beside = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(io(&beside))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io(&beside))?;
    std::fs::rename(&beside, path).map_err(io(path))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> FolderError + '_ {
    move |source| FolderError::Io { path: path.to_owned(), source }
}
