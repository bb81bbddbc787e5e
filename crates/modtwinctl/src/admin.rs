//! `modtwinctl reload` and `modtwinctl reconnect`: what an administrator asks of the daemon.

use modtwin_api::ReloadOutcome;
use modtwin_client::Client;
use serde::Serialize;

use crate::cli::Reconnect;
use crate::failure::Failure;
use crate::output::Output;

/// Has the config read again and prints what that changed.
pub(crate) async fn reload(client: &Client, output: &Output) -> Result<(), Failure> {
    output.either(&client.reload().await?, summary)
}

/// Has a module's session begun anew.
pub(crate) async fn reconnect(
    client: &Client,
    args: &Reconnect,
    output: &Output,
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Reconnecting<'a> {
        reconnecting: &'a str,
    }
    client.reconnect(&args.module).await?;
    output.either(&Reconnecting { reconnecting: &args.module }, |answer| {
        format!("{} connects anew", answer.reconnecting)
    })
}

/// What a reload did, in words.
pub(crate) fn summary(outcome: &ReloadOutcome) -> String {
    let lists = [
        ("added", &outcome.added),
        ("removed", &outcome.removed),
        ("changed", &outcome.changed),
        ("needs a restart", &outcome.needs_restart),
    ];
    let mut lines: Vec<String> = lists
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}: {}", names.join(", ")))
        .collect();
    if lines.is_empty() {
        lines.push("nothing has changed".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_names_what_it_touched_and_nothing_else() {
        let mut said = ReloadOutcome { unchanged: vec!["a".to_owned()], ..Default::default() };
        assert_eq!(summary(&said), "nothing has changed");
        said.added = vec!["b".to_owned(), "c".to_owned()];
        said.needs_restart = vec!["[socket] path".to_owned()];
        assert_eq!(summary(&said), "added: b, c\nneeds a restart: [socket] path");
    }
}
