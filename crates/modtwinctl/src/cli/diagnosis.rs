//! The arguments of the commands that find out how things are: `check`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{DEFAULT_CONFIG, duration};
use crate::check::catalogue;

/// Arguments of `check`.
#[derive(Debug, Clone, Args)]
#[command(after_help = catalogue())]
pub struct Check {
    /// The first config file; `conf.d/*.toml` beside it belongs to it.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// Leave out what needs the network.
    #[arg(long)]
    pub offline: bool,
    /// The user that the daemon runs as [default: whom the running daemon belongs to; else
    /// `modtwin` for a config in /etc/modtwin; else this user].
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// How long each step on the network may take.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub timeout: Duration,
}
