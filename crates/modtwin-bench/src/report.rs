//! All that was measured, and how it is written: as JSON, as text for a terminal, as a table for
//! a page. What the rows say is [`rows`](crate::rows)'.

use std::fmt::Write as _;
use std::time::SystemTime;

use serde::Serialize;

use crate::burst::Burst;
use crate::disk::Disk;
use crate::echo::Echo;
use crate::idle::Idle;
use crate::memory::MemoryRow;
use crate::outage::Outage;
use crate::rows::{Row, rows};
use crate::size::Size;
use crate::start::Start;
use modtwin_testkit::machine::Machine;

/// All that was measured. What was not is empty.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// The version of the programs.
    pub(crate) version: &'static str,
    /// The day, as year-month-day.
    pub(crate) day: String,
    /// What it was measured on.
    pub(crate) machine: Machine,
    /// Whether few repetitions had to do.
    pub(crate) quick: bool,
    /// Whether the hub kept its state in memory, so that its disk is in no figure.
    pub(crate) hub_in_memory: bool,
    /// The disk below the daemon's state.
    pub(crate) disk: Option<Disk>,
    /// Memory.
    pub(crate) memory: Vec<MemoryRow>,
    /// Starts.
    pub(crate) start: Option<Start>,
    /// Echoes.
    pub(crate) echo: Option<Echo>,
    /// Bursts.
    pub(crate) burst: Option<Burst>,
    /// Rest.
    pub(crate) idle: Vec<Idle>,
    /// Outages.
    pub(crate) outage: Option<Outage>,
    /// Programs.
    pub(crate) size: Vec<Size>,
}

impl Report {
    /// A report in which nothing was measured yet.
    pub(crate) fn new(machine: Machine, quick: bool, hub_in_memory: bool) -> Self {
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            day: now.split('T').next().unwrap_or_default().to_owned(),
            machine,
            quick,
            hub_in_memory,
            disk: None,
            memory: Vec::new(),
            start: None,
            echo: None,
            burst: None,
            idle: Vec::new(),
            outage: None,
            size: Vec::new(),
        }
    }

    /// As text.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}\n", self.head());
        let mut part = "";
        for Row { part: now, what, figure, remark } in rows(self) {
            if now != part {
                part = now;
                // Writing to a string can't fail, here and below.
                let _infallible = write!(text, "\n{now}\n");
            }
            let _infallible = writeln!(text, "  {what:<44}  {figure}");
            if !remark.is_empty() {
                let _infallible = writeln!(text, "  {:<44}    {remark}", "");
            }
        }
        text
    }

    /// As a table of Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}\n", self.head());
        let mut part = "";
        for Row { part: now, what, figure, remark } in rows(self) {
            if now != part {
                part = now;
                let _infallible =
                    write!(text, "\n| {now} | median (min – max) | |\n| --- | --- | --- |\n");
            }
            let _infallible = writeln!(text, "| {what} | {figure} | {remark} |");
        }
        text
    }

    fn head(&self) -> String {
        let Machine { processor, cores, kernel, system, file_system, load_before } = &self.machine;
        let hub = if self.hub_in_memory { "in memory" } else { "on the same disk" };
        let quick = if self.quick { " QUICK RUN: too few repetitions to quote." } else { "" };
        format!(
            "modtwin {}, {}: {cores} cores ({processor}), {system}, kernel {kernel}, state on \
             {file_system}, the hub's state {hub}, load {load_before} before the run.{quick}",
            self.version, self.day
        )
    }
}
