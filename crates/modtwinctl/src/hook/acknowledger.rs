//! Gets acknowledgements to the daemon, however long it is away; a newer one replaces one that
//! still waits.

use std::time::Duration;

use modtwin_api::AckRequest;
use modtwin_client::{Client, ClientError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::failure::describe;
use crate::watch::tell;

/// The wait before an acknowledgement is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// How long the program's end waits for the last acknowledgement.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// The task that sends acknowledgements.
pub(crate) struct Acknowledger {
    newest: watch::Sender<Option<AckRequest>>,
    task: JoinHandle<()>,
}

impl Acknowledger {
    /// Begins to wait for acknowledgements of `module`.
    pub(crate) fn new(client: Client, module: String) -> Self {
        let (newest, receiver) = watch::channel(None);
        let task = tokio::spawn(deliver(client, module, receiver));
        Self { newest, task }
    }

    /// Sends `ack` in place of what still waits.
    pub(crate) fn send(&self, ack: AckRequest) {
        self.newest.send_replace(Some(ack));
    }

    /// Gives the last acknowledgement a moment, then ends.
    pub(crate) async fn finish(self) {
        let Self { newest, mut task } = self;
        drop(newest);
        if tokio::time::timeout(LAST_WAIT, &mut task).await.is_err() {
            task.abort();
        }
    }
}

/// Delivers the newest acknowledgement until there will be no more.
async fn deliver(client: Client, module: String, mut newest: watch::Receiver<Option<AckRequest>>) {
    let mut is_told = false;
    while newest.changed().await.is_ok() {
        loop {
            let Some(ack) = newest.borrow_and_update().clone() else {
                break;
            };
            match client.acknowledge(&module, &ack).await {
                Ok(()) => is_told = false,
                Err(error) if error.is_temporary() => {
                    if !is_told {
                        is_told = true;
                        tell(&format!("{}; trying again", failed(&ack, &error)));
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(error) => tell(&failed(&ack, &error)),
            }
            break;
        }
    }
}

fn failed(ack: &AckRequest, error: &ClientError) -> String {
    format!("cannot acknowledge version {}: {}", ack.version, describe(error))
}
