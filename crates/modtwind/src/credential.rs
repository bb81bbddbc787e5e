//! One module's credential as the config names it, through all changes of its files.
//!
//! Owns which of two credentials is used: what the files say now, or what the hub accepted last and
//! is still in time. The former, unless it can't be used or the hub has refused it. Both are held in
//! memory, so that neither a half-written file nor a removed one matters to a session that works.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use modtwin_config::FileRefError;
use modtwin_core::status::{Fault, Reason};
use modtwin_credentials::{
    CredentialClass, CredentialError, Date, Digest, HeldCredential, JudgedCredential, Loaded,
    ModuleCredential,
};
use modtwin_session::credential::{Credential, CredentialSource};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::wiring::chain;

/// How long a refused credential is left alone while an older one works: the registry may learn of
/// it later than the gateway.
const REFUSED_FOR: Duration = Duration::from_secs(3600);
/// How long a credential that is no longer used stays in memory: an attempt that was given up may
/// still be reading it, by a path that must not come to mean something else.
const RETIRED_FOR: Duration = Duration::from_secs(120);

/// What new files come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// They say what is used already.
    None,
    /// They can be used, and are not yet.
    Usable,
    /// They can't be used; what is used goes on.
    Unusable(String),
}

/// One module's credential.
#[derive(Debug)]
pub(crate) struct Keeper {
    source: Result<ModuleCredential, FileRefError>,
    turns: Arc<Semaphore>,
    // A mutex because the port is shared with blocking threads; nobody holds it for longer than it
    // takes to compare and to swap.
    state: Mutex<State>,
    words: watch::Sender<Vec<String>>,
}

#[derive(Debug, Default)]
struct State {
    /// What was handed out last.
    given: Option<Arc<HeldCredential>>,
    /// What the hub accepted last.
    proven: Option<Arc<HeldCredential>>,
    refused: Option<Refused>,
    retired: Vec<(Instant, Arc<HeldCredential>)>,
    /// What was warned of last: it is said once, not at every connect.
    warned: Vec<String>,
}

#[derive(Debug)]
struct Refused {
    digest: Digest,
    until: Instant,
    why: String,
}

impl Keeper {
    /// A keeper of what `source` names; all of a daemon share `turns`.
    pub(crate) fn new(
        source: Result<ModuleCredential, FileRefError>,
        turns: Arc<Semaphore>,
    ) -> Self {
        let words = watch::Sender::new(Vec::new());
        Self { source, turns, state: Mutex::default(), words }
    }

    /// What an operator should know of it, as it changes.
    pub(crate) fn words(&self) -> watch::Receiver<Vec<String>> {
        self.words.subscribe()
    }

    /// Looks at the files without using them. Blocks on files.
    pub(crate) fn look(&self) -> News {
        let Ok(source) = &self.source else {
            return News::None;
        };
        let judged = source.judge(SystemTime::now());
        let state = self.state();
        let Some(given) = &state.given else {
            return News::None;
        };
        match judged {
            Ok(judged) if judged.digest() == given.digest() => News::None,
            Ok(judged) if state.still_refuses(judged.digest()) => News::None,
            Ok(_) => News::Usable,
            Err(error) => News::Unusable(chain(&error)),
        }
    }

    /// Whether a refused credential has waited long enough to be tried again.
    pub(crate) fn is_due_again(&self) -> bool {
        self.state().refused.as_ref().is_some_and(|refused| refused.until <= Instant::now())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, source: &ModuleCredential) -> Result<Loaded, CredentialError> {
        let now = SystemTime::now();
        let judged = source.judge(now);
        let mut state = self.state();
        let (chosen, note) = match state.choose(judged, now) {
            Ok(chosen) => chosen,
            Err(error) => {
                drop(state);
                self.words.send_replace(Vec::new());
                return Err(error);
            }
        };
        let Some(held) = chosen else {
            // Without `/proc` or memory for it there is no way back, and nothing else is lost.
            state.given = None;
            drop(state);
            return source.load(now);
        };
        let loaded = held.loaded(source, now);
        state.give(held);
        state.tell(loaded.as_ref().ok(), note, &self.words);
        loaded
    }
}

/// What was chosen, if it could be held, and what to say about that.
type Choice = (Option<Arc<HeldCredential>>, Option<String>);

impl State {
    fn choose(
        &mut self,
        judged: Result<JudgedCredential, CredentialError>,
        now: SystemTime,
    ) -> Result<Choice, CredentialError> {
        let older = self.proven.clone().filter(|proven| proven.is_in_time(now));
        match (judged, older) {
            (Err(error), None) => Err(error),
            (Err(error), Some(older)) => {
                let note =
                    format!("the files can't be used: {}; {}", chain(&error), goes_on(&older));
                Ok((Some(older), Some(note)))
            }
            (Ok(judged), Some(older)) if self.still_refuses(judged.digest()) => {
                let why = self.refused.as_ref().map_or("", |refused| refused.why.as_str());
                let note = format!("the hub refused the new one: {why}; {}", goes_on(&older));
                Ok((Some(older), Some(note)))
            }
            (Ok(judged), _) => Ok((self.hold(judged), None)),
        }
    }

