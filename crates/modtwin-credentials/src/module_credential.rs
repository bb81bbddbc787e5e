//! One module's credential: which files, whose, and what they are worth right now.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use modtwin_core::ids::{DeviceId, ModuleId};
use modtwin_core::secret::Secret;

use crate::certificate::{CertificateFiles, ClientCertificate, Warning};
use crate::connection_string::ConnectionString;
use crate::error::CredentialError;
use crate::file;
use crate::held::JudgedCredential;
use crate::shared_access::{SasToken, SharedKey};

/// How long a token is good for: an hour, as with all official clients.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// The files of one credential, of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialFiles {
    /// A certificate and its key.
    X509(CertificateFiles),
    /// A file with the module's connection string.
    ConnectionString(PathBuf),
    /// A file with the module's symmetric key in base64.
    SharedAccessKey(PathBuf),
}

impl CredentialFiles {
    /// The files: the certificate first, then what is secret.
    #[must_use]
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            Self::X509(files) => {
                let password = files.private_key_password_file.as_deref();
                let pair = [files.certificate.as_path(), files.private_key.as_path()];
                pair.into_iter().chain(password).collect()
            }
            Self::ConnectionString(path) | Self::SharedAccessKey(path) => vec![path],
        }
    }

    /// What is in the files and must never be shown, line by line: for removing it from other text.
    ///
    /// Blocks on files; what can't be read has nothing to remove.
    #[must_use]
    pub fn secrets(&self) -> Vec<Secret> {
        let public = usize::from(matches!(self, Self::X509(_)));
        let paths = self.paths().into_iter().skip(public);
        let texts = paths.filter_map(|path| file::read_secret(path).ok());
        texts
            .flat_map(|text| {
                let lines = text.expose().lines().map(str::trim);
                // The frame of a key says nothing; an empty line is everywhere.
                let kept = lines.filter(|line| !line.is_empty() && !line.starts_with("-----"));
                kept.map(|line| Secret::new(line.to_owned())).collect::<Vec<_>>()
            })
            .collect()
    }
}

/// One module's credential, still in its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleCredential {
    /// The module's device.
    pub device: DeviceId,
    /// The module.
    pub module: ModuleId,
    /// The hub's own name, also where a gateway is dialled.
    pub host: String,
    /// Where the credential is.
    pub files: CredentialFiles,
    /// How long tokens are good for.
    pub token_lifetime: Duration,
}

/// A credential, read and judged.
#[derive(Debug, Clone)]
pub enum Loaded {
    /// A certificate; the link reads the files by their paths.
    X509 {
        /// PEM: the module's certificate, then its intermediates.
        certificate: PathBuf,
        /// PEM: the private key.
        private_key: PathBuf,
        /// The key's password, where it is encrypted.
        password: Option<Secret>,
        /// When the first certificate of the chain expires.
        not_after: SystemTime,
        /// What works and should not stay so.
        warnings: Vec<Warning>,
    },
    /// A token.
    Sas {
        /// MQTT's password.
        token: Secret,
        /// When the hub ends the session that used it.
        expires: SystemTime,
        /// What works and should not stay so.
        warnings: Vec<Warning>,
    },
}

impl ModuleCredential {
    /// Names a module and its credential; tokens are good for [`TOKEN_LIFETIME`].
    #[must_use]
    pub fn new(device: DeviceId, module: ModuleId, host: String, files: CredentialFiles) -> Self {
        Self { device, module, host, files, token_lifetime: TOKEN_LIFETIME }
    }

    /// Reads and judges the files anew, so that new ones count from the next connect on.
    ///
    /// Blocks on files.
    ///
    /// # Errors
    ///
    /// [`CredentialError`], whose class says what sort of fault it is.
    pub fn load(&self, now: SystemTime) -> Result<Loaded, CredentialError> {
        if let CredentialFiles::X509(files) = &self.files {
            let loaded = ClientCertificate::load(files, (&self.device, &self.module), now)?;
            return Ok(Loaded::X509 {
                certificate: files.certificate.clone(),
                private_key: files.private_key.clone(),
                password: loaded.password,
                not_after: loaded.not_after,
                warnings: loaded.warnings,
            });
        }
        let (key, path) = self.key()?;
        self.sign(&key, path, file::readable_by_others(path).into_iter().collect(), now)
    }

