//! A scripted MQTT 3.1.1 peer: TLS is real, every packet is the script's.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use openssl::ssl::{NameType, Ssl, SslContext, SslMethod, SslVerifyMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_openssl::SslStream;

use crate::authority::Issued;

pub(crate) const CONNECT: u8 = 1;
pub(crate) const PUBLISH: u8 = 3;
pub(crate) const SUBSCRIBE: u8 = 8;
const PINGREQ: u8 = 12;
pub(crate) const DISCONNECT: u8 = 14;

/// A packet that came.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) kind: u8,
    pub(crate) body: Vec<u8>,
}

impl Packet {
    /// Topic and payload of a PUBLISH with QoS 0.
    pub(crate) fn published(&self) -> (String, Vec<u8>) {
        assert_eq!(self.kind, PUBLISH);
        let length = usize::from(u16::from_be_bytes([self.body[0], self.body[1]]));
        let (topic, payload) = self.body[2..].split_at(length);
        (String::from_utf8(topic.to_vec()).unwrap(), payload.to_vec())
    }

    /// Topic, packet id and payload of a PUBLISH with QoS 1.
    pub(crate) fn delivered(&self) -> (String, [u8; 2], Vec<u8>) {
        let (topic, mut rest) = self.published();
        let payload = rest.split_off(2);
        (topic, [rest[0], rest[1]], payload)
    }

    /// The packet id of a SUBSCRIBE.
    pub(crate) fn id(&self) -> [u8; 2] {
        [self.body[0], self.body[1]]
    }
}

/// One connection, after its TLS handshake.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) stream: SslStream<TcpStream>,
    /// Counts the peer's connections from 0.
    pub(crate) number: usize,
}

impl Session {
    /// The next packet; `None` at the connection's end.
    pub(crate) async fn packet(&mut self) -> Option<Packet> {
        let kind = self.stream.read_u8().await.ok()? >> 4;
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = self.stream.read_u8().await.ok()?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.ok()?;
        Some(Packet { kind, body })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // The link may be gone, as many scripts want.
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// Reads CONNECT and answers it.
    pub(crate) async fn welcome(&mut self) -> Packet {
        let connect = self.packet().await.unwrap();
        assert_eq!(connect.kind, CONNECT);
        self.send(&connack(0)).await;
        connect
    }

    /// Answers like a hub that echoes: SUBACK, PINGRESP, and each PUBLISH sent back.
    pub(crate) async fn echo(mut self) {
        self.welcome().await;
        while let Some(packet) = self.packet().await {
            match packet.kind {
                SUBSCRIBE => self.send(&suback(packet.id(), &[1])).await,
                PUBLISH => {
                    let (topic, payload) = packet.published();
                    self.send(&publish(topic.as_bytes(), &payload)).await;
                }
                PINGREQ => self.send(&[0xd0, 0]).await,
                DISCONNECT => return,
                other => panic!("packet of kind {other}"),
            }
        }
    }

    /// Reads until the connection ends and tells what came.
    pub(crate) async fn rest(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        let reading = async {
            while let Some(packet) = self.packet().await {
                packets.push(packet);
            }
        };
        assert!(
            timeout(Duration::from_secs(20), reading).await.is_ok(),
            "the link keeps its connection"
        );
        packets
    }

    /// The server name that the link asked for.
    pub(crate) fn server_name(&self) -> Option<String> {
        self.stream.ssl().servername(NameType::HOST_NAME).map(str::to_owned)
    }
}

/// A listening peer; ends with the test's runtime.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) port: u16,
}

impl Peer {
    /// Plays `script` on each connection.
    pub(crate) async fn start<F, S>(server: &Issued, script: F) -> Self
    where
        F: Fn(Session) -> S + Send + Sync + Clone + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let context = context(server);
        Self::listen(move |stream, number| {
            let (context, script) = (context.clone(), script.clone());
            Box::pin(async move {
                let mut stream = SslStream::new(Ssl::new(&context).unwrap(), stream).unwrap();
                if Pin::new(&mut stream).accept().await.is_ok() {
                    script(Session { stream, number }).await;
                }
            })
        })
        .await
    }

    /// Accepts TCP and says nothing.
    pub(crate) async fn silent() -> Self {
        Self::listen(|stream, _| {
            Box::pin(async move {
                let _held = stream;
                std::future::pending::<()>().await;
            })
        })
        .await
    }

    async fn listen<F>(serve: F) -> Self
    where
        F: Fn(TcpStream, usize) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve(stream, number));
                number += 1;
            }
        });
        Self { port }
    }
}

/// Asks for a client certificate and takes any, as hubs do.
fn context(server: &Issued) -> SslContext {
    let mut context = SslContext::builder(SslMethod::tls_server()).unwrap();
    context.set_certificate(&server.certificate).unwrap();
    context.set_private_key(&server.key).unwrap();
    context.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
    context.set_session_id_context(b"peer").unwrap();
    context.build()
}

pub(crate) fn connack(code: u8) -> [u8; 4] {
    [0x20, 2, 0, code]
}

pub(crate) fn suback(id: [u8; 2], codes: &[u8]) -> Vec<u8> {
    [&[0x90, 2 + codes.len() as u8], &id[..], codes].concat()
}

pub(crate) fn puback(id: [u8; 2]) -> [u8; 4] {
    [0x40, 2, id[0], id[1]]
}

/// A PUBLISH with QoS 0.
pub(crate) fn publish(topic: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x30];
    let mut length = 2 + topic.len() + payload.len();
    loop {
        let more = length > 0x7f;
        packet.push((length & 0x7f) as u8 | if more { 0x80 } else { 0 });
        length >>= 7;
        if !more {
            break;
        }
    }
    packet.extend((topic.len() as u16).to_be_bytes());
    packet.extend(topic);
    packet.extend(payload);
    packet
}
