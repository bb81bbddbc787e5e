//! A WebSocket client (RFC 6455) of the few things that MQTT needs of it: one upgrade, binary
//! frames, close. Bytes in, bytes out; it does as it is told.

use anyhow::{Context as _, bail};
use openssl::base64;
use openssl::rand::rand_bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The longest head of an answer that is read.
const LONGEST_HEAD: usize = 16 * 1024;
/// What RFC 6455, 1.3, has a server put behind the client's key.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What the server said to an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// The HTTP status; 101 where it agreed.
    pub status: u16,
    /// The subprotocol it chose, as written.
    pub subprotocol: Option<String>,
    /// Whether the proof of having read the key is right.
    pub is_proven: bool,
    /// What followed the head in the same read.
    pub rest: Vec<u8>,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// 1 text, 2 binary, 8 close, 9 ping, 10 pong.
    pub opcode: u8,
    /// Its content.
    pub payload: Vec<u8>,
}

/// Asks for an upgrade to `target` with `subprotocol`.
///
/// # Errors
///
/// Where no answer comes that is HTTP/1.1.
pub async fn upgrade<S>(
    stream: &mut S,
    host: &str,
    target: &str,
    subprotocol: Option<&str>,
) -> anyhow::Result<Upgrade>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut nonce = [0; 16];
    rand_bytes(&mut nonce).context("no random bytes")?;
    let key = base64::encode_block(&nonce);
    let protocol =
        subprotocol.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n")).unwrap_or_default();
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{protocol}\r\n"
    );
    stream.write_all(request.as_bytes()).await.context("cannot ask for an upgrade")?;
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if bytes.len() > LONGEST_HEAD {
            bail!("the answer's head does not end");
        }
        let read = stream.read_buf(&mut bytes).await.context("cannot read the answer")?;
        if read == 0 {
            bail!("expected an answer, found the end of the connection");
        }
    };
    let rest = bytes.split_off(end + 4);
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let mut lines = head.split("\r\n");
    let status =
        lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let status = status.with_context(|| format!("expected HTTP/1.1, found {head:?}"))?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let header = |wanted: &str| {
        headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    };
    let proof = openssl::sha::sha1(format!("{key}{MAGIC}").as_bytes());
    Ok(Upgrade {
        status,
        subprotocol: header("sec-websocket-protocol"),
        is_proven: header("sec-websocket-accept") == Some(base64::encode_block(&proof)),
        rest,
    })
}

/// The bytes of a whole, masked frame, as clients send them.
///
/// # Errors
///
/// Where there is no randomness for the mask.
pub fn client_frame(opcode: u8, payload: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut mask = [0; 4];
    rand_bytes(&mut mask).context("no random bytes")?;
    let mut bytes = vec![0x80 | opcode];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..=125), _) => bytes.push(0x80 | length),
        (_, Ok(length)) => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend(u64::try_from(payload.len()).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    Ok(bytes)
}

/// Takes a whole frame of a server off the front of `input`; none where more bytes are needed.
///
/// # Errors
///
/// Where the server masks or fragments, which this client does not take.
pub fn take_frame(input: &mut Vec<u8>) -> anyhow::Result<Option<Frame>> {
    let &[first, second, ..] = input.as_slice() else { return Ok(None) };
    if second & 0x80 != 0 {
        bail!("expected an unmasked frame of a server, found a masked one");
    }
    if first & 0x80 == 0 || first & 0x0f == 0 {
        bail!("expected a whole frame, found a fragment");
    }
    let (length, head) = match second {
        126 => {
            let Some(&[a, b]) = input.get(2..4) else { return Ok(None) };
            (usize::from(u16::from_be_bytes([a, b])), 4)
        }
        127 => {
            let Some(bytes) = input.get(2..10) else { return Ok(None) };
            let bytes: [u8; 8] = bytes.try_into().context("eight bytes")?;
            (usize::try_from(u64::from_be_bytes(bytes)).context("a frame too large")?, 10)
        }
        short => (usize::from(short), 2),
    };
    if input.len() < head + length {
        return Ok(None);
    }
    let payload = input.drain(..head + length).skip(head).collect();
    Ok(Some(Frame { opcode: first & 0x0f, payload }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_a_server_is_taken_when_it_is_whole() {
        let mut input = vec![0x82, 3, 1, 2];
        assert_eq!(take_frame(&mut input).unwrap(), None);
        input.extend([3, 9]);
        assert_eq!(
            take_frame(&mut input).unwrap(),
            Some(Frame { opcode: 2, payload: vec![1, 2, 3] })
        );
        assert_eq!(input, [9]);
    }

    #[test]
    fn a_frame_of_a_client_is_masked_in_each_length() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let payload = vec![7; length];
            let frame = client_frame(2, &payload).unwrap();
            let head = frame.len() - length;
            assert_eq!((frame[0], frame[1] & 0x80), (0x82, 0x80), "{length}");
            let mask = frame[head - 4..head].to_vec();
            let unmasked = frame[head..].iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b);
            assert!(unmasked.eq(payload), "{length}");
        }
    }
}
