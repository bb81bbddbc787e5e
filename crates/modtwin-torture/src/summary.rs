//! The figures of a campaign, and how they are written: as JSON, as text, as tables for a page.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use modtwin_testkit::machine::Machine;
use modtwin_testkit::spread::Spread;
use serde::Serialize;

use crate::back_end::Deeds;
use crate::campaign::Plan;
use crate::check::Violation;
use crate::check::remains::Holdings;
use crate::diary::{Entry, Line, Outcome};
use crate::disturbance::Kind;
use crate::recorder::Record;
use crate::rig::Rig;

/// The figures.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    version: &'static str,
    day: String,
    machine: Machine,
    seed: u64,
    seconds: f64,
    modules: usize,
    retry_delay: String,
    /// Why the disk was never full, where it was not.
    pub(crate) no_full_disk: Option<String>,
    kinds: BTreeMap<String, usize>,
    /// From the end of a disturbance until a change has come back, in milliseconds.
    recovery_ms: BTreeMap<String, Vec<f64>>,
    counts: Counts,
    /// What the daemon held at rest before.
    pub(crate) before: Option<Holdings>,
    /// And afterwards.
    pub(crate) after: Option<Holdings>,
    /// What broke.
    pub(crate) violations: Vec<Violation>,
}

/// What was counted.
#[derive(Debug, Clone, Default, Serialize)]
struct Counts {
    reports_stored: usize,
    reports_unknown: usize,
    reports_refused: usize,
    messages_promised: usize,
    acknowledgements_stored: usize,
    desired_changes: usize,
    identities_recreated: usize,
    events_told_to_handlers: usize,
    streams: usize,
    resets: usize,
    handler_starts: usize,
    hub_connects: usize,
    hub_twin_reads: usize,
    hub_reports: usize,
}

