//! Reading a request's body: bounded in size and in time.

use std::ops::Deref;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use modtwin_api::limits::MAX_BODY_BYTES;
use modtwin_api::{Problem, ProblemKind};
use serde::de::DeserializeOwned;

use super::answer::Refusal;
use super::connection::Caller;
use super::limits::Room;

/// A body that has come; takes its room until it is dropped.
#[derive(Debug)]
pub(crate) struct Received {
    bytes: Bytes,
    _room: Room,
}

impl Deref for Received {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

/// Reads `body` whole.
///
/// What is beyond a limit is read and thrown away up to [`MOST_DISCARDED`], because a peer that
/// still writes when we close would see a broken pipe in place of the answer.
pub(crate) async fn read(caller: &Caller, body: Incoming) -> Result<Received, Refusal> {
    let limit = caller.shared.limits.body_timeout;
    tokio::time::timeout(limit, collect(caller, body)).await.map_err(|_elapsed| {
        Refusal::invalid("body", format!("the body did not arrive within {} s", limit.as_secs()))
    })?
}

/// Reads `bytes` as a JSON object of that type.
pub(crate) fn json<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Refusal> {
    // To serde an array is a struct whose members have lost their names.
    if bytes.trim_ascii_start().starts_with(b"[") {
        let detail = "expected a JSON object as the contract has it, found an array";
        return Err(Refusal::invalid("body", detail));
    }
    serde_json::from_slice(bytes).map_err(|failure| {
        let what =
            if bytes.is_empty() { "the body is empty".to_owned() } else { failure.to_string() };
        Refusal::invalid("body", format!("expected JSON as the contract has it, found: {what}"))
    })
}

async fn collect(caller: &Caller, mut body: Incoming) -> Result<Received, Refusal> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > MOST_DISCARDED {
        return Err(too_large());
    }
    let (accounts, limits) = (caller.accounts(), &caller.shared.limits);
    let mut room = caller.shared.ledger.room(&accounts);
    let mut collected = Vec::new();
    let mut refused = None;
    let mut total = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|failure| {
            Refusal::invalid("body", format!("the body broke off: {failure}"))
        })?;
        let Some(data) = frame.data_ref() else { continue };
        total = total.saturating_add(data.len());
        caller.shared.ledger.charge(&accounts, limits, data.len());
        if total > MOST_DISCARDED {
            break;
        }
        if total > MAX_BODY_BYTES {
            refused = Some(too_large());
        } else if refused.is_none() {
            refused = room.grow(data.len(), limits).err();
        }
        if refused.is_none() {
            collected.extend_from_slice(data);
        } else {
            collected = Vec::new();
            room.clear();
        }
    }
    match refused {
        None => Ok(Received { bytes: Bytes::from(collected), _room: room }),
        Some(refusal) => Err(refusal),
    }
}

fn too_large() -> Refusal {
    let limit = u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX);
    Problem::new(
        ProblemKind::TooLarge,
        format!("the body is larger than {limit} bytes; send less at a time"),
    )
    .with_limit(limit)
    .into()
}

/// How much of a body that is too large is read before the answer.
const MOST_DISCARDED: usize = 16 * MAX_BODY_BYTES;
