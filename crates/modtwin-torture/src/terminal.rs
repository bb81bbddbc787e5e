//! The one place that prints: progress and complaints on standard error, results on standard
//! output.
#![expect(clippy::print_stdout, reason = "results go to standard output")]
#![expect(clippy::print_stderr, reason = "progress and complaints go to the other one")]

use std::io::IsTerminal;

/// Says how far it is, on one line that is written over; nothing where nobody looks.
pub(crate) fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        let text: String = text.chars().take(WIDTH).collect();
        eprint!("\r\u{1b}[K{text}");
    }
}

/// Ends the line that is written over.
pub(crate) fn progress_end() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\u{1b}[K");
    }
}

/// Says something.
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// Prints a result.
pub(crate) fn result(text: &str) {
    println!("{text}");
}

/// Says what went wrong.
pub(crate) fn problem(text: &str) {
    eprintln!("modtwin-torture: {text}");
}

/// A line that is written over must not wrap.
const WIDTH: usize = 110;
