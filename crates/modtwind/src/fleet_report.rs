//! Tells the cloud which config is in force: `[fleet] report-module`.
//!
//! Owns what is reported under [`KEY`] and when. Leaves getting it to the hub to that module's
//! session, whose outbox keeps it across outages and restarts.

use std::sync::Arc;
use std::time::Duration;

use modtwin_api::Timestamp;
use modtwin_core::document::Document;
use modtwin_session::handle::{ModuleHandle, ReportError};
use modtwin_session::view::ModuleView;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::warn;

use crate::config_state::ConfigState;
use crate::local_api::Registry;

/// The reported property that is the daemon's.
const KEY: &str = "modtwin";
/// How long to wait before what could not be stored is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// How many errors are reported.
const ERRORS: usize = 5;
/// How long each of them is, in characters: with four bytes each far below what a string may have.
const ERROR_LENGTH: usize = 240;

/// Reports each change of the config's state, until whoever publishes the registry has gone.
pub(crate) async fn run(mut registry: watch::Receiver<Arc<Registry>>) {
    let mut told = None;
    loop {
        let now = Arc::clone(&registry.borrow_and_update());
        let failure = say(&now).await.err();
        // What lasts is said once.
        if let Some(failure) = failure.as_ref().filter(|failure| told.as_ref() != Some(*failure)) {
            warn!(%failure, "the config's state is not reported");
        }
        // A report that breaks the rules of twins would break them again.
        let again =
            failure.as_ref().is_some_and(|it| !matches!(it, ReportError::InvalidTwin { .. }));
        let wait = if again { RETRY } else { Duration::MAX };
        // After that long, or early, the next round looks at all of it.
        if let Ok(Err(_gone)) = timeout(wait, registry.changed()).await {
            return;
        }
        told = failure;
    }
}

/// Reports the state where the module's twin says otherwise.
async fn say(registry: &Registry) -> Result<(), ReportError> {
    let state = &registry.config_state;
    // A trial's end is what counts.
    let Some(module) = state.in_force.report_module.as_ref().filter(|_| state.trial.is_none())
    else {
        return Ok(());
    };
    let entry = registry.entry(module).ok_or_else(|| ReportError::Stopping(module.clone()))?;
    let wanted = report(state);
    if is_told(&entry.handle.view(), &wanted) {
        return Ok(());
    }
    store(&entry.handle, wanted).await
}

async fn store(handle: &ModuleHandle, config: Document) -> Result<(), ReportError> {
    let mut patch = Document::new();
    patch.insert(KEY.to_owned(), json!({ "config": config }));
    let stopping = |_gone| ReportError::Stopping(handle.module().clone());
    handle.report(patch).await?.stored.await.map_err(stopping)?.map(|_sequence| ())
}

/// The state as a merge patch of what was reported before; null takes away.
fn report(state: &ConfigState) -> Document {
    let refused = state.refused.as_ref();
    let errors = refused.map(|refused| {
        let errors = refused.errors.iter().take(ERRORS);
        errors.map(|error| shortened(error).into()).collect::<Vec<Value>>()
    });
    let at = Timestamp::from(refused.map_or(state.in_force.since, |refused| refused.since));
    let members = [
        ("digest", json!(state.in_force.digest)),
        ("version", json!(state.in_force.version)),
        ("status", if refused.is_some() { "rejected" } else { "applied" }.into()),
        ("errors", json!(errors)),
        ("rejected_digest", json!(refused.and_then(|refused| refused.digest.as_deref()))),
        ("at", json!(at)),
    ];
    members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// One line, and not a long one.
fn shortened(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = line.take(ERROR_LENGTH + 1).collect();
    if let Some((end, _)) = line.char_indices().nth(ERROR_LENGTH) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Whether the module's twin, with all that waits for the hub, says `wanted` already. When is not
/// compared: a restart is no news.
fn is_told(view: &ModuleView, wanted: &Document) -> bool {
    let pending = |key: &str| view.pending.get(KEY)?.get("config")?.get(key);
    let reported = |key: &str| view.reported.as_ref()?.document.get(KEY)?.get("config")?.get(key);
    let said = |key: &str| pending(key).or_else(|| reported(key)).unwrap_or(&Value::Null);
    wanted.iter().filter(|(key, _)| *key != "at").all(|(key, value)| said(key) == value)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use modtwin_api::RefusedReason;
    use modtwin_core::limits::{check_patch, size};

    use super::*;
    use crate::config_state::{InForce, Refused};

    #[test]
    fn whatever_is_wrong_the_report_is_small_and_keeps_the_rules_of_twins() {
        let error = "a.toml:1: expected \u{1}\nsomething else, found 🦀".repeat(100);
        let state = ConfigState {
            in_force: InForce {
                digest: "sha256:0".to_owned(),
                version: Some("7".to_owned()),
                since: SystemTime::UNIX_EPOCH,
                files: Vec::new(),
                report_module: None,
            },
            refused: Some(Refused {
                digest: None,
                reason: RefusedReason::Invalid,
                errors: vec![error; 30],
                since: SystemTime::UNIX_EPOCH,
            }),
            trial: None,
        };
        let report = report(&state);
        check_patch(&report).unwrap();
        assert!(size(&report) < 5 * 1024, "{}", size(&report));
        assert_eq!(report["errors"].as_array().unwrap().len(), ERRORS);
        assert_eq!(report["errors"][0].as_str().unwrap().chars().count(), ERROR_LENGTH + 1);
        assert!(!report["errors"][0].as_str().unwrap().contains(char::is_control));
    }
}
