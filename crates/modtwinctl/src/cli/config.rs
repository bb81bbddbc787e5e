//! The definition of `modtwinctl diff` and `modtwinctl apply`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{DEFAULT_CONFIG, duration};

/// Arguments of `diff`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Paths in NEW count as if it lay in place already. Keys and certificates are \
    not opened, so any user who may read the configs may compare them.\n\nExit status: 0 no \
    difference, 1 a difference, 78 one of the two does not check."
)]
pub struct Diff {
    /// A file in place of the first config file, or a folder in place of its whole folder.
    pub new: PathBuf,
    /// The first config file as it is; `conf.d/*.toml` beside it belongs to it.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
}

/// Arguments of `apply`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "FILE takes the place of the first config file of the running daemon; \
    conf.d stays as it is. What does not check changes nothing (exit status 78).\n\nWith --confirm \
    the daemon tries the new config first. Only once every module that was connected before, and \
    stays, is connected again, the file is replaced. Where one does not return in time, the daemon \
    goes back by itself, the file is left as it was, and the exit status is 1. The daemon goes \
    back likewise where this command is killed or its terminal is lost; a restart of the daemon \
    takes what is on disk: the old file.")]
pub struct Apply {
    /// The new config file.
    pub file: PathBuf,
    /// Try it for so long at the most, from 1s to 1h [default: put it in place at once].
    #[arg(long, value_name = "TIME", value_parser = confirm)]
    pub confirm: Option<Duration>,
}

/// Reads a time of whole seconds from 1 s to 1 h.
fn confirm(text: &str) -> Result<Duration, String> {
    let read = duration(text)?;
    let bounds = Duration::from_secs(1)..=Duration::from_secs(3600);
    if bounds.contains(&read) && read.subsec_nanos() == 0 {
        return Ok(read);
    }
    Err("expected whole seconds from 1s to 1h".to_owned())
}
