//! The end of a campaign: quiet, what everybody holds then, and the checks.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use modtwin_api::{HubState, Snapshot};
use modtwin_core::document::{Document, merge};
use modtwin_testkit::patience::{Look, until};
use modtwin_testkit::wall::now_us;
use nix::sys::signal::Signal;

use crate::back_end::{Deeds, section};
use crate::campaign::Campaign;
use crate::check::remains::Holdings;
use crate::check::{
    Violation, acknowledgements, answers, history, messages, remains, streams, values, versions,
};
use crate::diary::{self, At, Entry, Line};
use crate::leaves::{self, DESIRED, REPORTED};
use crate::ledger;
use crate::recorder::Record;
use crate::rig::Start;

/// What is known of one module at the end.
struct AtEnd {
    desired: (Document, u64),
    reported: (Document, u64),
    snapshot: Snapshot,
}

/// Waits for quiet and checks; what broke is in the rig's violations, the figures in the summary.
///
/// # Errors
///
/// Where something can't be read.
pub(crate) async fn end(campaign: &mut Campaign) -> anyhow::Result<()> {
    let quiet = quiet(campaign).await;
    if let Err(error) = quiet {
        let violation =
            Violation::new("everything comes to rest in the end", "", format!("{error:#}"));
        campaign.rig.violations.push(violation.at(now_us()));
    }
    campaign.rig.look().await;
    let mut violations = Vec::new();
    match hold(campaign).await {
        Ok(found) => violations.extend(found),
        Err(error) => {
            let words = format!("{error:#}");
            violations.push(Violation::new("the daemon answers in the end", "", words));
        }
    }
    let mut ends = Vec::new();
    for place in 0..campaign.rig.modules.len() {
        ends.push(at_end(campaign, place).await?);
    }
    let aside = set_aside(campaign).await?;
    let records = campaign.recorder.take();
    for (deeds, end) in campaign.back_end.deeds().await.iter().zip(&ends) {
        let diary = diary::read(&campaign.rig.handlers.diary(&deeds.module))?;
        violations.extend(judge(deeds, &diary, &records, end));
        violations.extend(answers::check(&deeds.module, &diary, &campaign.rig.full));
        violations.extend(starts(&deeds.module, &diary, &campaign.rig.starts));
        let aside = aside.get(&deeds.module).copied().unwrap_or_default();
        violations.extend(messages::check(&deeds.module, &diary, &records, aside));
        campaign.summary.add_diary(&diary);
        campaign.summary.add_deeds(deeds);
    }
    violations.extend(remains::log(&campaign.rig.gateway.log_text()));
    violations.extend(remains::files(&campaign.rig.state())?);
    violations.extend(survival(campaign, &ends).await?);
    campaign.summary.add_records(&records);
    campaign.rig.violations.extend(violations);
    Ok(())
}

/// Everything well, no more changes and reports; waits until nothing is left to do.
async fn quiet(campaign: &mut Campaign) -> anyhow::Result<()> {
    campaign.rig.all_well().await?;
    let places = campaign.rig.handlers.places();
    campaign.echo_of_all().await.context("after the last disturbance")?;
    campaign.rig.handlers.signal(&places, Signal::SIGUSR1);
    campaign.echo_of_all().await.context("after the last report")?;
    let client = campaign.rig.gateway.client();
    let count = campaign.rig.modules.len();
    let status = until("every module to be in step", QUIET_LIMIT, async || {
        let status = match client.status().await {
            Ok(status) => status,
            Err(error) => return Ok(Look::NotYet(error.to_string())),
        };
        let is_quiet = |module: &&modtwin_api::ModuleStatus| {
            let waiting = module.messages.map_or(0, |messages| messages.waiting);
            module.hub.state == HubState::Connected && module.pending.keys == 0 && waiting == 0
        };
        let restless: Vec<String> = status
            .modules
            .iter()
            .filter(|module| !is_quiet(module))
            .map(|module| {
                let (hub, keys) = (&module.hub, module.pending.keys);
                format!("{} {} ({}), {keys} pending", module.module, hub.state, hub.reason)
            })
            .collect();
        let all = status.modules.len() == count && restless.is_empty();
        Ok(if all { Look::Found(status) } else { Look::NotYet(restless.join("; ")) })
    })
    .await?;
    let diaries: Vec<_> = status
        .modules
        .iter()
        .map(|module| (campaign.rig.handlers.diary(&module.module), module.desired_version))
        .collect();
    until("every handler to acknowledge the last version", QUIET_LIMIT, async || {
        for (path, version) in &diaries {
            let lines = diary::read(path)?;
            let acked = lines.iter().rev().find_map(|Line { entry, .. }| match entry {
                Entry::Acked { revision: At(_, version), outcome } if outcome.is_promised() => {
                    Some(*version)
                }
                _ => None,
            });
            if acked != *version {
                return Ok(Look::NotYet(format!("{acked:?} of {version:?} in {path:?}")));
            }
        }
        Ok(Look::Found(()))
    })
    .await
}

/// What the daemon holds at rest, against what it held before.
async fn hold(campaign: &mut Campaign) -> anyhow::Result<Vec<Violation>> {
    tokio::time::sleep(REST).await;
    let after = Holdings::of(campaign.rig.daemon_pid()?)?;
    campaign.summary.after = Some(after);
    let before = campaign.summary.before.context("nothing was measured before")?;
    Ok(remains::growth(before, after))
}

