//! Certificates made on the spot: authorities, servers, clients.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::symm::Cipher;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};
use tempfile::TempDir;

/// What kind of key a certificate has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum KeyKind {
    Ecdsa,
    Rsa,
}

/// A certificate with its key, in memory and as PEM files.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
    pub(crate) certificate_file: PathBuf,
    pub(crate) key_file: PathBuf,
}

/// An authority and the folder of what it issued.
#[derive(Debug)]
pub(crate) struct Authority {
    folder: TempDir,
    own: Issued,
    count: AtomicU32,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = key(KeyKind::Ecdsa);
        let mut builder = blank(name, &key);
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        let subject = name_of(name);
        builder.set_issuer_name(&subject).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        let own = store(folder.path(), "authority", builder.build(), key);
        Self { folder, own, count: AtomicU32::new(0) }
    }

    /// The bundle to trust it by.
    pub(crate) fn file(&self) -> PathBuf {
        self.own.certificate_file.clone()
    }

    /// A certificate for `localhost` and 127.0.0.1.
    pub(crate) fn server(&self) -> Issued {
        self.issue("localhost", &["localhost"], KeyKind::Ecdsa)
    }

    /// A certificate with these DNS names.
    pub(crate) fn issue(&self, common_name: &str, dns_names: &[&str], kind: KeyKind) -> Issued {
        let key = key(kind);
        let mut builder = blank(common_name, &key);
        builder.set_issuer_name(self.own.certificate.subject_name()).unwrap();
        if !dns_names.is_empty() {
            let mut names = SubjectAlternativeName::new();
            for name in dns_names {
                names.dns(name);
            }
            let names =
                names.build(&builder.x509v3_context(Some(&self.own.certificate), None)).unwrap();
            builder.append_extension(names).unwrap();
        }
        builder.sign(&self.own.key, MessageDigest::sha256()).unwrap();
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        store(self.folder.path(), &format!("{number}"), builder.build(), key)
    }

    /// The key of `issued`, encrypted with `password`.
    pub(crate) fn encrypted_key(&self, issued: &Issued, password: &str) -> PathBuf {
        let pem = issued
            .key
            .private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), password.as_bytes())
            .unwrap();
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let file = self.folder.path().join(format!("{number}.encrypted.pem"));
        std::fs::write(&file, pem).unwrap();
        file
    }
}

fn key(kind: KeyKind) -> PKey<Private> {
    match kind {
        KeyKind::Ecdsa => {
            let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
            PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
        }
        KeyKind::Rsa => PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(),
    }
}

fn blank(common_name: &str, key: &PKey<Private>) -> X509Builder {
    let mut serial = BigNum::new().unwrap();
    serial.rand(63, MsbOption::MAYBE_ZERO, false).unwrap();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&name_of(common_name)).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    builder
}

fn name_of(common_name: &str) -> openssl::x509::X509Name {
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, common_name).unwrap();
    name.build()
}

fn store(folder: &Path, stem: &str, certificate: X509, key: PKey<Private>) -> Issued {
    let certificate_file = folder.join(format!("{stem}.crt.pem"));
    let key_file = folder.join(format!("{stem}.key.pem"));
    std::fs::write(&certificate_file, certificate.to_pem().unwrap()).unwrap();
    std::fs::write(&key_file, key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    Issued { certificate, key, certificate_file, key_file }
}
