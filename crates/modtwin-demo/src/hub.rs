//! The hub of the story: the real `iothub-emulator`, started on free ports.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use modtwin_testkit::hub::Facts;
use modtwin_testkit::patience::{Look, until};
use tokio::process::Command;

use crate::cast::Cast;

const START_LIMIT: Duration = Duration::from_secs(15);

/// Starts `program` with `folder` for all it keeps; returns what it says of itself once it serves.
///
/// # Errors
/// It can't be started, ends, or does not serve in time.
pub(crate) async fn start(cast: &mut Cast, program: &Path, folder: &Path) -> anyhow::Result<Facts> {
    let mut command = Command::new(program);
    command.arg("--dir").arg(folder).args(["--mqtt-port", "0", "--https-port", "0"]);
    cast.start("iothub-emulator", command)?;
    let said = folder.join("emulator.json");
    until("the hub emulator to serve", START_LIMIT, async || {
        cast.all_alive()?;
        // Written whole and renamed into place: what is there is complete.
        let Ok(text) = std::fs::read_to_string(&said) else {
            return Ok(Look::NotYet("no emulator.json".to_owned()));
        };
        serde_json::from_str(&text).map(Look::Found).context("cannot read emulator.json")
    })
    .await
}
