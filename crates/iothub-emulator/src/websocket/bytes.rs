//! A WebSocket as a stream of bytes: MQTT packets need not end where frames do (MQTT 3.1.1, 6.0). Binary frames carry
//! the bytes, any other kind of data ends the link.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

/// Reads and writes a WebSocket's binary frames as bytes.
#[derive(Debug)]
pub(super) struct ByteStream<S> {
    socket: WebSocketStream<S>,
    /// What is left of the frame that came last.
    rest: Bytes,
    /// Whether a frame lies in the socket's own buffer. The next is taken only when it is gone, so that a client that
    /// does not read holds the session back as it does over TCP.
    is_unflushed: bool,
    /// What the closing frame says, once it is to be sent.
    close_code: CloseCode,
    is_closing: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ByteStream<S> {
    /// Takes the server's side of a stream on which the upgrade has been answered.
    pub(super) async fn accept(stream: S) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(MOST_FRAME_BYTES))
            .max_frame_size(Some(MOST_FRAME_BYTES));
        Self {
            socket: WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await,
            rest: Bytes::new(),
            is_unflushed: false,
            close_code: CloseCode::Normal,
            is_closing: false,
        }
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_unflushed {
            ready!(Pin::new(&mut self.socket).poll_flush(context)).map_err(failed)?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, message: Message) -> io::Result<()> {
        match message {
            Message::Binary(bytes) => self.rest = bytes,
            Message::Text(_) => {
                self.close_code = CloseCode::Unsupported;
                return Err(illegal("a text frame carries no MQTT"));
            }
            // Pings are answered below; what a close means shows in the end of the stream.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ByteStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Whoever reads is awake: what could not be written before goes along.
        if let Poll::Ready(Err(error)) = self.flush(context) {
            return Poll::Ready(Err(error));
        }
        loop {
            if !self.rest.is_empty() {
                let size = self.rest.len().min(buffer.remaining());
                buffer.put_slice(self.rest.get(..size).unwrap_or_default());
                self.rest.advance(size);
                return Poll::Ready(Ok(()));
            }
            match ready!(Pin::new(&mut self.socket).poll_next(context)) {
                Some(Ok(message)) => self.take(message)?,
                Some(Err(error)) => {
                    self.close_code = match &error {
                        Error::Capacity(_) => CloseCode::Size,
                        _ => CloseCode::Protocol,
                    };
                    return Poll::Ready(Err(failed(error)));
                }
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ByteStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.flush(context))?;
        ready!(Pin::new(&mut self.socket).poll_ready(context)).map_err(failed)?;
        let part = bytes.get(..bytes.len().min(WRITE_FRAME_BYTES)).unwrap_or_default();
        let message = Message::Binary(Bytes::copy_from_slice(part));
        Pin::new(&mut self.socket).start_send(message).map_err(failed)?;
        self.is_unflushed = true;
        match self.flush(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // The frame was taken; the rest of it goes with the next call of either side.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(part.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flush(context)
    }

    /// Sends the closing frame, then ends the stream below in its own way.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_closing {
            ready!(Pin::new(&mut self.socket).poll_ready(context)).map_err(failed)?;
            self.is_closing = true;
            let frame = CloseFrame { code: self.close_code, reason: "".into() };
            // A client that closed first has its answer already.
            let _ = Pin::new(&mut self.socket).start_send(Message::Close(Some(frame)));
            self.is_unflushed = true;
        }
        ready!(self.flush(context))?;
        Pin::new(self.socket.get_mut()).poll_shutdown(context)
    }
}

/// Keeps apart what a client should not have sent and what the network did.
fn failed(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::Protocol(_) | Error::Capacity(_) | Error::Utf8(_) => illegal(&error.to_string()),
        other => io::Error::other(other),
    }
}

fn illegal(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Read ahead of what is asked for; allocated for each link.
const READ_BUFFER_BYTES: usize = 8 * 1024;
/// Most bytes of a frame from a client, and of a message in several frames: room for some of the largest packets.
const MOST_FRAME_BYTES: usize = 1024 * 1024;
/// Most bytes of a frame to a client.
const WRITE_FRAME_BYTES: usize = 64 * 1024;
