//! The command line, which help and manual are made from.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A local Azure IoT Hub: MQTT over TLS, twins, service REST API and faults on command.
#[derive(Debug, Parser)]
#[command(
    name = "iothub-emulator",
    version,
    args_conflicts_with_subcommands = true,
    after_long_help = LESSON
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: Serve,
}

/// What the hub is started with.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Folder to keep everything in: CA, keys, identities, twins. Without it a temporary one is used and removed at
    /// the end
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Address to listen on; anything in 127.0.0.0/8 is this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) listen: IpAddr,
    /// The hub's name: clients put it into user names and tokens, the server certificate carries it
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    pub(crate) hostname: String,
    /// Port of MQTT over TLS; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8883)]
    pub(crate) mqtt_port: u16,
    /// Port of HTTPS: service REST API, MQTT over WebSockets, control API, web page; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    pub(crate) https_port: u16,
    /// Most modules a device may have
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) max_modules: usize,
    /// Seed of everything random about faults; the same seed, the same dice
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// File that says what is to go wrong by itself, and when; checked whole before anything starts
    #[arg(long, value_name = "FILE")]
    pub(crate) scenario: Option<PathBuf>,
    /// Throttle and count messages like this tier; without it nothing is throttled
    #[arg(long, value_name = "TIER", ignore_case = true, value_parser = ["f1", "s1", "s2", "s3"])]
    pub(crate) tier: Option<String>,
    /// Units of that tier
    #[arg(long, value_name = "N", default_value_t = 1, requires = "tier")]
    pub(crate) units: u32,
}

/// Errands beside serving.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write the CA certificate that clients must trust, of a running or stopped emulator
    ExportCa(ExportCa),
    /// Print the connection string of a device, of a module, or of the service, of a running emulator
    ConnectionString(ConnectionString),
    /// Print this program's manual page
    #[command(hide = true)]
    Man,
}

/// The order of `export-ca`.
#[derive(Debug, Args)]
pub(crate) struct ExportCa {
    /// The emulator's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// File to write; without it the certificate goes to stdout
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// The order of `connection-string`.
#[derive(Debug, Args)]
pub(crate) struct ConnectionString {
    /// The emulator's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The device; without one, the service's connection string is printed
    #[arg(value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    /// The module on that device
    #[arg(value_name = "MODULE", requires = "device")]
    pub(crate) module: Option<String>,
    /// Make the identity, with symmetric keys, if the hub does not know it
    #[arg(long, requires = "device")]
    pub(crate) create: bool,
    /// Print the secondary key instead of the primary one
    #[arg(long, requires = "device")]
    pub(crate) secondary: bool,
}

const LESSON: &str = "\
When it serves, it prints one line of JSON (also in DIR/emulator.json): ports, the CA certificate to trust, and the
service's connection string. The HostName in it carries no port, as SDKs put it into user names and tokens.

Start it, then make a module and get what an SDK sample asks for:

  iothub-emulator --dir hub &
  iothub-emulator connection-string --dir hub --create gw01 cam
  iothub-emulator export-ca --dir hub --output ca.pem

Samples that know no ports want MQTT on 8883 and HTTPS on 443: start with --https-port 443, or give them the ports.
A second address of this machine is as good as a second machine: --listen 127.0.0.2.

See who is connected, twins and events, and order faults, at https://localhost:8443/ or without a browser:

  curl --cacert ca.pem -N https://localhost:8443/emulator/v1/events
  curl --cacert ca.pem https://localhost:8443/emulator/v1/faults -d '{\"kind\":\"drop\",\"device\":\"gw01\",\"for\":\"10s\"}'
  curl --cacert ca.pem https://localhost:8443/emulator/v1/clock -d '{\"shift\":\"2h\"}'

Kinds of faults: drop, refuse, stall, blackhole, delay, throttle, error, lose-desired, duplicate-desired,
reorder-desired, lose-response, refuse-message, quota, recreate, disable, expire; each takes device, module, count, for, chance.

As a back end, set what a module wants to know (SAS: a token of the service's connection string):

  curl --cacert ca.pem -X PATCH -H \"Authorization: $SAS\" -d '{\"properties\":{\"desired\":{\"fps\":25}}}' \\
       'https://localhost:8443/twins/gw01/modules/cam?api-version=2021-04-12'

Certificates with CN=gw01/cam that hub/ca.key signed are taken where authentication is certificateAuthority; register
other CAs with POST /emulator/v1/cas (PEM).

Not imitated: AMQP and the Event Hubs endpoint (messages are in the event stream), MQTT 5, file upload, jobs,
cloud-to-device messages, IoT Edge, Entra tokens; the manual, iothub-emulator(1), has the whole table.
Log level: IOTHUB_EMULATOR_LOG=debug.";
