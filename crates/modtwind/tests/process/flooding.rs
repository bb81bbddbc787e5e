//! A local process that asks for the same nonsense over and over fills no log.

use std::fmt::Write as _;

use modtwin_testkit::raw;
use modtwin_testkit::stage::Stage;
use serde_json::json;

use crate::{MODTWIND, Story};

/// How often each thing is done.
const TIMES: usize = 50;
/// How many lines of one kind a minute may have.
const LINES: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_peer_does_over_and_over_the_log_stays_readable() -> Story {
    let stage = Stage::start(MODTWIND, 1).await?;
    let socket = stage.gateway.socket();
    let before = stage.gateway.log_text().lines().count();
    let mut config = stage.gateway.config_text();
    let _infallible = writeln!(config, "[nonsense]");
    std::fs::write(stage.gateway.config(), config)?;
    for n in 0..TIMES {
        for (method, target, body, status) in [
            ("GET", "/v1/nothing", None, 404),
            ("DELETE", "/v1/status", None, 405),
            ("PATCH", "/v1/modules/m01/reported", Some(json!([])), 400),
            ("PATCH", "/v1/modules/m01/reported", Some(json!({"a.b": n})), 422),
            ("POST", "/v1/modules/m01/acks", Some(json!({"version": 999, "status": 200})), 409),
            ("GET", "/v1/modules/m01/watch?since=never", None, 400),
            ("PUT", "/v1/log-level", Some(json!({"level": "loud"})), 400),
            ("PUT", "/v1/log-level", Some(json!({"level": "info"})), 200),
            ("POST", "/v1/reload", None, 422),
            ("POST", "/v1/modules/m01/reconnect", None, 202),
        ] {
            let answer = raw::ask(&socket, method, target, body.as_ref())?;
            assert_eq!(answer.status, status, "{method} {target}: {answer:?}");
        }
        let _closed = raw::exchange(&socket, b"\0\r\n\r\n");
    }
    let text = stage.gateway.log_text();
    let lines: Vec<&str> = text.lines().skip(before).collect();
    for (words, least) in [
        ("config refused", LINES),
        ("an administrator changes the level", LINES),
        // The session has a pace of its own.
        ("connected to the hub", 0),
    ] {
        let found = lines.iter().filter(|line| line.contains(words)).count();
        assert!((least..=LINES).contains(&found), "{found} of `{words}` in {text}");
    }
    assert!(lines.len() <= 4 * LINES, "{text}");
    Ok(())
}
