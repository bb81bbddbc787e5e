//! Which crate may point at which. The table below is the decision; cargo says what is.

use std::collections::{BTreeMap, BTreeSet};

use crate::refuse;
use crate::workspace::Workspace;

const LONGEST_CHAIN: usize = 5;

/// What runs on a gateway, and which of ours each may link.
const PRODUCT: [(&str, &[&str]); 10] = [
    ("modtwin-core", &[]),
    ("modtwin-api", &[]),
    ("modtwin-wire", &["modtwin-core"]),
    ("modtwin-config", &["modtwin-core"]),
    ("modtwin-credentials", &["modtwin-core"]),
    ("modtwin-session", &["modtwin-core", "modtwin-wire"]),
    ("modtwin-mqtt", &["modtwin-core", "modtwin-session"]),
    ("modtwin-client", &["modtwin-api"]),
    (
        "modtwind",
        &[
            "modtwin-core",
            "modtwin-api",
            "modtwin-config",
            "modtwin-session",
            "modtwin-credentials",
            "modtwin-mqtt",
        ],
    ),
    (
        "modtwinctl",
        &[
            "modtwin-api",
            "modtwin-client",
            "modtwin-config",
            "modtwin-core",
            "modtwin-credentials",
            "modtwin-wire",
        ],
    ),
];

/// What runs on a developer's machine. No product crate links any of it.
const DEVELOPMENT: [(&str, &[&str]); 8] = [
    ("iothub-emulator", &[]),
    ("modtwin-testkit", &["modtwin-api", "modtwin-client", "modtwin-core", "modtwin-credentials"]),
    ("modtwin-demo", &["modtwin-api", "modtwin-client", "modtwin-credentials", "modtwin-testkit"]),
    ("modtwin-bench", &["modtwin-api", "modtwin-client", "modtwin-credentials", "modtwin-testkit"]),
    ("modtwin-sim", &["modtwin-core", "modtwin-wire"]),
    (
        "modtwin-torture",
        &[
            "modtwin-api",
            "modtwin-client",
            "modtwin-core",
            "modtwin-credentials",
            "modtwin-testkit",
        ],
    ),
    ("xtask", &[]),
    (
        "modtwin-tests",
        &[
            "iothub-emulator",
            "modtwin-api",
            "modtwin-client",
            "modtwin-config",
            "modtwin-core",
            "modtwin-session",
            "modtwin-wire",
            "modtwind",
        ],
    ),
];

/// Libraries that one product crate keeps to itself, so that replacing them stays possible.
const CONFINED: [(&str, &str); 7] = [
    ("paho-mqtt", "modtwin-mqtt"),
    ("openssl", "modtwin-credentials"),
    ("tokio-openssl", "modtwinctl"),
    ("toml", "modtwin-config"),
    ("notify", "modtwind"),
    ("sd-notify", "modtwind"),
    ("libc", "modtwind"),
];

/// What the core may link: all of it without `std`.
const CORE_LIBRARIES: [&str; 5] = ["fastrand", "serde", "serde_json", "thiserror", "tracing"];

fn table() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    PRODUCT
        .iter()
        .chain(&DEVELOPMENT)
        .map(|(name, targets)| (*name, targets.iter().copied().collect()))
        .collect()
}

fn ours(workspace: &Workspace, names: &BTreeSet<String>) -> BTreeSet<String> {
    names.iter().filter(|name| workspace.members.contains_key(*name)).cloned().collect()
}

/// Returns how many crates the longest chain from `from` has, `from` included.
fn chain(table: &BTreeMap<&str, BTreeSet<&str>>, from: &str, path: &mut Vec<String>) -> usize {
    assert!(
        !path.iter().any(|name| name == from),
        "the arrows form a ring: {} -> {from}",
        path.join(" -> ")
    );
    path.push(from.to_owned());
    let targets = table.get(from).into_iter().flatten();
    let longest = targets.map(|target| chain(table, target, path)).max().unwrap_or(0);
    path.pop();
    longest + 1
}

