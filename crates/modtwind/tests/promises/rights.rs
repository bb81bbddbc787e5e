//! Who may do what, with users that are really others. Needs root, to become them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use modtwin_testkit::gateway::Gateway;
use modtwin_testkit::patience::LONG;
use modtwin_testkit::raw::{self, Answer};
use modtwin_testkit::stage::Stage;
use serde_json::{Value, json};

use crate::{MODTWIND, Story};

const M: &str = "m01";
/// Numbers that no user or group of a usual machine has.
const HVAC_UID: u32 = 61_017;
const STRANGER_UID: u32 = 61_018;
const LIGHTS_GID: u32 = 61_019;

/// Tells the copy of this program that runs as somebody else what to ask.
const ORDER: &str = "MODTWIN_TEST_ORDER";
/// In place of a method: read a stream to its end; report without end.
const STREAM: &str = "stream";
const FLOOD: &str = "flood";
/// Marks its answer among the test runner's own lines.
const MARK: &str = "answer:";

/// Somebody else on this machine.
struct Other<'a> {
    stage: &'a Stage,
    uid: u32,
    groups: Vec<u32>,
}

impl Other<'_> {
    /// Makes a request as that user, from a process of its own.
    fn ask(&self, method: &str, target: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let output = self.process(method, target, body).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let answer = text.lines().find_map(|line| line.split_once(MARK));
        let Some((_, answer)) = answer else {
            anyhow::bail!("no answer: {text} {}", String::from_utf8_lossy(&output.stderr));
        };
        let answer: Value = serde_json::from_str(answer)?;
        let status = u16::try_from(answer["status"].as_u64().unwrap_or_default())?;
        Ok(Answer { status, body: answer["body"].clone() })
    }

    /// Watches as that user, from a process of its own, until the stream ends.
    fn watch(&self, target: &str) -> anyhow::Result<OthersStream> {
        let mut child = self.process(STREAM, target, None).stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("no way from the process")?;
        let (sender, events) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let event = line.split_once(MARK).map(|(_, text)| serde_json::from_str(text));
                if let Some(Ok(event)) = event
                    && sender.send(event).is_err()
                {
                    break;
                }
            }
        });
        Ok(OthersStream { child, events })
    }

    /// The process that makes a request as that user: a copy of this program.
    fn process(&self, method: &str, target: &str, body: Option<&Value>) -> Command {
        let program = self.stage.gateway.folder().join("other-user");
        let order = json!({
            "socket": self.stage.gateway.socket(), "method": method, "target": target, "body": body,
        });
        let groups: Vec<String> = self.groups.iter().map(u32::to_string).collect();
        let groups = match groups.as_slice() {
            [] => "--clear-groups".to_owned(),
            groups => format!("--groups={}", groups.join(",")),
        };
        let mut command = Command::new("setpriv");
        command
            .args([format!("--reuid={}", self.uid), format!("--regid={}", self.uid), groups])
            .arg("--")
            .arg(program)
            .args(["--exact", "rights::the_other_user_asks", "--nocapture"])
            .env(ORDER, order.to_string());
        command
    }
}

/// A stream that somebody else's process reads.
struct OthersStream {
    child: Child,
    events: std::sync::mpsc::Receiver<Value>,
}

