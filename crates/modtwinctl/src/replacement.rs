//! A file that takes another's place: whole, whenever the power goes, with its mode and owner.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// A file that is written and waits to take another's place; gone where it does not come to that.
#[derive(Debug)]
pub(crate) struct Replacement {
    temporary: PathBuf,
    target: PathBuf,
}

impl Replacement {
    /// Writes `text` beside the file at `path`, or beside what that links to.
    pub(crate) fn stage(path: &Path, text: &str) -> io::Result<Self> {
        let target = path.canonicalize()?;
        let model = target.metadata()?;
        let name = target.file_name().unwrap_or_default().display();
        let temporary = target.with_file_name(format!(".{name}.{}", std::process::id()));
        // One that was killed may have had the same number.
        let _usually_none = fs::remove_file(&temporary);
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        let staged = Self { temporary, target };
        file.write_all(text.as_bytes())?;
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (model.uid(), model.gid()) {
            fchown(&file, Some(model.uid()), Some(model.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(model.mode() & 0o7777))?;
        file.sync_all()?;
        Ok(staged)
    }

    /// The file whose place it takes.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Takes the place; returns once that survives power loss.
    pub(crate) fn put_in_place(self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.target)?;
        self.target.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // Once it has taken the place there is nothing to remove.
        let _renamed = fs::remove_file(&self.temporary);
    }
}
