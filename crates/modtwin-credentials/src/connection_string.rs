//! Connection strings of modules and of the hub's service side.
//!
//! Errors name keys and never repeat values of secrets.

use modtwin_core::ids::{DeviceId, ModuleId};

use crate::shared_access::{KeyError, SharedKey};

/// Why a connection string cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionStringError {
    /// A part has no `=`.
    #[error("expected `key=value` parts with `;` between them, part {position} has no `=`")]
    NoValue {
        /// The part, counted from 1.
        position: usize,
    },
    /// A key that connection strings do not have.
    #[error(
        "unknown key `{key}`; known are HostName, DeviceId, ModuleId, SharedAccessKey, \
         SharedAccessKeyName, SharedAccessSignature, GatewayHostName and x509"
    )]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A key that is there twice.
    #[error("the key `{key}` is there twice")]
    Repeated {
        /// The key.
        key: &'static str,
    },
    /// A key that must be there.
    #[error("the key `{key}` is missing")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A device's string where a module's is needed.
    #[error(
        "the key `ModuleId` is missing: this is the device's connection string, \
         copy that of the module"
    )]
    Device,
    /// A string of the hub's service side where a module's is needed.
    #[error(
        "this is a connection string of the hub's service side (`SharedAccessKeyName`), \
         which must not be on a gateway; copy that of the module"
    )]
    Service,
    /// A string that says the module has a certificate.
    #[error("the string says `x509`: set certificate and private-key instead")]
    X509,
    /// A string with a finished token in place of the key.
    #[error("the string has a `SharedAccessSignature`, which cannot be renewed; it needs the key")]
    Token,
    /// A string that names a gateway.
    #[error("the string has a `GatewayHostName`: set hub.gateway-hostname and take it out here")]
    Gateway,
    /// A string of another identity or hub.
    #[error("the key `{key}`: expected `{expected}`, found `{found}`")]
    Mismatch {
        /// The key.
        key: &'static str,
        /// What the config says.
        expected: String,
        /// What the string says.
        found: String,
    },
    /// The symmetric key is none.
    #[error("the key `SharedAccessKey` has no usable value")]
    Key(#[source] KeyError),
}

const HOST_NAME: &str = "HostName";
const DEVICE_ID: &str = "DeviceId";
const MODULE_ID: &str = "ModuleId";
const SHARED_ACCESS_KEY: &str = "SharedAccessKey";
const SHARED_ACCESS_KEY_NAME: &str = "SharedAccessKeyName";
const SHARED_ACCESS_SIGNATURE: &str = "SharedAccessSignature";
const GATEWAY_HOST_NAME: &str = "GatewayHostName";
const X509: &str = "x509";

/// A connection string, split and not yet judged for a purpose.
///
/// Its `Debug` shows no secret.
#[derive(Debug, Clone, Default)]
pub struct ConnectionString {
    host_name: Option<String>,
    device_id: Option<String>,
    module_id: Option<String>,
    key: Option<SharedKey>,
    key_name: Option<String>,
    has_signature: bool,
    has_gateway: bool,
    has_x509: bool,
}