impl Summary {
    /// A summary of nothing yet.
    pub(crate) fn new(plan: &Plan, rig: &Rig) -> Self {
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            day: now.split('T').next().unwrap_or_default().to_owned(),
            machine: Machine::look(&rig.state()),
            seed: plan.seed,
            seconds: plan.lasts.as_secs_f64(),
            modules: plan.modules,
            retry_delay: plan.retry_delay.clone(),
            no_full_disk: rig.no_disk.clone(),
            kinds: BTreeMap::new(),
            recovery_ms: BTreeMap::new(),
            counts: Counts::default(),
            before: None,
            after: None,
            violations: Vec::new(),
        }
    }

    /// Counts a disturbance.
    pub(crate) fn count(&mut self, kind: Kind) {
        *self.kinds.entry(kind.to_string()).or_default() += 1;
    }

    /// How many disturbances there were.
    pub(crate) fn disturbances(&self) -> usize {
        self.kinds.values().sum()
    }

    /// Notes how long one module took to be back after a disturbance.
    pub(crate) fn recovered(&mut self, name: &str, took: Duration) {
        let all = self.recovery_ms.entry(name.to_owned()).or_default();
        all.push(took.as_secs_f64() * 1000.0);
    }

    /// Counts what a handler wrote down.
    pub(crate) fn add_diary(&mut self, diary: &[Line]) {
        let counts = &mut self.counts;
        let mut asked: usize = 0;
        for Line { entry, .. } in diary {
            match entry {
                Entry::Began => counts.handler_starts += 1,
                Entry::Asked { .. } => asked += 1,
                Entry::Answered { outcome: Outcome::Refused { .. }, .. } => {
                    counts.reports_refused += 1;
                    asked = asked.saturating_sub(1);
                }
                Entry::Answered { outcome, .. } if outcome.is_promised() => {
                    counts.reports_stored += 1;
                    asked = asked.saturating_sub(1);
                }
                Entry::Answered { .. } | Entry::Acking { .. } | Entry::Sending { .. } => {}
                Entry::Sent { promised, .. } => counts.messages_promised += usize::from(*promised),
                Entry::Snapshot { .. } => counts.streams += 1,
                Entry::Changed { reset, .. } => {
                    counts.events_told_to_handlers += 1;
                    counts.resets += usize::from(*reset);
                }
                Entry::Acked { outcome, .. } => {
                    counts.acknowledgements_stored += usize::from(outcome.is_promised());
                }
            }
        }
        counts.reports_unknown += asked;
    }

    /// Counts what the back end did to a module.
    pub(crate) fn add_deeds(&mut self, deeds: &Deeds) {
        let answered = deeds.deeds.iter().filter(|deed| deed.outcome.is_promised());
        self.counts.desired_changes += answered.count();
        self.counts.identities_recreated += deeds.recreated.len();
    }

    /// Counts what the hub told.
    pub(crate) fn add_records(&mut self, records: &[Record]) {
        for record in records {
            let Record::Event(event) = record else { continue };
            match event.event.as_str() {
                "connect" => self.counts.hub_connects += 1,
                "twin-get" => self.counts.hub_twin_reads += 1,
                "reported" if event.status == Some(204) => self.counts.hub_reports += 1,
                _ => {}
            }
        }
    }

    /// As text.
    pub(crate) fn text(&self) -> String {
        let mut text = self.head() + "\n";
        for (title, columns, rows) in self.tables() {
            let head = std::iter::once(title).chain(columns).map(str::to_owned).collect();
            text += "\n";
            for row in std::iter::once(head).chain(rows) {
                let cells = row.iter().enumerate();
                let padded = cells.map(|(place, cell)| match place {
                    0 => format!("{cell:<30}"),
                    _ => format!("  {cell:>15}"),
                });
                text += &padded.collect::<String>();
                text += "\n";
            }
        }
        text + &self.verdict()
    }

    /// As tables of Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = self.head() + "\n";
        for (title, columns, rows) in self.tables() {
            text += &format!("\n| {title} | {} |\n|", columns.join(" | "));
            text += &" --- |".repeat(columns.len() + 1);
            text += "\n";
            for row in rows {
                text += &format!("| {} |\n", row.join(" | "));
            }
        }
        text + "\n" + self.verdict().trim() + "\n"
    }

    fn verdict(&self) -> String {
        if self.violations.is_empty() {
            return "\nEvery promise held.\n".to_owned();
        }
        let mut text = format!("\n{} violations; seed {}\n", self.violations.len(), self.seed);
        for Violation { promise, module, found, at } in self.violations.iter().take(MOST_SHOWN) {
            let at = at.map(|at| format!(" at {at}")).unwrap_or_default();
            text += &format!("  {module}{at}: broken: {promise}: {found}\n");
        }
        text
    }

    fn head(&self) -> String {
        let Machine { processor, cores, kernel, system, file_system, load_before } = &self.machine;
        let disk = match &self.no_full_disk {
            None => format!("state on a {file_system} of 2 MiB"),
            Some(why) => format!("state on {file_system}, NEVER FULL ({why})"),
        };
        format!(
            "modtwin {}, {}, seed {}: {} s of disturbances, {} modules, retry-delay {}; {cores} cores \
             ({processor}), {system}, kernel {kernel}, {disk}, load {load_before} before the run.",
            self.version, self.day, self.seed, self.seconds, self.modules, self.retry_delay
        )
    }

    fn tables(&self) -> Vec<Table> {
        let kinds = self.kinds.iter().map(|(kind, count)| {
            let mut row = vec![kind.clone(), count.to_string()];
            row.extend(self.recovery(kind));
            row
        });
        let mut kinds: Vec<Vec<String>> = kinds.collect();
        let together = "several at once (rounds)";
        if let Some(recoveries) = self.recovery_ms.get(TOGETHER) {
            let rounds = recoveries.len() / self.modules.max(1);
            let mut row = vec![together.to_owned(), rounds.to_string()];
            row.extend(self.recovery(TOGETHER));
            kinds.push(row);
        }
        let kinds_head = ["how often", "modules timed", "back p50, ms", "p99, ms", "max, ms"];
        vec![
            ("Disturbance", kinds_head.to_vec(), kinds),
            ("What went on meanwhile", vec!["count"], self.count_rows()),
            ("The daemon at rest", vec!["before", "after"], self.holding_rows()),
        ]
    }

    fn recovery(&self, name: &str) -> [String; 4] {
        let all = self.recovery_ms.get(name).cloned().unwrap_or_default();
        let Some(spread) = Spread::of(all) else {
            return ["0", "–", "–", "–"].map(str::to_owned);
        };
        let ms = |value: f64| format!("{value:.0}");
        [spread.count.to_string(), ms(spread.median), ms(spread.p99), ms(spread.max)]
    }

    fn count_rows(&self) -> Vec<Vec<String>> {
        let counts = &self.counts;
        [
            ("reports answered as stored", counts.reports_stored),
            ("reports refused (disk full)", counts.reports_refused),
            ("messages stored or sent", counts.messages_promised),
            ("reports with an unknown end", counts.reports_unknown),
            ("acknowledgements stored", counts.acknowledgements_stored),
            ("desired changes answered", counts.desired_changes),
            ("identities created anew", counts.identities_recreated),
            ("changes told to handlers", counts.events_told_to_handlers),
            ("streams begun", counts.streams),
            ("resets told", counts.resets),
            ("handlers started", counts.handler_starts),
            ("connects seen by the hub", counts.hub_connects),
            ("twin reads (resyncs)", counts.hub_twin_reads),
            ("reports taken by the hub", counts.hub_reports),
        ]
        .map(|(what, count)| vec![what.to_owned(), count.to_string()])
        .into()
    }

    fn holding_rows(&self) -> Vec<Vec<String>> {
        let row = |what: &str, show: &dyn Fn(Holdings) -> String| {
            let shown =
                [self.before, self.after].map(|held| held.map_or_else(|| "–".to_owned(), show));
            std::iter::once(what.to_owned()).chain(shown).collect()
        };
        vec![
            row("memory (PSS), KiB", &|held| held.pss_kib.to_string()),
            row("open files", &|held| held.open_files.to_string()),
        ]
    }
}

/// A title, the heads of its other columns, and its rows.
type Table = (&'static str, Vec<&'static str>, Vec<Vec<String>>);

/// Under which name rounds of several disturbances are timed.
pub(crate) const TOGETHER: &str = "several at once";
const MOST_SHOWN: usize = 30;
