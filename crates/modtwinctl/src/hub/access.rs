//! Where the hub's service side is, and what proves the caller's rights there.
//!
//! Owns the choice between the command line, a file, the environment and an emulator's folder. No
//! error repeats the connection string.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use modtwin_credentials::{ConnectionString, SharedKey};
use serde::Deserialize;

use crate::cli::hub::HubAccess;
use crate::failure::{Failure, chain};

/// HTTPS.
const DEFAULT_PORT: u16 = 443;

/// Where the environment names a hub.
const STRING_VARIABLE: &str = "IOTHUB_CONNECTION_STRING";
const EMULATOR_VARIABLE: &str = "IOTHUB_EMULATOR";

/// How to reach the hub's service side.
#[derive(Debug)]
pub(crate) struct Access {
    /// The hub's own name: in SNI, in tokens, in connection strings.
    pub(crate) host: String,
    /// Where to connect to, if not where the name leads.
    pub(crate) address: Option<IpAddr>,
    /// The TCP port.
    pub(crate) port: u16,
    /// Whom to trust; the system's authorities where nothing is named.
    pub(crate) trusted_ca: Option<PathBuf>,
    /// The name of the shared access policy.
    pub(crate) policy: String,
    /// Its key.
    pub(crate) key: SharedKey,
}

/// What a running emulator says of itself.
#[derive(Deserialize)]
struct EmulatorFacts {
    listen: IpAddr,
    https_port: u16,
    ca: PathBuf,
    service_connection_string: String,
}

impl Access {
    /// Finds out from the arguments, and from the environment where they say nothing.
    pub(crate) fn find(args: &HubAccess) -> Result<Self, Failure> {
        let HubAccess { connection_string, connection_string_file, emulator, .. } = args;
        match (connection_string, connection_string_file, emulator) {
            (Some(text), None, None) => Self::parse(&text.0, args),
            (None, Some(file), None) => Self::parse(&read(file)?, args),
            (None, None, Some(place)) => Self::emulator(place, args),
            (None, None, None) => Self::from_environment(args),
            _ => Err(Failure::usage(
                "--connection-string, --connection-string-file and --emulator exclude each other",
            )),
        }
    }

    fn from_environment(args: &HubAccess) -> Result<Self, Failure> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        match (set(STRING_VARIABLE), set(EMULATOR_VARIABLE)) {
            (Some(text), None) => Self::parse(&text.to_string_lossy(), args),
            (None, Some(place)) => Self::emulator(Path::new(&place), args),
            (Some(_), Some(_)) => Err(Failure::usage(format!(
                "{STRING_VARIABLE} and {EMULATOR_VARIABLE} are both set: unset one"
            ))),
            (None, None) => Err(Failure::usage(format!(
                "no hub: give --connection-string-file or set {STRING_VARIABLE}, or name an \
                 emulator's folder with --emulator or {EMULATOR_VARIABLE}"
            ))),
        }
    }

    fn parse(text: &str, args: &HubAccess) -> Result<Self, Failure> {
        let unusable = |error| {
            let next = "expected HostName=…;SharedAccessKeyName=…;SharedAccessKey=…, the \
                        connection string of a shared access policy";
            Failure::usage(format!("the service connection string: {}; {next}", chain(&error)))
        };
        let parsed = ConnectionString::parse(text).map_err(unusable)?;
        let (host, policy, key) = parsed.service().map_err(unusable)?;
        let (host, port) = match host.rsplit_once(':') {
            None => (host, None),
            Some((host, port)) => match port.parse() {
                Ok(port) => (host, Some(port)),
                Err(_) => {
                    let text = "HostName in the service connection string: expected a port after \
                                the colon";
                    return Err(Failure::usage(text));
                }
            },
        };
        Ok(Self {
            host: host.to_owned(),
            address: None,
            port: args.port.or(port).unwrap_or(DEFAULT_PORT),
            trusted_ca: args.ca.clone(),
            policy: policy.to_owned(),
            key: key.clone(),
        })
    }

    fn emulator(place: &Path, args: &HubAccess) -> Result<Self, Failure> {
        let path = if place.is_dir() { place.join("emulator.json") } else { place.to_owned() };
        let shown = path.display();
        let text = fs::read_to_string(&path).map_err(|error| {
            let next = "expected the folder of a running emulator: iothub-emulator --dir DIR";
            Failure::failed(format!("cannot read `{shown}`: {error}; {next}"))
        })?;
        // The error of serde_json shows a place and no content.
        let facts: EmulatorFacts = serde_json::from_str(&text)
            .map_err(|error| Failure::failed(format!("cannot use `{shown}`: {error}")))?;
        let found = Self::parse(&facts.service_connection_string, args)?;
        Ok(Self {
            address: (!facts.listen.is_unspecified()).then_some(facts.listen),
            port: args.port.unwrap_or(facts.https_port),
            trusted_ca: args.ca.clone().or(Some(facts.ca)),
            ..found
        })
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file)
        .map_err(|error| Failure::failed(format!("cannot read `{}`: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::hub::Hidden;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn from(text: &str) -> HubAccess {
        HubAccess {
            connection_string: Some(Hidden(text.to_owned())),
            connection_string_file: None,
            emulator: None,
            ca: None,
            port: None,
        }
    }

    #[test]
    fn the_port_is_443_that_of_the_host_or_the_one_given() {
        let text = |host: &str| {
            format!("HostName={host};SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}")
        };
        let found = |args: HubAccess| Access::find(&args).map(|found| (found.host, found.port));
        assert_eq!(found(from(&text("h.example"))).unwrap(), ("h.example".to_owned(), 443));
        assert_eq!(found(from(&text("localhost:8443"))).unwrap(), ("localhost".to_owned(), 8443));
        let args = HubAccess { port: Some(1), ..from(&text("localhost:8443")) };
        assert_eq!(found(args).unwrap().1, 1);
        assert!(found(from(&text("localhost:x"))).is_err());
    }

    #[test]
    fn what_is_no_service_string_is_refused_and_never_repeated() {
        for bad in [
            "s3cret",
            "HostName=h;SharedAccessKeyName=n;SharedAccessKey=s3cret",
            &format!("HostName=h;DeviceId=d;SharedAccessKey={KEY}"),
        ] {
            let failure = Access::find(&from(bad)).unwrap_err();
            let text = failure.lines().join(" ");
            assert_eq!(failure.exit().code(), 64, "{text}");
            assert!(text.contains("expected HostName="), "{text}");
            assert!(!text.contains("s3cret") && !text.contains(KEY), "{text}");
        }
        assert!(!format!("{:?}", from("s3cret")).contains("s3cret"));
    }
}
