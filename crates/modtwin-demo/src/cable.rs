//! The cable between the gateway and the hub: a TCP relay that can be pulled out and put back.
//!
//! It carries bytes and understands none: TLS runs through it from end to end. Pulled out,
//! connections break and new ones are refused, while the hub goes on for everybody else.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

const BACKLOG: u32 = 128;

/// A relay from a port of its own to the hub's.
#[derive(Debug)]
pub(crate) struct Cable {
    hub: SocketAddr,
    port: u16,
    end: End,
}

#[derive(Debug)]
enum End {
    /// The task that accepts and carries.
    In(JoinHandle<()>),
    /// Bound and not listening: nobody else gets the port, and whoever connects is refused.
    Out(TcpSocket),
}

impl Cable {
    /// A cable to `hub`, put in.
    ///
    /// # Errors
    /// No port was to be had.
    pub(crate) fn connected_to(hub: SocketAddr) -> anyhow::Result<Self> {
        let socket = bind(0)?;
        let port = socket.local_addr().context("cannot read the relay's port")?.port();
        let mut cable = Self { hub, port, end: End::Out(socket) };
        cable.put_in()?;
        Ok(cable)
    }

    /// The port at the gateway's end.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Puts the cable in; nothing happens where it is in already.
    ///
    /// # Errors
    /// The port can't be listened on.
    pub(crate) fn put_in(&mut self) -> anyhow::Result<()> {
        if matches!(self.end, End::In(_)) {
            return Ok(());
        }
        // The socket can only be taken out of its place in exchange for something.
        let idle = std::mem::replace(&mut self.end, End::In(tokio::spawn(async {})));
        if let End::Out(socket) = idle {
            let listener = socket.listen(BACKLOG).context("cannot listen at the relay's port")?;
            self.end = End::In(tokio::spawn(carry_all(listener, self.hub)));
        }
        Ok(())
    }

    /// Pulls the cable out: returns once connections are broken and new ones refused.
    ///
    /// # Errors
    /// The port can't be kept.
    pub(crate) async fn pull_out(&mut self) -> anyhow::Result<()> {
        if let End::In(task) = &mut self.end {
            task.abort();
            // What comes back is that the task was aborted, as was asked for.
            let _aborted = task.await;
            self.end = End::Out(bind(self.port)?);
        }
        Ok(())
    }
}

fn bind(port: u16) -> anyhow::Result<TcpSocket> {
    let socket = TcpSocket::new_v4().context("cannot make the relay's socket")?;
    // Connections of a moment ago may still be in TIME_WAIT at this port.
    socket.set_reuseaddr(true).context("cannot set SO_REUSEADDR")?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket.bind(address).with_context(|| format!("cannot bind the relay to {address}"))?;
    Ok(socket)
}

/// Accepts and carries until aborted; the connections end with it.
async fn carry_all(listener: TcpListener, hub: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_ended) = connections.join_next() => {}
            accepted = listener.accept() => {
                // A connection that broke before it was accepted concerns nobody.
                if let Ok((gateway, _)) = accepted {
                    connections.spawn(carry(gateway, hub));
                }
            }
        }
    }
}

async fn carry(mut gateway: TcpStream, hub: SocketAddr) {
    let Ok(mut hub) = TcpStream::connect(hub).await else {
        return;
    };
    // A relay that gathers bytes would show in the story's milliseconds.
    if gateway.set_nodelay(true).and_then(|()| hub.set_nodelay(true)).is_ok() {
        let _carried_or_broken = tokio::io::copy_bidirectional(&mut gateway, &mut hub).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn echo_server() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    async fn says_hello(stream: &mut TcpStream) -> bool {
        let mut answer = [0; 5];
        stream.write_all(b"hello").await.is_ok()
            && stream.read_exact(&mut answer).await.is_ok()
            && &answer == b"hello"
    }

    #[tokio::test]
    async fn a_pulled_cable_breaks_and_refuses_and_works_again_at_the_same_port() {
        let mut cable = Cable::connected_to(echo_server().await).unwrap();
        let gateway_end = (Ipv4Addr::LOCALHOST, cable.port());
        let mut stream = TcpStream::connect(gateway_end).await.unwrap();
        assert!(says_hello(&mut stream).await);

        cable.pull_out().await.unwrap();
        assert!(!says_hello(&mut stream).await);
        assert!(TcpStream::connect(gateway_end).await.is_err());

        cable.put_in().unwrap();
        let mut stream = TcpStream::connect(gateway_end).await.unwrap();
        assert!(says_hello(&mut stream).await);
    }
}
