//! Signals, turned into commands for the supervisor.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::daemon::CommandSender;
use crate::supervisor::Command;

/// Forwards SIGTERM and SIGINT as [`Command::Stop`] and SIGHUP as [`Command::Reload`]; returns
/// when a second signal to stop says that the drain takes too long.
///
/// # Errors
///
/// Where the system does not let signals be caught.
pub fn forward(commands: CommandSender) -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        let mut stopping = false;
        loop {
            let command = tokio::select! {
                _ = terminate.recv() => Command::Stop,
                _ = interrupt.recv() => Command::Stop,
                _ = hang_up.recv() => Command::Reload,
            };
            if matches!(command, Command::Stop) {
                if stopping {
                    warn!("second signal, ending at once");
                    return;
                }
                stopping = true;
            }
            // Closed means that the supervisor has ended already.
            if commands.send(command).await.is_err() {
                info!("the daemon has ended already");
            }
        }
    })
}
