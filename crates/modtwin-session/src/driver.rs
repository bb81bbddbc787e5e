//! The loop of one session: an event in, the core's effects out.
//!
//! Owns the order in which events are taken. Performing the effects is in `effects`, what
//! concerns the disk in `saving`, what the log hears in `log`, what is counted in `figures`, the
//! change of a live session's credential in `renewal`, messages in `outgoing`, direct methods in
//! `desk`.

mod desk;
mod effects;
mod figures;
mod log;
mod outgoing;
mod renewal;
mod saving;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use modtwin_core::message::{Request, RequestId};
use modtwin_core::methods::Owner;
use modtwin_core::session::{AckRefused, Session, Taken};
use modtwin_core::status::{Fault, HubState, Reason};
use modtwin_wire::Inbound;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, warn};

use self::desk::Desk;
use self::log::NearlyFull;
use self::outgoing::{OnDisk, Outgoing};
use self::renewal::Renewal;
use crate::clock::ClockReceiver;
use crate::credential::Credential;
use crate::handle::{AckError, Acknowledgement, Command, ReportError};
use crate::link::{Epoch, InboundMessage, LinkStatus};
use crate::publish::{Clock, Surroundings};
use crate::seat::{Ends, load, load_messages, wall_time};
use crate::store::{StoreError, to_stored_ms};
use crate::stored::from_stored;
use crate::waiters::{StoredWaiter, Waiters};

/// How many inbound messages are taken before the view is published and others get their turn.
const MESSAGES_AT_ONCE: usize = 64;
/// How long the last write may take when the session ends.
const LAST_SAVE: Duration = Duration::from_secs(3);

/// What can happen to a session.
#[derive(Debug)]
enum Event {
    Stop,
    Timeout,
    Renew,
    SayStatus,
    HubReached,
    ClockChanged,
    Job(Result<Job, JoinError>),
    Status(Epoch, LinkStatus),
    Command(Command),
    Message(InboundMessage),
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was told to stop.
    Stopped,
    /// The state that could not be read at its beginning can be read now.
    StateFound,
}

/// What has been finished beside the loop.
#[derive(Debug)]
enum Job {
    Saved(Result<u64, StoreError>),
    /// There is state on disk that this run does not know of.
    Found,
    /// A request that waited for its turn may be sent.
    Admitted(Epoch, RequestId, Request),
    Prepared(Epoch, Result<Credential, Fault>),
    /// The turn to renew the credential has come; none where nobody gives turns any more.
    Turn(Option<OwnedSemaphorePermit>),
    /// The turn to send a message has come.
    MessageTurn,
    MessagesOnDisk(OnDisk),
    /// Whoever answered methods does so no more.
    OwnerGone(Owner),
}

/// One run of a session.
#[derive(Debug)]
pub(crate) struct Driver<'a> {
    ends: &'a mut Ends,
    stop: watch::Receiver<bool>,
    session: Session,
    around: Surroundings,
    waiters: Waiters,
    jobs: JoinSet<Job>,
    renewal: Renewal,
    outgoing: Outgoing,
    desk: Desk,
    reached: watch::Receiver<u64>,
    clock: ClockReceiver,
    /// The state on disk could not be read: it must not be overwritten.
    unread: bool,
    state_found: bool,
    nearly_full: NearlyFull,
    /// When the state that was too much for the log is to be said.
    say_status_at: Option<Instant>,
    view_changed: bool,
    last_logged: (HubState, Reason, String),
}

impl<'a> Driver<'a> {
    pub(crate) async fn new(ends: &'a mut Ends, stop: watch::Receiver<bool>) -> Self {
        let loaded = load(&ends.ports.store).await;
        let (stored, storage_problem) = match loaded {
            Ok(loaded) => {
                ends.damage = loaded.damage.or(ends.damage.take());
                (loaded.twin, None)
            }
            Err(error) => {
                error!(%error, "state not readable, starting without it; reports are refused");
                (None, Some(error.to_string()))
            }
        };
        let clock = Clock::new();
        let around = Surroundings {
            clock,
            stored_as_of: stored.as_ref().and_then(|stored| stored.as_of_ms).map(wall_time),
            credential_expires: None,
            storage_problem,
            damage: ends.damage.clone(),
            earlier_connects: ends.connects,
        };
        let unread = around.storage_problem.is_some();
        let durable = stored.map(from_stored).unwrap_or_default();
        let mut session = Session::new(ends.config.settings.clone(), durable, clock.now());
        session.set_handlers(clock.now(), ends.config.handlers.clone());
        let messages = load_messages(&ends.ports.messages).await;
        Self {
            outgoing: Outgoing::new(&ends.config, messages),
            desk: Desk::new(ends.config.method_limit),
            reached: ends.ports.governor.reached(),
            clock: ends.ports.clock.clone(),
            unread,
            state_found: false,
            nearly_full: NearlyFull::default(),
            session,
            ends,
            stop,
            around,
            waiters: Waiters::default(),
            jobs: JoinSet::new(),
            renewal: Renewal::default(),
            say_status_at: None,
            view_changed: true,
            last_logged: (HubState::Connecting, Reason::Starting, String::new()),
        }
    }

