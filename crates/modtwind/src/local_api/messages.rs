//! `POST /v1/modules/{m}/messages`: a device-to-cloud message, straight to the hub or into the queue.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use hyper::{Request, StatusCode};
use modtwin_api::message::{HEADER_CORRELATION_ID, HEADER_MESSAGE_ID, HEADER_PROPERTY};
use modtwin_api::{MessageSent, MessageStored, Problem, ProblemKind};
use modtwin_core::deliveries::Full;
use modtwin_session::handle::ModuleHandle;
use modtwin_session::messages::{
    DeviceMessage, MAX_MESSAGE_BYTES, MessageError, SendError, Settled, Until,
};
use tokio::time::timeout;

use super::answer::{Outcome, Refusal, json};
use super::body;
use super::connection::Caller;
use super::query::{Query, Wait};

/// Takes a message and answers once what the request waits for has happened.
pub(crate) async fn answer(
    caller: &Arc<Caller>,
    module: &str,
    query: &Query,
    request: Request<Incoming>,
) -> Outcome {
    require_right(caller, module).await?;
    let wait = query.message_wait()?;
    let limit = query.timeout()?;
    let mut message = without_payload(request.headers())?;
    let body = body::read(caller, request.into_body()).await?;
    message.payload = body.to_vec();
    drop(body);
    // What counts are the rights once all of it is here: a body may take its time.
    let handle = require_right(caller, module).await?;
    let until = match wait {
        Wait::Stored => Until::Stored,
        Wait::Hub => Until::Sent(limit),
    };
    let sent = timeout(limit.saturating_add(GRACE), handle.send(message, until)).await;
    match sent.map_err(|_elapsed| unknown())?.map_err(|failure| refusal(&failure))? {
        Settled::Sent => Ok(json(StatusCode::OK, &MessageSent { sent: true })),
        Settled::Stored => Ok(json(StatusCode::ACCEPTED, &MessageStored { stored: true })),
    }
}

/// The module, where the peer may send messages for it.
async fn require_right(caller: &Caller, module: &str) -> Result<ModuleHandle, Refusal> {
    let (registry, grants) = caller.grants().await?;
    let (entry, access) = grants.module(&registry, module)?;
    if access.report().is_empty() {
        return Err(access.may_not_send());
    }
    Ok(entry.handle.clone())
}

/// What the headers say of the message.
fn without_payload(headers: &HeaderMap) -> Result<DeviceMessage, Refusal> {
    // curl's -d says so of anything where it is told nothing else.
    let curl = "application/x-www-form-urlencoded";
    let content_type = one(headers, CONTENT_TYPE.as_str())?;
    Ok(DeviceMessage {
        payload: Vec::new(),
        content_type: content_type.filter(|found| !found.eq_ignore_ascii_case(curl)),
        content_encoding: one(headers, CONTENT_ENCODING.as_str())?,
        message_id: one(headers, HEADER_MESSAGE_ID)?,
        correlation_id: one(headers, HEADER_CORRELATION_ID)?,
        properties: properties(headers)?,
    })
}

fn properties(headers: &HeaderMap) -> Result<Vec<(String, String)>, Refusal> {
    let values = headers.get_all(HEADER_PROPERTY).iter().filter(|value| !value.is_empty());
    values
        .map(|value| {
            let text = text(HEADER_PROPERTY, value.as_bytes())?;
            match text.split_once('=') {
                Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
                None => Err(Refusal::invalid(
                    HEADER_PROPERTY,
                    format!("expected `name=value`, found `{text}`"),
                )),
            }
        })
        .collect()
}

/// The value of a header that stands at most once; none where it is empty.
fn one(headers: &HeaderMap, name: &str) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::invalid(name, format!("expected `{name}` once, found it twice")));
    }
    let text = text(name, value.as_bytes())?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn text<'a>(name: &str, value: &'a [u8]) -> Result<&'a str, Refusal> {
    std::str::from_utf8(value)
        .map_err(|_| Refusal::invalid(name, format!("the header `{name}` is not UTF-8")))
}