impl OthersStream {
    /// The next event that is neither a sign of life nor about the hub; none at the stream's end.
    fn next(&self) -> anyhow::Result<Option<Value>> {
        loop {
            match self.events.recv_timeout(LONG) {
                Ok(event) if event["type"] == "hub" || event["type"] == "heartbeat" => {}
                Ok(event) => return Ok(Some(event)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => anyhow::bail!("no event came"),
            }
        }
    }
}

impl Drop for OthersStream {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Not a test of its own: what the other user's process does. Without an order it does nothing.
#[test]
fn the_other_user_asks() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let order: Value = serde_json::from_str(&order).unwrap();
    let text = |name: &str| order[name].as_str().unwrap().to_owned();
    let body = order.get("body").filter(|body| !body.is_null());
    let socket = text("socket");
    match text("method").as_str() {
        STREAM => return print_events(&socket, &text("target")),
        FLOOD => return flood(&socket, &text("target")),
        _ => {}
    }
    let answer = if text("target").ends_with("/watch") {
        first_line(&socket, &text("target"))
    } else {
        let answer = raw::ask(Path::new(&socket), &text("method"), &text("target"), body).unwrap();
        (answer.status, answer.body)
    };
    println!("\n{MARK}{}", json!({"status": answer.0, "body": answer.1}));
}

/// Prints each event of a stream until it ends.
fn print_events(socket: &str, target: &str) {
    let mut stream = raw::connect(Path::new(socket)).unwrap();
    stream.write_all(raw::request("GET", target, None).as_bytes()).unwrap();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        // Between the events are HTTP's own lines.
        if serde_json::from_str::<Value>(&line).is_ok_and(|event| event.is_object()) {
            println!("{MARK}{line}");
        }
    }
}

/// Reports with bodies that are mostly white space, one after the other, until it is told off;
/// prints how.
fn flood(socket: &str, target: &str) {
    let body = format!("{}{}", json!({"hvac": {"flood": 1}}), " ".repeat(400_000));
    let head = format!("PATCH {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    let refusal = loop {
        let answer = raw::exchange(Path::new(socket), request.as_bytes()).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        if !answer.starts_with("HTTP/1.1 202 ") {
            break answer;
        }
    };
    let body: Value = serde_json::from_str(refusal.split_once("\r\n\r\n").unwrap().1).unwrap();
    println!("\n{MARK}{}", json!({"status": body["status"], "body": body}));
}

