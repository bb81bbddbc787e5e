//! The table of modules, one line a module.

use std::time::SystemTime;

use modtwin_api::{HubState, ModuleStatus};

use super::advice::NEAR_END;
use crate::failure::one_line;
use crate::output::{Tone, painted};
use crate::words::{WIDTH, shortened, span};

/// How many columns the table has.
const COLUMNS: usize = 8;

/// The heads of the columns.
const HEADS: [&str; COLUMNS] =
    ["MODULE", "STATE", "REASON", "SINCE", "DESIRED", "APPLIED", "PENDING", "DAYS"];

/// The widest that the columns after the name are, each: what is longer loses its middle.
/// Invariant: with the narrowest name and the narrow gap they fit into [`WIDTH`].
const WIDEST: [usize; COLUMNS - 1] = [12, 18, 7, 8, 8, 7, 5];

/// Between two columns, and where that leaves no room for the names.
const GAP: usize = 2;
const NARROW_GAP: usize = 1;

/// What the names are to have before the gaps become narrow.
const NARROWEST_NAME: usize = 16;

/// From which column on cells are set to the right, and which are coloured.
const FIRST_NUMBER: usize = 4;
const STATE: usize = 1;
const DAYS: usize = 7;

/// A line before it is set: its cells, and the tones of state and days.
struct Row {
    cells: [String; COLUMNS],
    state: Option<Tone>,
    days: Option<Tone>,
}

/// The lines of the table, the heads first.
pub(super) fn lines(modules: &[ModuleStatus], now: SystemTime, coloured: bool) -> Vec<String> {
    let mut rows = vec![Row { cells: HEADS.map(str::to_owned), state: None, days: None }];
    rows.extend(modules.iter().map(|module| row(module, now)));
    let mut widths = [0; COLUMNS];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(&row.cells) {
            *width = cell.chars().count().max(*width);
        }
    }
    let [name, others @ ..] = &mut widths;
    for (width, widest) in others.iter_mut().zip(WIDEST) {
        *width = (*width).min(widest);
    }
    let taken: usize = others.iter().sum();
    let room = |gap| WIDTH.saturating_sub(taken + gap * (COLUMNS - 1));
    let gap = if room(GAP) < NARROWEST_NAME.min(*name) { NARROW_GAP } else { GAP };
    *name = (*name).min(room(gap));
    rows.iter().map(|row| set(row, &widths, gap, coloured)).collect()
}

fn row(module: &ModuleStatus, now: SystemTime) -> Row {
    let hub = &module.hub;
    let state = match hub.state {
        HubState::Connected => Tone::Good,
        HubState::Connecting | HubState::Disconnected | HubState::Unknown => Tone::Fair,
        HubState::Disabled => Tone::Bad,
    };
    let days_left = module.credential.as_ref().and_then(|credential| credential.days_left);
    let days = match days_left {
        Some(..0) => Some(Tone::Bad),
        Some(0..=NEAR_END) => Some(Tone::Fair),
        _ => None,
    };
    let cells = [
        one_line(&module.module),
        hub.state.to_string(),
        hub.reason.to_string(),
        span(hub.since.time(), now),
        number(module.desired_version),
        number(module.applied_version()),
        number(Some(module.pending.keys).filter(|keys| *keys > 0)),
        number(days_left),
    ];
    Row { cells, state: Some(state), days }
}

/// Sets a line: numbers to the right, all else to the left, no blanks at the end.
fn set(row: &Row, widths: &[usize; COLUMNS], gap: usize, coloured: bool) -> String {
    let mut line = String::new();
    for (index, (cell, width)) in row.cells.iter().zip(widths).enumerate() {
        let width = *width;
        let cell = shortened(cell, width);
        let cell = match index {
            ..FIRST_NUMBER => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        };
        if index > 0 {
            line.push_str(&" ".repeat(gap));
        }
        let tone = match index {
            _ if row.state.is_none() => Some(Tone::Strong),
            STATE => row.state,
            DAYS => row.days,
            _ => None,
        };
        line.push_str(&painted(&cell, tone, coloured));
    }
    line.trim_end().to_owned()
}

fn number<T: ToString>(number: Option<T>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}