impl ConnectionString {
    /// Splits a connection string at `;`, and each part at its first `=`: keys end in `=`.
    ///
    /// # Errors
    ///
    /// [`ConnectionStringError`] where a key is unknown or repeated, or the symmetric key is none.
    pub fn parse(text: &str) -> Result<Self, ConnectionStringError> {
        let mut parsed = Self::default();
        let parts = text.trim().split(';').enumerate().filter(|(_, part)| !part.trim().is_empty());
        for (index, part) in parts {
            let Some((key, value)) = part.split_once('=') else {
                return Err(ConnectionStringError::NoValue { position: index + 1 });
            };
            parsed.set(key.trim(), value.trim())?;
        }
        Ok(parsed)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ConnectionStringError> {
        match key {
            HOST_NAME => once(HOST_NAME, &mut self.host_name, value.to_owned()),
            DEVICE_ID => once(DEVICE_ID, &mut self.device_id, value.to_owned()),
            MODULE_ID => once(MODULE_ID, &mut self.module_id, value.to_owned()),
            SHARED_ACCESS_KEY => {
                let parsed = SharedKey::parse(value).map_err(ConnectionStringError::Key)?;
                once(SHARED_ACCESS_KEY, &mut self.key, parsed)
            }
            SHARED_ACCESS_KEY_NAME => {
                once(SHARED_ACCESS_KEY_NAME, &mut self.key_name, value.to_owned())
            }
            SHARED_ACCESS_SIGNATURE => flag(SHARED_ACCESS_SIGNATURE, &mut self.has_signature),
            GATEWAY_HOST_NAME => flag(GATEWAY_HOST_NAME, &mut self.has_gateway),
            X509 => flag(X509, &mut self.has_x509),
            other => Err(ConnectionStringError::UnknownKey { key: other.to_owned() }),
        }
    }

    /// The hub's name, as written.
    #[must_use]
    pub fn host_name(&self) -> Option<&str> {
        self.host_name.as_deref()
    }

    /// The key of one module, where the string is that module's.
    ///
    /// Hosts compare without case, ids with it.
    ///
    /// # Errors
    ///
    /// [`ConnectionStringError`] where the string is for something else, says how.
    pub fn module_key(
        &self,
        host: &str,
        device: &DeviceId,
        module: &ModuleId,
    ) -> Result<&SharedKey, ConnectionStringError> {
        let faults = [
            (self.key_name.is_some(), ConnectionStringError::Service),
            (self.has_x509, ConnectionStringError::X509),
            (self.has_signature, ConnectionStringError::Token),
            (self.has_gateway, ConnectionStringError::Gateway),
            (self.module_id.is_none() && self.device_id.is_some(), ConnectionStringError::Device),
        ];
        if let Some((_, fault)) = faults.into_iter().find(|(found, _)| *found) {
            return Err(fault);
        }
        matching(HOST_NAME, self.host_name.as_deref(), host, str::eq_ignore_ascii_case)?;
        matching(DEVICE_ID, self.device_id.as_deref(), device.as_str(), str::eq)?;
        matching(MODULE_ID, self.module_id.as_deref(), module.as_str(), str::eq)?;
        self.key.as_ref().ok_or(ConnectionStringError::Missing { key: SHARED_ACCESS_KEY })
    }

    /// Host, policy and key of the hub's service side, where the string has them.
    ///
    /// # Errors
    ///
    /// [`ConnectionStringError::Missing`] for the first that it lacks.
    pub fn service(&self) -> Result<(&str, &str, &SharedKey), ConnectionStringError> {
        let missing = |key| ConnectionStringError::Missing { key };
        Ok((
            self.host_name.as_deref().ok_or(missing(HOST_NAME))?,
            self.key_name.as_deref().ok_or(missing(SHARED_ACCESS_KEY_NAME))?,
            self.key.as_ref().ok_or(missing(SHARED_ACCESS_KEY))?,
        ))
    }
}

fn once<T>(key: &'static str, slot: &mut Option<T>, value: T) -> Result<(), ConnectionStringError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(ConnectionStringError::Repeated { key }),
    }
}

fn flag(key: &'static str, slot: &mut bool) -> Result<(), ConnectionStringError> {
    if std::mem::replace(slot, true) {
        return Err(ConnectionStringError::Repeated { key });
    }
    Ok(())
}

