//! What the daemon says in numbers, compared with what happened to it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use hyper::Method;
use modtwin_api::{AckRequest, HubReason, HubState, Status};
use modtwin_client::{Message, Sent, Wait};
use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::patience::{LONG, Look, until};
use modtwin_testkit::raw;
use modtwin_testkit::stage::{Stage, module};
use serde_json::json;

use crate::{MODTWIND, Story};

const M: &str = "m01";

/// The samples of an answer, by name and labels as the text has them.
#[derive(Debug)]
struct Metrics {
    text: String,
    samples: BTreeMap<String, f64>,
}

impl Metrics {
    fn read(stage: &Stage) -> anyhow::Result<Self> {
        let request = raw::request("GET", "/metrics", None);
        let answer = raw::exchange(&stage.gateway.socket(), request.as_bytes())?;
        let answer = String::from_utf8(answer)?;
        let (head, text) = answer.split_once("\r\n\r\n").context("no body")?;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').context("no value")?;
            assert!(samples.insert(name.to_owned(), value.parse()?).is_none(), "{name} twice");
        }
        Ok(Self { text: text.to_owned(), samples })
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.samples.get(name).copied()
    }

    /// A sample of the module under test, with more labels after its own.
    fn of_module(&self, name: &str, labels: &str) -> Option<f64> {
        self.get(&format!("modtwin_{name}{{module=\"{M}\"{labels}}}"))
    }
}

fn now() -> anyhow::Result<f64> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64())
}

/// Whether `found` is between `earliest` and now, by whole seconds.
fn is_since(found: Option<f64>, earliest: f64) -> anyhow::Result<bool> {
    let found = found.context("no such sample")?;
    Ok((earliest.floor()..=now()?).contains(&found))
}

fn reconnects(count: u64) -> impl Fn(&Status) -> bool {
    move |status| {
        let module = &status.modules[0];
        module.reconnects == count && module.hub.state == HubState::Connected
    }
}

#[tokio::test]
async fn versions_are_those_of_hub_and_handlers() -> Story {
    let began = now()?;
    let mut stage = Stage::build(MODTWIND, 0).await?;
    let handler = "[[module.handler]]\nname = \"hvac\"\nuser = \"root\"\n";
    stage.add_module(M, handler).await?;
    stage.start_daemon().await?;
    stage.gateway.wait_connected(1).await?;
    let version = stage.change(M, json!({"target": 21})).await?;
    let mut spectator = stage.watch(M).await?;
    spectator.wait_version(version).await?;

    let metrics = Metrics::read(&stage)?;
    let hvac = ",handler=\"hvac\"";
    let expected = Some(f64::from(u32::try_from(version)?));
    assert_eq!(metrics.of_module("module_connected", ""), Some(1.0));
    assert_eq!(metrics.of_module("module_desired_version", ""), expected);
    assert_eq!(metrics.of_module("handler_desired_version", hvac), expected);
    assert_eq!(metrics.of_module("handler_applied_version", hvac), Some(0.0));
    assert_eq!(metrics.of_module("module_applied_version", ""), None);
    assert!(is_since(metrics.of_module("module_fetched_timestamp_seconds", ""), began)?);
    assert!(is_since(metrics.get("modtwin_start_timestamp_seconds"), began)?);
    for (name, value) in [
        ("modtwin_local_api_streams", 1.0),
        // The stream's, and that of this request.
        ("modtwin_local_api_connections", 2.0),
        ("modtwin_storage_writable", 1.0),
        ("modtwin_clock_trusted", 1.0),
        ("modtwin_budget_ratio", 1.0),
    ] {
        assert_eq!(metrics.get(name), Some(value), "{name}");
    }
    let status = stage.client().status().await?;
    let module = module(&status, M)?;
    let credential = module.credential.as_ref().and_then(|credential| credential.expires);
    let end = SystemTime::from(credential.context("no end")?);
    let end = end.duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
    assert_eq!(metrics.of_module("module_credential_end_timestamp_seconds", ""), Some(end.floor()));

    let ack = AckRequest {
        version,
        generation: None,
        status: 200,
        description: None,
        handler: Some("hvac".to_owned()),
        paths: Vec::new(),
    };
    stage.client().acknowledge(M, &ack).await?;
    let metrics = Metrics::read(&stage)?;
    assert_eq!(metrics.of_module("handler_applied_version", hvac), expected);
    assert_eq!(metrics.of_module("handler_status", hvac), Some(200.0));
    assert_eq!(metrics.of_module("module_applied_version", ""), expected);
    Ok(())
}

