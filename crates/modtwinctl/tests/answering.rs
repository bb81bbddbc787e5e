//! `methods`, with and without a command to run.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

#[expect(dead_code, reason = "each test file uses its share")]
mod program;
#[expect(dead_code, reason = "each test file uses its share")]
#[path = "../../modtwin-client/tests/scripted/mod.rs"]
mod scripted;

use std::os::unix::net::UnixStream;

use program::{Background, run};
use scripted::{Daemon, Request, answer, begin, end, event, hold, problem};
use serde_json::{Value, json};

/// A daemon that takes answers and serves streams of calls by `stream`.
fn calling(stream: impl Fn(&Request, &mut UnixStream) + Send + Sync + 'static) -> Daemon {
    Daemon::serve(move |request, connection| {
        if request.line.starts_with("POST") {
            answer(connection, 204, &Value::Null);
        } else {
            begin(connection);
            event(connection, &json!({"type": "heartbeat"}));
            stream(request, connection);
        }
    })
}

fn invoke(id: &str, method: &str, payload: &Value) -> Value {
    json!({"type": "invoke", "id": id, "method": method, "payload": payload, "timeout_ms": 20_000})
}

/// The next answer that reaches the daemon: its call's id, status and payload.
fn answered(daemon: &Daemon) -> (String, Value) {
    let request = daemon.request_to("POST /v1/modules/m/methods/");
    let id = request.line.rsplit('/').next().unwrap().to_owned();
    (id, request.json())
}

#[test]
fn methods_prints_each_call_in_words_or_as_it_came() {
    let removed = json!({"type": "removed", "module": "m"});
    let call = invoke("f-1", "reboot", &json!({"in": 5}));
    let sent = [call.clone(), removed];
    let daemon = calling(move |_, stream| {
        sent.iter().for_each(|next| event(stream, next));
        end(stream);
    });
    let ran = run(&daemon.socket(), &["methods", "m", "--name", "reboot", "--name", "fan*set"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "f-1 reboot {\"in\":5}\n"));
    assert!(ran.stderr.contains("removed"), "{ran:?}");
    let line = daemon.request().line;
    assert_eq!(line, "GET /v1/modules/m/methods?name=reboot&name=fan%2Aset");
    let ran = run(&daemon.socket(), &["methods", "m", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap(), call);
}

#[test]
fn a_command_answers_each_call_with_what_it_prints() {
    let daemon = calling(|_, stream| {
        event(stream, &invoke("f-1", "echo", &json!({"in": 5})));
        event(stream, &invoke("f-2", "fail", &Value::Null));
        event(stream, &invoke("f-3", "talk", &Value::Null));
        hold(stream);
    });
    let script = "case $MODTWIN_MODULE/$MODTWIN_METHOD in m/echo) cat;; m/talk) echo up 3 days;; \
                  *) echo no fan >&2; exit 3;; esac";
    let methods =
        Background::start(&daemon.socket(), &["methods", "m", "--exec", "sh", "-c", script]);
    let expected = [
        ("f-1", json!({"status": 200, "payload": {"in": 5}})),
        ("f-2", json!({"status": 500, "payload": {"message": "no fan"}})),
        ("f-3", json!({"status": 200, "payload": "up 3 days"})),
    ];
    for (id, answer) in expected {
        assert_eq!(answered(&daemon), (id.to_owned(), answer));
    }
    assert_eq!(methods.terminate().code, Some(0));
}

#[test]
fn a_command_that_is_too_slow_or_says_too_much_is_answered_for() {
    let daemon = calling(|_, stream| {
        let slow = json!({"type": "invoke", "id": "f-1", "method": "slow", "payload": null,
                          "timeout_ms": 300});
        event(stream, &slow);
        event(stream, &invoke("f-2", "loud", &Value::Null));
        hold(stream);
    });
    let script = "if [ $MODTWIN_METHOD = slow ]; then sleep 60; else yes | head -c 200000; fi";
    let methods =
        Background::start(&daemon.socket(), &["methods", "m", "--exec", "sh", "-c", script]);
    let (id, answer) = answered(&daemon);
    assert_eq!((id.as_str(), &answer["status"]), ("f-1", &json!(504)), "{answer}");
    let (id, answer) = answered(&daemon);
    assert_eq!((id.as_str(), &answer["status"]), ("f-2", &json!(500)), "{answer}");
    assert!(answer["payload"]["message"].as_str().unwrap().contains("131072"), "{answer}");
    methods.terminate();
}

#[test]
fn a_stream_that_ends_is_taken_up_again_and_a_refusal_at_the_start_is_final() {
    let first = std::sync::atomic::AtomicBool::new(true);
    let daemon = calling(move |_, stream| {
        if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            return end(stream);
        }
        event(stream, &invoke("f-9", "echo", &json!(1)));
        hold(stream);
    });
    let methods = Background::start(&daemon.socket(), &["methods", "m", "--exec", "cat"]);
    assert_eq!(answered(&daemon).0, "f-9");
    let ran = methods.terminate();
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");

    let taken = Daemon::serve(|_, stream| {
        answer(stream, 409, &problem(409, "in_use", "method `a` is answered by another stream"));
    });
    let ran = run(&taken.socket(), &["methods", "m", "--exec", "cat"]);
    assert!(ran.failure(1).contains("another stream"), "{ran:?}");
}
