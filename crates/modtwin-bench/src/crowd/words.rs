//! The figures as a table for a page or a terminal.

use std::time::SystemTime;

use super::figures::{Figures, Round};
use crate::spread::number;

/// The table, with a line on what it was measured on.
pub(crate) fn markdown(figures: &Figures) -> String {
    let machine = &figures.machine;
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let day = now.split('T').next().unwrap_or_default().to_owned();
    let count = figures.connections;
    let [before, held, after] = figures.hub_mib;
    let each = (held - before) * 1024.0 / number(count);
    let per_second = number(count) / figures.connect_seconds;
    let rows = [
        row(
            "TLS connections held at once",
            &count.to_string(),
            "each a module with a token and both twin subscriptions",
        ),
        row(
            "memory of the emulator (PSS)",
            &format!("{held:.0} MiB"),
            &format!(
                "{each:.0} KiB a connection; {before:.0} MiB with the identities alone, {after:.0} MiB after the changes"
            ),
        ),
        row(
            "connects",
            &format!("{per_second:.0}/s"),
            &format!(
                "TLS handshake, CONNECT, two filters; {:.2} ms of the emulator's processor time each",
                figures.connect_cpu_ms
            ),
        ),
        row(
            "desired notifications, as fast as changes are taken",
            &format!("{:.0}/s", figures.fast.per_second),
            &said(&figures.fast),
        ),
        row(
            &format!("desired notifications, {} changes/s", figures.rate),
            &format!(
                "p50 {:.2} ms, p99 {:.2} ms",
                figures.paced.latency_ms[0], figures.paced.latency_ms[1]
            ),
            &format!(
                "longest {:.1} ms; {} notifications, {:.0}/s",
                figures.paced.latency_ms[2], figures.paced.notifications, figures.paced.per_second
            ),
        ),
    ];
    format!(
        "modtwin {}, {day}: {} cores ({}), {}, kernel {}, the hub's state on {}, load {} before the run.\n\n\
         | Emulator, {count} modules | | |\n| --- | --- | --- |\n{}",
        env!("CARGO_PKG_VERSION"),
        machine.cores,
        machine.processor,
        machine.system,
        machine.kernel,
        machine.file_system,
        machine.load_before,
        rows.concat()
    )
}

fn said(round: &Round) -> String {
    let [p50, p99, most] = round.latency_ms;
    format!(
        "{} changes over REST, all arrived; p50 {p50:.2} ms, p99 {p99:.2} ms, longest {most:.1} ms; processor time for one: emulator {:.0} µs, back end {:.0} µs",
        round.notifications, round.hub_cpu_us, round.requests_cpu_us
    )
}

fn row(what: &str, figure: &str, more: &str) -> String {
    format!("| {what} | {figure} | {more} |\n")
}
