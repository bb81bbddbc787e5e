//! The languages that there are clients for: what of them this machine has, installed as a user
//! installs it, once for all stories.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, bail};

/// A client library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Rust,
    Python,
    Asyncio,
    Node,
    C,
}

/// The languages of this machine.
pub(crate) fn all() -> &'static [Language] {
    static READY: OnceLock<Vec<Language>> = OnceLock::new();
    READY.get_or_init(|| {
        let (python, node, c) = std::thread::scope(|scope| {
            let python = scope.spawn(|| install("Python", "python3", python));
            let node = scope.spawn(|| install("Node", "npm", node));
            let c = scope.spawn(|| install("C", "cc", c));
            (python.join().unwrap(), node.join().unwrap(), c.join().unwrap())
        });
        let mut languages = vec![Language::Rust];
        if python {
            languages.extend([Language::Python, Language::Asyncio]);
        }
        languages.extend(node.then_some(Language::Node));
        languages.extend(c.then_some(Language::C));
        languages
    })
}

impl Language {
    /// The program that does with this client what it is told.
    pub(crate) fn driver(self) -> Command {
        match self {
            Self::Rust => Command::new(env!("CARGO_BIN_EXE_client-driver")),
            Self::Python => python_program(&root().join("tests/clients/drivers/driver.py")),
            Self::Asyncio => python_program(&root().join("tests/clients/drivers/driver_async.py")),
            Self::Node => node_program("driver.mjs"),
            Self::C => Command::new(folder("c").join("driver")),
        }
    }

    /// The quick start of this client; asyncio has none of its own.
    pub(crate) fn quickstart(self) -> Option<Command> {
        match self {
            Self::Rust => Some(Command::new(env!("CARGO_BIN_EXE_client-quickstart"))),
            Self::Python => {
                Some(python_program(&root().join("clients/python/examples/quickstart.py")))
            }
            Self::Asyncio => None,
            Self::Node => Some(node_program("quickstart.mjs")),
            Self::C => Some(Command::new(folder("c").join("quickstart"))),
        }
    }
}

/// The checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Where a language's things are put; what was there from an earlier run is used again.
fn folder(language: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(language)
}

/// Runs `installation` where `program` is here; says so where it is not.
fn install(
    language: &str,
    program: &str,
    installation: impl Fn(&Path) -> anyhow::Result<()>,
) -> bool {
    if run(Command::new(program).arg("--version")).is_err() {
        println!("skipped: the {language} client, because this machine has no {program}");
        return false;
    }
    let folder = folder(&language.to_lowercase());
    std::fs::create_dir_all(&folder).unwrap();
    installation(&folder).with_context(|| format!("installing the {language} client")).unwrap();
    true
}

fn python(folder: &Path) -> anyhow::Result<()> {
    let own = folder.join("bin/python");
    if run(Command::new(&own).args(["-m", "pip", "--version"])).is_err() {
        // Debian parts what virtual environments need from Python.
        let venv = |python: &str| run(Command::new(python).args(["-m", "venv"]).arg(folder));
        venv("python3").or_else(|_error| venv("/usr/bin/python3"))?;
    }
    let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let offline = ["--no-index", "--force-reinstall"];
    run(Command::new(own).args(quiet).args(offline).arg(root().join("clients/python")))
}

/// A script run by the Python that has the client.
pub(crate) fn python_program(script: &Path) -> Command {
    let mut command = Command::new(folder("python").join("bin/python"));
    // The checkout stays as it is.
    command.arg(script).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn node(folder: &Path) -> anyhow::Result<()> {
    let quiet = ["--offline", "--no-audit", "--no-fund", "--loglevel=error"];
    let package = root().join("clients/node");
    run(Command::new("npm").args(["pack", "--silent"]).arg(package).current_dir(folder))?;
    std::fs::write(folder.join("package.json"), "{\"private\": true}\n")?;
    run(Command::new("npm")
        .args(["install", "--no-save", "--force"])
        .arg(concat!("./modtwin-", env!("CARGO_PKG_VERSION"), ".tgz"))
        .args(quiet)
        .current_dir(folder))?;
    // A module is looked for above the script that imports it.
    for script in ["tests/clients/drivers/driver.mjs", "clients/node/examples/quickstart.mjs"] {
        let from = root().join(script);
        std::fs::copy(&from, folder.join(from.file_name().context("a file")?))?;
    }
    Ok(())
}

fn node_program(script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(folder("node").join(script));
    command
}

/// Everything that can be asked of a C compiler and its run-time checks.
fn c(folder: &Path) -> anyhow::Result<()> {
    let client = root().join("clients/c");
    for (source, program) in [
        (root().join("tests/clients/drivers/driver.c"), "driver"),
        (client.join("examples/quickstart.c"), "quickstart"),
    ] {
        run(Command::new("cc")
            .args(["-std=c11", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
            .args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-I"])
            .args([&client, &client.join("modtwin.c"), &source])
            .arg("-o")
            .arg(folder.join(program)))?;
    }
    Ok(())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output().context("cannot run it")?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&said));
    }
    Ok(())
}
