//! The definition of the command line: arguments, help, man page and completions come from here.

pub mod cert;
pub mod config;
pub mod diagnosis;
pub mod hub;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use modtwin_api::limits::DEFAULT_SOCKET;
use modtwin_api::{AckRequest, LogLevel, Revision};
use modtwin_core::document::Pointer;
use modtwin_credentials::request::KeyKind;

use crate::check::catalogue;

/// The first config file where none is named; the daemon's default too.
const DEFAULT_CONFIG: &str = "/etc/modtwin/modtwind.toml";

/// Where options that every command has stand in its help: behind its own.
const OF_EVERY_COMMAND: usize = 900;

/// What `modtwinctl --help` says after the list of commands.
const EXIT_STATUS: &str = "Exit status: 0 done, 1 failed, 64 wrong usage, 69 daemon unreachable, \
                           77 forbidden, 78 config.";

/// Looks after module twins on this gateway, through the socket of modtwind.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "modtwinctl",
    version,
    after_help = EXIT_STATUS,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Cli {
    /// The daemon's socket.
    #[arg(long, global = true, env = "MODTWIN_SOCKET", default_value = DEFAULT_SOCKET)]
    #[arg(value_name = "PATH", hide_env_values = true, display_order = OF_EVERY_COMMAND)]
    pub socket: PathBuf,
    /// Print JSON, one document a line.
    #[arg(long, global = true, display_order = OF_EVERY_COMMAND)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Show how the daemon and its modules are.
    Status(diagnosis::StatusArgs),
    /// Find out what is wrong, from the config to the hub's answer.
    #[command(after_help = catalogue())]
    Check(diagnosis::Check),
    /// Collect what a supporter needs into one file, without any secret.
    SupportBundle(diagnosis::SupportBundle),
    /// Show a module's twin.
    Get(Get),
    /// Show each change of a module's desired properties, or run a command for it.
    Watch(Watch),
    /// Report properties of a module.
    Report(Report),
    /// Say that a version of the desired properties was applied, or refused.
    Ack(Ack),
    /// Send a device-to-cloud message.
    Send(Send),
    /// Show each call of a module's direct methods, or run a command that answers it.
    Methods(Methods),
    /// Check the config and every file it names, without the daemon.
    Validate(Validate),
    /// Show what a new config would change, without the daemon.
    Diff(config::Diff),
    /// Put a new config in place and into force, and take it back where modules do not return.
    Apply(config::Apply),
    /// Make a private key for a module and the request for its certificate.
    Csr(Csr),
    /// Make, show and check certificates.
    #[command(subcommand)]
    Cert(cert::CertCommand),
    /// Create and look after identities at the hub, with a service connection string.
    Hub(hub::Hub),
    /// Have the daemon read its config again.
    Reload,
    /// Have the daemon connect a module anew.
    Reconnect(Reconnect),
    /// Show how much the daemon logs, or change it for a while.
    LogLevel(LogLevelArgs),
    /// Print a completion script for a shell.
    Completions(Completions),
}

/// Arguments of `get`.
#[derive(Debug, Clone, Args)]
pub struct Get {
    /// The module's id.
    pub module: String,
    /// Print the desired properties and nothing else.
    #[arg(long, conflicts_with = "reported")]
    pub desired: bool,
    /// Print the reported properties and nothing else.
    #[arg(long)]
    pub reported: bool,
}

/// Arguments of `watch`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "With --exec the desired properties go to the command's standard input as \
    JSON, and MODTWIN_MODULE, MODTWIN_GENERATION, MODTWIN_VERSION and MODTWIN_HANDLER are set. It \
    runs once at the start and once a change, one at a time; what changes meanwhile is merged. \
    Exit status 0 acknowledges the version, any other refuses it with the last line of standard \
    error. Lost connections are taken up again.")]
