//! Stories of connections that fail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use modtwin_core::status::Reason;
use modtwin_session::link::HubLink;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

use crate::authority::{Authority, KeyKind};
use crate::peer::{Peer, Session, connack};
use crate::user::{User, engine, next};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_another_name_is_refused_as_tls() {
    let authority = Authority::new("root");
    let server = authority.issue("localhost", &["other.example.test"], KeyKind::Ecdsa);
    let peer = Peer::start(&server, Session::echo).await;
    let engine = engine();
    let fault = User::new(&engine, &authority, peer.port).failure().await;
    assert_eq!(fault.reason, Reason::Tls, "{}", fault.detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_an_unknown_authority_is_refused_as_tls() {
    let (authority, stranger) = (Authority::new("root"), Authority::new("stranger"));
    let peer = Peer::start(&stranger.server(), Session::echo).await;
    let engine = engine();
    let fault = User::new(&engine, &authority, peer.port).failure().await;
    assert_eq!(fault.reason, Reason::Tls, "{}", fault.detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_listening_is_a_network_fault() {
    let authority = Authority::new("root");
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let engine = engine();
    let fault = User::new(&engine, &authority, port).failure().await;
    assert_eq!(fault.reason, Reason::Network);
    assert!(fault.detail.contains("cannot reach"), "{}", fault.detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_does_not_resolve_is_a_network_fault() {
    let authority = Authority::new("root");
    let engine = engine();
    let mut user = User::new(&engine, &authority, 8883);
    // RFC 6761: never resolves.
    user.request.host = "hub.invalid".into();
    user.request.time_limit = Duration::from_secs(5);
    let fault = user.failure().await;
    assert_eq!(fault.reason, Reason::Network);
    assert!(fault.detail.contains("cannot resolve `hub.invalid`"), "{}", fault.detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_bundle_is_a_config_fault() {
    let authority = Authority::new("root");
    let engine = engine();
    let mut user = User::new(&engine, &authority, 8883);
    user.request.trusted_ca = Some("/nowhere/ca.pem".into());
    let fault = user.failure().await;
    assert_eq!(fault.reason, Reason::Config);
    assert!(fault.detail.contains("/nowhere/ca.pem"), "{}", fault.detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connack_code_has_its_reason() {
    let authority = Authority::new("root");
    let server = authority.server();
    let engine = engine();
    for (code, reason) in [
        (1, Reason::HubError),
        (2, Reason::HubError),
        (3, Reason::Throttled),
        (4, Reason::BadCredential),
        (5, Reason::BadCredential),
        // Reserved by MQTT 3.1.1.
        (99, Reason::Network),
    ] {
        let peer = Peer::start(&server, move |mut session| async move {
            session.packet().await.unwrap();
            session.send(&connack(code)).await;
            session.rest().await;
        })
        .await;
        let fault = User::new(&engine, &authority, peer.port).failure().await;
        assert_eq!(fault.reason, reason, "code {code}: {}", fault.detail);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_and_early_ends_are_network_faults() {
    let authority = Authority::new("root");
    let server = authority.server();
    let engine = engine();
    for answer in [
        b"".as_slice(),
        b"\x20",
        b"\x20\xff\xff\xff\xff\xff",
        b"\x20\x01\0",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ] {
        let peer = Peer::start(&server, move |mut session| async move {
            session.packet().await.unwrap();
            session.send(answer).await;
        })
        .await;
        let fault = User::new(&engine, &authority, peer.port).failure().await;
        assert_eq!(fault.reason, Reason::Network, "{answer:?}: {}", fault.detail);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_connack_ends_by_the_time_limit_and_the_next_attempt_works() {
    let authority = Authority::new("root");
    let peer = Peer::start(&authority.server(), |mut session| async move {
        if session.number > 0 {
            return session.echo().await;
        }
        session.packet().await.unwrap();
        session.send(&connack(0)[..3]).await;
        session.rest().await;
    })
    .await;
    let engine = engine();
    let mut user = User::new(&engine, &authority, peer.port);
    user.request.time_limit = Duration::from_secs(1);
    let begun = Instant::now();
    let fault = user.failure().await;
    assert_eq!(fault.reason, Reason::Network);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    user.request.time_limit = Duration::from_secs(20);
    user.connect().await;
    user.link.publish("t", b"p".to_vec());
    assert_eq!(user.message().await.payload, b"p");
    user.assert_silent();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connack_that_comes_too_late_is_not_kept() {
    let authority = Authority::new("root");
    let late = Arc::new(Notify::new());
    let (seen, mut heard) = mpsc::unbounded_channel();
    let script_late = Arc::clone(&late);
    let peer = Peer::start(&authority.server(), move |mut session| {
        let (late, seen) = (Arc::clone(&script_late), seen.clone());
        async move {
            session.packet().await.unwrap();
            late.notified().await;
            session.send(&connack(0)).await;
            seen.send(session.rest().await.len()).unwrap();
        }
    })
    .await;
    let engine = engine();
    let mut user = User::new(&engine, &authority, peer.port);
    user.request.time_limit = Duration::from_millis(500);
    assert_eq!(user.failure().await.reason, Reason::Network);
    late.notify_one();
    assert_eq!(next(&mut heard).await, 1, "DISCONNECT and the end");
    user.assert_silent();
}
