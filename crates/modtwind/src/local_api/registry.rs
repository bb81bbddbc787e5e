//! What the local API serves: one immutable value, replaced whole whenever it changes.
//!
//! Leaves to others how it comes about: the supervisor builds one at the start and after every
//! reload, and publishes it through a `watch` channel.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modtwin_api::{LogLevel, LogLevelStatus, ReloadOutcome};
use modtwin_config::Module;
use modtwin_core::ids::ModuleId;
use modtwin_session::clock::ClockReceiver;
use modtwin_session::governor::Governor;
use modtwin_session::handle::ModuleHandle;
use tokio::sync::{oneshot, watch};

use crate::config_state::ConfigState;
#[cfg(test)]
use crate::config_state::InForce;

/// What the local API serves, and to whom.
#[derive(Debug, Clone)]
pub struct Registry {
    /// The modules that have a session, in the order of the config. A module whose session is
    /// being restarted stays in, with the handle of the old session until there is a new one.
    pub modules: Vec<Entry>,
    /// What is wrong with modules, by the name that the config gives them; a name may be one that
    /// has no session at all.
    pub problems: BTreeMap<String, Vec<String>>,
    /// The name of the group whose members may do everything.
    pub admin_group: String,
    /// That group's number; none where the system has no such group.
    pub admin_gid: Option<u32>,
    /// The user that the daemon runs as, who may do everything too.
    pub daemon_uid: u32,
    /// What does not change while the daemon runs.
    pub facts: Arc<Facts>,
    /// Which config is in force.
    pub config_state: ConfigState,
    /// What all sessions share.
    pub shared: Shared,
}

/// What all sessions share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The budget of connects and operations.
    pub governor: Governor,
    /// Whether the wall clock can be right.
    pub clock: ClockReceiver,
    /// How many operations a second the config allows.
    pub operations_per_second: u32,
}

impl Registry {
    /// The module of that name, where it has a session.
    #[must_use]
    pub fn entry(&self, module: &ModuleId) -> Option<&Entry> {
        self.modules.iter().find(|entry| entry.handle.module() == module)
    }
}

/// One module that has a session.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The session.
    pub handle: ModuleHandle,
    /// The module as configured; its handlers are the rules of who may use it.
    pub config: Arc<Module>,
    /// What an operator should know of its credential, in words, such as a renewal that is due.
    pub credential_warnings: watch::Receiver<Vec<String>>,
}

/// What does not change while the daemon runs, for `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The daemon's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it began.
    pub started: SystemTime,
    /// The config file it was started with.
    pub config_path: PathBuf,
    /// Where its socket is.
    pub socket_path: PathBuf,
    /// Where state is kept.
    pub state_directory: PathBuf,
    /// The hub's own name.
    pub hub_hostname: String,
    /// The device whose modules these are.
    pub device_id: String,
}

/// What a reload came to.
pub type ReloadReply = Result<ReloadOutcome, ReloadRefusal>;

/// Why another config is not in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadRefusal {
    /// It does not check; every error that keeps the old one.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
    /// One is on trial already.
    #[error("a config is on trial already")]
    Busy,
}

/// What an administrator asks of the daemon itself.
#[derive(Debug)]
pub enum AdminCommand {
    /// Reads the config again.
    Reload {
        /// Takes the outcome; dropping it unused counts as a defect.
        reply: oneshot::Sender<ReloadReply>,
    },
    /// Says which level the log has, and changes it before that where it is asked to.
    LogLevel {
        /// The level, and for how long.
        change: Option<(LogLevel, Duration)>,
        /// Takes what is in force then; dropping it unused counts as a defect.
        reply: oneshot::Sender<LogLevelStatus>,
    },
    /// Puts a config on trial.
    Try {
        /// What its first file says.
        candidate: String,
        /// How long the trial lasts.
        limit: Duration,
        /// Takes the outcome; dropping it unused counts as a defect.
        reply: oneshot::Sender<ReloadReply>,
    },
}

#[cfg(test)]
impl Shared {
    /// A budget that holds nobody up and a clock that nobody doubts.
    pub(crate) fn scripted() -> Self {
        let policy = modtwin_core::governor::Policy::boundless(Duration::from_secs(1));
        Self {
            governor: Governor::new(policy, 7),
            clock: modtwin_session::clock::trusted(),
            operations_per_second: 20,
        }
    }
}

#[cfg(test)]
impl Registry {
    /// A registry without modules, of a daemon that runs as user 990 with admin group 991.
    pub(crate) fn scripted() -> Self {
        let path = PathBuf::from("/run/modtwin/test");
        Self {
            modules: Vec::new(),
            problems: BTreeMap::new(),
            admin_group: "modtwin".to_owned(),
            admin_gid: Some(991),
            daemon_uid: 990,
            facts: Arc::new(Facts {
                version: "1.2.3".to_owned(),
                pid: 7,
                started: SystemTime::UNIX_EPOCH,
                config_path: path.clone(),
                socket_path: path.clone(),
                state_directory: path,
                hub_hostname: "contoso.azure-devices.net".to_owned(),
                device_id: "device01".to_owned(),
            }),
            config_state: ConfigState {
                in_force: InForce {
                    digest: "sha256:0".to_owned(),
                    version: None,
                    since: SystemTime::UNIX_EPOCH,
                    files: Vec::new(),
                    report_module: None,
                },
                refused: None,
                trial: None,
            },
            shared: Shared::scripted(),
        }
    }
}
