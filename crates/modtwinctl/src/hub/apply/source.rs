//! What is wanted: from gateways' configs, or from lists.
//!
//! Owns reading them and telling every problem at once. Leaves judging a config to `modtwin-config`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use modtwin_config::{Config, Credential, FileRef, Module};
use modtwin_core::ids::{DeviceId, ModuleId};
use modtwin_credentials::describe;
use serde::Deserialize;

use super::super::identity::{Authentication, thumbprint, thumbprint_of};
use crate::cli::hub::X509Choice;
use crate::failure::{Exit, Failure};

/// The config's name in a gateway's folder.
const CONFIG_NAME: &str = "modtwind.toml";

/// A device and the modules it is to have.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) device: String,
    pub(super) modules: Vec<Wanted>,
}

/// A module that is to be there.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) module: String,
    pub(super) authentication: Authentication,
    /// Where its secret is to go, if anywhere.
    pub(super) secret: Option<SecretFile>,
}

/// A file that a config names for a module's symmetric key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SecretFile {
    pub(super) path: PathBuf,
    /// The bare key in place of the connection string.
    pub(super) is_key: bool,
}

/// Reads all sources; devices keep the order in which they are first named.
pub(super) fn read(
    sources: &[PathBuf],
    x509: X509Choice,
    host: &str,
) -> Result<Vec<Gateway>, Failure> {
    let mut reader = Reader { x509, host, gateways: Vec::new(), problems: Vec::new() };
    for source in sources {
        match files(source) {
            Ok(files) if files.is_empty() => reader.problems.push(format!(
                "`{}`: expected *.toml, *.csv or */{CONFIG_NAME} in it, found none",
                source.display()
            )),
            Ok(files) => files.iter().for_each(|file| reader.file(file)),
            Err(error) => {
                reader.problems.push(format!("cannot read `{}`: {error}", source.display()));
            }
        }
    }
    if reader.problems.is_empty() {
        return Ok(reader.gateways);
    }
    Err(Failure::new(Exit::Config, reader.problems))
}

