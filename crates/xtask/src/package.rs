//! `cargo xtask package`: the `.deb` and `.rpm` of the gateway's programs and of the emulator. What
//! is in them is written in the manifests of `modtwind` and `iothub-emulator`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};
use clap::ValueEnum;

use crate::{bootstrap, licences, terminal};

/// The tools, in the versions that the manifests were written for.
const TOOLS: [(&str, &str); 2] = [("cargo-deb", "3.8.0"), ("cargo-generate-rpm", "0.21.1")];

/// The crates whose manifests describe a package.
const PACKAGES: [&str; 2] = ["modtwind", "iothub-emulator"];

/// The crates whose programs are in them.
const PROGRAMS: [&str; 3] = ["modtwind", "modtwinctl", "iothub-emulator"];

/// How the programs in the packages are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// Smallest, for gateways: fat LTO.
    Dist,
    /// As fast, in a fraction of the time.
    Release,
    /// For tests: what is built already.
    Dev,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Dist => "dist",
            Self::Release => "release",
            Self::Dev => "dev",
        }
    }

    /// The folder below `target/`, which cargo calls otherwise for one of them.
    fn folder(self) -> &'static str {
        if self == Self::Dev { "debug" } else { self.name() }
    }
}

/// Builds all packages into `target/package` and says where they are.
///
/// # Errors
/// Something that the build needs is missing, or a step of it failed.
pub(crate) fn run(root: &Path, profile: Profile) -> anyhow::Result<ExitCode> {
    bootstrap::system_packages()?;
    let folder = root.join("target/package");
    remove_packages(&folder)?;
    programs(root, profile)?;
    pack(root, profile, &folder, None)?;
    for package in packages_in(&folder)? {
        let bytes = package.metadata().map_or(0, |found| found.len());
        terminal::line(&format!("{} ({} KiB)", package.display(), bytes / 1024));
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the programs.
///
/// # Errors
/// They do not build.
pub(crate) fn programs(root: &Path, profile: Profile) -> anyhow::Result<()> {
    let mut words = vec!["build", "--locked", "--profile", profile.name()];
    words.extend(PROGRAMS.iter().flat_map(|program| ["--package", *program]));
    call(root, &cargo(), &words)
}

/// Packs the programs that are built into `folder`, under another `version` where one is given.
///
/// # Errors
/// A tool can't be installed, or does not like what it finds.
pub(crate) fn pack(
    root: &Path,
    profile: Profile,
    folder: &Path,
    version: Option<&str>,
) -> anyhow::Result<()> {
    tools(root)?;
    documents(root)?;
    std::fs::create_dir_all(folder).context("cannot make the packages' folder")?;
    let tool = |name: &str| root.join("target/tools/bin").join(name);
    let out = folder.display().to_string();
    let deb_version = version.map(|version| format!("{version}-1"));
    let rpm_version = version.map(|version| format!("version = \"{version}\""));
    for package in PACKAGES {
        let mut words =
            vec!["-q", "--no-build", "--package", package, "--profile", profile.name(), "-o", &out];
        if profile != Profile::Dist {
            words.push("--fast");
        }
        if let Some(version) = &deb_version {
            words.extend(["--deb-version", version]);
        }
        call(root, tool("cargo-deb").as_os_str(), &words)?;
        let manifest = format!("crates/{package}");
        let compression = if profile == Profile::Dist { "zstd" } else { "none" };
        let mut words = vec!["--package", &manifest, "--profile", profile.folder(), "-o", &out];
        words.extend(["--payload-compress", compression]);
        if let Some(version) = &rpm_version {
            words.extend(["--set-metadata", version]);
        }
        call(root, tool("cargo-generate-rpm").as_os_str(), &words)?;
    }
    Ok(())
}

/// Installs the tools below `target/`, where they are missing.
fn tools(root: &Path) -> anyhow::Result<()> {
    let folder = root.join("target/tools");
    let installed = std::fs::read_to_string(folder.join(".crates.toml")).unwrap_or_default();
    let missing: Vec<String> = TOOLS
        .iter()
        .filter(|(name, version)| !installed.contains(&format!("\"{name} {version} ")))
        .map(|(name, version)| format!("{name}@{version}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    terminal::line(&format!("installing {} into target/tools", missing.join(" and ")));
    let out = folder.display().to_string();
    let mut words = vec!["install", "--locked", "--root", &out];
    words.extend(missing.iter().map(String::as_str));
    call(root, &cargo(), &words)
}

/// Puts documents where the manifests expect them: the licences of what is built in, and all of
/// the emulator's, because the packing tools know no file that may be missing, and its manual page
/// may.
fn documents(root: &Path) -> anyhow::Result<()> {
    let target = root.join("target/package");
    let share = target.join("emulator-share");
    let documents = share.join("doc/modtwin-emulator");
    let manual = share.join("man/man1");
    for folder in [&documents, &manual] {
        std::fs::create_dir_all(folder).context("cannot make a folder for documents")?;
    }
    licences::write(root, &["modtwind", "modtwinctl"], &target.join("THIRD-PARTY.txt"))?;
    licences::write(root, &["iothub-emulator"], &documents.join("THIRD-PARTY.txt"))?;
    let copy = |from: &Path, to: PathBuf| {
        std::fs::copy(from, to).with_context(|| format!("cannot copy `{}`", from.display()))
    };
    copy(&root.join("crates/iothub-emulator/README.md"), documents.join("README.md"))?;
    copy(&root.join("LICENSE"), documents.join("LICENSE"))?;
    let page = root.join("packaging/man/iothub-emulator.1");
    if page.exists() {
        copy(&page, manual.join("iothub-emulator.1"))?;
    }
    Ok(())
}

fn packages_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).context("cannot list the packages")? {
        let path = entry.context("cannot list the packages")?.path();
        if path.extension().and_then(OsStr::to_str).is_some_and(|it| it == "deb" || it == "rpm") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Removes packages of earlier runs, which may have another version.
pub(crate) fn remove_packages(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).context("cannot make the packages' folder")?;
    for package in packages_in(folder)? {
        std::fs::remove_file(package).context("cannot remove an old package")?;
    }
    Ok(())
}

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn call(root: &Path, program: &OsStr, words: &[&str]) -> anyhow::Result<()> {
    let shown = format!("{} {}", Path::new(program).display(), words.join(" "));
    let status = Command::new(program)
        .args(words)
        .current_dir(root)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed; what it says is above");
    }
    Ok(())
}
