//! The link against real TLS sockets: paho on one side, a scripted MQTT peer on the other.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that meets the unexpected shall fail at once"
)]

mod authority;
mod connecting;
mod credentials;
mod delivering;
mod ending;
mod many;
mod peer;
mod refusing;
mod user;
