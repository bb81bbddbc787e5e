//! The daemon as a service: started, watched, reloaded, connected to.

use serde_json::json;

use crate::Story;
use crate::machine::{Machine, setup};
use crate::scene::{CONFIG, Scene};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installed_daemon_waits_for_a_config_and_takes_it_without_a_restart() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    for unit in ["modtwind.service", "modtwind.socket", "modtwind.path"] {
        assert_eq!(machine.property(unit, "ActiveState")?, "active", "{unit}");
        assert_eq!(machine.property(unit, "UnitFileState")?, "enabled", "{unit}");
    }
    let status = machine.property("modtwind.service", "StatusText")?;
    assert!(status.contains("waiting for a config"), "{status}");
    let pid = machine.property("modtwind.service", "MainPID")?;
    assert!(machine.run("modtwinctl validate --json").is_ok());

    let mut scene = Scene::start().await?;
    scene.add(&machine, "module01", "").await?;
    scene.push(&machine)?;
    scene.connected(&machine).await?;
    assert_eq!(machine.property("modtwind.service", "MainPID")?, pid);
    let shown = machine.run("modtwinctl status")?;
    assert!(shown.contains("gateway01 at localhost: 1 of 1 connected"), "{shown}");
    machine.run("modtwinctl report module01 seen=true --wait hub")?;
    scene.wait_reported("module01", "seen", &json!(true)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_tells_the_daemons_lines_from_others() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    machine.run("journalctl --sync")?;
    let line = machine.run(
        "journalctl -o json -u modtwind.service SYSLOG_IDENTIFIER=modtwind | grep -m1 'ready'",
    )?;
    let entry: serde_json::Value = serde_json::from_str(&line)?;
    let field = |name: &str| entry.get(name).and_then(|value| value.as_str()).unwrap_or_default();
    assert_eq!(field("_SYSTEMD_UNIT"), "modtwind.service", "{entry}");
    assert_eq!(field("_EXE"), "/usr/bin/modtwind", "{entry}");
    assert_eq!(field("_PID"), machine.property("modtwind.service", "MainPID")?, "{entry}");
    assert!(field("MESSAGE").contains("ready") && !field("MESSAGE").contains('\u{1b}'), "{entry}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_knows_the_module_and_the_priority_of_a_line() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    let mut scene = Scene::start().await?;
    scene.add(&machine, "module01", "").await?;
    scene.add(&machine, "module02", "").await?;
    machine.run("rm /etc/modtwin/module02.pem")?;
    scene.push(&machine)?;
    machine.wait_property("modtwind.service", "StatusText", "1 of 2 modules connected").await?;
    let of = |module: &str, more: &str| {
        machine.run(&format!(
            "journalctl --sync; journalctl -o cat -u modtwind MODTWIN_MODULE={module} {more}"
        ))
    };
    // The fields are in the message as well, for those who ask for nothing.
    let good = of("module01", "")?;
    assert!(good.contains("module01: connected to the hub"), "{good}");
    assert!(!good.contains("module02"), "{good}");
    let bad = of("module02", "-p err")?;
    let (words, detail) = ("module02: disabled until this is mended reason=config", "module02.pem");
    assert!(bad.contains(words) && bad.contains(detail), "{bad}");
    assert_eq!(of("module01", "-p warning")?, "");
    assert!(!of("module02", "MODTWIN_REASON=config")?.is_empty());

    // What the level lets through is changed while the daemon runs.
    let quiet = of("module01", "-p 7..7")?;
    assert_eq!(quiet, "");
    machine.run("modtwinctl log-level debug --for 5m")?;
    machine.run("modtwinctl report module01 more=true --wait hub")?;
    assert!(of("module01", "-p 7..7")?.contains("module01: state saved"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_hangs_is_killed_and_started_again() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    assert_eq!(machine.property("modtwind.service", "WatchdogUSec")?, "30s");
    // Not half a minute of waiting.
    machine.write(
        "/etc/systemd/system/modtwind.service.d/watchdog.conf",
        "[Service]\nWatchdogSec=2s\nRestartSec=100ms\n",
    )?;
    machine.run("systemctl daemon-reload && systemctl restart modtwind")?;
    let pid = machine.property("modtwind.service", "MainPID")?;
    machine.run(&format!("kill -STOP {pid}"))?;
    machine.wait_property("modtwind.service", "NRestarts", "1").await?;
    machine.wait_property("modtwind.service", "SubState", "running").await?;
    assert_ne!(machine.property("modtwind.service", "MainPID")?, pid);
    let journal = machine.journal("modtwind.service")?;
    assert!(journal.contains("Watchdog timeout"), "{journal}");
    machine.run("modtwinctl status")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_is_followed_by_a_start() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    machine.run("systemctl kill -s KILL modtwind.service")?;
    machine.wait_property("modtwind.service", "NRestarts", "1").await?;
    machine.wait_property("modtwind.service", "SubState", "running").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_says_whether_it_worked() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    let mut scene = Scene::start().await?;
    scene.add(&machine, "module01", "").await?;
    scene.push(&machine)?;
    machine.run("systemctl reload modtwind")?;
    scene.connected(&machine).await?;
    let pid = machine.property("modtwind.service", "MainPID")?;

    machine.write(CONFIG, scene.config().replace("device-id", "devize-id"))?;
    let (_, complaint) = machine.refused("systemctl reload modtwind")?;
    assert!(complaint.contains("failed"), "{complaint}");
    let (code, errors) = machine.refused("modtwinctl reload")?;
    assert!(code == 78 && errors.contains("did you mean device-id"), "{code} {errors}");
    let journal = machine.journal("modtwind.service")?;
    assert!(journal.contains("did you mean device-id"), "{journal}");
    // The old one is in force.
    assert_eq!(machine.property("modtwind.service", "ActiveState")?, "active");
    assert_eq!(machine.property("modtwind.service", "MainPID")?, pid);
    machine.run("modtwinctl report module01 still=here --wait hub")?;

    scene.push(&machine)?;
    machine.run("systemctl reload modtwind")?;
    assert_eq!(machine.property("modtwind.service", "MainPID")?, pid);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_config_ends_the_daemon_once_and_the_next_change_starts_it() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    let good = machine.run(&format!("cat {CONFIG}"))?;
    machine.write(CONFIG, format!("{good}\n[hubb]\n"))?;
    machine.refused("systemctl restart modtwind")?;
    // `failed` and not `auto-restart`: nothing is scheduled.
    assert_eq!(machine.property("modtwind.service", "SubState")?, "failed");
    assert_eq!(machine.property("modtwind.service", "ExecMainStatus")?, "78");
    assert_eq!(machine.property("modtwind.service", "NRestarts")?, "0");
    let status = machine.property("modtwind.service", "StatusText")?;
    assert!(status.contains("config refused") && status.contains("hubb"), "{status}");

    // Those who connect have it started, and that ends as well.
    machine
        .wait("the socket to give up", "modtwinctl status; systemctl is-failed modtwind.socket")
        .await?;
    let starts = machine.journal("modtwind.service")?.matches("Starting modtwind").count();
    assert!((2..20).contains(&starts), "{starts} starts");
    machine.write(CONFIG, good)?;
    machine.wait_property("modtwind.service", "ActiveState", "active").await?;
    machine.run("modtwinctl status")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_connects_during_a_restart_waits_and_is_answered() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    let mut scene = Scene::start().await?;
    scene.add(&machine, "module01", "").await?;
    scene.push(&machine)?;
    scene.connected(&machine).await?;
    machine.run("modtwinctl report module01 before=true --wait hub")?;
    // The new daemon can't start before it is let.
    machine.write(
        "/etc/systemd/system/modtwind.service.d/slow.conf",
        "[Service]\nExecStartPre=sh -c 'until [ -e /run/go ]; do sleep 0.1; done'\n",
    )?;
    let inode = machine.run("stat -c %i /run/modtwin/modtwin.sock")?;
    machine.run("systemctl daemon-reload && systemctl restart --no-block modtwind")?;
    machine.wait_property("modtwind.service", "SubState", "start-pre").await?;
    let mut waiting = machine
        .command("modtwinctl get module01 --reported")
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    machine.wait("it to have connected", HAS_CONNECTED).await?;
    assert!(waiting.try_wait()?.is_none(), "it did not wait");
    machine.run("touch /run/go")?;
    let answer = waiting.wait_with_output()?;
    assert!(answer.status.success());
    assert!(String::from_utf8_lossy(&answer.stdout).contains("\"before\": true"));
    assert_eq!(
        machine.run("stat -c %i /run/modtwin/modtwin.sock")?,
        inode,
        "the socket was replaced"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_connects_to_a_stopped_daemon_starts_it() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    machine.run("systemctl stop modtwind.service")?;
    assert_eq!(machine.property("modtwind.socket", "ActiveState")?, "active");
    machine.run("modtwinctl status")?;
    assert_eq!(machine.property("modtwind.service", "ActiveState")?, "active");
    Ok(())
}

/// Succeeds when a `modtwinctl` runs that holds a socket.
const HAS_CONNECTED: &str = "for process in /proc/[0-9]*; do \
    [ \"$(cat $process/comm 2>/dev/null)\" = modtwinctl ] || continue; \
    ls -l $process/fd | grep -q socket: && exit 0; \
done; exit 1";
