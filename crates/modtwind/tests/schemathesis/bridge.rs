//! From loopback TCP, which schemathesis speaks, to the daemon's Unix socket: bytes pass as they
//! are, but a stream of events ends after its first line, since it would never end of itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;

/// A bridge; it is gone once dropped.
pub(crate) struct Bridge {
    address: SocketAddr,
    answers: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Bridge {
    /// Listens at a free port of 127.0.0.1.
    pub(crate) async fn to(socket: PathBuf) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let answers = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&answers);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (socket, counted) = (socket.clone(), Arc::clone(&counted));
                tokio::spawn(async move {
                    // A side that leaves ends the other: the client will say what it missed.
                    let _ended = pass(client, socket, &counted).await;
                });
            }
        });
        Ok(Self { address, answers, task })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many answers passed, or more, where the daemon wrote one in several pieces.
    pub(crate) fn requests(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(client: TcpStream, socket: PathBuf, answers: &AtomicUsize) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let (mut client_reader, mut client_writer) = client.into_split();
    let (mut daemon_reader, mut daemon_writer) = UnixStream::connect(socket).await?.into_split();
    let up = tokio::spawn(async move {
        let _ended = tokio::io::copy(&mut client_reader, &mut daemon_writer).await;
    });
    let mut buffer = vec![0; 64 * 1024];
    let outcome = loop {
        let count = daemon_reader.read(&mut buffer).await?;
        let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else { break Ok(()) };
        answers.fetch_add(1, Ordering::Relaxed);
        if is_stream(part) {
            let mut told = part.to_vec();
            let line = loop {
                if let Some(line) = first_line(&told) {
                    break line;
                }
                let count = daemon_reader.read(&mut buffer).await?;
                told.extend_from_slice(buffer.get(..count).unwrap_or_default());
            };
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\n\r\n";
            client_writer.write_all(head.as_bytes()).await?;
            client_writer.write_all(&line).await?;
            break client_writer.shutdown().await;
        }
        client_writer.write_all(part).await?;
    };
    up.abort();
    outcome
}

/// Says whether an answer begins here whose end nobody knows.
fn is_stream(part: &[u8]) -> bool {
    let text = String::from_utf8_lossy(part);
    text.starts_with("HTTP/1.1 200 ")
        && text.split("\r\n\r\n").next().is_some_and(|head| head.contains("application/x-ndjson"))
}

/// The first line of a stream, once all of it is there: what is between head and line feed, without
/// the size of its chunk.
fn first_line(told: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(told).ok()?;
    let (_head, body) = text.split_once("\r\n\r\n")?;
    let (_size, chunk) = body.split_once("\r\n")?;
    let (line, _rest) = chunk.split_once('\n')?;
    Some(format!("{line}\n").into_bytes())
}
