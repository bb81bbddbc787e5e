//! `cargo xtask schemathesis`: installs schemathesis in the pinned version, then has it judge the local API of the real
//! daemon by the daemon's own OpenAPI document. What is installed stays in `target/schemathesis` until the pins change.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;

use crate::bootstrap;
use crate::official_clients::install_python;

/// Says why it can't be done here, if it can't: schemathesis is Python's, and comes from PyPI.
pub(crate) fn obstacle(root: &Path) -> Option<String> {
    install(root).err().map(|error| format!("{error:#}"))
}

/// Installs what is missing and lets schemathesis judge.
///
/// # Errors
/// Schemathesis can't be installed.
pub(crate) fn run(root: &Path) -> anyhow::Result<ExitCode> {
    bootstrap::system_packages()?;
    install(root)?;
    for (command, arguments) in [
        ("build", &["--workspace", "--bins", "--locked"][..]),
        ("test", &["--package", "modtwind", "--test", "schemathesis", "--locked"]),
    ] {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.arg(command).args(arguments).env("SCHEMATHESIS", root.join(INSTALLED));
        let passed = cargo.current_dir(root).stdin(Stdio::null()).status();
        if !passed.context("cannot run cargo")?.success() {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn install(root: &Path) -> anyhow::Result<()> {
    bootstrap::python_packages()?;
    install_python("schemathesis", &root.join("tests/schemathesis"), &root.join(INSTALLED))
}

const INSTALLED: &str = "target/schemathesis";
