//! The systemd unit that a peer's process belongs to.
//!
//! A process id alone may be used again by another process while we look. So the peer is pinned
//! by a pidfd, its control group is read, and the answer counts only if the pinned process was
//! still there afterwards. Leaves to others what a unit may do.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};
use tokio::net::UnixStream;

use super::control_groups;

/// A process that keeps its id for as long as this value lives.
#[derive(Debug)]
pub(crate) struct PinnedProcess {
    pid: i32,
    pidfd: OwnedFd,
}

/// Why the unit of a peer can't be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnitError {
    /// The process has ended since it connected.
    #[error("the process that connected has ended")]
    Ended,
    /// Its control group can't be read.
    #[error("cannot read the control group of process {pid}: {cause}")]
    Unreadable { pid: i32, cause: String },
    /// It is in none.
    #[error("process {0} belongs to no systemd service")]
    NoService(i32),
}

impl PinnedProcess {
    /// Pins the process at the other end of `stream`; none where the kernel can't.
    ///
    /// `SO_PEERPIDFD` (Linux 6.5) names the very process that connected. Older kernels open a
    /// pidfd by number: that the process still runs as the user who connected is then checked
    /// too, so that a number used again gives nobody another user's rights.
    pub(crate) fn of(stream: &UnixStream, pid: i32, uid: u32) -> Option<Self> {
        match getsockopt(stream, sockopt::PeerPidfd) {
            Ok(pidfd) => Some(Self { pid, pidfd }),
            Err(Errno::ENOPROTOOPT) => {
                let pidfd = pidfd_open(pid).ok()?;
                (effective_uid(pid) == Some(uid)).then_some(Self { pid, pidfd })
            }
            Err(_) => None,
        }
    }

    /// The name of its service unit, such as `hvac.service`. Reads `/proc`, or all control groups
    /// where the process is hidden there: short, but blocking.
    pub(crate) fn unit(&self) -> Result<String, UnitError> {
        let service = match fs::read_to_string(format!("/proc/{}/cgroup", self.pid)) {
            Ok(groups) => Ok(service_of(&groups)),
            Err(cause) if is_hidden(&cause) => {
                Ok(control_groups::service_of(&control_groups::hierarchy(), self.pid))
            }
            Err(cause) => Err(UnitError::Unreadable { pid: self.pid, cause: cause.to_string() }),
        };
        if !self.is_there() {
            return Err(UnitError::Ended);
        }
        service?.ok_or(UnitError::NoService(self.pid))
    }

    /// Says whether the pinned process still has its id. The kernel shows -1 for a pidfd whose
    /// process has been reaped (proc(5), `/proc/[pid]/fdinfo`), which is when the id is free.
    fn is_there(&self) -> bool {
        fs::read_to_string(format!("/proc/self/fdinfo/{}", self.pidfd.as_raw_fd())).ok().and_then(
            |info| {
                let line = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
                line.trim().parse::<i32>().ok()
            },
        ) == Some(self.pid)
    }
}

/// The service in the path of the control group that systemd manages: the unified hierarchy
/// (`0::/…`), or the `name=systemd` one where the machine has only that (cgroups(7)).
///
/// The outermost component that names a service counts: what is below it is the service's own to
/// make where its group was delegated to it, so that a name there proves nothing. The units of a
/// user's own service manager all count as `user@UID.service`, for the same reason.
fn service_of(groups: &str) -> Option<String> {
    let path_in = |wanted: &str| {
        groups.lines().find_map(|line| {
            let (_number, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            (controllers == wanted).then_some(path)
        })
    };
    let service_in = |path: &str| {
        path.split('/').find(|component| component.ends_with(".service")).map(str::to_owned)
    };
    [path_in(""), path_in("name=systemd")].into_iter().flatten().find_map(service_in)
}

/// Says whether a process may exist that `/proc` does not show: mounted with `hidepid=` it shows
/// only one's own (proc(5)).
fn is_hidden(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
}

fn effective_uid(pid: i32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Opens a pidfd by number (pidfd_open(2), Linux 5.3).
#[expect(unsafe_code, reason = "no wrapper at hand has pidfd_open")]
fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: the call takes two integers and touches no memory of ours.
    let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid), 0_i64) };
    if opened < 0 {
        return Err(io::Error::last_os_error());
    }
    let raw = i32::try_from(opened).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_service_of_systemds_own_group_counts() {
        let check = |groups: &str, expected: Option<&str>| {
            assert_eq!(service_of(groups).as_deref(), expected, "{groups}");
        };
        check("0::/system.slice/hvac.service\n", Some("hvac.service"));
        check("0::/system.slice/system-hook.slice/hook@a.service/app\n", Some("hook@a.service"));
        // What is below a delegated group is its owner's invention.
        check("0::/system.slice/own.service/hvac.service\n", Some("own.service"));
        check(
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/hvac.service\n",
            Some("user@1000.service"),
        );
        check(
            "12:cpu:/a.service\n1:name=systemd:/system.slice/b.service\n0::/\n",
            Some("b.service"),
        );
        check("0::/user.slice/user-0.slice/session-1.scope\n", None);
        check("0::/\n", None);
        check("", None);
        check("nonsense\n0:\n", None);
    }

    #[tokio::test]
    async fn a_process_is_pinned_until_it_ends() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let pinned = PinnedProcess::of(&ours, own, nix::unistd::getuid().as_raw()).unwrap();
        assert!(pinned.is_there());

        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let pinned = PinnedProcess { pid, pidfd: pidfd_open(pid).unwrap() };
        assert!(pinned.is_there());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!pinned.is_there());
        assert_eq!(pinned.unit(), Err(UnitError::Ended));
    }

    #[test]
    fn the_user_of_a_process_is_read_from_its_status() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(effective_uid(own), Some(nix::unistd::geteuid().as_raw()));
        assert_eq!(effective_uid(-1), None);
    }
}
