//! Faults in files: the config, credentials, the clock's evidence, the state directory.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use modtwin_credentials::request::KeyKind;
use modtwin_testkit::gateway::Validity;

use crate::Story;
use crate::bench::{Bench, M};

#[tokio::test]
async fn a_config_that_is_no_toml_is_named_with_its_line_and_exit_status_78() -> Story {
    let bench = Bench::new().await?;
    bench.edit(|text| format!("{text}\n[hub\n"));
    let found = bench.check();
    found.failed("config", "modtwind.toml:", &[]);
    assert_eq!(found.of_check("hub-name")["because"], "config");
    Ok(())
}

#[tokio::test]
async fn a_config_that_is_not_there_or_names_no_module_is_told_with_what_to_do() -> Story {
    let bench = Bench::new().await?;
    // The hub of the packages' config is nobody's.
    bench.edit(|text| {
        let sections = text.split("[[module]]").next().unwrap_or_default();
        sections.replace("\"localhost\"", "\"nobody.invalid\"")
    });
    let found = bench.check();
    found.warned("config", "names no module yet");
    for check in ["hub-name", "hub-tcp", "hub-tls"] {
        assert_eq!(found.of_check(check)["text"], "no module needs it", "{check}: {found:?}");
    }
    fs::remove_file(bench.stage.gateway.config())?;
    let found = bench.check();
    found.failed("config", "cannot read the file", &[]);
    let next = found.of_check("config")["next"].to_string();
    assert!(next.contains("put a config there"), "{next}");
    Ok(())
}

#[tokio::test]
async fn an_unknown_key_is_named_with_the_nearest_one() -> Story {
    let bench = Bench::new().await?;
    bench.edit(|text| text.replace("private-key", "privat-key"));
    bench.check().failed("config", "did you mean private-key?", &[]);
    Ok(())
}

#[tokio::test]
async fn a_key_file_that_is_missing_is_named() -> Story {
    let bench = Bench::new().await?;
    fs::remove_file(bench.path("m01.key"))?;
    let found = bench.check();
    found.failed("credential-files", "m01.key", &[]);
    assert_eq!(found.of_check("hub-identity")["because"], "credential-files");
    assert_eq!(found.of_check("hub-tls")["result"], "ok");
    Ok(())
}

#[tokio::test]
async fn a_key_that_the_daemon_s_user_may_not_read_is_named_with_owner_and_mode() -> Story {
    let mut bench = for_nobody().await?;
    fs::create_dir(bench.path("state"))?;
    bench.mode("state", 0o777);
    bench.argue(&["--user", "nobody"]);
    bench.check().failed("credential-rights", "nobody may not read", &[]);
    Ok(())
}

#[tokio::test]
async fn a_user_that_does_not_exist_is_no_reason_to_pass() -> Story {
    let mut bench = Bench::new().await?;
    bench.argue(&["--user", "no-such-user"]);
    bench.check().failed("credential-rights", "no user `no-such-user`", &[]);
    Ok(())
}

#[tokio::test]
async fn a_certificate_for_another_module_is_told_by_its_name() -> Story {
    let bench = Bench::new().await?;
    certify(&bench, "m99", Validity::Good)?;
    for ending in ["pem", "key"] {
        fs::rename(bench.path(&format!("m99.{ending}")), bench.path(&format!("m01.{ending}")))?;
    }
    bench.check().failed("credential-name", "gateway01/m99", &[]);
    Ok(())
}

#[tokio::test]
async fn a_key_of_another_certificate_is_told() -> Story {
    let bench = Bench::new().await?;
    certify(&bench, "m99", Validity::Good)?;
    fs::rename(bench.path("m99.key"), bench.path("m01.key"))?;
    bench.check().failed("credential-pair", "does not belong to the certificate", &[]);
    Ok(())
}

#[tokio::test]
async fn a_file_that_holds_no_certificate_is_told() -> Story {
    let bench = Bench::new().await?;
    fs::write(bench.path("m01.pem"), "no PEM")?;
    bench.check().failed("credential-content", "expected PEM", &[]);
    Ok(())
}

#[tokio::test]
async fn an_expired_certificate_is_told_with_the_way_to_a_new_one() -> Story {
    let bench = Bench::new().await?;
    certify(&bench, M, Validity::Expired)?;
    let found = bench.check();
    found.failed("credential-time", "expired on", &[]);
    let next = found.of_check("credential-time")["next"].clone();
    assert_eq!(next, "renew it: modtwinctl csr --device gateway01 --module m01");
    Ok(())
}

#[tokio::test]
async fn a_certificate_whose_time_has_not_come_is_told() -> Story {
    let bench = Bench::new().await?;
    certify(&bench, M, Validity::NotYet)?;
    bench.check().failed("credential-time", "is valid from", &[]);
    Ok(())
}

