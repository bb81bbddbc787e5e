//! Who may do what, with users that are really others. Needs root, to become them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

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
        let program = self.stage.gateway.folder().join("other-user");
        let order = json!({
            "socket": self.stage.gateway.socket(), "method": method, "target": target, "body": body,
        });
        let groups: Vec<String> = self.groups.iter().map(u32::to_string).collect();
        let groups = match groups.as_slice() {
            [] => "--clear-groups".to_owned(),
            groups => format!("--groups={}", groups.join(",")),
        };
        let output = Command::new("setpriv")
            .args([format!("--reuid={}", self.uid), format!("--regid={}", self.uid), groups])
            .arg("--")
            .arg(program)
            .args(["--exact", "rights::the_other_user_asks", "--nocapture"])
            .env(ORDER, order.to_string())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let answer = text.lines().find_map(|line| line.split_once(MARK));
        let Some((_, answer)) = answer else {
            anyhow::bail!("no answer: {text} {}", String::from_utf8_lossy(&output.stderr));
        };
        let answer: Value = serde_json::from_str(answer)?;
        let status = u16::try_from(answer["status"].as_u64().unwrap_or_default())?;
        Ok(Answer { status, body: answer["body"].clone() })
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
    let answer = if text("target").ends_with("/watch") {
        first_line(&socket, &text("target"))
    } else {
        let answer = raw::ask(Path::new(&socket), &text("method"), &text("target"), body).unwrap();
        (answer.status, answer.body)
    };
    println!("\n{MARK}{}", json!({"status": answer.0, "body": answer.1}));
}

/// The status of a stream and its first event, or the refusal.
fn first_line(socket: &str, target: &str) -> (u16, Value) {
    use std::io::{BufRead as _, BufReader, Write as _};
    let mut stream = raw::connect(Path::new(socket)).unwrap();
    stream.write_all(raw::request("GET", target, None).as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines();
    let status = lines.next().unwrap().unwrap()[9..12].parse().unwrap();
    let event = lines.find_map(|line| {
        serde_json::from_str::<Value>(&line.unwrap()).ok().filter(Value::is_object)
    });
    (status, event.unwrap_or_default())
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
    let handlers = format!(
        "  [[module.handler]]\n  name = \"hvac\"\n  user = \"{HVAC_UID}\"\n  watch = [\"/hvac\"]\n  \
         report = [\"/hvac\"]\n  [[module.handler]]\n  name = \"lights\"\n  group = \"{LIGHTS_GID}\"\n  \
         watch = [\"/lights\"]\n  report = []\n"
    );
    stage.add_module(M, &handlers).await?;
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
