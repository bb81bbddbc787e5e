//! The program: arguments in, facts out, signals to an orderly end. Everything about the hub itself is the library's.

mod program;

use std::io::Write;

use anyhow::Context;
use clap::Parser;
use iothub_emulator::{Config, Emulator, Rules, Scenario, Tier};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use program::arguments::{Arguments, Command, Serve};
use program::{authority, connection_string, manual};

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let level = std::env::var("IOTHUB_EMULATOR_LOG").ok().and_then(|level| level.parse().ok());
    let level = level.unwrap_or(tracing::level_filters::LevelFilter::WARN);
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level).init();
    match arguments.command {
        Some(Command::ExportCa(order)) => authority::export(&order),
        Some(Command::ConnectionString(order)) => {
            runtime()?.block_on(connection_string::run(order))
        }
        Some(Command::Man) => manual::print(),
        None => {
            raise_file_limit();
            let config = config(arguments.serve)?;
            runtime()?.block_on(run(config))
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// Takes as many file descriptors as allowed: each connection is one, and the usual soft limit is 1,024.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(error = %error, "cannot raise the limit of open files");
    }
}

fn config(serve: Serve) -> anyhow::Result<Config> {
    let tier = serve.tier.map(|name| Tier::new(&name, serve.units)).transpose()?;
    let scenario = serve.scenario.map(|path| Scenario::load(&path)).transpose()?;
    Ok(Config {
        dir: serve.dir,
        listen: serve.listen,
        hostname: serve.hostname,
        mqtt_port: serve.mqtt_port,
        https_port: serve.https_port,
        seed: serve.seed,
        tier,
        scenario: scenario.unwrap_or_default(),
        rules: Rules { max_modules: serve.max_modules, ..Rules::default() },
    })
}

async fn run(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
    let running = Box::pin(Emulator::start(config)).await?;
    let facts =
        serde_json::to_string(running.facts()).context("cannot write what the emulator offers")?;
    // A closed stdout is no reason to end: DIR/emulator.json says the same.
    let _ = writeln!(std::io::stdout(), "{facts}").and_then(|()| std::io::stdout().flush());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.shutdown().await;
    Ok(())
}
