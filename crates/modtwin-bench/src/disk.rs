//! How fast the disk below is at what the daemon asks of it: a small file written whole, synced
//! and renamed into place, its folder synced.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;

use modtwin_testkit::spread::Spread;

/// How long the disk took.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Disk {
    /// One `fsync` of a file of a kilobyte just written, in milliseconds.
    pub(crate) fsync_ms: Spread,
    /// A durable replacement: write, fsync, rename, fsync of the folder, in milliseconds.
    pub(crate) replace_ms: Spread,
}

/// Samples taken so far.
#[derive(Debug, Default)]
pub(crate) struct DiskSamples {
    fsync: Vec<Duration>,
    replace: Vec<Duration>,
}

impl DiskSamples {
    /// Takes `count` more samples in `folder`.
    ///
    /// # Errors
    ///
    /// Where the folder can't be written.
    pub(crate) fn take(&mut self, folder: &Path, count: usize) -> anyhow::Result<()> {
        for _ in 0..count {
            self.take_one(folder).context("cannot measure the disk")?;
        }
        Ok(())
    }

    fn take_one(&mut self, folder: &Path) -> std::io::Result<()> {
        let (new, file) = (folder.join("sample.new"), folder.join("sample"));
        let began = Instant::now();
        let mut written = File::create(&new)?;
        written.write_all(&[b'x'; SAMPLE_BYTES])?;
        let syncing = Instant::now();
        written.sync_all()?;
        self.fsync.push(syncing.elapsed());
        fs::rename(&new, &file)?;
        File::open(folder)?.sync_all()?;
        self.replace.push(began.elapsed());
        Ok(())
    }

    /// What the samples come to.
    pub(crate) fn summary(self) -> Option<Disk> {
        Some(Disk {
            fsync_ms: Spread::of_millis(self.fsync)?,
            replace_ms: Spread::of_millis(self.replace)?,
        })
    }
}

/// About what the daemon writes for a small twin.
const SAMPLE_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_takes_at_least_its_fsync() {
        let folder = tempfile::tempdir().unwrap();
        let mut samples = DiskSamples::default();
        samples.take(folder.path(), 3).unwrap();
        let disk = samples.summary().unwrap();
        assert_eq!(disk.fsync_ms.count, 3);
        assert!(disk.replace_ms.min >= disk.fsync_ms.min);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        assert!(DiskSamples::default().take(Path::new("/nonexistent"), 1).is_err());
    }
}
