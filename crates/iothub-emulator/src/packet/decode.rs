//! Bytes to packets. Total: any bytes give a packet, "more bytes needed" or a named error, never a panic.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use super::{Connect, Packet, Password, Publish, Will};

/// Says why bytes are not an MQTT 3.1.1 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The remaining length takes more than four bytes (2.2.3).
    #[error("remaining length runs over four bytes")]
    LengthTooLong,
    /// The packet is larger than the reader allows.
    #[error("packet too large: expected at most {limit} bytes, found {size}")]
    TooLarge {
        /// Most bytes allowed after the fixed header.
        limit: usize,
        /// Bytes announced.
        size: usize,
    },
    /// A field runs past the packet's end.
    #[error("packet ends inside a field")]
    Truncated,
    /// Bytes are left over behind the last field.
    #[error("{0} bytes left over behind the last field")]
    LeftOver(usize),
    /// The fixed header's flags are not what its type demands (2.2.2).
    #[error("packet type {kind} with illegal flags {flags:#x}")]
    BadFlags {
        /// The packet type, 0 to 15.
        kind: u8,
        /// The low four bits.
        flags: u8,
    },
    /// The packet type is 0 or 15 (2.2.1).
    #[error("unknown packet type {0}")]
    UnknownType(u8),
    /// A text is not UTF-8 or holds U+0000 (1.5.3).
    #[error("text is not UTF-8 or holds U+0000")]
    BadText,
    /// A QoS is above 2, or above what its place allows.
    #[error("illegal quality of service {0}")]
    BadQos(u8),
    /// A packet identifier is 0 (2.3.1).
    #[error("packet identifier is zero")]
    ZeroId,
    /// A SUBSCRIBE or UNSUBSCRIBE names no topic (3.8.3, 3.10.3).
    #[error("no topic filter in the packet")]
    NoFilter,
    /// A topic name is empty or holds a wildcard (4.7).
    #[error("illegal topic name")]
    BadTopic,
    /// A topic filter is empty or has a misplaced wildcard (4.7).
    #[error("illegal topic filter")]
    BadFilter,
    /// CONNECT names another protocol, or its flags contradict each other (3.1.2).
    #[error("CONNECT with another protocol name or contradicting flags")]
    BadConnect,
}

/// Takes one packet off the front of `buffer`; `None` asks for more bytes.
///
/// `limit` is the most bytes allowed after the fixed header. After an error the buffer's content is unspecified: the
/// link is to be closed (4.8).
///
/// # Errors
/// Says what makes the bytes no packet.
pub fn decode(buffer: &mut BytesMut, limit: usize) -> Result<Option<Packet>, DecodeError> {
    let Some(&first) = buffer.first() else {
        return Ok(None);
    };
    let (kind, flags) = (first >> 4, first & 0x0f);
    check_flags(kind, flags)?;
    let Some((size, width)) = remaining_length(buffer.get(1..).unwrap_or_default())? else {
        return Ok(None);
    };
    if size > limit {
        return Err(DecodeError::TooLarge { limit, size });
    }
    if buffer.len() < 1 + width + size {
        return Ok(None);
    }
    buffer.advance(1 + width);
    let mut fields = Fields(buffer.split_to(size).freeze());
    let packet = body(kind, flags, &mut fields)?;
    match packet {
        Packet::OtherLevel(_) => Ok(Some(packet)),
        _ if fields.0.is_empty() => Ok(Some(packet)),
        _ => Err(DecodeError::LeftOver(fields.0.len())),
    }
}

fn check_flags(kind: u8, flags: u8) -> Result<(), DecodeError> {
    let expected = match kind {
        3 => return Ok(()),
        6 | 8 | 10 => 0b0010,
        1..=14 => 0,
        _ => return Err(DecodeError::UnknownType(kind)),
    };
    if flags == expected { Ok(()) } else { Err(DecodeError::BadFlags { kind, flags }) }
}

fn remaining_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, DecodeError> {
    let mut size = 0usize;
    for index in 0..4 {
        let Some(&byte) = bytes.get(index) else {
            return Ok(None);
        };
        size |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((size, index + 1)));
        }
    }
    Err(DecodeError::LengthTooLong)
}

fn body(kind: u8, flags: u8, fields: &mut Fields) -> Result<Packet, DecodeError> {
    Ok(match kind {
        1 => connect(fields)?,
        2 => {
            let acknowledge = fields.byte()?;
            if acknowledge > 1 {
                return Err(DecodeError::BadFlags { kind, flags });
            }
            Packet::ConnAck { session_present: acknowledge == 1, code: fields.byte()? }
        }
        3 => publish(flags, fields)?,
        4 => Packet::PubAck(fields.id()?),
        5 => Packet::PubRec(fields.id()?),
        6 => Packet::PubRel(fields.id()?),
        7 => Packet::PubComp(fields.id()?),
        8 => subscribe(fields)?,
        9 => Packet::SubAck { id: fields.id()?, codes: fields.rest().to_vec() },
        10 => unsubscribe(fields)?,
        11 => Packet::UnsubAck(fields.id()?),
        12 => Packet::PingReq,
        13 => Packet::PingResp,
        14 => Packet::Disconnect,
        other => return Err(DecodeError::UnknownType(other)),
    })
}

