//! The service REST API: who may call, which call it is, what its errors look like ("Understand and resolve IoT Hub
//! errors"). The calls themselves are in the modules below.

mod access;
mod identities;
mod methods;
mod query;
mod twins;

use hyper::Response;
use hyper::header::{ETAG, HeaderName, HeaderValue};
use serde_json::Value;

use crate::http::{self, Body, Call};
use crate::hub::Hub;
use crate::identity::IdentityKey;
use crate::policy::Right;
use crate::problem::{self, Problem};
use crate::throttle::Meter;

/// Which of the service's three error bodies an answer has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// `Message` and `ExceptionMessage`.
    Named,
    /// `errorCode`, `message`, `trackingId`, `timestampUtc`.
    Coded,
    /// The first with the second as a text inside.
    Nested,
}

/// Holds an answer that is no success.
#[derive(Debug)]
pub(super) struct Refused {
    problem: Problem,
    shape: Shape,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { problem, shape: Shape::Named }
    }
}

impl Refused {
    pub(super) fn shaped(problem: Problem, shape: Shape) -> Self {
        Self { problem, shape }
    }
}

/// Holds an answer that is a success.
#[derive(Debug)]
pub(super) struct Done {
    status: u16,
    body: Option<Value>,
    etag: Option<String>,
    headers: Vec<(&'static str, String)>,
}

impl Done {
    pub(super) fn json(body: Value) -> Self {
        let etag = body.get("etag").and_then(Value::as_str).map(ToOwned::to_owned);
        Self { status: 200, body: Some(body), etag, headers: Vec::new() }
    }

    pub(super) fn empty() -> Self {
        Self { status: 204, body: None, etag: None, headers: Vec::new() }
    }

    pub(super) fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// What a call gives.
pub(super) type Outcome = Result<Done, Refused>;

/// Answers one call of the service API.
pub(crate) async fn answer(hub: &Hub, call: &Call) -> Response<Body> {
    match Box::pin(route(hub, call)).await {
        Ok(done) => success(done),
        Err(refused) => failure(hub, &refused),
    }
}

fn success(done: Done) -> Response<Body> {
    let mut response = match &done.body {
        Some(body) => http::json(done.status, body),
        None => http::empty(done.status),
    };
    if let Some(etag) =
        done.etag.and_then(|etag| HeaderValue::from_str(&format!("\"{etag}\"")).ok())
    {
        response.headers_mut().insert(ETAG, etag);
    }
    for (name, value) in done.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

fn failure(hub: &Hub, refused: &Refused) -> Response<Body> {
    let (problem, now) = (&refused.problem, hub.clock.now());
    let body = match refused.shape {
        Shape::Named => problem.named_body(now),
        Shape::Coded => problem.coded_body(now),
        Shape::Nested => problem.nested_body(now),
    };
    let mut response = http::json(problem.code.status, &body);
    let name = HeaderName::from_static("iothub-errorcode");
    response.headers_mut().insert(name, HeaderValue::from_static(problem.code.name));
    if problem.code.status == 429 {
        http::close_after(&mut response);
    }
    response
}

async fn route(hub: &Hub, call: &Call) -> Outcome {
    let segments = call.segments();
    let method = call.method.as_str();
    let reads = method == "GET";
    let right = match segments.as_slice() {
        ["devices", "query"] => Right::ServiceConnect,
        ["twins", ..] => Right::ServiceConnect,
        _ if reads => Right::RegistryRead,
        _ => Right::RegistryWrite,
    };
    match segments.as_slice() {
        ["devices" | "twins" | "statistics", ..] => access::check(hub, call, right)?,
        _ => return Err(Problem::new(problem::NOT_FOUND, "no such resource").into()),
    }
    meter(hub, call, &segments).await?;
    let done = dispatch(hub, call, &segments).await?;
    // Reading is paid for by what is read, writing by what is written.
    if matches!(segments.as_slice(), ["devices", "query"])
        || (reads && segments.first() == Some(&"twins"))
    {
        hub.spend_json(done.body.as_ref())?;
    }
    Ok(done)
}

async fn dispatch(hub: &Hub, call: &Call, segments: &[&str]) -> Outcome {
    let method = call.method.as_str();
    match (method, segments) {
        ("GET", ["devices"]) => identities::list_devices(hub, call).await,
        ("POST", ["devices", "query"]) => query::run(hub, call).await,
        ("GET", ["devices", device, "modules"]) => identities::list_modules(hub, device).await,
        ("GET" | "PUT" | "DELETE", ["devices", device]) => {
            identities::device(hub, call, device).await
        }
        ("GET" | "PUT" | "DELETE", ["devices", device, "modules", module]) => {
            identities::module(hub, call, device, module).await
        }
        ("GET" | "PATCH" | "PUT", ["twins", device]) => twins::run(hub, call, device, None).await,
        ("GET" | "PATCH" | "PUT", ["twins", device, "modules", module]) => {
            twins::run(hub, call, device, Some(module)).await
        }
        ("POST", ["twins", device, "methods"]) => methods::call(hub, call, device, None).await,
        ("POST", ["twins", device, "modules", module, "methods"]) => {
            methods::call(hub, call, device, Some(module)).await
        }
        ("GET", ["statistics", "devices"]) => Ok(identities::statistics(hub)),
        ("GET", ["statistics", "service"]) => Ok(identities::service_statistics(hub)),
        (_, ["devices" | "twins" | "statistics", ..]) => Err(Problem::new(
            problem::METHOD_NOT_ALLOWED,
            format!("{method} is not supported here"),
        )
        .into()),
        _ => Err(Problem::new(problem::NOT_FOUND, "no such resource").into()),
    }
}

/// Makes the call wait for its turn, or refuses it, where a tier was chosen.
async fn meter(hub: &Hub, call: &Call, segments: &[&str]) -> Result<(), Refused> {
    let key = match segments {
        ["devices", "query"] => None,
        ["devices" | "twins", device, "modules", module, ..] => {
            Some(IdentityKey::module(device, module))
        }
        ["devices" | "twins", device, ..] => Some(IdentityKey::device(device)),
        _ => None,
    };
    let size = call.body.len();
    let (meter, amount) = match segments {
        ["devices", "query"] => (Meter::Queries, 1),
        ["twins", .., "methods"] => {
            let bytes = size.div_ceil(METHOD_STEP).max(1).saturating_mul(METHOD_STEP);
            (Meter::MethodBytes, u32::try_from(bytes).unwrap_or(u32::MAX))
        }
        ["twins", ..] if call.method == "GET" => (Meter::TwinReads, 1),
        ["twins", ..] => (Meter::TwinUpdates, 1),
        _ => (Meter::Registry, 1),
    };
    let wait = hub.meter(meter, amount, key.as_ref())?;
    if matches!(meter, Meter::TwinUpdates | Meter::MethodBytes) {
        hub.spend(size, key.as_ref())?;
    }
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    Ok(())
}

/// Method payloads are metered in steps of 4 KB.
const METHOD_STEP: usize = 4 * 1024;
