//! What peers get of modules: each right by itself, and each way a request can go wrong.

use std::sync::Arc;
use std::time::Duration;

use modtwind::local_api::{Limits, Registry};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::daemon::{Daemon, registry};
use crate::peer::{Answer, ask, can_change_users, connect_as, get, in_time, is_closed, read};
use crate::session::{Running, rule};

/// Watches `/a` and reports `/r` of module `m`.
pub(crate) const HVAC: u32 = 54_331;
/// Watches all of module `m` and reports nothing.
pub(crate) const READER: u32 = 54_332;
/// Is no handler of anything.
pub(crate) const NOBODY: u32 = 54_333;

/// Module `m` at desired version 7, and `new`, of which nothing is known yet.
pub(crate) struct Scene {
    pub(crate) daemon: Daemon,
    pub(crate) m: Running,
    _new: Running,
}

impl Scene {
    pub(crate) async fn open() -> Self {
        Self::open_with(Limits::default()).await
    }

    pub(crate) async fn open_with(limits: Limits) -> Self {
        let rules = vec![rule("hvac", HVAC, &["/a"], &["/r"]), rule("reader", READER, &[""], &[])];
        let desired = json!({"a": {"x": 1}, "b": 2});
        let m = Running::start("m", Some((7, desired)), rules).await;
        let new = Running::start("new", None, Vec::new()).await;
        let modules = vec![m.entry.clone(), new.entry.clone()];
        let daemon = Daemon::serving(Registry { modules, ..registry() }, limits).await;
        Self { daemon, m, _new: new }
    }

    /// Puts `entry`'s changes into force, as a reload does.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut Registry)) {
        self.daemon.registry.as_ref().unwrap().send_modify(|registry| {
            let mut next = Registry::clone(registry);
            change(&mut next);
            *registry = Arc::new(next);
        });
    }

    pub(crate) fn connect_as(&self, uid: u32) -> UnixStream {
        connect_as(self.daemon.path(), uid, uid, &[])
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        self.daemon.ask(with_body(method, path, body)).await
    }
}

