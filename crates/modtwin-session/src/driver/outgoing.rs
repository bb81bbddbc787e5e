//! Device-to-cloud messages on their way: what the core's queue decides, performed.
//!
//! Owns the messages themselves, whoever waits for them, and the order of what is done on disk: one
//! thing at a time, a message's file before its removal.

use std::collections::BTreeMap;
use std::sync::Arc;

use modtwin_core::deliveries::{Deliveries, MAX_MESSAGES, Step, Told, Wish};
use modtwin_core::ids::{DeviceId, ModuleId};
use modtwin_core::status::{Fault, HubState, Reason};
use modtwin_core::time::Millis;
use modtwin_wire::telemetry::encode_message;
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::{Driver, Job};
use crate::messages::{
    Backlog, DeviceMessage, FoundMessages, MessageError, MessageStore, SendError, Settled, Until,
};
use crate::seat::SessionConfig;
use crate::store::StoreError;

type Teller = oneshot::Sender<Result<Settled, SendError>>;

/// The messages of one session.
#[derive(Debug)]
pub(super) struct Outgoing {
    deliveries: Deliveries,
    held: BTreeMap<u64, Held>,
    to_disk: ToDisk,
    /// A turn to send is waited for.
    awaits_turn: bool,
    /// What is on disk could not be read: nothing may be put there.
    unread: bool,
    /// What the disk said last, where it did not take a message.
    problem: StoreError,
    set_aside: u64,
}

#[derive(Debug)]
struct Held {
    topic: String,
    message: Arc<DeviceMessage>,
    /// Whoever waits for it; a caller that has left is no error.
    told: Option<Teller>,
}

/// What is to be done on disk, after what is being done.
#[derive(Debug, Default)]
struct ToDisk {
    is_busy: bool,
    puts: Vec<(u64, Arc<DeviceMessage>)>,
    removes: Vec<u64>,
    asides: Vec<(u64, Arc<DeviceMessage>)>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct OnDisk {
    put: Vec<(u64, Result<u64, StoreError>)>,
    failed: Option<StoreError>,
    set_aside: Option<u64>,
    /// What could not be read before can be read now.
    is_found: bool,
}

impl Outgoing {
    /// What was on disk, ready to be sent; without it nothing is put there.
    pub(super) fn new(config: &SessionConfig, found: Result<FoundMessages, StoreError>) -> Self {
        let unread = found.is_err();
        let problem = found.as_ref().err().cloned().unwrap_or(StoreError(String::new()));
        let FoundMessages { waiting, newest, set_aside } = found.unwrap_or_else(|error| {
            error!(%error, "stored messages not readable; messages that have to wait are refused");
            FoundMessages::default()
        });
        let (mut held, mut to_disk) = (BTreeMap::new(), ToDisk::default());
        for (number, message) in waiting {
            let message = Arc::new(message);
            match topic_of(&config.device, &config.module, &message) {
                Ok(topic) => {
                    held.insert(number, Held { topic, message, told: None });
                }
                Err(error) => {
                    warn!(number, %error, "a stored message can't be sent, setting it aside");
                    to_disk.asides.push((number, message));
                }
            }
        }
        let sizes = held.iter().map(|(number, held)| (*number, held.size()));
        let (base, seed) = (config.settings.retry_base, config.settings.seed);
        // A run that crashed may still be writing messages that are newer than all that was found.
        let most = u64::try_from(MAX_MESSAGES).unwrap_or(u64::MAX);
        let newest = newest.saturating_add(most);
        let deliveries = Deliveries::restore(sizes, newest, base, seed);
        Self { deliveries, held, to_disk, awaits_turn: false, unread, problem, set_aside }
    }

    /// Whether the disk still has to be told of something.
    pub(super) fn is_unsaved(&self) -> bool {
        self.deliveries.is_unsaved() || self.to_disk.is_busy || self.to_disk.has_work()
    }

    pub(super) fn next_deadline(&self) -> Option<Millis> {
        self.deliveries.next_deadline()
    }

    pub(super) fn handle_timeout(&mut self, now: Millis) {
        self.deliveries.handle_timeout(now);
    }

    /// Takes the hub's confirmation; says whether that is news.
    pub(super) fn confirmed(&mut self, number: u64) -> bool {
        let before = self.deliveries.waiting();
        self.deliveries.handle_confirmed(number);
        self.deliveries.waiting() < before
    }

