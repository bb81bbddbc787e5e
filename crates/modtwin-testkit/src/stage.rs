//! The usual stage of a test: a hub, a gateway with modules known to it, and the daemon between.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use modtwin_api::{ModuleStatus, Status};
use modtwin_client::{Client, Wait};
use modtwin_core::document::Document;
use modtwin_credentials::request::KeyKind;
use serde_json::Value;

use crate::gateway::{DEVICE, Daemon, Gateway, Validity};
use crate::hub::Hub;
use crate::patience::{LONG, Look, until};
use crate::service::Service;
use crate::spectator::Spectator;

/// A hub, a gateway and its daemon; all of it is gone once dropped.
#[derive(Debug)]
pub struct Stage {
    // Dropped in this order: the daemon before the folder that it writes to.
    daemon: Option<Daemon>,
    /// The gateway.
    pub gateway: Gateway,
    /// The hub's service side.
    pub service: Service,
    /// The hub.
    pub hub: Hub,
    program: PathBuf,
}

impl Stage {
    /// A hub and a gateway with the modules `m01`, `m02` …, each with a certificate from the
    /// hub's own authority; the daemon does not run yet.
    ///
    /// # Errors
    ///
    /// Where a part can't be made.
    pub async fn build(program: impl Into<PathBuf>, modules: usize) -> anyhow::Result<Self> {
        let hub = Hub::start().await?;
        let mut service = hub.service()?;
        service.create_device(DEVICE).await?;
        let gateway = Gateway::new(hub.address())?;
        let mut stage = Self { daemon: None, gateway, service, hub, program: program.into() };
        for n in 1..=modules {
            stage.add_module(&name(n), "").await?;
        }
        Ok(stage)
    }

    /// The same with the daemon running and every module connected.
    ///
    /// # Errors
    ///
    /// Where a part can't be made or a module does not connect in time.
    pub async fn start(program: impl Into<PathBuf>, modules: usize) -> anyhow::Result<Self> {
        let mut stage = Self::build(program, modules).await?;
        stage.start_daemon().await?;
        stage.gateway.wait_connected(modules).await?;
        Ok(stage)
    }

    /// Creates a module at the hub and adds it to the gateway, with those lines besides its
    /// credential; the config is not written yet.
    ///
    /// # Errors
    ///
    /// Where the hub refuses or no certificate can be made.
    pub async fn add_module(&mut self, module: &str, lines: &str) -> anyhow::Result<()> {
        self.service.create_module_by_authority(DEVICE, module).await?;
        let authority = self.hub.authority()?;
        self.gateway.certify(module, &authority, KeyKind::EcP256, Validity::Good)?;
        let lines = format!("{}{lines}", Gateway::certificate_lines(module));
        self.gateway.add_module(module, &lines);
        Ok(())
    }

    /// Writes the config and starts the daemon; returns once its socket answers.
    ///
    /// # Errors
    ///
    /// Where it can't be started or does not answer in time.
    pub async fn start_daemon(&mut self) -> anyhow::Result<()> {
        let program: &Path = &self.program;
        self.daemon = Some(self.gateway.start(program).await?);
        Ok(())
    }

    /// Starts the daemon with the config that is there; returns once its socket answers.
    ///
    /// # Errors
    ///
    /// Where it can't be started or does not answer in time.
    pub async fn restart_daemon(&mut self) -> anyhow::Result<()> {
        self.daemon = Some(self.gateway.start_as_is(&self.program).await?);
        Ok(())
    }

    /// The running daemon.
    ///
    /// # Errors
    ///
    /// Where none runs.
    pub fn daemon(&mut self) -> anyhow::Result<&mut Daemon> {
        self.daemon.as_mut().context("no daemon runs")
    }

    /// `kill -9` of the daemon.
    ///
    /// # Errors
    ///
    /// Where it can't be waited for.
    pub fn kill_daemon(&mut self) -> anyhow::Result<()> {
        self.daemon.take().map_or(Ok(()), |mut daemon| daemon.kill())
    }

