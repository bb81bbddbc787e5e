//! The thread that makes every call into paho.
//!
//! Owns the clients of all links. It never waits for an outcome: tokens go to the tasks that asked.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use modtwin_core::status::Fault;
use modtwin_session::link::{Epoch, LinkStatus};
use paho_mqtt::{
    AsyncClient, ConnectOptions, DisconnectOptionsBuilder, Error, Message, QoS, Token,
};
use tokio::sync::{mpsc as async_mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::fault;
use crate::graveyard;
use crate::handle::{ConnectToken, Handle, Identity, Phase, Stage, State, Unsettled};
use crate::line::{Line, Place};

/// What the thread is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Begin a connection.
    Open(Box<Open>),
    /// Subscribe, one SUBSCRIBE a filter, one after the other.
    Subscribe { link: u64, epoch: Epoch, filters: Vec<String> },
    /// Publish; with a number the hub's confirmation is told.
    Publish { link: u64, epoch: Epoch, number: Option<u64>, message: Message, place: Place },
    /// Send DISCONNECT, if that epoch is connected.
    Close { link: u64, epoch: Epoch },
    /// Part with a link's client.
    Remove { link: u64 },
    /// Show that the thread and paho's lock are free.
    Probe(oneshot::Sender<()>),
    /// Disconnect everything and end; answers with the stages of what is closing.
    Stop(Option<oneshot::Sender<Vec<watch::Receiver<Stage>>>>),
}

/// A connection to begin.
pub(crate) struct Open {
    pub(crate) link: u64,
    pub(crate) line: Arc<Line>,
    pub(crate) epoch: Epoch,
    pub(crate) identity: Identity,
    pub(crate) options: ConnectOptions,
    /// Takes a new client where the present one is still busy.
    pub(crate) replace: bool,
    pub(crate) reply: oneshot::Sender<OpenReply>,
}

/// What became of an [`Open`].
#[derive(Debug)]
pub(crate) enum OpenReply {
    /// paho has been asked.
    Opened(Opened),
    /// The client still carries an earlier connection: come again when its stage is `Over`.
    Busy(watch::Receiver<Stage>),
    /// No client could be made.
    Refused(Fault),
    /// The epoch is over already.
    Retired,
}

/// A connection that has begun.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) token: ConnectToken,
    pub(crate) state: Arc<State>,
    /// The calls made over it, in order.
    pub(crate) calls: async_mpsc::UnboundedReceiver<Call>,
}

/// A call whose outcome is awaited.
pub(crate) struct Call {
    pub(crate) kind: CallKind,
    pub(crate) issued: Instant,
    /// Held until the outcome is known.
    pub(crate) account: Unsettled,
}

/// What kind of call it is, and its tokens.
pub(crate) enum CallKind {
    /// A filter, and those that follow once it is granted.
    Subscription { filter: String, token: Token, rest: Vec<String> },
    /// A message, the number to tell its confirmation under, and the place that it takes up.
    Delivery { token: Token, number: Option<u64>, _place: Place },
}

struct Slot {
    handle: Handle,
    calls: async_mpsc::UnboundedSender<Call>,
}

/// The thread's state.
pub(crate) struct Worker {
    commands: mpsc::Receiver<Command>,
    /// For the callbacks of the clients made here.
    sender: mpsc::Sender<Command>,
    runtime: tokio::runtime::Handle,
    /// A client that never connects, so that no other is ever the process's last.
    anchor: AsyncClient,
    slots: HashMap<u64, Slot>,
    /// Clients that were replaced while their connection was not over.
    replaced: Vec<Handle>,
}

impl Worker {
    pub(crate) fn new(
        commands: mpsc::Receiver<Command>,
        sender: mpsc::Sender<Command>,
        runtime: tokio::runtime::Handle,
        anchor: AsyncClient,
    ) -> Self {
        Self { commands, sender, runtime, anchor, slots: HashMap::new(), replaced: Vec::new() }
    }

