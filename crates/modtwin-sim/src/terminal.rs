//! The one place that prints: progress and complaints on standard error, results on standard
//! output.
#![expect(clippy::print_stdout, reason = "results go to standard output")]
#![expect(clippy::print_stderr, reason = "progress and complaints go to the other one")]

use std::io::IsTerminal as _;

/// Whether somebody watches the progress.
#[must_use]
pub fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

/// Writes over the line of progress.
pub fn progress(text: &str) {
    eprint!("\r\u{1b}[K{text}");
}

/// Says what is being done now.
pub fn step(text: &str) {
    eprintln!("{text}");
}

/// Prints a result.
pub fn result(text: &str) {
    println!("{text}");
}

/// Says what went wrong.
pub fn problem(text: &str) {
    eprintln!("modtwin-sim: {text}");
}