    /// A client of the daemon.
    #[must_use]
    pub fn client(&self) -> Client {
        self.gateway.client()
    }

    /// Begins to watch all of a module.
    ///
    /// # Errors
    ///
    /// Where the daemon refuses.
    pub async fn watch(&self, module: &str) -> anyhow::Result<Spectator> {
        Spectator::begin(&self.client(), module).await
    }

    /// Patches a module's desired properties; returns their new version.
    ///
    /// # Errors
    ///
    /// Where the hub refuses.
    pub async fn change(&mut self, module: &str, desired: Value) -> anyhow::Result<u64> {
        self.service.change_desired(DEVICE, module, desired).await
    }

    /// Reports and waits until that is stored; returns the report's number.
    ///
    /// # Errors
    ///
    /// Where the daemon refuses.
    pub async fn report(&self, module: &str, patch: Value) -> anyhow::Result<()> {
        self.client().report(module, &object(patch)?, Wait::Stored).await?;
        Ok(())
    }

    /// Asks the emulator for a fault of that kind for one module, with more members in `more`.
    ///
    /// # Errors
    ///
    /// Where the emulator refuses.
    pub async fn fault(&mut self, kind: &str, module: &str, more: Value) -> anyhow::Result<()> {
        let mut fault = object(more)?;
        fault.insert("kind".to_owned(), kind.into());
        fault.insert("device".to_owned(), DEVICE.into());
        fault.insert("module".to_owned(), module.into());
        self.service.fault(Value::Object(fault)).await?;
        Ok(())
    }

    /// A section of a module's twin as the hub has it, without `$version` and `$metadata`.
    ///
    /// # Errors
    ///
    /// Where the hub refuses.
    pub async fn at_hub(&mut self, module: &str, section: &str) -> anyhow::Result<Value> {
        let twin = self.service.twin(DEVICE, module).await?;
        let found = twin.pointer(&format!("/properties/{section}")).cloned();
        let mut found = object(found.context("a twin without that section")?)?;
        found.retain(|key, _| !key.starts_with('$'));
        Ok(Value::Object(found))
    }

    /// Waits until `condition` holds of what the hub has of a module's reported properties.
    ///
    /// # Errors
    ///
    /// Where it does not in time.
    pub async fn wait_reported(
        &mut self,
        module: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let awaited = format!("reported properties of {module} at the hub");
        let waited = until(&awaited, LONG, async || {
            let found = self.at_hub(module, "reported").await?;
            Ok(if condition(&found) { Look::Found(found) } else { Look::NotYet(found.to_string()) })
        })
        .await;
        waited.with_context(|| format!("log: {}", self.gateway.log_end()))
    }

    /// One of the emulator's counters of a module, such as `twin_gets`.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub async fn count(&mut self, module: &str, counter: &str) -> anyhow::Result<u64> {
        let stats = self.service.stats().await?;
        let found = stats.pointer(&format!("/modules/{DEVICE}~1{module}/{counter}"));
        found.and_then(Value::as_u64).with_context(|| format!("no counter {counter} in {stats}"))
    }
}

/// The id of the `n`th module, from 1.
#[must_use]
pub fn name(n: usize) -> String {
    format!("m{n:02}")
}

/// A JSON object.
///
/// # Errors
///
/// Where `value` is none.
pub fn object(value: Value) -> anyhow::Result<Document> {
    match value {
        Value::Object(object) => Ok(object),
        other => anyhow::bail!("expected an object, found {other}"),
    }
}

/// A module of a status.
///
/// # Errors
///
/// Where the status has no such module.
pub fn module<'a>(status: &'a Status, module: &str) -> anyhow::Result<&'a ModuleStatus> {
    let found = status.modules.iter().find(|found| found.module == module);
    found.with_context(|| format!("no module {module} in the status"))
}
