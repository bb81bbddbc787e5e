//! What peers get who are good, clumsy or hostile, where no module is served.

use std::time::Duration;

use modtwind::local_api::{AdminCommand, Limits, ReloadRefusal};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::daemon::{ADMIN_GROUP, Daemon};
use crate::peer::{ask, can_change_users, connect_as, get, in_time, is_closed, read};

/// A user and a group that own nothing here.
const STRANGER: u32 = 54_321;

#[tokio::test]
async fn health_and_an_empty_list_are_answered() {
    let daemon = Daemon::start().await;
    let health = daemon.get("/v1/health").await;
    assert_eq!((health.status, health.json()), (200, json!({"healthy": true, "version": "1.2.3"})));
    let list = daemon.get("/v1/modules").await;
    assert_eq!((list.status, list.json()), (200, json!({"modules": []})));
    assert_eq!(list.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn health_fails_once_the_supervisor_is_gone() {
    let mut daemon = Daemon::start().await;
    drop(daemon.registry.take());
    let health = daemon.get("/v1/health").await;
    assert_eq!((health.status, &health.json()["healthy"]), (503, &json!(false)));
}

#[tokio::test]
async fn status_shows_the_daemon_and_modules_too_broken_to_serve() {
    let daemon = Daemon::start().await;
    let status = daemon.get("/v1/status").await.json();
    assert_eq!(status["device_id"], "device01");
    let directory = "/var/lib/modtwin";
    let storage =
        json!({"directory": directory, "writable": true, "writes": 0, "bytes_written": 0});
    assert_eq!(status["storage"], storage);
    assert_eq!(status["clock"], json!({"trusted": true}));
    assert_eq!(status["budget"], json!({"operations_per_second": 20, "percent": 100}));
    let broken = &status["modules"][0];
    assert_eq!(broken["module"], "broken");
    assert_eq!(
        (&broken["hub"]["state"], &broken["hub"]["reason"]),
        (&json!("disabled"), &json!("config"))
    );
    assert_eq!(broken["problem"], "no such file `x.pem`");
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let daemon = Daemon::start().await;
    let mut stream = daemon.connect().await;
    let head = ask(&mut stream, "HEAD /v1/modules HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("14")));
    assert_eq!(ask(&mut stream, get("/v1/health")).await.status, 200);
}

#[tokio::test]
async fn unknown_paths_modules_and_methods_are_refused_as_problems() {
    let daemon = Daemon::start().await;
    for path in ["/", "/v2/modules", "/v1/modules/", "/v1/modules/m/other", "/v1/healthy"] {
        daemon.get(path).await.problem(404, "not_found");
    }
    for path in ["/v1/modules/absent", "/v1/modules/no%2Fid/watch"] {
        daemon.get(path).await.problem(404, "not_found");
    }
    let check = async |request: &str, allowed: &str| {
        let answer = daemon.ask(format!("{request} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        answer.problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allowed));
    };
    check("DELETE /v1/modules", "GET, HEAD").await;
    check("OPTIONS /v1/modules/m/reported", "PATCH").await;
    check("BREW /v1/reload", "POST").await;
    check("GET /v1/modules/m/acks", "POST").await;
}

#[tokio::test]
async fn whoever_connects_may_read_the_contract() {
    if !can_change_users() {
        return;
    }
    let daemon = Daemon::start().await;
    let mut stream = connect_as(daemon.path(), STRANGER, STRANGER, &[]);
    let answer = ask(&mut stream, get("/v1/openapi.json")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/v1/modules/{module}/watch"]["get"].is_object(), "{document}");
    let again = ask(&mut stream, get("/v1/openapi.json")).await;
    assert_eq!(again.body, answer.body);
}

#[tokio::test]
async fn a_bad_query_names_its_parameter() {
    let daemon = Daemon::start().await;
    let problem = daemon.get("/v1/modules?path=%ff").await.problem(400, "invalid_request");
    assert_eq!(problem["field"], "query");
}

#[tokio::test]
async fn garbage_is_refused_and_the_next_peer_is_served() {
    let daemon = Daemon::start().await;
    let garbage: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS greeting\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"hello there\r\n\r\n",
        b"GET /v1/health HTTP/9.9\r\n\r\n",
        b"GET /v1/health HTTP/1.1\r\nno colon here\r\n\r\n",
        b"{\"json\": true}\r\n\r\n",
    ];
    for bytes in garbage {
        let mut stream = daemon.connect().await;
        ask(&mut stream, bytes).await.problem(400, "invalid_request");
        assert!(is_closed(&mut stream).await);
        assert_eq!(daemon.get("/v1/health").await.status, 200);
    }
}

#[tokio::test]
async fn a_header_block_beyond_16_kib_is_refused_with_the_limit() {
    let daemon = Daemon::start().await;
    let with_header = |size: usize| {
        format!("GET /v1/health HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "a".repeat(size))
    };
    assert_eq!(daemon.ask(with_header(15 * 1024)).await.status, 200);
    let problem = daemon.ask(with_header(20 * 1024)).await.problem(431, "too_large");
    assert_eq!(problem["limit"], 16 * 1024);
    daemon.ask(get(&format!("/{}", "a".repeat(20 * 1024)))).await.problem(431, "too_large");
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let many = format!("GET /v1/health HTTP/1.1\r\n{many}\r\n");
    daemon.ask(many).await.problem(431, "too_large");
}

#[tokio::test]
async fn a_refusal_of_the_second_request_leaves_the_first_answer_whole() {
    let daemon = Daemon::start().await;
    let mut stream = daemon.connect().await;
    stream.write_all(get("/v1/health").as_bytes()).await.unwrap();
    stream.write_all(b"nonsense\r\n\r\n").await.unwrap();
    let first = read(&mut stream, false).await;
    assert_eq!((first.status, &first.json()["healthy"]), (200, &json!(true)));
    read(&mut stream, false).await.problem(400, "invalid_request");
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let daemon = Daemon::start().await;
    let mut stream = daemon.connect().await;
    let both = [get("/v1/modules"), get("/v1/absent"), get("/v1/health")].concat();
    stream.write_all(both.as_bytes()).await.unwrap();
    assert_eq!(read(&mut stream, false).await.json(), json!({"modules": []}));
    read(&mut stream, false).await.problem(404, "not_found");
    assert_eq!(read(&mut stream, false).await.json()["healthy"], true);
}

#[tokio::test]
async fn a_request_that_never_ends_is_dropped_and_harms_nobody() {
    let limits = Limits { header_timeout: Duration::from_millis(100), ..Limits::default() };
    let daemon = Daemon::start_with(limits).await;
    let mut half = daemon.connect().await;
    half.write_all(b"GET /v1/health HT").await.unwrap();
    let mut silent = daemon.connect().await;
    assert_eq!(daemon.get("/v1/health").await.status, 200);
    assert!(is_closed(&mut half).await);
    assert!(is_closed(&mut silent).await);
}

#[tokio::test]
async fn a_peer_that_never_reads_stops_being_read_and_harms_nobody() {
    let daemon = Daemon::start().await;
    let mut deaf = daemon.connect().await;
    let requests = get("/v1/status").repeat(64);
    let flood = async {
        loop {
            deaf.write_all(requests.as_bytes()).await.unwrap();
        }
    };
    // It can write only as much as the buffers between hold.
    let stuck = tokio::time::timeout(Duration::from_millis(500), flood).await;
    assert!(stuck.is_err());
    assert_eq!(daemon.get("/v1/health").await.status, 200);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so_and_served_again_later() {
    let limits = Limits { connections: 0, connections_per_user: 1, ..Limits::default() };
    let daemon = Daemon::start_with(limits).await;
    // The daemon's own user has 32 more than anybody.
    let mut open = Vec::new();
    for _ in 0..32 {
        let mut stream = daemon.connect().await;
        assert_eq!(ask(&mut stream, get("/v1/health")).await.status, 200);
        open.push(stream);
    }
    let refused = daemon.get("/v1/health").await;
    let problem = refused.problem(429, "overloaded");
    assert_eq!((&problem["limit"], refused.header("retry-after")), (&json!(32), Some("1")));
    open.clear();
    in_time(async {
        while daemon.get("/v1/health").await.status != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_stop_answers_what_is_in_flight_and_closes_what_is_idle() {
    let mut daemon = Daemon::start().await;
    let mut idle = daemon.connect().await;
    assert_eq!(ask(&mut idle, get("/v1/health")).await.status, 200);
    let mut busy = daemon.connect().await;
    busy.write_all(b"POST /v1/reload HTTP/1.1\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let AdminCommand::Reload { reply } = in_time(daemon.commands.recv()).await.unwrap() else {
        panic!("no reload")
    };
    daemon.stop.take().unwrap().send(()).unwrap();
    assert!(is_closed(&mut idle).await);
    reply.send(Ok(modtwin_api::ReloadOutcome::default())).unwrap();
    assert_eq!(read(&mut busy, false).await.status, 200);
    assert!(is_closed(&mut busy).await);
    in_time(&mut daemon.served).await.unwrap();
    assert!(!daemon.path().exists());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_request_without_end() {
    let limits = Limits { drain: Duration::from_millis(50), ..Limits::default() };
    let mut daemon = Daemon::start_with(limits).await;
    let mut busy = daemon.connect().await;
    busy.write_all(b"POST /v1/reload HTTP/1.1\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let _unanswered = in_time(daemon.commands.recv()).await.unwrap();
    daemon.stop.take().unwrap().send(()).unwrap();
    in_time(&mut daemon.served).await.unwrap();
    assert!(is_closed(&mut busy).await);
}

#[tokio::test]
async fn a_reload_answers_what_changed_or_every_error() {
    let mut daemon = Daemon::start().await;
    let request = "POST /v1/reload HTTP/1.1\r\ncontent-length: 0\r\n\r\n";
    let mut stream = daemon.connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let AdminCommand::Reload { reply } = in_time(daemon.commands.recv()).await.unwrap() else {
        panic!("no reload")
    };
    let outcome =
        modtwin_api::ReloadOutcome { added: vec!["new".to_owned()], ..Default::default() };
    reply.send(Ok(outcome)).unwrap();
    let answer = read(&mut stream, false).await;
    assert_eq!((answer.status, &answer.json()["added"]), (200, &json!(["new"])));

    stream.write_all(request.as_bytes()).await.unwrap();
    let AdminCommand::Reload { reply } = in_time(daemon.commands.recv()).await.unwrap() else {
        panic!("no reload")
    };
    let errors = vec!["a.toml:3: no".to_owned(), "b.toml:1: no".to_owned()];
    reply.send(Err(ReloadRefusal::Invalid(errors))).unwrap();
    let problem = read(&mut stream, false).await.problem(422, "invalid_config");
    assert_eq!(problem["errors"], json!(["a.toml:3: no", "b.toml:1: no"]));

    stream.write_all(request.as_bytes()).await.unwrap();
    drop(in_time(daemon.commands.recv()).await.unwrap());
    let problem = read(&mut stream, false).await.problem(500, "internal");
    assert!(problem["id"].is_string());
}

#[tokio::test]
async fn a_stranger_sees_nothing_and_is_told_which_rule_is_missing() {
    if !can_change_users() {
        return;
    }
    let daemon = Daemon::start().await;
    let mut stream = connect_as(daemon.path(), STRANGER, STRANGER, &[]);
    assert_eq!(ask(&mut stream, get("/v1/health")).await.status, 200);
    assert_eq!(ask(&mut stream, get("/v1/modules")).await.json(), json!({"modules": []}));
    for path in ["/v1/modules/absent", "/v1/modules/broken", "/v1/modules/broken/watch"] {
        let problem = ask(&mut stream, get(path)).await.problem(403, "forbidden");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("uid 54321"), "{detail}");
        assert!(detail.contains("user = \"54321\""), "{detail}");
    }
    let problem = ask(&mut stream, get("/v1/status")).await.problem(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("usermod -aG modtwin"), "{problem}");
    let post = |path: &str| format!("POST {path} HTTP/1.1\r\ncontent-length: 0\r\n\r\n");
    for path in ["/v1/reload", "/v1/modules/absent/reconnect", "/v1/modules/absent/acks"] {
        ask(&mut stream, post(path)).await.problem(403, "forbidden");
    }
}

#[tokio::test]
async fn a_member_of_the_admin_group_may_do_everything() {
    if !can_change_users() {
        return;
    }
    let daemon = Daemon::start().await;
    let mut by_group = connect_as(daemon.path(), STRANGER, ADMIN_GROUP, &[]);
    assert_eq!(ask(&mut by_group, get("/v1/status")).await.status, 200);
    let mut by_membership = connect_as(daemon.path(), STRANGER, STRANGER, &[4, ADMIN_GROUP]);
    assert_eq!(ask(&mut by_membership, get("/v1/status")).await.status, 200);
    ask(&mut by_membership, get("/v1/modules/absent")).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_user_with_too_many_connections_does_not_use_up_those_of_others() {
    if !can_change_users() {
        return;
    }
    let limits = Limits { connections: 10, connections_per_user: 3, ..Limits::default() };
    let daemon = Daemon::start_with(limits).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = connect_as(daemon.path(), STRANGER, STRANGER, &[]);
        assert_eq!(ask(&mut stream, get("/v1/health")).await.status, 200);
        open.push(stream);
    }
    let mut fourth = connect_as(daemon.path(), STRANGER, STRANGER, &[]);
    let problem = ask(&mut fourth, get("/v1/health")).await.problem(429, "overloaded");
    assert_eq!(problem["limit"], 3);
    let mut other = connect_as(daemon.path(), STRANGER + 5, STRANGER, &[]);
    assert_eq!(ask(&mut other, get("/v1/health")).await.status, 200);
}
