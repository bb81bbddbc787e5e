//! The session of an admitted client: one task, one loop over one closed set of events. It is the only one to touch
//! its stream; the rest of the hub reaches it through its [`LinkHandle`](super::handle::LinkHandle).

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Sleep};

use super::connect::Admission;
use super::handle::{Command, Cut, Ending};
use super::outbox::{Item, Outbox};
use super::wire::Wire;
use crate::fault::Kind;
use crate::hub::{self, Hub};
use crate::identity::Identity;
use crate::packet::{self, Connect, Packet, Publish, Will};

/// Holds a session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) hub: Arc<Hub>,
    pub(super) identity: Arc<Identity>,
    id: u64,
    commands: mpsc::Receiver<Command>,
    batch: Vec<Command>,
    cut: Arc<Cut>,
    stop: watch::Receiver<bool>,
    shifts: watch::Receiver<i64>,
    committed: watch::Receiver<u64>,
    pub(super) outbox: Outbox,
    /// The moment before which a throttled request is not answered; set while it is handled.
    pub(super) shaped_until: Option<Instant>,
    pub(super) subscriptions: Vec<(String, u8)>,
    pub(super) is_clean: bool,
    pub(super) has_api_version: bool,
    will: Option<Will>,
    silence: Duration,
    last_heard: Instant,
    /// Unix seconds of the hub's clock at which the token ends.
    ends: Option<u64>,
    timer: Pin<Box<Sleep>>,
    last_id: u16,
}

/// What can happen to a session.
#[derive(Debug)]
enum Event {
    Cut(Ending),
    Due,
    Commands,
    Sent(std::io::Result<usize>),
    Received(std::io::Result<usize>),
    /// Something waited for happened: a commit, a shift of the clock.
    Woken,
}

impl Session {
    pub(super) fn new(
        hub: Arc<Hub>,
        connect: Connect,
        admission: Admission,
        subscriptions: Vec<(String, u8)>,
        (id, commands, cut): (u64, mpsc::Receiver<Command>, Arc<Cut>),
    ) -> Self {
        // 1.5 times the keep alive, at most the hub's own ceiling; 0 asks for no limit and gets the ceiling.
        let asked = Duration::from_millis(u64::from(connect.keep_alive) * 1500);
        let silence = if asked.is_zero() {
            hub.rules.longest_silence
        } else {
            asked.min(hub.rules.longest_silence)
        };
        Self {
            id,
            commands,
            batch: Vec::new(),
            cut,
            stop: hub.stop.clone(),
            shifts: hub.clock.shifts(),
            committed: hub.store.committed(),
            outbox: Outbox::default(),
            shaped_until: None,
            subscriptions,
            is_clean: connect.clean_session,
            has_api_version: admission.has_api_version,
            will: connect.will,
            silence,
            last_heard: Instant::now(),
            ends: admission.ends,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            last_id: 0,
            identity: admission.identity,
            hub,
        }
    }

    /// Runs the session to its end.
    pub(super) async fn run<S>(mut self, mut wire: Wire<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        // What came behind CONNECT in the same read is handled before the first wait.
        let mut outcome = self.handle_input(&mut wire);
        let ending = loop {
            if let Err(ending) = outcome {
                break ending;
            }
            self.outbox.release(*self.committed.borrow(), &mut wire.output);
            self.set_timer();
            let event = self.next_event(&mut wire).await;
            outcome = self.handle(event, &mut wire);
        };
        self.leave(ending);
        // A cut network says no goodbye.
        if ending != Ending::Dropped {
            if matches!(
                ending,
                Ending::Silent | Ending::TakenOver | Ending::Overrun | Ending::Failed
            ) {
                wire.output.clear();
            }
            wire.close().await;
        }
    }

