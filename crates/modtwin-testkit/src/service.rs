//! The back-end's side of the hub: its service REST API over HTTPS, with a shared access token, as
//! any back-end would use it.
//!
//! Owns one connection, kept open, so that what the story times is the hub and not a handshake.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Method, Request, header};
use modtwin_core::ids::{DeviceId, ModuleId};
use modtwin_credentials::{ConnectionString, SasToken, Secret, SharedKey};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::dialer::{Dialer, Trust};
use crate::https::Https;

/// The version that the service SDKs of 2021 and later send.
const API_VERSION: &str = "2021-04-12";

/// How long the token is good: longer than anybody leaves a demo running.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A client of the hub's service side.
#[derive(Debug)]
pub struct Service {
    https: Https,
    token: Secret,
}

impl Service {
    /// A client of the hub at `address` that trusts the authorities in `ca` alone; nothing is
    /// connected yet.
    ///
    /// # Errors
    /// The connection string or the authorities can't be read.
    pub fn new(address: SocketAddr, connection_string: &str, ca: &Path) -> anyhow::Result<Self> {
        let parsed = ConnectionString::parse(connection_string)
            .context("cannot read the service connection string")?;
        let (host, policy, key) =
            parsed.service().context("cannot use the service connection string")?;
        let expires = SystemTime::now() + TOKEN_LIFETIME;
        let token = SasToken::sign_service(host, policy, key, expires)
            .context("cannot sign a service token")?
            .token;
        let dialer = Dialer::new(address, host, &Trust::File(ca.to_owned()), None)?;
        Ok(Self { https: Https::new(dialer), token })
    }

    /// Creates a device with keys that the hub makes up.
    ///
    /// # Errors
    /// The hub can't be reached or refuses.
    pub async fn create_device(&mut self, device: &str) -> anyhow::Result<()> {
        let body =
            json!({"deviceId": device, "status": "enabled", "authentication": {"type": "sas"}});
        self.call(Method::PUT, &format!("/devices/{}", encoded(device)), Some(&body))
            .await
            .map(|_identity| ())
    }

    /// Creates a module whose certificates come from an authority that the hub knows.
    ///
    /// # Errors
    /// The hub can't be reached or refuses.
    pub async fn create_module_by_authority(
        &mut self,
        device: &str,
        module: &str,
    ) -> anyhow::Result<()> {
        self.create_module_with(device, module, &json!({"type": "certificateAuthority"})).await
    }

    /// Creates a module with symmetric keys that the hub makes up; returns the primary one.
    ///
    /// # Errors
    /// The hub can't be reached or refuses.
    pub async fn create_module_by_key(
        &mut self,
        device: &str,
        module: &str,
    ) -> anyhow::Result<String> {
        let path = module_path(device, module);
        let body =
            json!({"deviceId": device, "moduleId": module, "authentication": {"type": "sas"}});
        let identity = self.call(Method::PUT, &path, Some(&body)).await?;
        let key =
            identity.pointer("/authentication/symmetricKey/primaryKey").and_then(Value::as_str);
        key.map(str::to_owned).context("the hub made no key")
    }

    /// Creates a module whose certificate is known by its thumbprint (SHA-256, hexadecimal).
    ///
    /// # Errors
    /// The hub can't be reached or refuses.
    pub async fn create_module(
        &mut self,
        device: &str,
        module: &str,
        thumbprint: &str,
    ) -> anyhow::Result<()> {
        let authentication = json!({
            "type": "selfSigned",
            "x509Thumbprint": {"primaryThumbprint": thumbprint, "secondaryThumbprint": thumbprint},
        });
        self.create_module_with(device, module, &authentication).await
    }

    async fn create_module_with(
        &mut self,
        device: &str,
        module: &str,
        authentication: &Value,
    ) -> anyhow::Result<()> {
        let body =
            json!({"deviceId": device, "moduleId": module, "authentication": authentication});
        self.call(Method::PUT, &module_path(device, module), Some(&body)).await.map(|_identity| ())
    }

    /// Deletes a module with its twin.
    ///
    /// # Errors
    /// The hub can't be reached or refuses.
    pub async fn delete_module(&mut self, device: &str, module: &str) -> anyhow::Result<()> {
        self.call(Method::DELETE, &module_path(device, module), None).await.map(|_nothing| ())
    }

    /// Asks the emulator for a fault.
    ///
    /// # Errors
    /// The hub can't be reached or refuses.
    pub async fn fault(&mut self, fault: Value) -> anyhow::Result<Value> {
        self.call(Method::POST, "/emulator/v1/faults", Some(&fault)).await
    }

    /// Takes all faults back.
    ///
    /// # Errors
    /// The hub can't be reached or refuses.
    pub async fn clear_faults(&mut self) -> anyhow::Result<()> {
        self.call(Method::DELETE, "/emulator/v1/faults", None).await.map(|_faults| ())
    }

