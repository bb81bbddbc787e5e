//! Client certificates, good and bad.

use anyhow::Context as _;
use modtwin_testkit::dialer::Shown;
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::BasicConstraints;
use openssl::x509::{X509, X509Name};

use crate::signing::now;

const DAY: i64 = 86_400;

/// An authority.
#[derive(Debug, Clone)]
pub(crate) struct Authority {
    /// Its certificate.
    pub(crate) certificate: X509,
    key: PKey<Private>,
    /// What clients send along behind their leaf.
    along: Vec<X509>,
}

impl Authority {
    /// A root.
    pub(crate) fn root(name: &str) -> anyhow::Result<Self> {
        let key = key()?;
        let certificate = sign(name, &key, None, (-DAY, 30 * DAY), true)?;
        Ok(Self { certificate, key, along: Vec::new() })
    }

    /// Signs another authority, whose certificate its clients send along.
    pub(crate) fn intermediate(&self, name: &str) -> anyhow::Result<Self> {
        let key = key()?;
        let certificate = sign(name, &key, Some(self), (-DAY, 30 * DAY), true)?;
        Ok(Self { along: vec![certificate.clone()], certificate, key })
    }

    /// Signs a client certificate.
    pub(crate) fn sign(&self, common_name: &str) -> anyhow::Result<Shown> {
        self.sign_between(common_name, (-DAY, 30 * DAY))
    }

    /// Signs a client certificate for a span in seconds from now.
    pub(crate) fn sign_between(
        &self,
        common_name: &str,
        span: (i64, i64),
    ) -> anyhow::Result<Shown> {
        let key = key()?;
        let leaf = sign(common_name, &key, Some(self), span, false)?;
        Ok(Shown { chain: std::iter::once(leaf).chain(self.along.iter().cloned()).collect(), key })
    }

    /// The certificate as text.
    pub(crate) fn pem(&self) -> anyhow::Result<Vec<u8>> {
        self.certificate.to_pem().context("no PEM")
    }
}

/// A self-signed client certificate.
pub(crate) fn self_signed(common_name: &str) -> anyhow::Result<Shown> {
    self_signed_between(common_name, (-DAY, 30 * DAY))
}

/// A self-signed client certificate for a span in seconds from now.
pub(crate) fn self_signed_between(common_name: &str, span: (i64, i64)) -> anyhow::Result<Shown> {
    let key = key()?;
    Ok(Shown { chain: vec![sign(common_name, &key, None, span, false)?], key })
}

/// The thumbprint of what is shown, in lower-case hexadecimal digits.
pub(crate) fn thumbprint(shown: &Shown, digest: MessageDigest) -> anyhow::Result<String> {
    let leaf = shown.chain.first().context("no leaf")?;
    let digest = leaf.digest(digest).context("no digest")?;
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn key() -> anyhow::Result<PKey<Private>> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).context("no curve")?;
    EcKey::generate(&group).and_then(PKey::from_ec_key).context("no key")
}

fn sign(
    common_name: &str,
    key: &PKey<Private>,
    by: Option<&Authority>,
    (from, until): (i64, i64),
    is_authority: bool,
) -> anyhow::Result<X509> {
    let start = i64::try_from(now()).context("a time beyond reason")?;
    let mut name = X509Name::builder()?;
    name.append_entry_by_text("CN", common_name)?;
    let name = name.build();
    let mut serial = BigNum::new()?;
    serial.rand(64, MsbOption::ONE, false)?;
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let serial = serial.to_asn1_integer()?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(by.map_or(&*name, |by| by.certificate.subject_name()))?;
    builder.set_pubkey(key)?;
    let (not_before, not_after) =
        (Asn1Time::from_unix(start + from)?, Asn1Time::from_unix(start + until)?);
    builder.set_not_before(&not_before)?;
    builder.set_not_after(&not_after)?;
    if is_authority {
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    }
    builder.sign(by.map_or(key, |by| &by.key), MessageDigest::sha256())?;
    Ok(builder.build())
}
