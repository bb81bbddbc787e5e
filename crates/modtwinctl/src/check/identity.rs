//! A connection as a module, made to hear whether the hub takes it: CONNECT, CONNACK, DISCONNECT.
//!
//! Owns those three packets of MQTT 3.1.1. Leaves TLS to `modtwin-credentials` and what a user name
//! looks like to `modtwin-wire`. The hub ends another connection of the same identity, so this is
//! for gateways where no daemon runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use modtwin_config::{Hub, Module};
use modtwin_credentials::{Loaded, module_session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_openssl::SslStream;

use super::Proof;
use super::findings::Verdict;
use crate::failure::chain;

/// The first bytes of the packets (MQTT 3.1.1, section 2.2), flags included.
const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const DISCONNECT: [u8; 2] = [0xe0, 0];
/// The name and level of the protocol (section 3.1.2).
const PROTOCOL: &[u8] = b"\0\x04MQTT\x04";
/// A user name, and a password (section 3.1.2.3). Not a clean session: no official client asks
/// for one.
const USER_NAME: u8 = 0x80;
const PASSWORD: u8 = 0x40;
const KEEP_ALIVE_SECONDS: u16 = 60;

/// What is needed to connect as a module.
pub(super) struct Attempt {
    addresses: Vec<SocketAddr>,
    server_name: String,
    trusted_ca: Option<PathBuf>,
    loaded: Loaded,
    hello: Hello,
}

/// What CONNECT says.
struct Hello {
    client_id: String,
    user_name: String,
}

impl Attempt {
    pub(super) fn new(
        hub: &Hub,
        module: &Module,
        proof: &Proof,
        addresses: Vec<SocketAddr>,
    ) -> Self {
        let (device, model) = (&hub.device_id, module.model_id.as_deref());
        Self {
            addresses,
            server_name: hub.dial_name().to_owned(),
            trusted_ca: hub.trusted_ca.clone(),
            loaded: proof.loaded.clone(),
            hello: Hello {
                client_id: modtwin_wire::client_id(device, &module.id),
                user_name: modtwin_wire::user_name(
                    &hub.hostname,
                    device,
                    &module.id,
                    &hub.api_version,
                    model,
                ),
            },
        }
    }

    /// Connects and says what came of it.
    pub(super) async fn verdict(self, limit: Duration) -> Verdict {
        let next = "see whether the hub is well, and what stands between here and it";
        match timeout(limit, self.exchange()).await {
            Ok(Ok(code)) => answer(code),
            Ok(Err(why)) => Verdict::failed(why).next(next),
            Err(_elapsed) => {
                let seconds = limit.as_secs_f32();
                let text = format!("the hub did not answer the connection within {seconds} s");
                Verdict::failed(text).next(next)
            }
        }
    }

    /// Returns the code of the hub's answer.
    async fn exchange(self) -> Result<u8, String> {
        let lost = |error: std::io::Error| {
            format!("the hub ended the connection instead of answering: {error}")
        };
        let session = module_session(&self.server_name, self.trusted_ca.as_deref(), &self.loaded)
            .map_err(|error| chain(&error))?;
        let tcp = TcpStream::connect(self.addresses.as_slice()).await.map_err(lost)?;
        let mut tls = SslStream::new(session, tcp).map_err(|error| error.to_string())?;
        Pin::new(&mut tls).connect().await.map_err(|error| format!("TLS failed: {error}"))?;
        let password = match &self.loaded {
            Loaded::X509 { .. } => None,
            Loaded::Sas { token, .. } => Some(token.expose()),
        };
        let packet = connect(&self.hello, password).ok_or("the user name is too long")?;
        tls.write_all(&packet).await.map_err(lost)?;
        let mut head = [0; 4];
        tls.read_exact(&mut head).await.map_err(lost)?;
        let [CONNACK, 2, _session_present, code] = head else {
            return Err("what answers there does not speak MQTT 3.1.1".to_owned());
        };
        if code == 0 {
            // Politeness only: the answer is there.
            let _ended = tls.write_all(&DISCONNECT).await;
        }
        Ok(code)
    }
}

/// What a code of CONNACK means (MQTT 3.1.1, section 3.2.2.3). Hubs answer nearly every refusal
/// with 5 (azure-iot-sdk-c, doc/connection_and_messaging_reliability.md).
fn answer(code: u8) -> Verdict {
    match code {
        0 => Verdict::ok("the hub took a connection of this identity"),
        4 | 5 => Verdict::failed(format!(
            "the hub refuses this identity (code {code}): it does not exist or is disabled, or the \
             credential is not the registered one"
        ))
        .next(
            "compare the thumbprint, authority or key with the identity at the hub, and see \
             whether device and module are enabled",
        ),
        3 => Verdict::failed("the hub is busy, or the device is disabled (code 3)")
            .next("see whether the device is enabled; otherwise try again later"),
        2 => Verdict::failed("the hub rejects the client id (code 2)")
            .next("check [hub] device-id and the module's id"),
        _ => Verdict::failed(format!("the hub refuses the connection (code {code})"))
            .next("check that [hub] names a hub"),
    }
}

/// The packet CONNECT; none where a part is longer than one may be.
fn connect(hello: &Hello, password: Option<&str>) -> Option<Vec<u8>> {
    let mut body = PROTOCOL.to_vec();
    body.push(USER_NAME | if password.is_some() { PASSWORD } else { 0 });
    body.extend(KEEP_ALIVE_SECONDS.to_be_bytes());
    for text in [Some(hello.client_id.as_str()), Some(&hello.user_name), password] {
        let Some(text) = text else { continue };
        body.extend(u16::try_from(text.len()).ok()?.to_be_bytes());
        body.extend(text.as_bytes());
    }
    let mut packet = vec![CONNECT];
    // Seven bits a byte, the lowest first (section 2.2.3).
    let mut length = body.len();
    loop {
        let low = u8::try_from(length % 128).ok()?;
        length /= 128;
        packet.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    packet.extend(body);
    Some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(user_name: String) -> Hello {
        Hello { client_id: "d/m".to_owned(), user_name }
    }

    #[test]
    fn connect_is_as_the_standard_writes_it() {
        let packet = connect(&hello("u".to_owned()), Some("p")).unwrap();
        let expected = b"\x10\x15\0\x04MQTT\x04\xc0\0\x3c\0\x03d/m\0\x01u\0\x01p";
        assert_eq!(packet, expected);
        let packet = connect(&hello("u".to_owned()), None).unwrap();
        assert_eq!(packet, b"\x10\x12\0\x04MQTT\x04\x80\0\x3c\0\x03d/m\0\x01u");
    }

    #[test]
    fn a_length_takes_as_many_bytes_as_it_needs() {
        let packet = connect(&hello("u".repeat(300)), None).unwrap();
        assert_eq!(packet.get(1..3).unwrap(), [0xbd, 0x02], "317, seven bits a byte");
        assert_eq!(packet.len(), 3 + 317);
        assert!(connect(&hello("u".repeat(70_000)), None).is_none());
    }
}
