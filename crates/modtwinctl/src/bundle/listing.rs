//! Names, owners and modes of files: what is where, and who may use it; never what is in it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use modtwin_credentials::Date;
use nix::unistd::{Gid, Group, Uid, User};

/// How many lines a listing has at most.
const MOST: usize = 5_000;

/// Those paths and what is below them, each so many levels deep; one a line.
pub(super) fn listing<'a>(paths: impl IntoIterator<Item = (&'a Path, usize)>) -> String {
    let mut lines = vec!["MODE    OWNER:GROUP  BYTES  CHANGED  PATH".to_owned()];
    for (path, depth) in paths {
        add(path, depth, &mut lines);
    }
    if lines.len() >= MOST {
        lines.push("and more".to_owned());
    }
    lines.push(String::new());
    lines.join("\n")
}

fn add(path: &Path, depth: usize, lines: &mut Vec<String>) {
    if lines.len() >= MOST {
        return;
    }
    let shown = path.display();
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) => return lines.push(format!("{shown}: {error}")),
    };
    let target = path.read_link().map(|to| format!(" -> {}", to.display())).unwrap_or_default();
    lines.push(format!("{} {shown}{target}", facts(&metadata)));
    if metadata.is_dir() && depth > 0 {
        let mut inside: Vec<_> =
            path.read_dir().into_iter().flatten().filter_map(Result::ok).collect();
        inside.sort_by_key(std::fs::DirEntry::file_name);
        for entry in inside {
            add(&entry.path(), depth - 1, lines);
        }
    }
}

fn facts(metadata: &Metadata) -> String {
    let user = User::from_uid(Uid::from_raw(metadata.uid())).ok().flatten();
    let owner = user.map_or_else(|| metadata.uid().to_string(), |user| user.name);
    let group = Group::from_gid(Gid::from_raw(metadata.gid())).ok().flatten();
    let group = group.map_or_else(|| metadata.gid().to_string(), |group| group.name);
    let changed = u64::try_from(metadata.mtime()).unwrap_or_default();
    let changed = Date(UNIX_EPOCH + Duration::from_secs(changed));
    let (mode, bytes) = (metadata.mode(), metadata.len());
    format!("{mode:06o}  {owner}:{group}  {bytes}  {changed} ")
}
