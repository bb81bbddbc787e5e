//! Every kept input goes through its target once more: what a fuzzer once found stays mended.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected shall fail at once")]

use std::path::{Path, PathBuf};

use modtwin_tests::fuzzing::TARGETS;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

/// Gives a target all its kept inputs; the one that fails is named.
fn replay(name: &str) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(corpus().join(name)).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let outcome = std::panic::catch_unwind(|| target(&bytes));
        assert!(outcome.is_ok(), "{}: {:?}", path.display(), String::from_utf8_lossy(&bytes));
        count += 1;
    }
    assert!(count > 0, "no input is kept for {name}");
}

#[test]
fn packets_of_the_emulator() {
    replay("emulator-packets");
}

#[test]
fn topics_user_names_bags_and_tokens_of_the_emulator() {
    replay("emulator-names");
}

#[test]
fn twins_of_the_emulator() {
    replay("emulator-twins");
}

#[test]
fn requests_to_the_emulator() {
    replay("emulator-requests");
}

#[test]
fn logs_of_the_emulator() {
    replay("emulator-log");
}

#[test]
fn messages_of_the_hub() {
    replay("wire");
}

#[test]
fn state_files_and_what_the_hub_says_next() {
    replay("state");
}

#[test]
fn config_files() {
    replay("config");
}

#[test]
fn requests_to_the_local_api() {
    replay("local-api");
}

#[test]
fn connections_to_the_local_api() {
    replay("local-api-connection");
}

#[test]
fn bodies_of_requests_to_the_local_api() {
    replay("local-api-bodies");
}

#[test]
fn every_folder_of_inputs_is_a_targets() {
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    for entry in std::fs::read_dir(corpus()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name.as_str()), "tests/fuzz/corpus/{name} belongs to no target");
    }
}
