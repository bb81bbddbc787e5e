//! What the stories are told with: a hub of one's own, its REST and control API, certificates, an MQTT client.

mod certificates;
mod client;
mod events;
mod http;
mod websocket;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use iothub_emulator::{Config, Emulator, Running};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

pub(crate) use certificates::{Authority, Credential};
pub(crate) use client::{Client, Login};
pub(crate) use events::Events;
pub(crate) use http::{Answer, Https};
pub(crate) use websocket::{Framing, PATH, Socket};

/// How long a test waits for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The api-version of all calls.
pub(crate) const VERSION: &str = "2021-04-12";

/// A hub under test with its REST client.
pub(crate) struct Hub {
    pub(crate) running: Running,
    pub(crate) https: Https,
}

impl Hub {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let running = Emulator::start(config).await.expect("the emulator starts");
        Self::of(running)
    }

    /// Tells stories about an emulator that serves already.
    pub(crate) fn of(running: Running) -> Self {
        let address = (running.facts().listen, running.https_port()).into();
        let https = Https::new(address, &std::fs::read(running.ca()).expect("the CA"));
        Self { running, https }
    }

    /// The emulator's own CA, for signing module certificates.
    pub(crate) fn authority(&self) -> Authority {
        Authority::load(self.running.ca(), &self.running.ca().with_file_name("ca.key"))
    }

    pub(crate) async fn service(&self, method: &str, path: &str, body: Value) -> Answer {
        self.service_if(method, path, body, None).await
    }

    pub(crate) async fn service_if(
        &self,
        method: &str,
        path: &str,
        body: Value,
        if_match: Option<&str>,
    ) -> Answer {
        let token = service_token(self.running.connection_string(), now() + 3600);
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{joint}api-version={VERSION}");
        let mut headers = vec![("authorization", token.as_str())];
        headers.extend(if_match.map(|etag| ("if-match", etag)));
        self.https.call(method, &path, &headers, body.to_string()).await
    }

    /// Makes device `gw` and a module on it; gives the module's identity.
    pub(crate) async fn module(&self, module: &str, authentication: Value) -> Value {
        let device = self.service("PUT", "/devices/gw", json!({"deviceId": "gw"})).await;
        assert!(matches!(device.status, 200 | 409), "{device:?}");
        let body = json!({"deviceId": "gw", "moduleId": module, "authentication": authentication});
        let made = self.service("PUT", &format!("/devices/gw/modules/{module}"), body).await;
        assert_eq!(made.status, 200, "{made:?}");
        made.body
    }

    /// Makes a module that logs in by token, and gives its login.
    pub(crate) async fn token_module(&self, module: &str) -> Login {
        let identity = self.module(module, Value::Null).await;
        let key = identity["authentication"]["symmetricKey"]["primaryKey"]
            .as_str()
            .expect("a key")
            .to_owned();
        Login::module("gw", module).with_token(&module_token(&key, "gw", module, now() + 3600))
    }

    /// Logs a new module in by token.
    pub(crate) async fn connected(&self, module: &str) -> Client {
        let login = self.token_module(module).await;
        self.connect(&login).await.expect("admitted")
    }

    pub(crate) async fn connect(&self, login: &Login) -> Result<Client, u8> {
        Client::connect(self.running.mqtt_port(), login).await
    }

    pub(crate) async fn control(&self, method: &str, path: &str, body: Value) -> Answer {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        self.https.call(method, &format!("/emulator/v1/{path}"), &[], body).await
    }

    pub(crate) async fn fault(&self, order: Value) -> Value {
        let answer = self.control("POST", "faults", order).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    pub(crate) async fn patch_desired(&self, module: &str, desired: Value) -> Value {
        let body = json!({"properties": {"desired": desired}});
        let answer = self.service("PATCH", &format!("/twins/gw/modules/{module}"), body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    pub(crate) async fn twin(&self, module: &str) -> Value {
        let answer = self.service("GET", &format!("/twins/gw/modules/{module}"), Value::Null).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    pub(crate) async fn stats(&self) -> Value {
        self.control("GET", "stats", Value::Null).await.body
    }

    pub(crate) async fn events(&self) -> Events {
        self.https.events().await
    }
}

/// Waits until `check` says yes.
pub(crate) async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut check: F) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !check().await {
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        // Polls: `check`, until PATIENCE is over.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Letters that stay as they are in URLs.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Makes a token by the book, with none of the emulator's code.
pub(crate) fn token(resource: &str, key: &str, expiry: u64, policy: Option<&str>) -> String {
    let resource = utf8_percent_encode(resource, PLAIN).to_string();
    let key = PKey::hmac(&STANDARD.decode(key).expect("base64")).expect("a key");
    let mut signer = Signer::new(MessageDigest::sha256(), &key).expect("a signer");
    signer.update(format!("{resource}\n{expiry}").as_bytes()).expect("signed");
    let signature = STANDARD.encode(signer.sign_to_vec().expect("signed"));
    let signature = utf8_percent_encode(&signature, PLAIN);
    let policy = policy.map(|policy| format!("&skn={policy}")).unwrap_or_default();
    format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}{policy}")
}

pub(crate) fn module_token(key: &str, device: &str, module: &str, expiry: u64) -> String {
    token(&format!("localhost/devices/{device}/modules/{module}"), key, expiry, None)
}

/// Makes a token of the policy in a connection string.
pub(crate) fn service_token(connection_string: &str, expiry: u64) -> String {
    let part = |name: &str| {
        let mut parts = connection_string.split(';').filter_map(|part| part.split_once('='));
        parts.find(|(found, _)| *found == name).expect("a part").1
    };
    token(part("HostName"), part("SharedAccessKey"), expiry, Some(part("SharedAccessKeyName")))
}
