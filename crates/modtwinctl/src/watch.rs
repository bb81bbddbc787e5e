//! `modtwinctl watch`: prints the events of a module, or runs a command for each change.

use modtwin_api::Event;
use modtwin_client::{Client, Follow, Followed, WatchOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::Watch;
use crate::failure::{Failure, describe, one_line};
use crate::hook::{self, Hook};
use crate::output::{Output, compact};

/// Watches until a signal ends it, the module is removed, or the daemon refuses.
pub(crate) async fn run(client: &Client, args: Watch, output: &Output) -> Result<(), Failure> {
    let options =
        WatchOptions { paths: args.paths, since: args.since, handler: args.handler.clone() };
    let follow = client.follow(&args.module, options);
    let mut stop = Stop::new()?;
    match args.exec {
        None => print_events(follow, &mut stop, output).await,
        Some(command) => {
            let hook = Hook {
                client: client.clone(),
                module: args.module,
                handler: args.handler,
                command,
                timeout: args.exec_timeout,
                debounce: args.exec_debounce.unwrap_or_default(),
            };
            hook::run(hook, follow, &mut stop).await
        }
    }
}

/// The signals that end a stream in order.
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Listens for them from now on.
    pub(crate) fn new() -> Result<Self, Failure> {
        let failed = |error| Failure::failed(format!("cannot wait for signals: {error}"));
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    /// Waits for SIGTERM or SIGINT. Cancel-safe.
    pub(crate) async fn requested(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Tells a lost connection once, not at each attempt to get it back.
#[derive(Debug, Default)]
pub(crate) struct LossTeller {
    is_told: bool,
}

impl LossTeller {
    /// Takes note of what the stream told, and tells a loss that is new.
    pub(crate) fn note<T>(&mut self, followed: &Followed<T>) {
        match followed {
            Followed::Event(_) => self.is_told = false,
            Followed::Lost { error, .. } if !self.is_told => {
                self.is_told = true;
                tell(&format!("{}; trying again", describe(error)));
            }
            Followed::Lost { .. } => {}
        }
    }
}

/// Writes a line about something that does not end the program to standard error.
pub(crate) fn tell(text: &str) {
    use std::io::Write as _;
    // Without standard error there is nobody left to tell.
    let _unheard = writeln!(std::io::stderr(), "modtwinctl: {}", one_line(text));
}

async fn print_events(mut follow: Follow, stop: &mut Stop, output: &Output) -> Result<(), Failure> {
    let mut losses = LossTeller::default();
    let mut is_begun = false;
    loop {
        let followed = tokio::select! {
            biased;
            () = stop.requested() => return Ok(()),
            followed = follow.next() => followed?,
        };
        let Some(followed) = followed else {
            return Ok(());
        };
        match followed {
            // Who types this wants to know at once that nobody is there.
            Followed::Lost { error, .. } if !is_begun => return Err(error.into()),
            Followed::Event(ref event) => {
                is_begun = true;
                print(event, output)?;
            }
            Followed::Lost { .. } => {}
        }
        losses.note(&followed);
    }
}

fn print(event: &Event, output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(event);
    }
    match event {
        Event::Snapshot(snapshot) => {
            let state = format!("{} ({})", snapshot.hub.state, snapshot.hub.reason);
            match (snapshot.revision(), &snapshot.desired) {
                (Some(revision), Some(desired)) => {
                    output.line(format!("snapshot {revision} {} {state}", compact(desired)?))
                }
                (Some(revision), None) => {
                    output.line(format!("snapshot {revision} unchanged {state}"))
                }
                (None, _) => output.line(format!("snapshot none yet {state}")),
            }
        }
        Event::Desired(change) => {
            let reset = if change.reset { " reset" } else { "" };
            let content = if change.reset { &change.desired } else { &change.patch };
            output.line(format!("desired {}{reset} {}", change.revision(), compact(content)?))
        }
        Event::Hub(hub) => output.line(format!("hub {} ({})", hub.hub.state, hub.hub.reason)),
        Event::Heartbeat => Ok(()),
        Event::Removed { module } => output.line(format!("removed {}", one_line(module))),
    }
}
