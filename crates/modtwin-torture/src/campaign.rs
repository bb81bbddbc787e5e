//! The campaign: rounds of disturbances for as long as asked, each followed by a measured
//! recovery; then quiet, and the checks.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fastrand::Rng;
use modtwin_testkit::patience::{Look, until};
use modtwin_testkit::wall::now_us;

use crate::back_end::BackEnd;
use crate::check::Violation;
use crate::check::remains::Holdings;
use crate::disturbance::{Choice, Disturbance, Kind};
use crate::ending;
use crate::recorder::Recorder;
use crate::rig::Rig;
use crate::summary::{Summary, TOGETHER};
use crate::terminal;

/// What a campaign is told.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// How long disturbances go on.
    pub(crate) lasts: Duration,
    /// What decides what happens; when exactly is the machine's.
    pub(crate) seed: u64,
    /// How many modules.
    pub(crate) modules: usize,
    /// The daemon's `[hub] retry-delay`.
    pub(crate) retry_delay: String,
}

/// A running campaign.
pub(crate) struct Campaign {
    pub(crate) plan: Plan,
    pub(crate) rig: Rig,
    pub(crate) back_end: BackEnd,
    pub(crate) recorder: Recorder,
    pub(crate) summary: Summary,
    rng: Rng,
    began: Instant,
    log: std::fs::File,
    probe: u64,
}

/// What happens in a round, in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Begin(usize),
    End(usize),
}

impl Campaign {
    /// Starts everything and waits until it is in step.
    ///
    /// # Errors
    ///
    /// Where a program is not built or something does not come up.
    pub(crate) async fn begin(plan: Plan) -> anyhow::Result<Self> {
        let mut rig = Rig::build(plan.modules, &plan.retry_delay, plan.seed).await?;
        let recorder = Recorder::begin(rig.hub.service()?, &rig.folder().join("events.ndjson"))?;
        let back_end = BackEnd::new(&rig.hub, &rig.modules)?;
        rig.start_daemon().await?;
        rig.gateway.wait_connected(plan.modules).await?;
        rig.handlers.start()?;
        let log = std::fs::File::create(rig.folder().join("campaign.log"));
        let mut campaign = Self {
            summary: Summary::new(&plan, &rig),
            rng: Rng::with_seed(plan.seed),
            began: Instant::now(),
            log: log.context("cannot make the campaign's log")?,
            probe: 0,
            plan,
            rig,
            back_end,
            recorder,
        };
        campaign.echo_of_all().await?;
        tokio::time::sleep(REST).await;
        campaign.summary.before = Some(Holdings::of(campaign.rig.daemon_pid()?)?);
        campaign.back_end.begin(campaign.plan.seed);
        campaign.began = Instant::now();
        Ok(campaign)
    }

    /// Disturbs for as long as planned, or until something never recovers; then waits for quiet and
    /// checks.
    ///
    /// # Errors
    ///
    /// Where the campaign itself can't go on.
    pub(crate) async fn carry_out(&mut self) -> anyhow::Result<()> {
        while self.began.elapsed() < self.plan.lasts {
            if let Err(error) = self.round().await {
                let words = format!("{error:#}");
                self.note(&words)?;
                let violation = Violation::new("everything recovers by itself", "", words);
                self.rig.violations.push(violation.at(now_us()));
                break;
            }
            self.rig.look().await;
        }
        terminal::progress_end();
        self.back_end.stop().await;
        self.note("the end: waiting for quiet")?;
        ending::end(self).await
    }

    /// One disturbance, or several at once; then all is well again, and that is timed.
    async fn round(&mut self) -> anyhow::Result<()> {
        let choice = Choice {
            modules: self.plan.modules,
            has_disk: self.rig.no_disk.is_none(),
            // The last third is one daemon's: what leaks shows only in one that lives.
            may_end_daemon: self.began.elapsed() * 3 < self.plan.lasts * 2,
        };
        // Two of three rounds say how long one thing takes by itself.
        let count = if self.rng.u32(0..3) > 0 { 1 } else { self.rng.usize(2..=4) };
        let mut all: Vec<Disturbance> =
            (0..count).map(|_| Disturbance::choose(choice, &mut self.rng)).collect();
        let mut steps = self.steps(&all);
        steps.sort();
        let is_single = count == 1;
        let began = Instant::now();
        let mut well_since = Instant::now();
        let mut did_any = false;
        for (at, step) in steps {
            tokio::time::sleep_until((began + at).into()).await;
            match step {
                Step::Begin(place) => did_any |= self.begin_one(all.get_mut(place)).await?,
                Step::End(place) => {
                    well_since = Instant::now();
                    if let Some(disturbance) = all.get_mut(place) {
                        disturbance.end(&mut self.rig).await?;
                        self.note(&format!("end of {}", disturbance.kind))?;
                    }
                }
            }
        }
        if !is_single {
            well_since = Instant::now();
        }
        self.rig.all_well().await?;
        let after = if is_single { all.first().map(|only| only.kind) } else { None };
        if did_any {
            self.recover(after, well_since).await?;
        }
        Ok(())
    }

