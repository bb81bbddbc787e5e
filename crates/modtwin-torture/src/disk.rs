//! A small disk for the daemon's state, so that it can be filled: a tmpfs, which only root can
//! mount. Where that can't be, the disk is never full, and the report says so.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A mounted tmpfs; unmounted when dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    place: PathBuf,
}

impl Disk {
    /// Mounts a small disk at `place`, a folder that is made.
    ///
    /// # Errors
    ///
    /// Where this process may not mount.
    pub(crate) fn mount(place: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(place).context("cannot make the state directory")?;
        let options = format!("size={SIZE_BYTES},mode=0700");
        mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .context("cannot mount a tmpfs")?;
        Ok(Self { place: place.to_owned() })
    }

    /// Fills it to the last byte.
    ///
    /// # Errors
    ///
    /// Where the file that fills it can't be made; that it then can't be written on is the aim.
    pub(crate) fn fill(&self) -> anyhow::Result<()> {
        let mut ballast = File::options()
            .create(true)
            .append(true)
            .open(self.place.join(BALLAST))
            .context("cannot make the file that fills the disk")?;
        for size in [64 * 1024, 4096, 256, 1] {
            let piece = vec![b'.'; size];
            while ballast.write_all(&piece).is_ok() {}
        }
        Ok(())
    }

    /// Makes room again.
    pub(crate) fn free(&self) {
        // Not there: there is room.
        let _gone = fs::remove_file(self.place.join(BALLAST));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever still has a file open there keeps it until then.
        let _unmounted = umount2(&self.place, MntFlags::MNT_DETACH);
    }
}

/// Enough for twenty states twice over, little enough to be filled in a moment.
const SIZE_BYTES: u32 = 2 * 1024 * 1024;
/// The file that takes the room.
pub(crate) const BALLAST: &str = ".ballast";
