//! What an emulator is started with.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use crate::scenario::Scenario;
use crate::throttle::Tier;

/// Holds what an emulator is started with; [`Config::default`] is what the program does without arguments, except
/// that both ports are free ones.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder to keep everything in; `None` is a temporary one, removed at the end, whose hub forgets.
    pub dir: Option<PathBuf>,
    /// The address to listen on.
    pub listen: IpAddr,
    /// The hub's name, as in user names, tokens and the connection string.
    pub hostname: String,
    /// The port of MQTT over TLS; 0 takes a free one.
    pub mqtt_port: u16,
    /// The port of HTTPS; 0 takes a free one.
    pub https_port: u16,
    /// Seed of everything random about faults.
    pub seed: u64,
    /// The tier whose throttles and quotas hold; `None` throttles nothing.
    pub tier: Option<Tier>,
    /// What is to go wrong by itself, and when.
    pub scenario: Scenario,
    /// Limits and times of the hub.
    pub rules: Rules,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dir: None,
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            hostname: "localhost".to_owned(),
            mqtt_port: 0,
            https_port: 0,
            seed: 0,
            tier: None,
            scenario: Scenario::default(),
            rules: Rules::default(),
        }
    }
}

/// Holds the hub's limits and times where the book leaves them open, or where a test can't wait for them.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Most modules of a device (documents say 20 and 50).
    pub max_modules: usize,
    /// Longest time from TCP to CONNECT.
    pub connect_wait: Duration,
    /// Longest silence of a client whatever keep alive it asked for ("ceiling 1767 s").
    pub longest_silence: Duration,
    /// How long after its end a token still passes at CONNECT: devices' clocks may be off by 5 minutes.
    pub clock_skew: Duration,
    /// How long after its end a token keeps a session open.
    pub token_grace: Duration,
    /// Whether modules that authenticate by thumbprint need the common name `{d}/{m}` too.
    pub thumbprint_needs_name: bool,
    /// Most direct methods waiting for one identity's answer.
    pub max_methods: usize,
    /// Longest time that a request beyond its throttle waits for its turn; it is refused when it had to wait longer.
    pub longest_shaping: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            max_modules: 50,
            connect_wait: Duration::from_secs(30),
            longest_silence: Duration::from_secs(1767),
            clock_skew: Duration::from_secs(300),
            token_grace: Duration::ZERO,
            thumbprint_needs_name: true,
            max_methods: 10,
            longest_shaping: Duration::from_secs(10),
        }
    }
}
