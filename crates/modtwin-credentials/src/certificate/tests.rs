//! Certificates and keys made by OpenSSL, right ones and every wrong one.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use openssl::asn1::Asn1Type;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::rsa::Rsa;
use openssl::symm::Cipher;
use openssl::x509::{X509Name, X509Req};

use super::*;
use crate::CommonNameError;
use crate::authority::CertificateAuthority;
use crate::error::CredentialClass;
use crate::request::{KeyKind, PrivateKey, csr, generate_key};

const DAY: Duration = Duration::from_secs(86_400);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn thirty_days() -> Range<SystemTime> {
    now() - 30 * DAY..now() + 30 * DAY
}

fn ids() -> (DeviceId, ModuleId) {
    (DeviceId::new("device01").unwrap(), ModuleId::new("module01").unwrap())
}

/// A folder with credential files, an authority and a key.
struct Bench {
    folder: tempfile::TempDir,
    authority: CertificateAuthority,
    key: PrivateKey,
    files: CertificateFiles,
}

impl Bench {
    fn new(kind: KeyKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = CertificateAuthority::create("Test CA", kind, thirty_days()).unwrap();
        let key = generate_key(kind).unwrap();
        let files = CertificateFiles {
            certificate: folder.path().join("m.pem"),
            private_key: folder.path().join("m.key"),
            private_key_password_file: None,
        };
        let bench = Self { folder, authority, key, files };
        bench.write_key(bench.key.to_pem().unwrap().expose().as_bytes());
        bench.write_certificate(&bench.sign(thirty_days()));
        bench
    }

    fn sign(&self, validity: Range<SystemTime>) -> String {
        let (device, module) = ids();
        let request = csr(&self.key, &device, &module).unwrap();
        self.authority.sign_csr(request.as_bytes(), validity).unwrap()
    }

    fn write_certificate(&self, pem: &str) {
        fs::write(&self.files.certificate, pem).unwrap();
    }

    fn write_key(&self, pem: &[u8]) {
        fs::write(&self.files.private_key, pem).unwrap();
        fs::set_permissions(&self.files.private_key, fs::Permissions::from_mode(0o640)).unwrap();
    }

    fn write_password(&mut self, password: &[u8]) {
        let path = self.folder.path().join("m.password");
        fs::write(&path, password).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        self.files.private_key_password_file = Some(path);
    }

    fn load(&self) -> Result<ClientCertificate, CredentialError> {
        let (device, module) = ids();
        ClientCertificate::load(&self.files, (&device, &module), now())
    }

