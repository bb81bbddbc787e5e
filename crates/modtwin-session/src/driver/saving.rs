//! What concerns the disk: writing the state, what it costs, and state that comes to light late.

use std::sync::Arc;
use std::time::SystemTime;

use tracing::{debug, error, info, warn};

use super::{Driver, Job};
use crate::publish::as_of;
use crate::store::{Loaded, StoreError, StoredTwin, to_stored_ms};
use crate::stored::to_stored;

impl Driver<'_> {
    pub(super) fn to_save(&self) -> StoredTwin {
        let as_of = as_of(&self.session, &self.around).map(to_stored_ms);
        to_stored(self.session.durable(), as_of)
    }

    pub(super) fn begin_save(&mut self) {
        let stored = self.to_save();
        let store = Arc::clone(&self.ends.ports.store);
        let unread = self.unread;
        let work = move || {
            if unread {
                match store.load() {
                    Ok(Loaded { twin: Some(_), .. }) => return Job::Found,
                    Ok(_nothing) => {}
                    Err(error) => return Job::Saved(Err(error)),
                }
            }
            Job::Saved(store.save(&stored))
        };
        let span = tracing::Span::current();
        self.jobs.spawn(async move {
            let done = tokio::task::spawn_blocking(move || span.in_scope(work)).await;
            done.unwrap_or_else(|_panicked| {
                let text = "writing the state failed unexpectedly".to_owned();
                Job::Saved(Err(StoreError(text)))
            })
        });
    }

    pub(super) fn saved(&mut self, written: Result<u64, StoreError>) {
        let good = written.is_ok();
        match written {
            Ok(bytes) => {
                self.unread = false;
                self.ends.figures.send_modify(|figures| figures.count_write(bytes));
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

    /// State that could not be read when this run began can be read now. Nothing has been stored
    /// since, so that a run that begins from it loses nothing.
    pub(super) fn state_was_found(&mut self) {
        warn!("the state on disk can be read again, beginning anew from it");
        let text = "the state on disk has just come back; try again";
        self.around.storage_problem = Some(text.to_owned());
        self.session.handle_saved(self.around.clock.now(), false);
        self.state_found = true;
    }

    /// Counts the silence of handlers whose time is up as their answer.
    pub(super) fn count_silence(&mut self) {
        while let Some(silence) = self.session.poll_silence() {
            if let Some(dropped) = self.may_log("silence") {
                warn!(
                    handler = silence.handler,
                    version = silence.version,
                    limit = ?silence.limit,
                    dropped,
                    "a handler did not acknowledge a version in time"
                );
            }
            let at = to_stored_ms(SystemTime::now());
            self.session.note_silence(self.around.clock.now(), &silence, at);
        }
    }
}