/// The files that a source stands for, by name.
fn files(source: &Path) -> io::Result<Vec<PathBuf>> {
    if !source.metadata()?.is_dir() {
        return Ok(vec![source.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(source)? {
        let path = entry?.path();
        let inner = path.join(CONFIG_NAME);
        if path.extension().is_some_and(|ending| ending == "toml" || ending == "csv") {
            files.push(path);
        } else if inner.is_file() {
            files.push(inner);
        }
    }
    files.sort();
    Ok(files)
}

struct Reader<'a> {
    x509: X509Choice,
    host: &'a str,
    gateways: Vec<Gateway>,
    problems: Vec<String>,
}

/// A line of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Row {
    device: String,
    module: String,
    authentication: Option<String>,
    thumbprint: Option<String>,
    secondary_thumbprint: Option<String>,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path) {
        if path.extension().is_some_and(|ending| ending == "csv") {
            self.list(path);
        } else {
            self.config(path);
        }
    }

    fn config(&mut self, path: &Path) {
        let shown = path.display();
        let config = match Config::load(path) {
            Ok(config) => config,
            Err(problems) => {
                self.problems.extend(problems.iter().map(ToString::to_string));
                return;
            }
        };
        if !config.hub.hostname.eq_ignore_ascii_case(self.host) {
            self.problems.push(format!(
                "`{shown}`: hub.hostname: expected `{}`, the hub of the connection string, found `{}`",
                self.host, config.hub.hostname
            ));
        }
        let device = config.hub.device_id.as_str();
        self.gateway(device);
        for module in &config.modules {
            match self.of_config(module) {
                Ok(wanted) => self.add(device, wanted, &shown.to_string()),
                Err(why) => self.problems.push(format!("`{shown}`: module `{}`: {why}", module.id)),
            }
        }
    }

    fn of_config(&self, module: &Module) -> Result<Wanted, String> {
        let secret = |file: &FileRef, is_key| match file {
            FileRef::Path(path) => Some(SecretFile { path: path.clone(), is_key }),
            FileRef::Credential(_) => None,
        };
        let (authentication, secret) = match &module.credential {
            Credential::X509 { certificate, .. } => (self.of_certificate(certificate)?, None),
            Credential::ConnectionStringFile(file) => {
                (Authentication::Symmetric, secret(file, false))
            }
            Credential::SharedAccessKeyFile(file) => {
                (Authentication::Symmetric, secret(file, true))
            }
        };
        Ok(Wanted { module: module.id.to_string(), authentication, secret })
    }

    fn of_certificate(&self, certificate: &FileRef) -> Result<Authentication, String> {
        if self.x509 == X509Choice::Authority {
            return Ok(Authentication::Authority);
        }
        let next = "make it first, or register modules with --x509 authority";
        let FileRef::Path(path) = certificate else {
            return Err(format!("`{certificate}` is not here; {next}"));
        };
        let shown = path.display();
        let pem = fs::read(path)
            .map_err(|error| format!("cannot read the certificate `{shown}`: {error}; {next}"))?;
        let leaf = describe(&pem).map_err(|error| format!("`{shown}`: {error}"))?;
        let is_self_signed = leaf.first().is_some_and(|leaf| leaf.is_self_issued());
        if self.x509 == X509Choice::Auto && !is_self_signed {
            return Ok(Authentication::Authority);
        }
        let primary = thumbprint_of(path).map_err(|failure| failure.lines().join("; "))?;
        Ok(Authentication::Thumbprint { primary, secondary: None })
    }

    fn list(&mut self, path: &Path) {
        let shown = path.display().to_string();
        let reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_path(path);
        let mut reader = match reader {
            Ok(reader) => reader,
            Err(error) => return self.problems.push(format!("cannot read `{shown}`: {error}")),
        };
        for row in reader.deserialize::<Row>() {
            let row = match row {
                Ok(row) => row,
                Err(error) => {
                    self.problems.push(format!("`{shown}`: {error}"));
                    // Without its head the rest of the list says nothing.
                    if error.position().is_none_or(|position| position.line() <= 2) {
                        return;
                    }
                    continue;
                }
            };
            let place = format!("{shown}: {}/{}", row.device, row.module);
            if let Err(error) = DeviceId::new(&row.device) {
                self.problems.push(format!("`{place}`: the device: {error}"));
                continue;
            }
            self.gateway(&row.device);
            // A line without a module asks for the device alone.
            if row.module.is_empty() {
                continue;
            }
            match of_row(&row) {
                Ok(wanted) => self.add(&row.device, wanted, &shown),
                Err(why) => self.problems.push(format!("`{place}`: {why}")),
            }
        }
    }

    /// Notes that a device is wanted.
    fn gateway(&mut self, device: &str) {
        if self.gateways.iter().rev().all(|gateway| gateway.device != device) {
            self.gateways.push(Gateway { device: device.to_owned(), modules: Vec::new() });
        }
    }

    fn add(&mut self, device: &str, wanted: Wanted, place: &str) {
        // From the end: lists have a device's modules together.
        let known = self.gateways.iter_mut().rev().find(|gateway| gateway.device == device);
        let Some(gateway) = known else {
            return;
        };
        if gateway.modules.iter().any(|other| other.module == wanted.module) {
            let module = &wanted.module;
            self.problems.push(format!("`{place}`: module `{device}/{module}` is there twice"));
            return;
        }
        gateway.modules.push(wanted);
    }
}

fn of_row(row: &Row) -> Result<Wanted, String> {
    ModuleId::new(&row.module).map_err(|error| format!("the module: {error}"))?;
    let given = |text: &Option<String>| {
        let text = text.as_deref().filter(|text| !text.is_empty());
        let text = text.map(thumbprint).transpose();
        text.map_err(|failure| failure.lines().join("; "))
    };
    let (primary, secondary) = (given(&row.thumbprint)?, given(&row.secondary_thumbprint)?);
    let kind = row.authentication.as_deref().filter(|kind| !kind.is_empty());
    let kind = kind.unwrap_or(if primary.is_some() { "thumbprint" } else { "symmetric" });
    let authentication = match (kind, primary, secondary) {
        ("symmetric", None, None) => Authentication::Symmetric,
        ("authority", None, None) => Authentication::Authority,
        ("thumbprint", Some(primary), secondary) => Authentication::thumbprints(primary, secondary)
            .map_err(|failure| failure.lines().join("; "))?,
        ("thumbprint", None, _) => return Err("expected a thumbprint, found none".to_owned()),
        ("symmetric" | "authority", ..) => {
            return Err(format!("authentication {kind} has no thumbprint"));
        }
        _ => {
            let expected = "symmetric, thumbprint or authority";
            return Err(format!("authentication: expected {expected}, found `{kind}`"));
        }
    };
    Ok(Wanted { module: row.module.clone(), authentication, secret: None })
}
