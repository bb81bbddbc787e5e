//! The Unix socket itself: made by us, or handed over by systemd.
//!
//! Owns the file at the socket's path and the rule that one daemon alone serves it. Leaves to
//! others who connects and what is said: anybody may connect, because rights are the peer's, not
//! the file's.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use tokio::net::{UnixListener, UnixStream};

/// The mode of the socket: everybody may connect.
pub const SOCKET_MODE: u32 = 0o666;

/// Why there is no socket to serve.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another daemon serves that path.
    #[error(
        "cannot serve `{}`: another modtwind answers there; stop it first, or set another \
         [socket] path", path.display()
    )]
    Live {
        /// The socket's path.
        path: PathBuf,
    },
    /// What is at that path is no socket, and so is left alone.
    #[error(
        "cannot serve `{}`: expected no file or a socket, found {found}; move it away, or set \
         another [socket] path", path.display()
    )]
    Occupied {
        /// The socket's path.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// The system refused.
    #[error("cannot {what} `{}`", path.display())]
    System {
        /// What was attempted.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// systemd handed over something else than one Unix stream listener.
    #[error("cannot take the socket from systemd: {0}; see ListenStream= in modtwind.socket")]
    Activation(String),
}

/// A listening socket that this process made; removed again when [`Bound::guard`] is dropped.
#[derive(Debug)]
pub struct Bound {
    /// The listener.
    pub listener: UnixListener,
    /// Keeps the path ours.
    pub guard: PathGuard,
}

/// Keeps a socket's path for this process; removes the socket when dropped.
#[derive(Debug)]
pub struct PathGuard {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Drop for PathGuard {
    fn drop(&mut self) {
        // The next start takes over what is left behind.
        let _left_behind = fs::remove_file(&self.path);
    }
}

/// Makes the socket at `path` with that mode.
///
/// Takes over a stale socket: one where nobody answers. The lock file beside it (`path` with
/// `.lock` added) settles which of two daemons that start at once is first; it stays behind, since
/// removing it would let a third daemon lock another file of that name.
///
/// # Errors
///
/// [`SocketError`] where another daemon serves the path, where it holds something that is no
/// socket, or where the system refuses. Must be called within a tokio runtime.
pub async fn bind(path: &Path, mode: u32) -> Result<Bound, SocketError> {
    let system = |what| move |source| SocketError::System { what, path: path.to_owned(), source };
    // A bare name lies in the working directory, which has no name here.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.exists()) {
        let made = fs::DirBuilder::new().mode(0o755).create(folder);
        made.map_err(system("create the folder of the socket"))?;
    }
    let lock = lock(path)?;
    remove_stale(path).await?;
    let listener = net::UnixListener::bind(path).map_err(system("bind the socket"))?;
    let guard = PathGuard { path: path.to_owned(), _lock: lock };
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(system("set the mode of the socket"))?;
    let listener = listen(listener).map_err(system("listen on the socket"))?;
    Ok(Bound { listener, guard })
}

/// The listener that systemd opened for this process, where it did (sd_listen_fds(3)).
///
/// To be called once, early: it takes the descriptor over.
///
/// # Errors
///
/// [`SocketError::Activation`] where systemd hands over anything but one Unix stream listener.
/// Must be called within a tokio runtime.
pub fn from_systemd() -> Result<Option<UnixListener>, SocketError> {
    let wrong = |failure: io::Error| SocketError::Activation(failure.to_string());
    let mut handed = sd_notify::listen_fds().map_err(wrong)?;
    let Some(raw) = handed.next() else { return Ok(None) };
    if handed.next().is_some() {
        let found = "expected one socket, found several".to_owned();
        return Err(SocketError::Activation(found));
    }
    listener_of(adopt(raw)).map(Some)
}

fn listener_of(socket: OwnedFd) -> Result<UnixListener, SocketError> {
    use nix::sys::socket::{SockType, getsockopt, sockopt};
    let wrong = |found: &str| SocketError::Activation(found.to_owned());
    let listens = getsockopt(&socket, sockopt::AcceptConn).unwrap_or(false);
    let stream = getsockopt(&socket, sockopt::SockType) == Ok(SockType::Stream);
    let listener = net::UnixListener::from(socket);
    if !listens || !stream || listener.local_addr().is_err() {
        return Err(wrong("expected a Unix stream socket that listens"));
    }
    listen(listener).map_err(|failure| wrong(&failure.to_string()))
}

fn listen(listener: net::UnixListener) -> io::Result<UnixListener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

fn lock(path: &Path) -> Result<Flock<File>, SocketError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let system = |what, source| SocketError::System { what, path: lock_path.clone(), source };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&lock_path)
        .map_err(|source| system("open the lock file", source))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_file, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => SocketError::Live { path: path.to_owned() },
        other => system("lock", other.into()),
    })
}

