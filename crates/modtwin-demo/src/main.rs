//! The main job on one machine, played by the real programs: hub emulator, `modtwind`, `modtwinctl`
//! and handlers, with real TLS and real certificates. Started by `cargo xtask demo`, which builds
//! the programs and puts them beside this one.
//!
//! This file owns the command line and the end: however the story ends, by itself, by a failure or
//! by a signal, every process is ended and the folder removed.

mod audience;
mod cable;
mod cast;
mod folders;
mod gateway;
mod handler;
mod handlers;
mod hub;
mod identities;
mod invitation;
mod narrator;
mod scene;
mod story;
mod timing;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::cast::Cast;
use crate::folders::Folders;
use crate::narrator::Narrator;
use crate::scene::Options;

/// Plays the main job on this machine.
#[derive(Debug, Parser)]
#[command(name = "modtwin-demo", args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Leave everything running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// How many modules the gateway has.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..=20))]
    modules: u16,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Be the handler of one module; the story starts these.
    Handler {
        /// The daemon's socket.
        #[arg(long)]
        socket: PathBuf,
        /// The module to handle.
        #[arg(long)]
        module: String,
    },
}

/// What a shell reports of a program that Ctrl-C ended: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

/// How a story that met no failure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All of it was told.
    Told,
    /// Somebody asked it to stop before.
    Stopped,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut narrator = Narrator::new();
    let outcome = match arguments.role {
        Some(Role::Handler { socket, module }) => {
            handler::run(&socket, &module).await.map(|()| End::Told)
        }
        None => play(&mut narrator, arguments.keep, arguments.modules).await,
    };
    match outcome {
        Ok(End::Told) => ExitCode::SUCCESS,
        Ok(End::Stopped) => INTERRUPTED.into(),
        Err(error) => {
            narrator.problem(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Plays the story and cleans up, whatever became of it.
async fn play(narrator: &mut Narrator, keep: bool, modules: u16) -> anyhow::Result<End> {
    let folder = tempfile::Builder::new().prefix("modtwin-demo-").tempdir()?;
    let options = Options::new(Folders::create(folder.path())?, modules)?;
    let mut cast = Cast::new(options.folders.logs());
    let mut stop = std::pin::pin!(stop_signal());
    let told = tokio::select! {
        biased;
        stopped = &mut stop => stopped.map(|()| None),
        told = story::tell(&options, narrator, &mut cast) => told.map(Some),
    };
    let played = match told {
        Ok(Some(scene)) if keep => match invitation::extend(&scene, &options, narrator).await {
            Ok(()) => stop.await.map(|()| End::Told),
            Err(error) => Err(error),
        },
        Ok(Some(_scene)) => Ok(End::Told),
        Ok(None) => Ok(End::Stopped),
        Err(error) => Err(error),
    };
    if played.is_err() {
        narrator.problem(&cast.log_tails());
    }
    let complaints = cast.end().await;
    folder.close()?;
    let end = played?;
    ensure!(complaints.is_empty(), "not everything ended well: {}", complaints.join("; "));
    let seconds = narrator.elapsed().as_secs();
    narrator
        .aside(&format!("\nEvery process has ended and the folder is gone, after {seconds} s."));
    Ok(end)
}

/// Waits for Ctrl-C, or for a request to end.
async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
