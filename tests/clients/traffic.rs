//! Messages to the cloud and direct methods: through to the hub, and by script what goes over the
//! socket.

use std::time::Duration;

use anyhow::Context as _;
use http_body_util::BodyExt as _;
use hyper::Method;
use modtwin_api::HubState;
use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::patience::{LONG, Look, until};
use serde_json::{Value, json};

use crate::Story;
use crate::actor::SILENCE;
use crate::cast::Cast;
use crate::misbehaving::each;
use crate::scripted::{Connection, problem};

#[tokio::test]
async fn messages_reach_the_hub_at_once_or_after_an_outage() -> Story {
    let mut cast = Cast::assemble().await?;
    let count = cast.actors.len();
    let mut events = cast.stage.service.events().await?;
    for result in cast.ask("send {m} content-type=text/plain property=level=high -- now").await? {
        assert_eq!(result["delivered"], true, "{result}");
    }
    let mut text = String::new();
    let hearing = async {
        while text.matches("\"event\":\"message\"").count() < count {
            let frame = events.frame().await.context("the events ended")??;
            text += &String::from_utf8_lossy(frame.data_ref().context("no data")?);
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(LONG, hearing).await??;
    for actor in &cast.actors {
        let is_it = |event: &Value| event["event"] == "message" && event["module"] == actor.module;
        let mut told = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        let message = told.find(is_it).context(format!("nothing of {:?}", actor.language))?;
        assert_eq!(message["body"], "now", "{message}");
        assert_eq!(message["properties"]["level"], "high", "{message}");
        assert_eq!(message["system"]["content-type"], "text/plain", "{message}");
    }
    cast.cut_the_hub()?;
    cast.stage
        .gateway
        .wait_for("the outage", |status| {
            status.modules.iter().all(|module| module.hub.state != HubState::Connected)
        })
        .await?;
    for result in cast.ask("send {m} -- later").await? {
        assert_eq!(result["delivered"], false, "{result}");
    }
    cast.restore_the_hub().await?;
    for n in 0..count {
        let module = cast.actors[n].module.clone();
        until("the second message", LONG, async || {
            let count = cast.stage.count(&module, "messages").await?;
            Ok(if count >= 1 { Look::Found(()) } else { Look::NotYet(count.to_string()) })
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_method_is_answered_across_a_restart_of_the_daemon() -> Story {
    let mut cast = Cast::assemble().await?;
    cast.say("methods {m} reboot").await?;
    for round in 0..2 {
        if round == 1 {
            cast.stage.kill_daemon()?;
            cast.stage.start_daemon().await?;
        }
        for n in 0..cast.actors.len() {
            let path = format!("/twins/{DEVICE}/modules/{}/methods", cast.actors[n].module);
            let call = json!({"methodName": "reboot", "payload": {"round": round},
                              "responseTimeoutInSeconds": 10});
            // Before the driver has claimed the method the hub says that nobody has it.
            let answer = until("an answer", LONG, async || {
                let answer = cast.stage.service.call(Method::POST, &path, Some(&call)).await;
                Ok(match answer {
                    Ok(answer) if answer["status"] == 200 => Look::Found(answer),
                    other => Look::NotYet(format!("{other:?}")),
                })
            });
            let answer = answer.await.context(format!("{:?}", cast.actors[n].language))?;
            assert_eq!(answer["payload"], json!({"echo": {"round": round}}));
        }
    }
    Ok(())
}

#[test]
fn a_message_carries_its_headers_and_says_how_far_it_came() -> Story {
    let script = |mut connection: Connection| match connection.number {
        0 => connection.answer(200, "", "{}"),
        1 => connection.answer(202, "", "{}"),
        _ => connection.answer(429, "retry-after: 3\r\n", &problem(429, "overloaded")),
    };
    each(SILENCE, script, async |actor, daemon| {
        let named = "content-type=text/plain;charset=utf-8 content-encoding=utf-8 message-id=m-1 \
                     correlation-id=c=1 property=level=high property=näme=wärt";
        actor.say(&format!("send m {named} -- twenty °C")).await?;
        let result = actor.done("send").await?;
        assert_eq!(result["delivered"], true, "{:?}: {result}", actor.language);
        let request = daemon.request().text;
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /v1/modules/m/messages"), "{head}");
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

        actor.say("send m wait=stored -- later").await?;
        assert_eq!(actor.done("send").await?["delivered"], false, "{:?}", actor.language);
        let request = daemon.request().text;
        assert!(request.starts_with("POST /v1/modules/m/messages?wait=stored "), "{request}");
        assert!(!request.to_lowercase().contains("\r\nmodtwin-"), "{request}");

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
    // At once, and after a claim that the daemon was too busy for: it granted neither.
    let script = |mut connection: Connection| match connection.number {
        1 => connection.answer(503, "retry-after: 1\r\n", &problem(503, "overloaded")),
        _ => connection.answer(409, "", &problem(409, "in_use")),
    };
    each(SILENCE, script, async |actor, daemon| {
        for _ in 0..2 {
            actor.say("methods m reboot").await?;
            let heard = actor.hear("the failure", |heard| heard["event"] == "failed").await?;
            let failure = heard.last().context("nothing heard")?;
            let told = (&failure["error"], &failure["kind"], &failure["status"]);
            let expected = (&json!("problem"), &json!("in_use"), &json!(409));
            assert_eq!(told, expected, "{:?}", actor.language);
        }
        let (_first, busy, last) = (daemon.request(), daemon.request(), daemon.request());
        // Longer than its own first wait.
        let waited = last.at - busy.at;
        assert!(waited >= Duration::from_millis(900), "{:?}: {waited:?}", actor.language);
        Ok(())
    })
}

#[test]
fn methods_that_a_lost_stream_still_holds_are_claimed_until_they_are_free() -> Story {
    let script = |mut connection: Connection| match connection.number {
        // Granted and cut, before there was anything to tell.
        0 => connection.begin(),
        1 => connection.answer(409, "", &problem(409, "in_use")),
        2 => {
            connection.begin();
            let call = json!({"type": "invoke", "id": "a", "method": "reboot", "payload": null,
                              "timeout_ms": 30_000});
            connection.line(&call);
            connection.hold();
        }
        _ => connection.write("HTTP/1.1 204 No Content\r\n\r\n"),
    };
    each(SILENCE, script, async |actor, daemon| {
        actor.say("methods m reboot").await?;
        let is_outcome = |heard: &Value| heard["event"] == "invoke" || heard["event"] == "failed";
        let heard = actor.hear("the call", is_outcome).await?;
        let outcome = heard.last().context("nothing heard")?;
        assert_eq!(outcome["event"], "invoke", "{:?}: {outcome}", actor.language);
        let (first, refused, granted) = (daemon.request(), daemon.request(), daemon.request());
        assert_eq!((&refused.text, &granted.text), (&first.text, &first.text));
        // The shortest of all waits.
        let waited = granted.at - refused.at;
        assert!(waited >= Duration::from_millis(50), "{:?}: {waited:?}", actor.language);
        Ok(())
    })
}
