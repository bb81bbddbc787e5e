//! Messages and methods over the socket: who may, and each way a request can go wrong.

use modtwind::local_api::{Limits, Registry};
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::daemon::{Daemon, registry};
use crate::peer::{Answer, ask, can_change_users, connect_as, get};
use crate::session::{Running, rule};

/// Reports `/r` of module `m` and answers `reboot` and `blink`.
const HVAC: u32 = 54_341;
/// Watches all of module `m`, reports nothing and answers nothing.
const READER: u32 = 54_342;

const MESSAGES: &str = "/v1/modules/m/messages";
const METHODS: &str = "/v1/modules/m/methods";

struct Scene {
    daemon: Daemon,
    m: Running,
}

impl Scene {
    async fn open() -> Self {
        let mut hvac = rule("hvac", HVAC, &["/a"], &["/r"]);
        hvac.methods = vec!["reboot".to_owned(), "blink".to_owned()];
        let rules = vec![hvac, rule("reader", READER, &[""], &[])];
        let m = Running::start("m", Some((7, json!({"a": 1}))), rules).await;
        let modules = vec![m.entry.clone()];
        let daemon = Daemon::serving(Registry { modules, ..registry() }, Limits::default()).await;
        Self { daemon, m }
    }

    fn connect_as(&self, uid: u32) -> UnixStream {
        connect_as(self.daemon.path(), uid, uid, &[])
    }

    async fn post(&self, path: &str, headers: &str, body: &str) -> Answer {
        self.daemon.ask(post(path, headers, body)).await
    }
}

fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

/// Asks for a stream; gives the status that its answer begins with, and the open connection.
async fn begin(mut stream: UnixStream, path: &str) -> (u16, UnixStream) {
    let answer = ask(&mut stream, get(path)).await;
    (answer.status, stream)
}

#[tokio::test]
async fn a_message_without_a_hub_is_stored_and_shows_in_status() {
    let scene = Scene::open().await;
    let answer = scene.post(MESSAGES, "modtwin-property: a=b\r\n", "hello").await;
    assert_eq!((answer.status, answer.json()), (202, json!({"stored": true})));
    let answer = scene.post(&format!("{MESSAGES}?wait=stored"), "", "").await;
    assert_eq!(answer.status, 202);
    let status = scene.daemon.get("/v1/status").await.json();
    let messages = &status["modules"][0]["messages"];
    assert_eq!((&messages["waiting"], &messages["set_aside"]), (&json!(2), &json!(0)));
    assert!(messages["bytes"].as_u64().unwrap() > 5, "{messages}");
}

#[tokio::test]
async fn what_is_wrong_with_a_message_is_said_and_nothing_is_taken() {
    let scene = Scene::open().await;
    let field = async |query: &str, headers: &str| {
        let answer = scene.post(&format!("{MESSAGES}{query}"), headers, "x").await;
        answer.problem(400, "invalid_request")["field"].clone()
    };
    assert_eq!(field("", "modtwin-property: name\r\n").await, "modtwin-property");
    assert_eq!(field("", "modtwin-property: $.ct=x\r\n").await, "modtwin-property");
    let twice = "modtwin-property: a=1\r\nmodtwin-property: a=2\r\n";
    assert_eq!(field("", twice).await, "modtwin-property");
    assert_eq!(field("?wait=soon", "").await, "wait");
    assert_eq!(field("?timeout=never", "").await, "timeout");
    let large = "x".repeat(256 * 1024 + 1);
    let problem = scene.post(MESSAGES, "", &large).await.problem(413, "too_large");
    assert_eq!(problem["limit"], 262_144);
    scene.daemon.get(MESSAGES).await.problem(405, "method_not_allowed");
    let status = scene.daemon.get("/v1/status").await.json();
    assert_eq!(status["modules"][0]["messages"]["waiting"], 0);
}

#[tokio::test]
async fn a_full_disk_refuses_messages_that_have_to_wait() {
    let scene = Scene::open().await;
    scene.m.store.fill();
    let problem = scene.post(MESSAGES, "", "x").await.problem(507, "storage");
    assert!(problem["detail"].as_str().unwrap().contains("no space left"), "{problem}");
}

