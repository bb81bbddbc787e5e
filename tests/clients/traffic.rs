//! Messages to the cloud and direct methods: what goes over the socket, against a daemon by script.

use serde_json::{Value, json};

use crate::Story;
use crate::actor::SILENCE;
use crate::languages::Language;
use crate::misbehaving::each;
use crate::scripted::{Connection, problem};

/// The Rust client has neither yet.
fn has_traffic(language: Language) -> bool {
    language != Language::Rust
}

#[test]
fn a_message_carries_its_headers_and_says_how_far_it_came() -> Story {
    let script = |mut connection: Connection| match connection.number {
        0 => connection.answer(200, "", "{}"),
        1 => connection.answer(202, "", "{}"),
        _ => connection.answer(429, "retry-after: 3\r\n", &problem(429, "overloaded")),
    };
    each(SILENCE, script, async |actor, daemon| {
        if !has_traffic(actor.language) {
            return Ok(());
        }
        let named = "content-type=text/plain;charset=utf-8 content-encoding=utf-8 message-id=m-1 \
                     correlation-id=c=1 property=level=high property=näme=wärt";
        actor.say(&format!("send m {named} -- twenty °C")).await?;
        let result = actor.done("send").await?;
        assert_eq!(result["delivered"], true, "{:?}: {result}", actor.language);
        let request = daemon.request().text;
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /v1/modules/m/messages HTTP/1.1"), "{head}");
        assert_eq!(body, "twenty °C", "{:?}", actor.language);
        for header in [
            "content-type: text/plain;charset=utf-8",
            "content-encoding: utf-8",
            "modtwin-message-id: m-1",
            "modtwin-correlation-id: c=1",
            "modtwin-property: level=high",
            "modtwin-property: näme=wärt",
        ] {
            assert!(head.contains(&format!("\r\n{header}")), "{:?}: {head}", actor.language);
        }

        actor.say("send m -- later").await?;
        assert_eq!(actor.done("send").await?["delivered"], false, "{:?}", actor.language);
        let request = daemon.request().text;
        assert!(!request.to_lowercase().contains("modtwin-"), "{request}");

        actor.say("send m -- too much").await?;
        let result = actor.done("send").await?;
        assert_eq!((&result["error"], &result["kind"]), (&json!("problem"), &json!("overloaded")));
        assert_eq!(result["retry_after"].as_f64(), Some(3.0), "{:?}", actor.language);
        Ok(())
    })
}

#[test]
fn calls_are_answered_and_taken_again_after_a_cut() -> Story {
    let call = |id: &str, payload: Value| {
        json!({"type": "invoke", "id": id, "method": "reboot", "payload": payload,
               "timeout_ms": 30_000, "of a newer version": true})
    };
    let script = move |mut connection: Connection| match connection.number {
        0 => {
            connection.begin();
            connection.line(&call("a/1", json!({"delay": 5, "why": "\"ü\""})));
            connection.line(&json!({"type": "heartbeat"}));
            // The daemon is killed once the call is answered.
            connection.wait_for_another();
        }
        1 | 3 => connection.write("HTTP/1.1 204 No Content\r\n\r\n"),
        _ => {
            connection.begin();
            connection.line(&call("b", Value::Null));
            connection.hold();
        }
    };
    each(SILENCE, script, async |actor, daemon| {
        if !has_traffic(actor.language) {
            return Ok(());
        }
        actor.say("methods m reboot set-time").await?;
        let request = daemon.request().text;
        let line = "GET /v1/modules/m/methods?name=reboot&name=set-time HTTP/1.1\r\n";
        assert!(request.starts_with(line), "{request}");
        let payload = json!({"delay": 5, "why": "\"ü\""});
        let heard = actor.hear("a call", |heard| heard["event"] == "invoke").await?;
        assert_eq!((&heard[0]["method"], &heard[0]["payload"]), (&json!("reboot"), &payload));
        let answer = daemon.request().text;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /v1/modules/m/methods/a%2F1 HTTP/1.1\r\n"), "{head}");
        let body: Value = serde_json::from_str(body)?;
        assert_eq!(body, json!({"status": 200, "payload": {"echo": payload}}));

        assert!(daemon.request().text.starts_with(line), "{:?}", actor.language);
        let answer = daemon.request().text;
        assert!(answer.starts_with("POST /v1/modules/m/methods/b HTTP/1.1\r\n"), "{answer}");
        assert!(answer.ends_with("{\"status\":200,\"payload\":{\"echo\":null}}"), "{answer}");
        Ok(())
    })
}

#[test]
fn a_method_that_another_process_answers_is_an_error() -> Story {
    let script = |mut connection: Connection| connection.answer(409, "", &problem(409, "in_use"));
    each(SILENCE, script, async |actor, _daemon| {
        if !has_traffic(actor.language) {
            return Ok(());
        }
        actor.say("methods m reboot").await?;
        let heard = actor.hear("the failure", |heard| heard["event"] == "failed").await?;
        assert_eq!(heard[0]["kind"], "in_use", "{:?}", actor.language);
        Ok(())
    })
}