#[tokio::test]
async fn what_the_hub_does_to_a_module_is_counted_by_cause() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let metrics = Metrics::read(&stage)?;
    assert_eq!(metrics.of_module("module_throttled_total", ""), Some(0.0));
    assert_eq!(metrics.of_module("module_reconnects_total", ",reason=\"network\""), None);

    stage.fault("drop", M, json!({})).await?;
    stage.gateway.wait_for("a new connection", reconnects(1)).await?;
    stage.client().reconnect(M).await?;
    stage.gateway.wait_for("another", reconnects(2)).await?;
    let metrics = Metrics::read(&stage)?;
    for reason in ["network", "planned"] {
        let label = format!(",reason=\"{reason}\"");
        assert_eq!(metrics.of_module("module_reconnects_total", &label), Some(1.0), "{reason}");
    }

    stage.fault("throttle", M, json!({"count": 3})).await?;
    stage.report(M, json!({"held": true})).await?;
    stage.wait_reported(M, |found| found["held"] == true).await?;
    let metrics = Metrics::read(&stage)?;
    assert_eq!(metrics.of_module("module_throttled_total", ""), Some(3.0));
    let written =
        metrics.of_module("module_storage_written_bytes_total", "").context("no bytes")?;
    let status = stage.client().status().await?;
    let stated = u32::try_from(status.storage.bytes_written.context("no bytes in status")?)?;
    assert!((1.0..=f64::from(stated)).contains(&written), "{written} of {stated}");
    Ok(())
}

#[tokio::test]
async fn what_waits_for_the_hub_has_a_size_and_an_age() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    stage.report(M, json!({"before": 1})).await?;
    let sent = |status: &Status| status.modules[0].pending.keys == 0;
    stage.gateway.wait_for("the hub's consent", sent).await?;
    assert_eq!(
        Metrics::read(&stage)?.of_module("module_pending_since_timestamp_seconds", ""),
        None
    );
    stage.hub.kill()?;
    let gone = |status: &Status| status.modules[0].hub.reason == HubReason::Network;
    stage.gateway.wait_for("the outage", gone).await?;
    let before = now()?;
    stage.report(M, json!({"a": 1, "b": 2})).await?;
    let metrics = Metrics::read(&stage)?;
    let since = metrics.of_module("module_pending_since_timestamp_seconds", "");
    assert!(is_since(since, before)?);
    assert_eq!(metrics.of_module("module_pending_keys", ""), Some(2.0));
    assert_eq!(metrics.of_module("module_pending_bytes", ""), Some(13.0));
    assert_eq!(metrics.of_module("module_connected", ""), Some(0.0));
    assert_eq!(
        metrics.of_module("module_state", ",state=\"disconnected\",reason=\"network\"").or_else(
            || metrics.of_module("module_state", ",state=\"connecting\",reason=\"network\"")
        ),
        Some(1.0)
    );
    // What comes later makes the oldest no younger.
    until("some seconds", Duration::from_secs(20), async || {
        let now = now()?;
        Ok(if now >= before + 3.0 { Look::Found(()) } else { Look::NotYet(now.to_string()) })
    })
    .await?;
    stage.report(M, json!({"c": 3})).await?;
    let metrics = Metrics::read(&stage)?;
    let later = metrics.of_module("module_pending_since_timestamp_seconds", "");
    // Whole seconds, by a clock that may have been corrected a little.
    let apart = later.zip(since).map(|(later, since)| (later - since).abs());
    assert!(apart.is_some_and(|apart| apart <= 1.0), "{since:?}, then {later:?}");
    Ok(())
}

