//! The table of handlers: what each should have applied, has applied, and said last.

use std::time::SystemTime;

use modtwin_api::{HandlerStatus, ModuleStatus};

use crate::failure::one_line;
use crate::output::{Tone, painted};
use crate::words::{WIDTH, shortened, span};

const HEADS: [&str; COLUMNS] = ["HANDLER", "MODULE", "DESIRED", "APPLIED", "LAST WORD", "WATCHES"];
const COLUMNS: usize = 6;
/// The widest that the columns after the names are, each: what is longer loses its middle.
const WIDEST: [usize; COLUMNS - 2] = [8, 8, 23, 7];
const GAP: &str = "  ";
/// The two names share what the other columns leave, but no less than this for each.
const NARROWEST_NAME: usize = 10;

/// A line of the table, before it is set.
struct Row {
    cells: [String; COLUMNS],
    tone: Option<Tone>,
}

/// The lines of the table, the heads first; none where there is no handler.
pub(super) fn lines(modules: &[ModuleStatus], now: SystemTime, coloured: bool) -> Vec<String> {
    let handlers = modules
        .iter()
        .flat_map(|module| module.handlers.iter().map(move |handler| row(module, handler, now)));
    let handlers: Vec<Row> = handlers.collect();
    if handlers.is_empty() {
        return Vec::new();
    }
    let mut rows = vec![Row { cells: HEADS.map(str::to_owned), tone: None }];
    rows.extend(handlers);
    let mut widths = [0; COLUMNS];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(&row.cells) {
            *width = cell.chars().count().max(*width);
        }
    }
    let [name, module, others @ ..] = &mut widths;
    for (width, widest) in others.iter_mut().zip(WIDEST) {
        *width = (*width).min(widest);
    }
    let taken: usize = others.iter().map(|width| width + GAP.len()).sum::<usize>() + GAP.len();
    let room = WIDTH.saturating_sub(taken);
    *module = (*module).min(room.saturating_sub(*name).max(room / 2).max(NARROWEST_NAME));
    *name = (*name).min(room.saturating_sub(*module).max(NARROWEST_NAME));
    rows.iter().map(|row| set(row, &widths, coloured)).collect()
}

fn row(module: &ModuleStatus, handler: &HandlerStatus, now: SystemTime) -> Row {
    let version = |version: Option<u64>| version.map_or("-".to_owned(), |it| it.to_string());
    let expected = handler.desired_version.or(module.desired_version);
    let (word, tone) = match handler.status {
        None if expected.is_none() => ("-".to_owned(), None),
        None => ("none yet".to_owned(), Some(Tone::Fair)),
        Some(504) => ("504 silent".to_owned(), Some(Tone::Bad)),
        Some(status) if status >= 400 => (format!("{status} refused"), Some(Tone::Bad)),
        Some(status) => {
            let current = expected.is_none_or(|expected| handler.applied_version >= Some(expected));
            (format!("{status} applied"), Some(if current { Tone::Good } else { Tone::Fair }))
        }
    };
    let word = match handler.at {
        Some(at) => format!("{word} {} ago", span(at.time(), now)),
        None => word,
    };
    let cells = [
        one_line(&handler.name),
        one_line(&module.module),
        version(expected),
        version(handler.applied_version),
        word,
        if handler.watching { "yes" } else { "no" }.to_owned(),
    ];
    Row { cells, tone }
}

/// Sets a line: versions to the right, all else to the left, no blanks at the end.
fn set(row: &Row, widths: &[usize; COLUMNS], coloured: bool) -> String {
    let mut line = String::new();
    for (index, (cell, width)) in row.cells.iter().zip(widths).enumerate() {
        let width = *width;
        let cell = shortened(cell, width);
        let cell = match index {
            2 | 3 => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        };
        if index > 0 {
            line.push_str(GAP);
        }
        let tone = match index {
            4 => row.tone,
            _ => None,
        };
        let tone = if is_head(row) { Some(Tone::Strong) } else { tone };
        line.push_str(&painted(&cell, tone, coloured));
    }
    line.trim_end().to_owned()
}

fn is_head(row: &Row) -> bool {
    row.cells.first().is_some_and(|first| first == HEADS[0])
        && row.cells.get(1).is_some_and(|second| second == HEADS[1])
}
