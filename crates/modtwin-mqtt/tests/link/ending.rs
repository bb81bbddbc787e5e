//! Stories of connections that end.

use modtwin_core::status::Reason;
use modtwin_session::link::{Epoch, HubLink, LinkStatus, MESSAGE_QUEUE};
use tokio::sync::mpsc;

use crate::authority::Authority;
use crate::peer::{PUBLISH, Peer, SUBSCRIBE, publish, suback};
use crate::user::{PATIENCE, User, engine, next};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_closes_is_a_loss() {
    let authority = Authority::new("root");
    let peer = Peer::start(&authority.server(), |mut session| async move {
        session.welcome().await;
    })
    .await;
    let engine = engine();
    let mut user = User::new(&engine, &authority, peer.port);
    for _ in 0..5 {
        user.connect().await;
        assert_eq!(user.loss().await.reason, Reason::Network);
    }
    user.assert_silent();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_unread_messages_are_one_loss() {
    let authority = Authority::new("root");
    let (seen, mut heard) = mpsc::unbounded_channel();
    let peer = Peer::start(&authority.server(), move |mut session| {
        let seen = seen.clone();
        async move {
            session.welcome().await;
            for number in 0..10_000_u32 {
                session.send(&publish(b"flood", &number.to_be_bytes())).await;
            }
            session.rest().await;
            seen.send(()).unwrap();
        }
    })
    .await;
    let engine = engine();
    let mut user = User::new(&engine, &authority, peer.port);
    user.connect().await;
    let fault = user.loss().await;
    assert_eq!(fault.reason, Reason::Network);
    assert!(fault.detail.contains("more messages than"), "{}", fault.detail);
    next(&mut heard).await;
    user.assert_silent();
    let mut waiting = 0_u32;
    while let Ok(message) = user.events.messages.try_recv() {
        assert_eq!(message.payload, waiting.to_be_bytes());
        waiting += 1;
    }
    assert_eq!(waiting as usize, MESSAGE_QUEUE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suback_that_does_not_fit_is_a_loss() {
    let authority = Authority::new("root");
    let server = authority.server();
    let engine = engine();
    for codes in [&[0x80][..], &[2], &[1, 1, 1], &[0x80, 0x80]] {
        let peer = Peer::start(&server, move |mut session| async move {
            session.welcome().await;
            while let Some(packet) = session.packet().await {
                if packet.kind == SUBSCRIBE {
                    session.send(&suback(packet.id(), codes)).await;
                }
            }
        })
        .await;
        let mut user = User::new(&engine, &authority, peer.port);
        user.connect().await;
        user.link.subscribe(&["$iothub/twin/res/#"]);
        let fault = user.loss().await;
        assert_eq!(fault.reason, Reason::HubError, "{codes:?}: {}", fault.detail);
        assert!(fault.detail.contains("$iothub/twin/res/#"), "{}", fault.detail);
        user.assert_silent();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suback_that_never_comes_is_a_loss() {
    let authority = Authority::new("root");
    let peer = Peer::start(&authority.server(), |mut session| async move {
        session.welcome().await;
        session.rest().await;
    })
    .await;
    let engine = engine();
    let mut user = User::new(&engine, &authority, peer.port);
    user.connect().await;
    user.link.subscribe(&["a"]);
    let fault = user.loss().await;
    assert_eq!(fault.reason, Reason::Network);
    assert!(fault.detail.contains("no SUBACK"), "{}", fault.detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_sent_is_a_loss_and_no_panic() {
    let authority = Authority::new("root");
    let peer = Peer::start(&authority.server(), crate::peer::Session::echo).await;
    let engine = engine();
    let mut user = User::new(&engine, &authority, peer.port);
    user.connect().await;
    user.link.publish("a\0b", Vec::new());
    assert_eq!(user.loss().await.reason, Reason::HubError);
    user.connect().await;
    user.link.subscribe(&["a\0b"]);
    assert_eq!(user.loss().await.reason, Reason::HubError);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_stuck_connection_is_sent_over_the_next() {
    let authority = Authority::new("root");
    let (seen, mut heard) = mpsc::unbounded_channel();
    let peer = Peer::start(&authority.server(), move |mut session| {
        let seen = seen.clone();
        async move {
            session.welcome().await;
            if session.number == 0 {
                // Reads no more, but stays.
                return std::future::pending().await;
            }
            while let Some(packet) = session.packet().await {
                if packet.kind == PUBLISH {
                    seen.send(packet.published().0).unwrap();
                }
            }
        }
    })
    .await;
    let engine = engine();
    let mut user = User::new(&engine, &authority, peer.port);
    user.connect().await;
    for _ in 0..300 {
        user.link.publish("old", vec![0; 128 * 1024]);
    }
    // All of it is paho's by now.
    assert!(engine.responsive(PATIENCE).await);
    user.link.disconnect();
    user.connect().await;
    user.link.publish("new", Vec::new());
    assert_eq!(next(&mut heard).await, "new");
    user.assert_silent();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_can_not_write_is_lost() {
    let authority = Authority::new("root");
    let peer = Peer::start(&authority.server(), |mut session| async move {
        session.welcome().await;
        std::future::pending::<()>().await;
    })
    .await;
    let engine = engine();
    let mut user = User::new(&engine, &authority, peer.port);
    user.connect().await;
    for _ in 0..2000 {
        user.link.publish("stuck", vec![0; 32 * 1024]);
    }
    let fault = user.loss().await;
    assert_eq!(fault.reason, Reason::Network, "{}", fault.detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_heard_after_a_disconnect() {
    let authority = Authority::new("root");
    let peer = Peer::start(&authority.server(), |mut session| async move {
        if session.number == 0 {
            session.welcome().await;
            session.rest().await;
        } else {
            session.echo().await;
        }
    })
    .await;
    let engine = engine();
    let mut user = User::new(&engine, &authority, peer.port);
    user.connect().await;
    user.link.disconnect();
    user.link.disconnect();
    user.link.publish("t", Vec::new());
    user.link.subscribe(&["t"]);
    // Before the first attempt has an outcome.
    user.begin();
    user.begin();
    assert_eq!(user.status().await, LinkStatus::Connected);
    user.link.publish("t", b"p".to_vec());
    let message = user.message().await;
    assert_eq!((message.epoch, message.payload), (Epoch(3), b"p".to_vec()));
    user.assert_silent();
}
