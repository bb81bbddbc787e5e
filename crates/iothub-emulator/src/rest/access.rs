//! Who may call: api-version and the shared access token of a policy ("Control access to IoT Hub with shared access
//! signatures"), or of a device that manages its own modules.

use super::Refused;
use crate::authentication::Authentication;
use crate::http::Call;
use crate::hub::Hub;
use crate::identity::IdentityKey;
use crate::policy::Right;
use crate::problem::{self, Problem};
use crate::sas::Token;

/// Checks the call's api-version and token.
pub(super) fn check(hub: &Hub, call: &Call, right: Right) -> Result<(), Refused> {
    let version = call.query("api-version").unwrap_or_default();
    if !is_version(&version) {
        let text = format!("api-version: expected a date such as 2021-04-12, found '{version}'");
        return Err(Problem::new(problem::ARGUMENT_INVALID, text).into());
    }
    let token =
        call.header("authorization").and_then(Token::parse).ok_or_else(|| denied("no token"))?;
    let segments = call.segments();
    // A client that keeps the port in its HostName signs for it too.
    let with_port = call.header("host").unwrap_or_default();
    let has_port = with_port
        .rsplit_once(':')
        .is_some_and(|(host, _)| host.eq_ignore_ascii_case(&hub.hostname));
    let is_covered =
        token.covers(&hub.hostname, &segments) || (has_port && token.covers(with_port, &segments));
    if !is_covered {
        return Err(denied("token is for another resource"));
    }
    if token.expiry.saturating_add(hub.rules.clock_skew.as_secs()) <= hub.clock.now().unix_seconds()
    {
        return Err(denied("token expired"));
    }
    let Some(name) = token.policy.as_deref() else {
        return check_device(hub, &token, &segments);
    };
    let policy = hub
        .policies
        .iter()
        .find(|policy| policy.name() == name)
        .ok_or_else(|| denied("unknown policy"))?;
    if !policy.keys().iter().any(|key| token.is_signed_by(key)) {
        return Err(denied("token signed by another key"));
    }
    if !policy.grants(right) {
        return Err(denied("policy does not grant this"));
    }
    Ok(())
}

/// A device's own key is good for the device's modules, and for nothing else (iot-identity-service calls so).
fn check_device(hub: &Hub, token: &Token, segments: &[&str]) -> Result<(), Refused> {
    let &["devices", device, "modules", ..] = segments else {
        return Err(denied("token names no policy"));
    };
    // The whole hub is no device's to sign for.
    if token.covers(&hub.hostname, &[]) {
        return Err(denied("token is for another resource"));
    }
    let identity = hub.registry.find(&IdentityKey::device(device));
    let identity = identity.ok_or_else(|| denied("unknown device"))?;
    let state = identity.lock();
    match &state.record.authentication {
        Authentication::Sas { primary, secondary }
            if token.is_signed_by(primary) || token.is_signed_by(secondary) =>
        {
            Ok(())
        }
        _ => Err(denied("token signed by another key")),
    }
}

fn denied(text: &str) -> Refused {
    Problem::new(problem::UNAUTHORIZED_ACCESS, format!("Unauthorized: {text}")).into()
}

/// Says whether a text looks like `2021-04-12` or `2020-05-31-preview`. The service answers more versions than are
/// written down, so the form alone is checked.
fn is_version(text: &str) -> bool {
    let date = text.strip_suffix("-preview").unwrap_or(text);
    let parts: Vec<&str> = date.split('-').collect();
    let is_number = |part: &&str, size: usize| {
        part.len() == size && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    matches!(parts.as_slice(), [year, month, day] if is_number(year, 4) && is_number(month, 2) && is_number(day, 2))
}
