//! A daemon that misbehaves by script: a real Unix socket, plain bytes, one thread a connection.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use modtwin_testkit::patience::LONG;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A request, and when it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// All of it, the header names in lower case as they come.
    pub(crate) text: String,
    pub(crate) at: Instant,
}

/// One connection, after its request.
pub(crate) struct Connection {
    stream: UnixStream,
    /// Which one it is, from 0.
    pub(crate) number: usize,
    /// Nothing is ever sent here: waiting at it is waiting for the test's end.
    ended: Arc<Mutex<Receiver<()>>>,
    /// How many scripts have ended.
    played: Arc<(Mutex<usize>, Condvar)>,
}

impl Connection {
    /// Writes what it is given; a peer that has left is not missed.
    pub(crate) fn write(&mut self, text: &str) {
        let _gone = self.stream.write_all(text.as_bytes());
    }

    /// Begins a stream.
    pub(crate) fn begin(&mut self) {
        self.write("HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n");
        self.write("transfer-encoding: chunked\r\n\r\n");
    }

    /// Writes a chunk.
    pub(crate) fn chunk(&mut self, text: &str) {
        self.write(&format!("{:x}\r\n{text}\r\n", text.len()));
    }

    /// Writes a line as a chunk.
    pub(crate) fn line(&mut self, value: &Value) {
        self.chunk(&format!("{value}\n"));
    }

    /// Ends a stream in order.
    pub(crate) fn end(&mut self) {
        self.write("0\r\n\r\n");
    }

    /// Answers a request, with more header lines in `headers`.
    pub(crate) fn answer(&mut self, status: u16, headers: &str, body: &str) {
        let length = body.len();
        self.write(&format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        ));
    }

    /// Says nothing for so long, or until the test ends.
    pub(crate) fn quiet(&self, time: Duration) {
        let waited = self.ended.lock().unwrap().recv_timeout(time);
        assert!(matches!(waited, Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)));
    }

    /// Says nothing until the script of another connection has ended.
    pub(crate) fn wait_for_another(&self) {
        let (played, changed) = &*self.played;
        let played = played.lock().unwrap();
        drop(changed.wait_timeout_while(played, LONG, |played| *played == 0).unwrap());
    }

    /// Says nothing any more.
    pub(crate) fn hold(&self) {
        self.quiet(LONG);
    }
}

/// The scripted daemon; the socket goes with it.
pub(crate) struct Scripted {
    folder: TempDir,
    requests: Receiver<Request>,
    _end: Sender<()>,
}

impl Scripted {
    /// Serves every connection by `script`.
    pub(crate) fn serve(script: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("modtwin.sock")).unwrap();
        let (heard, requests) = channel();
        let (end, ended) = channel();
        let (script, ended) = (Arc::new(script), Arc::new(Mutex::new(ended)));
        let played = Arc::new((Mutex::new(0), Condvar::new()));
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (script, heard) = (Arc::clone(&script), heard.clone());
                let mut stream = stream.unwrap();
                let (ended, played) = (Arc::clone(&ended), Arc::clone(&played));
                thread::spawn(move || {
                    if let Some(text) = read_request(&mut stream) {
                        let _gone = heard.send(Request { text, at: Instant::now() });
                        script(Connection { stream, number, ended, played: Arc::clone(&played) });
                        *played.0.lock().unwrap() += 1;
                        played.1.notify_all();
                    }
                });
            }
        });
        Self { folder, requests, _end: end }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("modtwin.sock")
    }

    /// The next request that has come, or comes in time.
    pub(crate) fn request(&self) -> Request {
        self.requests.recv_timeout(LONG).unwrap()
    }
}

/// Reads one request, head and body; none where the peer leaves before.
fn read_request(stream: &mut UnixStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_ascii_lowercase().lines().find_map(|line| {
                line.strip_prefix("content-length:")?.trim().parse::<usize>().ok()
            });
            if body.len() >= length.unwrap_or_default() {
                return Some(text);
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).ok()? {
            0 => return None,
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

/// How a connected module stands.
pub(crate) fn hub() -> Value {
    json!({"state": "connected", "reason": "ok", "since": "2026-11-23T10:00:00Z", "new": 1})
}

/// A snapshot's line.
pub(crate) fn snapshot(version: u64, desired: &Value) -> Value {
    json!({"type": "snapshot", "module": "m", "generation": 1, "version": version,
           "desired": desired, "hub": hub(), "stale": false, "of a newer version": {"x": []}})
}

/// The line of a snapshot that has nothing new.
pub(crate) fn unchanged(version: u64) -> Value {
    json!({"type": "snapshot", "module": "m", "generation": 1, "version": version,
           "unchanged": true, "hub": hub(), "stale": false})
}

/// A change's line.
pub(crate) fn desired(version: u64, desired: &Value) -> Value {
    json!({"type": "desired", "module": "m", "generation": 1, "version": version,
           "patch": desired, "desired": desired, "of a newer version": null})
}

/// A problem's body.
pub(crate) fn problem(status: u16, kind: &str) -> String {
    json!({"type": format!("urn:modtwin:problem:{kind}"), "title": "t", "status": status,
           "detail": "do \"this\" \u{1F600}\n", "kind": kind, "of a newer version": [1]})
    .to_string()
}
