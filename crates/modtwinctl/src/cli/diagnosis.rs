//! The arguments of the commands that find out how things are: `status`, `check`, `support-bundle`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{DEFAULT_CONFIG, duration};

/// Arguments of `status`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "With --watch into a terminal the page is drawn anew in its place, and \
    Ctrl-C ends it; into a pipe a page is printed each time something has changed. While the daemon \
    is away that is said, and it is asked again.")]
pub struct StatusArgs {
    /// Keep showing it.
    #[arg(long)]
    pub watch: bool,
    /// How long to wait between two looks.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    #[arg(requires = "watch")]
    pub interval: Duration,
}

/// Arguments of `check`.
#[derive(Debug, Clone, Args)]
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

/// Arguments of `support-bundle`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Private keys, passwords, connection strings and tokens are never in it. \
    Look into it before you send it: it has the names of devices, modules, users and files.")]
pub struct SupportBundle {
    /// The file to write, a .tar.gz [default: modtwin-support-TIME.tar.gz].
    pub file: Option<PathBuf>,
    /// Overwrite the file if it exists.
    #[arg(long)]
    pub force: bool,
    /// Include the values of the twins, desired and reported.
    #[arg(long)]
    pub with_twins: bool,
    /// What to check.
    #[command(flatten)]
    pub check: Check,
}
