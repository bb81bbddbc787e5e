//! The crash campaign: the real programs, each a process of its own, killed, paused, cut off and
//! starved at random while a back end keeps changing and handlers keep reporting; at the end what
//! was promised is compared with what is. Started by `cargo xtask torture`, which builds the
//! programs and puts them beside this one.
//!
//! This file owns the command line; what happens in which order is [`campaign`]'s, what has to
//! hold is [`check`]'s.

mod back_end;
mod campaign;
mod check;
mod diary;
mod disk;
mod disturbance;
mod ending;
mod handler;
mod handlers;
mod leaves;
mod ledger;
mod recorder;
mod rig;
mod storm;
mod summary;
mod terminal;
mod traces;
mod wall;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::{Parser, Subcommand};
use modtwin_testkit::page::Page;
use tokio::signal::unix::{SignalKind, signal};

use crate::campaign::{Campaign, Plan};
use crate::handler::HandlerArguments;
use crate::storm::StormArguments;
use crate::summary::Summary;

/// Kills, pauses and cuts the real programs at random, and checks what they promised.
///
/// A seed decides what is done to whom; when exactly things fall together is the machine's, so the
/// same seed need not find the same twice.
#[derive(Debug, Parser)]
#[command(name = "modtwin-torture", args_conflicts_with_subcommands = true)]
struct Arguments {
    /// How long to go on with it, in minutes; a fraction is fine.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// What decides what happens; made up and told where it is left out.
    #[arg(long)]
    seed: Option<u64>,
    /// How many modules the gateway has.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=20))]
    modules: u16,
    /// The daemon's `[hub] retry-delay`, on which all of its waits depend. A tenth of its default,
    /// so that a minute sees ten times as much.
    #[arg(long, default_value = "100ms")]
    retry_delay: String,
    /// Leave the folder with all logs where something broke.
    #[arg(long)]
    keep_on_failure: bool,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
    /// Put the figures between the markers of this page as well, if every promise held.
    #[arg(long, value_name = "PAGE")]
    write: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Be the handler of one module; the campaign starts these.
    Handler(HandlerArguments),
    /// Push configs in a storm, a third of them broken, and see that nobody is disturbed.
    Storm(StormArguments),
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            terminal::problem(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.role {
        Some(Role::Handler(handler)) => {
            // One thread is all that a handler needs.
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().context("cannot start the runtime")?;
            return runtime.block_on(handler::run(handler)).map(|()| ExitCode::SUCCESS);
        }
        Some(Role::Storm(arguments)) => return storm::run(arguments),
        None => {}
    }
    // A page that can't be written is found out before the long part.
    let page = arguments.write.as_deref().map(|page| Page::find(page, "torture")).transpose()?;
    let lasts = Duration::try_from_secs_f64(arguments.minutes * 60.0)
        .context("`--minutes`: expected a number that is not negative")?;
    let plan = Plan {
        lasts,
        seed: arguments.seed.unwrap_or_else(|| fastrand::u64(0..1_000_000)),
        modules: usize::from(arguments.modules),
        retry_delay: arguments.retry_delay.clone(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let summary = runtime.block_on(async {
        // Whatever ends the campaign, what it holds ends the processes when dropped.
        tokio::select! {
            biased;
            stopped = stop_signal() => Err(stopped.err().unwrap_or_else(|| anyhow!("stopped"))),
            summary = torture(plan, arguments.keep_on_failure) => summary,
        }
    })?;
    if arguments.json {
        let json = serde_json::to_string_pretty(&summary).context("cannot write the figures")?;
        terminal::result(&json);
    } else {
        terminal::result(&summary.text());
    }
    if !summary.violations.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    page.map_or(Ok(()), |page| page.write(&summary.markdown()))?;
    Ok(ExitCode::SUCCESS)
}

async fn torture(plan: Plan, keep_on_failure: bool) -> anyhow::Result<Summary> {
    let seed = plan.seed;
    terminal::say(&format!("seed {seed}: again with --seed {seed}"));
    let mut campaign = Campaign::begin(plan).await?;
    if let Some(why) = &campaign.rig.no_disk {
        terminal::say(&format!("the disk is never full here: {why}; as root it would be"));
    }
    let outcome = campaign.carry_out().await;
    campaign.summary.violations = std::mem::take(&mut campaign.rig.violations);
    if outcome.is_err() || !campaign.summary.violations.is_empty() {
        traces::show(&campaign.rig, &campaign.summary.violations);
        if keep_on_failure {
            let folder = campaign.rig.keep()?;
            terminal::say(&format!("all logs are kept in `{}`", folder.display()));
        }
    }
    outcome.with_context(|| format!("seed {seed}"))?;
    Ok(campaign.summary)
}

/// Waits for Ctrl-C, or for a request to end.
async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch signals")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot catch signals"),
        _ = terminate.recv() => Ok(()),
    }
}
