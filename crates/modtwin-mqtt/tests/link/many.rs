//! Stories of many links in one process.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use modtwin_core::status::Reason;
use modtwin_session::link::HubLink;
use tokio::net::TcpListener;

use crate::authority::Authority;
use crate::peer::{Peer, Session, connack};
use crate::user::{User, engine};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_peer_ends_by_its_time_limit_while_nineteen_others_echo() {
    let authority = Authority::new("root");
    let echo = Peer::start(&authority.server(), Session::echo).await;
    let silent = Peer::silent().await;
    let engine = engine();
    let mut users = Vec::new();
    for _ in 0..19 {
        let mut user = User::new(&engine, &authority, echo.port);
        user.connect().await;
        users.push(user);
    }
    let mut stuck = User::new(&engine, &authority, silent.port);
    stuck.request.time_limit = Duration::from_secs(2);
    let begun = Instant::now();
    stuck.begin();

    let mut delays = Vec::new();
    while stuck.events.status.is_empty() {
        for user in &mut users {
            let sent = Instant::now();
            user.link.publish("echo", b"payload".to_vec());
            user.message().await;
            delays.push(sent.elapsed());
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "the silent one does not end");
    }
    let last_round = begun.elapsed();
    let fault = match stuck.status().await {
        modtwin_session::link::LinkStatus::Failed(fault) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault.reason, Reason::Network);
    assert!(fault.detail.contains("within 2 s"), "{}", fault.detail);
    assert!(last_round < Duration::from_secs(5), "{last_round:?}");
    delays.sort();
    // Not the worst one: the machine that tests run on may do other things too.
    let usual = delays[delays.len() * 95 / 100];
    assert!(usual < Duration::from_millis(50), "{usual:?} of {}", delays.len());
}

/// Dropping a client right after a failed connect is what paho deadlocks on.
#[test]
fn dropping_links_right_after_failed_connects_does_not_deadlock() {
    let (done, finished) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let authority = Authority::new("root");
            let closed =
                TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
            let refusing = Peer::start(&authority.server(), |mut session| async move {
                session.packet().await.unwrap();
                session.send(&connack(5)).await;
            })
            .await;
            let engine = engine();
            for round in 0..60 {
                let port = if round % 2 == 0 { closed } else { refusing.port };
                let mut user = User::new(&engine, &authority, port);
                user.failure().await;
                drop(user);
            }
            // Longer than the clients rest before they are dropped.
            let begun = Instant::now();
            let mut probes = tokio::time::interval(Duration::from_millis(100));
            while begun.elapsed() < Duration::from_secs(9) {
                probes.tick().await;
                assert!(engine.responsive(Duration::from_secs(5)).await, "paho's lock is held");
            }
            let echo = Peer::start(&authority.server(), Session::echo).await;
            User::new(&engine, &authority, echo.port).connect().await;
        });
        done.send(()).unwrap();
    });
    finished.recv_timeout(Duration::from_secs(90)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_answers_while_it_works() {
    let engine = engine();
    assert!(engine.responsive(Duration::from_secs(5)).await);
}

#[test]
fn an_engine_needs_a_runtime() {
    let error = modtwin_mqtt::Engine::start(std::sync::Arc::new(crate::user::Probe)).unwrap_err();
    assert!(matches!(error, modtwin_mqtt::EngineError::NoRuntime));
}
