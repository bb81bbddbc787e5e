//! Standard output: JSON or text, with colours only where a person looks.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::failure::Failure;

/// How a command prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
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
    /// Prints JSON where asked for; colours only on a terminal and never with `NO_COLOR`
    /// (<https://no-color.org>) or on a dumb terminal.
    pub(crate) fn new(json: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            json,
            colour: io::stdout().is_terminal() && !refused,
        }
    }

    /// Says whether to print JSON.
    pub(crate) fn is_json(self) -> bool {
        self.json
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
        io::stdout()
            .lock()
            .write_all(text.as_bytes())
            .map_err(Failure::from)
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
        if self.json {
            self.json(value)
        } else {
            self.line(text(value))
        }
    }

    /// Prints the completion script of `command` for a shell.
    pub(crate) fn completions(
        self,
        command: &mut clap::Command,
        shell: clap_complete::Shell,
    ) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(shell, command, "modtwinctl", &mut script);
        io::stdout()
            .lock()
            .write_all(&script)
            .map_err(Failure::from)
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
    if coloured {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

fn unprintable(error: serde_json::Error) -> Failure {
    Failure::failed(format!("cannot print the answer: {error}"))
}
