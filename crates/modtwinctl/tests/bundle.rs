//! `modtwinctl support-bundle`: all that a supporter needs is in it, and no secret, wherever one was
//! planted. Hub, daemon and files are the real ones.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

#[expect(dead_code, reason = "each test file uses its share")]
mod program;

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::hub::program;
use modtwin_testkit::stage::Stage;
use serde_json::{Value, json};

use program::{Ran, modtwinctl};

type Story = anyhow::Result<()>;

/// A symmetric key that is planted in many places.
const KEY: &str = "c2VjcmV0LXBsYW50ZWQtZXZlcnl3aGVyZS0wMDAwMDE=";
/// A signature of a token.
const SIGNATURE: &str = "cGxhbnRlZC1zaWduYXR1cmU";
/// A password that the config's password file holds, and a comment too.
const PASSWORD: &str = "hunter-of-the-green-heron";
/// A token that the config names by a key that does not exist.
const TOKEN: &str = "tok-3a51-planted";
/// A value of a twin: private, if no secret.
const VALUE: &str = "value-only-for-the-module";

/// Everything that must not be found; keys are compared line by line.
fn secrets(key_files: &[PathBuf]) -> Vec<String> {
    let fixed = [KEY, SIGNATURE, PASSWORD, TOKEN].map(str::to_owned);
    let keys = key_files.iter().map(|path| fs::read_to_string(path).unwrap());
    let lines = keys.flat_map(|pem| {
        let inside = pem.lines().filter(|line| !line.starts_with("-----"));
        inside.map(str::to_owned).collect::<Vec<_>>()
    });
    fixed.into_iter().chain(lines.filter(|line| line.len() > 8)).collect()
}

/// The files of a bundle by their names, without the folder that they are all in.
fn unpacked(path: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(path).unwrap()));
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let (folder, name) = name.split_once('/').unwrap();
        assert!(folder.starts_with("modtwin-support-20"), "{folder}");
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.insert(name.to_owned(), text);
    }
    files
}

