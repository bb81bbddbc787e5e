//! The rest of the hub's hold on a link: a queue into it and a switch that cuts it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

/// Says why a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// DISCONNECT came.
    Disconnected,
    /// The client closed without DISCONNECT.
    Closed,
    /// The stream failed.
    Failed,
    /// Bytes came that are no MQTT 3.1.1.
    Malformed,
    /// A packet came that no client may send here.
    Illegal(&'static str),
    /// Nothing came for 1.5 times the keep alive.
    Silent,
    /// A newer connection of the same identity came.
    TakenOver,
    /// The identity was deleted.
    Deleted,
    /// The device was disabled.
    Disabled,
    /// The token ended.
    Expired,
    /// The daily quota is spent.
    Quota,
    /// Telemetry came faster than the tier allows.
    Throttled,
    /// A `drop` fault struck.
    Dropped,
    /// The client reads too slowly for what it is to get.
    Overrun,
    /// The emulator ends.
    Stopped,
}

impl Ending {
    /// Gives the ending that goes with a failed read: WebSockets refuse what carries no MQTT with `InvalidData`.
    pub(super) fn of_read(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::InvalidData => Self::Malformed,
            _ => Self::Failed,
        }
    }

    /// Gives the name used in events.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Closed => "closed by the client without DISCONNECT",
            Self::Failed => "stream failed",
            Self::Malformed => "malformed packet",
            Self::Illegal(what) => what,
            Self::Silent => "keep alive ran out",
            Self::TakenOver => "taken over by a newer connection",
            Self::Deleted => "identity deleted",
            Self::Disabled => "device disabled",
            Self::Expired => "token expired",
            Self::Quota => "quota spent",
            Self::Throttled => "telemetry throttled",
            Self::Dropped => "dropped by a fault",
            Self::Overrun => "client does not read",
            Self::Stopped => "emulator ends",
        }
    }
}

/// Something a link is to do for the rest of the hub.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send a desired notification once the store committed `after`.
    Desired { body: Bytes, version: u64, after: u64 },
    /// Send a method call.
    Method { name: String, rid: String, payload: Bytes },
}

/// Cuts a link. The first reason counts.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    notify: Notify,
    ending: OnceLock<Ending>,
}

impl Cut {
    pub(crate) async fn wait(&self) -> Ending {
        loop {
            if let Some(ending) = self.ending.get() {
                return *ending;
            }
            self.notify.notified().await;
        }
    }
}

/// Holds one link from outside.
#[derive(Clone, Debug)]
pub(crate) struct LinkHandle {
    pub(crate) id: u64,
    /// Fingerprint of what the client proved itself with.
    pub(crate) credential: String,
    /// The Plug and Play model it announced; empty without.
    pub(crate) model_id: String,
    /// Whether it asked for method calls.
    pub(crate) takes_methods: bool,
    commands: mpsc::Sender<Command>,
    cut: Arc<Cut>,
}

impl LinkHandle {
    /// Makes a handle and the link's ends of it.
    pub(crate) fn new(
        id: u64,
        credential: String,
        model_id: String,
    ) -> (Self, mpsc::Receiver<Command>, Arc<Cut>) {
        let (commands, receiver) = mpsc::channel(MOST_COMMANDS);
        let cut = Arc::new(Cut::default());
        let handle = Self {
            id,
            credential,
            model_id,
            takes_methods: false,
            commands,
            cut: Arc::clone(&cut),
        };
        (handle, receiver, cut)
    }

    /// Ends the link soon.
    pub(crate) fn cut(&self, ending: Ending) {
        let _ = self.cut.ending.set(ending);
        self.cut.notify.notify_one();
    }

    /// Queues a command. A full queue is a client that does not read: its link is cut.
    pub(crate) fn send(&self, command: Command) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.commands.try_send(command) {
            self.cut(Ending::Overrun);
        }
    }
}

/// Commands a link may lag behind.
const MOST_COMMANDS: usize = 16_384;
