//! What the figures were measured on, in words that say nothing of one machine's folders.

use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use serde::Serialize;

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The processor's model.
    pub processor: String,
    /// How many of its cores this process may use.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// The distribution.
    pub system: String,
    /// The kind of file system that the state lies on.
    pub file_system: String,
    /// The load of the last minute when the run began; above zero others were at work too.
    pub load_before: String,
}

impl Machine {
    /// Looks around; `folder` is where the state will lie.
    pub fn look(folder: &Path) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let folder = folder.canonicalize().unwrap_or_else(|_gone| folder.to_owned());
        Self {
            processor: value_of(&read("/proc/cpuinfo"), "model name", ':'),
            cores: available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            system: value_of(&read("/etc/os-release"), "PRETTY_NAME", '=').replace('"', ""),
            file_system: file_system(&read("/proc/self/mounts"), &folder),
            load_before: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

fn value_of(text: &str, name: &str, separator: char) -> String {
    let value = text.lines().find_map(|line| {
        let (left, right) = line.split_once(separator)?;
        (left.trim() == name).then(|| right.trim().to_owned())
    });
    value.unwrap_or_else(|| "unknown".to_owned())
}

/// The kind of the file system that `folder` is on: that of the longest mount point above it.
fn file_system(mounts: &str, folder: &Path) -> String {
    let above = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let point = Path::new(fields.next()?);
        folder.starts_with(point).then_some((point.components().count(), fields.next()?))
    });
    // The last of equals: it was mounted over the others.
    above.max_by_key(|(depth, _)| *depth).map_or("unknown", |(_, kind)| kind).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_decides() {
        let mounts = "a / ext4 rw\nb /tmp tmpfs rw\nc /tmpfoo xfs rw\n";
        assert_eq!(file_system(mounts, Path::new("/tmp/x")), "tmpfs");
        assert_eq!(file_system(mounts, Path::new("/var/x")), "ext4");
    }

    #[test]
    fn what_is_not_said_is_unknown() {
        assert_eq!(value_of("PRETTY_NAME=\"Debian\"", "PRETTY_NAME", '='), "\"Debian\"");
        assert_eq!(value_of("", "model name", ':'), "unknown");
    }
}
