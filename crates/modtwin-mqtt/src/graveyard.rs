//! Where clients go that are no longer needed.
//!
//! paho deadlocks for ever when a client is destroyed from within one of its callbacks, which
//! happens where a connect token inside paho is the last to hold it. So clients are dropped by a
//! plain thread, long after their last token; one whose token never came back is never dropped.
//! None is the process's last: destroying that one leaks descriptors (`worker` keeps an anchor).

use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::handle::Handle;

struct Grave {
    handle: Handle,
    /// Since when nothing of it is out.
    quiet_since: Option<Instant>,
}

/// Process-wide as paho's lock is: a client outlives the engine that made it.
static GRAVEYARD: OnceLock<Option<mpsc::Sender<Vec<Handle>>>> = OnceLock::new();

/// Takes clients that will never be used again. Never blocks on paho.
pub(crate) fn bury(handles: Vec<Handle>) {
    if handles.is_empty() {
        return;
    }
    let refused = match GRAVEYARD.get_or_init(open) {
        Some(sender) => sender.send(handles).err().map(|refused| refused.0),
        None => Some(handles),
    };
    if let Some(handles) = refused {
        tracing::error!(clients = handles.len(), "no thread to drop MQTT clients, keeping them");
        std::mem::forget(handles);
    }
}

fn open() -> Option<mpsc::Sender<Vec<Handle>>> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new()
        .name("mqtt-graveyard".into())
        .spawn(move || keep(&receiver))
        .ok()
        .map(|_| sender)
}

fn keep(receiver: &mpsc::Receiver<Vec<Handle>>) {
    let mut graves: Vec<Grave> = Vec::new();
    loop {
        let arrivals = if graves.is_empty() {
            receiver.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected)
        } else {
            receiver.recv_timeout(ROUND)
        };
        match arrivals {
            Ok(handles) => {
                graves.extend(handles.into_iter().map(|handle| Grave { handle, quiet_since: None }))
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return std::mem::forget(graves),
        }
        let now = Instant::now();
        graves = graves.into_iter().filter_map(|grave| visit(grave, now)).collect();
    }
}

/// Drops what may be dropped, and gives back what must wait.
fn visit(mut grave: Grave, now: Instant) -> Option<Grave> {
    let state = &grave.handle.state;
    if state.has_lost_token() {
        tracing::warn!(module = %state.line.name, "paho never answered a connect, keeping its client for good");
        std::mem::forget(grave);
        return None;
    }
    if !state.is_settled() {
        grave.quiet_since = None;
        return Some(grave);
    }
    let quiet_since = *grave.quiet_since.get_or_insert(now);
    (now.duration_since(quiet_since) < GRACE).then_some(grave)
}

/// How long a client rests after its last token, so that the callback that completed it has
/// returned.
const GRACE: Duration = Duration::from_secs(5);
/// How often the graves are visited, while there are any.
const ROUND: Duration = Duration::from_secs(1);