fn matching(
    key: &'static str,
    found: Option<&str>,
    expected: &str,
    same: fn(&str, &str) -> bool,
) -> Result<(), ConnectionStringError> {
    match found {
        None => Err(ConnectionStringError::Missing { key }),
        Some(found) if same(found, expected) => Ok(()),
        Some(found) => Err(ConnectionStringError::Mismatch {
            key,
            expected: expected.to_owned(),
            found: found.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn ids() -> (DeviceId, ModuleId) {
        (DeviceId::new("device01").unwrap(), ModuleId::new("module01").unwrap())
    }

    /// The text of why a string is not the module's, empty where it is.
    fn judge(text: &str) -> String {
        let (device, module) = ids();
        let judged = ConnectionString::parse(text)
            .and_then(|parsed| parsed.module_key("hub.example", &device, &module).map(|_| ()));
        judged.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_modules_string_is_taken_in_any_order_and_with_a_closing_semicolon() {
        for text in [
            format!(
                "HostName=hub.example;DeviceId=device01;ModuleId=module01;SharedAccessKey={KEY}"
            ),
            format!(
                "SharedAccessKey={KEY};ModuleId=module01;DeviceId=device01;HostName=HUB.example;\n"
            ),
        ] {
            assert_eq!(judge(&text), "");
        }
    }

    #[test]
    fn every_way_to_get_it_wrong_has_its_own_message() {
        let whole = |more: &str| {
            judge(&format!(
                "HostName=hub.example;DeviceId=device01;ModuleId=module01;SharedAccessKey={KEY}{more}"
            ))
        };
        let contains = |found: String, text: &str| assert!(found.contains(text), "{found}");
        contains(judge(""), "the key `HostName` is missing");
        contains(judge("hello"), "part 1 has no `=`");
        contains(whole(";Hostname=x"), "unknown key `Hostname`; known are HostName");
        contains(whole(";ModuleId=module01"), "the key `ModuleId` is there twice");
        contains(whole(";x509=true"), "set certificate and private-key instead");
        contains(whole(";SharedAccessSignature=s"), "cannot be renewed");
        contains(whole(";GatewayHostName=g"), "set hub.gateway-hostname");
        contains(whole(";SharedAccessKeyName=iothubowner"), "must not be on a gateway");
        let device = format!("HostName=hub.example;DeviceId=device01;SharedAccessKey={KEY}");
        contains(judge(&device), "this is the device's connection string");
        let service =
            format!("HostName=hub.example;SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}");
        contains(judge(&service), "the hub's service side");
        contains(
            judge("HostName=hub.example;DeviceId=device01;ModuleId=module01"),
            "the key `SharedAccessKey` is missing",
        );
    }

    #[test]
    fn another_identitys_string_shows_expected_and_found() {
        for (key, value, expected) in [
            ("HostName", "other.example", "hub.example"),
            ("DeviceId", "Device01", "device01"),
            ("ModuleId", "module02", "module01"),
        ] {
            let right =
                [("HostName", "hub.example"), ("DeviceId", "device01"), ("ModuleId", "module01")];
            let parts = right.map(|(name, right)| {
                format!("{name}={};", if name == key { value } else { right })
            });
            let text = format!("{}SharedAccessKey={KEY}", parts.concat());
            let message = format!("the key `{key}`: expected `{expected}`, found `{value}`");
            assert_eq!(judge(&text), message);
        }
    }

    #[test]
    fn secrets_are_in_no_message_and_no_debug() {
        let error = ConnectionString::parse("SharedAccessKey=s3cret!").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"));
        let parsed = ConnectionString::parse(&format!("SharedAccessKey={KEY}")).unwrap();
        assert!(!format!("{parsed:?}").contains("AAEC"));
    }

    #[test]
    fn a_service_string_has_host_policy_and_key() {
        let text = format!("HostName=h;SharedAccessKeyName=service;SharedAccessKey={KEY}");
        let parsed = ConnectionString::parse(&text).unwrap();
        let (host, policy, _) = parsed.service().unwrap();
        assert_eq!((host, policy), ("h", "service"));
        let parsed = ConnectionString::parse("HostName=h").unwrap();
        let missing = ConnectionStringError::Missing { key: "SharedAccessKeyName" };
        assert_eq!(parsed.service().unwrap_err(), missing);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_string_or_an_error(text in "(?s)[A-Za-z0-9=;/+]*|.*") {
            let _ = ConnectionString::parse(&text).map(|parsed| {
                let (device, module) = ids();
                parsed.module_key("h", &device, &module).is_ok()
            });
        }
    }
}
