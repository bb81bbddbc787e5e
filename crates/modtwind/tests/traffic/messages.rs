//! Messages: with their properties, over outages and kills, in order, and past what the hub refuses.

use std::time::Duration;

use modtwin_api::{HubState, ProblemKind};
use modtwin_client::{Client, ClientError, Message, Sent, Wait};
use modtwin_testkit::patience::{Look, until};
use modtwin_testkit::stage::Stage;
use serde_json::json;

use crate::arrivals::Arrivals;
use crate::{M, MODTWIND, Story};

const WAIT: Wait = Wait::Hub { timeout: Duration::from_secs(20) };

fn message(text: &str) -> Message {
    Message { payload: text.into(), ..Message::default() }
}

async fn send(client: &Client, text: &str, wait: Wait) -> Result<Sent, ClientError> {
    client.send(M, &message(text), wait).await
}

/// Keeps the module from its hub until the faults are cleared.
async fn go_offline(stage: &mut Stage) -> Story {
    stage.fault("refuse", M, json!({"code": 3})).await?;
    stage.fault("drop", M, json!({})).await?;
    let away = |status: &modtwin_api::Status| status.modules[0].hub.state != HubState::Connected;
    stage.gateway.wait_for("the loss of the connection", away).await?;
    Ok(())
}

#[tokio::test]
async fn a_message_arrives_with_its_properties_and_is_confirmed() -> Story {
    let stage = Stage::start(MODTWIND, 1).await?;
    let mut arrivals = Arrivals::listen(&stage.service).await?;
    let message = Message {
        payload: br#"{"t":21.5}"#.to_vec(),
        content_type: Some("application/json".to_owned()),
        content_encoding: Some("utf-8".to_owned()),
        message_id: Some("id-7".to_owned()),
        correlation_id: Some("c 8".to_owned()),
        properties: vec![
            ("unit".to_owned(), "°C".to_owned()),
            ("a&b".to_owned(), "1+1=2".to_owned()),
        ],
    };
    assert_eq!(stage.client().send(M, &message, WAIT).await?, Sent::Confirmed);
    let came = arrivals.next().await?;
    assert_eq!(came["module"], M, "{came}");
    assert_eq!(came["json"], json!({"t": 21.5}), "{came}");
    assert_eq!(
        (&came["properties"]["unit"], &came["properties"]["a&b"]),
        (&json!("°C"), &json!("1+1=2"))
    );
    let system = &came["system"];
    assert_eq!((&system["message-id"], &system["correlation-id"]), (&json!("id-7"), &json!("c 8")));
    assert_eq!(
        (&system["content-type"], &system["content-encoding"]),
        (&json!("application/json"), &json!("utf-8"))
    );
    let folder = stage.gateway.folder().join("state").join(M).join("messages");
    assert!(!folder.exists(), "a message on a good link costs the disk nothing");
    Ok(())
}

#[tokio::test]
async fn the_largest_message_passes_and_one_byte_more_is_refused() -> Story {
    let stage = Stage::start(MODTWIND, 1).await?;
    let mut arrivals = Arrivals::listen(&stage.service).await?;
    let mut message = Message { payload: vec![b'x'; 262_144], ..Message::default() };
    assert_eq!(stage.client().send(M, &message, WAIT).await?, Sent::Confirmed);
    assert_eq!(arrivals.next().await?["bytes"], 262_144);
    message.properties.push(("a".to_owned(), String::new()));
    let refused = stage.client().send(M, &message, WAIT).await.unwrap_err();
    assert_eq!(refused.problem_kind(), Some(ProblemKind::TooLarge), "{refused}");
    // The link has not suffered.
    assert_eq!(send(&stage.client(), "small", WAIT).await?, Sent::Confirmed);
    Ok(())
}

