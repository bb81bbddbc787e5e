//! Reads credential files: whole, bounded, and never anything but files.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use modtwin_core::secret::Secret;

use crate::certificate::Warning;
use crate::error::CredentialError;

/// The most that is read of a credential file, in bytes; a long chain has some ten thousand.
const MAX_BYTES: u64 = 256 * 1024;

/// Reads `path` whole.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, CredentialError> {
    let failed = |source| CredentialError::Unreadable { path: path.to_owned(), source };
    // Asked before opening: opening a pipe that nobody writes to would wait for ever.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(CredentialError::NotAFile { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_BYTES) {
        return Ok(bytes);
    }
    Err(CredentialError::TooLarge { path: path.to_owned(), max: MAX_BYTES })
}

/// Reads `path` as UTF-8.
pub(crate) fn read_secret(path: &Path) -> Result<Secret, CredentialError> {
    match String::from_utf8(read(path)?) {
        Ok(text) => Ok(Secret::new(text)),
        Err(_) => Err(CredentialError::NotText { path: path.to_owned() }),
    }
}

/// A warning where users without a right to it may read `path`.
pub(crate) fn readable_by_others(path: &Path) -> Option<Warning> {
    let mode = path.metadata().ok()?.permissions().mode() & 0o777;
    (mode & 0o004 != 0).then(|| Warning::ReadableByOthers { path: path.to_owned(), mode })
}
