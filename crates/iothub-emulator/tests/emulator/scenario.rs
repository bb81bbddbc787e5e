//! A scenario played by a hub: each step at its time, seen in the events and by whom it strikes.

use iothub_emulator::{Config, Scenario};
use serde_json::{Value, json};

use super::support::Hub;

async fn hub(text: &str) -> Hub {
    let scenario = Scenario::parse(text).expect("legal");
    Hub::with(Config { scenario, ..Config::default() }).await
}

#[tokio::test]
async fn steps_happen_at_their_times_and_are_told_of() {
    // Written in another order than they happen in.
    let text = "[[step]]\nat = \"600ms\"\nend = \"all\"\n\
                [[step]]\nat = \"400ms\"\nkind = \"throttle\"\ndevice = \"gw\"\n\
                [[step]]\nat = \"500ms\"\nclock = \"2h\"\n";
    let hub = hub(text).await;
    let mut events = hub.events().await;
    let mut told = Vec::new();
    while told.len() < 6 {
        let event = events.next().await;
        if event["event"] != "listening" {
            told.push((
                event["event"].as_str().expect("a name").to_owned(),
                event["us"].as_u64().expect("a time"),
            ));
        }
    }
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["scenario", "fault-set", "scenario", "clock", "scenario", "fault-ended"]);
    let (first, last) = (told[0].1, told[4].1);
    assert!(last - first >= 150_000, "200 ms lie between them, found {} us", last - first);
    assert_eq!(hub.control("GET", "faults", Value::Null).await.body, json!([]));
}

#[tokio::test]
async fn a_step_strikes_whom_it_names() {
    let hub = hub("[[step]]\nat = \"0s\"\nkind = \"error\"\ndevice = \"gw\"\nmodule = \"hit\"\nstatus = 503\ncount = 1\n").await;
    let (mut hit, mut spared) = (hub.connected("hit").await, hub.connected("spared").await);
    for client in [&mut hit, &mut spared] {
        client.subscribe_twin().await;
    }
    let (topic, _) = hit.report("1", "{}").await;
    assert!(topic.starts_with("$iothub/twin/res/503/"), "{topic}");
    let (topic, _) = spared.report("1", "{}").await;
    assert!(topic.starts_with("$iothub/twin/res/204/"), "{topic}");
    let (topic, _) = hit.report("2", "{}").await;
    assert!(topic.starts_with("$iothub/twin/res/204/"), "once and no more: {topic}");
}

#[tokio::test]
async fn a_hub_ends_in_the_middle_of_a_scenario() {
    let hub = hub("[[step]]\nat = \"1h\"\nkind = \"drop\"\n").await;
    let ended = tokio::time::timeout(super::support::PATIENCE, hub.running.shutdown()).await;
    assert!(ended.is_ok(), "an hour is not waited for");
}
