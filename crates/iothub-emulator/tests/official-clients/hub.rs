//! A hub where the SDKs look for one: on ports 8883 and 443, at a loopback address of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU8, Ordering};

use iothub_emulator::{Config, Emulator, StartError};

use crate::support::Hub;

/// Starts a hub. Its name is its address: SDKs look names up, and the certificate carries the address.
pub(crate) async fn start() -> Hub {
    // Other runs on this machine are likely to begin elsewhere; an address that is taken is passed over anyway.
    let [_, _, run, _] = std::process::id().to_be_bytes();
    for _ in 0..TRIES {
        let address = Ipv4Addr::new(127, 83, run, NEXT.fetch_add(1, Ordering::Relaxed));
        let config = Config {
            listen: IpAddr::V4(address),
            hostname: address.to_string(),
            mqtt_port: 8883,
            https_port: 443,
            ..Config::default()
        };
        match Emulator::start(config).await {
            Ok(running) => return Hub::of(running),
            Err(StartError::Listen(_, error)) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => panic!("cannot start a hub at {address}: {error}: {error:?}"),
        }
    }
    panic!("none of {TRIES} addresses in 127.83.{run}.0/24 has ports 8883 and 443 free");
}

/// Last byte of the next address; 0 and 255 are loopback addresses like any other.
static NEXT: AtomicU8 = AtomicU8::new(1);
const TRIES: usize = 200;
