//! The loop of one session: an event in, the core's effects out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modtwin_core::message::{Request, RequestId};
use modtwin_core::session::{AckRefused, Effect, Notice, Session, Status, Taken};
use modtwin_core::status::{Fault, HubState, Reason};
use modtwin_wire::{Inbound, SUBSCRIPTIONS};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::{Instrument as _, debug, error, info, warn};

use crate::credential::Credential;
use crate::handle::{AckError, Acknowledgement, Command, ReportError};
use crate::link::{ConnectRequest, Epoch, InboundMessage, LinkStatus};
use crate::log_limit::LogLimit;
use crate::publish::{Clock, Surroundings, as_of, view};
use crate::seat::{Ends, load, wall_time};
use crate::store::{StoreError, StoredTwin, to_stored_ms};
use crate::stored::{from_stored, to_stored};
use crate::waiters::{StoredWaiter, Waiters};

/// How many inbound messages are taken before the view is published and others get their turn.
const MESSAGES_AT_ONCE: usize = 64;
/// How long the last write may take when the session ends.
const LAST_SAVE: Duration = Duration::from_secs(3);
/// The part of a token's life after which it is renewed, in percent.
const TOKEN_LIFE_USED: u32 = 80;

/// What can happen to a session.
#[derive(Debug)]
enum Event {
    Stop,
    Timeout,
    Renew,
    HubReached,
    Job(Result<Job, JoinError>),
    Status(Epoch, LinkStatus),
    Command(Command),
    Message(InboundMessage),
}

/// What a blocking thread has finished.
#[derive(Debug)]
enum Job {
    Saved(Result<u64, StoreError>),
    Prepared(Epoch, Result<Credential, Fault>),
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
    renew_at: Option<Instant>,
    reached: watch::Receiver<u64>,
    log_limit: LogLimit,
    view_changed: bool,
    last_logged: (HubState, Reason, String),
}

impl<'a> Driver<'a> {
    pub(crate) async fn new(ends: &'a mut Ends, stop: watch::Receiver<bool>) -> Self {
        let loaded = load(&ends.ports.store).await;
        let (stored, storage_problem) = match loaded {
            Ok(stored) => (stored, None),
            Err(error) => {
                warn!(%error, "state not readable, starting without it");
                (None, Some(error.to_string()))
            }
        };
        let clock = Clock::new();
        let around = Surroundings {
            clock,
            stored_as_of: stored.as_ref().and_then(|stored| stored.as_of_ms).map(wall_time),
            credential_expires: None,
            storage_problem,
            earlier_connects: ends.connects,
        };
        let durable = stored.map(from_stored).unwrap_or_default();
        Self {
            reached: ends.ports.governor.reached(),
            session: Session::new(ends.config.settings.clone(), durable, clock.now()),
            ends,
            stop,
            around,
            waiters: Waiters::default(),
            jobs: JoinSet::new(),
            renew_at: None,
            log_limit: LogLimit::default(),
            view_changed: true,
            last_logged: (HubState::Connecting, Reason::Starting, String::new()),
        }
    }

    pub(crate) async fn run(mut self) {
        // A link that an earlier run left behind: the epoch has moved on, so nothing is heard of it.
        self.ends.ports.link.disconnect();
        loop {
            let event = self.next_event().await;
            let stopping = matches!(event, Event::Stop);
            self.handle(event);
            self.perform();
            if stopping {
                break;
            }
        }
        self.finish().await;
    }

