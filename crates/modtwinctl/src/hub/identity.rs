//! Identities of the registry: what proves them, and how they are shown.

use std::fs;
use std::path::Path;

use modtwin_core::ids::{DeviceId, ModuleId};
use modtwin_credentials::{Secret, describe};
use serde_json::{Value, json};

use crate::cli::hub::{ModuleName, Proof};
use crate::failure::{Failure, chain};
use crate::output::Output;

/// The length of the two digests, in hexadecimal digits ("Authenticate identities with X.509
/// certificates": SHA-1 or SHA-256).
const SHA1_DIGITS: usize = 40;
const SHA256_DIGITS: usize = 64;

/// How an identity of the registry proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Authentication {
    /// Symmetric keys; the hub makes them.
    Symmetric,
    /// Certificates known by their thumbprints.
    Thumbprint {
        /// The first.
        primary: String,
        /// The second, for changing from one to the other.
        secondary: Option<String>,
    },
    /// A certificate from an authority that the hub knows.
    Authority,
}

impl Authentication {
    /// What the arguments say.
    pub(super) fn of(proof: &Proof) -> Result<Self, Failure> {
        if proof.by_authority {
            return Ok(Self::Authority);
        }
        let primary = one_of(proof.certificate.as_deref(), proof.thumbprint.as_deref())?;
        let secondary =
            one_of(proof.secondary_certificate.as_deref(), proof.secondary_thumbprint.as_deref())?;
        match (primary, secondary) {
            (None, None) => Ok(Self::Symmetric),
            (Some(primary), secondary) => Self::thumbprints(primary, secondary),
            (None, Some(_)) => {
                Err(Failure::usage("a second thumbprint needs a first: give --thumbprint too"))
            }
        }
    }

    pub(super) fn thumbprints(primary: String, secondary: Option<String>) -> Result<Self, Failure> {
        if secondary.as_ref().is_some_and(|secondary| secondary.len() != primary.len()) {
            let text = "expected two thumbprints of one kind, found SHA-1 and SHA-256";
            return Err(Failure::usage(text));
        }
        Ok(Self::Thumbprint { primary, secondary })
    }

    /// The registry's name for it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Symmetric => "sas",
            Self::Thumbprint { .. } => "selfSigned",
            Self::Authority => "certificateAuthority",
        }
    }

    /// The member `authentication` of an identity.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Symmetric | Self::Authority => json!({"type": self.kind()}),
            Self::Thumbprint { primary, secondary } => json!({
                "type": self.kind(),
                "x509Thumbprint": {
                    "primaryThumbprint": primary,
                    "secondaryThumbprint": secondary,
                },
            }),
        }
    }

    /// How an existing identity differs from this, if it does.
    pub(super) fn difference(&self, identity: &Value) -> Option<String> {
        let found = text(identity, "/authentication/type").unwrap_or("nothing");
        if found != self.kind() {
            return Some(format!("expected authentication {}, found {found}", self.kind()));
        }
        let Self::Thumbprint { primary, .. } = self else {
            return None;
        };
        let known = |which: &str| {
            let path = format!("/authentication/x509Thumbprint/{which}Thumbprint");
            text(identity, &path).is_some_and(|found| found.eq_ignore_ascii_case(primary))
        };
        let is_known = known("primary") || known("secondary");
        (!is_known).then(|| format!("expected thumbprint {primary}, found others"))
    }
}

fn one_of(certificate: Option<&Path>, given: Option<&str>) -> Result<Option<String>, Failure> {
    match (certificate, given) {
        (Some(path), _) => thumbprint_of(path).map(Some),
        (None, Some(text)) => thumbprint(text).map(Some),
        (None, None) => Ok(None),
    }
}

/// The SHA-256 thumbprint of the first certificate in a file.
pub(super) fn thumbprint_of(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let pem = fs::read(path)
        .map_err(|error| Failure::failed(format!("cannot read `{shown}`: {error}")))?;
    let chain_of =
        describe(&pem).map_err(|error| Failure::failed(format!("`{shown}`: {}", chain(&error))))?;
    let leaf = chain_of.into_iter().next();
    leaf.map(|leaf| leaf.thumbprint_sha256)
        .ok_or_else(|| Failure::failed(format!("no certificate in `{shown}`")))
}

/// A thumbprint as the registry takes it: hexadecimal digits and nothing between them.
pub(super) fn thumbprint(given: &str) -> Result<String, Failure> {
    let digits: String = given.chars().filter(|c| !matches!(c, ':' | ' ')).collect();
    let right = matches!(digits.len(), SHA1_DIGITS | SHA256_DIGITS)
        && digits.chars().all(|c| c.is_ascii_hexdigit());
    if right {
        return Ok(digits.to_uppercase());
    }
    Err(Failure::usage(format!(
        "expected a thumbprint of {SHA1_DIGITS} (SHA-1) or {SHA256_DIGITS} (SHA-256) hexadecimal \
         digits, found {} characters; modtwinctl cert show prints it",
        digits.chars().count()
    )))
}

/// Checks the ids before the hub does, with better words.
pub(super) fn check_device(device: &str) -> Result<(), Failure> {
    let checked = DeviceId::new(device);
    checked.map(drop).map_err(|error| Failure::usage(format!("the device `{device}`: {error}")))
}

