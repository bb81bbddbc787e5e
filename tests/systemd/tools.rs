//! What modtwinctl finds out about a machine: where somebody starts, and what a supporter is sent.

use crate::Story;
use crate::features::AS_NOBODY;
use crate::machine::{Machine, setup};
use crate::scene::{CONFIG, Scene};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_fresh_machine_check_says_what_to_do_next_and_finds_no_failure() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    for who in ["", AS_NOBODY] {
        let page = machine.run(&format!("{who} modtwinctl check"))?;
        assert!(page.starts_with("warning: config: ") && page.contains("\n0 failed, "), "{page}");
        assert!(
            page.contains("names no module yet") && page.contains("add a [[module]]"),
            "{page}"
        );
    }
    machine.run(&format!("rm {CONFIG}"))?;
    let (code, page) = machine.refused("modtwinctl check")?;
    assert!(code == 78 && page.contains("put a config there"), "{code}: {page}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_support_bundle_has_the_journal_and_no_secret() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    let mut scene = Scene::start().await?;
    scene.add(&machine, "module01", "").await?;
    // Somebody's addition tells the journal what it should not.
    let key = "c2VjcmV0LWluLXRoZS1qb3VybmFsLTAwMDAwMDAwMDE=";
    machine.write(
        "/etc/systemd/system/modtwind.service.d/careless.conf",
        format!("[Service]\nExecStartPre=echo careless HostName=h;SharedAccessKey={key}\n"),
    )?;
    scene.push(&machine)?;
    machine.run("systemctl daemon-reload && systemctl restart modtwind")?;
    scene.connected(&machine).await?;
    machine.run(
        "journalctl --sync; cd /run && modtwinctl support-bundle made.tar.gz && \
         mkdir made && tar -xzf made.tar.gz -C made --strip-components=1",
    )?;
    let journal = machine.run("cat /run/made/journal.txt")?;
    for part in ["module01: connected to the hub", "careless HostName=h"] {
        assert!(journal.contains(part), "{part}: {journal}");
    }
    let secrets = format!("grep -v -e ----- /etc/modtwin/module01.key; echo {key}");
    let (code, found) =
        machine.refused(&format!("({secrets}) >/run/secrets; grep -rFf /run/secrets /run/made"))?;
    assert_eq!(code, 1, "{found}");
    let manifest = machine.run("cat /run/made/MANIFEST")?;
    for name in ["check.json", "status.json", "metrics.txt", "journal.txt", "files.txt"] {
        assert!(manifest.contains(&format!("  {name} (")), "{name}: {manifest}");
    }
    Ok(())
}
