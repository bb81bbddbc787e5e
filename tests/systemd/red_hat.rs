//! The RPM packages by rpm itself, in the same machine: its database is empty, so that what the
//! package asks of other packages is looked at, and not demanded.

use serde_json::json;

use crate::Story;
use crate::machine::{Machine, setup};
use crate::scene::{CONFIG, Scene};

/// What documents and help texts say is there.
const CONTENTS: [&str; 9] = [
    "/usr/share/man/man1/modtwinctl.1",
    "/usr/share/man/man5/modtwind.toml.5",
    "/usr/share/man/man7/modtwin-local-api.7",
    "/usr/share/man/man8/modtwind.8",
    "/usr/share/modtwin/grafana/modtwin.json",
    "/usr/share/modtwin/prometheus/modtwin.rules.yml",
    "/usr/share/doc/modtwin/monitoring.md",
    "/usr/share/doc/modtwin/recipes.md",
    "/usr/share/doc/modtwin/recipes/set-timezone.sh",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rpm_installs_upgrades_and_goes() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::boot(&setup).await?;
    machine.run("rpm --nodeps -i /mnt/packages/old/modtwin-[0-9]*.rpm")?;
    for unit in ["modtwind.service", "modtwind.socket", "modtwind.path"] {
        assert_eq!(machine.property(unit, "ActiveState")?, "active", "{unit}");
        assert_eq!(machine.property(unit, "UnitFileState")?, "enabled", "{unit}");
    }
    let mut scene = Scene::start().await?;
    scene.add(&machine, "module01", "").await?;
    scene.push(&machine)?;
    scene.connected(&machine).await?;
    machine.run("modtwinctl report module01 kept=true --wait hub")?;
    let config = machine.run(&format!("cat {CONFIG}"))?;
    let pid = machine.property("modtwind.service", "MainPID")?;

    machine.run("rpm --nodeps -U /mnt/packages/new/modtwin-[0-9]*.rpm")?;
    assert_eq!(machine.run(&format!("cat {CONFIG}"))?, config);
    assert_ne!(machine.property("modtwind.service", "MainPID")?, pid);
    scene.connected(&machine).await?;
    scene.wait_reported("module01", "kept", &json!(true)).await?;

    machine.run("rpm --nodeps -e modtwin")?;
    assert!(!machine.has("/usr/bin/modtwind") && machine.has("/var/lib/modtwin/module01"));
    // What was changed is kept aside, as rpm does.
    assert!(machine.has(&format!("{CONFIG}.rpmsave")));
    assert_eq!(machine.run("systemctl list-units --no-legend 'modtwin*'")?, "");
    assert_eq!(machine.run("find /etc/systemd -name 'modtwin*'")?, "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rpms_bring_what_the_debs_bring() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::boot(&setup).await?;
    for (package, rpm) in
        [("modtwin", "modtwin-[0-9]"), ("modtwin-emulator", "modtwin-emulator-[0-9]")]
    {
        // Compression and the folders of licences and zsh are each family's own.
        let tidy = "sed -E 's,\\.gz$,,; s,^\\./,/,; s,zsh/[a-z-]+/,zsh/,' | \
                    grep -vE '/$|licen[cs]e|LICENSE|THIRD-PARTY|NOTICE|EDL|EPL|copyright|preset|modtwind\\.toml$' | sort";
        let deb = machine.run(&format!(
            "dpkg-deb --fsys-tarfile /mnt/packages/old/{package}_*.deb | tar -t | {tidy}"
        ))?;
        let rpm = machine.run(&format!("rpm -qpl /mnt/packages/old/{rpm}*.rpm | {tidy}"))?;
        assert_eq!(deb, rpm, "{package}");
        assert!(deb.contains("/usr/bin/") && !deb.contains("client"), "{deb}");
        for path in CONTENTS.iter().filter(|_| package == "modtwin") {
            assert!(deb.lines().any(|line| line == *path), "{path}: {deb}");
        }
    }
    let asks = machine.run("rpm -qp --requires /mnt/packages/old/modtwin-[0-9]*.rpm")?;
    for library in ["libssl.so.3", "libcrypto.so.3", "libc.so.6", "systemd", "ca-certificates"] {
        assert!(asks.contains(library), "{library}: {asks}");
    }
    let scripts = machine.run("rpm -qp --scripts /mnt/packages/old/modtwin-[0-9]*.rpm")?;
    for script in ["postinstall", "preuninstall", "postuninstall"] {
        assert!(scripts.contains(script), "{scripts}");
    }
    let config = machine.run("rpm -qpc /mnt/packages/old/modtwin-[0-9]*.rpm")?;
    assert_eq!(config, CONFIG);
    Ok(())
}
