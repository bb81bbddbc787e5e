//! Symmetric keys and the shared access tokens that they sign.
//!
//! The form is that of "Control access to IoT Hub with shared access signatures", section "SAS
//! token structure".

use std::fmt;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use modtwin_core::ids::{DeviceId, ModuleId};
use modtwin_core::secret::Secret;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::date::unix_seconds;
use crate::held::Digest;

/// What stays as it is in a token: the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a text is no symmetric key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is nothing.
    #[error("expected a key in base64, found nothing")]
    Empty,
    /// It is something else; what it is is kept secret.
    #[error("expected a key in base64, found something else")]
    NotBase64,
    /// It is a connection string.
    #[error("expected a key in base64, found a connection string; use connection-string-file")]
    ConnectionString,
    /// OpenSSL does not take it.
    #[error("OpenSSL does not take the key")]
    Refused,
}

/// Why a token cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error("OpenSSL cannot compute HMAC-SHA256")]
pub struct SigningError(#[from] ErrorStack);

/// A symmetric key. OpenSSL holds it, and wipes it when it is dropped.
#[derive(Clone)]
pub struct SharedKey {
    key: PKey<Private>,
    digest: Digest,
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey(…)")
    }
}

impl SharedKey {
    /// Reads a key in base64, as the registry hands it out.
    ///
    /// # Errors
    ///
    /// [`KeyError`] where the text is none; it never repeats the text.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if text.contains(';') {
            return Err(KeyError::ConnectionString);
        }
        let mut bytes = STANDARD.decode(text).map_err(|_| KeyError::NotBase64)?;
        let key = PKey::hmac(&bytes).map_err(|_| KeyError::Refused);
        let digest = Digest::of(&[&bytes]);
        bytes.fill(0);
        key.map(|key| Self { key, digest })
    }

    /// Tells one key from another.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    fn sign(&self, text: &str) -> Result<String, ErrorStack> {
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key)?;
        let signature = signer.sign_oneshot_to_vec(text.as_bytes())?;
        Ok(STANDARD.encode(signature))
    }
}

/// A shared access token, good until its expiry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SasToken {
    /// The whole token: MQTT's password, or HTTP's `Authorization`.
    pub token: Secret,
    /// When the hub stops taking it; whole seconds.
    pub expires: SystemTime,
}

impl SasToken {
    /// Signs a token for a module with the module's own key.
    ///
    /// `host` is the hub's name, also where a gateway is dialled.
    ///
    /// # Errors
    ///
    /// [`SigningError`] where OpenSSL fails.
    pub fn sign(
        host: &str,
        device: &DeviceId,
        module: &ModuleId,
        key: &SharedKey,
        expires: SystemTime,
    ) -> Result<Self, SigningError> {
        let resource = format!("{host}/devices/{device}/modules/{module}");
        Self::sign_resource(&resource, None, key, expires)
    }

    /// Signs a token for a hub's service side with the key of one of its policies.
    ///
    /// # Errors
    ///
    /// [`SigningError`] where OpenSSL fails.
    pub fn sign_service(
        host: &str,
        policy: &str,
        key: &SharedKey,
        expires: SystemTime,
    ) -> Result<Self, SigningError> {
        Self::sign_resource(host, Some(policy), key, expires)
    }

    fn sign_resource(
        resource: &str,
        policy: Option<&str>,
        key: &SharedKey,
        expires: SystemTime,
    ) -> Result<Self, SigningError> {
        let resource = encode(resource);
        let seconds = unix_seconds(expires).max(0);
        let signature = key.sign(&format!("{resource}\n{seconds}"))?;
        let mut token =
            format!("SharedAccessSignature sr={resource}&sig={}&se={seconds}", encode(&signature));
        if let Some(policy) = policy {
            token.push_str("&skn=");
            token.push_str(&encode(policy));
        }
        let whole = std::time::Duration::from_secs(seconds.unsigned_abs());
        Ok(Self { token: Secret::new(token), expires: SystemTime::UNIX_EPOCH + whole })
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn expires() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
    }

    fn module_token(host: &str, device: &str, module: &str, expires: SystemTime) -> SasToken {
        let key = SharedKey::parse(KEY).unwrap();
        let (device, module) = (DeviceId::new(device).unwrap(), ModuleId::new(module).unwrap());
        SasToken::sign(host, &device, &module, &key, expires).unwrap()
    }

    // Both vectors: HMAC-SHA256 computed apart from this code, with Python's hmac module.
    #[test]
    fn a_modules_token_is_the_known_one() {
        let token = module_token("myhub.azure-devices.net", "gw01", "cam-1", expires());
        assert_eq!(
            token.token.expose(),
            "SharedAccessSignature \
             sr=myhub.azure-devices.net%2Fdevices%2Fgw01%2Fmodules%2Fcam-1\
             &sig=a70LFFwG67SzQMDhEODP96zutkjwj3GobdrspSE%2FQYE%3D&se=1767225600"
        );
        assert_eq!(token.expires, expires());
    }

    #[test]
    fn a_service_token_is_the_known_one_and_names_its_policy() {
        let key = SharedKey::parse(KEY).unwrap();
        let host = "myhub.azure-devices.net";
        let token = SasToken::sign_service(host, "iothubowner", &key, expires()).unwrap();
        assert_eq!(
            token.token.expose(),
            "SharedAccessSignature sr=myhub.azure-devices.net\
             &sig=mnVOCy0ieupY1%2FH3BnSINnUcRqZRXaiw4do9WEOWXUI%3D&se=1767225600&skn=iothubowner"
        );
    }

    #[test]
    fn every_character_that_ids_may_have_is_encoded_once() {
        let token = module_token("h", "a-b:c.d%e_f", "x*y!z(1),=@;$'", expires());
        let expected = "sr=h%2Fdevices%2Fa-b%3Ac.d%25e_f%2Fmodules%2F\
                        x%2Ay%21z%281%29%2C%3D%40%3B%24%27&sig=";
        assert!(token.token.expose().contains(expected), "{}", token.token.expose());
    }

    #[test]
    fn an_expiry_has_whole_seconds_and_never_lies_before_the_epoch() {
        let late = module_token("h", "d", "m", expires() + Duration::from_millis(999));
        assert_eq!(late.expires, expires());
        let early = module_token("h", "d", "m", SystemTime::UNIX_EPOCH - Duration::from_secs(9));
        assert_eq!(early.expires, SystemTime::UNIX_EPOCH);
        assert!(early.token.expose().ends_with("&se=0"));
    }

    #[test]
    fn what_is_no_key_is_refused_without_repeating_it() {
        let refuse = |text: &str| SharedKey::parse(text).unwrap_err();
        assert_eq!(refuse(" \n"), KeyError::Empty);
        for bad in ["no key", "AAE", "AAECAwQ=x", "äöü"] {
            assert_eq!(refuse(bad), KeyError::NotBase64);
        }
        let error = refuse("HostName=h;SharedAccessKey=s3cret");
        assert_eq!(error, KeyError::ConnectionString);
        assert!(!error.to_string().contains("s3cret"));
        assert!(SharedKey::parse(&format!(" {KEY}\n")).is_ok());
    }

    #[test]
    fn nothing_secret_is_shown() {
        let token = module_token("h", "d", "m", expires());
        let shown = format!("{token:?} {:?}", SharedKey::parse(KEY).unwrap());
        assert!(!shown.contains("sig=") && !shown.contains("AAEC"), "{shown}");
    }
}
