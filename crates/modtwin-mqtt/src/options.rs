//! What paho is told for one connection.
//!
//! Owns the check of everything that the crate would panic on (a NUL inside a text) and of the
//! files that paho would read without saying which one is missing.

use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use modtwin_core::status::{Fault, Reason};
use modtwin_session::credential::Credential;
use modtwin_session::link::ConnectRequest;
use paho_mqtt::{
    ConnectOptions, ConnectOptionsBuilder, MqttVersion, SslOptions, SslOptionsBuilder,
};

use crate::handle::Identity;
use crate::link::Carrier;
use crate::trust;

/// A checked request.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) identity: Identity,
    pub(crate) trusted_ca: PathBuf,
}

/// Checks the request's texts and files. Reads no file's content.
///
/// # Errors
///
/// A fault with reason `config` that names the text or file.
pub(crate) async fn check(request: &ConnectRequest, carrier: Carrier) -> Result<Checked, Fault> {
    for (what, text) in [
        ("host", &request.host),
        ("client id", &request.client_id),
        ("user name", &request.user_name),
    ] {
        no_nul(what, text)?;
    }
    let trusted_ca = match &request.trusted_ca {
        Some(named) => named.clone(),
        None => trust::system_bundle().map_err(|places| {
            config(format!(
                "no bundle of trusted authorities in {places}: install ca-certificates or name one"
            ))
        })?,
    };
    readable("trusted authorities", &trusted_ca).await?;
    if let Credential::X509 { certificate, private_key, password, .. } = &request.credential {
        readable("certificate", certificate).await?;
        readable("private key", private_key).await?;
        no_nul(
            "private key's password",
            password.as_ref().map_or("", |password| password.expose()),
        )?;
    }
    let identity = Identity {
        server_uri: server_uri(&request.host, request.port, carrier),
        client_id: request.client_id.clone(),
    };
    Ok(Checked { identity, trusted_ca })
}

/// What to hand to paho, for an attempt that may take `remaining`.
///
/// # Errors
///
/// A fault with reason `config` for a path that paho can't take.
pub(crate) fn build(
    request: &ConnectRequest,
    trusted_ca: &Path,
    remaining: Duration,
) -> Result<ConnectOptions, Fault> {
    let mut options = ConnectOptionsBuilder::with_mqtt_version(MqttVersion::V3_1_1);
    options
        // Every official client keeps its session, and a hub may refuse to be asked otherwise. We
        // subscribe anew each time; the client starts clean by being replaced (`handle`).
        .clean_session(false)
        .keep_alive_interval(request.keep_alive)
        // Whole seconds, checked every three: the backstop behind our own time limit.
        .connect_timeout(remaining + Duration::from_secs(1))
        .user_name(request.user_name.as_str())
        .ssl_options(tls(&request.credential, trusted_ca)?);
    if let Credential::Token { token, .. } = &request.credential {
        options.password(token.expose());
    }
    // No `automatic_reconnect`, no proxy: both block every client of the process.
    Ok(options.finalize())
}

fn tls(credential: &Credential, trusted_ca: &Path) -> Result<SslOptions, Fault> {
    let mut tls = SslOptionsBuilder::new();
    tls.enable_server_cert_auth(true)
        .verify(true)
        .disable_default_trust_store(true)
        // paho ignores its own minimum version with OpenSSL 1.1 and later (SSLSocket.c,
        // `SSLSocket_createContext`): suites that only TLS 1.2 knows are what rules out older
        // versions. TLS 1.3 has suites of its own, which stay on.
        .enabled_cipher_suites(TLS12_SUITES);
    tls.trust_store(trusted_ca).map_err(|_| odd_path(trusted_ca))?;
    if let Credential::X509 { certificate, private_key, password, .. } = credential {
        tls.key_store(certificate).map_err(|_| odd_path(certificate))?;
        tls.private_key(private_key).map_err(|_| odd_path(private_key))?;
        // Never none: OpenSSL would ask on the terminal for the password of an encrypted key, with
        // paho's lock held. A key that needs no password never looks at it.
        let password = password
            .as_ref()
            .map(|password| password.expose())
            .filter(|password| !password.is_empty());
        tls.private_key_password(password.unwrap_or(NO_PASSWORD));
    }
    Ok(tls.finalize())
}

