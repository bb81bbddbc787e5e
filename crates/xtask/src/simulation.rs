//! `cargo xtask simulate` and `cargo xtask fleet`: builds the simulations and hands over to them.
//! They need no system package but a linker.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};

/// Builds the program and becomes it, as `what`; returns only where that failed.
///
/// # Errors
/// The program does not build or can't be started.
pub(crate) fn run(root: &Path, what: &str, arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .args(["build", "--quiet", "--locked", "--profile", "simulation"])
        .args(["--package", "modtwin-sim"])
        .current_dir(root)
        .stdin(Stdio::null());
    if !build.status().context("cannot run cargo")?.success() {
        bail!("the simulations do not build; what cargo says is above");
    }
    // This program lies in the folder of its own profile, beside that of the others.
    let own = std::env::current_exe().context("cannot find out where this program lies")?;
    let profile = own.parent().context("this program lies in no folder")?;
    let program = profile.with_file_name("simulation").join("modtwin-sim");
    // Becoming it leaves nobody in between who would have to pass on Ctrl-C.
    Err(Command::new(&program).arg(what).args(arguments).exec())
        .with_context(|| format!("cannot start `{}`", program.display()))
}
