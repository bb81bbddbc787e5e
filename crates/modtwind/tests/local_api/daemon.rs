//! The local API on a socket in a folder of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modtwin_core::governor::Policy;
use modtwin_session::governor::Governor;
use modtwind::local_api::{
    AdminCommand, ConfigState, Facts, InForce, Limits, LocalApi, Registry, Shared, socket,
};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::peer::{Answer, ask, get};

/// A group whose members may do everything.
pub(crate) const ADMIN_GROUP: u32 = 54_322;

/// A served socket in a folder of its own.
pub(crate) struct Daemon {
    folder: TempDir,
    pub(crate) registry: Option<watch::Sender<Arc<Registry>>>,
    pub(crate) commands: mpsc::Receiver<AdminCommand>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) served: JoinHandle<()>,
}

impl Daemon {
    pub(crate) async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub(crate) async fn start_with(limits: Limits) -> Self {
        Self::serving(registry(), limits).await
    }

    pub(crate) async fn serving(registry: Registry, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        open_to_all(folder.path());
        let bound = socket::bind(&folder.path().join("s"), socket::SOCKET_MODE).await.unwrap();
        let (registry, follow) = watch::channel(Arc::new(registry));
        let (admin, commands) = mpsc::channel(1);
        let api = LocalApi::with_limits(follow, admin, limits);
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move {
            let _guard = bound.guard;
            let stopped = async { stopped.await.unwrap_or_default() };
            api.serve(bound.listener, stopped).await;
        });
        Self { folder, registry: Some(registry), commands, stop: Some(stop), served }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    pub(crate) async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.path()).await.unwrap()
    }

    /// Sends `bytes` on a connection of its own and gives the first answer.
    pub(crate) async fn ask(&self, bytes: impl AsRef<[u8]>) -> Answer {
        ask(&mut self.connect().await, bytes).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(get(path)).await
    }
}

pub(crate) fn registry() -> Registry {
    Registry {
        modules: Vec::new(),
        problems: BTreeMap::from([("broken".to_owned(), vec!["no such file `x.pem`".to_owned()])]),
        admin_group: "modtwin".to_owned(),
        admin_gid: Some(ADMIN_GROUP),
        daemon_uid: nix::unistd::geteuid().as_raw(),
        facts: Arc::new(Facts {
            version: "1.2.3".to_owned(),
            pid: 7,
            started: SystemTime::UNIX_EPOCH,
            config_path: PathBuf::from("/etc/modtwin/modtwind.toml"),
            socket_path: PathBuf::from("/run/modtwin/modtwin.sock"),
            state_directory: PathBuf::from("/var/lib/modtwin"),
            hub_hostname: "contoso.azure-devices.net".to_owned(),
            device_id: "device01".to_owned(),
        }),
        config_state: ConfigState {
            in_force: InForce {
                digest: "sha256:0".to_owned(),
                version: None,
                since: SystemTime::UNIX_EPOCH,
                files: vec![PathBuf::from("/etc/modtwin/modtwind.toml")],
                report_module: None,
            },
            refused: None,
            trial: None,
        },
        shared: Shared {
            governor: Governor::new(Policy::boundless(Duration::from_secs(1)), 7),
            clock: modtwin_session::clock::trusted(),
            operations_per_second: 20,
        },
    }
}

pub(crate) fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}
