//! What is to be done: the difference between what is wanted and what the registry has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::super::identity::text;
use super::super::service::{Call, CallError, device_path, modules_path};
use super::pace::Paced;
use super::source::{Gateway, SecretFile, Wanted};
use crate::failure::Failure;
use crate::words::counted;

/// The most that one list of devices has ("Understand the identity registry": 1000).
const LIST_LIMIT: usize = 1000;
/// How many gateways a plan shows one by one.
const SHOWN: usize = 20;

/// What is to be done, gateway by gateway.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    pub(super) gateways: Vec<GatewayPlan>,
}

/// What is to be done for one gateway.
#[derive(Debug, Serialize)]
pub(super) struct GatewayPlan {
    pub(super) device: String,
    /// The device itself is to be made.
    pub(super) create_device: bool,
    /// Modules to be made.
    #[serde(serialize_with = "names")]
    pub(super) create: Vec<Wanted>,
    /// Modules that are there and whose secret is not on this machine yet.
    #[serde(serialize_with = "first_names")]
    pub(super) fetch: Vec<(String, SecretFile)>,
    /// Modules that are there.
    pub(super) there: usize,
    /// What is there and differs; it is left alone.
    pub(super) differs: Vec<String>,
}

fn names<S: serde::Serializer>(wanted: &[Wanted], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(wanted.iter().map(|wanted| &wanted.module))
}

fn first_names<S: serde::Serializer>(
    wanted: &[(String, SecretFile)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(wanted.iter().map(|(module, _)| module))
}

impl Plan {
    /// Asks the registry what it has of all that is wanted.
    pub(super) async fn survey(hub: &mut Paced<'_>, wanted: Vec<Gateway>) -> Result<Self, Failure> {
        let listed = if wanted.len() > 1 { Some(listed(hub).await?) } else { None };
        let mut gateways = Vec::new();
        for gateway in wanted {
            let known = match &listed {
                Some(listed) if listed.devices.contains(&gateway.device) => true,
                Some(listed) if listed.is_complete => false,
                _ => exists(hub, &gateway.device).await?,
            };
            let modules =
                if known { modules(hub, &gateway.device).await? } else { BTreeMap::new() };
            gateways.push(compare(gateway, known, &modules));
        }
        Ok(Self { gateways })
    }

    /// How many calls it takes.
    pub(super) fn calls(&self) -> usize {
        self.gateways.iter().map(GatewayPlan::calls).sum()
    }

    /// Whether nothing is to be done.
    pub(super) fn is_done(&self) -> bool {
        self.calls() == 0
    }

    pub(super) fn differences(&self) -> impl Iterator<Item = String> {
        self.gateways.iter().flat_map(|gateway| {
            let name = |text: &String| format!("{}/{text}", gateway.device);
            gateway.differs.iter().map(name)
        })
    }

    fn sum(&self, count: impl Fn(&GatewayPlan) -> usize) -> usize {
        self.gateways.iter().map(count).sum()
    }
}

impl GatewayPlan {
    fn calls(&self) -> usize {
        usize::from(self.create_device) + self.create.len() + self.fetch.len()
    }
}

/// The devices that the hub has, as far as it tells.
struct Listed {
    devices: BTreeSet<String>,
    is_complete: bool,
}

async fn listed(hub: &mut Paced<'_>) -> Result<Listed, Failure> {
    let call = Call::get("/devices".to_owned()).query("top", &LIST_LIMIT.to_string());
    let found = hub.call(call).await?;
    let devices: BTreeSet<String> = found
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|device| text(device, "/deviceId"))
        .map(str::to_owned)
        .collect();
    let is_complete = devices.len() < LIST_LIMIT;
    Ok(Listed { devices, is_complete })
}

async fn exists(hub: &mut Paced<'_>, device: &str) -> Result<bool, Failure> {
    match hub.call(Call::get(device_path(device))).await {
        Ok(_) => Ok(true),
        Err(CallError::Refused(refusal)) if refusal.says_it_is_missing() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn modules(hub: &mut Paced<'_>, device: &str) -> Result<BTreeMap<String, Value>, Failure> {
    let found = hub.call(Call::get(modules_path(device))).await?;
    let Value::Array(found) = found else {
        return Err(Failure::failed(
            "expected a list of modules from the hub, found something else",
        ));
    };
    let named = |module: Value| {
        let name = text(&module, "/moduleId")?.to_owned();
        Some((name, module))
    };
    Ok(found.into_iter().filter_map(named).collect())
}

fn compare(gateway: Gateway, known: bool, modules: &BTreeMap<String, Value>) -> GatewayPlan {
    let mut plan = GatewayPlan {
        device: gateway.device,
        create_device: !known,
        create: Vec::new(),
        fetch: Vec::new(),
        there: 0,
        differs: Vec::new(),
    };
    for wanted in gateway.modules {
        let missing = wanted.secret.as_ref().filter(|secret| !secret.path.exists());
        match modules.get(&wanted.module) {
            None if wanted.secret.is_some() && missing.is_none() => {
                let path = wanted.secret.as_ref().map(|secret| secret.path.display().to_string());
                plan.differs.push(format!(
                    "{}: not at the hub, but `{}` is there, which is of an earlier module; remove it",
                    wanted.module,
                    path.unwrap_or_default()
                ));
            }
            None => plan.create.push(wanted),
            Some(found) => {
                plan.there += 1;
                if let Some(difference) = wanted.authentication.difference(found) {
                    plan.differs.push(format!("{}: {difference}", wanted.module));
                } else if let Some(secret) = missing.cloned() {
                    plan.fetch.push((wanted.module, secret));
                }
            }
        }
    }
    plan
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let busy = self.gateways.iter().filter(|gateway| gateway.calls() > 0);
        if self.gateways.len() <= SHOWN {
            for gateway in busy {
                if gateway.create_device {
                    writeln!(f, "+ device {}", gateway.device)?;
                }
                for wanted in &gateway.create {
                    let kind = wanted.authentication.kind();
                    write!(f, "+ module {}/{} ({kind})", gateway.device, wanted.module)?;
                    match &wanted.secret {
                        Some(secret) => writeln!(f, " -> `{}`", secret.path.display())?,
                        None => writeln!(f)?,
                    }
                }
                for (module, secret) in &gateway.fetch {
                    let path = secret.path.display();
                    writeln!(f, "> secret of {}/{module} -> `{path}`", gateway.device)?;
                }
            }
        }
        for difference in self.differences() {
            writeln!(f, "! {difference}")?;
        }
        let devices = self.sum(|gateway| usize::from(gateway.create_device));
        let modules = self.sum(|gateway| gateway.create.len());
        let there = self.sum(|gateway| gateway.there);
        if self.is_done() {
            return write!(
                f,
                "nothing to do: {} and {} are there",
                counted(self.gateways.len(), "device"),
                counted(there, "module")
            );
        }
        let (devices, modules) = (counted(devices, "device"), counted(modules, "module"));
        write!(f, "{devices} and {modules} to create; {there} are there")
    }
}
