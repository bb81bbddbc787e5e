//! `cargo xtask man`: writes the manual pages and completions anew. What they say is made by the
//! test that compares them, which knows the command lines and the keys of the config; this program
//! must not link what they need.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;

use crate::bootstrap;

/// Has the test write what it would complain of.
///
/// # Errors
/// Something that the build needs is missing.
pub(crate) fn run(root: &Path) -> anyhow::Result<ExitCode> {
    bootstrap::system_packages()?;
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--quiet", "--locked", "--package", "modtwin-tests", "--test", "manual"])
        // One after the other: some write, others read.
        .args(["--", "--test-threads=1"])
        .env("MODTWIN_WRITE_GENERATED", "1")
        .current_dir(root)
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