    /// Works until told to stop.
    pub(crate) fn run(mut self) {
        while let Ok(command) = self.commands.recv() {
            match command {
                Command::Open(open) => self.open(*open),
                Command::Subscribe { link, epoch, filters } => self.subscribe(link, epoch, filters),
                Command::Publish { link, epoch, number, message, place } => {
                    self.publish(link, epoch, (number, message), place);
                }
                Command::Close { link, epoch } => self.close(link, epoch),
                Command::Remove { link } => self.remove(link),
                Command::Probe(reply) => {
                    // Takes paho's lock, and so shows that nobody sits on it.
                    let _ = self.anchor.is_connected();
                    let _ = reply.send(());
                }
                Command::Stop(reply) => {
                    self.stop(reply);
                    return;
                }
            }
            self.bury_replaced();
        }
    }

    fn open(&mut self, open: Open) {
        let reply =
            if open.line.is_live(open.epoch) { self.begin(&open) } else { OpenReply::Retired };
        // A receiver that is gone gives its tokens back, which accounts for them.
        let _ = open.reply.send(reply);
    }

    fn begin(&mut self, open: &Open) -> OpenReply {
        let present = self.slots.remove(&open.link);
        let handle = match present {
            Some(slot)
                if slot.handle.state.is_reusable() && slot.handle.identity == open.identity =>
            {
                slot.handle
            }
            Some(slot) if slot.handle.state.stage().phase != Phase::Over && !open.replace => {
                let stage = slot.handle.state.stage.subscribe();
                self.slots.insert(open.link, slot);
                return OpenReply::Busy(stage);
            }
            other => {
                if let Some(slot) = other {
                    self.replaced.push(slot.handle);
                }
                match Handle::create(open.identity.clone(), open.link, &open.line, &self.sender) {
                    Ok(handle) => handle,
                    Err(fault) => return OpenReply::Refused(fault),
                }
            }
        };
        let state = Arc::clone(&handle.state);
        let (calls, calls_out) = async_mpsc::unbounded_channel();
        // Before the call: callbacks may come before it returns.
        state.begin(open.epoch);
        let token = ConnectToken::new(handle.client.connect(open.options.clone()), &state);
        self.slots.insert(open.link, Slot { handle, calls });
        OpenReply::Opened(Opened { token, state, calls: calls_out })
    }

    /// The link's slot, if it carries that epoch, which still counts.
    fn carrier(&self, link: u64, epoch: Epoch) -> Option<&Slot> {
        self.slots.get(&link).filter(|slot| {
            slot.handle.state.stage().epoch == epoch && slot.handle.state.line.is_live(epoch)
        })
    }

    /// One SUBSCRIBE a filter: for a list of filters the crate reads as many codes as it asked for,
    /// whatever the SUBACK holds (server_response.rs, `from_success`). And one after the other's SUBACK:
    /// of several frames that come at once over a WebSocket paho may leave the last unread until more
    /// comes (observed 2026-11-26 with three SUBACKs, paho.mqtt.c 1.3.16).
    fn subscribe(&self, link: u64, epoch: Epoch, mut filters: Vec<String>) {
        let Some(slot) = self.carrier(link, epoch) else {
            return;
        };
        if filters.is_empty() {
            return;
        }
        let rest = filters.split_off(1);
        let Some(filter) = filters.pop() else { return };
        let account = Unsettled::new(&slot.handle.state);
        let token = slot.handle.client.subscribe(filter.as_str(), QoS::AtLeastOnce);
        let call = Call {
            kind: CallKind::Subscription { filter, token, rest },
            issued: Instant::now(),
            account,
        };
        // Without a task the connection is ending.
        let _ = slot.calls.send(call);
    }

    fn publish(
        &self,
        link: u64,
        epoch: Epoch,
        (number, message): (Option<u64>, Message),
        place: Place,
    ) {
        let Some(slot) = self.carrier(link, epoch) else {
            return;
        };
        let state = &slot.handle.state;
        let account = Unsettled::new(state);
        match slot.handle.client.try_publish(message) {
            Ok(token) => {
                let kind = CallKind::Delivery { token: token.into(), number, _place: place };
                let _ = slot.calls.send(Call { kind, issued: Instant::now(), account });
            }
            Err(error) => state.fail(epoch, unsent(&error)),
        }
    }

