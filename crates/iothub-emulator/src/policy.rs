//! The hub's shared access policies: names, rights, keys ("Control access to IoT Hub", table of default policies).

use serde::{Deserialize, Serialize};

use crate::sas::Key;

/// Names one right of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    RegistryRead,
    RegistryWrite,
    ServiceConnect,
    DeviceConnect,
}

/// Holds one policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Policy {
    name: String,
    primary: Key,
    secondary: Key,
}

impl Policy {
    /// Makes new keys for all default policies.
    pub(crate) fn defaults() -> Result<Vec<Self>, openssl::error::ErrorStack> {
        ["iothubowner", "service", "device", "registryRead", "registryReadWrite"]
            .into_iter()
            .map(|name| {
                Ok(Self {
                    name: name.to_owned(),
                    primary: Key::generate()?,
                    secondary: Key::generate()?,
                })
            })
            .collect()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn keys(&self) -> [&Key; 2] {
        [&self.primary, &self.secondary]
    }

    pub(crate) fn grants(&self, right: Right) -> bool {
        match self.name.as_str() {
            "iothubowner" => true,
            "service" => right == Right::ServiceConnect,
            "device" => right == Right::DeviceConnect,
            "registryRead" => right == Right::RegistryRead,
            "registryReadWrite" => matches!(right, Right::RegistryRead | Right::RegistryWrite),
            _ => false,
        }
    }
}
