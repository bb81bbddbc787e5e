//! The repository's own rules, as tests: arrows between crates, sizes, lints, names, and what may
//! lie where. Each failure says what to do about it. Reading files is [`tree`]'s, cargo's view of
//! the workspace is [`workspace`]'s.
#![expect(clippy::panic, reason = "a broken rule fails its test by panicking")]

mod arrows;
mod manifests;
mod repository;
mod sources;
mod tree;
mod workspace;

/// Fails the test with every finding and the remedy, where there is a finding.
fn refuse(findings: &[String], remedy: &str) {
    if !findings.is_empty() {
        panic!("\n  {}\n\n{remedy}\n", findings.join("\n  "));
    }
}