/// Clears the way for a new socket: removes one where nobody answers.
async fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let system = |what, source| SocketError::System { what, path: path.to_owned(), source };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(failure) if failure.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(system("look at the socket", source)),
    };
    if !found.is_socket() {
        let found = match found {
            kind if kind.is_dir() => "a folder",
            kind if kind.is_symlink() => "a symbolic link",
            _ => "a file",
        };
        return Err(SocketError::Occupied { path: path.to_owned(), found });
    }
    // Not blocking: a listener whose queue is full answers at once, with `EAGAIN`.
    match UnixStream::connect(path).await {
        Err(failure) if failure.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(failure) if failure.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) if source.kind() != io::ErrorKind::WouldBlock => {
            return Err(system("ask who answers on the socket", source));
        }
        _ => return Err(SocketError::Live { path: path.to_owned() }),
    }
    fs::remove_file(path).map_err(|source| system("remove the stale socket", source))
}

/// Takes over a descriptor that systemd opened for this process.
#[expect(unsafe_code, reason = "an inherited descriptor is known by its number alone")]
fn adopt(raw: RawFd) -> OwnedFd {
    // SAFETY: sd_listen_fds(3) makes the descriptors from 3 on ours, and `LISTEN_PID` said that
    // this process is meant; nothing else in it has taken them over.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answers(path: &Path) -> bool {
        UnixStream::connect(path).await.is_ok()
    }

    #[tokio::test]
    async fn a_new_socket_lets_everybody_connect_and_goes_with_its_guard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/modtwin.sock");
        let bound = bind(&path, SOCKET_MODE).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        assert_eq!(
            fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777,
            0o755
        );
        assert!(answers(&path).await);
        drop(bound);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(net::UnixListener::bind(&path).unwrap());
        assert!(path.exists() && !answers(&path).await);
        let _bound = bind(&path, SOCKET_MODE).await.unwrap();
        assert!(answers(&path).await);
    }

    #[tokio::test]
    async fn a_live_daemon_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _first = bind(&path, SOCKET_MODE).await.unwrap();
        let refused = bind(&path, SOCKET_MODE).await.unwrap_err();
        assert!(matches!(refused, SocketError::Live { .. }), "{refused}");
        assert!(answers(&path).await);
    }

    #[tokio::test]
    async fn whoever_answers_without_our_lock_is_left_alone_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _other = net::UnixListener::bind(&path).unwrap();
        let refused = bind(&path, SOCKET_MODE).await.unwrap_err();
        assert!(matches!(refused, SocketError::Live { .. }), "{refused}");
        assert!(answers(&path).await);
    }

    #[tokio::test]
    async fn a_listener_whose_queue_is_full_counts_as_alive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _never_accepts = net::UnixListener::bind(&path).unwrap();
        let mut waiting = Vec::new();
        let full = loop {
            match UnixStream::connect(&path).await {
                Ok(stream) => waiting.push(stream),
                Err(failure) => break failure,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let refused = bind(&path, SOCKET_MODE).await.unwrap_err();
        assert!(matches!(refused, SocketError::Live { .. }), "{refused}");
    }

    #[tokio::test]
    async fn what_is_no_socket_is_never_removed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "precious").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let inner = folder.path().join("folder");
        fs::create_dir(&inner).unwrap();
        for path in [&file, &link, &inner] {
            let refused = bind(path, SOCKET_MODE).await.unwrap_err();
            assert!(matches!(refused, SocketError::Occupied { .. }), "{refused}");
            assert!(path.exists());
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }

    #[tokio::test]
    async fn only_a_listening_stream_socket_is_taken_from_systemd() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = net::UnixListener::bind(&path).unwrap();
        assert!(listener_of(OwnedFd::from(listener)).is_ok());
        let datagrams = net::UnixDatagram::unbound().unwrap();
        assert!(listener_of(OwnedFd::from(datagrams)).is_err());
        let (one, _other) = net::UnixStream::pair().unwrap();
        assert!(listener_of(OwnedFd::from(one)).is_err());
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(listener_of(OwnedFd::from(tcp)).is_err());
        let file = File::open("/dev/null").unwrap();
        assert!(listener_of(OwnedFd::from(file)).is_err());
    }
}
