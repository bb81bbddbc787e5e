//! `modtwinctl apply`: puts a new config in place and into force.
//!
//! Owns the order: checked, tried where asked to, then put in place. Leaves the trial to the daemon,
//! which goes back by itself, so that nothing depends on this process; and replacing the file to
//! [`replacement`](crate::replacement).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use modtwin_api::{ConfigState, ReloadOutcome, TrialRequest};
use modtwin_client::{Client, ClientError};
use modtwin_config::Files;
use modtwin_credentials::sha256;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::admin::summary;
use crate::cli::config::Apply;
use crate::diff::checked;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::replacement::Replacement;

/// How often the daemon is asked how the trial goes.
const PACE: Duration = Duration::from_millis(250);
/// How long the daemon may be away, beyond the trial.
const GRACE: Duration = Duration::from_secs(15);

/// What came of it.
#[derive(Debug, Serialize)]
struct Applied {
    digest: String,
    #[serde(flatten)]
    outcome: ReloadOutcome,
}

/// A config to be tried.
struct Trial<'a> {
    digest: &'a str,
    candidate: String,
    limit: Duration,
}

/// Checks, tries where asked to, replaces the file, and tells what changed.
pub(crate) async fn run(client: &Client, args: &Apply, output: &Output) -> Result<(), Failure> {
    if !args.file.is_file() {
        let shown = args.file.display();
        return Err(Failure::usage(format!("`{shown}` is not a file: name the new config")));
    }
    let config = PathBuf::from(client.status().await?.config);
    let files = Files::read_for(&args.file, &config);
    checked(&files)?;
    let sources = files.sources().unwrap_or_default();
    let digest = sha256(sources.iter().map(|source| source.text.as_bytes()));
    let candidate = sources.first().map(|source| source.text.clone()).unwrap_or_default();
    // Whatever the disk or the rights refuse is found out before anything has changed.
    let file = Replacement::stage(&config, &candidate).map_err(|it| unwritten(&config, &it))?;
    let outcome = match args.confirm {
        Some(limit) => tried(client, file, Trial { digest: &digest, candidate, limit }).await?,
        None => replaced(client, file).await?,
    };
    output.either(&Applied { digest, outcome }, |applied| {
        format!("{} is in place and in force\n{}", config.display(), summary(&applied.outcome))
    })
}

/// Puts the file in place; where the daemon refuses it, the old one returns.
async fn replaced(client: &Client, file: Replacement) -> Result<ReloadOutcome, Failure> {
    let target = file.target().to_owned();
    let old = fs::read_to_string(&target).map_err(|error| unwritten(&target, &error))?;
    file.put_in_place().map_err(|error| unwritten(&target, &error))?;
    match client.reload().await {
        Ok(outcome) => Ok(outcome),
        Err(refusal @ ClientError::Problem(_)) => {
            Replacement::stage(&target, &old)
                .and_then(Replacement::put_in_place)
                .map_err(|error| unwritten(&target, &error))?;
            Err(refusal.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Has the daemon try the config, then puts the file in place.
async fn tried(
    client: &Client,
    file: Replacement,
    trial: Trial<'_>,
) -> Result<ReloadOutcome, Failure> {
    let Trial { digest, candidate, limit } = trial;
    let request = TrialRequest { candidate, confirm_seconds: limit.as_secs() };
    let outcome = client.try_config(&request).await?;
    all_returned(client, digest, limit).await?;
    let target = file.target().to_owned();
    let put = file.put_in_place();
    // Confirms the trial, or ends it where the file could not be put in place.
    let settled = client.reload().await;
    put.map_err(|error| unwritten(&target, &error))?;
    settled?;
    Ok(outcome)
}

/// Waits until every module that was connected before is so again.
async fn all_returned(client: &Client, digest: &str, limit: Duration) -> Result<(), Failure> {
    let deadline = Instant::now() + limit + GRACE;
    loop {
        match client.status().await {
            Ok(status) => match status.config_state {
                Some(ConfigState { digest: found, trial: Some(trial), .. }) if found == digest => {
                    if trial.awaited.is_empty() {
                        return Ok(());
                    }
                }
                other => return Err(taken_back(other.as_ref(), digest)),
            },
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            // It may be restarting: then it says what it started with.
            Err(_) => {}
        }
        sleep(PACE).await;
    }
}

/// Why the trial is over.
fn taken_back(state: Option<&ConfigState>, digest: &str) -> Failure {
    let refused = state.and_then(|state| state.refused.as_ref());
    let mut lines = match refused.filter(|refused| refused.digest.as_deref() == Some(digest)) {
        Some(refused) => refused.errors.clone(),
        None => vec!["the daemon was restarted or told to reload meanwhile".to_owned()],
    };
    lines.push("the config of before is in force, and its file is as it was".to_owned());
    Failure::new(Exit::Failed, lines)
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    let what = format!("cannot replace `{}`: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Failure::new(Exit::Forbidden, vec![format!("{what}; be root")])
        }
        _ => Failure::failed(what),
    }
}
