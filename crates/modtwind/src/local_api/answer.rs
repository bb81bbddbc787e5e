//! Answers: JSON, streams, and refusals as `application/problem+json` (RFC 9457).

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use modtwin_api::{MEDIA_TYPE_PROBLEM, Problem, ProblemKind};
use serde::Serialize;

/// The body of any answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What a request comes to.
pub(crate) type Outcome = Result<Response<Body>, Refusal>;

/// Why a request is not served, with the headers that belong to it.
#[derive(Debug)]
pub(crate) struct Refusal {
    problem: Box<Problem>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// A refusal of that kind; `detail` says what to do about it.
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Problem::new(kind, detail).into()
    }

    /// A query parameter, header or member of the body that is wrong.
    pub(crate) fn invalid(field: &str, detail: impl Into<String>) -> Self {
        Problem::new(ProblemKind::InvalidRequest, detail).with_field(field).into()
    }

    /// A method that the resource does not take (RFC 9110, section 15.5.6: with `Allow`).
    pub(crate) fn method_not_allowed(allowed: &str) -> Self {
        let problem =
            Problem::new(ProblemKind::MethodNotAllowed, format!("expected one of {allowed}"));
        let header = HeaderValue::from_str(allowed).ok().map(|allowed| (ALLOW, allowed));
        Self { problem: Box::new(problem), header }
    }

    /// Something that will pass: the same request is worth sending again a little later.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE.as_u16();
        Self::from(Problem::new(ProblemKind::Overloaded, detail).with_status(status)).retry_later()
    }

    /// More than the peer may have: see `limit`.
    pub(crate) fn overloaded(detail: impl Into<String>, limit: u64) -> Self {
        let problem = Problem::new(ProblemKind::Overloaded, detail).with_limit(limit);
        Self::from(problem).retry_later()
    }

    /// Adds `Retry-After`.
    pub(crate) fn retry_later(mut self) -> Self {
        self.header = Some((RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS)));
        self
    }

    /// What is told to the peer.
    pub(crate) fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The refusal as an answer.
    pub(crate) fn into_response(self) -> Response<Body> {
        let status =
            StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = Response::new(full(encode(&*self.problem)));
        *response.status_mut() = status;
        set_type(&mut response, MEDIA_TYPE_PROBLEM);
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), header: None }
    }
}

/// `value` as an answer of that status.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    json_of(status, encode(value))
}

/// `text`, which is JSON, as an answer of that status.
pub(crate) fn json_of(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    set_type(&mut response, "application/json");
    response
}

/// Text of that media type.
pub(crate) fn text_as(
    status: StatusCode,
    media_type: &'static str,
    text: String,
) -> Response<Body> {
    let mut response = Response::new(full(text.into_bytes()));
    *response.status_mut() = status;
    set_type(&mut response, media_type);
    response
}

/// An answer without content.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().boxed_unsync());
    *response.status_mut() = status;
    response
}

/// An answer that is one JSON object a line, for as long as `body` goes on.
pub(crate) fn stream(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    set_type(&mut response, NDJSON);
    response
}

/// Says whether an answer is a stream, whose end nobody knows.
pub(crate) fn is_stream(response: &Response<Body>) -> bool {
    response.headers().get(CONTENT_TYPE).is_some_and(|found| found == NDJSON)
}

/// `value` as JSON. The types of the API have string keys only and no failing serialiser, so that
/// the empty answer never occurs.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

fn set_type(response: &mut Response<Body>, media_type: &'static str) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// The media type of streams.
pub(crate) const NDJSON: &str = "application/x-ndjson";
/// How long an overloaded daemon asks a peer to stay away, in seconds.
pub(crate) const RETRY_AFTER_SECONDS: &str = "1";
