//! Runs one command after the other, times them, and sums up. What the steps are is the commands'
//! own.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::deadline::Watchdog;
use crate::terminal;
use crate::totals::TestTotals;

/// How long one step may take, builds on a slow machine included.
const LIMIT: Duration = Duration::from_secs(25 * 60);

/// One command of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// What the summary calls it.
    pub(crate) name: &'static str,
    /// The words that follow `cargo`.
    pub(crate) arguments: &'static [&'static str],
    /// Variables to set for it.
    pub(crate) environment: &'static [(&'static str, &'static str)],
    /// Whether its output is libtest's, to be counted.
    pub(crate) counts_tests: bool,
}

#[derive(Debug)]
struct Outcome {
    step: Step,
    passed: bool,
    took: Duration,
}

/// Runs every step, whatever became of those before it, and prints a summary.
///
/// # Errors
/// `cargo` itself could not be started.
pub(crate) fn run(root: &Path, steps: &[Step]) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let mut totals = TestTotals::default();
    let mut outcomes = Vec::new();
    for (position, step) in steps.iter().enumerate() {
        terminal::heading(&format!(
            "{}/{} {}: {}",
            position + 1,
            steps.len(),
            step.name,
            shown(step)
        ));
        let began = Instant::now();
        let passed = run_one(root, step, &mut totals)?;
        outcomes.push(Outcome { step: *step, passed, took: began.elapsed() });
    }
    Ok(summary(&outcomes, &totals, started.elapsed()))
}

fn shown(step: &Step) -> String {
    let mut words: Vec<String> =
        step.environment.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    words.push("cargo".to_owned());
    words.extend(step.arguments.iter().map(|argument| (*argument).to_owned()));
    words.join(" ")
}

fn run_one(root: &Path, step: &Step, totals: &mut TestTotals) -> anyhow::Result<bool> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(step.arguments)
        .envs(step.environment.iter().copied())
        .current_dir(root)
        .stdin(Stdio::null());
    if step.counts_tests {
        command.stdout(Stdio::piped());
    }
    let mut child = command.spawn().context("cannot run cargo")?;
    let watchdog = Watchdog::watch(child.id(), LIMIT);
    if let Some(output) = child.stdout.take() {
        totals.read_along(output).context("cannot read what cargo says")?;
    }
    let passed = child.wait().context("cannot wait for cargo")?.success();
    if watchdog.has_struck() {
        terminal::problem(&format!(
            "{} was killed: it did not end within {} minutes",
            step.name,
            LIMIT.as_secs() / 60
        ));
    }
    Ok(passed)
}

fn summary(outcomes: &[Outcome], totals: &TestTotals, took: Duration) -> ExitCode {
    terminal::heading("Summary");
    for outcome in outcomes {
        let mark = if outcome.passed { "passed" } else { "FAILED" };
        terminal::line(&format!(
            "{mark}  {:>6.1} s  {}",
            outcome.took.as_secs_f64(),
            outcome.step.name
        ));
    }
    if let Some(text) = totals.describe() {
        terminal::line(&text);
    }
    let failed: Vec<&str> = outcomes
        .iter()
        .filter(|outcome| !outcome.passed)
        .map(|outcome| outcome.step.name)
        .collect();
    if failed.is_empty() {
        terminal::line(&format!("everything passed in {:.0} s", took.as_secs_f64()));
        ExitCode::SUCCESS
    } else {
        terminal::line(&format!(
            "FAILED: {} (after {:.0} s)",
            failed.join(", "),
            took.as_secs_f64()
        ));
        ExitCode::FAILURE
    }
}
