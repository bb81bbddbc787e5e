//! cargo's own view of the workspace: members and what they depend on.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::tree;

/// The members, by name.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Invariant: every member is a key.
    pub(crate) members: BTreeMap<String, Member>,
}

/// What one member depends on, ours and others' alike.
#[derive(Debug, Default)]
pub(crate) struct Member {
    /// Linked into the crate, or into its build script.
    pub(crate) normal: BTreeSet<String>,
    /// Linked into its tests alone.
    pub(crate) dev: BTreeSet<String>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn read() -> Self {
        let metadata = metadata();
        let mut members = BTreeMap::new();
        for package in &metadata.packages {
            let mut member = Member::default();
            for dependency in &package.dependencies {
                let kind = match dependency.kind {
                    DependencyKind::Development => &mut member.dev,
                    _ => &mut member.normal,
                };
                kind.insert(dependency.name.clone());
            }
            members.insert(package.name.to_string(), member);
        }
        assert!(!members.is_empty(), "cargo lists no member");
        Self { members }
    }
}

fn metadata() -> Metadata {
    match MetadataCommand::new().current_dir(tree::root()).no_deps().exec() {
        Ok(metadata) => metadata,
        Err(error) => panic!("cannot ask cargo for the workspace: {error}"),
    }
}
