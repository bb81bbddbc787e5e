//! What a case works with: a hub, a device of its own that is gone afterwards, clients.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, header};
use iothub_emulator::{Config, Emulator, Rules, Running};
use modtwin_testkit::dialer::{Dialer, Shown, Trust};
use modtwin_testkit::https::{Https, Reply};
use modtwin_testkit::mqtt::{Client, Login};
use serde_json::{Value, json};

use crate::events::Events;
use crate::signing::{encoded, now, policy_token, token};
use crate::target::{Place, Target, connection_string};

/// The version that the documents and the service SDKs name.
pub(crate) const API_VERSION: &str = "2021-04-12";

/// Tells the devices of one run apart.
static DEVICES: AtomicU32 = AtomicU32::new(0);

/// A hub and a device on it.
pub(crate) struct World {
    /// Where the hub is.
    pub(crate) place: Place,
    /// The device that is the case's own, with recognisable name.
    pub(crate) device: String,
    /// Further devices that are gone afterwards.
    others: Vec<String>,
    https: Https,
    emulator: Option<Running>,
}

/// A module with symmetric keys.
#[derive(Debug, Clone)]
pub(crate) struct Module {
    /// The module's id.
    pub(crate) id: String,
    /// What the hub said when it was created.
    pub(crate) identity: Value,
}

impl Module {
    /// The primary key.
    pub(crate) fn key(&self) -> anyhow::Result<&str> {
        self.key_named("primaryKey")
    }

    /// The key of that name.
    pub(crate) fn key_named(&self, name: &str) -> anyhow::Result<&str> {
        self.identity["authentication"]["symmetricKey"][name]
            .as_str()
            .with_context(|| format!("expected `{name}` in {}", self.identity))
    }
}

impl World {
    /// Starts an emulator, or takes the real hub, and creates the case's device.
    pub(crate) async fn new(target: &Target, rules: fn(&mut Rules)) -> anyhow::Result<Self> {
        let (place, emulator) = match target {
            Target::Real(place) => (place.clone(), None),
            Target::Emulator => {
                let mut config = Config::default();
                rules(&mut config.rules);
                let running = Emulator::start(config).await.context("no emulator")?;
                (place_of(&running)?, Some(running))
            }
        };
        let number = DEVICES.fetch_add(1, Ordering::Relaxed);
        let device = format!("modtwin-conformance-{}-{}-{number}", now(), std::process::id());
        let dialer = Dialer::new(place.https, &place.host, &place.trust, None)?;
        let mut world =
            Self { https: Https::new(dialer), place, device, others: Vec::new(), emulator };
        world.must("PUT", &world.device_path(), json!({"deviceId": world.device})).await?;
        Ok(world)
    }

    /// A second user of the same hub and device, on a connection of its own.
    pub(crate) fn beside(world: &Self) -> anyhow::Result<Self> {
        let place = world.place.clone();
        let dialer = Dialer::new(place.https, &place.host, &place.trust, None)?;
        Ok(Self {
            https: Https::new(dialer),
            place,
            device: world.device.clone(),
            others: Vec::new(),
            emulator: None,
        })
    }

    /// Says whether the hub is a real one.
    pub(crate) fn is_real(&self) -> bool {
        self.emulator.is_none()
    }

    /// Deletes what was created, as far as it is still there, and ends the emulator.
    pub(crate) async fn clean_up(mut self) {
        if let Some(emulator) = self.emulator.take() {
            // Its temporary folder takes everything along.
            return emulator.shutdown().await;
        }
        let mut devices = std::mem::take(&mut self.others);
        devices.push(self.device.clone());
        for device in devices {
            let path = format!("/devices/{}", encoded(&device));
            let any = [("if-match", "*")];
            let _may_be_gone = self.call("DELETE", &path, Value::Null, &any).await;
        }
    }

    /// `/devices/{d}` of the own device.
    pub(crate) fn device_path(&self) -> String {
        format!("/devices/{}", encoded(&self.device))
    }

    /// `/devices/{d}/modules/{m}` on the own device.
    pub(crate) fn module_path(&self, module: &str) -> String {
        format!("{}/modules/{}", self.device_path(), encoded(module))
    }

    /// `/twins/{d}/modules/{m}` on the own device.
    pub(crate) fn twin_path(&self, module: &str) -> String {
        format!("/twins/{}/modules/{}", encoded(&self.device), encoded(module))
    }

