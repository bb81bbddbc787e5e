//! Judging a CONNECT: client id against user name, token or certificate ("Communicate with an IoT hub using the MQTT
//! protocol", "Authenticate identities with X.509 certificates"). Sends nothing itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use percent_encoding::percent_decode_str;

use crate::authentication::Authentication;
use crate::certificate::ClientChain;
use crate::fault::Kind;
use crate::hub::Hub;
use crate::identity::{Identity, IdentityKey, Record};
use crate::packet::Connect;
use crate::policy::Right;
use crate::sas::Token;
use crate::topic;

/// Holds what is known of an admitted client.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) identity: Arc<Identity>,
    /// Whether the user name carried an api-version; without, twin requests fail (andriyadi/AzureIoTHubMQTTClient#5).
    pub(crate) has_api_version: bool,
    pub(crate) model_id: String,
    /// The moment, in Unix seconds, at which the token ends the session.
    pub(crate) ends: Option<u64>,
    pub(crate) credential: String,
}

/// Holds why a client is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: u8,
    pub(crate) reason: String,
}

impl Refusal {
    /// The hub knows one code for all refusals (azure-iot-sdk-c, doc/connection_and_messaging_reliability.md).
    pub(crate) fn unauthorized(reason: impl Into<String>) -> Self {
        Self { code: 5, reason: reason.into() }
    }
}

/// Holds a user name's parts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UserName {
    pub(crate) host: String,
    pub(crate) key: IdentityKey,
    pub(crate) has_api_version: bool,
    pub(crate) model_id: String,
}

impl UserName {
    /// Reads `{h}/{d}[/{m}]/?api-version=…[&…]`, the older form without `?`, and the form without any version.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (path, query) = match text.split_once("/?") {
            Some(parts) => parts,
            None => match text.rsplit_once('/') {
                Some((path, query)) if query.is_empty() || is_query(query) => (path, query),
                _ => (text, ""),
            },
        };
        let mut parts = path.split('/');
        let (host, device, module) = (parts.next()?, parts.next()?, parts.next());
        if parts.next().is_some() || host.is_empty() || device.is_empty() || module == Some("") {
            return None;
        }
        let member = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
        };
        let model_id =
            percent_decode_str(member("model-id").unwrap_or_default()).decode_utf8().ok()?;
        Some(Self {
            host: host.to_owned(),
            key: IdentityKey { device: device.to_owned(), module: module.map(ToOwned::to_owned) },
            has_api_version: member("api-version").is_some_and(|version| !version.is_empty()),
            model_id: model_id.into_owned(),
        })
    }
}

/// Says whether the last part of a user name without `?` is its query: ids may hold `=` too.
fn is_query(text: &str) -> bool {
    text.split('&').filter_map(|pair| pair.split_once('=')).any(|(name, _)| {
        matches!(name, "api-version" | "DeviceClientType" | "model-id" | "auth-chain")
    })
}

/// Judges a CONNECT whose user name has been read.
pub(crate) fn judge(
    hub: &Hub,
    connect: &Connect,
    user: &UserName,
    chain: Option<&ClientChain>,
) -> Result<Admission, Refusal> {
    let key = &user.key;
    if !user.host.eq_ignore_ascii_case(&hub.hostname) {
        return Err(Refusal::unauthorized(format!(
            "user name: expected host {}, found {}",
            hub.hostname, user.host
        )));
    }
    if connect.client_id != key.to_string() {
        return Err(Refusal::unauthorized(format!(
            "client id: expected {key}, found {}",
            connect.client_id
        )));
    }
    if connect
        .will
        .as_ref()
        .is_some_and(|will| !topic::is_telemetry(&will.topic, key) || will.qos > 1)
    {
        return Err(Refusal::unauthorized("will on a topic or with a QoS the hub does not take"));
    }
    let identity =
        hub.registry.find(key).ok_or_else(|| Refusal::unauthorized("unknown identity"))?;
    let record = identity.lock().record.clone();
    let judged = authenticate(hub, connect, &record, chain);
    if judged.is_err() {
        identity.counters.refusals.fetch_add(1, Ordering::Relaxed);
    }
    let (ends, credential) = judged?;
    if !hub.is_enabled(&key.device) {
        return Err(Refusal::unauthorized("device disabled"));
    }
    for fault in
        hub.faults.in_force().iter().filter(|fault| fault.kind == Kind::Expire && fault.covers(key))
    {
        if fault.has_expired(key, &credential) && fault.strike() {
            hub.tell_fault(fault, Some(key));
            return Err(Refusal::unauthorized("credential expired by a fault"));
        }
    }
    let (has_api_version, model_id) = (user.has_api_version, user.model_id.clone());
    Ok(Admission { identity, has_api_version, model_id, ends, credential })
}

