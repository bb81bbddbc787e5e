//! A way in for fuzzers. No part of the library's contract.

use std::sync::Arc;

use bytes::Bytes;
use modtwin_api::AckRequest;
use modtwin_core::document::Document;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

use super::connection::serve;
use super::limits::Limits;
use super::peer::Peer;
use super::query::Query;
use super::registry::Registry;
use super::router::Resource;
use super::server::Shared;
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

/// Serves one connection as the daemon does, until it ends.
pub async fn connection(registry: Registry, stream: UnixStream) {
    let (_kept, registry) = watch::channel(Arc::new(registry));
    // Nobody takes commands: a reload is refused at once.
    let (admin, _) = mpsc::channel(1);
    let (_running, stopping) = watch::channel(false);
    let shared = Shared::new(registry, admin, Limits::default());
    let Ok(peer) = Peer::of(&stream, false) else { return };
    serve(Arc::new(shared), stream, peer, stopping).await;
}

/// The user that this process runs as.
#[must_use]
pub fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}