pub struct Watch {
    /// The module's id.
    pub module: String,
    /// A subtree to watch, as a JSON Pointer; may be given several times [default: everything].
    #[arg(long = "path", value_name = "POINTER", value_parser = pointer)]
    pub paths: Vec<String>,
    /// The version that is applied already, as printed by an earlier watch.
    #[arg(long, value_name = "GENERATION.VERSION")]
    pub since: Option<Revision>,
    /// The name to watch and acknowledge under [default: what the config calls this user].
    #[arg(long, value_name = "NAME")]
    pub handler: Option<String>,
    /// How long the command may run.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    #[arg(requires = "exec")]
    pub exec_timeout: Duration,
    /// Run only once nothing has changed for so long, but no later than ten times that after the
    /// first change [default: run at once].
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "exec")]
    pub exec_debounce: Option<Duration>,
    /// The command to run for each change, with its arguments; must come last.
    #[arg(long, value_name = "COMMAND", num_args = 1.., allow_hyphen_values = true)]
    pub exec: Option<Vec<OsString>>,
}

/// Arguments of `report`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "A value is JSON where it reads as such, text otherwise; null deletes. A \
    dot in a key goes one level down:\n\n  modtwinctl report thermostat temperature=20.5 \
    fan.state=on old=null\n  modtwinctl report thermostat '{\"temperature\":20.5}'")]
pub struct Report {
    /// The module's id.
    pub module: String,
    /// A JSON merge patch; or `-` to read one from standard input; or KEY=VALUE, several times.
    #[arg(required = true, value_name = "PATCH")]
    pub patch: Vec<String>,
    /// When to return.
    #[arg(long, value_enum, default_value_t = WaitFor::Stored)]
    pub wait: WaitFor,
    /// How long to wait for the hub.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
}

/// How far a report or a message is to have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WaitFor {
    /// Once it is on the gateway's disk.
    Stored,
    /// Once the hub has accepted it.
    Hub,
}

/// Arguments of `ack`.
#[derive(Debug, Clone, Args)]
pub struct Ack {
    /// The module's id.
    pub module: String,
    /// The version of the desired properties.
    pub version: u64,
    /// 200 to 299 where it was applied, 400 to 599 where it was refused.
    #[arg(long, default_value_t = 200, value_parser = ack_status)]
    pub status: u16,
    /// A few words about it.
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// The name to acknowledge under [default: what the config calls this user].
    #[arg(long, value_name = "NAME")]
    pub handler: Option<String>,
    /// The generation of that version [default: the present one].
    #[arg(long, value_name = "NUMBER")]
    pub generation: Option<u64>,
}

/// Arguments of `send`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "The payload is sent as it is, at most 256 KiB with the properties. While the \
    hub can't be reached the daemon keeps the message on disk and sends it later."
)]
pub struct Send {
    /// The module's id.
    pub module: String,
    /// The file with the payload, or `-` for standard input.
    #[arg(default_value = "-", value_name = "FILE")]
    pub file: PathBuf,
    /// A property of the message; may be given several times.
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = property)]
    pub properties: Vec<(String, String)>,
    /// The payload's media type, such as application/json.
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    /// The payload's encoding, such as utf-8.
    #[arg(long, value_name = "ENCODING")]
    pub content_encoding: Option<String>,
    /// What receivers tell a message that comes twice by.
    #[arg(long, value_name = "ID")]
    pub message_id: Option<String>,
    /// What ties the message to another one.
    #[arg(long, value_name = "ID")]
    pub correlation_id: Option<String>,
    /// When to return.
    #[arg(long, value_enum, default_value_t = WaitFor::Hub)]
    pub wait: WaitFor,
    /// How long to wait for the hub.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
}

/// Arguments of `methods`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "With --exec a call's payload goes to the command's standard input as JSON, \
    and MODTWIN_MODULE and MODTWIN_METHOD are set. What it prints is the answer's payload: JSON where \
    it reads as such, text otherwise. Exit status 0 answers 200, any other 500 with the last line of \
    standard error. Calls are answered one after the other. Lost connections are taken up again."
)]
pub struct Methods {
    /// The module's id.
    pub module: String,
    /// A method to answer; may be given several times [default: all that this user may].
    #[arg(long = "name", value_name = "NAME")]
    pub names: Vec<String>,
    /// The command to run for each call, with its arguments; must come last.
    #[arg(long, value_name = "COMMAND", num_args = 1.., allow_hyphen_values = true)]
    pub exec: Option<Vec<OsString>>,
}

