//! CAs and client certificates, ECDSA and RSA.

use std::path::Path;
use std::time::{Duration, SystemTime};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::BasicConstraints;
use openssl::x509::{X509, X509Name};

/// A key with the certificates to show for it, the leaf first.
#[derive(Clone)]
pub(crate) struct Credential {
    pub(crate) chain: Vec<X509>,
    pub(crate) key: PKey<Private>,
}

impl Credential {
    /// Makes a self-signed certificate.
    pub(crate) fn self_signed(common_name: &str) -> Self {
        let key = ecdsa();
        let leaf = sign(common_name, &key, None, (-1, 30), false);
        Self { chain: vec![leaf], key }
    }

    pub(crate) fn thumbprint(&self, digest: MessageDigest) -> String {
        let digest = self.chain[0].digest(digest).expect("a digest");
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A CA.
#[derive(Clone)]
pub(crate) struct Authority {
    pub(crate) certificate: X509,
    key: PKey<Private>,
    /// What a client sends along behind its leaf.
    along: Vec<X509>,
}

impl Authority {
    pub(crate) fn ecdsa() -> Self {
        Self::root(ecdsa(), (-400, 400))
    }

    pub(crate) fn rsa() -> Self {
        Self::root(rsa(), (-400, 400))
    }

    pub(crate) fn valid(days: (i64, i64)) -> Self {
        Self::root(ecdsa(), days)
    }

    fn root(key: PKey<Private>, days: (i64, i64)) -> Self {
        Self { certificate: sign("root", &key, None, days, true), key, along: Vec::new() }
    }

    pub(crate) fn load(certificate: &Path, key: &Path) -> Self {
        let certificate =
            X509::from_pem(&std::fs::read(certificate).expect("read")).expect("a certificate");
        let key = PKey::private_key_from_pem(&std::fs::read(key).expect("read")).expect("a key");
        Self { certificate, key, along: Vec::new() }
    }

    /// Signs another CA; certificates of that one come with it.
    pub(crate) fn intermediate(&self) -> Self {
        let key = ecdsa();
        let certificate = sign("intermediate", &key, Some(self), (-1, 30), true);
        Self { along: vec![certificate.clone()], certificate, key }
    }

    pub(crate) fn sign(&self, common_name: &str) -> Credential {
        self.sign_valid(common_name, (-1, 30))
    }

    /// Signs a certificate valid from and until so many days from now.
    pub(crate) fn sign_valid(&self, common_name: &str, days: (i64, i64)) -> Credential {
        let is_rsa = self.key.rsa().is_ok();
        let key = if is_rsa { rsa() } else { ecdsa() };
        let leaf = sign(common_name, &key, Some(self), days, false);
        Credential { chain: std::iter::once(leaf).chain(self.along.iter().cloned()).collect(), key }
    }

    pub(crate) fn pem(&self) -> String {
        String::from_utf8(self.certificate.to_pem().expect("PEM")).expect("text")
    }
}

fn ecdsa() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
    PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key")
}

fn rsa() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key")
}

fn day(days: i64) -> Asn1Time {
    let span = Duration::from_secs(days.unsigned_abs() * 86_400);
    let then = if days < 0 { SystemTime::now() - span } else { SystemTime::now() + span };
    let seconds = then.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    Asn1Time::from_unix(i64::try_from(seconds).expect("in range")).expect("a time")
}

fn sign(
    common_name: &str,
    key: &PKey<Private>,
    by: Option<&Authority>,
    days: (i64, i64),
    is_ca: bool,
) -> X509 {
    let mut name = X509Name::builder().expect("a name");
    name.append_entry_by_text("CN", common_name).expect("a name");
    let name = name.build();
    let mut builder = X509::builder().expect("a builder");
    builder.set_version(2).expect("version 3");
    let serial = BigNum::from_u32(random_serial())
        .and_then(|serial| serial.to_asn1_integer())
        .expect("a serial");
    builder.set_serial_number(&serial).expect("a serial");
    builder.set_subject_name(&name).expect("a subject");
    builder
        .set_issuer_name(by.map_or(&*name, |by| by.certificate.subject_name()))
        .expect("an issuer");
    builder.set_pubkey(key).expect("a key");
    builder.set_not_before(&day(days.0)).expect("a date");
    builder.set_not_after(&day(days.1)).expect("a date");
    if is_ca {
        let constraints = BasicConstraints::new().critical().ca().build().expect("an extension");
        builder.append_extension(constraints).expect("an extension");
    }
    builder.sign(by.map_or(key, |by| &by.key), MessageDigest::sha256()).expect("signed");
    builder.build()
}

fn random_serial() -> u32 {
    let mut bytes = [0; 4];
    openssl::rand::rand_bytes(&mut bytes).expect("random");
    u32::from_be_bytes(bytes) >> 1 | 1
}
