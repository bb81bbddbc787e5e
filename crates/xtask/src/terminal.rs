//! The one place that prints. Bold only where a person is looking.
#![expect(clippy::print_stdout, reason = "a command's own words go to its standard output")]
#![expect(clippy::print_stderr, reason = "and its complaints to the other one")]

use std::io::IsTerminal;

/// Prints a heading that a reader finds again in a long log.
pub(crate) fn heading(text: &str) {
    if std::io::stdout().is_terminal() {
        println!("\n\u{1b}[1m== {text}\u{1b}[0m");
    } else {
        println!("\n== {text}");
    }
}

/// Prints one line.
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// Prints what went wrong, on standard error.
pub(crate) fn problem(text: &str) {
    eprintln!("xtask: {text}");
}
