//! `cargo xtask demo`: installs what is missing, builds the programs, and hands over to the one
//! that tells the story.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};

use crate::{bootstrap, terminal};

const PROGRAMS: [&str; 4] = ["modtwind", "modtwinctl", "iothub-emulator", "modtwin-demo"];

/// Builds the programs and becomes the demo; returns only where that failed.
///
/// # Errors
/// Something that the build needs is missing, a program does not build, or the demo can't be started.
pub(crate) fn run(root: &Path, keep: bool, modules: u16) -> anyhow::Result<ExitCode> {
    bootstrap::system_packages()?;
    terminal::line(&format!(
        "building {} (the first time takes a few minutes)",
        PROGRAMS.join(", ")
    ));
    build(root)?;
    // cargo put this program where it just put the others.
    let own = std::env::current_exe().context("cannot find out where this program lies")?;
    let programs = own.parent().context("this program lies in no folder")?;
    let mut command = Command::new(programs.join("modtwin-demo"));
    command.arg("--modules").arg(modules.to_string());
    if keep {
        command.arg("--keep");
    }
    // Becoming the demo leaves nobody in between who would have to pass on Ctrl-C.
    Err(command.exec())
        .with_context(|| format!("cannot start `{}`", programs.join("modtwin-demo").display()))
}

fn build(root: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--locked"]).current_dir(root).stdin(Stdio::null());
    for program in PROGRAMS {
        command.args(["--package", program]);
    }
    if !command.status().context("cannot run cargo")?.success() {
        bail!("the programs do not build; what cargo says is above");
    }
    Ok(())
}
