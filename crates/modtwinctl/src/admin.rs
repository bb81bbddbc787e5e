//! `modtwinctl reload`, `reconnect` and `log-level`: what an administrator asks of the daemon.

use modtwin_api::{LogLevelChange, LogLevelStatus, ReloadOutcome};
use modtwin_client::Client;
use serde::Serialize;

use crate::cli::{LogLevelArgs, Reconnect};
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

/// Shows how much the daemon logs, after the change where one is asked for.
pub(crate) async fn log_level(
    client: &Client,
    args: &LogLevelArgs,
    output: &Output,
) -> Result<(), Failure> {
    let status = match args.level {
        None => client.log_level().await?,
        Some(level) => {
            let for_seconds = Some(args.period.as_secs().max(1));
            client.set_log_level(&LogLevelChange { level: level.into(), for_seconds }).await?
        }
    };
    output.either(&status, in_force)
}

fn in_force(status: &LogLevelStatus) -> String {
    let LogLevelStatus { level, usual, until } = status;
    match until {
        Some(until) => format!("{level} until {until}, then {usual}"),
        None => level.to_string(),
    }
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
