//! The story, step by step: a change that arrives, the network gone and back, one bad certificate
//! beside good ones. Every figure in it is measured while it is told, and a step that does not come
//! true ends it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use modtwin_testkit::gateway::DEVICE;
use serde_json::{Value, json};

use crate::audience::Line;
use crate::cast::Cast;
use crate::narrator::Narrator;
use crate::scene::{self, Options, Scene};
use crate::timing::{in_words, spread};
use modtwin_testkit::patience::{LONG, Look, until};

/// How long to wait for what takes milliseconds when all is well.
const SHORT: Duration = Duration::from_secs(10);

/// What a handler reports for each change it has handled.
const HANDLED_AT: &str = "DateTimeLastDesiredPropertyChangeReceived";

/// Tells the story to its end; everything still runs then.
///
/// # Errors
/// Something did not start, failed, or did not happen in time.
pub(crate) async fn tell(
    options: &Options,
    narrator: &mut Narrator,
    cast: &mut Cast,
) -> anyhow::Result<Scene> {
    narrator.aside(&format!(
        "modtwin: one hub, one gateway, {} module identities, one daemon, one Unix socket.\n\
         Real processes, real TLS, real certificates; only the cloud is an emulator.",
        options.modules.all().count()
    ));
    let mut scene = scene::set(options, narrator, cast).await?;
    one_change(&mut scene, narrator).await?;
    a_change_for_everybody(&mut scene, narrator).await?;
    offline(&mut scene, narrator).await?;
    back_online(&mut scene, narrator).await?;
    one_bad_certificate(&scene, narrator).await?;
    status(&scene, narrator).await?;
    cast.all_alive()?;
    Ok(scene)
}

async fn one_change(scene: &mut Scene, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.step("The back-end changes one desired property").await;
    let module = scene.modules.good.last().context("there is no module to change")?.clone();
    let before = handled_at(scene, &module).await?;
    let desired = json!({"targetTemperature": 21.5});
    narrator.command(&format!(
        "PATCH /twins/{DEVICE}/modules/{module}  {{\"properties\":{{\"desired\":{desired}}}}}"
    ));
    let began = Instant::now();
    let version = scene.service.change_desired(DEVICE, &module, desired).await?;
    let expected = BTreeMap::from([(module.clone(), got(version))]);
    let heard = scene.audience.hear(&expected, SHORT).await?;
    let line = heard.get(&module).context("the line that was heard is gone")?;
    narrator.say(&format!(
        "after {} the handler of {module} prints: {}",
        in_words(line.at - began),
        line.text
    ));
    until("the handler's report at the hub", SHORT, async || {
        let now = handled_at(scene, &module).await?;
        Ok(if now == before { Look::NotYet(now.to_string()) } else { Look::Found(()) })
    })
    .await?;
    narrator.say(&format!(
        "within {} the back-end reads the handler's {HANDLED_AT}",
        in_words(began.elapsed())
    ));
    let others: Vec<Line> =
        scene.audience.drain().into_iter().filter(|line| line.module != module).collect();
    ensure!(others.is_empty(), "expected silence from every other handler, heard {others:?}");
    narrator.say("no other handler heard of it");
    Ok(())
}

async fn a_change_for_everybody(scene: &mut Scene, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.step("A change for every module, one after the other").await;
    let sent = change_all(scene, &json!({"targetTemperature": 19})).await?;
    let heard = scene.audience.hear(&expected_lines(&sent), SHORT).await?;
    let times = heard.iter().filter_map(|(module, line)| Some(line.at - sent.get(module)?.began));
    narrator.say(&format!("from the REST call to the handler's own output: {}", spread(times)));
    Ok(())
}

async fn offline(scene: &mut Scene, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.step("The network goes away").await;
    scene.cable.pull_out().await?;
    let noticed = scene.gateway.wait_for_hub(&scene.modules.good, false, SHORT).await?;
    narrator.say(&format!(
        "the cable between gateway and hub is out; all sessions noticed within {}",
        in_words(noticed)
    ));
    let module = first(scene)?;
    let began = Instant::now();
    let snapshot = scene
        .gateway
        .client
        .snapshot(&module)
        .await
        .context("offline, the socket did not answer")?;
    let took = began.elapsed();
    ensure!(
        snapshot.stale,
        "expected a snapshot that says that it may be out of date, found a fresh one"
    );
    narrator.say(&format!("reads are answered from what was seen last, in {}:", in_words(took)));
    narrator.command(&format!("modtwinctl get {module}"));
    narrator.say(&scene.gateway.modtwinctl(&["get", &module]).await?);
    narrator.say("reports are stored and wait:");
    let began = Instant::now();
    narrator.command(&format!("modtwinctl report {module} note=offline"));
    narrator.say(&scene.gateway.modtwinctl(&["report", &module, "note=offline"]).await?);
    narrator.say(&format!("({} with the start of the program)", in_words(began.elapsed())));
    Ok(())
}