/// Arguments of `validate`.
#[derive(Debug, Clone, Args)]
pub struct Validate {
    /// The first config file; `conf.d/*.toml` beside it belongs to it.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
}

/// Arguments of `csr`.
#[derive(Debug, Clone, Args)]
pub struct Csr {
    /// The device's id.
    #[arg(long, value_name = "ID")]
    pub device: String,
    /// The module's id.
    #[arg(long, value_name = "ID")]
    pub module: String,
    /// Where to write the new private key [default: MODULE.key].
    #[arg(long, value_name = "FILE")]
    pub key_out: Option<PathBuf>,
    /// Where to write the request [default: standard output].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// What sort of key to make.
    #[arg(long, value_enum, default_value_t = KeyChoice::Ec)]
    pub kind: KeyChoice,
    /// Use this private key in place of a new one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key_out", "kind"])]
    pub key: Option<PathBuf>,
    /// Overwrite files that exist.
    #[arg(long)]
    pub force: bool,
}

/// What sort of key to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyChoice {
    /// ECDSA on P-256.
    Ec,
    /// RSA with 2048 bits.
    Rsa,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
}

impl From<KeyChoice> for KeyKind {
    fn from(choice: KeyChoice) -> Self {
        match choice {
            KeyChoice::Ec => Self::EcP256,
            KeyChoice::Rsa => Self::Rsa2048,
            KeyChoice::Rsa3072 => Self::Rsa3072,
            KeyChoice::Rsa4096 => Self::Rsa4096,
        }
    }
}

/// Arguments of `reconnect`.
#[derive(Debug, Clone, Args)]
pub struct Reconnect {
    /// The module's id.
    pub module: String,
}

/// Arguments of `log-level`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "The level that the daemon was started with comes back by itself; give it \
    to have it back at once. The log: journalctl -u modtwind; of one module: journalctl -u \
    modtwind MODTWIN_MODULE=module01.")]
pub struct LogLevelArgs {
    /// The lines to log: those of this level and the graver ones.
    pub level: Option<LogLevelChoice>,
    /// For how long, from one second to 24 hours.
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = duration)]
    #[arg(requires = "level")]
    pub period: Duration,
}

/// Which lines the daemon logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevelChoice {
    /// What needs a human.
    Error,
    /// And what will be tried again.
    Warn,
    /// And changes of the daemon's life.
    Info,
    /// And each message and each request.
    Debug,
    /// Everything.
    Trace,
}

impl From<LogLevelChoice> for LogLevel {
    fn from(choice: LogLevelChoice) -> Self {
        match choice {
            LogLevelChoice::Error => Self::Error,
            LogLevelChoice::Warn => Self::Warn,
            LogLevelChoice::Info => Self::Info,
            LogLevelChoice::Debug => Self::Debug,
            LogLevelChoice::Trace => Self::Trace,
        }
    }
}

/// Arguments of `completions`.
#[derive(Debug, Clone, Args)]
pub struct Completions {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// Reads a time such as `30s` or `1m 30s`.
fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("expected more than nothing".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("expected a time with a unit, such as 30s: {error}")),
    }
}

/// Checks a JSON Pointer and leaves it as it is.
fn pointer(text: &str) -> Result<String, String> {
    Pointer::parse(text).map(|_pointer| text.to_owned()).map_err(|error| error.to_string())
}

/// Reads a property.
fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn ack_status(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|status| AckRequest::is_status(*status))
        .ok_or_else(|| "expected 200 to 299 or 400 to 599".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_command_to_execute_keeps_its_own_options() {
        let line = ["modtwinctl", "watch", "m", "--exec", "sh", "-c", "cat", "--json", "--", "x"];
        let cli = Cli::try_parse_from(line).unwrap();
        assert!(!cli.json);
        let Command::Watch(watch) = cli.command else { panic!("expected a watch") };
        assert_eq!(watch.exec.unwrap(), ["sh", "-c", "cat", "--json", "--", "x"]);
    }

    #[test]
    fn times_have_a_unit_and_are_more_than_nothing() {
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        for bad in ["", "30", "0s", "-1s", "soon"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }
}
