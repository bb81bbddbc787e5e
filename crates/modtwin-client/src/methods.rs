//! The calls of direct methods, as long as the connection of their stream lives.

use std::path::PathBuf;
use std::time::Duration;

use modtwin_api::MethodEvent;

use crate::ClientError;
use crate::exchange::Open;
use crate::stream::Stream;

/// The calls of the methods that were claimed. Dropping it closes the connection, which gives the
/// methods back.
#[derive(Debug)]
pub struct Methods(Stream);

impl Methods {
    pub(crate) fn new(socket: PathBuf, open: Open, silence: Duration) -> Self {
        Self(Stream::new(socket, open, silence))
    }

    /// Waits for the next line; none once the daemon has ended the stream. Lines of a type that this
    /// program does not know are passed over. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`Watch::next`](crate::Watch::next).
    pub async fn next(&mut self) -> Result<Option<MethodEvent>, ClientError> {
        self.0.next(MethodEvent::parse).await
    }
}