/// As paho parses it: an IPv6 address in brackets, the path of WebSockets after the port.
fn server_uri(host: &str, port: u16, carrier: Carrier) -> String {
    let (scheme, path) = match carrier {
        Carrier::Tls => ("ssl", ""),
        Carrier::WebSocket => ("wss", WEBSOCKET_PATH),
    };
    if host.parse::<Ipv6Addr>().is_ok() {
        format!("{scheme}://[{host}]:{port}{path}")
    } else {
        format!("{scheme}://{host}:{port}{path}")
    }
}

fn no_nul(what: &str, text: &str) -> Result<(), Fault> {
    if text.contains('\0') { Err(config(format!("the {what} contains a NUL"))) } else { Ok(()) }
}

async fn readable(what: &str, path: &Path) -> Result<(), Fault> {
    match tokio::fs::File::open(path).await {
        Ok(_) => Ok(()),
        Err(error) => Err(config(format!("cannot read the {what} `{}`: {error}", path.display()))),
    }
}

fn odd_path(path: &Path) -> Fault {
    config(format!("the path `{}` is not UTF-8 or contains a NUL", path.display()))
}

fn config(detail: String) -> Fault {
    Fault::new(Reason::Config, detail)
}

/// What hubs offer for TLS 1.2 ("TLS support in IoT Hub": ECDHE with AES-GCM or AES-CBC and SHA-2),
/// and ChaCha20 for gateways.
const TLS12_SUITES: &str = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES+SHA256:ECDHE+AES+SHA384";
/// Where hubs serve MQTT over WebSockets ("Communicate with an IoT hub using the MQTT protocol").
const WEBSOCKET_PATH: &str = "/$iothub/websocket";
/// Fits no key.
const NO_PASSWORD: &str = "\u{1}";

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use modtwin_core::secret::Secret;
    use modtwin_session::link::Epoch;

    use super::*;

    fn request(host: &str) -> ConnectRequest {
        ConnectRequest {
            epoch: Epoch(1),
            host: host.into(),
            port: 8883,
            trusted_ca: Some("/dev/null".into()),
            client_id: "gw/cam".into(),
            user_name: "hub/gw/cam/?api-version=2021-04-12".into(),
            credential: Credential::Token {
                token: Secret::new("token".into()),
                expires: SystemTime::now(),
            },
            keep_alive: Duration::from_secs(60),
            time_limit: Duration::from_secs(10),
        }
    }

    #[tokio::test]
    async fn addresses_become_uris() {
        for (host, uri) in [
            ("hub.example.test", "ssl://hub.example.test:8883"),
            ("127.0.0.1", "ssl://127.0.0.1:8883"),
            ("::1", "ssl://[::1]:8883"),
        ] {
            let checked = check(&request(host), Carrier::Tls).await.unwrap();
            assert_eq!(checked.identity.server_uri, uri);
        }
        let checked = check(&request("hub.example.test"), Carrier::WebSocket).await.unwrap();
        let uri = "wss://hub.example.test:8883/$iothub/websocket";
        assert_eq!(checked.identity.server_uri, uri);
    }

    #[tokio::test]
    async fn a_nul_is_refused_before_paho_panics_on_it() {
        let mut user = request("hub");
        user.user_name = "a\0b".into();
        for bad in [request("h\0b"), user] {
            assert_eq!(check(&bad, Carrier::Tls).await.unwrap_err().reason, Reason::Config);
        }
    }

    #[tokio::test]
    async fn a_missing_file_is_named() {
        let mut bad = request("hub");
        bad.credential = Credential::X509 {
            certificate: "/nowhere/leaf.pem".into(),
            private_key: "/dev/null".into(),
            password: None,
            expires: SystemTime::now(),
        };
        let fault = check(&bad, Carrier::Tls).await.unwrap_err();
        assert_eq!(fault.reason, Reason::Config);
        assert!(fault.detail.contains("/nowhere/leaf.pem"), "{}", fault.detail);
    }
}
