//! Who is at the other end of a connection, as the kernel says.
//!
//! Owns the credentials read from the socket. Leaves to others what they allow
//! ([`super::rights`]) and which systemd unit the process belongs to ([`super::unit`]).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use tokio::net::UnixStream;

use super::limits::Account;
use super::registry::Registry;
use super::unit::PinnedProcess;

/// The process that connected, frozen at the moment of its `connect`.
#[derive(Debug)]
pub(crate) struct Peer {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    /// Its process id; none where the kernel can't say, as of a process outside our name space.
    pid: Option<i32>,
    process: Option<PinnedProcess>,
}

impl Peer {
    /// Asks the kernel who is at the other end of `stream`; pins the process, which costs a file
    /// descriptor, only where somebody will want to know its unit.
    pub(crate) fn of(stream: &UnixStream, pin: bool) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let uid = credentials.uid();
        let pid = credentials.pid().filter(|pid| *pid > 0);
        let pinned = pid.filter(|_| pin).and_then(|pid| PinnedProcess::of(stream, pid, uid));
        Ok(Self {
            uid,
            gid: credentials.gid(),
            groups: supplementary_groups(stream.as_fd())?,
            pid,
            process: pinned,
        })
    }

    /// The user it ran as when it connected.
    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    /// The process as limits know it.
    pub(crate) fn process_account(&self) -> Option<Account> {
        self.pid.map(|pid| Account::Process { uid: self.uid, pid })
    }

    /// Whom the limits hold to account for what it asks.
    pub(crate) fn accounts(&self, registry: &Registry) -> Vec<Account> {
        let user = (!self.is_administrator(registry)).then_some(Account::User(self.uid));
        self.process_account().into_iter().chain(user).collect()
    }

    /// Says whether it is in that group.
    pub(crate) fn is_in_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }

    /// The process, where it was pinned.
    pub(crate) fn process(&self) -> Option<&PinnedProcess> {
        self.process.as_ref()
    }

    /// Says whether it may do everything: root, the daemon's own user, the admin group.
    pub(crate) fn is_administrator(&self, registry: &Registry) -> bool {
        self.may_bring_config(registry)
            || registry.admin_gid.is_some_and(|gid| self.is_in_group(gid))
    }

    /// Says whether it may say what the config is: root and the daemon's own user, and not whoever
    /// may merely ask for everything that the config allows.
    pub(crate) fn may_bring_config(&self, registry: &Registry) -> bool {
        self.uid == 0 || self.uid == registry.daemon_uid
    }

    #[cfg(test)]
    pub(crate) fn scripted(uid: u32, gid: u32, groups: &[u32]) -> Self {
        Self { uid, gid, groups: groups.to_vec(), pid: None, process: None }
    }
}

/// The supplementary groups of the peer (unix(7), `SO_PEERGROUPS`, Linux 4.13).
///
/// The kernel answers `ERANGE` and the size it needs where the room given is too small; a process
/// has at most 65,536 groups (credentials(7), `NGROUPS_MAX`).
#[expect(unsafe_code, reason = "no safe wrapper reads SO_PEERGROUPS")]
fn supplementary_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups: Vec<libc::gid_t> = vec![0; FIRST_GUESS];
    loop {
        let room = groups.len().saturating_mul(size_of::<libc::gid_t>());
        let mut length = libc::socklen_t::try_from(room).map_err(io::Error::other)?;
        // SAFETY: `groups` is `length` bytes of writable memory, aligned for gid_t, and lives
        // through the call; the kernel writes at most `length` bytes and says how many.
        let outcome = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let found = usize::try_from(length).map_err(io::Error::other)? / size_of::<libc::gid_t>();
        if outcome == 0 {
            groups.truncate(found);
            return Ok(groups);
        }
        let failure = io::Error::last_os_error();
        if failure.raw_os_error() == Some(libc::ENOPROTOOPT) {
            // A kernel without the option: the peer's own group is all that is known.
            return Ok(Vec::new());
        }
        if failure.raw_os_error() != Some(libc::ERANGE) || found <= groups.len() {
            return Err(failure);
        }
        groups.resize(found, 0);
    }
}

/// Room for as many groups as nearly every process has.
const FIRST_GUESS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_names_the_peer_with_all_its_groups() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let peer = Peer::of(&ours, true).unwrap();
        assert_eq!(peer.uid(), nix::unistd::geteuid().as_raw());
        assert_eq!(peer.gid, nix::unistd::getegid().as_raw());
        let mut expected: Vec<_> =
            nix::unistd::getgroups().unwrap().into_iter().map(|gid| gid.as_raw()).collect();
        expected.sort_unstable();
        let mut found = peer.groups.clone();
        found.sort_unstable();
        assert_eq!(found, expected);
        assert!(peer.process().is_some());
        assert!(Peer::of(&ours, false).unwrap().process().is_none());
    }

    #[test]
    fn root_the_daemon_and_the_admin_group_may_do_everything() {
        let registry = Registry::scripted();
        let check = |peer: Peer, expected: bool| {
            assert_eq!(peer.is_administrator(&registry), expected, "{peer:?}");
        };
        check(Peer::scripted(0, 0, &[]), true);
        check(Peer::scripted(990, 5, &[]), true);
        check(Peer::scripted(1001, 991, &[]), true);
        check(Peer::scripted(1001, 1001, &[4, 991]), true);
        check(Peer::scripted(1001, 1001, &[4, 990, 0]), false);
        let without = Registry { admin_gid: None, ..registry.clone() };
        assert!(!Peer::scripted(1001, 991, &[991]).is_administrator(&without));
    }
}
