//! What the daemon leaves behind: no end of its own, no panic, no file that belongs to nobody, no
//! growth of memory and open files.

use std::path::Path;

use modtwin_testkit::process;
use serde::Serialize;

use super::Violation;
use crate::disk::BALLAST;

/// What the daemon holds while all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Holdings {
    /// Its proportional share of memory, in KiB.
    pub(crate) pss_kib: u64,
    /// How many files, sockets and pipes it has open.
    pub(crate) open_files: usize,
}

impl Holdings {
    /// Looks at the process `pid`.
    ///
    /// # Errors
    ///
    /// Where it is gone.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let pss_kib = process::memory(pid)?.pss_kib;
        Ok(Self { pss_kib, open_files: process::open_files(pid)? })
    }
}

/// Compares what the daemon holds at the end with what it held at the beginning.
pub(crate) fn growth(before: Holdings, after: Holdings) -> Vec<Violation> {
    let mut violations = Vec::new();
    if after.pss_kib > before.pss_kib + MOST_GROWTH_KIB {
        let words = format!(
            "expected at most {MOST_GROWTH_KIB} KiB more than {} KiB, found {} KiB",
            before.pss_kib, after.pss_kib
        );
        violations.push(Violation::new("memory stays bounded", "", words));
    }
    if after.open_files > before.open_files + MOST_MORE_FILES {
        let words = format!(
            "expected at most {MOST_MORE_FILES} more than {}, found {}",
            before.open_files, after.open_files
        );
        violations.push(Violation::new("no open file leaks", "", words));
    }
    violations
}

/// Looks for panics in the daemon's log.
pub(crate) fn log(text: &str) -> Vec<Violation> {
    let bad = text.lines().filter(|line| PANICS.iter().any(|word| line.contains(word)));
    bad.map(|line| Violation::new("nothing panics", "", line)).collect()
}

/// Looks for files in the state directory that no state is in.
///
/// # Errors
///
/// Where the directory can't be read.
pub(crate) fn files(directory: &Path) -> anyhow::Result<Vec<Violation>> {
    let mut violations = Vec::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_default();
            if path.is_dir() {
                folders.push(path);
            } else if name != BALLAST && LEFTOVERS.iter().any(|part| name.contains(part)) {
                let words = path.display().to_string();
                violations.push(Violation::new("no file is left over or damaged", "", words));
            }
        }
    }
    Ok(violations)
}

const MOST_GROWTH_KIB: u64 = 8 * 1024;
/// A reader of the config or a look at a certificate may be under way.
const MOST_MORE_FILES: usize = 4;
const PANICS: [&str; 4] = ["panicked", "session ended", "session crashed", "stack overflow"];
const LEFTOVERS: [&str; 4] = [".new", ".tmp", "damaged", "corrupt"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_within_bounds_is_fine_and_beyond_is_found() {
        let before = Holdings { pss_kib: 10_000, open_files: 60 };
        let check = |pss_kib, open_files| growth(before, Holdings { pss_kib, open_files }).len();
        assert_eq!(check(18_000, 64), 0);
        assert_eq!(check(18_193, 60), 1);
        assert_eq!(check(10_000, 65), 1);
    }

    #[test]
    fn a_panic_in_the_log_is_found() {
        let text = "INFO all well\nthread 'tokio-runtime-worker' panicked at src/x.rs:1:1:\n";
        assert_eq!(log(text).len(), 1);
        assert_eq!(log("INFO all well\n"), []);
    }

    #[test]
    fn files_left_over_are_found_in_any_folder() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("m01");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("twin.json"), "").unwrap();
        std::fs::write(directory.path().join(BALLAST), "").unwrap();
        assert_eq!(files(directory.path()).unwrap(), []);
        std::fs::write(folder.join("twin.json.new"), "").unwrap();
        std::fs::write(folder.join("twin.json.damaged-17"), "").unwrap();
        assert_eq!(files(directory.path()).unwrap().len(), 2);
    }
}
