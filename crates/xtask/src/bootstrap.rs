//! Looks for what the build needs from the system and from rustup, and installs what is missing or
//! says how. What the packages are called is [`crate::packages`]'s.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::packages::{Family, Requirement, shell_line};
use crate::terminal;

/// Makes sure that what every build requires is there: installs what is missing when root.
///
/// # Errors
/// Something is missing and this user can't install it (the text is the command that does), or installing failed.
pub(crate) fn system_packages() -> anyhow::Result<()> {
    ensure(&Requirement::BUILD)
}

/// Makes sure that what the tests require besides is there, in the same way.
///
/// # Errors
/// As [`system_packages`].
pub(crate) fn test_packages() -> anyhow::Result<()> {
    ensure(&Requirement::TESTS)
}

/// Makes sure that what the official SDKs require is there, in the same way.
///
/// # Errors
/// As [`system_packages`].
pub(crate) fn sdk_packages() -> anyhow::Result<()> {
    ensure(&Requirement::SDKS)
}

/// Makes sure that what schemathesis requires is there, in the same way.
///
/// # Errors
/// As [`system_packages`].
pub(crate) fn python_packages() -> anyhow::Result<()> {
    ensure(&Requirement::PYTHON)
}

fn ensure(required: &[Requirement]) -> anyhow::Result<()> {
    let missing = missing(required);
    if missing.is_empty() {
        return Ok(());
    }
    let wanted = names(&missing);
    let Some(family) = [Family::Apt, Family::Dnf]
        .into_iter()
        .find(|family| answers(family.program(), "--version"))
    else {
        bail!(
            "{wanted} must be there, and neither apt-get nor dnf is here to install it: install it and try again"
        );
    };
    let commands = family.install_commands(&missing);
    if !is_root() {
        bail!(
            "{wanted} must be there; install it with\n\n    {}\n\nand try again",
            shell_line(&commands, true)
        );
    }
    terminal::heading("System packages");
    terminal::line(&format!("missing: {wanted}; installing it with"));
    for words in &commands {
        terminal::line(&format!("    {}", words.join(" ")));
        run_install(words)?;
    }
    let still = self::missing(required);
    if !still.is_empty() {
        bail!("installed the packages, but still can't find {}", names(&still));
    }
    terminal::line("installed");
    Ok(())
}

/// Makes sure that `cargo fmt` and `cargo clippy` are there, and lets rustup fetch them where they
/// are not.
///
/// # Errors
/// A component is missing and rustup is not there, or could not fetch it.
pub(crate) fn rust_components() -> anyhow::Result<()> {
    for (component, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if succeeds(Command::new("cargo").args([subcommand, "--version"])) {
            continue;
        }
        terminal::heading("Rust components");
        terminal::line(&format!(
            "missing: {component}; installing it with\n    rustup component add {component}"
        ));
        let status = Command::new("rustup")
            .args(["component", "add", component])
            .stdin(Stdio::null())
            .status()
            .with_context(|| {
                format!("`cargo {subcommand}` is not there, and neither is rustup; install your toolchain's {component}")
            })?;
        if !status.success() {
            bail!(
                "`rustup component add {component}` failed; add it to your toolchain and try again"
            );
        }
    }
    Ok(())
}

/// Makes sure that containers can be made and booted: root, debootstrap, systemd-nspawn. Installs
/// the tools where apt-get can.
///
/// # Errors
/// Why none can.
pub(crate) fn container_tools() -> anyhow::Result<()> {
    if !is_root() {
        bail!("booting a container takes root");
    }
    let has_tools =
        || answers("debootstrap", "--version") && answers("systemd-nspawn", "--version");
    if has_tools() {
        return Ok(());
    }
    if !answers("apt-get", "--version") {
        bail!("debootstrap or systemd-nspawn is not here, and neither is apt-get to install it");
    }
    terminal::line("installing debootstrap and systemd-container with apt-get");
    run_install(&["apt-get", "update", "-qq"])?;
    let packages = ["debootstrap", "systemd-container"];
    let mut install = vec!["apt-get", "install", "-y", "-qq", "--no-install-recommends"];
    install.extend(packages);
    run_install(&install)?;
    if !has_tools() {
        bail!("installed {}, but still can't run them", packages.join(" and "));
    }
    Ok(())
}

/// Says whether `cargo deny` can be run; it is asked for by nobody who only wants the tests.
pub(crate) fn has_cargo_deny() -> bool {
    succeeds(Command::new("cargo").args(["deny", "--version"]))
}

fn names(requirements: &[Requirement]) -> String {
    let words: Vec<&str> = requirements.iter().map(|requirement| requirement.describe()).collect();
    words.join(", ")
}

fn missing(required: &[Requirement]) -> Vec<Requirement> {
    required.iter().copied().filter(|requirement| !is_met(*requirement)).collect()
}

fn is_met(requirement: Requirement) -> bool {
    match requirement {
        Requirement::CCompiler => answers("cc", "--version") || answers("gcc", "--version"),
        Requirement::Cmake => answers("cmake", "--version"),
        Requirement::Make => answers("make", "--version"),
        Requirement::PkgConfig => answers("pkg-config", "--version"),
        Requirement::OpensslHeaders => {
            // The openssl crate looks at OPENSSL_DIR first (openssl-sys, build/find_normal.rs).
            std::env::var_os("OPENSSL_DIR").is_some()
                || succeeds(Command::new("pkg-config").args(["--exists", "openssl"]))
                || (!answers("pkg-config", "--version")
                    && Path::new("/usr/include/openssl/ssl.h").exists())
        }
        Requirement::PythonVenv => python().is_some(),
        Requirement::Faketime => answers("faketime", "--version"),
        Requirement::Jq => answers("jq", "--version"),
        Requirement::Node => answers("node", "--version") && answers("npm", "--version"),
    }
}

/// Finds a Python that can make a virtual environment: the one in the path, or the distribution's own.
pub(crate) fn python() -> Option<&'static str> {
    PYTHONS.into_iter().find(|python| makes_environments(python))
}

/// Debian parts `ensurepip` from Python.
fn makes_environments(python: &str) -> bool {
    succeeds(Command::new(python).args(["-c", "import ensurepip, venv"]))
}

fn answers(program: &str, argument: &str) -> bool {
    succeeds(Command::new(program).arg(argument))
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Asks `id`, which every Linux has, rather than link a library for one number.
fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn run_install(words: &[&str]) -> anyhow::Result<()> {
    let (program, arguments) = words.split_first().context("an install command has no words")?;
    let output = Command::new(program)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run `{program}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed ({}):\n{}", words.join(" "), output.status, said.trim());
    }
    Ok(())
}

const PYTHONS: [&str; 2] = ["python3", "/usr/bin/python3"];
