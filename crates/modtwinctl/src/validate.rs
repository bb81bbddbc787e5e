//! `modtwinctl validate`: judges the config and the files it names, without the daemon or a
//! network.
//!
//! Owns: putting each fault into words and where it is. Leaves judging to `modtwin-config` and
//! `modtwin-credentials`, so that the daemon judges alike.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use modtwin_config::{Config, Credential, FileRef, Module, Principal};
use modtwin_credentials::{CertificateFiles, CredentialFiles, Loaded, ModuleCredential, describe};
use nix::unistd::{Group, User};
use serde::Serialize;

use crate::cli::Validate;
use crate::failure::{Exit, Failure, chain};
use crate::output::Output;
use crate::watch::tell;
use crate::words::counted;

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Verdict {
    valid: bool,
    /// How many modules the config has, where it could be read.
    modules: usize,
    problems: Vec<Finding>,
    warnings: Vec<Finding>,
}

/// One thing that was found.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// The config file.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    /// The line in it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// The module whose files are meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    /// The finding in words, where it is included.
    text: String,
}

/// Checks everything, then prints everything that is wrong.
pub(crate) fn run(args: &Validate, output: &Output) -> Result<(), Failure> {
    let credentials_folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let verdict = match Config::load(&args.config) {
        Ok(config) => judge(&config, credentials_folder.as_deref(), SystemTime::now()),
        Err(problems) => {
            Verdict { problems: problems.iter().map(Finding::from).collect(), ..Verdict::default() }
        }
    };
    if output.is_json() {
        output.json(&verdict)?;
        return if verdict.valid { Ok(()) } else { Err(Failure::silent(Exit::Config)) };
    }
    for warning in &verdict.warnings {
        tell(&format!("warning: {}", warning.text));
    }
    if verdict.valid {
        let path = args.config.display();
        return output.line(format!("{path}: valid, {}", counted(verdict.modules, "module")));
    }
    let lines = verdict.problems.into_iter().map(|problem| problem.text).collect();
    Err(Failure::new(Exit::Config, lines))
}

/// Judges a config that reads well by the files it names.
fn judge(config: &Config, credentials_folder: Option<&Path>, now: SystemTime) -> Verdict {
    let mut verdict = Verdict { modules: config.modules.len(), ..Verdict::default() };
    if let Some(path) = &config.hub.trusted_ca
        && let Err(why) = trusted_authorities(path)
    {
        verdict.problems.push(Finding::of_config(format!("[hub] trusted-ca: {why}")));
    }
    for module in &config.modules {
        match files(&module.credential, credentials_folder) {
            Ok(files) => credential(config, module, files, now, &mut verdict),
            Err(why) => verdict.warnings.push(Finding::of(module, format!("not checked: {why}"))),
        }
        for handler in &module.handlers {
            if let Some(why) = unknown_principal(&handler.principal) {
                let text = format!("handler `{}`: {why}", handler.name);
                verdict.warnings.push(Finding::of(module, text));
            }
        }
    }
    verdict.valid = verdict.problems.is_empty();
    verdict
}

fn credential(
    config: &Config,
    module: &Module,
    files: CredentialFiles,
    now: SystemTime,
    verdict: &mut Verdict,
) {
    let device = config.hub.device_id.clone();
    let host = config.hub.hostname.clone();
    match ModuleCredential::new(device, module.id.clone(), host, files).load(now) {
        Ok(Loaded::X509 { warnings, .. } | Loaded::Sas { warnings, .. }) => {
            let warnings = warnings.iter().map(|warning| Finding::of(module, warning.to_string()));
            verdict.warnings.extend(warnings);
        }
        Err(error) => verdict.problems.push(Finding::of(module, chain(&error))),
    }
}

/// The paths behind a credential.
pub(crate) fn files(
    credential: &Credential,
    folder: Option<&Path>,
) -> Result<CredentialFiles, modtwin_config::FileRefError> {
    let resolve = |file: &FileRef| file.resolve(folder);
    Ok(match credential {
        Credential::X509 { certificate, private_key, private_key_password_file } => {
            CredentialFiles::X509(CertificateFiles {
                certificate: resolve(certificate)?,
                private_key: resolve(private_key)?,
                private_key_password_file: private_key_password_file
                    .as_ref()
                    .map(resolve)
                    .transpose()?,
            })
        }
        Credential::ConnectionStringFile(file) => CredentialFiles::ConnectionString(resolve(file)?),
        Credential::SharedAccessKeyFile(file) => CredentialFiles::SharedAccessKey(resolve(file)?),
    })
}

/// Says why the file has no authorities to trust, where it has none.
pub(crate) fn trusted_authorities(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let pem =
        fs::read(path).map_err(|error: io::Error| format!("cannot read `{shown}`: {error}"))?;
    describe(&pem).map(|_authorities| ()).map_err(|error| format!("`{shown}`: {}", chain(&error)))
}

/// Says that this machine does not know a handler's user or group, where that is so.
pub(crate) fn unknown_principal(principal: &Principal) -> Option<String> {
    match principal {
        Principal::User(name) if matches!(User::from_name(name), Ok(None)) => {
            Some(format!("there is no user `{name}` on this machine"))
        }
        Principal::Group(name) => unknown_group(name),
        _ => None,
    }
}

/// Says that this machine does not know a group, where that is so.
pub(crate) fn unknown_group(name: &str) -> Option<String> {
    matches!(Group::from_name(name), Ok(None))
        .then(|| format!("there is no group `{name}` on this machine"))
}

impl Finding {
    fn of(module: &Module, text: impl AsRef<str>) -> Self {
        let id = module.id.to_string();
        let text = format!("module `{id}`: {}", text.as_ref());
        Self { file: None, line: None, module: Some(id), text }
    }

    fn of_config(text: String) -> Self {
        Self { file: None, line: None, module: None, text }
    }
}

impl From<&modtwin_config::Problem> for Finding {
    fn from(problem: &modtwin_config::Problem) -> Self {
        Self {
            file: Some(problem.file.clone()),
            line: problem.line,
            module: None,
            text: problem.to_string(),
        }
    }
}
