//! The web page at `/`: one file, nothing from outside, talking to the control API alone.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};

use crate::http::{self, Body};

/// Answers `GET /`.
pub(crate) fn answer() -> Response<Body> {
    let mut response = http::empty(200);
    *response.body_mut() = Full::new(Bytes::from_static(PAGE.as_bytes())).boxed_unsync();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

const PAGE: &str = include_str!("page.html");
/// The page may run itself and call its own hub; nothing else, and nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
