//! The sandbox hinders no feature, and lets nobody in who has no right.

use anyhow::Context as _;
use serde_json::json;

use crate::Story;
use crate::features::{self, AS_NOBODY};
use crate::machine::{Machine, setup};
use crate::scene::Scene;

/// What a kernel before 6.5 gets by modtwind-generator.
const OLD_KERNEL: &str = "[Service]\nProtectProc=default\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_names_a_unit_lets_that_unit_in_and_nobody_else() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    let mut scene = Scene::start().await?;
    let rule =
        "[[module.handler]]\nname = \"hvac\"\nunit = \"hvac.service\"\nreport = [\"/hvac\"]\n";
    scene.add(&machine, "module01", rule).await?;
    scene.push(&machine)?;
    scene.connected(&machine).await?;
    for drop_in in ["", OLD_KERNEL] {
        machine.write("/etc/systemd/system/modtwind.service.d/proc.conf", drop_in)?;
        machine.run("systemctl daemon-reload && systemctl restart modtwind")?;
        scene.connected(&machine).await?;
        let number = drop_in.len();
        let run = |unit: &str, command: &str| {
            format!(
                "systemd-run --quiet --collect --wait --pipe --uid=nobody --unit={unit} {command}"
            )
        };
        let report = format!("modtwinctl report module01 hvac.at={number} --wait hub");
        machine.run(&run("hvac", &report))?;
        scene.wait_reported("module01", "hvac", &json!({"at": number})).await?;
        // Another unit of the same user; the same user in no unit; a part that the rule leaves out.
        for (script, why) in [
            (run("other", &report), "in unit `other.service`"),
            (
                format!("setpriv --reuid=nobody --regid=nogroup --clear-groups {report}"),
                "no systemd service",
            ),
            (run("hvac", "modtwinctl report module01 lights=1"), "/lights"),
            (run("hvac", "modtwinctl status"), "group `modtwin`"),
        ] {
            let (code, text) = machine.refused(&script)?;
            assert_eq!(code, 77, "{script}: {text}");
            assert!(text.contains(why), "{why}: {text}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_runs_as_its_own_user_and_its_report_reaches_the_hub() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    let mut scene = Scene::start().await?;
    let rule = "[[module.handler]]\nname = \"hook\"\nunit = \"modtwin-hook@module01.service\"\n";
    scene.add(&machine, "module01", rule).await?;
    scene.push(&machine)?;
    scene.connected(&machine).await?;
    machine.write(
        "/etc/modtwin/hooks/module01",
        "#!/bin/sh\nset -e\ncat\nmodtwinctl report \"$MODTWIN_MODULE\" \"applied=$MODTWIN_VERSION\" \"uid=$(id -u)\"\n",
    )?;
    machine.run(
        "chmod 0755 /etc/modtwin/hooks/module01 && systemctl enable --now modtwin-hook@module01",
    )?;
    let version = scene.change("module01", json!({"target": 21})).await?;
    scene.wait_reported("module01", "applied", &json!(version)).await?;
    machine
        .wait(
            "the acknowledgement",
            "modtwinctl get module01 --json | grep -F '\"handler\":\"hook\"'",
        )
        .await?;
    let status = machine.run("modtwinctl get module01 --json")?;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    let acknowledged = status.pointer("/applied/0").cloned().unwrap_or_default();
    assert_eq!(
        (&acknowledged["handler"], &acknowledged["version"]),
        (&json!("hook"), &json!(version))
    );
    let uid =
        status.pointer("/reported/uid").and_then(serde_json::Value::as_u64).unwrap_or_default();
    let daemon = machine.run("id -u modtwin")?;
    assert!((61_184..=65_519).contains(&uid) && uid.to_string() != daemon, "{uid}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recipes_do_what_they_say_with_the_drop_in_beside_them() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    let mut scene = Scene::start().await?;
    let page = machine.run("cat /usr/share/doc/modtwin/recipes.md")?;
    machine.write(
        "/etc/systemd/system/hvac.service",
        "[Service]\nExecStart=sleep infinity\nExecReload=cp /etc/hvac/config.json /run/read.json\n",
    )?;
    machine.run("mkdir /etc/hvac && systemctl daemon-reload && systemctl start hvac")?;
    for (module, recipe) in [("module01", "set-timezone.sh"), ("module02", "write-config.sh")] {
        let rule = format!(
            "[[module.handler]]\nname = \"hook\"\nunit = \"modtwin-hook@{module}.service\"\n"
        );
        scene.add(&machine, module, &rule).await?;
        let link = format!("(recipes/{recipe})");
        let (_, section) = page.split_once(&link).context("a recipe that the page leaves out")?;
        let drop_in = section.split("```").nth(1).unwrap_or_default().trim_start_matches("ini");
        machine.write(
            &format!("/etc/systemd/system/modtwin-hook@{module}.service.d/recipe.conf"),
            drop_in,
        )?;
        machine.run(&format!(
            "install -m 0755 /usr/share/doc/modtwin/recipes/{recipe} /etc/modtwin/hooks/{module}"
        ))?;
    }
    scene.push(&machine)?;
    scene.connected(&machine).await?;
    scene.change("module01", json!({"timezone": "Europe/Vienna"})).await?;
    scene.change("module02", json!({"config": {"target": 21}})).await?;
    machine.run("systemctl enable --now modtwin-hook@module01 modtwin-hook@module02")?;
    for (what, script) in [
        ("the time zone", "timedatectl show | grep -Fx Timezone=Europe/Vienna"),
        ("the config to be read", "grep -F '\"target\": 21' /run/read.json"),
        ("one acknowledgement", "modtwinctl get module01 --json | grep -F '\"status\":200'"),
        ("the other", "modtwinctl get module02 --json | grep -F '\"status\":200'"),
    ] {
        let said = || machine.journal("modtwin-hook@*").unwrap_or_default();
        machine.wait(what, script).await.with_context(said)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_systemd_hands_over_are_used() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    let mut scene = Scene::start().await?;
    let lines = "certificate = \"module01.pem\"\nprivate-key = \"credential:module01.key\"\n";
    scene.add(&machine, "module01", lines).await?;
    // Not the daemon's user's, and in a folder that it can't look into.
    machine.run(
        "mkdir -m 0700 /etc/modtwin/private && chown root: /etc/modtwin/module01.key && \
         mv /etc/modtwin/module01.key /etc/modtwin/private/",
    )?;
    machine.write(
        "/etc/systemd/system/modtwind.service.d/credentials.conf",
        "[Service]\nLoadCredential=module01.key:/etc/modtwin/private/module01.key\n",
    )?;
    scene.push(&machine)?;
    machine.run("systemctl daemon-reload && systemctl restart modtwind")?;
    scene.connected(&machine).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_the_daemon_does_is_refused_by_the_sandbox() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    let mut scene = Scene::start().await?;
    for number in 1..=20 {
        scene.add(&machine, &format!("module{number:02}"), features::RULE).await?;
    }
    scene.push(&machine)?;
    scene.connected(&machine).await?;
    machine.run("modtwinctl log-level debug")?;
    for module in ["module01", "module20"] {
        features::twin(&machine, &mut scene, module).await?;
    }
    features::message(&machine, &mut scene, "module01").await?;
    features::config(&machine, &mut scene, "module02").await?;
    features::questions(&machine)?;
    let complaints = "journalctl --sync; journalctl -o cat -u modtwind.service -p warning";
    assert_eq!(machine.run(complaints)?, "");
    // A call without an owner and a hub that is away are told as warnings.
    features::method(&machine, &mut scene, "module01").await?;
    features::outage(&machine, &mut scene, "module20").await?;
    let journal = machine.journal("modtwind.service")?;
    for word in ["not permitted", "ermission denied", "Read-only"] {
        assert!(!journal.contains(word), "{word}: {journal}");
    }
    let pid = machine.property("modtwind.service", "MainPID")?;
    let status = machine.run(&format!("cat /proc/{pid}/status"))?;
    for line in
        ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"]
    {
        assert!(status.contains(line), "{line}: {status}");
    }
    // What it keeps is for nobody else.
    let (_, complaint) = machine.refused(&format!("{AS_NOBODY} ls /var/lib/modtwin"))?;
    assert!(complaint.contains("Permission denied"), "{complaint}");
    Ok(())
}

/// A process connects and ends; what it leaves behind, a child with its connection, gains nothing
/// when a unit's process gets its number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_number_that_is_used_again_gives_nobody_a_units_rights() -> Story {
    let Some(setup) = setup() else { return Ok(()) };
    let machine = Machine::with_packages(&setup).await?;
    let mut scene = Scene::start().await?;
    let rule = "[[module.handler]]\nname = \"hvac\"\nunit = \"hvac.service\"\n";
    scene.add(&machine, "module01", rule).await?;
    scene.push(&machine)?;
    scene.connected(&machine).await?;
    // Nobody is accepted until all is set up.
    machine.run("systemctl kill -s STOP modtwind.service && mkdir -m 0777 /run/race")?;
    machine.write("/run/race/connect.pl", CONNECT)?;
    machine.run(
        "systemd-run --quiet --uid=nobody --unit=race --remain-after-exit perl /run/race/connect.pl",
    )?;
    let number = machine.wait("the process to end", "cat /run/race/gone").await?;
    // Starts over until it is given that number.
    machine.write(
        "/etc/systemd/system/hvac.service",
        format!(
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nUser=nobody\nRestart=always\n\
             RestartSec=0\nExecStart=sh -c '[ $$$$ = {number} ] && exec sleep 600'\n"
        ),
    )?;
    machine.run("systemctl daemon-reload && systemctl start --no-block hvac")?;
    machine.hand_out_again(number.parse()?, "hvac.service").await?;
    machine.run("systemctl kill -s CONT modtwind.service")?;
    let answer = machine.wait("an answer", "grep . /run/race/answer").await?;
    assert!(answer.contains(" 403 "), "{answer}");
    assert_eq!(machine.property("hvac.service", "MainPID")?, number);
    // A process of the unit that connects by itself is let in.
    let get = "modtwinctl get module01 >/dev/null && touch /run/race/let-in";
    machine.write(
        "/etc/systemd/system/hvac.service",
        format!("[Service]\nUser=nobody\nExecStart=sh -c '{get}'\n"),
    )?;
    machine.run("systemctl daemon-reload && systemctl restart hvac")?;
    machine.wait("the unit to be let in", "[ -e /run/race/let-in ]").await?;
    Ok(())
}

/// Connects, hands the connection to a child, and ends; the child asks once there is an answer to be
/// had.
const CONNECT: &str = r#"
use strict; use IO::Socket::UNIX; use POSIX;
my $parent = $$;
my $socket = IO::Socket::UNIX->new(Peer => "/run/modtwin/modtwin.sock") or die "connect: $!";
if (fork()) { exit 0 }
# As long as its session has somebody the number stays taken.
POSIX::setsid();
sleep 1 while kill(0, $parent);
open(my $gone, ">", "/run/race/new"); print $gone $parent; close $gone;
rename("/run/race/new", "/run/race/gone");
print $socket "GET /v1/modules/module01 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
my $answer = <$socket>;
open(my $out, ">", "/run/race/answer"); print $out $answer; close $out;
"#;