    fn backlog(&self) -> Backlog {
        Backlog {
            waiting: u64::try_from(self.deliveries.waiting()).unwrap_or(u64::MAX),
            bytes: self.deliveries.bytes(),
            set_aside: self.set_aside,
        }
    }

    fn tell(&mut self, number: u64, told: Told) {
        let Some(teller) = self.held.get_mut(&number).and_then(|held| held.told.take()) else {
            return;
        };
        let answer = match told {
            Told::Sent => Ok(Settled::Sent),
            Told::Stored => Ok(Settled::Stored),
            Told::Late => Err(SendError::Late),
            Told::NotStored => Err(SendError::Storage(self.problem.clone())),
        };
        drop(teller.send(answer));
    }
}

impl Held {
    /// What counts against the queue's bound: what the hub counts, and the topic's other half.
    fn size(&self) -> u64 {
        u64::try_from(self.topic.len().saturating_add(self.message.payload.len()))
            .unwrap_or(u64::MAX)
    }
}

impl ToDisk {
    fn has_work(&self) -> bool {
        !(self.puts.is_empty() && self.removes.is_empty() && self.asides.is_empty())
    }

    /// Does it, on a blocking thread.
    fn perform(self, store: &dyn MessageStore, unread: bool) -> OnDisk {
        let mut done = OnDisk::default();
        if unread {
            let error = match store.load() {
                Ok(_readable) => {
                    done.is_found = true;
                    StoreError("stored messages have just come back; try again".to_owned())
                }
                Err(error) => error,
            };
            done.put =
                self.puts.into_iter().map(|(number, _)| (number, Err(error.clone()))).collect();
            return done;
        }
        for (number, message) in self.puts {
            done.put.push((number, store.put(number, &message)));
        }
        for number in self.removes {
            done.failed = store.remove(number).err().or(done.failed);
        }
        for (number, message) in self.asides {
            match store.set_aside(number, &message) {
                Ok(count) => done.set_aside = Some(count),
                Err(error) => done.failed = Some(error),
            }
        }
        done
    }
}

fn topic_of(
    device: &DeviceId,
    module: &ModuleId,
    message: &DeviceMessage,
) -> Result<String, MessageError> {
    encode_message(device, module, message).map(|outbound| outbound.topic)
}

impl Driver<'_> {
    /// Takes a message.
    pub(super) fn take_message(&mut self, message: DeviceMessage, until: Until, told: Teller) {
        let now = self.around.clock.now();
        let config = &self.ends.config;
        let topic = match topic_of(&config.device, &config.module, &message) {
            Ok(topic) => topic,
            Err(error) => return drop(told.send(Err(SendError::Invalid(error)))),
        };
        let held = Held { topic, message: Arc::new(message), told: None };
        let wish = match until {
            Until::Stored => Wish::Stored,
            Until::Sent(limit) => Wish::Hub(now + limit),
        };
        match self.outgoing.deliveries.push(now, held.size(), wish) {
            Ok(number) => {
                self.outgoing.held.insert(number, Held { told: Some(told), ..held });
            }
            Err(full) => drop(told.send(Err(SendError::Full(full)))),
        }
    }

    /// The link broke: judges whether a message is to blame, and tells the session.
    pub(super) fn link_lost(&mut self, fault: Fault) {
        let now = self.around.clock.now();
        if !self.outgoing.deliveries.handle_lost(now) {
            return self.session.handle_lost(now, fault);
        }
        let detail = format!(
            "the hub ended the connection again while it was sent the same message: it throttles \
             messages or does not take this one; last: {}",
            fault.detail
        );
        self.session.handle_lost_to_a_message(now, Fault::new(Reason::Network, detail));
    }

    /// Brings messages as far as they can come now.
    pub(super) fn tend_messages(&mut self) {
        if self.session.status().state == HubState::Connected {
            self.outgoing.deliveries.handle_live();
        } else {
            self.outgoing.deliveries.handle_parted();
        }
        self.send_messages();
        while let Some(step) = self.outgoing.deliveries.poll_step() {
            self.perform_step(step);
        }
        self.begin_disk_work();
        let backlog = self.outgoing.backlog();
        self.note_messages(backlog.waiting);
        self.ends.backlog.send_if_modified(|known| std::mem::replace(known, backlog) != backlog);
    }

