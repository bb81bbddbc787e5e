//! The limits that both sides of the local API keep to.

use std::time::Duration;

/// The largest request body, in bytes; beyond it 413.
pub const MAX_BODY_BYTES: usize = 512 * 1024;

/// The largest device-to-cloud message, payload and encoded properties together, in bytes; beyond
/// it 413 (IoT Hub quotas: 256 KB).
pub const MAX_MESSAGE_BYTES: usize = 256 * 1024;

/// The largest payload of a direct method's answer, in bytes of JSON; beyond it 413 ("Understand and
/// invoke direct methods": 128 KB).
pub const MAX_METHOD_BYTES: usize = 128 * 1024;

/// The largest header block of a request, in bytes; beyond it 431.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;

/// The largest answer or line of a stream, in bytes, that a client has to expect.
///
/// A snapshot carries desired, reported and pending. IoT Hub limits a section to 32 KiB of counted
/// characters; JSON escapes can make six bytes of one, and a line of a watch has patch and
/// document. Twice 512 KiB leaves room beyond both.
pub const MAX_LINE_BYTES: usize = 1024 * 1024;

/// How often a watch sends a heartbeat.
pub const HEARTBEAT: Duration = Duration::from_secs(30);

/// How long a request waits for the hub where its `timeout` says nothing.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest `timeout` a request may ask for.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(3600);

/// The socket's path where the config says nothing.
pub const DEFAULT_SOCKET: &str = "/run/modtwin/modtwin.sock";
