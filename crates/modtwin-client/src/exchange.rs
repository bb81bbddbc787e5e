//! One request and its answer on a connection of their own.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use modtwin_api::Problem;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::ClientError;

/// The largest answer that is no stream, in bytes.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// How much of an unexpected answer goes into an error, in characters.
const EXCERPT: usize = 120;
/// The longest that a daemon may ask a client to stay away, in seconds; what is beyond counts as it.
const LONGEST_RETRY: u64 = 3600;

/// A request as the client's methods see it.
pub(crate) struct Call<'a> {
    /// What is done.
    pub(crate) method: Method,
    /// Path and query, already encoded.
    pub(crate) target: String,
    /// The body and its media type, which may be empty, where there is one.
    pub(crate) body: Option<(&'a str, Vec<u8>)>,
    /// Further headers.
    pub(crate) headers: Vec<(&'static str, &'a str)>,
    /// How long the answer may take: its head for a stream, all of it otherwise.
    pub(crate) deadline: Duration,
}

impl Call<'_> {
    /// A request without a body.
    pub(crate) fn new(method: Method, target: String, deadline: Duration) -> Self {
        Self { method, target, body: None, headers: Vec::new(), deadline }
    }
}

/// The task that moves a connection's bytes; ends with whoever holds it.
#[derive(Debug)]
pub(crate) struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer whose body is still to be read, and what keeps its connection alive.
pub(crate) struct Open {
    pub(crate) response: Response<Incoming>,
    pub(crate) driver: Driver,
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    /// The seconds of its `Retry-After`, at most [`LONGEST_RETRY`].
    retry_after: Option<u64>,
}

impl Answer {
    async fn read(socket: &Path, open: Open) -> Result<Self, ClientError> {
        let status = open.response.status();
        let retry_after = open.response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after
            .and_then(|seconds| seconds.to_str().ok()?.parse().ok())
            .map(|seconds: u64| seconds.min(LONGEST_RETRY));
        let body = collect(socket, open.response.into_body()).await?;
        Ok(Self { status, body, retry_after })
    }
}

/// Connects, sends `call`, and waits for the head of the answer.
async fn send(socket: &Path, call: Call<'_>) -> Result<Open, ClientError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|error| ClientError::unreachable(socket, error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| ClientError::from_hyper(socket, error))?;
    let driver = Driver(tokio::spawn(async move {
        // What breaks the connection reaches the caller through the answer or its body.
        let _broken = connection.await;
    }));
    let mut request = Request::builder()
        .method(call.method)
        .uri(call.target)
        .header(header::HOST, "localhost")
        .header(header::USER_AGENT, concat!("modtwin-client/", env!("CARGO_PKG_VERSION")));
    for (name, value) in call.headers {
        request = request.header(name, value.as_bytes());
    }
    let body = match call.body {
        Some((media_type, body)) => {
            if !media_type.is_empty() {
                request = request.header(header::CONTENT_TYPE, media_type);
            }
            Full::new(Bytes::from(body))
        }
        None => Full::default(),
    };
    let request = request.body(body).map_err(|error| {
        ClientError::protocol(socket, format!("cannot write the request: {error}"))
    })?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| ClientError::from_hyper(socket, error))?;
    Ok(Open { response, driver })
}

/// Sends `call` and leaves the body of a successful answer to be read as a stream.
pub(crate) async fn open(socket: &Path, call: Call<'_>) -> Result<Open, ClientError> {
    let deadline = call.deadline;
    let opening = async {
        let open = send(socket, call).await?;
        if open.response.status().is_success() {
            return Ok(open);
        }
        Err(refusal(socket, &Answer::read(socket, open).await?))
    };
    within(socket, deadline, opening).await
}

/// Sends `call` and reads the whole answer, whatever its status.
pub(crate) async fn answer(socket: &Path, call: Call<'_>) -> Result<Answer, ClientError> {
    let deadline = call.deadline;
    let answering = async { Answer::read(socket, send(socket, call).await?).await };
    within(socket, deadline, answering).await
}

/// The error that an answer with a status of 300 and above means.
pub(crate) fn refusal(socket: &Path, answer: &Answer) -> ClientError {
    match serde_json::from_slice::<Problem>(&answer.body) {
        Ok(mut problem) => {
            problem.retry_after = answer.retry_after;
            ClientError::Problem(Box::new(problem))
        }
        Err(_) => {
            let text = String::from_utf8_lossy(&answer.body);
            let excerpt: String = text.chars().take(EXCERPT).collect();
            let status = answer.status.as_u16();
            ClientError::protocol(
                socket,
                format!("expected a problem with status {status}, found {excerpt:?}"),
            )
        }
    }
}

async fn collect(socket: &Path, body: Incoming) -> Result<Bytes, ClientError> {
    match Limited::new(body, MAX_ANSWER_BYTES).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ClientError::protocol(
            socket,
            format!("expected at most {MAX_ANSWER_BYTES} bytes in an answer, found more"),
        )),
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(error) => Err(ClientError::from_hyper(socket, *error)),
            Err(other) => Err(ClientError::unreachable(socket, io::Error::other(other))),
        },
    }
}

async fn within<T>(
    socket: &Path,
    deadline: Duration,
    work: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    tokio::time::timeout(deadline, work).await.unwrap_or_else(|_elapsed| {
        let silence = format!("no answer within {} s", deadline.as_secs());
        Err(ClientError::unreachable(socket, io::Error::new(io::ErrorKind::TimedOut, silence)))
    })
}
