//! One paho client and what its callbacks know.
//!
//! Owns the creation of clients, their callbacks, and the stage of the connection they carry.
//! Callbacks run on paho's threads with its process-wide lock held: they put into queues, set the
//! stage, and can't panic.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use modtwin_core::status::Fault;
use modtwin_session::link::{Epoch, InboundMessage, LinkStatus, MESSAGE_QUEUE};
use paho_mqtt::{AsyncClient, CreateOptionsBuilder, Message, PersistenceType};
use tokio::sync::watch;

use crate::fault;
use crate::line::Line;
use crate::worker::Command;

/// What a client is made for. paho fixes both at creation; its list of alternative servers is left
/// alone, since its index runs past the list's end after a failed attempt (MQTTAsyncUtils.c,
/// `MQTTAsync_processCommand`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) server_uri: String,
    pub(crate) client_id: String,
}

/// Where the connection is that a client carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) epoch: Epoch,
    pub(crate) phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Neither a connection nor an attempt: the client may connect anew.
    Over,
    /// The attempt's token is out.
    Connecting,
    /// CONNACK 0 has come.
    Open,
    /// DISCONNECT is ordered and its token is out.
    Closing,
}

/// A client, and its state. Only the engine's thread and the graveyard's hold one.
pub(crate) struct Handle {
    pub(crate) identity: Identity,
    pub(crate) state: Arc<State>,
    pub(crate) client: AsyncClient,
}

/// What the engine's thread, the callbacks and the tasks know of one client.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) line: Arc<Line>,
    /// The link it belongs to.
    pub(crate) link: u64,
    pub(crate) stage: watch::Sender<Stage>,
    /// Calls of the connection that have no outcome yet. Left-over ones would be sent over the next
    /// connection: paho keeps its queue of commands where the session is not clean.
    unsettled: AtomicUsize,
    /// Invariant: once set, the client never connects again.
    spent: AtomicBool,
    /// Connect tokens that are out. They hold the client: while there is one, the client must live.
    connect_tokens: AtomicUsize,
    /// Invariant: once set, nobody knows whether paho still holds a connect token, so the client
    /// must never be dropped.
    lost_token: AtomicBool,
    commands: mpsc::Sender<Command>,
}

