//! The command line of `cert`: certificates, without a hub and without the daemon.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{KeyChoice, duration};

/// What to do with certificates.
#[derive(Debug, Clone, Subcommand)]
pub enum CertCommand {
    /// Make a key and a certificate signed with it, and print the thumbprints for the registry.
    SelfSigned(SelfSigned),
    /// Sign a request with an authority's key, for trying out.
    Sign(Sign),
    /// Show what certificates say.
    Show(ShowCert),
    /// Check that a certificate and its key are a module's and can be used now.
    Check(CheckCert),
}

/// Arguments of `cert self-signed`.
#[derive(Debug, Clone, Args)]
pub struct SelfSigned {
    /// The device's id.
    #[arg(long, value_name = "ID")]
    pub device: String,
    /// The module's id.
    #[arg(long, value_name = "ID")]
    pub module: String,
    /// Where to write the certificate [default: MODULE.pem].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Where to write the private key [default: MODULE.key].
    #[arg(long, value_name = "FILE")]
    pub key_out: Option<PathBuf>,
    /// What sort of key to make.
    #[arg(long, value_enum, default_value_t = KeyChoice::Ec)]
    pub kind: KeyChoice,
    /// How long it will be valid.
    #[arg(long, value_name = "TIME", default_value = "365d", value_parser = duration)]
    pub valid_for: Duration,
    /// Overwrite files that exist.
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `cert sign`.
#[derive(Debug, Clone, Args)]
pub struct Sign {
    /// The request.
    #[arg(value_name = "REQUEST")]
    pub request: PathBuf,
    /// The authority's certificate.
    #[arg(long, value_name = "FILE")]
    pub ca: PathBuf,
    /// The authority's private key.
    #[arg(long, value_name = "FILE")]
    pub ca_key: PathBuf,
    /// Where to write the certificate.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// How long it will be valid.
    #[arg(long, value_name = "TIME", default_value = "365d", value_parser = duration)]
    pub valid_for: Duration,
    /// Overwrite a file that exists.
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `cert show`.
#[derive(Debug, Clone, Args)]
pub struct ShowCert {
    /// The certificates, PEM.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Arguments of `cert check`.
#[derive(Debug, Clone, Args)]
pub struct CheckCert {
    /// The device's id.
    #[arg(long, value_name = "ID")]
    pub device: String,
    /// The module's id.
    #[arg(long, value_name = "ID")]
    pub module: String,
    /// The certificate and its intermediates, PEM.
    #[arg(long, value_name = "FILE")]
    pub certificate: PathBuf,
    /// The private key, PEM.
    #[arg(long, value_name = "FILE")]
    pub private_key: PathBuf,
    /// A file whose first line is the key's password.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}
