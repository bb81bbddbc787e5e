//! The report's rows: each figure with its unit and its range, and in a few words what it means.

use crate::burst::Burst;
use crate::disk::Disk;
use crate::echo::Echo;
use crate::idle::Idle;
use crate::memory::MemoryRow;
use crate::outage::Outage;
use crate::report::Report;
use crate::size::Size;
use crate::start::Start;
use modtwin_testkit::spread::Spread;

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// The part that it belongs to.
    pub(crate) part: &'static str,
    /// What was measured.
    pub(crate) what: String,
    /// The figure.
    pub(crate) figure: String,
    /// What to know of it.
    pub(crate) remark: String,
}

/// All rows of `report`, part by part.
pub(crate) fn rows(report: &Report) -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(report.memory.iter().map(memory));
    rows.extend(report.start.iter().flat_map(start));
    rows.extend(report.echo.iter().flat_map(|echo| echo_rows(echo, report.disk.as_ref())));
    rows.extend(report.burst.iter().flat_map(burst));
    rows.extend(report.idle.iter().flat_map(idle));
    rows.extend(report.outage.iter().flat_map(outage));
    rows.extend(report.disk.iter().flat_map(disk));
    rows.extend(report.size.iter().map(size));
    rows
}

fn memory(row: &MemoryRow) -> Row {
    let plural = if row.modules == 1 { "" } else { "s" };
    Row {
        part: "Memory of modtwind",
        what: format!("PSS, {} module{plural}, {}", row.modules, row.situation),
        figure: range(&mebibytes(&row.pss_kib), 1, "MiB"),
        remark: format!(
            "{:.1} MiB of it shared with nobody; {} threads",
            row.private_kib.median / 1024.0,
            row.threads
        ),
    }
}

fn start(start: &Start) -> Vec<Row> {
    const PART: &str = "Start and stop, 20 modules";
    let synced = |what: &str, spread: &Spread| Row {
        part: PART,
        what: format!("process start to 20 in step, {what}"),
        figure: range(spread, 0, "ms"),
        remark:
            "the mean space between two connects falls from 200 to 50 ms on purpose: 1.2 s in all"
                .to_owned(),
    };
    vec![
        row(PART, "process start to the socket's first answer", &start.again.answered_ms, 0, "ms"),
        synced("no state on disk", &start.first.synced_ms),
        synced("state on disk", &start.again.synced_ms),
        Row {
            remark: "looked at every 20 ms; all sessions say goodbye to the hub first".to_owned(),
            ..row(PART, "SIGTERM to the process's end", &start.stop_ms, 0, "ms")
        },
    ]
}

fn echo_rows(echo: &Echo, disk: Option<&Disk>) -> Vec<Row> {
    const PART: &str = "Echo: desired → handler process → reported, 20 modules in turn";
    let row = |what: &str, spread: &Spread, remark: String| Row {
        part: PART,
        what: what.to_owned(),
        figure: percentiles(spread),
        remark,
    };
    let durable = disk.map_or_else(String::new, |disk| {
        let Disk { fsync_ms, replace_ms } = disk;
        format!(
            "durable before it is sent; the disk's fsync took {:.2} ms in the middle, a durable \
             replacement {:.2} ms",
            fsync_ms.median, replace_ms.median
        )
    });
    vec![
        row("desired written at the hub → reported written there", &echo.at_hub_ms, durable),
        row(
            "of it: desired at the hub → read by the handler",
            &echo.one_way_ms,
            "the one-way part".to_owned(),
        ),
        row(
            "of it: report handed in → answered as stored",
            &echo.stored_ms,
            "a new connection to the socket and the disk are in it".to_owned(),
        ),
        row(
            "back end's request → it has read that the report is there",
            &echo.outside_ms,
            format!(
                "REST and the stream of events are in it: they alone take {:.2} ms",
                echo.apparatus_ms.median
            ),
        ),
        Row {
            part: PART,
            what: "processor time of modtwind for one echo".to_owned(),
            figure: format!("{:.0} µs", echo.daemon_cpu_us),
            remark: String::new(),
        },
    ]
}

fn burst(burst: &Burst) -> Vec<Row> {
    let part = "Burst: 5,000 changes over 20 modules";
    let row = |what: &str, spread: &Spread, unit: &str, remark: String| Row {
        part,
        what: what.to_owned(),
        figure: range(spread, 0, unit),
        remark,
    };
    vec![
        row(
            "until every handler has seen its last version",
            &burst.per_second,
            "changes/s",
            "one REST request a change, 20 connections at once".to_owned(),
        ),
        row(
            "the hub's pace in the same bursts",
            &burst.hub_per_second,
            "changes/s",
            format!(
                "{:.0}/s where nobody is connected: what the apparatus can do on these cores",
                burst.unattended_per_second.median
            ),
        ),
        row(
            "hub's last answer → last handler has seen the last version",
            &burst.tail_ms,
            "ms",
            String::new(),
        ),
        row(
            &format!("events a handler saw of its {} changes", burst.changes_per_handler),
            &burst.events_per_handler,
            "events",
            "what waits for a reader is merged, on purpose: the last version is what counts"
                .to_owned(),
        ),
        row(
            "processor time of modtwind for one change",
            &burst.cpu_us.daemon,
            "µs",
            format!(
                "saving and events to the handlers are in it; beside it the hub used {:.0} µs, the \
                 handlers {:.0} µs, the requests {:.0} µs",
                burst.cpu_us.hub.median, burst.cpu_us.handlers.median, burst.cpu_us.requests.median
            ),
        ),
        Row {
            part,
            what: "connections that broke meanwhile".to_owned(),
            figure: burst.reconnects.to_string(),
            remark: String::new(),
        },
    ]
}