fn refusal(failure: &SendError) -> Refusal {
    match failure {
        SendError::Invalid(error @ MessageError::TooLarge { .. }) => {
            let limit = u64::try_from(MAX_MESSAGE_BYTES).unwrap_or(u64::MAX);
            let detail = format!("{error}: send less at a time");
            Problem::new(ProblemKind::TooLarge, detail).with_limit(limit).into()
        }
        SendError::Invalid(error) => Refusal::invalid(HEADER_PROPERTY, error.to_string()),
        SendError::Full(full) => {
            let (what, limit) = match full {
                Full::Messages(limit) => ("messages", u64::try_from(*limit).unwrap_or(u64::MAX)),
                Full::Bytes(limit) => ("bytes of messages", *limit),
            };
            let detail = format!(
                "{failure}: at most {limit} {what} wait for the hub; nothing was taken, send it again \
                 once some have gone"
            );
            let problem = Problem::new(ProblemKind::Overloaded, detail).with_limit(limit);
            Refusal::from(problem).retry_later()
        }
        SendError::Storage(cause) => Refusal::new(
            ProblemKind::Storage,
            format!("{failure}: {cause}; free some space or mend the state directory"),
        ),
        SendError::Late => Refusal::new(
            ProblemKind::Timeout,
            format!("{failure}; it is stored and will be sent, so don't send it again"),
        ),
        SendError::Stopping(_) => Refusal::unavailable(
            "the module is stopping; nothing was stored: try again in a moment",
        ),
    }
}

fn unknown() -> Refusal {
    Refusal::new(
        ProblemKind::Timeout,
        "the message was neither confirmed nor stored in time; it may still be: send it again if \
         it may come twice",
    )
}

/// How long beyond its time a message may take to be stored.
const GRACE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let value = |bytes: &[u8]| HeaderValue::from_bytes(bytes).unwrap();
        let mut headers = HeaderMap::new();
        for (name, bytes) in pairs {
            headers.append(*name, value(bytes));
        }
        headers
    }

    fn field(pairs: &[(&'static str, &[u8])]) -> String {
        let refusal = without_payload(&headers(pairs)).unwrap_err();
        assert_eq!(refusal.problem().status, 400);
        refusal.problem().field.clone().unwrap()
    }

    #[test]
    fn headers_become_the_messages_properties() {
        let message = without_payload(&headers(&[
            ("content-type", b"application/json"),
            ("content-encoding", b"utf-8"),
            ("modtwin-message-id", b"7"),
            ("modtwin-correlation-id", b"c"),
            ("modtwin-property", "unit=°C".as_bytes()),
            ("modtwin-property", b"empty="),
            ("modtwin-property", b"a=b=c"),
            ("modtwin-property", b""),
        ]));
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let expected = DeviceMessage {
            payload: Vec::new(),
            content_type: Some("application/json".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            message_id: Some("7".to_owned()),
            correlation_id: Some("c".to_owned()),
            properties: [("unit", "°C"), ("empty", ""), ("a", "b=c")].map(owned).to_vec(),
        };
        assert_eq!(message.unwrap(), expected);
    }

    #[test]
    fn what_curl_says_of_anything_says_nothing() {
        let found = headers(&[("content-type", b"application/x-www-form-urlencoded")]);
        assert_eq!(without_payload(&found).unwrap(), DeviceMessage::default());
    }

    #[test]
    fn headers_that_make_no_sense_are_named() {
        assert_eq!(field(&[("modtwin-property", b"name")]), "modtwin-property");
        assert_eq!(field(&[("modtwin-property", b"a=\xff")]), "modtwin-property");
        let twice: [(&str, &[u8]); 2] =
            [("modtwin-message-id", b"1"), ("modtwin-message-id", b"2")];
        assert_eq!(field(&twice), "modtwin-message-id");
    }
}
