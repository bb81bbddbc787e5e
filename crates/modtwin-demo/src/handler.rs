//! A handler: what a component's author writes. It does what the module-twin quick start does,
//! without an SDK, a credential or an MQTT client of its own: on start it fetches the twin and
//! reports `DateTimeLastAppLaunch`; on each desired change it prints it and reports
//! `DateTimeLastDesiredPropertyChangeReceived`. It also says which version it has applied.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;
use modtwin_api::{AckRequest, Document, Event, Revision};
use modtwin_client::{Client, Followed, Wait, WatchOptions};

use crate::narrator::handler_line;

/// The name under which it shows in status.
const NAME: &str = "demo";

/// Handles `module` until the module is taken away, or the process is ended.
///
/// # Errors
/// The daemon refuses what no later attempt would mend.
pub(crate) async fn run(socket: &Path, module: &str) -> anyhow::Result<()> {
    let client = Client::new(socket);
    report_now(&client, module, "DateTimeLastAppLaunch").await?;
    let options = WatchOptions { handler: Some(NAME.to_owned()), ..WatchOptions::default() };
    let mut watch = client.follow(module, options);
    while let Some(followed) =
        watch.next().await.with_context(|| format!("cannot watch {module}"))?
    {
        match followed {
            Followed::Event(Event::Snapshot(snapshot)) => {
                let Some(revision) = snapshot.revision() else {
                    handler_line("started, and nothing is known of the twin yet");
                    continue;
                };
                let desired = snapshot.desired.unwrap_or_default();
                handler_line(&describe("started with", revision, &desired));
                acknowledge(&client, module, revision).await?;
            }
            Followed::Event(Event::Desired(change)) => {
                handler_line(&describe("got", change.revision(), &change.desired));
                report_now(&client, module, "DateTimeLastDesiredPropertyChangeReceived").await?;
                acknowledge(&client, module, change.revision()).await?;
            }
            Followed::Event(_) => {}
            Followed::Lost { error, .. } => handler_line(&format!("lost the daemon: {error}")),
        }
    }
    Ok(())
}

fn describe(verb: &str, revision: Revision, desired: &Document) -> String {
    format!("{verb} version {}: {}", revision.version, serde_json::Value::Object(desired.clone()))
}

async fn report_now(client: &Client, module: &str, property: &str) -> anyhow::Result<()> {
    let mut patch = Document::new();
    let now = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    patch.insert(property.to_owned(), now.into());
    client
        .report(module, &patch, Wait::Stored)
        .await
        .with_context(|| format!("cannot report {property} of {module}"))?;
    Ok(())
}

async fn acknowledge(client: &Client, module: &str, revision: Revision) -> anyhow::Result<()> {
    let ack = AckRequest {
        version: revision.version,
        generation: Some(revision.generation),
        status: 200,
        description: None,
        handler: Some(NAME.to_owned()),
        paths: Vec::new(),
    };
    client
        .acknowledge(module, &ack)
        .await
        .with_context(|| format!("cannot acknowledge a version of {module}"))
}
