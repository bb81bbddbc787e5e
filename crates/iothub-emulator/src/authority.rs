//! The emulator's own CA, the server certificate it signs, and TLS as the hub speaks it: 1.2 and 1.3, a client
//! certificate asked for and any accepted, judged later ("TLS support in IoT Hub").

use std::net::IpAddr;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslAcceptor, SslMethod, SslOptions, SslSessionCacheMode, SslVerifyMode};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509Name, X509Ref};

/// Holds a certificate and its key.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

impl Pair {
    /// Reads PEM.
    pub(crate) fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, ErrorStack> {
        Ok(Self {
            certificate: X509::from_pem(certificate)?,
            key: PKey::private_key_from_pem(key)?,
        })
    }

    /// Makes a CA, ECDSA P-256. It is valid from a year ago, so that the hub's clock can be shifted both ways.
    pub(crate) fn new_authority() -> Result<Self, ErrorStack> {
        let key = new_key()?;
        let mut builder = builder("IoT Hub emulator CA", &key, now_and(-365)?, now_and(3650)?)?;
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
        let identifier = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
        builder.append_extension(identifier)?;
        let name = name("IoT Hub emulator CA")?;
        builder.set_issuer_name(&name)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Ok(Self { certificate: builder.build(), key })
    }

    /// Signs a server certificate for `hostname`, `listen`, `localhost`, 127.0.0.1 to 127.0.0.8 and ::1.
    pub(crate) fn sign_server(&self, hostname: &str, listen: IpAddr) -> Result<Self, ErrorStack> {
        let key = new_key()?;
        let mut builder = builder(hostname, &key, now_and(-1)?, now_and(397)?)?;
        let issuer: &X509Ref = &self.certificate;
        builder.set_issuer_name(issuer.subject_name())?;
        let mut names = SubjectAlternativeName::new();
        names.dns("localhost");
        let mut addresses: Vec<IpAddr> =
            (1..=8).map(|last| IpAddr::from([127, 0, 0, last])).collect();
        addresses.extend([IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), listen]);
        match hostname.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => {
                names.dns(hostname);
            }
        }
        addresses.sort_unstable();
        addresses.dedup();
        for address in addresses {
            names.ip(&address.to_string());
        }
        let extensions = [
            BasicConstraints::new().critical().build()?,
            KeyUsage::new().critical().digital_signature().build()?,
            ExtendedKeyUsage::new().server_auth().build()?,
            names.build(&builder.x509v3_context(Some(issuer), None))?,
            SubjectKeyIdentifier::new().build(&builder.x509v3_context(Some(issuer), None))?,
            AuthorityKeyIdentifier::new()
                .keyid(true)
                .build(&builder.x509v3_context(Some(issuer), None))?,
        ];
        for extension in extensions {
            builder.append_extension(extension)?;
        }
        builder.sign(&self.key, MessageDigest::sha256())?;
        Ok(Self { certificate: builder.build(), key })
    }

    /// Makes the acceptor. Sessions are not resumed: a resumed one would not show the client's chain again.
    pub(crate) fn acceptor(&self, authority: &X509) -> Result<SslAcceptor, ErrorStack> {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        acceptor.set_cipher_list(SUITES)?;
        acceptor.set_private_key(&self.key)?;
        acceptor.set_certificate(&self.certificate)?;
        acceptor.add_extra_chain_cert(authority.clone())?;
        acceptor.check_private_key()?;
        acceptor.set_session_id_context(b"iothub-emulator")?;
        acceptor.set_session_cache_mode(SslSessionCacheMode::OFF);
        acceptor.set_options(SslOptions::NO_TICKET);
        acceptor.set_num_tickets(0)?;
        acceptor.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
        Ok(acceptor.build())
    }
}

/// The suites of TLS 1.2 ("TLS support in IoT Hub", cipher suites); those of 1.3 are OpenSSL's own.
const SUITES: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
    ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
    ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:\
    ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384";

fn new_key() -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

fn name(common_name: &str) -> Result<X509Name, ErrorStack> {
    let mut name = X509Name::builder()?;
    // A common name ends at 64 characters (RFC 5280, ub-common-name); the names that count are the SANs.
    let short: String = common_name.chars().take(64).collect();
    name.append_entry_by_text("CN", &short)?;
    Ok(name.build())
}

fn builder(
    common_name: &str,
    key: &PKey<Private>,
    from: Asn1Time,
    until: Asn1Time,
) -> Result<X509Builder, ErrorStack> {
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let mut serial = crate::random::bytes(16)?;
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 1;
    }
    let serial = BigNum::from_slice(&serial)?.to_asn1_integer()?;
    builder.set_serial_number(&serial)?;
    let name = name(common_name)?;
    builder.set_subject_name(&name)?;
    builder.set_pubkey(key)?;
    builder.set_not_before(&from)?;
    builder.set_not_after(&until)?;
    Ok(builder)
}

/// Gives the time `days` from now; negative ones lie in the past.
fn now_and(days: i64) -> Result<Asn1Time, ErrorStack> {
    let now = std::time::SystemTime::now();
    let span = std::time::Duration::from_secs(days.unsigned_abs() * 86_400);
    let then = if days < 0 { now.checked_sub(span) } else { now.checked_add(span) };
    let text = humantime::format_rfc3339_seconds(then.unwrap_or(now)).to_string();
    let digits: String = text.chars().filter(char::is_ascii_digit).chain(['Z']).collect();
    Asn1Time::from_str_x509(&digits)
}