    /// Reads and judges the files anew as [`load`](Self::load) does, for what is to be held.
    ///
    /// Blocks on files.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn judge(&self, now: SystemTime) -> Result<JudgedCredential, CredentialError> {
        if let CredentialFiles::X509(files) = &self.files {
            let judged = ClientCertificate::load(files, (&self.device, &self.module), now)?;
            return Ok(JudgedCredential::x509(judged));
        }
        let (key, path) = self.key()?;
        let warnings = file::readable_by_others(path).into_iter().collect();
        Ok(JudgedCredential::key(key, path.to_owned(), warnings))
    }

    /// The symmetric key, and the file that has it.
    fn key(&self) -> Result<(SharedKey, &Path), CredentialError> {
        match &self.files {
            CredentialFiles::ConnectionString(path) => {
                let failed =
                    |source| CredentialError::ConnectionString { path: path.clone(), source };
                let text = file::read_secret(path)?;
                let string = ConnectionString::parse(text.expose()).map_err(failed)?;
                let key =
                    string.module_key(&self.host, &self.device, &self.module).map_err(failed)?;
                Ok((key.clone(), path))
            }
            // A certificate's key is no symmetric one.
            CredentialFiles::X509(CertificateFiles { private_key: path, .. })
            | CredentialFiles::SharedAccessKey(path) => {
                let text = file::read_secret(path)?;
                let key = SharedKey::parse(text.expose()).map_err(|source| {
                    CredentialError::SharedAccessKey { path: path.clone(), source }
                })?;
                Ok((key, path))
            }
        }
    }

    /// Signs a token with `key`, which came from `path`.
    pub(crate) fn sign(
        &self,
        key: &SharedKey,
        path: &Path,
        warnings: Vec<Warning>,
        now: SystemTime,
    ) -> Result<Loaded, CredentialError> {
        let expires = now.checked_add(self.token_lifetime).unwrap_or(now);
        let SasToken { token, expires } =
            SasToken::sign(&self.host, &self.device, &self.module, key, expires)
                .map_err(|source| CredentialError::Signing { path: path.to_owned(), source })?;
        Ok(Loaded::Sas { token, expires, warnings })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::authority::CertificateAuthority;
    use crate::error::CredentialClass;
    use crate::request::{KeyKind, csr, generate_key, write_private};

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn credential(files: CredentialFiles) -> ModuleCredential {
        ModuleCredential::new(
            DeviceId::new("gw01").unwrap(),
            ModuleId::new("cam-1").unwrap(),
            "myhub.azure-devices.net".to_owned(),
            files,
        )
    }

    /// So that tokens expire at the moment of the known vector.
    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_767_225_600) - TOKEN_LIFETIME
    }

    fn private(path: &Path, text: &str) {
        write_private(path, &Secret::new(text.to_owned()), true).unwrap();
    }

    #[test]
    fn both_symmetric_forms_sign_the_same_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let string = format!(
            "HostName=myhub.azure-devices.net;DeviceId=gw01;ModuleId=cam-1;SharedAccessKey={KEY}\n"
        );
        for (text, files) in [
            (string, CredentialFiles::ConnectionString(path.clone())),
            (format!("{KEY}\n"), CredentialFiles::SharedAccessKey(path.clone())),
        ] {
            private(&path, &text);
            let Ok(Loaded::Sas { token, expires, warnings }) = credential(files).load(now()) else {
                panic!("a token was expected");
            };
            assert!(
                token.expose().contains("sig=a70LFFwG67SzQMDhEODP96zutkjwj3GobdrspSE%2FQYE%3D")
            );
            assert_eq!(expires, now() + TOKEN_LIFETIME);
            assert!(warnings.is_empty());
        }
    }

    #[test]
    fn tokens_live_as_long_as_they_are_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        private(&path, KEY);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        let credential = ModuleCredential {
            token_lifetime: Duration::from_secs(5),
            ..credential(CredentialFiles::SharedAccessKey(path))
        };
        let Ok(Loaded::Sas { expires, warnings, .. }) = credential.load(now()) else {
            panic!("a token was expected");
        };
        assert_eq!(expires, now() + Duration::from_secs(5));
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn a_bad_symmetric_key_names_its_file_and_not_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for files in [
            CredentialFiles::ConnectionString(path.clone()),
            CredentialFiles::SharedAccessKey(path.clone()),
        ] {
            private(&path, "s3cret;=");
            let error = credential(files.clone()).load(now()).unwrap_err();
            assert_eq!(error.class(), CredentialClass::Config);
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("key`") && !shown.contains("s3cret"), "{shown}");
            fs::write(&path, b"\xff").unwrap();
            let error = credential(files.clone()).load(now()).unwrap_err();
            assert!(matches!(error, CredentialError::NotText { .. }));
            fs::remove_file(&path).unwrap();
            let error = credential(files).load(now()).unwrap_err();
            assert_eq!(error.class(), CredentialClass::Unreadable);
        }
    }

    #[test]
    fn new_files_count_from_the_next_load_on() {
        let folder = tempfile::tempdir().unwrap();
        let files = CertificateFiles {
            certificate: folder.path().join("m.pem"),
            private_key: folder.path().join("m.key"),
            private_key_password_file: None,
        };
        let credential = credential(CredentialFiles::X509(files.clone()));
        let day = Duration::from_secs(86_400);
        let root = CertificateAuthority::create("Root", KeyKind::EcP256, now()..now() + 9 * day);
        let root = root.unwrap();
        for days in [1, 2] {
            let key = generate_key(KeyKind::EcP256).unwrap();
            let request = csr(&key, &credential.device, &credential.module).unwrap();
            let end = now() + days * day;
            fs::write(&files.certificate, root.sign_csr(request.as_bytes(), now()..end).unwrap())
                .unwrap();
            write_private(&files.private_key, &key.to_pem().unwrap(), true).unwrap();
            let loaded = credential.load(now()).unwrap();
            let Loaded::X509 { certificate, private_key, password, not_after, warnings } = loaded
            else {
                panic!("a certificate was expected");
            };
            assert_eq!(
                (certificate, private_key),
                (files.certificate.clone(), files.private_key.clone())
            );
            assert_eq!((password, not_after, warnings), (None, end, Vec::new()));
        }
        let error = credential.load(now() + 3 * day).unwrap_err();
        assert_eq!(error.class(), CredentialClass::Expired);
    }
}
