//! HTTP on the hub's port: reads whole requests, hands them to the control API or the service API, writes answers.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::hub::Hub;
use crate::problem::{self, Problem};
use crate::{control, rest};

/// A body that is there at once or comes bit by bit.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Holds one request, read whole.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// The path's segments, percent-decoded.
    pub(crate) path: Vec<String>,
    query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    /// Takes a request apart.
    pub(crate) fn new(method: Method, target: &Uri, headers: HeaderMap, body: Bytes) -> Self {
        let segments = target.path().trim_start_matches('/').split('/');
        let segments = segments.filter(|segment| !segment.is_empty());
        let path = segments
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let query = target.query().unwrap_or_default().to_owned();
        Self { method, path, query, headers, body }
    }

    /// Gives a query parameter, percent-decoded.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(found, _)| *found == name)?;
        Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Gives the path as texts to match on.
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// Reads the body as JSON.
    pub(crate) fn json(&self) -> Result<Value, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Problem::new(problem::FORMAT_ERROR, format!("The request body is not JSON: {error}"))
        })
    }
}

/// Answers one request.
pub(crate) async fn answer(
    hub: Arc<Hub>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MOST_BODY_BYTES).collect().await else {
        let text = format!("The request body is larger than {MOST_BODY_BYTES} bytes or broke off.");
        let problem = Problem::new(problem::TOO_LARGE, text);
        return Ok(json(413, &problem.named_body(hub.clock.now())));
    };
    let call = Call::new(parts.method, &parts.uri, parts.headers, body.to_bytes());
    let is_control = matches!(call.path.as_slice(), [first, second, ..] if first == "emulator" && second == "v1");
    Ok(if is_control {
        control::answer(&hub, &call).await
    } else if call.path.is_empty() && call.method == Method::GET {
        control::page()
    } else {
        Box::pin(rest::answer(&hub, &call)).await
    })
}

/// Builds an answer with a JSON body.
pub(crate) fn json(status: u16, body: &Value) -> Response<Body> {
    let mut response = empty(status);
    *response.body_mut() = Full::new(Bytes::from(body.to_string())).boxed_unsync();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// Builds an answer without a body.
pub(crate) fn empty(status: u16) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::new()).boxed_unsync());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// Makes the connection end after this answer.
pub(crate) fn close_after(response: &mut Response<Body>) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}

/// Most bytes of a request's body.
const MOST_BODY_BYTES: usize = 256 * 1024;
