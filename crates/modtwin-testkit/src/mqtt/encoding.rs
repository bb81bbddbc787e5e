//! Packets to bytes and back, no more than a client needs. Section numbers are those of MQTT 3.1.1.

use anyhow::{Context as _, bail};
use serde_json::Value;

/// What a CONNECT says (3.1). Every field may be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The protocol's name.
    pub protocol: String,
    /// The protocol's level.
    pub level: u8,
    /// Asks for a session without memory.
    pub clean_session: bool,
    /// Seconds.
    pub keep_alive: u16,
    /// The client id.
    pub client_id: String,
    /// The message that follows a link's end without DISCONNECT.
    pub will: Option<Will>,
    /// The user name.
    pub user_name: Option<String>,
    /// The password.
    pub password: Option<Vec<u8>>,
}

/// The will of a CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// 0 to 2.
    pub qos: u8,
}

impl Login {
    /// What a module says that does as SDKs do: MQTT level 4, clean session 0.
    #[must_use]
    pub fn new(client_id: &str, user_name: &str, password: Option<&str>) -> Self {
        Self {
            protocol: "MQTT".to_owned(),
            level: 4,
            clean_session: false,
            keep_alive: 60,
            client_id: client_id.to_owned(),
            will: None,
            user_name: Some(user_name.to_owned()),
            password: password.map(|text| text.as_bytes().to_vec()),
        }
    }

    /// The bytes of the packet.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut flags = u8::from(self.clean_session) << 1;
        if let Some(will) = &self.will {
            flags |= 0x04 | (will.qos & 3) << 3;
        }
        flags |= u8::from(self.user_name.is_some()) << 7;
        flags |= u8::from(self.password.is_some()) << 6;
        let mut body = text(self.protocol.as_bytes());
        body.extend([self.level, flags]);
        body.extend(self.keep_alive.to_be_bytes());
        body.extend(text(self.client_id.as_bytes()));
        if let Some(will) = &self.will {
            body.extend(text(will.topic.as_bytes()));
            body.extend(text(&will.payload));
        }
        if let Some(user_name) = &self.user_name {
            body.extend(text(user_name.as_bytes()));
        }
        if let Some(password) = &self.password {
            body.extend(text(password));
        }
        packet(0x10, &body)
    }
}

/// A PUBLISH that came (3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The topic.
    pub topic: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// 0 to 2.
    pub qos: u8,
    /// Whether it says that it was kept for those who come late.
    pub retain: bool,
    /// The packet id, with QoS above 0.
    pub id: Option<u16>,
}

impl Message {
    /// The payload as JSON.
    ///
    /// # Errors
    ///
    /// Where it is none.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.payload)
            .with_context(|| format!("expected JSON on `{}`, found {self:?}", self.topic))
    }
}

/// A packet that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// 3.2.
    ConnAck {
        /// Whether the hub has kept a session.
        session_present: bool,
        /// 0: accepted.
        code: u8,
    },
    /// 3.3.
    Message(Message),
    /// 3.4.
    PubAck(u16),
    /// 3.9.
    SubAck {
        /// Of which SUBSCRIBE.
        id: u16,
        /// A granted QoS, or 0x80, for each filter.
        codes: Vec<u8>,
    },
    /// 3.11.
    UnsubAck(u16),
    /// 3.13.
    PingResp,
    /// Any other.
    Other {
        /// Type and flags.
        first: u8,
        /// What follows the fixed header.
        body: Vec<u8>,
    },
}

/// A text or a string of bytes with its length (1.5.3).
#[must_use]
pub fn text(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], bytes].concat()
}

