//! A module's certificate and key, read from files and judged as strictly as the hub would.
//!
//! Owns every check that can be made without a connection. Leaves the handshake to the link,
//! which reads the same files by their paths.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use modtwin_core::ids::{DeviceId, ModuleId};
use modtwin_core::secret::Secret;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslContext, SslMethod};
use openssl::x509::{X509, X509VerifyResult};

use crate::common_name;
use crate::date::{self, Date};
use crate::description::Description;
use crate::error::CredentialError;
use crate::file;

/// Where a certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the module's certificate, then its intermediates.
    pub certificate: PathBuf,
    /// PEM: the private key.
    pub private_key: PathBuf,
    /// A file whose first line is the password of an encrypted key.
    pub private_key_password_file: Option<PathBuf>,
}

/// Something that works and should not stay so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// Every user of the machine may read a secret.
    ReadableByOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A certificate of the chain did not sign the one before it.
    ChainOrder {
        /// The certificate's file.
        path: PathBuf,
        /// The certificate, counted from 1.
        position: usize,
    },
    /// A password is given for a key that is not encrypted.
    PasswordUnused {
        /// The key's file.
        path: PathBuf,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadableByOthers { path, mode } => {
                let path = path.display();
                write!(
                    f,
                    "every user may read `{path}` (mode {mode:04o}); chmod it to 0640 or less"
                )
            }
            Self::ChainOrder { path, position } => {
                let path = path.display();
                let before = position.saturating_sub(1);
                write!(f, "certificate {position} of `{path}` did not sign certificate {before}")
            }
            Self::PasswordUnused { path } => {
                write!(f, "`{}` is not encrypted, its password is not used", path.display())
            }
        }
    }
}

/// A certificate that can be used for its module, as of the time it was judged.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// What the module's own certificate says.
    pub leaf: Description,
    /// When the first certificate of the chain expires; at the latest the leaf's own end.
    pub not_after: SystemTime,
    /// The key's password, where it is encrypted.
    pub password: Option<Secret>,
    /// What works and should not stay so.
    pub warnings: Vec<Warning>,
    /// The certificate's file as it was judged.
    pub(crate) certificate_pem: Vec<u8>,
    /// The key's file as it was judged.
    pub(crate) key_pem: Secret,
}

impl ClientCertificate {
    /// Reads certificate and key and judges them for one module: PEM, password, pair, name, time.
    ///
    /// Blocks on files. Never asks for a password on the terminal.
    ///
    /// # Errors
    ///
    /// [`CredentialError`] with the first fault in that order.
    pub fn load(
        files: &CertificateFiles,
        (device, module): (&DeviceId, &ModuleId),
        now: SystemTime,
    ) -> Result<Self, CredentialError> {
        let mut warnings = Vec::new();
        let (certificate_pem, chain) = read_chain(&files.certificate)?;
        let ReadKey { pem: key_pem, key, password } = read_key(files, &mut warnings)?;
        let leaf = check_pair(files, &chain, &key)?;
        let path = || files.certificate.clone();
        common_name::check(common_name::common_names(leaf.subject_name()), device, module)
            .map_err(|source| CredentialError::CommonName { certificate: path(), source })?;
        let not_after = check_time(&files.certificate, &chain, now)?;
        let leaf = Description::of(leaf)
            .map_err(|source| CredentialError::BadCertificate { path: path(), source })?;
        warnings.extend(file::readable_by_others(&files.private_key));
        warnings.extend(chain_order(&files.certificate, &chain));
        Ok(Self { leaf, not_after, password, warnings, certificate_pem, key_pem })
    }
}

/// Reads a file and the certificates in it; there is at least one.
fn read_chain(path: &Path) -> Result<(Vec<u8>, Vec<X509>), CredentialError> {
    let bytes = file::read(path)?;
    let chain = X509::stack_from_pem(&bytes)
        .map_err(|source| CredentialError::BadCertificate { path: path.to_owned(), source })?;
    if chain.is_empty() {
        return Err(CredentialError::NoCertificate { path: path.to_owned(), found: guess(&bytes) });
    }
    Ok((bytes, chain))
}

/// What a file without the wanted PEM seems to be.
fn guess(bytes: &[u8]) -> &'static str {
    let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    match bytes {
        [] => "an empty file",
        // A DER sequence with a length of two bytes, as certificates and keys are.
        [0x30, 0x82, ..] => "DER; convert it with openssl's -inform der",
        _ if has("-----BEGIN CERTIFICATE REQUEST-----") => "a request that nobody has signed yet",
        _ if has("PRIVATE KEY-----") => "a private key",
        _ if has("-----BEGIN CERTIFICATE-----") => "a certificate",
        _ => "something else",
    }
}

/// A private key and where it came from.
struct ReadKey {
    pem: Secret,
    key: PKey<Private>,
    password: Option<Secret>,
}

/// Reads the private key, and its password where it needs one.
fn read_key(
    files: &CertificateFiles,
    warnings: &mut Vec<Warning>,
) -> Result<ReadKey, CredentialError> {
    let path = &files.private_key;
    let mut bytes = file::read(path)?;
    let Some(pem) = first_key(&bytes).map(Secret::new) else {
        return Err(CredentialError::NoKey { path: path.clone(), found: guess(&bytes) });
    };
    bytes.fill(0);
    let (key, password) = parse_key(files, pem.expose(), warnings)?;
    Ok(ReadKey { pem, key, password })
}