    /// The emulator's counters.
    ///
    /// # Errors
    /// The hub can't be reached or refuses.
    pub async fn stats(&mut self) -> anyhow::Result<Value> {
        self.call(Method::GET, "/emulator/v1/stats", None).await
    }

    /// Registers an authority (PEM) whose certificates modules may use.
    ///
    /// # Errors
    /// The hub can't be reached or refuses.
    pub async fn trust_authority(&mut self, pem: &str) -> anyhow::Result<()> {
        let bytes = Bytes::copy_from_slice(pem.as_bytes());
        let what = "POST /emulator/v1/cas";
        self.exchange(Method::POST, "/emulator/v1/cas", "application/x-pem-file", bytes)
            .await
            .with_context(|| format!("{what} at the hub failed"))
            .map(|_answer| ())
    }

    /// Reads a module's twin.
    ///
    /// # Errors
    /// The hub can't be reached or refuses.
    pub async fn twin(&mut self, device: &str, module: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, &twin_path(device, module), None).await
    }

    /// Merges `desired` into a module's desired properties; returns their new version.
    ///
    /// # Errors
    /// The hub can't be reached or refuses.
    pub async fn change_desired(
        &mut self,
        device: &str,
        module: &str,
        desired: Value,
    ) -> anyhow::Result<u64> {
        let body = json!({"properties": {"desired": desired}});
        let twin = self.call(Method::PATCH, &twin_path(device, module), Some(&body)).await?;
        let version = twin.pointer("/properties/desired/$version").and_then(Value::as_u64);
        version.with_context(|| format!("the hub's twin of {module} has no desired version"))
    }

    /// Makes any call of the service or control API; an empty answer is null.
    ///
    /// # Errors
    /// The hub can't be reached, does not answer in time, or refuses.
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let what = format!("{method} {path}");
        let bytes = match body {
            Some(body) => {
                Bytes::from(serde_json::to_vec(body).context("cannot write the request")?)
            }
            None => Bytes::new(),
        };
        tokio::time::timeout(ANSWER_LIMIT, self.exchange(method, path, "application/json", bytes))
            .await
            .with_context(|| format!("{what}: no answer within {} s", ANSWER_LIMIT.as_secs()))?
            .with_context(|| format!("{what} at the hub failed"))
    }

    /// Listens to the hub's events, one JSON object a line, on a connection of its own.
    ///
    /// # Errors
    /// The hub can't be reached or refuses.
    pub async fn events(&self) -> anyhow::Result<Incoming> {
        let request = Request::get("/emulator/v1/events")
            .header(header::AUTHORIZATION, self.token.expose())
            .body(Full::default())
            .context("cannot build the request")?;
        let answer = self.https.stream(request).await?;
        let status = answer.status();
        if !status.is_success() {
            bail!("expected the hub's events, found {status}");
        }
        Ok(answer.into_body())
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> anyhow::Result<Value> {
        let mut request = Request::builder();
        if method == Method::DELETE {
            // Whatever it is by now; the hub asks for this.
            request = request.header(header::IF_MATCH, "*");
        }
        let request = request
            .method(method)
            .uri(format!("{path}?api-version={API_VERSION}"))
            .header(header::AUTHORIZATION, self.token.expose());
        let request = request
            .header(header::CONTENT_TYPE, content_type)
            .body(Full::new(body))
            .context("cannot build the request")?;
        let reply = self.https.exchange(request).await?;
        if !(200..300).contains(&reply.status) {
            let words = String::from_utf8_lossy(&reply.body);
            bail!("expected success, found {}: {words}", reply.status);
        }
        if reply.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&reply.body).context("the answer is no JSON")
    }
}

/// A token of a day for a module with a symmetric key (base64).
///
/// # Errors
/// An id is none, or the key is no base64.
pub fn module_token(
    host: &str,
    (device, module): (&str, &str),
    key: &str,
) -> anyhow::Result<String> {
    let key = SharedKey::parse(key).context("the hub made no usable key")?;
    let device = DeviceId::new(device).context("no device id")?;
    let module = ModuleId::new(module).context("no module id")?;
    let expires = SystemTime::now() + TOKEN_LIFETIME;
    let signed = SasToken::sign(host, &device, &module, &key, expires);
    Ok(signed.context("cannot sign a module's token")?.token.expose().to_owned())
}

fn module_path(device: &str, module: &str) -> String {
    format!("/devices/{}/modules/{}", encoded(device), encoded(module))
}

fn twin_path(device: &str, module: &str) -> String {
    format!("/twins/{}/modules/{}", encoded(device), encoded(module))
}

fn encoded(id: &str) -> String {
    utf8_percent_encode(id, NON_ALPHANUMERIC).to_string()
}
