//! New certificates for sessions that live: taken up, or turned down, or taken back.

use std::os::unix::fs::symlink;
use std::time::{Instant, SystemTime};

use modtwin_api::{HubState, Status};
use modtwin_credentials::request::KeyKind;
use modtwin_testkit::gateway::{DEVICE, Gateway};
use modtwin_testkit::stage::{Stage, name};
use serde_json::json;

use crate::equipment::{DAY, Pair, hub, in_days, is_connected, of, replace};
use crate::{MODTWIND, Story};

/// Whether a module is connected again, for the nth time.
fn again(module: &str, reconnects: u64) -> impl Fn(&Status) -> bool {
    move |status| is_connected(status, module) && of(status, module).reconnects == reconnects
}

#[tokio::test]
async fn files_renamed_in_are_taken_up_by_their_module_alone() -> Story {
    let stage = Stage::start(MODTWIND, 5).await?;
    let root = stage.hub.authority()?;
    Pair::signed("m03", &root, KeyKind::EcP256, in_days(200))?.install(&stage, "m03")?;
    let status = stage.gateway.wait_for("the new pair in use", again("m03", 1)).await?;
    assert_eq!(of(&status, "m03").credential.as_ref().unwrap().days_left, Some(199));
    for other in ["m01", "m02", "m04", "m05"] {
        assert_eq!(of(&status, other).reconnects, 0, "{other} noticed");
    }
    let log = stage.gateway.log_text();
    let gap = log.split("gap_ms=").nth(1).unwrap().split_whitespace().next().unwrap();
    println!("the module was away for {gap} ms");
    assert!(gap.parse::<u64>()? < 5000, "{log}");
    Ok(())
}

#[tokio::test]
async fn a_swapped_symlink_is_taken_up_as_certbot_and_kubernetes_leave_it() -> Story {
    let mut stage = Stage::build(MODTWIND, 0).await?;
    stage.service.create_module_by_authority(DEVICE, "m").await?;
    let root = stage.hub.authority()?;
    let folder = stage.gateway.folder().join("live");
    let release = |n: u32| folder.join(format!("..data-{n}"));
    for n in [1, 2] {
        let pair = Pair::signed("m", &root, KeyKind::EcP256, in_days(n * 100))?;
        std::fs::create_dir_all(release(n))?;
        std::fs::write(release(n).join("tls.crt"), &pair.certificate)?;
        std::fs::write(release(n).join("tls.key"), pair.key.to_pem()?.expose())?;
    }
    symlink(release(1), folder.join("..data"))?;
    for file in ["tls.crt", "tls.key"] {
        symlink(std::path::Path::new("..data").join(file), folder.join(file))?;
    }
    stage
        .gateway
        .add_module("m", "certificate = \"live/tls.crt\"\nprivate-key = \"live/tls.key\"\n");
    stage.start_daemon().await?;
    stage.gateway.wait_connected(1).await?;
    symlink(release(2), folder.join("..new"))?;
    std::fs::rename(folder.join("..new"), folder.join("..data"))?;
    let status = stage.gateway.wait_for("the second release in use", again("m", 1)).await?;
    assert_eq!(of(&status, "m").credential.as_ref().unwrap().days_left, Some(199));
    Ok(())
}

/// Waits until the log has `text`.
async fn logged(stage: &Stage, text: &str) -> Story {
    stage.gateway.wait_for(text, |_| stage.gateway.log_text().contains(text)).await.map(drop)
}

#[tokio::test]
async fn files_that_cannot_be_right_are_turned_down_without_a_gap() -> Story {
    let mut stage = Stage::start(MODTWIND, 2).await?;
    let root = stage.hub.authority()?;
    let folder = stage.gateway.folder().to_owned();
    let bad = [
        (Pair::signed("m02", &root, KeyKind::EcP256, in_days(1))?, "found `gateway01/m02`"),
        (Pair::signed("m01", &root, KeyKind::EcP256, SystemTime::now() - DAY)?, "expired on"),
    ];
    for (pair, why) in &bad {
        pair.install(&stage, "m01")?;
        logged(&stage, why).await?;
    }
    // Half a renewal: the certificate without its key.
    let next = Pair::signed("m01", &root, KeyKind::EcP256, in_days(300))?;
    replace(&folder.join("m01.pem"), &next.certificate)?;
    logged(&stage, "does not belong to the certificate").await?;
    let status = stage.client().status().await?;
    assert!(is_connected(&status, "m01"));
    assert_eq!(of(&status, "m01").reconnects, 0, "it was cut off for files of no use");
    // A lost connection comes back with what worked, whatever the files are by now.
    stage.fault("drop", "m01", json!({})).await?;
    let status = stage.gateway.wait_for("the old pair in use", again("m01", 1)).await?;
    let words = &of(&status, "m01").credential.as_ref().unwrap().warnings;
    assert!(words.iter().any(|word| word.contains("going on with the one before")), "{words:?}");
    // The other half comes, and all is well.
    next.install(&stage, "m01")?;
    let status = stage.gateway.wait_for("the new pair in use", again("m01", 2)).await?;
    let credential = of(&status, "m01").credential.clone().unwrap();
    assert_eq!((credential.days_left, credential.warnings), (Some(299), Vec::new()));
    Ok(())
}

