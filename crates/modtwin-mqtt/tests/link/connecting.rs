//! Stories of connections that work.

use modtwin_session::link::{Epoch, HubLink};
use tokio::sync::mpsc;

use crate::authority::Authority;
use crate::peer::{DISCONNECT, PUBLISH, Peer, SUBSCRIBE, publish, suback};
use crate::user::{User, engine, next};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_connects_subscribes_sends_and_receives() {
    let authority = Authority::new("root");
    let (seen, mut heard) = mpsc::unbounded_channel();
    let peer = Peer::start(&authority.server(), move |mut session| {
        let seen = seen.clone();
        async move {
            let connect = session.welcome().await;
            for _ in 0..2 {
                let subscribe = session.packet().await.unwrap();
                assert_eq!(subscribe.kind, SUBSCRIBE);
                session.send(&suback(subscribe.id(), &[1])).await;
            }
            let published = session.packet().await.unwrap();
            session.send(&publish(b"$iothub/twin/res/200/?$rid=1", b"{\"desired\":{}}")).await;
            seen.send((session.server_name(), connect, published)).unwrap();
            let rest = session.rest().await;
            assert_eq!(rest.last().map(|packet| packet.kind), Some(DISCONNECT));
        }
    })
    .await;
    let engine = engine();
    let mut user = User::new(&engine, &authority, peer.port);
    user.connect().await;
    user.subscribe().await;
    user.link.publish("$iothub/twin/GET/?$rid=1", b"".to_vec());

    let message = user.message().await;
    assert_eq!(message.epoch, Epoch(1));
    assert_eq!(message.topic, "$iothub/twin/res/200/?$rid=1");
    assert_eq!(message.payload, b"{\"desired\":{}}");

    let (server_name, connect, published) = next(&mut heard).await;
    assert_eq!(server_name.as_deref(), Some("localhost"), "SNI");
    assert_eq!(published.kind, PUBLISH);
    assert_eq!(published.published(), ("$iothub/twin/GET/?$rid=1".into(), Vec::new()));
    let mut expected = b"\0\x04MQTT\x04\xc0\0\x3c".to_vec();
    for text in ["gw/cam-1", "hub.test/gw/cam-1/?api-version=2021-04-12", "the-token"] {
        expected.extend((text.len() as u16).to_be_bytes());
        expected.extend(text.as_bytes());
    }
    assert_eq!(connect.body, expected, "clean session 0, user name, password, 60 s");
    user.link.disconnect();
    user.assert_silent();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_link_connects_a_hundred_times() {
    let authority = Authority::new("root");
    let peer = Peer::start(&authority.server(), crate::peer::Session::echo).await;
    let engine = engine();
    let mut user = User::new(&engine, &authority, peer.port);
    for round in 1..=100_u64 {
        user.connect().await;
        user.link.publish("round", round.to_string().into_bytes());
        let message = user.message().await;
        assert_eq!(
            (message.epoch, message.payload),
            (Epoch(round), round.to_string().into_bytes())
        );
        user.link.disconnect();
    }
    user.assert_silent();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_can_change_its_client_id_and_its_hub() {
    let authority = Authority::new("root");
    let first = Peer::start(&authority.server(), crate::peer::Session::echo).await;
    let second = Peer::start(&authority.server(), crate::peer::Session::echo).await;
    let engine = engine();
    let mut user = User::new(&engine, &authority, first.port);
    user.connect().await;
    user.request.client_id = "gw/cam-2".into();
    user.connect().await;
    user.request.port = second.port;
    user.connect().await;
    user.link.publish("t", b"p".to_vec());
    assert_eq!(user.message().await.epoch, Epoch(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_says_goodbye_to_the_hub() {
    let authority = Authority::new("root");
    let (seen, mut heard) = mpsc::unbounded_channel();
    let peer = Peer::start(&authority.server(), move |mut session| {
        let seen = seen.clone();
        async move {
            session.welcome().await;
            seen.send(session.rest().await).unwrap();
        }
    })
    .await;
    let engine = engine();
    let mut user = User::new(&engine, &authority, peer.port);
    user.connect().await;
    engine.shutdown(crate::user::PATIENCE).await;
    let rest = next(&mut heard).await;
    assert_eq!(rest.iter().map(|packet| packet.kind).collect::<Vec<_>>(), [DISCONNECT]);
    user.loss().await;
    let fault = user.failure().await;
    assert!(fault.detail.contains("engine"), "{}", fault.detail);
}
