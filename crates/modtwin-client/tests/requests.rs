//! Requests and their answers, against a scripted socket.
#![expect(clippy::panic, reason = "helpers of tests may fail the test")]

#[expect(dead_code, reason = "each test file uses its share")]
mod scripted;

use std::time::Duration;

use modtwin_api::{AckRequest, Document, Invocation, MethodEvent, MethodResponse, ProblemKind};
use modtwin_client::{Client, ClientError, Message, Reported, Sent, Wait};
use scripted::{Daemon, answer, answer_text, begin, connected, end, event, hold, problem, send};
use serde_json::{Value, json};

fn document(value: Value) -> Document {
    match value {
        Value::Object(members) => members,
        other => panic!("expected an object, found {other}"),
    }
}

#[tokio::test]
async fn a_snapshot_is_fetched_by_the_module_s_encoded_name() {
    let daemon = Daemon::serve(|_, stream| {
        let body = json!({
            "module": "a b", "hub": connected(), "generation": 3, "desired": {"x": 1}, "version": 9,
            "reported": {}, "reported_version": 2, "pending": {}, "applied": [],
            "as_of": "2026-11-23T10:00:03Z", "stale": false, "of_a_newer_version": true,
        });
        answer(stream, 200, &body);
    });
    let snapshot = Client::new(daemon.socket()).snapshot("a b").await.unwrap();
    assert_eq!(snapshot.revision().unwrap().to_string(), "3.9");
    assert_eq!(daemon.request().line, "GET /v1/modules/a%20b");
}

#[tokio::test]
async fn a_report_says_how_far_it_is_to_come_and_how_far_it_came() {
    let daemon = Daemon::serve(|request, stream| {
        if request.line.contains("wait=hub") {
            answer(stream, 200, &json!({"stored": true, "sequence": 5, "version": 14}));
        } else {
            answer(stream, 202, &json!({"stored": true, "sequence": 4}));
        }
    });
    let client = Client::new(daemon.socket());
    let patch = document(json!({"temperature": 20.5, "old": null}));

    let stored = client.report("m", &patch, Wait::Stored).await.unwrap();
    assert!(matches!(stored, Reported::Stored(stored) if stored.sequence == 4));
    let request = daemon.request();
    assert_eq!(request.line, "PATCH /v1/modules/m/reported?wait=stored");
    assert!(request.headers.contains("content-type: application/merge-patch+json"));
    assert_eq!(request.json(), Value::Object(patch.clone()));

    let wait = Wait::Hub { timeout: Duration::from_millis(1_500) };
    let accepted = client.report("m", &patch, wait).await.unwrap();
    assert!(matches!(accepted, Reported::Accepted(accepted) if accepted.version == 14));
    assert_eq!(daemon.request().line, "PATCH /v1/modules/m/reported?wait=hub&timeout=2");
}

#[tokio::test]
async fn an_acknowledgement_carries_only_what_it_says() {
    let daemon = Daemon::serve(|_, stream| answer(stream, 202, &json!({})));
    let ack = AckRequest {
        version: 7,
        generation: None,
        status: 200,
        description: None,
        handler: Some("hvac".to_owned()),
        paths: Vec::new(),
    };
    Client::new(daemon.socket()).acknowledge("m", &ack).await.unwrap();
    let request = daemon.request();
    assert_eq!(request.line, "POST /v1/modules/m/acks");
    assert_eq!(request.json(), json!({"version": 7, "status": 200, "handler": "hvac"}));
}

#[tokio::test]
async fn answers_without_a_body_are_taken() {
    let daemon = Daemon::serve(|_, stream| send(stream, "HTTP/1.1 204 No Content\r\n\r\n"));
    Client::new(daemon.socket()).reconnect("m").await.unwrap();
    assert_eq!(daemon.request().line, "POST /v1/modules/m/reconnect");
}

#[tokio::test]
async fn a_problem_comes_through_with_its_members() {
    let daemon = Daemon::serve(|_, stream| {
        let mut body = problem(422, "invalid_twin", "shorten it");
        body["pointer"] = json!("/a");
        body["limit"] = json!(4096);
        answer(stream, 422, &body);
    });
    let error =
        Client::new(daemon.socket()).report("m", &Document::new(), Wait::Stored).await.unwrap_err();
    assert_eq!(error.problem_kind(), Some(ProblemKind::InvalidTwin));
    assert_eq!(error.to_string(), "shorten it");
    assert!(!error.is_temporary());
    let ClientError::Problem(problem) = error else { panic!("expected a problem") };
    assert_eq!((problem.pointer.as_deref(), problem.limit), (Some("/a"), Some(4096)));
}

#[tokio::test]
async fn an_unhealthy_daemon_is_an_answer() {
    let daemon = Daemon::serve(|_, stream| {
        answer(stream, 503, &json!({"healthy": false, "version": "0.1.0", "problem": "stuck"}));
    });
    let health = Client::new(daemon.socket()).health().await.unwrap();
    assert_eq!((health.healthy, health.problem.as_deref()), (false, Some("stuck")));
}

