//! A peer of the local API, byte by byte.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// No wait in these tests is longer.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

/// One answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Asserts that it is a problem of that status and kind, and gives it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["kind"], kind, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["type"], format!("urn:modtwin:problem:{kind}"));
        problem
    }
}

pub(crate) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("an end in time")
}

/// Reads one answer; `bodiless` is true after HEAD.
pub(crate) async fn read(stream: &mut UnixStream, bodiless: bool) -> Answer {
    in_time(async {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            let mut byte = [0];
            assert_eq!(
                stream.read(&mut byte).await.unwrap(),
                1,
                "{}",
                String::from_utf8_lossy(&bytes)
            );
            bytes.push(byte[0]);
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |text| text.parse().unwrap());
        if !bodiless {
            answer.body = vec![0; length];
            stream.read_exact(&mut answer.body).await.unwrap();
        }
        answer
    })
    .await
}

pub(crate) async fn ask(stream: &mut UnixStream, bytes: impl AsRef<[u8]>) -> Answer {
    // A peer that is refused early may find the other side closed before all is written.
    let _broken_pipe = in_time(stream.write_all(bytes.as_ref())).await;
    read(stream, bytes.as_ref().starts_with(b"HEAD")).await
}

/// Says whether the other side closes without another byte.
pub(crate) async fn is_closed(stream: &mut UnixStream) -> bool {
    in_time(stream.read(&mut [0])).await.map_or(true, |count| count == 0)
}

/// Connects as another user: the kernel notes who a process is at `connect`.
///
/// Linux keeps credentials by thread, and the raw calls change those of a thread of its own only.
#[expect(unsafe_code, reason = "the C library changes all threads of a process at once")]
pub(crate) fn connect_as(path: PathBuf, uid: u32, gid: u32, groups: &'static [u32]) -> UnixStream {
    let connect = move || {
        // SAFETY: the calls take numbers and, with its true length, an array that is only read.
        let outcomes = unsafe {
            [
                libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()),
                libc::syscall(libc::SYS_setresgid, gid, gid, gid),
                libc::syscall(libc::SYS_setresuid, uid, uid, uid),
            ]
        };
        assert_eq!(outcomes, [0; 3]);
        std::os::unix::net::UnixStream::connect(path).unwrap()
    };
    let stream = std::thread::spawn(connect).join().unwrap();
    stream.set_nonblocking(true).unwrap();
    UnixStream::from_std(stream).unwrap()
}

/// Changing users takes root, as the tests of CI are.
pub(crate) fn can_change_users() -> bool {
    nix::unistd::geteuid().is_root()
}
