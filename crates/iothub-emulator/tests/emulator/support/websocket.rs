//! MQTT over WebSockets, seen from the client: the upgrade, and the client's bytes in frames of any cut.

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{Client, Hub, Login};

/// The path that SDKs ask for.
pub(crate) const PATH: &str = "/$iothub/websocket";

/// A WebSocket after its upgrade.
pub(crate) type Socket = WebSocketStream<SslStream<TcpStream>>;

/// How a client's bytes are cut into frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// What is written in one go is one frame.
    Whole,
    /// Each byte is a frame.
    Bytes,
}

impl Hub {
    /// Upgrades a connection; the login's certificate is shown. Panics when the hub refuses.
    pub(crate) async fn socket(&self, login: &Login, path: &str, protocol: &str) -> Socket {
        self.try_socket(login, path, protocol).await.expect("an upgrade")
    }

    pub(crate) async fn try_socket(
        &self,
        login: &Login,
        path: &str,
        protocol: &str,
    ) -> Result<Socket, tokio_tungstenite::tungstenite::Error> {
        let port = self.running.https_port();
        let stream = Client::handshake(port, login).await;
        let mut request =
            format!("wss://localhost:{port}{path}").into_client_request().expect("a request");
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().expect("a header"));
        // The library refuses an answer with another subprotocol, or with the same one in another case.
        let (socket, _) = client_async(request, stream).await?;
        Ok(socket)
    }

    /// Logs in over a WebSocket.
    pub(crate) async fn connect_socket(
        &self,
        login: &Login,
        path: &str,
        framing: Framing,
    ) -> Result<Client, u8> {
        let socket = self.socket(login, path, "mqtt").await;
        let (ours, pumped) = tokio::io::duplex(1 << 20);
        tokio::spawn(pump(socket, pumped, framing));
        Client::over(Box::new(ours)).log_in(login).await
    }
}

/// Carries bytes between the client and its socket until either ends.
async fn pump(socket: Socket, client: DuplexStream, framing: Framing) {
    let (mut sink, mut frames) = socket.split();
    let (mut reader, mut writer) = tokio::io::split(client);
    let up = async {
        let mut buffer = vec![0; 1 << 20];
        loop {
            let size = match reader.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(size) => size,
            };
            let step = if framing == Framing::Bytes { 1 } else { size };
            for part in buffer[..size].chunks(step) {
                if sink.send(Message::binary(part.to_vec())).await.is_err() {
                    return;
                }
            }
        }
    };
    let down = async {
        while let Some(Ok(message)) = frames.next().await {
            let written = match message {
                Message::Binary(bytes) => writer.write_all(&bytes).await,
                Message::Close(_) => return,
                _ => Ok(()),
            };
            if written.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}
