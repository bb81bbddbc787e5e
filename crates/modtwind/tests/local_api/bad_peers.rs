//! Peers that misbehave, each with a neighbour whose requests stay quick meanwhile.

use std::time::{Duration, Instant};

use modtwind::local_api::{Limits, Rate};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::modules::{Events, HVAC, READER, Scene, with_body};
use crate::peer::{ask, can_change_users, connect_as, get, in_time, is_closed, read};

const SHORT: Duration = Duration::from_millis(150);
/// What a neighbour may wait at most: a machine that compiles at the same time needs some slack.
const QUICK: Duration = Duration::from_millis(500);

/// Asks as another user twenty times, within a tenth of a second or more, while `meanwhile` goes on;
/// none may take long.
async fn neighbour_stays_quick<T>(scene: &Scene, meanwhile: impl Future<Output = T>) -> T {
    let mut stream = scene.connect_as(READER);
    let mut pace = interval(Duration::from_millis(5));
    let requests = async {
        for _ in 0..20 {
            pace.tick().await;
            let began = Instant::now();
            assert_eq!(ask(&mut stream, get("/v1/modules/m")).await.status, 200);
            let took = began.elapsed();
            assert!(took < QUICK, "a neighbour waited {took:?}");
        }
    };
    let (found, ()) = in_time(async { tokio::join!(meanwhile, requests) }).await;
    found
}

/// Writes a byte now and then until the other side has enough, and gives what it said.
async fn drip(stream: &mut UnixStream, byte: u8) -> Vec<u8> {
    let mut said = Vec::new();
    let (mut reader, mut writer) = stream.split();
    let mut pace = interval(Duration::from_millis(10));
    let drops = async {
        while writer.write_all(&[byte]).await.is_ok() {
            pace.tick().await;
        }
    };
    in_time(async {
        tokio::select! {
            () = drops => {}
            // A reset is an end like any other.
            _ended = reader.read_to_end(&mut said) => {}
        }
    })
    .await;
    said
}

#[tokio::test]
async fn headers_that_drip_are_given_up() {
    if !can_change_users() {
        return;
    }
    let limits = Limits { header_timeout: SHORT, ..Limits::default() };
    let scene = Scene::open_with(limits).await;
    let mut slow = scene.connect_as(HVAC);
    slow.write_all(b"GET /v1/health HTTP/1.1\r\nx: ").await.unwrap();
    let began = Instant::now();
    let said = neighbour_stays_quick(&scene, drip(&mut slow, b'a')).await;
    assert!(began.elapsed() >= SHORT, "given up too early: {:?}", began.elapsed());
    assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn a_body_that_drips_is_given_up() {
    if !can_change_users() {
        return;
    }
    let limits = Limits { body_timeout: SHORT, ..Limits::default() };
    let scene = Scene::open_with(limits).await;
    let mut slow = scene.connect_as(HVAC);
    let head = "PATCH /v1/modules/m/reported HTTP/1.1\r\ncontent-length: 100000\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    let said = neighbour_stays_quick(&scene, drip(&mut slow, b' ')).await;
    assert!(said.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&said));
    let snapshot = scene.daemon.get("/v1/modules/m").await.json();
    assert_eq!(snapshot["pending"], json!({}));
}

