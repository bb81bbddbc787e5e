//! `modtwinctl hub device`: device identities, the parents of modules.

use serde_json::{Value, json};

use super::identity::{self, Authentication};
use super::service::{Call, Service, device_path};
use crate::cli::hub::DeviceCommand;
use crate::failure::Failure;
use crate::output::Output;

pub(super) async fn run(
    service: &mut Service,
    command: &DeviceCommand,
    output: &Output,
) -> Result<(), Failure> {
    match command {
        DeviceCommand::Create(args) => {
            identity::check_device(&args.device)?;
            let body = to_create(&args.device, &Authentication::of(&args.proof)?);
            let made = service.call(Call::put(device_path(&args.device), &body)).await?;
            identity::show(service.host(), &made, output)
        }
        DeviceCommand::Show(args) => {
            let found = service.call(Call::get(device_path(&args.device))).await?;
            identity::show(service.host(), &found, output)
        }
        DeviceCommand::List(args) => {
            let call = Call::get("/devices".to_owned()).query("top", &args.top.to_string());
            let found = service.call(call).await?;
            identity::list(&found, "/deviceId", "/status", output)
        }
        DeviceCommand::Delete(args) => {
            service.call(Call::delete(device_path(&args.device))).await?;
            let done = json!({"deleted": {"deviceId": args.device}});
            output.either(&done, |_| format!("deleted {} and its modules", args.device))
        }
        DeviceCommand::Enable(args) => set(service, &args.device, "enabled", None, output).await,
        DeviceCommand::Disable(args) => {
            set(service, &args.device, "disabled", args.reason.as_deref(), output).await
        }
    }
}

/// What creates a device.
pub(super) fn to_create(device: &str, authentication: &Authentication) -> Value {
    let authentication = authentication.to_json();
    json!({"deviceId": device, "status": "enabled", "authentication": authentication})
}

/// Writes the whole identity back with another status: what is left out of a write is lost, new
/// keys among it.
async fn set(
    service: &mut Service,
    device: &str,
    status: &str,
    reason: Option<&str>,
    output: &Output,
) -> Result<(), Failure> {
    let mut found = service.call(Call::get(device_path(device))).await?;
    let etag = identity::text(&found, "/etag").unwrap_or("*").to_owned();
    let Some(members) = found.as_object_mut() else {
        return Err(Failure::failed("expected an identity from the hub, found something else"));
    };
    members.insert("status".to_owned(), status.into());
    members.insert("statusReason".to_owned(), reason.into());
    let call = Call::put(device_path(device), &found).if_match(&etag);
    let changed = service.call(call).await?;
    if output.is_json() {
        return identity::show(service.host(), &changed, output);
    }
    output.line(format!("{device} is {status}"))
}