fn connect(fields: &mut Fields) -> Result<Packet, DecodeError> {
    let name = fields.text()?;
    if name != "MQTT" && name != "MQIsdp" {
        return Err(DecodeError::BadConnect);
    }
    let level = fields.byte()?;
    if level != 4 || name != "MQTT" {
        return Ok(Packet::OtherLevel(level));
    }
    let flags = fields.byte()?;
    let keep_alive = fields.number()?;
    let (will, will_qos, retain) = (flags & 0x04 != 0, (flags >> 3) & 3, flags & 0x20 != 0);
    let (user, password) = (flags & 0x80 != 0, flags & 0x40 != 0);
    let contradiction =
        flags & 1 != 0 || (!will && (will_qos != 0 || retain)) || (password && !user);
    if contradiction || will_qos == 3 {
        return Err(DecodeError::BadConnect);
    }
    let client_id = fields.text()?;
    let will = if will {
        let topic = topic_name(fields.text()?)?;
        Some(Will { topic, payload: fields.data()?, qos: will_qos, retain })
    } else {
        None
    };
    let user_name = if user { Some(fields.text()?) } else { None };
    let password = if password { Some(Password(fields.data()?)) } else { None };
    let clean_session = flags & 2 != 0;
    Ok(Packet::Connect(Box::new(Connect {
        clean_session,
        keep_alive,
        client_id,
        will,
        user_name,
        password,
    })))
}

fn publish(flags: u8, fields: &mut Fields) -> Result<Packet, DecodeError> {
    let qos = (flags >> 1) & 3;
    let dup = flags & 8 != 0;
    if qos == 3 || (qos == 0 && dup) {
        return Err(DecodeError::BadQos(qos));
    }
    let topic = topic_name(fields.text()?)?;
    let id = if qos > 0 { Some(fields.id()?) } else { None };
    Ok(Packet::Publish(Publish {
        dup,
        qos,
        retain: flags & 1 != 0,
        topic,
        id,
        payload: fields.rest(),
    }))
}

fn subscribe(fields: &mut Fields) -> Result<Packet, DecodeError> {
    let id = fields.id()?;
    let mut filters = Vec::new();
    while !fields.0.is_empty() {
        let filter = topic_filter(fields.text()?)?;
        let qos = fields.byte()?;
        if qos > 2 {
            return Err(DecodeError::BadQos(qos));
        }
        filters.push((filter, qos));
    }
    if filters.is_empty() {
        Err(DecodeError::NoFilter)
    } else {
        Ok(Packet::Subscribe { id, filters })
    }
}

fn unsubscribe(fields: &mut Fields) -> Result<Packet, DecodeError> {
    let id = fields.id()?;
    let mut filters = Vec::new();
    while !fields.0.is_empty() {
        filters.push(topic_filter(fields.text()?)?);
    }
    if filters.is_empty() {
        Err(DecodeError::NoFilter)
    } else {
        Ok(Packet::Unsubscribe { id, filters })
    }
}

fn topic_name(topic: String) -> Result<String, DecodeError> {
    if topic.is_empty() || topic.contains(['+', '#']) {
        Err(DecodeError::BadTopic)
    } else {
        Ok(topic)
    }
}

fn topic_filter(filter: String) -> Result<String, DecodeError> {
    let mut levels = filter.split('/').rev();
    let last = levels.next().unwrap_or_default();
    let well_placed = last == "#" || last == "+" || !last.contains(['+', '#']);
    let rest_well_placed = levels.all(|level| level == "+" || !level.contains(['+', '#']));
    if filter.is_empty() || !well_placed || !rest_well_placed {
        Err(DecodeError::BadFilter)
    } else {
        Ok(filter)
    }
}

struct Fields(Bytes);

impl Fields {
    fn byte(&mut self) -> Result<u8, DecodeError> {
        self.0.try_get_u8().map_err(|_| DecodeError::Truncated)
    }

    fn number(&mut self) -> Result<u16, DecodeError> {
        self.0.try_get_u16().map_err(|_| DecodeError::Truncated)
    }

    fn id(&mut self) -> Result<u16, DecodeError> {
        match self.number()? {
            0 => Err(DecodeError::ZeroId),
            id => Ok(id),
        }
    }

    fn data(&mut self) -> Result<Bytes, DecodeError> {
        let size = usize::from(self.number()?);
        if size > self.0.len() {
            return Err(DecodeError::Truncated);
        }
        Ok(self.0.split_to(size))
    }

    fn text(&mut self) -> Result<String, DecodeError> {
        let data = self.data()?;
        let text = std::str::from_utf8(&data).map_err(|_| DecodeError::BadText)?;
        if text.contains('\0') { Err(DecodeError::BadText) } else { Ok(text.to_owned()) }
    }

    fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }
}
