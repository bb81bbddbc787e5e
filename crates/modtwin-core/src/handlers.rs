//! What is expected of each handler: the newest desired version that concerns it, and how long its
//! word on it may take.
//!
//! Leaves to the session what comes of silence, and to the disk that a restart forgets nothing.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::document::{Document, Pointer, select};
use crate::time::Millis;

/// A handler as the config has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerRule {
    /// Its name.
    pub name: String,
    /// Which desired properties concern it; the empty pointer is everything.
    pub watch: Vec<Pointer>,
    /// How long its word on a change may take; none means as long as it likes.
    pub ack_timeout: Option<Duration>,
}

/// The newest desired version that concerns a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The handler's name.
    pub handler: String,
    /// The generation of the version.
    pub generation: u64,
    /// The version in which what it watches changed last.
    pub version: u64,
}

/// A handler that kept silent about a version for too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// The handler's name.
    pub handler: String,
    /// The version that it owes a word on.
    pub version: u64,
    /// How long that may take.
    pub limit: Duration,
    /// What it watches.
    pub watch: Vec<Pointer>,
}

/// A section of desired as a handler may have to follow it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) generation: u64,
    pub(crate) version: u64,
    pub(crate) document: &'a Document,
}

/// All handlers of a module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Handlers {
    expected: Vec<Expected>,
    known: Vec<Known>,
}

#[derive(Debug, Clone)]
struct Known {
    rule: HandlerRule,
    /// When silence counts as an answer; none while nothing is owed.
    due: Option<Millis>,
}

impl Handlers {
    pub(crate) fn restore(expected: Vec<Expected>) -> Self {
        Self { expected, known: Vec::new() }
    }

    pub(crate) fn expected(&self) -> impl Iterator<Item = &Expected> {
        self.expected.iter()
    }

    pub(crate) fn of(&self, handler: &str) -> Option<&Expected> {
        self.expected.iter().find(|expected| expected.handler == handler)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Puts rules in force. A handler that is new to them is expected to take what there is, or
    /// whatever it was heard to take already; `heard` says which version that is.
    pub(crate) fn set_rules(
        &mut self,
        now: Millis,
        rules: Vec<HandlerRule>,
        seen: Option<Seen<'_>>,
        heard: impl Fn(&str) -> Option<u64>,
    ) {
        self.expected.retain(|expected| rules.iter().any(|rule| rule.name == expected.handler));
        self.known = rules.into_iter().map(|rule| Known { rule, due: None }).collect();
        let Some(seen) = seen else { return };
        for known in &mut self.known {
            let name = &known.rule.name;
            if !self.expected.iter().any(|expected| expected.handler == *name) {
                let heard = heard(name);
                if heard.is_none() && select(seen.document, &known.rule.watch).is_empty() {
                    continue;
                }
                self.expected.push(Expected {
                    handler: name.clone(),
                    generation: seen.generation,
                    version: heard.unwrap_or(seen.version),
                });
            }
        }
        self.arm(now, seen.generation, heard);
    }

    /// Takes a change of desired from `old` to `seen`.
    pub(crate) fn changed(&mut self, now: Millis, old: Option<&Document>, seen: Seen<'_>) {
        let none = Document::new();
        let old = old.unwrap_or(&none);
        for known in &mut self.known {
            let watch = &known.rule.watch;
            let everything = watch.iter().any(|pointer| pointer.keys().is_empty());
            let before = self.expected.iter_mut().find(|it| it.handler == known.rule.name);
            let anew = before.as_ref().is_some_and(|it| it.generation != seen.generation);
            let differs = if everything {
                old != seen.document
            } else {
                select(old, watch) != select(seen.document, watch)
            };
            if !differs && !anew {
                continue;
            }
            let Seen { generation, version, .. } = seen;
            match before {
                Some(before) => (before.generation, before.version) = (generation, version),
                None => {
                    let handler = known.rule.name.clone();
                    self.expected.push(Expected { handler, generation, version });
                }
            }
            let due = known.rule.ack_timeout.map(|limit| now + limit);
            // An older change that it still owes a word on is due sooner.
            known.due = if anew { due } else { known.due.or(due) };
        }
    }

    /// Takes a handler's word on a version.
    pub(crate) fn heard(&mut self, now: Millis, handler: &str, generation: u64, version: u64) {
        let owed = self.of(handler).is_some_and(|expected| {
            expected.generation == generation && expected.version > version
        });
        let stale = self.of(handler).is_some_and(|expected| expected.generation > generation);
        if stale {
            return;
        }
        for known in self.known.iter_mut().filter(|known| known.rule.name == handler) {
            known.due = known.rule.ack_timeout.filter(|_| owed).map(|limit| now + limit);
        }
    }

    /// When the next silence is due.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.known.iter().filter_map(|known| known.due).min()
    }

    /// Takes those that kept silent for too long. Should their silence not come to be stored, they
    /// are due again.
    pub(crate) fn take_silent(&mut self, now: Millis) -> Vec<Silence> {
        let mut silent = Vec::new();
        for known in &mut self.known {
            let (Some(due), Some(limit)) = (known.due, known.rule.ack_timeout) else { continue };
            if due > now {
                continue;
            }
            known.due = Some(now + limit);
            let owed = self.expected.iter().find(|it| it.handler == known.rule.name);
            silent.extend(owed.map(|expected| Silence {
                handler: expected.handler.clone(),
                version: expected.version,
                limit,
                watch: known.rule.watch.clone(),
            }));
        }
        silent
    }

    /// Sets the time of all that is owed and has none.
    fn arm(&mut self, now: Millis, generation: u64, heard: impl Fn(&str) -> Option<u64>) {
        for known in &mut self.known {
            let expected = self.expected.iter().find(|it| it.handler == known.rule.name);
            let owed = expected.is_some_and(|expected| {
                expected.generation == generation
                    && heard(&expected.handler).is_none_or(|version| version < expected.version)
            });
            known.due = known.rule.ack_timeout.filter(|_| owed).map(|limit| now + limit);
        }
    }
}
