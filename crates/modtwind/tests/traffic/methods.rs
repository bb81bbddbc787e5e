//! Direct methods: from the back end to the process that owns them, and back.

use std::time::{Duration, Instant};

use hyper::Method;
use modtwin_api::{HubState, Invocation, MethodEvent, MethodResponse, ProblemKind};
use modtwin_client::Methods;
use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::patience::LONG;
use modtwin_testkit::service::Service;
use modtwin_testkit::stage::Stage;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{M, MODTWIND, Story};

/// Calls a method as the back end does; gives its status and payload.
async fn call(service: &mut Service, name: &str, payload: Value) -> anyhow::Result<(u64, Value)> {
    let body = json!({"methodName": name, "payload": payload, "responseTimeoutInSeconds": 10});
    let path = format!("/twins/{DEVICE}/modules/{M}/methods");
    let mut answer = service.call(Method::POST, &path, Some(&body)).await?;
    Ok((answer["status"].as_u64().unwrap_or_default(), answer["payload"].take()))
}

async fn claim(stage: &Stage, names: &[&str]) -> anyhow::Result<Methods> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut methods = stage.client().methods(M, &names).await?;
    // From this line on they are this stream's.
    assert_eq!(methods.next().await?, Some(MethodEvent::Heartbeat));
    Ok(methods)
}

async fn next(methods: &mut Methods) -> anyhow::Result<Invocation> {
    loop {
        match timeout(LONG, methods.next()).await?? {
            Some(MethodEvent::Invoke(call)) => return Ok(call),
            Some(MethodEvent::Heartbeat) => {}
            other => anyhow::bail!("expected a call, found {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_comes_with_its_payload_and_the_answer_goes_back() -> Story {
    let stage = Stage::start(MODTWIND, 1).await?;
    let mut methods = claim(&stage, &["reboot", "fan*set"]).await?;
    let client = stage.client();
    let handler = tokio::spawn(async move {
        for _ in 0..2 {
            let call = next(&mut methods).await?;
            assert!(call.timeout_ms > 20_000 && call.timeout_ms <= 30_000, "{call:?}");
            let payload = json!({"method": call.method, "got": call.payload});
            client.answer_method(M, &call.id, &MethodResponse { status: 202, payload }).await?;
            let again = MethodResponse { status: 200, payload: Value::Null };
            let refused = client.answer_method(M, &call.id, &again).await.unwrap_err();
            assert_eq!(refused.problem_kind(), Some(ProblemKind::NotFound), "{refused}");
        }
        anyhow::Ok(methods)
    });
    let mut service = stage.hub.service()?;
    let answer = call(&mut service, "reboot", json!({"in": 5})).await?;
    assert_eq!(answer, (202, json!({"method": "reboot", "got": {"in": 5}})));
    let answer = call(&mut service, "fan*set", Value::Null).await?;
    assert_eq!(answer, (202, json!({"method": "fan*set", "got": null})));
    drop(handler.await??);
    Ok(())
}

#[tokio::test]
async fn what_nobody_answers_is_answered_at_once_or_in_time() -> Story {
    let mut stage = Stage::build(MODTWIND, 0).await?;
    stage.add_module(M, "method-timeout = \"1s\"\n").await?;
    stage.start_daemon().await?;
    stage.gateway.wait_connected(1).await?;
    let mut service = stage.hub.service()?;
    let (status, payload) = call(&mut service, "reboot", json!({})).await?;
    assert_eq!(status, 501, "{payload}");
    assert!(payload["message"].as_str().unwrap().contains("reboot"), "{payload}");

    let mut methods = claim(&stage, &[]).await?;
    let began = Instant::now();
    let (status, payload) = call(&mut service, "reboot", json!({})).await?;
    assert_eq!(status, 504, "{payload}");
    assert!(began.elapsed() >= Duration::from_secs(1) && began.elapsed() < Duration::from_secs(5));
    let call = next(&mut methods).await;
    // Its time is over, so that it is not handed out any more, or was handed out before.
    let id = call.map_or_else(|_none| "none".to_owned(), |call| call.id);
    let late = MethodResponse { status: 200, payload: Value::Null };
    let refused = stage.client().answer_method(M, &id, &late).await.unwrap_err();
    assert_eq!(refused.problem_kind(), Some(ProblemKind::NotFound), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_dies_is_answered_for_and_the_next_one_takes_over() -> Story {
    let stage = Stage::start(MODTWIND, 1).await?;
    let mut methods = claim(&stage, &["reboot"]).await?;
    let names = ["reboot".to_owned()];
    let refused = stage.client().methods(M, &names).await.unwrap_err();
    assert_eq!(refused.problem_kind(), Some(ProblemKind::InUse), "{refused}");
    assert!(refused.to_string().contains("reboot"), "{refused}");

    let mut service = stage.hub.service()?;
    let calling = tokio::spawn(async move {
        let answer = call(&mut service, "reboot", json!(1)).await?;
        anyhow::Ok((answer, service))
    });
    next(&mut methods).await?;
    drop(methods);
    let ((status, payload), mut service) = calling.await??;
    assert_eq!(status, 503, "{payload}");

    let mut methods = claim(&stage, &["reboot"]).await?;
    let calling = tokio::spawn(async move { call(&mut service, "reboot", json!(2)).await });
    let call = next(&mut methods).await?;
    let answer = MethodResponse { status: 200, payload: json!("done") };
    stage.client().answer_method(M, &call.id, &answer).await?;
    assert_eq!(calling.await??, (200, json!("done")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_outlive_a_connection_and_so_does_a_call() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let mut methods = claim(&stage, &[]).await?;
    let mut service = stage.hub.service()?;
    let calling = tokio::spawn(async move {
        let answer = call(&mut service, "slow", json!(1)).await?;
        anyhow::Ok((answer, service))
    });
    let slow = next(&mut methods).await?;
    stage.fault("refuse", M, json!({"code": 3})).await?;
    stage.fault("drop", M, json!({})).await?;
    let away = |status: &modtwin_api::Status| status.modules[0].hub.state != HubState::Connected;
    stage.gateway.wait_for("the loss of the connection", away).await?;
    let answer = MethodResponse { status: 200, payload: json!("kept") };
    stage.client().answer_method(M, &slow.id, &answer).await?;
    stage.service.clear_faults().await?;
    let (answer, mut service) = calling.await??;
    assert_eq!(answer, (200, json!("kept")));

    stage.gateway.wait_connected(1).await?;
    let calling = tokio::spawn(async move { call(&mut service, "next", json!(2)).await });
    let call = next(&mut methods).await?;
    let answer = MethodResponse { status: 200, payload: Value::Null };
    stage.client().answer_method(M, &call.id, &answer).await?;
    assert_eq!(calling.await??, (200, Value::Null));
    Ok(())
}

#[tokio::test]
async fn a_module_that_leaves_the_config_says_goodbye_to_its_owners() -> Story {
    let mut stage = Stage::start(MODTWIND, 2).await?;
    let mut methods = claim(&stage, &[]).await?;
    stage.gateway.remove_module(M);
    stage.gateway.write_config()?;
    stage.client().reload().await?;
    let end = timeout(LONG, methods.next()).await??;
    assert!(
        matches!(&end, None | Some(MethodEvent::Removed { .. })),
        "the stream goes on: {end:?}"
    );
    Ok(())
}