/// The status of a stream and its first event, or the refusal.
fn first_line(socket: &str, target: &str) -> (u16, Value) {
    let mut stream = raw::connect(Path::new(socket)).unwrap();
    stream.write_all(raw::request("GET", target, None).as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines();
    let status = lines.next().unwrap().unwrap()[9..12].parse().unwrap();
    let event = lines.find_map(|line| {
        serde_json::from_str::<Value>(&line.unwrap()).ok().filter(Value::is_object)
    });
    (status, event.unwrap_or_default())
}

/// The handlers of the module: one by its user, which watches `watched`, one by its group.
fn rules(watched: &str) -> String {
    format!(
        "  [[module.handler]]\n  name = \"hvac\"\n  user = \"{HVAC_UID}\"\n  watch = {watched}\n  \
         report = [\"/hvac\"]\n  [[module.handler]]\n  name = \"lights\"\n  group = \"{LIGHTS_GID}\"\n  \
         watch = [\"/lights\"]\n  report = []\n"
    )
}

/// A gateway whose folder and socket others may reach, with rules for two of them.
async fn stage() -> anyhow::Result<Option<Stage>> {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return Ok(None);
    }
    if Command::new("setpriv").arg("--version").output().is_err() {
        println!("skipped: there is no setpriv (util-linux)");
        return Ok(None);
    }
    let mut stage = Stage::build(MODTWIND, 0).await?;
    stage.add_module(M, &rules("[\"/hvac\"]")).await?;
    stage.add_module("m02", "").await?;
    let folder = stage.gateway.folder().to_owned();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))?;
    std::fs::copy(std::env::current_exe()?, folder.join("other-user"))?;
    stage.change(M, json!({"hvac": {"target": 21}, "lights": {"on": true}, "secret": 1})).await?;
    stage.start_daemon().await?;
    stage.gateway.wait_connected(2).await?;
    Ok(Some(stage))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_sees_nothing_and_may_do_nothing() -> Story {
    let Some(stage) = stage().await? else { return Ok(()) };
    let stranger = Other { stage: &stage, uid: STRANGER_UID, groups: Vec::new() };
    assert_eq!(stranger.ask("GET", "/v1/health", None)?.status, 200);
    let list = stranger.ask("GET", "/v1/modules", None)?;
    assert_eq!((list.status, &list.body["modules"]), (200, &json!([])));
    let mut details = Vec::new();
    for module in [M, "m02", "there-is-no-such-module"] {
        let refused = stranger.ask("GET", &format!("/v1/modules/{module}"), None)?;
        assert_eq!((refused.status, &refused.body["kind"]), (403, &json!("forbidden")), "{module}");
        details.push(refused.body["detail"].to_string().replace(module, "M"));
    }
    assert!(details.iter().all(|detail| *detail == details[0]), "{details:?}");
    assert!(details[0].contains(&STRANGER_UID.to_string()), "{details:?}");
    for (method, target, body) in [
        ("PATCH", "/v1/modules/m01/reported", Some(json!({"hvac": {"x": 1}}))),
        ("GET", "/v1/modules/m01/watch", None),
        ("POST", "/v1/modules/m01/acks", Some(json!({"version": 1, "status": 200}))),
        ("POST", "/v1/modules/m01/reconnect", None),
        ("POST", "/v1/reload", None),
        ("GET", "/v1/status", None),
    ] {
        let refused = stranger.ask(method, target, body.as_ref())?;
        assert_eq!(refused.status, 403, "{method} {target}: {refused:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_sees_and_reports_its_subtree_and_no_more() -> Story {
    let Some(mut stage) = stage().await? else { return Ok(()) };
    let hvac = Other { stage: &stage, uid: HVAC_UID, groups: Vec::new() };
    let list = hvac.ask("GET", "/v1/modules", None)?;
    assert_eq!(list.body["modules"].as_array().map(Vec::len), Some(1), "{list:?}");
    let snapshot = hvac.ask("GET", "/v1/modules/m01", None)?;
    assert_eq!(snapshot.body["desired"], json!({"hvac": {"target": 21}}));
    let first = hvac.ask("GET", "/v1/modules/m01/watch", None)?;
    assert_eq!(first.body["desired"], json!({"hvac": {"target": 21}}), "{first:?}");
    let report = "/v1/modules/m01/reported";
    let good = hvac.ask("PATCH", report, Some(&json!({"hvac": {"now": 20.5}})))?;
    assert_eq!(good.status, 202, "{good:?}");
    for bad in [
        json!({"lights": {"on": false}}),
        json!({"hvac": {"now": 1}, "more": 1}),
        json!({"hvac": null}),
    ] {
        let refused = hvac.ask("PATCH", report, Some(&bad))?;
        // The whole subtree is its own, so deleting it is its right.
        let expected = if bad == json!({"hvac": null}) { 202 } else { 403 };
        assert_eq!(refused.status, expected, "{bad}: {refused:?}");
    }
    assert_eq!(hvac.ask("GET", "/v1/status", None)?.status, 403);
    assert_eq!(hvac.ask("GET", "/v1/modules/m02", None)?.status, 403);
    stage
        .wait_reported(M, |found| found.get("lights").is_none() && found.get("more").is_none())
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supplementary_group_counts_as_the_rules_say() -> Story {
    let Some(stage) = stage().await? else { return Ok(()) };
    let member = Other { stage: &stage, uid: STRANGER_UID, groups: vec![7, LIGHTS_GID, 9] };
    let snapshot = member.ask("GET", "/v1/modules/m01", None)?;
    assert_eq!(
        (snapshot.status, &snapshot.body["desired"]),
        (200, &json!({"lights": {"on": true}}))
    );
    // Watching and reporting are separate rights.
    let body = json!({"lights": {"on": false}});
    let refused = member.ask("PATCH", "/v1/modules/m01/reported", Some(&body))?;
    assert_eq!((refused.status, &refused.body["kind"]), (403, &json!("forbidden")), "{refused:?}");
    // Without the group there is nothing left.
    let former = Other { stage: &stage, uid: STRANGER_UID, groups: vec![7] };
    assert_eq!(former.ask("GET", "/v1/modules/m01", None)?.status, 403);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_may_do_everything_from_a_process_of_its_own() -> Story {
    let Some(stage) = stage().await? else { return Ok(()) };
    let root = Other { stage: &stage, uid: 0, groups: Vec::new() };
    assert_eq!(root.ask("GET", "/v1/status", None)?.status, 200);
    let snapshot = root.ask("GET", "/v1/modules/m01", None)?;
    assert_eq!(snapshot.body["desired"]["secret"], json!(1), "{snapshot:?}");
    let body = json!({"anything": 1});
    assert_eq!(root.ask("PATCH", "/v1/modules/m01/reported", Some(&body))?.status, 202);
    // To root, and to nobody else, a module that there is not is not there.
    assert_eq!(root.ask("GET", "/v1/modules/absent", None)?.status, 404);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_reaches_the_open_stream_of_another_user() -> Story {
    let Some(mut stage) = stage().await? else { return Ok(()) };
    let reload = async |stage: &mut Stage, handlers: &str| {
        stage.gateway.remove_module(M);
        stage.gateway.add_module(M, &format!("{}{handlers}", Gateway::certificate_lines(M)));
        stage.gateway.write_config()?;
        stage.client().reload().await.context("the reload")
    };
    let hvac = Other { stage: &stage, uid: HVAC_UID, groups: Vec::new() };
    let stream = hvac.watch("/v1/modules/m01/watch?handler=hvac")?;
    let first = stream.next()?.context("a first event")?;
    assert_eq!(first["desired"], json!({"hvac": {"target": 21}}));

    reload(&mut stage, &rules("[\"/hvac\", \"/lights\"]")).await?;
    let wider = stream.next()?.context("the wider view")?;
    assert_eq!(wider["type"], "snapshot");
    assert_eq!(wider["desired"], json!({"hvac": {"target": 21}, "lights": {"on": true}}));

    reload(&mut stage, &rules("[\"/lights\"]")).await?;
    let narrower = stream.next()?.context("the narrower view")?;
    assert_eq!(narrower["desired"], json!({"lights": {"on": true}}));
    stage.change(M, json!({"hvac": {"target": 22}, "lights": {"on": false}})).await?;
    let change = stream.next()?.context("the change")?;
    assert_eq!(
        (&change["type"], &change["desired"]),
        (&json!("desired"), &json!({"lights": {"on": false}}))
    );

    reload(&mut stage, "").await?;
    assert_eq!(stream.next()?, Some(json!({"type": "removed", "module": M})));
    assert_eq!(stream.next()?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_floods_is_told_off_and_another_of_the_same_user_is_not() -> Story {
    let Some(stage) = stage().await? else { return Ok(()) };
    let target = "/v1/modules/m01/reported";
    let hvac = Other { stage: &stage, uid: HVAC_UID, groups: Vec::new() };
    let mut flood = hvac.process(FLOOD, target, None).stdout(Stdio::piped()).spawn()?;
    let mut count = 0;
    while flood.try_wait()?.is_none() || count < 5 {
        let body = json!({"hvac": {"neighbour": count}});
        let began = Instant::now();
        let answer = hvac.ask("PATCH", target, Some(&body))?;
        // The start of a process is in it.
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!(answer.status, 202, "{answer:?}");
        count += 1;
    }
    let output = flood.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (_, refusal) = text.split_once(MARK).with_context(|| format!("no answer: {text}"))?;
    let refusal: Value = serde_json::from_str(refusal.lines().next().unwrap_or_default())?;
    assert_eq!(refusal["status"], 429, "{refusal}");
    assert_eq!(refusal["body"]["kind"], "overloaded", "{refusal}");
    assert_eq!(refusal["body"]["limit"], 2 << 20, "{refusal}");
    Ok(())
}