    /// Keeps it in memory, where it is not there already.
    fn hold(&self, judged: JudgedCredential) -> Option<Arc<HeldCredential>> {
        let known = [&self.given, &self.proven].into_iter().flatten();
        let same = known.into_iter().find(|known| known.digest() == judged.digest()).cloned();
        same.or_else(|| match judged.hold() {
            Ok(held) => Some(Arc::new(held)),
            Err(error) => {
                warn!(%error, "can't hold the credential in memory, using its files");
                None
            }
        })
    }

    fn give(&mut self, held: Arc<HeldCredential>) {
        let now = Instant::now();
        self.retired.retain(|(since, _)| now.duration_since(*since) < RETIRED_FOR);
        if let Some(earlier) = self.given.replace(held) {
            self.retired.push((now, earlier));
        }
    }

    fn still_refuses(&self, digest: Digest) -> bool {
        let refused = self.refused.as_ref();
        refused.is_some_and(|one| one.digest == digest && Instant::now() < one.until)
    }

    /// Says what is new, in the log and to whoever asks for the status.
    fn tell(
        &mut self,
        loaded: Option<&Loaded>,
        note: Option<String>,
        words: &watch::Sender<Vec<String>>,
    ) {
        let Some(Loaded::X509 { warnings, .. } | Loaded::Sas { warnings, .. }) = loaded else {
            return;
        };
        let all: Vec<String> =
            note.into_iter().chain(warnings.iter().map(ToString::to_string)).collect();
        if self.warned != all {
            for warning in &all {
                warn!(warning, "the credential works, but should be mended");
            }
            self.warned.clone_from(&all);
        }
        words.send_if_modified(|said| {
            let is_news = *said != all;
            *said = all;
            is_news
        });
    }
}

fn goes_on(older: &HeldCredential) -> String {
    match older.leaf() {
        Some(leaf) => format!(
            "going on with the one before, SHA-1 {}, valid until {}",
            leaf.thumbprint_sha1,
            Date(leaf.not_after)
        ),
        None => "going on with the one before".to_owned(),
    }
}

impl CredentialSource for Keeper {
    fn load(&self) -> Result<Credential, Fault> {
        let source = match &self.source {
            Ok(source) => source,
            Err(error) => return Err(Fault::new(Reason::Config, error.to_string())),
        };
        match self.read(source) {
            Ok(Loaded::X509 { certificate, private_key, password, not_after, .. }) => {
                Ok(Credential::X509 { certificate, private_key, password, expires: not_after })
            }
            Ok(Loaded::Sas { token, expires, .. }) => Ok(Credential::Token { token, expires }),
            Err(error) => Err(Fault::new(reason(&error), chain(&error))),
        }
    }

    fn accepted(&self) {
        let mut state = self.state();
        let Some(given) = state.given.clone() else {
            return;
        };
        let is_new = state.proven.as_ref().is_none_or(|proven| proven.digest() != given.digest());
        if is_new && state.proven.is_some() {
            let print = given.leaf().map(|leaf| leaf.thumbprint_sha1.as_str());
            info!(thumbprint = print, "the hub has accepted the new credential");
        }
        if state.refused.as_ref().is_some_and(|refused| refused.digest == given.digest()) {
            state.refused = None;
        }
        if let Some(earlier) = state.proven.replace(given).filter(|_| is_new) {
            state.retired.push((Instant::now(), earlier));
        }
    }

    fn refused(&self, fault: &Fault) -> bool {
        let mut state = self.state();
        let (Some(given), Some(proven)) = (state.given.clone(), state.proven.clone()) else {
            return false;
        };
        if given.digest() == proven.digest() {
            // What worked before is refused too: it is not the new one's fault.
            state.refused = None;
            return false;
        }
        let until = Instant::now() + REFUSED_FOR;
        let why = fault.detail.clone();
        state.refused = Some(Refused { digest: given.digest(), until, why });
        proven.is_in_time(SystemTime::now())
    }

    fn reconsider(&self) {
        self.state().refused = None;
    }

    fn renewals(&self) -> Arc<Semaphore> {
        Arc::clone(&self.turns)
    }
}

fn reason(error: &CredentialError) -> Reason {
    match error.class() {
        CredentialClass::Config | CredentialClass::Unreadable => Reason::Config,
        CredentialClass::Expired => Reason::ExpiredCredential,
        CredentialClass::NotYetValid => Reason::Clock,
    }
}

#[cfg(test)]
mod tests;