    async fn next_event(&mut self) -> Event {
        let clock = self.around.clock;
        let deadline = self.session.next_deadline().map(|at| clock.instant(at));
        let Self { ends, stop, jobs, renew_at, reached, .. } = self;
        let events = &mut ends.ports.events;
        // A closed channel is never ready: the other ends live in the supervisor, which says stop.
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => Event::Stop,
            () = sleep_until_some(deadline) => Event::Timeout,
            () = sleep_until_some(*renew_at) => Event::Renew,
            Some(job) = jobs.join_next(), if !jobs.is_empty() => Event::Job(job),
            Ok(()) = reached.changed() => Event::HubReached,
            Some((epoch, status)) = events.status.recv() => Event::Status(epoch, status),
            Some(command) = ends.commands.recv() => Event::Command(command),
            Some(message) = events.messages.recv() => Event::Message(message),
        }
    }

    fn handle(&mut self, event: Event) {
        let now = self.around.clock.now();
        match event {
            Event::Stop => self.session.stop(now),
            Event::Timeout => self.session.handle_timeout(now),
            Event::Renew => {
                self.renew_at = None;
                info!("renewing the access token by a reconnect");
                self.session.reconnect(now);
            }
            Event::HubReached => self.session.hasten(now),
            Event::Job(Ok(Job::Saved(written))) => self.saved(written),
            Event::Job(Ok(Job::Prepared(epoch, credential))) => self.prepared(epoch, credential),
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
            LinkStatus::Connected => self.session.handle_connected(now),
            LinkStatus::Failed(fault) => self.session.handle_failed(now, fault),
            LinkStatus::Subscribed => self.session.handle_subscribed(now),
            LinkStatus::Lost(fault) => self.session.handle_lost(now, fault),
        }
    }

    fn message(&mut self, message: InboundMessage) {
        if message.epoch.0 != self.ends.epoch {
            return;
        }
        let now = self.around.clock.now();
        match modtwin_wire::decode(&message.topic, &message.payload) {
            Ok(Inbound::Twin(message)) => self.session.handle_message(now, message),
            Ok(Inbound::Foreign) => debug!(topic = message.topic, "message for nobody"),
            Err(error) => {
                if let Some(dropped) = self.log_limit.permit() {
                    warn!(%error, dropped, "message from the hub not readable, fetching the twin");
                }
                self.session.refresh(now);
            }
        }
    }

    fn command(&mut self, command: Command) {
        let now = self.around.clock.now();
        match command {
            Command::Reconnect => self.session.reconnect(now),
            Command::Report { patch, stored, accepted } => {
                let keys: BTreeSet<String> = patch.keys().cloned().collect();
                match self.session.report(now, patch) {
                    Ok(Taken::Staged { sequence }) => {
                        self.waiters.wait_stored(sequence, StoredWaiter::Report(stored));
                        self.waiters.wait_accepted(sequence, keys, accepted);
                    }
                    // A caller that has left is no error here and below.
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

    /// Performs all effects, then publishes once.
    fn perform(&mut self) {
        while let Some(effect) = self.session.poll_effect() {
            match effect {
                Effect::Connect => self.prepare_connect(),
                Effect::Subscribe => self.ends.ports.link.subscribe(&SUBSCRIPTIONS),
                Effect::Send { id, request } => self.send(id, &request),
                Effect::Disconnect => {
                    self.ends.epoch += 1;
                    self.ends.ports.link.disconnect();
                }
                Effect::Save => self.begin_save(),
                Effect::Changed => self.view_changed = true,
                Effect::Stored { through } => {
                    let version = self.reported_version();
                    self.waiters.stored(through, version);
                }
                Effect::NotStored { through } => {
                    let problem = self.around.storage_problem.clone().unwrap_or_default();
                    self.waiters.not_stored(through, &StoreError(problem));
                }
                Effect::Accepted { through, keys, version } => {
                    self.waiters.accepted_keys(through, &keys, version);
                }
                Effect::Rejected { through, refused } => {
                    warn!(
                        key = refused.key,
                        status = refused.status,
                        message = refused.message,
                        "hub refused a reported key, which is quarantined until it is reported anew"
                    );
                    self.waiters.rejected(through, &refused);
                }
                Effect::Notice(notice) => {
                    if matches!(notice, Notice::Synced { .. }) {
                        self.ends.ports.governor.note_reached();
                    }
                    self.log(&notice);
                }
            }
        }
        self.publish();
    }

    fn publish(&mut self) {
        if !std::mem::take(&mut self.view_changed) {
            return;
        }
        self.log_status();
        self.ends.connects = self.around.earlier_connects + self.session.connects();
        let (session, around) = (&self.session, &self.around);
        self.ends.view.send_if_modified(|published| {
            let next = view(published, session, around);
            let modified = **published != next;
            if modified {
                *published = Arc::new(next);
            }
            modified
        });
    }

    /// Logs what is news: not every attempt, but every change of why there is no connection.
    fn log_status(&mut self) {
        let Status { state, reason, detail, .. } = self.session.status().clone();
        if state == HubState::Connecting {
            return;
        }
        let news = (state, reason, detail.unwrap_or_default());
        if news == self.last_logged {
            return;
        }
        let detail = &news.2;
        match state {
            HubState::Connecting => {}
            HubState::Connected if reason == Reason::Ok => info!("connected to the hub"),
            HubState::Connected => {
                warn!(%reason, detail, "connected to the hub, which holds us up")
            }
            HubState::Disconnected if reason == Reason::Stopping => info!("stopping"),
            HubState::Disconnected => warn!(%reason, detail, "not connected, will try again"),
            HubState::Disabled => error!(%reason, detail, "disabled until this is mended"),
        }
        self.last_logged = news;
    }

    /// Waits for its turn and reads the credential, off the loop.
    fn prepare_connect(&mut self) {
        self.ends.epoch += 1;
        let epoch = Epoch(self.ends.epoch);
        let governor = self.ends.ports.governor.clone();
        let credentials = Arc::clone(&self.ends.ports.credentials);
        let prepare = async move {
            governor.admit().await;
            let span = tracing::Span::current();
            let load = move || span.in_scope(|| credentials.load());
            let loaded = tokio::task::spawn_blocking(load).await;
            let credential = loaded.unwrap_or_else(|_panicked| {
                Err(Fault::new(Reason::Config, "reading the credential failed unexpectedly"))
            });
            Job::Prepared(epoch, credential)
        };
        self.jobs.spawn(prepare.in_current_span());
    }

    fn prepared(&mut self, epoch: Epoch, credential: Result<Credential, Fault>) {
        if epoch.0 != self.ends.epoch {
            return;
        }
        let credential = match credential {
            Ok(credential) => credential,
            Err(fault) => return self.session.handle_failed(self.around.clock.now(), fault),
        };
        self.around.credential_expires = Some(credential.expires());
        self.renew_at = match &credential {
            Credential::Token { expires, .. } => expires
                .duration_since(SystemTime::now())
                .ok()
                .map(|left| Instant::now() + left * TOKEN_LIFE_USED / 100),
            Credential::X509 { .. } => None,
        };
        let config = &self.ends.config;
        let request = ConnectRequest {
            epoch,
            host: config.dial_host.clone(),
            port: config.port,
            trusted_ca: config.trusted_ca.clone(),
            client_id: modtwin_wire::client_id(&config.device, &config.module),
            user_name: modtwin_wire::user_name(
                &config.hub_host,
                &config.device,
                &config.module,
                &config.api_version,
                config.model_id.as_deref(),
            ),
            credential,
            keep_alive: config.keep_alive,
            time_limit: config.connect_limit,
        };
        self.ends.ports.link.connect(request);
    }

    fn send(&mut self, id: RequestId, request: &Request) {
        let outbound = modtwin_wire::encode(id, request);
        self.ends.ports.link.publish(&outbound.topic, outbound.payload);
    }

    fn to_save(&self) -> StoredTwin {
        let as_of = as_of(&self.session, &self.around).map(to_stored_ms);
        to_stored(self.session.durable(), as_of)
    }

    fn begin_save(&mut self) {
        let stored = self.to_save();
        let store = Arc::clone(&self.ends.ports.store);
        self.jobs.spawn(async move {
            let saved = tokio::task::spawn_blocking(move || store.save(&stored)).await;
            Job::Saved(saved.unwrap_or_else(|_panicked| {
                Err(StoreError("writing the state failed unexpectedly".to_owned()))
            }))
        });
    }

    fn saved(&mut self, written: Result<u64, StoreError>) {
        let good = written.is_ok();
        match written {
            Ok(bytes) => {
                if self.around.storage_problem.take().is_some() {
                    info!("the state directory can be written again");
                    self.view_changed = true;
                }
                debug!(bytes, "state saved");
            }
            Err(error) => {
                if self.around.storage_problem.is_none() {
                    error!(%error, "state can't be written, reports are refused until it can");
                }
                self.around.storage_problem = Some(error.to_string());
            }
        }
        self.session.handle_saved(self.around.clock.now(), good);
    }

    fn job_failed(&mut self, error: &JoinError) {
        // Jobs only await blocking threads, whose panics they report themselves.
        warn!(%error, "a job of the session ended unexpectedly");
        self.session.reconnect(self.around.clock.now());
    }

    /// The session has stopped; what it has not saved yet is saved now.
    async fn finish(mut self) {
        let deadline = Instant::now() + LAST_SAVE;
        while self.session.is_unsaved() {
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

    fn reported_version(&self) -> u64 {
        self.session.twin().reported.as_ref().map_or(0, |section| section.version)
    }

    fn log(&mut self, notice: &Notice) {
        if let Notice::Synced { version } = notice {
            debug!(version, "twin in step");
            return;
        }
        let Some(dropped) = self.log_limit.permit() else {
            return;
        };
        match notice {
            Notice::Synced { .. } => {}
            Notice::Gap { known, found } => {
                info!(known, found, dropped, "desired versions missed, fetching the twin");
            }
            Notice::NewGeneration { generation } => {
                warn!(
                    generation,
                    dropped, "the twin began anew: created again, or older data after a failover"
                );
            }
            Notice::ReportedLost => {
                warn!(dropped, "the hub has lost reported values, sending them again");
            }
            Notice::ReportUnanswered => {
                warn!(
                    dropped,
                    "no answer to a report, fetching the twin to see whether it arrived"
                );
            }
            Notice::ReportDivided => {
                warn!(
                    dropped,
                    "the hub refused a report, sending its keys in parts to find the one"
                );
            }
            Notice::TooManyPatches => {
                warn!(dropped, "more desired patches than can wait for a fetch, fetching again");
            }
        }
    }
}

async fn sleep_until_some(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
