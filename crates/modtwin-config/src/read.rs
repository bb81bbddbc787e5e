//! Takes typed fields out of parsed TOML and keeps the place of each.
//!
//! Owns key paths, types and unknown keys. Leaves what a value may be to `values`.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::field::Field;
use crate::key::{self, KeyType};
use crate::place::{Lines, Place};
use crate::problem::{Problem, ProblemKind};
use crate::values::{self, Fault};

/// One table of a source.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    pub(crate) lines: &'a Lines<'a>,
    /// The table's path in the key table.
    kind: &'static str,
    /// The table's path as problems show it.
    path: String,
    offset: usize,
    entries: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    /// The top of a source.
    pub(crate) fn top(lines: &'a Lines<'a>, entries: &'a DeTable<'a>) -> Self {
        Self { lines, kind: "", path: String::new(), offset: 0, entries }
    }

    /// The table's own place: its header.
    pub(crate) fn place(&self) -> Place<'a> {
        let line = Some(self.lines.line(self.offset));
        Place { file: self.lines.file, line, key: self.path.clone() }
    }

    /// The place of `name`: its own line, or the table's header where it is absent.
    pub(crate) fn place_of(&self, name: &str) -> Place<'a> {
        let offset = self.entry(name).map_or(self.offset, |(offset, _)| offset);
        let line = Some(self.lines.line(offset));
        Place { file: self.lines.file, line, key: join(&self.path, name) }
    }

    /// The string at `name`, read by `parse`.
    pub(crate) fn text<T>(
        &self,
        name: &str,
        problems: &mut Vec<Problem>,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Field<T> {
        match self.entry(name).map(|(_, value)| value) {
            None => Field::Absent,
            Some(DeValue::String(text)) => self.judged(name, parse(text), problems),
            Some(other) => self.wrong_type(name, other, problems),
        }
    }

    /// The duration at `name`, within the range that the key table gives.
    pub(crate) fn duration(
        &self,
        name: &str,
        problems: &mut Vec<Problem>,
    ) -> Field<std::time::Duration> {
        let path = join(self.kind, name);
        self.text(name, problems, |text| values::duration(&path, text))
    }

    /// The port at `name`.
    pub(crate) fn port(&self, name: &str, problems: &mut Vec<Problem>) -> Field<u16> {
        match self.entry(name).map(|(_, value)| value) {
            None => Field::Absent,
            Some(DeValue::Integer(number)) => {
                let port = u16::from_str_radix(number.as_str(), number.radix()).ok();
                let fault = || Fault::from(format!("expected {}, found {number}", KeyType::Port));
                self.judged(name, port.filter(|port| *port > 0).ok_or_else(fault), problems)
            }
            Some(other) => self.wrong_type(name, other, problems),
        }
    }

    /// The array of strings at `name`, each read by `parse`.
    pub(crate) fn texts<T>(
        &self,
        name: &str,
        problems: &mut Vec<Problem>,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Field<Vec<T>> {
        let items = match self.entry(name).map(|(_, value)| value) {
            None => return Field::Absent,
            Some(DeValue::Array(items)) => items,
            Some(other) => return self.wrong_type(name, other, problems),
        };
        let known = problems.len();
        let mut read = Vec::new();
        for item in items {
            let mut place = self.place_of(name);
            place.line = Some(self.lines.line(item.span().start));
            match item.get_ref() {
                DeValue::String(text) => match parse(text) {
                    Ok(value) => read.push(value),
                    Err(fault) => problems.push(place.problem(ProblemKind::Invalid, fault)),
                },
                other => problems.push(place.problem(
                    ProblemKind::WrongType,
                    format!("expected {}, found {} in it", self.expected(name), describe(other)),
                )),
            }
        }
        if problems.len() == known { Field::Good(read) } else { Field::Bad }
    }

    /// The table at `name`.
    pub(crate) fn table(
        &self,
        name: &'static str,
        problems: &mut Vec<Problem>,
    ) -> Field<Table<'a>> {
        match self.entry(name) {
            None => Field::Absent,
            Some((offset, DeValue::Table(entries))) => {
                let path = join(&self.path, name);
                Field::Good(Table { lines: self.lines, kind: name, path, offset, entries })
            }
            Some((_, other)) => self.wrong_type(name, other, problems),
        }
    }

    /// The tables at `name`, which the key table knows as `kind`.
    pub(crate) fn tables(
        &self,
        name: &str,
        kind: &'static str,
        problems: &mut Vec<Problem>,
    ) -> Field<Vec<Table<'a>>> {
        let items = match self.entry(name).map(|(_, value)| value) {
            None => return Field::Absent,
            Some(DeValue::Array(items)) => items,
            Some(other) => return self.wrong_type(name, other, problems),
        };
        let mut tables = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}[{}]", join(&self.path, name), index + 1);
            let offset = item.span().start;
            match item.get_ref() {
                DeValue::Table(entries) => {
                    tables.push(Table { lines: self.lines, kind, path, offset, entries });
                }
                other => {
                    let line = Some(self.lines.line(offset));
                    let place = Place { file: self.lines.file, line, key: path };
                    let message = format!("expected a table, found {}", describe(other));
                    problems.push(place.problem(ProblemKind::WrongType, message));
                }
            }
        }
        Field::Good(tables)
    }

    /// Notes every key of this table that the key table does not know.
    pub(crate) fn refuse_unknown(&self, problems: &mut Vec<Problem>) {
        for key in self.entries.keys() {
            let name: &str = key.get_ref();
            if key::names_under(self.kind).any(|known| known == name) {
                continue;
            }
            let line = Some(self.lines.line(key.span().start));
            let place = Place { file: self.lines.file, line, key: join(&self.path, name) };
            let suggestion = values::nearest(name, key::names_under(self.kind));
            let message = match (&suggestion, key::tables_with(name)) {
                (None, tables) if !tables.is_empty() => {
                    format!("unknown key here, it belongs under {}", tables.join(" or "))
                }
                _ => "unknown key".to_owned(),
            };
            problems.push(place.problem(ProblemKind::UnknownKey, Fault { message, suggestion }));
        }
    }

    fn entry(&self, name: &str) -> Option<(usize, &'a DeValue<'a>)> {
        let (key, value): (&Spanned<_>, &Spanned<DeValue<'_>>) =
            self.entries.get_key_value(name)?;
        Some((key.span().start, value.get_ref()))
    }

    fn judged<T>(
        &self,
        name: &str,
        value: Result<T, Fault>,
        problems: &mut Vec<Problem>,
    ) -> Field<T> {
        match value {
            Ok(value) => Field::Good(value),
            Err(fault) => {
                problems.push(self.place_of(name).problem(ProblemKind::Invalid, fault));
                Field::Bad
            }
        }
    }

    fn wrong_type<T>(
        &self,
        name: &str,
        found: &DeValue<'_>,
        problems: &mut Vec<Problem>,
    ) -> Field<T> {
        let message = format!("expected {}, found {}", self.expected(name), describe(found));
        problems.push(self.place_of(name).problem(ProblemKind::WrongType, message));
        Field::Bad
    }

    /// What the key table says that `name` takes.
    fn expected(&self, name: &str) -> String {
        let path = join(self.kind, name);
        let key = key::find(&path).or_else(|| key::find(&format!("{path}[]")));
        key.map_or_else(|| "something else".to_owned(), |key| key.value.to_string())
    }
}

/// `name` under `path`, the top being the empty path.
fn join(path: &str, name: &str) -> String {
    // A key may be any text in TOML; one that is no bare key is shown quoted, on one line.
    let bare =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let name = if bare { name.to_owned() } else { format!("{name:?}") };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// What a value is, for people.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string {text:?}"),
        DeValue::Integer(number) => format!("the bare number {number}"),
        DeValue::Float(number) => format!("the bare number {number}"),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
