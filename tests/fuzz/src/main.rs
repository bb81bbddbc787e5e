//! libFuzzer's program: runs the target that the environment variable `FUZZ_TARGET` names.
#![no_main]

use std::sync::OnceLock;

use modtwin_tests::fuzzing::{TARGETS, Target, target};

static TARGET: OnceLock<Target> = OnceLock::new();

fn chosen() -> Target {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    target(&name).unwrap_or_else(|| panic!("FUZZ_TARGET: expected one of {names:?}, found {name:?}"))
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET.get_or_init(chosen)(bytes));