#[tokio::test]
async fn messages_that_wait_and_calls_of_methods_are_counted() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let client = stage.client();
    let message = Message { payload: b"21.5".to_vec(), ..Message::default() };
    let wait = Wait::Hub { timeout: LONG };
    assert_eq!(client.send(M, &message, wait).await?, Sent::Confirmed);
    let path = format!("/twins/{DEVICE}/modules/{M}/methods");
    let call = json!({"methodName": "reboot", "responseTimeoutInSeconds": 20});
    stage.service.call(Method::POST, &path, Some(&call)).await?;
    let metrics = Metrics::read(&stage)?;
    let since = "module_messages_waiting_since_timestamp_seconds";
    assert_eq!(metrics.of_module("module_messages_confirmed_total", ""), Some(1.0));
    assert_eq!(metrics.of_module("module_messages_waiting", ""), Some(0.0));
    assert_eq!(metrics.of_module("module_messages_set_aside", ""), Some(0.0));
    assert_eq!(metrics.of_module(since, ""), None);
    let unclaimed = metrics.of_module("module_methods_answered_total", ",status=\"5xx\"");
    assert_eq!(unclaimed, Some(1.0));

    let before = now()?;
    stage.hub.kill()?;
    assert_eq!(client.send(M, &message, Wait::Stored).await?, Sent::Stored);
    assert_eq!(client.send(M, &message, Wait::Stored).await?, Sent::Stored);
    let metrics = Metrics::read(&stage)?;
    assert_eq!(metrics.of_module("module_messages_waiting", ""), Some(2.0));
    let bytes = metrics.of_module("module_messages_waiting_bytes", "");
    assert!(bytes.is_some_and(|bytes| bytes > 8.0), "{bytes:?}");
    assert!(is_since(metrics.of_module(since, ""), before)?);
    stage.hub.restart().await?;
    let none_waits =
        |status: &Status| status.modules[0].messages.is_some_and(|messages| messages.waiting == 0);
    stage.gateway.wait_for("an empty queue", none_waits).await?;
    let metrics = Metrics::read(&stage)?;
    assert_eq!(metrics.of_module("module_messages_confirmed_total", ""), Some(3.0));
    assert_eq!(metrics.of_module(since, ""), None);
    Ok(())
}

#[tokio::test]
async fn the_text_is_read_by_the_reference_parser_of_the_format() -> Story {
    let mut stage = Stage::start(MODTWIND, 2).await?;
    stage.fault("drop", M, json!({})).await?;
    stage.gateway.wait_for("a new connection", reconnects(1)).await?;
    // A process that may do everything gives itself whatever name it likes.
    let version = module(&stage.client().status().await?, M)?.desired_version.unwrap_or_default();
    let ack = json!({"version": version, "status": 200, "handler": "a\"b\\c\nd"});
    let target = format!("/v1/modules/{M}/acks");
    assert_eq!(raw::ask(&stage.gateway.socket(), "POST", &target, Some(&ack))?.status, 202);
    let text = Metrics::read(&stage)?.text;
    assert!(text.contains(r#"handler="a\"b\\c\nd"} 200"#), "{text}");
    let file = stage.gateway.folder().join("metrics.txt");
    std::fs::write(&file, &text)?;
    // Where it is: Debian has it as python3-prometheus-client.
    let parser = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
        families = list(read(open(sys.argv[1]).read()))\n\
        print(len(families))\n\
        assert all(family.documentation for family in families)";
    for python in ["python3", "/usr/bin/python3"] {
        let run = |script: &str| {
            std::process::Command::new(python).args(["-c", script]).arg(&file).output()
        };
        if !run("import prometheus_client.openmetrics").is_ok_and(|output| output.status.success())
        {
            continue;
        }
        let output = run(parser)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}\n{text}");
        let families = text.lines().filter(|line| line.starts_with("# TYPE ")).count();
        assert_eq!(String::from_utf8(output.stdout)?.trim(), families.to_string());
        return Ok(());
    }
    println!("skipped: no python3-prometheus-client");
    Ok(())
}