#[tokio::test]
async fn a_connection_that_idles_after_its_answer_is_closed() {
    let limits = Limits { header_timeout: SHORT, ..Limits::default() };
    let scene = Scene::open_with(limits).await;
    let mut idle = scene.daemon.connect().await;
    assert_eq!(ask(&mut idle, get("/v1/health")).await.status, 200);
    let began = Instant::now();
    assert!(is_closed(&mut idle).await);
    assert!(began.elapsed() >= SHORT / 2, "closed at once: {:?}", began.elapsed());
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up() {
    if !can_change_users() {
        return;
    }
    let limits = Limits { answer_timeout: SHORT, ..Limits::default() };
    let scene = Scene::open_with(limits).await;
    let mut deaf = scene.connect_as(HVAC);
    let requests = get("/v1/modules/m").repeat(64);
    let flood = async { while deaf.write_all(requests.as_bytes()).await.is_ok() {} };
    // It ends, since the daemon closes: a write to nobody fails.
    neighbour_stays_quick(&scene, flood).await;
}

#[tokio::test]
async fn a_stream_waits_for_a_reader_that_sleeps_however_long_it_takes() {
    if !can_change_users() {
        return;
    }
    let limits = Limits {
        answer_timeout: Duration::from_millis(20),
        heartbeat: Duration::from_millis(1),
        ..Limits::default()
    };
    let scene = Scene::open_with(limits).await;
    let mut sleeper = Events::open(scene.connect_as(HVAC), "/v1/modules/m/watch").await;
    // Meanwhile heartbeats fill the socket's buffer, and the time that an answer has passes often.
    neighbour_stays_quick(&scene, std::future::ready(())).await;
    assert_eq!(sleeper.next().await.unwrap()["type"], "snapshot");
    for _ in 0..1000 {
        assert!(sleeper.next().await.is_some(), "the stream was given up");
    }
}

#[tokio::test]
async fn a_peer_that_closes_its_half_while_it_watches_is_let_go() {
    if !can_change_users() {
        return;
    }
    let scene = Scene::open().await;
    let mut stream = scene.connect_as(HVAC);
    stream.write_all(get("/v1/modules/m/watch").as_bytes()).await.unwrap();
    let watches = async || {
        let status = scene.daemon.get("/v1/status").await.json();
        status["modules"][0]["handlers"][0]["watching"] == json!(true)
    };
    in_time(async { while !watches().await {} }).await;
    stream.shutdown().await.unwrap();
    in_time(async { while watches().await {} }).await;
}

#[tokio::test]
async fn a_flood_of_reports_is_told_off_and_nobody_else_notices() {
    if !can_change_users() {
        return;
    }
    let process = Rate { requests: 50, ..Limits::default().process };
    let scene = Scene::open_with(Limits { process, ..Limits::default() }).await;
    let mut flood = JoinSet::new();
    for _ in 0..8 {
        let mut stream = scene.connect_as(HVAC);
        flood.spawn(async move {
            let patch = with_body("PATCH", "/v1/modules/m/reported", r#"{"r":1}"#);
            loop {
                let answer = ask(&mut stream, &patch).await;
                if answer.status != 202 {
                    break answer;
                }
            }
        });
    }
    let refusals = neighbour_stays_quick(&scene, flood.join_all()).await;
    for refused in refusals {
        assert_eq!(refused.problem(429, "overloaded")["limit"], 50);
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    // Who waits is served again, on the same connection or another.
    let mut stream = scene.connect_as(HVAC);
    in_time(async { while ask(&mut stream, get("/v1/health")).await.status != 200 {} }).await;
}

#[tokio::test]
async fn refusals_come_slowly_so_that_a_flood_of_them_costs_little() {
    let process = Rate { requests: 1, ..Limits::default().process };
    let scene = Scene::open_with(Limits { process, ..Limits::default() }).await;
    let mut stream = scene.daemon.connect().await;
    while ask(&mut stream, get("/v1/health")).await.status == 200 {}
    let began = Instant::now();
    for _ in 0..4 {
        ask(&mut stream, get("/v1/health")).await.problem(429, "overloaded");
    }
    assert!(began.elapsed() >= Duration::from_millis(4 * 50), "{:?}", began.elapsed());
}

#[tokio::test]
async fn bodies_under_way_are_bounded_and_the_next_ones_told_so() {
    if !can_change_users() {
        return;
    }
    let process = Rate { bodies: 100_000, ..Limits::default().process };
    let scene = Scene::open_with(Limits { process, ..Limits::default() }).await;
    let head = "PATCH /v1/modules/m/reported HTTP/1.1\r\ncontent-length: 60000\r\n\r\n";
    let part = [head.as_bytes(), &[b' '; 50_000]].concat();
    let mut first = scene.connect_as(HVAC);
    first.write_all(&part).await.unwrap();
    let mut second = scene.connect_as(HVAC);
    let whole = [head.as_bytes(), &[b' '; 60_000]].concat();
    let refused = neighbour_stays_quick(&scene, async {
        loop {
            let mut stream = scene.connect_as(HVAC);
            let answer = ask(&mut stream, &whole).await;
            // Until the first body has come, this one is only no JSON.
            if answer.status != 400 {
                break answer;
            }
        }
    })
    .await;
    let problem = refused.problem(429, "overloaded");
    assert_eq!((&problem["limit"], refused.header("retry-after")), (&json!(100_000), Some("1")));
    // The room is free again once the first is done.
    first.write_all(&[b' '; 10_000]).await.unwrap();
    read(&mut first, false).await.problem(400, "invalid_request");
    ask(&mut second, &whole).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn bytes_beyond_the_rate_hold_up_what_the_same_peer_asks_next() {
    let process = Rate { bytes: 1000, ..Limits::default().process };
    let scene = Scene::open_with(Limits { process, ..Limits::default() }).await;
    let mut stream = scene.daemon.connect().await;
    let patch = with_body("PATCH", "/v1/modules/m/reported", &format!("{:3000}", "{\"a\":1}"));
    assert_eq!(ask(&mut stream, &patch).await.status, 202);
    let problem = ask(&mut stream, &patch).await.problem(429, "overloaded");
    assert_eq!(problem["limit"], 1000);
}

#[tokio::test]
async fn a_process_that_leaks_connections_leaves_some_for_others_even_as_root() {
    let limits = Limits { connections_per_process: 3, ..Limits::default() };
    let scene = Scene::open_with(limits).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = scene.daemon.connect().await;
        assert_eq!(ask(&mut stream, get("/v1/health")).await.status, 200);
        open.push(stream);
    }
    let problem = scene.daemon.get("/v1/health").await.problem(429, "overloaded");
    assert_eq!(problem["limit"], 3);
    // Another process of the same user has its own.
    let socket = scene.daemon.path();
    let curl = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); \
                s.sendall(b'GET /v1/health HTTP/1.0\\r\\n\\r\\n'); print(s.recv(99))";
    let mut python = tokio::process::Command::new("python3");
    match in_time(python.args(["-c", curl]).arg(&socket).output()).await {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(said.contains("HTTP/1.0 200"), "{said} {output:?}");
        }
        Err(failure) => println!("not looked at from another process: no python3 ({failure})"),
    }
}

#[tokio::test]
async fn a_storm_of_connects_holds_up_nobody() {
    if !can_change_users() {
        return;
    }
    let scene = Scene::open().await;
    let path = scene.daemon.path();
    let storm = tokio::task::spawn_blocking(move || {
        for _ in 0..2000 {
            drop(std::os::unix::net::UnixStream::connect(&path).unwrap());
        }
    });
    neighbour_stays_quick(&scene, storm).await.unwrap();
    drop(connect_as(scene.daemon.path(), HVAC, HVAC, &[]));
}

#[tokio::test]
async fn more_paths_than_64_are_refused() {
    let scene = Scene::open().await;
    let query = "path=/a&".repeat(65);
    let answer = scene.daemon.get(&format!("/v1/modules/m/watch?{query}")).await;
    let problem = answer.problem(400, "invalid_request");
    assert_eq!((&problem["field"], &problem["limit"]), (&json!("path"), &json!(64)));
    let ack = json!({"version": 7, "status": 200, "paths": vec!["/a"; 65]}).to_string();
    let problem = scene.send("POST", "/v1/modules/m/acks", &ack).await;
    assert_eq!(problem.problem(400, "invalid_request")["field"], "paths");
}
