//! Which config is in force, and what became of the newest one that is not.
//!
//! Owns the facts for status and for the cloud. Leaves reading, judging and applying configs to the
//! supervisor.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use modtwin_api::RefusedReason;
use modtwin_config::{Config, Files, Problems, config_files};
use modtwin_core::ids::ModuleId;
use modtwin_credentials::sha256;

/// How many errors of a refused config are kept.
const ERRORS: usize = 20;

/// Which config is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigState {
    /// The one in force.
    pub in_force: InForce,
    /// The newest one, where it is not in force.
    pub refused: Option<Refused>,
    /// The trial that the one in force is on.
    pub trial: Option<OnTrial>,
}

/// The config in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// The digest of its files.
    pub digest: String,
    /// What it calls itself.
    pub version: Option<String>,
    /// Since when it is in force.
    pub since: SystemTime,
    /// Its files.
    pub files: Vec<PathBuf>,
    /// The module that reports it.
    pub report_module: Option<ModuleId>,
}

/// A config that is not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The digest of its files; none where one can't be read.
    pub digest: Option<String>,
    /// What sort of reason there is.
    pub reason: RefusedReason,
    /// What is wrong; of very many errors the first.
    pub errors: Vec<String>,
    /// When it was refused.
    pub since: SystemTime,
}

/// A trial as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnTrial {
    /// When the config before returns.
    pub until: SystemTime,
    /// The modules that were connected before.
    pub awaited: Vec<ModuleId>,
    /// Those of them whose session is only about to begin anew.
    pub restarting: Vec<ModuleId>,
}

impl ConfigState {
    /// The state after `config` was read from `files`.
    pub(crate) fn new(files: &Files, config: &Config, path: &Path, now: SystemTime) -> Self {
        Self { in_force: InForce::new(files, config, path, now), refused: None, trial: None }
    }
}

impl InForce {
    /// `config`, read from the `files` of the config at `path`.
    pub(crate) fn new(files: &Files, config: &Config, path: &Path, now: SystemTime) -> Self {
        let paths = files.sources().map_or_else(
            || config_files(path),
            |sources| sources.iter().map(|source| source.path.clone()).collect(),
        );
        Self {
            digest: digest(files).unwrap_or_default(),
            version: config.fleet.version.clone(),
            since: now,
            files: paths,
            report_module: config.fleet.report_module.clone(),
        }
    }
}

impl Refused {
    /// `files` that do not check.
    pub(crate) fn invalid(files: &Files, problems: &Problems, now: SystemTime) -> Self {
        let mut errors: Vec<String> =
            problems.iter().take(ERRORS).map(ToString::to_string).collect();
        match problems.count().saturating_sub(ERRORS) {
            0 => {}
            more => errors.push(format!("and {more} more")),
        }
        Self { digest: digest(files), reason: RefusedReason::Invalid, errors, since: now }
    }
}

impl Refused {
    /// Whether it was refused for the same, whenever that was.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (&self.digest, self.reason, &self.errors) == (&other.digest, other.reason, &other.errors)
    }
}

/// The digest of all files together, none where one can't be read.
pub(crate) fn digest(files: &Files) -> Option<String> {
    Some(sha256(files.sources()?.iter().map(|source| source.text.as_bytes())))
}
