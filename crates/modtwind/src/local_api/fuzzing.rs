//! A way in for fuzzers. No part of the library's contract.

use bytes::Bytes;
use modtwin_api::AckRequest;
use modtwin_core::document::Document;

use super::query::Query;
use super::router::Resource;
use super::{body, query};

/// Reads a request: its target up to the first line's end, its body after it.
pub fn request(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (target, rest) = bytes.split_at(end);
    let body = Bytes::copy_from_slice(rest.get(1..).unwrap_or_default());
    let _acknowledgement = body::json::<AckRequest>(&body);
    let _patch = body::json::<Document>(&body);
    let Ok(target) = std::str::from_utf8(target) else { return };
    let (path, text) = match target.split_once('?') {
        Some((path, text)) => (path, Some(text)),
        None => (target, None),
    };
    let _resource = Resource::parse(path);
    let _pointer = query::pointer("path", path);
    if let Ok(query) = Query::parse(text) {
        let (_paths, _since) = (query.paths(), query.since());
        let (_wait, _timeout) = (query.wait(), query.timeout());
    }
}
