//! What the story plays with once everything runs, and how it comes to run.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::hub::Facts;

use crate::audience::Audience;
use crate::cable::Cable;
use crate::cast::Cast;
use crate::folders::Folders;
use crate::gateway::Gateway;
use crate::handlers::Handlers;
use crate::hub;
use crate::identities::{Modules, Registrar};
use crate::narrator::Narrator;
use crate::timing::in_words;
use modtwin_testkit::patience::LONG;
use modtwin_testkit::service::Service;

/// What is settled before anything starts.
#[derive(Debug)]
pub(crate) struct Options {
    /// Where everything is kept.
    pub(crate) folders: Folders,
    /// Where the programs are.
    pub(crate) programs: PathBuf,
    /// The modules of the story.
    pub(crate) modules: Modules,
}

impl Options {
    /// Options for `modules` modules, with everything kept in `folders`, and the programs beside
    /// this one.
    ///
    /// # Errors
    /// This program does not know where it lies.
    pub(crate) fn new(folders: Folders, modules: u16) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("cannot find out where this program lies")?;
        let programs = own.parent().context("this program lies in no folder")?.to_owned();
        Ok(Self { folders, programs, modules: Modules::new(modules) })
    }

    fn modtwinctl(&self) -> PathBuf {
        self.programs.join("modtwinctl")
    }
}

/// Hub, cable, gateway and handlers, running.
pub(crate) struct Scene {
    /// What the hub says of itself.
    pub(crate) hub: Facts,
    /// The back-end's way to the hub.
    pub(crate) service: Service,
    /// The way from the gateway to the hub.
    pub(crate) cable: Cable,
    /// The daemon and its CLI.
    pub(crate) gateway: Gateway,
    /// Hears the handlers.
    pub(crate) audience: Audience,
    /// The modules.
    pub(crate) modules: Modules,
}

/// Starts everything, telling what it does.
///
/// # Errors
/// Something does not start, or not in time.
pub(crate) async fn set(
    options: &Options,
    narrator: &mut Narrator,
    cast: &mut Cast,
) -> anyhow::Result<Scene> {
    let hub = start_hub(options, narrator, cast).await?;
    let cable = Cable::connected_to(SocketAddr::from((hub.listen, hub.mqtt_port)))?;
    let service = register(options, narrator, &hub).await?;
    let gateway = start_gateway(options, narrator, cast, &hub, cable.port()).await?;
    let audience = start_handlers(options, narrator, cast, &gateway).await?;
    Ok(Scene { hub, service, cable, gateway, audience, modules: options.modules.clone() })
}

async fn start_hub(
    options: &Options,
    narrator: &mut Narrator,
    cast: &mut Cast,
) -> anyhow::Result<Facts> {
    narrator.step("A hub on this machine").await;
    let hub =
        hub::start(cast, &options.programs.join("iothub-emulator"), &options.folders.hub()).await?;
    narrator.say(&format!(
        "iothub-emulator speaks MQTT over TLS at {} and REST at {}",
        SocketAddr::from((hub.listen, hub.mqtt_port)),
        SocketAddr::from((hub.listen, hub.https_port))
    ));
    Ok(hub)
}

async fn register(
    options: &Options,
    narrator: &mut Narrator,
    hub: &Facts,
) -> anyhow::Result<Service> {
    narrator.step("A device and its modules").await;
    let began = Instant::now();
    let mut service = Service::new(
        SocketAddr::from((hub.listen, hub.https_port)),
        &hub.service_connection_string,
        &hub.ca,
    )?;
    let registrar = Registrar { modtwinctl: &options.modtwinctl(), folder: &options.folders.etc() };
    registrar.register(&mut service, &options.modules).await?;
    narrator.say(&format!(
        "{} keys and requests by `modtwinctl csr`, CN={DEVICE}/module01 and so on,\n\
         signed by an ECDSA and an RSA authority; registered over REST, half of them by their\n\
         authority and half by thumbprints, in {}\n\
         (the certificate of {} ended yesterday; it will matter)",
        options.modules.all().count(),
        in_words(began.elapsed()),
        options.modules.expired
    ));
    Ok(service)
}

async fn start_gateway(
    options: &Options,
    narrator: &mut Narrator,
    cast: &mut Cast,
    hub: &Facts,
    port: u16,
) -> anyhow::Result<Gateway> {
    narrator.step("The gateway: one daemon").await;
    let modules = &options.modules;
    let gateway = Gateway::configured(&options.folders, &options.modtwinctl(), hub, port, modules)?;
    let began = Instant::now();
    gateway.start(cast, &options.programs.join("modtwind")).await?;
    let answered = began.elapsed();
    gateway.wait_for_hub(&modules.good, true, LONG).await?;
    narrator.say(&format!(
        "modtwind answers at its socket after {}, and {} modules are in step with the hub after {},\n\
         each on a TLS session of its own with its own certificate",
        in_words(answered),
        modules.good.len(),
        in_words(began.elapsed())
    ));
    Ok(gateway)
}

async fn start_handlers(
    options: &Options,
    narrator: &mut Narrator,
    cast: &mut Cast,
    gateway: &Gateway,
) -> anyhow::Result<Audience> {
    narrator.step("Handlers: local processes without SDK, credential or MQTT").await;
    let mut audience = Audience::new();
    let good = &options.modules.good;
    let handlers = Handlers {
        programs: &options.programs,
        socket: &gateway.socket,
        folder: options.folders.root(),
    };
    handlers.start(cast, &audience, good)?;
    let expected = good.iter().map(|module| (module.clone(), "version 1:".to_owned())).collect();
    let lines = audience.hear(&expected, LONG).await?;
    narrator.say(&format!(
        "{} processes fetched their twin over the Unix socket and reported DateTimeLastAppLaunch;\n\
         the one of {} is a shell script",
        lines.len(),
        good.first().map_or("", String::as_str)
    ));
    Ok(audience)
}
