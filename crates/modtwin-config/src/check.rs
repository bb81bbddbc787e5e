//! Joins the files and judges them as a whole.
//!
//! Owns the order of joining and what holds across files. Leaves single values to the sections.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeTable;

use crate::field::Field;
use crate::files::Source;
use crate::fleet::RawFleet;
use crate::model::{Config, MAX_MODULES};
use crate::module::{self, ReadModule};
use crate::place::{Lines, Place};
use crate::problem::{Problem, ProblemKind, Problems};
use crate::read::Table;
use crate::sections::{RawCredentials, RawHub, RawSocket, RawState};

/// A file that was read, or why it was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// A file's text, and the folder that its relative paths begin at.
    Text(Source, PathBuf),
    Refused(Problem),
}

impl From<Source> for Input {
    /// A file whose relative paths begin at its own folder.
    fn from(source: Source) -> Self {
        let folder = source.path.parent().unwrap_or(Path::new("")).to_owned();
        Self::Text(source, folder)
    }
}

/// A source whose TOML parsed.
struct Parsed<'a> {
    folder: &'a Path,
    lines: Lines<'a>,
    table: Spanned<DeTable<'a>>,
}

impl Config {
    pub(crate) fn check_inputs(
        inputs: Vec<Input>,
        mut problems: Vec<Problem>,
    ) -> Result<Self, Problems> {
        let mut sources = Vec::new();
        let mut order = Vec::new();
        for input in inputs {
            match input {
                Input::Text(source, folder) => {
                    order.push(source.path.clone());
                    sources.push((source, folder));
                }
                Input::Refused(problem) => {
                    order.push(problem.file.clone());
                    problems.push(problem);
                }
            }
        }
        let parsed: Vec<_> = sources
            .iter()
            .filter_map(|(source, folder)| parse(source, folder, &mut problems))
            .collect();
        // What a file that could not be read would have said is unknown, so nothing is missing yet.
        let complete = problems.is_empty();
        let mut joined = Joined::EMPTY;
        for source in &parsed {
            joined.read(source, &mut problems);
        }
        joined.compare_modules(&mut problems);
        if complete {
            let modules = joined.modules.iter().filter_map(|module| module.id.as_ref());
            joined.fleet.compare(modules, &mut problems);
            let place = joined.hub_place.clone().unwrap_or(Place {
                file: sources.first().map_or(Path::new(""), |(source, _)| &source.path),
                line: None,
                key: String::new(),
            });
            problems.extend(joined.hub.missing(&place));
        }
        match joined.finish() {
            Some(config) if problems.is_empty() => Ok(config),
            _ => {
                // A file that is not in the order is the folder of drop-ins: it goes last.
                let rank =
                    |file: &Path| order.iter().position(|path| path == file).unwrap_or(usize::MAX);
                problems.sort_by_key(|problem| (rank(&problem.file), problem.line));
                Err(Problems(problems))
            }
        }
    }
}

/// Parses a source. Where its syntax is broken, its contents are not judged: after the first
/// broken line, keys may seem to stand in tables where nobody wrote them.
fn parse<'a>(
    source: &'a Source,
    folder: &'a Path,
    problems: &mut Vec<Problem>,
) -> Option<Parsed<'a>> {
    let lines = Lines::new(&source.path, &source.text);
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    let known = problems.len();
    for error in errors {
        let line = error.span().map(|span| lines.line(span.start));
        let place = Place { file: lines.file, line, key: String::new() };
        problems.push(place.problem(ProblemKind::Syntax, error.message()));
    }
    (problems.len() == known).then_some(Parsed { folder, lines, table })
}

/// What the files say together, so far.
struct Joined<'a> {
    hub: RawHub,
    hub_place: Option<Place<'a>>,
    socket: RawSocket,
    state: RawState,
    credentials: RawCredentials,
    fleet: RawFleet<'a>,
    modules: Vec<ReadModule<'a>>,
}

