//! One module's credential, step by step, as the daemon judges it.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use modtwin_config::Module;
use modtwin_credentials::{
    CredentialClass, CredentialError, CredentialFiles, Date, Loaded, ModuleCredential, Warning,
};

use super::catalogue::Check;
use super::findings::{Findings, Verdict};
use super::person::Right;
use super::{Proof, Scene};
use crate::failure::chain;
use crate::validate::files;

/// Where systemd puts the service's credentials (systemd.exec(5)).
const CREDENTIALS_FOLDER: &str = "/run/credentials/modtwind.service";
/// From how much time left on a certificate's end is near.
const NEAR_END: Duration = Duration::from_secs(30 * 86_400);

/// The steps of a certificate, in the order in which the first fault is found.
const STEPS: [Check; 5] = [
    Check::CredentialContent,
    Check::CredentialPair,
    Check::CredentialName,
    Check::CredentialTime,
    Check::CredentialChain,
];

/// Judges a module's credential; returns it where it can be used.
pub(super) fn judge(scene: &Scene<'_>, module: &Module, findings: &mut Findings) -> Option<Proof> {
    let id = module.id.as_str();
    let files = match files(&module.credential, credentials_folder().as_deref()) {
        Ok(files) => files,
        Err(error) => {
            let text = format!("the service alone sees it: {error}");
            findings.note(Check::CredentialFiles, Some(id), Verdict::skipped(text));
            return unseen(id, findings);
        }
    };
    let existence = existence(&files);
    let are_there = existence.is_ok();
    findings.note(Check::CredentialFiles, Some(id), existence);
    if !are_there {
        return unseen(id, findings);
    }
    let hub = &scene.config.hub;
    let credential = ModuleCredential::new(
        hub.device_id.clone(),
        module.id.clone(),
        hub.hostname.clone(),
        files,
    );
    let loaded = credential.load(scene.now);
    let warnings = match &loaded {
        Ok(Loaded::X509 { warnings, .. } | Loaded::Sas { warnings, .. }) => warnings.as_slice(),
        Err(_) => &[],
    };
    findings.make(Check::CredentialRights, Some(id), || rights(scene, &credential.files, warnings));
    let steps = match &credential.files {
        CredentialFiles::X509(_) => &STEPS[..],
        _ => &[Check::CredentialContent, Check::CredentialTime],
    };
    let failed_at = loaded.as_ref().err().map(step_of);
    for step in steps {
        findings.make(*step, Some(id), || match &loaded {
            Err(error) if failed_at == Some(*step) => failure(scene, module, error),
            Ok(loaded) => success(scene, module, *step, loaded),
            Err(_) => Verdict::ok(words(*step)),
        });
    }
    Some(Proof { module: module.id.clone(), loaded: loaded.ok()? })
}

/// Notes that nothing can be said of a credential.
fn unseen(id: &str, findings: &mut Findings) -> Option<Proof> {
    for step in [Check::CredentialRights].iter().chain(&STEPS) {
        let _skipped = findings.may(*step, Some(id));
    }
    None
}

/// Where `credential:NAME` is: as the environment says, or where the service's would be.
pub(crate) fn credentials_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    folder.or_else(|| Some(PathBuf::from(CREDENTIALS_FOLDER)).filter(|folder| folder.exists()))
}

fn existence(files: &CredentialFiles) -> Verdict {
    for path in files.paths() {
        let shown = path.display();
        match path.metadata() {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => {
                return Verdict::failed(format!("`{shown}` is no file"))
                    .next("name a file in the config");
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                let text = format!("this user may not look at `{shown}`: run as root");
                return Verdict::skipped(text);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Verdict::failed(format!("there is no `{shown}`"))
                    .next("put the file there, or correct the path in the config");
            }
            Err(error) => return Verdict::failed(format!("cannot look at `{shown}`: {error}")),
        }
    }
    Verdict::ok("all of them are there")
}