    async fn next_event<S>(&mut self, wire: &mut Wire<S>) -> Event
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let has_room = wire.output.len() < MOST_OUTPUT_BYTES && self.outbox.len() < MOST_WAITING;
        let waits = !self.outbox.is_empty();
        let has_output = !wire.output.is_empty();
        tokio::select! {
            biased;
            () = hub::stopped(&mut self.stop) => Event::Cut(Ending::Stopped),
            ending = self.cut.wait() => Event::Cut(ending),
            () = self.timer.as_mut() => Event::Due,
            _ = self.shifts.changed() => Event::Woken,
            _ = self.committed.changed(), if waits => Event::Woken,
            _ = self.commands.recv_many(&mut self.batch, BATCH), if has_room => Event::Commands,
            sent = wire.writer.write_buf(&mut wire.output), if has_output => Event::Sent(sent),
            received = wire.reader.read_buf(&mut wire.input), if has_room => Event::Received(received),
        }
    }

    fn handle<S>(&mut self, event: Event, wire: &mut Wire<S>) -> Result<(), Ending>
    where
        S: AsyncRead + AsyncWrite,
    {
        match event {
            Event::Cut(ending) => Err(ending),
            Event::Due | Event::Woken => self.check_times(),
            Event::Commands => {
                let mut batch = std::mem::take(&mut self.batch);
                if batch.is_empty() {
                    // The identity dropped the handle: it was replaced.
                    return Err(Ending::TakenOver);
                }
                let mut outcomes = batch.drain(..).map(|command| self.command(command));
                let outcome = outcomes.find(Result::is_err).unwrap_or(Ok(()));
                drop(outcomes);
                self.batch = batch;
                outcome
            }
            Event::Sent(Ok(0)) | Event::Sent(Err(_)) => Err(Ending::Failed),
            Event::Received(Err(error)) => Err(Ending::of_read(&error)),
            Event::Sent(Ok(_)) => Ok(()),
            Event::Received(Ok(0)) => Err(Ending::Closed),
            Event::Received(Ok(_)) => self.handle_input(wire),
        }
    }

    fn handle_input<S: AsyncRead + AsyncWrite>(
        &mut self,
        wire: &mut Wire<S>,
    ) -> Result<(), Ending> {
        while let Some(packet) = wire.decode()? {
            if self.hub.strike(Kind::Blackhole, &self.identity.key).is_some() {
                continue;
            }
            self.last_heard = Instant::now();
            self.packet(packet)?;
        }
        Ok(())
    }

    fn check_times(&self) -> Result<(), Ending> {
        if Instant::now() >= self.last_heard + self.silence {
            return Err(Ending::Silent);
        }
        if self.ends.is_some_and(|ends| self.hub.clock.now().unix_seconds() >= ends) {
            return Err(Ending::Expired);
        }
        Ok(())
    }

    /// Arms the one timer for whatever comes first: silence, the token's end, the outbox.
    fn set_timer(&mut self) {
        let mut next = self.last_heard + self.silence;
        if let Some(ends) = self.ends {
            let left = ends.saturating_sub(self.hub.clock.now().unix_seconds());
            // At least a millisecond, as a second of the hub's clock may be about to end; at most a day, as tokens may
            // name any moment.
            let left = Duration::from_secs(left.min(86_400)).max(Duration::from_millis(1));
            next = next.min(Instant::now() + left);
        }
        if let Some(moment) = self.outbox.next_moment(*self.committed.borrow()) {
            next = next.min(moment);
        }
        // Later moments are left to the timer's next ring, so that busy links rarely touch it.
        if next < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(next);
        }
    }

    fn leave(&mut self, ending: Ending) {
        let mut state = self.identity.lock();
        if state.link.as_ref().is_some_and(|link| link.id == self.id) {
            state.link = None;
            state.record.connection_updated = self.hub.clock.now();
        }
        drop(state);
        tracing::debug!(identity = %self.identity.key, ending = ending.name(), "link ended");
        let key = Some(&self.identity.key);
        self.hub.events.tell(
            "disconnect",
            key,
            || json!({ "link": self.id, "reason": ending.name() }),
        );
        if ending != Ending::Disconnected
            && let Some(will) = self.will.take()
        {
            self.store_will(&will);
        }
    }

    /// Sends a PUBLISH once `after` is committed; its QoS says whether it gets an id.
    pub(super) fn publish(&mut self, topic: String, payload: bytes::Bytes, qos: u8, after: u64) {
        let id = (qos > 0).then(|| self.next_id());
        let publish = Publish { dup: false, qos, retain: false, topic, id, payload };
        self.send(&Packet::Publish(publish), after);
    }

    /// Sends a packet in its turn, once `after` is committed.
    pub(super) fn send(&mut self, packet: &Packet, after: u64) {
        if let Some(item) = self.item(packet, after) {
            self.outbox.push(item);
        }
    }

    /// Encodes a packet; nothing when a fault swallows it.
    pub(super) fn item(&self, packet: &Packet, after: u64) -> Option<Item> {
        if self.hub.strike(Kind::Blackhole, &self.identity.key).is_some() {
            return None;
        }
        let delay = self.hub.strike(Kind::Delay, &self.identity.key).map(|fault| fault.delay);
        let mut bytes = bytes::BytesMut::new();
        if let Err(error) = packet::encode(packet, &mut bytes) {
            tracing::error!(error = %error, "cannot encode a packet");
            return None;
        }
        let not_before = delay.map(|delay| Instant::now() + delay).max(self.shaped_until);
        Some(Item { bytes, after, not_before })
    }

    /// Gives packet identifiers in a ring without 0. Notifications are not kept for a second sending, so an id that
    /// was never acknowledged may be used again 65,535 packets later.
    pub(super) fn next_id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}

/// Commands handled in one go.
const BATCH: usize = 256;
/// Bytes that may wait for a slow reader before the session stops reading and taking commands.
const MOST_OUTPUT_BYTES: usize = 1024 * 1024;
/// Packets that may wait for a commit or a delay before the same.
const MOST_WAITING: usize = 1024;
