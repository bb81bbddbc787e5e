//! The daemon's program: arguments in, exit code out; all else is in the library.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use modtwind::cli::Arguments;
use modtwind::daemon::{Daemon, Environment, StartError};
use modtwind::{exit, logging, signals};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Threads that run tasks: the work is waiting, not computing.
const WORKERS: usize = 2;
/// Threads for files and name resolution at most; a silent name server may hold one a module.
const BLOCKING_THREADS: usize = 64;
/// How long an idle blocking thread stays.
const BLOCKING_KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How long threads may take to end at the end.
const LAST_THREADS: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Where help or an error can't be printed, the exit code is all that is left.
            let _unprintable = error.print();
            return if error.use_stderr() { exit::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("{error:#}");
            modtwind::systemd::failed(&text);
            let _unprintable = writeln!(std::io::stderr(), "modtwind: {text}");
            error.downcast_ref::<StartError>().map_or(exit::INTERNAL, exit::code).into()
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let log = logging::start(logging::level(arguments.verbose), arguments.log_format)?;
    keep_out_of_core_dumps();
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_KEEP_ALIVE)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let environment = Environment {
        credentials_directory: std::env::var_os("CREDENTIALS_DIRECTORY").map(Into::into),
        log,
        ..Environment::default()
    };
    let outcome = runtime.block_on(async {
        // Others ask for it, from folders of their own.
        let config = std::path::absolute(&arguments.config)?;
        let (daemon, commands) = Daemon::build(&config, environment).await?;
        let impatient = signals::forward(commands).context("cannot catch signals")?;
        tokio::select! {
            ended = daemon.run() => Ok(ended?),
            () = impatient => Ok(()),
        }
    });
    // A blocking thread that waits for a dead disk or name server must not hold up the end.
    runtime.shutdown_timeout(LAST_THREADS);
    outcome
}

/// Keeps keys and tokens out of core dumps. A limit of one byte is none that a file could have, and
/// the value at which the kernel starts no program for dumps either (fs/coredump.c,
/// `do_coredump`); a limit of nothing would not keep it from that.
fn keep_out_of_core_dumps() {
    const NO_DUMP: u64 = 1;
    let limited = getrlimit(Resource::RLIMIT_CORE).and_then(|(_, hard)| {
        let limit = hard.min(NO_DUMP);
        setrlimit(Resource::RLIMIT_CORE, limit, limit)
    });
    if let Err(error) = limited {
        tracing::warn!(%error, "can't keep secrets out of core dumps");
    }
}

/// Lets the process open as many files as it may: the soft limit is often 1,024, less than the
/// handlers that may connect.
fn raise_file_limit() {
    let raised = match getrlimit(Resource::RLIMIT_NOFILE) {
        // As modtwind.service has it, where changing limits is not permitted.
        Ok((soft, hard)) if soft == hard => Ok(()),
        Ok((_, hard)) => setrlimit(Resource::RLIMIT_NOFILE, hard, hard),
        Err(error) => Err(error),
    };
    if let Err(error) = raised {
        tracing::warn!(%error, "can't raise the limit of open files");
    }
}
