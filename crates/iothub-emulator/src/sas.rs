//! Shared access signatures: reading tokens, checking them ("Control access to IoT Hub with shared access signatures").

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// A key in base64; its `Debug` prints nothing.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Key(String);

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key(..)")
    }
}

impl Key {
    /// Makes a key of 32 bytes.
    pub(crate) fn generate() -> Result<Self, openssl::error::ErrorStack> {
        Ok(Self(STANDARD.encode(crate::random::bytes(32)?)))
    }

    /// Takes a key somebody else made: base64 of 16 to 64 bytes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let size = STANDARD.decode(text).ok()?.len();
        (16..=64).contains(&size).then(|| Self(text.to_owned()))
    }

    /// Gives the base64 text, for answers to those who may read keys.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

/// Holds a token that has been read and not yet been checked.
#[derive(Debug)]
pub(crate) struct Token {
    /// The resource as it came, percent-encoded: these bytes are what is signed.
    raw_resource: String,
    raw_expiry: String,
    signature: Vec<u8>,
    /// End of validity, Unix seconds.
    pub(crate) expiry: u64,
    /// The hub policy whose key signed, if it is not an identity's own.
    pub(crate) policy: Option<String>,
}

impl Token {
    /// Reads `SharedAccessSignature sr=…&sig=…&se=…[&skn=…]`, fields in any order.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let fields = text.strip_prefix("SharedAccessSignature ")?;
        let (mut resource, mut signature, mut expiry, mut policy) = (None, None, None, None);
        for field in fields.trim_start().split('&') {
            let (name, value) = field.split_once('=')?;
            let slot = match name {
                "sr" => &mut resource,
                "sig" => &mut signature,
                "se" => &mut expiry,
                "skn" => &mut policy,
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return None;
            }
        }
        let raw_expiry = expiry?.to_owned();
        Some(Self {
            raw_resource: resource?.to_owned(),
            signature: STANDARD.decode(decoded(signature?)?).ok()?,
            expiry: seconds(&raw_expiry)?,
            raw_expiry,
            policy: match policy {
                None | Some("") => None,
                Some(policy) => Some(decoded(policy)?),
            },
        })
    }

    /// Says whether `key` signed this token.
    pub(crate) fn is_signed_by(&self, key: &Key) -> bool {
        let text = format!("{}\n{}", self.raw_resource, self.raw_expiry);
        hmac(key, text.as_bytes()).is_some_and(|expected| {
            expected.len() == self.signature.len()
                && openssl::memcmp::eq(&expected, &self.signature)
        })
    }

    /// Says whether the token's resource is `host` itself or a prefix, by whole segments, of `host` + `path`.
    ///
    /// `path` is percent-decoded and starts without a slash. Letter case does not count: iot-identity-service writes the
    /// whole resource in lower case. What keeps identities apart that differ in case alone is the key that signs.
    pub(crate) fn covers(&self, host: &str, path: &[&str]) -> bool {
        let Some(resource) = decoded(&self.raw_resource) else {
            return false;
        };
        let mut segments = resource.trim_end_matches('/').split('/');
        let same_host = segments.next().is_some_and(|first| first.eq_ignore_ascii_case(host));
        let mut path = path.iter();
        same_host
            && segments.all(|segment| {
                path.next().is_some_and(|expected| expected.eq_ignore_ascii_case(segment))
            })
    }
}

/// Reads decimal digits and nothing else: Rust's own parser takes a sign too.
fn seconds(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned())
}

fn hmac(key: &Key, text: &[u8]) -> Option<Vec<u8>> {
    let key = PKey::hmac(&STANDARD.decode(key.expose()).ok()?).ok()?;
    let mut signer = Signer::new(MessageDigest::sha256(), &key).ok()?;
    signer.update(text).ok()?;
    signer.sign_to_vec().ok()
}

