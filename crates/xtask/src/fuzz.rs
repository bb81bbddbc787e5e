//! `cargo xtask fuzz`: builds tests/fuzz with the coverage counters that libFuzzer reads, and runs
//! its targets one after the other. The counters are ordinary code-generation flags, so that the
//! stable tool-chain is enough; no sanitizer runs, since no crate of ours has unsafe code to watch.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};

use crate::{bootstrap, terminal};

/// What to fuzz.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The target; all where none is given.
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 180)]
    seconds: u64,
    /// Put inputs that add coverage into tests/fuzz/corpus: the shortest, and few.
    #[arg(long)]
    keep: bool,
}

/// Edge counters, their addresses and compared values: what libFuzzer steers by.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// The longest input that is kept, in bytes.
const MOST_BYTES: u64 = 1024;

/// The most inputs that one run adds to those that are kept.
const MOST_INPUTS: usize = 80;

/// The longest input, in bytes.
const LONGEST: u32 = 4096;

/// Fuzzes.
///
/// # Errors
/// The fuzzer does not build, there is no such target, or its folders can't be made.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    bootstrap::system_packages()?;
    let targets = targets(root)?;
    let chosen: Vec<&String> = match &arguments.target {
        None => targets.iter().collect(),
        Some(name) => targets.iter().filter(|known| *known == name).collect(),
    };
    if chosen.is_empty() {
        bail!("expected a target out of {}", targets.join(", "));
    }
    let program = build(root)?;
    let mut failed = Vec::new();
    for target in chosen {
        terminal::heading(&format!("{target}: {} s", arguments.seconds));
        let run = Run::new(root, &program, target)?;
        if !run.fuzz(arguments.seconds)? {
            failed.push(target.as_str());
        } else if arguments.keep {
            run.keep()?;
        }
    }
    if failed.is_empty() {
        terminal::line("nothing was found");
        return Ok(ExitCode::SUCCESS);
    }
    terminal::line(&format!(
        "FOUND something in {}: mend it, and put the input into tests/fuzz/corpus",
        failed.join(", ")
    ));
    Ok(ExitCode::FAILURE)
}

/// The targets: each has a folder of inputs, which the replay test makes sure of.
fn targets(root: &Path) -> anyhow::Result<Vec<String>> {
    let folder = root.join("tests/fuzz/corpus");
    let entries = std::fs::read_dir(&folder)
        .with_context(|| format!("cannot list `{}`", folder.display()))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let host = host()?;
    let target_folder = root.join("target/fuzz");
    // The fuzzer starts from the workspace's own lock, and so has the versions that are released.
    std::fs::copy(root.join("Cargo.lock"), root.join("tests/fuzz/Cargo.lock"))
        .context("cannot copy Cargo.lock")?;
    // Naming the target keeps the counters out of build scripts and macros.
    let built = Command::new(cargo())
        .args(["build", "--release", "--target", &host, "--manifest-path"])
        .arg(root.join("tests/fuzz/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_folder)
        .env("RUSTFLAGS", COVERAGE)
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    if !built.success() {
        bail!("the fuzzer does not build; what cargo says is above");
    }
    Ok(target_folder.join(host).join("release/modtwin-fuzz"))
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The tool-chain's own target, such as `x86_64-unknown-linux-gnu`.
fn host() -> anyhow::Result<String> {
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .arg("-vV")
        .output()
        .context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say its host")
}

/// One target's run.
struct Run<'a> {
    program: &'a Path,
    target: &'a str,
    /// The committed inputs.
    kept: PathBuf,
    /// Those that this machine has found.
    found: PathBuf,
    /// Inputs that fail.
    failures: PathBuf,
}

impl<'a> Run<'a> {
    fn new(root: &Path, program: &'a Path, target: &'a str) -> anyhow::Result<Self> {
        let work = root.join("target/fuzz");
        let run = Self {
            program,
            target,
            kept: root.join("tests/fuzz/corpus").join(target),
            found: work.join("corpus").join(target),
            failures: work.join("failures").join(target),
        };
        for folder in [&run.found, &run.failures] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make `{}`", folder.display()))?;
        }
        Ok(run)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        command.env("FUZZ_TARGET", self.target).stdin(Stdio::null());
        command.arg(format!("-max_len={LONGEST}")).arg("-timeout=10");
        command.arg(format!("-artifact_prefix={}/", self.failures.display()));
        command
    }

    /// Says whether nothing was found.
    fn fuzz(&self, seconds: u64) -> anyhow::Result<bool> {
        let mut command = self.command();
        command.arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1");
        command.arg("-verbosity=1").arg(&self.found).arg(&self.kept);
        let status = command.status().context("cannot run the fuzzer")?;
        Ok(status.success())
    }

    /// Chooses, out of what is kept and what was found, as few inputs as cover all that they cover
    /// together, and keeps those.
    fn keep(&self) -> anyhow::Result<()> {
        let chosen = self.found.with_extension("chosen");
        let _left_by_a_run_that_was_stopped = std::fs::remove_dir_all(&chosen);
        std::fs::create_dir_all(&chosen).context("cannot make a folder")?;
        let mut command = self.command();
        // Edges alone, not how often each was taken: a tenth of the files.
        command
            .arg("-use_counters=0")
            .arg("-set_cover_merge=1")
            .arg(&chosen)
            .arg(&self.kept)
            .arg(&self.found);
        if !command.status().context("cannot run the fuzzer")?.success() {
            bail!("the inputs of {} can't be merged; what libFuzzer says is above", self.target);
        }
        let mut inputs = Vec::new();
        for entry in std::fs::read_dir(&chosen).context("cannot list the chosen inputs")? {
            let entry = entry.context("cannot list the chosen inputs")?;
            let bytes = entry.metadata().context("cannot look at an input")?.len();
            inputs.push((bytes, entry.file_name()));
        }
        inputs.sort();
        // A repository is no place for a heap of inputs: the short ones, and not too many.
        for (_, name) in inputs.iter().filter(|(bytes, _)| *bytes <= MOST_BYTES).take(MOST_INPUTS) {
            let kept = self.kept.join(name);
            std::fs::copy(chosen.join(name), &kept)
                .with_context(|| format!("cannot write `{}`", kept.display()))?;
        }
        Ok(())
    }
}
