//! A file that is in memory alone: the MQTT library takes keys by path, and what has been judged is
//! what it must read, however often the real file changes meanwhile.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// A sealed file without a name; it is gone with this value, and with the process.
#[derive(Debug)]
pub(crate) struct MemoryFile(File);

impl MemoryFile {
    /// Puts `bytes` into a new file; `name` is for those who look at a process's open files.
    pub(crate) fn new(name: &CStr, bytes: &[u8]) -> io::Result<Self> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let mut file = File::from(memfd_create(name, flags)?);
        file.write_all(bytes)?;
        let seals = SealFlag::F_SEAL_SHRINK
            | SealFlag::F_SEAL_GROW
            | SealFlag::F_SEAL_WRITE
            | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        let held = Self(file);
        // A process without `/proc` can't use it by path.
        File::open(held.path())?;
        Ok(held)
    }

    /// A path by which this process, and no other user's, may read it (proc(5), `/proc/pid/fd`).
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_by_path_as_often_as_one_likes_and_never_written() {
        let file = MemoryFile::new(c"test", b"secret").unwrap();
        for _ in 0..2 {
            assert_eq!(std::fs::read(file.path()).unwrap(), b"secret");
        }
        let path = file.path();
        assert!(std::fs::write(&path, b"other").is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"secret");
        drop(file);
        assert!(std::fs::read(&path).map_or(true, |found| found != b"secret"));
    }
}