    /// The device id of a further device, which the case may create.
    pub(crate) fn another_device(&mut self, suffix: &str) -> String {
        let device = format!("{}{suffix}", self.device);
        self.others.push(device.clone());
        device
    }

    /// A token of the owner's policy.
    pub(crate) fn owner_token(&self) -> anyhow::Result<String> {
        let Place { policy, key, host, .. } = &self.place;
        policy_token(policy, key, host, now() + 3600)
    }

    /// Makes a call of the service API with the owner's token.
    pub(crate) async fn call(
        &mut self,
        method: &str,
        path: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Reply> {
        let token = self.owner_token()?;
        self.call_as(&token, (method, path), body, headers).await
    }

    /// Makes a call with any token. A query in `path` has the api-version, else it is put in.
    pub(crate) async fn call_as(
        &mut self,
        token: &str,
        (method, path): (&str, &str),
        body: Value,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Reply> {
        let target = match path.contains("api-version=") {
            true => path.to_owned(),
            false if path.contains('?') => format!("{path}&api-version={API_VERSION}"),
            false => format!("{path}?api-version={API_VERSION}"),
        };
        let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes())?)
            .uri(target)
            .header(header::CONTENT_TYPE, "application/json");
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.https.exchange(request.body(Full::new(bytes))?).await
    }

    /// Makes a call that must succeed.
    pub(crate) async fn must(
        &mut self,
        method: &str,
        path: &str,
        body: Value,
    ) -> anyhow::Result<Value> {
        let any = [("if-match", "*")];
        let headers = if method == "DELETE" { &any[..] } else { &[] };
        let reply = self.call(method, path, body, headers).await?;
        if !(200..300).contains(&reply.status) {
            let words = String::from_utf8_lossy(&reply.body);
            bail!("{method} {path}: expected success, found {}: {words}", reply.status);
        }
        Ok(reply.json())
    }

    /// Creates a module with keys that the hub makes.
    pub(crate) async fn module(&mut self, id: &str) -> anyhow::Result<Module> {
        self.module_by(id, json!({"type": "sas"})).await
    }

    /// Creates a module with that authentication.
    pub(crate) async fn module_by(
        &mut self,
        id: &str,
        authentication: Value,
    ) -> anyhow::Result<Module> {
        let path = self.module_path(id);
        let body =
            json!({"deviceId": self.device, "moduleId": id, "authentication": authentication});
        let identity = self.must("PUT", &path, body).await?;
        Ok(Module { id: id.to_owned(), identity })
    }

    /// Merges into a module's desired properties and gives the twin.
    pub(crate) async fn desire(&mut self, module: &str, desired: Value) -> anyhow::Result<Value> {
        let path = self.twin_path(module);
        self.must("PATCH", &path, json!({"properties": {"desired": desired}})).await
    }

    /// The user name of a module on the own device.
    pub(crate) fn user_name(&self, module: &str) -> String {
        format!("{}/{}/{module}/?api-version={API_VERSION}", self.place.host, self.device)
    }

    /// The resource that a module's token names.
    pub(crate) fn resource(&self, module: &str) -> String {
        format!("{}/devices/{}/modules/{module}", self.place.host, self.device)
    }

    /// A module's login with a token of an hour.
    pub(crate) fn login(&self, module: &Module) -> anyhow::Result<Login> {
        let token = token(module.key()?, &self.resource(&module.id), now() + 3600)?;
        Ok(self.login_with(&module.id, Some(&token)))
    }

    /// A module's login with any password, or none.
    pub(crate) fn login_with(&self, module: &str, password: Option<&str>) -> Login {
        let client_id = format!("{}/{module}", self.device);
        Login::new(&client_id, &self.user_name(module), password)
    }

    /// A dialer of the MQTT port.
    pub(crate) fn dialer(&self, shown: Option<&Shown>) -> anyhow::Result<Dialer> {
        Dialer::new(self.place.mqtt, &self.place.host, &self.place.trust, shown)
    }

    /// Connects TLS and nothing more.
    pub(crate) async fn dial(&self) -> anyhow::Result<Client> {
        Client::dial(&self.dialer(None)?).await
    }

