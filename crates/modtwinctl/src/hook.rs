//! `modtwinctl watch --exec`: one run of a command for each change, one at a time.
//!
//! Owns: which version is run next, and that each run ends in an acknowledgement. Leaves to
//! others: the process itself ([`crate::process`]), and getting the acknowledgement to the daemon
//! (`acknowledger`).

mod acknowledger;

use std::ffi::OsString;
use std::pin::Pin;
use std::time::Duration;

use modtwin_api::{AckRequest, Document, Event, Revision};
use modtwin_client::{Client, Follow, Followed};
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::acknowledger::Acknowledger;
use crate::failure::Failure;
use crate::process::{self, Ended, Job};
use crate::watch::{LossTeller, Stop};

/// What to run, for whom.
#[derive(Debug)]
pub(crate) struct Hook {
    /// Where acknowledgements go.
    pub(crate) client: Client,
    /// The module's id.
    pub(crate) module: String,
    /// The name to acknowledge under.
    pub(crate) handler: Option<String>,
    /// The command and its arguments.
    pub(crate) command: Vec<OsString>,
    /// How long a run may take.
    pub(crate) timeout: Duration,
    /// How long nothing may change before a run.
    pub(crate) debounce: Duration,
}

/// For how many times the debounce a run may be put off while changes keep coming.
const MOST_DEBOUNCES: u32 = 10;

/// A version that is to be applied.
#[derive(Debug, Clone, PartialEq)]
struct Version {
    revision: Revision,
    desired: Document,
}

/// A run that is under way.
struct Running<'a> {
    revision: Revision,
    end: Pin<Box<dyn Future<Output = Ended> + 'a>>,
    cancel: oneshot::Sender<()>,
}

/// The newest version, until it is its turn.
struct Waiting {
    version: Version,
    /// When it may be run.
    due: Instant,
    /// When it is run, whatever changes.
    latest: Instant,
}

/// What happens next.
enum Turn {
    Stop,
    Due,
    Ended(Revision, Ended),
    Followed(Option<Followed>),
}

/// Runs the hook until a signal ends it, the module is removed, or the daemon refuses.
pub(crate) async fn run(hook: Hook, mut follow: Follow, stop: &mut Stop) -> Result<(), Failure> {
    let acknowledger = Acknowledger::new(hook.client.clone(), hook.module.clone());
    let outcome = turns(&hook, &mut follow, stop, &acknowledger).await;
    acknowledger.finish().await;
    outcome
}

async fn turns(
    hook: &Hook,
    follow: &mut Follow,
    stop: &mut Stop,
    acknowledger: &Acknowledger,
) -> Result<(), Failure> {
    let mut losses = LossTeller::default();
    let mut waiting: Option<Waiting> = None;
    let mut running: Option<Running<'_>> = None;
    loop {
        let due = waiting.as_ref().filter(|_| running.is_none()).map(|waiting| waiting.due);
        match turn(due, &mut running, follow, stop).await? {
            Turn::Due => running = waiting.take().map(|waiting| hook.start(waiting.version)),
            Turn::Stop => {
                if let Some(running) = running {
                    drop(running.cancel);
                    // What was interrupted is neither applied nor refused.
                    let _interrupted = running.end.await;
                }
                return Ok(());
            }
            Turn::Ended(revision, ended) => {
                running = None;
                acknowledger.send(hook.acknowledgement(revision, ended));
            }
            Turn::Followed(None) => {
                return Err(Failure::failed(format!(
                    "module `{}` was removed from the daemon's config",
                    hook.module
                )));
            }
            Turn::Followed(Some(followed)) => {
                losses.note(&followed);
                if let Followed::Event(event) = followed
                    && let Some(version) = version(event)
                {
                    waiting = Some(hook.put_off(version, waiting.as_ref()));
                }
            }
        }
    }
}

/// Waits for whatever comes first.
async fn turn(
    due: Option<Instant>,
    running: &mut Option<Running<'_>>,
    follow: &mut Follow,
    stop: &mut Stop,
) -> Result<Turn, Failure> {
    let ended = async {
        match running {
            Some(running) => (running.revision, running.end.as_mut().await),
            None => std::future::pending().await,
        }
    };
    let turn_comes = async {
        match due {
            Some(due) if due <= Instant::now() => {}
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = stop.requested() => Ok(Turn::Stop),
        (revision, ended) = ended => Ok(Turn::Ended(revision, ended)),
        () = turn_comes => Ok(Turn::Due),
        followed = follow.next() => Ok(Turn::Followed(followed?)),
    }
}

/// The version that an event asks to apply; none where it brings nothing new.
fn version(event: Event) -> Option<Version> {
    match event {
        Event::Snapshot(snapshot) => {
            let revision = snapshot.revision()?;
            snapshot.desired.map(|desired| Version { revision, desired })
        }
        Event::Desired(change) => {
            Some(Version { revision: change.revision(), desired: change.desired })
        }
        Event::Hub(_) | Event::Heartbeat | Event::Removed { .. } => None,
    }
}

impl Hook {
    /// When `version` is to be run, in place of the one that waits already.
    fn put_off(&self, version: Version, before: Option<&Waiting>) -> Waiting {
        let now = Instant::now();
        let latest = before.map_or(now + self.debounce * MOST_DEBOUNCES, |before| before.latest);
        Waiting { version, due: latest.min(now + self.debounce), latest }
    }

    fn start(&self, version: Version) -> Running<'_> {
        let (cancel, cancelled) = oneshot::channel();
        let job = Job {
            command: &self.command,
            input: format!("{}\n", serde_json::Value::Object(version.desired)),
            environment: self.environment(version.revision),
            timeout: self.timeout,
            keep: None,
            cancel: cancelled,
        };
        Running { revision: version.revision, end: Box::pin(process::run(job)), cancel }
    }

    fn environment(&self, revision: Revision) -> Vec<(&'static str, String)> {
        let mut environment = vec![
            ("MODTWIN_MODULE", self.module.clone()),
            ("MODTWIN_GENERATION", revision.generation.to_string()),
            ("MODTWIN_VERSION", revision.version.to_string()),
        ];
        environment.extend(self.handler.clone().map(|name| ("MODTWIN_HANDLER", name)));
        environment
    }

    fn acknowledgement(&self, revision: Revision, ended: Ended) -> AckRequest {
        AckRequest {
            version: revision.version,
            generation: Some(revision.generation),
            status: ended.status,
            description: ended.description,
            handler: self.handler.clone(),
            paths: Vec::new(),
        }
    }
}