    /// Sends DISCONNECT where that epoch is open. While it is still connecting paho can't be
    /// stopped: the attempt's task closes once CONNACK has come.
    fn close(&self, link: u64, epoch: Epoch) {
        let current = self.slots.get(&link).map(|slot| &slot.handle);
        let carriers = current.into_iter().chain(&self.replaced);
        let mut carriers = carriers.filter(|handle| handle.state.link == link);
        if let Some(handle) = carriers.find(|handle| handle.state.closing(epoch)) {
            let token = disconnect(&handle.client);
            self.runtime.spawn(watch_close(token, Arc::clone(&handle.state), epoch));
        }
    }

    fn remove(&mut self, link: u64) {
        if let Some(slot) = self.slots.remove(&link) {
            let epoch = slot.handle.state.stage().epoch;
            self.replaced.push(slot.handle);
            self.close(link, epoch);
        }
    }

    fn bury_replaced(&mut self) {
        if self.replaced.is_empty() {
            return;
        }
        let (over, busy) = std::mem::take(&mut self.replaced)
            .into_iter()
            .partition(|handle| handle.state.stage().phase == Phase::Over);
        self.replaced = busy;
        graveyard::bury(over);
    }

    /// Ends every epoch, and answers with the stages of the connections that are being closed.
    fn stop(mut self, reply: Option<oneshot::Sender<Vec<watch::Receiver<Stage>>>>) {
        let carriers: Vec<(u64, Epoch)> = self
            .slots
            .iter()
            .map(|(link, slot)| (*link, slot.handle.state.stage().epoch))
            .chain(
                self.replaced.iter().map(|handle| (handle.state.link, handle.state.stage().epoch)),
            )
            .collect();
        for (link, epoch) in carriers {
            if let Some(slot) = self.slots.get(&link) {
                slot.handle.state.line.end(epoch, LinkStatus::Lost(fault::engine_gone()));
            }
            self.close(link, epoch);
        }
        let slots = std::mem::take(&mut self.slots);
        let mut handles: Vec<Handle> = slots.into_values().map(|slot| slot.handle).collect();
        handles.append(&mut self.replaced);
        let closing = handles
            .iter()
            .filter(|handle| handle.state.stage().phase == Phase::Closing)
            .map(|handle| handle.state.stage.subscribe())
            .collect();
        graveyard::bury(handles);
        if let Some(reply) = reply {
            let _ = reply.send(closing);
        }
    }
}

fn unsent(error: &Error) -> Fault {
    match error {
        Error::Publish(code, _) => fault::unsent(paho_mqtt::error_message(*code)),
        other => fault::unsent(&fault::text(other)),
    }
}

fn disconnect(client: &AsyncClient) -> Token {
    client.disconnect(DisconnectOptionsBuilder::new().timeout(DISCONNECT_FLUSH).finalize())
}

/// Ends the phase `Closing`: by the DISCONNECT's token or, where it never comes, by time.
async fn watch_close(token: Token, state: Arc<State>, epoch: Epoch) {
    match timeout(CLOSE_LIMIT, token).await {
        // An error says that there was no connection any more.
        Ok(Ok(_) | Err(_)) => {}
        Err(_) => {
            // The order is still in paho's queue, or was lost there.
            state.spend();
            tracing::debug!(module = %state.line.name, "DISCONNECT had no outcome, taking a new client next time");
        }
    }
    state.over(epoch);
}

/// How long paho may wait for acknowledgements before it sends DISCONNECT; what is unconfirmed by
/// then is sent again by whoever keeps it.
const DISCONNECT_FLUSH: Duration = Duration::from_millis(100);
/// How long a DISCONNECT may take. It stays queued behind writes to a peer that does not read.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

impl fmt::Debug for Open {
    /// Without the options, which hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open")
            .field("epoch", &self.epoch)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("issued", &self.issued).finish_non_exhaustive()
    }
}
