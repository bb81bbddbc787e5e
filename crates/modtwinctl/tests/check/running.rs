//! With a daemon that runs, has run, or is not what it should be.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use modtwin_testkit::gateway::DEVICE;
use nix::unistd::geteuid;
use serde_json::json;

use crate::Story;
use crate::bench::{Bench, Found, M};
use crate::scripted::{Daemon, answer};

async fn running() -> anyhow::Result<Bench> {
    let mut bench = Bench::new().await?;
    bench.stage.start_daemon().await?;
    bench.stage.gateway.wait_connected(1).await?;
    Ok(bench)
}

#[tokio::test]
async fn a_gateway_that_is_well_passes_and_its_session_is_left_alone() -> Story {
    let mut bench = running().await?;
    let connects = bench.stage.count(M, "connects").await?;
    let found = bench.check();
    found.fine();
    assert!(found.of_check("hub-identity")["text"].as_str().unwrap().starts_with("connected for"));
    assert_eq!(bench.stage.count(M, "connects").await?, connects);
    assert!(bench.stage.gateway.log_text().matches("connected").count() > 0);
    Ok(())
}

#[tokio::test]
async fn a_key_that_every_user_may_read_is_a_warning() -> Story {
    let bench = running().await?;
    bench.mode("m01.key", 0o644);
    bench.check().warned("credential-rights", "every user may read");
    Ok(())
}

#[tokio::test]
async fn what_the_hub_refuses_a_running_daemon_is_told_in_its_words() -> Story {
    let mut bench = running().await?;
    bench.stage.service.fault(json!({"kind": "disable", "device": DEVICE})).await?;
    let refused = "the module to be refused";
    bench
        .stage
        .gateway
        .wait_for(refused, |status| {
            status.modules.iter().any(|module| module.hub.reason.as_str() == "bad_credential")
        })
        .await?;
    bench.check().failed("hub-identity", "the daemon says bad_credential", &[]);
    Ok(())
}

#[tokio::test]
async fn a_socket_that_a_killed_daemon_left_behind_is_told() -> Story {
    let mut bench = running().await?;
    bench.stage.kill_daemon()?;
    bench.check().failed("socket", "has ended", &[]);
    Ok(())
}

#[tokio::test]
async fn a_file_in_the_socket_s_place_is_told() -> Story {
    let bench = Bench::new().await?;
    fs::write(bench.stage.gateway.socket(), "")?;
    bench.check().failed("socket", "is no socket", &[]);
    Ok(())
}

#[tokio::test]
async fn a_socket_that_may_not_be_opened_is_told_and_nobody_s_session_is_ended() -> Story {
    use std::os::unix::process::CommandExt as _;
    let mut bench = running().await?;
    bench.mode("", 0o755);
    bench.mode("modtwin.sock", 0o600);
    let connects = bench.stage.count(M, "connects").await?;
    let (config, socket) = (bench.stage.gateway.config(), bench.stage.gateway.socket());
    let mut command = crate::program::modtwinctl(&socket, &["check", "--json", "--user", "root"]);
    command.arg("--config").arg(config);
    if geteuid().is_root() {
        // The program is where every user may run it, unless the build folder is locked up.
        command.uid(65_534).gid(65_534);
    } else {
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o000))?;
    }
    let found = Found::of(command.output()?.into());
    found.failed("socket", "ermission denied", &[]);
    let identity = found.of_check("hub-identity");
    assert_eq!(identity["result"], "skipped", "{identity}");
    assert_eq!(bench.stage.count(M, "connects").await?, connects);
    Ok(())
}

#[tokio::test]
async fn a_daemon_that_takes_the_connection_and_does_not_answer_is_told() -> Story {
    let mut bench = Bench::new().await?;
    let silent = Daemon::serve(|_, stream| {
        // Until the other side has had enough.
        let _ended = std::io::copy(stream, &mut std::io::sink());
    });
    bench.argue(&["--timeout", "500ms"]);
    let found = Found::of(bench.run(&silent.socket(), &["--json"]));
    found.failed("socket", "no answer at", &[]);
    assert_eq!(found.of_check("hub-identity")["result"], "skipped");
    Ok(())
}

