//! The bundle's file: a tar archive, compressed, for its maker's eyes alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Entry;

/// Writes the archive, everything in the folder `title`; returns its size. What can't be finished
/// is removed again.
pub(super) fn write(path: &Path, title: &str, entries: &[Entry], force: bool) -> io::Result<u64> {
    if force && let Err(error) = fs::remove_file(path) {
        // A new file, not the old one written over: its mode, or where it links to, is not ours.
        if error.kind() != io::ErrorKind::NotFound {
            return Err(error);
        }
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = fill(&file, title, entries).and_then(|()| Ok(file.metadata()?.len()));
    if written.is_err() {
        let _already_gone = fs::remove_file(path);
    }
    written
}

fn fill(file: impl Write, title: &str, entries: &[Entry]) -> io::Result<()> {
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(entry.bytes);
        header.set_mode(0o600);
        header.set_mtime(now);
        let name = format!("{title}/{}", entry.name);
        archive.append_data(&mut header, name, entry.content.as_slice())?;
    }
    archive.into_inner()?.finish()?.flush()
}