#[tokio::test]
async fn what_the_hub_refuses_is_taken_back_and_tried_again_on_request() -> Story {
    let mut stage = Stage::build(MODTWIND, 1).await?;
    let (known, unknown) = (Pair::self_signed("m")?, Pair::self_signed("m")?);
    known.install(&stage, "m")?;
    hub(&stage, &["module", "create", DEVICE, "m", "--thumbprint", &known.thumbprint()?])?;
    stage.gateway.add_module("m", &Gateway::certificate_lines("m"));
    stage.start_daemon().await?;
    stage.gateway.wait_connected(2).await?;
    let began = Instant::now();
    unknown.install(&stage, "m")?;
    let refused = |status: &Status| {
        let words = &of(status, "m").credential.as_ref().unwrap().warnings;
        is_connected(status, "m")
            && words.iter().any(|word| word.contains("the hub refused the new one"))
    };
    let status = stage.gateway.wait_for("the way back", refused).await?;
    println!("from the files to the way back: {:?}", began.elapsed());
    assert_eq!(of(&status, "m01").reconnects, 0, "the neighbour noticed");
    // The registry learns of it, and somebody asks.
    let update = ["module", "update", DEVICE, "m", "--thumbprint", &unknown.thumbprint()?];
    hub(&stage, &update)?;
    stage.client().reconnect("m").await?;
    let news = |status: &Status| {
        let credential = of(status, "m").credential.as_ref().unwrap();
        is_connected(status, "m") && credential.warnings.is_empty()
    };
    stage.gateway.wait_for("the new pair accepted", news).await?;
    assert!(stage.gateway.log_text().contains("the hub has accepted the new credential"));
    Ok(())
}

#[tokio::test]
async fn under_load_a_swap_of_all_modules_loses_nothing() -> Story {
    const MODULES: usize = 8;
    let mut stage = Stage::start(MODTWIND, MODULES).await?;
    let root = stage.hub.authority()?;
    let mut spectators = Vec::new();
    for n in 1..=MODULES {
        spectators.push(stage.watch(&name(n)).await?);
        Pair::signed(&name(n), &root, KeyKind::EcP256, in_days(200))?.install(&stage, &name(n))?;
    }
    // The back end writes and components report, round and round, until everybody has changed.
    let mut rounds: u64 = 0;
    let newest = loop {
        rounds += 1;
        let mut versions = Vec::new();
        for n in 1..=MODULES {
            versions.push(stage.change(&name(n), json!({ "round": rounds })).await?);
            stage.report(&name(n), json!({ "seen": rounds })).await?;
        }
        let status = stage.client().status().await?;
        let swapped = |n: usize| of(&status, &name(n)).reconnects >= 1;
        if (1..=MODULES).all(swapped) {
            break versions;
        }
    };
    for (n, (spectator, version)) in (1..).zip(spectators.iter_mut().zip(newest)) {
        spectator.wait_version(version).await?;
        let complaints = spectator.look(|seen| seen.complaints.clone());
        assert!(complaints.is_empty(), "{complaints:?}");
        stage.wait_reported(&name(n), |found| found["seen"] == rounds).await?;
    }
    let status = stage.gateway.wait_connected(MODULES).await?;
    for module in &status.modules {
        assert_eq!((module.hub.state, module.reconnects), (HubState::Connected, 1));
        assert_eq!(module.credential.as_ref().unwrap().days_left, Some(199));
    }
    let log = stage.gateway.log_text();
    let gaps: Vec<u64> = log
        .split("gap_ms=")
        .skip(1)
        .filter_map(|rest| rest.split_whitespace().next()?.parse().ok())
        .collect();
    println!("{rounds} rounds; gaps in ms: {gaps:?}");
    assert_eq!(gaps.len(), MODULES);
    Ok(())
}
