//! The port to the module's credential.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use modtwin_core::secret::Secret;
use modtwin_core::status::Fault;
use tokio::sync::Semaphore;

/// What proves a module's identity at the next connect.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A client certificate; the link reads the files itself.
    X509 {
        /// PEM: the leaf, then intermediates.
        certificate: PathBuf,
        /// PEM, with or without password.
        private_key: PathBuf,
        /// The key's password.
        password: Option<Secret>,
        /// The end of the leaf's validity.
        expires: SystemTime,
    },
    /// A shared access token, sent as MQTT password.
    Token {
        /// The whole token.
        token: Secret,
        /// When the hub will end a session that uses it.
        expires: SystemTime,
    },
}

impl Credential {
    /// When it stops working.
    #[must_use]
    pub fn expires(&self) -> SystemTime {
        match self {
            Self::X509 { expires, .. } | Self::Token { expires, .. } => *expires,
        }
    }
}

/// Reads and checks a module's credential; asked before every connect, so that new files count.
///
/// It hears what became of what it handed out, so that it can go back to what worked. Apart from
/// `load` no call blocks.
pub trait CredentialSource: Send + Sync + fmt::Debug {
    /// Reads the credential anew. Blocks on files: called on a blocking thread.
    ///
    /// # Errors
    ///
    /// A [`Fault`] with reason `config`, `expired_credential` or `clock`, whose text says which
    /// file is wrong and how.
    fn load(&self) -> Result<Credential, Fault>;

    /// The hub has accepted what was loaded last.
    fn accepted(&self) {}

    /// The hub has refused what was loaded last. Says whether the next load will give something
    /// that worked before, which is worth a try at once.
    fn refused(&self, _fault: &Fault) -> bool {
        false
    }

    /// Somebody asks for a new connection: what was refused before deserves another chance.
    fn reconsider(&self) {}

    /// The turn for renewing a live session's credential, shared by the sessions of a daemon: one
    /// at a time is away from its hub for that.
    fn renewals(&self) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(1))
    }
}