/// A whole packet: type and flags, remaining length (2.2.3), body.
#[must_use]
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut left = body.len();
    loop {
        let seven = u8::try_from(left & 0x7f).unwrap_or_default();
        left >>= 7;
        bytes.push(seven | if left > 0 { 0x80 } else { 0 });
        if left == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

/// A PUBLISH; `first` is 0x30 and its flags.
#[must_use]
pub fn publish(first: u8, topic: &str, id: Option<u16>, payload: &[u8]) -> Vec<u8> {
    let mut body = text(topic.as_bytes());
    body.extend(id.into_iter().flat_map(u16::to_be_bytes));
    body.extend(payload);
    packet(first, &body)
}

/// A SUBSCRIBE.
#[must_use]
pub fn subscribe(id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    for (filter, qos) in filters {
        body.extend(text(filter.as_bytes()));
        body.push(*qos);
    }
    packet(0x82, &body)
}

/// An UNSUBSCRIBE.
#[must_use]
pub fn unsubscribe(id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend(filters.iter().flat_map(|filter| text(filter.as_bytes())));
    packet(0xa2, &body)
}

/// A PINGREQ.
#[must_use]
pub fn ping() -> Vec<u8> {
    packet(0xc0, &[])
}

/// Takes a whole packet off the front of `input`; none where more bytes are needed.
pub(super) fn take(input: &mut Vec<u8>) -> anyhow::Result<Option<Heard>> {
    let Some((&first, rest)) = input.split_first() else { return Ok(None) };
    let (mut length, mut head) = (0_usize, 1);
    loop {
        let Some(&byte) = rest.get(head - 1) else { return Ok(None) };
        length |= usize::from(byte & 0x7f) << (7 * (head - 1));
        head += 1;
        if byte & 0x80 == 0 {
            break;
        }
        if head > 4 {
            bail!("a remaining length of more than four bytes");
        }
    }
    if input.len() < head + length {
        return Ok(None);
    }
    let body: Vec<u8> = input.drain(..head + length).skip(head).collect();
    read(first, body).map(Some)
}

fn read(first: u8, body: Vec<u8>) -> anyhow::Result<Heard> {
    let number = |bytes: &[u8]| match bytes {
        &[high, low] => Ok(u16::from_be_bytes([high, low])),
        other => bail!("expected a packet id, found {other:?}"),
    };
    Ok(match (first, body.as_slice()) {
        (0x20, &[present, code]) => Heard::ConnAck { session_present: present == 1, code },
        (0x30..=0x3f, _) => Heard::Message(message(first, &body)?),
        (0x40, id) => Heard::PubAck(number(id)?),
        (0x90, &[high, low, ref codes @ ..]) => {
            Heard::SubAck { id: u16::from_be_bytes([high, low]), codes: codes.to_vec() }
        }
        (0xb0, id) => Heard::UnsubAck(number(id)?),
        (0xd0, &[]) => Heard::PingResp,
        _ => Heard::Other { first, body },
    })
}

fn message(first: u8, body: &[u8]) -> anyhow::Result<Message> {
    let qos = first >> 1 & 3;
    let cut = || format!("expected a PUBLISH, found {body:?}");
    let (length, rest) = body.split_first_chunk().with_context(cut)?;
    let (topic, rest) =
        rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).with_context(cut)?;
    let (id, payload) = match qos {
        0 => (None, rest),
        _ => {
            let (id, payload) = rest.split_first_chunk().with_context(cut)?;
            (Some(u16::from_be_bytes(*id)), payload)
        }
    };
    let topic = std::str::from_utf8(topic).with_context(cut)?.to_owned();
    Ok(Message { topic, payload: payload.to_vec(), qos, retain: first & 1 == 1, id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_example_of_a_remaining_length_is_written_and_read() {
        let bytes = packet(0x30, &[&[0, 1, b'a'][..], &[7; 318]].concat());
        assert_eq!(bytes[..3], [0x30, 0xc1, 0x02], "321 is 193, 2 (2.2.3)");
        let mut input = bytes.clone();
        input.push(0xd0);
        let Some(Heard::Message(message)) = take(&mut input).unwrap() else { panic!("a message") };
        assert_eq!((message.topic.as_str(), message.payload.len(), message.id), ("a", 318, None));
        assert_eq!(take(&mut input).unwrap(), None, "one byte of the next packet is there");
    }

    #[test]
    fn a_login_is_written_as_the_standard_has_it() {
        let mut login = Login::new("d/m", "u", Some("p"));
        login.will = Some(Will { topic: "t".to_owned(), payload: b"w".to_vec(), qos: 1 });
        let expected = b"\x10\x1b\0\x04MQTT\x04\xcc\0\x3c\0\x03d/m\0\x01t\0\x01w\0\x01u\0\x01p";
        assert_eq!(login.bytes(), expected);
    }
}
