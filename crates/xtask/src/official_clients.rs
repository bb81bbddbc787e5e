//! `cargo xtask official-clients`: installs the official SDKs in the pinned versions, then runs the stories that the
//! emulator's tests tell about them. What is installed stays in `target/official-clients` until a lock file changes.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::deadline::Watchdog;
use crate::{bootstrap, terminal};

/// Says why the stories can't be told here, if they can't: the SDKs know ports 443 and 8883 alone.
pub(crate) fn obstacle() -> Option<&'static str> {
    [443, 8883].into_iter().find_map(|port| {
        // Nobody listens here but a server that takes every address of the machine.
        let kind = TcpListener::bind((LONELY, port)).err()?.kind();
        match kind {
            ErrorKind::PermissionDenied => Some(
                "this user can't listen on port 443, which the SDKs insist on \
                 (`sudo sysctl -w net.ipv4.ip_unprivileged_port_start=443`)",
            ),
            ErrorKind::AddrInUse => Some(
                "a server holds port 443 or 8883 on every address of this machine, \
                 and the SDKs insist on both",
            ),
            _ => None,
        }
    })
}

/// Installs what is missing and runs the stories.
///
/// # Errors
/// The SDKs can't be installed, or port 443 can't be had.
pub(crate) fn run(root: &Path) -> anyhow::Result<ExitCode> {
    if let Some(obstacle) = obstacle() {
        bail!("{obstacle}");
    }
    bootstrap::system_packages()?;
    bootstrap::sdk_packages()?;
    let (sdks, installed) = (root.join("tests/sdk"), root.join("target/official-clients"));
    install_python("the Python SDKs", &sdks.join("python"), &installed.join("python"))?;
    install_node(&sdks.join("node"), &installed.join("node"))?;
    print_limits(&sdks.join("README.md"))?;
    let mut stories = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    stories
        .args(["test", "--package", "iothub-emulator", "--test", "official-clients", "--locked"])
        // More at a time only make each other wait on a small machine.
        .args(["--", "--test-threads=2"])
        .env("OFFICIAL_CLIENTS", &installed)
        .current_dir(root);
    let passed = stories.stdin(Stdio::null()).status().context("cannot run cargo")?.success();
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Installs what `requirements.txt` in `from` pins into a virtual environment at `folder`.
///
/// # Errors
/// There is no Python that can, or PyPI does not answer.
pub(crate) fn install_python(what: &str, from: &Path, folder: &Path) -> anyhow::Result<()> {
    let python = bootstrap::python().context("no python3 can make a virtual environment")?;
    let requirements = from.join("requirements.txt");
    let stamp = Stamp::of(folder, &requirements, &version(python)?)?;
    if stamp.is_current() {
        return Ok(());
    }
    terminal::line(&format!("installing {what} (once)"));
    remove(folder)?;
    finish(Command::new(python).args(["-m", "venv"]).arg(folder))?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    finish(pip.args(["--require-hashes", "--requirement"]).arg(&requirements))?;
    stamp.write()
}

fn install_node(sdk: &Path, folder: &Path) -> anyhow::Result<()> {
    let lock = sdk.join("package-lock.json");
    let stamp = Stamp::of(folder, &lock, &version("node")?)?;
    if stamp.is_current() {
        return Ok(());
    }
    terminal::line("installing the Node SDKs (once)");
    remove(folder)?;
    std::fs::create_dir_all(folder).with_context(|| cannot("create", folder))?;
    for name in ["package.json", "package-lock.json"] {
        let from = sdk.join(name);
        std::fs::copy(&from, folder.join(name)).with_context(|| cannot("copy", &from))?;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    finish(npm.current_dir(folder))?;
    stamp.write()
}

/// Notes what a folder was installed from: the lock file's text and the interpreter's version.
struct Stamp {
    path: PathBuf,
    text: String,
}

impl Stamp {
    fn of(folder: &Path, lock: &Path, interpreter: &str) -> anyhow::Result<Self> {
        let lock = std::fs::read_to_string(lock).with_context(|| cannot("read", lock))?;
        Ok(Self { path: folder.join("installed"), text: format!("{interpreter}\n{lock}") })
    }

    fn is_current(&self) -> bool {
        std::fs::read_to_string(&self.path).is_ok_and(|text| text == self.text)
    }

    fn write(&self) -> anyhow::Result<()> {
        std::fs::write(&self.path, &self.text).with_context(|| cannot("write", &self.path))
    }
}

fn version(program: &str) -> anyhow::Result<String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.with_context(|| format!("cannot run `{}`", program))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| cannot("remove", folder))
        }
        _ => Ok(()),
    }
}

/// Runs a command to its end; a registry that does not answer is a failure after a while.
fn finish(command: &mut Command) -> anyhow::Result<()> {
    let shown = format!("{command:?}");
    let child = command.stdin(Stdio::null()).spawn();
    let mut child = child.with_context(|| format!("cannot run {shown}"))?;
    let watchdog = Watchdog::watch(child.id(), LONGEST_INSTALLATION);
    let status = child.wait().context("cannot wait")?;
    if watchdog.has_struck() {
        bail!("{shown} was killed after {} minutes", LONGEST_INSTALLATION.as_secs() / 60);
    }
    if !status.success() {
        bail!("{shown} failed ({status}); the registries are PyPI and npm");
    }
    Ok(())
}

/// Prints what the stories leave out, as the README lists it.
fn print_limits(readme: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(readme).with_context(|| cannot("read", readme))?;
    let (_, limits) = text
        .split_once(LIMITS)
        .with_context(|| format!("`{}` has no section `{LIMITS}`", readme.display()))?;
    terminal::line(LIMITS.trim_start_matches("## "));
    terminal::line(limits.trim());
    Ok(())
}

fn cannot(what: &str, path: &Path) -> String {
    format!("cannot {what} `{}`", path.display())
}

/// A loopback address that nothing has a reason to use.
const LONELY: &str = "127.82.113.90";
const LIMITS: &str = "## What is left out, and why";
const LONGEST_INSTALLATION: Duration = Duration::from_secs(10 * 60);