/// Gives the end of the session, if it has one, and the credential's fingerprint.
fn authenticate(
    hub: &Hub,
    connect: &Connect,
    record: &Record,
    chain: Option<&ClientChain>,
) -> Result<(Option<u64>, String), Refusal> {
    let password = connect
        .password
        .as_ref()
        .map(|password| &password.0)
        .filter(|password| !password.is_empty());
    if let Some(password) = password {
        let text = std::str::from_utf8(password).ok();
        let token = text
            .and_then(Token::parse)
            .ok_or_else(|| Refusal::unauthorized("password is no SAS token"))?;
        let ends = check_token(hub, &token, record)?;
        return Ok((Some(ends), openssl::base64::encode_block(&openssl::sha::sha256(password))));
    }
    let chain = match (&record.authentication, chain) {
        (Authentication::Sas { .. }, _) => {
            return Err(Refusal::unauthorized("no token in the password"));
        }
        (_, None) => return Err(Refusal::unauthorized("no client certificate in the handshake")),
        (_, Some(chain)) => chain,
    };
    check_certificate(hub, chain, record).map_err(Refusal::unauthorized)?;
    Ok((None, chain.sha256()))
}

fn check_token(hub: &Hub, token: &Token, record: &Record) -> Result<u64, Refusal> {
    if !token.covers(&hub.hostname, &record.key.path()) {
        return Err(Refusal::unauthorized("token is for another resource"));
    }
    let is_signed = match (&token.policy, &record.authentication) {
        (Some(name), _) => {
            let policy = hub.policies.iter().find(|policy| policy.name() == name.as_str());
            let policy = policy.filter(|policy| policy.grants(Right::DeviceConnect));
            policy.is_some_and(|policy| policy.keys().iter().any(|key| token.is_signed_by(key)))
        }
        (None, Authentication::Sas { primary, secondary }) => {
            token.is_signed_by(primary) || token.is_signed_by(secondary)
        }
        (None, _) => return Err(Refusal::unauthorized("identity does not authenticate by token")),
    };
    if !is_signed {
        return Err(Refusal::unauthorized("token signed by another key"));
    }
    let now = hub.clock.now().unix_seconds();
    let tolerated = token.expiry.saturating_add(hub.rules.clock_skew.as_secs());
    if tolerated <= now {
        return Err(Refusal::unauthorized(format!(
            "token expired at {}, the hub's clock says {now}",
            token.expiry
        )));
    }
    // A token that passes only by the tolerance of clocks lives as long as the tolerance.
    let ends = if token.expiry > now { token.expiry } else { tolerated };
    Ok(ends.saturating_add(hub.rules.token_grace.as_secs()))
}

fn check_certificate(hub: &Hub, chain: &ClientChain, record: &Record) -> Result<(), String> {
    let now = hub.clock.now();
    let is_named = match &record.authentication {
        Authentication::SelfSigned { primary, secondary } => {
            if ![primary, secondary]
                .into_iter()
                .flatten()
                .any(|thumbprint| chain.has_thumbprint(thumbprint))
            {
                // The service's own words, as its message 401003 has them.
                return Err(format!(
                    "Thumbprint does not match configuration: Thumbprint: SHA1Hash={}, SHA2Hash={}; \
                     Configuration: PrimaryThumbprint={}, SecondaryThumbprint={}",
                    chain.sha1(),
                    chain.sha256(),
                    primary.as_deref().unwrap_or_default(),
                    secondary.as_deref().unwrap_or_default()
                ));
            }
            chain.check_dates(now)?;
            hub.rules.thumbprint_needs_name && record.key.module.is_some()
        }
        _ => {
            chain.check_chain(&hub.registry.authorities(), now)?;
            true
        }
    };
    let (expected, found) = (record.key.to_string(), chain.common_name());
    if is_named && found.as_deref() != Some(&expected) {
        return Err(format!(
            "common name: expected {expected}, found {}",
            found.unwrap_or_default()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::UserName;
    use crate::identity::IdentityKey;

    fn check(text: &str, key: IdentityKey, has_api_version: bool, model_id: &str) {
        let expected =
            UserName { host: "h".to_owned(), key, has_api_version, model_id: model_id.to_owned() };
        assert_eq!(UserName::parse(text), Some(expected), "{text}");
    }

    #[test]
    fn user_names_are_read_in_all_their_forms() {
        let (device, module) = (IdentityKey::device("d"), IdentityKey::module("d", "m"));
        check("h/d/m/?api-version=2021-04-12&DeviceClientType=py", module.clone(), true, "");
        check("h/d/m/api-version=2018-06-30", module.clone(), true, "");
        check(
            "h/d/m/?api-version=2021-04-12&model-id=dtmi:a:b;1",
            module.clone(),
            true,
            "dtmi:a:b;1",
        );
        check("h/d/m/?model-id=dtmi%3Aa%3Ab%3B1&api-version=1", module.clone(), true, "dtmi:a:b;1");
        check("h/d/m", module.clone(), false, "");
        check("h/d/m/", module, false, "");
        check("h/d/?api-version=2021-04-12", device.clone(), true, "");
        check("h/d", device, false, "");
        check("h/d/a=b", IdentityKey::module("d", "a=b"), false, "");
        check("h/a=b/DeviceClientType=x", IdentityKey::device("a=b"), false, "");
    }

    #[test]
    fn what_is_no_user_name_is_none() {
        for text in
            ["", "h", "h/", "h//m/?api-version=1", "h/d/m/x/?api-version=1", "/d/m/?api-version=1"]
        {
            assert_eq!(UserName::parse(text), None, "{text}");
        }
    }
}
