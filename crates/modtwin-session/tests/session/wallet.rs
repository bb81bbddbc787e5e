//! A credential source that does what the test says.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use modtwin_core::secret::Secret;
use modtwin_core::status::{Fault, Reason};
use modtwin_session::credential::{Credential, CredentialSource};
use tokio::sync::Semaphore;

use crate::rig::{FOREVER, Mood};

/// A credential that is good, bad, or worse.
#[derive(Debug, Default)]
pub(crate) struct Wallet {
    mood: Mutex<Mood>,
    reason: Mutex<Option<Reason>>,
    loads: Mutex<u64>,
    /// How long tokens are good, where it has tokens.
    token_life: Mutex<Option<Duration>>,
    /// Whether there is an older credential to go back to.
    pub(crate) has_older: Mutex<bool>,
    turns: Mutex<Option<Arc<Semaphore>>>,
}

impl Wallet {
    /// Gives out tokens from now on.
    pub(crate) fn give_tokens(&self, life: Duration) {
        *self.token_life.lock().unwrap() = Some(life);
    }

    /// Renews in turn with all that have these turns.
    pub(crate) fn take_turns(&self, turns: &Arc<Semaphore>) {
        *self.turns.lock().unwrap() = Some(Arc::clone(turns));
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Lets it fail for that reason.
    pub(crate) fn fail(&self, reason: Reason) {
        *self.reason.lock().unwrap() = Some(reason);
        self.set(Mood::Bad("the certificate is not good"));
    }

    /// How often it was asked.
    pub(crate) fn loads(&self) -> u64 {
        *self.loads.lock().unwrap()
    }
}

impl CredentialSource for Wallet {
    fn load(&self) -> Result<Credential, Fault> {
        *self.loads.lock().unwrap() += 1;
        let mood = self.mood.lock().unwrap().clone();
        let token_life = *self.token_life.lock().unwrap();
        match mood {
            Mood::Good | Mood::Hangs if token_life.is_some() => Ok(Credential::Token {
                token: Secret::new("token".to_owned()),
                expires: SystemTime::now() + token_life.unwrap_or_default(),
            }),
            Mood::Good | Mood::Hangs => Ok(Credential::X509 {
                certificate: PathBuf::from("module01.pem"),
                private_key: PathBuf::from("module01.key"),
                password: None,
                expires: SystemTime::now() + FOREVER,
            }),
            Mood::Bad(words) => {
                Err(Fault::new(self.reason.lock().unwrap().unwrap_or(Reason::Config), words))
            }
            Mood::Panics => panic!("the wallet was told to panic"),
        }
    }

    fn refused(&self, _fault: &Fault) -> bool {
        std::mem::take(&mut *self.has_older.lock().unwrap())
    }

    fn renewals(&self) -> Arc<Semaphore> {
        let turns = self.turns.lock().unwrap().clone();
        turns.unwrap_or_else(|| Arc::new(Semaphore::new(1)))
    }
}
