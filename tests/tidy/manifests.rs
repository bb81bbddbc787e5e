//! Rules about Cargo.toml files.

use std::collections::BTreeSet;

use crate::workspace::Workspace;
use crate::{refuse, tree};

/// A line of `[workspace.dependencies]` that names a library of others.
struct Dependency {
    name: String,
    line_above: String,
}

fn third_party_dependencies() -> Vec<Dependency> {
    let manifest = tree::read("Cargo.toml");
    let mut inside = false;
    let mut line_above = "";
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == "[workspace.dependencies]";
        } else if inside
            && !line.starts_with('#')
            && !line.contains("path = ")
            && let Some((name, _)) = line.split_once(" = ")
        {
            found.push(Dependency {
                name: name.trim().to_owned(),
                line_above: line_above.to_owned(),
            });
        }
        line_above = line;
    }
    assert!(!found.is_empty(), "found no dependency in the root manifest: the reader is broken");
    found
}

#[test]
fn every_dependency_has_a_reason() {
    let findings: Vec<String> = third_party_dependencies()
        .into_iter()
        .filter(|dependency| {
            !dependency.line_above.starts_with(&format!("# {}: ", dependency.name))
        })
        .map(|dependency| format!("Cargo.toml: {}", dependency.name))
        .collect();
    refuse(
        &findings,
        "Put `# NAME: why we need it` on the line above, in [workspace.dependencies].",
    );
}

#[test]
fn every_dependency_is_used() {
    let workspace = Workspace::read();
    let used: BTreeSet<&String> = workspace
        .members
        .values()
        .flat_map(|member| member.normal.iter().chain(&member.dev))
        .collect();
    let idle: Vec<String> = third_party_dependencies()
        .into_iter()
        .filter(|dependency| !used.contains(&dependency.name))
        .map(|dependency| format!("Cargo.toml: {}", dependency.name))
        .collect();
    refuse(&idle, "No member uses it: take it out of [workspace.dependencies].");
}

#[test]
fn every_member_takes_the_workspace_lints() {
    let findings: Vec<String> = tree::text_files()
        .into_iter()
        .filter(|file| file.path.ends_with("/Cargo.toml"))
        .filter(|file| !file.path.starts_with("tests/fuzz/"))
        .filter(|file| !file.text.contains("[lints]\nworkspace = true\n"))
        .map(|file| file.path)
        .collect();
    refuse(
        &findings,
        "Put `[lints]` with `workspace = true` into the manifest: lints are the same everywhere.",
    );
}

#[test]
fn members_take_versions_from_the_workspace() {
    let mut findings = Vec::new();
    for file in tree::text_files() {
        let is_member = file.path.ends_with("/Cargo.toml") && !file.path.starts_with("tests/fuzz/");
        if !is_member {
            continue;
        }
        let mut inside = false;
        for (index, line) in file.text.lines().enumerate() {
            if line.starts_with('[') {
                inside = line.ends_with("dependencies]");
            } else if inside
                && line.contains(" = ")
                && !line.starts_with('#')
                && !line.contains("workspace = true")
            {
                findings.push(format!("{}: {line}", file.place(index)));
            }
        }
    }
    refuse(
        &findings,
        "Write `NAME.workspace = true`, with version and reason in the root Cargo.toml.",
    );
}

/// The workspace's version.
fn version() -> Option<String> {
    let manifest = tree::read("Cargo.toml");
    let mut lines = manifest.lines();
    lines.find_map(|line| Some(line.strip_prefix("version = \"")?.strip_suffix('"')?.to_owned()))
}

#[test]
fn the_clients_of_other_languages_have_this_version() {
    let version = version().expect("the root manifest has a version");
    let findings: Vec<String> = [
        ("clients/python/pyproject.toml", format!("\nversion = \"{version}\"\n")),
        ("clients/python/src/modtwin/__init__.py", format!("__version__ = \"{version}\"\n")),
        ("clients/node/package.json", format!("\n  \"version\": \"{version}\",\n")),
    ]
    .into_iter()
    .filter(|(path, line)| !tree::read(path).contains(line))
    .map(|(path, line)| format!("{path}: expected {}", line.trim()))
    .collect();
    refuse(&findings, "One release has one version: write it there too.");
}

#[test]
fn the_newest_changelog_entry_is_this_version() {
    let version = version();
    let changelog = tree::read("CHANGELOG.md");
    let newest = changelog
        .lines()
        .find_map(|line| line.strip_prefix("## [")?.split_once(']').map(|(version, _)| version));
    assert!(version.is_some(), "the root manifest has no version");
    assert_eq!(
        newest,
        version.as_deref(),
        "the first `## [VERSION]` of CHANGELOG.md must be the workspace's version"
    );
}
