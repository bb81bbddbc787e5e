//! What the daemon says, or why it says nothing.

use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;

use modtwin_api::{ConfigState, ProblemKind, RefusedConfig, RefusedReason, Status};
use modtwin_client::{Client, ClientError};
use modtwin_config::Files;
use modtwin_credentials::sha256;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Scene;
use super::findings::Verdict;
use crate::failure::explained;
use crate::words::names;

/// How many errors of a refused config are spelled out.
const ERRORS: usize = 3;

/// What came of asking the daemon for its status.
#[derive(Debug)]
pub(super) enum Daemon {
    /// It answered.
    Runs(Box<Status>),
    /// Nobody has the socket open.
    Absent(Verdict),
    /// Perhaps it runs, and this user can't know.
    Unclear(Verdict),
}

impl Daemon {
    /// Asks at the socket. Where systemd owns it, that starts the daemon.
    pub(super) async fn ask(socket: &Path, limit: Duration) -> Self {
        let client = Client::new(socket);
        let Ok(answer) = timeout(limit, client.status()).await else {
            let shown = socket.display();
            let seconds = limit.as_secs_f32();
            return Self::Unclear(
                Verdict::failed(format!("no answer at `{shown}` within {seconds} s"))
                    .next("look at its log: journalctl -u modtwind"),
            );
        };
        let error = match answer {
            Ok(status) => return Self::Runs(Box::new(status)),
            Err(error) => error,
        };
        let (text, next) = explained(&error);
        let failed = || match next {
            Some(next) => Verdict::failed(&text).next(next),
            None => Verdict::failed(&text),
        };
        match &error {
            ClientError::Unreachable { source, .. } => match source.kind() {
                ErrorKind::NotFound => Self::Absent(
                    Verdict::warning(format!("no daemon runs: there is no `{}`", socket.display()))
                        .next(
                            "start it: systemctl start modtwind; or name its socket with --socket",
                        ),
                ),
                ErrorKind::ConnectionRefused => Self::Absent(refused(socket)),
                _ => Self::Unclear(failed()),
            },
            ClientError::Problem(problem) if problem.kind == ProblemKind::Forbidden => {
                let text = format!("the daemon answers, and not to this user: {text}");
                Self::Unclear(Verdict::warning(text).next("run as root or as an administrator"))
            }
            _ => Self::Unclear(failed()),
        }
    }

    /// The daemon's status, where it told.
    pub(super) fn status(&self) -> Option<&Status> {
        match self {
            Self::Runs(status) => Some(status),
            Self::Absent(_) | Self::Unclear(_) => None,
        }
    }

    pub(super) fn socket_verdict(&self) -> Verdict {
        match self {
            Self::Runs(status) => Verdict::ok(format!("modtwind answers, process {}", status.pid)),
            Self::Absent(verdict) | Self::Unclear(verdict) => verdict.clone(),
        }
    }

    fn unasked(&self) -> Verdict {
        Verdict::skipped(match self {
            Self::Absent(_) => "no daemon runs",
            Self::Runs(_) | Self::Unclear(_) => "the daemon could not be asked",
        })
    }

    /// Whether both programs are of one version.
    pub(super) fn version(&self) -> Verdict {
        let Some(status) = self.status() else {
            return self.unasked();
        };
        let (own, daemon) = (env!("CARGO_PKG_VERSION"), &status.version);
        if own == daemon {
            return Verdict::ok(format!("both are {own}"));
        }
        Verdict::warning(format!("modtwinctl is {own}, the daemon that runs is {daemon}"))
            .next("restart it after an upgrade: systemctl restart modtwind")
    }

    /// Whether it runs with these files.
    pub(super) fn config(&self, scene: &Scene<'_>) -> Verdict {
        let Some(status) = self.status() else {
            return self.unasked();
        };
        let same = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (its, ours) = (Path::new(&status.config), scene.args.config.as_path());
        if its.is_absolute() && same(its) != same(ours) {
            let (its, ours) = (its.display(), ours.display());
            return Verdict::warning(format!("the daemon runs with `{its}`, this is `{ours}`"))
                .next(format!("check that one: modtwinctl check --config {its}"));
        }
        let digest = digest(ours);
        let state = status.config_state.as_ref();
        if let Some(verdict) = state.and_then(|state| not_in_force(state, digest.as_deref())) {
            return verdict;
        }
        let others = || state.and_then(|state| others(state, digest.as_deref()));
        match differences(status, scene).or_else(others) {
            None => Verdict::ok("it runs with these files"),
            Some(what) => Verdict::warning(format!("it does not run with these files yet: {what}"))
                .next("have it read them: modtwinctl reload"),
        }
    }