async fn back_online(scene: &mut Scene, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.step("Meanwhile in the cloud, and back").await;
    let sent = change_all(scene, &json!({"targetTemperature": 23})).await?;
    narrator
        .say(&format!("the back-end changes all {} modules while the gateway is away", sent.len()));
    let early: Vec<Line> = scene.audience.drain();
    ensure!(early.is_empty(), "expected silence while the network is away, heard {early:?}");
    let module = first(scene)?;
    let began = Instant::now();
    scene.cable.put_in()?;
    let heard = scene.audience.hear(&expected_lines(&sent), LONG).await?;
    let times = heard.values().map(|line| line.at - began);
    narrator.say(&format!(
        "the cable is in again; every handler has what it missed: {}",
        spread(times)
    ));
    until("the report made offline to reach the hub", LONG, async || {
        let twin = scene.service.twin(DEVICE, &module).await?;
        let note = twin.pointer("/properties/reported/note").cloned().unwrap_or_default();
        Ok(if note == "offline" { Look::Found(()) } else { Look::NotYet(note.to_string()) })
    })
    .await?;
    narrator.say(&format!("the report made offline is in the hub's twin of {module}"));
    scene.gateway.wait_for_hub(&scene.modules.good, true, LONG).await?;
    Ok(())
}

async fn one_bad_certificate(scene: &Scene, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.step("One bad certificate beside good ones").await;
    let status = scene.gateway.status().await?;
    let expired = &scene.modules.expired;
    let bad = status
        .modules
        .iter()
        .find(|module| module.module == *expired)
        .context("status lacks a module")?;
    ensure!(
        bad.hub.state != modtwin_api::HubState::Connected,
        "expected {expired} to stay away with its expired certificate, found it connected"
    );
    let connected = status
        .modules
        .iter()
        .filter(|module| module.hub.state == modtwin_api::HubState::Connected)
        .count();
    let why = bad.problem.as_deref().or(bad.hub.detail.as_deref()).unwrap_or("(no words about it)");
    narrator.say(&format!("{expired}: {}, {}\n{why}", bad.hub.state, bad.hub.reason));
    narrator.say(&format!("the other {connected} were not held up by it"));
    Ok(())
}

async fn status(scene: &Scene, narrator: &mut Narrator) -> anyhow::Result<()> {
    narrator.step("What an operator sees").await;
    until("every handler to have applied the newest version", SHORT, async || {
        let status = scene.gateway.status().await?;
        let good = status.modules.iter().filter(|module| module.module != scene.modules.expired);
        let behind: Vec<&str> = good
            .filter(|module| module.applied_version() != module.desired_version)
            .map(|module| module.module.as_str())
            .collect();
        Ok(if behind.is_empty() { Look::Found(()) } else { Look::NotYet(behind.join(", ")) })
    })
    .await?;
    narrator.command("modtwinctl status");
    narrator.say(&scene.gateway.modtwinctl(&["status"]).await?);
    Ok(())
}

/// A change that the hub has taken.
#[derive(Clone, Copy, Debug)]
struct Change {
    /// When the call began.
    began: Instant,
    /// Which version it made.
    version: u64,
}

/// Changes every good module.
async fn change_all(
    scene: &mut Scene,
    desired: &Value,
) -> anyhow::Result<BTreeMap<String, Change>> {
    let mut sent = BTreeMap::new();
    for module in &scene.modules.good {
        let began = Instant::now();
        let version = scene.service.change_desired(DEVICE, module, desired.clone()).await?;
        sent.insert(module.clone(), Change { began, version });
    }
    Ok(sent)
}

/// What each module's handler prints for its change.
fn expected_lines(sent: &BTreeMap<String, Change>) -> BTreeMap<String, String> {
    sent.iter().map(|(module, change)| (module.clone(), got(change.version))).collect()
}

fn got(version: u64) -> String {
    format!("got version {version}:")
}

/// When the handler of `module` last said that it has handled a change, as the hub's twin has it;
/// null before the first.
async fn handled_at(scene: &mut Scene, module: &str) -> anyhow::Result<Value> {
    let twin = scene.service.twin(DEVICE, module).await?;
    Ok(twin
        .pointer("/properties/reported")
        .and_then(|reported| reported.get(HANDLED_AT))
        .cloned()
        .unwrap_or_default())
}

fn first(scene: &Scene) -> anyhow::Result<String> {
    scene.modules.good.first().cloned().context("there is no module in step")
}
