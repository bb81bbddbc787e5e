//! `modtwinctl status`: the daemon and its modules on one page, at most [`WIDTH`](crate::words::WIDTH) columns wide.

pub(crate) mod advice;
mod handlers;
mod live;
mod table;

use std::time::SystemTime;

use modtwin_api::{HubState, Status};
use modtwin_client::Client;

use crate::cli::diagnosis::StatusArgs;
use crate::failure::{Failure, one_line};
use crate::output::{Output, Tone, painted};
use crate::words::{WIDTH, counted, names, shortened, size, span, wrapped};

/// Fetches the status and prints it, again and again where that is asked for.
pub(crate) async fn run(
    client: &Client,
    args: &StatusArgs,
    output: &Output,
) -> Result<(), Failure> {
    if args.watch {
        return live::run(client, args.interval, output).await;
    }
    let status = client.status().await?;
    if output.is_json() {
        return output.json(&status);
    }
    output.text(&page(&status, SystemTime::now(), output.is_coloured()))
}

/// The whole page.
fn page(status: &Status, now: SystemTime, coloured: bool) -> String {
    let mut lines = header(status, now);
    if !status.modules.is_empty() {
        lines.push(String::new());
        lines.extend(table::lines(&status.modules, now, coloured));
    }
    let handlers = handlers::lines(&status.modules, now, coloured);
    if !handlers.is_empty() {
        lines.push(String::new());
        lines.extend(handlers);
    }
    let advice = advice::all(status, now);
    if !advice.is_empty() {
        lines.push(String::new());
        lines.push(painted("Problems", Some(Tone::Strong), coloured));
    }
    for item in advice {
        lines.extend(wrapped(&item.what, "  ", "    ", WIDTH));
        lines.extend(item.next.iter().flat_map(|next| wrapped(next, "    -> ", "       ", WIDTH)));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn header(status: &Status, now: SystemTime) -> Vec<String> {
    let connected =
        status.modules.iter().filter(|module| module.hub.state == HubState::Connected).count();
    let count = match status.modules.len() {
        0 => format!("no module in {}", one_line(&status.config)),
        all => format!("{connected} of {all} connected"),
    };
    let hub = shortened(&one_line(&status.hub_hostname), 38);
    let device = shortened(&one_line(&status.device_id), 20);
    let version = one_line(&status.version);
    let up = span(status.started.time(), now);
    let mut lines = vec![
        shortened(&format!("{device} at {hub}: {count}"), WIDTH),
        shortened(&format!("modtwind {version}, process {}, up {up}", status.pid), WIDTH),
    ];
    let health = [clock(status), storage(status), budget(status)];
    let health: Vec<String> = health.into_iter().flatten().collect();
    if !health.is_empty() {
        lines.push(shortened(&health.join(", "), WIDTH));
    }
    let more = trial(status, now).into_iter().chain(messages(status));
    lines.extend(more.flat_map(|line| wrapped(&line, "", "  ", WIDTH)));
    lines
}

/// The trial that the config is on, and for whom it waits.
fn trial(status: &Status, now: SystemTime) -> Option<String> {
    let trial = status.config_state.as_ref()?.trial.as_ref()?;
    let awaited: Vec<String> = trial.awaited.iter().map(|module| one_line(module)).collect();
    let awaited = match awaited.as_slice() {
        [] => "every module is back".to_owned(),
        awaited => format!("not back yet: {}", names(awaited)),
    };
    let left = span(now, trial.until.time());
    Some(format!("config on trial: unless confirmed, the one before returns in {left}; {awaited}"))
}

/// How many messages wait for the hub, by module.
fn messages(status: &Status) -> Option<String> {
    let waiting = status.modules.iter().filter_map(|module| {
        let messages = module.messages.filter(|messages| messages.waiting > 0)?;
        let (name, count, bytes) = (one_line(&module.module), messages.waiting, messages.bytes);
        Some(format!("{name} {count} ({})", size(bytes)))
    });
    let waiting: Vec<String> = waiting.collect();
    (!waiting.is_empty()).then(|| format!("messages wait for the hub: {}", names(&waiting)))
}

fn clock(status: &Status) -> Option<String> {
    let clock = status.clock.as_ref()?;
    Some(if clock.trusted { "clock ok" } else { "clock WRONG" }.to_owned())
}

/// What the disk does, and what it has cost: flash wears.
fn storage(status: &Status) -> Option<String> {
    let storage = &status.storage;
    let (writes, bytes) = (storage.writes?, storage.bytes_written?);
    let state = if storage.writable { "storage ok" } else { "storage FAILS" };
    Some(format!("{state} ({}, {})", counted(writes, "write"), size(bytes)))
}

/// How much the hub is asked, where it asked to slow down.
fn budget(status: &Status) -> Option<String> {
    let budget = status.budget.filter(|budget| budget.percent < 100)?;
    Some(format!("slowed to {} % of {}/s by the hub", budget.percent, budget.operations_per_second))
}

#[cfg(test)]
mod tests;
