//! New private keys, and requests for certificates that carry a module's name.
//!
//! Leaves signing to an authority: a fleet's own, or [`authority`](crate::authority) for trying out.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use modtwin_core::ids::{DeviceId, ModuleId};
use modtwin_core::secret::Secret;
use openssl::asn1::Asn1Type;
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::{X509Name, X509Req};

use crate::common_name::{self, MAX_COMMON_NAME_LENGTH};

/// What sort of key to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on the curve P-256: small, quick, the choice where nothing speaks against it.
    EcP256,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
}

/// Why a key or a request cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The module's name does not fit into a certificate.
    #[error(
        "CN `{common_name}` has {length} characters, X.520 allows {MAX_COMMON_NAME_LENGTH} \
         (RFC 5280, ub-common-name): the ids of device and module may have 63 together; \
         choose shorter ids or a symmetric key"
    )]
    CommonNameTooLong {
        /// The name that was asked for.
        common_name: String,
        /// Its characters.
        length: usize,
    },
    /// The text is no private key in PEM without password.
    #[error("cannot parse the private key")]
    BadKey(#[source] ErrorStack),
    /// OpenSSL failed.
    #[error("OpenSSL cannot make the {what}")]
    Openssl {
        /// What was to be made.
        what: &'static str,
        /// What OpenSSL said.
        source: ErrorStack,
    },
}

/// A private key; its `Debug` prints nothing of it.
#[derive(Clone)]
pub struct PrivateKey(pub(crate) PKey<Private>);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

impl PrivateKey {
    /// Reads a key from PEM without password.
    ///
    /// # Errors
    ///
    /// [`RequestError::BadKey`] where it is none, or encrypted. Never asks for a password.
    pub fn from_pem(pem: &[u8]) -> Result<Self, RequestError> {
        PKey::private_key_from_pem_callback(pem, |_| Ok(0)).map(Self).map_err(RequestError::BadKey)
    }

    /// The key as PEM without password (PKCS #8).
    ///
    /// # Errors
    ///
    /// [`RequestError::Openssl`] where OpenSSL fails.
    pub fn to_pem(&self) -> Result<Secret, RequestError> {
        let failed = |source| RequestError::Openssl { what: "PEM of the private key", source };
        let pem = self.0.private_key_to_pem_pkcs8().map_err(failed)?;
        // PEM is ASCII: nothing is lost.
        Ok(Secret::new(String::from_utf8_lossy(&pem).into_owned()))
    }
}

/// Makes a private key.
///
/// # Errors
///
/// [`RequestError::Openssl`] where OpenSSL fails.
pub fn generate_key(kind: KeyKind) -> Result<PrivateKey, RequestError> {
    let rsa = |bits| Rsa::generate(bits).and_then(PKey::from_rsa);
    let key = match kind {
        KeyKind::EcP256 => EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)
            .and_then(|group| EcKey::generate(&group))
            .and_then(PKey::from_ec_key),
        KeyKind::Rsa2048 => rsa(2048),
        KeyKind::Rsa3072 => rsa(3072),
        KeyKind::Rsa4096 => rsa(4096),
    };
    key.map(PrivateKey).map_err(|source| RequestError::Openssl { what: "private key", source })
}

/// Makes a request (PEM, PKCS #10) for a module's certificate: its CN is `device/module`.
///
/// # Errors
///
/// [`RequestError::CommonNameTooLong`] where the ids do not fit into a certificate.
pub fn csr(key: &PrivateKey, device: &DeviceId, module: &ModuleId) -> Result<String, RequestError> {
    let name = common_name(device, module)?;
    request(key, &name).map_err(|source| RequestError::Openssl { what: "request", source })
}

/// The name that a module's certificate must have, where one can have it.
pub(crate) fn common_name(device: &DeviceId, module: &ModuleId) -> Result<String, RequestError> {
    let name = common_name::expected(device, module);
    let length = name.chars().count();
    if length > MAX_COMMON_NAME_LENGTH {
        return Err(RequestError::CommonNameTooLong { common_name: name, length });
    }
    Ok(name)
}

fn request(key: &PrivateKey, common_name: &str) -> Result<String, ErrorStack> {
    let mut request = X509Req::builder()?;
    // Version 1, written as 0 (RFC 2986, section 4.1).
    request.set_version(0)?;
    let name = subject(common_name)?;
    request.set_subject_name(&name)?;
    request.set_pubkey(&key.0)?;
    request.sign(&key.0, MessageDigest::sha256())?;
    let pem = request.build().to_pem()?;
    Ok(String::from_utf8_lossy(&pem).into_owned())
}

/// A subject of one CN, as UTF8String (RFC 5280, section 4.1.2.4).
pub(crate) fn subject(common_name: &str) -> Result<X509Name, ErrorStack> {
    let mut name = X509Name::builder()?;
    name.append_entry_by_nid_with_type(Nid::COMMONNAME, common_name, Asn1Type::UTF8STRING)?;
    Ok(name.build())
}

/// Why a private file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is a file already.
    #[error("`{path}` exists; it is overwritten only when forced")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot write `{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes a secret to `path`: readable by its owner alone from the first moment, and on the disk
