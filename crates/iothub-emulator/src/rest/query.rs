//! Queries over twins, page by page ("Run queries against device and module twins"). What a query means is
//! [`crate::query`]'s; this decides which twins are asked, and where a page begins and ends.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Done, Outcome};
use crate::http::Call;
use crate::hub::Hub;
use crate::identity::IdentityKey;
use crate::problem::{self, Problem};
use crate::query::Query;

/// `POST /devices/query`.
pub(super) async fn run(hub: &Hub, call: &Call) -> Outcome {
    let body = call.json()?;
    let text = body
        .get("query")
        .and_then(Value::as_str)
        .ok_or_else(|| invalid("query: expected a text"))?;
    let query = Query::parse(text).map_err(|reason| invalid(&format!("query: {reason}")))?;
    let most = page_size(call)?;
    let place = match call.header("x-ms-continuation").filter(|token| !token.is_empty()) {
        Some(token) => Place::read(token, text)?,
        None => Place::start(text),
    };
    let page = read(hub, &query, place, most);
    hub.store.wait(page.written).await;
    let kind = if query.gives_twins() { "Twin" } else { "Raw" };
    let done = Done::json(Value::Array(page.rows)).with_header("x-ms-item-type", kind.to_owned());
    Ok(match page.next {
        Some(next) => done.with_header("x-ms-continuation", next.write()),
        None => done,
    })
}

fn page_size(call: &Call) -> Result<usize, Problem> {
    let Some(text) = call.header("x-ms-max-item-count") else {
        return Ok(PAGE);
    };
    match text.trim().parse::<i64>() {
        // -1 leaves the choice to the service, as SDKs do when nobody asked for a size.
        Ok(-1) => Ok(PAGE),
        Ok(size) if size > 0 => Ok(usize::try_from(size).unwrap_or(LARGEST_PAGE).min(LARGEST_PAGE)),
        _ => Err(invalid("x-ms-max-item-count: expected a number of at least 1")),
    }
}

struct Page {
    rows: Vec<Value>,
    next: Option<Place>,
    /// The store's number of the latest write that the rows show.
    written: u64,
}

/// Where a page begins, as the service's opaque token says it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    /// Fingerprint of the query: a token goes on with its own query alone.
    query: String,
    /// Rows given so far.
    given: usize,
    /// The last identity looked at; those behind it follow, whatever came and went meanwhile.
    after: Option<IdentityKey>,
}

impl Place {
    fn start(query: &str) -> Self {
        Self { query: fingerprint(query), given: 0, after: None }
    }

    fn read(token: &str, query: &str) -> Result<Self, Problem> {
        let bytes = STANDARD.decode(token).ok();
        let place: Option<Self> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        place
            .filter(|place| place.query == fingerprint(query))
            .ok_or_else(|| invalid("x-ms-continuation: no token of this query"))
    }

    fn write(&self) -> String {
        STANDARD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

fn fingerprint(query: &str) -> String {
    STANDARD.encode(openssl::sha::sha1(query.as_bytes()))
}

fn read(hub: &Hub, query: &Query, mut place: Place, most: usize) -> Page {
    let all = hub.registry.all();
    let asked = all.iter().filter(|identity| {
        identity.key.module.is_some() == query.wants_modules()
            && (query.sums_up() || place.after.as_ref().is_none_or(|after| identity.key > *after))
    });
    let mut written = 0;
    let mut twins = asked.filter_map(|identity| {
        let (twin, number) = {
            let state = identity.lock();
            (state.twin_view(), state.written)
        };
        query.fits(&twin).then(|| {
            written = number.max(written);
            (&identity.key, twin)
        })
    });
    let left = query.top().saturating_sub(place.given);
    if query.sums_up() {
        let twins: Vec<Value> = twins.map(|(_, twin)| twin).collect();
        let rows = query.groups(&twins);
        let wanted = rows.len().min(query.top());
        let rows: Vec<Value> = rows.into_iter().take(wanted).skip(place.given).take(most).collect();
        place.given += rows.len();
        let next = (place.given < wanted).then_some(place);
        return Page { rows, next, written };
    }
    let mut rows = Vec::new();
    let mut last = None;
    while rows.len() < most.min(left) {
        let Some((key, twin)) = twins.next() else {
            break;
        };
        last = Some(key);
        rows.push(query.row(twin));
    }
    let has_more = rows.len() == most && left > most && twins.next().is_some();
    let given = place.given + rows.len();
    let next = has_more.then(|| Place { query: place.query, given, after: last.cloned() });
    Page { rows, next, written }
}

fn invalid(text: &str) -> Problem {
    Problem::new(problem::ARGUMENT_INVALID, text)
}

/// Rows of a page when the caller names no number.
const PAGE: usize = 100;
/// Most rows of a page.
const LARGEST_PAGE: usize = 1000;
