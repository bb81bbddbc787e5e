//! The command line of `modtwind`.

use std::path::PathBuf;

use clap::Parser;

use crate::logging::LogFormat;

/// Keeps the module twins of this gateway in step with Azure IoT Hub, and serves them to local
/// processes over a Unix socket.
///
/// Reads CONFIG and then conf.d/*.toml beside it, in the order of their names; notices when they
/// change and applies what differs. SIGHUP reads them again, SIGTERM ends the daemon.
///
/// Exit status: 0 ended when told to; 64 wrong usage; 70 the system refused something; 77 not
/// permitted; 78 the config is wrong (every problem is printed with its file and line).
#[derive(Debug, Parser)]
#[command(name = "modtwind", version, max_term_width = 100)]
pub struct Arguments {
    /// The config file.
    #[arg(long, value_name = "FILE", default_value = "/etc/modtwin/modtwind.toml")]
    pub config: PathBuf,
    /// How log lines look: `text` for people, or records of the journal where standard error is
    /// connected to it; `json` for machines, to standard error always.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Log more; given twice, log everything.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}
