//! A small MQTT client that does what it is told, wrong things included.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use iothub_emulator::packet::{Connect, Packet, Password, Publish, Will, decode, encode};
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_openssl::SslStream;

use super::{Credential, PATIENCE};

/// What a client says in CONNECT and shows in the handshake.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) client_id: String,
    pub(crate) user_name: String,
    pub(crate) password: Option<String>,
    pub(crate) credential: Option<Credential>,
    pub(crate) clean_session: bool,
    pub(crate) keep_alive: u16,
    pub(crate) will: Option<Will>,
    pub(crate) tls: Option<SslVersion>,
}

impl Login {
    pub(crate) fn module(device: &str, module: &str) -> Self {
        Self::identity(&format!("{device}/{module}"))
    }

    pub(crate) fn identity(id: &str) -> Self {
        Self {
            client_id: id.to_owned(),
            user_name: format!("localhost/{id}/?api-version=2021-04-12"),
            password: None,
            credential: None,
            clean_session: false,
            keep_alive: 60,
            will: None,
            tls: None,
        }
    }

    pub(crate) fn with_token(mut self, token: &str) -> Self {
        self.password = Some(token.to_owned());
        self
    }

    pub(crate) fn with_certificate(mut self, credential: Credential) -> Self {
        self.credential = Some(credential);
        self
    }

    pub(crate) fn packet(&self) -> Packet {
        Packet::Connect(Box::new(Connect {
            clean_session: self.clean_session,
            keep_alive: self.keep_alive,
            client_id: self.client_id.clone(),
            will: self.will.clone(),
            user_name: Some(self.user_name.clone()),
            password: self.password.clone().map(|text| Password(Bytes::from(text))),
        }))
    }
}

/// Bytes both ways, over TLS alone or over WebSockets.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// One connection.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    input: BytesMut,
    pub(crate) session_present: bool,
    next_id: u16,
    /// Messages that came while something else was waited for.
    aside: Vec<Publish>,
}

impl Client {
    /// Connects TLS and nothing more.
    pub(crate) async fn dial(port: u16, login: &Login) -> Self {
        Self::over(Box::new(Self::handshake(port, login).await))
    }

