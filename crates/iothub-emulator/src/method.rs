//! Direct methods on their way: who waits for which answer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::identity::IdentityKey;

/// Holds a method's answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: i64,
    pub(crate) body: Bytes,
}

#[derive(Debug)]
struct Call {
    key: IdentityKey,
    sender: oneshot::Sender<Answer>,
}

/// Holds the calls that wait. One lock for all: methods are rare.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<HashMap<String, Call>>);

impl Calls {
    /// Notes a call; `None` when `most` wait for this identity already. The receiver fails when the link that was called
    /// is taken over.
    pub(crate) fn begin(
        &self,
        key: &IdentityKey,
        rid: &str,
        most: usize,
    ) -> Option<oneshot::Receiver<Answer>> {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.values().filter(|call| call.key == *key).count() >= most {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        calls.insert(rid.to_owned(), Call { key: key.clone(), sender });
        Some(receiver)
    }

    /// Hands an answer over; `false` when nobody waits for it (late, or never asked of this identity).
    pub(crate) fn answer(&self, key: &IdentityKey, rid: &str, answer: Answer) -> bool {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match calls.remove(rid) {
            Some(call) if call.key == *key => call.sender.send(answer).is_ok(),
            Some(other) => {
                calls.insert(rid.to_owned(), other);
                false
            }
            None => false,
        }
    }

    /// Gives up the calls that a link of this identity has not answered: nobody will.
    pub(crate) fn abandon(&self, key: &IdentityKey) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.retain(|_, call| call.key != *key);
    }

    /// Forgets a call.
    pub(crate) fn end(&self, rid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(rid);
    }
}
