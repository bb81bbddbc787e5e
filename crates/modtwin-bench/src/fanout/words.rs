//! The figures as a table for a page or a terminal.

use std::time::SystemTime;

use super::{Figures, MOST_KIB, MOST_RATIO};
use modtwin_testkit::spread::Spread;

/// The table, with a line on what it was measured on.
pub(crate) fn markdown(figures: &Figures) -> String {
    let machine = &figures.machine;
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let day = now.split('T').next().unwrap_or_default();
    let (readers, sleepers) = (figures.readers, figures.sleepers);
    let [empty, with_readers, with_all] = figures.daemon_kib;
    let rows = [
        row(
            &format!("delivery to {readers} handlers, alone"),
            &delivery(&figures.quiet_ms),
            &format!("{} changes/s, 1 KiB each, over 20 modules", figures.rate),
        ),
        row(
            &format!("delivery to them beside {sleepers} that never read"),
            &delivery(&figures.crowded_ms),
            &format!(
                "p99 is {:.2} times that of the readers alone; at most {MOST_RATIO:.0} times",
                figures.ratio()
            ),
        ),
        row(
            "memory of a connection",
            &format!("{:.1} KiB", figures.connection_kib),
            &format!(
                "at most {MOST_KIB:.0}; 8 of it are the kernel's send buffer; private memory of \
                 the daemon {empty} KiB without handlers, {with_readers} with {readers}, \
                 {with_all} with all"
            ),
        ),
        row("verdict", if figures.holds() { "holds" } else { "DOES NOT HOLD" }, ""),
    ];
    format!(
        "modtwin {}, {day}: {} cores ({}), {}, kernel {}, load {} before the run.\n\n\
         | {} handlers on one daemon | | |\n| --- | --- | --- |\n{}",
        env!("CARGO_PKG_VERSION"),
        machine.cores,
        machine.processor,
        machine.system,
        machine.kernel,
        machine.load_before,
        readers.saturating_add(sleepers),
        rows.concat()
    )
}

fn delivery(spread: &Spread) -> String {
    format!(
        "p50 {:.2} ms, p99 {:.2} ms ({:.2} – {:.1}; {})",
        spread.median, spread.p99, spread.min, spread.max, spread.count
    )
}

fn row(what: &str, figure: &str, more: &str) -> String {
    format!("| {what} | {figure} | {more} |\n")
}
