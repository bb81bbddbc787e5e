//! `modtwinctl cert`: certificates in files, without a hub and without the daemon.
//!
//! Owns the files and the words. Leaves making and judging certificates to `modtwin-credentials`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use modtwin_credentials::authority::{CertificateAuthority, self_signed};
use modtwin_credentials::request::{generate_key, write_private};
use modtwin_credentials::{CertificateFiles, ClientCertificate, Date, Description, describe};
use serde::Serialize;

use crate::cli::cert::{CertCommand, CheckCert, SelfSigned, ShowCert, Sign};
use crate::csr::{device_id, module_id, write_public};
use crate::failure::{Exit, Failure, chain};
use crate::output::Output;
use crate::watch::tell;

/// How far back a new certificate's time begins: the clocks of gateway and hub differ, and the hub
/// takes five minutes ("Understand and resolve IoT Hub errors", 401003).
const BACKDATED: Duration = Duration::from_secs(300);

/// A certificate in words.
#[derive(Debug, Serialize)]
struct Shown {
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    common_name: Option<String>,
    issuer: String,
    self_signed: bool,
    serial: String,
    not_before: String,
    not_after: String,
    days_left: i64,
    thumbprint_sha1: String,
    thumbprint_sha256: String,
}

impl Shown {
    fn of(one: Description, now: SystemTime) -> Self {
        Self {
            self_signed: one.is_self_issued(),
            days_left: days_left(one.not_after, now),
            not_before: Date(one.not_before).to_string(),
            not_after: Date(one.not_after).to_string(),
            subject: one.subject,
            common_name: one.common_name,
            issuer: one.issuer,
            serial: one.serial,
            thumbprint_sha1: one.thumbprint_sha1,
            thumbprint_sha256: one.thumbprint_sha256,
        }
    }

    fn lines(&self) -> [String; 6] {
        let by = if self.self_signed { "itself" } else { self.issuer.as_str() };
        let state = match self.days_left {
            left if left < 0 => "expired".to_owned(),
            left => format!("{left} days left"),
        };
        [
            format!("subject:     {}", self.subject),
            format!("signed by:   {by}"),
            format!("serial:      {}", self.serial),
            format!("valid:       {} to {} ({state})", self.not_before, self.not_after),
            format!("SHA-1:       {}", self.thumbprint_sha1),
            format!("SHA-256:     {}", self.thumbprint_sha256),
        ]
    }
}

/// Whole days from `now` to `end`, rounded down.
fn days_left(end: SystemTime, now: SystemTime) -> i64 {
    const DAY: u64 = 86_400;
    let days = |span: Duration| i64::try_from(span.as_secs() / DAY).unwrap_or(i64::MAX);
    match end.duration_since(now) {
        Ok(left) => days(left),
        Err(past) => -1 - days(past.duration()),
    }
}

/// Does what the command says.
pub(crate) fn run(command: &CertCommand, output: &Output) -> Result<(), Failure> {
    match command {
        CertCommand::SelfSigned(args) => make(args, output),
        CertCommand::Sign(args) => sign(args, output),
        CertCommand::Show(args) => show(args, output),
        CertCommand::Check(args) => check(args, output),
    }
}

