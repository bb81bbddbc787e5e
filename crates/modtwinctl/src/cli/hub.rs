//! The command line of `hub`: the service side of a hub.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::duration;

/// Where options that every command of `hub` has stand in its help: behind its own.
const OF_HUB: usize = 800;

/// Arguments of `hub`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "The hub is the one of the service connection string, from \
    --connection-string, --connection-string-file or the variable IOTHUB_CONNECTION_STRING, or the \
    emulator in --emulator or IOTHUB_EMULATOR. The string is never printed.")]
pub struct Hub {
    /// How to reach the hub.
    #[command(flatten)]
    pub access: HubAccess,
    /// What to do.
    #[command(subcommand)]
    pub command: HubCommand,
}

/// How to reach the hub's service side.
#[derive(Debug, Clone, Args)]
pub struct HubAccess {
    /// The service connection string, as the portal shows it for a shared access policy; other
    /// users of this machine see a command line, so a file or the environment is the better place.
    #[arg(long, global = true, display_order = OF_HUB, value_name = "STRING")]
    pub connection_string: Option<Hidden>,
    /// A file with the service connection string.
    #[arg(long, global = true, display_order = OF_HUB, value_name = "FILE")]
    pub connection_string_file: Option<PathBuf>,
    /// The folder of a running iothub-emulator, or its emulator.json.
    #[arg(long, global = true, display_order = OF_HUB, value_name = "DIR")]
    pub emulator: Option<PathBuf>,
    /// A PEM file with the only authorities to trust [default: the system's].
    #[arg(long, global = true, display_order = OF_HUB, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The port of the service side [default: 443, or that of HostName=host:port].
    #[arg(long, global = true, display_order = OF_HUB, value_name = "PORT")]
    pub port: Option<u16>,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub String);

impl FromStr for Hidden {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(…)")
    }
}

/// What to do at the hub.
#[derive(Debug, Clone, Subcommand)]
pub enum HubCommand {
    /// Device identities.
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Module identities.
    #[command(subcommand)]
    Module(ModuleCommand),
    /// A module's twin.
    #[command(subcommand)]
    Twin(TwinCommand),
    /// Call a direct method of a module.
    Method(Method),
    /// Create every identity that gateways' configs or a list name and the hub does not have.
    Apply(Apply),
}

/// What to do with devices.
#[derive(Debug, Clone, Subcommand)]
pub enum DeviceCommand {
    /// Create a device; modules need one.
    Create(CreateDevice),
    /// Show a device.
    Show(DeviceName),
    /// List devices, at most a thousand.
    List(ListDevices),
    /// Delete a device and all its modules.
    Delete(DeviceName),
    /// Let a device and its modules connect again.
    Enable(DeviceName),
    /// Keep a device and its modules from connecting, and cut them off now.
    Disable(DisableDevice),
}

/// Names a device.
#[derive(Debug, Clone, Args)]
pub struct DeviceName {
    /// The device's id.
    pub device: String,
}

/// Arguments of `hub device create`.
#[derive(Debug, Clone, Args)]
pub struct CreateDevice {
    /// The device's id.
    pub device: String,
    /// How it will prove who it is.
    #[command(flatten)]
    pub proof: Proof,
}

/// Arguments of `hub device list`.
#[derive(Debug, Clone, Args)]
pub struct ListDevices {
    /// At most so many.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub top: u16,
}

