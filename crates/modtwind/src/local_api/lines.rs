//! Streams: values as lines of JSON, for as long as the connection is open.
//!
//! A line is made when the socket has taken the one before, so that a reader that is slow holds one
//! line at most. Leaves to others what the lines say.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Frame;
use serde::Serialize;
use tokio::sync::watch;

use super::answer::{Body, encode, stream};
use super::connection::{Caller, stopped};

/// Where a stream's lines come from.
pub(crate) trait Source: Send + 'static {
    /// What a line says.
    type Line: Serialize + Send;

    /// Waits for the next line; none where the stream ends without one.
    fn next(&mut self) -> impl Future<Output = Option<Self::Line>> + Send;

    /// Says whether no line follows that one.
    fn is_last(line: &Self::Line) -> bool;
}

/// A stream of what `source` says.
pub(crate) fn answer(caller: &Arc<Caller>, source: impl Source) -> Response<Body> {
    stream(Lines::of(Arc::clone(caller), source).boxed_unsync())
}

/// The wait for the next line; gives its source back with it.
type Step<S> = Pin<Box<dyn Future<Output = Option<(<S as Source>::Line, S)>> + Send>>;

/// Lines as a body: pulled, one at a time, each from the state that the last one left.
struct Lines<S: Source> {
    /// None once the stream has ended.
    pending: Option<Step<S>>,
    caller: Arc<Caller>,
}

impl<S: Source> Lines<S> {
    fn of(caller: Arc<Caller>, source: S) -> Self {
        Self { pending: Some(Box::pin(step(Arc::clone(&caller), source))), caller }
    }
}

async fn step<S: Source>(caller: Arc<Caller>, mut source: S) -> Option<(S::Line, S)> {
    let mut stopping: watch::Receiver<bool> = caller.stopping.clone();
    tokio::select! {
        biased;
        () = stopped(&mut stopping) => return None,
        () = caller.gate.opened() => {}
    }
    let line = source.next().await?;
    Some((line, source))
}

impl<S: Source> hyper::body::Body for Lines<S> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let Some(pending) = this.pending.as_mut() else { return Poll::Ready(None) };
        let next = ready!(pending.as_mut().poll(cx));
        this.pending = None;
        let Some((line, source)) = next else { return Poll::Ready(None) };
        this.caller.gate.close();
        let mut bytes = encode(&line);
        bytes.push(b'\n');
        if !S::is_last(&line) {
            this.pending = Some(Box::pin(step(Arc::clone(&this.caller), source)));
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.pending.is_none()
    }
}
