//! Rules about Rust files.

use crate::tree::{self, TextFile};
use crate::{refuse, tree::rust_files};

const MOST_PRODUCTION_LINES: usize = 600;

/// What a file without I/O, clocks or random order has no use for.
const NOT_IN_THE_CORE: [&str; 8] = [
    "std::",
    "extern crate std",
    "HashMap",
    "HashSet",
    "SystemTime",
    "Instant",
    "async fn",
    ".await",
];

/// Marks of work that was not done.
const UNFINISHED: [&str; 5] = ["todo!(", "unimplemented!(", "FIXME", "XXX", "dbg!("];

const SLEEPS: [&str; 2] = ["thread::sleep", "time::sleep"];

/// Says whether `word` stands in `line` by itself, not as the end of a longer name.
fn stands_alone(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|start| start.chars().next_back());
        before.is_none_or(|before| !before.is_alphanumeric() && before != '_')
    })
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Returns the places of every line of `files` that `judge` objects to.
fn lines_where(files: &[TextFile], judge: impl Fn(&str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| !file.states_the_rules()) {
        for (index, line) in file.text.lines().enumerate() {
            if judge(line) {
                findings.push(format!("{}: {}", file.place(index), line.trim()));
            }
        }
    }
    findings
}

#[test]
fn files_are_short_enough_to_read() {
    let findings: Vec<String> = rust_files()
        .iter()
        .filter(|file| file.path.contains("/src/"))
        .map(|file| (file, file.production_lines().len()))
        .filter(|(_, lines)| *lines > MOST_PRODUCTION_LINES)
        .map(|(file, lines)| format!("{}: {lines} lines before its tests", file.path))
        .collect();
    refuse(
        &findings,
        &format!("Split it by what it owns; {MOST_PRODUCTION_LINES} is the limit and 400 the aim."),
    );
}

#[test]
fn every_file_says_what_it_owns() {
    let findings: Vec<String> = rust_files()
        .into_iter()
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.path)
        .collect();
    refuse(
        &findings,
        "Open the file with a `//!` paragraph: what it owns, and what it leaves to others.",
    );
}

#[test]
fn the_core_knows_no_outside_world() {
    let crate_root = tree::read("crates/modtwin-core/src/lib.rs");
    assert!(
        crate_root.lines().any(|line| line == "#![no_std]"),
        "crates/modtwin-core/src/lib.rs must say `#![no_std]`: the compiler then keeps I/O and clocks out"
    );
    let mut findings = Vec::new();
    for file in rust_files() {
        if !file.path.starts_with("crates/modtwin-core/src/") {
            continue;
        }
        for (index, line) in file.production_lines().iter().enumerate() {
            if !is_comment(line) && NOT_IN_THE_CORE.iter().any(|word| stands_alone(line, word)) {
                findings.push(format!("{}: {}", file.place(index), line.trim()));
            }
        }
    }
    refuse(
        &findings,
        "The core gets time and randomness as arguments, keeps maps in order (`BTreeMap`), and answers with effects. \
         What needs more is a driver's.",
    );
}

#[test]
fn exceptions_to_lints_are_expected_with_a_reason() {
    let findings = lines_where(&rust_files(), |line| {
        line.trim_start().starts_with('#') && stands_alone(line, "allow(")
    });
    refuse(
        &findings,
        "Write `#[expect(LINT, reason = \"…\")]`: it complains once it is no longer needed.",
    );
}

#[test]
fn nothing_is_left_unfinished() {
    let findings =
        lines_where(&rust_files(), |line| UNFINISHED.iter().any(|mark| stands_alone(line, mark)));
    refuse(&findings, "Finish it, or take it out.");
}

#[test]
fn no_test_is_switched_off() {
    let findings = lines_where(&rust_files(), |line| {
        let line = line.trim_start();
        line.starts_with("#[ignore") || line.starts_with("#[should_panic")
    });
    refuse(
        &findings,
        "A test that does not run proves nothing, and one that wants any panic proves little.",
    );
}

#[test]
fn tests_wait_for_conditions_not_for_time() {
    let mut findings = Vec::new();
    let files = rust_files();
    for file in files.iter().filter(|file| file.is_in_tests_folder() && !file.states_the_rules()) {
        // On a paused clock a sleep takes no time: it is how such a test moves the clock.
        let is_virtual = file.text.contains("start_paused = true");
        let sleeps: &[&str] = if is_virtual { &["thread::sleep"] } else { &SLEEPS };
        let mut line_above = "";
        for (index, line) in file.text.lines().enumerate() {
            let is_sleep = sleeps.iter().any(|sleep| line.contains(sleep)) && !is_comment(line);
            if is_sleep && !line_above.trim_start().starts_with("// Polls: ") {
                findings.push(format!("{}: {}", file.place(index), line.trim()));
            }
            line_above = line;
        }
    }
    refuse(
        &findings,
        "Wait until something holds, with a deadline. The one loop that looks again and again \
         says so on the line above its sleep: `// Polls: what for, until when`.",
    );
}

#[test]
fn words_are_told_from_ends_of_longer_ones() {
    assert!(stands_alone("use std::fs;", "std::"));
    assert!(!stands_alone("use my_std::fs;", "std::"));
    assert!(stands_alone("#![allow(dead_code)]", "allow("));
    assert!(!stands_alone("#[my_allow(x)]", "allow("));
}
