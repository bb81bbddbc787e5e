//! The desk where direct methods are handed to their owners, and their answers taken.
//!
//! Owns that each call of the hub gets one answer: the owner's, or one that says why there is none.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use modtwin_core::methods::{CallId, Closed, MAX_OPEN_CALLS, Methods, NotTaken, Owner, Routed};
use modtwin_core::status::HubState;
use modtwin_core::time::Millis;
use modtwin_wire::Outbound;
use modtwin_wire::method::{MethodCall, encode_method_answer};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::{Driver, Job};
use crate::methods::{AnswerError, ClaimError, Invocation, MethodAnswer, MethodCalls};

/// The payload is no JSON.
const BAD_PAYLOAD: u16 = 400;
/// Nobody has claimed the method.
const UNCLAIMED: u16 = 501;
/// Too many calls are open, or whoever was to answer is gone.
const UNAVAILABLE: u16 = 503;
/// Whoever was to answer did not in time.
const TIMED_OUT: u16 = 504;

/// The methods of one session.
#[derive(Debug)]
pub(super) struct Desk {
    methods: Methods,
    owners: BTreeMap<Owner, mpsc::Sender<Invocation>>,
    /// Answers that wait for a connection, each with the end of its time; oldest first.
    answers: VecDeque<(Millis, Outbound)>,
    /// What the ids of this run's calls begin with, so that none is another run's.
    prefix: String,
}

impl Desk {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            methods: Methods::new(limit),
            owners: BTreeMap::new(),
            answers: VecDeque::new(),
            prefix: format!("{:016x}-", RandomState::new().hash_one(0)),
        }
    }

    pub(super) fn set_limit(&mut self, limit: Duration) {
        self.methods.set_limit(limit);
    }

    pub(super) fn next_deadline(&self) -> Option<Millis> {
        self.methods.next_deadline()
    }

    fn call_id(&self, id: &str) -> Option<CallId> {
        id.strip_prefix(&self.prefix)?.parse().ok().map(CallId)
    }
}

impl Driver<'_> {
    /// Gives methods to a new owner.
    pub(super) fn claim_methods(
        &mut self,
        names: BTreeSet<String>,
    ) -> Result<MethodCalls, ClaimError> {
        let owner = self.desk.methods.claim(names).map_err(ClaimError::InUse)?;
        // Each open call has a place.
        let (sender, calls) = mpsc::channel(MAX_OPEN_CALLS);
        let gone = sender.clone();
        self.desk.owners.insert(owner, sender);
        self.jobs.spawn(async move {
            gone.closed().await;
            Job::OwnerGone(owner)
        });
        Ok(MethodCalls { calls })
    }

    /// Takes the methods from an owner that is gone, and answers its calls in its place.
    pub(super) fn owner_gone(&mut self, owner: Owner) {
        self.desk.owners.remove(&owner);
        for call in self.desk.methods.release(owner) {
            let why = format!("the process that was to answer `{}` is gone", call.name);
            self.answer_for(call, UNAVAILABLE, &why);
        }
    }

    /// Takes a call of the hub.
    pub(super) fn method_called(&mut self, call: MethodCall) {
        let now = self.around.clock.now();
        let MethodCall { name, rid, payload } = call;
        debug!(method = name, "method called");
        let due = now + self.desk.methods.limit();
        let closed = || Closed { rid: rid.clone(), name: name.clone(), due };
        let payload = match payload.as_slice() {
            [] => Value::Null,
            bytes => match serde_json::from_slice(bytes) {
                Ok(payload) => payload,
                Err(_) => return self.answer_for(closed(), BAD_PAYLOAD, "the payload is no JSON"),
            },
        };
        let (owner, id) = match self.desk.methods.open(now, &name, &rid) {
            Routed::To(owner, id) => (owner, id),
            Routed::Unclaimed => {
                let why = format!("no process on the gateway answers the method `{name}`");
                return self.answer_for(closed(), UNCLAIMED, &why);
            }
            Routed::TooMany => {
                let why = format!("{MAX_OPEN_CALLS} calls wait for their answers already");
                return self.answer_for(closed(), UNAVAILABLE, &why);
            }
        };
        let invocation = Invocation {
            id: format!("{}{}", self.desk.prefix, id.0),
            method: name.clone(),
            payload,
            due: self.around.clock.instant(due),
        };
        let handed = self.desk.owners.get(&owner).map(|sender| sender.try_send(invocation));
        match handed {
            Some(Ok(())) => {}
            // Calls whose time is over still take its places: it does not read.
            Some(Err(mpsc::error::TrySendError::Full(_))) => {
                if let Ok(call) = self.desk.methods.answer(id, None) {
                    let why = format!("the process that answers `{name}` takes no calls");
                    self.answer_for(call, UNAVAILABLE, &why);
                }
            }
            Some(Err(mpsc::error::TrySendError::Closed(_))) | None => self.owner_gone(owner),
        }
    }

    /// Takes an owner's answer.
    pub(super) fn method_answered(
        &mut self,
        id: &str,
        answer: MethodAnswer,
    ) -> Result<(), AnswerError> {
        let MethodAnswer { status, payload, allowed } = answer;
        let id = self.desk.call_id(id).ok_or(AnswerError::Unknown)?;
        let call = self.desk.methods.answer(id, allowed.as_ref()).map_err(|why| match why {
            NotTaken::Unknown => AnswerError::Unknown,
            NotTaken::NotAllowed(name) => AnswerError::NotAllowed(name),
        })?;
        debug!(method = call.name, status, "method answered");
        self.count_method(status);
        self.send_answer(call.due, encode_method_answer(&call.rid, status, payload));
        Ok(())
    }

    /// Answers the calls whose time is over.
    pub(super) fn expire_calls(&mut self) {
        let now = self.around.clock.now();
        for call in self.desk.methods.expire(now) {
            let name = &call.name;
            let why = format!("the process that answers `{name}` did not in time");
            // The caller may have more patience than the gateway.
            let call = Closed { due: now + self.desk.methods.limit(), ..call };
            self.answer_for(call, TIMED_OUT, &why);
        }
    }

    /// Answers in the place of an owner.
    fn answer_for(&mut self, call: Closed, status: u16, why: &str) {
        if let Some(dropped) = self.may_log("unanswered") {
            warn!(method = call.name, status, why, dropped, "method not answered by its owner");
        }
        self.count_method(status);
        let payload = json!({ "message": why }).to_string().into_bytes();
        self.send_answer(call.due, encode_method_answer(&call.rid, status, payload));
    }

    fn send_answer(&mut self, due: Millis, answer: Outbound) {
        // Without a connection there is one for each call that was open, and a few more.
        if self.desk.answers.len() >= 2 * MAX_OPEN_CALLS {
            self.desk.answers.pop_front();
        }
        self.desk.answers.push_back((due, answer));
    }

    /// Sends the answers that are still in time, if there is a connection. They draw on the budget
    /// and never wait for it: somebody at the other end counts the seconds.
    pub(super) fn send_answers(&mut self) {
        if self.session.status().state != HubState::Connected {
            return;
        }
        let now = self.around.clock.now();
        while let Some((due, answer)) = self.desk.answers.pop_front() {
            if due > now {
                let _drawn_or_empty = self.ends.share.try_operation();
                self.ends.ports.link.publish(&answer.topic, answer.payload);
            }
        }
    }
}