#[tokio::test]
async fn offline_messages_survive_a_kill_and_arrive_in_order() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let mut arrivals = Arrivals::listen(&stage.service).await?;
    go_offline(&mut stage).await?;
    for n in 0..20 {
        assert_eq!(send(&stage.client(), &format!("n{n:02}"), WAIT).await?, Sent::Stored);
    }
    stage.kill_daemon()?;
    stage.start_daemon().await?;
    assert_eq!(send(&stage.client(), "n20", WAIT).await?, Sent::Stored);
    let backlog = |status: &modtwin_api::Status| status.modules[0].messages;
    let status = stage.gateway.wait_for("a backlog", |status| {
        backlog(status).is_some_and(|messages| messages.waiting == 21)
    });
    status.await?;
    stage.service.clear_faults().await?;
    let expected: Vec<String> = (0..=20).map(|n| format!("n{n:02}")).collect();
    assert_eq!(arrivals.bodies_until("n20").await?, expected);
    let empty = |status: &modtwin_api::Status| {
        backlog(status).is_some_and(|messages| messages.waiting == 0 && messages.bytes == 0)
    };
    stage.gateway.wait_for("an empty queue", empty).await?;
    let folder = stage.gateway.folder().join("state").join(M).join("messages");
    let left = until("an empty folder", Duration::from_secs(10), async || {
        let left = std::fs::read_dir(&folder)?.count();
        Ok(match left {
            0 => Look::Found(()),
            left => Look::NotYet(format!("{left} files")),
        })
    });
    left.await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_answered_is_lost_over_kills_and_cuts() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let mut arrivals = Arrivals::listen(&stage.service).await?;
    let mut answered = Vec::new();
    for round in 0..6_usize {
        let client = stage.client();
        let (count, mut counted) = tokio::sync::watch::channel(0_usize);
        let sender = tokio::spawn(async move {
            let mut answered = Vec::new();
            for n in 0.. {
                let text = format!("r{round}-{n:04}");
                let wait = if n % 3 == 0 { Wait::Stored } else { WAIT };
                match send(&client, &text, wait).await {
                    Ok(_) => answered.push(text),
                    Err(_gone) => break,
                }
                count.send_replace(answered.len());
            }
            answered
        });
        if round % 2 == 0 {
            counted.wait_for(|count| *count >= 5 + round).await?;
            stage.fault("drop", M, json!({})).await?;
        }
        counted.wait_for(|count| *count >= 20 + 7 * round).await?;
        stage.kill_daemon()?;
        answered.extend(sender.await?);
        stage.start_daemon().await?;
    }
    send(&stage.client(), "end", WAIT).await?;
    let came = arrivals.bodies_until("end").await?;
    let lost: Vec<_> = answered.iter().filter(|text| !came.contains(text)).collect();
    assert!(lost.is_empty(), "answered and never came: {lost:?}");
    // What one sender sent in turn came in turn.
    let order: Vec<_> = came.iter().filter(|text| answered.contains(text)).collect();
    assert!(order.is_sorted(), "{order:?}");
    Ok(())
}

#[tokio::test]
async fn a_full_queue_refuses_with_its_limit() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    go_offline(&mut stage).await?;
    let large = "x".repeat(200 * 1024);
    let client = stage.client();
    let refused = loop {
        match send(&client, &large, WAIT).await {
            Ok(Sent::Stored) => {}
            Ok(Sent::Confirmed) => anyhow::bail!("confirmed without a hub"),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.problem_kind(), Some(ProblemKind::Overloaded), "{refused}");
    assert!(refused.to_string().contains("4194304"), "{refused}");
    stage.service.clear_faults().await?;
    let empty = |status: &modtwin_api::Status| {
        status.modules[0].messages.is_some_and(|messages| messages.waiting == 0)
    };
    stage.gateway.wait_for("an empty queue", empty).await?;
    assert_eq!(send(&client, "fits again", WAIT).await?, Sent::Confirmed);
    Ok(())
}

#[tokio::test]
async fn a_message_that_the_hub_closes_for_is_set_aside_and_the_rest_arrives() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let mut arrivals = Arrivals::listen(&stage.service).await?;
    // It closes the link as often as a message is given a chance, and no more.
    stage.fault("refuse-message", M, json!({"count": 8})).await?;
    let client = stage.client();
    assert_eq!(send(&client, "poison", Wait::Stored).await?, Sent::Stored);
    send(&client, "good", WAIT).await?;
    assert_eq!(arrivals.bodies_until("good").await?, ["good"]);
    let aside = |status: &modtwin_api::Status| {
        status.modules[0].messages.is_some_and(|messages| messages.set_aside == 1)
    };
    stage.gateway.wait_for("the count of messages set aside", aside).await?;
    let log = stage.gateway.log_text();
    assert!(log.contains("setting it aside"), "{log}");
    assert!(!log.contains("identity_conflict"), "{log}");
    stage.report(M, json!({"still": "alive"})).await?;
    stage.wait_reported(M, |found| found["still"] == "alive").await?;
    Ok(())
}
