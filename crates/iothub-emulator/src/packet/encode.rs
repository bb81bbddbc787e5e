//! Packets to bytes. Refuses what a length field can't say; leaves every other rule to whoever builds the packet, so
//! that tests can send packets that break them.

use bytes::{BufMut, BytesMut};
use thiserror::Error;

use super::{Connect, Packet, Publish};

/// Says why a packet has no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A text or field is longer than its two-byte length can say.
    #[error("field too long: expected at most 65535 bytes, found {0}")]
    FieldTooLong(usize),
    /// The packet is longer than its remaining length can say.
    #[error("packet too long: expected at most 268435455 bytes, found {0}")]
    PacketTooLong(usize),
}

/// Appends the packet's bytes to `out`.
///
/// # Errors
/// Says which length can't be expressed; `out` is then as it was.
pub fn encode(packet: &Packet, out: &mut BytesMut) -> Result<(), EncodeError> {
    match packet {
        Packet::Publish(publish) => encode_publish(publish, out),
        Packet::Connect(connect) => {
            let body = connect_body(connect)?;
            framed(0x10, &body, out)
        }
        Packet::OtherLevel(level) => framed(0x10, &[0, 4, b'M', b'Q', b'T', b'T', *level], out),
        Packet::ConnAck { session_present, code } => {
            framed(0x20, &[u8::from(*session_present), *code], out)
        }
        Packet::PubAck(id) => framed(0x40, &id.to_be_bytes(), out),
        Packet::PubRec(id) => framed(0x50, &id.to_be_bytes(), out),
        Packet::PubRel(id) => framed(0x62, &id.to_be_bytes(), out),
        Packet::PubComp(id) => framed(0x70, &id.to_be_bytes(), out),
        Packet::Subscribe { id, filters } => {
            let mut body = BytesMut::new();
            body.put_u16(*id);
            for (filter, qos) in filters {
                put_field(&mut body, filter.as_bytes())?;
                body.put_u8(*qos);
            }
            framed(0x82, &body, out)
        }
        Packet::SubAck { id, codes } => {
            let mut body = BytesMut::new();
            body.put_u16(*id);
            body.put_slice(codes);
            framed(0x90, &body, out)
        }
        Packet::Unsubscribe { id, filters } => {
            let mut body = BytesMut::new();
            body.put_u16(*id);
            for filter in filters {
                put_field(&mut body, filter.as_bytes())?;
            }
            framed(0xa2, &body, out)
        }
        Packet::UnsubAck(id) => framed(0xb0, &id.to_be_bytes(), out),
        Packet::PingReq => framed(0xc0, &[], out),
        Packet::PingResp => framed(0xd0, &[], out),
        Packet::Disconnect => framed(0xe0, &[], out),
    }
}

fn encode_publish(publish: &Publish, out: &mut BytesMut) -> Result<(), EncodeError> {
    let topic = publish.topic.as_bytes();
    let size = 2 + topic.len() + if publish.id.is_some() { 2 } else { 0 } + publish.payload.len();
    let topic_size =
        u16::try_from(topic.len()).map_err(|_| EncodeError::FieldTooLong(topic.len()))?;
    let flags = u8::from(publish.dup) << 3 | (publish.qos & 3) << 1 | u8::from(publish.retain);
    header(0x30 | flags, size, out)?;
    out.put_u16(topic_size);
    out.put_slice(topic);
    if let Some(id) = publish.id {
        out.put_u16(id);
    }
    out.put_slice(&publish.payload);
    Ok(())
}

fn connect_body(connect: &Connect) -> Result<BytesMut, EncodeError> {
    let mut flags = u8::from(connect.clean_session) << 1;
    if let Some(will) = &connect.will {
        flags |= 0x04 | (will.qos & 3) << 3 | u8::from(will.retain) << 5;
    }
    flags |= u8::from(connect.user_name.is_some()) << 7 | u8::from(connect.password.is_some()) << 6;
    let mut body = BytesMut::new();
    body.put_slice(&[0, 4, b'M', b'Q', b'T', b'T', 4, flags]);
    body.put_u16(connect.keep_alive);
    put_field(&mut body, connect.client_id.as_bytes())?;
    if let Some(will) = &connect.will {
        put_field(&mut body, will.topic.as_bytes())?;
        put_field(&mut body, &will.payload)?;
    }
    if let Some(user_name) = &connect.user_name {
        put_field(&mut body, user_name.as_bytes())?;
    }
    if let Some(password) = &connect.password {
        put_field(&mut body, &password.0)?;
    }
    Ok(body)
}

fn put_field(body: &mut BytesMut, field: &[u8]) -> Result<(), EncodeError> {
    let size = u16::try_from(field.len()).map_err(|_| EncodeError::FieldTooLong(field.len()))?;
    body.put_u16(size);
    body.put_slice(field);
    Ok(())
}

fn framed(first: u8, body: &[u8], out: &mut BytesMut) -> Result<(), EncodeError> {
    header(first, body.len(), out)?;
    out.put_slice(body);
    Ok(())
}

fn header(first: u8, size: usize, out: &mut BytesMut) -> Result<(), EncodeError> {
    if size > MOST_REMAINING {
        return Err(EncodeError::PacketTooLong(size));
    }
    out.reserve(size + 5);
    out.put_u8(first);
    let mut left = size;
    loop {
        let digit = u8::try_from(left & 0x7f).unwrap_or_default();
        left >>= 7;
        out.put_u8(if left > 0 { digit | 0x80 } else { digit });
        if left == 0 {
            return Ok(());
        }
    }
}

/// The largest remaining length four bytes can say (2.2.3).
const MOST_REMAINING: usize = 268_435_455;
