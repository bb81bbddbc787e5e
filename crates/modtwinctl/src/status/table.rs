//! The table of modules, one line a module.

use std::time::SystemTime;

use modtwin_api::{HubState, ModuleStatus, PendingStatus};

use crate::failure::one_line;
use crate::output::{Tone, painted};
use crate::words::{WIDTH, shortened, span};

/// How many columns the table has.
const COLUMNS: usize = 7;

/// The heads of the columns.
const HEADS: [&str; COLUMNS] =
    ["MODULE", "STATE", "REASON", "SINCE", "DESIRED", "APPLIED", "PENDING"];

/// Between two columns.
const GAP: &str = "  ";

/// The narrowest that the names of modules are shortened to.
const NARROWEST_NAME: usize = 10;

/// A line before it is set: its cells, and the tone of its state.
struct Row {
    cells: [String; COLUMNS],
    tone: Option<Tone>,
}

/// The lines of the table, the heads first.
pub(super) fn lines(modules: &[ModuleStatus], now: SystemTime, coloured: bool) -> Vec<String> {
    let mut rows = vec![Row { cells: HEADS.map(str::to_owned), tone: None }];
    rows.extend(modules.iter().map(|module| row(module, now)));
    let mut widths = [0; COLUMNS];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(&row.cells) {
            *width = cell.chars().count().max(*width);
        }
    }
    let [name, others @ ..] = &mut widths;
    let taken: usize = others.iter().map(|width| width + GAP.len()).sum();
    *name = (*name).min(WIDTH.saturating_sub(taken).max(NARROWEST_NAME));
    rows.iter().map(|row| set(row, &widths, coloured)).collect()
}

fn row(module: &ModuleStatus, now: SystemTime) -> Row {
    let hub = &module.hub;
    let tone = match hub.state {
        HubState::Connected => Tone::Good,
        HubState::Connecting | HubState::Disconnected | HubState::Unknown => Tone::Fair,
        HubState::Disabled => Tone::Bad,
    };
    let cells = [
        one_line(&module.module),
        hub.state.to_string(),
        hub.reason.to_string(),
        span(hub.since.time(), now),
        version(module.desired_version),
        version(module.applied_version()),
        pending(module.pending),
    ];
    Row { cells, tone: Some(tone) }
}

/// Sets a line: versions to the right, all else to the left, no blanks at the end.
fn set(row: &Row, widths: &[usize; COLUMNS], coloured: bool) -> String {
    let mut line = String::new();
    for (index, (cell, width)) in row.cells.iter().zip(widths).enumerate() {
        let width = *width;
        let cell = shortened(cell, width);
        let cell = if index < 4 { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
        if index > 0 {
            line.push_str(GAP);
        }
        let tone = match index {
            1 => row.tone,
            _ if row.tone.is_none() => Some(Tone::Strong),
            _ => None,
        };
        line.push_str(&painted(&cell, tone, coloured));
    }
    line.trim_end().to_owned()
}

fn version(version: Option<u64>) -> String {
    version.map_or_else(|| "-".to_owned(), |version| version.to_string())
}

/// How many keys wait for the hub.
fn pending(pending: PendingStatus) -> String {
    match pending.keys {
        0 => "-".to_owned(),
        1 => "1 key".to_owned(),
        keys => format!("{keys} keys"),
    }
}
