//! What the codec makes of good, broken and arbitrary bytes.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::{Connect, DecodeError, Packet, Password, Publish, Will, decode, encode};

const LIMIT: usize = 262_144;

fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9/$?=&é☃ ]{0,40}"
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9/$?=&]{1,40}"
}

fn data() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn connect() -> impl Strategy<Value = Packet> {
    let will = proptest::option::of((name(), data(), 0u8..3, any::<bool>()));
    let credentials = proptest::option::of((text(), proptest::option::of(data())));
    (any::<bool>(), any::<u16>(), text(), will, credentials).prop_map(
        |(clean, keep_alive, client_id, will, user)| {
            Packet::Connect(Box::new(Connect {
                clean_session: clean,
                keep_alive,
                client_id,
                will: will.map(|(topic, payload, qos, retain)| Will {
                    topic,
                    payload,
                    qos,
                    retain,
                }),
                user_name: user.as_ref().map(|user| user.0.clone()),
                password: user.and_then(|user| user.1.map(Password)),
            }))
        },
    )
}

fn publish() -> impl Strategy<Value = Packet> {
    (0u8..3, any::<bool>(), any::<bool>(), name(), 1u16.., data()).prop_map(
        |(qos, dup, retain, topic, id, payload)| {
            let id = (qos > 0).then_some(id);
            Packet::Publish(Publish { dup: dup && qos > 0, qos, retain, topic, id, payload })
        },
    )
}

fn packet() -> impl Strategy<Value = Packet> {
    let filters = proptest::collection::vec((name(), 0u8..3), 1..6);
    let names = proptest::collection::vec(name(), 1..6);
    prop_oneof![
        connect(),
        publish(),
        (any::<bool>(), any::<u8>())
            .prop_map(|(session_present, code)| Packet::ConnAck { session_present, code }),
        (1u16..).prop_map(Packet::PubAck),
        (1u16..).prop_map(Packet::PubRec),
        (1u16..).prop_map(Packet::PubRel),
        (1u16..).prop_map(Packet::PubComp),
        (1u16.., filters).prop_map(|(id, filters)| Packet::Subscribe { id, filters }),
        (1u16.., proptest::collection::vec(any::<u8>(), 0..6))
            .prop_map(|(id, codes)| Packet::SubAck { id, codes }),
        (1u16.., names).prop_map(|(id, filters)| Packet::Unsubscribe { id, filters }),
        (1u16..).prop_map(Packet::UnsubAck),
        Just(Packet::PingReq),
        Just(Packet::PingResp),
        Just(Packet::Disconnect),
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(packets in proptest::collection::vec(packet(), 1..5)) {
        let mut bytes = BytesMut::new();
        for packet in &packets {
            encode(packet, &mut bytes).unwrap();
        }
        for packet in &packets {
            let read = decode(&mut bytes, LIMIT).unwrap();
            prop_assert_eq!(read.as_ref(), Some(packet));
        }
        prop_assert!(bytes.is_empty());
    }

    #[test]
    fn any_bytes_give_a_packet_a_wait_or_an_error(junk in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut bytes = BytesMut::from(junk.as_slice());
        while let Ok(Some(_)) = decode(&mut bytes, LIMIT) {}
    }

    #[test]
    fn one_flipped_bit_never_panics(packet in packet(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = BytesMut::new();
        encode(&packet, &mut bytes).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        while let Ok(Some(_)) = decode(&mut bytes, LIMIT) {}
    }

    #[test]
    fn a_packet_cut_anywhere_asks_for_more(packet in packet(), at in any::<prop::sample::Index>()) {
        let mut whole = BytesMut::new();
        encode(&packet, &mut whole).unwrap();
        let mut part = BytesMut::from(&whole[..at.index(whole.len())]);
        prop_assert_eq!(decode(&mut part, LIMIT), Ok(None));
    }
}

fn check(bytes: &[u8], expected: DecodeError) {
    assert_eq!(decode(&mut BytesMut::from(bytes), LIMIT), Err(expected), "{bytes:x?}");
}

#[test]
fn each_broken_packet_has_its_own_error() {
    check(&[0x00, 0], DecodeError::UnknownType(0));
    check(&[0xf0, 0], DecodeError::UnknownType(15));
    check(&[0x80, 0], DecodeError::BadFlags { kind: 8, flags: 0 });
    check(&[0xc1, 0], DecodeError::BadFlags { kind: 12, flags: 1 });
    check(&[0x30, 0xff, 0xff, 0xff, 0xff, 1], DecodeError::LengthTooLong);
    check(&[0x30, 0x81, 0x80, 0x10], DecodeError::TooLarge { limit: LIMIT, size: 262_145 });
    check(&[0xc0, 1, 7], DecodeError::LeftOver(1));
    check(&[0x36, 2, 0, 0], DecodeError::BadQos(3));
    check(&[0x32, 5, 0, 1, b'a', 0, 0], DecodeError::ZeroId);
    check(&[0x82, 2, 0, 1], DecodeError::NoFilter);
    check(&[0x82, 6, 0, 1, 0, 1, b'a', 3], DecodeError::BadQos(3));
    check(&[0x82, 7, 0, 1, 0, 2, b'a', b'#', 0], DecodeError::BadFilter);
    check(&[0x30, 3, 0, 1, b'+'], DecodeError::BadTopic);
    check(&[0x30, 3, 0, 1, 0], DecodeError::BadText);
    check(&[0x30, 3, 0, 1, 0xff], DecodeError::BadText);
    check(&[0x30, 3, 0, 9, b'a'], DecodeError::Truncated);
    check(&[0x10, 6, 0, 4, b'H', b'T', b'T', b'P'], DecodeError::BadConnect);
}

#[test]
fn another_protocol_level_is_told_apart_from_garbage() {
    let mut bytes = BytesMut::from(&[0x10, 10, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60][..]);
    assert_eq!(decode(&mut bytes, LIMIT), Ok(Some(Packet::OtherLevel(5))));
    let mut bytes = BytesMut::from(&[0x10, 10, 0, 6, b'M', b'Q', b'I', b's', b'd', b'p', 3, 2][..]);
    assert_eq!(decode(&mut bytes, LIMIT), Ok(Some(Packet::OtherLevel(3))));
}

#[test]
fn a_password_is_never_printed() {
    assert_eq!(format!("{:?}", Password(Bytes::from_static(b"secret"))), "Password(..)");
}
