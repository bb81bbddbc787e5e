//! Where the system keeps the authorities it trusts.
//!
//! paho is always given an explicit bundle, so that what is trusted can be named in a fault.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where bundles of trusted authorities are looked for, after `SSL_CERT_FILE`, first find wins:
/// Debian and its family, Red Hat and its family, Alpine and OpenSSL's own default.
pub const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/usr/lib/ssl/cert.pem",
];

/// The system's bundle, or the places where none was found.
pub(crate) fn system_bundle() -> Result<PathBuf, String> {
    // OpenSSL's own variable (openssl-env(7)), honoured by every program that links it.
    choose(std::env::var_os("SSL_CERT_FILE"), &SYSTEM_BUNDLES)
}

fn choose(named: Option<OsString>, places: &[&str]) -> Result<PathBuf, String> {
    // A variable that names a missing file is a mistake to be told, not to be passed over.
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    places
        .iter()
        .map(Path::new)
        .find(|place| place.is_file())
        .map(Path::to_path_buf)
        .ok_or_else(|| places.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_over_the_known_places() {
        assert_eq!(
            choose(Some("/nowhere/ca.pem".into()), &[]),
            Ok(PathBuf::from("/nowhere/ca.pem"))
        );
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        assert_eq!(
            choose(Some(OsString::new()), &["/nowhere/a", "/nowhere/b"]),
            Err("/nowhere/a, /nowhere/b".into())
        );
    }

    #[test]
    fn the_first_place_that_exists_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let second = folder.path().join("second.pem");
        std::fs::write(&second, "").unwrap();
        let second_text = second.to_str().unwrap();
        assert_eq!(choose(None, &["/nowhere/a", second_text]), Ok(second.clone()));
    }
}
