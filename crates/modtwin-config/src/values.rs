//! What each value may be: text in, checked value or fault out.
//!
//! Leaves the place of a fault to `read`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use modtwin_core::document::Pointer;
use modtwin_core::ids::{DeviceId, ModuleId};

use crate::key::{self, KeyType};
use crate::model::{Acknowledge, FileRef, Transport};

/// Why a value is not taken, without its place.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self { message, suggestion: None }
    }
}

impl From<&str> for Fault {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

/// A host name or an IPv4 address, without scheme, port and path: it becomes part of MQTT's user
/// name, where `/` separates.
pub(crate) fn host(text: &str) -> Result<String, Fault> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    // 253: RFC 1035, section 2.3.4, less the root's dot and length byte.
    if (1..=253).contains(&text.len()) && text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(format!("expected a host name without scheme, port and path, found {text:?}").into())
}

pub(crate) fn device_id(text: &str) -> Result<DeviceId, Fault> {
    DeviceId::new(text).map_err(|error| error.to_string().into())
}

pub(crate) fn module_id(text: &str) -> Result<ModuleId, Fault> {
    ModuleId::new(text).map_err(|error| error.to_string().into())
}

pub(crate) fn transport(text: &str) -> Result<Transport, Fault> {
    match text {
        "mqtt" => Ok(Transport::Mqtt),
        "websocket" => Ok(Transport::WebSocket),
        other => Err(no_choice("hub.transport", other)),
    }
}

pub(crate) fn acknowledge(text: &str) -> Result<Acknowledge, Fault> {
    match text {
        "none" => Ok(Acknowledge::None),
        "pnp" => Ok(Acknowledge::Pnp),
        other => Err(no_choice("module[].acknowledge", other)),
    }
}

fn no_choice(path: &str, found: &str) -> Fault {
    let choices = match key::find(path).map(|key| key.value) {
        Some(KeyType::Choice(choices)) => choices,
        _ => &[],
    };
    Fault {
        message: format!("expected {}, found {found:?}", KeyType::Choice(choices)),
        suggestion: nearest(found, choices.iter().copied()),
    }
}

/// A duration with a unit, within the range of the key at `path`.
pub(crate) fn duration(path: &str, text: &str) -> Result<Duration, Fault> {
    if text.trim().parse::<f64>().is_ok() {
        let message = format!("expected a number with a unit such as \"30s\", found {text:?}");
        return Err(message.into());
    }
    let read = humantime::parse_duration(text)
        .map_err(|error| Fault::from(format!("expected a duration, found {text:?}: {error}")))?;
    if let Some(KeyType::Duration { min, max } | KeyType::Durations { min, max }) =
        key::find(path).map(|key| key.value)
        && !(min..=max).contains(&read)
    {
        let (min, max) = (show(min), show(max));
        return Err(format!("expected {min} to {max}, found {text:?}").into());
    }
    Ok(read)
}

/// A whole number a second, within the range of the key at `path`.
pub(crate) fn rate(path: &str, text: &str) -> Result<u32, Fault> {
    let kind = key::find(path).map(|key| key.value);
    let max = if let Some(KeyType::Rate(max)) = kind { max } else { u32::MAX };
    let number = text.trim().strip_suffix("/s").map(str::trim_end);
    match number.and_then(|number| number.parse().ok()) {
        Some(rate) if (1..=max).contains(&rate) => Ok(rate),
        Some(_) => Err(format!("expected 1/s to {max}/s, found {text:?}").into()),
        None => Err(format!("expected {}, found {text:?}", KeyType::Rate(max)).into()),
    }
}

/// A duration as people write it: `1177s`, and not `19m 37s`.
fn show(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if duration.subsec_nanos() == 0 && !seconds.is_multiple_of(60) => {
            format!("{seconds}s")
        }
        _ => humantime::format_duration(duration).to_string(),
    }
}

/// A duration that MQTT can carry: CONNECT has whole seconds (MQTT 3.1.1, section 3.1.2.10).
pub(crate) fn whole_seconds(value: Duration, text: &str) -> Result<Duration, Fault> {
    if value.subsec_nanos() == 0 {
        return Ok(value);
    }
    Err(format!("expected whole seconds, found {text:?}").into())
}

/// An api-version such as `2021-04-12`: it becomes part of MQTT's user name, where `&` separates.
pub(crate) fn api_version(text: &str) -> Result<String, Fault> {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Ok(text.to_owned());
    }
    Err(format!("expected a version such as \"2021-04-12\", found {text:?}").into())
}

/// A path, relative to `folder`.
pub(crate) fn path(folder: &Path, text: &str) -> Result<PathBuf, Fault> {
    if text.is_empty() {
        return Err("expected a path, found \"\"".into());
    }
    if text.contains('\0') {
        return Err("expected a path, found one with a NUL in it".into());
    }
    if text.starts_with(CREDENTIAL) {
        return Err(format!("expected a path, found {text:?}: only credentials take that").into());
    }
    Ok(folder.join(text))
}

/// The longest path of a socket, in bytes: `sun_path` less its closing NUL (unix(7)).
const MAX_SOCKET_PATH_BYTES: usize = 107;

