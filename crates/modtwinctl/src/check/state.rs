//! The state directory: who may use it, and whether there is room.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};

use super::Scene;
use super::findings::Verdict;
use super::person::{Person, Right, nearest};

/// Below how much room a warning is due, in bytes: twenty twins are written anew beside the old.
const LITTLE: u64 = 16 << 20;
/// Below how much nothing can be relied on.
const NOTHING: u64 = 1 << 20;

/// Whether the daemon's user may do there what the daemon does.
pub(super) fn directory(scene: &Scene<'_>) -> Verdict {
    let directory = &scene.config.state.directory;
    let shown = directory.display();
    let Some(person) = &scene.person else {
        return Verdict::skipped("the daemon's user does not exist");
    };
    let name = &person.name;
    match directory.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return match person.refusal(&nearest(directory), Right::USE_FOLDER) {
                None => Verdict::ok(format!("`{shown}` is not there yet, the daemon makes it")),
                Some(why) => Verdict::failed(format!(
                    "there is no `{shown}`, and {name} may not make it: {why}"
                ))
                .next(format!("mkdir -m 0700 {shown} && chown {name}: {shown}")),
            };
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Verdict::skipped(format!("this user may not look at `{shown}`: run as root"));
        }
        Err(error) => return Verdict::failed(format!("cannot look at `{shown}`: {error}")),
        Ok(metadata) if !metadata.is_dir() => {
            return Verdict::failed(format!("`{shown}` is no folder"))
                .next("move it away; the daemon makes the folder");
        }
        Ok(_) => {}
    }
    if is_read_only(directory) {
        return Verdict::failed(format!("`{shown}` is on a file system that is mounted read-only"))
            .next("mount it writable; where the kernel made it so after an error, see dmesg");
    }
    match refusal(person, directory) {
        Some(why) => Verdict::failed(format!("the daemon's user {name} may not use it: {why}"))
            .next(format!("chown -R {name}: {shown} && chmod -R u+rwX {shown}")),
        None => Verdict::ok(format!("`{shown}`, for {name}")),
    }
}

/// Says what in the directory, or the directory itself, that user may not use.
fn refusal(person: &Person, directory: &Path) -> Option<String> {
    if let Some(why) = person.refusal(directory, Right::USE_FOLDER) {
        return Some(why);
    }
    let inside = entries(directory).into_iter().flat_map(|path| {
        let below = if path.is_dir() { entries(&path) } else { Vec::new() };
        [path].into_iter().chain(below)
    });
    inside.into_iter().find_map(|path| {
        let right = if path.is_dir() { Right::USE_FOLDER } else { Right::READ_AND_WRITE };
        person.refusal(&path, right)
    })
}

/// What is in `folder`, in the order of the names; nothing where it can't be looked into.
pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().into_iter().flatten().filter_map(Result::ok);
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn is_read_only(path: &Path) -> bool {
    statvfs(path).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_RDONLY))
}

/// Whether there is room.
pub(super) fn space(directory: &Path) -> Verdict {
    let place = nearest(directory);
    let stat = match statvfs(&place) {
        Ok(stat) => stat,
        Err(error) => return Verdict::skipped(format!("cannot ask for its room: {error}")),
    };
    let (blocks, size) = (wide(stat.blocks_available()), wide(stat.fragment_size()));
    let free = blocks.saturating_mul(size);
    let shown = directory.display();
    let next = format!("make room: df -h {shown}; df -i {shown}");
    // Some file systems do not count files.
    if stat.files() > 0 && stat.files_available() == 0 {
        return Verdict::failed(format!("no room for one more file at `{shown}`")).next(next);
    }
    let text = format!("{} free at `{shown}`", crate::words::size(free));
    match free {
        ..NOTHING => Verdict::failed(text).next(next),
        NOTHING..LITTLE => Verdict::warning(text).next(next),
        _ => Verdict::ok(text),
    }
}

/// A number that has 32 bits on some platforms and 64 on others.
fn wide(number: impl Into<u64>) -> u64 {
    number.into()
}
