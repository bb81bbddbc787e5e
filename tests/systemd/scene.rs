//! A hub outside, and a machine inside whose config and credentials are made for it.

use std::fmt::Write as _;

use anyhow::Context as _;
use modtwin_credentials::request::KeyKind;
use modtwin_testkit::gateway::{DEVICE, Gateway, Validity};
use modtwin_testkit::hub::Hub;
use modtwin_testkit::patience::{LONG, Look, until};
use modtwin_testkit::service::Service;
use serde_json::Value;

use crate::machine::Machine;

/// Where the config is.
pub(crate) const CONFIG: &str = "/etc/modtwin/modtwind.toml";

/// A hub and what it knows of the gateway.
#[derive(Debug)]
pub(crate) struct Scene {
    /// The hub's process.
    pub(crate) hub: Hub,
    /// Its back-end side.
    pub(crate) service: Service,
    /// Where certificates are made.
    gateway: Gateway,
    modules: Vec<(String, String)>,
}

impl Scene {
    /// Starts the hub with a device that has no module yet.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let hub = Hub::start().await?;
        let mut service = hub.service()?;
        service.create_device(DEVICE).await?;
        let gateway = Gateway::new(hub.address())?;
        Ok(Self { hub, service, gateway, modules: Vec::new() })
    }

    /// Creates a module at the hub and its credentials in the machine, readable for the daemon;
    /// the config, once written, has it with those lines.
    pub(crate) async fn add(
        &mut self,
        machine: &Machine,
        module: &str,
        lines: &str,
    ) -> anyhow::Result<()> {
        self.service.create_module_by_authority(DEVICE, module).await?;
        let authority = self.hub.authority()?;
        self.gateway.certify(module, &authority, KeyKind::EcP256, Validity::Good)?;
        for ending in ["pem", "key"] {
            let name = format!("{module}.{ending}");
            let made = std::fs::read(self.gateway.folder().join(&name))?;
            machine.write(&format!("/etc/modtwin/{name}"), made)?;
        }
        machine.run(&format!(
            "chmod 0400 /etc/modtwin/{module}.key && chown modtwin: /etc/modtwin/{module}.key"
        ))?;
        self.modules.push((module.to_owned(), lines.to_owned()));
        Ok(())
    }

    /// The config with all modules.
    pub(crate) fn config(&self) -> String {
        let address = self.hub.address();
        let mut text = format!(
            "[hub]\nhostname = \"{}\"\ndevice-id = \"{DEVICE}\"\nport = {}\n\
             trusted-ca = \"hub-ca.pem\"\nretry-delay = \"50ms\"\n",
            address.hostname, address.mqtt_port
        );
        for (module, lines) in &self.modules {
            let credential = if lines.contains("certificate") {
                String::new()
            } else {
                Gateway::certificate_lines(module)
            };
            let _infallible = write!(text, "\n[[module]]\nid = \"{module}\"\n{credential}{lines}");
        }
        text
    }

    /// Puts the config and the hub's authority in place, as a fleet tool does.
    pub(crate) fn push(&self, machine: &Machine) -> anyhow::Result<()> {
        machine.write("/etc/modtwin/hub-ca.pem", std::fs::read(self.hub.address().ca)?)?;
        machine.write(CONFIG, self.config())
    }

    /// Waits until the daemon in the machine says that all modules are connected.
    pub(crate) async fn connected(&self, machine: &Machine) -> anyhow::Result<()> {
        let count = self.modules.len();
        let status = format!("{count} of {count} modules connected");
        machine
            .wait_property("modtwind.service", "StatusText", &status)
            .await
            .with_context(|| machine.journal("modtwind.service").unwrap_or_default())
    }

    /// Changes a module's desired properties.
    pub(crate) async fn change(&mut self, module: &str, desired: Value) -> anyhow::Result<u64> {
        self.service.change_desired(DEVICE, module, desired).await
    }

    /// Waits until the hub has a reported property of that value.
    pub(crate) async fn wait_reported(
        &mut self,
        module: &str,
        key: &str,
        value: &Value,
    ) -> anyhow::Result<()> {
        until(&format!("{key} of {module} at the hub"), LONG, async || {
            let twin = self.service.twin(DEVICE, module).await?;
            let found = twin.pointer(&format!("/properties/reported/{key}"));
            Ok(if found == Some(value) {
                Look::Found(())
            } else {
                Look::NotYet(format!("{found:?}"))
            })
        })
        .await
    }
}