    /// The error, and the text of it and of its causes.
    fn refused(&self) -> (CredentialError, String) {
        let error = self.load().unwrap_err();
        let text = chain(&error);
        (error, text)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

#[test]
fn ecdsa_and_rsa_pairs_are_taken() {
    for kind in [KeyKind::EcP256, KeyKind::Rsa2048] {
        let loaded = Bench::new(kind).load().unwrap();
        assert_eq!(loaded.leaf.subject, "CN=device01/module01");
        assert_eq!(loaded.leaf.common_name.as_deref(), Some("device01/module01"));
        assert_eq!(loaded.leaf.issuer, "CN=Test CA");
        assert_eq!(loaded.leaf.not_before, thirty_days().start);
        assert_eq!(loaded.leaf.not_after, thirty_days().end);
        assert_eq!(loaded.not_after, thirty_days().end);
        assert_eq!((loaded.password, loaded.warnings), (None, Vec::new()));
    }
}

#[test]
fn thumbprints_are_those_that_the_openssl_tool_prints() {
    let bench = Bench::new(KeyKind::EcP256);
    let loaded = bench.load().unwrap();
    for (algorithm, expected) in
        [("-sha1", &loaded.leaf.thumbprint_sha1), ("-sha256", &loaded.leaf.thumbprint_sha256)]
    {
        let output = Command::new("openssl")
            .args(["x509", "-noout", "-fingerprint", algorithm, "-in"])
            .arg(&bench.files.certificate)
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let (_, digits) = printed.trim().split_once('=').unwrap();
        assert_eq!(digits.replace(':', ""), *expected);
    }
}

#[test]
fn a_request_of_the_openssl_tool_with_an_escaped_slash_is_taken() {
    let bench = Bench::new(KeyKind::Rsa2048);
    let output = Command::new("openssl")
        .args(["req", "-new", "-subj", "/CN=device01\\/module01", "-key"])
        .arg(&bench.files.private_key)
        .output()
        .unwrap();
    bench.write_certificate(&bench.authority.sign_csr(&output.stdout, thirty_days()).unwrap());
    assert_eq!(bench.load().unwrap().leaf.common_name.as_deref(), Some("device01/module01"));
}

#[test]
fn a_chain_ends_with_the_first_of_its_certificates() {
    let mut bench = Bench::new(KeyKind::EcP256);
    let short = now() - DAY..now() + DAY;
    let root = bench.authority.clone();
    bench.authority =
        root.create_intermediate("Intermediate", KeyKind::Rsa2048, short.clone()).unwrap();
    let leaf = bench.sign(thirty_days());
    let intermediate = bench.authority.certificate_pem().unwrap();
    bench.write_certificate(&format!("{leaf}{intermediate}"));
    let loaded = bench.load().unwrap();
    assert_eq!(loaded.leaf.not_after, thirty_days().end);
    assert_eq!(loaded.not_after, short.end);
    assert_eq!(loaded.warnings, []);

    bench.write_certificate(&format!("{leaf}{}", root.certificate_pem().unwrap()));
    let order = Warning::ChainOrder { path: bench.files.certificate.clone(), position: 2 };
    assert_eq!(bench.load().unwrap().warnings, [order]);

    bench.write_certificate(&format!("{intermediate}{leaf}"));
    let (error, text) = bench.refused();
    assert!(matches!(error, CredentialError::KeyMismatch { position: Some(2), .. }));
    assert!(
        text.ends_with("it belongs to certificate 2 of that file; put that one first"),
        "{text}"
    );
}

#[test]
fn an_expired_intermediate_is_told_apart_from_its_leaf() {
    let mut bench = Bench::new(KeyKind::EcP256);
    let past = now() - 3 * DAY..now() - DAY;
    bench.authority =
        bench.authority.create_intermediate("Intermediate", KeyKind::EcP256, past).unwrap();
    let intermediate = bench.authority.certificate_pem().unwrap();
    bench.write_certificate(&format!("{}{intermediate}", bench.sign(thirty_days())));
    let (error, text) = bench.refused();
    assert_eq!(error.class(), CredentialClass::Expired);
    assert!(text.starts_with("certificate 2 of the chain in `"), "{text}");
}

#[test]
fn expired_and_not_yet_valid_are_told_apart_with_dates() {
    let bench = Bench::new(KeyKind::EcP256);
    bench.write_certificate(&bench.sign(now() - 2 * DAY..now() - DAY));
    let (error, text) = bench.refused();
    assert_eq!(error.class(), CredentialClass::Expired);
    let end = "expired on 2027-01-14T08:00:00Z, and it is 2027-01-15T08:00:00Z; renew it";
    assert!(text.starts_with("the certificate in `") && text.ends_with(end), "{text}");

    bench.write_certificate(&bench.sign(now() + DAY..now() + 2 * DAY));
    let (error, text) = bench.refused();
    assert_eq!(error.class(), CredentialClass::NotYetValid);
    let end = "is valid from 2027-01-16T08:00:00Z, and it is 2027-01-15T08:00:00Z; \
               check this machine's clock";
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn a_certificate_is_valid_to_its_last_second() {
    let bench = Bench::new(KeyKind::EcP256);
    let check = |validity| {
        bench.write_certificate(&bench.sign(validity));
        bench.load().map(|_| ()).map_err(|error| error.class())
    };
    let second = Duration::from_secs(1);
    assert_eq!(check(now() - DAY..now()), Ok(()));
    assert_eq!(check(now() - DAY..now() - second), Err(CredentialClass::Expired));
    assert_eq!(check(now()..now() + DAY), Ok(()));
    assert_eq!(check(now() + second..now() + DAY), Err(CredentialClass::NotYetValid));
}

#[test]
fn an_encrypted_key_needs_its_password_and_nobody_is_asked() {
    let mut bench = Bench::new(KeyKind::EcP256);
    let pkcs8 = bench.key.0.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"s3cret");
    let ec = bench.key.0.ec_key().unwrap();
    let traditional = ec.private_key_to_pem_passphrase(Cipher::aes_128_cbc(), b"s3cret");
    for pem in [pkcs8.unwrap(), traditional.unwrap()] {
        bench.files.private_key_password_file = None;
        bench.write_key(&pem);
        let (error, text) = bench.refused();
        assert!(matches!(error, CredentialError::KeyEncrypted { .. }));
        assert!(text.ends_with("is encrypted; set private-key-password-file"), "{text}");

        bench.write_password(b"s3cret\nsecond line\n");
        let loaded = bench.load().unwrap();
        assert_eq!(loaded.password.unwrap().expose(), "s3cret");
        assert_eq!(loaded.warnings, []);

        bench.write_password(b"0ther");
        let (error, text) = bench.refused();
        assert!(matches!(error, CredentialError::WrongPassword { .. }));
        assert!(!text.contains("s3cret") && !text.contains("0ther"), "{text}");

        // Two encrypted keys in one file: the first counts, and the second opens no prompt.
        bench.write_key(&[pem.clone(), pem].concat());
        assert!(matches!(bench.load(), Err(CredentialError::WrongPassword { .. })));
        bench.write_password(b"s3cret\r\n");
        assert!(bench.load().is_ok());
    }
}

#[test]
fn a_password_file_without_password_is_refused() {
    let mut bench = Bench::new(KeyKind::EcP256);
    let pem = bench.key.0.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"x");
    bench.write_key(&pem.unwrap());
    for password in [&b""[..], b"\nx", b"\xff", b"x\0y"] {
        bench.write_password(password);
        assert!(matches!(bench.load(), Err(CredentialError::NoPassword { .. })), "{password:?}");
    }
}

#[test]
fn a_password_that_is_not_needed_is_only_a_warning() {
    let mut bench = Bench::new(KeyKind::EcP256);
    bench.write_password(b"x");
    let unused = Warning::PasswordUnused { path: bench.files.private_key.clone() };
    assert_eq!(bench.load().unwrap().warnings, [unused]);
}

#[test]
fn a_key_that_all_may_read_is_only_a_warning() {
    let bench = Bench::new(KeyKind::EcP256);
    let path = &bench.files.private_key;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = bench.load().unwrap().warnings;
    assert_eq!(warnings, [Warning::ReadableByOthers { path: path.clone(), mode: 0o644 }]);
    assert!(warnings[0].to_string().contains("(mode 0644)"));
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let bench = Bench::new(KeyKind::EcP256);
    for kind in [KeyKind::EcP256, KeyKind::Rsa2048] {
        let other = generate_key(kind).unwrap();
        bench.write_key(other.to_pem().unwrap().expose().as_bytes());
        let (error, text) = bench.refused();
        assert!(matches!(error, CredentialError::KeyMismatch { position: None, .. }));
        assert!(text.contains("does not belong to the certificate in `"), "{text}");
        assert_eq!(error.class(), CredentialClass::Config);
    }
}

#[test]
fn a_key_that_tls_would_refuse_is_refused_before() {
    let mut bench = Bench::new(KeyKind::EcP256);
    bench.key = PrivateKey(PKey::from_rsa(Rsa::generate(512).unwrap()).unwrap());
    bench.write_key(bench.key.to_pem().unwrap().expose().as_bytes());
    bench.write_certificate(&bench.sign(thirty_days()));
    let (error, text) = bench.refused();
    assert!(matches!(error, CredentialError::Unusable { .. }));
    assert!(text.contains("key too small"), "{text}");
}

#[test]
fn files_that_are_something_else_are_named_for_what_they_are() {
    let bench = Bench::new(KeyKind::EcP256);
    let certificate = fs::read(&bench.files.certificate).unwrap();
    let key = fs::read(&bench.files.private_key).unwrap();
    let der = X509::from_pem(&certificate).unwrap().to_der().unwrap();
    let (device, module) = ids();
    let request = csr(&bench.key, &device, &module).unwrap();
    for (bytes, found) in [
        (&b""[..], "found an empty file"),
        (&der, "found DER; convert it with openssl's -inform der"),
        (&key, "found a private key"),
        (request.as_bytes(), "found a request that nobody has signed yet"),
        (b"hello", "found something else"),
    ] {
        fs::write(&bench.files.certificate, bytes).unwrap();
        assert!(bench.refused().1.ends_with(found), "{found}");
    }
    fs::write(&bench.files.certificate, &certificate).unwrap();
    bench.write_key(&certificate);
    let (error, text) = bench.refused();
    assert!(matches!(error, CredentialError::NoKey { .. }));
    assert!(text.ends_with("found a certificate"), "{text}");
}

#[test]
fn damaged_pem_is_refused() {
    let bench = Bench::new(KeyKind::EcP256);
    let certificate = fs::read_to_string(&bench.files.certificate).unwrap();
    let key = fs::read_to_string(&bench.files.private_key).unwrap();
    bench.write_certificate(&certificate.replacen("MII", "AAA", 1));
    assert!(matches!(bench.load(), Err(CredentialError::BadCertificate { .. })));
    bench.write_certificate(&certificate);
    bench.write_key(key.replacen("MI", "AA", 1).as_bytes());
    assert!(matches!(bench.load(), Err(CredentialError::BadKey { .. })));
    bench.write_key(&key.as_bytes()[..key.len() / 2]);
    assert!(matches!(bench.load(), Err(CredentialError::NoKey { .. })));
}

#[test]
fn files_that_cannot_be_read_say_so() {
    let bench = Bench::new(KeyKind::EcP256);
    fs::remove_file(&bench.files.private_key).unwrap();
    let (error, text) = bench.refused();
    assert_eq!(error.class(), CredentialClass::Unreadable);
    assert!(text.starts_with("cannot read `") && text.contains("m.key`: No such file"), "{text}");
    fs::create_dir(&bench.files.private_key).unwrap();
    assert!(matches!(bench.load(), Err(CredentialError::NotAFile { .. })));
    fs::write(&bench.files.certificate, vec![b'x'; 256 * 1024 + 1]).unwrap();
    assert!(matches!(bench.load(), Err(CredentialError::TooLarge { .. })));
}

/// The complaint about a certificate whose subject has these common names.
fn complaint(names: &[&str], device: &str, module: &str) -> Option<CommonNameError> {
    let bench = Bench::new(KeyKind::EcP256);
    let mut subject = X509Name::builder().unwrap();
    subject.append_entry_by_nid(Nid::ORGANIZATIONNAME, "Contoso").unwrap();
    for name in names {
        subject.append_entry_by_nid_with_type(Nid::COMMONNAME, name, Asn1Type::UTF8STRING).unwrap();
    }
    let mut request = X509Req::builder().unwrap();
    request.set_subject_name(&subject.build()).unwrap();
    request.set_pubkey(&bench.key.0).unwrap();
    request.sign(&bench.key.0, MessageDigest::sha256()).unwrap();
    let request = request.build().to_pem().unwrap();
    bench.write_certificate(&bench.authority.sign_csr(&request, thirty_days()).unwrap());
    let (device, module) = (DeviceId::new(device).unwrap(), ModuleId::new(module).unwrap());
    match ClientCertificate::load(&bench.files, (&device, &module), now()) {
        Ok(_) => None,
        Err(CredentialError::CommonName { source, .. }) => Some(source),
        Err(other) => panic!("{other}"),
    }
}

/// What a module named `device01/module01` says to a certificate with these common names.
fn refusal(names: &[&str]) -> (CommonNameError, String) {
    let fault = complaint(names, "device01", "module01").unwrap();
    let text = fault.to_string();
    assert!(text.starts_with("expected ") && text.contains("`device01/module01`"), "{text}");
    (fault, text)
}

#[test]
fn every_way_to_get_the_name_wrong_has_its_own_message() {
    type Fault = fn(String, String) -> CommonNameError;
    let backslash: Fault = |expected, found| CommonNameError::Backslash { expected, found };
    let device: Fault = |expected, found| CommonNameError::DeviceOnly { expected, found };
    let module: Fault = |expected, found| CommonNameError::ModuleOnly { expected, found };
    let case: Fault = |expected, found| CommonNameError::Case { expected, found };
    let swapped: Fault = |expected, found| CommonNameError::Swapped { expected, found };
    let other: Fault = |expected, found| CommonNameError::Other { expected, found };
    for (name, expected, hint) in [
        ("device01\\/module01", backslash, ": the backslash is part of the name"),
        ("device01", device, "-subj \"/CN=device01\\/module01\""),
        ("module01", module, ": the device's id and a slash are missing"),
        ("Device01/Module01", case, ": upper and lower case differ"),
        ("module01/device01", swapped, ": the device comes first, then the module"),
        ("device01/module02", other, ""),
        ("device01/module01 ", other, ""),
        ("device01//module01", other, ""),
    ] {
        let (fault, text) = refusal(&[name]);
        assert_eq!(fault, expected("device01/module01".to_owned(), name.to_owned()));
        assert!(text.contains(&format!("found `{name}`")) && text.contains(hint), "{text}");
    }
    assert_eq!(complaint(&["device01/module01"], "device01", "module01"), None);
}

#[test]
fn no_name_and_two_names_have_their_own_messages() {
    let (fault, text) = refusal(&[]);
    assert!(matches!(fault, CommonNameError::Absent { .. }));
    assert!(text.ends_with("found a subject without CN"), "{text}");
    let (fault, text) = refusal(&["device01", "module01"]);
    assert!(matches!(fault, CommonNameError::Several { .. }));
    let start = "found `device01` and `module01`: device and module belong into one CN";
    assert!(text.contains(start), "{text}");
}

#[test]
fn a_name_that_fits_no_certificate_is_explained() {
    let (device, module) = ("d".repeat(40), "m".repeat(40));
    let found = format!("{device}/{}", "m".repeat(23));
    let fault = complaint(&[&found], &device, &module).unwrap();
    assert!(matches!(fault, CommonNameError::TooLong { length: 81, .. }));
    assert!(fault.to_string().contains("81 characters, X.520 allows 64"), "{fault}");
}

#[test]
fn nothing_secret_is_shown() {
    let mut bench = Bench::new(KeyKind::EcP256);
    let pem = bench.key.0.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"s3cret");
    bench.write_key(&pem.unwrap());
    bench.write_password(b"s3cret");
    assert!(!format!("{:?}", bench.load().unwrap()).contains("s3cret"));
    assert_eq!(format!("{:?}", bench.key), "PrivateKey(…)");
}
