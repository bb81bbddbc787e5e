//! Standard output: JSON or text, with colours only where a person looks.

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::failure::Failure;

/// How a command prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    terminal: bool,
    colour: bool,
}

/// What a word in colour means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// It may mend itself.
    Fair,
    /// Somebody has to do something.
    Bad,
    /// A heading.
    Strong,
}

impl Output {
    /// Prints JSON where asked for, and colours where [`wants_colour`] says so.
    pub(crate) fn new(json: bool) -> Self {
        let no_color = std::env::var_os("NO_COLOR");
        let term = std::env::var_os("TERM");
        let terminal = io::stdout().is_terminal();
        let colour = wants_colour(terminal, no_color.as_deref(), term.as_deref());
        Self { json, terminal, colour }
    }

    /// Says whether to print JSON.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Says whether standard output is a terminal.
    pub(crate) fn is_terminal(self) -> bool {
        self.terminal
    }

    /// Says whether to print colours.
    pub(crate) fn is_coloured(self) -> bool {
        self.colour
    }

    /// Prints a line of text.
    pub(crate) fn line(self, text: impl AsRef<str>) -> Result<(), Failure> {
        writeln!(io::stdout().lock(), "{}", text.as_ref()).map_err(Failure::from)
    }

    /// Prints text that brings its own line feeds.
    pub(crate) fn text(self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::from)
    }

    /// Prints a value as JSON on one line.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<(), Failure> {
        self.line(compact(value)?)
    }

    /// Prints a value as JSON that a person reads with ease.
    pub(crate) fn pretty(self, value: &impl Serialize) -> Result<(), Failure> {
        self.line(serde_json::to_string_pretty(value).map_err(unprintable)?)
    }

    /// Prints `value` as JSON, or else what `text` makes of it.
    pub(crate) fn either<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        if self.json { self.json(value) } else { self.line(text(value)) }
    }

    /// Prints the completion script of `command` for a shell.
    pub(crate) fn completions(
        self,
        command: &mut clap::Command,
        shell: clap_complete::Shell,
    ) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(shell, command, "modtwinctl", &mut script);
        io::stdout().lock().write_all(&script).map_err(Failure::from)
    }
}

/// JSON on one line.
pub(crate) fn compact(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(unprintable)
}

/// Sets `text` in the colour of `tone`, if at all (ECMA-48, select graphic rendition).
pub(crate) fn painted(text: &str, tone: Option<Tone>, coloured: bool) -> String {
    let code = match tone {
        Some(Tone::Good) => "32",
        Some(Tone::Fair) => "33",
        Some(Tone::Bad) => "31",
        Some(Tone::Strong) => "1",
        None => return text.to_owned(),
    };
    if coloured { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Colours are for terminals that know them, and for people who have not said `NO_COLOR`
/// (<https://no-color.org>: any value but an empty one).
fn wants_colour(is_terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty) && term.is_some_and(|term| term != "dumb")
}

fn unprintable(error: serde_json::Error) -> Failure {
    Failure::failed(format!("cannot print the answer: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_whose_user_wants_them() {
        let wants = |is_terminal, no_color: Option<&'static str>, term: Option<&'static str>| {
            wants_colour(is_terminal, no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert!(wants(true, None, Some("xterm")));
        assert!(wants(true, Some(""), Some("xterm")));
        assert!(!wants(false, None, Some("xterm")));
        assert!(!wants(true, Some("0"), Some("xterm")));
        assert!(!wants(true, None, Some("dumb")));
        assert!(!wants(true, None, None));
    }

    #[test]
    fn a_tone_is_set_and_taken_back() {
        assert_eq!(painted("x", Some(Tone::Good), true), "\u{1b}[32mx\u{1b}[0m");
        assert_eq!(painted("x", Some(Tone::Bad), false), "x");
        assert_eq!(painted("x", None, true), "x");
    }
}
