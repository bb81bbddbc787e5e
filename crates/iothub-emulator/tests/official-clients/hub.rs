//! A hub where the SDKs look for one: on ports 8883 and 443, at a loopback address of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU8, Ordering};

use iothub_emulator::{Config, Emulator, StartError};
use serde_json::Value;

use crate::support::Hub;

/// Starts a hub. Its name is its address: SDKs look names up, and the certificate carries the address.
pub(crate) async fn start() -> Hub {
    start_from(NEXT.fetch_add(1, Ordering::Relaxed)).await
}

/// Starts a hub at the first address from 127.83.x.`first` on that has both ports free.
async fn start_from(first: u8) -> Hub {
    // Another run on this machine is likely to be in another of these networks.
    let [_, _, run, _] = std::process::id().to_be_bytes();
    for step in 0..TRIES {
        let address = Ipv4Addr::new(127, 83, run, first.wrapping_add(step));
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
            Err(error) => panic!("cannot start a hub at {address}: {error:?}"),
        }
    }
    panic!("none of {TRIES} addresses in 127.83.{run}.0/24 has ports 8883 and 443 free");
}

#[tokio::test]
async fn a_busy_address_is_passed_over() {
    let first = start().await;
    let IpAddr::V4(taken) = first.running.facts().listen else { panic!("expected IPv4") };
    let second = start_from(taken.octets()[3]).await;
    assert_ne!(second.running.facts().listen, IpAddr::V4(taken));
    for hub in [&first, &second] {
        assert_eq!(hub.control("GET", "clock", Value::Null).await.status, 200);
    }
}

/// Last byte of the next address; 0 and 255 are loopback addresses like any other.
static NEXT: AtomicU8 = AtomicU8::new(1);
const TRIES: u8 = 200;
