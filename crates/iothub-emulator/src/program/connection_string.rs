//! `connection-string`: what an SDK sample asks for, of a device or module of a running emulator.

use std::io::Write;

use anyhow::{Context, bail};
use iothub_emulator::Facts;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::arguments::ConnectionString;
use super::service::Service;

/// Prints a connection string; what else a client needs to know goes to stderr.
pub(crate) async fn run(order: ConnectionString) -> anyhow::Result<()> {
    let facts = Facts::read(&order.dir)?;
    let string = match &order.device {
        None => facts.service_connection_string.clone(),
        Some(device) => identity(&facts, &order, device).await?,
    };
    writeln!(std::io::stdout(), "{string}").context("cannot write to stdout")?;
    let ca = facts.ca.display();
    let (mqtt, https) = (facts.mqtt_port, facts.https_port);
    let hint = match &order.device {
        Some(_) => format!("MQTT on port {mqtt}, over WebSockets on {https}; trust {ca}"),
        None => format!("REST on port {https}; trust {ca}"),
    };
    // A hint that nobody can read is no failure.
    let _ = writeln!(std::io::stderr(), "{hint}");
    Ok(())
}

async fn identity(facts: &Facts, order: &ConnectionString, device: &str) -> anyhow::Result<String> {
    let service = Service::new(facts)?;
    let mut path = format!("/devices/{}", utf8_percent_encode(device, NON_ALPHANUMERIC));
    let mut found = find(&service, &path, order.create, device).await?;
    let mut string = format!("HostName={};DeviceId={device}", facts.hostname);
    if let Some(module) = &order.module {
        path = format!("{path}/modules/{}", utf8_percent_encode(module, NON_ALPHANUMERIC));
        found = find(&service, &path, order.create, &format!("{device}/{module}")).await?;
        string = format!("{string};ModuleId={module}");
    }
    let name = if order.secondary { "secondaryKey" } else { "primaryKey" };
    let key = found.pointer(&format!("/authentication/symmetricKey/{name}"));
    Ok(match key.and_then(Value::as_str) {
        Some(key) => format!("{string};SharedAccessKey={key}"),
        None => format!("{string};x509=true"),
    })
}

/// Reads an identity, made first if that was asked for.
async fn find(
    service: &Service<'_>,
    path: &str,
    may_create: bool,
    name: &str,
) -> anyhow::Result<Value> {
    let (status, body) = service.call("GET", path, None).await?;
    let (status, body) = match (status, may_create) {
        (404, true) => service.call("PUT", path, Some(&json!({}))).await?,
        (404, false) => bail!("`{name}` is unknown to the hub: add --create to make it"),
        _ => (status, body),
    };
    match status {
        200 => Ok(body),
        // What is asked of a module of a disabled device is refused, not answered.
        401 => bail!("the hub refuses `{name}`: is its device disabled?"),
        _ => {
            let text = body.get("message").or(body.get("Message")).and_then(Value::as_str);
            let text = text.unwrap_or_default();
            bail!("the hub answered {status} for `{name}`: {text}")
        }
    }
}
