//! The units as systemd's own tools judge them, and the generator; needs no root and boots nothing.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test says by a panic that it failed, and on standard error that it was skipped"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Tenths of systemd's scale of exposure, 0 to 10.
const MOST_EXPOSURE: &str = "12";
const MOST_EXPOSURE_OF_HOOKS: &str = "20";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("systemd")
}

/// Asks systemd-analyze, where it is here.
fn analyze(words: &[&str], files: &[PathBuf]) -> Option<Output> {
    let output = Command::new("systemd-analyze").args(words).args(files).output();
    if output.is_err() {
        eprintln!("skipped: systemd-analyze is not here");
    }
    output.ok()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn the_services_are_hardly_exposed() {
    for (unit, most) in
        [("modtwind.service", MOST_EXPOSURE), ("modtwin-hook@.service", MOST_EXPOSURE_OF_HOOKS)]
    {
        let threshold = format!("--threshold={most}");
        let words = ["security", "--offline=true", "--no-pager", &threshold];
        let Some(output) = analyze(&words, &[folder().join(unit)]) else { return };
        let text = said(&output);
        // Before version 250 it judges only units that are loaded.
        if text.contains("unrecognized option") {
            eprintln!("skipped: this systemd-analyze is too old to judge files");
            return;
        }
        assert!(text.contains("Overall exposure level"), "{text}");
        assert!(output.status.success(), "{text}");
    }
}

#[test]
fn the_units_say_nothing_that_systemd_does_not_understand() {
    let copies = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if !path.extension().is_some_and(|it| it == "service" || it == "socket" || it == "path") {
            continue;
        }
        // The programs are not installed here: one that is stands in for them.
        let text = fs::read_to_string(&path).unwrap();
        let text = text
            .replace("/usr/bin/modtwind", "/bin/true")
            .replace("/usr/bin/modtwinctl", "/bin/true");
        let name = path.file_name().unwrap().to_string_lossy().replace("@.", "@module01.");
        let copy = copies.path().join(name);
        fs::write(&copy, text).unwrap();
        files.push(copy);
    }
    assert_eq!(files.len(), 4, "{files:?}");
    let Some(output) = analyze(&["verify", "--man=no"], &files) else { return };
    let text = said(&output);
    let ours: Vec<&str> = text.lines().filter(|line| line.contains("modtwin")).collect();
    assert!(output.status.success() && ours.is_empty(), "{text}");
}

/// What the generator writes for a kernel of that release.
fn generated(release: &str) -> Option<String> {
    let room = tempfile::tempdir().unwrap();
    let uname = room.path().join("uname");
    fs::write(&uname, format!("#!/bin/sh\necho '{release}'\n")).unwrap();
    fs::set_permissions(&uname, fs::Permissions::from_mode(0o755)).unwrap();
    let out = room.path().join("normal");
    let path = format!("{}:/usr/bin:/bin", room.path().display());
    let output = Command::new("sh")
        .arg(folder().join("modtwind-generator"))
        .args([&out, &out, &out])
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
    fs::read_to_string(out.join("modtwind.service.d/10-kernel-before-6.5.conf")).ok()
}

#[test]
fn old_kernels_let_the_daemon_see_who_connects() {
    for release in ["4.19.0-27-amd64", "5.14.0-503.el9.x86_64", "6.1.0-30-amd64", "6.4", "6.4.16+"]
    {
        let drop_in = generated(release).unwrap_or_default();
        assert_eq!(drop_in, "[Service]\nProtectProc=default\n", "{release}");
    }
    for release in
        ["6.5.0", "6.5-rc1", "6.8.0-45-generic", "6.12.22+deb13-amd64", "6.18.44", "7.0.0", "10.1"]
    {
        assert_eq!(generated(release), None, "{release}");
    }
}
