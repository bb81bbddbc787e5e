//! A watch: the events of one stream, as long as its connection lives.

use std::path::PathBuf;
use std::time::Duration;

use modtwin_api::{Event, Revision};

use crate::ClientError;
use crate::exchange::Open;
use crate::stream::Stream;

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
pub struct Watch(Stream);

impl Watch {
    pub(crate) fn new(socket: PathBuf, open: Open, silence: Duration) -> Self {
        Self(Stream::new(socket, open, silence))
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
        self.0.next(Event::parse).await
    }
}
