//! The one place that prints: progress and complaints on standard error, results on standard
//! output.
#![expect(clippy::print_stdout, reason = "results go to standard output")]
#![expect(clippy::print_stderr, reason = "progress and complaints go to the other one")]

/// Says what is being measured now.
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}

/// Prints a result.
pub(crate) fn result(text: &str) {
    println!("{text}");
}

/// Says what went wrong.
pub(crate) fn problem(text: &str) {
    eprintln!("modtwin-bench: {text}");
}
