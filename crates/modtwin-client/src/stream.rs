//! A stream of JSON lines, read within bounds.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use modtwin_api::limits::MAX_LINE_BYTES;

use crate::ClientError;
use crate::exchange::{Driver, Open};
use crate::lines::{LineBuffer, TooLong};

/// How a line is read; none where its type is one that this program does not know.
type Parse<T> = fn(&[u8]) -> Result<Option<T>, serde_json::Error>;

/// The lines of one stream. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: PathBuf,
    body: Incoming,
    lines: LineBuffer,
    max_silence: Duration,
    _driver: Driver,
}

impl Stream {
    pub(crate) fn new(socket: PathBuf, open: Open, max_silence: Duration) -> Self {
        Self {
            socket,
            body: open.response.into_body(),
            lines: LineBuffer::new(MAX_LINE_BYTES),
            max_silence,
            _driver: open.driver,
        }
    }

    /// Waits for the next line that can be read; none once the daemon has ended the stream. Cancel-safe.
    pub(crate) async fn next<T>(&mut self, parse: Parse<T>) -> Result<Option<T>, ClientError> {
        loop {
            if let Some(event) = self.buffered(parse)? {
                return Ok(Some(event));
            }
            let frame = tokio::time::timeout(self.max_silence, self.body.frame()).await;
            match frame.map_err(|_elapsed| self.silent())? {
                Some(Ok(frame)) => {
                    if let Some(bytes) = frame.data_ref() {
                        self.lines.push(bytes);
                    }
                }
                Some(Err(error)) => return Err(ClientError::from_hyper(&self.socket, error)),
                None if self.lines.is_within_a_line() => {
                    let end = io::Error::new(io::ErrorKind::UnexpectedEof, "cut within a line");
                    return Err(ClientError::unreachable(&self.socket, end));
                }
                None => return Ok(None),
            }
        }
    }

    /// The next one among the lines that have come.
    fn buffered<T>(&mut self, parse: Parse<T>) -> Result<Option<T>, ClientError> {
        loop {
            let line = match self.lines.next_line() {
                Ok(Some([])) => continue,
                Ok(Some(line)) => line,
                Ok(None) => return Ok(None),
                Err(TooLong(limit)) => {
                    let what =
                        format!("expected lines of at most {limit} bytes, found a longer one");
                    return Err(ClientError::protocol(&self.socket, what));
                }
            };
            let event = parse(line).map_err(|error| {
                ClientError::protocol(
                    &self.socket,
                    format!("expected an event, found otherwise ({error})"),
                )
            })?;
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    fn silent(&self) -> ClientError {
        let silence = format!("nothing heard for {} s", self.max_silence.as_secs());
        ClientError::unreachable(&self.socket, io::Error::new(io::ErrorKind::TimedOut, silence))
    }
}
