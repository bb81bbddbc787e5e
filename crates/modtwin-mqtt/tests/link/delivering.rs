//! Stories of messages that the hub has to confirm.

use modtwin_session::link::{HubLink, LinkStatus};
use tokio::sync::mpsc;

use crate::authority::Authority;
use crate::peer::{PUBLISH, Peer, Session, puback};
use crate::user::{User, engine, next};

/// What came to the peer: the number of its connection, topic and payload.
type Seen = (usize, String, Vec<u8>);

/// A peer that confirms what comes over its connections from number `from` on.
async fn peer(authority: &Authority, from: usize) -> (Peer, mpsc::UnboundedReceiver<Seen>) {
    let (seen, heard) = mpsc::unbounded_channel();
    let script = move |mut session: Session| {
        let seen = seen.clone();
        async move {
            session.welcome().await;
            while let Some(packet) = session.packet().await {
                if packet.kind != PUBLISH {
                    continue;
                }
                let (topic, id, payload) = packet.delivered();
                let last = payload == b"last";
                seen.send((session.number, topic, payload)).unwrap();
                if session.number >= from {
                    session.send(&puback(id)).await;
                } else if last {
                    return;
                }
            }
        }
    };
    (Peer::start(&authority.server(), script).await, heard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_delivery_is_confirmed_by_its_number_and_in_order() {
    let authority = Authority::new("root");
    let (peer, mut heard) = peer(&authority, 0).await;
    let engine = engine();
    let mut user = User::new(&engine, &authority, peer.port);
    user.connect().await;
    for number in 0..50_u64 {
        user.link.deliver(number, "devices/gw/modules/cam-1/messages/events/", vec![7; 3000]);
    }
    for number in 0..50 {
        assert_eq!(user.status().await, LinkStatus::Confirmed(number));
        assert_eq!(next(&mut heard).await.2.len(), 3000);
    }
    user.assert_silent();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lost_connection_left_unconfirmed_is_not_sent_over_the_next() {
    let authority = Authority::new("root");
    let (peer, mut heard) = peer(&authority, 1).await;
    let engine = engine();
    let mut user = User::new(&engine, &authority, peer.port);
    user.connect().await;
    user.link.deliver(1, "first", b"one".to_vec());
    user.link.deliver(2, "second", b"last".to_vec());
    user.loss().await;
    user.connect().await;
    user.link.deliver(3, "third", b"three".to_vec());
    assert_eq!(user.status().await, LinkStatus::Confirmed(3));
    let came = [next(&mut heard).await, next(&mut heard).await, next(&mut heard).await];
    let topics: Vec<_> = came.iter().map(|(number, topic, _)| (*number, topic.as_str())).collect();
    assert_eq!(topics, [(0, "first"), (0, "second"), (1, "third")]);
    assert!(heard.try_recv().is_err(), "paho sends what it was given once");
    user.assert_silent();
}
