//! A daemon that answers by script: a real Unix socket, plain bytes, one thread a connection.
#![expect(clippy::expect_used, reason = "helpers of tests may fail the test")]
#![expect(unreachable_pub, reason = "included by several tests as a module")]

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take before a test counts as failed.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method and target, such as `GET /v1/modules`.
    pub line: String,
    /// The header block, lower case.
    pub headers: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// What the script does with a connection after its request.
pub type Script = dyn Fn(&Request, &mut UnixStream) + Send + Sync;

/// The scripted daemon; the socket goes with it.
pub struct Daemon {
    folder: TempDir,
    requests: Receiver<Request>,
    script: Arc<Script>,
    heard: Sender<Request>,
}

impl Daemon {
    /// Serves every connection by `script`.
    pub fn serve(script: impl Fn(&Request, &mut UnixStream) + Send + Sync + 'static) -> Self {
        let daemon = Self::absent(script);
        daemon.start();
        daemon
    }

    /// Prepares the socket's folder; nobody listens before [`start`](Self::start).
    pub fn absent(script: impl Fn(&Request, &mut UnixStream) + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (heard, requests) = channel();
        Self { folder, requests, script: Arc::new(script), heard }
    }

    /// Listens, now.
    pub fn start(&self) {
        let listener = UnixListener::bind(self.socket()).expect("the socket binds");
        let (script, heard) = (Arc::clone(&self.script), self.heard.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (script, heard) = (Arc::clone(&script), heard.clone());
                let mut stream = stream.expect("a connection");
                thread::spawn(move || {
                    if let Some(request) = read_request(&mut stream) {
                        let _gone = heard.send(request.clone());
                        script(&request, &mut stream);
                    }
                });
            }
        });
    }

    /// The socket's path.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("modtwin.sock")
    }

    /// The socket's folder, which the test may use.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits for the next request.
    pub fn request(&self) -> Request {
        self.requests.recv_timeout(DEADLINE).expect("a request comes in time")
    }

    /// Says whether no further request has come.
    pub fn is_unasked(&self) -> bool {
        self.requests.try_recv().is_err()
    }

    /// Waits for the next request whose line begins with `start`, passing others over.
    pub fn request_to(&self, start: &str) -> Request {
        loop {
            let request = self.request();
            if request.line.starts_with(start) {
                return request;
            }
        }
    }
}

/// Reads one request, head and body; none where the peer leaves before.
fn read_request(stream: &mut UnixStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).ok()? {
            0 => return None,
            count => bytes.extend_from_slice(chunk.get(..count)?),
        }
    };
    let text = String::from_utf8(bytes.get(..head)?.to_vec()).ok()?;
    let (line, headers) = text.split_once("\r\n").unwrap_or((&text, ""));
    let headers = headers.to_lowercase();
    let length = headers
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0_usize);
    let mut body = bytes.get(head + 4..)?.to_vec();
    let come = body.len();
    body.resize(length.max(come), 0);
    stream.read_exact(body.get_mut(come..)?).ok()?;
    Some(Request { line: line.trim_end_matches(" HTTP/1.1").to_owned(), headers, body })
}

/// Writes a whole answer with a JSON body.
pub fn answer(stream: &mut UnixStream, status: u16, body: &Value) {
    answer_text(stream, status, &body.to_string());
}

/// Writes a whole answer with any body.
pub fn answer_text(stream: &mut UnixStream, status: u16, body: &str) {
    let length = body.len();
    send(stream, &format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}"));
}

/// Writes the head of a stream.
pub fn begin(stream: &mut UnixStream) {
    send(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n",
    );
}

/// Writes one event of a stream.
pub fn event(stream: &mut UnixStream, event: &Value) {
    chunk(stream, &format!("{event}\n"));
}

/// Writes a chunk of a stream.
pub fn chunk(stream: &mut UnixStream, text: &str) {
    send(stream, &format!("{:x}\r\n{text}\r\n", text.len()));
}

/// Ends a stream in order.
pub fn end(stream: &mut UnixStream) {
    send(stream, "0\r\n\r\n");
}

/// Writes bytes; a peer that has gone is none of the script's business.
pub fn send(stream: &mut UnixStream, text: &str) {
    let _gone = stream.write_all(text.as_bytes());
}

/// Keeps the connection open until the peer closes it.
pub fn hold(stream: &mut UnixStream) {
    let mut sink = Vec::new();
    let _gone = stream.read_to_end(&mut sink);
}

/// A HUB object of a module that is well.
pub fn connected() -> Value {
    json!({"state": "connected", "reason": "ok", "since": "2026-11-23T10:00:00Z"})
}

/// A snapshot event of module `m`.
pub fn snapshot(version: u64, desired: &Value) -> Value {
    json!({"type": "snapshot", "module": "m", "generation": 1, "version": version,
           "desired": desired, "hub": connected(), "stale": false})
}

/// A desired event of module `m`.
pub fn desired(version: u64, desired: &Value) -> Value {
    json!({"type": "desired", "module": "m", "generation": 1, "version": version,
           "patch": desired, "desired": desired})
}

/// A problem of that status and kind.
pub fn problem(status: u16, kind: &str, detail: &str) -> Value {
    json!({"type": format!("urn:modtwin:problem:{kind}"), "title": "t", "status": status,
           "detail": detail, "kind": kind})
}
