//! Measures the daemon on one machine: the real programs, each a process of its own, real TLS,
//! real client certificates. Started by `cargo xtask bench`, which builds the programs and puts
//! them beside this one.
//!
//! This file owns the command line and where the results go; the order of the measurements is
//! [`plan`]'s.

mod burst;
mod crowd;
mod disk;
mod echo;
mod fanout;
mod handler;
mod handlers;
mod hub_events;
mod idle;
mod memory;
mod outage;
mod plan;
mod report;
mod rig;
mod rows;
mod size;
mod start;
mod terminal;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Parser, Subcommand};
use modtwin_testkit::page::Page;
use tokio::signal::unix::{SignalKind, signal};

use crate::plan::{Part, Plan};

/// Measures the daemon on this machine.
#[derive(Debug, Parser)]
#[command(name = "modtwin-bench", args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Fewer repetitions: shows that everything can be measured, not how good it is.
    #[arg(long)]
    quick: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Put the results between the markers of this page as well.
    #[arg(long, value_name = "PAGE", conflicts_with_all = ["quick", "only"])]
    write: Option<PathBuf>,
    /// Measure only this; may be given several times.
    #[arg(long, value_name = "PART", value_enum)]
    only: Vec<Part>,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Be the handler of one module; the measurement starts these.
    EchoHandler {
        /// The daemon's socket.
        #[arg(long)]
        socket: PathBuf,
        /// The module to handle.
        #[arg(long)]
        module: String,
    },
    /// Measure the emulator alone: connections held, notifications a second.
    Emulator(crowd::Arguments),
    /// Measure many handlers on one daemon, a tenth of which never read.
    Fanout(fanout::Arguments),
    /// Hold and read streams of the daemon; the measurement starts these.
    FanoutReaders,
    /// Hold the connections to the emulator; the measurement starts this.
    CrowdClient,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::problem(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.role {
        Some(Role::EchoHandler { socket, module }) => {
            return alone(handler::run(&socket, &module));
        }
        Some(Role::CrowdClient) => return crowd::client::run(),
        Some(Role::FanoutReaders) => return alone(fanout::readers::run()),
        Some(Role::Fanout(arguments)) => {
            return until_stopped(async { fanout::measure(&arguments).await });
        }
        Some(Role::Emulator(arguments)) => {
            return until_stopped(async { crowd::measure(&arguments).await });
        }
        None => {}
    }
    // A page that can't be written is found out before the long part.
    let page = arguments.write.as_deref().map(|page| Page::find(page, "bench")).transpose()?;
    let plan = Plan::new(arguments.quick, &arguments.only);
    let report = until_stopped(plan.carry_out())?;
    if arguments.json {
        let json = serde_json::to_string_pretty(&report).context("cannot write the report")?;
        terminal::result(&json);
    } else {
        terminal::result(&report.text());
    }
    match page {
        Some(page) => page.write(&report.markdown()),
        None => Ok(()),
    }
}

/// Measures until it is done or somebody stops it.
fn until_stopped<T>(measuring: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        // Whatever ends the measurement, what it holds ends the processes when dropped.
        tokio::select! {
            biased;
            stopped = stop_signal() => Err(stopped.err().unwrap_or_else(|| anyhow!("stopped"))),
            outcome = measuring => outcome,
        }
    })
}

/// Waits for Ctrl-C, or for a request to end.
async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch signals")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot catch signals"),
        _ = terminate.recv() => Ok(()),
    }
}

/// One thread is all that a handler needs.
fn alone(handling: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(handling)
}
