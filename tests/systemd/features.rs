//! What the daemon does, feature by feature, asked for in the machine by somebody who has no right
//! but a rule's, and by root.

use anyhow::Context as _;
use hyper::Method;
use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::patience::{LONG, Look, until};
use serde_json::{Value, json};

use crate::Story;
use crate::machine::Machine;
use crate::scene::{CONFIG, Scene};

/// Goes before the command of a user whom a rule names.
pub(crate) const AS_NOBODY: &str = "setpriv --reuid=nobody --regid=nogroup --clear-groups";
/// That rule.
pub(crate) const RULE: &str =
    "[[module.handler]]\nname = \"nobody\"\nuser = \"nobody\"\nmethods = [\"echo\"]\n";

/// Asks for its first argument, and prints the whole answer.
const GET: &str = r#"
use IO::Socket::UNIX;
my $socket = IO::Socket::UNIX->new(Peer => "/run/modtwin/modtwin.sock") or die "connect: $!";
print $socket "GET $ARGV[0] HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
print <$socket>;
"#;

/// Desired properties, a report, an acknowledgement, a new connection.
pub(crate) async fn twin(machine: &Machine, scene: &mut Scene, module: &str) -> Story {
    let version = scene.change(module, json!({"n": 1})).await?;
    let shown =
        format!("{AS_NOBODY} modtwinctl get {module} --json | grep -F '\"version\":{version}'");
    machine.wait("the change", &shown).await?;
    machine.run(&format!("{AS_NOBODY} modtwinctl report {module} n=1 --wait hub"))?;
    machine.run(&format!("{AS_NOBODY} modtwinctl ack {module} {version}"))?;
    machine.run(&format!("modtwinctl reconnect {module}"))?;
    scene.connected(machine).await
}

/// A message that the hub confirms.
pub(crate) async fn message(machine: &Machine, scene: &mut Scene, module: &str) -> Story {
    machine.run(&format!(
        "echo hot | {AS_NOBODY} modtwinctl send {module} --property level=high --wait hub"
    ))?;
    wait_message(scene, module).await
}

/// A direct method, there and back.
pub(crate) async fn method(machine: &Machine, scene: &mut Scene, module: &str) -> Story {
    machine.run(&format!(
        "systemd-run --quiet --uid=nobody --unit=echo modtwinctl methods {module} --exec cat"
    ))?;
    let path = format!("/twins/{DEVICE}/modules/{module}/methods");
    let call = json!({"methodName": "echo", "payload": {"in": 5}, "responseTimeoutInSeconds": 10});
    let answer = until("the method to be somebody's", LONG, async || {
        let answer = scene.service.call(Method::POST, &path, Some(&call)).await?;
        Ok(if answer.get("status") == Some(&json!(501)) {
            Look::NotYet(answer.to_string())
        } else {
            Look::Found(answer)
        })
    })
    .await?;
    assert_eq!(answer, json!({"status": 200, "payload": {"in": 5}}));
    machine.run("systemctl stop echo").map(|_stopped| ())
}

/// Changes of config and credential, noticed and told, on trial, and reported by `module`.
pub(crate) async fn config(machine: &Machine, scene: &mut Scene, module: &str) -> Story {
    let fleet = format!("[fleet]\nversion = \"7\"\nreport-module = \"{module}\"\n");
    machine.write("/etc/modtwin/conf.d/10-fleet.toml", fleet)?;
    scene.wait_reported(module, "modtwin/config/version", &json!("7")).await?;
    machine.run("touch /etc/modtwin/module01.pem && modtwinctl reload")?;
    machine.run("systemctl reload modtwind")?;

    let candidate = scene.config().replace("50ms", "60ms");
    machine.write("/run/candidate.toml", &candidate)?;
    machine.run("modtwinctl apply --confirm 60s /run/candidate.toml")?;
    assert_eq!(machine.run(&format!("cat {CONFIG}"))?, candidate.trim_end());
    let digest = machine.run(&format!("cat {CONFIG} /etc/modtwin/conf.d/*.toml | sha256sum"))?;
    let digest = digest.split(' ').next().unwrap_or_default();
    scene
        .wait_reported(module, "modtwin/config/digest", &json!(format!("sha256:{digest}")))
        .await?;
    scene.wait_reported(module, "modtwin/config/status", &json!("applied")).await?;
    scene.connected(machine).await
}

/// What the daemon tells of itself, to whom it should.
pub(crate) fn questions(machine: &Machine) -> Story {
    machine.write("/usr/local/share/get.pl", GET)?;
    let get =
        |who: &str, path: &str| machine.run(&format!("{who} perl /usr/local/share/get.pl {path}"));
    let metrics = get("", "/metrics")?;
    assert!(metrics.contains("modtwin_module_connected{module=\"module20\"} 1\n"), "{metrics}");
    let refusal = get(AS_NOBODY, "/metrics")?;
    assert!(refusal.starts_with("HTTP/1.1 403 "), "{refusal}");
    let description = get(AS_NOBODY, "/v1/openapi.json")?;
    assert!(description.contains("\"openapi\":\"3.1.0\""), "{description}");

    let checked = machine.run("modtwinctl check")?;
    assert!(checked.starts_with("nothing is wrong"), "{checked}");
    let checked = machine.run(&format!("{AS_NOBODY} modtwinctl check"))?;
    assert!(checked.contains("\n0 failed, "), "{checked}");
    Ok(())
}

/// A report and a message that wait on the disk for the hub, over a restart of the daemon.
pub(crate) async fn outage(machine: &Machine, scene: &mut Scene, module: &str) -> Story {
    scene.hub.kill()?;
    machine.run(&format!("{AS_NOBODY} modtwinctl report {module} waited=true"))?;
    machine.run(&format!("echo late | {AS_NOBODY} modtwinctl send {module} --wait stored"))?;
    let stored = format!("ls /var/lib/modtwin/{module}/messages/*.json");
    machine.run(&stored)?;
    machine.run("systemctl restart modtwind")?;
    let shown = "modtwinctl status --json | grep -F '\"waiting\":1'";
    machine.wait("the message to be read from the disk", shown).await?;
    scene.hub.restart().await?;
    scene.service = scene.hub.service()?;
    scene.wait_reported(module, "waited", &json!(true)).await?;
    wait_message(scene, module).await?;
    machine.wait("the message to leave the disk", &format!("! {stored}")).await?;
    scene.connected(machine).await
}

/// Waits until the hub, since it was started, has got a message of that module.
async fn wait_message(scene: &mut Scene, module: &str) -> Story {
    let counter = format!("/modules/{DEVICE}~1{module}/messages");
    until("the message at the hub", LONG, async || {
        let stats = scene.service.stats().await?;
        let count = stats.pointer(&counter).and_then(Value::as_u64).unwrap_or_default();
        Ok(if count > 0 { Look::Found(()) } else { Look::NotYet("none".to_owned()) })
    })
    .await
    .with_context(|| format!("of {module}"))
}