#[test]
fn crates_point_only_where_the_table_allows() {
    let workspace = Workspace::read();
    let table = table();
    let mut findings = Vec::new();
    for (name, member) in &workspace.members {
        let Some(allowed) = table.get(name.as_str()) else {
            findings.push(format!("{name} is not in the table"));
            continue;
        };
        for target in ours(&workspace, &member.normal) {
            if !allowed.contains(target.as_str()) {
                findings.push(format!("{name} -> {target}"));
            }
        }
    }
    refuse(
        &findings,
        "An arrow that the table does not allow. Move the code to a crate that may have it; where the design itself has \
         changed, change the table in tests/tidy/arrows.rs and crates/ARCHITECTURE.md with it.",
    );
}

#[test]
fn every_crate_of_the_table_exists() {
    let workspace = Workspace::read();
    let gone: Vec<String> = table()
        .keys()
        .filter(|name| !workspace.members.contains_key(**name))
        .map(ToString::to_string)
        .collect();
    refuse(
        &gone,
        "The table in tests/tidy/arrows.rs names a crate that is no member any more: take it out.",
    );
}

#[test]
fn the_table_has_no_ring_and_no_long_chain() {
    let table = table();
    // The tests stand on top of the whole product.
    let long: Vec<String> = table
        .keys()
        .filter(|name| **name != "modtwin-tests")
        .map(|name| (name, chain(&table, name, &mut Vec::new())))
        .filter(|(_, length)| *length > LONGEST_CHAIN)
        .map(|(name, length)| {
            format!("{name}: a chain of {length} crates, at most {LONGEST_CHAIN}")
        })
        .collect();
    refuse(&long, "Too many layers to follow a change through: merge two of them.");
}

#[test]
fn product_crates_link_no_development_crate() {
    let development: BTreeSet<&str> = DEVELOPMENT.iter().map(|(name, _)| *name).collect();
    let findings: Vec<String> = PRODUCT
        .iter()
        .flat_map(|(name, targets)| targets.iter().map(move |target| (name, target)))
        .filter(|(_, target)| development.contains(**target))
        .map(|(name, target)| format!("{name} -> {target}"))
        .collect();
    refuse(&findings, "What runs on a gateway carries no test tools: make it a dev-dependency.");
}

#[test]
fn the_emulator_shares_no_code_with_the_client() {
    let workspace = Workspace::read();
    let Some(emulator) = workspace.members.get("iothub-emulator") else {
        panic!("the emulator is no member")
    };
    let shared: Vec<String> = ours(&workspace, &emulator.normal)
        .into_iter()
        .chain(ours(&workspace, &emulator.dev))
        .collect();
    refuse(
        &shared,
        "The emulator is a second, independent reading of the protocol: with shared code a shared mistake would pass. \
         Write it there anew.",
    );
}

#[test]
fn confined_libraries_stay_where_they_belong() {
    let workspace = Workspace::read();
    let mut findings = Vec::new();
    for (library, place) in CONFINED {
        for (name, _) in PRODUCT.iter().filter(|(name, _)| *name != place) {
            if workspace.members.get(*name).is_some_and(|member| member.normal.contains(library)) {
                findings.push(format!("{name} links {library}, which belongs to {place}"));
            }
        }
    }
    refuse(&findings, "Go through the crate that owns the library.");
}

#[test]
fn the_core_links_nothing_that_reaches_outside() {
    let workspace = Workspace::read();
    let Some(core) = workspace.members.get("modtwin-core") else { panic!("the core is no member") };
    let strangers: Vec<String> = core
        .normal
        .iter()
        .filter(|name| !CORE_LIBRARIES.contains(&name.as_str()))
        .cloned()
        .collect();
    refuse(
        &strangers,
        "modtwin-core gets time, randomness and bytes as arguments: what needs this library is a driver's.",
    );
}
