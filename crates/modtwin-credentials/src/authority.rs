//! A certificate authority for trying out and for tests; a fleet has one of its own.
//!
//! Makes self-signed certificates too, which need none.
//!
//! It signs what it is asked to sign: there is no policy, no list of what it has signed and no
//! revocation. Its key is in memory, and on the disk only where a caller writes it.

use std::ops::Range;
use std::time::SystemTime;

use modtwin_core::ids::{DeviceId, ModuleId};
use openssl::asn1::Asn1Integer;
use openssl::bn::{BigNum, MsbOption};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Public};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509NameRef, X509Req};

use crate::date;
use crate::request::{self, KeyKind, PrivateKey, RequestError};

/// Why an authority cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The authority's own certificate cannot be parsed.
    #[error("cannot parse the authority's certificate")]
    BadCertificate(#[source] ErrorStack),
    /// Certificate and key do not belong together.
    #[error("the authority's private key does not belong to its certificate")]
    KeyMismatch,
    /// The request cannot be parsed.
    #[error("cannot parse the request, expected PEM (`-----BEGIN CERTIFICATE REQUEST-----`)")]
    BadRequest(#[source] ErrorStack),
    /// The request is not signed with its own key.
    #[error("the request is not signed with the key that it names")]
    Unproven,
    /// A key cannot be made or read.
    #[error("cannot use the authority's key")]
    Key(#[source] RequestError),
    /// OpenSSL failed.
    #[error("OpenSSL cannot make the {what}")]
    Openssl {
        /// What was to be made.
        what: &'static str,
        /// What OpenSSL said.
        source: ErrorStack,
    },
}

/// A certificate authority: its certificate and key.
#[derive(Debug, Clone)]
pub struct CertificateAuthority {
    certificate: X509,
    key: PrivateKey,
}

impl CertificateAuthority {
    /// Makes a root authority, its certificate signed by itself.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Openssl`] where OpenSSL fails.
    pub fn create(
        name: &str,
        kind: KeyKind,
        validity: Range<SystemTime>,
    ) -> Result<Self, AuthorityError> {
        Self::issue(name, kind, validity, None)
    }

    /// Makes an intermediate authority, its certificate signed by this one.
    ///
    /// # Errors
    ///
    /// As for [`create`](Self::create).
    pub fn create_intermediate(
        &self,
        name: &str,
        kind: KeyKind,
        validity: Range<SystemTime>,
    ) -> Result<Self, AuthorityError> {
        Self::issue(name, kind, validity, Some(self))
    }

    /// Takes up an authority from its certificate and its key without password, both PEM.
    ///
    /// # Errors
    ///
    /// [`AuthorityError`] where one cannot be parsed or they do not belong together.
    pub fn load(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self, AuthorityError> {
        let certificate =
            X509::from_pem(certificate_pem).map_err(AuthorityError::BadCertificate)?;
        let key = PrivateKey::from_pem(key_pem).map_err(AuthorityError::Key)?;
        let public = certificate.public_key().map_err(AuthorityError::BadCertificate)?;
        if !key.0.public_eq(&public) {
            return Err(AuthorityError::KeyMismatch);
        }
        Ok(Self { certificate, key })
    }

    /// Signs a request (PEM) for a TLS client; returns the certificate as PEM.
    ///
    /// The subject is taken over as it stands. Neither name nor time is judged: tests need
    /// certificates that are wrong in every way.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Unproven`] where the request's signature is not by its own key.
    pub fn sign_csr(
        &self,
        csr_pem: &[u8],
        validity: Range<SystemTime>,
    ) -> Result<String, AuthorityError> {
        let request = X509Req::from_pem(csr_pem).map_err(AuthorityError::BadRequest)?;
        let key = request.public_key().map_err(AuthorityError::BadRequest)?;
        if !request.verify(&key).unwrap_or(false) {
            return Err(AuthorityError::Unproven);
        }
        let failed = |source| AuthorityError::Openssl { what: "certificate", source };
        self.sign(request.subject_name(), &key, validity)
            .and_then(|certificate| certificate.to_pem())
            .map(|pem| ascii(&pem))
            .map_err(failed)
    }

    /// The authority's certificate as PEM.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Openssl`] where OpenSSL fails.
    pub fn certificate_pem(&self) -> Result<String, AuthorityError> {
        let failed = |source| AuthorityError::Openssl { what: "PEM of the certificate", source };
        self.certificate.to_pem().map(|pem| ascii(&pem)).map_err(failed)
    }

    /// The authority's key.
    #[must_use]
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    fn issue(
        name: &str,
        kind: KeyKind,
        validity: Range<SystemTime>,
        issuer: Option<&Self>,
    ) -> Result<Self, AuthorityError> {
        let key = request::generate_key(kind).map_err(AuthorityError::Key)?;
        let certificate = authority_certificate(name, &key, validity, issuer)
            .map_err(|source| AuthorityError::Openssl { what: "authority", source })?;
        Ok(Self { certificate, key })
    }

    fn sign(
        &self,
        subject: &X509NameRef,
        key: &PKey<Public>,
        validity: Range<SystemTime>,
    ) -> Result<X509, ErrorStack> {
        let mut builder = begin(validity)?;
        builder.set_subject_name(subject)?;
        builder.set_issuer_name(self.certificate.subject_name())?;
        builder.set_pubkey(key)?;
        for_client(&mut builder)?;
        identify(&mut builder, Some(&self.certificate))?;
        builder.sign(&self.key.0, MessageDigest::sha256())?;
        Ok(builder.build())
    }
}

/// Makes a module's certificate (PEM), signed with its own key: a registry knows it by its
/// thumbprint.
///
/// # Errors
///
/// [`RequestError::CommonNameTooLong`] where the ids do not fit into a certificate.
pub fn self_signed(
    key: &PrivateKey,
    device: &DeviceId,
    module: &ModuleId,
    validity: Range<SystemTime>,
) -> Result<String, RequestError> {
    let name = request::common_name(device, module)?;
    let failed = |source| RequestError::Openssl { what: "certificate", source };
    let pem = own_certificate(key, &name, validity).and_then(|own| own.to_pem()).map_err(failed)?;
    Ok(ascii(&pem))
}

fn own_certificate(
    key: &PrivateKey,
    name: &str,
    validity: Range<SystemTime>,
) -> Result<X509, ErrorStack> {
    let mut builder = begin(validity)?;
    let subject = request::subject(name)?;
    builder.set_subject_name(&subject)?;
    builder.set_issuer_name(&subject)?;
    builder.set_pubkey(&key.0)?;
    for_client(&mut builder)?;
    identify(&mut builder, None)?;
    builder.sign(&key.0, MessageDigest::sha256())?;
    Ok(builder.build())
}

/// Adds what a TLS client's certificate says of its use.
fn for_client(builder: &mut X509Builder) -> Result<(), ErrorStack> {
    builder.append_extension(BasicConstraints::new().critical().build()?)?;
    builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
    builder.append_extension(ExtendedKeyUsage::new().client_auth().build()?)
}

fn authority_certificate(
    name: &str,
    key: &PrivateKey,
    validity: Range<SystemTime>,
    issuer: Option<&CertificateAuthority>,
) -> Result<X509, ErrorStack> {
    let mut builder = begin(validity)?;
    let subject = request::subject(name)?;
    builder.set_subject_name(&subject)?;
    builder
        .set_issuer_name(issuer.map_or(&*subject, |issuer| issuer.certificate.subject_name()))?;
    builder.set_pubkey(&key.0)?;
    builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
    identify(&mut builder, issuer.map(|issuer| &issuer.certificate))?;
    builder.sign(issuer.map_or(&key.0, |issuer| &issuer.key.0), MessageDigest::sha256())?;
    Ok(builder.build())
}

/// Begins a certificate of version 3 with a random serial number.
fn begin(validity: Range<SystemTime>) -> Result<X509Builder, ErrorStack> {
    let mut builder = X509::builder()?;
    // Version 3, written as 2 (RFC 5280, section 4.1.2.1).
    builder.set_version(2)?;
    let mut serial = BigNum::new()?;
    // Positive and at most 20 bytes (RFC 5280, section 4.1.2.2).
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    let serial = Asn1Integer::from_bn(&serial)?;
    builder.set_serial_number(&serial)?;
    let not_before = date::to_asn1(validity.start)?;
    builder.set_not_before(&not_before)?;
    let not_after = date::to_asn1(validity.end)?;
    builder.set_not_after(&not_after)?;
    Ok(builder)
}

/// Adds the identifiers by which chains are built.
fn identify(builder: &mut X509Builder, issuer: Option<&X509>) -> Result<(), ErrorStack> {
    let issuer = issuer.map(|issuer| &**issuer);
    let own = SubjectKeyIdentifier::new().build(&builder.x509v3_context(issuer, None))?;
    builder.append_extension(own)?;
    if issuer.is_some() {
        let context = builder.x509v3_context(issuer, None);
        let signer = AuthorityKeyIdentifier::new().keyid(true).build(&context)?;
        builder.append_extension(signer)?;
    }
    Ok(())
}

/// PEM is ASCII: nothing is lost.
fn ascii(pem: &[u8]) -> String {
    String::from_utf8_lossy(pem).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use openssl::stack::Stack;
    use openssl::x509::X509StoreContext;
    use openssl::x509::store::X509StoreBuilder;

    use super::*;
    use crate::describe;

    fn validity() -> Range<SystemTime> {
        let now = SystemTime::now();
        now - Duration::from_secs(3600)..now + Duration::from_secs(3600)
    }

    fn request(key: &PrivateKey) -> String {
        let (device, module) = (DeviceId::new("d").unwrap(), ModuleId::new("m").unwrap());
        request::csr(key, &device, &module).unwrap()
    }

    /// Whether OpenSSL builds a chain from `leaf` over `between` to `root`.
    fn verifies(leaf: &str, between: &[String], root: &CertificateAuthority) -> bool {
        let mut store = X509StoreBuilder::new().unwrap();
        store.add_cert(root.certificate.clone()).unwrap();
        let mut chain = Stack::new().unwrap();
        for pem in between {
            chain.push(X509::from_pem(pem.as_bytes()).unwrap()).unwrap();
        }
        let leaf = X509::from_pem(leaf.as_bytes()).unwrap();
        X509StoreContext::new()
            .unwrap()
            .init(&store.build(), &leaf, &chain, |context| context.verify_cert())
            .unwrap()
    }

    #[test]
    fn openssl_trusts_what_an_authority_signs_directly_and_through_an_intermediate() {
        for kind in [KeyKind::EcP256, KeyKind::Rsa2048] {
            let root = CertificateAuthority::create("Root", kind, validity()).unwrap();
            let key = request::generate_key(KeyKind::EcP256).unwrap();
            let leaf = root.sign_csr(request(&key).as_bytes(), validity()).unwrap();
            assert!(verifies(&leaf, &[], &root));

            let between = root.create_intermediate("Between", kind, validity()).unwrap();
            let leaf = between.sign_csr(request(&key).as_bytes(), validity()).unwrap();
            assert!(!verifies(&leaf, &[], &root));
            assert!(verifies(&leaf, &[between.certificate_pem().unwrap()], &root));

            let stranger = CertificateAuthority::create("Root", kind, validity()).unwrap();
            assert!(!verifies(&leaf, &[between.certificate_pem().unwrap()], &stranger));
        }
    }

    #[test]
    fn an_authority_survives_its_files() {
        let root = CertificateAuthority::create("Root", KeyKind::EcP256, validity()).unwrap();
        let key_pem = root.key().to_pem().unwrap();
        let pem = root.certificate_pem().unwrap();
        let again =
            CertificateAuthority::load(pem.as_bytes(), key_pem.expose().as_bytes()).unwrap();
        let key = request::generate_key(KeyKind::EcP256).unwrap();
        let leaf = again.sign_csr(request(&key).as_bytes(), validity()).unwrap();
        assert!(verifies(&leaf, &[], &root));
        let other = key.to_pem().unwrap();
        let mismatch = CertificateAuthority::load(pem.as_bytes(), other.expose().as_bytes());
        assert!(matches!(mismatch, Err(AuthorityError::KeyMismatch)));
        assert!(CertificateAuthority::load(b"", b"").is_err());
    }

    #[test]
    fn a_request_that_does_not_prove_its_key_is_refused() {
        let root = CertificateAuthority::create("Root", KeyKind::EcP256, validity()).unwrap();
        let key = request::generate_key(KeyKind::EcP256).unwrap();
        let mut forged = X509Req::builder().unwrap();
        forged.set_pubkey(&key.0).unwrap();
        let other = request::generate_key(KeyKind::EcP256).unwrap();
        forged.sign(&other.0, MessageDigest::sha256()).unwrap();
        let refused = root.sign_csr(&forged.build().to_pem().unwrap(), validity());
        assert!(matches!(refused, Err(AuthorityError::Unproven)));
        assert!(matches!(root.sign_csr(b"x", validity()), Err(AuthorityError::BadRequest(_))));
    }

    #[test]
    fn dates_are_taken_as_they_come_while_certificates_can_have_them() {
        let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        let later = last + Duration::from_secs(1);
        let root = CertificateAuthority::create("Root", KeyKind::EcP256, UNIX_EPOCH..later);
        let pem = root.unwrap().certificate_pem().unwrap();
        assert_eq!(describe(pem.as_bytes()).unwrap()[0].not_after, last);
        let old = UNIX_EPOCH..UNIX_EPOCH + Duration::from_secs(1);
        let root = CertificateAuthority::create("Root", KeyKind::EcP256, old.clone()).unwrap();
        let described = describe(root.certificate_pem().unwrap().as_bytes()).unwrap();
        assert_eq!(described[0].not_before..described[0].not_after, old);
    }

    #[test]
    fn a_chain_is_described_leaf_first_and_nothing_is_an_error() {
        let root = CertificateAuthority::create("Root", KeyKind::EcP256, validity()).unwrap();
        let key = request::generate_key(KeyKind::EcP256).unwrap();
        let leaf = root.sign_csr(request(&key).as_bytes(), validity()).unwrap();
        let chain = format!("{leaf}{}", root.certificate_pem().unwrap());
        let described = describe(chain.as_bytes()).unwrap();
        let subjects: Vec<_> = described.iter().map(|one| one.subject.as_str()).collect();
        assert_eq!(subjects, ["CN=d/m", "CN=Root"]);
        assert_ne!(described[0].serial, described[1].serial);
        assert!(describe(b"hello").is_err());
    }
}