pub(crate) fn with_body(method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// An open stream of events.
pub(crate) struct Events(BufReader<UnixStream>);

impl Events {
    pub(crate) async fn open(mut stream: UnixStream, path: &str) -> Self {
        stream.write_all(get(path).as_bytes()).await.unwrap();
        Self(BufReader::new(stream))
    }

    /// The next event; none at the stream's end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            let mut line = String::new();
            let count = in_time(self.0.read_line(&mut line)).await.unwrap();
            // Header fields and the sizes of chunks are passed over.
            match serde_json::from_str::<Value>(&line) {
                Ok(Value::Object(event)) => return Some(Value::Object(event)),
                _ if count == 0 || line == "0\r\n" => return None,
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn an_administrator_sees_everything() {
    let scene = Scene::open().await;
    let list = scene.daemon.get("/v1/modules").await.json();
    let names: Vec<_> = list["modules"].as_array().unwrap().iter().map(|m| &m["module"]).collect();
    assert_eq!(names, ["m", "new"]);
    let m = &list["modules"][0];
    assert_eq!((&m["desired_version"], &m["applied_version"]), (&json!(7), &Value::Null));
    assert_eq!(m["handlers"], json!(["hvac", "reader"]));

    let answer = scene.daemon.get("/v1/modules/m").await;
    assert_eq!(answer.header("etag"), Some("\"1.7\""));
    let snapshot = answer.json();
    assert_eq!(snapshot["desired"], json!({"a": {"x": 1}, "b": 2}));
    assert_eq!(snapshot["reported"], json!({"r": 1, "q": 2}));
    assert_eq!((&snapshot["version"], &snapshot["reported_version"]), (&json!(7), &json!(12)));
    assert_eq!(
        (&snapshot["stale"], &snapshot["as_of"]),
        (&json!(true), &json!("2026-11-23T10:00:00Z"))
    );

    let answer = scene.daemon.get("/v1/modules/new").await;
    assert_eq!((answer.status, answer.header("etag")), (200, None));
    assert_eq!(
        (&answer.json()["desired"], &answer.json()["version"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn a_known_revision_is_not_sent_again() {
    let scene = Scene::open().await;
    let ask_with = async |tag: &str| {
        let request = format!("GET /v1/modules/m HTTP/1.1\r\nif-none-match: {tag}\r\n\r\n");
        scene.daemon.ask(request).await
    };
    let known = ask_with("\"1.6\", \"1.7\"").await;
    assert_eq!((known.status, known.body.len(), known.header("etag")), (304, 0, Some("\"1.7\"")));
    assert_eq!(ask_with("\"1.6\"").await.status, 200);
}

#[tokio::test]
async fn a_handler_sees_its_subtrees_only() {
    if !can_change_users() {
        return;
    }
    let scene = Scene::open().await;
    let mut hvac = scene.connect_as(HVAC);
    let list = ask(&mut hvac, get("/v1/modules")).await.json();
    assert_eq!(list["modules"].as_array().unwrap().len(), 1);
    assert_eq!(list["modules"][0]["handlers"], json!(["hvac"]));
    let snapshot = ask(&mut hvac, get("/v1/modules/m")).await.json();
    assert_eq!(
        (&snapshot["desired"], &snapshot["reported"]),
        (&json!({"a": {"x": 1}}), &json!({"r": 1}))
    );
    ask(&mut hvac, get("/v1/modules/new")).await.problem(403, "forbidden");
    ask(&mut hvac, get("/v1/status")).await.problem(403, "forbidden");
    ask(&mut hvac, get("/metrics")).await.problem(403, "forbidden");
    let mut nobody = scene.connect_as(NOBODY);
    assert_eq!(ask(&mut nobody, get("/v1/modules")).await.json(), json!({"modules": []}));
    let of_one = ask(&mut nobody, get("/v1/modules/m")).await.problem(403, "forbidden");
    let of_none = ask(&mut nobody, get("/v1/modules/absent")).await.problem(403, "forbidden");
    assert_eq!(of_one, of_none);
}

#[tokio::test]
async fn a_report_is_stored_numbered_and_pending() {
    let scene = Scene::open().await;
    let path = "/v1/modules/m/reported";
    let first = scene.send("PATCH", path, r#"{"temperature":20.5}"#).await;
    assert_eq!((first.status, first.json()), (202, json!({"stored": true, "sequence": 1})));
    let second = scene.send("PATCH", &format!("{path}?wait=stored"), r#"{"r":null}"#).await;
    assert_eq!(second.json()["sequence"], 2);
    let snapshot = scene.daemon.get("/v1/modules/m").await.json();
    assert_eq!(snapshot["pending"], json!({"temperature": 20.5, "r": null}));
    let status = scene.daemon.get("/v1/status").await.json();
    assert_eq!(status["modules"][0]["pending"]["keys"], 2);
}

#[tokio::test]
async fn a_report_that_the_hub_does_not_accept_in_time_stays_stored() {
    let scene = Scene::open().await;
    let path = "/v1/modules/m/reported?wait=hub&timeout=0.1";
    let late = scene.send("PATCH", path, r#"{"temperature":1}"#).await;
    late.problem(504, "timeout");
    let snapshot = scene.daemon.get("/v1/modules/m").await.json();
    assert_eq!(snapshot["pending"], json!({"temperature": 1}));
}

#[tokio::test]
async fn a_report_whose_module_stops_before_the_hub_has_it_is_not_to_be_sent_again() {
    let scene = Scene::open().await;
    let path = "/v1/modules/m/reported?wait=hub";
    let asked = scene.send("PATCH", path, r#"{"temperature":1}"#);
    let stopped = async {
        let mut views = scene.m.entry.handle.follow();
        in_time(views.wait_for(|view| !view.pending.is_empty())).await.unwrap();
        scene.m.stop.send_replace(true);
    };
    let (answer, ()) = tokio::join!(asked, stopped);
    answer.problem(504, "timeout");
}

#[tokio::test]
async fn a_report_outside_the_own_subtrees_is_refused_with_its_place() {
    if !can_change_users() {
        return;
    }
    let scene = Scene::open().await;
    let mut hvac = scene.connect_as(HVAC);
    let patch = |body| with_body("PATCH", "/v1/modules/m/reported", body);
    assert_eq!(ask(&mut hvac, patch(r#"{"r":{"x":1}}"#)).await.status, 202);
    let problem = ask(&mut hvac, patch(r#"{"r":1,"q":{"z":1}}"#)).await.problem(403, "forbidden");
    assert_eq!(problem["pointer"], "/q/z");
    let mut reader = scene.connect_as(READER);
    let problem = ask(&mut reader, patch("{}")).await.problem(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("`report`"), "{problem}");
}

#[tokio::test]
async fn a_body_that_is_no_merge_patch_is_refused() {
    let scene = Scene::open().await;
    let path = "/v1/modules/m/reported";
    for body in ["", "{", "[1]", "null", "7", "{\"a\":1} {}", "{\"a\":\u{1}}"] {
        let problem = scene.send("PATCH", path, body).await.problem(400, "invalid_request");
        assert_eq!(problem["field"], "body", "{body}");
    }
    let deep = "[".repeat(100_000);
    scene.send("PATCH", path, &deep).await.problem(400, "invalid_request");
    let typed = "PATCH /v1/modules/m/reported HTTP/1.1\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n{}";
    let problem = scene.daemon.ask(typed).await.problem(400, "invalid_request");
    assert_eq!(problem["field"], "content-type");
    for good in ["application/merge-patch+json", "Application/JSON; charset=utf-8"] {
        let typed = format!(
            "PATCH /v1/modules/m/reported HTTP/1.1\r\ncontent-type: {good}\r\ncontent-length: 7\r\n\r\n{{\"a\":1}}"
        );
        assert_eq!(scene.daemon.ask(typed).await.status, 202, "{good}");
    }
    for query in ["wait=never", "timeout=0", "timeout=x"] {
        let problem = scene.send("PATCH", &format!("{path}?{query}"), "{}").await;
        problem.problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_patch_that_breaks_a_rule_of_twins_is_refused_with_pointer_and_rule() {
    let scene = Scene::open().await;
    let answer = scene.send("PATCH", "/v1/modules/m/reported", r#"{"a":{"b.c":1}}"#).await;
    let problem = answer.problem(422, "invalid_twin");
    assert!(problem["pointer"].as_str().unwrap().starts_with("/a"), "{problem}");
    assert!(problem["rule"].is_string(), "{problem}");
}

#[tokio::test]
async fn a_body_beyond_512_kib_is_refused_with_the_limit() {
    let scene = Scene::open().await;
    let text = |size: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(size));
    let path = "/v1/modules/m/reported";
    let problem = scene.send("PATCH", path, &text(512 * 1024)).await.problem(413, "too_large");
    assert_eq!(problem["limit"], 512 * 1024);
    // Within the limit it is the rules of twins that speak.
    scene.send("PATCH", path, &text(511 * 1024)).await.problem(422, "invalid_twin");

    let chunk = format!("{:x}\r\n{}\r\n", 65_536, "x".repeat(65_536));
    let chunked = format!(
        "PATCH {path} HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(9)
    );
    scene.daemon.ask(chunked).await.problem(413, "too_large");
    let announced = format!("PATCH {path} HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n");
    scene.daemon.ask(announced).await.problem(413, "too_large");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up_and_nothing_is_stored() {
    let limits = Limits { body_timeout: Duration::from_millis(100), ..Limits::default() };
    let scene = Scene::open_with(limits).await;
    let mut slow = scene.daemon.connect().await;
    let half = "PATCH /v1/modules/m/reported HTTP/1.1\r\ncontent-length: 100\r\n\r\n{\"a\":1";
    ask(&mut slow, half).await.problem(400, "invalid_request");
    assert!(is_closed(&mut slow).await);
    assert_eq!(scene.daemon.get("/v1/modules/m").await.json()["pending"], json!({}));
}

#[tokio::test]
async fn a_full_disk_takes_neither_reports_nor_acks() {
    let scene = Scene::open().await;
    scene.m.store.fill();
    let report = scene.send("PATCH", "/v1/modules/m/reported", r#"{"a":1}"#).await;
    let problem = report.problem(507, "storage");
    assert!(problem["detail"].as_str().unwrap().contains("no space left"), "{problem}");
    let ack = scene.send("POST", "/v1/modules/m/acks", r#"{"version":7,"status":200}"#).await;
    ack.problem(507, "storage");
    let status = scene.daemon.get("/v1/status").await.json();
    assert_eq!(status["storage"]["writable"], false);
}

#[tokio::test]
async fn an_ack_is_shown_under_its_handlers_name() {
    let scene = Scene::open().await;
    let path = "/v1/modules/m/acks";
    let ack = scene.send("POST", path, r#"{"version":7,"status":200,"unknown":1}"#).await;
    assert_eq!(ack.status, 202, "{ack:?}");
    let named =
        r#"{"version":6,"status":500,"handler":"hvac","description":"too warm","paths":["/a"]}"#;
    assert_eq!(scene.send("POST", path, named).await.status, 202);
    let snapshot = scene.daemon.get("/v1/modules/m").await.json();
    let mut applied = snapshot["applied"].as_array().unwrap().clone();
    applied.sort_by_key(|one| one["handler"].as_str().unwrap().to_owned());
    assert_eq!((&applied[0]["handler"], &applied[0]["version"]), (&json!("admin"), &json!(7)));
    assert_eq!((&applied[1]["handler"], &applied[1]["status"]), (&json!("hvac"), &json!(500)));
    assert_eq!(applied[1]["description"], "too warm");
    // One handler's last word is a refusal.
    assert_eq!(
        scene.daemon.get("/v1/modules").await.json()["modules"][0]["applied_version"],
        Value::Null
    );
    let status = scene.daemon.get("/v1/status").await.json();
    let handlers = status["modules"][0]["handlers"].as_array().unwrap();
    let names: Vec<_> = handlers.iter().map(|handler| &handler["name"]).collect();
    assert_eq!(names, ["hvac", "reader", "admin"]);
    assert_eq!(handlers[2]["applied_version"], 7);
}

#[tokio::test]
async fn an_ack_that_makes_no_sense_is_refused() {
    let scene = Scene::open().await;
    let long = format!(r#"{{"version":7,"status":200,"description":"{}"}}"#, "x".repeat(5000));
    let bad = [
        (r#"{"version":7,"status":300}"#, "status"),
        (r#"{"version":7,"status":200,"handler":""}"#, "handler"),
        (r#"{"version":7,"status":200,"paths":["a"]}"#, "paths"),
        (long.as_str(), "description"),
        (r#"{"status":200}"#, "body"),
        (r#"{"version":-1,"status":200}"#, "body"),
        ("", "body"),
        ("[7,1,200]", "body"),
    ];
    for (body, field) in bad {
        let answer = scene.send("POST", "/v1/modules/m/acks", body).await;
        assert_eq!(answer.problem(400, "invalid_request")["field"], field, "{body}");
    }
    let unseen = scene.send("POST", "/v1/modules/m/acks", r#"{"version":8,"status":200}"#).await;
    unseen.problem(409, "unknown_version");
    let unknown = scene.send("POST", "/v1/modules/new/acks", r#"{"version":1,"status":200}"#).await;
    unknown.problem(503, "not_synced");
}

#[tokio::test]
async fn metrics_say_what_status_says_to_administrators_alone() {
    let scene = Scene::open().await;
    let metrics = scene.daemon.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let text = String::from_utf8(metrics.body).unwrap();
    for line in [
        "# TYPE modtwin_module_connected gauge",
        "modtwin_module_connected{module=\"m\"} 0",
        "modtwin_module_desired_version{module=\"m\"} 7",
        "modtwin_module_reported_version{module=\"m\"} 12",
        "modtwin_module_state{module=\"broken\",state=\"disabled\",reason=\"config\"} 1",
        "modtwin_handler_watching{module=\"m\",handler=\"hvac\"} 0",
        "modtwin_local_api_connections 1.0",
        "modtwin_build_info{version=\"1.2.3\"} 1",
        "modtwin_storage_writable 1.0",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
    }
}

#[tokio::test]
async fn a_handler_acknowledges_as_itself_and_within_its_subtrees() {
    if !can_change_users() {
        return;
    }
    let scene = Scene::open().await;
    let mut hvac = scene.connect_as(HVAC);
    let post = |body| with_body("POST", "/v1/modules/m/acks", body);
    assert_eq!(ask(&mut hvac, post(r#"{"version":7,"status":200}"#)).await.status, 202);
    let forged = ask(&mut hvac, post(r#"{"version":7,"status":200,"handler":"reader"}"#)).await;
    forged.problem(403, "forbidden");
    let outside = ask(&mut hvac, post(r#"{"version":7,"status":200,"paths":["/b"]}"#)).await;
    assert_eq!(outside.problem(403, "forbidden")["pointer"], "/b");
    let applied = ask(&mut hvac, get("/v1/modules/m")).await.json()["applied"].clone();
    assert_eq!((&applied[0]["handler"], applied.as_array().unwrap().len()), (&json!("hvac"), 1));
    let mut reader = scene.connect_as(READER);
    assert_eq!(ask(&mut reader, get("/v1/modules/m")).await.json()["applied"], json!([]));
}

#[tokio::test]
async fn a_watch_begins_with_what_the_handler_may_see() {
    if !can_change_users() {
        return;
    }
    let scene = Scene::open().await;
    let mut events = Events::open(scene.connect_as(HVAC), "/v1/modules/m/watch").await;
    let first = events.next().await.unwrap();
    assert_eq!((&first["type"], &first["desired"]), (&json!("snapshot"), &json!({"a": {"x": 1}})));
    let status = scene.daemon.get("/v1/status").await.json();
    let handlers = &status["modules"][0]["handlers"];
    assert_eq!((&handlers[0]["watching"], &handlers[1]["watching"]), (&json!(true), &json!(false)));

    let mut events = Events::open(scene.connect_as(HVAC), "/v1/modules/m/watch?since=1.7").await;
    let first = events.next().await.unwrap();
    assert_eq!((&first["unchanged"], first.get("desired")), (&json!(true), None));

    let mut events = Events::open(scene.connect_as(READER), "/v1/modules/m/watch?path=/b").await;
    assert_eq!(events.next().await.unwrap()["desired"], json!({"b": 2}));

    let refused = async |uid: u32, path: &str| ask(&mut scene.connect_as(uid), get(path)).await;
    let problem = refused(HVAC, "/v1/modules/m/watch?path=/b").await.problem(403, "forbidden");
    assert_eq!(problem["pointer"], "/b");
    refused(HVAC, "/v1/modules/m/watch?handler=reader").await.problem(403, "forbidden");
    refused(HVAC, "/v1/modules/m/watch?since=7").await.problem(400, "invalid_request");
    refused(NOBODY, "/v1/modules/m/watch").await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_new_session_behind_a_module_goes_on_in_the_open_streams() {
    let scene = Scene::open().await;
    let stream = scene.daemon.connect().await;
    let mut events = Events::open(stream, "/v1/modules/m/watch").await;
    assert_eq!(events.next().await.unwrap()["version"], 7);
    let next = Running::start("m", Some((8, json!({"b": 2}))), Vec::new()).await;
    scene.publish(|registry| registry.modules[0] = next.entry.clone());
    let event = in_time(async {
        loop {
            let event = events.next().await.unwrap();
            if event["type"] == "desired" {
                break event;
            }
        }
    })
    .await;
    assert_eq!((&event["version"], &event["patch"]), (&json!(8), &json!({"a": null})));
    scene.publish(|registry| drop(registry.modules.remove(0)));
    let last = in_time(async {
        let mut last = Value::Null;
        while let Some(event) = events.next().await {
            last = event;
        }
        last
    })
    .await;
    assert_eq!(last, json!({"type": "removed", "module": "m"}));
}

#[tokio::test]
async fn a_stop_ends_streams_without_a_last_word() {
    let mut scene = Scene::open().await;
    let stream = scene.daemon.connect().await;
    let mut events = Events::open(stream, "/v1/modules/new/watch").await;
    assert_eq!(events.next().await.unwrap()["desired"], Value::Null);
    scene.daemon.stop.take().unwrap().send(()).unwrap();
    while let Some(event) = events.next().await {
        assert_eq!(event["type"], "hub", "{event}");
    }
    in_time(&mut scene.daemon.served).await.unwrap();
}

#[tokio::test]
async fn status_tells_an_operator_about_each_module() {
    let scene = Scene::open().await;
    let status = scene.daemon.get("/v1/status").await.json();
    let names: Vec<_> =
        status["modules"].as_array().unwrap().iter().map(|module| &module["module"]).collect();
    assert_eq!(names, ["m", "new", "broken"]);
    let m = &status["modules"][0];
    assert_eq!((&m["desired_version"], &m["reported_version"]), (&json!(7), &json!(12)));
    assert_eq!(m["credential"]["kind"], "x509");
    assert_eq!(m["credential"]["warnings"], json!(["renewal is due"]));
}

#[tokio::test]
async fn a_reconnect_is_taken() {
    let scene = Scene::open().await;
    let answer = scene.send("POST", "/v1/modules/m/reconnect", "").await;
    assert_eq!(answer.status, 202);
    scene.send("POST", "/v1/modules/absent/reconnect", "").await.problem(404, "not_found");
}

#[tokio::test]
async fn requests_on_one_connection_follow_each_other() {
    let scene = Scene::open().await;
    let mut stream = scene.daemon.connect().await;
    let report = with_body("PATCH", "/v1/modules/m/reported", r#"{"a":1}"#);
    stream.write_all([report, get("/v1/modules/m")].concat().as_bytes()).await.unwrap();
    assert_eq!(read(&mut stream, false).await.status, 202);
    assert_eq!(read(&mut stream, false).await.json()["pending"], json!({"a": 1}));
}