    fn perform_step(&mut self, step: Step) {
        let outgoing = &mut self.outgoing;
        match step {
            Step::Write(number) => {
                if let Some(held) = outgoing.held.get(&number) {
                    outgoing.to_disk.puts.push((number, Arc::clone(&held.message)));
                }
            }
            Step::Remove(number) => {
                outgoing.held.remove(&number);
                outgoing.to_disk.removes.push(number);
            }
            Step::SetAside(number) => {
                if let Some(Held { message, .. }) = outgoing.held.remove(&number) {
                    let (bytes, id) = (message.payload.len(), &message.message_id);
                    error!(
                        number,
                        bytes,
                        message_id = id.as_deref().unwrap_or_default(),
                        "the hub closed one connection after another over a message, setting it aside"
                    );
                    outgoing.to_disk.asides.push((number, message));
                }
            }
            Step::Tell(number, told) => {
                outgoing.tell(number, told);
                if matches!(told, Told::Sent | Told::NotStored) {
                    outgoing.held.remove(&number);
                }
            }
        }
    }

    fn send_messages(&mut self) {
        let now = self.around.clock.now();
        while let Some(number) = self.outgoing.deliveries.next_to_send(now) {
            if !self.ends.share.try_operation() {
                return self.await_message_turn();
            }
            self.send_message(number);
        }
    }

    fn send_message(&mut self, number: u64) {
        if let Some(held) = self.outgoing.held.get(&number) {
            let payload = held.message.payload.clone();
            self.ends.ports.link.deliver(number, &held.topic, payload);
        }
        self.outgoing.deliveries.handle_sent(number);
    }

    fn await_message_turn(&mut self) {
        if std::mem::replace(&mut self.outgoing.awaits_turn, true) {
            return;
        }
        let share = Arc::clone(&self.ends.share);
        self.jobs.spawn(async move {
            share.operation().await;
            Job::MessageTurn
        });
    }

    /// The turn has come: one message goes.
    pub(super) fn message_turn(&mut self) {
        self.outgoing.awaits_turn = false;
        let now = self.around.clock.now();
        if let Some(number) = self.outgoing.deliveries.next_to_send(now) {
            self.send_message(number);
        }
    }

    fn begin_disk_work(&mut self) {
        let to_disk = &mut self.outgoing.to_disk;
        if to_disk.is_busy || !to_disk.has_work() {
            return;
        }
        let work = std::mem::replace(to_disk, ToDisk { is_busy: true, ..ToDisk::default() });
        let numbers: Vec<u64> = work.puts.iter().map(|(number, _)| *number).collect();
        let (store, unread) = (Arc::clone(&self.ends.ports.messages), self.outgoing.unread);
        let span = tracing::Span::current();
        self.jobs.spawn(async move {
            let work = move || span.in_scope(|| work.perform(&*store, unread));
            let done = tokio::task::spawn_blocking(work).await;
            Job::MessagesOnDisk(done.unwrap_or_else(|_panicked| {
                let failed = StoreError("writing messages failed unexpectedly".to_owned());
                let put = numbers.into_iter().map(|number| (number, Err(failed.clone())));
                OnDisk { put: put.collect(), ..OnDisk::default() }
            }))
        });
    }

    /// What was to be done on disk is done, or could not be.
    pub(super) fn messages_on_disk(&mut self, done: OnDisk) {
        let now = self.around.clock.now();
        self.outgoing.to_disk.is_busy = false;
        self.outgoing.set_aside = done.set_aside.unwrap_or(self.outgoing.set_aside);
        let mut failed = done.failed;
        for (number, written) in done.put {
            self.outgoing.deliveries.handle_written(now, number, written.is_ok());
            match written {
                Ok(bytes) => self.ends.figures.send_modify(|figures| figures.count_write(bytes)),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            if let Some(dropped) = self.may_log("messages on disk") {
                error!(%error, dropped, "messages can't be kept on disk as they should");
            }
            self.outgoing.problem = error;
        }
        if done.is_found {
            warn!("stored messages can be read again, beginning anew with them");
            self.state_found = true;
        }
    }
}
