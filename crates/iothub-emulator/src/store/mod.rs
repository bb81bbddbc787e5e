//! What survives: one append-only log, written by one thread that makes many writes durable with one fdatasync
//! (group commit). Owns order, durability and compaction; what the lines say is [`lines`]'s.
//!
//! A write is queued under its identity's lock and gets a number. Nobody hears of it before that number is committed.
//! The queue's lock is held for a push, and by the writer for taking the whole queue.

pub(crate) mod lines;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;

use crate::folder::{self, FolderError};
use crate::identity::{Identity, IdentityKey};
pub(crate) use lines::Contents;

/// Says why the log can't be used.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    #[error("cannot use the log `{path}`")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("log `{path}` is damaged at line {line}: move it away to start afresh")]
    Damaged { path: PathBuf, line: usize },
}

/// One thing to write.
#[derive(Debug)]
pub(crate) enum Entry {
    /// The identity as it is when the writer comes to it.
    Identity(Arc<Identity>),
    Removed(IdentityKey),
    /// A registered CA certificate, PEM.
    Authority(String),
}

#[derive(Debug, Default)]
struct Queue {
    entries: Vec<Entry>,
    last: u64,
    is_closed: bool,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    committed: watch::Sender<u64>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes writes durable.
#[derive(Debug)]
pub(crate) struct Store {
    shared: Arc<Shared>,
    /// `None`: nothing is kept, everything counts as committed at once.
    writer: Option<Mutex<Option<JoinHandle<()>>>>,
}

impl Store {
    /// Makes a store that keeps nothing, for a hub in a temporary folder.
    pub(crate) fn ephemeral() -> Self {
        Self { shared: Arc::new(Shared::new()), writer: None }
    }

    /// Opens the log in `folder`, compacted, and gives what it holds.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Contents), StoreError> {
        let path = folder.join(LOG);
        let mut log = Log { file: None, size: 0, floor: 0, path };
        let contents = log.compact()?;
        let shared = Arc::new(Shared::new());
        let for_writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || write_until_closed(&for_writer, log))
            .map_err(|source| StoreError::Io { path: folder.join(LOG), source })?;
        Ok((Self { shared, writer: Some(Mutex::new(Some(thread))) }, contents))
    }

    /// Queues an entry and gives the number to wait for.
    pub(crate) fn push(&self, entry: Entry) -> u64 {
        if self.writer.is_none() {
            return 0;
        }
        let mut queue = self.shared.queue();
        queue.entries.push(entry);
        queue.last += 1;
        let number = queue.last;
        drop(queue);
        self.shared.wake.notify_one();
        number
    }

    /// Tells up to which number everything is durable.
    pub(crate) fn committed(&self) -> watch::Receiver<u64> {
        self.shared.committed.subscribe()
    }

    /// Waits until `number` is durable.
    pub(crate) async fn wait(&self, number: u64) {
        let mut committed = self.committed();
        // Fails only when the sender is gone, and `self` holds it.
        let _ = committed.wait_for(|committed| *committed >= number).await;
    }

    /// Writes what is queued and ends the writer. Blocks for the time of a disk write.
    pub(crate) fn close(&self) {
        self.shared.queue().is_closed = true;
        self.shared.wake.notify_one();
        let thread = self
            .writer
            .as_ref()
            .and_then(|writer| writer.lock().unwrap_or_else(PoisonError::into_inner).take());
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's writer panicked");
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn new() -> Self {
        Self { queue: Mutex::default(), wake: Condvar::new(), committed: watch::Sender::new(0) }
    }
}

fn write_until_closed(shared: &Shared, mut log: Log) {
    loop {
        let mut queue = shared.queue();
        while queue.entries.is_empty() && !queue.is_closed {
            queue = shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let (entries, number, is_closed) =
            (std::mem::take(&mut queue.entries), queue.last, queue.is_closed);
        drop(queue);
        if entries.is_empty() && is_closed {
            return;
        }
        let bytes = lines::encode(&entries);
        while let Err(error) = log.append(&bytes) {
            // Nothing of this batch has been answered; try until the disk takes it.
            tracing::error!(error = %error, path = %log.path.display(), "cannot write the log, trying again");
            if shared.queue().is_closed {
                return;
            }
            std::thread::sleep(RETRY);
        }
        shared.committed.send_replace(number);
        if log.is_due()
            && let Err(error) = log.compact()
        {
            tracing::error!(error = %error, "cannot compact the log");
        }
    }
}

struct Log {
    path: PathBuf,
    file: Option<File>,
    /// Bytes that are good.
    size: u64,
    /// Size after the last compaction.
    floor: u64,
}

impl Log {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::options().append(true).open(&self.path)?),
        };
        let written = file.write_all(bytes).and_then(|()| file.sync_data());
        match written {
            Ok(()) => {
                self.size += u64::try_from(bytes.len()).unwrap_or_default();
                Ok(())
            }
            Err(error) => {
                file.set_len(self.size)?;
                Err(error)
            }
        }
    }

    fn is_due(&self) -> bool {
        self.size > LEAST_TO_COMPACT && self.size / 4 > self.floor
    }

    /// Writes the log anew with the last line of each key, whole and renamed into place.
    fn compact(&mut self) -> Result<Contents, StoreError> {
        let failed = |source| StoreError::Io { path: self.path.clone(), source };
        let old = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        let (kept, contents) = lines::compact(&old)
            .map_err(|line| StoreError::Damaged { path: self.path.clone(), line })?;
        // Appending opens whichever file is then in place.
        self.file = None;
        folder::write_whole(&self.path, &kept)?;
        self.size = u64::try_from(kept.len()).unwrap_or_default();
        self.floor = self.size;
        Ok(contents)
    }
}

const LOG: &str = "hub.log";
const RETRY: Duration = Duration::from_secs(1);
const LEAST_TO_COMPACT: u64 = 32 * 1024 * 1024;

#[cfg(test)]
mod tests;
