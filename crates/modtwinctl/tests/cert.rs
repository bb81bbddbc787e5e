//! `cert`: certificates made, shown and judged, without a hub; and the request that `openssl`
//! itself makes, with every way to get its name wrong.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[expect(dead_code, reason = "each test file uses its share")]
mod program;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use modtwin_credentials::authority::CertificateAuthority;
use modtwin_credentials::request::KeyKind;
use program::{Ran, modtwinctl};
use tempfile::TempDir;

/// Runs the program in `folder`.
fn run(folder: &TempDir, arguments: &[&str]) -> Ran {
    let mut command = modtwinctl(Path::new("/nowhere/modtwin.sock"), arguments);
    command.current_dir(folder.path()).output().unwrap().into()
}

fn read(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

const OF: [&str; 4] = ["--device", "device01", "--module", "module01"];
const FILES: [&str; 4] = ["--certificate", "module01.pem", "--private-key", "module01.key"];

/// `cert check` of the usual files.
fn check(folder: &TempDir) -> Ran {
    run(folder, &[&["cert", "check"][..], &OF, &FILES].concat())
}

/// An authority in `ca.pem` and `ca.key`.
fn authority(folder: &TempDir) {
    let now = SystemTime::now();
    let day = Duration::from_secs(86_400);
    let root = CertificateAuthority::create("Root", KeyKind::EcP256, now - day..now + 9 * day);
    let root = root.unwrap();
    fs::write(folder.path().join("ca.pem"), root.certificate_pem().unwrap()).unwrap();
    let key = root.key().to_pem().unwrap();
    fs::write(folder.path().join("ca.key"), key.expose()).unwrap();
}

#[test]
fn a_self_signed_certificate_is_the_modules_and_its_thumbprints_are_openssls() {
    for kind in ["ec", "rsa"] {
        let folder = tempfile::tempdir().unwrap();
        let made = run(&folder, &[&["cert", "self-signed", "--kind", kind][..], &OF].concat());
        let said = made.success();
        let openssl = Command::new("openssl")
            .args(["x509", "-in", "module01.pem", "-noout", "-fingerprint", "-sha256", "-subject"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let openssl = String::from_utf8(openssl.stdout).unwrap();
        let print: String =
            openssl.lines().next().unwrap().split('=').nth(1).unwrap().replace(':', "");
        assert!(said.contains(&format!("SHA-256:     {print}")), "{said} {openssl}");
        assert!(openssl.contains("CN = device01/module01"), "{openssl}");
        assert!(said.contains("signed by:   itself") && said.contains("364 days left"), "{said}");
        assert!(said.contains("modtwinctl hub module create device01 module01 --certificate"));
        let mode = fs::metadata(folder.path().join("module01.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(check(&folder).success().starts_with("good for device01/module01 until "));
    }
}

#[test]
fn neither_key_nor_certificate_is_overwritten_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    let make = [&["cert", "self-signed"][..], &OF].concat();
    run(&folder, &make).success();
    let before = (read(&folder, "module01.key"), read(&folder, "module01.pem"));
    assert!(run(&folder, &make).failure(1).contains("overwrite it with --force"));
    fs::remove_file(folder.path().join("module01.pem")).unwrap();
    assert!(run(&folder, &make).failure(1).contains("module01.key"));
    assert_eq!(read(&folder, "module01.key"), before.0);
    run(&folder, &[&make[..], &["--force"]].concat()).success();
    assert_ne!(read(&folder, "module01.key"), before.0);
    check(&folder).success();
}

#[test]
fn a_request_is_signed_for_trying_out() {
    let folder = tempfile::tempdir().unwrap();
    authority(&folder);
    run(&folder, &[&["csr", "--out", "module01.csr"][..], &OF].concat()).success();
    let sign = ["cert", "sign", "module01.csr", "--ca", "ca.pem", "--ca-key", "ca.key"];
    let sign = [&sign[..], &["--out", "module01.pem", "--valid-for", "10d"]].concat();
    let signed = run(&folder, &sign);
    assert!(signed.success().contains("signed by:   CN=Root"), "{signed:?}");
    check(&folder).success();
    assert!(run(&folder, &sign).failure(1).contains("module01.pem"));
    let shown = run(&folder, &["--json", "cert", "show", "module01.pem"]).json();
    assert_eq!(shown.get("common_name").unwrap(), "device01/module01");
    assert_eq!(shown.get("days_left").unwrap(), 9);
}

#[test]
fn names_that_are_too_long_for_a_certificate_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let (device, module) = ("d".repeat(40), "m".repeat(24));
    let long = ["--device", device.as_str(), "--module", module.as_str()];
    for command in [&["csr"][..], &["cert", "self-signed"]] {
        let ran = run(&folder, &[command, &long].concat());
        let said = ran.failure(1);
        assert!(said.contains("has 65 characters, X.520 allows 64"), "{said}");
        assert!(said.contains("choose shorter ids or a symmetric key"), "{said}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "no key is left behind");
}

/// Makes key and request as the quick start does, with this `-subj`, and signs it.
fn quick_start(folder: &TempDir, subject: &str) {
    let made = Command::new("openssl")
        .args(["req", "-newkey", "rsa:2048", "-nodes", "-keyout", "module01.key"])
        .args(["-out", "module01.csr", "-utf8", "-subj", subject])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let sign = ["cert", "sign", "module01.csr", "--ca", "ca.pem", "--ca-key", "ca.key"];
    run(folder, &[&sign[..], &["--out", "module01.pem", "--force"]].concat()).success();
}

#[test]
fn the_quick_starts_own_request_is_taken_and_every_wrong_one_has_its_message() {
    let folder = tempfile::tempdir().unwrap();
    authority(&folder);
    quick_start(&folder, r"/CN=device01\/module01");
    check(&folder).success();
    for (subject, found, why) in [
        (r"/CN=device01\\\/module01", r"`device01\/module01`", "the backslash is part of the name"),
        ("/CN=device01/CN=module01", "`device01` and `module01`", "belong into one CN"),
        ("/CN=device01", "`device01`", "a device's certificate cannot be used for a module"),
        ("/CN=module01", "`module01`", "the device's id and a slash are missing"),
        (r"/CN=Device01\/module01", "`Device01/module01`", "upper and lower case differ"),
        (r"/CN=module01\/device01", "`module01/device01`", "the device comes first"),
        ("/O=example", "a subject without CN", ""),
        (r"/CN=device01\/module02", "`device01/module02`", ""),
    ] {
        quick_start(&folder, subject);
        let ran = check(&folder);
        let said = ran.failure(78);
        assert!(said.contains("CN `device01/module01`, found"), "{subject}: {said}");
        assert!(said.contains(found) && said.contains(why), "{subject}: {said}");
    }
}
