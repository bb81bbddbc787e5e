//! What one connection sends harms no other.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use modtwin_testkit::raw;
use modtwin_testkit::stage::Stage;
use serde_json::json;

use crate::{MODTWIND, Story};

const M: &str = "m01";
/// A normal request takes milliseconds; this is for a busy machine.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Makes a normal request and looks how long it takes.
fn works_at_once(stage: &Stage, after: &str) -> Story {
    let began = Instant::now();
    let socket = stage.gateway.socket();
    let answer = raw::ask(&socket, "GET", &format!("/v1/modules/{M}"), None)?;
    assert_eq!(answer.status, 200, "{after}");
    let patch = json!({"after": after});
    let answer = raw::ask(&socket, "PATCH", &format!("/v1/modules/{M}/reported"), Some(&patch))?;
    assert_eq!(answer.status, 202, "{after}: {answer:?}");
    assert!(began.elapsed() < AT_ONCE, "{after}: {:?}", began.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_of_every_kind_harms_no_other_connection() -> Story {
    let stage = Stage::start(MODTWIND, 1).await?;
    let socket = stage.gateway.socket();
    let mut state = 88_172_645_463_325_252_u64;
    for _ in 0..100 {
        let bytes: Vec<u8> = (0..600)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[0]
            })
            .collect();
        let mut stream = raw::connect(&socket)?;
        let _closed_early = stream.write_all(&bytes);
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
    }
    works_at_once(&stage, "random bytes")?;

    let long = "x".repeat(20_000);
    let huge_head = format!("GET /v1/health HTTP/1.1\r\nhost: x\r\nlong: {long}\r\n\r\n");
    assert_eq!(raw::read_answer(&raw::exchange(&socket, huge_head.as_bytes())?)?.status, 431);
    works_at_once(&stage, "a huge header")?;

    let body = json!({"a": "y".repeat(600 * 1024)});
    let target = format!("/v1/modules/{M}/reported");
    assert_eq!(raw::ask(&socket, "PATCH", &target, Some(&body))?.status, 413);
    works_at_once(&stage, "a huge body")?;

    let lie =
        format!("PATCH {target} HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n{{");
    assert_eq!(raw::read_answer(&raw::exchange(&socket, lie.as_bytes())?)?.status, 413);
    works_at_once(&stage, "a body announced as huge")?;

    let deep = format!("{}1{}", "{\"a\":".repeat(50_000), "}".repeat(50_000));
    let head = format!(
        "PATCH {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        deep.len()
    );
    let answer = raw::read_answer(&raw::exchange(&socket, format!("{head}{deep}").as_bytes())?)?;
    assert!(matches!(answer.status, 400 | 422), "{answer:?}");
    works_at_once(&stage, "a deep document")?;

    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_idle_and_half_open_connections_leave_room_for_a_normal_request() -> Story {
    let stage = Stage::start(MODTWIND, 1).await?;
    let socket = stage.gateway.socket();
    let mut held = Vec::new();
    for n in 0..500 {
        let mut stream = raw::connect(&socket)?;
        match n % 4 {
            0 => {}
            1 => stream.write_all(b"GET /v1/hea")?,
            2 => stream.write_all(b"PATCH /v1/modules/m01/reported HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{\"a\":")?,
            _ => stream.write_all(b"GET /v1/modules/m01/watch HTTP/1.1\r\nhost: x\r\n\r\n")?,
        }
        held.push(stream);
    }
    works_at_once(&stage, "500 connections")?;
    drop(held);
    works_at_once(&stage, "500 connections that left")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_refused_each_with_its_status_and_words() -> Story {
    let stage = Stage::start(MODTWIND, 1).await?;
    let socket = stage.gateway.socket();
    let target = format!("/v1/modules/{M}/reported");
    for bad in [
        json!([1]),
        json!(null),
        json!({"a.b": 1}),
        json!({"a": 9_007_199_254_740_993_i64}),
        json!({"$x": 1}),
    ] {
        let answer = raw::ask(&socket, "PATCH", &target, Some(&bad))?;
        assert!(matches!(answer.status, 400 | 422), "{bad}: {answer:?}");
        assert!(answer.body["kind"].is_string() && answer.body["detail"].is_string());
    }
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/v1/modules/../../etc/passwd", 404),
        ("DELETE", "/v1/health", 405),
        ("GET", "/v1/modules/m01/watch?since=yesterday", 400),
        ("GET", "/v1/modules/nobody", 404),
    ] {
        assert_eq!(raw::ask(&socket, method, path, None)?.status, status, "{method} {path}");
    }
    works_at_once(&stage, "bad requests")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_without_file_descriptors_serves_again_once_it_has_some() -> Story {
    let mut stage = Stage::start(MODTWIND, 2).await?;
    let pid = stage.daemon()?.pid().to_string();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    let limit = format!("--nofile={0}:{0}", open + 20);
    let limited = std::process::Command::new("prlimit").args(["--pid", &pid, &limit]).status();
    if !limited.is_ok_and(|status| status.success()) {
        println!("skipped: there is no prlimit (util-linux)");
        return Ok(());
    }
    let socket = stage.gateway.socket();
    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(raw::connect(&socket)?);
    }
    // Its links go on, and what it takes it can still write.
    let version = stage.change(M, json!({"n": 1})).await?;
    drop(held);
    works_at_once(&stage, "no file descriptors")?;
    let mut spectator = stage.watch(M).await?;
    spectator.wait_version(version).await?;
    stage.wait_reported(M, |found| found["after"] == "no file descriptors").await?;
    Ok(())
}
