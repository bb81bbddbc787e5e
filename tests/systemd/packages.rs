//! The Debian packages over their life: upgrade, remove, purge, and the emulator's beside it.

use std::process::Stdio;

use serde_json::json;

use crate::Story;
use crate::machine::{Machine, setup};
use crate::scene::{CONFIG, Scene};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_keeps_state_config_and_handlers() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    let mut scene = Scene::start().await?;
    scene.add(&machine, "module01", "").await?;
    scene.push(&machine)?;
    scene.connected(&machine).await?;
    let version = scene.change("module01", json!({"target": 1})).await?;
    machine.run("systemd-run --unit=handler modtwinctl watch module01 --json")?;
    let shows = |text: String| {
        format!("journalctl --sync; journalctl -o cat -u handler | grep -F '{text}'")
    };
    machine.wait("the handler's first sight", &shows(format!("\"version\":{version}"))).await?;
    let handler = machine.property("handler.service", "MainPID")?;
    machine.run("modtwinctl report module01 kept=true --wait hub")?;
    let config = machine.run(&format!("cat {CONFIG}"))?;
    let pid = machine.property("modtwind.service", "MainPID")?;

    // What waits for the hub outlives the upgrade too.
    scene.hub.kill()?;
    machine.run("modtwinctl report module01 waiting=true")?;
    machine.run("dpkg -i /mnt/packages/new/modtwin_*.deb")?;
    assert_ne!(machine.property("modtwind.service", "MainPID")?, pid, "the old one still runs");
    assert_eq!(machine.property("modtwind.service", "ActiveState")?, "active");
    assert_eq!(machine.run(&format!("cat {CONFIG}"))?, config);
    let snapshot = machine.run("modtwinctl get module01 --json")?;
    let snapshot: serde_json::Value = serde_json::from_str(&snapshot)?;
    assert_eq!(snapshot.pointer("/desired/target"), Some(&json!(1)), "{snapshot}");
    assert_eq!(snapshot.pointer("/reported/kept"), Some(&json!(true)), "{snapshot}");
    scene.hub.restart().await?;
    scene.service = scene.hub.service()?;
    scene.wait_reported("module01", "waiting", &json!(true)).await?;

    // The handler is the same process, and hears of what comes next.
    let version = scene.change("module01", json!({"target": 2})).await?;
    machine.wait("the handler's next sight", &shows(format!("\"version\":{version}"))).await?;
    assert_eq!(machine.property("handler.service", "MainPID")?, handler);
    assert_eq!(machine.property("handler.service", "NRestarts")?, "0");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_disabled_stays_so_over_an_upgrade() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    machine.run("systemctl disable --now modtwind.service modtwind.path modtwind.socket")?;
    machine.run("dpkg -i /mnt/packages/new/modtwin_*.deb")?;
    for unit in ["modtwind.service", "modtwind.socket", "modtwind.path"] {
        assert_eq!(machine.property(unit, "UnitFileState")?, "disabled", "{unit}");
        assert_eq!(machine.property(unit, "ActiveState")?, "inactive", "{unit}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_over_a_wrong_config_succeeds_and_says_so_in_the_status() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    machine.write(CONFIG, "nonsense")?;
    machine.run("dpkg -i /mnt/packages/new/modtwin_*.deb")?;
    machine.wait_property("modtwind.service", "ExecMainStatus", "78").await?;
    let status = machine.property("modtwind.service", "StatusText")?;
    assert!(status.contains("config refused") && status.contains(CONFIG), "{status}");
    assert_eq!(machine.run(&format!("cat {CONFIG}"))?, "nonsense");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removing_keeps_what_a_reinstall_needs_and_purging_keeps_what_is_not_ours() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    let mut scene = Scene::start().await?;
    scene.add(&machine, "module01", "").await?;
    scene.push(&machine)?;
    scene.connected(&machine).await?;
    let config = machine.run(&format!("cat {CONFIG}"))?;

    machine.run("dpkg -r modtwin")?;
    for unit in ["modtwind.service", "modtwind.socket", "modtwind.path"] {
        assert_ne!(machine.property(unit, "ActiveState")?, "active", "{unit}");
    }
    assert!(!machine.has("/usr/bin/modtwind"));
    assert!(machine.has("/var/lib/modtwin/module01") && machine.has("/etc/modtwin/module01.key"));
    assert_eq!(machine.run(&format!("cat {CONFIG}"))?, config);
    machine.run("dpkg -i /mnt/packages/old/modtwin_*.deb")?;
    scene.connected(&machine).await?;

    machine.run("dpkg -P modtwin")?;
    for path in ["/var/lib/modtwin", "/run/modtwin", CONFIG, "/etc/modtwin/conf.d"] {
        assert!(!machine.has(path), "{path} is left");
    }
    assert!(machine.has("/etc/modtwin/module01.key"), "a key that somebody put there is gone");
    machine.run("rm /etc/modtwin/module01.* /etc/modtwin/hub-ca.pem && rmdir /etc/modtwin")?;
    let left = machine
        .run("find / -xdev -name '*modtwin*' -not -path '/var/log/*' -not -path '/proc/*'")?;
    assert_eq!(left, "", "left behind");
    assert_eq!(machine.run("systemctl list-units --all --no-legend '*modtwin*'")?, "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_emulator_comes_by_itself() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::boot(&setup).await?;
    machine.run("dpkg -i /mnt/packages/old/modtwin-emulator_*.deb")?;
    let mut emulator = machine
        .command("exec iothub-emulator --mqtt-port 0 --https-port 0 --dir /tmp/hub")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let said = machine.wait("the emulator to serve", "cat /tmp/hub/emulator.json").await;
    emulator.kill()?;
    emulator.wait()?;
    assert!(said?.contains("service_connection_string"));
    assert!(!machine.has("/usr/bin/modtwind"));
    Ok(())
}
