//! `GET /emulator/v1/events`: lines of JSON for as long as the caller listens.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::{Body as HttpBody, Frame};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::json;
use tokio::sync::{broadcast, mpsc};

use crate::event;
use crate::http::{self, Body};
use crate::hub::{self, Hub};

/// Starts a stream. Its first line says `listening`: from then on nothing is missed.
pub(super) fn answer(hub: &Arc<Hub>) -> Response<Body> {
    let events = hub.events.listen();
    let (sender, receiver) = mpsc::channel(64);
    let stop = hub.stop.clone();
    // Ends by itself: with the caller (the channel closes) or with the emulator.
    tokio::spawn(async move {
        let mut stop = stop;
        tokio::select! {
            () = hub::stopped(&mut stop) => {}
            () = forward(events, sender) => {}
        }
    });
    let mut response = http::empty(200);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    *response.body_mut() = Lines(receiver).boxed_unsync();
    response
}

async fn forward(mut events: broadcast::Receiver<Bytes>, sender: mpsc::Sender<Bytes>) {
    let mut next = event::line("listening", None, json!({}));
    loop {
        if sender.send(next).await.is_err() {
            return;
        }
        next = tokio::select! {
            () = sender.closed() => return,
            received = events.recv() => match received {
                Ok(line) => gathered(line, &mut events),
                Err(broadcast::error::RecvError::Lagged(missed)) => event::line("missed", None, json!({ "count": missed })),
                Err(broadcast::error::RecvError::Closed) => return,
            },
        };
    }
}

/// Puts lines that are there already behind the first, so that a burst is one write.
fn gathered(first: Bytes, events: &mut broadcast::Receiver<Bytes>) -> Bytes {
    if events.is_empty() {
        return first;
    }
    let mut lines = first.to_vec();
    while lines.len() < MOST_GATHERED_BYTES {
        match events.try_recv() {
            Ok(line) => lines.extend_from_slice(&line),
            Err(_) => break,
        }
    }
    Bytes::from(lines)
}

struct Lines(mpsc::Receiver<Bytes>);

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

const MOST_GATHERED_BYTES: usize = 64 * 1024;
