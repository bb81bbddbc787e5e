//! `export-ca`: the certificate that clients must trust, out of a running or stopped emulator's folder.

use std::io::Write;

use anyhow::Context;
use openssl::x509::X509;

use super::arguments::ExportCa;

/// Writes the CA certificate to a file or to stdout.
pub(crate) fn export(order: &ExportCa) -> anyhow::Result<()> {
    let path = order.dir.join("ca.pem");
    let pem = std::fs::read(&path).with_context(|| {
        let (path, dir) = (path.display(), order.dir.display());
        format!("cannot read `{path}`: the first start of `iothub-emulator --dir {dir}` makes it")
    })?;
    // What is handed on is a certificate, whatever else the file may hold.
    let certificate = X509::from_pem(&pem)
        .with_context(|| format!("expected a certificate in `{}`", path.display()))?;
    let pem = certificate.to_pem()?;
    match &order.output {
        Some(output) => std::fs::write(output, pem)
            .with_context(|| format!("cannot write `{}`", output.display())),
        None => std::io::stdout().write_all(&pem).context("cannot write the certificate to stdout"),
    }
}
