//! What a reader who stays (`--keep`) can type in another terminal: the operator's commands, a
//! handler's, and a change from the back-end's side.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use modtwin_credentials::{ConnectionString, SasToken};
use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::hub::Facts;

use crate::narrator::Narrator;
use crate::scene::{Options, Scene};

/// How long the back-end's token is good: longer than anybody leaves this running.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Prints the commands.
///
/// # Errors
/// The back-end's token can't be signed or written.
pub(crate) async fn extend(
    scene: &Scene,
    options: &Options,
    narrator: &mut Narrator,
) -> anyhow::Result<()> {
    let root = options.folders.root();
    let token = write_token(&scene.hub, root)?;
    let module = scene.modules.good.first().map_or("module01", String::as_str);
    narrator.step("Everything keeps running; in another terminal, try").await;
    let socket = scene.gateway.socket.display();
    narrator.command(&format!(
        "export PATH={}:$PATH MODTWIN_SOCKET={socket}",
        options.programs.display()
    ));
    narrator.command("modtwinctl status");
    narrator.command(&format!("modtwinctl watch {module}"));
    narrator.command(&format!("modtwinctl report {module} temperature=20.5"));
    narrator.say("\nthe same socket, without any program of ours:");
    narrator.command(&format!(
        "curl -N --unix-socket {socket} http://localhost/v1/modules/{module}/watch"
    ));
    narrator.say("\nand a change from the back-end's side:");
    let Facts { hostname, https_port, ca, .. } = &scene.hub;
    narrator.command(&format!(
        "curl --cacert {} -H @{} -H 'content-type: application/json' -X PATCH \
         -d '{{\"properties\":{{\"desired\":{{\"targetTemperature\":25}}}}}}' \
         'https://{hostname}:{https_port}/twins/{DEVICE}/modules/{module}?api-version=2021-04-12'",
        ca.display(),
        token.display()
    ));
    narrator.aside(&format!("\nCtrl-C here ends every process and removes {}.", root.display()));
    Ok(())
}

/// Writes the header that lets the back-end in, for curl to read.
fn write_token(hub: &Facts, folder: &Path) -> anyhow::Result<PathBuf> {
    let parsed = ConnectionString::parse(&hub.service_connection_string)
        .context("cannot read the service connection string")?;
    let (host, policy, key) =
        parsed.service().context("cannot use the service connection string")?;
    let expires = SystemTime::now() + TOKEN_LIFETIME;
    let token = SasToken::sign_service(host, policy, key, expires)
        .context("cannot sign a service token")?
        .token;
    let path = folder.join("authorization");
    std::fs::write(&path, format!("Authorization: {}\n", token.expose()))
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(path)
}
