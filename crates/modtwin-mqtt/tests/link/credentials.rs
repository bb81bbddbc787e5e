//! Stories of client certificates.

use std::time::{Duration, Instant};

use modtwin_core::status::Reason;
use openssl::hash::MessageDigest;
use tokio::sync::mpsc;

use crate::authority::{Authority, KeyKind};
use crate::peer::Peer;
use crate::user::{User, engine, next};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_certificate_is_presented_whatever_the_key() {
    let authority = Authority::new("root");
    let (seen, mut heard) = mpsc::unbounded_channel();
    let peer = Peer::start(&authority.server(), move |mut session| {
        let seen = seen.clone();
        async move {
            let connect = session.welcome().await;
            let certificate = session.stream.ssl().peer_certificate();
            let thumbprint = certificate
                .map(|certificate| certificate.digest(MessageDigest::sha256()).unwrap().to_vec());
            seen.send((thumbprint, connect.body[7])).unwrap();
            session.rest().await;
        }
    })
    .await;
    let engine = engine();
    for kind in [KeyKind::Ecdsa, KeyKind::Rsa] {
        let issued = authority.issue("gw/cam-1", &[], kind);
        let encrypted = authority.encrypted_key(&issued, "pass word");
        for (key, password) in [
            (issued.key_file.clone(), None),
            (issued.key_file.clone(), Some("needless")),
            (encrypted, Some("pass word")),
        ] {
            let user = User::new(&engine, &authority, peer.port);
            let mut user = user.with_certificate(issued.certificate_file.clone(), key, password);
            user.connect().await;
            let (thumbprint, flags) = next(&mut heard).await;
            let expected = issued.certificate.digest(MessageDigest::sha256()).unwrap().to_vec();
            assert_eq!(thumbprint, Some(expected), "{kind:?}");
            assert_eq!(flags, 0x80, "user name, no password");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_files_count_at_the_next_connect() {
    let authority = Authority::new("root");
    let (seen, mut heard) = mpsc::unbounded_channel();
    let peer = Peer::start(&authority.server(), move |mut session| {
        let seen = seen.clone();
        async move {
            session.welcome().await;
            seen.send(session.stream.ssl().peer_certificate().unwrap().to_der().unwrap()).unwrap();
            session.rest().await;
        }
    })
    .await;
    let engine = engine();
    let (old, new) =
        (authority.issue("a", &[], KeyKind::Ecdsa), authority.issue("a", &[], KeyKind::Ecdsa));
    let user = User::new(&engine, &authority, peer.port);
    let mut user = user.with_certificate(old.certificate_file.clone(), old.key_file.clone(), None);
    user.connect().await;
    assert_eq!(next(&mut heard).await, old.certificate.to_der().unwrap());
    std::fs::copy(&new.certificate_file, &old.certificate_file).unwrap();
    std::fs::copy(&new.key_file, &old.key_file).unwrap();
    user.connect().await;
    assert_eq!(next(&mut heard).await, new.certificate.to_der().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_does_not_open_fails_without_a_prompt() {
    let authority = Authority::new("root");
    let peer = Peer::start(&authority.server(), crate::peer::Session::echo).await;
    let engine = engine();
    let issued = authority.issue("gw/cam-1", &[], KeyKind::Ecdsa);
    let encrypted = authority.encrypted_key(&issued, "right");
    for password in [Some("wrong"), Some(""), None] {
        let user = User::new(&engine, &authority, peer.port);
        let mut user =
            user.with_certificate(issued.certificate_file.clone(), encrypted.clone(), password);
        let begun = Instant::now();
        let fault = user.failure().await;
        // A prompt would wait for ever where there is a terminal, with paho's lock held.
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert_eq!(fault.reason, Reason::Network, "{}", fault.detail);
        assert!(fault.detail.contains("certificate and key"), "{}", fault.detail);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_certificate_is_a_config_fault() {
    let authority = Authority::new("root");
    let engine = engine();
    let issued = authority.issue("gw/cam-1", &[], KeyKind::Ecdsa);
    let user = User::new(&engine, &authority, 8883);
    let fault =
        user.with_certificate("/nowhere/leaf.pem".into(), issued.key_file, None).failure().await;
    assert_eq!(fault.reason, Reason::Config);
    assert!(fault.detail.contains("/nowhere/leaf.pem"), "{}", fault.detail);
}
