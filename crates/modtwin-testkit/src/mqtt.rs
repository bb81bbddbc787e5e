//! An MQTT 3.1.1 client that says what it is told, wrong things included, and shows what it hears.
//!
//! Written from the standard (OASIS, MQTT 3.1.1) without a line of the emulator's or the daemon's
//! codec, so that none of them is judged by itself. Bytes are `encoding`'s; this file owns the
//! conversation.

mod encoding;

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_openssl::SslStream;

pub use encoding::{
    Heard, Login, Message, Will, packet, ping, publish, subscribe, text, unsubscribe,
};

use crate::dialer::Dialer;
use crate::websocket::{self, Upgrade};

/// How long anything may be waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The filter of answers to twin requests.
pub const ANSWERS: &str = "$iothub/twin/res/#";
/// The filter of desired notifications.
pub const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/#";
/// The filter of method calls.
pub const METHODS: &str = "$iothub/methods/POST/#";

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: SslStream<TcpStream>,
    /// Frames not yet whole, where MQTT travels in WebSocket frames.
    frames: Option<Vec<u8>>,
    input: Vec<u8>,
    /// Messages that came while something else was waited for.
    aside: VecDeque<Message>,
    next_id: u16,
    /// Whether CONNACK said that there was a session.
    pub session_present: bool,
}

impl Client {
    /// Connects TCP and TLS and nothing more.
    ///
    /// # Errors
    ///
    /// As for [`Dialer::dial`].
    pub async fn dial(dialer: &Dialer) -> anyhow::Result<Self> {
        Ok(Self::on(dialer.dial().await?))
    }

    /// Speaks on a stream that is there.
    #[must_use]
    pub fn on(stream: SslStream<TcpStream>) -> Self {
        Self {
            stream,
            frames: None,
            input: Vec::new(),
            aside: VecDeque::new(),
            next_id: 0,
            session_present: false,
        }
    }

    /// Connects TCP and TLS and asks for a WebSocket; no client where the hub does not agree.
    ///
    /// # Errors
    ///
    /// Where the hub can't be reached or answers with what is no HTTP.
    pub async fn dial_websocket(
        dialer: &Dialer,
        target: &str,
        subprotocol: Option<&str>,
    ) -> anyhow::Result<(Upgrade, Option<Self>)> {
        let mut stream = dialer.dial().await?;
        let asking = websocket::upgrade(&mut stream, dialer.host(), target, subprotocol);
        let upgrade = timeout(PATIENCE, asking).await.context("no answer to the upgrade")??;
        let client = (upgrade.status == 101)
            .then(|| Self { frames: Some(upgrade.rest.clone()), ..Self::on(stream) });
        Ok((upgrade, client))
    }

    /// Sends CONNECT and gives CONNACK's code.
    ///
    /// # Errors
    ///
    /// Where something else than CONNACK comes, or nothing.
    pub async fn log_in(&mut self, login: &Login) -> anyhow::Result<u8> {
        self.send(&login.bytes()).await;
        match self.hear().await? {
            Some(Heard::ConnAck { session_present, code }) => {
                self.session_present = session_present;
                Ok(code)
            }
            other => bail!("expected CONNACK, found {other:?}"),
        }
    }

    /// Sends bytes as they are. Whether they arrive shows in what comes back.
    pub async fn send(&mut self, bytes: &[u8]) {
        let bytes = match self.frames {
            Some(_) => websocket::client_frame(2, bytes).unwrap_or_default(),
            None => bytes.to_vec(),
        };
        let _lost_where_the_hub_has_closed = timeout(PATIENCE, self.stream.write_all(&bytes)).await;
    }

    /// Waits for the next packet; none where the hub closed the link.
    ///
    /// # Errors
    ///
    /// Where neither comes in time, or what comes is no packet.
    pub async fn hear(&mut self) -> anyhow::Result<Option<Heard>> {
        timeout(PATIENCE, self.hear_for_ever())
            .await
            .with_context(|| format!("expected a packet or an end within {PATIENCE:?}"))?
    }

