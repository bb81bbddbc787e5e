//! Doing what a plan says, and what came of it.

use std::fmt;

use modtwin_credentials::Secret;
use serde::Serialize;
use serde_json::Value;

use super::super::device;
use super::super::identity::{self, Authentication};
use super::super::module::{self, write_secret};
use super::super::service::{Call, CallError, device_path, module_path};
use super::pace::Paced;
use super::plan::{GatewayPlan, Plan};
use super::source::{SecretFile, Wanted};
use crate::failure::{Exit, Failure};
use crate::words::counted;

/// How many failures a text shows.
const SHOWN: usize = 20;

/// What came of a plan.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcome {
    devices_created: usize,
    modules_created: usize,
    already_there: usize,
    secrets_written: usize,
    differs: Vec<String>,
    failed: Vec<String>,
}

impl Outcome {
    /// What is known before anything is done.
    pub(super) fn of(plan: &Plan) -> Self {
        Self {
            already_there: plan.gateways.iter().map(|gateway| gateway.there).sum(),
            differs: plan.differences().collect(),
            ..Self::default()
        }
    }

    /// Whether everything is as it was wanted.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        if self.failed.is_empty() { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in self.failed.iter().take(SHOWN) {
            writeln!(f, "failed: {failure}")?;
        }
        if self.failed.len() > SHOWN {
            writeln!(f, "failed: {} more", self.failed.len() - SHOWN)?;
        }
        write!(
            f,
            "created {} and {}; {} were there",
            counted(self.devices_created, "device"),
            counted(self.modules_created, "module"),
            self.already_there
        )?;
        if self.secrets_written > 0 {
            write!(f, "; {} secrets written", self.secrets_written)?;
        }
        if !self.failed.is_empty() {
            write!(f, "; {} failed, the same command tries them again", self.failed.len())?;
        }
        Ok(())
    }
}

/// Creates what the plan says. What fails for one identity does not hold up the others; what fails
/// for all of them ends it.
pub(super) async fn carry_out(hub: &mut Paced<'_>, plan: Plan) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::of(&plan);
    hub.expect(plan.calls());
    let mut done = Ok(());
    for gateway in plan.gateways {
        done = carry_out_one(hub, gateway, &mut outcome).await;
        if done.is_err() {
            break;
        }
    }
    hub.finish();
    match done {
        Ok(()) => Ok(outcome),
        Err(error) => {
            let failure = Failure::from(error);
            let said = failure.lines().join("; ");
            let text = format!("{said}; {outcome}; the same command goes on from here");
            Err(Failure::new(failure.exit(), vec![text]))
        }
    }
}

async fn carry_out_one(
    hub: &mut Paced<'_>,
    gateway: GatewayPlan,
    outcome: &mut Outcome,
) -> Result<(), CallError> {
    let device = gateway.device;
    if gateway.create_device {
        let body = device::to_create(&device, &Authentication::Symmetric);
        match hub.call(Call::put(device_path(&device), &body)).await {
            Ok(_) => outcome.devices_created += 1,
            Err(CallError::Refused(refusal)) if refusal.says_it_exists() => {}
            Err(error) => return note(outcome, &device, error),
        }
    }
    for wanted in gateway.create {
        create(hub, &device, wanted, outcome).await?;
    }
    for (module, secret) in gateway.fetch {
        fetch(hub, (&device, &module), &secret, outcome).await?;
    }
    Ok(())
}

async fn create(
    hub: &mut Paced<'_>,
    device: &str,
    wanted: Wanted,
    outcome: &mut Outcome,
) -> Result<(), CallError> {
    let name = format!("{device}/{}", wanted.module);
    let body = module::to_create(device, &wanted.module, &wanted.authentication);
    let path = module_path(device, &wanted.module);
    let made = match hub.call(Call::put(path, &body)).await {
        Ok(made) => made,
        // Made by a call whose answer was lost, or by somebody else.
        Err(CallError::Refused(refusal)) if refusal.says_it_exists() => {
            outcome.already_there += 1;
            return match &wanted.secret {
                Some(secret) => fetch(hub, (device, &wanted.module), secret, outcome).await,
                None => Ok(()),
            };
        }
        Err(error) => return note(outcome, &name, error),
    };
    outcome.modules_created += 1;
    if let Some(secret) = &wanted.secret {
        keep(hub.host(), &made, secret, outcome);
    }
    Ok(())
}

async fn fetch(
    hub: &mut Paced<'_>,
    (device, module): (&str, &str),
    secret: &SecretFile,
    outcome: &mut Outcome,
) -> Result<(), CallError> {
    match hub.call(Call::get(module_path(device, module))).await {
        Ok(found) => keep(hub.host(), &found, secret, outcome),
        Err(error) => return note(outcome, &format!("{device}/{module}"), error),
    }
    Ok(())
}

/// Writes a module's secret to its file.
fn keep(host: &str, identity: &Value, file: &SecretFile, outcome: &mut Outcome) {
    let secret = if file.is_key {
        let key = identity::text(identity, "/authentication/symmetricKey/primaryKey");
        key.map(|key| Secret::new(key.to_owned()))
    } else {
        identity::connection_string(host, identity)
    };
    let written = match secret {
        Some(secret) => write_secret(&file.path, &secret),
        None => Err(Failure::failed(format!("no key for `{}`", file.path.display()))),
    };
    match written {
        Ok(()) => outcome.secrets_written += 1,
        Err(failure) => outcome.failed.extend(failure.lines().iter().cloned()),
    }
}

/// Notes a refusal of one identity; what concerns all of them is handed on.
fn note(outcome: &mut Outcome, name: &str, error: CallError) -> Result<(), CallError> {
    match error {
        CallError::Refused(refusal)
            if !refusal.is_passing() && !matches!(refusal.status, 401 | 403) =>
        {
            outcome.failed.push(format!("{name}: {refusal}"));
            Ok(())
        }
        other => Err(other),
    }
}
