//! The checked config: every value in it has been judged by itself and against the others.
//!
//! Leaves to others how it is read. All types compare, so that a reload is a pure difference.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use modtwin_core::document::Pointer;
use modtwin_core::ids::{DeviceId, ModuleId};

/// The most modules that one daemon serves.
pub const MAX_MODULES: usize = 20;

/// Everything that modtwind is told by its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The hub and how to reach it.
    pub hub: Hub,
    /// The local socket.
    pub socket: Socket,
    /// Where state is kept.
    pub state: State,
    /// What is said of credentials.
    pub credentials: Credentials,
    /// The module identities, in the order of the files. Invariant: at most [`MAX_MODULES`], no id
    /// twice. None at all is legal: the daemon then serves its socket and waits for a reload.
    pub modules: Vec<Module>,
}

/// The hub, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hub {
    /// The hub's own name, as user names and tokens carry it.
    pub hostname: String,
    /// The device whose modules these are.
    pub device_id: DeviceId,
    /// What MQTT runs over.
    pub transport: Transport,
    /// The TCP port; 8883 for MQTT and 443 for WebSockets where the files name none.
    pub port: u16,
    /// The gateway to dial and verify in the hub's place.
    pub gateway_hostname: Option<String>,
    /// A PEM file with the only authorities to trust; none means the system's.
    pub trusted_ca: Option<PathBuf>,
    /// MQTT's keep-alive, in whole seconds from 5 to 1177.
    pub keep_alive: Duration,
    /// The api-version that the user name carries.
    pub api_version: String,
    /// The base that every wait before a retry is a multiple of, 10 ms to 1 min.
    pub retry_delay: Duration,
    /// How long the tokens of symmetric keys are good, 10 s to a day.
    pub token_lifetime: Duration,
    /// How many twin reads and reports all modules together send in a second, in the long run; from
    /// 1 to 10,000.
    pub operations_per_second: u32,
}

impl Hub {
    /// The name to resolve, dial, put into SNI and verify: the gateway's where one is set.
    #[must_use]
    pub fn dial_name(&self) -> &str {
        self.gateway_hostname.as_deref().unwrap_or(&self.hostname)
    }
}

/// What MQTT runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TLS, port 8883.
    Mqtt,
    /// WebSockets over TLS, port 443.
    WebSocket,
}

/// The local socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// Where the socket is made. Invariant: at most 107 bytes, or no process could connect.
    pub path: PathBuf,
    /// The group whose members may ask for everything.
    pub admin_group: String,
}

/// Where state is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The folder that has one folder a module.
    pub directory: PathBuf,
}

/// What is said of credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// How long before a certificate's end the log warns of it.
    pub expiry_warnings: Vec<Duration>,
}

/// One module identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// The module's id in the hub's registry.
    pub id: ModuleId,
    /// How the module proves who it is.
    pub credential: Credential,
    /// Whether handlers' acknowledgements are written into the twin.
    pub acknowledge: Acknowledge,
    /// The Plug and Play model to announce, a DTMI.
    pub model_id: Option<String>,
    /// How long a direct method may take, 1 s to 5 min.
    pub method_timeout: Duration,
    /// The local processes that may use this module. Invariant: no name twice.
    pub handlers: Vec<Handler>,
}

/// How a module proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A certificate with `CN=<device>/<module>` and its key, PEM files.
    X509 {
        /// The certificate, followed by its intermediates.
        certificate: FileRef,
        /// The private key.
        private_key: FileRef,
        /// A file whose first line is the password of an encrypted private key.
        private_key_password_file: Option<FileRef>,
    },
    /// A file with the module's connection string.
    ConnectionStringFile(FileRef),
    /// A file with the module's symmetric key, base64.
    SharedAccessKeyFile(FileRef),
}

/// Whether handlers' acknowledgements are written into the twin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledge {
    /// They stay on the gateway.
    None,
    /// They are reported in the shape of the Plug and Play conventions (`ac`, `av`, `ad`).
    Pnp,
}

/// A local process that may use a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handler {
    /// The handler's name, unique in its module.
    pub name: String,
    /// Who the process must be.
    pub principal: Principal,
    /// Which desired properties it may see; the empty pointer is everything.
    pub watch: Vec<Pointer>,
    /// Which reported properties it may write; the empty pointer is everything.
    pub report: Vec<Pointer>,
    /// Which direct methods it answers.
    pub methods: Vec<String>,
    /// How long it may take to acknowledge a change; none means as long as it likes.
    pub ack_timeout: Option<Duration>,
}

/// Who a local process must be, as the kernel says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A system user's name.
    User(String),
    /// A system group's name.
    Group(String),
    /// A systemd unit's full name, such as `hvac.service`.
    Unit(String),
}

/// A file that the config names: by path, or by the name of a systemd credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileRef {
    /// A path, already joined to the folder of the file that names it.
    Path(PathBuf),
    /// `credential:NAME`: a file of the service's credentials folder (systemd.exec(5),
    /// `LoadCredential=`).
    Credential(String),
}

/// Why a [`FileRef`] names no file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileRefError {
    /// The service was given no credentials folder.
    #[error(
        "cannot find `credential:{name}`: $CREDENTIALS_DIRECTORY is not set; \
         add LoadCredential={name}:PATH to the unit"
    )]
    NoFolder {
        /// The credential's name.
        name: String,
    },
}

impl FileRef {
    /// The file's path; `credentials_directory` is what `$CREDENTIALS_DIRECTORY` says.
    ///
    /// # Errors
    ///
    /// [`FileRefError::NoFolder`] for a credential where there is no such folder.
    pub fn resolve(&self, credentials_directory: Option<&Path>) -> Result<PathBuf, FileRefError> {
        match (self, credentials_directory) {
            (Self::Path(path), _) => Ok(path.clone()),
            (Self::Credential(name), Some(folder)) => Ok(folder.join(name)),
            (Self::Credential(name), None) => Err(FileRefError::NoFolder { name: name.clone() }),
        }
    }
}

impl fmt::Display for FileRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Credential(name) => write!(f, "credential:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_in_the_services_folder() {
        let file = FileRef::Credential("module01.pem".to_owned());
        let folder = Path::new("/run/credentials/modtwind.service");
        assert_eq!(file.resolve(Some(folder)), Ok(folder.join("module01.pem")));
        let error = file.resolve(None).unwrap_err();
        assert_eq!(error, FileRefError::NoFolder { name: "module01.pem".to_owned() });
        assert_eq!(file.to_string(), "credential:module01.pem");
    }

    #[test]
    fn paths_need_no_folder() {
        let file = FileRef::Path(PathBuf::from("/etc/modtwin/a.pem"));
        assert_eq!(file.resolve(None), Ok(PathBuf::from("/etc/modtwin/a.pem")));
        assert_eq!(file.to_string(), "/etc/modtwin/a.pem");
    }
}
