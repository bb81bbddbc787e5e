//! Rules about what lies where, and what no file may say.

use crate::{refuse, tree};

const TOP_LEVEL: [&str; 12] = [
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "clients",
    "config",
    "crates",
    "docs",
    "packaging",
    "systemd",
    "tests",
];

/// Folders of one machine or one person; no file of the project needs them.
const MACHINE_PATHS: [&str; 3] = ["/home/", "/Users/", "/root/"];

/// Module names that say nothing about what is in there.
const EMPTY_NAMES: [&str; 9] =
    ["common", "helper", "helpers", "manager", "managers", "misc", "util", "utilities", "utils"];

#[test]
fn the_top_level_holds_only_what_a_newcomer_expects() {
    let mut strangers = Vec::new();
    for entry in std::fs::read_dir(tree::root()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && name != "target" && !TOP_LEVEL.contains(&name.as_str()) {
            strangers.push(name);
        }
    }
    refuse(&strangers, "Find it a folder: a crate, docs, packaging, config, tests.");
}

#[test]
fn no_file_names_a_folder_of_one_machine() {
    let mut findings = Vec::new();
    let checkout = tree::root().display().to_string();
    let paths = [&MACHINE_PATHS[..], &[checkout.as_str()]].concat();
    for file in tree::text_files().iter().filter(|file| !file.states_the_rules()) {
        for (index, line) in file.text.lines().enumerate() {
            if paths.iter().any(|path| starts_absolute(line, path)) {
                findings.push(format!("{}: {}", file.place(index), line.trim()));
            }
        }
    }
    refuse(
        &findings,
        "The path exists on one machine alone: make it relative, an argument, or a temporary folder.",
    );
}

/// Says whether `path` occurs in `line` as the start of an absolute path, not inside a longer one.
fn starts_absolute(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).and_then(|start| start.chars().next_back());
        before.is_none_or(|before| {
            !before.is_alphanumeric() && !matches!(before, '.' | '-' | '_' | '}' | '*' | '/' | '~')
        })
    })
}

#[test]
fn modules_are_named_after_what_they_hold() {
    let mut findings = Vec::new();
    for file in tree::rust_files() {
        let mut parts = file.path.trim_end_matches(".rs").split('/');
        if parts.any(|part| EMPTY_NAMES.contains(&part)) {
            findings.push(file.path);
        }
    }
    refuse(
        &findings,
        "Name the module after the thing in it (`outbox`, `backoff`, `peer_rights`).",
    );
}

#[test]
fn absolute_paths_are_told_from_parts_of_longer_ones() {
    assert!(starts_absolute("open(\"/home/me/a\")", "/home/"));
    assert!(starts_absolute("/root/.cargo", "/root/"));
    assert!(!starts_absolute("https://example.test/home/item", "/home/"));
    assert!(!starts_absolute("./home/", "/home/"));
    assert!(!starts_absolute("${ROOT}/home/", "/home/"));
}
