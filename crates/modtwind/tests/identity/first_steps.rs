//! From an empty hub to a connected module, by the commands of the README.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use modtwin_testkit::hub::{Hub, program};
use modtwin_testkit::patience::{LONG, Look, until};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::Story;
use crate::equipment::run;

/// The commands of the README, between this line and the end of its block.
const HEAD: &str = "# from an empty hub to a connected module";

/// The README's block of commands.
fn commands() -> anyhow::Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = std::fs::read_to_string(root.join("README.md"))?;
    let block = readme.split(HEAD).nth(1).unwrap().split("```").next().unwrap();
    Ok(block.to_owned())
}

/// Ends everything that a shell has started.
struct Group(u32);

impl Drop for Group {
    fn drop(&mut self) {
        let group = i32::try_from(self.0).unwrap();
        // It may have ended already.
        let _ended = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

#[tokio::test]
async fn the_readmes_five_commands_lead_from_an_empty_hub_to_a_connected_module() -> Story {
    let hub = Hub::start().await?;
    let folder = tempfile::tempdir()?;
    let commands = commands()?;
    let starts = |line: &&str| line.starts_with("cat ") || line.starts_with("modtwin");
    assert_eq!(commands.lines().filter(starts).count(), 5, "{commands}");
    // What the reader has under fixed names and ports is somewhere else here.
    let commands = commands
        .replace("port = 8883", &format!("port = {}", hub.facts.mqtt_port))
        .replace("hub/ca.pem", &hub.facts.ca.display().to_string());
    let (first_four, last) = commands.trim_end().rsplit_once('\n').unwrap();
    let programs = program("modtwinctl")?;
    let path = format!("{}:{}", programs.parent().unwrap().display(), std::env::var("PATH")?);
    let shell = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-ec", script]).current_dir(folder.path()).env("PATH", &path);
        shell.env("IOTHUB_EMULATOR", hub.facts.ca.parent().unwrap());
        shell.env_remove("IOTHUB_CONNECTION_STRING").env_remove("MODTWIN_SOCKET");
        shell
    };
    let log = std::fs::File::create(folder.path().join("log"))?;
    let mut four = shell(first_four);
    let mut four = four.stdout(log.try_clone()?).stderr(log).process_group(0).spawn()?;
    let _group = Group(four.id());
    let ended = four.wait()?;
    assert!(ended.success(), "{}", std::fs::read_to_string(folder.path().join("log"))?);
    until("module01 to be connected", LONG, async || {
        Ok(match run(&mut shell(last)) {
            Ok(text) if text.contains("module01  connected") => Look::Found(()),
            Ok(text) => Look::NotYet(text),
            Err(error) => Look::NotYet(error.to_string()),
        })
    })
    .await
    .with_context(|| std::fs::read_to_string(folder.path().join("log")).unwrap_or_default())
}
