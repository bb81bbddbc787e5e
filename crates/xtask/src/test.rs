//! `cargo xtask test`: the list of what has to hold. Anyone can type each line of it.

use std::path::Path;
use std::process::ExitCode;

use crate::steps::{self, Step};
use crate::{bootstrap, official_clients, schemathesis, terminal};

const FORMAT: Step = Step {
    name: "formatting",
    arguments: &["fmt", "--all", "--check"],
    environment: &[],
    counts_tests: false,
};

const LINTS: Step = Step {
    name: "lints",
    arguments: &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
    environment: &[],
    counts_tests: false,
};

const RULES: Step = Step {
    name: "repository rules",
    arguments: &["test", "--package", "modtwin-tests", "--test", "tidy", "--locked"],
    environment: &[],
    counts_tests: true,
};

const UNIT_TESTS: Step = Step {
    name: "unit tests",
    arguments: &["test", "--workspace", "--lib", "--bins", "--locked", "--no-fail-fast"],
    environment: &[],
    counts_tests: true,
};

/// The end-to-end tests start the programs as processes of their own.
const PROGRAMS: Step = Step {
    name: "programs",
    arguments: &["build", "--workspace", "--bins", "--locked"],
    environment: &[],
    counts_tests: false,
};

const TESTS: Step = Step {
    name: "tests",
    arguments: &["test", "--workspace", "--locked", "--no-fail-fast"],
    environment: &[],
    counts_tests: true,
};

const DOCUMENTATION: Step = Step {
    name: "documentation",
    arguments: &["doc", "--workspace", "--no-deps", "--locked"],
    environment: &[("RUSTDOCFLAGS", "-D warnings")],
    counts_tests: false,
};

const HISTORIES: Step = Step {
    name: "histories",
    arguments: &["xtask", "simulate", "--seeds", "20000"],
    environment: &[],
    counts_tests: false,
};

const DEMO: Step =
    Step { name: "demo", arguments: &["xtask", "demo"], environment: &[], counts_tests: false };

const OFFICIAL_CLIENTS: Step = Step {
    name: "official clients",
    arguments: &["xtask", "official-clients"],
    environment: &[],
    counts_tests: true,
};

const SCHEMATHESIS: Step = Step {
    name: "schemathesis",
    arguments: &["xtask", "schemathesis"],
    environment: &[],
    counts_tests: true,
};

/// Says why where this machine can't boot a systemd.
const SYSTEMD: Step = Step {
    name: "systemd",
    arguments: &["xtask", "systemd-test"],
    environment: &[],
    counts_tests: true,
};

/// All but the advisories: their database is on the network.
const LICENCES: Step = Step {
    name: "licences and sources",
    arguments: &[
        "deny",
        "--config",
        ".deny.toml",
        "--log-level",
        "error",
        "check",
        "licenses",
        "bans",
        "sources",
    ],
    environment: &[],
    counts_tests: false,
};

/// Installs what is missing, then runs the steps: with `quick` those that take seconds, else all.
///
/// # Errors
/// Something that the build needs is missing and can't be installed from here.
pub(crate) fn run(root: &Path, quick: bool) -> anyhow::Result<ExitCode> {
    let mut steps = if quick {
        vec![FORMAT, RULES, LINTS, UNIT_TESTS]
    } else {
        vec![FORMAT, LINTS, PROGRAMS, TESTS, HISTORIES, SYSTEMD, DOCUMENTATION, DEMO]
    };
    let obstacle = official_clients::obstacle().filter(|_| !quick);
    if !quick && obstacle.is_none() {
        steps.push(OFFICIAL_CLIENTS);
    }
    let no_schemathesis = if quick { None } else { schemathesis::obstacle(root) };
    if !quick && no_schemathesis.is_none() {
        steps.push(SCHEMATHESIS);
    }
    let with_licences = bootstrap::has_cargo_deny();
    if with_licences {
        steps.push(LICENCES);
    }
    let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
    let names = names.join(", ");
    terminal::line(&format!("cargo xtask test: {names}, each with the command that does it"));
    if let Some(obstacle) = obstacle {
        terminal::line(&format!("the official clients are left out: {obstacle}"));
    }
    if let Some(obstacle) = no_schemathesis {
        terminal::line(&format!("schemathesis is left out: {obstacle}"));
    }
    if !with_licences {
        terminal::line(
            "licences and sources are left out: cargo-deny is not here \
             (`cargo install --locked cargo-deny`)",
        );
    }
    bootstrap::system_packages()?;
    if !quick {
        bootstrap::test_packages()?;
    }
    bootstrap::rust_components()?;
    steps::run(root, &steps)
}
