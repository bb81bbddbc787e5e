//! How an identity proves itself: the registry's `authentication` member, read, checked and written.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::problem::{self, Problem};
use crate::sas::Key;

/// Holds one identity's way of proving itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(crate) enum Authentication {
    /// By tokens that either key signs.
    Sas { primary: Key, secondary: Key },
    /// By a certificate with one of these thumbprints, written as they came.
    SelfSigned { primary: Option<String>, secondary: Option<String> },
    /// By a certificate that a registered CA signed.
    CertificateAuthority,
}

impl Authentication {
    /// Reads the member of an identity write. Without it, or with type `none` on a module, new keys are made.
    pub(crate) fn from_json(value: Option<&Value>, is_module: bool) -> Result<Self, Problem> {
        let empty = Value::Null;
        let value = value.unwrap_or(&empty);
        let (keys, thumbprints) = (&value["symmetricKey"], &value["x509Thumbprint"]);
        let (primary, secondary) =
            (text(thumbprints, "primaryThumbprint")?, text(thumbprints, "secondaryThumbprint")?);
        let implied = if primary.is_some() || secondary.is_some() { "selfSigned" } else { "sas" };
        match value["type"].as_str().unwrap_or(implied) {
            "sas" => Self::from_keys(keys),
            "none" if is_module => Self::from_keys(keys),
            "selfSigned" => Self::from_thumbprints(primary, secondary),
            "certificateAuthority" => Ok(Self::CertificateAuthority),
            other => Err(invalid(format!("authentication type {other} is not supported"))),
        }
    }

    fn from_keys(keys: &Value) -> Result<Self, Problem> {
        match (text(keys, "primaryKey")?, text(keys, "secondaryKey")?) {
            (None, None) => Self::new_keys(),
            (Some(primary), Some(secondary)) => {
                let key = |text: &str| {
                    Key::parse(text)
                        .ok_or_else(|| invalid("keys must be base64 of 16 to 64 bytes".to_owned()))
                };
                Ok(Self::Sas { primary: key(&primary)?, secondary: key(&secondary)? })
            }
            _ => Err(invalid("either both symmetric keys or neither must be given".to_owned())),
        }
    }

    fn new_keys() -> Result<Self, Problem> {
        let key = || {
            Key::generate().map_err(|error| Problem::new(problem::SERVER_ERROR, error.to_string()))
        };
        Ok(Self::Sas { primary: key()?, secondary: key()? })
    }

    fn from_thumbprints(
        primary: Option<String>,
        secondary: Option<String>,
    ) -> Result<Self, Problem> {
        let given: Vec<&String> = primary.iter().chain(&secondary).collect();
        for thumbprint in &given {
            let is_hex = thumbprint.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !is_hex || !matches!(thumbprint.len(), 40 | 64) {
                return Err(invalid(format!("StringIsNotThumbprint: {thumbprint}")));
            }
        }
        let mut sizes = given.iter().map(|thumbprint| thumbprint.len());
        let first = sizes.next();
        if first.is_none() || sizes.any(|size| Some(size) != first) {
            return Err(invalid("thumbprints must be one or two of the same length".to_owned()));
        }
        Ok(Self::SelfSigned { primary, secondary })
    }

    /// Gives the service's name of the type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Sas { .. } => "sas",
            Self::SelfSigned { .. } => "selfSigned",
            Self::CertificateAuthority => "certificateAuthority",
        }
    }

    /// Gives both thumbprints, or nulls.
    pub(crate) fn thumbprints(&self) -> [Option<&str>; 2] {
        match self {
            Self::SelfSigned { primary, secondary } => [primary.as_deref(), secondary.as_deref()],
            _ => [None, None],
        }
    }

    /// Builds the registry's member.
    pub(crate) fn to_json(&self) -> Value {
        let (primary, secondary) = match self {
            Self::Sas { primary, secondary } => (Some(primary.expose()), Some(secondary.expose())),
            _ => (None, None),
        };
        let [first, second] = self.thumbprints();
        json!({
            "symmetricKey": { "primaryKey": primary, "secondaryKey": secondary },
            "x509Thumbprint": { "primaryThumbprint": first, "secondaryThumbprint": second },
            "type": self.type_name(),
        })
    }
}

fn text(object: &Value, name: &str) -> Result<Option<String>, Problem> {
    match &object[name] {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(invalid(format!("{name} must be a text"))),
    }
}

fn invalid(text: String) -> Problem {
    Problem::new(problem::ARGUMENT_INVALID, text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Authentication;

    fn read(value: Value) -> Result<Authentication, u16> {
        Authentication::from_json(Some(&value), true).map_err(|problem| problem.code.status)
    }

    #[test]
    fn no_authentication_makes_two_different_keys() {
        let made = Authentication::from_json(None, false).expect("keys");
        let Authentication::Sas { primary, secondary } = made else { panic!("expected keys") };
        assert_ne!(primary, secondary);
    }

    #[test]
    fn keys_come_in_pairs_and_thumbprints_in_one_length() {
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        assert!(read(json!({"symmetricKey": {"primaryKey": key, "secondaryKey": key}})).is_ok());
        assert_eq!(read(json!({"symmetricKey": {"primaryKey": key}})), Err(400));
        assert_eq!(
            read(json!({"symmetricKey": {"primaryKey": "AA==", "secondaryKey": key}})),
            Err(400)
        );
        let (short, long) = ("a".repeat(40), "B".repeat(64));
        assert!(read(json!({"x509Thumbprint": {"primaryThumbprint": short}})).is_ok());
        assert_eq!(
            read(
                json!({"x509Thumbprint": {"primaryThumbprint": short, "secondaryThumbprint": long}})
            ),
            Err(400)
        );
        assert_eq!(read(json!({"x509Thumbprint": {"primaryThumbprint": "aa:bb"}})), Err(400));
        assert_eq!(read(json!({"type": "selfSigned"})), Err(400));
        assert_eq!(read(json!({"type": "password"})), Err(400));
    }

    #[test]
    fn type_none_makes_keys_for_modules_and_is_refused_for_devices() {
        assert_eq!(read(json!({"type": "none"})).map(|read| read.type_name()), Ok("sas"));
        assert!(Authentication::from_json(Some(&json!({"type": "none"})), false).is_err());
    }
}
