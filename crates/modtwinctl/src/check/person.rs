//! The daemon's user, and what the modes of files let it do.
//!
//! Owns the rules of file permissions (path_resolution(7)). Knows nothing of access control lists
//! and of the service's sandbox; the daemon's own word on its files counts for more.

use std::ffi::CString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use modtwin_api::Status;
use nix::unistd::{Uid, User, geteuid, getgrouplist};

use crate::cli::diagnosis::Check as CheckArgs;

/// The user of the packages.
const SERVICE_USER: &str = "modtwin";
/// Whose configs are for that user.
const SERVICE_FOLDER: &str = "/etc/modtwin";

/// A user and the groups it is in.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    /// The user's name, or its number where it has none.
    pub(crate) name: String,
    uid: u32,
    groups: Vec<u32>,
}

/// What somebody wants to do with a file or folder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Right(u32);

impl Right {
    pub(super) const READ: Self = Self(0o4);
    pub(super) const READ_AND_WRITE: Self = Self(0o6);
    pub(super) const PASS: Self = Self(0o1);
    /// All that a folder's owner does with it.
    pub(super) const USE_FOLDER: Self = Self(0o7);
}

/// The user that the daemon runs as, or would; none where the one named does not exist.
pub(super) fn of_daemon(args: &CheckArgs, status: Option<&Status>) -> Option<Person> {
    if let Some(name) = &args.user {
        return Person::named(name);
    }
    let running = status.and_then(|status| {
        let process = Path::new("/proc").join(status.pid.to_string());
        Some(Person::of(process.metadata().ok()?.uid()))
    });
    let service = || args.config.starts_with(SERVICE_FOLDER).then(|| Person::named(SERVICE_USER));
    let person = running.or_else(|| service().flatten());
    Some(person.unwrap_or_else(|| Person::of(geteuid().as_raw())))
}

impl Person {
    fn named(name: &str) -> Option<Self> {
        User::from_name(name).ok().flatten().map(|user| Self::from(&user))
    }

    fn of(uid: u32) -> Self {
        match User::from_uid(Uid::from_raw(uid)) {
            Ok(Some(user)) => Self::from(&user),
            _ => Self { name: uid.to_string(), uid, groups: Vec::new() },
        }
    }

    /// Says why this user can't do that, where it can't.
    pub(super) fn refusal(&self, path: &Path, right: Right) -> Option<String> {
        // What can't be looked at can't be judged; whoever opens it says more.
        let path = path.canonicalize().ok()?;
        let folders = path.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev();
        let steps = folders.map(|folder| (folder, Right::PASS)).chain([(path.as_path(), right)]);
        steps.into_iter().find_map(|(path, right)| {
            let metadata = path.metadata().ok()?;
            (!self.may(&metadata, right)).then(|| described(path, &metadata))
        })
    }

    fn may(&self, metadata: &Metadata, Right(wanted): Right) -> bool {
        let shift = if self.uid == 0 {
            return true;
        } else if metadata.uid() == self.uid {
            6
        } else if self.groups.contains(&metadata.gid()) {
            3
        } else {
            0
        };
        (metadata.mode() >> shift) & wanted == wanted
    }
}

impl From<&User> for Person {
    fn from(user: &User) -> Self {
        let name = CString::new(user.name.as_str()).unwrap_or_default();
        let groups = getgrouplist(&name, user.gid).unwrap_or_else(|_| vec![user.gid]);
        let groups = groups.into_iter().map(|group| group.as_raw()).collect();
        Self { name: user.name.clone(), uid: user.uid.as_raw(), groups }
    }
}

/// A file with what its rights are.
fn described(path: &Path, metadata: &Metadata) -> String {
    let owner = Person::of(metadata.uid()).name;
    format!("`{}` belongs to {owner} and has mode {:04o}", path.display(), metadata.mode() & 0o7777)
}

/// The path itself, or the nearest folder above it that exists.
pub(super) fn nearest(path: &Path) -> PathBuf {
    let there = path.ancestors().find(|path| path.exists());
    there.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn owner_group_and_others_have_what_their_part_of_the_mode_says() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        fs::write(&file, "").unwrap();
        let metadata = file.metadata().unwrap();
        let person =
            |uid, groups: &[u32]| Person { name: String::new(), uid, groups: groups.to_vec() };
        let (uid, gid) = (metadata.uid(), metadata.gid());
        // Numbers that nobody has, and that are not root's.
        let (other_uid, other_gid) = (uid.wrapping_add(4_000_001), gid.wrapping_add(4_000_001));
        let may = |mode: u32, who: &Person| {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            who.may(&file.metadata().unwrap(), Right::READ)
        };
        let (member, other) = (person(other_uid, &[gid]), person(other_uid, &[other_gid]));
        assert!(may(0o640, &member) && !may(0o640, &other) && may(0o644, &other));
        // The group's part counts for its members, even where others have more.
        assert!(!may(0o604, &member));
        assert!(may(0o000, &person(0, &[])));
    }

    #[test]
    fn a_folder_that_cannot_be_passed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        fs::write(folder.path().join("f"), "").unwrap();
        let uid = folder.path().metadata().unwrap().uid().wrapping_add(4_000_001);
        let person = Person { name: String::new(), uid, groups: Vec::new() };
        let why = person.refusal(&folder.path().join("f"), Right::READ).unwrap();
        assert!(why.contains("mode 0700"), "{why}");
        let name = folder.path().file_name().unwrap().to_str().unwrap();
        assert!(why.contains(&format!("{name}`")), "{why}");
    }
}
