//! One twin: its three sections, their versions and stamps, and the rules of writing them. Knows neither topics nor
//! HTTP; whoever calls holds the identity's lock.

mod limits;
mod merge;
mod stamps;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use crate::clock::Moment;
use crate::problem::{self, Problem};
use limits::Nulls;
use stamps::Stamps;

/// A JSON object.
pub(crate) type Document = serde_json::Map<String, Value>;

/// Holds one twin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Twin {
    tags: Document,
    desired: Section,
    reported: Section,
    version: u64,
    etag: u64,
}

/// Holds `desired` or `reported`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Section {
    document: Document,
    version: u64,
    stamps: Stamps,
}

impl Section {
    fn fresh(now: Moment, version_stamp: Option<u64>) -> Self {
        Self { document: Document::new(), version: 1, stamps: Stamps::fresh(now, version_stamp) }
    }

    fn to_json(&self) -> Value {
        let mut document = self.document.clone();
        document.insert("$metadata".to_owned(), self.stamps.to_json());
        document.insert("$version".to_owned(), json!(self.version));
        Value::Object(document)
    }
}

/// Holds what a service write says: sections that are not there stay as they are (PATCH) or are emptied (PUT).
#[derive(Debug, Default)]
pub(crate) struct ServiceWrite {
    pub(crate) tags: Option<Document>,
    pub(crate) desired: Option<Document>,
}

/// Says what a service write did.
#[derive(Debug)]
pub(crate) struct Written {
    /// The patch to send to the module, without its `$version`; `None` when desired was not written.
    pub(crate) desired: Option<Document>,
}

impl Twin {
    /// Builds a fresh twin: both sections at version 1, the twin at 2 (module-twins-cli.md shows 3 after one write).
    pub(crate) fn fresh(now: Moment) -> Self {
        Self {
            tags: Document::new(),
            desired: Section::fresh(now, Some(1)),
            reported: Section::fresh(now, None),
            version: 2,
            etag: 1,
        }
    }

    /// Gives the twin's etag: base64 of an 8-byte big-endian counter.
    pub(crate) fn etag(&self) -> String {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(self.etag.to_be_bytes())
    }

    pub(crate) fn desired_version(&self) -> u64 {
        self.desired.version
    }

    pub(crate) fn reported_version(&self) -> u64 {
        self.reported.version
    }

    /// Merges a report and gives the new `reported.$version`.
    pub(crate) fn report(
        &mut self,
        patch: &Document,
        expected: Option<u64>,
        now: Moment,
    ) -> Result<u64, Problem> {
        limits::check(patch, Nulls::Delete).map_err(invalid)?;
        if expected.is_some_and(|expected| expected != self.reported.version) {
            let text = format!(
                "expected version {}, found {}",
                expected.unwrap_or_default(),
                self.reported.version
            );
            return Err(Problem::new(problem::PRECONDITION_FAILED, text));
        }
        let merged = merged(&self.reported.document, patch, MOST_SECTION_BYTES)?;
        self.reported.document = merged;
        self.reported.version += 1;
        self.reported.stamps.merge(patch, now, None);
        Ok(self.reported.version)
    }

    /// Merges tags and desired; all or nothing.
    pub(crate) fn patch(&mut self, write: ServiceWrite, now: Moment) -> Result<Written, Problem> {
        for part in [&write.tags, &write.desired].into_iter().flatten() {
            limits::check(part, Nulls::Delete).map_err(invalid)?;
        }
        let tags = match &write.tags {
            Some(patch) => Some(merged(&self.tags, patch, MOST_TAGS_BYTES)?),
            None => None,
        };
        if let Some(patch) = &write.desired {
            self.desired.document = merged(&self.desired.document, patch, MOST_SECTION_BYTES)?;
            self.desired.version += 1;
            self.desired.stamps.merge(patch, now, Some(self.desired.version));
        }
        if let Some(tags) = tags {
            self.tags = tags;
        }
        self.count_write();
        Ok(Written { desired: write.desired })
    }

    /// Replaces tags and desired; what `write` leaves out is emptied.
    pub(crate) fn replace(&mut self, write: ServiceWrite, now: Moment) -> Result<Written, Problem> {
        let (tags, desired) = (write.tags.unwrap_or_default(), write.desired.unwrap_or_default());
        for part in [&tags, &desired] {
            limits::check(part, Nulls::Refused).map_err(invalid)?;
        }
        grows_within(&self.tags, &tags, MOST_TAGS_BYTES)?;
        grows_within(&self.desired.document, &desired, MOST_SECTION_BYTES)?;
        let announced = merge::replacement(&self.desired.document, &desired);
        self.tags = tags;
        self.desired.version += 1;
        self.desired.stamps = Stamps::fresh(now, Some(self.desired.version));
        self.desired.stamps.merge(&desired, now, Some(self.desired.version));
        self.desired.document = desired;
        self.count_write();
        Ok(Written { desired: Some(announced) })
    }

    fn count_write(&mut self) {
        self.version += 1;
        self.etag += 1;
    }

    /// Builds the answer of a twin GET over MQTT: no metadata, no tags (log in azure-iot-sdk-python#713).
    pub(crate) fn device_view(&self) -> Vec<u8> {
        let view = DeviceView {
            desired: Versioned { document: &self.desired.document, version: self.desired.version },
            reported: Versioned {
                document: &self.reported.document,
                version: self.reported.version,
            },
        };
        serde_json::to_vec(&view).unwrap_or_default()
    }

    /// Builds the members `version`, `tags` and `properties` of the service's view.
    pub(crate) fn service_view(&self, view: &mut Document) {
        view.insert("etag".to_owned(), json!(self.etag()));
        view.insert("version".to_owned(), json!(self.version));
        view.insert("tags".to_owned(), Value::Object(self.tags.clone()));
        let properties =
            json!({ "desired": self.desired.to_json(), "reported": self.reported.to_json() });
        view.insert("properties".to_owned(), properties);
    }
}

/// Builds the body of a desired notification: the patch with its version inside.
pub(crate) fn notification(patch: &Document, version: u64) -> Vec<u8> {
    serde_json::to_vec(&Versioned { document: patch, version }).unwrap_or_default()
}

#[derive(Serialize)]
struct DeviceView<'a> {
    desired: Versioned<'a>,
    reported: Versioned<'a>,
}

struct Versioned<'a> {
    document: &'a Document,
    version: u64,
}

impl Serialize for Versioned<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.document.len() + 1))?;
        for (key, value) in self.document {
            map.serialize_entry(key, value)?;
        }
        map.serialize_entry("$version", &self.version)?;
        map.end()
    }
}

fn merged(section: &Document, patch: &Document, limit: usize) -> Result<Document, Problem> {
    let mut merged = section.clone();
    merge::merge(&mut merged, patch);
    grows_within(section, &merged, limit)?;
    Ok(merged)
}

/// Refuses a write that makes a section grow past its limit; one that shrinks an oversize section passes.
fn grows_within(old: &Document, new: &Document, limit: usize) -> Result<(), Problem> {
    let size = limits::size(new);
    if size > limit && size > limits::size(old) {
        let text = format!("Twin properties size {size} exceeds maximum {limit}");
        return Err(Problem::new(problem::TOO_LARGE, text));
    }
    Ok(())
}

fn invalid(text: String) -> Problem {
    Problem::new(problem::ARGUMENT_INVALID, text)
}

/// Most bytes of tags.
const MOST_TAGS_BYTES: usize = 8 * 1024;
/// Most bytes of desired, and of reported.
const MOST_SECTION_BYTES: usize = 32 * 1024;

#[cfg(test)]
mod tests;
