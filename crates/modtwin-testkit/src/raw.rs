//! Bytes to the daemon's socket and back, without a client that would mind its manners.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

/// How long a byte may be waited for.
const READ_LIMIT: Duration = Duration::from_secs(20);
/// The longest answer that is read.
const LONGEST: u64 = 4 << 20;

/// An answer: its status, and its body where that is JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; null where it is no JSON.
    pub body: Value,
}

/// Connects.
///
/// # Errors
///
/// Where nobody listens.
pub fn connect(socket: &Path) -> anyhow::Result<UnixStream> {
    let stream = UnixStream::connect(socket)
        .with_context(|| format!("cannot connect to `{}`", socket.display()))?;
    stream.set_read_timeout(Some(READ_LIMIT)).context("cannot set a limit")?;
    stream.set_write_timeout(Some(READ_LIMIT)).context("cannot set a limit")?;
    Ok(stream)
}

/// A request as text, which asks for the connection to be closed after it.
#[must_use]
pub fn request(method: &str, target: &str, body: Option<&Value>) -> String {
    let head = format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    match body {
        None => format!("{head}\r\n"),
        Some(body) => {
            let body = body.to_string();
            let length = body.len();
            format!(
                "{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            )
        }
    }
}

/// Sends `bytes` and reads until the daemon closes the connection. A daemon that closes before it
/// has read everything is no error; what it said counts.
///
/// # Errors
///
/// Where it neither answers nor closes in time.
pub fn exchange(socket: &Path, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut stream = connect(socket)?;
    let _refused_early = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.take(LONGEST).read_to_end(&mut answer) {
        Ok(_length) => Ok(answer),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(answer),
        Err(error) => Err(error).context("cannot read the answer"),
    }
}

/// Makes a request on a connection of its own.
///
/// # Errors
///
/// Where the daemon does not answer as HTTP/1.1.
pub fn ask(
    socket: &Path,
    method: &str,
    target: &str,
    body: Option<&Value>,
) -> anyhow::Result<Answer> {
    read_answer(&exchange(socket, request(method, target, body).as_bytes())?)
}

/// Reads an answer of which all bytes are there.
///
/// # Errors
///
/// Where it is no HTTP/1.1.
pub fn read_answer(bytes: &[u8]) -> anyhow::Result<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    let Some(status) = status.and_then(|status| status.parse().ok()) else {
        bail!("expected an answer, found {:?}", text.chars().take(200).collect::<String>());
    };
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok(Answer { status, body: serde_json::from_str(body).unwrap_or(Value::Null) })
}
