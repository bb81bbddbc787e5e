//! `cargo xtask bench`, `torture` and `storm`: installs what is missing, builds the programs as
//! they are released, and hands over to the one that measures or tortures them.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};

use crate::bootstrap;

/// What is released, and the hub that it is measured against.
const PROGRAMS: [&str; 3] = ["modtwind", "modtwinctl", "iothub-emulator"];

/// Builds the programs and becomes `name`, which does something to them; returns only where that
/// failed.
///
/// # Errors
/// Something that the build needs is missing, a program does not build, or `name` can't be started.
pub(crate) fn run(root: &Path, name: &str, arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    bootstrap::system_packages()?;
    build(root, name)?;
    // This program lies in the folder of its own profile, beside that of the others.
    let own = std::env::current_exe().context("cannot find out where this program lies")?;
    let profile = own.parent().context("this program lies in no folder")?;
    let program = profile.with_file_name("release").join(name);
    // Becoming it leaves nobody in between who would have to pass on Ctrl-C.
    Err(Command::new(&program).args(arguments).exec())
        .with_context(|| format!("cannot start `{}`", program.display()))
}

fn build(root: &Path, name: &str) -> anyhow::Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--release", "--locked"]).current_dir(root).stdin(Stdio::null());
    for program in PROGRAMS.iter().chain(&[name]) {
        command.args(["--package", program]);
    }
    if !command.status().context("cannot run cargo")?.success() {
        bail!("the programs do not build; what cargo says is above");
    }
    Ok(())
}
