//! `modtwinctl`, the command line of modtwin.
//!
//! Owns: the definition of the command line ([`cli`]), what each command does, and how it is
//! printed. Leaves to others: the local API (`modtwin-client`), the config (`modtwin-config`), and
//! certificates and keys (`modtwin-credentials`).
//!
//! What a program may rely on: results on standard output, as JSON with `--json`; one line on
//! standard error where a command fails; the exit statuses of [`Exit`].

mod ack;
mod admin;
mod cert;
pub mod cli;
mod csr;
mod failure;
mod get;
mod hook;
mod hub;
mod methods;
mod output;
mod process;
mod report;
mod send;
mod status;
mod usage;
mod validate;
mod watch;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use modtwin_client::Client;

use cli::{Cli, Command};
pub use failure::Exit;
use failure::Failure;
use output::Output;

/// Runs the program with these arguments, the program's name first, and says how it is to end.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let outcome = match Cli::try_parse_from(arguments) {
        Ok(cli) => execute(cli),
        Err(error) => usage::explain(&error),
    };
    let Err(failure) = outcome else {
        return ExitCode::SUCCESS;
    };
    for line in failure.lines() {
        // Without standard error there is nobody left to tell.
        let _unheard = writeln!(std::io::stderr(), "modtwinctl: {line}");
    }
    ExitCode::from(failure.exit().code())
}

/// Runs a command on a runtime of its own; most wait for one answer and end.
fn execute(cli: Cli) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?
        .block_on(dispatch(cli))
}

async fn dispatch(cli: Cli) -> Result<(), Failure> {
    let client = Client::new(cli.socket);
    let output = Output::new(cli.json);
    match cli.command {
        Command::Status => status::run(&client, &output).await,
        Command::Get(args) => get::run(&client, &args, &output).await,
        Command::Watch(args) => watch::run(&client, args, &output).await,
        Command::Report(args) => report::run(&client, &args, &output).await,
        Command::Ack(args) => ack::run(&client, args, &output).await,
        Command::Send(args) => send::run(&client, args, &output).await,
        Command::Methods(args) => methods::run(&client, args, &output).await,
        Command::Validate(args) => validate::run(&args, &output),
        Command::Csr(args) => csr::run(&args, &output),
        Command::Cert(command) => cert::run(&command, &output),
        Command::Hub(args) => Box::pin(hub::run(args, &output)).await,
        Command::Reload => admin::reload(&client, &output).await,
        Command::Reconnect(args) => admin::reconnect(&client, &args, &output).await,
        Command::Completions(args) => output.completions(&mut Cli::command(), args.shell),
    }
}