fn rights(scene: &Scene<'_>, files: &CredentialFiles, warnings: &[Warning]) -> Verdict {
    let Some(person) = &scene.person else {
        let name = scene.args.user.as_deref().unwrap_or_default();
        return Verdict::failed(format!("there is no user `{name}` on this machine"))
            .next("name the user that modtwind runs as with --user");
    };
    let name = &person.name;
    // Who may read the service's own credentials is systemd's business.
    let paths = files.paths().into_iter().filter(|path| !path.starts_with(CREDENTIALS_FOLDER));
    for path in paths {
        if let Some(why) = person.refusal(path, Right::READ) {
            let shown = path.display();
            return Verdict::failed(format!(
                "the daemon's user {name} may not read `{shown}`: {why}"
            ))
            .next(format!("chown {name}: {shown} && chmod 0400 {shown}"));
        }
    }
    match warnings.iter().find(|warning| matches!(warning, Warning::ReadableByOthers { .. })) {
        Some(warning) => Verdict::warning(warning.to_string())
            .next("and have it renewed if somebody else uses this machine"),
        None => Verdict::ok(format!("{name} may read them, and not everybody may")),
    }
}

/// At which step a credential failed.
fn step_of(error: &CredentialError) -> Check {
    match error {
        CredentialError::KeyMismatch { .. } | CredentialError::Unusable { .. } => {
            Check::CredentialPair
        }
        CredentialError::CommonName { .. } => Check::CredentialName,
        CredentialError::Expired { .. } | CredentialError::NotYetValid { .. } => {
            Check::CredentialTime
        }
        _ => Check::CredentialContent,
    }
}

fn failure(scene: &Scene<'_>, module: &Module, error: &CredentialError) -> Verdict {
    if let CredentialError::Unreadable { path, source } = error
        && source.kind() == ErrorKind::PermissionDenied
    {
        let text = format!("this user may not read `{}`: run as root", path.display());
        return Verdict::skipped(text);
    }
    let csr = request(scene, module);
    let next = match (error.class(), step_of(error)) {
        (CredentialClass::Expired, _) => format!("renew it: {csr}"),
        (CredentialClass::NotYetValid, _) => {
            "if the clock is right, wait, or have the certificate issued anew".to_owned()
        }
        (_, Check::CredentialPair) => {
            format!(
                "put the key there that the certificate was requested with, or begin anew: {csr}"
            )
        }
        (_, Check::CredentialName) => format!("have one issued for this module: {csr}"),
        _ => "put the right file there".to_owned(),
    };
    Verdict::failed(chain(error)).next(next)
}

fn success(scene: &Scene<'_>, module: &Module, step: Check, loaded: &Loaded) -> Verdict {
    match (step, loaded) {
        (Check::CredentialTime, Loaded::X509 { not_after, .. }) => {
            time(scene.now, *not_after, &request(scene, module))
        }
        (Check::CredentialTime, Loaded::Sas { .. }) => Verdict::ok("a key has no end"),
        (Check::CredentialChain, Loaded::X509 { warnings, .. }) => {
            let chain = |warning: &&Warning| matches!(warning, Warning::ChainOrder { .. });
            match warnings.iter().find(chain) {
                Some(warning) => Verdict::warning(warning.to_string())
                    .next("put the module's certificate first, then each one's signer"),
                None => Verdict::ok(words(step)),
            }
        }
        (Check::CredentialContent, Loaded::X509 { warnings, .. }) => {
            let unused = |warning: &&Warning| matches!(warning, Warning::PasswordUnused { .. });
            match warnings.iter().find(unused) {
                Some(warning) => Verdict::warning(warning.to_string())
                    .next("take private-key-password-file out of the config"),
                None => Verdict::ok(words(step)),
            }
        }
        _ => Verdict::ok(words(step)),
    }
}

fn time(now: SystemTime, end: SystemTime, csr: &str) -> Verdict {
    let left = end.duration_since(now).unwrap_or_default();
    let days = left.as_secs() / 86_400;
    let text = format!("until {}, {days} days left", Date(end));
    if left < NEAR_END {
        return Verdict::warning(format!("it ends soon: {text}")).next(format!("renew it: {csr}"));
    }
    Verdict::ok(text)
}

/// What is said of a step that went well.
fn words(step: Check) -> &'static str {
    match step {
        Check::CredentialContent => "the files hold what they should",
        Check::CredentialPair => "key and certificate belong together",
        Check::CredentialName => "the certificate is for this module",
        Check::CredentialChain => "the chain is in order",
        _ => "as it should be",
    }
}

fn request(scene: &Scene<'_>, module: &Module) -> String {
    format!("modtwinctl csr --device {} --module {}", scene.config.hub.device_id, module.id)
}
