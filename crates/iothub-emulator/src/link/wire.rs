//! A byte stream with packets on it: buffers both ways, closing in good order.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::timeout;

use super::handle::Ending;
use super::requests::MOST_MESSAGE_BYTES;
use crate::packet::{self, Packet};

/// Holds the stream and what is read and not yet understood, or to be written.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    pub(super) reader: ReadHalf<S>,
    pub(super) writer: WriteHalf<S>,
    pub(super) input: BytesMut,
    pub(super) output: BytesMut,
}

impl<S: AsyncRead + AsyncWrite> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self { reader, writer, input: BytesMut::new(), output: BytesMut::new() }
    }

    /// Takes a packet off what was read.
    pub(crate) fn decode(&mut self) -> Result<Option<Packet>, Ending> {
        packet::decode(&mut self.input, MOST_PACKET_BYTES).map_err(|_| Ending::Malformed)
    }

    /// Waits for one packet.
    pub(crate) async fn next_packet(&mut self) -> Result<Packet, Ending> {
        loop {
            if let Some(packet) = self.decode()? {
                return Ok(packet);
            }
            match self.reader.read_buf(&mut self.input).await {
                Ok(0) => return Err(Ending::Closed),
                Ok(_) => {}
                Err(error) => return Err(Ending::of_read(&error)),
            }
        }
    }

    /// Appends a packet to what is to be written. The hub's own packets always fit.
    pub(crate) fn push(&mut self, packet: &Packet) {
        if let Err(error) = packet::encode(packet, &mut self.output) {
            tracing::error!(error = %error, "cannot encode a packet");
        }
    }

    /// Writes what is left and closes: close_notify and FIN one after the other (the C SDK stays connected for 30 s
    /// unless FIN follows at once). Then reads the rest away for a moment, so that no reset overtakes the last packet.
    pub(crate) async fn close(mut self) {
        let orderly = async {
            self.writer.write_all_buf(&mut self.output).await?;
            self.writer.shutdown().await?;
            loop {
                self.input.clear();
                if self.reader.read_buf(&mut self.input).await? == 0 {
                    return Ok::<(), std::io::Error>(());
                }
            }
        };
        // Whoever does not take its last packet in time loses it.
        let _ = timeout(CLOSE_WAIT, orderly).await;
    }
}

/// Most bytes of a packet behind its fixed header: the hub's largest message, the longest topic with its length, and a
/// packet identifier.
const MOST_PACKET_BYTES: usize = MOST_MESSAGE_BYTES + 2 + 65_535 + 2;
const CLOSE_WAIT: Duration = Duration::from_secs(1);
