//! Why a module's credential cannot be used.
//!
//! Owns the texts and their classes. Leaves finding faults to the modules that read.

use std::io;
use std::path::PathBuf;

use openssl::error::ErrorStack;

use crate::common_name::CommonNameError;
use crate::connection_string::ConnectionStringError;
use crate::date::Date;
use crate::shared_access::{KeyError, SigningError};

/// What sort of fault a [`CredentialError`] is, for choosing the reason to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialClass {
    /// The files say something that can never work.
    Config,
    /// A certificate's time is over.
    Expired,
    /// A certificate's time has not come; more often than not the clock is wrong.
    NotYetValid,
    /// A file cannot be read.
    Unreadable,
}

/// Why a module's credential cannot be used. Causes are in `source`, not in the text.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A file cannot be read.
    #[error("cannot read `{path}`")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A path names a folder, a pipe or a device.
    #[error("cannot read `{path}`: expected a file, found something else")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A file is far larger than any credential.
    #[error("cannot read `{path}`: expected at most {max} bytes, found more")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read, in bytes.
        max: u64,
    },
    /// A file has no certificate.
    #[error(
        "no certificate in `{path}`: expected PEM (`-----BEGIN CERTIFICATE-----`), found {found}"
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// What is there instead.
        found: &'static str,
    },
    /// A certificate cannot be parsed.
    #[error("cannot parse the certificates in `{path}`")]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// What OpenSSL said.
        source: ErrorStack,
    },
    /// A file has no private key.
    #[error(
        "no private key in `{path}`: expected PEM (`-----BEGIN PRIVATE KEY-----`), found {found}"
    )]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What is there instead.
        found: &'static str,
    },
    /// A private key cannot be parsed.
    #[error("cannot parse the private key in `{path}`")]
    BadKey {
        /// The file.
        path: PathBuf,
        /// What OpenSSL said.
        source: ErrorStack,
    },
    /// A private key is encrypted, and nobody gave its password.
    #[error("the private key in `{path}` is encrypted; set private-key-password-file")]
    KeyEncrypted {
        /// The file.
        path: PathBuf,
    },
    /// A private key's password does not open it.
    #[error("cannot decrypt the private key in `{path}` with the password in `{password_file}`")]
    WrongPassword {
        /// The key's file.
        path: PathBuf,
        /// The password's file.
        password_file: PathBuf,
        /// What OpenSSL said.
        source: ErrorStack,
    },
    /// A password file has no usable password.
    #[error("no password in `{path}`: expected UTF-8 text on the first line, found {found}")]
    NoPassword {
        /// The file.
        path: PathBuf,
        /// What is there instead.
        found: &'static str,
    },
    /// Certificate and key do not belong together.
    #[error("the private key in `{private_key}` does not belong to the certificate in `{certificate}`{}", belongs_to(*.position))]
    KeyMismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        private_key: PathBuf,
        /// The certificate of the file that it does belong to, counted from 1.
        position: Option<usize>,
    },
    /// OpenSSL would refuse the pair in a handshake, for example a key too short.
    #[error("OpenSSL refuses the certificate in `{certificate}`")]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// What OpenSSL said.
        source: ErrorStack,
    },
    /// The certificate is another identity's.
    #[error("the certificate in `{certificate}` is not this module's")]
    CommonName {
        /// The certificate's file.
        certificate: PathBuf,
        /// How the name is wrong.
        source: CommonNameError,
    },
    /// The certificate's time is over.
    #[error("{} in `{certificate}` expired on {not_after}, and it is {now}; renew it", ordinal(*.position))]
    Expired {
        /// The certificate's file.
        certificate: PathBuf,
        /// Which certificate of the file, counted from 1.
        position: usize,
        /// When its time ended.
        not_after: Date,
        /// What the clock says.
        now: Date,
    },
    /// The certificate's time has not come.
    #[error(
        "{} in `{certificate}` is valid from {not_before}, and it is {now}; check this machine's clock",
        ordinal(*.position)
    )]
    NotYetValid {
        /// The certificate's file.
        certificate: PathBuf,
        /// Which certificate of the file, counted from 1.
        position: usize,
        /// When its time begins.
        not_before: Date,
        /// What the clock says.
        now: Date,
    },
    /// A file has no text that could be a connection string or a key.
    #[error("cannot read `{path}`: expected text, found bytes that are no UTF-8")]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// A connection string is none, or another identity's.
    #[error("cannot use the connection string in `{path}`")]
    ConnectionString {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ConnectionStringError,
    },
    /// A symmetric key is none.
    #[error("cannot use the shared access key in `{path}`")]
    SharedAccessKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// A token cannot be signed.
    #[error("cannot sign a token with the key in `{path}`")]
    Signing {
        /// The key's file.
        path: PathBuf,
        /// What OpenSSL said.
        source: SigningError,
    },
}

impl CredentialError {
    /// What sort of fault this is.
    #[must_use]
    pub fn class(&self) -> CredentialClass {
        match self {
            Self::Unreadable { .. } => CredentialClass::Unreadable,
            Self::Expired { .. } => CredentialClass::Expired,
            Self::NotYetValid { .. } => CredentialClass::NotYetValid,
            _ => CredentialClass::Config,
        }
    }
}

fn belongs_to(position: Option<usize>) -> String {
    position.map_or_else(String::new, |position| {
        format!(", it belongs to certificate {position} of that file; put that one first")
    })
}

fn ordinal(position: usize) -> String {
    match position {
        1 => "the certificate".to_owned(),
        other => format!("certificate {other} of the chain"),
    }
}