    async fn hear_for_ever(&mut self) -> anyhow::Result<Option<Heard>> {
        loop {
            if let Some(heard) = encoding::take(&mut self.input)? {
                return Ok(Some(heard));
            }
            let into = self.frames.as_mut().unwrap_or(&mut self.input);
            match self.stream.read_buf(into).await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            }
            if let Some(frames) = &mut self.frames {
                while let Some(frame) = websocket::take_frame(frames)? {
                    match frame.opcode {
                        2 => self.input.extend(frame.payload),
                        8 => return Ok(None),
                        _ => {}
                    }
                }
            }
        }
    }

    /// Waits for the end of the link; messages and acknowledgements before it are passed over.
    ///
    /// # Errors
    ///
    /// Where the link stays, or something else comes.
    pub async fn closed(&mut self) -> anyhow::Result<()> {
        loop {
            match self.hear().await.context("expected the end of the link")? {
                None => return Ok(()),
                Some(Heard::Message(_) | Heard::PubAck(_)) => {}
                Some(other) => bail!("expected the end of the link, found {other:?}"),
            }
        }
    }

    /// Says whether the link still answers a PINGREQ; messages meanwhile are put aside.
    ///
    /// # Errors
    ///
    /// Where it neither answers nor ends in time.
    pub async fn is_alive(&mut self) -> anyhow::Result<bool> {
        self.send(&ping()).await;
        loop {
            match self.hear().await? {
                Some(Heard::PingResp) => return Ok(true),
                Some(Heard::Message(message)) => self.put_aside(message).await,
                Some(_) => {}
                None => return Ok(false),
            }
        }
    }

    /// Gives the next message; acknowledges QoS 1.
    ///
    /// # Errors
    ///
    /// Where none comes.
    pub async fn message(&mut self) -> anyhow::Result<Message> {
        if let Some(message) = self.aside.pop_front() {
            return Ok(message);
        }
        loop {
            match self.hear().await? {
                Some(Heard::Message(message)) => {
                    self.acknowledge(&message).await;
                    return Ok(message);
                }
                Some(Heard::PubAck(_)) => {}
                other => bail!("expected a message, found {other:?}"),
            }
        }
    }

    /// As [`Client::message`], however long it takes.
    ///
    /// # Errors
    ///
    /// Where the link ends, or another packet comes.
    pub async fn message_whenever(&mut self) -> anyhow::Result<Message> {
        loop {
            match self.hear_for_ever().await? {
                Some(Heard::Message(message)) => {
                    self.acknowledge(&message).await;
                    return Ok(message);
                }
                Some(Heard::PubAck(_)) => {}
                other => bail!("expected a message, found {other:?}"),
            }
        }
    }

    /// Gives the messages that came while something else was waited for.
    pub fn heard_meanwhile(&mut self) -> Vec<Message> {
        self.aside.drain(..).collect()
    }

    async fn acknowledge(&mut self, message: &Message) {
        if let Some(id) = message.id {
            self.send(&packet(0x40, &id.to_be_bytes())).await;
        }
    }

    async fn put_aside(&mut self, message: Message) {
        self.acknowledge(&message).await;
        self.aside.push_back(message);
    }

    /// Gives a packet id that was not used for 65,535 packets.
    pub fn fresh_id(&mut self) -> u16 {
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        self.next_id
    }

    /// Subscribes and gives SUBACK's codes; messages meanwhile are put aside.
    ///
    /// # Errors
    ///
    /// Where no SUBACK comes.
    pub async fn subscribe(&mut self, filters: &[(&str, u8)]) -> anyhow::Result<Vec<u8>> {
        let asked = self.fresh_id();
        self.send(&subscribe(asked, filters)).await;
        loop {
            match self.hear().await? {
                Some(Heard::SubAck { id, codes }) if id == asked => return Ok(codes),
                Some(Heard::Message(message)) => self.put_aside(message).await,
                Some(Heard::PubAck(_)) => {}
                other => bail!("expected SUBACK, found {other:?}"),
            }
        }
    }

    /// Subscribes to what every SDK subscribes to for twins.
    ///
    /// # Errors
    ///
    /// Where the hub does not grant it.
    pub async fn subscribe_twin(&mut self) -> anyhow::Result<()> {
        let codes = self.subscribe(&[(ANSWERS, 0), (DESIRED, 1)]).await?;
        match codes.as_slice() {
            [0, 1] => Ok(()),
            other => bail!("expected QoS 0 and 1 to be granted, found {other:?}"),
        }
    }

    /// Gives filters up; messages meanwhile are put aside.
    ///
    /// # Errors
    ///
    /// Where no UNSUBACK comes.
    pub async fn unsubscribe(&mut self, filters: &[&str]) -> anyhow::Result<()> {
        let asked = self.fresh_id();
        self.send(&unsubscribe(asked, filters)).await;
        loop {
            match self.hear().await? {
                Some(Heard::UnsubAck(id)) if id == asked => return Ok(()),
                Some(Heard::Message(message)) => self.put_aside(message).await,
                Some(Heard::PubAck(_)) => {}
                other => bail!("expected UNSUBACK, found {other:?}"),
            }
        }
    }

    /// Publishes with QoS 0.
    pub async fn publish(&mut self, topic: &str, payload: &[u8]) {
        self.send(&publish(0x30, topic, None, payload)).await;
    }

    /// Publishes with QoS 1 and waits for PUBACK; messages meanwhile are put aside.
    ///
    /// # Errors
    ///
    /// Where no PUBACK comes.
    pub async fn publish_acknowledged(
        &mut self,
        topic: &str,
        payload: &[u8],
    ) -> anyhow::Result<()> {
        let asked = self.fresh_id();
        self.send(&publish(0x32, topic, Some(asked), payload)).await;
        loop {
            match self.hear().await? {
                Some(Heard::PubAck(id)) if id == asked => return Ok(()),
                Some(Heard::Message(message)) => self.put_aside(message).await,
                other => bail!("expected PUBACK, found {other:?}"),
            }
        }
    }

    /// Asks for the twin and gives it; notifications that come first are put aside.
    ///
    /// # Errors
    ///
    /// Where the answer is not 200 with JSON.
    pub async fn twin(&mut self) -> anyhow::Result<Value> {
        self.publish("$iothub/twin/GET/?$rid=twin", b"").await;
        let answer = self.answer().await?;
        if answer.topic != "$iothub/twin/res/200/?$rid=twin" {
            bail!("expected the twin, found {answer:?}");
        }
        answer.json()
    }

    /// Waits for an answer on `$iothub/twin/res/`; other messages are put aside.
    ///
    /// # Errors
    ///
    /// Where none comes.
    pub async fn answer(&mut self) -> anyhow::Result<Message> {
        let is_answer = |message: &Message| message.topic.starts_with("$iothub/twin/res/");
        if let Some(at) = self.aside.iter().position(is_answer) {
            return self.aside.remove(at).context("a message");
        }
        loop {
            match self.hear().await? {
                Some(Heard::Message(message)) if is_answer(&message) => {
                    self.acknowledge(&message).await;
                    return Ok(message);
                }
                Some(Heard::Message(message)) => self.put_aside(message).await,
                Some(Heard::PubAck(_)) => {}
                other => bail!("expected an answer, found {other:?}"),
            }
        }
    }

    /// Reports and gives the answer.
    ///
    /// # Errors
    ///
    /// Where none comes.
    pub async fn report(&mut self, rid: &str, patch: &[u8]) -> anyhow::Result<Message> {
        let topic = format!("$iothub/twin/PATCH/properties/reported/?$rid={rid}");
        self.publish(&topic, patch).await;
        self.answer().await
    }

    /// Waits for a desired notification and gives the version in its topic, and its body.
    ///
    /// # Errors
    ///
    /// Where another message comes, or none.
    pub async fn desired(&mut self) -> anyhow::Result<(u64, Value)> {
        let message = self.message().await?;
        let version = message
            .topic
            .strip_prefix("$iothub/twin/PATCH/properties/desired/?$version=")
            .and_then(|version| version.parse().ok());
        let version = version
            .with_context(|| format!("expected a desired notification, found {message:?}"))?;
        Ok((version, message.json()?))
    }
}
