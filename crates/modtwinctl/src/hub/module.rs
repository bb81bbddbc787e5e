//! `modtwinctl hub module`: module identities.

use std::path::Path;

use modtwin_credentials::Secret;
use modtwin_credentials::request::{WriteError, write_private};
use serde_json::{Value, json};

use super::identity::{self, Authentication};
use super::service::{Call, Service, module_path, modules_path};
use crate::cli::hub::{CreateModule, ModuleCommand, ModuleName, UpdateModule};
use crate::failure::{Failure, chain};
use crate::output::Output;

pub(super) async fn run(
    service: &mut Service,
    command: &ModuleCommand,
    output: &Output,
) -> Result<(), Failure> {
    match command {
        ModuleCommand::Create(args) => create(service, args, output).await,
        ModuleCommand::Update(args) => update(service, args, output).await,
        ModuleCommand::Show(name) => {
            let found = service.call(Call::get(path(name))).await?;
            identity::show(service.host(), &found, output)
        }
        ModuleCommand::List(args) => {
            let found = service.call(Call::get(modules_path(&args.device))).await?;
            identity::list(&found, "/moduleId", "/connectionState", output)
        }
        ModuleCommand::Delete(name) => {
            service.call(Call::delete(path(name))).await?;
            let done = json!({"deleted": {"deviceId": name.device, "moduleId": name.module}});
            output
                .either(&done, |_| format!("deleted {}/{} and its twin", name.device, name.module))
        }
    }
}

/// What creates a module.
pub(super) fn to_create(device: &str, module: &str, authentication: &Authentication) -> Value {
    let authentication = authentication.to_json();
    json!({"deviceId": device, "moduleId": module, "authentication": authentication})
}

async fn create(
    service: &mut Service,
    args: &CreateModule,
    output: &Output,
) -> Result<(), Failure> {
    identity::check_module(&args.name)?;
    let authentication = Authentication::of(&args.proof)?;
    if let Some(out) = &args.out {
        if authentication != Authentication::Symmetric {
            return Err(Failure::usage("--out is for modules with a symmetric key"));
        }
        // Asked before the module is made: its key would have nowhere to go.
        if out.symlink_metadata().is_ok() {
            return Err(Failure::failed(format!("`{}` exists already", out.display())));
        }
    }
    let body = to_create(&args.name.device, &args.name.module, &authentication);
    let made = service.call(Call::put(path(&args.name), &body)).await?;
    let Some(out) = &args.out else {
        return identity::show(service.host(), &made, output);
    };
    let string = identity::connection_string(service.host(), &made)
        .ok_or_else(|| Failure::failed("the hub made a module without a key"))?;
    write_secret(out, &string)?;
    let done = json!({"deviceId": args.name.device, "moduleId": args.name.module, "file": out});
    output.either(&done, |_| format!("connection string written to `{}`", out.display()))
}

/// Writes a secret to a file that must not be there yet.
pub(super) fn write_secret(path: &Path, secret: &Secret) -> Result<(), Failure> {
    let line = Secret::new(format!("{}\n", secret.expose()));
    write_private(path, &line, false).map_err(|error| {
        let next = match &error {
            WriteError::Exists { .. } => "",
            WriteError::Io { .. } => "; modtwinctl hub module show prints what belongs there",
        };
        Failure::failed(format!("{}{next}", chain(&error)))
    })
}

/// Writes the whole identity back: what is left out of a write is lost.
async fn update(
    service: &mut Service,
    args: &UpdateModule,
    output: &Output,
) -> Result<(), Failure> {
    let mut found = service.call(Call::get(path(&args.name))).await?;
    let etag = identity::text(&found, "/etag").unwrap_or("*").to_owned();
    let authentication = wanted(&found, args)?;
    let Some(members) = found.as_object_mut() else {
        return Err(Failure::failed("expected an identity from the hub, found something else"));
    };
    members.insert("authentication".to_owned(), authentication.to_json());
    let call = Call::put(path(&args.name), &found).if_match(&etag);
    let changed = service.call(call).await?;
    identity::show(service.host(), &changed, output)
}

/// What the arguments say, and the first thumbprint that is there where they name the second alone.
fn wanted(found: &Value, args: &UpdateModule) -> Result<Authentication, Failure> {
    let mut proof = args.proof.clone();
    let names_second =
        proof.secondary_certificate.is_some() || proof.secondary_thumbprint.is_some();
    let names_first = proof.certificate.is_some() || proof.thumbprint.is_some();
    let known = |which: &str| {
        identity::text(found, &format!("/authentication/x509Thumbprint/{which}Thumbprint"))
            .map(str::to_owned)
    };
    if names_second && !names_first {
        proof.thumbprint = known("primary");
    }
    if names_first && !names_second {
        proof.secondary_thumbprint = known("secondary");
    }
    if !names_first && !names_second && !proof.by_authority {
        return Err(Failure::usage(
            "nothing to change: give a certificate, a thumbprint, or --by-authority",
        ));
    }
    Authentication::of(&proof)
}

fn path(name: &ModuleName) -> String {
    module_path(&name.device, &name.module)
}
