//! Who answers which direct method, and which calls are open.
//!
//! Owns: one owner a name, one more for all names that nobody else has, the time a call may take,
//! and how many may be open. Leaves to others what is in a call and in its answer, and how either
//! travels.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::time::Millis;

/// How many calls of a module may wait for their answers. The hub has a limit of its own that it
/// does not tell ("Understand and resolve IoT Hub errors", 403800).
pub const MAX_OPEN_CALLS: usize = 32;

/// Somebody who answers methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(u64);

/// The number of a call; no later call of this table has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// A method, or all that nobody else owns, has an owner already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// The method; none where all others were asked for.
    pub name: Option<String>,
}

/// Where a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routed {
    /// To its owner; it is open now.
    To(Owner, CallId),
    /// Nobody has claimed the method.
    Unclaimed,
    /// More calls are open than may be.
    TooMany,
}

/// A call that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// What the hub knows it by, as it came.
    pub rid: String,
    /// The method.
    pub name: String,
    /// When its time is over.
    pub due: Millis,
}

/// Why an answer is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken {
    /// No such call is open: it never was, was answered, or its time is over.
    Unknown,
    /// It is a call of this method, which whoever answers may not answer.
    NotAllowed(String),
}

#[derive(Debug)]
struct Open {
    owner: Owner,
    call: Closed,
}

/// The owners and the open calls of one module.
#[derive(Debug)]
pub struct Methods {
    /// What each owner has; an empty set is all that the others have not.
    owners: BTreeMap<Owner, BTreeSet<String>>,
    open: BTreeMap<CallId, Open>,
    limit: Duration,
    next_owner: u64,
    next_call: u64,
}