#[tokio::test]
async fn a_daemon_of_another_version_and_one_with_another_config_are_warnings() -> Story {
    let mut bench = running().await?;
    let mut status = serde_json::to_value(bench.stage.client().status().await?)?;
    bench.stage.kill_daemon()?;
    let scripted =
        |status: serde_json::Value| Daemon::serve(move |_, stream| answer(stream, 200, &status));
    status["version"] = "9.9.9".into();
    let daemon = scripted(status.clone());
    let found = Found::of(bench.run(&daemon.socket(), &["--json"]));
    found.warned("daemon-version", "the daemon that runs is 9.9.9");

    status["version"] = env!("CARGO_PKG_VERSION").into();
    status["modules"] = json!([]);
    let daemon = scripted(status.clone());
    let found = Found::of(bench.run(&daemon.socket(), &["--json"]));
    found.warned("daemon-config", "it does not serve m01");

    status["config"] = "/etc/modtwin/other.toml".into();
    let daemon = scripted(status);
    let found = Found::of(bench.run(&daemon.socket(), &["--json"]));
    found.warned("daemon-config", "`/etc/modtwin/other.toml`");
    Ok(())
}

#[tokio::test]
async fn files_that_differ_from_the_config_in_force_are_told() -> Story {
    let mut bench = running().await?;
    let mut status = serde_json::to_value(bench.stage.client().status().await?)?;
    bench.stage.kill_daemon()?;
    // Nothing that a status shows differs.
    let config = bench.stage.gateway.config();
    let text = fs::read_to_string(&config)?;
    fs::write(&config, format!("{text}\n# later\n"))?;
    let scripted =
        |status: serde_json::Value| Daemon::serve(move |_, stream| answer(stream, 200, &status));
    let found = |status| Found::of(bench.run(&scripted(status).socket(), &["--json"]));
    found(status.clone()).warned("daemon-config", "they differ from what is in force since");

    let errors = json!(["a.toml:3: no", "a.toml:4: nor that", "third", "fourth"]);
    let since = status["started"].clone();
    let mut refused = json!({"reason": "invalid", "errors": errors, "since": since});
    status["config_state"]["refused"] = refused.clone();
    let words = "it refuses these files, the config before is in force: a.toml:3: no; \
                 a.toml:4: nor that; third (and 1 more)";
    found(status.clone()).failed("daemon-config", words, &[]);

    // What it refused are other files than these.
    refused["digest"] = "sha256:0".into();
    status["config_state"]["refused"] = refused.clone();
    found(status.clone()).warned("daemon-config", "they differ");

    fs::write(&config, text)?;
    refused["reason"] = "rolled_back".into();
    status["config_state"]["refused"] = refused;
    found(status.clone()).warned("daemon-config", "was rolled back: a.toml:3: no");
    status["config_state"]["trial"] = json!({"until": since, "awaited": []});
    found(status.clone()).warned("daemon-config", "it tries another config until");
    status["config_state"]["trial"] = json!(null);
    status["config_state"]["refused"] = json!(null);
    found(status).fine();
    Ok(())
}

#[tokio::test]
async fn a_daemon_that_can_t_write_is_told_in_its_words() -> Story {
    let mut bench = running().await?;
    let mut status = serde_json::to_value(bench.stage.client().status().await?)?;
    bench.stage.kill_daemon()?;
    status["storage"]["writable"] = false.into();
    status["storage"]["problem"] = "cannot sync: input/output error".into();
    let daemon = Daemon::serve(move |_, stream| answer(stream, 200, &status));
    let found = Found::of(bench.run(&daemon.socket(), &["--json"]));
    found.failed("daemon-storage", "input/output error", &[]);
    Ok(())
}
