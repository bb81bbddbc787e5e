//! A watch: the events of one stream, as long as its connection lives.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use modtwin_api::limits::MAX_LINE_BYTES;
use modtwin_api::{Event, Revision};

use crate::ClientError;
use crate::exchange::{Driver, Open};
use crate::lines::{LineBuffer, TooLong};

/// What to watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// JSON Pointers to the subtrees of desired; none means all that the peer may see.
    pub paths: Vec<String>,
    /// The revision that the client has already, so that it is not sent again.
    pub since: Option<Revision>,
    /// The name under which to show in status; the one the peer's rule names where none is given.
    pub handler: Option<String>,
}

/// The events of one stream. Dropping it closes the connection.
#[derive(Debug)]
pub struct Watch {
    socket: PathBuf,
    body: Incoming,
    lines: LineBuffer,
    max_silence: Duration,
    _driver: Driver,
}

impl Watch {
    pub(crate) fn new(socket: PathBuf, open: Open, max_silence: Duration) -> Self {
        Self {
            socket,
            body: open.response.into_body(),
            lines: LineBuffer::new(MAX_LINE_BYTES),
            max_silence,
            _driver: open.driver,
        }
    }

    /// Waits for the next event; none once the daemon has ended the stream. Events of a type that
    /// this program does not know are passed over. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`ClientError::Unreachable`] where the connection breaks, within a line too, or nothing is
    /// heard for too long ([`Client::with_silence`](crate::Client::with_silence)),
    /// [`ClientError::Protocol`] where a line is no event or longer than a megabyte.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if let Some(event) = self.buffered()? {
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

    /// The next event among the lines that have come.
    fn buffered(&mut self) -> Result<Option<Event>, ClientError> {
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
            let event = Event::parse(line).map_err(|error| {
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
