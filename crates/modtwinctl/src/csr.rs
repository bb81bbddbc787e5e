//! `modtwinctl csr`: a private key for a module, and the request for its certificate.
//!
//! Owns the files and the order in which they appear. Leaves key and request to
//! `modtwin-credentials`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use modtwin_core::ids::{DeviceId, ModuleId};
use modtwin_credentials::request::{self, PrivateKey, generate_key, write_private};
use serde::Serialize;

use crate::cli::Csr;
use crate::failure::{Failure, chain};
use crate::output::Output;
use crate::watch::tell;

/// What was made.
#[derive(Debug, Serialize)]
struct Made<'a> {
    /// The certificate's future common name.
    common_name: String,
    /// The private key's file.
    private_key: &'a Path,
    /// The request's file, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a Path>,
    /// The request itself.
    pem: &'a str,
}

/// Makes the key, or takes one that is there, and the request.
pub(crate) fn run(args: &Csr, output: &Output) -> Result<(), Failure> {
    let (device, module) = (device_id(&args.device)?, module_id(&args.module)?);
    let key_path = key_path(args)?;
    let (key, is_new) = match &args.key {
        Some(path) => (existing(path)?, false),
        None => (generate_key(args.kind.into()).map_err(failed)?, true),
    };
    let pem = request::csr(&key, &device, &module).map_err(failed)?;
    if is_new {
        let secret = key.to_pem().map_err(failed)?;
        write_private(&key_path, &secret, args.force).map_err(|error| {
            let next = match error {
                request::WriteError::Exists { .. } => "; use it with --key, or give --force",
                request::WriteError::Io { .. } => "",
            };
            Failure::failed(format!("{}{next}", chain(&error)))
        })?;
    }
    if let Some(path) = &args.out {
        write_public(path, &pem, args.force).map_err(|error| {
            let key = key_path.display();
            let next = if is_new {
                format!("; the key is in `{key}`: go on with --key")
            } else {
                String::new()
            };
            Failure::failed(format!("cannot write `{}`: {error}{next}", path.display()))
        })?;
    }
    tell_made(
        &Made {
            common_name: format!("{device}/{module}"),
            private_key: &key_path,
            request: args.out.as_deref(),
            pem: &pem,
        },
        is_new,
        output,
    )
}

/// The device that `--device` names.
pub(crate) fn device_id(text: &str) -> Result<DeviceId, Failure> {
    DeviceId::new(text).map_err(|error| Failure::usage(format!("--device `{text}`: {error}")))
}

/// The module that `--module` names.
pub(crate) fn module_id(text: &str) -> Result<ModuleId, Failure> {
    ModuleId::new(text).map_err(|error| Failure::usage(format!("--module `{text}`: {error}")))
}

fn tell_made(made: &Made<'_>, is_new: bool, output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(made);
    }
    let key = made.private_key.display();
    match made.request {
        Some(request) => {
            let request = request.display();
            output.line(format!("private key:  {key}"))?;
            output.line(format!("request:      {request} (CN={})", made.common_name))?;
            output.line("have the request signed and put the certificate beside the key")
        }
        None => {
            if is_new {
                tell(&format!("private key written to `{key}`"));
            }
            output.text(made.pem)
        }
    }
}

/// Where the private key is or will be.
fn key_path(args: &Csr) -> Result<PathBuf, Failure> {
    let path = args.key.as_ref().or(args.key_out.as_ref());
    let path = path.cloned().unwrap_or_else(|| PathBuf::from(format!("{}.key", args.module)));
    if args.out.as_ref() == Some(&path) {
        let text = format!("key and request can't both be `{}`; change --out", path.display());
        return Err(Failure::usage(text));
    }
    Ok(path)
}

fn existing(path: &Path) -> Result<PrivateKey, Failure> {
    let shown = path.display();
    let pem = fs::read(path)
        .map_err(|error| Failure::failed(format!("cannot read the key in `{shown}`: {error}")))?;
    PrivateKey::from_pem(&pem).map_err(|error| {
        let next = "expected a PEM key without password";
        Failure::failed(format!("`{shown}`: {}; {next}", chain(&error)))
    })
}

/// Writes what is no secret, a request or a certificate, and makes it durable.
pub(crate) fn write_public(path: &Path, pem: &str, force: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    let mut file: File = if force {
        options.create(true).truncate(true).open(path)?
    } else {
        options.create_new(true).open(path)?
    };
    file.write_all(pem.as_bytes())?;
    file.sync_all()
}

fn failed(error: request::RequestError) -> Failure {
    Failure::failed(chain(&error))
}