impl Methods {
    /// A table without owners, in which a call may take `limit`.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self { owners: BTreeMap::new(), open: BTreeMap::new(), limit, next_owner: 0, next_call: 0 }
    }

    /// Changes how long a call may take, from the next one on.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// How long a call may take.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Gives those methods to a new owner; none at all means each that nobody else has.
    ///
    /// # Errors
    ///
    /// [`InUse`] where one of them has an owner; nothing is claimed then.
    pub fn claim(&mut self, names: BTreeSet<String>) -> Result<Owner, InUse> {
        if names.is_empty() && self.owners.values().any(BTreeSet::is_empty) {
            return Err(InUse { name: None });
        }
        if let Some(taken) = names.iter().find(|name| self.named_owner(name).is_some()) {
            return Err(InUse { name: Some(taken.clone()) });
        }
        let owner = Owner(self.next_owner);
        self.next_owner = self.next_owner.wrapping_add(1);
        self.owners.insert(owner, names);
        Ok(owner)
    }

    /// Takes everything from an owner that is gone; gives the calls that it leaves unanswered.
    pub fn release(&mut self, owner: Owner) -> Vec<Closed> {
        self.owners.remove(&owner);
        self.close_where(|open| open.owner == owner)
    }

    /// Opens a call, if somebody answers it; `rid` is what the hub knows it by.
    pub fn open(&mut self, now: Millis, name: &str, rid: &str) -> Routed {
        let rest = || self.owners.iter().find(|(_, names)| names.is_empty()).map(|(it, _)| *it);
        let Some(owner) = self.named_owner(name).or_else(rest) else {
            return Routed::Unclaimed;
        };
        if self.open.len() >= MAX_OPEN_CALLS {
            return Routed::TooMany;
        }
        self.next_call = self.next_call.wrapping_add(1);
        let id = CallId(self.next_call);
        let call = Closed { rid: rid.into(), name: name.into(), due: now + self.limit };
        self.open.insert(id, Open { owner, call });
        Routed::To(owner, id)
    }

    /// Closes a call with its answer. `allowed` are the methods that whoever answers may answer;
    /// none means all.
    ///
    /// # Errors
    ///
    /// [`NotTaken`] where there is no such call, or it is somebody else's.
    pub fn answer(
        &mut self,
        id: CallId,
        allowed: Option<&BTreeSet<String>>,
    ) -> Result<Closed, NotTaken> {
        let open = self.open.get(&id).ok_or(NotTaken::Unknown)?;
        if allowed.is_some_and(|allowed| !allowed.contains(&open.call.name)) {
            return Err(NotTaken::NotAllowed(open.call.name.clone()));
        }
        self.open.remove(&id).map(|open| open.call).ok_or(NotTaken::Unknown)
    }

    /// Closes the calls whose time is over; gives them.
    pub fn expire(&mut self, now: Millis) -> Vec<Closed> {
        self.close_where(|open| open.call.due <= now)
    }

    /// When the time of a call is next over.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        self.open.values().map(|open| open.call.due).min()
    }

    fn close_where(&mut self, condition: impl Fn(&Open) -> bool) -> Vec<Closed> {
        let mut closed = Vec::new();
        self.open.retain(|_, open| {
            let stays = !condition(open);
            if !stays {
                closed.push(open.call.clone());
            }
            stays
        });
        closed
    }

    fn named_owner(&self, name: &str) -> Option<Owner> {
        self.owners.iter().find(|(_, names)| names.contains(name)).map(|(owner, _)| *owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).into()).collect()
    }

    fn table() -> Methods {
        Methods::new(LIMIT)
    }

    #[test]
    fn a_call_goes_to_the_owner_of_its_name_and_else_to_whoever_takes_the_rest() {
        let mut methods = table();
        assert_eq!(methods.open(Millis(0), "reboot", "r"), Routed::Unclaimed);
        let named = methods.claim(names(&["reboot", "blink"])).unwrap();
        assert_eq!(methods.open(Millis(0), "other", "r"), Routed::Unclaimed);
        let rest = methods.claim(names(&[])).unwrap();
        assert!(matches!(methods.open(Millis(0), "blink", "1"), Routed::To(to, _) if to == named));
        assert!(matches!(methods.open(Millis(0), "other", "2"), Routed::To(to, _) if to == rest));
        assert!(matches!(methods.open(Millis(0), "Blink", "3"), Routed::To(to, _) if to == rest));
    }

    #[test]
    fn a_name_has_one_owner_and_so_has_the_rest() {
        let mut methods = table();
        let owner = methods.claim(names(&["reboot"])).unwrap();
        let taken = InUse { name: Some("reboot".into()) };
        assert_eq!(methods.claim(names(&["blink", "reboot"])), Err(taken));
        methods.claim(names(&["blink"])).unwrap();
        methods.claim(names(&[])).unwrap();
        assert_eq!(methods.claim(names(&[])), Err(InUse { name: None }));
        methods.release(owner);
        assert!(methods.claim(names(&["reboot"])).is_ok());
    }

    #[test]
    fn an_owner_that_goes_leaves_its_calls_and_no_others() {
        let mut methods = table();
        let gone = methods.claim(names(&["a"])).unwrap();
        methods.claim(names(&["b"])).unwrap();
        methods.open(Millis(0), "a", "1");
        let Routed::To(_, kept) = methods.open(Millis(0), "b", "2") else { panic!("not routed") };
        let left = methods.release(gone);
        assert_eq!(left.iter().map(|call| call.rid.as_str()).collect::<Vec<_>>(), ["1"]);
        assert_eq!(methods.open(Millis(0), "a", "3"), Routed::Unclaimed);
        assert!(methods.answer(kept, None).is_ok());
    }

    #[test]
    fn a_call_is_answered_once_and_in_time_or_not_at_all() {
        let mut methods = table();
        methods.claim(names(&[])).unwrap();
        let Routed::To(_, id) = methods.open(Millis(5), "a", "r-1") else { panic!("not routed") };
        assert_eq!(methods.next_deadline(), Some(Millis(30_005)));
        let call = methods.answer(id, None).unwrap();
        assert_eq!((call.rid.as_str(), call.name.as_str()), ("r-1", "a"));
        assert_eq!(methods.answer(id, None), Err(NotTaken::Unknown));

        let Routed::To(_, late) = methods.open(Millis(5), "a", "r-2") else { panic!("not routed") };
        assert!(methods.expire(Millis(30_004)).is_empty());
        assert_eq!(methods.expire(Millis(30_005)).len(), 1);
        assert_eq!(methods.answer(late, None), Err(NotTaken::Unknown));
        assert_eq!(methods.next_deadline(), None);
    }

    #[test]
    fn nobody_answers_a_method_that_is_not_theirs() {
        let mut methods = table();
        methods.claim(names(&["a"])).unwrap();
        let Routed::To(_, id) = methods.open(Millis(0), "a", "r") else { panic!("not routed") };
        let refused = methods.answer(id, Some(&names(&["b"])));
        assert_eq!(refused, Err(NotTaken::NotAllowed("a".into())));
        assert!(methods.answer(id, Some(&names(&["a", "b"]))).is_ok());
    }

    #[test]
    fn open_calls_have_a_bound() {
        let mut methods = table();
        methods.claim(names(&[])).unwrap();
        for _ in 0..MAX_OPEN_CALLS {
            assert!(matches!(methods.open(Millis(0), "a", "r"), Routed::To(..)));
        }
        assert_eq!(methods.open(Millis(0), "a", "r"), Routed::TooMany);
        methods.expire(Millis(30_000));
        assert!(matches!(methods.open(Millis(0), "a", "r"), Routed::To(..)));
    }

    #[test]
    fn another_limit_counts_for_the_next_call() {
        let mut methods = table();
        methods.claim(names(&[])).unwrap();
        methods.open(Millis(0), "a", "r");
        methods.set_limit(Duration::from_secs(1));
        methods.open(Millis(0), "a", "r");
        assert_eq!(methods.expire(Millis(1_000)).len(), 1);
        assert_eq!(methods.next_deadline(), Some(Millis(30_000)));
    }
}
