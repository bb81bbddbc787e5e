//! Keys, requests and certificates of the modules, and their entries in the hub's registry.
//!
//! Keys and requests come from the real `modtwinctl csr`; two authorities of the demo's own, one
//! ECDSA and one RSA, sign them. The
//! hub knows the modules with ECDSA keys by their authority, those with RSA keys by thumbprints.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use modtwin_credentials::authority::CertificateAuthority;
use modtwin_credentials::describe;
use modtwin_credentials::request::KeyKind;
use modtwin_testkit::gateway::DEVICE;
use tokio::process::Command;

use modtwin_testkit::service::Service;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The modules of the story, `module01` and so on.
#[derive(Clone, Debug)]
pub(crate) struct Modules {
    /// Those with a certificate in date.
    pub(crate) good: Vec<String>,
    /// The one whose certificate is past its end.
    pub(crate) expired: String,
}

impl Modules {
    /// `count` modules, at least two, the last of which is expired.
    pub(crate) fn new(count: u16) -> Self {
        let name = |number: u16| format!("module{number:02}");
        Self { good: (1..count).map(name).collect(), expired: name(count) }
    }

    /// All of them, the expired one last.
    pub(crate) fn all(&self) -> impl Iterator<Item = &String> {
        self.good.iter().chain(std::iter::once(&self.expired))
    }
}

/// Makes keys and certificates, and registers device and modules.
#[derive(Debug)]
pub(crate) struct Registrar<'a> {
    /// The `modtwinctl` to call.
    pub(crate) modtwinctl: &'a Path,
    /// Where keys and certificates go.
    pub(crate) folder: &'a Path,
}

impl Registrar<'_> {
    /// Makes every module's key and certificate, and registers them under [`DEVICE`].
    ///
    /// # Errors
    /// A key can't be made, a certificate can't be signed, or the hub refuses.
    pub(crate) async fn register(
        &self,
        service: &mut Service,
        modules: &Modules,
    ) -> anyhow::Result<()> {
        let now = SystemTime::now();
        let decade = now - 365 * DAY..now + 3650 * DAY;
        let ecdsa =
            CertificateAuthority::create("demo ECDSA authority", KeyKind::EcP256, decade.clone())
                .context("cannot make the ECDSA authority")?;
        let rsa = CertificateAuthority::create("demo RSA authority", KeyKind::Rsa2048, decade)
            .context("cannot make the RSA authority")?;
        service.trust_authority(&ecdsa.certificate_pem()?).await?;
        service.create_device(DEVICE).await?;
        for (index, module) in modules.all().enumerate() {
            let is_ecdsa = index % 2 == 0;
            let request = self.request(module, if is_ecdsa { "ec" } else { "rsa" }).await?;
            let validity = if *module == modules.expired {
                now - 30 * DAY..now - DAY
            } else {
                now - DAY..now + 365 * DAY
            };
            let certificate = if is_ecdsa { &ecdsa } else { &rsa }
                .sign_csr(&request, validity)
                .with_context(|| format!("cannot sign for {module}"))?;
            let path = self.folder.join(format!("{module}.pem"));
            std::fs::write(&path, &certificate)
                .with_context(|| format!("cannot write `{}`", path.display()))?;
            if is_ecdsa {
                service.create_module_by_authority(DEVICE, module).await?;
            } else {
                let thumbprint = thumbprint(&certificate)?;
                service.create_module(DEVICE, module, &thumbprint).await?;
            }
        }
        Ok(())
    }

    /// Has `modtwinctl` make a key; returns the request that it prints, PEM.
    async fn request(&self, module: &str, kind: &str) -> anyhow::Result<Vec<u8>> {
        let output = Command::new(self.modtwinctl)
            .args(["csr", "--device", DEVICE, "--module", module, "--kind", kind, "--key-out"])
            .arg(self.folder.join(format!("{module}.key")))
            .output()
            .await
            .context("cannot run modtwinctl csr")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("modtwinctl csr for {module} failed ({}): {}", output.status, said.trim());
        }
        Ok(output.stdout)
    }
}

/// The SHA-256 of a certificate (PEM) as the registry takes it.
fn thumbprint(certificate: &str) -> anyhow::Result<String> {
    let described = describe(certificate.as_bytes()).context("cannot read a certificate")?;
    let leaf = described.into_iter().next().context("a certificate file is empty")?;
    Ok(leaf.thumbprint_sha256)
}
