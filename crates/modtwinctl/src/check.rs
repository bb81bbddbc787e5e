//! `modtwinctl check`: what is wrong, from the config to the hub's answer, and what to mend first.
//!
//! Owns the order of the checks and what each may rely on; `catalogue` has their names, `findings`
//! what they have come to. Leaves judging to those who judge for the daemon: `modtwin-config` and
//! `modtwin-credentials`. Works beside a running daemon, which is then asked, and without one.

mod catalogue;
mod clock;
mod config;
mod credential;
mod daemon;
mod findings;
mod hub;
mod identity;
mod page;
mod person;
mod state;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use modtwin_api::limits::DEFAULT_SOCKET;
use modtwin_config::Config;
use modtwin_core::ids::ModuleId;
use modtwin_credentials::Loaded;
use serde::Serialize;

use crate::cli::diagnosis::Check as CheckArgs;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use catalogue::Check;
pub(crate) use catalogue::catalogue;
pub(crate) use credential::credentials_folder;
use daemon::Daemon;
use findings::{Finding, Findings, Outcome};
use person::Person;
pub(crate) use state::entries;

/// What was found, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The version of modtwinctl.
    version: &'static str,
    at: String,
    /// The worst that there is.
    result: Outcome,
    /// What to mend first.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<Finding>,
    checks: Vec<Finding>,
}

/// A module whose credential can be used.
struct Proof {
    module: ModuleId,
    loaded: Loaded,
}

/// What everything is judged by.
struct Scene<'a> {
    args: &'a CheckArgs,
    config: &'a Config,
    person: Option<Person>,
    daemon: &'a Daemon,
    now: SystemTime,
}

/// Checks everything and prints what was found.
pub(crate) async fn run(socket: &Path, args: &CheckArgs, output: &Output) -> Result<(), Failure> {
    let report = examine(socket, args).await;
    if output.is_json() {
        output.json(&report)?;
    } else {
        output.text(&page::page(&report, output.is_coloured()))?;
    }
    match report.exit() {
        Exit::Done => Ok(()),
        exit => Err(Failure::silent(exit)),
    }
}

/// Checks everything.
pub(crate) async fn examine(socket: &Path, args: &CheckArgs) -> Report {
    let now = SystemTime::now();
    let mut findings = Findings::default();
    let config = config::load(&args.config, &mut findings);
    let daemon = Daemon::ask(&daemon_socket(socket, config.as_ref()), args.timeout).await;
    let directory = config.as_ref().map(|config| config.state.directory.as_path());
    findings.note(Check::Clock, None, clock::judge(now, directory, daemon.status()));
    match &config {
        Some(config) => {
            let person = person::of_daemon(args, daemon.status());
            let scene = Scene { args, config, person, daemon: &daemon, now };
            judge(&scene, &mut findings).await;
        }
        None => without_config(&daemon, &mut findings),
    }
    Report::new(findings.sorted(), now)
}

/// The socket to ask: the config's, unless another is named.
pub(crate) fn daemon_socket(named: &Path, config: Option<&Config>) -> PathBuf {
    match config {
        Some(config) if named == Path::new(DEFAULT_SOCKET) => config.socket.path.clone(),
        _ => named.to_owned(),
    }
}

async fn judge(scene: &Scene<'_>, findings: &mut Findings) {
    findings.make(Check::ConfigAccounts, None, || config::accounts(scene.config));
    findings.make(Check::TrustedCa, None, || config::trusted_ca(scene.config));
    let modules = scene.config.modules.iter();
    let proofs: Vec<Proof> =
        modules.filter_map(|module| credential::judge(scene, module, findings)).collect();
    findings.make(Check::StateDirectory, None, || state::directory(scene));
    findings.make(Check::StateSpace, None, || state::space(&scene.config.state.directory));
    findings.note(Check::Socket, None, scene.daemon.socket_verdict());
    findings.make(Check::DaemonVersion, None, || scene.daemon.version());
    findings.make(Check::DaemonConfig, None, || scene.daemon.config(scene));
    findings.make(Check::DaemonStorage, None, || scene.daemon.storage());
    hub::judge(scene, &proofs, findings).await;
}

/// What can be said where the config can't be read.
fn without_config(daemon: &Daemon, findings: &mut Findings) {
    findings.note(Check::Socket, None, daemon.socket_verdict());
    findings.make(Check::DaemonVersion, None, || daemon.version());
    findings.make(Check::DaemonStorage, None, || daemon.storage());
    // The rest needs the config.
    for check in [
        Check::ConfigAccounts,
        Check::TrustedCa,
        Check::CredentialFiles,
        Check::StateDirectory,
        Check::DaemonConfig,
        Check::HubName,
    ] {
        let _skipped = findings.may(check, None);
    }
}

impl Report {
    fn new(checks: Vec<Finding>, now: SystemTime) -> Self {
        let first = findings::first(&checks).cloned();
        let result = first.as_ref().map_or(Outcome::Ok, |first| first.result);
        let at = modtwin_credentials::Date(now).to_string();
        Self { version: env!("CARGO_PKG_VERSION"), at, result, first, checks }
    }

    fn exit(&self) -> Exit {
        match &self.first {
            Some(Finding { check: Check::Config, result: Outcome::Failed, .. }) => Exit::Config,
            Some(Finding { result: Outcome::Failed, .. }) => Exit::Failed,
            _ => Exit::Done,
        }
    }
}
