//! The sections that there is one of: `[hub]`, `[socket]`, `[state]` and `[credentials]`.
//!
//! Each is read from every file as it stands there, joined key by key, then finished with its
//! defaults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use modtwin_core::ids::DeviceId;

use crate::field::Field;
use crate::model::{Credentials, Hub, Socket, State, Transport};
use crate::place::Place;
use crate::problem::{Problem, ProblemKind};
use crate::read::Table;
use crate::values;

/// What one file says about the hub.
#[derive(Debug)]
pub(crate) struct RawHub {
    hostname: Field<String>,
    device_id: Field<DeviceId>,
    transport: Field<Transport>,
    port: Field<u16>,
    gateway_hostname: Field<String>,
    trusted_ca: Field<PathBuf>,
    keep_alive: Field<Duration>,
    api_version: Field<String>,
    retry_delay: Field<Duration>,
    token_lifetime: Field<Duration>,
    operation_rate: Field<u32>,
}

impl RawHub {
    pub(crate) const ABSENT: Self = Self {
        hostname: Field::Absent,
        device_id: Field::Absent,
        transport: Field::Absent,
        port: Field::Absent,
        gateway_hostname: Field::Absent,
        trusted_ca: Field::Absent,
        keep_alive: Field::Absent,
        api_version: Field::Absent,
        retry_delay: Field::Absent,
        token_lifetime: Field::Absent,
        operation_rate: Field::Absent,
    };

    /// Stands for a section that is no table: what it lacks is not worth a problem of its own.
    pub(crate) const BAD: Self =
        Self { hostname: Field::Bad, device_id: Field::Bad, ..Self::ABSENT };

    pub(crate) fn read(table: &Table<'_>, folder: &Path, problems: &mut Vec<Problem>) -> Self {
        table.refuse_unknown(problems);
        Self {
            hostname: table.text("hostname", problems, values::host),
            device_id: table.text("device-id", problems, values::device_id),
            transport: table.text("transport", problems, values::transport),
            port: table.port("port", problems),
            gateway_hostname: table.text("gateway-hostname", problems, values::host),
            trusted_ca: table.text("trusted-ca", problems, |text| values::path(folder, text)),
            keep_alive: table.text("keep-alive", problems, keep_alive),
            api_version: table.text("api-version", problems, values::api_version),
            retry_delay: table.duration("retry-delay", problems),
            token_lifetime: table.duration("token-lifetime", problems),
            operation_rate: table.text("operation-rate", problems, operation_rate),
        }
    }

    pub(crate) fn over(self, earlier: Self) -> Self {
        Self {
            hostname: self.hostname.over(earlier.hostname),
            device_id: self.device_id.over(earlier.device_id),
            transport: self.transport.over(earlier.transport),
            port: self.port.over(earlier.port),
            gateway_hostname: self.gateway_hostname.over(earlier.gateway_hostname),
            trusted_ca: self.trusted_ca.over(earlier.trusted_ca),
            keep_alive: self.keep_alive.over(earlier.keep_alive),
            api_version: self.api_version.over(earlier.api_version),
            retry_delay: self.retry_delay.over(earlier.retry_delay),
            token_lifetime: self.token_lifetime.over(earlier.token_lifetime),
            operation_rate: self.operation_rate.over(earlier.operation_rate),
        }
    }

    /// The problems of what no file says; `place` is where it could have been said.
    pub(crate) fn missing(&self, place: &Place<'_>) -> Vec<Problem> {
        let absent = [
            ("hub.hostname", self.hostname.is_absent()),
            ("hub.device-id", self.device_id.is_absent()),
        ];
        let missing = absent.into_iter().filter(|(_, absent)| *absent);
        missing
            .map(|(key, _)| {
                let place = Place { key: key.to_owned(), ..place.clone() };
                place.problem(ProblemKind::Missing, "missing, and has no default")
            })
            .collect()
    }