#[tokio::test]
async fn nobody_at_the_socket_is_told_apart_from_a_wrong_peer() {
    let nowhere = tempfile::tempdir().unwrap().path().join("none.sock");
    let error = Client::new(&nowhere).status().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("none.sock"), "{error}");
    assert!(error.is_temporary());

    let daemon = Daemon::serve(|_, stream| send(stream, "SSH-2.0-OpenSSH_9.2\r\n\r\n"));
    let error = Client::new(daemon.socket()).status().await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_ends_early_is_unreachable() {
    for bytes in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"] {
        let daemon = Daemon::serve(move |_, stream| send(stream, bytes));
        let error = Client::new(daemon.socket()).modules().await.unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { .. }), "{bytes:?}: {error:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_of_the_contract_is_a_protocol_error() {
    for (status, body) in [(200, "no json"), (200, "[]"), (200, ""), (404, "<html>"), (301, "{}")] {
        let daemon = Daemon::serve(move |_, stream| answer_text(stream, status, body));
        let error = Client::new(daemon.socket()).modules().await.unwrap_err();
        assert!(matches!(error, ClientError::Protocol { .. }), "{status} {body:?}: {error:?}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let daemon = Daemon::serve(|_, stream| {
        send(stream, "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n");
        for _ in 0..80 {
            send(stream, &" ".repeat(64 * 1024));
        }
        hold(stream);
    });
    let error = Client::new(daemon.socket()).modules().await.unwrap_err();
    assert!(error.to_string().contains("at most 4194304 bytes"), "{error}");
}

#[tokio::test]
async fn a_daemon_that_never_answers_is_given_up() {
    let daemon = Daemon::serve(|_, stream| hold(stream));
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    let error = Client::new(daemon.socket()).status().await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Unreachable { source, .. } if source.kind() == std::io::ErrorKind::TimedOut)
    );
    assert_eq!(begin.elapsed().as_secs(), 30);
}

#[tokio::test]
async fn a_message_carries_its_properties_in_headers_and_comes_as_far_as_it_comes() {
    let daemon = Daemon::serve(|request, stream| {
        let is_stored = request.line.contains("wait=stored");
        let status = if is_stored { 202 } else { 200 };
        answer(stream, status, &json!({}));
    });
    let client = Client::new(daemon.socket());
    let message = Message {
        payload: vec![0, 255],
        content_type: Some("image/x".to_owned()),
        message_id: Some("7".to_owned()),
        properties: vec![("a".to_owned(), "b=c".to_owned())],
        ..Message::default()
    };
    let wait = Wait::Hub { timeout: Duration::from_secs(5) };
    assert_eq!(client.send("m", &message, wait).await.unwrap(), Sent::Confirmed);
    let request = daemon.request();
    assert_eq!(request.line, "POST /v1/modules/m/messages?timeout=5");
    assert_eq!(request.body, [0, 255]);
    for header in ["content-type: image/x", "modtwin-message-id: 7", "modtwin-property: a=b=c"] {
        assert!(request.headers.contains(header), "{header}: {}", request.headers);
    }
    assert_eq!(client.send("m", &message, Wait::Stored).await.unwrap(), Sent::Stored);
    let folded = Message { message_id: Some("a\nb".to_owned()), ..Message::default() };
    let refused = client.send("m", &folded, Wait::Stored).await.unwrap_err();
    assert!(matches!(refused, ClientError::Protocol { .. }), "{refused}");
}

#[tokio::test]
async fn calls_of_methods_are_heard_and_answered() {
    let daemon = Daemon::serve(|request, stream| {
        if request.line.starts_with("POST") {
            return answer(stream, 204, &Value::Null);
        }
        begin(stream);
        event(stream, &json!({"type": "heartbeat"}));
        event(stream, &json!({"type": "of a newer version"}));
        let call =
            json!({"type": "invoke", "id": "f/1", "method": "a", "payload": 1, "timeout_ms": 5});
        event(stream, &call);
        end(stream);
    });
    let client = Client::new(daemon.socket());
    let mut methods = client.methods("m", &["a".to_owned(), "b c".to_owned()]).await.unwrap();
    assert_eq!(daemon.request().line, "GET /v1/modules/m/methods?name=a&name=b%20c");
    assert_eq!(methods.next().await.unwrap(), Some(MethodEvent::Heartbeat));
    let expected = Invocation {
        id: "f/1".to_owned(),
        method: "a".to_owned(),
        payload: json!(1),
        timeout_ms: 5,
    };
    assert_eq!(methods.next().await.unwrap(), Some(MethodEvent::Invoke(expected)));
    assert_eq!(methods.next().await.unwrap(), None);
    let response = MethodResponse { status: 200, payload: json!([1]) };
    client.answer_method("m", "f/1", &response).await.unwrap();
    let request = daemon.request();
    assert_eq!(request.line, "POST /v1/modules/m/methods/f%2F1");
    assert_eq!(request.json(), json!({"status": 200, "payload": [1]}));
}