fn assert_clean(files: &BTreeMap<String, String>, secrets: &[String]) {
    for (name, text) in files {
        for secret in secrets {
            assert!(!text.contains(secret.as_str()), "{secret} is in {name}: {text}");
        }
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// Runs the command in the gateway's folder, with secrets in its environment.
fn make(stage: &Stage, arguments: &[&str]) -> Ran {
    let mut command: Command = modtwinctl(&stage.gateway.socket(), &["support-bundle"]);
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .args(["--config", "modtwind.toml"])
        .args(arguments)
        .env("IOTHUB_CONNECTION_STRING", format!("HostName=h;SharedAccessKey={KEY}"))
        .env("MODTWIN_TOKEN", TOKEN)
        .env("PATH", format!("{}/bin:{path}", stage.gateway.folder().display()))
        .current_dir(stage.gateway.folder());
    command.output().unwrap().into()
}

/// Writes a `journalctl` that tells what a careless program might have logged: there is no journal
/// where tests run.
fn journal(stage: &Stage) {
    let folder = stage.gateway.folder().join("bin");
    fs::create_dir(&folder).unwrap();
    let script = format!(
        "#!/bin/sh\ncat <<'END'\nconnecting with SharedAccessSignature sr=h&sig={SIGNATURE}&se=1\n\
         password={PASSWORD}\nmodtwind started\n{{\"token\":\"{TOKEN}\"}}\nEND\n"
    );
    fs::write(folder.join("journalctl"), script).unwrap();
    fs::set_permissions(folder.join("journalctl"), Permissions::from_mode(0o755)).unwrap();
}

/// A daemon that is connected, and secrets wherever people leave them; returns the private keys.
async fn careless() -> anyhow::Result<(Stage, Vec<PathBuf>)> {
    let mut stage = Stage::build(program("modtwind")?, 2).await?;
    let folder = stage.gateway.folder().to_owned();
    stage.change("m01", json!({"target": VALUE, "wifiPassword": TOKEN})).await?;
    stage.start_daemon().await?;
    stage.gateway.wait_connected(2).await?;
    stage.report("m01", json!({"seen": VALUE})).await?;
    stage.wait_reported("m01", |found| found["seen"] == VALUE).await?;

    let key = fs::read_to_string(folder.join("m01.key"))?;
    let commented: String = key.lines().map(|line| format!("# {line}\n")).collect();
    let string = format!("HostName=localhost;DeviceId={DEVICE};SharedAccessKey={KEY}");
    fs::write(folder.join("m03.password"), PASSWORD)?;
    fs::write(folder.join("m04.string"), &string)?;
    fs::write(folder.join("notes.txt"), format!("{string}\n{key}{PASSWORD}"))?;
    fs::write(folder.join("state/m01/scribble"), format!("{string}\n{key}"))?;
    fs::create_dir(folder.join("conf.d"))?;
    let drop_in = format!(
        "# was {KEY}, the password is {PASSWORD}\n{commented}\n[[module]]\nid = \"m03\"\n\
         certificate = \"m01.pem\"\nprivate-key = \"m02.key\"\n\
         private-key-password-file = \"../m03.password\"\n\
         [[module]]\nid = \"m04\"\nconnection-string-file = \"../m04.string\"\n"
    );
    fs::write(folder.join("conf.d/50-more.toml"), drop_in)?;
    // Some people put the certificate and its key into one file.
    let pem = fs::read_to_string(folder.join("m01.pem"))?;
    fs::write(folder.join("m01.pem"), pem + &key)?;
    let keys = ["m01.key", "m02.key"].map(|name| folder.join(name)).to_vec();
    Ok((stage, keys))
}

#[tokio::test]
async fn no_secret_is_in_a_bundle_and_everything_else_is() -> Story {
    let (stage, keys) = careless().await?;
    journal(&stage);
    let ran = make(&stage, &["out.tar.gz"]);
    let said = ran.success();
    let file = stage.gateway.folder().join("out.tar.gz");
    assert_eq!(mode(&file), 0o600);
    assert!(said.contains("written to out.tar.gz"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");

    let files = unpacked(&file);
    assert_clean(&files, &secrets(&keys));
    for (name, text) in &files {
        assert!(!text.contains(VALUE), "a twin's value is in {name}: {text}");
        assert!(name == "MANIFEST" || files["MANIFEST"].contains(&format!("  {name} (")), "{name}");
        assert!(said.contains(name.as_str()), "{name} is not printed: {said}");
    }
    let status: Value = serde_json::from_str(&files["status.json"])?;
    assert_eq!(status["device_id"], DEVICE);
    let check: Value = serde_json::from_str(&files["check.json"])?;
    assert!(check["checks"].as_array().is_some_and(|checks| checks.len() > 20), "{check}");
    for (name, part) in [
        ("metrics.txt", "# EOF"),
        ("journal.txt", "modtwind started"),
        ("config/modtwind.toml", "private-key = \"m01.key\""),
        ("config/conf.d/50-more.toml", "connection-string-file = \"../m04.string\""),
        ("certificates/m01.pem", "-----END CERTIFICATE-----"),
        ("certificates/trusted-ca.pem", "-----END CERTIFICATE-----"),
        ("state/clock.json", "reached_ms"),
        ("files.txt", "100600  "),
        ("files.txt", "/m01.key"),
        ("files.txt", "state/m01/twin.json"),
        ("system.txt", "OpenSSL"),
        ("MANIFEST", "state/*/twin.json: not there"),
    ] {
        assert!(
            files.get(name).is_some_and(|text| text.contains(part)),
            "{part}: {name}: {files:#?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn twins_come_where_they_are_wanted_and_what_is_named_a_secret_in_them_does_not() -> Story {
    let (stage, keys) = careless().await?;
    let ran = make(&stage, &["--with-twins", "--json", "out.tar.gz"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let said = ran.json();
    assert_eq!(said["file"], "out.tar.gz");
    let names = said["contents"].as_array().unwrap().iter().map(|entry| &entry["name"]);
    assert!(names.clone().any(|name| name == "state/m01/twin.json"), "{said}");
    let files = unpacked(&stage.gateway.folder().join("out.tar.gz"));
    assert_eq!(names.count(), files.len());
    assert!(files["state/m01/twin.json"].contains(VALUE), "{files:?}");
    assert_clean(&files, &secrets(&keys));
    Ok(())
}

#[tokio::test]
async fn without_daemon_and_with_a_config_that_does_not_check_a_bundle_says_what_it_lacks() -> Story
{
    let stage = Stage::build(program("modtwind")?, 1).await?;
    fs::write(
        stage.gateway.config(),
        format!("[hub]\npasword = 1\nconnection-string = \"{KEY}\"\n"),
    )?;
    let ran = make(&stage, &[]);
    let said = ran.success();
    let made = fs::read_dir(stage.gateway.folder())?.filter_map(Result::ok).map(|it| it.path());
    let made: Vec<PathBuf> =
        made.filter(|path| path.extension().is_some_and(|it| it == "gz")).collect();
    let [file] = made.as_slice() else { panic!("{made:?}: {said}") };
    assert_eq!(mode(file), 0o600);
    let files = unpacked(file);
    assert_clean(&files, &[KEY.to_owned()]);
    let check: Value = serde_json::from_str(&files["check.json"])?;
    assert_eq!(check["first"]["check"], "config");
    assert!(files["config/modtwind.toml"].contains("pasword = 1"));
    for lacking in ["status.json: not there", "metrics.txt: not there"] {
        assert!(files["MANIFEST"].contains(lacking) && said.contains(lacking), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_file_that_exists_is_overwritten_only_by_force_and_never_through_a_link() -> Story {
    let stage = Stage::build(program("modtwind")?, 1).await?;
    stage.gateway.write_config()?;
    let (file, target) = ("out.tar.gz", stage.gateway.folder().join("precious"));
    fs::write(&target, "precious")?;
    symlink(&target, stage.gateway.folder().join(file))?;
    let ran = make(&stage, &["--offline", file]);
    assert!(ran.failure(1).contains("`out.tar.gz` exists"), "{ran:?}");
    make(&stage, &["--offline", "--force", file]).success();
    assert_eq!(fs::read_to_string(&target)?, "precious");
    let made = stage.gateway.folder().join(file);
    assert!(made.symlink_metadata()?.is_file());
    assert_eq!(mode(&made), 0o600);
    assert!(unpacked(&made).contains_key("MANIFEST"));
    let ran = make(&stage, &["--offline", "no/such/folder.tar.gz"]);
    assert!(ran.failure(1).contains("cannot write `no/such/folder.tar.gz`"), "{ran:?}");
    Ok(())
}
