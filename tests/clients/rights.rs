//! What a reload does to the rights of a client whose watch is open. Needs root, to become others.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use modtwin_testkit::gateway::Gateway;
use modtwin_testkit::hub::program;
use modtwin_testkit::stage::{Stage, name};
use serde_json::{Value, json};

use crate::Story;
use crate::cast::Cast;
use crate::languages;

/// A number that no user of a usual machine has.
const UID: u32 = 61_020;

/// The handler of a module: that user, who watches `watched`.
fn rule(watched: &str) -> String {
    format!("[[module.handler]]\nname = \"me\"\nuser = \"{UID}\"\nwatch = {watched}\n")
}

/// Whether the drivers can be run as that user.
fn can_become_another() -> bool {
    nix::unistd::geteuid().is_root()
        && Command::new("setpriv").arg("--version").output().is_ok_and(|said| said.status.success())
}

#[tokio::test]
async fn a_watch_goes_on_with_what_a_reload_leaves_it() -> Story {
    if !can_become_another() {
        println!("skipped: only root can become another user, with setpriv (util-linux)");
        return Ok(());
    }
    let mut stage = Stage::build(program("modtwind")?, 0).await?;
    let modules: Vec<String> = (1..=languages::all().len()).map(name).collect();
    for module in &modules {
        stage.add_module(module, &rule("[\"/a\", \"/b\"]")).await?;
        stage.change(module, json!({"a": 1, "b": 2})).await?;
    }
    let folder = stage.gateway.folder();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    stage.start_daemon().await?;
    stage.gateway.wait_connected(modules.len()).await?;

    let mut cast = Cast::of(stage, Some(UID))?;
    cast.say("watch {m} handler=me").await?;
    let all = |heard: &Value| heard["desired"] == json!({"a": 1, "b": 2});
    cast.hear("all there is", all).await?;
    for module in &modules {
        let gateway = &mut cast.stage.gateway;
        gateway.remove_module(module);
        let lines = Gateway::certificate_lines(module) + &rule("[\"/b\"]");
        gateway.add_module(module, &lines);
    }
    cast.stage.gateway.write_config()?;
    cast.stage.client().reload().await?;
    let rest = |heard: &Value| heard["desired"] == json!({"b": 2});
    for heard in cast.hear("what is left", rest).await? {
        let mut others = heard.iter().filter(|heard| heard["event"] != "hub");
        assert_eq!(others.next().map(|heard| &heard["event"]), Some(&json!("snapshot")));
        assert_eq!(others.next(), None, "{heard:?}");
    }
    cast.change(&json!({"a": 10, "b": 20})).await?;
    for heard in cast.hear("a change", |heard| heard["event"] == "desired").await? {
        assert_eq!(heard.last().map(|heard| &heard["desired"]), Some(&json!({"b": 20})));
    }
    Ok(())
}
