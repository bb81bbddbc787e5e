//! A credential that has been read, judged, and is held in memory: what follows uses exactly that,
//! whatever becomes of its files.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use modtwin_core::secret::Secret;
use openssl::sha::Sha256;

use crate::certificate::{ClientCertificate, Warning};
use crate::description::Description;
use crate::error::CredentialError;
use crate::memory_file::MemoryFile;
use crate::module_credential::{Loaded, ModuleCredential};
use crate::shared_access::SharedKey;

/// A credential in memory.
#[derive(Debug)]
pub struct HeldCredential {
    digest: Digest,
    kind: Kind,
    warnings: Vec<Warning>,
}

/// Tells one credential's content from another's. It says nothing of the content itself, and is
/// not shown all the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

impl Digest {
    /// The digest of `parts`, each told apart by its length.
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut sha = Sha256::new();
        for part in parts {
            sha.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            sha.update(part);
        }
        Self(sha.finish())
    }
}

#[derive(Debug)]
enum Kind {
    X509(Box<HeldPair>),
    Key(SharedKey, PathBuf),
}

#[derive(Debug)]
struct HeldPair {
    certificate: MemoryFile,
    private_key: MemoryFile,
    password: Option<Secret>,
    not_after: SystemTime,
    leaf: Description,
}

/// A credential that was read and judged, and is not held yet: cheap to make and to throw away.
#[derive(Debug)]
pub struct JudgedCredential {
    digest: Digest,
    kind: Judged,
}

#[derive(Debug)]
enum Judged {
    X509(Box<ClientCertificate>),
    Key(SharedKey, PathBuf, Vec<Warning>),
}

impl JudgedCredential {
    pub(crate) fn x509(certificate: ClientCertificate) -> Self {
        let password = certificate.password.as_ref().map_or("", |password| password.expose());
        let digest = Digest::of(&[
            &certificate.certificate_pem,
            certificate.key_pem.expose().as_bytes(),
            password.as_bytes(),
        ]);
        Self { digest, kind: Judged::X509(Box::new(certificate)) }
    }

    pub(crate) fn key(key: SharedKey, path: PathBuf, warnings: Vec<Warning>) -> Self {
        Self { digest: key.digest(), kind: Judged::Key(key, path, warnings) }
    }

    /// Tells its content from another's.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Keeps it in memory.
    ///
    /// # Errors
    ///
    /// Where the system has no memory for it, or the process no `/proc`.
    pub fn hold(self) -> io::Result<HeldCredential> {
        let (kind, warnings) = match self.kind {
            Judged::Key(key, path, warnings) => (Kind::Key(key, path), warnings),
            Judged::X509(judged) => {
                let key = judged.key_pem.expose().as_bytes();
                let pair = HeldPair {
                    certificate: MemoryFile::new(c"certificate", &judged.certificate_pem)?,
                    private_key: MemoryFile::new(c"private-key", key)?,
                    password: judged.password,
                    not_after: judged.not_after,
                    leaf: judged.leaf,
                };
                (Kind::X509(Box::new(pair)), judged.warnings)
            }
        };
        Ok(HeldCredential { digest: self.digest, kind, warnings })
    }
}

impl HeldCredential {
    /// Tells its content from another's.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether its time is not over; a key's never is.
    #[must_use]
    pub fn is_in_time(&self, now: SystemTime) -> bool {
        match &self.kind {
            Kind::X509(pair) => now <= pair.not_after,
            Kind::Key(..) => true,
        }
    }

    /// What the module's own certificate says, where it is one.
    #[must_use]
    pub fn leaf(&self) -> Option<&Description> {
        match &self.kind {
            Kind::X509(pair) => Some(&pair.leaf),
            Kind::Key(..) => None,
        }
    }

    /// What a link needs for its next connect: paths of the certificate and key in memory, which
    /// are good for as long as this value lives, or a new token for `module`.
    ///
    /// # Errors
    ///
    /// [`CredentialError::Signing`] where OpenSSL fails.
    pub fn loaded(
        &self,
        module: &ModuleCredential,
        now: SystemTime,
    ) -> Result<Loaded, CredentialError> {
        match &self.kind {
            Kind::X509(pair) => Ok(Loaded::X509 {
                certificate: pair.certificate.path(),
                private_key: pair.private_key.path(),
                password: pair.password.clone(),
                not_after: pair.not_after,
                warnings: self.warnings.clone(),
            }),
            Kind::Key(key, path) => module.sign(key, path, self.warnings.clone(), now),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use modtwin_core::ids::{DeviceId, ModuleId};

    use super::*;
    use crate::CertificateFiles;
    use crate::authority::self_signed;
    use crate::module_credential::CredentialFiles;
    use crate::request::{KeyKind, generate_key, write_private};

    const DAY: Duration = Duration::from_secs(86_400);

    fn module(folder: &Path) -> ModuleCredential {
        let files = CredentialFiles::X509(CertificateFiles {
            certificate: folder.join("m.pem"),
            private_key: folder.join("m.key"),
            private_key_password_file: None,
        });
        let (device, module) = (DeviceId::new("d").unwrap(), ModuleId::new("m").unwrap());
        ModuleCredential::new(device, module, "hub.example".to_owned(), files)
    }

    fn write_pair(folder: &Path, module: &ModuleCredential, now: SystemTime) -> Vec<u8> {
        let key = generate_key(KeyKind::EcP256).unwrap();
        let pem = self_signed(&key, &module.device, &module.module, now - DAY..now + DAY).unwrap();
        fs::write(folder.join("m.pem"), &pem).unwrap();
        write_private(&folder.join("m.key"), &key.to_pem().unwrap(), true).unwrap();
        pem.into_bytes()
    }

    #[test]
    fn what_is_held_stays_as_it_was_judged_while_its_files_change() {
        let (folder, now) = (tempfile::tempdir().unwrap(), SystemTime::now());
        let module = module(folder.path());
        let first = write_pair(folder.path(), &module, now);
        let held = module.judge(now).unwrap().hold().unwrap();
        assert_eq!(module.judge(now).unwrap().digest(), held.digest());
        write_pair(folder.path(), &module, now);
        assert_ne!(module.judge(now).unwrap().digest(), held.digest());
        fs::remove_file(folder.path().join("m.key")).unwrap();
        let Loaded::X509 { certificate, private_key, .. } = held.loaded(&module, now).unwrap()
        else {
            panic!("a certificate was expected");
        };
        assert_eq!(fs::read(&certificate).unwrap(), first);
        let again = ModuleCredential {
            files: CredentialFiles::X509(CertificateFiles {
                certificate,
                private_key,
                private_key_password_file: None,
            }),
            ..module.clone()
        };
        again.judge(now).unwrap();
        assert!(held.is_in_time(now) && !held.is_in_time(now + 2 * DAY));
        assert_eq!(held.leaf().unwrap().common_name.as_deref(), Some("d/m"));
    }

    #[test]
    fn parts_are_told_apart_by_their_length() {
        assert_ne!(Digest::of(&[b"ab", b"c"]), Digest::of(&[b"a", b"bc"]));
    }
}
