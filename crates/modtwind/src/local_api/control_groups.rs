//! Finds the service of a process in the control group file system.
//!
//! The way round where `/proc` shows only one's own processes, as it does in the sandbox of
//! `modtwind.service` (`ProtectProc=invisible`). Whoever asks has to pin the process meanwhile.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder in which systemd keeps the groups of its units: the unified hierarchy, or its own
/// named one where the machine has only that (cgroups(7)).
pub(crate) fn hierarchy() -> PathBuf {
    let unified = Path::new("/sys/fs/cgroup");
    if unified.join(PROCESSES).exists() { unified.to_owned() } else { unified.join("systemd") }
}

/// The service in or below whose group the process is, looked for from the folder `root` on.
///
/// The outermost folder that is called like a service counts; what is below it may be the service's
/// own invention. Reads the group of every service until it is found: some milliseconds.
pub(crate) fn service_of(root: &Path, pid: i32) -> Option<String> {
    let pid = pid.to_string();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        for inside in folders_in(&folder) {
            let name = inside.file_name().map(|name| name.to_string_lossy().into_owned());
            match name.filter(|name| name.ends_with(".service")) {
                Some(service) if holds(&inside, &pid) => return Some(service),
                Some(_other) => {}
                None => waiting.push(inside),
            }
        }
    }
    None
}

/// Says whether the process is in the group of `folder` or in one below it.
fn holds(folder: &Path, pid: &str) -> bool {
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        // A group that has just gone has nobody in it.
        let processes = fs::read_to_string(folder.join(PROCESSES)).unwrap_or_default();
        if processes.lines().any(|line| line == pid) {
            return true;
        }
        waiting.extend(folders_in(&folder));
    }
    false
}

fn folders_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path())
}

/// The file of a group that lists its processes.
const PROCESSES: &str = "cgroup.procs";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_service_that_holds_the_process_is_found() {
        let root = tempfile::tempdir().unwrap();
        let group = |path: &str, processes: &str| {
            let folder = root.path().join(path);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(PROCESSES), processes).unwrap();
        };
        group("", "1\n");
        group("system.slice/hvac.service", "11\n12\n");
        group("system.slice/system-hook.slice/hook@a.service", "21\n");
        group("system.slice/own.service", "");
        group("system.slice/own.service/hvac.service", "31\n");
        group("user.slice/user-1000.slice/user@1000.service/app.slice/hvac.service", "41\n");
        group("user.slice/user-1000.slice/session-1.scope", "51\n");
        let check = |pid: i32, expected: Option<&str>| {
            assert_eq!(service_of(root.path(), pid).as_deref(), expected, "{pid}");
        };
        check(11, Some("hvac.service"));
        check(12, Some("hvac.service"));
        check(21, Some("hook@a.service"));
        check(31, Some("own.service"));
        check(41, Some("user@1000.service"));
        check(51, None);
        check(1, None);
        check(2, None);
    }

    #[test]
    fn a_hierarchy_that_is_not_there_holds_nobody() {
        assert_eq!(service_of(Path::new("/nowhere/at/all"), 1), None);
    }
}