    /// The section with its defaults; none where a problem was noted.
    pub(crate) fn finish(self) -> Option<Hub> {
        let transport = self.transport.or_default("hub.transport", values::transport)?;
        // "Communicate with an IoT hub using the MQTT protocol": 8883, and 443 for WebSockets.
        let port = match transport {
            Transport::Mqtt => 8883,
            Transport::WebSocket => 443,
        };
        Some(Hub {
            hostname: self.hostname.optional()??,
            device_id: self.device_id.optional()??,
            transport,
            port: self.port.or_else(|| port)?,
            gateway_hostname: self.gateway_hostname.optional()?,
            trusted_ca: self.trusted_ca.optional()?,
            keep_alive: self.keep_alive.or_default(KEEP_ALIVE, keep_alive)?,
            api_version: self.api_version.or_default("hub.api-version", values::api_version)?,
            retry_delay: self
                .retry_delay
                .or_default(RETRY_DELAY, |text| values::duration(RETRY_DELAY, text))?,
            token_lifetime: self
                .token_lifetime
                .or_default(TOKEN_LIFETIME, |text| values::duration(TOKEN_LIFETIME, text))?,
            operations_per_second: self
                .operation_rate
                .or_default(OPERATION_RATE, operation_rate)?,
        })
    }
}

fn keep_alive(text: &str) -> Result<Duration, values::Fault> {
    values::whole_seconds(values::duration(KEEP_ALIVE, text)?, text)
}

fn operation_rate(text: &str) -> Result<u32, values::Fault> {
    values::rate(OPERATION_RATE, text)
}

const OPERATION_RATE: &str = "hub.operation-rate";
const KEEP_ALIVE: &str = "hub.keep-alive";
const RETRY_DELAY: &str = "hub.retry-delay";
const TOKEN_LIFETIME: &str = "hub.token-lifetime";

/// What one file says about the socket.
#[derive(Debug)]
pub(crate) struct RawSocket {
    path: Field<PathBuf>,
    admin_group: Field<String>,
}

impl RawSocket {
    pub(crate) const ABSENT: Self = Self { path: Field::Absent, admin_group: Field::Absent };

    pub(crate) fn read(table: &Table<'_>, folder: &Path, problems: &mut Vec<Problem>) -> Self {
        table.refuse_unknown(problems);
        Self {
            path: table.text("path", problems, |text| values::socket_path(folder, text)),
            admin_group: table.text("admin-group", problems, values::account),
        }
    }

    pub(crate) fn over(self, earlier: Self) -> Self {
        Self {
            path: self.path.over(earlier.path),
            admin_group: self.admin_group.over(earlier.admin_group),
        }
    }

    pub(crate) fn finish(self) -> Option<Socket> {
        let path = |text: &str| values::socket_path(Path::new(""), text);
        Some(Socket {
            path: self.path.or_default("socket.path", path)?,
            admin_group: self.admin_group.or_default("socket.admin-group", values::account)?,
        })
    }
}

/// What one file says about the state.
#[derive(Debug)]
pub(crate) struct RawState {
    directory: Field<PathBuf>,
}

impl RawState {
    pub(crate) const ABSENT: Self = Self { directory: Field::Absent };

    pub(crate) fn read(table: &Table<'_>, folder: &Path, problems: &mut Vec<Problem>) -> Self {
        table.refuse_unknown(problems);
        Self { directory: table.text("directory", problems, |text| values::path(folder, text)) }
    }

    pub(crate) fn over(self, earlier: Self) -> Self {
        Self { directory: self.directory.over(earlier.directory) }
    }

    pub(crate) fn finish(self) -> Option<State> {
        let path = |text: &str| values::path(Path::new(""), text);
        Some(State { directory: self.directory.or_default("state.directory", path)? })
    }
}

/// What one file says about credentials.
#[derive(Debug)]
pub(crate) struct RawCredentials {
    expiry_warnings: Field<Vec<Duration>>,
}

impl RawCredentials {
    pub(crate) const ABSENT: Self = Self { expiry_warnings: Field::Absent };

    pub(crate) fn read(table: &Table<'_>, problems: &mut Vec<Problem>) -> Self {
        table.refuse_unknown(problems);
        let parse = |text: &str| values::duration(EXPIRY_WARNINGS, text);
        Self { expiry_warnings: table.texts("expiry-warnings", problems, parse) }
    }

    pub(crate) fn over(self, earlier: Self) -> Self {
        Self { expiry_warnings: self.expiry_warnings.over(earlier.expiry_warnings) }
    }

    pub(crate) fn finish(self) -> Option<Credentials> {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let usual = || vec![days(30), days(7), days(1)];
        Some(Credentials { expiry_warnings: self.expiry_warnings.or_else(usual)? })
    }
}

const EXPIRY_WARNINGS: &str = "credentials.expiry-warnings";