fn make(args: &SelfSigned, output: &Output) -> Result<(), Failure> {
    let (device, module) = (device_id(&args.device)?, module_id(&args.module)?);
    let beside = |ending: &str| PathBuf::from(format!("{}.{ending}", args.module));
    let path = args.out.clone().unwrap_or_else(|| beside("pem"));
    let key_path = args.key_out.clone().unwrap_or_else(|| beside("key"));
    // Asked before anything is written: a new key beside an old certificate helps nobody.
    if path == key_path {
        return Err(Failure::usage("certificate and key can't both be one file; change --out"));
    }
    if !args.force {
        for path in [&path, &key_path] {
            if path.symlink_metadata().is_ok() {
                let text = format!("`{}` exists; overwrite it with --force", path.display());
                return Err(Failure::failed(text));
            }
        }
    }
    let key = generate_key(args.kind.into()).map_err(failed)?;
    let now = SystemTime::now();
    let end = end(now, args.valid_for)?;
    let pem = self_signed(&key, &device, &module, now - BACKDATED..end).map_err(failed)?;
    let secret = key.to_pem().map_err(failed)?;
    write_private(&key_path, &secret, args.force).map_err(failed)?;
    write_public(&path, &pem, args.force).map_err(|error| cannot_write(&path, &error))?;
    let made = shown(pem.as_bytes(), &path, now)?;
    if output.is_json() {
        return output.json(&made);
    }
    output.line(format!("private key: {}", key_path.display()))?;
    output.line(format!("certificate: {}", path.display()))?;
    for line in made.iter().flat_map(Shown::lines) {
        output.line(line)?;
    }
    let path = path.display();
    output.line(format!(
        "register it: modtwinctl hub module create {device} {module} --certificate {path}"
    ))
}

fn end(now: SystemTime, valid_for: Duration) -> Result<SystemTime, Failure> {
    now.checked_add(valid_for).ok_or_else(|| Failure::usage("--valid-for: nobody lives that long"))
}

fn sign(args: &Sign, output: &Output) -> Result<(), Failure> {
    let authority = CertificateAuthority::load(&read(&args.ca)?, &read(&args.ca_key)?);
    let authority = authority.map_err(failed)?;
    let now = SystemTime::now();
    let validity = now - BACKDATED..end(now, args.valid_for)?;
    let pem = authority.sign_csr(&read(&args.request)?, validity).map_err(failed)?;
    write_public(&args.out, &pem, args.force).map_err(|error| cannot_write(&args.out, &error))?;
    print(&shown(pem.as_bytes(), &args.out, now)?, output)
}

fn show(args: &ShowCert, output: &Output) -> Result<(), Failure> {
    let now = SystemTime::now();
    for path in &args.files {
        print(&shown(&read(path)?, path, now)?, output)?;
    }
    Ok(())
}

fn print(certificates: &[Shown], output: &Output) -> Result<(), Failure> {
    for (index, one) in certificates.iter().enumerate() {
        if output.is_json() {
            output.json(one)?;
            continue;
        }
        if index > 0 {
            output.line("")?;
        }
        for line in one.lines() {
            output.line(line)?;
        }
    }
    Ok(())
}

fn check(args: &CheckCert, output: &Output) -> Result<(), Failure> {
    let (device, module) = (device_id(&args.device)?, module_id(&args.module)?);
    let files = CertificateFiles {
        certificate: args.certificate.clone(),
        private_key: args.private_key.clone(),
        private_key_password_file: args.password_file.clone(),
    };
    let now = SystemTime::now();
    let good = ClientCertificate::load(&files, (&device, &module), now)
        .map_err(|error| Failure::new(Exit::Config, vec![chain(&error)]))?;
    for warning in &good.warnings {
        tell(&format!("warning: {warning}"));
    }
    let (days, end) = (days_left(good.not_after, now), Date(good.not_after));
    let shown = Shown::of(good.leaf, now);
    output.either(&shown, |_| format!("good for {device}/{module} until {end}, {days} days left"))
}

fn shown(pem: &[u8], path: &Path, now: SystemTime) -> Result<Vec<Shown>, Failure> {
    let described = describe(pem)
        .map_err(|error| Failure::failed(format!("`{}`: {}", path.display(), chain(&error))))?;
    Ok(described.into_iter().map(|one| Shown::of(one, now)).collect())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path)
        .map_err(|error| Failure::failed(format!("cannot read `{}`: {error}", path.display())))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot write `{}`: {error}", path.display()))
}

fn failed(error: impl std::error::Error) -> Failure {
    Failure::failed(chain(&error))
}
