//! `cargo xtask systemd-test`: packages and a root file system for the tests that boot a real
//! systemd, and those tests. Where this machine can't, it says so and why.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};

use crate::package::{self, Profile};
use crate::{bootstrap, terminal};

/// What the root file system is made of; another list makes another one.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,libssl3,ca-certificates,rpm,jq";
const RELEASE: &str = "bookworm";

/// A version that is higher than any that is released.
const NEXT_VERSION: &str = "999.0.0";

/// Builds what the tests need and runs them.
///
/// # Errors
/// The programs or packages can't be built; a machine that can't boot a systemd is no error.
pub(crate) fn run(root: &Path, profile: Profile) -> anyhow::Result<ExitCode> {
    bootstrap::system_packages()?;
    let target = root.join("target/systemd");
    if let Err(why) = prepare(&target) {
        terminal::line(&format!("the tests with a real systemd are SKIPPED: {why:#}"));
        return Ok(ExitCode::SUCCESS);
    }
    let packages = target.join("packages");
    package::programs(root, profile)?;
    for (folder, version) in [("old", None), ("new", Some(NEXT_VERSION))] {
        let folder = packages.join(folder);
        package::remove_packages(&folder)?;
        package::pack(root, profile, &folder, version)?;
    }
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--locked", "--package", "modtwin-tests", "--test", "systemd"])
        // Each boots a machine.
        .args(["--", "--test-threads=2"])
        .env("MODTWIN_SYSTEMD_ROOT", target.join("root"))
        .env("MODTWIN_SYSTEMD_PACKAGES", packages)
        .current_dir(root)
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes sure that containers can be booted here and that there is something to boot.
fn prepare(target: &Path) -> anyhow::Result<()> {
    bootstrap::container_tools()?;
    std::fs::create_dir_all(target).context("cannot make a folder")?;
    let root = target.join("root");
    let stamp = target.join("root.made-of");
    let made_of = format!("{RELEASE} {PACKAGES}\n");
    if std::fs::read_to_string(&stamp).ok().as_deref() != Some(&made_of) || !root.is_dir() {
        make_root(target, &root)?;
        std::fs::write(&stamp, made_of).context("cannot write down what the root is made of")?;
    }
    // What can't start one program boots nothing.
    quietly(
        Command::new("systemd-nspawn")
            .args(["--quiet", "--register=no", "--keep-unit", "--volatile=overlay", "--directory"])
            .arg(&root)
            .arg("/bin/true"),
    )
    .context("systemd-nspawn starts no container here")
}

fn make_root(target: &Path, root: &Path) -> anyhow::Result<()> {
    terminal::line(&format!(
        "making a {RELEASE} root file system in target/systemd (once, a minute)"
    ));
    for folder in [root, &target.join("root.new")] {
        if folder.exists() {
            std::fs::remove_dir_all(folder).context("cannot remove the old root file system")?;
        }
    }
    let new = target.join("root.new");
    quietly(
        Command::new("debootstrap")
            .args(["--variant=minbase", &format!("--include={PACKAGES}"), RELEASE])
            .arg(&new),
    )
    .context("debootstrap made no root file system")?;
    std::fs::write(new.join("etc/hosts"), "127.0.0.1\tlocalhost\n::1\tlocalhost\n")
        .context("cannot write /etc/hosts")?;
    std::fs::rename(new, root).context("cannot put the root file system in place")
}

/// Runs a command; what it says is told only where it fails.
fn quietly(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let end: Vec<&str> = said.lines().rev().take(3).collect();
        bail!("{}: {}", output.status, end.into_iter().rev().collect::<Vec<_>>().join("; "));
    }
    Ok(())
}
