//! The project's own commands, typed as `cargo xtask COMMAND`.
//!
//! This file owns the command line. Looking for missing system packages is [`bootstrap`]'s, running
//! one thing after the other and summing up is [`steps`]'s. The program builds before OpenSSL's
//! headers or cmake are there, because it installs them; whatever needs them is another package.

mod bootstrap;
mod deadline;
mod demo;
mod fuzz;
mod licences;
mod manual;
mod official_clients;
mod package;
mod packages;
mod released;
mod schemathesis;
mod simulation;
mod steps;
mod systemd_test;
mod terminal;
mod test;
mod totals;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything that CI runs: formatting, lints, tests, documentation.
    ///
    /// Installs missing system packages first (as root), or prints the one command that does.
    Test {
        /// Formatting, lints, repository rules and unit tests alone.
        #[arg(long)]
        quick: bool,
    },
    /// Show the main job on this machine: hub emulator, certificates, daemon, handlers.
    ///
    /// Installs missing system packages first (as root), or prints the one command that does.
    Demo {
        /// Leave everything running at the end, until Ctrl-C.
        #[arg(long)]
        keep: bool,
        /// How many modules the gateway has.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..=20))]
        modules: u16,
    },
    /// Let the official SDKs for Python and Node live on the emulator.
    ///
    /// Installs the SDKs in the versions that tests/sdk pins, and Python's venv, Node and npm where they are missing.
    OfficialClients,
    /// Judge the local API by its own OpenAPI document, with schemathesis.
    ///
    /// Installs schemathesis in the version that tests/schemathesis pins, and Python's venv where it is missing.
    Schemathesis,
    /// Fuzz what reads bytes from outside: libFuzzer with coverage, on the stable tool-chain.
    ///
    /// Without a target every one takes its turn. Inputs that reach something new are collected
    /// under target/fuzz; what fails is written there, and its command is printed.
    Fuzz(fuzz::Arguments),
    /// Measure the released programs: memory, echoes, bursts, rest, outages.
    ///
    /// Installs missing system packages first (as root), or prints the one command that does.
    /// Everything after `bench` is for the measurement: see `cargo xtask bench -- --help`.
    Bench {
        /// What the measurement is told.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Build the .deb and .rpm packages into target/package.
    ///
    /// Installs missing system packages first (as root), or prints the one command that does, and
    /// the packing tools into target/tools.
    Package {
        /// How the programs are built.
        #[arg(long, value_enum, default_value_t = package::Profile::Dist)]
        profile: package::Profile,
    },
    /// Test the packages on a real systemd, in containers; needs root.
    SystemdTest {
        /// How the programs are built.
        #[arg(long, value_enum, default_value_t = package::Profile::Dev)]
        profile: package::Profile,
    },
    /// Write the manual pages and shell completions anew, from the code.
    Man,
    /// Live through seeded histories of faults with the real core in virtual time.
    ///
    /// `cargo xtask simulate --seeds N`, `--seed ONE --trace`, `--mutations`, `--json`; see
    /// `cargo xtask simulate -- --help`.
    Simulate {
        /// What the simulation is told.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Let whole fleets of gateways return after an outage, with the real core in virtual time.
    ///
    /// `cargo xtask fleet`, `--write docs/scale.md`; see `cargo xtask fleet -- --help`.
    Fleet {
        /// What the simulation is told.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Push a thousand configs in a minute to the released programs, a third of them broken.
    ///
    /// Installs missing system packages first (as root), or prints the one command that does.
    /// See `cargo xtask storm -- --help`.
    Storm {
        /// What the storm is told, such as `--seconds 10`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Kill, pause and cut the released programs at random, and check what they promised.
    ///
    /// Installs missing system packages first (as root), or prints the one command that does.
    /// Everything after `torture` is for the campaign: see `cargo xtask torture -- --help`.
    Torture {
        /// What the campaign is told, such as `--minutes 10`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            terminal::problem(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let root = repository_root()?;
    match &arguments.command {
        Command::Test { quick } => test::run(&root, *quick),
        Command::Demo { keep, modules } => demo::run(&root, *keep, *modules),
        Command::OfficialClients => official_clients::run(&root),
        Command::Schemathesis => schemathesis::run(&root),
        Command::Fuzz(arguments) => fuzz::run(&root, arguments),
        Command::Package { profile } => package::run(&root, *profile),
        Command::SystemdTest { profile } => systemd_test::run(&root, *profile),
        Command::Man => manual::run(&root),
        Command::Simulate { arguments } => simulation::run(&root, "simulate", arguments),
        Command::Fleet { arguments } => simulation::run(&root, "fleet", arguments),
        Command::Bench { arguments } => released::run(&root, "modtwin-bench", arguments),
        Command::Storm { arguments } => {
            let arguments = [&["storm".into()], arguments.as_slice()].concat();
            released::run(&root, "modtwin-torture", &arguments)
        }
        Command::Torture { arguments } => released::run(&root, "modtwin-torture", arguments),
    }
}

/// Returns the checkout that this program was built from.
fn repository_root() -> anyhow::Result<PathBuf> {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest
        .ancestors()
        .nth(2)
        .map(PathBuf::from)
        .context("the xtask package lies outside of the repository; run it as `cargo xtask` inside a checkout")
}