impl Handle {
    /// Makes a client for one link.
    ///
    /// # Errors
    ///
    /// A fault where paho refuses the identity.
    pub(crate) fn create(
        identity: Identity,
        link: u64,
        line: &Arc<Line>,
        commands: &mpsc::Sender<Command>,
    ) -> Result<Self, Fault> {
        let client = client(&identity).map_err(|error| {
            Fault::new(
                modtwin_core::status::Reason::Config,
                format!(
                    "cannot make an MQTT client for `{}` as `{}`: {}",
                    identity.server_uri,
                    identity.client_id,
                    fault::text(&error)
                ),
            )
        })?;
        let state = Arc::new(State {
            line: Arc::clone(line),
            link,
            stage: watch::Sender::new(Stage { epoch: Epoch(u64::MAX), phase: Phase::Over }),
            unsettled: AtomicUsize::new(0),
            spent: AtomicBool::new(false),
            connect_tokens: AtomicUsize::new(0),
            lost_token: AtomicBool::new(false),
            commands: commands.clone(),
        });
        // Set once: paho ignores new callbacks while a connection is under way. The callbacks own
        // the state, not the client, which could never be dropped then.
        let arrivals = Arc::clone(&state);
        client.set_message_callback(move |_, message| {
            if let Some(message) = message {
                arrivals.arrived(&message);
            }
        });
        let losses = Arc::clone(&state);
        client.set_connection_lost_callback(move |_| losses.broke());
        Ok(Self { identity, state, client })
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("identity", &self.identity)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// A bare paho client, as the library's options must always be.
pub(crate) fn client(identity: &Identity) -> paho_mqtt::Result<AsyncClient> {
    let options = CreateOptionsBuilder::new()
        .server_uri(&identity.server_uri)
        .client_id(&identity.client_id)
        // The default differs from its documentation: say it.
        .persistence(PersistenceType::None)
        .send_while_disconnected(false)
        .max_buffered_messages(i32::try_from(crate::link::OUTBOUND_QUEUE).unwrap_or(i32::MAX))
        .finalize();
    AsyncClient::new(options)
}

impl State {
    /// Takes up a new epoch. Only while the phase is `Over`, on the engine's thread.
    pub(crate) fn begin(&self, epoch: Epoch) {
        self.stage.send_replace(Stage { epoch, phase: Phase::Connecting });
    }

    pub(crate) fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Whether the client can carry another connection.
    pub(crate) fn is_reusable(&self) -> bool {
        self.stage().phase == Phase::Over
            && self.unsettled.load(Ordering::SeqCst) == 0
            && !self.spent.load(Ordering::SeqCst)
            && !self.lost_token.load(Ordering::SeqCst)
    }

    /// Bars the client from connecting again.
    pub(crate) fn spend(&self) {
        self.spent.store(true, Ordering::SeqCst);
    }

    /// Whether nothing of a connect is out any more.
    pub(crate) fn is_settled(&self) -> bool {
        self.connect_tokens.load(Ordering::SeqCst) == 0 && self.stage().phase == Phase::Over
    }

    pub(crate) fn has_lost_token(&self) -> bool {
        self.lost_token.load(Ordering::SeqCst)
    }

    /// `Connecting` → `Open`, and says so. For whoever first knows that CONNACK 0 has come.
    ///
    /// Said with the stage locked, so that `Lost` can only come after it.
    pub(crate) fn opened(&self, epoch: Epoch) {
        self.stage.send_if_modified(|stage| {
            let fits = *stage == Stage { epoch, phase: Phase::Connecting };
            if fits {
                stage.phase = Phase::Open;
                self.line.say(epoch, LinkStatus::Connected);
            }
            fits
        });
    }

    /// `Open` → `Closing`; `false` where there is nothing to close.
    pub(crate) fn closing(&self, epoch: Epoch) -> bool {
        self.stage.send_if_modified(|stage| {
            let fits = *stage == Stage { epoch, phase: Phase::Open };
            if fits {
                stage.phase = Phase::Closing;
            }
            fits
        })
    }

    /// Whatever the phase → `Over`.
    pub(crate) fn over(&self, epoch: Epoch) {
        self.stage.send_if_modified(|stage| {
            let fits = stage.epoch == epoch && stage.phase != Phase::Over;
            if fits {
                stage.phase = Phase::Over;
            }
            fits
        });
    }

    /// Orders the end of the connection.
    pub(crate) fn close(&self, epoch: Epoch) {
        // Without an engine there is no connection either.
        let _ = self.commands.send(Command::Close { link: self.link, epoch });
    }

    /// Orders further subscriptions.
    pub(crate) fn subscribe(&self, epoch: Epoch, filters: Vec<String>) {
        // Without an engine there is no connection either.
        let _ = self.commands.send(Command::Subscribe { link: self.link, epoch, filters });
    }

    /// paho's callback: a message.
    fn arrived(&self, message: &Message) {
        let Stage { epoch, phase } = self.stage();
        if !self.line.is_live(epoch) {
            return;
        }
        if phase == Phase::Connecting {
            // paho hands messages out after CONNACK only; the attempt's task was not as fast.
            self.opened(epoch);
        }
        // `Message::topic` panics where the topic is not UTF-8, `Display` says it with an error. Not
        // a full protection: paho-mqtt 0.14 itself unwraps the topic before it calls us, and aborts
        // the process where it is not UTF-8 or holds a NUL (async_client.rs, `on_message_arrived`).
        // Only a hub whose certificate was accepted can send such a topic.
        if write!(Void, "{message}").is_err() {
            self.fail(epoch, fault::bad_topic());
            return;
        }
        let inbound = InboundMessage {
            epoch,
            topic: message.topic().to_owned(),
            payload: message.payload().to_vec(),
        };
        if !self.line.deliver(inbound) {
            self.fail(epoch, fault::overrun(MESSAGE_QUEUE));
        }
    }

    /// Ends the epoch as lost and orders the end of its connection.
    pub(crate) fn fail(&self, epoch: Epoch, fault: Fault) {
        if self.line.end(epoch, LinkStatus::Lost(fault)) {
            self.close(epoch);
        }
    }

    /// paho's callback: the connection broke.
    fn broke(&self) {
        self.stage.send_if_modified(|stage| {
            match stage.phase {
                Phase::Open => {}
                // paho tells of no broken connection that had no CONNACK 0.
                Phase::Connecting => self.line.say(stage.epoch, LinkStatus::Connected),
                // The DISCONNECT is still in paho's queue and must not meet the next connection:
                // its token, or the time limit on it, ends this phase.
                Phase::Closing | Phase::Over => return false,
            }
            self.line.end(stage.epoch, LinkStatus::Lost(fault::closed()));
            stage.phase = Phase::Over;
            true
        });
    }
}

/// Notes that a call has no outcome yet. Where it is dropped without one, wherever that happens, the
/// call may still be queued in paho, which would send it over the client's next connection: hence no
/// next one.
#[derive(Debug)]
pub(crate) struct Unsettled {
    state: Arc<State>,
    is_settled: bool,
}

impl Unsettled {
    pub(crate) fn new(state: &Arc<State>) -> Self {
        state.unsettled.fetch_add(1, Ordering::SeqCst);
        Self { state: Arc::clone(state), is_settled: false }
    }

    /// The call has its outcome.
    pub(crate) fn settle(&mut self) {
        self.is_settled = true;
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if !self.is_settled {
            self.state.spend();
        }
        self.state.unsettled.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A connect token, and the account of it.
pub(crate) struct ConnectToken {
    /// Invariant: `None` only while dropping.
    token: Option<paho_mqtt::ConnectToken>,
    settled: bool,
    state: Arc<State>,
}

impl ConnectToken {
    pub(crate) fn new(token: paho_mqtt::ConnectToken, state: &Arc<State>) -> Self {
        state.connect_tokens.fetch_add(1, Ordering::SeqCst);
        Self { token: Some(token), settled: false, state: Arc::clone(state) }
    }

    /// Waits for the outcome. Safe to cancel; polling takes the token's own lock only.
    pub(crate) async fn outcome(&mut self) -> paho_mqtt::Result<()> {
        let Some(token) = self.token.as_mut() else {
            return Err(paho_mqtt::Error::Failure);
        };
        let outcome = token.await;
        self.settled = true;
        outcome.map(|_| ())
    }
}

impl Drop for ConnectToken {
    fn drop(&mut self) {
        // In this order: the account says zero only when no token holds the client.
        self.token = None;
        if !self.settled {
            self.state.lost_token.store(true, Ordering::SeqCst);
        }
        self.state.connect_tokens.fetch_sub(1, Ordering::SeqCst);
    }
}

impl fmt::Debug for ConnectToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectToken").field("settled", &self.settled).finish_non_exhaustive()
    }
}

/// Takes any text and keeps none.
struct Void;

impl fmt::Write for Void {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_dropped_without_an_outcome_bars_the_client_from_connecting_again() {
        let state = Arc::new(State {
            line: Arc::new(Line::new("m").0),
            link: 1,
            stage: watch::Sender::new(Stage { epoch: Epoch(1), phase: Phase::Over }),
            unsettled: AtomicUsize::new(0),
            spent: AtomicBool::new(false),
            connect_tokens: AtomicUsize::new(0),
            lost_token: AtomicBool::new(false),
            commands: mpsc::channel().0,
        });
        let mut call = Unsettled::new(&state);
        assert!(!state.is_reusable());
        call.settle();
        drop(call);
        assert!(state.is_reusable());
        drop(Unsettled::new(&state));
        assert!(!state.is_reusable());
    }
}