impl<'a> Joined<'a> {
    const EMPTY: Self = Self {
        hub: RawHub::ABSENT,
        hub_place: None,
        socket: RawSocket::ABSENT,
        state: RawState::ABSENT,
        credentials: RawCredentials::ABSENT,
        fleet: RawFleet::ABSENT,
        modules: Vec::new(),
    };

    /// Adds what one file says.
    fn read(&mut self, source: &'a Parsed<'a>, problems: &mut Vec<Problem>) {
        let top = Table::top(&source.lines, source.table.get_ref());
        let folder = source.folder;
        top.refuse_unknown(problems);
        match top.table("hub", problems) {
            Field::Absent => {}
            Field::Bad => replace(&mut self.hub, RawHub::BAD, RawHub::over),
            Field::Good(table) => {
                self.hub_place.get_or_insert_with(|| table.place());
                let hub = RawHub::read(&table, folder, problems);
                replace(&mut self.hub, hub, RawHub::over);
            }
        }
        if let Field::Good(table) = top.table("socket", problems) {
            let socket = RawSocket::read(&table, folder, problems);
            replace(&mut self.socket, socket, RawSocket::over);
        }
        if let Field::Good(table) = top.table("state", problems) {
            let state = RawState::read(&table, folder, problems);
            replace(&mut self.state, state, RawState::over);
        }
        if let Field::Good(table) = top.table("credentials", problems) {
            let credentials = RawCredentials::read(&table, problems);
            replace(&mut self.credentials, credentials, RawCredentials::over);
        }
        if let Field::Good(table) = top.table("fleet", problems) {
            let fleet = RawFleet::read(&table, problems);
            replace(&mut self.fleet, fleet, RawFleet::over);
        }
        if let Field::Good(tables) = top.tables("module", "module[]", problems) {
            let modules = tables.iter().map(|table| module::read(table, folder, problems));
            self.modules.extend(modules);
        }
    }

    /// Notes what is wrong with the modules as a set.
    fn compare_modules(&self, problems: &mut Vec<Problem>) {
        if let Some(excess) = self.modules.get(MAX_MODULES) {
            let found = self.modules.len();
            let place = Place { key: "module".to_owned(), ..excess.place.clone() };
            let message = format!("expected at most {MAX_MODULES} modules, found {found}");
            problems.push(place.problem(ProblemKind::TooMany, message));
        }
        let mut seen = std::collections::BTreeMap::new();
        for module in &self.modules {
            let Some(id) = &module.id else { continue };
            let Some(first) = seen.get(id) else {
                seen.insert(id, &module.place);
                continue;
            };
            let Place { file, line, .. } = first;
            let line = line.unwrap_or(1);
            let message = format!("`{id}` is taken by the module at {}:{line}", file.display());
            problems.push(module.place.problem(ProblemKind::Conflict, message));
        }
    }

    /// The config; none where a problem was noted.
    fn finish(self) -> Option<Config> {
        Some(Config {
            hub: self.hub.finish()?,
            socket: self.socket.finish()?,
            state: self.state.finish()?,
            credentials: self.credentials.finish()?,
            fleet: self.fleet.finish()?,
            modules: self.modules.into_iter().map(|module| module.module).collect::<Option<_>>()?,
        })
    }
}

/// Puts what a later file says over what `earlier` has.
fn replace<T: Absent>(earlier: &mut T, later: T, over: impl FnOnce(T, T) -> T) {
    let before = std::mem::replace(earlier, T::ABSENT);
    *earlier = over(later, before);
}

/// A section that a file may leave out.
trait Absent {
    const ABSENT: Self;
}

impl Absent for RawHub {
    const ABSENT: Self = Self::ABSENT;
}

impl Absent for RawSocket {
    const ABSENT: Self = Self::ABSENT;
}

impl Absent for RawCredentials {
    const ABSENT: Self = Self::ABSENT;
}

impl Absent for RawFleet<'_> {
    const ABSENT: Self = Self::ABSENT;
}

impl Absent for RawState {
    const ABSENT: Self = Self::ABSENT;
}

#[cfg(test)]
mod tests;
