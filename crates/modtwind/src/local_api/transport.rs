//! The bytes of a connection, between hyper and the socket.
//!
//! Owns three things that hyper leaves open. [`Gate`]: whether all that was written has been taken
//! by the socket, so that a stream makes its next line only when there is room for it. How long a
//! peer may take nothing of an answer. And the words of a refusal where hyper can't read a request: hyper answers such a request itself, with
//! a status and no body; here it becomes the problem that the contract promises.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::StatusCode;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use modtwin_api::limits::MAX_HEADER_BYTES;
use modtwin_api::{MEDIA_TYPE_PROBLEM, Problem, ProblemKind};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

use super::answer::{RETRY_AFTER_SECONDS, encode};

/// Says when the socket has taken everything that was written.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    busy: AtomicBool,
    flushed: Notify,
    /// Whether what is written is a stream, whose reader may take its time.
    is_stream: AtomicBool,
}

impl Gate {
    /// Notes whether what is written from now on is a stream.
    pub(crate) fn begin(&self, is_stream: bool) {
        self.is_stream.store(is_stream, Ordering::Release);
    }

    /// Notes that something is about to be written.
    pub(crate) fn close(&self) {
        self.busy.store(true, Ordering::Release);
    }

    /// Waits until all of it is on its way. Cancel-safe.
    pub(crate) async fn opened(&self) {
        while self.busy.load(Ordering::Acquire) {
            // A permit is kept where the flush comes between the look and the wait.
            self.flushed.notified().await;
        }
    }

    fn open(&self) {
        if self.busy.swap(false, Ordering::AcqRel) {
            self.flushed.notify_one();
        }
    }
}

/// A socket as hyper uses it.
#[derive(Debug)]
pub(crate) struct Transport {
    io: TokioIo<UnixStream>,
    gate: Arc<Gate>,
    /// The refusal that stands in for hyper's own answer, and how much of it is written.
    refusal: Vec<u8>,
    written: usize,
    /// How long the peer may take nothing, and when that time is over; none while it takes.
    answer_timeout: Duration,
    patience: Option<Pin<Box<Sleep>>>,
}

impl Transport {
    pub(crate) fn new(stream: UnixStream, gate: Arc<Gate>, answer_timeout: Duration) -> Self {
        let io = TokioIo::new(stream);
        Self { io, gate, refusal: Vec::new(), written: 0, answer_timeout, patience: None }
    }

    /// Writes what the socket takes; fails once a peer has taken nothing of an answer for too long.
    fn poll_socket(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(taken) = Pin::new(&mut self.io).poll_write(cx, bytes) {
            self.patience = None;
            return Poll::Ready(taken);
        }
        if self.gate.is_stream.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        let timeout = self.answer_timeout;
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(patience.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.refusal.len() {
            let refusal = std::mem::take(&mut self.refusal);
            let taken = self.poll_socket(cx, refusal.get(self.written..).unwrap_or_default());
            self.refusal = refusal;
            match ready!(taken)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written = self.written.saturating_add(count),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Read for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buffer)
    }
}

impl Write for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_refusal(cx))?;
        let before = match automatic_answer(bytes) {
            None => bytes,
            Some(([], status)) => {
                this.refusal = refusal(status);
                this.written = 0;
                return Poll::Ready(Ok(bytes.len()));
            }
            Some((before, _)) => before,
        };
        this.poll_socket(cx, before)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_refusal(cx))?;
        ready!(Pin::new(&mut this.io).poll_flush(cx))?;
        this.gate.open();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_refusal(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

/// The answer that hyper makes by itself, where `bytes` end with it: what stands before it, and
/// its status.
///
/// It is told from ours by its having no content: every refusal of ours has some. It can't be
/// feigned by content either, since JSON has no line feed right after a carriage return.
fn automatic_answer(bytes: &[u8]) -> Option<(&[u8], StatusCode)> {
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let start = bytes.len().saturating_sub(LONGEST_AUTOMATIC);
    let tail = bytes.get(start..)?;
    let at = tail.windows(STATUS_LINE.len()).rposition(|window| window == STATUS_LINE)?;
    let head = tail.get(at..)?;
    let is_empty = head.windows(NO_CONTENT.len()).any(|window| window == NO_CONTENT);
    let code = head.get(STATUS_LINE.len()..)?.get(..3)?;
    let status =
        StatusCode::from_bytes(code).ok().filter(|status| is_empty && status.is_client_error())?;
    Some((bytes.get(..start.saturating_add(at))?, status))
}

/// The whole answer to a request that can't be read.
fn refusal(status: StatusCode) -> Vec<u8> {
    let limit = u64::try_from(MAX_HEADER_BYTES).unwrap_or(u64::MAX);
    let problem = match status {
        StatusCode::URI_TOO_LONG | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Problem::new(
            ProblemKind::TooLarge,
            format!("the header block is larger than {limit} bytes or has more than 100 fields"),
        )
        .with_limit(limit)
        .with_status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.as_u16()),
        _ => Problem::new(ProblemKind::InvalidRequest, "expected an HTTP/1.1 request"),
    };
    whole_answer(&problem)
}

/// `problem` as the bytes of an answer that is the connection's last.
pub(crate) fn whole_answer(problem: &Problem) -> Vec<u8> {
    let reason = StatusCode::from_u16(problem.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default();
    let retry = match problem.kind {
        ProblemKind::Overloaded => format!("retry-after: {RETRY_AFTER_SECONDS}\r\n"),
        _ => String::new(),
    };
    let body = encode(problem);
    let mut answer = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: {MEDIA_TYPE_PROBLEM}\r\n{retry}\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        problem.status,
        body.len(),
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    answer
}

/// What any answer begins with; HTTP/1.0 differs from HTTP/1.1 in nothing that matters here.
const STATUS_LINE: &[u8] = b"HTTP/1.1 ";
/// What tells an answer without content.
const NO_CONTENT: &[u8] = b"\r\ncontent-length: 0\r\n";
/// More than hyper's own answer has: a status line and three short fields.
const LONGEST_AUTOMATIC: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_without_content_counts_as_automatic() {
        let automatic = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        let own = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let (before, status) = automatic_answer(automatic).unwrap();
        assert!(before.is_empty());
        assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        let both = [own.as_slice(), automatic.as_slice()].concat();
        assert_eq!(automatic_answer(&both).unwrap().0, own);
        let other = [
            own.as_slice(),
            b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 7\r\n\r\n",
            b"{\"a\":\"HTTP/1.1 400 \"}\n\r\n0\r\n\r\n",
            b"\r\n\r\n",
            b"",
        ];
        for bytes in other {
            assert_eq!(automatic_answer(bytes), None, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