pub(crate) fn socket_path(folder: &Path, text: &str) -> Result<PathBuf, Fault> {
    let path = path(folder, text)?;
    let length = path.as_os_str().len();
    if length <= MAX_SOCKET_PATH_BYTES {
        return Ok(path);
    }
    let shown = path.display();
    Err(format!("expected at most {MAX_SOCKET_PATH_BYTES} bytes, found {length}: {shown}").into())
}

const CREDENTIAL: &str = "credential:";

/// A path relative to `folder`, or `credential:NAME`.
pub(crate) fn file(folder: &Path, text: &str) -> Result<FileRef, Fault> {
    let Some(name) = text.strip_prefix(CREDENTIAL) else {
        return path(folder, text).map(FileRef::Path);
    };
    // The name of a file in a flat folder: systemd.exec(5), `LoadCredential=`.
    let allowed = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':');
    let plain = (1..=255).contains(&name.len()) && name.chars().all(allowed);
    if plain && !matches!(name, "." | "..") {
        return Ok(FileRef::Credential(name.to_owned()));
    }
    Err(format!("expected credential:NAME with the name of a plain file, found {text:?}").into())
}

/// The longest name of a handler, in characters.
const MAX_NAME_LENGTH: usize = 64;

/// A handler's name: letters, digits, `-`, `_` and `.`.
pub(crate) fn handler_name(text: &str) -> Result<String, Fault> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=MAX_NAME_LENGTH).contains(&text.len()) && text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    let expected = format!("1 to {MAX_NAME_LENGTH} letters, digits, '-', '_' or '.'");
    Err(format!("expected {expected}, found {text:?}").into())
}

/// The name of a system user or group, or its number; whether it exists is not asked here.
pub(crate) fn account(text: &str) -> Result<String, Fault> {
    // `:` and `,` separate in passwd(5) and group(5).
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | ',' | '/');
    if !text.is_empty() && !text.contains(forbidden) {
        return Ok(text.to_owned());
    }
    Err(format!("expected the name of a system user or group, found {text:?}").into())
}

/// The full name of a systemd unit that processes can belong to.
pub(crate) fn unit(text: &str) -> Result<String, Fault> {
    // systemd.unit(5), "Unit names": letters, digits and :-_.\ with @ before an instance.
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    let named = |kind: &str| text.strip_suffix(kind).is_some_and(|name| !name.is_empty());
    if text.len() <= 255
        && text.chars().all(allowed)
        && [".service", ".scope", ".slice"].into_iter().any(named)
    {
        return Ok(text.to_owned());
    }
    Err(format!("expected a unit's full name such as \"hvac.service\", found {text:?}").into())
}

/// The longest version of a config, in characters.
const MAX_VERSION_LENGTH: usize = 64;

/// A fleet tool's own name for a config: any text on one line.
pub(crate) fn fleet_version(text: &str) -> Result<String, Fault> {
    let length = text.chars().count();
    if (1..=MAX_VERSION_LENGTH).contains(&length) && !text.contains(char::is_control) {
        return Ok(text.to_owned());
    }
    let expected = format!("1 to {MAX_VERSION_LENGTH} characters on one line");
    Err(format!("expected {expected}, found {length}").into())
}

pub(crate) fn pointer(text: &str) -> Result<Pointer, Fault> {
    Pointer::parse(text).map_err(|error| error.to_string().into())
}

/// A direct method's name: it becomes one level of a topic.
pub(crate) fn method(text: &str) -> Result<String, Fault> {
    let forbidden = |c: char| c.is_control() || matches!(c, '/' | '+' | '#');
    if !text.is_empty() && !text.contains(forbidden) {
        return Ok(text.to_owned());
    }
    Err(format!("expected a method's name without '/', '+' and '#', found {text:?}").into())
}

/// A digital twin model identifier such as `dtmi:com:example:Thermostat;1`.
///
/// The grammar is that of the Digital Twins Definition Language, "Digital Twin Model Identifier".
pub(crate) fn model_id(text: &str) -> Result<String, Fault> {
    let segment = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && !part.ends_with('_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let version = |part: &str| {
        part.len() <= 9
            && part.starts_with(|c: char| ('1'..='9').contains(&c))
            && part.chars().all(|c| c.is_ascii_digit())
    };
    let parts = text.strip_prefix("dtmi:").and_then(|rest| rest.split_once(';'));
    match parts {
        Some((path, number)) if path.split(':').all(segment) && version(number) => {
            Ok(text.to_owned())
        }
        _ => Err(format!(
            "expected a model such as \"dtmi:com:example:Thermostat;1\", found {text:?}"
        )
        .into()),
    }
}

/// The one of `known` that `text` was probably meant to be.
pub(crate) fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    // Long keys are never near, and comparing them would take time for nothing.
    if text.len() > 64 {
        return None;
    }
    let folded = text.to_lowercase().replace('_', "-");
    known
        .map(|known| (strsim::damerau_levenshtein(&folded, known), known))
        .filter(|(distance, known)| *distance <= (known.len() / 3).max(1))
        .min()
        .map(|(_, known)| known.to_owned())
}