/// Arguments of `hub device disable`.
#[derive(Debug, Clone, Args)]
pub struct DisableDevice {
    /// The device's id.
    pub device: String,
    /// Why, for those who find it disabled.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// What to do with modules.
#[derive(Debug, Clone, Subcommand)]
pub enum ModuleCommand {
    /// Create a module and print its connection string.
    Create(CreateModule),
    /// Change how a module proves who it is; what is not named stays.
    Update(UpdateModule),
    /// Show a module and its connection string.
    Show(ModuleName),
    /// List a device's modules.
    List(DeviceName),
    /// Delete a module and its twin.
    Delete(ModuleName),
}

/// Names a module.
#[derive(Debug, Clone, Args)]
pub struct ModuleName {
    /// The device's id.
    pub device: String,
    /// The module's id.
    pub module: String,
}

/// Arguments of `hub module create`.
#[derive(Debug, Clone, Args)]
pub struct CreateModule {
    /// Which module.
    #[command(flatten)]
    pub name: ModuleName,
    /// How it will prove who it is.
    #[command(flatten)]
    pub proof: Proof,
    /// Write the connection string to this new file, for connection-string-file, and do not print it.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `hub module update`.
#[derive(Debug, Clone, Args)]
pub struct UpdateModule {
    /// Which module.
    #[command(flatten)]
    pub name: ModuleName,
    /// How it will prove who it is.
    #[command(flatten)]
    pub proof: Proof,
}

/// How an identity proves who it is; symmetric keys made by the hub where nothing is given.
#[derive(Debug, Clone, Default, Args)]
pub struct Proof {
    /// A certificate (PEM) to know it by: its thumbprint is registered.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["thumbprint", "by_authority"])]
    pub certificate: Option<PathBuf>,
    /// A second certificate (PEM) that counts as well, for changing from one to the other.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["secondary_thumbprint", "by_authority"])]
    pub secondary_certificate: Option<PathBuf>,
    /// The thumbprint to know it by: SHA-1 or SHA-256 in hexadecimal, colons do not matter.
    #[arg(long, value_name = "HEX", conflicts_with = "by_authority")]
    pub thumbprint: Option<String>,
    /// A second thumbprint that counts as well.
    #[arg(long, value_name = "HEX", conflicts_with = "by_authority")]
    pub secondary_thumbprint: Option<String>,
    /// Any certificate with the right CN from an authority that the hub knows.
    #[arg(long = "by-authority")]
    pub by_authority: bool,
}

/// What to do with a twin.
#[derive(Debug, Clone, Subcommand)]
pub enum TwinCommand {
    /// Print the whole twin as JSON.
    Show(ModuleName),
    /// Merge into the desired properties.
    Patch(PatchTwin),
    /// Replace the desired properties.
    Replace(PatchTwin),
}

/// Arguments of `hub twin patch` and `hub twin replace`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "A value is JSON where it reads as such, text otherwise; null deletes; a \
    dot in a key goes one level down. Replacing needs a JSON object.")]
pub struct PatchTwin {
    /// Which module.
    #[command(flatten)]
    pub name: ModuleName,
    /// JSON; or `-` to read it from standard input; or KEY=VALUE, several times.
    #[arg(required = true, value_name = "JSON")]
    pub document: Vec<String>,
    /// The tags are meant in place of the desired properties.
    #[arg(long)]
    pub tags: bool,
    /// Only if the twin's etag is still this one.
    #[arg(long, value_name = "ETAG")]
    pub if_match: Option<String>,
}

/// Arguments of `hub method`.
#[derive(Debug, Clone, Args)]
pub struct Method {
    /// Which module.
    #[command(flatten)]
    pub name: ModuleName,
    /// The method's name.
    pub method: String,
    /// Its payload, JSON [default: none].
    pub payload: Option<String>,
    /// How long the answer may take, 5s to 300s.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
    /// How long to wait for a module that is not connected.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub connect_timeout: Option<Duration>,
}

/// Arguments of `hub apply`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Nothing is changed or deleted, and what exists is left alone, so that it \
    can be repeated; cut off, the same command goes on where it was. The \
    connection string or key of a module with a symmetric key is written to the file that its \
    config names. A CSV has the head device,module,authentication,thumbprint,secondary-thumbprint, \
    of which the last three may be left out; authentication is symmetric, thumbprint or authority.")]
pub struct Apply {
    /// Configs (.toml), lists (.csv), or folders of gateways: *.toml, or */modtwind.toml.
    #[arg(required = true, value_name = "PATH")]
    pub sources: Vec<PathBuf>,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// Show the plan and do nothing.
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// How modules with a certificate are registered.
    #[arg(long, value_enum, default_value_t = X509Choice::Auto)]
    pub x509: X509Choice,
    /// At most so many calls of the registry a minute; a hub takes 100 a minute and unit.
    #[arg(long, value_name = "CALLS", default_value_t = 90)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=300_000))]
    pub rate: u32,
}

/// How modules with a certificate are registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum X509Choice {
    /// By thumbprint where the certificate is self-signed, by authority otherwise.
    Auto,
    /// By the thumbprint of their certificate.
    Thumbprint,
    /// By authority; no certificate need be there yet.
    Authority,
}