    /// Whether it could write.
    pub(super) fn storage(&self) -> Verdict {
        let Some(status) = self.status() else {
            return self.unasked();
        };
        let storage = &status.storage;
        match (&storage.problem, storage.writable) {
            (None, true) => Verdict::ok("the last write went well"),
            (problem, _) => {
                let problem = problem.as_deref().unwrap_or("it can't be written");
                Verdict::failed(format!("{}: {problem}", storage.directory))
                    .next("free space or mend its rights; until then no report is accepted")
            }
        }
    }
}

/// Says whether anybody has that socket open.
pub(super) async fn is_alive(socket: &Path) -> bool {
    match UnixStream::connect(socket).await {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused),
    }
}

/// A file that nobody listens at.
fn refused(socket: &Path) -> Verdict {
    let shown = socket.display();
    let is_socket = socket.metadata().is_ok_and(|metadata| metadata.file_type().is_socket());
    if !is_socket {
        return Verdict::failed(format!("`{shown}` is no socket"))
            .next("name the daemon's socket with --socket, or correct [socket] path");
    }
    Verdict::failed(format!("nobody listens at `{shown}`: the daemon that made it has ended")).next(
        "see why in its log (journalctl -u modtwind), then start it: it takes the socket over",
    )
}

/// The digest of the files as they are now, as the daemon makes it; none where one can't be read.
fn digest(config: &Path) -> Option<String> {
    let files = Files::read(config);
    Some(sha256(files.sources()?.iter().map(|source| source.text.as_bytes())))
}

/// What is to be said of a config that the daemon has refused, or tries.
fn not_in_force(state: &ConfigState, digest: Option<&str>) -> Option<Verdict> {
    if let Some(trial) = &state.trial {
        let until = trial.until;
        let text = format!("it tries another config until {until}: these files return then");
        let next = "modtwinctl apply confirms it by putting it in their place";
        return Some(Verdict::warning(text).next(next));
    }
    let refused = state.refused.as_ref()?;
    match refused.reason {
        RefusedReason::RolledBack => Some(
            Verdict::warning(format!("the newest config was rolled back: {}", errors(refused)))
                .next("mend it and apply it again"),
        ),
        // Files that were mended since are another matter.
        _ if refused.digest.is_some() && refused.digest.as_deref() != digest => None,
        RefusedReason::Invalid | RefusedReason::Unknown => Some(
            Verdict::failed(format!(
                "it refuses these files, the config before is in force: {}",
                errors(refused)
            ))
            .next("mend them: the daemon reads them again by itself"),
        ),
    }
}

/// The first errors of a config, and how many more there are.
fn errors(refused: &RefusedConfig) -> String {
    let shown = refused.errors.iter().take(ERRORS).cloned().collect::<Vec<_>>().join("; ");
    match refused.errors.len().saturating_sub(ERRORS) {
        0 => shown,
        more => format!("{shown} (and {more} more)"),
    }
}

/// That the files are others than those that are in force.
fn others(state: &ConfigState, digest: Option<&str>) -> Option<String> {
    let is_same = digest.is_none_or(|digest| digest == state.digest);
    (!is_same).then(|| format!("they differ from what is in force since {}", state.loaded))
}

/// What the daemon serves otherwise than the files say.
fn differences(status: &Status, scene: &Scene<'_>) -> Option<String> {
    let config = scene.config;
    if status.hub_hostname != config.hub.hostname {
        return Some(format!("its hub is {}", status.hub_hostname));
    }
    if status.device_id != config.hub.device_id.as_str() {
        return Some(format!("its device is {}", status.device_id));
    }
    let written = |id: &str| config.modules.iter().any(|module| module.id.as_str() == id);
    let runs = |id: &str| status.modules.iter().any(|module| module.module == id);
    let ids = status.modules.iter().map(|module| module.module.clone());
    let gone: Vec<String> = ids.filter(|id| !written(id)).collect();
    let ids = config.modules.iter().map(|module| module.id.to_string());
    let new: Vec<String> = ids.filter(|id| !runs(id)).collect();
    match (new.is_empty(), gone.is_empty()) {
        (true, true) => None,
        (false, _) => Some(format!("it does not serve {}", names(&new))),
        (true, false) => Some(format!("it still serves {}", names(&gone))),
    }
}
