//! Golden bytes: files that say what goes over the wire, read by the client's codec and by the
//! emulator's, so that neither is judged by the other. README.md here has the format.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected shall fail at once"
)]

mod conversation;
mod file;
mod live;
mod messages;
mod packets;
