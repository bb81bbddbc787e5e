//! Certificates, keys and tokens of module identities, and a TLS probe.
//!
//! Owns: reading credential files and judging them ([`ModuleCredential`]), signing shared access
//! tokens ([`SasToken`]), making keys and requests ([`request`]), and finding out why a server is
//! not trusted ([`probe()`]). Leaves to others: the clock and the environment, which come in as
//! arguments, and the connection itself. Everything here blocks on files or sockets.
//!
//! Keys never leave this crate but as a [`Secret`], as the files they came from, or as files in
//! memory ([`HeldCredential`]).

pub mod authority;
mod certificate;
mod common_name;
mod connection_string;
mod date;
mod description;
mod digest;
mod error;
mod file;
mod held;
mod memory_file;
mod module_credential;
mod probe;
pub mod request;
mod shared_access;

pub use certificate::{CertificateFiles, ClientCertificate, Warning};
pub use common_name::{CommonNameError, MAX_COMMON_NAME_LENGTH};
pub use connection_string::{ConnectionString, ConnectionStringError};
pub use date::Date;
pub use description::{DescribeError, Description, describe};
pub use digest::sha256;
pub use error::{CredentialClass, CredentialError};
pub use held::{Digest, HeldCredential, JudgedCredential};
pub use modtwin_core::secret::Secret;
pub use module_credential::{CredentialFiles, Loaded, ModuleCredential, TOKEN_LIFETIME};
pub use probe::{ProbeError, ProbeTarget, Stage, client_session, module_session, probe};
pub use shared_access::{KeyError, SasToken, SharedKey, SigningError};

/// The version of OpenSSL that is linked, in its own words.
#[must_use]
pub fn library_version() -> &'static str {
    openssl::version::version()
}

/// Prepares OpenSSL; to be called before any other library of the process may do so.
///
/// Whoever is first decides whether OpenSSL cleans up when the process exits. Not cleaning up is
/// the safe choice in a process whose threads may still end then: freeing a thread's data twice
/// crashed one exit in six.
pub fn prepare() {
    openssl::init();
}