#[tokio::test]
async fn a_full_queue_is_overloaded_and_says_when_to_come_back() {
    let scene = Scene::open().await;
    let mut stream = scene.daemon.connect().await;
    for _ in 0..1000 {
        assert_eq!(ask(&mut stream, post(MESSAGES, "", "x")).await.status, 202);
    }
    let refused = ask(&mut stream, post(MESSAGES, "", "x")).await;
    assert_eq!(refused.problem(429, "overloaded")["limit"], 1000);
    assert_eq!(refused.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_method_has_one_owner_at_a_time() {
    let scene = Scene::open().await;
    let first = begin(scene.daemon.connect().await, &format!("{METHODS}?name=a&name=b")).await;
    assert_eq!(first.0, 200);
    let problem = scene.daemon.get(&format!("{METHODS}?name=b")).await.problem(409, "in_use");
    assert!(problem["detail"].as_str().unwrap().contains("`b`"), "{problem}");
    let (status, rest) = begin(scene.daemon.connect().await, METHODS).await;
    assert_eq!(status, 200, "all others are free");
    scene.daemon.get(METHODS).await.problem(409, "in_use");
    drop((first, rest));
    let problem =
        scene.daemon.get(&format!("{METHODS}?name=")).await.problem(400, "invalid_request");
    assert_eq!(problem["field"], "name");
}

#[tokio::test]
async fn an_answer_to_no_call_and_one_that_makes_no_sense_are_refused() {
    let scene = Scene::open().await;
    let answer = async |id: &str, body: Value| {
        let json = "content-type: application/json\r\n";
        scene.post(&format!("{METHODS}/{id}"), json, &body.to_string()).await
    };
    for id in ["1", "0123456789abcdef-1", "%20"] {
        answer(id, json!({"status": 200})).await.problem(404, "not_found");
    }
    for status in [json!(99), json!(1000)] {
        let problem =
            answer("1", json!({ "status": status })).await.problem(400, "invalid_request");
        assert_eq!(problem["field"], "status");
    }
    answer("1", json!({"payload": 1})).await.problem(400, "invalid_request");
    let large = json!({"status": 200, "payload": "x".repeat(128 * 1024)});
    assert_eq!(answer("1", large).await.problem(413, "too_large")["limit"], 131_072);
}

#[tokio::test]
async fn a_handler_owns_what_its_rule_lists_and_a_refusal_names_the_rule() {
    if !can_change_users() {
        return;
    }
    let scene = Scene::open().await;
    let refused = |answer: &Answer| {
        let problem = answer.problem(403, "forbidden");
        (problem["rule"].as_str().unwrap().to_owned(), problem["detail"].to_string())
    };
    let mut stream = scene.connect_as(HVAC);
    let answer = ask(&mut stream, get(&format!("{METHODS}?name=reboot&name=shutdown"))).await;
    let (rule, detail) = refused(&answer);
    assert!(rule.contains("`methods`") && rule.contains("`hvac`"), "{rule}");
    assert!(detail.contains("shutdown"), "{detail}");
    // Without names it gets its own, and no more: the rest is still free.
    let (status, own) = begin(stream, METHODS).await;
    assert_eq!(status, 200);
    scene.daemon.get(&format!("{METHODS}?name=blink")).await.problem(409, "in_use");
    let (status, _rest) = begin(scene.daemon.connect().await, METHODS).await;
    assert_eq!(status, 200);
    drop(own);

    let mut stream = scene.connect_as(READER);
    let (rule, _) = refused(&ask(&mut stream, get(METHODS)).await);
    assert!(rule.contains("`methods`") && rule.contains("`reader`"), "{rule}");
    let mut stream = scene.connect_as(READER);
    let body = json!({"status": 200}).to_string();
    refused(&ask(&mut stream, post(&format!("{METHODS}/1"), "", &body)).await);
    let mut stream = scene.connect_as(READER);
    let (rule, detail) = refused(&ask(&mut stream, post(MESSAGES, "", "x")).await);
    assert!(rule.contains("`report`") && detail.contains("`reader`"), "{detail}");
    let mut stream = scene.connect_as(HVAC);
    assert_eq!(ask(&mut stream, post(MESSAGES, "", "x")).await.status, 202);
}