    fn steps(&mut self, all: &[Disturbance]) -> Vec<(Duration, Step)> {
        let mut steps = Vec::new();
        for (place, disturbance) in all.iter().enumerate() {
            let latest = if all.len() == 1 { 1 } else { 3000 };
            let begin = Duration::from_millis(self.rng.u64(0..latest));
            steps.push((begin, Step::Begin(place)));
            steps.push((begin + disturbance.lasts, Step::End(place)));
        }
        steps
    }

    async fn begin_one(&mut self, disturbance: Option<&mut Disturbance>) -> anyhow::Result<bool> {
        let Some(disturbance) = disturbance else { return Ok(false) };
        let (kind, count) = (disturbance.kind, disturbance.places.len());
        let lasts = disturbance.lasts.as_millis();
        self.note(&format!("{kind}, {count} modules where it goes by modules, {lasts} ms"))?;
        let did = disturbance.begin(&mut self.rig, &self.back_end).await?;
        if did {
            self.summary.count(kind);
        }
        self.progress(&kind.to_string()).await;
        Ok(did)
    }

    /// Waits until a change made now has come back from the handler of every module.
    async fn recover(&mut self, after: Option<Kind>, well_since: Instant) -> anyhow::Result<()> {
        let name = after.map_or_else(|| TOGETHER.to_owned(), |kind| kind.to_string());
        self.progress(&format!("recovery from {name}")).await;
        let began_us = now_us();
        let elapsed = well_since.elapsed();
        let back = self.echo_of_all().await.with_context(|| format!("after {name}"))?;
        for at in back.values() {
            let took = elapsed + Duration::from_micros(at.saturating_sub(began_us));
            self.summary.recovered(&name, took);
        }
        let worst = back.values().max().copied().unwrap_or(began_us).saturating_sub(began_us);
        self.note(&format!("recovered from {name} in {} ms", worst / 1000))
    }

    /// Desires a new probe of every module and waits for all of them; says when each came back.
    pub(crate) async fn echo_of_all(&mut self) -> anyhow::Result<BTreeMap<String, u64>> {
        self.probe += 1;
        let probe = self.probe;
        self.back_end.probe(probe).await?;
        let (recorder, modules) = (&self.recorder, &self.rig.modules);
        let echo = |module: &String| {
            let (_, at) = recorder.echo(module).filter(|(echoed, _)| *echoed >= probe)?;
            Some((module.clone(), at))
        };
        until("a change to come back from every handler", RECOVERY_LIMIT, async || {
            let back: BTreeMap<String, u64> = modules.iter().filter_map(echo).collect();
            let missing = modules.iter().filter(|module| !back.contains_key(*module));
            let missing: Vec<&str> = missing.map(String::as_str).collect();
            Ok(match missing.as_slice() {
                [] => Look::Found(back),
                missing => Look::NotYet(format!("nothing from {}", missing.join(", "))),
            })
        })
        .await
    }

    /// Writes a line into the campaign's log.
    pub(crate) fn note(&mut self, text: &str) -> anyhow::Result<()> {
        let (us, at) = (now_us(), self.began.elapsed().as_secs_f64());
        writeln!(self.log, "{us} {at:.3} s: {text}").context("cannot write the campaign's log")
    }

    /// Shows on a terminal how far it is.
    pub(crate) async fn progress(&self, now: &str) {
        let (at, lasts) = (self.began.elapsed().as_secs(), self.plan.lasts.as_secs());
        let changes = self.back_end.answered().await;
        let events = self.recorder.count();
        terminal::progress(&format!(
            "{at} of {lasts} s, {} disturbances, {changes} changes, {events} events: {now}",
            self.summary.disturbances()
        ));
    }
}

/// How long everything may take to recover: the longest wait of the daemon with room.
const RECOVERY_LIMIT: Duration = Duration::from_secs(120);
/// Before a process is measured at rest: its threads for files end after five idle seconds.
const REST: Duration = Duration::from_secs(6);