async fn at_end(campaign: &Campaign, place: usize) -> anyhow::Result<AtEnd> {
    let twin = campaign.back_end.twin(place).await?;
    let module = campaign.rig.modules.get(place).context("no such module")?;
    let snapshot = campaign.rig.gateway.client().snapshot(module).await?;
    Ok(AtEnd {
        desired: section(&twin, "desired")?,
        reported: section(&twin, "reported")?,
        snapshot,
    })
}

/// How many messages the daemon has set aside, by module.
async fn set_aside(campaign: &Campaign) -> anyhow::Result<BTreeMap<String, u64>> {
    let status = campaign.rig.gateway.client().status().await?;
    let count = |module: modtwin_api::ModuleStatus| {
        (module.module, module.messages.map_or(0, |messages| messages.set_aside))
    };
    Ok(status.modules.into_iter().map(count).collect())
}

fn judge(deeds: &Deeds, diary: &[Line], records: &[Record], end: &AtEnd) -> Vec<Violation> {
    let Deeds { module, deeds, recreated } = deeds;
    let reports = ledger::reports(diary);
    let reported = leaves::values(&end.reported.0, &REPORTED);
    let desired = leaves::values(&end.desired.0, &DESIRED);
    let arrived = "every report answered as stored reaches the hub";
    let kept = "the hub keeps what it has answered";
    // A report that changes nothing is answered with the version known, of whichever life.
    let mut accepted = reports.clone();
    accepted.retain(|deed| deed.writes.iter().any(|write| write.number.is_some()));
    let line = |section| (module.as_str(), section);
    [
        values::check(arrived, module, &REPORTED, &reports, &reported),
        history::check(module, &reports, records, recreated),
        streams::check(module, diary, &end.desired),
        acknowledgements::check(module, diary, &end.snapshot),
        values::check(kept, module, &DESIRED, deeds, &desired),
        versions::check(line("desired"), deeds, records, recreated, end.desired.1),
        versions::check(line("reported"), &accepted, records, recreated, end.reported.1),
    ]
    .concat()
}

/// What each new daemon had from its disk is compared with what the ones before it had promised:
/// later reports would soon cover a loss. The tree is left out: a snapshot's pending is one merge
/// patch, which can't say that all of it was deleted and something set in it again.
fn starts(module: &str, diary: &[Line], starts: &[Start]) -> Vec<Violation> {
    let promise = "a report answered as stored survives the daemon's end";
    let reports = ledger::reports(diary);
    let flat: Vec<&str> =
        REPORTED.iter().copied().filter(|leaf| !leaf.starts_with("tree/")).collect();
    let mut violations = Vec::new();
    for Start { at, until, snapshots } in starts {
        let snapshot = snapshots.iter().find(|snapshot| snapshot.module == module);
        let Some(snapshot) = snapshot else { continue };
        let mut planned = snapshot.reported.clone().unwrap_or_default();
        merge(&mut planned, &snapshot.pending);
        let found = leaves::values(&planned, &REPORTED);
        let promised = ledger::promised_by(&reports, *at, *until);
        violations.extend(values::check(promise, module, &flat, &promised, &found));
    }
    violations
}

/// The last act: the hub goes, the daemon is killed and started again, and has to answer from its
/// disk alone what it answered before.
async fn survival(campaign: &mut Campaign, ends: &[AtEnd]) -> anyhow::Result<Vec<Violation>> {
    let promise = "a daemon that was killed serves what it had from its disk";
    campaign.rig.kill_hub()?;
    campaign.rig.kill_daemon().await?;
    campaign.rig.start_daemon().await?;
    let client = campaign.rig.gateway.client();
    let mut violations = Vec::new();
    for end in ends {
        let module = &end.snapshot.module;
        let now = client.snapshot(module).await?;
        for (what, before, after) in comparison(&end.snapshot, &now) {
            if before != after {
                let words = format!("{what}: expected {before}, found {after}");
                violations.push(Violation::new(promise, module, words));
            }
        }
    }
    Ok(violations)
}

fn comparison(before: &Snapshot, after: &Snapshot) -> Vec<(&'static str, String, String)> {
    let revision = |snapshot: &Snapshot| format!("{:?}", snapshot.revision());
    let desired = |snapshot: &Snapshot| format!("{:?}", snapshot.desired);
    let reported = |snapshot: &Snapshot| {
        let version = snapshot.reported_version;
        format!("{version:?} {:?} and {:?}", snapshot.reported, snapshot.pending)
    };
    let applied = |snapshot: &Snapshot| {
        let all: BTreeMap<&str, u64> =
            snapshot.applied.iter().map(|one| (one.handler.as_str(), one.version)).collect();
        format!("{all:?}")
    };
    vec![
        ("revision", revision(before), revision(after)),
        ("desired", desired(before), desired(after)),
        ("reported", reported(before), reported(after)),
        ("applied", applied(before), applied(after)),
    ]
}

/// How long everything may take to come to rest.
const QUIET_LIMIT: Duration = Duration::from_secs(120);
/// Longer than anything waits for the disk that may wait for it, and than idle threads live.
const REST: Duration = Duration::from_secs(6);