/// when this returns.
///
/// Without `force` an existing file stays as it is; with it, it is replaced as a whole, so that
/// nobody ever reads half a file. A symbolic link at `path` is replaced, not followed.
///
/// # Errors
///
/// [`WriteError::Exists`] where there is a file and `force` is off.
pub fn write_private(path: &Path, secret: &Secret, force: bool) -> Result<(), WriteError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => WriteError::Exists { path: path.to_owned() },
        _ => WriteError::Io { path: path.to_owned(), source },
    };
    let written = if force {
        let mut name = OsString::from(path);
        name.push(format!(".new-{}", std::process::id()));
        let beside = PathBuf::from(name);
        create(&beside, secret)
            .and_then(|()| fs::rename(&beside, path).inspect_err(|_| discard(&beside)))
    } else {
        create(path, secret)
    };
    written.and_then(|()| sync_folder(path)).map_err(failed)
}

/// Makes a new file with mode 0600; it is gone again where it cannot be written whole.
fn create(path: &Path, secret: &Secret) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(secret.expose().as_bytes())
        .and_then(|()| file.sync_all())
        .inspect_err(|_| discard(path))
}

/// Removes what could not be finished; the fault that led here is the one to tell.
fn discard(path: &Path) {
    let _ = fs::remove_file(path);
}

/// Makes a new name in its folder durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn ids(device: &str, module: &str) -> (DeviceId, ModuleId) {
        (DeviceId::new(device).unwrap(), ModuleId::new(module).unwrap())
    }

    #[test]
    fn a_request_has_the_modules_name_as_utf8_and_is_signed_by_its_key() {
        let (device, module) = ids("device01", "module01");
        for kind in [KeyKind::EcP256, KeyKind::Rsa2048, KeyKind::Rsa3072] {
            let key = generate_key(kind).unwrap();
            let pem = csr(&key, &device, &module).unwrap();
            let request = X509Req::from_pem(pem.as_bytes()).unwrap();
            assert!(request.verify(&key.0).unwrap());
            assert_eq!(common_name::common_names(request.subject_name()), ["device01/module01"]);
            assert_eq!(request.subject_name().entries().count(), 1);
            // UTF8String is tag 12 (X.690), then the length and the text.
            let utf8 = [&[12, 17][..], b"device01/module01"].concat();
            assert!(request.to_der().unwrap().windows(utf8.len()).any(|window| window == utf8));
        }
    }

    #[test]
    fn keys_have_the_size_that_was_asked_for() {
        let bits = |kind| generate_key(kind).unwrap().0.bits();
        assert_eq!(bits(KeyKind::EcP256), 256);
        assert_eq!(bits(KeyKind::Rsa2048), 2048);
        assert_eq!(bits(KeyKind::Rsa3072), 3072);
    }

    #[test]
    fn the_longest_name_that_fits_is_taken_and_one_more_is_explained() {
        let key = generate_key(KeyKind::EcP256).unwrap();
        let (device, module) = ids(&"d".repeat(31), &"m".repeat(32));
        assert!(csr(&key, &device, &module).is_ok());
        let (device, module) = ids(&"d".repeat(32), &"m".repeat(32));
        let error = csr(&key, &device, &module).unwrap_err();
        assert!(matches!(error, RequestError::CommonNameTooLong { length: 65, .. }));
        assert!(error.to_string().contains("may have 63 together"), "{error}");
    }

    #[test]
    fn keys_survive_pem_and_encrypted_ones_are_refused_without_asking() {
        let key = generate_key(KeyKind::EcP256).unwrap();
        let again = PrivateKey::from_pem(key.to_pem().unwrap().expose().as_bytes()).unwrap();
        assert!(key.0.public_eq(&again.0));
        let cipher = openssl::symm::Cipher::aes_256_cbc();
        let encrypted = key.0.private_key_to_pem_pkcs8_passphrase(cipher, b"x").unwrap();
        for bad in [encrypted, b"hello".to_vec(), Vec::new()] {
            assert!(matches!(PrivateKey::from_pem(&bad), Err(RequestError::BadKey(_))));
        }
    }

    #[test]
    fn a_private_file_is_its_owners_alone_and_not_overwritten_unless_forced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.key");
        let read = || fs::read_to_string(&path).unwrap();
        let mode = || path.metadata().unwrap().permissions().mode() & 0o777;
        let secret = |text: &str| Secret::new(text.to_owned());
        write_private(&path, &secret("first"), false).unwrap();
        assert_eq!((read().as_str(), mode()), ("first", 0o600));

        let error = write_private(&path, &secret("second"), false).unwrap_err();
        assert!(matches!(error, WriteError::Exists { .. }));
        assert_eq!(read(), "first");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, &secret("third"), true).unwrap();
        assert_eq!((read().as_str(), mode()), ("third", 0o600));
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "nothing else is left");

        write_private(&folder.path().join("new.key"), &secret("x"), true).unwrap();
        let nowhere = folder.path().join("no/such/folder");
        for force in [false, true] {
            let error = write_private(&nowhere, &secret("x"), force).unwrap_err();
            assert!(matches!(error, WriteError::Io { .. }));
        }
    }

    #[test]
    fn a_link_in_the_keys_place_is_never_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("m.key"), folder.path().join("target"));
        std::os::unix::fs::symlink(&target, &path).unwrap();
        let secret = Secret::new("x".to_owned());
        assert!(matches!(write_private(&path, &secret, false), Err(WriteError::Exists { .. })));
        write_private(&path, &secret, true).unwrap();
        assert!(!target.exists());
        assert!(path.symlink_metadata().unwrap().is_file());
    }
}