    /// Tries a login and gives the client with CONNACK's code.
    pub(crate) async fn try_login(
        &self,
        login: &Login,
        shown: Option<&Shown>,
    ) -> anyhow::Result<(Client, u8)> {
        let mut client = Client::dial(&self.dialer(shown)?).await?;
        let code = client.log_in(login).await?;
        Ok((client, code))
    }

    /// Tries a login, gives CONNACK's code, and makes sure that a refusal ends the link.
    pub(crate) async fn code(&self, login: &Login, shown: Option<&Shown>) -> anyhow::Result<u8> {
        let (mut client, code) = self.try_login(login, shown).await?;
        if code != 0 {
            client.closed().await?;
        }
        Ok(code)
    }

    /// Connects; the hub must accept.
    pub(crate) async fn enter(&self, login: &Login) -> anyhow::Result<Client> {
        match self.try_login(login, None).await? {
            (client, 0) => Ok(client),
            (_, code) => bail!("expected CONNACK 0, found {code}"),
        }
    }

    /// Creates a module with keys and connects it.
    pub(crate) async fn connected(&mut self, id: &str) -> anyhow::Result<(Client, Module)> {
        let module = self.module(id).await?;
        let client = self.enter(&self.login(&module)?).await?;
        Ok((client, module))
    }

    /// Creates a module with keys, connects it and subscribes for twins.
    pub(crate) async fn listening(&mut self, id: &str) -> anyhow::Result<(Client, Module)> {
        let (mut client, module) = self.connected(id).await?;
        client.subscribe_twin().await?;
        Ok((client, module))
    }

    /// Makes a call of the emulator's control API, which must succeed.
    pub(crate) async fn control(
        &mut self,
        method: &str,
        call: &str,
        body: Value,
    ) -> anyhow::Result<Value> {
        self.must(method, &format!("/emulator/v1/{call}"), body).await
    }

    /// Asks the emulator for a fault at one module of the own device.
    pub(crate) async fn fault(&mut self, module: &str, fault: Value) -> anyhow::Result<()> {
        let mut fault = fault;
        fault["device"] = json!(self.device);
        fault["module"] = json!(module);
        self.control("POST", "faults", fault).await.map(|_fault| ())
    }

    /// Registers an authority with the emulator.
    pub(crate) async fn trust(&mut self, pem: Vec<u8>) -> anyhow::Result<()> {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/emulator/v1/cas")
            .body(Full::new(Bytes::from(pem)))?;
        let reply = self.https.exchange(request).await?;
        if reply.status != 200 {
            bail!("expected the authority to be taken, found {reply:?}");
        }
        Ok(())
    }

    /// Listens to the emulator's events.
    pub(crate) async fn events(&mut self) -> anyhow::Result<Events> {
        let request = Request::get("/emulator/v1/events")
            .header(header::AUTHORIZATION, self.owner_token()?)
            .body(Full::default())?;
        Events::listen(self.https.stream(request).await?.into_body()).await
    }

    /// The keys of the emulator's policies, as its folder has them: name, primary key.
    pub(crate) fn policies(&self) -> anyhow::Result<Vec<(String, String)>> {
        let emulator = self.emulator.as_ref().context("no emulator")?;
        let folder = emulator.ca().parent().context("no folder")?;
        let text = std::fs::read(folder.join("policies.json")).context("no policies")?;
        let policies: Value = serde_json::from_slice(&text).context("no JSON")?;
        let named = policies.as_array().into_iter().flatten().filter_map(|policy| {
            Some((policy["name"].as_str()?.to_owned(), policy["primary"].as_str()?.to_owned()))
        });
        Ok(named.collect())
    }
}

fn place_of(running: &Running) -> anyhow::Result<Place> {
    let facts = running.facts();
    let [host, policy, key] = connection_string(running.connection_string())?;
    Ok(Place {
        host,
        mqtt: SocketAddr::new(facts.listen, running.mqtt_port()),
        https: SocketAddr::new(facts.listen, running.https_port()),
        trust: Trust::File(running.ca().to_owned()),
        policy,
        key,
    })
}

/// Fails unless an answer has that status and error code (header `iothub-errorcode`).
pub(crate) fn refused(reply: &Reply, status: u16, code: &str) -> anyhow::Result<()> {
    let found = (reply.status, reply.header("iothub-errorcode"));
    if found == (status, code) {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&reply.body);
    bail!("expected {status} {code}, found {} {}: {words}", found.0, found.1)
}
