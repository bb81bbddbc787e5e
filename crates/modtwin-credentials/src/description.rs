//! What certificates say of themselves, for people and for status.

use std::time::SystemTime;

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::x509::{X509, X509NameRef, X509Ref};

use crate::common_name::common_names;
use crate::date;

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The subject, such as `CN=device01/module01`.
    pub subject: String,
    /// The subject's common name, where there is exactly one.
    pub common_name: Option<String>,
    /// Who signed it, in the subject's notation.
    pub issuer: String,
    /// The serial number in hexadecimal.
    pub serial: String,
    /// The beginning of its time.
    pub not_before: SystemTime,
    /// The end of its time.
    pub not_after: SystemTime,
    /// SHA-1 of its DER form: 40 upper-case hexadecimal digits, as the registry takes them.
    pub thumbprint_sha1: String,
    /// SHA-256 of its DER form: 64 upper-case hexadecimal digits, as the registry takes them.
    pub thumbprint_sha256: String,
}

/// Why nothing can be said of a certificate.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// There is no certificate.
    #[error("expected PEM certificates (`-----BEGIN CERTIFICATE-----`), found none")]
    NoCertificate,
    /// A certificate cannot be parsed.
    #[error("cannot parse the certificate")]
    Parse(#[source] ErrorStack),
}

/// Describes every certificate in `pem`, in their order: the leaf comes first in a chain.
///
/// # Errors
///
/// [`DescribeError`] where there is none or one cannot be parsed.
pub fn describe(pem: &[u8]) -> Result<Vec<Description>, DescribeError> {
    let chain = X509::stack_from_pem(pem).map_err(DescribeError::Parse)?;
    if chain.is_empty() {
        return Err(DescribeError::NoCertificate);
    }
    chain.iter().map(|one| Description::of(one).map_err(DescribeError::Parse)).collect()
}

impl Description {
    /// Says whether subject and issuer are the same, as they are in a self-signed certificate.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    pub(crate) fn of(certificate: &X509Ref) -> Result<Self, ErrorStack> {
        let mut names = common_names(certificate.subject_name());
        Ok(Self {
            subject: show_name(certificate.subject_name()),
            common_name: if names.len() == 1 { names.pop() } else { None },
            issuer: show_name(certificate.issuer_name()),
            serial: certificate.serial_number().to_bn()?.to_hex_str()?.to_string(),
            not_before: date::from_asn1(certificate.not_before())?,
            not_after: date::from_asn1(certificate.not_after())?,
            thumbprint_sha1: hex(&certificate.digest(MessageDigest::sha1())?),
            thumbprint_sha256: hex(&certificate.digest(MessageDigest::sha256())?),
        })
    }
}

/// A name as `CN=…, O=…`, on one line whatever is in it.
pub(crate) fn show_name(name: &X509NameRef) -> String {
    let mut shown = String::new();
    for entry in name.entries() {
        if !shown.is_empty() {
            shown.push_str(", ");
        }
        shown.push_str(entry.object().nid().short_name().unwrap_or("?"));
        shown.push('=');
        let value = entry.data().to_string().unwrap_or_else(|_| "?".to_owned());
        for c in value.chars() {
            match c {
                c if c.is_control() => shown.extend(c.escape_default()),
                c => shown.push(c),
            }
        }
    }
    shown
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
