//! `cargo xtask storm`: a thousand config pushes in a minute. The storm itself is the testkit's.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use modtwin_testkit::hub::program;
use modtwin_testkit::storm::{Figures, Plan, storm};

use crate::terminal;

/// What the storm is told.
#[derive(Debug, Args)]
pub(crate) struct StormArguments {
    /// How long it lasts, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many configs are pushed in that time.
    #[arg(long, default_value_t = 1000)]
    pushes: usize,
    /// How many modules the gateway has.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(3..=20))]
    modules: u16,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// Raises the storm and prints what came of it; fails where something happened that should not.
pub(crate) fn run(arguments: &StormArguments) -> anyhow::Result<ExitCode> {
    let lasts = Duration::from_secs(arguments.seconds);
    let plan = Plan { modules: arguments.modules.into(), pushes: arguments.pushes, lasts };
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let figures = runtime.block_on(async { storm(program("modtwind")?, plan).await })?;
    if arguments.json {
        let json = serde_json::to_string_pretty(&figures).context("cannot write the figures")?;
        terminal::result(&json);
    } else {
        terminal::result(&text(&figures, plan));
    }
    Ok(if figures.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(figures: &Figures, plan: Plan) -> String {
    let mut lines = vec![
        format!(
            "{} configs in {} s to {} modules, {} of them broken",
            figures.pushes,
            plan.lasts.as_secs(),
            plan.modules,
            figures.broken
        ),
        format!(
            "put in force: {}; requests to reload: {}, {} of them refused",
            figures.put_in_force, figures.reloads_requested, figures.requests_refused
        ),
        format!(
            "connects: {} of the modules that did not change, {} of the two that did",
            figures.calm_connects, figures.restless_connects
        ),
        format!("in force after the last push: {:.1} s", figures.settled_after),
        format!("processor time of the daemon: {:.1} s", figures.processor_seconds),
    ];
    lines.extend(figures.violations.iter().map(|violation| format!("WRONG: {violation}")));
    lines.join("\n")
}