fn idle(idle: &Idle) -> Vec<Row> {
    const PART: &str = "At rest, 20 modules";
    let what = |what: &str| format!("{what}, {}", idle.situation);
    vec![
        Row {
            remark: format!("{} windows of {:.0} s", idle.cpu_s_per_min.count, idle.window_s),
            ..row(PART, &what("processor time"), &idle.cpu_s_per_min, 3, "s/min")
        },
        row(PART, &what("wake-ups"), &idle.wakeups_per_s, 1, "/s"),
        Row {
            remark: match idle.threads_gone {
                0 => String::new(),
                gone => format!("without {gone} threads that ended meanwhile"),
            },
            ..row(PART, &what("context switches"), &idle.switches_per_s, 1, "/s")
        },
    ]
}

fn outage(outage: &Outage) -> Vec<Row> {
    let part = "After an outage of 5 s, 20 modules";
    let what = |which: &str| format!("hub serves again → {which} seen a change made right after");
    vec![
        row(part, &what("first handler has"), &outage.first_ms, 0, "ms"),
        row(part, &what("half of the handlers have"), &outage.half_ms, 0, "ms"),
        Row {
            remark:
                "between attempts each module waits at random up to 1 s, then 2 s, 4 s, 8 s …; \
                     once one is back the others follow one after the other, ever faster"
                    .to_owned(),
            ..row(part, &what("all handlers have"), &outage.all_ms, 0, "ms")
        },
    ]
}

fn disk(disk: &Disk) -> Vec<Row> {
    const PART: &str = "The disk below, 1 KiB at a time";
    let row = |what: &str, spread: &Spread| Row {
        part: PART,
        what: what.to_owned(),
        figure: percentiles(spread),
        remark: String::new(),
    };
    vec![
        row("fsync", &disk.fsync_ms),
        row("write, fsync, rename, fsync of the folder", &disk.replace_ms),
    ]
}

fn size(size: &Size) -> Row {
    let kib = u32::try_from(size.bytes / 1024).map_or(f64::INFINITY, f64::from);
    Row {
        part: "Programs",
        what: format!("{}, profile {}", size.program, size.profile),
        figure: format!("{:.2} MiB", kib / 1024.0),
        remark: "without the system's OpenSSL".to_owned(),
    }
}

fn row(part: &'static str, what: &str, spread: &Spread, digits: usize, unit: &str) -> Row {
    Row { part, what: what.to_owned(), figure: range(spread, digits, unit), remark: String::new() }
}

/// Median and ends; of a single value that value.
fn range(spread: &Spread, digits: usize, unit: &str) -> String {
    let Spread { count, min, median, max, .. } = spread;
    match count {
        1 => format!("{median:.digits$} {unit} (one run)"),
        _ => format!("{median:.digits$} {unit} ({min:.digits$} – {max:.digits$})"),
    }
}

fn percentiles(spread: &Spread) -> String {
    let Spread { count, min, median, p99, max } = spread;
    format!("p50 {median:.2} ms, p99 {p99:.2} ms ({min:.2} – {max:.2}; {count})")
}

fn mebibytes(kib: &Spread) -> Spread {
    let Spread { count, min, median, p99, max } = kib;
    Spread {
        count: *count,
        min: min / 1024.0,
        median: median / 1024.0,
        p99: p99 / 1024.0,
        max: max / 1024.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_its_range_and_says_where_it_has_none() {
        let spread = Spread::of([1.0, 2.0, 4.0]).unwrap();
        assert_eq!(range(&spread, 1, "ms"), "2.0 ms (1.0 – 4.0)");
        assert_eq!(range(&Spread::of([3.0]).unwrap(), 0, "ms"), "3 ms (one run)");
    }

    #[test]
    fn headings_name_what_is_done() {
        assert_eq!(crate::outage::OUTAGE.as_secs(), 5);
        assert_eq!(crate::burst::CHANGES, 5000);
    }

    #[test]
    fn memory_is_told_in_mebibytes() {
        let spread = Spread::of([10240.0]).unwrap();
        let row = memory(&MemoryRow {
            modules: 1,
            situation: "in step, nobody watches",
            pss_kib: spread,
            private_kib: spread,
            threads: 4,
        });
        assert_eq!(row.what, "PSS, 1 module, in step, nobody watches");
        assert_eq!(row.figure, "10.0 MiB (one run)");
    }
}