/// Checks the ids before the hub does, with better words.
pub(super) fn check_module(name: &ModuleName) -> Result<(), Failure> {
    check_device(&name.device)?;
    let module = &name.module;
    let checked = ModuleId::new(module);
    checked.map(drop).map_err(|error| Failure::usage(format!("the module `{module}`: {error}")))
}

/// An identity's connection string, as the portal shows it: with the primary key, or `x509=true`.
pub(super) fn connection_string(host: &str, identity: &Value) -> Option<Secret> {
    let device = text(identity, "/deviceId")?;
    let mut string = format!("HostName={host};DeviceId={device}");
    if let Some(module) = text(identity, "/moduleId") {
        string.push_str(&format!(";ModuleId={module}"));
    }
    match text(identity, "/authentication/type")? {
        "sas" => {
            let key = text(identity, "/authentication/symmetricKey/primaryKey")?;
            string.push_str(&format!(";SharedAccessKey={key}"));
        }
        "selfSigned" | "certificateAuthority" => string.push_str(";x509=true"),
        _ => return None,
    }
    Some(Secret::new(string))
}

/// Prints an identity: what matters first, its connection string last.
pub(super) fn show(host: &str, identity: &Value, output: &Output) -> Result<(), Failure> {
    let string = connection_string(host, identity);
    if output.is_json() {
        let mut whole = identity.clone();
        if let (Some(whole), Some(string)) = (whole.as_object_mut(), &string) {
            whole.insert("connectionString".to_owned(), string.expose().into());
        }
        return output.json(&whole);
    }
    for (name, path) in LINES {
        if let Some(value) = text(identity, path).filter(|value| !value.starts_with("0001-")) {
            output.line(format!("{name:<19}{value}"))?;
        }
    }
    match string {
        Some(string) => output.line(format!("{:<19}{}", "connection string", string.expose())),
        None => Ok(()),
    }
}

/// What is shown of an identity, where it has it.
const LINES: [(&str, &str); 9] = [
    ("device", "/deviceId"),
    ("module", "/moduleId"),
    ("status", "/status"),
    ("status reason", "/statusReason"),
    ("connection", "/connectionState"),
    ("last activity", "/lastActivityTime"),
    ("authentication", "/authentication/type"),
    ("thumbprint", "/authentication/x509Thumbprint/primaryThumbprint"),
    ("second thumbprint", "/authentication/x509Thumbprint/secondaryThumbprint"),
];

/// Prints a list of identities, one a line.
pub(super) fn list(
    identities: &Value,
    id: &str,
    third: &str,
    output: &Output,
) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(identities);
    }
    for identity in identities.as_array().into_iter().flatten() {
        let show = |path: &str| text(identity, path).unwrap_or("-").to_owned();
        let kind = show("/authentication/type");
        output.line(format!("{:<32} {kind:<21} {}", show(id), show(third)))?;
    }
    Ok(())
}

pub(super) fn text<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value.pointer(path).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprints_come_with_colons_in_any_case_and_in_two_lengths() {
        let sha1 = "ab:CD:".repeat(10);
        assert_eq!(thumbprint(&sha1).unwrap(), "ABCD".repeat(10));
        assert_eq!(thumbprint(&"0f".repeat(32)).unwrap(), "0F".repeat(32));
        for bad in ["", "ab", &"xy".repeat(20), &"ab".repeat(24)] {
            assert!(thumbprint(bad).unwrap_err().lines()[0].contains("hexadecimal"));
        }
        let mixed = Authentication::thumbprints("A".repeat(40), Some("A".repeat(64)));
        assert!(mixed.unwrap_err().lines()[0].contains("one kind"));
    }

    #[test]
    fn connection_strings_are_the_portals() {
        let mut identity = json!({"deviceId": "d", "moduleId": "m", "authentication":
            {"type": "sas", "symmetricKey": {"primaryKey": "a2V5"}}});
        let string = |identity: &Value| {
            connection_string("h", identity).map(|secret| secret.expose().to_owned())
        };
        let expected = "HostName=h;DeviceId=d;ModuleId=m;SharedAccessKey=a2V5";
        assert_eq!(string(&identity).unwrap(), expected);
        identity["authentication"] = json!({"type": "selfSigned"});
        let expected = "HostName=h;DeviceId=d;ModuleId=m;x509=true";
        assert_eq!(string(&identity).unwrap(), expected);
        identity["authentication"] = json!({"type": "none"});
        assert_eq!(string(&identity), None);
    }

    #[test]
    fn an_identity_that_differs_is_told_apart() {
        let wanted = Authentication::thumbprints("AB".repeat(20), None).unwrap();
        let with = |authentication: Value| json!({ "authentication": authentication });
        let same = with(json!({"type": "selfSigned", "x509Thumbprint":
            {"primaryThumbprint": "cd", "secondaryThumbprint": "ab".repeat(20)}}));
        assert_eq!(wanted.difference(&same), None);
        let other = with(json!({"type": "selfSigned", "x509Thumbprint": {}}));
        assert!(wanted.difference(&other).unwrap().contains("found others"));
        let keys = with(json!({"type": "sas"}));
        assert!(wanted.difference(&keys).unwrap().contains("found sas"));
        assert_eq!(Authentication::Symmetric.difference(&keys), None);
    }
}
