//! `$metadata`: a tree beside the document that says when each node was written, and at which version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Document;
use crate::clock::Moment;

/// Holds the stamps of one node and of what lies below it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamps {
    #[serde(rename = "t")]
    at: Moment,
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(rename = "c", default, skip_serializing_if = "BTreeMap::is_empty")]
    children: BTreeMap<String, Stamps>,
}

impl Stamps {
    /// Builds the stamps of an empty section; desired sections carry a version, reported ones none.
    pub(crate) fn fresh(at: Moment, version: Option<u64>) -> Self {
        Self { at, version, children: BTreeMap::new() }
    }

    /// Stamps every node that `patch` touches.
    pub(crate) fn merge(&mut self, patch: &Document, at: Moment, version: Option<u64>) {
        self.at = at;
        self.version = version;
        for (key, change) in patch {
            match change {
                Value::Null => {
                    self.children.remove(key);
                }
                Value::Object(change) => {
                    self.children.entry(key.clone()).or_default().merge(change, at, version)
                }
                _ => {
                    self.children.insert(key.clone(), Self::fresh(at, version));
                }
            }
        }
    }

    /// Builds the `$metadata` value.
    pub(crate) fn to_json(&self) -> Value {
        let mut node = Document::new();
        node.insert("$lastUpdated".to_owned(), json!(self.at.rfc3339()));
        if let Some(version) = self.version {
            node.insert("$lastUpdatedVersion".to_owned(), json!(version));
        }
        for (key, child) in &self.children {
            node.insert(key.clone(), child.to_json());
        }
        Value::Object(node)
    }
}
