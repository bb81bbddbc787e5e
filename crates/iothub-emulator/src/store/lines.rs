//! The log's lines: `I {key} {record}`, `D {key}`, `A {pem}`, separated by tabs, ids and PEM as JSON texts. The last
//! line of a key counts. A torn tail (a crash in mid-write) is dropped: nobody was told of it.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::sync::Arc;

use super::Entry;
use crate::identity::Record;

/// Holds what a log said.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) records: Vec<Record>,
    /// Registered CA certificates, PEM.
    pub(crate) authorities: Vec<String>,
}

/// Writes the entries' lines. An identity that was queued more than once is written once, as it is now.
pub(super) fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut done = HashSet::new();
    for entry in entries {
        let written = match entry {
            Entry::Identity(identity) if !done.insert(Arc::as_ptr(identity)) => Ok(()),
            Entry::Identity(identity) => {
                let state = identity.lock();
                line(&mut out, "I", &identity.key).and_then(|()| {
                    out.push(b'\t');
                    serde_json::to_writer(&mut out, &state.record)
                })
            }
            Entry::Removed(key) => line(&mut out, "D", key),
            Entry::Authority(pem) => line(&mut out, "A", pem),
        };
        match written {
            Ok(()) if out.last().is_none_or(|byte| *byte == b'\n') => {}
            Ok(()) => out.push(b'\n'),
            // Nothing in a record can fail to be written as JSON.
            Err(error) => tracing::error!(error = %error, "cannot encode an entry"),
        }
    }
    out
}

fn line(out: &mut Vec<u8>, kind: &str, key: &impl serde::Serialize) -> serde_json::Result<()> {
    write!(out, "{kind}\t").map_err(serde_json::Error::io)?;
    serde_json::to_writer(out, key)
}

/// Keeps the last line of each key and reads them; fails with the number of a line that is damaged and not the tail.
pub(crate) fn compact(old: &[u8]) -> Result<(Vec<u8>, Contents), usize> {
    let mut last: BTreeMap<(&[u8], &[u8]), &[u8]> = BTreeMap::new();
    let whole = old.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut bad = None;
    let lines = old.get(..whole).unwrap_or_default().split_inclusive(|byte| *byte == b'\n');
    for (index, line) in lines.enumerate() {
        if let Some(bad) = bad {
            return Err(bad);
        }
        let mut parts = line.trim_ascii_end().splitn(3, |byte| *byte == b'\t');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(b"I"), Some(key), Some(record)) if is_object(record) => {
                last.insert((b"I", key), line);
            }
            (Some(b"D"), Some(key), None) => {
                last.remove(&(b"I".as_slice(), key));
            }
            (Some(b"A"), Some(pem), None) => {
                last.insert((b"A", pem), line);
            }
            _ => bad = Some(index + 1),
        }
    }
    let mut contents = Contents::default();
    let mut kept = Vec::new();
    for ((kind, key), line) in last {
        let read = match kind {
            b"A" => serde_json::from_slice(key).map(|pem| contents.authorities.push(pem)),
            _ => {
                let record = line.splitn(3, |byte| *byte == b'\t').nth(2).unwrap_or_default();
                serde_json::from_slice(record).map(|record| contents.records.push(record))
            }
        };
        if read.is_err() {
            let before = old.len() - line.len();
            return Err(old.get(..before).unwrap_or_default().split(|byte| *byte == b'\n').count());
        }
        kept.extend_from_slice(line);
    }
    Ok((kept, contents))
}

fn is_object(record: &[u8]) -> bool {
    record.first() == Some(&b'{') && record.last() == Some(&b'}')
}