#[tokio::test]
async fn a_clock_in_the_past_is_why_and_not_the_certificates() -> Story {
    let Some(library) = faketime() else {
        println!("skipped: needs the package libfaketime");
        return Ok(());
    };
    let mut bench = Bench::new().await?;
    bench.environment = vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME", "@2020-01-01 00:00:00".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("TZ", "UTC".to_owned()),
    ];
    let found = bench.check();
    found.failed("clock", "the clock says 2020-01-01", &[]);
    for follows in ["credential-time", "hub-tls", "hub-identity"] {
        assert_eq!(found.of_check(follows)["because"], "clock", "{follows}: {found:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_clock_behind_the_time_at_which_the_hub_was_reached_is_told() -> Story {
    let bench = Bench::new().await?;
    let later = SystemTime::now() + Duration::from_secs(86_400);
    let reached_ms = later.duration_since(UNIX_EPOCH)?.as_millis();
    fs::create_dir(bench.path("state"))?;
    fs::write(bench.path("state/clock.json"), format!("{{\"reached_ms\":{reached_ms}}}"))?;
    bench.check().failed("clock", "when the hub was last reached", &[]);
    Ok(())
}

#[tokio::test]
async fn a_file_without_trusted_authorities_is_told_before_tls() -> Story {
    let bench = Bench::new().await?;
    let ca = bench.stage.hub.facts.ca.display().to_string();
    fs::write(bench.path("empty.pem"), "")?;
    bench.edit(|text| text.replace(&ca, "empty.pem"));
    let found = bench.check();
    found.failed("trusted-ca", "found none", &[]);
    assert_eq!(found.of_check("hub-tls")["because"], "trusted-ca");
    Ok(())
}

#[tokio::test]
async fn a_rule_for_a_user_that_does_not_exist_is_a_warning() -> Story {
    let bench = Bench::new().await?;
    bench.edit(|text| text + "[[module.handler]]\nname = \"hvac\"\nuser = \"no-such-user\"\n");
    bench.check().warned("config-accounts", "handler hvac: there is no user `no-such-user`");
    Ok(())
}

#[tokio::test]
async fn a_state_directory_of_somebody_else_is_told() -> Story {
    let mut bench = for_nobody().await?;
    bench.mode("m01.key", 0o644);
    fs::create_dir(bench.path("state"))?;
    bench.mode("state", 0o700);
    bench.argue(&["--user", "nobody"]);
    bench.check().failed("state-directory", "nobody may not use it", &[]);
    // A file below that another user has written, as after a start as root.
    bench.mode("state", 0o777);
    fs::create_dir(bench.path("state/m01"))?;
    bench.mode("state/m01", 0o777);
    fs::write(bench.path("state/m01/twin.json"), "{}")?;
    bench.mode("state/m01/twin.json", 0o600);
    bench.check().failed("state-directory", "twin.json", &[]);
    Ok(())
}

#[tokio::test]
async fn a_state_directory_that_can_t_be_made_is_told() -> Story {
    let mut bench = for_nobody().await?;
    bench.mode("m01.key", 0o644);
    bench.argue(&["--user", "nobody"]);
    bench.check().failed("state-directory", "may not make it", &[]);
    Ok(())
}

#[tokio::test]
async fn a_full_disk_and_one_that_is_read_only_are_told_apart() -> Story {
    let bench = Bench::new().await?;
    let Some(disk) = SmallDisk::mount(&bench.path("state")) else {
        println!("skipped: this process may not mount a small file system (not root)");
        return Ok(());
    };
    fill(&disk.0.join("filler"))?;
    bench.check().failed("state-space", "0 B free", &[]);
    disk.remount("ro");
    bench.check().failed("state-directory", "mounted read-only", &[]);
    Ok(())
}

/// A bench whose folder every user may look into.
async fn for_nobody() -> anyhow::Result<Bench> {
    let bench = Bench::new().await?;
    bench.mode("", 0o755);
    Ok(bench)
}

fn certify(bench: &Bench, module: &str, validity: Validity) -> Story {
    let authority = bench.stage.hub.authority()?;
    bench.stage.gateway.certify(module, &authority, KeyKind::EcP256, validity)?;
    Ok(())
}

/// The library that lets a process see another time; none where it is not installed.
fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    folders.map(|entry| entry.path().join("faketime/libfaketime.so.1")).find(|path| path.exists())
}

/// A small file system of its own; gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this process may not mount.
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir(at).ok()?;
        let options = ["-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs"];
        let mounted = Command::new("mount").args(options).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(at.to_owned()))
    }

    fn remount(&self, mode: &str) {
        let option = format!("remount,{mode},size=256k");
        let mounted = Command::new("mount").args(["-o", &option]).arg(&self.0).status();
        assert!(mounted.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Writes until there is no room.
fn fill(file: &Path) -> Story {
    let mut file = fs::File::create(file)?;
    while file.write_all(&[0; 1024]).is_ok() {}
    Ok(())
}
