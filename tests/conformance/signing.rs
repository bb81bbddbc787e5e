//! Shared access signatures, written by hand from "Control access to IoT Hub with shared access
//! signatures", so that each part of a token can be got wrong on purpose.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use openssl::base64;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is in a resource and a signature (RFC 3986, unreserved).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Percent-encodes one segment.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// Unix seconds of the machine's clock.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Signs a resource that is already encoded, with a key in base64; the signature is encoded.
pub(crate) fn signature(key: &str, resource: &str, expiry: &str) -> anyhow::Result<String> {
    let key = base64::decode_block(key).context("the key is no base64")?;
    let key = PKey::hmac(&key).context("the key is no key")?;
    let mut signer = Signer::new(MessageDigest::sha256(), &key).context("cannot sign")?;
    signer.update(format!("{resource}\n{expiry}").as_bytes()).context("cannot sign")?;
    Ok(encoded(&base64::encode_block(&signer.sign_to_vec().context("cannot sign")?)))
}

/// A token for `resource` (not encoded) until `expiry`.
pub(crate) fn token(key: &str, resource: &str, expiry: u64) -> anyhow::Result<String> {
    let resource = encoded(resource);
    let signature = signature(key, &resource, &expiry.to_string())?;
    Ok(format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}"))
}

/// A token by a policy of the hub.
pub(crate) fn policy_token(
    policy: &str,
    key: &str,
    resource: &str,
    expiry: u64,
) -> anyhow::Result<String> {
    Ok(format!("{}&skn={}", token(key, resource, expiry)?, encoded(policy)))
}
