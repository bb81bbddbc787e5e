//! The recipes of docs/recipes.md, run as they stand, with stand-ins for what they change of the
//! machine.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use modtwin_testkit::hub::program;
use modtwin_testkit::patience::{LONG, Look, until};
use modtwin_testkit::stage::Stage;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Story;
use crate::languages::{self, Language, root};
use crate::running::{Running, with_modtwinctl};

const M: &str = "m01";

/// A recipe at work on its module.
struct Kitchen {
    // Dropped in this order: the recipe before its daemon.
    _recipe: Running,
    stage: Stage,
}

impl Kitchen {
    /// Starts `recipe` at a daemon of its own.
    async fn open(recipe: Command) -> anyhow::Result<Self> {
        let stage = Stage::start(program("modtwind")?, 1).await?;
        let recipe = Running::start(recipe, M, &stage)?;
        Ok(Self { _recipe: recipe, stage })
    }

    /// Patches the desired properties; returns how the recipe acknowledged that version.
    async fn change(&mut self, desired: Value) -> anyhow::Result<(u16, String)> {
        let version = self.stage.change(M, desired).await?;
        let client = self.stage.client();
        until("the acknowledgement", LONG, async || {
            let said = client.snapshot(M).await?.applied;
            let found = said.iter().find(|said| said.version == version);
            Ok(match found {
                Some(ack) => Look::Found((ack.status, ack.description.clone().unwrap_or_default())),
                None => Look::NotYet(format!("{said:?}")),
            })
        })
        .await
    }
}

/// A hook as its unit runs it; none where this machine has no jq.
fn hook(script: &str, folder: &Path) -> anyhow::Result<Option<Command>> {
    if Command::new("jq").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: {script}, because this machine has no jq");
        return Ok(None);
    }
    let mut command = Command::new("modtwinctl");
    let script = root().join("docs/recipes").join(script);
    command.args(["watch", M, "--handler", "hook", "--exec"]).arg(script);
    with_modtwinctl(command, Some(folder)).map(Some)
}

/// Puts a program into `folder` that notes how it was called, and then does as `does` says.
fn stand_in(folder: &Path, name: &str, does: &str) {
    let text = format!("#!/bin/sh\necho \"{name} $*\" >>\"{}/calls\"\n{does}\n", folder.display());
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn calls(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("calls")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test]
async fn a_config_file_is_written_whole_and_its_unit_reloaded_only_for_what_is_new() -> Story {
    let folder = TempDir::new()?;
    stand_in(folder.path(), "systemctl", "");
    let Some(mut recipe) = hook("write-config.sh", folder.path())? else { return Ok(()) };
    let file = folder.path().join("hvac.json");
    recipe.env("CONFIG_FILE", &file).env("CONFIG_UNIT", "hvac.service");
    let mut kitchen = Kitchen::open(recipe).await?;
    assert_eq!(kitchen.change(json!({"config": {"rate": 5}})).await?.0, 200);
    assert_eq!(serde_json::from_str::<Value>(&read(&file))?, json!({"rate": 5}));
    assert_eq!(kitchen.change(json!({"other": 1})).await?.0, 200);
    assert_eq!(calls(folder.path()), ["systemctl reload-or-restart hvac.service"]);
    let refused = kitchen.change(json!({"config": null})).await?;
    assert_eq!(refused, (500, "the twin has no config".to_owned()));
    assert_eq!(serde_json::from_str::<Value>(&read(&file))?, json!({"rate": 5}));
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 3, "something was left behind");
    Ok(())
}

#[tokio::test]
async fn a_time_zone_is_set_where_it_is_another() -> Story {
    let folder = TempDir::new()?;
    let zone = folder.path().join("zone");
    let does = format!(
        "case $1 in show) cat '{0}' ;; set-timezone) echo \"$2\" >'{0}' ;; esac",
        zone.display()
    );
    std::fs::write(&zone, "Etc/UTC\n")?;
    stand_in(folder.path(), "timedatectl", &does);
    let Some(recipe) = hook("set-timezone.sh", folder.path())? else { return Ok(()) };
    let mut kitchen = Kitchen::open(recipe).await?;
    assert_eq!(kitchen.change(json!({"timezone": "Europe/Vienna"})).await?.0, 200);
    assert_eq!(read(&zone), "Europe/Vienna\n");
    assert_eq!(kitchen.change(json!({"other": 1})).await?.0, 200);
    let set = calls(folder.path()).into_iter().filter(|call| call.contains("set-timezone"));
    assert_eq!(set.count(), 1);
    let refused = kitchen.change(json!({"timezone": "--help; reboot"})).await?;
    assert_eq!(refused, (500, "expected a time zone, found --help; reboot".to_owned()));
    assert_eq!(read(&zone), "Europe/Vienna\n");
    Ok(())
}

#[tokio::test]
async fn ntp_servers_become_a_drop_in_that_goes_with_them() -> Story {
    let folder = TempDir::new()?;
    stand_in(folder.path(), "systemctl", "");
    let Some(mut recipe) = hook("ntp-servers.sh", folder.path())? else { return Ok(()) };
    let drop_in = folder.path().join("timesyncd/50-modtwin.conf");
    recipe.env("TIMESYNCD_DIR", folder.path().join("timesyncd"));
    let mut kitchen = Kitchen::open(recipe).await?;
    let servers = json!({"ntpServers": ["ntp1.example", "192.0.2.1"]});
    assert_eq!(kitchen.change(servers).await?.0, 200);
    assert_eq!(read(&drop_in), "[Time]\nNTP=ntp1.example 192.0.2.1\n");
    assert_eq!(kitchen.change(json!({"other": 1})).await?.0, 200);
    assert_eq!(calls(folder.path()).len(), 1);
    let refused = kitchen.change(json!({"ntpServers": ["x\n[Service]"]})).await?;
    assert_eq!(refused.0, 500);
    assert_eq!(read(&drop_in), "[Time]\nNTP=ntp1.example 192.0.2.1\n");
    assert_eq!(kitchen.change(json!({"ntpServers": null})).await?.0, 200);
    assert!(!drop_in.exists());
    assert_eq!(calls(folder.path()), ["systemctl try-restart systemd-timesyncd.service"; 2]);
    Ok(())
}

#[tokio::test]
async fn feature_flags_reach_a_file_and_wrong_ones_are_refused() -> Story {
    if !languages::all().contains(&Language::Python) {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let flags = folder.path().join("flags.json");
    let mut recipe = languages::python_program(&root().join("docs/recipes/feature-flags.py"));
    recipe.env("MODTWIN_MODULE", M).env("FLAGS_FILE", &flags);
    let mut kitchen = Kitchen::open(recipe).await?;
    let desired = json!({"features": {"dark": true, "beta": false}, "secret": 1});
    assert_eq!(kitchen.change(desired).await?.0, 200);
    let expected = json!({"dark": true, "beta": false});
    assert_eq!(serde_json::from_str::<Value>(&read(&flags))?, expected);
    let refused = kitchen.change(json!({"features": {"dark": "yes"}})).await?;
    assert_eq!(refused, (400, "not true or false: dark".to_owned()));
    assert_eq!(serde_json::from_str::<Value>(&read(&flags))?, expected);
    Ok(())
}