/// Makes a token of a policy for the whole hub.
pub(crate) fn sign(host: &str, key: &str, expiry: u64, policy: &str) -> Option<String> {
    let resource = utf8_percent_encode(host, PLAIN).to_string();
    let signature = hmac(&Key::parse(key)?, format!("{resource}\n{expiry}").as_bytes())?;
    let signature = STANDARD.encode(signature);
    let signature = utf8_percent_encode(&signature, PLAIN);
    Some(format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={policy}"))
}

/// Letters that stay as they are in URLs.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::{Key, Token};

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const MODULE: &str = "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fgw01%2Fmodules%2Fcam-1\
        &sig=a70LFFwG67SzQMDhEODP96zutkjwj3GobdrspSE%2FQYE%3D&se=1767225600";
    const SERVICE: &str = "SharedAccessSignature se=1767225600&skn=iothubowner&sr=myhub.azure-devices.net\
        &sig=mnVOCy0ieupY1%2FH3BnSINnUcRqZRXaiw4do9WEOWXUI%3D";

    fn key() -> Key {
        Key::parse(KEY).expect("a key")
    }

    #[test]
    fn the_known_module_token_is_accepted() {
        let token = Token::parse(MODULE).expect("a token");
        assert!(token.is_signed_by(&key()));
        assert_eq!((token.expiry, token.policy.as_deref()), (1_767_225_600, None));
        assert!(token.covers("MyHub.azure-devices.net", &["devices", "gw01", "modules", "cam-1"]));
    }

    #[test]
    fn the_known_service_token_is_accepted_with_its_fields_in_another_order() {
        let token = Token::parse(SERVICE).expect("a token");
        assert!(token.is_signed_by(&key()));
        assert_eq!(token.policy.as_deref(), Some("iothubowner"));
        assert!(token.covers("myhub.azure-devices.net", &["devices", "gw01"]));
        assert!(!token.covers("other.azure-devices.net", &["devices", "gw01"]));
    }

    #[test]
    fn the_resource_is_signed_in_the_bytes_it_came_in() {
        let lower = MODULE.replace("net%2F", "net%2f");
        assert!(
            !Token::parse(&lower).expect("a token").is_signed_by(&key()),
            "other bytes, other signature"
        );
        let later = MODULE.replace("se=1767225600", "se=1767225601");
        assert!(!Token::parse(&later).expect("a token").is_signed_by(&key()));
    }

    #[test]
    fn a_scope_covers_whole_segments_only() {
        let token = Token::parse("SharedAccessSignature sr=h%2Fdevices%2Fgw&sig=AA%3D%3D&se=1")
            .expect("a token");
        assert!(token.covers("h", &["devices", "gw", "modules", "m"]));
        assert!(!token.covers("h", &["devices", "gw01"]));
        assert!(!token.covers("h", &["devices"]));
        assert!(token.covers("H", &["devices", "GW"]), "lower-cased by iot-identity-service");
    }

    #[test]
    fn what_is_no_token_is_none() {
        for text in [
            "",
            "SharedAccessSignature ",
            "SharedAccessSignature sr=h&sig=AA%3D%3D",
            "SharedAccessSignature sr=h&sig=!!&se=1",
            "SharedAccessSignature sr=h&sig=AA%3D%3D&se=soon",
            "SharedAccessSignature sr=h&sig=AA%3D%3D&se=+1",
            "SharedAccessSignature sr=h&sig=AA%3D%3D&se=",
            "SharedAccessSignature sr=h&sig=AA%3D%3D&se=99999999999999999999",
            "SharedAccessSignature sr=h&sr=h&sig=AA%3D%3D&se=1",
            "Bearer sr=h&sig=AA%3D%3D&se=1",
        ] {
            assert!(Token::parse(text).is_none(), "{text}");
        }
        assert!(Key::parse("AAEC").is_none(), "too short");
        assert_eq!(format!("{:?}", key()), "Key(..)");
    }
}