fn parse_key(
    files: &CertificateFiles,
    pem: &str,
    warnings: &mut Vec<Warning>,
) -> Result<(PKey<Private>, Option<Secret>), CredentialError> {
    let path = &files.private_key;
    let bad = |source| CredentialError::BadKey { path: path.clone(), source };
    // RFC 7468, section 11, and RFC 1421, section 4.6.1.1, as OpenSSL writes them.
    let encrypted = pem.contains("BEGIN ENCRYPTED PRIVATE KEY") || pem.contains("4,ENCRYPTED");
    match (encrypted, &files.private_key_password_file) {
        (true, None) => Err(CredentialError::KeyEncrypted { path: path.clone() }),
        (true, Some(password_file)) => {
            let password = read_password(password_file)?;
            warnings.extend(file::readable_by_others(password_file));
            let key =
                PKey::private_key_from_pem_passphrase(pem.as_bytes(), password.expose().as_bytes());
            match key {
                Ok(key) => Ok((key, Some(password))),
                Err(source) => Err(CredentialError::WrongPassword {
                    path: path.clone(),
                    password_file: password_file.clone(),
                    source,
                }),
            }
        }
        (false, password_file) => {
            if password_file.is_some() {
                warnings.push(Warning::PasswordUnused { path: path.clone() });
            }
            // An empty password, and not none at all: OpenSSL must not ask the terminal.
            let key = PKey::private_key_from_pem_callback(pem.as_bytes(), |_| Ok(0));
            Ok((key.map_err(bad)?, None))
        }
    }
}

/// The first private key of a file, from its first line to its last: the one that OpenSSL takes.
fn first_key(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines().map(str::trim_end).skip_while(|line| {
        !(line.starts_with("-----BEGIN ") && line.ends_with("PRIVATE KEY-----"))
    });
    let mut pem = String::new();
    loop {
        let line = lines.next()?;
        pem.push_str(line);
        pem.push('\n');
        if line.starts_with("-----END ") {
            return Some(pem);
        }
    }
}

/// Reads a password: the first line of its file.
fn read_password(path: &Path) -> Result<Secret, CredentialError> {
    let none = |found| CredentialError::NoPassword { path: path.to_owned(), found };
    let text = String::from_utf8(file::read(path)?).map_err(|_| none("no UTF-8"))?;
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() {
        return Err(none("an empty line"));
    }
    if password.contains('\0') {
        return Err(none("a NUL"));
    }
    Ok(Secret::new(password.to_owned()))
}

/// Checks that key and leaf belong together and that OpenSSL takes them; returns the leaf.
fn check_pair<'a>(
    files: &CertificateFiles,
    chain: &'a [X509],
    key: &PKey<Private>,
) -> Result<&'a X509, CredentialError> {
    let certificate = || files.certificate.clone();
    let matches = |one: &X509| one.public_key().is_ok_and(|public| key.public_eq(&public));
    let Some(leaf) = chain.first().filter(|leaf| matches(leaf)) else {
        return Err(CredentialError::KeyMismatch {
            certificate: certificate(),
            private_key: files.private_key.clone(),
            position: chain.iter().position(matches).map(|index| index + 1),
        });
    };
    try_context(leaf, chain, key)
        .map_err(|source| CredentialError::Unusable { certificate: certificate(), source })?;
    Ok(leaf)
}

/// Loads the pair as the link will, under the system's security level.
fn try_context(leaf: &X509, chain: &[X509], key: &PKey<Private>) -> Result<(), ErrorStack> {
    let mut context = SslContext::builder(SslMethod::tls_client())?;
    context.set_certificate(leaf)?;
    for intermediate in chain.iter().skip(1) {
        context.add_extra_chain_cert(intermediate.clone())?;
    }
    context.set_private_key(key)?;
    context.check_private_key()
}

/// Checks that `now` is in the time of every certificate; returns the first end.
fn check_time(path: &Path, chain: &[X509], now: SystemTime) -> Result<SystemTime, CredentialError> {
    let mut first_end: Option<SystemTime> = None;
    for (index, one) in chain.iter().enumerate() {
        let bad = |source| CredentialError::BadCertificate { path: path.to_owned(), source };
        let not_before = date::from_asn1(one.not_before()).map_err(bad)?;
        let not_after = date::from_asn1(one.not_after()).map_err(bad)?;
        let (certificate, position) = (path.to_owned(), index + 1);
        if now < not_before {
            let (not_before, now) = (Date(not_before), Date(now));
            return Err(CredentialError::NotYetValid { certificate, position, not_before, now });
        }
        // The time ends with that second (RFC 5280, section 4.1.2.5: inclusive).
        if now >= not_after + std::time::Duration::from_secs(1) {
            let (not_after, now) = (Date(not_after), Date(now));
            return Err(CredentialError::Expired { certificate, position, not_after, now });
        }
        first_end = Some(first_end.map_or(not_after, |earliest| earliest.min(not_after)));
    }
    Ok(first_end.unwrap_or(now))
}

/// A warning for each certificate that did not sign the one before it.
fn chain_order(path: &Path, chain: &[X509]) -> Vec<Warning> {
    chain
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| match pair {
            [signed, signer] => signer.issued(signed) != X509VerifyResult::OK,
            _ => false,
        })
        .map(|(index, _)| Warning::ChainOrder { path: path.to_owned(), position: index + 2 })
        .collect()
}

#[cfg(test)]
mod tests;
