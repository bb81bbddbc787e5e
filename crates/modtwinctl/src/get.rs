//! `modtwinctl get`: a module's twin.

use modtwin_api::{Document, Snapshot};
use modtwin_client::Client;

use crate::cli::Get;
use crate::failure::Failure;
use crate::output::Output;

/// Prints the twin, or the one section that was asked for.
pub(crate) async fn run(client: &Client, args: &Get, output: &Output) -> Result<(), Failure> {
    let snapshot = client.snapshot(&args.module).await?;
    if args.desired {
        return section(snapshot.desired.as_ref(), &args.module, output);
    }
    if args.reported {
        return section(snapshot.reported.as_ref(), &args.module, output);
    }
    if output.is_json() {
        return output.json(&snapshot);
    }
    whole(&snapshot, output)
}

fn section(document: Option<&Document>, module: &str, output: &Output) -> Result<(), Failure> {
    let Some(document) = document else {
        return Err(Failure::failed(format!(
            "nothing is known of `{module}` yet: it has not reached the hub; see modtwinctl status"
        )));
    };
    if output.is_json() { output.json(document) } else { output.pretty(document) }
}

fn whole(snapshot: &Snapshot, output: &Output) -> Result<(), Failure> {
    let hub = &snapshot.hub;
    output.line(format!("{}: {}, {}", snapshot.module, hub.state, hub.reason))?;
    match snapshot.as_of {
        Some(as_of) if snapshot.stale => {
            output.line(format!("as of {as_of}, the hub can't be reached now"))?;
        }
        Some(_) => {}
        None => output.line("never fetched from the hub")?,
    }
    if let (Some(revision), Some(desired)) = (snapshot.revision(), &snapshot.desired) {
        output.line(format!("\ndesired, version {revision}:"))?;
        output.pretty(desired)?;
    }
    if let (Some(version), Some(reported)) = (snapshot.reported_version, &snapshot.reported) {
        output.line(format!("\nreported, version {version}:"))?;
        output.pretty(reported)?;
    }
    if !snapshot.pending.is_empty() {
        output.line("\nreported, not accepted by the hub yet:")?;
        output.pretty(&snapshot.pending)?;
    }
    if !snapshot.applied.is_empty() {
        output.line("\nacknowledged:")?;
    }
    for applied in &snapshot.applied {
        let words = applied.description.as_deref().unwrap_or_default();
        let line = format!(
            "  {} version {}: {} at {} {words}",
            applied.handler, applied.version, applied.status, applied.at
        );
        output.line(line.trim_end())?;
    }
    Ok(())
}