    pub(crate) async fn run(mut self) -> End {
        // A link that an earlier run left behind: the epoch has moved on, so nothing is heard of it.
        self.ends.ports.link.disconnect();
        loop {
            let event = self.next_event().await;
            let stopping = matches!(event, Event::Stop);
            self.handle(event);
            self.count_silence();
            self.perform();
            if stopping {
                break;
            }
            if self.state_found {
                self.ends.epoch += 1;
                return End::StateFound;
            }
        }
        self.finish().await;
        End::Stopped
    }

    async fn next_event(&mut self) -> Event {
        let clock = self.around.clock;
        let say_status_at = self.say_status_at;
        let deadlines = [
            self.session.next_deadline(),
            self.outgoing.next_deadline(),
            self.desk.next_deadline(),
        ];
        let deadline = deadlines.into_iter().flatten().min().map(|at| clock.instant(at));
        let Self { ends, stop, jobs, renewal, reached, clock: wall, .. } = self;
        let events = &mut ends.ports.events;
        // A closed channel is never ready: the other ends live in the supervisor, which says stop.
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => Event::Stop,
            () = sleep_until_some(deadline) => Event::Timeout,
            () = sleep_until_some(renewal.at) => Event::Renew,
            () = sleep_until_some(say_status_at) => Event::SayStatus,
            Some(job) = jobs.join_next(), if !jobs.is_empty() => Event::Job(job),
            Ok(()) = reached.changed() => Event::HubReached,
            Ok(()) = wall.changed() => Event::ClockChanged,
            Some((epoch, status)) = events.status.recv() => Event::Status(epoch, status),
            Some(command) = ends.commands.recv() => Event::Command(command),
            Some(message) = events.messages.recv() => Event::Message(message),
        }
    }

    fn handle(&mut self, event: Event) {
        let now = self.around.clock.now();
        match event {
            Event::Stop => self.session.stop(now),
            Event::Timeout => {
                self.session.handle_timeout(now);
                self.outgoing.handle_timeout(now);
                self.expire_calls();
            }
            Event::Renew => self.await_renewal_turn(),
            Event::SayStatus => {
                self.say_status_at = None;
                self.view_changed = true;
            }
            Event::HubReached => self.session.hasten(now),
            Event::ClockChanged => self.session.clock_was_set(now),
            Event::Job(Ok(Job::Saved(written))) => self.saved(written),
            Event::Job(Ok(Job::Found)) => self.state_was_found(),
            Event::Job(Ok(Job::Admitted(epoch, id, request))) => {
                if epoch.0 == self.ends.epoch && self.session.awaits(id) {
                    self.publish_request(id, &request);
                    self.session.handle_sent(now, id);
                }
            }
            Event::Job(Ok(Job::Prepared(epoch, credential))) => self.prepared(epoch, credential),
            Event::Job(Ok(Job::Turn(turn))) => self.renew(turn),
            Event::Job(Ok(Job::MessageTurn)) => self.message_turn(),
            Event::Job(Ok(Job::MessagesOnDisk(done))) => self.messages_on_disk(done),
            Event::Job(Ok(Job::OwnerGone(owner))) => self.owner_gone(owner),
            Event::Job(Err(error)) => self.job_failed(&error),
            Event::Status(epoch, status) => {
                if epoch.0 == self.ends.epoch {
                    self.link_status(status);
                }
            }
            Event::Command(command) => self.command(command),
            Event::Message(message) => {
                self.message(message);
                for _ in 1..MESSAGES_AT_ONCE {
                    match self.ends.ports.events.messages.try_recv() {
                        Ok(message) => self.message(message),
                        Err(_empty) => break,
                    }
                }
            }
        }
    }

    fn link_status(&mut self, status: LinkStatus) {
        let now = self.around.clock.now();
        match status {
            LinkStatus::Connected => {
                self.ends.ports.credentials.accepted();
                self.count_reconnect();
                self.session.handle_connected(now);
            }
            LinkStatus::Failed(fault) => {
                self.ends.ports.governor.note_failed(fault.reason);
                self.attempt_failed(fault);
            }
            LinkStatus::Subscribed => self.session.handle_subscribed(now),
            LinkStatus::Lost(fault) => {
                self.renewal.end();
                self.ends.ports.governor.note_failed(fault.reason);
                self.link_lost(fault);
            }
            LinkStatus::Confirmed(number) => {
                if self.outgoing.confirmed(number) {
                    self.count_confirmed();
                }
            }
        }
    }

    fn message(&mut self, message: InboundMessage) {
        if message.epoch.0 != self.ends.epoch {
            return;
        }
        let now = self.around.clock.now();
        match modtwin_wire::decode(&message.topic, &message.payload) {
            Ok(Inbound::Twin(message)) => {
                if let Some(reason) = message.slows_all() {
                    self.ends.ports.governor.note_failed(reason);
                }
                self.count_answer(&message);
                self.session.handle_message(now, message);
            }
            Ok(Inbound::Method(call)) => self.method_called(call),
            Ok(Inbound::Foreign) => debug!(topic = message.topic, "message for nobody"),
            Err(error) => {
                if let Some(dropped) = self.may_log("unreadable") {
                    warn!(%error, dropped, "message from the hub not readable, fetching the twin");
                }
                self.session.refresh(now);
            }
        }
    }

    fn command(&mut self, command: Command) {
        let now = self.around.clock.now();
        match command {
            Command::Reconnect => {
                self.ends.ports.credentials.reconsider();
                self.session.reconnect(now);
            }
            Command::Renew => self.renew_soon(),
            Command::Handlers(rules) => {
                self.ends.config.handlers.clone_from(&rules);
                self.session.set_handlers(now, rules);
            }
            Command::MethodLimit(limit) => {
                self.ends.config.method_limit = limit;
                self.desk.set_limit(limit);
            }
            Command::Send { message, until, told } => self.take_message(*message, until, told),
            // A caller that has left is no error here and below.
            Command::Claim { names, claimed } => drop(claimed.send(self.claim_methods(names))),
            Command::Answer { id, answer, taken } => {
                drop(taken.send(self.method_answered(&id, answer)));
            }
            Command::Report { patch, stored, accepted } => {
                let keys: BTreeSet<String> = patch.keys().cloned().collect();
                if let Some(sequence) = self.session.waits_already(&patch) {
                    drop(stored.send(Ok(sequence)));
                    self.waiters.wait_accepted(sequence, keys, accepted);
                    return;
                }
                match self.session.report(now, patch) {
                    Ok(Taken::Staged { sequence }) => {
                        self.waiters.wait_stored(sequence, StoredWaiter::Report(stored));
                        self.waiters.wait_accepted(sequence, keys, accepted);
                    }
                    Ok(Taken::AlreadyThere { sequence, version }) => {
                        drop(stored.send(Ok(sequence)));
                        drop(accepted.send(Ok(version)));
                    }
                    Err(violation) => drop(stored.send(Err(ReportError::InvalidTwin {
                        pointer: violation.pointer,
                        rule: violation.rule,
                        limit: violation.limit,
                    }))),
                }
            }
            Command::Acknowledge { acknowledgement, stored } => {
                let found = acknowledgement.version;
                let said =
                    Acknowledgement { at_ms: to_stored_ms(SystemTime::now()), ..acknowledgement };
                match self.session.acknowledge(now, said) {
                    Ok(sequence) => {
                        self.waiters.wait_stored(sequence, StoredWaiter::Acknowledgement(stored));
                    }
                    Err(AckRefused::UnknownVersion { newest }) => {
                        drop(stored.send(Err(AckError::UnknownVersion { found, newest })));
                    }
                    Err(AckRefused::NotSynced) => drop(stored.send(Err(AckError::NotSynced))),
                }
            }
        }
    }

    fn job_failed(&mut self, error: &JoinError) {
        // Jobs only await blocking threads, whose panics they report themselves.
        warn!(%error, "a job of the session ended unexpectedly");
        self.session.reconnect(self.around.clock.now());
    }

    /// The session has stopped; what it has not saved yet is saved now.
    async fn finish(mut self) {
        self.ends.refuse_commands().await;
        let deadline = Instant::now() + LAST_SAVE;
        while self.session.is_unsaved() || self.outgoing.is_unsaved() {
            let job = tokio::select! {
                job = self.jobs.join_next() => job,
                () = sleep_until(deadline) => None,
            };
            let Some(job) = job else {
                warn!("the last changes could not be saved in time");
                break;
            };
            self.handle(Event::Job(job));
            self.perform();
        }
    }
}

async fn sleep_until_some(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