    /// Speaks over a stream that is there already.
    pub(crate) fn over(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            session_present: false,
            next_id: 0,
            aside: Vec::new(),
        }
    }

    /// Shakes hands, with the login's certificate.
    pub(crate) async fn handshake(port: u16, login: &Login) -> SslStream<TcpStream> {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("a connector");
        // The server's name is the REST client's to verify, in every test.
        builder.set_verify(SslVerifyMode::NONE);
        if let Some(version) = login.tls {
            builder.set_max_proto_version(Some(version)).expect("a version");
            builder.set_min_proto_version(Some(version)).expect("a version");
        }
        if let Some(credential) = &login.credential {
            builder.set_private_key(&credential.key).expect("a key");
            let (leaf, rest) = credential.chain.split_first().expect("a leaf");
            builder.set_certificate(leaf).expect("a certificate");
            for certificate in rest {
                builder.add_extra_chain_cert(certificate.clone()).expect("a chain");
            }
        }
        let ssl = builder
            .build()
            .configure()
            .expect("a configuration")
            .into_ssl("localhost")
            .expect("a session");
        let tcp = TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
        tcp.set_nodelay(true).expect("no delay");
        let mut stream = SslStream::new(ssl, tcp).expect("a stream");
        Pin::new(&mut stream).connect().await.expect("a handshake");
        stream
    }

    /// Connects and logs in; `Err` is the CONNACK's code.
    pub(crate) async fn connect(port: u16, login: &Login) -> Result<Self, u8> {
        Self::dial(port, login).await.log_in(login).await
    }

    /// Logs in; `Err` is the CONNACK's code.
    pub(crate) async fn log_in(mut self, login: &Login) -> Result<Self, u8> {
        self.send(&login.packet()).await;
        match self.receive().await {
            Some(Packet::ConnAck { session_present, code: 0 }) => {
                self.session_present = session_present;
                Ok(self)
            }
            Some(Packet::ConnAck { code, .. }) => Err(code),
            other => panic!("expected CONNACK, found {other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        encode(packet, &mut bytes).expect("encodes");
        self.send_raw(&bytes).await;
    }

    /// Sends bytes as they are; whether they arrive shows in what comes back.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Gives the next packet, `None` when the hub closed the link.
    pub(crate) async fn receive(&mut self) -> Option<Packet> {
        timeout(PATIENCE, self.receive_for_ever()).await.expect("a packet or an end, in time")
    }

    async fn receive_for_ever(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = decode(&mut self.input, 1 << 20).expect("whole packets") {
                return Some(packet);
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Says whether nothing at all arrives for a while.
    pub(crate) async fn hears_nothing_for(&mut self, span: Duration) -> bool {
        self.aside.is_empty() && timeout(span, self.receive_for_ever()).await.is_err()
    }

    /// Waits for the end of the link; messages before it are passed over.
    pub(crate) async fn is_closed(&mut self) -> bool {
        while let Some(packet) = self.receive().await {
            assert!(
                matches!(packet, Packet::Publish(_) | Packet::PubAck(_)),
                "expected the end, found {packet:?}"
            );
        }
        true
    }

    /// Gives the next PUBLISH; acknowledges QoS 1.
    pub(crate) async fn message(&mut self) -> Publish {
        if !self.aside.is_empty() {
            return self.aside.remove(0);
        }
        loop {
            match self.receive().await {
                Some(Packet::Publish(publish)) => {
                    if let Some(id) = publish.id {
                        self.send(&Packet::PubAck(id)).await;
                    }
                    return publish;
                }
                Some(Packet::PubAck(_)) => {}
                other => panic!("expected PUBLISH, found {other:?}"),
            }
        }
    }

    pub(crate) async fn subscribe(&mut self, filters: &[(&str, u8)]) -> Vec<u8> {
        self.next_id += 1;
        let filters = filters.iter().map(|(filter, qos)| ((*filter).to_owned(), *qos)).collect();
        self.send(&Packet::Subscribe { id: self.next_id, filters }).await;
        loop {
            match self.receive().await {
                Some(Packet::SubAck { id, codes }) => {
                    assert_eq!(id, self.next_id);
                    return codes;
                }
                Some(Packet::Publish(publish)) => self.aside.push(publish),
                other => panic!("expected SUBACK, found {other:?}"),
            }
        }
    }

    /// Subscribes to what every SDK subscribes to.
    pub(crate) async fn subscribe_twin(&mut self) {
        let filters = [("$iothub/twin/res/#", 0), ("$iothub/twin/PATCH/properties/desired/#", 1)];
        assert_eq!(self.subscribe(&filters).await, [0, 1]);
    }

    pub(crate) async fn publish(&mut self, topic: &str, payload: impl Into<Bytes>) {
        let publish = Publish {
            dup: false,
            qos: 0,
            retain: false,
            topic: topic.to_owned(),
            id: None,
            payload: payload.into(),
        };
        self.send(&Packet::Publish(publish)).await;
    }

    pub(crate) async fn ask_twin(&mut self, rid: &str) {
        self.publish(&format!("$iothub/twin/GET/?$rid={rid}"), Bytes::new()).await;
    }

    /// Gets the twin; notifications that come first are put aside.
    pub(crate) async fn twin(&mut self) -> Value {
        self.ask_twin("g").await;
        let answer = self.answer().await;
        assert_eq!(answer.topic, "$iothub/twin/res/200/?$rid=g");
        serde_json::from_slice(&answer.payload).expect("JSON")
    }

    /// Waits for an answer on `$iothub/twin/res/`; puts other messages aside.
    pub(crate) async fn answer(&mut self) -> Publish {
        let mut others = Vec::new();
        loop {
            let message = self.message().await;
            if message.topic.starts_with("$iothub/twin/res/") {
                others.append(&mut self.aside);
                self.aside = others;
                return message;
            }
            others.push(message);
        }
    }

    /// Reports and gives the answer's topic and body.
    pub(crate) async fn report(&mut self, rid: &str, patch: impl Into<Bytes>) -> (String, Value) {
        self.publish(&format!("$iothub/twin/PATCH/properties/reported/?$rid={rid}"), patch).await;
        let answer = self.answer().await;
        (answer.topic, serde_json::from_slice(&answer.payload).unwrap_or(Value::Null))
    }

    /// Waits for a desired notification and gives its topic's version and its body.
    pub(crate) async fn desired(&mut self) -> (u64, Value) {
        let message = self.message().await;
        let version =
            message.topic.strip_prefix("$iothub/twin/PATCH/properties/desired/?$version=");
        let version =
            version.unwrap_or_else(|| panic!("expected a notification, found {}", message.topic));
        (
            version.parse().expect("a version"),
            serde_json::from_slice(&message.payload).expect("JSON"),
        )
    }

    /// Proves that the link lives.
    pub(crate) async fn ping(&mut self) {
        self.send(&Packet::PingReq).await;
        loop {
            match self.receive().await {
                Some(Packet::PingResp) => return,
                Some(Packet::Publish(publish)) => self.aside.push(publish),
                other => panic!("expected PINGRESP, found {other:?}"),
            }
        }
    }
}
